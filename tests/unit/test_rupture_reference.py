"""Control limits, drops and outcome contrasts against base R (validation/rupture.R)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.rupture import control_chart, read_series, repair_effect, within_person_drop

RTOL = 1e-9  # the same closed formulas in double precision; the data carry one or two decimals
RTOL_P = 1e-7  # tails of t from two different routines


@pytest.fixture(scope="module")
def limits():
    return load_reference("rupture_xmr")


@pytest.fixture(scope="module")
def outcome():
    return load_reference("rupture_outcome")


def series(case):
    frame = pd.DataFrame({"person_id": "a", "session_number": case["session"], "wai": case["score"]})
    return read_series(frame, score="wai")


def test_xmr_limits_match_r(limits):
    assert len(limits["xmr"]) == 9
    for case in limits["xmr"]:
        signal = control_chart(series(case), detrend=case["detrend"], baseline=case["baseline"])
        case.check({"center": signal.center, "limit": signal.limit}, rel=RTOL)


def test_drops_match_r(limits):
    for case in limits["drops"]:
        found = series(case)
        begins = found.sessions[within_person_drop(found, k=case["k"]).begins]
        assert begins.tolist() == np.atleast_1d(case["begins"]).tolist()


@pytest.mark.parametrize(("reference", "cluster", "method"), [("hc3", None, "HC3"), ("cr1", "therapist_id", "CR1")])
def test_outcome_contrasts_match_r(outcome, reference, cluster, method):
    rows = repair_effect(pd.DataFrame(outcome["data"]), outcome="core10.total", higher_is_better=False, cluster=cluster)
    assert [r.estimand for r in rows] == list(outcome[reference])
    for row in rows:
        expected = outcome[reference][row.estimand]
        expected.check({field: getattr(row, field) for field in ("estimate", "std_error", "ci_low", "ci_high")}, rel=RTOL)
        expected.check({"p_value": row.p_value}, rel=RTOL_P)
        assert method in row.method
        assert row.n == 120
        assert row.n_clusters == (15 if cluster else 120)

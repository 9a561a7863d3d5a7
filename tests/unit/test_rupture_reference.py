"""Control limits and drops against base R (validation/rupture.R)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.rupture import control_chart, read_series, within_person_drop

RTOL = 1e-9  # the same closed formulas in double precision; the data carry one or two decimals


@pytest.fixture(scope="module")
def limits():
    return load_reference("rupture_xmr")


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

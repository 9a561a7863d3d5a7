"""Run rules, screened limits, spreads of a sample and shifts of the level against R (validation/rupture_rules.R)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.rupture import read_series
from attachment_outcomes.rupture.rules import control_chart, level_shift, reliable_drop, within_person_drop
from attachment_outcomes.rupture.rules.partition import D2
from attachment_outcomes.rupture.series import Series

RTOL = 1e-9  # the same closed formulas in double precision; the data carry two decimals


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("rupture_rules")


def one(case: Reference) -> Series:
    return read_series(pd.DataFrame({"person_id": "a", "session_number": case["session"], "wai": case["score"]}), score="wai")


def whole(found: object) -> list[int]:
    return np.atleast_1d(np.asarray(found, dtype=int)).tolist()


def test_screened_limits_match_r(reference):
    assert {case["n_left_out"] for case in reference["screened"]} >= {0, 1, 2}
    for case in reference["screened"]:
        case.check({"limit": control_chart(one(case), screen=3.267).limit}, rel=RTOL)


def test_run_rules_match_r(reference):
    assert sum(len(whole(case["begins"])) for case in reference["runs"]) >= 8
    for case in reference["runs"]:
        series = one(case)
        begins = series.sessions[control_chart(series, signals=[case["rule"]], run=5).begins]
        assert begins.tolist() == whole(case["begins"])


def test_shifts_of_the_level_match_the_best_of_all_partitions_in_r(reference):
    assert max(len(whole(case["cuts"])) for case in reference["shift"]) == 4
    for case in reference["shift"]:
        series = one(case)
        found = level_shift(series)
        case.check({"fitted": found.center}, rel=RTOL)
        price = 2 * (series.mean_range()[0][0] / D2) ** 2 * np.log(len(series.values))
        squares = float(((series.values - found.center) ** 2).sum())
        case.check({"penalised": squares + price * np.count_nonzero(np.diff(found.center))}, rel=RTOL)
        assert series.sessions[found.begins].tolist() == whole(case["begins"])


@pytest.mark.parametrize(
    ("rule", "settings", "key"),
    [
        (within_person_drop, {"sd": "sample"}, "sample_sd"),
        (within_person_drop, {"sd": "stricter"}, "stricter"),
        (reliable_drop, {"reliability": 0.85}, "reliable"),
    ],
)
def test_drops_of_several_clients_match_r(reference, rule, settings, key):
    scores = np.array(reference["sample"]["scores"])
    clients, length = scores.shape
    frame = pd.DataFrame(
        {
            "person_id": np.repeat([f"c{i}" for i in range(clients)], length),
            "session_number": np.tile(np.arange(1, length + 1), clients),
            "wai": scores.ravel(),
        }
    )
    series = read_series(frame, score="wai")
    signal = rule(series, **settings)
    assert [(np.flatnonzero(own) + 1).tolist() for own in signal.begins.reshape(scores.shape)] == [
        whole(sessions) for sessions in reference["sample"][key]
    ]
    spread = reference["sample"]["mean_sd" if key == "sample_sd" else "sem"]
    width = (signal.center - signal.limit)[~np.isnan(signal.limit)]
    if key != "stricter":
        np.testing.assert_allclose(width, spread * (1 if key == "sample_sd" else 1.96 * np.sqrt(2)), rtol=RTOL)

"""Funnel limits and overdispersion against published values and R."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.references import Reference, load_reference

from attachment_outcomes.audit.funnel import COLUMNS, funnel_table
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.funnel import funnel_limits, overdispersion

R_TOLERANCE = 1e-12  # the same formula in double precision; sums may differ in the last bits
THREE_DECIMALS = 5e-4  # the golden values are printed to three decimals


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("audit_reference")


@pytest.mark.parametrize(
    ("n", "level", "low", "high"),
    [
        (10, 0.95, 0.210, 0.790),
        (10, 0.998, 0.086, 0.914),
        (50, 0.95, 0.363, 0.637),
        (50, 0.998, 0.288, 0.712),
        (100, 0.95, 0.403, 0.597),
        (100, 0.998, 0.348, 0.652),
    ],
)
def test_limits_match_the_golden_values_for_a_rate_of_one_half(n: int, level: float, low: float, high: float) -> None:
    lower, upper = funnel_limits([n], target=0.5, level=level)
    assert lower[0] == pytest.approx(low, abs=THREE_DECIMALS)
    assert upper[0] == pytest.approx(high, abs=THREE_DECIMALS)


def test_limits_match_r(reference: Reference) -> None:
    for case in reference["limits"]:
        low, high = funnel_limits([case["n"]], target=case["p0"], level=case["level"], tau2=case["tau2"])
        case.check({"low": low, "high": high}, abs=R_TOLERANCE)


def test_overdispersion_matches_r(reference: Reference) -> None:
    for case in reference["dispersion"]:
        found = overdispersion(case["events"], case["n"], target=case["p0"])
        case.check({"phi": found.phi, "tau2": found.tau2}, abs=R_TOLERANCE)


def test_equal_units_show_no_overdispersion() -> None:
    found = overdispersion([10, 10, 10], [20, 20, 20], target=0.5)
    assert (found.phi, found.tau2, found.n_units) == (0.0, 0.0, 3)


def test_one_unit_has_no_overdispersion_to_speak_of() -> None:
    found = overdispersion([10], [20], target=0.5)
    assert np.isnan(found.phi)
    assert np.isnan(found.tau2)


def test_a_limit_that_would_fold_back_stops_at_the_edge() -> None:
    low, high = funnel_limits([1, 2], target=0.02, level=0.998)
    assert low.tolist() == [0.0, 0.0]
    assert (high <= 1).all()
    low, high = funnel_limits([3], target=1.0, level=0.95)
    assert high[0] == 1.0


@given(
    p0=st.floats(0, 1),
    n=st.lists(st.integers(1, 10_000), min_size=2, max_size=6, unique=True),
    level=st.sampled_from([0.95, 0.998]),
)
def test_limits_hold_the_target_narrow_with_n_and_mirror(p0: float, n: list[int], level: float) -> None:
    sizes = np.array(sorted(n), dtype=float)
    low, high = funnel_limits(sizes, target=p0, level=level)
    assert (low <= p0 + R_TOLERANCE).all()
    assert (high >= p0 - R_TOLERANCE).all()
    assert (np.diff(high - low) <= R_TOLERANCE).all()
    mirrored_low, mirrored_high = funnel_limits(sizes, target=1 - p0, level=level)
    # 1 - p0 in floating point moves the angle by about 1e-8 near 0 and 1, where the square root is steep.
    assert np.allclose(mirrored_low, 1 - high, atol=1e-7)
    assert np.allclose(mirrored_high, 1 - low, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": 1.2}, "target 1.2 is not a proportion"),
        ({"level": 1}, "level 1 is not between"),
        ({"tau2": -1.0}, "variance between units -1.0 is negative"),
        ({"n": [0]}, "a unit has no clients"),
    ],
)
def test_impossible_limits_are_refused(change: dict, message: str) -> None:
    call = {"n": [10], "target": 0.5, "level": 0.95, "tau2": 0.0} | change
    with pytest.raises(StatisticsError, match=message):
        funnel_limits(call.pop("n"), **call)


def test_more_events_than_clients_are_refused() -> None:
    with pytest.raises(StatisticsError, match="events must lie between 0"):
        overdispersion([3, 9], [5, 8], target=0.5)


def test_funnel_table_centres_on_all_units_together() -> None:
    units = pd.DataFrame({"unit_id": ["b", "a"], "label": ["two", "one"], "n": [30, 10], "events": [20, 2]})
    frame, spread = funnel_table(units, unit="site", rate="recovery")
    assert list(frame.columns) == COLUMNS
    assert frame["unit_id"].tolist() == ["a", "b"]
    assert frame["target"].tolist() == [22 / 40, 22 / 40]
    assert frame["proportion"].tolist() == [0.2, 20 / 30]
    assert spread.n_units == 2
    assert (frame["low998"] < frame["low95"]).all()
    assert (frame["low95_adjusted"] <= frame["low95"]).all()


def test_an_empty_funnel_keeps_its_columns() -> None:
    frame, spread = funnel_table(pd.DataFrame(columns=["unit_id", "label", "n", "events"]), unit="site", rate="recovery")
    assert list(frame.columns) == COLUMNS
    assert spread.n_units == 0

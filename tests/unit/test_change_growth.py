"""Growth curves: estimands, horizon, and what is said when there is too little."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from tests.references import load_reference

from attachment_outcomes.change import growth_curve


def course(n: int, weeks: list[float], *, slope: float, seed: int = 3, spread: float = 0.02) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n), len(weeks))
    time_ = np.tile(weeks, n)
    value = 20 + rng.normal(0, 3, n)[person] + (slope + rng.normal(0, spread, n)[person]) * time_ + rng.normal(0, 2, len(person))
    return pd.DataFrame({"person_id": person.astype(str), "occasion": np.tile(range(len(weeks)), n), "time": time_, "value": value})


def test_estimands_of_a_known_course() -> None:
    """Slope −0.08 a week to week 52: the change to the end is −4.16; within 4 standard errors."""
    start = time.process_time()
    found = growth_curve(course(600, [0, 13, 26, 39, 52], slope=-0.08), outcome="core10.total", time_unit="week", end=52.0)
    assert time.process_time() - start < 3.0
    rows = {r.estimand: r for r in found.estimates}
    assert set(rows) == {"slope", "intercept", "change_to_end", "sd_intercept", "sd_slope"}
    for estimand, truth in (("slope", -0.08), ("change_to_end", -4.16), ("intercept", 20.0)):
        assert abs(rows[estimand].estimate - truth) < 4 * rows[estimand].std_error
    assert rows["sd_intercept"].estimate == pytest.approx(3, rel=0.1)
    assert rows["sd_slope"].estimate == pytest.approx(0.02, rel=0.25)
    assert rows["slope"].unit == "score points per week"
    assert rows["slope"].n == 600
    assert rows["change_to_end"].estimate == pytest.approx(52 * rows["slope"].estimate)
    assert rows["slope"].p_value == pytest.approx(rows["change_to_end"].p_value)


def test_curve_has_a_row_an_occasion_with_its_band() -> None:
    data = course(50, [0, 10, 20], slope=-0.1)
    curve = growth_curve(data, outcome="x", time_unit="week", end=20).curve
    assert curve["time"].tolist() == [0, 10, 20]
    assert curve["n_observed"].tolist() == [50, 50, 50]
    assert curve["observed_mean"].tolist() == pytest.approx(data.groupby("occasion")["value"].mean().tolist())
    assert (curve["ci_low"] < curve["predicted"]).all()
    assert (curve["predicted"] < curve["ci_high"]).all()


def test_curve_matches_lme4_with_a_natural_spline() -> None:
    """The same spline in another basis (R's ns): equal predictions, standard errors and change."""
    reference = load_reference("change_reference")
    table, ref = pd.DataFrame(reference["mixed"]["data"]), reference["growth"]
    data = table.assign(person_id=table["id"].astype("str"), occasion=table["week"] // 13, time=table["week"].astype(float))
    found = growth_curve(data, outcome="x", time_unit="week", end=65.0)
    np.testing.assert_allclose(found.curve["predicted"], ref["predicted"], rtol=1e-5)
    half = (found.curve["ci_high"] - found.curve["ci_low"]) / 2
    np.testing.assert_allclose(half, student.ppf(0.975, ref["df"]) * np.array(ref["se"]), rtol=1e-4)
    (change,) = (r for r in found.estimates if r.estimand == "change_to_end")
    assert (change.ci_high - change.estimate) / change.std_error == pytest.approx(student.ppf(0.975, ref["change_df"]), rel=1e-4)
    assert (change.estimate, change.std_error) == pytest.approx((ref["change_to_end"], ref["change_to_end_se"]), rel=1e-4)


def test_a_course_that_flattens_is_not_forced_onto_a_line() -> None:
    """−7 (1 − exp(−week/12)): a straight line would miss the change to week 52, −6.91, by more than a point."""
    data = course(500, [0, 8, 16, 26, 52], slope=0.0)
    data["value"] += -7 * (1 - np.exp(-data["time"] / 12))
    (change,) = (r for r in growth_curve(data, outcome="x", time_unit="week", end=52).estimates if r.estimand == "change_to_end")
    assert change.estimate == pytest.approx(-6.91, abs=3 * change.std_error)
    assert change.std_error < 0.15


def test_session_course_follows_the_observed_means(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "schramm2017_sessions/data.csv", sep=";")
    items = [
        "mood",
        "concentration",
        "self_worth",
        "suicidal_ideation",
        "tiredness",
        "sleep",
        "pleasure",
        "psychomotor",
        "appetite",
    ]
    data = pd.DataFrame(
        {
            "person_id": table["PatID.x"].astype("str"), "occasion": table["sessionN"], "time": table["sessionN"].astype(float),
            "value": table[items].sum(axis=1, skipna=False),
        }
    )  # fmt: skip
    start = time.process_time()
    found = growth_curve(data, outcome="x", time_unit="session", end=27.0)
    assert time.process_time() - start < 3.0
    ref = json.loads((shared_data / "schramm2017_sessions/reference.json").read_text())
    means = {m["session"]: m for m in ref["mean_by_session"]}
    assert found.curve["observed_mean"].tolist() == pytest.approx([means[s]["mean"] for s in sorted(means)])
    assert found.curve["n_observed"].tolist() == [means[s]["n"] for s in sorted(means)]
    assert (found.curve["predicted"] - found.curve["observed_mean"]).abs().max() < 0.45


def test_two_occasions_have_no_random_slope_and_say_so() -> None:
    found = growth_curve(course(60, [0, 20], slope=-0.1), outcome="x", time_unit="week", end=20)
    assert {r.estimand for r in found.estimates} == {"slope", "intercept", "change_to_end", "sd_intercept"}
    assert all("slopes are taken as equal" in r.note for r in found.estimates)


def test_singular_fit_is_in_every_rows_note() -> None:
    data = course(60, [0, 10, 20, 30], slope=-0.1, spread=0.0, seed=6)
    rng = np.random.default_rng(6)
    flat = data.assign(value=20 - 0.1 * data["time"] + rng.normal(size=len(data)))
    found = growth_curve(flat, outcome="x", time_unit="week", end=30)
    assert found.fit is not None
    assert found.fit.singular
    assert all("singular" in r.note for r in found.estimates)


def test_one_occasion_or_one_person_is_not_testable() -> None:
    data = course(30, [0.0], slope=0)
    (row,) = growth_curve(data, outcome="x", time_unit="week", end=0).estimates
    assert row.estimand == "not testable"
    assert "two occasions" in row.note
    (row,) = growth_curve(course(1, [0, 1, 2, 3], slope=0), outcome="x", time_unit="week", end=3).estimates
    assert row.estimand == "not testable"


def test_an_end_that_was_never_reached_is_named() -> None:
    found = growth_curve(course(30, [0, 1, 2], slope=0), outcome="x", time_unit="week", end=float("nan"))
    assert [r.note for r in found.estimates if r.estimand == "not testable"] == [
        "change to the end: the end is not after the first occasion"
    ]

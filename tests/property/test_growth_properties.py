"""What must hold of growth curves and therapists' shares whatever the data: units, order of rows, direction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attachment_outcomes.change.growth.curve import growth_curve
from attachment_outcomes.change.growth.effect_size import feingold_d
from attachment_outcomes.change.growth.shapes import SHAPES, make_shape
from attachment_outcomes.change.therapists import variance_ratio
from attachment_outcomes.inference.estimate import Estimate

WEEKS = np.array([0.0, 5, 13, 26, 52])


def made(seed: int, n: int = 40, therapists: int = 8) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n), len(WEEKS))
    time = np.tile(WEEKS, n)
    of = np.arange(n) % therapists
    level = rng.normal(0, 3, n) + rng.normal(0, 2, therapists)[of]
    slope = rng.normal(0, 0.08, n) + rng.normal(-0.1, 0.06, therapists)[of]
    value = 20 + level[person] + slope[person] * time + rng.normal(0, 1, len(person))
    data = pd.DataFrame({"person_id": person.astype(str), "occasion": np.tile(range(len(WEEKS)), n), "time": time, "value": value})
    kept = data[(rng.random(len(data)) > 0.15) | (data["occasion"] == 0)].reset_index(drop=True)
    return kept, pd.Series([f"t{i}" for i in of], index=np.arange(n).astype(str))


def rows_of(data: pd.DataFrame, therapists: pd.Series, shape: str, end: float = 52) -> dict[str, Estimate]:
    found = growth_curve(
        data, outcome="x", time_unit="week", end=end, shape=shape, therapists=therapists, treatment_end=20 * end / 52
    )
    return {r.estimand: r for r in found.estimates}


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000), shape=st.sampled_from(SHAPES), scale=st.sampled_from([0.01, 1.0, 37.0]), shift=st.floats(-50, 50)
)
def test_change_of_units_and_order_of_rows(seed: int, shape: str, scale: float, shift: float) -> None:
    """Score times a plus b: change times a, d and therapists' share the same. Shuffled rows: the same."""
    data, therapists = made(seed)
    one = rows_of(data, therapists, shape)
    moved = data.assign(value=data["value"] * scale + shift).sample(frac=1, random_state=seed)
    two = rows_of(moved, therapists.sample(frac=1, random_state=seed), shape)
    assert set(one) == set(two)
    for name, row in one.items():
        unit = 1.0 if name == "feingold_d" else scale
        level = shift if name == "intercept" else 0.0
        size = row.std_error if row.std_error > 0 else abs(row.estimate)
        assert two[name].estimate == pytest.approx(row.estimate * unit + level, abs=2e-3 * size * unit)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), shape=st.sampled_from(SHAPES))
def test_sign_flip(seed: int, shape: str) -> None:
    data, therapists = made(seed)
    one = rows_of(data, therapists, shape)
    two = rows_of(data.assign(value=-data["value"]), therapists, shape)
    for name in ("change_to_end", "feingold_d", "slope"):
        assert (two[name].ci_low, two[name].ci_high) == pytest.approx((-one[name].ci_high, -one[name].ci_low), rel=1e-3, abs=1e-4)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), unit=st.sampled_from([1 / 7, 4.0]), shape=st.sampled_from([s for s in SHAPES if s != "log"]))
def test_unit_of_time_does_not_move_the_change(seed: int, unit: float, shape: str) -> None:
    """Weeks or months, but for the logarithm, which has a unit of its own."""
    data, therapists = made(seed)
    one = rows_of(data, therapists, shape)["change_to_end"]
    two = rows_of(data.assign(time=data["time"] * unit), therapists, shape, end=52 * unit)["change_to_end"]
    assert two.estimate == pytest.approx(one.estimate, abs=1e-3 * one.std_error)
    assert two.std_error == pytest.approx(one.std_error, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-3, 1.0, 250.0]), shift=st.floats(-1e3, 1e3))
def test_interval_of_a_ratio_has_no_unit(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    therapist = rng.integers(0, 7, 60)
    pre = rng.normal(size=60)
    y = rng.normal(0, 0.7, 7)[therapist] + 0.5 * pre + rng.normal(size=60)
    one = variance_ratio(y, np.column_stack([np.ones(60), pre]), therapist)
    order = rng.permutation(60)
    two = variance_ratio((y * scale + shift)[order], np.column_stack([np.ones(60), pre * 9 - 4])[order], (therapist * 3 - 5)[order])
    assert 0 <= one.ci_low <= one.ci_high
    assert (two.statistic, two.ci_low, two.ci_high) == pytest.approx((one.statistic, one.ci_low, one.ci_high), rel=1e-6, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    change=st.floats(-20, 20), error=st.floats(0.05, 3), scores=st.lists(st.integers(0, 40), min_size=5, max_size=30),
    scale=st.floats(0.1, 10),
)  # fmt: skip
def test_feingolds_d_has_no_unit_and_its_interval_only_grows(change: float, error: float, scores: list[int], scale: float) -> None:
    x = np.array([*scores, 0, 41], dtype=float)
    one, known = feingold_d(change, error, x, df=30), feingold_d(change, error, x, df=30, sd_estimated=False)
    two = feingold_d(change * scale, error * scale, 3 + x * scale, df=30)
    assert (two.estimate, two.std_error) == pytest.approx((one.estimate, one.std_error))
    assert one.estimate == known.estimate
    assert one.std_error >= known.std_error


@settings(max_examples=30, deadline=None)
@given(times=st.lists(st.integers(0, 80), min_size=4, max_size=12, unique=True), shape=st.sampled_from(SHAPES))
def test_every_shape_holds_the_straight_line_or_its_own_curve(times: list[int], shape: str) -> None:
    """Linear, quadratic, piecewise and spline can be straight lines: some weights of their columns give t exactly."""
    t = np.array(sorted(times), dtype=float)
    knot = float(np.median(t))
    form = make_shape(shape, t, times=t, knots=np.full(len(t), knot))
    columns = form.weights(t)
    assert columns.shape == (len(t), 1 + len(form.columns))
    target = np.log1p(t) if shape == "log" else t
    fitted = columns @ np.linalg.lstsq(columns, target, rcond=None)[0]
    np.testing.assert_allclose(fitted, target, atol=1e-8)

"""What must hold of imputation, weights and tipping points whatever the data: units, order of people, and what was seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attachment_outcomes.change.missing import attrition, tipping_points
from attachment_outcomes.inference.mcar import little_test
from attachment_outcomes.inference.multiple_imputation import impute
from attachment_outcomes.inference.weighting import seen_weights, weighted_mean

SLOW = settings(max_examples=25)
seeds = st.integers(0, 10_000)


def scores(seed: int, n: int = 60) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y = rng.normal(0, 3, n)[:, None] + rng.normal(0, 2, (n, 3)) + 15
    y[rng.random(n) < 0.25, 2] = np.nan
    y[rng.random(n) < 0.15, 1] = np.nan
    y[:2, 2] = np.nan
    return y


@SLOW
@given(seeds, st.sampled_from([-4.0, 0.25, 8.0]), st.integers(-30, 30))
def test_imputations_move_with_the_units(seed, scale, shift):
    y = scores(seed)
    plain, moved = (impute(v, imputations=3, rng=np.random.default_rng(seed)) for v in (y, shift + scale * y))
    if scale > 0:  # the same draws; a mirrored scale takes them mirrored
        np.testing.assert_allclose(moved.values, shift + scale * plain.values, rtol=1e-6, atol=1e-6 * abs(scale))
    assert (moved.values[:, ~np.isnan(y)] == (shift + scale * y)[~np.isnan(y)]).all()


@SLOW
@given(seeds, st.sampled_from([-3.0, 0.1, 50.0]), st.integers(-99, 99))
def test_littles_test_does_not_depend_on_units_or_order(seed, scale, shift):
    y = scores(seed)
    first = little_test(y)
    again = little_test(shift + scale * y[np.random.default_rng(seed).permutation(len(y))][:, ::-1])
    assert again.statistic == pytest.approx(first.statistic, rel=1e-5, abs=1e-6)
    assert (again.df, again.patterns) == (first.df, first.patterns)
    assert first.statistic >= 0


@SLOW
@given(seeds, st.sampled_from([-2.0, 0.5, 10.0]))
def test_weights_do_not_depend_on_the_predictors_units_or_the_order(seed, scale):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, 80)
    stays = (rng.random(80) < 1 / (1 + np.exp(-1 - 0.5 * x))).astype(float)
    stays[:4] = [0, 1, 0, 1]
    value = rng.normal(5, 2, 80)
    order = rng.permutation(80)
    one = seen_weights(np.column_stack([np.ones(80), x]), stays, least_probability=0)
    two = seen_weights(np.column_stack([np.ones(80), 3 + scale * x[order]]), stays[order], least_probability=0)
    np.testing.assert_allclose(two.weights, one.weights[order], rtol=1e-7)
    first, second = weighted_mean(value, one), weighted_mean(value[order], two)
    assert (first.estimate, first.std_error) == pytest.approx((second.estimate, second.std_error), rel=1e-7)
    assert value[stays == 1].min() <= first.estimate <= value[stays == 1].max()


def test_an_intercept_alone_weights_nobody():
    """The share seen is then everybody's probability: all weights are 1 and the mean is that of those seen, at any seed."""
    rng = np.random.default_rng(1)
    stays = (rng.random(50) < 0.7).astype(float)
    value = rng.normal(0, 1, 50)
    found = seen_weights(np.ones((50, 1)), stays)
    np.testing.assert_allclose(found.weights[stays == 1], 1.0, rtol=1e-9)
    assert weighted_mean(value, found).estimate == pytest.approx(value[stays == 1].mean())


@SLOW
@given(seeds, st.floats(0.5, 4))
def test_a_shift_moves_the_mean_by_the_share_shifted(seed, delta):
    y = scores(seed)
    found = impute(y, imputations=4, rng=np.random.default_rng(seed))
    gone = np.isnan(y[:, 2])
    curve, (tip,) = tipping_points(found, {"all": gone}, deltas=[delta], spread=3.0, scale_range=None, events={})
    at = curve.set_index("delta")["estimate"]
    assert at[delta] - at[0.0] == pytest.approx(delta * gone.mean(), rel=1e-9)
    before = curve.set_index("delta").loc[0.0]
    if np.isnan(tip.delta):
        assert not before["reached"]
    else:
        assert abs(tip.delta) <= abs(tip.reach) + 1e-9 or tip.delta == 0
        assert (tip.delta == 0) == bool(before["reached"])


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=20), st.integers(0, 4))
def test_every_person_is_counted_once_at_every_occasion(seen, never):
    kept = np.array([row for row in seen if any(row)] or [[True] * 3])
    found = attrition(np.where(kept, 1.0, np.nan), [0, 1, 2], never=never)
    parts = found[["n_seen", "n_dropout", "n_intermittent", "n_later", "n_never"]].sum(axis=1)
    assert (parts == len(kept) + never).all()
    assert found["n_dropout"].is_monotonic_increasing
    assert found["n_later"].is_monotonic_decreasing

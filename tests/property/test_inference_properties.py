"""What must hold for every interval and adjusted p value: units, signs, names and order change nothing but themselves."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attachment_outcomes.inference.equivalence import estimate_equivalence
from attachment_outcomes.inference.imputation import combine_imputations, joint_test
from attachment_outcomes.inference.monte_carlo import monte_carlo_interval
from attachment_outcomes.inference.multiplicity import METHODS as ADJUSTMENTS
from attachment_outcomes.inference.multiplicity import adjust_families, adjust_p_values
from attachment_outcomes.inference.permutation import permutation_test, sign_flip_test
from attachment_outcomes.inference.pooling.random_effects import pool
from attachment_outcomes.inference.proportions import proportion
from attachment_outcomes.inference.resampling import METHODS, cluster_bootstrap

EXACT = {"rel": 1e-8, "abs": 1e-8}
SLOW = settings(max_examples=25)

numbers = st.floats(-50, 50).map(lambda x: round(x, 3))
positive = st.floats(0.01, 20).map(lambda x: round(x, 3))


def lists(element, low: int = 4, high: int = 12):
    return st.lists(element, min_size=low, max_size=high)


def limits(found) -> tuple[float, float]:
    return found.ci_low, found.ci_high


def mean_of(x: list[float], *, seed: int = 1, replicates: int = 199, clusters=None):
    """The bootstrap of a mean with its standard error."""
    a = np.asarray(x)

    def error(s):
        return np.sqrt(np.maximum(s[:, 1] / s[:, 2] - (s[:, 0] / s[:, 2]) ** 2, 0) / s[:, 2])

    table = np.column_stack([a, a**2, np.ones(len(a))])
    rng = np.random.default_rng(seed)
    return cluster_bootstrap(lambda s: s[:, 0] / s[:, 2], table, rng=rng, replicates=replicates, clusters=clusters, std_error=error)


# ---------------------------------------------------------------- bootstrap


@SLOW
@given(lists(st.integers(-40, 40), 8, 15), st.integers(-30, 30), st.sampled_from([-4, -0.5, 2, 8]), st.sampled_from(METHODS))
def test_bootstrap_limits_move_with_the_units(x, shift, scale, method):
    assume(len(set(x)) > 4)
    plain = mean_of(x).interval(method=method, most_failed=0.3)
    moved = mean_of([shift + scale * v for v in x]).interval(method=method, most_failed=0.3)
    expected = sorted(shift + scale * v for v in limits(plain))
    assert limits(moved) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert moved.std_error == pytest.approx(abs(scale) * plain.std_error)


@SLOW
@given(lists(st.integers(-40, 40), 8, 15), st.sampled_from(METHODS))
def test_a_higher_level_gives_an_interval_that_holds_the_lower_one(x, method):
    assume(len(set(x)) > 4)
    found = mean_of(x)
    narrow, wide = (found.interval(method=method, ci_level=level, most_failed=0.3) for level in (0.8, 0.95))
    assert wide.ci_low <= narrow.ci_low <= narrow.ci_high <= wide.ci_high


@SLOW
@given(lists(st.integers(1, 40), 8, 15))
def test_percentile_limits_follow_any_scale(x):
    # 199 replicates put the limits of 90 % on order statistics, so that no interpolation comes between.
    found = mean_of(x)
    logs = cluster_bootstrap(
        lambda s: np.log(s[:, 0] / s[:, 1]), np.column_stack([x, np.ones(len(x))]), rng=np.random.default_rng(1), replicates=199
    )
    both = [r.interval(method="percentile", ci_level=0.9) for r in (found, logs)]
    assert np.exp(limits(both[1])) == pytest.approx(limits(both[0]))


@SLOW
@given(lists(st.tuples(st.integers(0, 5), st.integers(-40, 40)), 8, 20))
def test_names_of_clusters_do_not_matter_and_sums_of_clusters_do(rows):
    labels = [g for g, _ in rows]
    assume(len(set(labels)) > 1)
    x = [v for _, v in rows]
    one = mean_of(x, clusters=labels)
    other = mean_of(x, clusters=[f"therapist {g}" for g in labels])
    np.testing.assert_array_equal(one.draws, other.draws)
    sums = pd.DataFrame({"g": labels, "x": x, "n": 1.0}).groupby("g").sum().to_numpy(dtype=float)
    summed = cluster_bootstrap(lambda s: s[:, 0] / s[:, 1], sums, rng=np.random.default_rng(1), replicates=199)
    np.testing.assert_allclose(one.draws, summed.draws, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.acceleration, summed.acceleration, rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------- permutation


@SLOW
@given(lists(st.integers(-40, 40), 6, 12), st.integers(-5, 5), st.sampled_from([-8, 0.5, 4]))
def test_permutation_p_values_do_not_depend_on_units(x, shift, scale):
    arm = (np.arange(len(x)) % 2).astype(float)

    def test(values):
        v = np.asarray(values, dtype=float)
        return permutation_test(
            lambda g: g @ v / g.sum(axis=1) - (1 - g) @ v / (1 - g).sum(axis=1), arm, rng=np.random.default_rng(3),
            permutations=99, vectorised=True,
        )  # fmt: skip

    assume(test(x).statistic != 0)  # what is 0 but for rounding may tie or not
    plain, moved = test(x), test([shift + scale * v for v in x])
    assert moved.statistic == pytest.approx(scale * plain.statistic, abs=1e-9)
    assert moved.p_value == plain.p_value
    assert 0.01 <= plain.p_value <= 1


@SLOW
@given(lists(st.integers(-40, 40), 3, 12))
def test_sign_flips_take_both_directions_alike(x):
    one, other = (sign_flip_test(d, rng=np.random.default_rng(3), permutations=99) for d in (x, [-v for v in x]))
    assert one.p_value == other.p_value
    assert one.statistic == -other.statistic


# ---------------------------------------------------------------- Monte Carlo


@SLOW
@given(numbers, positive, numbers, st.sampled_from([-3.0, 0.5, 2.0]))
def test_monte_carlo_limits_move_with_the_units_and_follow_any_scale(mean, variance, shift, scale):
    def interval(function):
        return monte_carlo_interval([mean], [[variance]], function, rng=np.random.default_rng(2), draws=1999)

    plain, moved = interval(lambda a: a), interval(lambda a: shift + scale * a)
    assert limits(moved) == pytest.approx(sorted(shift + scale * v for v in limits(plain)), **EXACT)
    assert plain.ci_low < mean < plain.ci_high
    assert np.log(limits(interval(lambda a: np.exp(a / 10)))) * 10 == pytest.approx(limits(plain), **EXACT)


# ---------------------------------------------------------------- equivalence


@given(numbers, positive, st.floats(-10, 9), positive, st.floats(2, 500), st.floats(0.001, 0.4))
def test_equivalent_means_that_the_interval_is_within_the_bounds(estimate, error, low, width, df, alpha):
    high = low + width
    found = estimate_equivalence(estimate, error, low=low, high=high, df=df, alpha=alpha)
    assume(abs(found.p_value - alpha) > 1e-9)
    assert (found.p_value < alpha) == (low < found.ci_low and found.ci_high < high)
    assert (found.outcome in ("equivalent", "both")) == (found.p_value < alpha)
    assert (found.outcome in ("different", "both")) == (found.p_difference < alpha)
    wider = estimate_equivalence(estimate, error, low=low - 1, high=high + 1, df=df, alpha=alpha)
    assert wider.p_value <= found.p_value
    turned = estimate_equivalence(-estimate, error, low=-high, high=-low, df=df, alpha=alpha)
    assert (turned.p_low, turned.p_high) == pytest.approx((found.p_high, found.p_low))
    scaled = estimate_equivalence(7 * estimate, 7 * error, low=7 * low, high=7 * high, df=df, alpha=alpha)
    assert scaled.p_value == pytest.approx(found.p_value)


# ---------------------------------------------------------------- shares


@given(lists(st.tuples(st.integers(0, 4), st.booleans()), 4, 40), st.booleans())
def test_the_interval_of_those_without_is_the_mirror_image(rows, clustered):
    labels = [g for g, _ in rows] if clustered else None
    events = np.array([e for _, e in rows])
    found, other = proportion(events, clusters=labels), proportion(~events, clusters=labels)
    assert 0 <= found.ci_low <= found.estimate + 1e-12
    assert found.estimate - 1e-12 <= found.ci_high <= 1
    assert limits(other) == pytest.approx((1 - found.ci_high, 1 - found.ci_low), **EXACT)
    if clustered:
        plain = proportion(events)
        assert found.ci_low <= plain.ci_low + 1e-12
        assert found.ci_high >= plain.ci_high - 1e-12


# ---------------------------------------------------------------- imputation


@given(lists(st.tuples(numbers, positive), 2, 8), numbers, st.sampled_from([-2.0, 0.5, 10.0]), st.floats(3, 1000))
def test_rubins_rules_move_with_the_units(rows, shift, scale, df_complete):
    q, u = (np.array(v) for v in zip(*rows, strict=True))
    found = combine_imputations(q, u, df_complete=df_complete)
    moved = combine_imputations(shift + scale * q, scale**2 * u, df_complete=df_complete)
    assert limits(moved) == pytest.approx(sorted(shift + scale * v for v in limits(found)), **EXACT)
    assert (moved.df, moved.fraction_missing) == pytest.approx((found.df, found.fraction_missing))
    assert found.std_error**2 >= found.within * (1 - 1e-12)
    assert 0 < found.df <= df_complete
    assert 0 <= found.fraction_missing <= 1
    assert found.df <= combine_imputations(q, u).df * (1 + 1e-12)
    turned = combine_imputations(q[::-1], u[::-1], df_complete=df_complete)
    assert limits(turned) == pytest.approx(limits(found), **EXACT)


@SLOW
@given(arrays(float, (4, 2), elements=st.floats(-5, 5)), arrays(float, (4, 3), elements=st.floats(0.5, 2)), st.floats(30, 900))
def test_a_joint_test_does_not_depend_on_how_parameters_are_written(q, parts, df_complete):
    u = np.array([[[a, 0.3], [0.3, b + c]] for a, b, c in parts])
    turn = np.array([[1.0, 2.0], [0.5, -1.0]])
    found = joint_test(q, u, df_complete=df_complete)
    other = joint_test(q @ turn.T, turn @ u @ turn.T, df_complete=df_complete)
    for name in ("statistic", "df_error", "p_value", "relative_increase"):
        assert getattr(other, name) == pytest.approx(getattr(found, name), rel=1e-6, abs=1e-9)


# ---------------------------------------------------------------- multiplicity


@given(lists(st.floats(0, 1), 1, 15), st.randoms(use_true_random=False))
def test_adjusted_p_values_keep_their_order_and_are_ranked_by_strictness(p, random):
    found = {method: adjust_p_values(p, method=method) for method in ADJUSTMENTS}
    strict = ["bonferroni", "holm", "hochberg", "benjamini-hochberg"]
    for larger, smaller in [*itertools.pairwise(strict), ("benjamini-yekutieli", "benjamini-hochberg")]:
        assert (found[larger] >= found[smaller] - 1e-12).all()
    moved = random.sample(range(len(p)), len(p))
    for method, adjusted in found.items():
        assert (adjusted >= np.array(p) - 1e-12).all()
        assert (adjusted <= 1).all()
        assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= -1e-12).all()
        np.testing.assert_allclose(adjust_p_values(np.array(p)[moved], method=method), adjusted[moved], atol=1e-12)
        np.testing.assert_allclose(adjust_p_values([*p, math.nan], method=method)[:-1], adjusted, atol=1e-12)


@given(lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1)), 1, 12))
def test_families_do_not_know_of_each_other(rows):
    frame = pd.DataFrame(rows, columns=["family", "p_value"])
    found = adjust_families(frame, family=["family"])
    for name, part in frame.groupby("family"):
        alone = adjust_families(part)
        np.testing.assert_allclose(found.loc[found["family"] == name, "p_adjusted"], alone["p_adjusted"])


# ---------------------------------------------------------------- pooling


@given(lists(st.tuples(numbers, positive), 3, 10), numbers, st.sampled_from([-2.0, 0.25, 8.0]))
def test_pooled_intervals_move_with_the_units_and_modified_ones_are_never_shorter(rows, shift, scale):
    y, v = (np.array(x) for x in zip(*rows, strict=True))
    for method in ("REML", "DL"):
        plain = pool(y, v, method=method)
        moved = pool(shift + scale * y, scale**2 * v, method=method)
        assert limits(moved) == pytest.approx(sorted(shift + scale * x for x in limits(plain)), rel=1e-6, abs=1e-6)
        assert moved.tau2 == pytest.approx(scale**2 * plain.tau2, rel=1e-6, abs=1e-6)
        order = np.argsort(v)
        assert limits(pool(y[order], v[order], method=method)) == pytest.approx(limits(plain), rel=1e-6, abs=1e-6)
        knapp, modified = (pool(y, v, method=method, interval=i) for i in ("hartung-knapp", "hartung-knapp-modified"))
        assert modified.std_error >= max(plain.std_error, knapp.std_error) * (1 - 1e-12)
        assert modified.ci_high - modified.ci_low >= plain.ci_high - plain.ci_low
        assert modified.prediction_low <= modified.ci_low
        higgins = pool(y, v, method=method, interval="hartung-knapp", prediction="higgins")
        assert higgins.prediction_high - higgins.prediction_low >= knapp.prediction_high - knapp.prediction_low
        assert limits(higgins) == limits(knapp)


@given(lists(st.tuples(numbers, positive), 2, 12))
def test_tau2_is_where_the_restricted_likelihood_does_not_rise(rows):
    y, v = (np.array(x) for x in zip(*rows, strict=True))

    def likelihood(tau2: float) -> float:
        w = 1 / (v + tau2)
        mean = (w @ y) / w.sum()
        return float((np.log(w).sum() - np.log(w.sum()) - w @ (y - mean) ** 2) / 2)

    tau2 = pool(y, v).tau2
    step = 1e-3 * (tau2 + v.mean())
    assert likelihood(tau2) >= likelihood(tau2 + step)
    assert likelihood(tau2) >= likelihood(max(0.0, tau2 - step))

"""What must hold of pooling whatever the samples: order, units, samples that add nothing, edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.pooling.binomial import pool_proportions
from attachment_outcomes.inference.pooling.influence import leave_one_out
from attachment_outcomes.inference.pooling.moderators import meta_regression
from attachment_outcomes.inference.pooling.nested import pool_nested
from attachment_outcomes.inference.pooling.nested_likelihood import Clustered
from attachment_outcomes.inference.pooling.random_effects import pool
from attachment_outcomes.inference.pooling.small_studies import egger, trim_and_fill
from attachment_outcomes.inference.pooling.tau2 import METHODS

effect = st.floats(-2, 2).map(lambda x: round(x, 3))
variance = st.floats(0.005, 1).map(lambda x: round(x, 3)).filter(lambda x: x > 0)
FEW = settings(max_examples=25)


def samples(fewest: int, most: int = 12):
    return st.lists(st.tuples(effect, variance), min_size=fewest, max_size=most).map(lambda rows: np.array(rows).T)


@given(samples(2), st.sampled_from(METHODS), st.sampled_from([-3.0, 0.5]), effect, st.randoms(use_true_random=False))
def test_order_units_and_origin_do_not_matter(data, method, scale, shift, random):
    y, v = data
    plain = pool(y, v, method=method)
    order = np.array(random.sample(range(len(y)), len(y)))
    moved = pool(shift + scale * y[order], scale**2 * v[order], method=method)
    assert moved.estimate == pytest.approx(shift + scale * plain.estimate, rel=1e-7, abs=1e-7)
    assert moved.std_error == pytest.approx(abs(scale) * plain.std_error, rel=1e-7)
    assert moved.tau2 == pytest.approx(scale**2 * plain.tau2, rel=1e-7, abs=1e-9)
    assert (moved.tau2_low, moved.tau2_high) == pytest.approx(
        (scale**2 * plain.tau2_low, scale**2 * plain.tau2_high), rel=1e-7, abs=1e-9, nan_ok=True
    )
    assert moved.i2 == pytest.approx(plain.i2, abs=1e-7)
    assert y.min() - 1e-9 <= plain.estimate <= y.max() + 1e-9
    assert 0 <= plain.i2 <= 1


@given(samples(2), variance)
def test_a_sample_at_the_pooled_value_leaves_it_there_and_makes_equal_effects_surer(data, extra):
    y, v = data
    before = pool(y, v, method="EE")
    after = pool(np.append(y, before.estimate), np.append(v, extra), method="EE")
    assert after.estimate == pytest.approx(before.estimate, abs=1e-9)
    assert after.std_error < before.std_error
    assert after.q == pytest.approx(before.q, abs=1e-9)


@given(effect, st.lists(variance, min_size=2, max_size=10), st.sampled_from(METHODS))
def test_identical_effects_have_no_tau2(value, variances, method):
    found = pool([value] * len(variances), variances, method=method)
    assert found.estimate == pytest.approx(value, abs=1e-12)
    assert found.tau2 == pytest.approx(0, abs=1e-20)


@given(samples(3), st.sampled_from([1e-8, 1e-5]))
def test_tiny_variances_leave_the_spread_of_the_effects(data, size):
    y, v = data
    assume(np.ptp(y) > 0.5)
    for method in ("REML", "PM", "HE"):  # DL weighs by precision, however little it differs
        found = pool(y, size * v, method=method)
        assert found.tau2 == pytest.approx(y.var(ddof=1), rel=1e-2)
        assert found.estimate == pytest.approx(y.mean(), abs=1e-2)


@FEW
@given(samples(3, 9), st.sampled_from(["REML", "DL", "ML"]))
def test_leaving_one_out_is_pooling_the_others(data, method):
    y, v = data
    found = leave_one_out(y, v, method=method, interval="hartung-knapp")
    for i, row in enumerate(found.itertuples()):
        whole = pool(np.delete(y, i), np.delete(v, i), method=method, interval="hartung-knapp")
        assert (row.estimate, row.std_error, row.ci_low, row.tau2, row.i2, row.q, row.q_p) == pytest.approx(
            (whole.estimate, whole.std_error, whole.ci_low, whole.tau2, whole.i2, whole.q, whole.q_p), rel=1e-9, abs=1e-10
        )


@FEW
@given(samples(6), st.randoms(use_true_random=False), st.sampled_from(["REML", "DL"]))
def test_units_of_moderators_and_their_order_do_not_matter(data, random, method):
    y, v = data
    x = np.array([random.random() for _ in y])
    assume(np.ptp(x) > 0.1)
    one, two = (
        meta_regression(y, v, pd.DataFrame({"a": column}), method=method) for column in (x, 2000 - 10 * x)
    )  # fmt: skip
    assert two.tau2 == pytest.approx(one.tau2, rel=1e-6, abs=1e-9)
    first, second = one.coefficients, two.coefficients
    assert second.loc[1, "estimate"] == pytest.approx(-first.loc[1, "estimate"] / 10, rel=1e-6, abs=1e-9)
    assert two.qm_p == pytest.approx(one.qm_p, abs=1e-6)
    assert two.qe == pytest.approx(one.qe, rel=1e-6, abs=1e-9)


@FEW
@given(samples(5, 14), st.randoms(use_true_random=False), st.sampled_from([-2.0, 0.5]))
def test_three_levels_do_not_mind_order_and_units_and_stand_on_the_top(data, random, scale):
    y, v = data
    clusters = np.array([random.randrange(4) for _ in y])
    assume(1 < len(set(clusters.tolist())) < len(y))
    found = pool_nested(y, v, clusters, interval="t")
    order = np.array(random.sample(range(len(y)), len(y)))
    moved = pool_nested(scale * y[order], scale**2 * v[order], 10 - clusters[order], interval="t")
    assert moved.estimate == pytest.approx(scale * found.estimate, rel=1e-5, abs=1e-6)
    assert moved.tau2_between == pytest.approx(scale**2 * found.tau2_between, rel=1e-4, abs=1e-6)
    codes = np.unique(clusters, return_inverse=True)[1]
    data_ = Clustered(y, v, np.full((len(y), 1), len(y) ** -0.5), codes, int(codes.max()) + 1)
    top = data_.at((found.tau2_between, found.tau2_within)).loglik
    for b, w in ((1.05, 1), (0.95, 1), (1, 1.05), (1, 0.95)):
        assert data_.at((found.tau2_between * b, found.tau2_within * w)).loglik <= top + 1e-9
    assert data_.at((found.tau2_between + 0.01, found.tau2_within)).loglik <= top + 1e-9
    assert data_.at((found.tau2_between, found.tau2_within + 0.01)).loglik <= top + 1e-9


@FEW
@given(samples(5, 12), st.randoms(use_true_random=False))
def test_slopes_of_the_restricted_likelihood_are_its_derivatives(data, random):
    y, v = data
    codes = np.array([*range(3), *(random.randrange(3) for _ in range(len(y) - 3))])
    likelihood = Clustered(y, v, np.full((len(y), 1), len(y) ** -0.5), codes, 3)
    at, step = np.array([0.1, 0.2]), 1e-5
    here = likelihood.at((0.1, 0.2))
    for j in range(2):
        move = np.eye(2)[j] * step
        above, below = (likelihood.at(tuple(at + s * move)) for s in (1, -1))
        assert here.gradient[j] == pytest.approx((above.loglik - below.loglik) / (2 * step), rel=1e-4, abs=1e-5)
        assert -here.observed[j] == pytest.approx((above.gradient - below.gradient) / (2 * step), rel=1e-4, abs=1e-4)


@FEW
@given(samples(4), st.sampled_from(["random-effects", "weighted"]))
def test_a_mirrored_funnel_leans_the_other_way(data, model):
    y, v = data
    assume(np.ptp(v) > 0.01)
    assume(np.ptp(y) > 0.01)
    one, two = egger(y, v, model=model), egger(-y, v, model=model)
    assert two.estimate == pytest.approx(-one.estimate, rel=1e-7, abs=1e-9)
    assert two.p_value == pytest.approx(one.p_value, abs=1e-7)
    left, right = trim_and_fill(y, v, side="left"), trim_and_fill(-y, v, side="right")
    if len(set(np.round(y, 6))) == len(y):  # of tied effects, which comes first is as they stand
        assert left.k0 == right.k0
        assert left.pooled.estimate == pytest.approx(-right.pooled.estimate, rel=1e-7, abs=1e-9)


counts = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=2, max_size=8)


@FEW
@given(counts, st.randoms(use_true_random=False))
def test_counts_do_not_mind_order_or_which_of_two_outcomes_is_counted(rows, random):
    x, n = np.array([[min(a, b), b] for a, b in rows]).T
    assume(0 < x.sum() < n.sum())
    assume(((x > 0) & (x < n)).any())
    try:
        one = pool_proportions(x, n)
    except StatisticsError:  # nearly all samples have all or none
        with pytest.raises(StatisticsError, match="all or none"):
            pool_proportions(n - x, n)
        return
    order = np.array(random.sample(range(len(x)), len(x)))
    two = pool_proportions((n - x)[order], n[order])
    assert two.estimate == pytest.approx(-one.estimate, rel=1e-5, abs=1e-5)
    assert two.tau2 == pytest.approx(one.tau2, rel=1e-4, abs=1e-5)
    assert two.loglik == pytest.approx(one.loglik, abs=1e-7)
    assert 0 <= one.share_low <= one.share <= one.share_high <= 1
    assert one.tau2_low <= one.tau2 + 1e-9
    assert one.tau2 <= one.tau2_high + 1e-9
    assert min(one.share, 0.5) - 1e-9 <= one.mean_share <= max(one.share, 0.5) + 1e-9


@FEW
@given(st.lists(st.tuples(st.integers(100, 400), st.integers(500, 900)), min_size=3, max_size=8))
def test_with_large_samples_counts_say_what_their_log_odds_say(rows):
    x, n = np.array(rows).T
    one = pool_proportions(x, n, interval="z")
    two = pool(np.log(x / (n - x)), 1 / x + 1 / (n - x), method="ML")
    assert one.estimate == pytest.approx(two.estimate, abs=0.02)
    assert one.tau2 == pytest.approx(two.tau2, rel=0.1, abs=0.01)

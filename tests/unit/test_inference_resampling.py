"""Bootstrap of clusters, permutation tests and Monte-Carlo intervals, against R's boot, full lists and exact distributions."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference import resampling
from attachment_outcomes.inference.monte_carlo import monte_carlo_interval, quantile_errors
from attachment_outcomes.inference.permutation import permutation_test, sign_flip_test
from attachment_outcomes.inference.resampling import Replicates, cluster_bootstrap, cluster_bootstrap_rows

R_DIGITS = 1e-9  # stored with 14 digits
MC = 4  # Monte-Carlo standard errors within which a simulated value must lie


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("inference_reference")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20250101)


def ratio(sums):
    return sums[:, 0] / sums[:, 1]


def ratio_error(sums):
    """Delta method for a ratio of sums over clusters; columns total, count, 1, total², total·count, count²."""
    total, count, groups, tt, tc, cc = sums.T
    r = total / count
    return np.sqrt(groups / (groups - 1) * (tt - 2 * r * tc + r**2 * cc)) / count


def families(case):
    total, count = np.array(case["total"]), np.array(case["count"], dtype=float)
    return np.column_stack([total, count, np.ones(len(total)), total**2, total * count, count**2])


# ---------------------------------------------------------------- bootstrap


@pytest.mark.parametrize("level", ["0.95", "0.9"])
@pytest.mark.parametrize("method", ["percentile", "basic", "BCa", "studentised"])
def test_limits_agree_with_boot_from_its_own_replicates(reference, level, method):
    case = reference["bootstrap"]
    ours = cluster_bootstrap(ratio, families(case), rng=np.random.default_rng(1), replicates=2, std_error=ratio_error)
    assert ours.estimates[0] == pytest.approx(case["t0"][0], rel=R_DIGITS)
    assert ours.error[0] == pytest.approx(math.sqrt(case["t0"][1]), rel=R_DIGITS)
    assert ours.acceleration[0] == pytest.approx(case["acceleration"], rel=1e-8)
    theirs = Replicates(
        estimates=ours.estimates, draws=np.array(case["t"])[:, None], acceleration=ours.acceleration, error=ours.error,
        errors=np.sqrt(np.array(case["variance"]))[:, None], n_clusters=ours.n_clusters,
    )  # fmt: skip
    found = theirs.interval(method=method, ci_level=float(level))
    assert (found.ci_low, found.ci_high) == pytest.approx(case["limits"][level][method], rel=R_DIGITS)
    assert found.std_error == pytest.approx(case["sd"], rel=R_DIGITS)
    assert (found.replicates, found.n_clusters, found.failed, found.note) == (499, 24, 0, "")


@pytest.mark.parametrize("method", ["percentile", "basic", "BCa", "studentised"])
def test_own_draws_give_boots_limits_but_for_chance(reference, rng, method):
    case = reference["bootstrap"]
    found = cluster_bootstrap(ratio, families(case), rng=rng, replicates=9999, std_error=ratio_error).interval(method=method)
    # boot's 499 draws place a limit to about 0.13 standard errors; three of those.
    assert (found.ci_low, found.ci_high) == pytest.approx(case["limits"]["0.95"][method], abs=0.4 * case["sd"])


def test_bootstrap_error_of_a_mean_is_the_one_known_exactly(rng):
    """The mean of n drawn values has variance (n − 1)/n s²/n; in strata each has its own, weighted by its squared share."""
    x = np.array([3.0, 5.0, 4.0, 9.0, 1.0, 30.0, 28.0, 35.0])
    strata = ["a"] * 5 + ["b"] * 3
    table = np.column_stack([x, np.ones(8)])
    for labels, parts in ((None, [x]), (strata, [x[:5], x[5:]])):
        found = cluster_bootstrap(ratio, table, rng=rng, strata=labels, replicates=20_000)
        exact = math.sqrt(sum(((part - part.mean()) ** 2).sum() for part in parts)) / 8
        assert found.draws.mean() == pytest.approx(x.mean(), abs=MC * exact / math.sqrt(20_000))
        assert found.draws.std() == pytest.approx(exact, rel=MC / math.sqrt(2 * 20_000) * 1.5)


def test_acceleration_in_strata_by_hand(rng):
    # Two strata of 4, overall mean: influence is proportional to the distance from the stratum's mean, so
    # a = sum(d^3) / 6 / sum(d^2)^1.5 with d = -1, -1, -1, 3 and -2, -2, 0, 4: sum d^3 = 24 + 48, sum d^2 = 12 + 24.
    x = np.array([1.0, 1, 1, 5, 8, 8, 10, 14])
    found = cluster_bootstrap(ratio, np.column_stack([x, np.ones(8)]), rng=rng, strata=[0, 0, 0, 0, 1, 1, 1, 1], replicates=2)
    assert found.acceleration[0] == pytest.approx(72 / (6 * 36**1.5))


def test_both_forms_draw_the_same_samples(rng):
    x = rng.normal(size=40)
    labels = pd.Series(rng.integers(0, 12, 40)).map(lambda g: f"family {g}")
    strata = labels.str.len().to_numpy()  # families 0-9 and 10-11
    table = np.column_stack([x, np.ones(40)])
    sums = cluster_bootstrap(ratio, table, rng=np.random.default_rng(5), clusters=labels, strata=strata, replicates=50)
    rows = cluster_bootstrap_rows(
        lambda rows, _: x[rows].mean(), rng=np.random.default_rng(5), clusters=labels, strata=strata, replicates=50,
        acceleration=True,
    )  # fmt: skip
    np.testing.assert_allclose(rows.draws, sums.draws, rtol=1e-12)
    np.testing.assert_allclose(rows.acceleration, sums.acceleration, rtol=1e-9)
    assert rows.n_clusters == sums.n_clusters == labels.nunique()


def test_what_is_drawn_does_not_depend_on_memory(monkeypatch):
    table = np.column_stack([np.arange(30.0) ** 2, np.ones(30)])
    strata = np.arange(30) % 3
    whole = cluster_bootstrap(ratio, table, rng=np.random.default_rng(3), strata=strata, replicates=101)
    monkeypatch.setattr(resampling, "CELLS", 100)
    pieces = cluster_bootstrap(ratio, table, rng=np.random.default_rng(3), strata=strata, replicates=101)
    np.testing.assert_allclose(whole.draws, pieces.draws, rtol=1e-12)


def test_strata_keep_their_number_of_clusters(rng):
    found = cluster_bootstrap(lambda s: s, np.eye(3)[[0, 0, 0, 0, 1, 1, 2]], rng=rng, strata=list("aaaabbc"), replicates=20)
    np.testing.assert_array_equal(found.draws, np.tile([4, 2, 1], (20, 1)))
    assert "1 strata of one cluster do not vary" in found.note


def test_copies_of_a_cluster_are_told_apart(rng):
    seen = []
    cluster_bootstrap_rows(lambda rows, copies: seen.append((rows, copies)) or 0.0, rng=rng, clusters=list("aabbbc"), replicates=30)
    for rows, copies in seen:
        assert len(np.unique(copies)) == 3
        for copy in range(3):
            assert rows[copies == copy].tolist() in ([0, 1], [2, 3, 4], [5])


def test_a_missing_label_is_a_cluster_of_its_own(rng):
    table = np.column_stack([np.arange(5.0), np.ones(5)])
    assert cluster_bootstrap(ratio, table, rng=rng, clusters=["a", "a", None, "b", None], replicates=5).n_clusters == 4


def test_undefined_replicates_are_counted_and_too_many_refused(rng):
    # Ten families, one with a girl: she is missing from (9/10)^10 = 35 % of the samples, and 0/0 then.
    girls = np.eye(10)[0]
    table = np.column_stack([girls * 0.5, girls])
    found = cluster_bootstrap(ratio, table, rng=rng, replicates=2000)
    with pytest.raises(StatisticsError, match="replicates are not defined"):
        found.interval(method="percentile")
    allowed = found.interval(method="percentile", most_failed=0.5)
    assert allowed.failed / 2000 == pytest.approx(0.9**10, abs=MC * math.sqrt(0.35 * 0.65 / 2000))
    assert (allowed.ci_low, allowed.ci_high) == (0.5, 0.5)
    assert "no length" in allowed.note
    with pytest.raises(StatisticsError, match="without one of the clusters is not known"):
        found.interval(most_failed=0.5)


def test_a_refused_fit_is_a_failed_replicate_and_other_errors_are_told(rng):
    def picky(rows, _):
        if len(np.unique(rows)) < 6:
            raise StatisticsError("too few")
        return float(rows.mean())

    found = cluster_bootstrap_rows(picky, rng=rng, clusters=range(10), replicates=200)
    assert 0 < found.interval(method="percentile", most_failed=0.9).failed < 100
    with pytest.raises(TypeError):
        cluster_bootstrap_rows(lambda rows, _: rows / "a", rng=rng, clusters=range(10))


def test_nobody_with_the_event_has_an_interval_without_length(rng):
    found = cluster_bootstrap(ratio, np.column_stack([np.zeros(12), np.ones(12)]), rng=rng, replicates=99).interval()
    assert (found.estimate, found.ci_low, found.ci_high, found.std_error) == (0, 0, 0, 0)
    assert "no length" in found.note


def test_few_clusters_and_few_replicates_are_said(rng):
    table = np.column_stack([np.arange(6.0), np.ones(6)])
    note = cluster_bootstrap(ratio, table, rng=rng, replicates=20).interval(method="basic").note
    assert "few clusters (6)" in note
    assert "draw more" in note


def test_replicates_on_five_thousand_families_are_blocks_of_products(rng, monkeypatch):
    """Work is counted, not seconds: one call of the statistic for as many replicates as are held at once."""
    calls = []
    table = rng.normal(size=(5000, 4))
    monkeypatch.setattr(resampling, "CELLS", 10_000)
    cluster_bootstrap(lambda s: calls.append(len(s)) or s[:, 0], table, rng=rng, replicates=6000)
    assert calls == [1, 2500, 2500, 1000, 5000]


def test_families_that_are_alike_are_counted_together_and_nothing_changes(rng):
    """A tenth of the kinds, and the same draws: the sums are whole numbers, so not a digit differs."""
    table = np.repeat(rng.integers(0, 4, (40, 3)).astype(float), 10, axis=0)
    calls = []

    def shares(sums):
        calls.append(len(sums))
        return sums[:, :2] / (1 + sums[:, 2:3])

    alike = cluster_bootstrap(shares, table, rng=np.random.default_rng(5), replicates=300)
    # A column that is another number for each cluster makes all of them differ, and is not read.
    apart = np.column_stack([table, np.arange(400.0)])
    told = cluster_bootstrap(shares, apart, rng=np.random.default_rng(5), replicates=300)
    assert np.array_equal(alike.draws, told.draws)
    assert np.array_equal(alike.acceleration, told.acceleration)
    assert calls[:3] == [1, 300, len(np.unique(table, axis=0))]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": [[1.0, np.nan], [1, 2]]}, "none missing or infinite"),
        ({"values": []}, "nothing to draw from"),
        ({"clusters": ["a"]}, "found 1 labels for 3 units"),
        ({"clusters": ["a", "a", "a"]}, "at least two"),
        ({"strata": ["a", "b", "c"]}, "3 clusters in 3 strata"),
        ({"strata": ["a", "a", None]}, "none missing"),
        ({"strata": ["a", "b", "b"], "clusters": [1, 1, 2]}, "lies in two strata"),
        ({"replicates": 1}, "at least two"),
        ({"statistic": lambda s: s[:1, 0]}, "allowed: one row for each"),
    ],
)
def test_bad_input_is_refused(rng, arguments, message):
    usual = {"statistic": lambda s: s[:, 0], "values": [[1.0], [2.0], [3.0]], "replicates": 3}
    given = {**usual, **arguments}
    with pytest.raises(StatisticsError, match=message):
        cluster_bootstrap(given.pop("statistic"), given.pop("values"), rng=rng, **given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "bca"}, "allowed: percentile, basic, BCa"),
        ({"method": "studentised"}, "standard error as a function"),
        ({"ci_level": 1.0}, "ci_level"),
        ({"which": 1}, "not defined for the data"),
        ({"which": 2}, "one side of the estimate"),
    ],
)
def test_intervals_that_cannot_be_made_are_refused(rng, settings, message):
    def three(s):
        off = np.full(len(s), 5.0) if len(s) != 1 else np.zeros(1)
        return np.column_stack([s[:, 0], s[:, 0] / 0, off])

    found = cluster_bootstrap(three, [[1.0], [2.0], [3.0]], rng=rng, replicates=50)
    with pytest.raises(StatisticsError, match=message):
        found.interval(**settings)


# ---------------------------------------------------------------- permutation


def difference(x):
    x = np.asarray(x)
    return lambda g: (g @ x) / g.sum(axis=1) - ((1 - g) @ x) / (1 - g).sum(axis=1)


@pytest.mark.parametrize(
    ("name", "labels"), [("free", {}), ("within", {"strata": "stratum"}), ("clustered", {"clusters": "cluster"})]
)
def test_permutation_p_values_are_those_of_the_full_list(reference, rng, name, labels):
    case = reference["permutation"]
    given = {k: case[v] for k, v in labels.items()}
    found = permutation_test(difference(case["x"]), np.array(case["arm"], float), rng=rng, vectorised=True, **given)
    assert found.statistic == pytest.approx(case[name]["statistic"])
    assert found.p_value == pytest.approx(case[name]["p"], abs=MC * found.std_error)
    assert found.n_units == (6 if name == "clustered" else 10)


def test_one_sided_permutation(reference, rng):
    case = reference["permutation"]
    arm = np.array(case["arm"], float)
    greater = permutation_test(difference(case["x"]), arm, rng=rng, vectorised=True, alternative="greater")
    less = permutation_test(difference(case["x"]), arm, rng=rng, vectorised=True, alternative="less")
    assert greater.p_value == pytest.approx(case["free"]["p_greater"], abs=MC * greater.std_error)
    assert less.p_value > 0.98


def test_sign_flips_are_those_of_the_full_list(reference, rng):
    case = reference["permutation"]
    one = sign_flip_test(case["change"], rng=rng)
    assert one.statistic == pytest.approx(case["flipped"]["statistic"])
    assert one.p_value == pytest.approx(case["flipped"]["p"], abs=MC * one.std_error)
    families = sign_flip_test(case["change"], rng=rng, clusters=case["cluster"])
    assert families.p_value == pytest.approx(case["flipped_clusters"]["p"], abs=MC * families.std_error)
    assert families.n_units == 6
    median = sign_flip_test(case["change"], rng=np.random.default_rng(4), statistic=np.mean)
    assert median.p_value == sign_flip_test(case["change"], rng=np.random.default_rng(4)).p_value


def test_words_can_be_reshuffled_by_a_plain_function(rng):
    x = np.array([1.0, 2, 3, 10, 11, 12])
    labels = pd.Series(list("aaabbb"))
    found = permutation_test(lambda g: x[g == "b"].mean() - x[g == "a"].mean(), labels, rng=rng, permutations=999)
    assert found.statistic == 9
    assert found.p_value == pytest.approx(2 / 20, abs=MC * found.std_error)


def test_a_p_value_is_never_zero(rng):
    found = sign_flip_test(np.full(60, 2.0), rng=rng, permutations=99)
    assert found.p_value == 0.01


def test_undefined_reshuffles_count_as_extreme(rng):
    def only_as_seen(g):
        return 1.0 if g.tolist() == [0, 0, 0, 1, 1, 1] else math.nan

    found = permutation_test(only_as_seen, [0, 0, 0, 1, 1, 1], rng=rng, permutations=50)
    assert found.p_value == 1.0
    assert found.failed > 40
    assert "count as extreme" in found.note


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": [[0, 1], [1, 0]]}, "one a row"),
        ({"labels": []}, "nothing to draw from"),
        ({"labels": [1, 1, 1, 1]}, "all labels are alike"),
        ({"strata": [0, 0, 1, 1]}, "all labels are alike"),
        ({"clusters": [0, 0, 0, 1]}, "two labels"),
        ({"labels": [0, np.nan, 1, 1]}, "one is missing"),
        ({"alternative": "great"}, "Did you mean 'greater'"),
        ({"permutations": 0}, "at least one"),
        ({"statistic": lambda g: math.nan}, "not defined for the data"),
        ({"statistic": lambda g: g, "vectorised": True}, "one number for each"),
    ],
)
def test_impossible_permutations_are_refused(rng, arguments, message):
    given = {"statistic": lambda g: float(g[0]), "labels": [0, 0, 1, 1], **arguments}
    with pytest.raises(StatisticsError, match=message):
        permutation_test(given.pop("statistic"), given.pop("labels"), rng=rng, **given)


def test_missing_differences_are_refused(rng):
    with pytest.raises(StatisticsError, match="none missing"):
        sign_flip_test([1.0, math.nan], rng=rng)


# ---------------------------------------------------------------- Monte Carlo


@pytest.mark.parametrize("number", range(4))
def test_monte_carlo_limits_are_those_of_the_exact_distribution(reference, rng, number):
    m = reference["monte_carlo"][number]
    both = m["rho"] * m["sa"] * m["sb"]
    covariance = [[m["sa"] ** 2, both], [both, m["sb"] ** 2]]
    function = {"product": lambda a, b: a * b, "ratio": lambda a, b: a / b}[m["kind"]]
    draws = 200_000
    found = monte_carlo_interval([m["a"], m["b"]], covariance, function, rng=rng, draws=draws)
    exact = [math.sqrt(0.025 * 0.975 / draws) / f for f in m["density"]]
    assert found.ci_low == pytest.approx(m["low"], abs=MC * exact[0])
    assert found.ci_high == pytest.approx(m["high"], abs=MC * exact[1])
    assert (found.ci_low_error, found.ci_high_error) == pytest.approx(exact, rel=0.2)
    assert found.estimate == function(m["a"], m["b"])
    assert (found.draws, found.failed) == (draws, 0)


def test_quantile_errors_of_a_normal(rng):
    draws = np.sort(rng.standard_normal((50, 10_000)), axis=1)
    shares = np.array([0.025, 0.5, 0.975])
    told = np.array([quantile_errors(row, shares) for row in draws]).mean(axis=0)
    seen = np.array([np.quantile(row, shares) for row in draws]).std(axis=0, ddof=1)
    exact = np.sqrt(shares * (1 - shares) / 10_000) / norm.pdf(norm.ppf(shares))
    np.testing.assert_allclose(told, exact, rtol=0.05)
    np.testing.assert_allclose(seen, exact, rtol=MC / math.sqrt(2 * 50))


def test_an_estimate_without_error_is_a_constant(rng):
    found = monte_carlo_interval([2.0, 3.0], [[0.04, 0], [0, 0]], lambda a, b: a * b, rng=rng, draws=100_000)
    z = norm.ppf(0.975)
    assert (found.ci_low, found.ci_high) == pytest.approx((6 - 0.6 * z, 6 + 0.6 * z), abs=MC * found.ci_high_error)


def test_undefined_draws_are_counted(rng):
    found = monte_carlo_interval([2.0], [[1.0]], np.sqrt, rng=rng, draws=50_000)
    share = norm.cdf(-2)
    assert found.failed / 50_000 == pytest.approx(share, abs=MC * math.sqrt(share / 50_000))
    assert "left out" in found.note
    with pytest.raises(StatisticsError, match="draws are not defined"):
        monte_carlo_interval([1.0], [[1.0]], np.sqrt, rng=rng)


@pytest.mark.parametrize(
    ("estimates", "covariance", "function", "settings", "message"),
    [
        ([1.0, 2.0], [[1.0]], lambda a, b: a, {}, r"allowed: \(p,\) and \(p, p\)"),
        ([1.0, math.nan], np.eye(2), lambda a, b: a, {}, "missing"),
        ([1.0, 2.0], [[1.0, 0.5], [0.2, 1.0]], lambda a, b: a, {}, "not symmetric"),
        ([1.0, 2.0], [[1.0, 2.0], [2.0, 1.0]], lambda a, b: a, {}, "negative variance"),
        ([1.0], [[1.0]], lambda a: a, {"draws": 1}, "at least two"),
        ([1.0], [[1.0]], lambda a: a[:1], {}, "one value a draw"),
        ([-1.0], [[0.1]], lambda a: np.where(a < 0, np.nan, a), {}, "not defined for the estimates"),
        ([1.0], [[1.0]], lambda a: a, {"ci_level": 0.0}, "ci_level"),
    ],
)
def test_impossible_monte_carlo_intervals_are_refused(rng, estimates, covariance, function, settings, message):
    with pytest.raises(StatisticsError, match=message):
        monte_carlo_interval(estimates, covariance, function, rng=rng, **settings)

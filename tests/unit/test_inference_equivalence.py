"""Two one-sided tests against R's one-sided tests, and pingouin's p values."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pingouin
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.equivalence import (
    Equivalence,
    difference_equivalence,
    estimate_equivalence,
    interval_equivalence,
    mean_equivalence,
    paired_equivalence,
    share_equivalence,
)
from attachment_outcomes.inference.resampling import cluster_bootstrap
from attachment_outcomes.inference.two_by_two import risk_difference

R_DIGITS = 1e-9
BY_ITERATION = 1e-7  # p values found where an interval ends


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("inference_reference")["equivalence"]


def told(found: Equivalence) -> dict:
    return {
        "p_low": found.p_low, "p_high": found.p_high, "df": found.df, "std_error": found.std_error,
        "ci": [found.ci_low, found.ci_high], "p_difference": found.p_difference,
    }  # fmt: skip


def settings(case) -> dict:
    return {"low": case["low"], "high": case["high"], "alpha": case["alpha"]}


def test_one_mean_agrees_with_one_sided_t_tests(reference):
    case = reference["mean"]
    found = mean_equivalence([*reference["first"], math.nan], **settings(case))
    case.check(told(found), rel=R_DIGITS)
    assert found.p_value == pytest.approx(max(case["p_low"], case["p_high"]))
    assert (found.outcome, found.n, found.ci_level) == ("equivalent", 10, 0.9)


def test_paired_agrees_with_one_sided_t_tests(reference):
    case = reference["paired"]
    found = paired_equivalence(reference["first"], reference["second"], **settings(case))
    case.check(told(found), rel=R_DIGITS)
    assert found.outcome == "both"  # 1.58 hours more sleep, and surely less than 2.5


@pytest.mark.parametrize(("name", "outcome"), [("welch", "both"), ("welch_narrow", "undecided")])
def test_two_means_agree_with_welchs_one_sided_tests(reference, name, outcome):
    case = reference[name]
    found = difference_equivalence(reference["one"], [*reference["other"], math.nan], **settings(case))
    case.check(told(found), rel=R_DIGITS)
    assert (found.outcome, found.n) == (outcome, 80)


@pytest.mark.parametrize("name", ["share", "share_undecided"])
def test_a_share_agrees_with_one_sided_score_tests(reference, name):
    case = reference[name]
    events = np.arange(case["n"]) < case["x"]
    found = share_equivalence(events, null=case["null"], **settings(case))
    case.check({"ci": [found.ci_low, found.ci_high]}, abs=R_DIGITS)
    case.check({k: getattr(found, k) for k in ("p_low", "p_high", "p_difference")}, rel=BY_ITERATION)
    assert found.outcome == ("undecided" if name == "share_undecided" else "equivalent")
    assert found.method == "interval within bounds: Wilson interval"


@pytest.mark.parametrize("bound", [0.5, 1.0, 2.5])
def test_p_values_are_pingouins(reference, bound):
    first, second = np.array(reference["first"]), np.array(reference["second"])
    one, other = np.array(reference["one"]), np.array(reference["other"])
    both = {"low": -bound, "high": bound}
    for ours, theirs in (
        (mean_equivalence(first, **both), pingouin.tost(first, 0, bound=bound)),
        (paired_equivalence(second, first, **both), pingouin.tost(first, second, bound=bound, paired=True)),
        (difference_equivalence(one, other, **both), pingouin.tost(one, other, bound=bound, correction=True)),
    ):
        assert ours.p_value == pytest.approx(theirs.loc["TOST", "pval"], rel=R_DIGITS)
        assert ours.df == pytest.approx(theirs.loc["TOST", "dof"], rel=R_DIGITS)


@pytest.mark.parametrize(
    ("estimate", "error", "outcome"),
    [(0.1, 0.1, "equivalent"), (0.4, 0.1, "both"), (1.4, 0.1, "different"), (0.4, 0.6, "undecided"), (0.9, 0.2, "different")],
)
def test_the_four_outcomes(estimate, error, outcome):
    # Bounds at 1, normal: 90 % interval estimate ± 1.645 error, 95 % interval estimate ± 1.960 error.
    found = estimate_equivalence(estimate, error, low=-1, high=1)
    assert found.outcome == outcome
    assert (found.p_value < 0.05) == (found.ci_high < 1)
    assert (found.ci_high - estimate) / error == pytest.approx(1.6448536269514722)


def test_one_infinite_bound_is_non_inferiority():
    found = estimate_equivalence(-0.2, 0.5, low=-1, high=math.inf, df=20)
    assert found.p_high == 0
    assert found.p_value == found.p_low == pytest.approx(0.0626, abs=5e-5)  # t = 1.6 on 20 degrees of freedom


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(2)
    therapist = np.repeat(np.arange(12), 10)
    x = rng.normal(size=12)[therapist] + rng.normal(size=120)
    plain = mean_equivalence(x, low=-0.5, high=0.5)
    clustered = mean_equivalence(x, low=-0.5, high=0.5, clusters=therapist)
    # One mean a therapist, all of ten clients: the cluster-robust error is that of the twelve means.
    means = mean_equivalence(x.reshape(12, 10).mean(axis=1), low=-0.5, high=0.5)
    assert clustered.std_error == pytest.approx(means.std_error)
    assert clustered.std_error > plain.std_error
    assert (clustered.p_value, clustered.df, clustered.n_clusters) == (pytest.approx(means.p_value), 11, 12)
    change = paired_equivalence(np.zeros(120), x, low=-0.5, high=0.5, clusters=therapist)
    assert (change.std_error, change.method) == (pytest.approx(means.std_error), "TOST, paired, cluster-robust (CR1)")
    share = share_equivalence(x > 0, low=0.2, high=0.8, null=0.5, clusters=therapist)
    assert share.n_clusters == 12
    assert "effective n" in share.method


def test_an_interval_gives_the_same_answer_as_t():
    class T:
        """A t interval of 0.3 with error 0.4 on 25 degrees of freedom."""

        estimate, std_error = 0.3, 0.4

        def __init__(self, level):
            half = estimate_equivalence(0.3, 0.4, low=-1, high=1, df=25, alpha=(1 - level) / 2).ci_high - 0.3
            self.ci_low, self.ci_high = 0.3 - half, 0.3 + half

    found, plain = interval_equivalence(T, low=-0.8, high=1.2), estimate_equivalence(0.3, 0.4, low=-0.8, high=1.2, df=25)
    for name in ("p_low", "p_high", "p_value", "p_difference"):
        assert getattr(found, name) == pytest.approx(getattr(plain, name), rel=BY_ITERATION), name
    assert (found.ci_low, found.ci_high) == pytest.approx((plain.ci_low, plain.ci_high))
    assert found.outcome == plain.outcome


def test_newcombes_interval_of_a_difference_of_shares():
    table = [[60, 40], [63, 37]]
    found = interval_equivalence(lambda level: risk_difference(table, ci_level=level), low=-0.2, high=0.2)
    inner = risk_difference(table, ci_level=0.9)
    assert (found.ci_low, found.ci_high) == (inner.ci_low, inner.ci_high)
    edge = risk_difference(table, ci_level=1 - 2 * found.p_value)
    assert min(edge.ci_low + 0.2, 0.2 - edge.ci_high) == pytest.approx(0, abs=1e-8)


def test_a_bootstrap_interval_is_close_to_t_and_its_p_value_never_below_what_replicates_can_show():
    rng = np.random.default_rng(6)
    x = rng.normal(0.3, 2, 200)
    draws = cluster_bootstrap(lambda s: s[:, 0] / s[:, 1], np.column_stack([x, np.ones(200)]), rng=rng, replicates=9999)

    def interval(level):
        return draws.interval(ci_level=level)

    close = interval_equivalence(interval, low=-0.7, high=0.7)
    t = mean_equivalence(x, low=-0.7, high=0.7)
    assert close.outcome == t.outcome
    assert close.p_value == pytest.approx(t.p_value, rel=0.25)
    assert interval_equivalence(interval, low=-9, high=9).p_value == 1 / 10_000


def test_an_estimate_outside_the_bounds_has_p_one():
    found = share_equivalence([1] * 90 + [0] * 10, low=0.4, high=0.6, null=0.5)
    assert (found.p_value, found.p_low, found.outcome) == (1.0, pytest.approx(1e-12), "different")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 1.0, "high": 1.0}, "the lower first"),
        ({"low": -math.inf, "high": math.inf}, "at most one of them infinite"),
        ({"alpha": 0.5}, "alpha is 0.5"),
        ({"std_error": 0.0}, "nobody differs"),
        ({"std_error": math.nan}, "nobody differs"),
        ({"df": 0}, "0 degrees of freedom"),
        ({"estimate": math.nan}, "estimate or the null value is missing"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    given = {"estimate": 0.1, "std_error": 0.1, "low": -1.0, "high": 1.0, **arguments}
    with pytest.raises(StatisticsError, match=message):
        estimate_equivalence(given.pop("estimate"), given.pop("std_error"), **given)


def test_too_little_data_are_refused():
    with pytest.raises(StatisticsError, match="1 people with a score"):
        mean_equivalence([1.0, math.nan], low=-1, high=1)
    with pytest.raises(StatisticsError, match="groups of 1 and 2"):
        difference_equivalence([1.0], [1.0, 2.0], low=-1, high=1)
    with pytest.raises(StatisticsError, match="nobody differs"):
        difference_equivalence([1.0, 1.0], [2.0, 2.0], low=-1, high=1)
    with pytest.raises(StatisticsError, match="1 clusters"):
        mean_equivalence([1.0, 2.0], low=-1, high=1, clusters=["a", "a"])
    with pytest.raises(StatisticsError, match="interval is not defined"):
        interval_equivalence(lambda level: risk_difference([[0, 0], [3, 4]], ci_level=level), low=-0.2, high=0.2)


@pytest.mark.parametrize(
    "call",
    [
        lambda words: mean_equivalence(words, low=-1, high=1),
        lambda words: paired_equivalence(words, [1.0, 2.0, 3.0], low=-1, high=1),
        lambda words: paired_equivalence([1.0, 2.0, 3.0], words, low=-1, high=1),
        lambda words: difference_equivalence([1.0, 2.0, 4.0], words, low=-1, high=1),
    ],
)
def test_words_for_scores_are_refused_without_telling_them(call):
    for words in (["Anna Smith", "1", "2"], pd.Series(["1", "Anna Smith", None])):
        with pytest.raises(StatisticsError, match=r"equivalence: scores are not numbers\. Hint: recode words") as told:
            call(words)
        assert "Anna" not in str(told.value)
        assert told.value.__suppress_context__


def test_missing_scores_of_a_nullable_column_are_left_out():
    found = mean_equivalence(pd.Series([1, None, 2, 3], dtype="Int64"), low=-9, high=9)
    assert (found.n, found.estimate) == (3, 2.0)

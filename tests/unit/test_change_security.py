"""Earned security, the share expected without change, and transitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm
from tests.references import load_reference

from attachment_outcomes.change import earned_security
from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.change.security import (
    TABLES,
    Reference,
    analyse,
    crossed_reliably,
    probability_of_reliable_crossing,
    probability_of_staying,
    probability_without_change,
    quadrant,
    region_probability,
    retrospective_security,
    weighted_share,
)
from attachment_outcomes.change.security.dropout import filled
from attachment_outcomes.change.security.expectation import WHICH, error_covariance, reliable_distance
from attachment_outcomes.change.security.shares import BEST, COMPLETE, CROSSING, RELIABLE, SUSTAINED, WEIGHTED, WORST
from attachment_outcomes.config import load_instrument
from attachment_outcomes.errors import ConfigError, StatisticsError
from attachment_outcomes.inference.estimate import Estimate, estimates_frame
from attachment_outcomes.inference.half_planes import inside
from attachment_outcomes.inference.proportions import cluster_codes, robust_variance
from attachment_outcomes.measures.styles import FISHER_FUNCTIONS, MIDPOINT, Split, attachment_styles

QUADRATURE = 1e-7  # 64 Gauss–Legendre nodes on a smooth integrand


def by_estimand(rows: list[Estimate]) -> dict[str, Estimate]:
    return {r.estimand: r for r in rows}


@pytest.mark.parametrize("correlation", [-0.7, 0.0, 0.3, 0.9])
def test_quadrant_probability_matches_scipys_bivariate_normal(correlation: float) -> None:
    covariance = np.array([[1.3, correlation * np.sqrt(1.3 * 0.8)], [correlation * np.sqrt(1.3 * 0.8), 0.8]])
    means = np.array([[4.0, 4.0], [2.0, 5.5], [6.8, 1.2], [3.1, 2.4]])
    found = region_probability(means, covariance, quadrant(4.0, 3.5))
    expected = [multivariate_normal(m, covariance).cdf([4.0, 3.5]) for m in means]
    np.testing.assert_allclose(found, expected, atol=QUADRATURE)


def test_region_of_classification_functions_matches_counting() -> None:
    """A million draws: the standard error of a share is below 0.0005."""
    a, b, c = FISHER_FUNCTIONS["secure"]
    region = np.array([[b - f[1], a - f[0], c - f[2]] for s, f in FISHER_FUNCTIONS.items() if s != "secure"])
    covariance = np.array([[0.5, 0.1], [0.1, 0.4]])
    draws = np.random.default_rng(5).multivariate_normal([3.2, 2.6], covariance, 1_000_000)
    counted = (draws @ region[:, :2].T + region[:, 2] > 0).all(axis=1).mean()
    assert region_probability([[3.2, 2.6]], covariance, region)[0] == pytest.approx(counted, abs=0.002)


def test_independent_dimensions_give_the_product_of_two_regressions_to_the_mean() -> None:
    """End score given baseline x, without change: N(mu + r(x − mu), s²(1 − r²)); here mu = 4, s = 1, r = .8, x = 4.5 and 3."""
    found = probability_without_change(np.array([[4.5, 3.0]]), np.array([4.0, 4.0]), np.eye(2), (0.8, 0.8), quadrant(4.0, 4.0))
    assert found[0] == pytest.approx(norm.cdf((4 - 4.4) / 0.6) * norm.cdf((4 - 3.2) / 0.6), abs=QUADRATURE)


def test_dimensions_that_correlate_more_than_their_reliabilities_allow_are_refused() -> None:
    covariance = np.array([[1.0, 0.9], [0.9, 1.0]])
    with pytest.raises(StatisticsError, match="more than their reliabilities allow"):
        probability_without_change(np.zeros((1, 2)), np.zeros(2), covariance, (0.7, 0.7), quadrant(0, 0))


def cohort(n: int, change: float, seed: int, r: float = 0.85) -> tuple[np.ndarray, np.ndarray]:
    """Two occasions of two dimensions (mean 4, SD 1, true correlation .3), with a true change of both."""
    rng = np.random.default_rng(seed)
    true = rng.multivariate_normal([4, 4], r * np.array([[1, 0.3], [0.3, 1]]), n)
    first, second = (true + rng.normal(0, np.sqrt(1 - r), (n, 2)) for _ in range(2))
    return first, second + change


def styles(x: np.ndarray) -> np.ndarray:
    high = x > 4
    return np.where(high[:, 0], np.where(high[:, 1], "fearful", "preoccupied"), np.where(high[:, 1], "dismissing", "secure"))


def test_excess_is_zero_when_nobody_changed() -> None:
    """15,000 people: the crossing by error alone (about 11 %) is foretold to within 3.5 standard errors."""
    first, second = cohort(15_000, 0.0, 1)
    rows = by_estimand(
        earned_security(styles(first), styles(second), scores=first, reliability=(0.85, 0.85), region=quadrant(4, 4))
    )
    excess = rows["excess"]
    assert abs(excess.estimate) < 3.5 * excess.std_error
    assert excess.std_error < 0.005
    assert 0.05 < rows["expected_without_change"].estimate < 0.2
    assert rows["earned_security"].estimate == pytest.approx(rows["expected_without_change"].estimate + excess.estimate, abs=1e-12)


def test_interval_of_the_excess_covers_zero_and_finds_a_true_change() -> None:
    """120 samples of 150 without change: 95 % less 3.5 standard errors is 0.88. A change of 0.8 SD is found."""
    hits = 0
    for seed in range(120):
        first, second = cohort(150, 0.0, 1000 + seed)
        e = by_estimand(
            earned_security(styles(first), styles(second), scores=first, reliability=(0.85, 0.85), region=quadrant(4, 4))
        )
        hits += e["excess"].ci_low <= 0 <= e["excess"].ci_high
    assert hits / 120 >= 0.88
    first, second = cohort(150, -0.8, 4)
    e = by_estimand(earned_security(styles(first), styles(second), scores=first, reliability=(0.85, 0.85), region=quadrant(4, 4)))
    assert e["excess"].ci_low > 0


def test_share_by_hand() -> None:
    before = ["secure", "fearful", "dismissing", "preoccupied", "fearful", None]
    after = ["fearful", "secure", "dismissing", None, "preoccupied", "secure"]
    rows = earned_security(before, after)
    assert (rows[0].estimate, rows[0].n) == (pytest.approx(1 / 3), 3)
    assert rows[1].estimand == "not testable"
    assert "needs scores" in rows[1].note
    assert "crossing the boundary" in rows[0].note
    estimates_frame(rows)


def test_few_events_leave_an_interval_of_both_shares_limits() -> None:
    """None of 40 crosses: Wilson's upper limit is z²/(n + z²) = .0876, so that the excess reaches about that far up."""
    first = np.column_stack([np.linspace(4.6, 6.5, 40), np.tile([5.0, 5.6, 4.9, 5.2], 10)])
    rows = by_estimand(
        earned_security(["fearful"] * 40, ["fearful"] * 40, scores=first, reliability=(0.9, 0.9), region=quadrant(4, 4))
    )
    excess = rows["excess"]
    assert excess.estimate == pytest.approx(-rows["expected_without_change"].estimate)
    assert excess.ci_high == pytest.approx(excess.estimate + 0.0876, abs=0.003)
    assert "fewer than 10 people" in excess.note


def test_missing_reliability_is_named() -> None:
    rows = earned_security(["fearful", "secure"], ["secure", "secure"], scores=[[5, 5], [2, 2]], region=quadrant(4, 4))
    assert "reliabilities of both dimensions" in rows[-1].note


def test_nobody_insecure_is_said() -> None:
    (row,) = earned_security(["secure", "secure"], ["secure", "fearful"])
    assert row.estimand == "not testable"
    assert "nobody" in row.note


def test_clusters_are_used_throughout() -> None:
    first, second = cohort(200, -0.3, 9)
    labels = np.repeat(np.arange(20), 10)
    rows = earned_security(
        styles(first), styles(second), scores=first, reliability=(0.85, 0.85), region=quadrant(4, 4), clusters=labels
    )
    assert [r.estimand for r in rows] == ["earned_security", "expected_without_change", "excess"]
    assert all("cluster" in r.method for r in rows)
    assert rows[2].n_clusters == 20


def test_impossible_inputs_are_refused() -> None:
    with pytest.raises(StatisticsError, match="reliability 1"):
        earned_security(["fearful"], ["secure"], reliability=(1.0, 0.9))
    with pytest.raises(StatisticsError, match="2 baseline but 1 end"):
        earned_security(["fearful", "secure"], ["secure"])
    with pytest.raises(StatisticsError, match="scores have shape"):
        earned_security(["fearful"], ["secure"], scores=[1, 2], reliability=(0.9, 0.9), region=quadrant(4, 4))


# ---- Against R


def test_columns_of_different_people_and_words_that_nearly_match_are_refused() -> None:
    first, last = pd.Series(["secure", "fearful"], index=[1, 2]), pd.Series(["secure", "secure"], index=[2, 3])
    with pytest.raises(StatisticsError, match="baseline and end have different indexes"):
        earned_security(first, last)
    assert earned_security(first, last.to_numpy())[0].n == 1
    with pytest.raises(StatisticsError, match="differ in length"):
        earned_security(first.tolist(), last.tolist(), follow_up=["secure"], definition=SUSTAINED)
    for word in (None, " "):
        with pytest.raises(StatisticsError, match="allowed: the name of a class"):
            earned_security(["fearful"], ["secure"], secure=word)  # type: ignore[arg-type]
    with pytest.raises(StatisticsError, match="people are classed 'Secure '"):
        earned_security(["fearful"], ["Secure "])
    assert "nobody is classed 'secure' at either occasion" in earned_security(["fearful"] * 3, ["dismissing"] * 3)[0].note


def test_scores_and_a_region_that_contradict_the_classes_are_refused() -> None:
    first, second = cohort(200, -0.3, 9)
    given = {"reliability": (0.85, 0.85), "region": quadrant(4, 4)}
    for scores in ({"scores": 8 - first}, {"scores": first, "end_scores": 8 - second}):
        with pytest.raises(StatisticsError, match="do not give these classes; check the direction"):
            earned_security(styles(first), styles(second), **scores, **given)
    with pytest.raises(StatisticsError, match="not a table of half-planes"):
        earned_security(styles(first), styles(second), scores=first, region=np.full((2, 3), np.nan))


def test_chances_without_change_match_r() -> None:
    """R: bivariate and four-dimensional normal probabilities (Miwa's algorithm, 1e-8)."""
    given = load_reference("security")["expectation"]
    x, mean, covariance = (np.array(given[k]) for k in ("scores", "mean", "covariance"))
    reliability, region = tuple(given["reliability"]), quadrant(*given["cut"])
    for case in given["cases"]:
        more = {"error_correlation": case["error_correlation"]}
        distance = reliable_distance(region, covariance, reliability, **more)
        case.check({"distance": distance[:2]}, rel=1e-11)
        case.check({"crossing": probability_without_change(x, mean, covariance, reliability, region, **more)}, abs=1e-9)
        for which in WHICH:
            found = probability_of_reliable_crossing(x, mean, covariance, reliability, region, distance, which=which, **more)
            case.check({which: found}, abs=1e-9)
        case.check({"staying": probability_of_staying(x, mean, covariance, reliability, region, **more)}, abs=3e-6)


def drop_out() -> tuple[dict[str, np.ndarray], dict[str, object]]:
    given = load_reference("security")["dropout"]
    before, after = (np.array(given[k], dtype=float) for k in ("before", "after"))
    region = quadrant(*given["cut"])
    first = np.where(inside(before, region), "secure", "insecure")
    last = pd.Series(np.where(inside(after, region), "secure", "insecure"), dtype="str").where(np.array(given["seen"]))
    return {"baseline": first, "end": last, "scores": before, "end_scores": after, "region": region}, given


def test_weights_for_drop_out_match_stacked_estimating_equations_in_r() -> None:
    people, given = drop_out()
    insecure = np.array(given["insecure"])
    seen, x = np.array(given["seen"])[insecure], people["scores"][insecure]
    reached = (people["end"] == "secure").to_numpy(dtype=bool)[insecure]
    found = weighted_share(reached, seen, x)
    therapist = cluster_codes(np.array(given["therapist"])[insecure])
    given.check(
        {
            "weighted": found.estimate,
            "effective": found.effective,
            "weighted_se": robust_variance(found.influence, None)[0] ** 0.5,
            "weighted_cluster_se": robust_variance(found.influence, therapist)[0] ** 0.5,
        },
        rel=1e-7,
    )


def test_every_handling_of_drop_out_gives_its_share() -> None:
    people, given = drop_out()
    shares = {}
    for dropout in (COMPLETE, WEIGHTED, WORST, BEST):
        rows = earned_security(**people, reliability=(0.85, 0.8), dropout=dropout, clusters=given["therapist"])
        shares[dropout] = rows[0].estimate
        assert [r.estimand for r in rows] == ["earned_security", "expected_without_change", "excess"]
        assert rows[2].estimate == pytest.approx(rows[0].estimate - rows[1].estimate, abs=1e-12)
        assert {r.definition for r in rows} == {CROSSING if dropout == COMPLETE else f"{CROSSING}; {dropout}"}
    given.check(
        {"complete": shares[COMPLETE], "weighted": shares[WEIGHTED], "worst": shares[WORST], "best": shares[BEST]}, rel=1e-9
    )
    assert shares[WORST] < shares[COMPLETE] < shares[BEST]


def test_excess_and_its_standard_error_match_rs_infinitesimal_jackknife() -> None:
    """The estimates to 1e-9. Standard errors up to terms of 1/n (n = 240; ddof of the covariance)."""
    reference = load_reference("security")
    given, sample = reference["excess"], reference["dropout"]
    before, after, region = np.array(sample["before"]), np.array(given["after_all"]), quadrant(*sample["cut"])
    classes = [np.where(inside(x, region), "secure", "insecure") for x in (before, after)]
    shared = {"scores": before, "reliability": tuple(given["reliability"]), "region": region}
    alone = by_estimand(earned_security(*classes, **shared))
    grouped = by_estimand(earned_security(*classes, **shared, clusters=sample["therapist"]))
    given.check({"expected": alone["expected_without_change"].estimate, "excess": alone["excess"].estimate}, rel=1e-9)
    found = {
        "expected_se": alone["expected_without_change"].std_error,
        "excess_se": alone["excess"].std_error,
        "excess_cluster_se": grouped["excess"].std_error,
    }
    given.check(found, rel=0.005)


# ---- Definitions


def test_reliable_crossing_by_hand() -> None:
    """Cuts 4 and 4; a change counts beyond 0.8 on anxiety and 0.6 on avoidance."""
    region, distance = quadrant(4, 4), np.array([0.8, 0.6, 0.8, 0.6])
    before = np.array([[4.5, 3.0], [4.5, 3.0], [4.5, 4.5], [4.5, 4.5], [4.5, 4.5], [3.0, 3.0], [4.5, 3.0]])
    after = np.array([[3.6, 3.5], [3.7, 3.5], [3.6, 3.8], [3.8, 3.8], [3.9, 3.95], [3.0, 3.0], [3.6, 4.5]])
    found = {w: crossed_reliably(before, after, region, distance, which=w).tolist() for w in WHICH}
    # 1: anxiety fell by .9. 2: exactly .8, not beyond. 3: .9 and .7. 4: .7 (too little) and .7. 5: .6 and .55. 6: was secure.
    # 7: became avoidant.
    assert found["crossed"] == [True, False, True, False, False, True, False]
    assert found["any"] == [True, False, True, True, False, False, False]
    assert found["both"] == [False, False, True, False, False, False, False]


def test_reliable_distance_is_jacobsons_and_truaxs() -> None:
    """SD 7.5, reliability .80: Sdiff 4.743 (their worked example), times 1.959964 = 9.297."""
    found = reliable_distance(quadrant(0, 0), np.diag([7.5**2, 7.5**2]), (0.8, 0.8))
    np.testing.assert_allclose(found, 9.2969, atol=5e-4)


@pytest.mark.parametrize("error_correlation", [0.0, 0.4])
@pytest.mark.parametrize("rule", ["midpoint", "fisher functions"])
def test_expectations_match_counting_people_without_change(rule: str, error_correlation: float) -> None:
    """12,000 people measured three times without change: 3.5 standard errors of the counted share."""
    a, b, c = FISHER_FUNCTIONS["secure"]
    functions = np.array([[b - f[1], a - f[0], c - f[2]] for s, f in FISHER_FUNCTIONS.items() if s != "secure"])
    region = quadrant(4, 3.6) if rule == "midpoint" else functions
    rng = np.random.default_rng(11)
    mean, covariance, reliability = np.array([3.8, 3.5]), np.array([[1.2, 0.4], [0.4, 0.9]]), (0.85, 0.8)
    error = error_covariance(covariance, reliability, error_correlation=error_correlation)
    true = rng.multivariate_normal(mean, covariance - error, 12_000)
    x, y, z = (true + rng.multivariate_normal([0, 0], error, len(true)) for _ in range(3))
    keep = ~inside(x, region)
    x, y, z = x[keep], y[keep], z[keep]
    distance = reliable_distance(region, covariance, reliability, error_correlation=error_correlation)
    more = {"error_correlation": error_correlation}
    few = slice(0, 3_000)
    pairs = [
        (inside(y, region), probability_without_change(x, mean, covariance, reliability, region, **more)),
        (
            (inside(y, region) & inside(z, region))[few],
            probability_of_staying(x[few], mean, covariance, reliability, region, **more),
        ),
    ]
    pairs += [
        (
            crossed_reliably(x, y, region, distance, which=w),
            probability_of_reliable_crossing(x, mean, covariance, reliability, region, distance, which=w, **more),
        )
        for w in WHICH
    ]
    for counted, expected in pairs:
        error_of_count = np.std(counted - expected) / np.sqrt(len(counted))
        assert abs(counted.mean() - expected.mean()) < 3.5 * error_of_count


def screened(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Insecure by their observed score, from a population of mean 3.5; nobody changes."""
    rng = np.random.default_rng(seed)
    true = rng.multivariate_normal([3.5, 3.5], 0.8 * np.eye(2), n)
    first, second = (true + rng.normal(0, np.sqrt(0.2), (n, 2)) for _ in range(2))
    keep = ~inside(first, quadrant(4, 4))
    return first[keep], second[keep]


def test_people_chosen_by_their_observed_scores_need_the_reference_population() -> None:
    """With the sample's own moments the excess of the unchanged is far above 0; with the reference population's it is 0."""
    first, second = screened(20_000, 3)
    shared = {"scores": first, "reliability": (0.8, 0.8), "region": quadrant(4, 4)}
    own = by_estimand(earned_security(styles(first), styles(second), **shared))["excess"]
    population = Reference(mean=(3.5, 3.5), covariance=np.eye(2), source="made up")
    rows = earned_security(styles(first), styles(second), **shared, reference=population)
    right = by_estimand(rows)["excess"]
    assert own.estimate > 10 * own.std_error
    assert abs(right.estimate) < 3.5 * right.std_error
    assert rows[2].definition == "crossing; chosen by observed scores"
    assert "made up" in right.note


def test_a_reference_of_few_people_widens_the_interval() -> None:
    first, second = screened(300, 4)
    shared = {"scores": first, "reliability": (0.8, 0.8), "region": quadrant(4, 4)}
    references = [Reference(mean=(3.5, 3.5), covariance=np.eye(2), n=n) for n in (np.inf, 20)]
    known, few = (by_estimand(earned_security(styles(first), styles(second), **shared, reference=r)) for r in references)
    assert few["excess"].estimate == known["excess"].estimate
    assert few["excess"].std_error > 1.1 * known["excess"].std_error


def test_impossible_references_are_refused() -> None:
    with pytest.raises(StatisticsError, match="not a symmetric 2 x 2 table"):
        Reference(mean=(3, 3), covariance=[[1, 0.2], [0.4, 1]])
    with pytest.raises(StatisticsError, match="positive definite"):
        Reference(mean=(3, 3), covariance=[[1, 1], [1, 1]])


def test_sustained_by_hand_and_without_a_follow_up() -> None:
    before = ["fearful"] * 4 + ["secure"] * 2
    after = ["secure", "secure", "secure", "fearful", "secure", "secure"]
    later = ["secure", "fearful", None, "secure", "secure", "secure"]
    (row, _) = earned_security(before, after, follow_up=later, definition=SUSTAINED)
    assert (row.estimate, row.n) == (pytest.approx(1 / 3), 3)
    worst = earned_security(before, after, follow_up=later, definition=SUSTAINED, dropout=WORST)[0]
    best = earned_security(before, after, follow_up=later, definition=SUSTAINED, dropout=BEST)[0]
    assert (worst.estimate, best.estimate) == (0.25, 0.5)
    (none,) = earned_security(before, after, definition=SUSTAINED)
    assert none.estimand == "not testable"


def test_reliable_definition_says_what_it_lacks() -> None:
    (row,) = earned_security(["fearful"], ["secure"], definition=RELIABLE)
    assert "needs scores at both occasions" in row.note


def test_unknown_words_are_refused() -> None:
    with pytest.raises(StatisticsError, match=r"found 'crossed'; allowed: crossing.*Did you mean"):
        earned_security(["fearful"], ["secure"], definition="crossed")
    with pytest.raises(StatisticsError, match="found 'last value'; allowed: complete cases"):
        earned_security(["fearful"], ["secure"], dropout="last value")
    with pytest.raises(StatisticsError, match="found 'each'; allowed: crossed, any, both"):
        crossed_reliably(np.zeros((1, 2)), np.zeros((1, 2)), quadrant(0, 0), np.ones(4), which="each")  # type: ignore[arg-type]


# ---- Drop-out


def test_weights_undo_drop_out_by_hand() -> None:
    """Of 4 like A 2 were seen, 1 reached; of 4 like B 4 were seen, all reached: (2 + 4)/8 = .75, complete cases 5/6."""
    kind = np.repeat([0.0, 1.0], 6)[:, None]
    seen = np.array([1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 1], dtype=bool)
    reached = np.array([1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1], dtype=bool)
    found = weighted_share(reached, seen, kind)
    # Like A: 1 of 3 seen reached, stands for 6; like B: 5 of 5, stands for 6.
    assert found.estimate == pytest.approx((6 / 3 + 6) / 12)
    assert found.influence.mean() == pytest.approx(0, abs=1e-10)


def test_weights_that_cannot_be_are_refused() -> None:
    seen = np.array([True, True, False, False, True, True])
    with pytest.raises(StatisticsError, match="tell exactly who was seen"):
        weighted_share(seen, seen, np.where(seen, 1.0, 0.0)[:, None])
    with pytest.raises(StatisticsError, match="constant, determine one another"):
        weighted_share(seen, seen, np.ones((6, 1)))
    with pytest.raises(StatisticsError, match="2 of 6 people lack a covariate"):
        weighted_share(seen, seen, np.array([1, 2, np.nan, 3, np.nan, 5])[:, None])
    with pytest.raises(StatisticsError, match="nobody was seen"):
        weighted_share(seen, np.zeros(6, dtype=bool), np.arange(6.0)[:, None])


def test_gaps_in_covariates_are_filled_and_marked_where_that_can_tell() -> None:
    seen = np.array([True, False, True, True])
    nan = np.nan
    found = filled(np.array([[1.0, 5.0, nan], [nan, 6.0, nan], [nan, nan, nan], [3.0, 7.0, nan]]), seen)
    # The first lacks a lost and a seen person (mean 2, marked), the second a seen one (mean 6, no mark), the third is nobody's.
    np.testing.assert_array_equal(found, [[1, 0, 5], [2, 1, 6], [2, 1, 6], [3, 0, 7]])


def test_without_drop_out_weights_are_the_plain_share() -> None:
    rows = earned_security(["fearful"] * 4, ["secure", "fearful", "secure", "fearful"], dropout=WEIGHTED)
    assert rows[0].estimate == 0.5
    assert "nothing to weight" in rows[0].note


# ---- The retrospective definition


def test_retrospective_groups_by_hand() -> None:
    secure = [True, True, True, True, True, False, None]
    mother = [2.0, 4.0, 2.0, np.nan, np.nan, 1.0, 2.0]
    father = [4.5, 4.5, 6.0, 7.0, 2.0, 1.0, 2.0]
    strict = retrospective_security(secure, mother, father)
    assert strict.fillna("-").tolist() == [
        "earned secure", "continuous secure", "continuous secure", "continuous secure", "secure, unclear", "insecure", "-",
    ]  # fmt: skip
    assert retrospective_security(secure, mother, father, rule="broad").tolist()[1] == "earned secure"
    with pytest.raises(StatisticsError, match="outside 1 to 9"):
        retrospective_security([True], [0.0], [3.0])
    with pytest.raises(StatisticsError, match="found rule 'old'"):
        retrospective_security([True], [2.0], [3.0], rule="old")
    with pytest.raises(StatisticsError, match="1 classes, 2 and 1 ratings"):
        retrospective_security([True], [2.0, 3.0], [3.0])


# ---- A study


def study(**block: object) -> ChangeData:
    """90 people measured at waves 0 to 2 with the ECR-R, who change by 0.5; every fifth has no wave 1 and 2, others no wave 2."""
    rng = np.random.default_rng(21)
    true = rng.multivariate_normal([4.0, 3.8], 0.9 * np.array([[1, 0.3], [0.3, 1]]), 90)
    ids = np.array([f"p{i:02d}" for i in range(90)])
    rows, symptoms = [], []
    for wave in range(3):
        x = np.round((true - 0.5 * (wave > 0) + rng.normal(0, 0.3, true.shape)) * 18) / 18 + 0.001
        seen = np.ones(90, dtype=bool) if wave == 0 else np.arange(90) % 5 > 0
        seen &= (np.arange(90) % 7 > 0) if wave == 2 else True
        style = attachment_styles(x[:, 0], x[:, 1], split=Split(MIDPOINT, 4, 4))
        table = {"person_id": ids, "wave": wave, "anxiety": x[:, 0], "avoidance": x[:, 1], "style": style}
        rows.append(pd.DataFrame(table)[seen])
        symptoms.append(pd.DataFrame({"person_id": ids, "wave": wave, "score": true[:, 0] + wave}))
    styles_ = pd.concat(rows, ignore_index=True).assign(session_number=pd.NA, rater="self", name="ecr_r midpoint", primary=True)
    scores = pd.concat(symptoms).assign(session_number=pd.NA, rater="self", instrument="core10", scale="total")
    scores = scores[~((scores["person_id"] == "p01") & (scores["wave"] == 0)).to_numpy()]  # one covariate is missing
    return ChangeData(
        scores=scores, styles=styles_.astype({"wave": "Int64", "style": "str"}), waves=pd.DataFrame(),
        people=pd.DataFrame({"person_id": ids, "role": "client"}),
        treatments=pd.DataFrame(
            {"person_id": ids, "therapist_id": [f"t{i % 9}" for i in range(90)], "start_week": 0.0, "treatment_id": ids}
        ),
        sessions=pd.DataFrame(), answers=pd.DataFrame(),
        classifications=pd.DataFrame(columns=["person_id", "wave", "system", "primary", "secondary", "forced"]),
        settings={
            "outcomes": [{"score": f"ecr_r.{s}", "definitions": [{"reliability": 0.92}]} for s in ("anxiety", "avoidance")],
            "earned_security": block,
        },
        instruments={"ecr_r": load_instrument("ecr_r"), "core10": load_instrument("core10")},
    )  # fmt: skip


FULL = {"follow_up": 2, "end": 1, "covariates": ["core10.total"], "reference": {"correlation": 0.4, "n": 500}}


def test_a_study_gets_every_definition_and_names_what_it_cannot_answer() -> None:
    part = analyse(study())
    rows = estimates_frame(part.estimates)
    earned = rows[rows["analysis"] == "earned_security"]
    assert sorted(earned.loc[earned["estimand"] == "not testable", "definition"]) == [
        "crossing; chosen by observed scores", "retrospective", "sustained at follow-up",
    ]  # fmt: skip
    primary = earned[earned["primary"]]
    assert sorted(primary["estimand"]) == ["earned_security", "excess", "expected_without_change"]
    assert set(primary["definition"]) == {CROSSING}
    full = estimates_frame(analyse(study(**FULL)).estimates)
    full = full[full["analysis"] == "earned_security"]
    assert full.loc[full["estimand"] == "not testable", "definition"].tolist() == ["retrospective"]
    wanted = {f"{d}{h}" for d in (CROSSING, RELIABLE, SUSTAINED) for h in ("", *(f"; {x}" for x in (WEIGHTED, WORST, BEST)))}
    assert set(full.loc[full["estimand"] == "earned_security", "definition"]) == wanted
    reference = full[full["definition"].str.endswith("chosen by observed scores")]
    assert set(reference["estimand"]) == {"expected_without_change", "excess"}
    assert not reference["primary"].any()


def test_a_study_of_screened_people_has_the_reference_as_its_primary_expectation() -> None:
    rows = estimates_frame(analyse(study(**FULL, selection="observed")).estimates)
    earned = rows[(rows["analysis"] == "earned_security") & rows["primary"]]
    assert dict(zip(earned["estimand"], earned["definition"], strict=True)) == {
        "earned_security": CROSSING,
        "excess": "crossing; chosen by observed scores",
        "expected_without_change": "crossing; chosen by observed scores",
    }


def test_tables_of_a_study_have_fixed_columns_and_no_people() -> None:
    part = analyse(study())
    for name, columns in TABLES.items():
        table = part.tables[name]
        assert {c: str(t) for c, t in table.dtypes.items()} == columns
        assert "person_id" not in table
    moves = part.tables["transitions"]
    np.testing.assert_allclose(moves.groupby("from_class")["share_without_change"].sum(), 1, atol=1e-9)
    assert moves["n"].sum() == 72
    # More reliable scores leave less to error, so the excess grows with the reliability.
    grid = part.tables["security_reliability"]
    assert grid["expected_without_change"].is_monotonic_decreasing
    assert grid["excess"].is_monotonic_increasing


def test_a_study_without_styles_and_with_unknown_words() -> None:
    data = study()
    none = replace(data, styles=data.styles.iloc[:0])
    assert {r.analysis for r in analyse(none).estimates if "no style classification" in r.note} == {"transition", "earned_security"}
    for name, columns in TABLES.items():
        assert {c: str(t) for c, t in analyse(none).tables[name].dtypes.items()} == columns
    with pytest.raises(ConfigError, match="reliable_on: found 'each'; allowed: crossed, any, both"):
        analyse(study(reliable_on="each"))
    with pytest.raises(ConfigError, match="selection: found 'maybe'; allowed: unknown, true, observed"):
        analyse(study(selection="maybe"))
    rows = analyse(study(follow_up=1, end=1)).estimates
    assert [r.note for r in rows if r.definition == SUSTAINED] == [
        "sustained at follow-up: the follow-up (occasion 1) is not after the end (occasion 1)"
    ]


def test_a_studys_results_do_not_depend_on_the_order_of_its_rows() -> None:
    data = study(**FULL)
    shuffled = {k: getattr(data, k).sample(frac=1, random_state=1) for k in ("styles", "scores")}
    mixed = replace(study(**FULL), **shuffled)
    one, two = (estimates_frame(analyse(d).estimates) for d in (data, mixed))
    np.testing.assert_allclose(one["estimate"], two["estimate"], rtol=1e-9)
    np.testing.assert_allclose(one["std_error"], two["std_error"], rtol=1e-7)


def test_an_interview_gives_its_share_and_bounds_but_no_excess() -> None:
    data = study()
    ids = data.people["person_id"].to_numpy()[:20]
    waves = [
        pd.DataFrame({"person_id": ids, "wave": 0, "primary": ["Ds1"] * 8 + ["E2"] * 8 + ["F3"] * 4}),
        pd.DataFrame({"person_id": ids, "wave": 1, "primary": ["F1"] * 6 + ["Ds1"] * 10 + [None] * 4}).iloc[2:],
    ]
    given = pd.concat(waves, ignore_index=True).assign(system="AAI", secondary=None, forced=None)
    given = given.astype({"wave": "Int64", "primary": "str", "secondary": "str", "forced": "str"})
    interviewed = replace(data, classifications=given, settings={**data.settings, "security": "AAI"})
    rows = [r for r in analyse(interviewed).estimates if r.analysis == "earned_security" and r.outcome == "AAI"]
    shares = {r.definition: r.estimate for r in rows if r.estimand == "earned_security"}
    assert shares == {
        CROSSING: pytest.approx(4 / 14), f"{CROSSING}; {WORST}": 4 / 16, f"{CROSSING}; {BEST}": 6 / 16,
    }  # fmt: skip
    assert any("needs the reliability of the coders" in r.note for r in rows)
    assert [r.primary for r in rows if r.definition == CROSSING and r.estimand == "earned_security"] == [True]


def test_a_covariate_with_two_values_at_one_occasion_leaves_the_weighted_rows_untold() -> None:
    data = study(**FULL)
    doubled = data.scores[(data.scores["instrument"] == "core10").to_numpy()].iloc[[5]].assign(score=9.0)
    found = estimates_frame(analyse(replace(data, scores=pd.concat([data.scores, doubled], ignore_index=True))).estimates)
    weighted = found[found["definition"].str.endswith(WEIGHTED)]
    assert len(weighted) == 3
    assert (weighted["estimand"] == "not testable").all()
    assert weighted["note"].str.contains("weighted for drop-out: covariate core10.total: ", regex=False).all()
    assert (found["estimand"] == "excess").any()

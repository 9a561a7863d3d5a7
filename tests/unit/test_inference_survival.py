"""Survival: against R's survival package, hand-worked cases, and what is refused."""

from __future__ import annotations

import math
import time as clock

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.survival import (
    cumulative_incidence,
    kaplan_meier,
    log_rank,
    restricted_mean,
    restricted_mean_difference,
    turnbull,
    turnbull_curve,
)

DIGITS = 1e-10  # both sum some ninety terms


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("survival")


@pytest.fixture(scope="module")
def data(reference: Reference) -> pd.DataFrame:
    return reference.frame("data")


def ends(part: Reference) -> tuple[np.ndarray, np.ndarray]:
    right = np.asarray(part["right"], dtype=float)
    return np.asarray(part["left"], dtype=float), np.where(right < 0, np.inf, right)


def test_kaplan_meier_agrees_with_survfit(reference: Reference, data: pd.DataFrame) -> None:
    found = kaplan_meier(data["time"], data["event"])
    robust = kaplan_meier(data["time"], data["event"], clusters=data["therapist"])
    shrink = math.sqrt(11 / 12)  # ours is multiplied by G/(G - 1); there are 12 therapists
    reference["km"].check(
        {
            "time": found.time, "n_at_risk": found.n_at_risk, "n_event": found.n_event, "survival": found.estimate,
            "std_error": found.std_error, "ci_low": found.ci_low, "ci_high": found.ci_high, "robust_se": robust.std_error * shrink,
        },
        rel=DIGITS,
        abs=1e-12,
    )  # fmt: skip
    assert robust.n_clusters == 12
    assert found.n == 90


def test_restricted_mean_agrees_with_survfit(reference: Reference, data: pd.DataFrame) -> None:
    horizon = reference["restricted_mean"]["horizon"]
    for group in ("all", "a", "b", "c"):
        part = data if group == "all" else data[data["group"] == group]
        found = restricted_mean(part["time"], part["event"], horizon=horizon)
        reference["restricted_mean"].check({group: [found.estimate, found.std_error]}, rel=1e-8)


def test_cumulative_incidence_agrees_with_survfit(reference: Reference, data: pd.DataFrame) -> None:
    plain = cumulative_incidence(data["time"], data["cause"])
    clustered = cumulative_incidence(data["time"], data["cause"], clusters=data["therapist"])
    for name, one, two in zip(("improved", "left"), plain, clustered, strict=True):
        part = reference["competing"][name]
        part.check({"estimate": one.estimate, "std_error": one.std_error}, rel=DIGITS, abs=1e-12)
        part.check({"clustered_se": two.std_error * math.sqrt(11 / 12)}, rel=1e-6)  # a derivative by differences
        some = np.array([v is not None for v in part["ci_low"]])  # R has no interval where nothing happened yet, ours no length
        assert (one.ci_low[~some] == 0).all()
        for column in ("ci_low", "ci_high"):
            theirs = np.array([v for v in part[column] if v is not None], dtype=float)
            np.testing.assert_allclose(getattr(one, column)[some], theirs, rtol=DIGITS)


def test_log_rank_agrees_with_survdiff_and_the_robust_score_test(reference: Reference, data: pd.DataFrame) -> None:
    found = log_rank(data["time"], data["event"], data["group"])
    part = reference["log_rank"]
    part.check(
        {"statistic": found.statistic, "p_value": found.p_value, "observed": found.observed, "expected": found.expected}, rel=1e-9
    )
    assert (found.groups, found.df) == (["a", "b", "c"], 2)
    two = data[data["group"] != "c"]
    robust = log_rank(two["time"], two["event"], two["group"], clusters=two["therapist"])
    g = robust.n_clusters
    assert g == part["clusters_two_groups"]
    part.check({"robust_two_groups": robust.statistic * g / (g - 1)}, rel=1e-9)
    assert robust.p_value > 0.5


def test_turnbull_is_the_maximum_of_its_definition(reference: Reference) -> None:
    """On data of planned visits the mass is unique; R's survfit stops its EM at four to five digits, the plain EM at sixteen."""
    part = reference["turnbull"]
    found = turnbull(*ends(part))
    assert found.gap < 1e-9
    part.check({"log_likelihood": found.log_likelihood}, abs=1e-8)
    cells = pd.DataFrame({"right": part["cell_right"], "mass": part["cell_mass"]}).set_index("right")["mass"]
    np.testing.assert_allclose(found.mass, cells.loc[found.right].to_numpy(), atol=1e-7)
    survival = np.asarray(part["survfit"]["survival"], dtype=float)[[0, 1, 2, 4, 6]]  # R tells some values twice
    np.testing.assert_allclose(1 - np.cumsum(found.mass), survival, atol=3e-5)


def test_turnbull_with_visits_of_everybodys_own(reference: Reference) -> None:
    part = reference["turnbull_own"]
    found = turnbull(*ends(part))
    assert found.converged
    assert found.gap < 1e-9
    part.check({"log_likelihood": found.log_likelihood}, abs=1e-8)


def test_worked_by_hand() -> None:
    """Times 1, 2+, 3, 3, 5+: S is 4/5 after 1 and 4/5 x 1/3 after 3; the area to 5 is 1 + 2 x .8 + 2 x .2667."""
    times, event = [1, 2, 3, 3, 5], [1, 0, 1, 1, 0]
    found = kaplan_meier(times, event)
    assert found.estimate.tolist() == pytest.approx([0.8, 0.8, 0.8 / 3, 0.8 / 3])
    assert found.n_at_risk.tolist() == [5, 4, 3, 1]
    assert found.at([0, 2.5, 9])["estimate"].tolist() == pytest.approx([1, 0.8, 0.8 / 3])
    assert found.at([0, 2.5, 9])["n_at_risk"].tolist() == [5, 3, 0]
    assert found.quantile(0.5) == 3
    assert math.isnan(found.quantile(0.9))
    assert restricted_mean(times, event, horizon=5).estimate == pytest.approx(1 + 1.6 + 1.6 / 3)
    assert restricted_mean(times, event, horizon=2.5).estimate == pytest.approx(1 + 1.5 * 0.8)
    first, second = cumulative_incidence([1, 2, 3, 4], [1, 2, 1, 0])
    assert first.estimate.tolist() == pytest.approx([0.25, 0.25, 0.5, 0.5])
    assert second.estimate.tolist() == pytest.approx([0, 0.25, 0.25, 0.25])


def test_turnbull_worked_by_hand() -> None:
    """Half of those seen in (0, 2] are divided between (0, 1] and (1, 2] as the others are: all (1, 2] but for one (0, 1]."""
    found = turnbull([0, 0, 1, 1], [1, 2, 2, 2])
    assert found.right.tolist() == [1, 2]
    assert found.mass.tolist() == pytest.approx([1 / 3, 2 / 3], abs=1e-6)
    assert found.at([0.5, 1, 1.5, 2]).to_numpy()[:, 1:].ravel().tolist() == pytest.approx(
        [0, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 1, 1, 1], abs=1e-6
    )


def test_an_exact_time_at_a_visit_lies_before_what_comes_after_it() -> None:
    found = turnbull([3, 3], [3, 5])
    assert (found.left.tolist(), found.right.tolist()) == ([3, 3], [3, 5])
    assert found.mass.tolist() == pytest.approx([0.5, 0.5])
    assert turnbull([3, 1], [3, 3]).right.tolist() == [3]


def test_bootstrap_interval_of_turnbull_is_about_that_of_a_share() -> None:
    """All seen at 1 and 2: the share by 1 is binomial, .3 of 200, standard error .0324; therapists who differ widen it."""
    left = np.repeat([0.0, 1.0], [60, 140])
    right = np.repeat([1.0, 2.0], [60, 140])
    rng = np.random.default_rng(5)
    found = turnbull_curve(left, right, rng=rng)
    assert found.estimate.tolist() == pytest.approx([0.3, 1.0])
    assert found.std_error[0] == pytest.approx(0.0324, rel=0.12)
    assert found.ci_low[0] < 0.3 < found.ci_high[0]
    alike = turnbull_curve(left, right, rng=rng, clusters=np.repeat(np.arange(20), 10))
    assert alike.std_error[0] == pytest.approx(math.sqrt(0.3 * 0.7 / 20), rel=0.15)
    assert alike.n_clusters == 20


def test_bootstrap_samples_may_lack_the_last_interval() -> None:
    """One of ten is seen last: a third of the samples are without, and the share by 1 is then 1."""
    found = turnbull_curve([0.0] * 9 + [1.0], [1.0] * 9 + [2.0], rng=np.random.default_rng(1))
    assert found.estimate.tolist() == pytest.approx([0.9, 1.0])
    assert found.ci_high[0] == 1
    assert found.std_error[0] == pytest.approx(math.sqrt(0.9 * 0.1 / 10), rel=0.15)


def test_difference_of_restricted_means_keeps_the_pairs_of_a_cluster() -> None:
    """Every cluster has one person in each group with one time: the difference varies by the pairs' differences only."""
    rng = np.random.default_rng(2)
    one = rng.exponential(5, 40)
    other = one + rng.normal(1, 0.1, 40).clip(0)
    times, group = np.concatenate([one, other]), np.repeat([False, True], 40)
    found = restricted_mean_difference(times, np.ones(80), group, horizon=float(one.max()), clusters=np.tile(np.arange(40), 2))
    gain = np.minimum(other, one.max()) - one
    assert found.estimate == pytest.approx(gain.mean())
    assert found.std_error == pytest.approx(gain.std(ddof=1) / math.sqrt(40))
    apart = restricted_mean_difference(times, np.ones(80), group, horizon=float(one.max()))
    assert apart.std_error > 5 * found.std_error


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kaplan_meier([], []), "at least one"),
        (lambda: kaplan_meier([1, math.nan], [1, 0]), "1 times are missing"),
        (lambda: kaplan_meier([1, -2], [1, 0]), "below 0"),
        (lambda: kaplan_meier([1, 2], [1, 2]), "neither 0 nor 1"),
        (lambda: kaplan_meier([1, 2], [1, 0.5]), "no whole number"),
        (lambda: kaplan_meier([1, 2], [1, 0], clusters=["a", "a"]), "1 clusters"),
        (lambda: kaplan_meier([1, 2], [1, 0], ci_level=1.5), "ci_level|confidence"),
        (lambda: kaplan_meier([1], [1]).quantile(2), "between 0 and 1"),
        (lambda: cumulative_incidence([1, 2], [1, 3], causes=2), "cause 3"),
        (lambda: restricted_mean([1, 2], [1, 0], horizon=3), "nobody was followed"),
        (lambda: restricted_mean([1, 2], [1, 0], horizon=0), "above 0"),
        (lambda: restricted_mean_difference([1, 2], [1, 0], [True, True], horizon=1), "both groups"),
        (lambda: log_rank([1, 2], [1, 0], ["a", "a"]), "one group only"),
        (lambda: log_rank([1, 2], [0, 0], ["a", "b"]), "no event"),
        (lambda: turnbull([2], [1]), "before their left"),
        (lambda: turnbull([math.nan], [1]), "missing"),
        (lambda: turnbull([0, 1], [1]), "one pair"),
        (lambda: turnbull([0], [1], weights=[0]), "not all 0"),
        (lambda: turnbull_curve([0, 1], [1, 2], rng=7), "Generator"),
        (lambda: turnbull_curve([0, 1], [1, 2], rng=np.random.default_rng(1), replicates=10), "99 or more"),
        (lambda: turnbull_curve([0], [1], rng=np.random.default_rng(1)), "two people"),
    ],
)
def test_refusals(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StatisticsError, match=message):
        call()


def test_where_nobody_is_left_or_nothing_happened_the_interval_says_so() -> None:
    gone = kaplan_meier([1, 2], [1, 1])
    assert gone.estimate[-1] == 0
    assert math.isnan(gone.ci_low[-1])
    nothing = kaplan_meier([1, 2], [0, 0])
    assert (nothing.estimate == 1).all()
    assert (nothing.ci_low == 1).all()


def test_a_quarter_of_a_million_people_take_a_second() -> None:
    rng = np.random.default_rng(1)
    times, cause = rng.exponential(10, 250_000), rng.integers(0, 3, 250_000)
    start = clock.process_time()
    cumulative_incidence(np.round(times, 1), cause, clusters=rng.integers(0, 500, 250_000))
    kaplan_meier(times, cause == 1)
    turnbull(np.floor(times), np.ceil(times))
    assert clock.process_time() - start < 4  # a wide margin for busy machines

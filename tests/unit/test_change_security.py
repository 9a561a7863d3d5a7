"""Earned security, the share expected without change, and transitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm

from attachment_outcomes.change import earned_security, transition_table
from attachment_outcomes.change.security import probability_without_change, quadrant, region_probability
from attachment_outcomes.change.transitions import transition_estimates
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import Estimate, estimates_frame
from attachment_outcomes.measures.styles import FISHER_FUNCTIONS

STYLES = ["secure", "preoccupied", "dismissing", "fearful"]
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


def test_transition_table_counts_every_cell() -> None:
    table = transition_table(["secure", "fearful", None], ["secure", "secure", "secure"], classes=STYLES, name="x")
    assert len(table) == 16
    assert table["n"].sum() == 2
    assert table.set_index(["from_class", "to_class"]).loc[("fearful", "secure"), "n"] == 1


def test_transition_estimates_by_hand() -> None:
    """Secure 10 of 12 stay, 4 of 18 become secure; 24 of 30 the same. Bowker's test of a 2 x 2 table: (4 − 2)²/6 = 0.667."""
    before = ["secure"] * 12 + ["fearful"] * 18
    after = ["secure"] * 10 + ["fearful"] * 2 + ["secure"] * 4 + ["fearful"] * 14
    rows = by_estimand(transition_estimates(before, after, classes=STYLES, secure="secure", name="x"))
    assert rows["stays_secure"].estimate == pytest.approx(10 / 12)
    assert rows["becomes_secure"].estimate == pytest.approx(4 / 18)
    assert rows["agreement"].estimate == pytest.approx(24 / 30)
    chance = (12 * 14 + 18 * 16) / 900
    assert rows["kappa"].estimate == pytest.approx((0.8 - chance) / (1 - chance))
    assert rows["bowker"].estimate == pytest.approx(4 / 6)
    estimates_frame(rows.values())


def test_transitions_of_nobody_and_of_one_kind_only() -> None:
    (row,) = transition_estimates([None], ["secure"], classes=STYLES, secure="secure", name="x")
    assert row.estimand == "not testable"
    rows = transition_estimates(["secure"] * 3, ["secure", "secure", "fearful"], classes=STYLES, secure="secure", name="x")
    assert [r.group for r in rows if r.estimand == "not testable"] == ["becomes_secure"]
    estimates_frame(rows)


def test_unknown_class_is_refused() -> None:
    with pytest.raises(StatisticsError):
        transition_table(pd.Series(["secure"]), pd.Series(["anxious"]), classes=STYLES)

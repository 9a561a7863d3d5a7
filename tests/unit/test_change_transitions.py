"""Moves between classes: counts, agreement under clustering, and what measurement error alone gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.change import transition_table
from attachment_outcomes.change.transitions import moves_without_change, transition_estimates
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.agreement import bowker, stuart_maxwell
from attachment_outcomes.inference.clustered_agreement import (
    balance,
    clustered_kappa,
    clustered_margins,
    clustered_symmetry,
    kappa_of,
)
from attachment_outcomes.inference.estimate import Estimate, estimates_frame
from attachment_outcomes.inference.half_planes import quadrant
from attachment_outcomes.inference.proportions import cluster_codes
from attachment_outcomes.measures.styles import FISHER, MIDPOINT, Split, attachment_styles, style_regions

STYLES = ["secure", "preoccupied", "dismissing", "fearful"]


def by_estimand(rows: list[Estimate]) -> dict[str, Estimate]:
    return {r.estimand: r for r in rows if r.primary}


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


def test_mcnemar_and_the_change_in_secure_by_hand() -> None:
    """4 became secure, 1 ceased to be: two-sided binomial p = 2 (1 + 5)/32 = .375; change 3/10."""
    before = ["secure"] * 4 + ["fearful"] * 6
    after = ["secure"] * 3 + ["fearful"] + ["secure"] * 4 + ["fearful"] * 2
    rows = by_estimand(transition_estimates(before, after, classes=STYLES, secure="secure", name="x"))
    assert rows["mcnemar_exact"].p_value == pytest.approx(0.375)
    assert "4 became secure, 1 ceased" in rows["mcnemar_exact"].note
    assert rows["change_in_secure"].estimate == pytest.approx(0.3)


def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    reference = load_reference("security")
    first, last = (np.array(reference["agreement"][k]) - 1 for k in ("first", "last"))
    return first, last, cluster_codes(np.array(reference["dropout"]["therapist"]))


def test_agreement_under_clustering_matches_r() -> None:
    """R: kappa by an infinitesimal jackknife (differences: 1e-6), Hotelling's T squared, vcd's standard error."""
    reference = load_reference("security")["agreement"]
    first, last, therapist = sample()
    found = clustered_kappa(first, last, 4, therapist)
    reference.check({"kappa": found.estimate, "kappa_cluster_se": found.std_error}, rel=1e-5)
    alone = clustered_kappa(first, last, 4, None)
    reference.check({"vcd_ase": alone.std_error * np.sqrt((len(first) - 1) / len(first))}, rel=1e-9)
    for name, test in (("bowker", clustered_symmetry), ("stuart_maxwell", clustered_margins)):
        result = test(first, last, 4, therapist)
        reference[name].check({"statistic": result.statistic, "df": result.df, "p_value": result.p_value}, rel=1e-9)
    words = np.array(STYLES)
    rows = transition_estimates(words[first], words[last], classes=STYLES, secure="secure", name="x", clusters=therapist)
    told = by_estimand(rows)
    reference.check(
        {
            "kappa": told["kappa"].estimate, "kappa_cluster_se": told["kappa"].std_error,
            "secure_change": told["change_in_secure"].estimate, "secure_change_se": told["change_in_secure"].std_error,
            "mcnemar_p": told["mcnemar_exact"].p_value,
        },
        rel=1e-5,
    )  # fmt: skip
    assert "people as independent of their therapists" in told["bowker"].note
    assert [r.method for r in rows if r.estimand == "bowker" and not r.primary] == ["symmetry, Hotelling's F on therapists' totals"]
    estimates_frame(rows)


def test_without_clusters_the_robust_tests_hold_the_published_statistics() -> None:
    """With every person as a cluster, W of the F statistic is Bowker's (Stuart's and Maxwell's) own chi-square."""
    first, last, _ = sample()
    n = len(first)
    counts = np.bincount(first * 4 + last, minlength=16).reshape(4, 4)
    for plain, robust in ((bowker(counts), clustered_symmetry), (stuart_maxwell(counts), clustered_margins)):
        found = robust(first, last, 4, np.arange(n))
        q = found.df
        ratio = found.statistic * q / (n - q)  # W / (n - W)
        assert n * ratio / (1 + ratio) == pytest.approx(plain.statistic, rel=1e-9)


def test_balance_is_not_defined_with_too_few_clusters_or_moves() -> None:
    first, last, _ = sample()
    assert "no more clusters than contrasts" in clustered_symmetry(first, last, 4, np.arange(len(first)) % 3).note
    assert "no unit changes class" in clustered_symmetry(first, first, 4, np.arange(len(first))).note
    moves = np.array([[1.0, 2.0]] * 8)
    assert "determine one another" in balance(moves, np.arange(8), drop_last=False).note
    assert "do not differ" in balance(np.ones((8, 1)), np.arange(8), drop_last=False).note


def test_kappa_of_one_class_has_no_interval() -> None:
    with pytest.raises(StatisticsError, match="a reading has a single class"):
        clustered_kappa(np.zeros(4, dtype=int), np.array([0, 1, 0, 1]), 2, None)


# ---- What measurement error alone gives


def unchanged(n: int, seed: int, r: float = 0.85, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.multivariate_normal([3.7, 3.5], r * np.array([[1, 0.3], [0.3, 1]]), n)
    first, second = (true + rng.normal(0, np.sqrt(1 - r), (n, 2)) for _ in range(2))
    return first, second + shift


@pytest.mark.parametrize("split", [Split(MIDPOINT, 4, 3.5), Split(FISHER)])
def test_the_ceiling_is_what_unchanged_people_show(split: Split) -> None:
    """3,000 unchanged people: each cell within 3.5 standard errors of its count, agreement and kappa within those of the rows."""
    first, second = unchanged(3_000, 5)
    before, after = (attachment_styles(x[:, 0], x[:, 1], split=split) for x in (first, second))
    shares, rows = moves_without_change(
        before,
        after,
        scores=first,
        classes=STYLES,
        regions=style_regions(split),
        reliability=(0.85, 0.85),
        secure="secure",
        name="x",
    )
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-9)
    table = pd.crosstab(before, after).loc[STYLES, STYLES].to_numpy()
    totals = table.sum(axis=1, keepdims=True)
    assert (np.abs(table / totals - shares) < 3.5 * np.sqrt(shares * (1 - shares) / totals) + 1e-4).all()
    told = by_estimand(rows)
    for name in ("agreement", "kappa"):
        beyond = told[f"{name}_beyond_error"]
        assert abs(beyond.estimate) < 3.5 * beyond.std_error
        assert beyond.std_error < 0.02
    assert told["kappa_without_change"].estimate < 0.85
    assert told["stays_secure_without_change"].estimate == pytest.approx(shares[0, 0], abs=1e-12)
    estimates_frame(rows)


def test_true_change_shows_below_the_ceiling() -> None:
    first, second = unchanged(600, 6, shift=-0.7)
    split = Split(MIDPOINT, 4, 3.5)
    before, after = (attachment_styles(x[:, 0], x[:, 1], split=split) for x in (first, second))
    _, rows = moves_without_change(
        before, after, scores=first, classes=STYLES, regions=style_regions(split), reliability=(0.85, 0.85), secure="secure",
        name="x", clusters=np.arange(600) % 30,
    )  # fmt: skip
    told = by_estimand(rows)
    assert told["kappa_beyond_error"].ci_high < 0
    assert told["kappa_beyond_error"].n_clusters == 30


def test_intervals_of_kappa_beyond_error_cover_zero() -> None:
    """60 samples of 200 unchanged people: 95 % less 3.5 standard errors is 0.85."""
    split, hits = Split(MIDPOINT, 4, 3.5), 0
    for seed in range(60):
        first, second = unchanged(200, 2000 + seed)
        before, after = (attachment_styles(x[:, 0], x[:, 1], split=split) for x in (first, second))
        _, rows = moves_without_change(
            before, after, scores=first, classes=STYLES, regions=style_regions(split), reliability=(0.85, 0.85), secure="secure",
            name="x",
        )  # fmt: skip
        row = by_estimand(rows)["kappa_beyond_error"]
        hits += row.ci_low <= 0 <= row.ci_high
    assert hits / 60 >= 0.85


def test_kappa_of_shares_by_hand() -> None:
    """Agreement .7, chance .5 * .6 + .5 * .4 = .5: kappa .4."""
    assert kappa_of([[0.4, 0.1], [0.2, 0.3]]) == pytest.approx(0.4)
    assert np.isnan(kappa_of([[1.0, 0.0], [0.0, 0.0]]))


def test_regions_that_leave_gaps_and_too_few_people_are_refused() -> None:
    first, second = unchanged(50, 7)
    before, after = (attachment_styles(x[:, 0], x[:, 1], split=Split(MIDPOINT, 4, 3.5)) for x in (first, second))
    gaps = dict.fromkeys(STYLES, quadrant(4, 3.5))
    shared = {"classes": STYLES, "reliability": (0.85, 0.85), "secure": "secure", "name": "x"}
    with pytest.raises(StatisticsError, match="do not cover everything, or overlap"):
        moves_without_change(before, after, scores=first, regions=gaps, **shared)
    with pytest.raises(StatisticsError, match="at least three with scores"):
        moves_without_change(before[:2], after[:2], scores=first[:2], regions=gaps, **shared)


def test_columns_of_different_people_and_doubled_classes_are_refused() -> None:
    first, last = pd.Series(["secure", "fearful"], index=["a", "b"]), pd.Series(["secure", "fearful"], index=["b", "a"])
    for made in (
        lambda: transition_table(first, last, classes=STYLES),
        lambda: transition_estimates(first, last, classes=STYLES, secure="secure", name="x"),
    ):
        with pytest.raises(StatisticsError, match="baseline and end have different indexes"):
            made()
    assert transition_table(first, last.to_numpy(), classes=STYLES)["n"].sum() == 2
    with pytest.raises(StatisticsError, match="columns differ in length: 3 of baseline, 2 of end"):
        transition_table(["secure"] * 3, ["secure"] * 2, classes=STYLES)
    with pytest.raises(StatisticsError, match="listed twice among the classes: secure"):
        transition_table(["secure"], ["secure"], classes=[*STYLES, "secure"])
    with pytest.raises(StatisticsError, match="people are classed 'secure'"):
        transition_estimates(["secure"], ["secure"], classes=STYLES, secure="Secure", name="x")
    with pytest.raises(StatisticsError, match=r"none of the classes.*Did you mean 'fearful'"):
        transition_estimates(["secure"], ["secure"], classes=STYLES, secure="fearfull", name="x")

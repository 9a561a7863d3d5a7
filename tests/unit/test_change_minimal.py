"""Minimal important differences against pROC, glm and formulas in R, against a hand-worked case, and at their edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.individual_change.minimal_change import (
    ROC_QUANTITIES,
    anchor_roc,
    bootstrap_mids,
    distribution_mids,
    mean_change_mid,
    toward_better,
)
from attachment_outcomes.inference.resampling import cluster_bootstrap_rows

R_DIGITS = 1e-9
ITERATED = 1e-7  # glm stops where its deviance no longer moves


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("change_compared")["mid"]


@pytest.fixture(scope="module")
def sample() -> Reference:
    return load_reference("change_compared")["sample"]


def test_the_curve_matches_proc(reference: Reference) -> None:
    found = anchor_roc(reference["change"], np.array(reference["improved"]) == 1, anchor=reference["anchor"])
    ours = {
        "youden": found.youden, "sensitivity": found.sensitivity, "specificity": found.specificity, "corner": found.corner,
        "auc": found.auc, "auc_low": found.auc_low, "auc_high": found.auc_high, "auc_error": found.auc_error,
        "correlation": found.correlation,
    }  # fmt: skip
    reference.check(ours, abs=R_DIGITS)
    assert found.eligible


def test_the_predictive_mid_matches_glm(reference: Reference) -> None:
    found = anchor_roc(reference["change"], np.array(reference["improved"]) == 1, anchor_reliability=0.7)
    ours = {"predictive": found.predictive, "adjusted": found.adjusted, "reliable": found.reliable}
    reference.check(ours, abs=ITERATED)


def test_the_mean_change_of_the_minimally_improved_matches_the_t_interval(reference: Reference) -> None:
    found = mean_change_mid(reference["change"], np.array(reference["anchor"]) == 4)
    ours = {"mean_change": found.estimate, "mean_low": found.ci_low, "mean_high": found.ci_high, "mean_error": found.std_error}
    reference.check(ours, abs=R_DIGITS)


def test_mids_by_distribution_match_their_formulas(sample: Reference) -> None:
    found = distribution_mids(sample["pre"], reliability=sample["reliability"], rng=np.random.default_rng(1), replicates=199)
    sample.check({"mids": dict(zip(found["quantity"], found["estimate"], strict=True))}, abs=R_DIGITS)
    assert (found["ci_low"] < found["estimate"]).all()


def test_a_case_worked_by_hand() -> None:
    """Improved at 2, 4, 5, 6, 7; others at 0, 1, 2, 3, 3. At 3.5: sensitivity 4/5, specificity 5/5.

    AUC: the improved at 2 beats 0 and 1 and ties with 2 (2.5 of 5), the four others beat all five: (2.5 + 20)/25.
    """
    found = anchor_roc([2, 4, 5, 6, 7, 0, 1, 2, 3, 3], [True] * 5 + [False] * 5)
    assert (found.youden, found.corner, found.sensitivity, found.specificity) == (3.5, 3.5, 0.8, 1.0)
    assert found.auc == pytest.approx(22.5 / 25)
    assert (found.n, found.n_improved, found.share, found.tied) == (10, 5, 0.5, 0)
    assert found.predictive == found.adjusted  # half are improved: nothing to adjust
    assert np.isnan(found.reliable)


def test_tied_thresholds_go_to_the_corner() -> None:
    """At 0.5: sensitivity 1, specificity 1/5; at 1.5: 4/5 and 2/5, at 2.5: 3/5 and 3/5: all sums 1.2; 2.5 is nearest."""
    change = [0, 1, 2, 3, 3, 1, 2, 3, 3, 3]
    found = anchor_roc(change, [False] * 5 + [True] * 5)
    assert (found.youden, found.tied) == (2.5, 2)
    assert "2 other thresholds" in found.note


def test_direction() -> None:
    before, after = [10.0, 12.0, 14.0], [4.0, 12.0, 15.0]
    assert toward_better(before, after, higher_is_better=False).tolist() == [6, 0, -1]
    assert toward_better(before, after, higher_is_better=True).tolist() == [-6, 0, 1]
    with pytest.raises(StatisticsError, match="2 scores before but 1 after"):
        toward_better([1, 2], [1], higher_is_better=True)


def test_an_anchor_that_has_nothing_to_do_with_change_is_not_eligible() -> None:
    rng = np.random.default_rng(3)
    found = anchor_roc(rng.normal(size=200), rng.random(200) < 0.5)
    assert not found.eligible
    assert found.auc < 0.7


def test_groups_told_apart_without_error_have_no_logistic_regression() -> None:
    found = anchor_roc(np.arange(20.0), np.arange(20) >= 10)
    assert np.isnan(found.predictive)
    assert "no solution" in found.note
    assert (found.youden, found.auc) == (9.5, 1.0)


def test_people_without_change_or_anchor_do_not_count(reference: Reference) -> None:
    said = pd.array(np.array(reference["improved"]) == 1, dtype="boolean")
    more = pd.Series([*list(said), True, pd.NA], dtype="boolean")
    given = {"anchor_reliability": 0.8}
    assert anchor_roc([*reference["change"], np.nan, 4.0], more, **given) == anchor_roc(reference["change"], said, **given)


def test_every_replicate_is_the_curve_of_the_people_drawn(reference: Reference) -> None:
    change, said = np.array(reference["change"], dtype=float), np.array(reference["improved"]) == 1
    therapist = np.arange(len(change)) % 16

    def slowly(rows: np.ndarray, copies: np.ndarray) -> list[float]:
        found = anchor_roc(change[rows], said[rows], anchor_reliability=0.7)
        return [found.youden, found.corner, found.predictive, found.adjusted, found.reliable]

    fast = bootstrap_mids(change, said, rng=np.random.default_rng(4), clusters=therapist, replicates=60, anchor_reliability=0.7)
    slow = cluster_bootstrap_rows(slowly, rng=np.random.default_rng(4), clusters=therapist, replicates=60)
    np.testing.assert_allclose(fast.draws, slow.draws, atol=1e-9)
    assert fast.draws.shape == (60, len(ROC_QUANTITIES))
    found = fast.interval(0, method="percentile")
    assert found.ci_low < found.estimate < found.ci_high


def test_replicates_without_an_improved_person_fail_and_are_counted() -> None:
    change = np.concatenate([np.arange(5.0) + 3, np.arange(60.0) % 9])
    said = np.arange(65) < 5
    therapist = np.where(said, 0, np.arange(65))  # all improved people share a therapist
    found = bootstrap_mids(change, said, rng=np.random.default_rng(1), clusters=therapist, replicates=200)
    assert 0.2 < np.isnan(found.draws[:, 0]).mean() < 0.55  # (1 - 1/61)^61 = .37
    with pytest.raises(StatisticsError, match="replicates are not defined"):
        found.interval(0)


def test_clusters_widen_the_mean_change() -> None:
    rng = np.random.default_rng(2)
    therapist = np.repeat(np.arange(10), 8)
    change = 5 + 3 * rng.normal(size=10)[therapist] + rng.normal(size=80)
    alone, together = (mean_change_mid(change, [True] * 80, clusters=c) for c in (None, therapist))
    assert together.estimate == alone.estimate
    assert together.std_error > 2 * alone.std_error


@pytest.mark.parametrize(
    ("change", "improved", "message"),
    [
        (np.arange(12.0), [True] * 4 + [False] * 8, "4 improved and 8 not improved"),
        (np.arange(12.0), [True] * 8 + [False] * 4, "8 improved and 4 not improved"),
        (np.ones(12), [True, False] * 6, "changed by the same amount"),
        (np.arange(12.0), [True, False], "12 changes but 2 anchors"),
    ],
)
def test_what_cannot_be_is_refused(change: np.ndarray, improved: list[bool], message: str) -> None:
    for function in (anchor_roc, lambda c, i: bootstrap_mids(c, i, rng=np.random.default_rng(1))):
        with pytest.raises(StatisticsError, match=message):
            function(change, improved)


def test_mids_by_distribution_and_mean_refuse_what_cannot_be() -> None:
    rng = np.random.default_rng(1)
    for reliability in (0.0, 1.0, 1.2, float("nan")):
        with pytest.raises(StatisticsError, match="reliability is"):
            distribution_mids([1, 2, 3], reliability=reliability, rng=rng)
    for reliability in (0.0, 1.0):
        with pytest.raises(StatisticsError, match="the anchor's reliability is"):
            anchor_roc(np.arange(12.0), [True, False] * 6, anchor_reliability=reliability)
    with pytest.raises(StatisticsError, match="all scored alike"):
        distribution_mids([3, 3, 3], reliability=0.9, rng=rng)
    with pytest.raises(StatisticsError, match="1 people are minimally improved"):
        mean_change_mid([1.0, 2.0, 3.0], [True, False, False])
    with pytest.raises(StatisticsError, match="3 changes but 2 anchors"):
        mean_change_mid([1.0, 2.0, 3.0], [True, False])

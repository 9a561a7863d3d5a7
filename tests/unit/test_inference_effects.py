"""Mean and standardised changes against R."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference import paired_change, standardised_difference

R_DIGITS = 1e-9


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("change_reference")


@pytest.fixture(scope="module")
def scores(reference: Reference) -> tuple[list, list, list]:
    return reference["reliable"]["pre"], reference["reliable"]["post"], reference["effects"]["therapist"]


def test_mean_change_is_the_paired_t_test_of_r(scores, reference: Reference) -> None:
    ref = reference["effects"]
    raw, _ = paired_change(*scores[:2])
    ours = {"mean_change": raw.estimate, "mean_change_ci": (raw.ci_low, raw.ci_high), "mean_change_p": raw.p_value}
    ref.check(ours, abs=R_DIGITS)
    assert (raw.n, raw.df) == (12, 11)
    assert np.isnan(raw.n_clusters)


def test_standardised_change_divides_by_the_sd_before(scores, reference: Reference) -> None:
    ref = reference["effects"]
    _, d = paired_change(*scores[:2])
    ref.check({"d": d.estimate, "d_se": d.std_error, "d_ci": (d.ci_low, d.ci_high)}, abs=R_DIGITS)
    # metafor's SMCRH assumes normal scores and corrects for small samples; ours does neither, so they agree roughly.
    assert d.std_error == pytest.approx(ref["metafor_smcrh_se"], rel=0.05)


def test_clusters_match_the_sandwich_written_out_in_r(scores, reference: Reference) -> None:
    ref = reference["effects"]
    raw, d = paired_change(*scores[:2], clusters=scores[2])
    ref.check({"mean_change_cluster_se": raw.std_error, "mean_change_cluster_ci": (raw.ci_low, raw.ci_high)}, abs=R_DIGITS)
    ref.check({"d_cluster_se": d.std_error}, abs=R_DIGITS)
    assert (raw.n_clusters, raw.df) == (4, 3)
    assert "few clusters (4)" in raw.note


def test_people_without_a_therapist_are_clusters_of_their_own(scores) -> None:
    raw, _ = paired_change(*scores[:2], clusters=[None] * 12)
    plain, _ = paired_change(*scores[:2])
    assert raw.std_error == pytest.approx(plain.std_error)
    assert raw.n_clusters == 12


def test_missing_scores_are_left_out(scores) -> None:
    pre, post, therapist = ([*s] for s in scores)
    raw, _ = paired_change([*pre, np.nan, 3.0], [*post, 4.0, np.nan], clusters=[*therapist, 9, 9])
    assert (raw.n, raw.n_clusters) == (12, 4)
    assert raw.estimate == pytest.approx(paired_change(pre, post)[0].estimate)


def test_no_spread_before_gives_no_standardised_change() -> None:
    raw, d = paired_change([3.0, 3.0, 3.0], [1.0, 2.0, 3.0])
    assert raw.estimate == pytest.approx(-1)
    assert np.isnan(d.estimate)
    assert "nobody differed" in d.note


def test_too_few_people_or_clusters_are_refused() -> None:
    with pytest.raises(StatisticsError, match="1 people"):
        paired_change([1.0, np.nan], [2.0, 3.0])
    with pytest.raises(StatisticsError, match="1 clusters"):
        paired_change([1.0, 2.0], [2.0, 4.0], clusters=["a", "a"])
    with pytest.raises(StatisticsError, match="shape"):
        paired_change([1.0, 2.0], [2.0])


def test_standardised_difference_by_hand() -> None:
    """Groups 1, 2, 3 and 2, 3, 4: means 2 and 3, pooled SD 1, d = −1."""
    found = standardised_difference([1, 2, 3], [2, 3, 4, np.nan])
    assert found.estimate == pytest.approx(-1.0)
    assert found.n == 6


def test_standardised_difference_is_wider_at_95_than_at_90() -> None:
    wide, narrow = (standardised_difference([1, 2, 3, 5], [2, 3, 4, 7], ci_level=level) for level in (0.95, 0.90))
    assert wide.ci_low < narrow.ci_low < narrow.ci_high < wide.ci_high
    with pytest.raises(StatisticsError, match="groups of 1"):
        standardised_difference([1], [2, 3])
    with pytest.raises(StatisticsError, match="within the groups"):
        standardised_difference([1, 1], [2, 2])


def test_intervals_of_the_standardised_change_cover_the_truth() -> None:
    """d = −0.5 with r = .6 and unequal variances; 400 samples of 60: 95 % within 3 standard errors, 0.917 to 0.983."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(400):
        x = rng.normal(0, 2, 60)
        y = -1.0 + 0.6 * x + rng.normal(0, 1.2, 60)
        _, d = paired_change(x, y)
        hits += d.ci_low <= -0.5 <= d.ci_high
    assert 0.917 <= hits / 400 <= 0.983


def test_words_are_refused_without_being_quoted() -> None:
    for call in (lambda: paired_change(["Anna", 2.0], [1.0, 2.0]), lambda: standardised_difference([1.0, 2.0], ["Anna", 2.0])):
        with pytest.raises(StatisticsError, match="are not numbers") as told:
            call()
        assert "Anna" not in str(told.value)


def test_series_of_other_people_are_no_pairs() -> None:
    pre, post = (pd.Series([20.0, 25, 22, 30], index=list(order)) for order in ("abcd", "dcba"))
    with pytest.raises(StatisticsError, match="pre and post have different indexes"):
        paired_change(pre, post)
    assert paired_change(pre.to_numpy(), post.to_numpy())[0].estimate == 0

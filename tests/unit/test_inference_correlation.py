"""Correlations with Fisher's interval and the jackknife over clusters."""

from __future__ import annotations

import math

import numpy as np
import pingouin
import pytest
from scipy import stats

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.correlation import pearson
from attachment_outcomes.inference.jackknife import from_logit, jackknife, logit


def _pairs(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    x = rng.normal(size=n)
    return x, 0.5 * x + rng.normal(size=n)


def test_correlation_agrees_with_scipy_and_pingouin():
    x, y = _pairs()
    found = pearson(x, y)
    expected = stats.pearsonr(x, y)
    interval = expected.confidence_interval(0.95)
    assert (found.r, found.p_value) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-12)
    assert (found.ci_low, found.ci_high) == pytest.approx((interval.low, interval.high), rel=1e-12)
    peng = pingouin.corr(x, y)
    assert found.r == pytest.approx(float(peng["r"].iloc[0]), abs=1e-6)
    assert (found.n, found.n_clusters, found.n_excluded) == (40, 40, 0)


def test_pairs_with_a_missing_score_are_left_out_and_counted():
    x, y = _pairs()
    holes = x.copy()
    holes[[3, 5]] = math.nan
    found = pearson(holes, y)
    assert (found.n, found.n_excluded) == (38, 2)
    keep = ~np.isnan(holes)
    assert found.r == pytest.approx(stats.pearsonr(x[keep], y[keep]).statistic)


def test_one_pair_a_cluster_needs_no_jackknife():
    x, y = _pairs()
    assert pearson(x, y, clusters=range(40)) == pearson(x, y)


def test_doubled_pairs_are_no_new_evidence():
    x, y = _pairs()
    once = pearson(x, y)
    twice = pearson(np.tile(x, 2), np.tile(y, 2), clusters=[*range(40), *range(40)])
    naive = pearson(np.tile(x, 2), np.tile(y, 2))
    assert twice.n_clusters == 40
    assert twice.r == pytest.approx(once.r)
    assert twice.ci_high - twice.ci_low > 1.2 * (naive.ci_high - naive.ci_low)


def test_undefined_correlations():
    assert "fewer than 4" in pearson([1, 2, 3], [1, 2, 4]).note
    constant = pearson([1, 1, 1, 1, 1], [1, 2, 3, 4, 5])
    assert math.isnan(constant.r)
    assert "does not vary" in constant.note
    line = pearson([1, 2, 3, 4, 5], [2, 4, 6, 8, 10])
    assert (line.r, line.ci_low, line.ci_high) == (1.0, 1.0, 1.0)


def test_bad_input_is_refused():
    with pytest.raises(StatisticsError, match="same length"):
        pearson([1, 2], [1, 2, 3])
    with pytest.raises(StatisticsError, match="infinite"):
        pearson([1, 2, 3, math.inf], [1, 2, 3, 4])
    with pytest.raises(StatisticsError, match="one a pair"):
        pearson([1, 2, 3, 4], [1, 2, 3, 5], clusters=["a"])
    with pytest.raises(StatisticsError, match="none missing"):
        pearson([1, 2, 3, 4], [1, 2, 3, 5], clusters=["a", "a", "b", None])


def test_jackknife_of_a_mean_is_its_usual_standard_error():
    # Leaving out one of G equal clusters of a mean gives SD / sqrt(G).
    values = np.array([2.0, 4.0, 9.0, 1.0, 6.0])
    without = (values.sum() - values) / 4
    found = jackknife(float(values.mean()), without)
    assert found.std_error == pytest.approx(values.std(ddof=1) / math.sqrt(5))
    assert found.ci_high - values.mean() == pytest.approx(stats.t.ppf(0.975, 4) * found.std_error)


def test_jackknife_without_an_interval_says_why():
    assert "fewer than 2" in jackknife(0.5, [0.4]).note
    assert "not defined" in jackknife(0.5, [0.4, 1.0], scale=logit, back=from_logit).note
    assert "not defined" in jackknife(1.0, [0.4, 0.5], scale=logit, back=from_logit).note

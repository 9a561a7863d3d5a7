"""How large is a change or a difference, in score points and in standard deviations?

Vocabulary
----------
standardised change      mean change in units of the SD before treatment (not of the SD of change, d_z, which grows with the
                         pre–post correlation and is no measure of how far people moved)
standardised difference  difference of two means in units of their pooled SD (Cohen's d, without small-sample correction)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.pairing import same_people
from attachment_outcomes.inference.proportions import FEW_CLUSTERS, as_numbers, cluster_codes, robust_variance


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A mean or standardised effect with its t interval. ``n_clusters`` is NaN where people were taken as independent."""

    estimate: float
    std_error: float
    ci_low: float
    ci_high: float
    ci_level: float
    p_value: float
    df: float
    n: int
    n_clusters: float
    method: str
    note: str = ""


def paired_change(
    pre: ArrayLike, post: ArrayLike, *, clusters: ArrayLike | pd.Series | None = None, ci_level: float = CI_LEVEL
) -> tuple[Effect, Effect]:
    r"""Return the mean change (post − pre, score points) and the standardised change (SD units), each with an interval.

    .. math:: \bar c = \frac1n\sum (x_{2i} - x_{1i}), \qquad d = \bar c / S_1

    with :math:`S_1` the SD before treatment of the same people (ddof 1). The intervals use the influence values
    :math:`u_i = c_i - \bar c` and :math:`u_i = (c_i - \bar c)/S_1 - \frac{d}{2}\big((x_{1i} - \bar x_1)^2/S_1^2 - 1\big)`, summed
    within clusters, and t on n − 1 (G − 1) degrees of freedom. Without clusters the first is the paired t test; the second
    assumes neither equal variances nor normal scores.

    Parameters
    ----------
    pre, post : (n,) floats
        Score points; people with NaN in either are left out (``n`` counts who stayed).
    clusters : (n,) labels, optional
        Therapist of each person; a missing label makes a person a cluster of their own.
    ci_level
        Confidence level.

    Raises
    ------
    StatisticsError
        If the scores are not numbers, Series have different indexes, fewer than two people have both, or
        fewer than two clusters remain. The standardised change
        is NaN, with a note, if nobody differed before treatment.

    References
    ----------
    Becker, B. J. (1988). British J. Math. Stat. Psychol., 41, 257-278 (the effect size).
    """
    same_people("paired change", pre=pre, post=post, clusters=clusters)
    before, after = (as_numbers(x, place="paired change", what=w) for x, w in ((pre, "scores before"), (post, "scores after")))
    if before.shape != after.shape or before.ndim != 1:
        raise StatisticsError(
            problem("paired change", f"pre has shape {before.shape}, post {after.shape}; allowed: equal vectors.")
        )
    there = ~(np.isnan(before) | np.isnan(after))
    codes = None if clusters is None else cluster_codes(pd.Series(clusters).reset_index(drop=True)[there])
    before, after = before[there], after[there]
    n = len(before)
    if n < 2:
        raise StatisticsError(problem("paired change", f"{n} people with both scores; at least two are needed."))
    change = after - before
    mean, sd = float(change.mean()), float(before.std(ddof=1))
    how = "paired t" if codes is None else "mean change, cluster-robust (CR1), t on G - 1 df"
    raw = effect(mean, change - mean, codes, method=how, ci_level=ci_level)
    how = "pre-post d with the SD before, delta method" + ("" if codes is None else ", cluster-robust (CR1)")
    if sd == 0:
        nothing = np.nan
        return raw, Effect(
            estimate=nothing, std_error=nothing, ci_low=nothing, ci_high=nothing, ci_level=ci_level, p_value=nothing,
            df=raw.df, n=n, n_clusters=raw.n_clusters, method=how, note="nobody differed before treatment",
        )  # fmt: skip
    d = mean / sd
    deviation = (before - before.mean()) / sd
    influence = (change - mean) / sd - d / 2 * (deviation**2 - (deviation**2).mean())
    return raw, effect(d, influence, codes, method=how, ci_level=ci_level)


def standardised_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: tuple[ArrayLike, ArrayLike] | None = None,
    ci_level: float = CI_LEVEL,
) -> Effect:
    r"""Return the difference of two independent groups' means, first − second, in pooled SDs.

    .. math:: d = (\bar x_1 - \bar x_2)/S_p, \quad S_p^2 = \frac{(n_1-1)S_1^2 + (n_2-1)S_2^2}{n_1+n_2-2}

    The interval is by the delta method (influence values of both means and of the pooled variance), so that it allows for
    unequal variances and, if given, for clusters that span both groups.

    Parameters
    ----------
    first, second : floats
        Scores of the two groups; NaN is left out.
    clusters
        Labels for the first and the second group.
    ci_level
        Confidence level; 0.90 for an equivalence test by two one-sided tests at .05.

    Raises
    ------
    StatisticsError
        If the scores are not numbers, a group has fewer than two, or nobody differs within the groups.
    """
    place = "standardised difference"
    x, y = (as_numbers(v, place=place, what=f"scores of the {w} group") for v, w in ((first, "first"), (second, "second")))
    keep_x, keep_y = ~np.isnan(x), ~np.isnan(y)
    codes = None
    if clusters is not None:
        for given, of in zip((first, second), clusters, strict=True):
            same_people(place, scores=given, clusters=of)
        labels = [pd.Series(c).reset_index(drop=True)[k] for c, k in zip(clusters, (keep_x, keep_y), strict=True)]
        codes = cluster_codes(pd.concat(labels))
    x, y = x[keep_x], y[keep_y]
    n1, n2 = len(x), len(y)
    if min(n1, n2) < 2:
        raise StatisticsError(problem("standardised difference", f"groups of {n1} and {n2}; each needs at least two scores."))
    residual = np.concatenate([x - x.mean(), y - y.mean()])
    n = n1 + n2
    variance = float((residual**2).sum() / (n - 2))
    if variance == 0:
        raise StatisticsError(problem("standardised difference", "nobody differs within the groups."))
    sd = np.sqrt(variance)
    d = float((x.mean() - y.mean()) / sd)
    weight = np.concatenate([np.full(n1, n / n1), np.full(n2, -n / n2)])
    influence = weight * residual / sd - d / 2 * (residual**2 - (residual**2).mean()) / variance
    how = "standardised difference, delta method" + ("" if codes is None else ", cluster-robust (CR1)")
    return effect(d, influence, codes, method=how, ci_level=ci_level)


def effect(
    estimate: float, influence: NDArray[np.float64], codes: NDArray[np.int64] | None, *, method: str, ci_level: float = CI_LEVEL
) -> Effect:
    """Return an estimate with the t interval that its influence values give, summed within clusters."""
    variance, df = robust_variance(influence, codes)
    std_error = float(np.sqrt(variance))
    half = float(student.ppf(0.5 + ci_level / 2, df)) * std_error
    p_value = float(2 * student.sf(abs(estimate) / std_error, df)) if std_error > 0 else np.nan
    few = codes is not None and df + 1 < FEW_CLUSTERS
    return Effect(
        estimate=estimate, std_error=std_error, ci_low=estimate - half, ci_high=estimate + half, ci_level=ci_level,
        p_value=p_value, df=df, n=len(influence), n_clusters=np.nan if codes is None else df + 1, method=method,
        note=f"few clusters ({df + 1:.0f}): the interval may be too short" if few else "",
    )  # fmt: skip

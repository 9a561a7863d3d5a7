r"""Is a mean, a difference or a share close enough to be called the same? Two one-sided tests (TOST) against stated bounds.

Vocabulary
----------
bounds      the smallest values that would matter, in raw units (score points, shares), one on either side
equivalent  the 1 − 2α interval lies within the bounds, and the estimate does not differ from ``null``
different   the 1 − α interval leaves out ``null``, and the 1 − 2α interval is not within the bounds
both        it differs from ``null``, but by less than what matters
undecided   neither: the data are too few to tell

A p value above .05 in a test of a difference never means that things are the same; ``undecided`` says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.effects import effect, paired_change
from attachment_outcomes.inference.pairing import same_people
from attachment_outcomes.inference.proportions import CLUSTERED, WILSON, as_numbers, cluster_codes, proportion

ALPHA = 0.05
PLACE = "equivalence"
SMALLEST_P = 1e-12  # below it quantiles are too coarse to find where an interval ends
OUTCOMES = {(True, False): "equivalent", (False, True): "different", (True, True): "both", (False, False): "undecided"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """A test of equivalence. ``p_value`` is that of equivalence (the larger of ``p_low`` and ``p_high``), ``p_difference`` that
    of no difference from ``null``; ``ci_low`` and ``ci_high`` are the limits of the 1 − 2α interval, at ``ci_level``.
    """

    estimate: float
    std_error: float
    df: float
    low: float
    high: float
    null: float
    alpha: float
    ci_low: float
    ci_high: float
    ci_level: float
    p_low: float
    p_high: float
    p_value: float
    p_difference: float
    outcome: str
    n: float
    n_clusters: float
    method: str
    note: str = ""


class _HasLimits(Protocol):
    @property
    def estimate(self) -> float: ...
    @property
    def ci_low(self) -> float: ...
    @property
    def ci_high(self) -> float: ...


def estimate_equivalence(
    estimate: float, std_error: float, *, low: float, high: float, df: float = math.inf, null: float = 0.0, alpha: float = ALPHA
) -> Equivalence:
    r"""Test whether an estimate with a t (or normal) distribution lies between two bounds.

    .. math:: p = \max\big(P(T_\nu \ge (\hat\theta - low)/SE),\ P(T_\nu \le (\hat\theta - high)/SE)\big)

    Parameters
    ----------
    estimate, std_error
        An estimate with its standard error, e.g. a contrast of a mixed model or ``standardised_difference``.
    low, high
        Bounds in the units of the estimate, stated before the data are seen. One may be infinite (non-inferiority).
    df
        Degrees of freedom of the standard error; infinite for a normal distribution.
    null
        The value that "different" refers to.
    alpha
        Level of each one-sided test; the interval beside has level 1 − 2α.

    Raises
    ------
    StatisticsError
        If bounds, level, error or degrees of freedom are impossible, or the estimate is missing.

    References
    ----------
    Schuirmann, D. J. (1987). Journal of Pharmacokinetics and Biopharmaceutics, 15, 657-680.
    Lakens, D. (2017). Social Psychological and Personality Science, 8, 355-362 (the four outcomes).
    """
    _check(low, high, alpha)
    if not math.isfinite(estimate) or not math.isfinite(null):
        raise _refuse("the estimate or the null value is missing.")
    if not (0 < std_error < math.inf) or not df > 0:
        what = f"found standard error {std_error} and {df} degrees of freedom; allowed: above 0."
        raise _refuse(what, hint="where nobody differs, there is nothing to test.")
    p_low = float(student.sf((estimate - low) / std_error, df))
    p_high = float(student.cdf((estimate - high) / std_error, df))
    p_difference = float(2 * student.sf(abs(estimate - null) / std_error, df))
    half = float(student.ppf(1 - alpha, df)) * std_error
    p_value = max(p_low, p_high)
    return Equivalence(
        estimate=estimate, std_error=std_error, df=df, low=low, high=high, null=null, alpha=alpha, ci_low=estimate - half,
        ci_high=estimate + half, ci_level=1 - 2 * alpha, p_low=p_low, p_high=p_high, p_value=p_value, p_difference=p_difference,
        outcome=OUTCOMES[p_value < alpha, p_difference < alpha], n=math.nan, n_clusters=math.nan, method="TOST",
    )  # fmt: skip


def mean_equivalence(
    values: ArrayLike,
    *,
    low: float,
    high: float,
    null: float = 0.0,
    clusters: ArrayLike | pd.Series | None = None,
    alpha: float = ALPHA,
) -> Equivalence:
    """Test whether one mean lies between two bounds, e.g. two score points on either side of a norm.

    Parameters
    ----------
    values : (n,) floats
        Scores; NaN is left out (``n`` counts who stayed).
    low, high, null, alpha
        As in :func:`estimate_equivalence`; bounds are values of the mean, not distances from ``null``.
    clusters : (n,) labels, optional
        Therapist of each person; the error is then cluster-robust (CR1), with t on G − 1 degrees of freedom.

    Raises
    ------
    StatisticsError
        If fewer than two people or clusters remain, nobody differs, or a setting is impossible.
    """
    same_people(PLACE, values=values, clusters=clusters)
    x = as_numbers(values, place=PLACE, what="scores")
    there = ~np.isnan(x)
    codes = None if clusters is None else cluster_codes(pd.Series(clusters).reset_index(drop=True)[there])
    x = x[there]
    if len(x) < 2:
        raise _refuse(f"{len(x)} people with a score; at least two are needed.")
    found = effect(float(x.mean()), x - x.mean(), codes, method="")
    result = estimate_equivalence(found.estimate, found.std_error, low=low, high=high, df=found.df, null=null, alpha=alpha)
    how = "TOST, one mean" + ("" if codes is None else ", cluster-robust (CR1)")
    return replace(result, n=found.n, n_clusters=found.n_clusters, method=how, note=found.note)


def paired_equivalence(
    pre: ArrayLike,
    post: ArrayLike,
    *,
    low: float,
    high: float,
    null: float = 0.0,
    clusters: ArrayLike | pd.Series | None = None,
    alpha: float = ALPHA,
) -> Equivalence:
    """Test whether the mean change (post − pre) lies between two bounds, in score points; parameters as above.

    People with either score missing are left out; ``n`` counts who stayed.

    Raises
    ------
    StatisticsError
        If fewer than two people or clusters remain, all changed alike, or a setting is impossible.
    """
    same_people(PLACE, pre=pre, post=post, clusters=clusters)
    before, after = (as_numbers(scores, place=PLACE, what="scores") for scores in (pre, post))
    found = paired_change(before, after, clusters=clusters)[0]
    result = estimate_equivalence(found.estimate, found.std_error, low=low, high=high, df=found.df, null=null, alpha=alpha)
    how = "TOST, paired" + ("" if clusters is None else ", cluster-robust (CR1)")
    return replace(result, n=found.n, n_clusters=found.n_clusters, method=how, note=found.note)


def difference_equivalence(
    first: ArrayLike, second: ArrayLike, *, low: float, high: float, null: float = 0.0, alpha: float = ALPHA
) -> Equivalence:
    r"""Test whether two independent groups' means differ by less than the bounds (first − second), by Welch's t.

    .. math:: SE^2 = \frac{s_1^2}{n_1} + \frac{s_2^2}{n_2}, \quad \nu = \frac{SE^4}{s_1^4/(n_1^2(n_1 - 1)) + s_2^4/(n_2^2(n_2 - 1))}

    Parameters
    ----------
    first, second : floats
        Scores of the two groups; NaN is left out.
    low, high, null, alpha
        As in :func:`estimate_equivalence`.

    Raises
    ------
    StatisticsError
        If a group has fewer than two scores, nobody differs within either, or a setting is impossible.

    References
    ----------
    Welch, B. L. (1947). Biometrika, 34, 28-35.
    """
    groups = [g[~np.isnan(g)] for g in (as_numbers(scores, place=PLACE, what="scores") for scores in (first, second))]
    sizes = [len(g) for g in groups]
    if min(sizes) < 2:
        raise _refuse(f"groups of {sizes[0]} and {sizes[1]}; each needs at least two scores.")
    parts = [float(g.var(ddof=1)) / len(g) for g in groups]
    variance = sum(parts)
    df = variance**2 / sum(v**2 / (n - 1) for v, n in zip(parts, sizes, strict=True)) if variance > 0 else math.nan
    difference = float(groups[0].mean() - groups[1].mean())
    result = estimate_equivalence(difference, math.sqrt(variance), low=low, high=high, df=df, null=null, alpha=alpha)
    return replace(result, n=sum(sizes), method="TOST, two means (Welch)")


def interval_equivalence(
    interval: Callable[[float], _HasLimits], *, low: float, high: float, null: float = 0.0, alpha: float = ALPHA
) -> Equivalence:
    r"""Test equivalence with any interval: a bootstrap's, Wilson's, Newcombe's, that of a pooled effect.

    Equivalent if the 1 − 2α interval lies within the bounds; ``p_value`` is the smallest α at which it does, and 1 where even
    the estimate lies outside; ``p_difference`` the smallest α at which the 1 − α interval leaves out ``null``. With R
    replicates of a bootstrap no p value is below 1 / (R + 1).

    Parameters
    ----------
    interval
        Gives the interval at a confidence level, e.g. ``lambda level: replicates.interval(ci_level=level)``; an object with
        ``estimate``, ``ci_low`` and ``ci_high``.
    low, high, null, alpha
        As in :func:`estimate_equivalence`.

    Raises
    ------
    StatisticsError
        If bounds or level are impossible, or an interval is not defined.
    """
    _check(low, high, alpha)
    narrow = interval(1 - 2 * alpha)
    if not (math.isfinite(narrow.ci_low) and math.isfinite(narrow.ci_high)):
        raise _refuse("the interval is not defined.")
    least = SMALLEST_P if not hasattr(narrow, "replicates") else 1 / (narrow.replicates + 1)
    p_low = 1.0 if narrow.estimate <= low else _p(lambda a: interval(1 - 2 * a).ci_low - low, least, 0.5)
    p_high = 1.0 if narrow.estimate >= high else _p(lambda a: high - interval(1 - 2 * a).ci_high, least, 0.5)
    below = narrow.estimate < null
    p_difference = _p(lambda a: null - interval(1 - a).ci_high if below else interval(1 - a).ci_low - null, 2 * least, 1.0)
    inside = low < narrow.ci_low and narrow.ci_high < high
    wide = interval(1 - alpha)
    apart = not wide.ci_low <= null <= wide.ci_high
    return Equivalence(
        estimate=narrow.estimate, std_error=float(getattr(narrow, "std_error", math.nan)), df=math.nan, low=low, high=high,
        null=null, alpha=alpha, ci_low=narrow.ci_low, ci_high=narrow.ci_high, ci_level=1 - 2 * alpha, p_low=p_low, p_high=p_high,
        p_value=max(p_low, p_high), p_difference=p_difference, outcome=OUTCOMES[inside, apart],
        n=float(getattr(narrow, "n", math.nan)), n_clusters=float(getattr(narrow, "n_clusters", math.nan)),
        method="interval within bounds", note=str(getattr(narrow, "note", "")),
    )  # fmt: skip


def share_equivalence(
    events: ArrayLike,
    *,
    low: float,
    high: float,
    null: float,
    clusters: ArrayLike | pd.Series | None = None,
    alpha: float = ALPHA,
) -> Equivalence:
    """Test whether a share lies between two bounds (shares, 0 to 1), by Wilson's interval or its cluster-robust form.

    Without clusters the p values are those of the score test of a share.

    Parameters
    ----------
    events : (n,) booleans or 0/1
        As in :func:`attachment_outcomes.inference.proportions.proportion`.
    low, high, alpha
        As in :func:`estimate_equivalence`.
    null
        The share that "different" refers to, e.g. that of the norm.
    clusters : (n,) labels, optional
        Therapist of each person.

    Raises
    ------
    StatisticsError
        If there is nobody, an event is neither true nor false, or a setting is impossible.
    """
    found = interval_equivalence(
        lambda level: proportion(events, clusters=clusters, ci_level=level), low=low, high=high, null=null, alpha=alpha
    )
    return replace(found, method=f"interval within bounds: {WILSON if math.isnan(found.n_clusters) else CLUSTERED}")


def _p(margin: Callable[[float], float], least: float, most: float) -> float:
    """Return the smallest level at which a margin is positive: it grows with the level, from ``least`` up to ``most``."""

    def at(log_level: float) -> float:
        return margin(math.exp(log_level))

    # At level `most` itself the interval is the estimate alone, whose quantile 0 some intervals cannot divide by.
    ends = math.log(least), math.log(most * (1 - 1e-7))
    if at(ends[0]) > 0:
        return least
    return most if at(ends[1]) <= 0 else math.exp(float(brentq(at, *ends, xtol=1e-12, rtol=1e-12)))


def _check(low: float, high: float, alpha: float) -> None:
    if not low < high or (math.isinf(low) and math.isinf(high)):
        raise _refuse(f"found bounds {low} and {high}; allowed: the lower first, at most one of them infinite.")
    if not 0 < alpha < 0.5:
        raise _refuse(f"alpha is {alpha}; allowed: between 0 and .5.")


def _refuse(what: str, *, hint: str = "") -> StatisticsError:
    return StatisticsError(problem(PLACE, what, hint=hint))

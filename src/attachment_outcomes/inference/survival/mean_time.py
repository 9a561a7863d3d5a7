r"""How long do people wait on average, counted up to a horizon? The area under the curve, which needs no model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import cluster_codes, cluster_sums
from attachment_outcomes.inference.survival.curves import (
    Counts,
    Labels,
    Numbers,
    checked_times,
    count,
    few,
    influence_of,
    quantile_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestrictedMean:
    """A mean time up to ``horizon``, or a difference of two, in the unit of the times."""

    estimate: float
    std_error: float
    ci_low: float
    ci_high: float
    p_value: float
    ci_level: float
    horizon: float
    n: int
    n_clusters: float
    method: str
    note: str = ""


def restricted_mean(
    time: ArrayLike, event: ArrayLike, *, horizon: float, clusters: Labels | None = None, ci_level: float = CI_LEVEL
) -> RestrictedMean:
    r"""Return the mean time to the event, where nobody is counted for longer than the horizon.

    .. math:: \mu_\tau = \int_0^\tau S(t)\,dt, \quad
        \mathrm{Var} = \sum_{u \le \tau} \Big(\int_u^\tau S\Big)^2 \frac{d_u}{n_u (n_u - d_u)}

    With clusters the variance is that of their summed influences, with Student's t on G - 1 degrees of freedom.

    Parameters
    ----------
    time, event, clusters, ci_level
        As in :func:`~.curves.kaplan_meier`.
    horizon
        τ, in the unit of the times; not beyond the last time, as nobody knows how the curve goes on.

    Raises
    ------
    StatisticsError
        As :func:`~.curves.kaplan_meier`; or if the horizon is not above 0, or beyond the last time while people are left.

    References
    ----------
    Royston, P., & Parmar, M. K. B. (2013). BMC Medical Research Methodology, 13, 152. The variance as R's ``print.survfit``.
    """
    return _mean(*_area(time, event, horizon, clusters, ci_level), horizon=horizon, ci_level=ci_level)


def restricted_mean_difference(
    time: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    *,
    horizon: float,
    clusters: Labels | None = None,
    ci_level: float = CI_LEVEL,
) -> RestrictedMean:
    """Return the restricted mean time of those in the group minus that of the others; 0 is tested.

    Parameters
    ----------
    time, event, clusters, ci_level
        As in :func:`~.curves.kaplan_meier`. A cluster may have people in both groups.
    group : (n,) booleans
        Who belongs to the group that comes first in the difference.
    horizon
        As in :func:`restricted_mean`; within the last time of either group.

    Raises
    ------
    StatisticsError
        As :func:`restricted_mean`, of either group.
    """
    t, c = checked_times(time, event, place="restricted mean")
    inside = np.asarray(group, dtype=bool)
    if inside.shape != t.shape or inside.all() or not inside.any():
        raise StatisticsError(problem("restricted mean", "both groups need people, and everybody a group."))
    parts = [_area(t[rows], c[rows], horizon, None, ci_level) for rows in (inside, ~inside)]
    value = parts[0][0] - parts[1][0]
    if clusters is None:
        return _mean(value, parts[0][1] + parts[1][1], math.nan, len(t), parts[0][4], horizon=horizon, ci_level=ci_level)
    influence = np.empty(len(t))
    for rows, part, sign in zip((inside, ~inside), parts, (1.0, -1.0), strict=True):
        influence[rows] = sign * part[4]
    variance, groups = _between(influence, clusters)
    return _mean(value, variance, groups, len(t), influence, horizon=horizon, ci_level=ci_level)


def _area(
    time: ArrayLike, event: ArrayLike, horizon: float, clusters: Labels | None, ci_level: float
) -> tuple[float, float, float, int, Numbers]:
    """Return area, variance, number of clusters (NaN without), people, and the influence of each."""
    quantile_of(math.nan, ci_level)
    t, c = checked_times(time, event, place="restricted mean")
    if c.max() > 1:
        raise StatisticsError(problem("restricted mean", "an event is neither 0 nor 1."))
    if not (math.isfinite(horizon) and horizon > 0):
        raise StatisticsError(problem("restricted mean", f"found horizon {horizon}; allowed: a time above 0."))
    counts = count(t, c, 1)
    d, n = counts.events[0], counts.at_risk
    survival = np.cumprod(1 - d / n)
    if horizon > counts.times[-1] and survival[-1] > 0:
        hint = f"choose {counts.times[-1]:g} or less."
        raise StatisticsError(problem("restricted mean", f"nobody was followed to the horizon {horizon:g}.", hint=hint))
    edges = np.clip(np.append(counts.times, horizon), None, horizon)
    width = np.diff(edges)  # of the step that begins at each time; 0 beyond the horizon
    value = float(edges[0] + (survival * width).sum())
    influence = _influence(counts, c, width)
    if clusters is not None:
        return value, *_between(influence, clusters), len(t), influence
    to_come = (survival * width)[::-1].cumsum()[::-1]
    terms = np.divide(d, n * (n - d), out=np.zeros_like(n), where=n > d)
    return value, float((to_come**2 * terms).sum()), math.nan, len(t), influence


def _influence(counts: Counts, cause: np.ndarray, width: Numbers) -> Numbers:
    """Return each person's influence on the area: minus that on the incidence, summed over the steps."""
    found = influence_of(counts, 1)
    c = found.incidence
    before = np.concatenate([[0.0], np.cumsum((-found.a + c * found.b) * width)[:-1]])  # while still there
    length, weighted = (x[::-1].cumsum()[::-1] for x in (width, c * width))  # from each time on
    s = counts.place
    p, q = (found.p - found.a)[cause, s], (found.q + found.b)[cause, s]
    return -np.asarray(before[s] + p * length[s] + q * weighted[s])


def _between(influence: Numbers, clusters: Labels) -> tuple[float, float]:
    sums = cluster_sums(influence, cluster_codes(clusters, n=len(influence)))
    if len(sums) < 2:
        raise StatisticsError(problem("survival, clusters", f"{len(sums)} clusters; at least two are needed."))
    return float(len(sums) / (len(sums) - 1) * (sums**2).sum()), float(len(sums))


def _mean(
    value: float, variance: float, groups: float, n: int, influence: Numbers, *, horizon: float, ci_level: float
) -> RestrictedMean:
    error, df = math.sqrt(variance), groups - 1
    half = quantile_of(df, ci_level) * error
    ratio = abs(value) / error if error > 0 else math.nan
    p_value = float(2 * (norm.sf(ratio) if math.isnan(df) else student.sf(ratio, df)))
    return RestrictedMean(
        estimate=value, std_error=error, ci_low=value - half, ci_high=value + half, p_value=p_value, ci_level=ci_level,
        horizon=horizon, n=n, n_clusters=groups, note=few(groups),
        method="area under Kaplan-Meier" + ("" if math.isnan(groups) else ", cluster-robust"),
    )  # fmt: skip

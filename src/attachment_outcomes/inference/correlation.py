"""How closely do two scores of a pair go together? Pearson's correlation with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.jackknife import jackknife
from attachment_outcomes.inference.proportions import cluster_codes

FISHER = "Pearson, Fisher z"
JACKKNIFE = "Pearson, cluster jackknife of Fisher z"


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation; ``std_error`` is that of Fisher's z, ``n`` the pairs used and ``n_excluded`` those with a score missing."""

    r: float
    std_error: float
    ci_low: float
    ci_high: float
    p_value: float
    n: int
    n_clusters: int
    n_excluded: int
    method: str
    note: str = ""


def pearson(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    clusters: Sequence[object] | None = None,
    ci_level: float = CI_LEVEL,
) -> Correlation:
    r"""Pearson correlation over complete pairs, with Fisher's z interval.

    .. math:: \tanh\big(\operatorname{artanh} r \pm z / \sqrt{n - 3}\big)

    Parameters
    ----------
    x, y : (n,) float arrays
        Scores of the two members of each pair. Pairs with a missing score are left out and counted.
    clusters : (n,) sequence, optional
        What pairs share (a family). If a cluster holds more than one complete pair, the standard error of z is that of
        the jackknife over clusters, with t on G − 1 degrees of freedom.
    ci_level : float
        Confidence level of the interval.

    Returns
    -------
    Correlation
        ``p_value`` tests r = 0 (t test on n − 2 degrees of freedom; with clusters, z over its jackknife error).
        NaN with a note if fewer than 4 pairs are complete or a score does not vary.

    Raises
    ------
    StatisticsError
        If the lists differ in length, or a score is infinite.

    References
    ----------
    Fisher, R. A. (1921). Metron, 1, 3-32.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise StatisticsError(
            problem("correlation", f"found shapes {a.shape} and {b.shape}; allowed: two lists of the same length.")
        )
    if np.any(np.isinf(a)) or np.any(np.isinf(b)):
        raise StatisticsError(problem("correlation", "found an infinite score."))
    used = ~(np.isnan(a) | np.isnan(b))
    a, b = a[used], b[used]
    n, excluded = int(used.sum()), int((~used).sum())
    codes, groups = np.arange(n), n
    if clusters is not None:
        if len(clusters) != len(used):
            raise StatisticsError(problem("clusters", f"found {len(clusters)} for {len(used)} pairs; allowed: one a pair."))
        codes = cluster_codes([c for c, keep in zip(clusters, used, strict=True) if keep], n=n, missing="refuse")
        groups = len(np.unique(codes))
    nan = math.nan
    if n < 4:
        return Correlation(nan, nan, nan, nan, nan, n, groups, excluded, FISHER, "not defined: fewer than 4 complete pairs")
    r = _r(a, b)
    if math.isnan(r):
        return Correlation(nan, nan, nan, nan, nan, n, groups, excluded, FISHER, "not defined: a score does not vary")
    if abs(r) == 1:
        note = "the interval has no length because the scores determine each other"
        return Correlation(r, 0.0, r, r, 0.0, n, groups, excluded, FISHER, note)
    if groups < n:
        without = [_r(a[codes != g], b[codes != g]) for g in range(groups)]
        found = jackknife(r, without, scale=math.atanh, back=math.tanh, ci_level=ci_level)
        p = 2 * float(stats.t.sf(abs(math.atanh(r)) / found.std_error, groups - 1)) if found.std_error > 0 else nan
        return Correlation(r, found.std_error, found.ci_low, found.ci_high, p, n, groups, excluded, JACKKNIFE, found.note)
    error = 1 / math.sqrt(n - 3)
    half = critical(ci_level) * error
    p = 2 * float(stats.t.sf(abs(r) * math.sqrt((n - 2) / (1 - r**2)), n - 2))
    return Correlation(r, error, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half), p, n, groups, excluded, FISHER)


def _r(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:  # before centring: rounding may leave a constant a tiny spread
        return math.nan
    u, v = a - a.mean(), b - b.mean()
    value = float((u @ v) / math.sqrt(float(u @ u) * float(v @ v)))
    return math.copysign(1.0, value) if 1 - abs(value) < 1e-14 else value

r"""Many shares and means at once, with the same intervals as one at a time.

A share of weighted people and its variance, all columns of a matrix of events in two products:

.. math:: \hat p = \frac{\sum w_i y_i}{\sum w_i}, \quad
    V = \frac{G}{G-1}\frac{\sum_g \big(\sum_{i\in g} w_i (y_i-\hat p)\big)^2}{(\sum w_i)^2}

Wilson's interval is taken at the effective n as in :func:`attachment_outcomes.inference.proportions.proportion`; for independent
people of equal weight it is the plain one. With several imputed sets, variances are combined by Rubin's rules before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import norm
from scipy.stats import t as student

Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]
CELLS = 20_000_000  # of a block of events that is multiplied at once: 160 MB


@dataclass(frozen=True, slots=True)
class Spread:
    """Estimates (k,) with their variances and degrees of freedom, of one set of scores."""

    estimate: Numbers
    variance: Numbers
    df: float


@dataclass(frozen=True, slots=True)
class Pooled:
    """Estimates over all sets: ``allow`` tells whether an interval allows for more than independent, equal people."""

    estimate: Numbers
    variance: Numbers
    df: Numbers
    allow: bool


def membership(codes: Codes, weights: Numbers) -> csr_matrix:
    """Return the matrix (G, n) whose product with a column is the weighted sum in each cluster."""
    n = len(codes)
    return csr_matrix((weights, (codes, np.arange(n))), shape=(int(codes.max()) + 1, n))


def shares(events: NDArray[np.bool_], weights: Numbers, codes: Codes | None) -> Spread:
    """Return the share of events in each column with its variance.

    Parameters
    ----------
    events : (n, k) booleans
        A column a specification.
    weights : (n,) floats
        Of the people; 1 for all.
    codes : (n,) integers or None
        Cluster of each person from 0; None: independent.
    """
    total = float(weights.sum())
    n, k = events.shape
    step = max(1, CELLS // max(n, 1))
    estimates, variances = [], []
    member = None if codes is None else membership(codes, weights)
    of_cluster = None if member is None else np.asarray(member @ np.ones(n))
    for start in range(0, k, step):
        y = events[:, start : start + step].astype(float)
        p = weights @ y / total
        if member is None or of_cluster is None:
            squares = (weights**2 @ y) * (1 - 2 * p) + p**2 * float((weights**2).sum())
            variances.append(n / (n - 1) * squares / total**2)
        else:
            groups = len(of_cluster)
            sums = member @ y - np.outer(of_cluster, p)
            variances.append(groups / (groups - 1) * (sums**2).sum(axis=0) / total**2)
        estimates.append(p)
    df = float(n if of_cluster is None else len(of_cluster)) - 1
    return Spread(np.concatenate(estimates), np.maximum(np.concatenate(variances), 0.0), df)


@dataclass(frozen=True, slots=True)
class Influence:
    """Parts of the influence values of a standardised mean change: ``change`` and ``scale`` (n,), with u = change − d · scale."""

    estimate: float
    change: Numbers
    scale: Numbers
    weights: Numbers

    def variance(self, codes: Codes | None) -> tuple[float, float]:
        """Return the variance of the estimate and its degrees of freedom, summed within clusters if there are any."""
        u = self.change - self.estimate * self.scale
        sums = u if codes is None else np.bincount(codes, weights=u)
        groups = len(sums)
        return float(groups / (groups - 1) * (sums**2).sum() / self.weights.sum() ** 2), float(groups - 1)


def standardised(pre: Numbers, post: Numbers, weights: Numbers, sign: float) -> Influence:
    r"""Return the mean change towards better in SDs before, with its influence values.

    .. math:: d = \bar c/S, \quad u_i = w_i\frac{c_i}{S} - d\,w_i\Big(1 + \frac12\big(\frac{(x_i - \bar x)^2}{S^2} -
        \overline{(x - \bar x)^2/S^2}\big)\Big)

    With equal weights the same as :func:`attachment_outcomes.inference.effects.paired_change`.
    """
    total, n = float(weights.sum()), len(pre)
    centred = pre - weights @ pre / total
    sd = float(np.sqrt(weights @ centred**2 / total * n / (n - 1)))
    change = sign * (post - pre) / sd
    square = (centred / sd) ** 2
    scale = 1 + (square - weights @ square / total) / 2
    return Influence(float(weights @ change / total), weights * change, weights * scale, weights)


def pooled(sets: list[Spread], *, weighted: bool, clustered: bool) -> Pooled:
    """Combine the sets of scores: Rubin's total variance, and the degrees of freedom of Barnard and Rubin."""
    q, u = np.array([s.estimate for s in sets]), np.array([s.variance for s in sets])
    m, complete = len(sets), sets[0].df
    within = u.mean(axis=0)
    if m == 1:
        return Pooled(q[0], within, np.full(q.shape[1], complete), weighted or clustered)
    between = (1 + 1 / m) * q.var(axis=0, ddof=1)
    total = within + between
    share = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    observed = (complete + 1) / (complete + 3) * complete * (1 - share)
    rate = share**2 / (m - 1) + np.divide(1, observed, out=np.full_like(observed, np.inf), where=observed > 0)
    return Pooled(q.mean(axis=0), total, 1 / rate, True)


def share_limits(found: Pooled, n: float, ci_level: float) -> tuple[Numbers, Numbers, Numbers]:
    """Return standard errors and the limits of Wilson's interval at the effective n."""
    p, z = found.estimate, float(norm.ppf(0.5 + ci_level / 2))
    spread = p * (1 - p) / n
    # Rounding may put a share of all just below 1.
    inside = (p > 1e-12) & (p < 1 - 1e-12)
    effect = np.maximum(np.divide(found.variance, spread, out=np.ones_like(p), where=inside), 1.0)
    size = np.full_like(p, float(n))
    if found.allow:
        shrink = (z / student.ppf(0.5 + ci_level / 2, np.maximum(found.df, 1e-6))) ** 2
        size = np.where(inside, np.maximum(n / effect * shrink, 1.0), n)
    error = np.sqrt(spread * (effect if found.allow else 1.0))
    middle = (p + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * np.sqrt(p * (1 - p) / size + z**2 / (4 * size**2))
    return error, np.clip(middle - half, 0.0, 1.0), np.clip(middle + half, 0.0, 1.0)


def mean_limits(found: Pooled, ci_level: float) -> tuple[Numbers, Numbers, Numbers]:
    """Return standard errors and the limits of the t interval."""
    error = np.sqrt(found.variance)
    half = student.ppf(0.5 + ci_level / 2, found.df) * error
    return error, found.estimate - half, found.estimate + half

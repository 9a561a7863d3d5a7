r"""How well do two classifications agree, and do moves between classes balance, when people share therapists?

The tests of :mod:`.agreement` take units as independent. Here units are summed within clusters first, so that only clusters are.

Vocabulary
----------
codes      class of each unit as a number from 0, at the first and at the second reading
cluster    units that share something; None takes every unit as its own
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import Test
from attachment_outcomes.inference.effects import Effect, effect
from attachment_outcomes.inference.estimate import CI_LEVEL

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def kappa_of(shares: npt.ArrayLike) -> float:
    """Return Cohen's kappa of a square table of shares that sum to 1; NaN where chance agreement is complete."""
    p = np.asarray(shares, dtype=float)
    chance = float(p.sum(axis=1) @ p.sum(axis=0))
    return float((np.trace(p) - chance) / (1 - chance)) if chance < 1 else np.nan


def kappa_gradient(shares: npt.ArrayLike) -> Numbers:
    r"""Return how kappa moves with each cell's share.

    .. math:: \frac{\partial\kappa}{\partial p_{ij}} = \frac{\delta_{ij} - (p_{\cdot i} + p_{j\cdot})(1 - \kappa)}{1 - p_e}
    """
    p = np.asarray(shares, dtype=float)
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    slope: Numbers = (np.eye(len(p)) - (columns[:, None] + rows[None, :]) * (1 - kappa_of(p))) / (1 - float(rows @ columns))
    return slope


def clustered_kappa(first: Codes, second: Codes, classes: int, codes: Codes | None, *, ci_level: float = CI_LEVEL) -> Effect:
    r"""Return Cohen's kappa with an interval from influence values that are summed within clusters.

    .. math:: u = \frac{\partial\kappa}{\partial p_{ij}} - \sum_{kl} p_{kl}\frac{\partial\kappa}{\partial p_{kl}}

    for a unit in cell ij; then CR1 and t on G − 1 df. With every unit as its own cluster the standard error is that of Fleiss,
    Cohen and Everitt times :math:`\sqrt{n/(n-1)}`.

    Parameters
    ----------
    first, second : (n,) whole numbers
        Class of each unit, from 0.
    classes
        How many there are.
    codes : (n,) whole numbers, optional
        Clusters, from :func:`~attachment_outcomes.inference.proportions.cluster_codes`.
    ci_level
        Confidence level.

    Raises
    ------
    StatisticsError
        If one reading has a single class (kappa is then 0 or not defined), or there are fewer than two clusters.

    References
    ----------
    Fleiss, J. L., Cohen, J., & Everitt, B. S. (1969). Psychological Bulletin, 72, 323-327.
    """
    shares = _shares(first, second, classes)
    if min((shares.sum(axis=0) > 0).sum(), (shares.sum(axis=1) > 0).sum()) < 2:
        raise StatisticsError(problem("kappa", "a reading has a single class, so that kappa has no interval."))
    slope = kappa_gradient(shares)
    influence = slope[first, second] - float((shares * slope).sum())
    how = "Cohen's kappa, influence values" + ("" if codes is None else ", cluster-robust (CR1), t on G - 1 df")
    return effect(kappa_of(shares), influence, codes, method=how, ci_level=ci_level)


def _shares(first: Codes, second: Codes, classes: int) -> Numbers:
    if len(first) == 0 or len(first) != len(second):
        raise StatisticsError(problem("agreement", f"{len(first)} first and {len(second)} second classes; allowed: pairs."))
    table = np.bincount(first * classes + second, minlength=classes**2).reshape(classes, classes)
    found: Numbers = table / len(first)
    return found


def clustered_symmetry(first: Codes, second: Codes, classes: int, codes: Codes) -> Test:
    """Return Bowker's hypothesis (moves balance in each pair of classes) tested on cluster totals; see :func:`balance`."""
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    moves = np.column_stack(
        [((first == i) & (second == j)).astype(float) - ((first == j) & (second == i)) for i, j in pairs] or [np.zeros(len(first))]
    )
    return balance(moves, codes, drop_last=False)


def clustered_margins(first: Codes, second: Codes, classes: int, codes: Codes) -> Test:
    """Return Stuart's and Maxwell's hypothesis (equal margins) tested on cluster totals; see :func:`balance`."""
    moves = np.column_stack([(first == k).astype(float) - (second == k) for k in range(classes)])
    return balance(moves, codes, drop_last=True)


def balance(moves: Numbers, codes: Codes, *, drop_last: bool) -> Test:
    r"""Test that units' contributions have mean zero, with Hotelling's statistic on cluster totals.

    .. math::

        W = D' \Big(\sum_g s_g s_g'\Big)^{-1} D, \quad D = \sum_g s_g, \qquad
        F = \frac{G - q}{q}\,\frac{W}{G - W} \sim F_{q,\,G - q}

    With every unit as its own cluster, W is Bowker's (Stuart's and Maxwell's) own chi-square statistic; F is the exact
    reference for totals that are normal, and keeps its level with few clusters where the chi-square does not.

    Parameters
    ----------
    moves : (n, q) floats
        Contributions of each unit; columns without any are left out.
    codes : (n,) whole numbers
        Clusters.
    drop_last
        Whether the columns that remain sum to zero, so that the last one says nothing of its own.

    Returns
    -------
    Test
        ``statistic`` is F, ``df`` its first degrees of freedom; the note tells the second. NaN with a note where there are not
        more clusters than contributions, or they determine one another.
    """
    used = moves[:, (moves != 0).any(axis=0)]
    if drop_last:
        used = used[:, :-1]
    q, groups = used.shape[1], int(codes.max()) + 1 if len(codes) else 0
    if q == 0:
        return Test(np.nan, 0.0, np.nan, "not defined: no unit changes class")
    if groups <= q:
        return Test(np.nan, q, np.nan, "not defined: no more clusters than contrasts")
    totals = np.column_stack([np.bincount(codes, weights=used[:, k], minlength=groups) for k in range(q)])
    spread = totals.T @ totals
    if np.linalg.matrix_rank(spread) < q:
        return Test(np.nan, q, np.nan, "not defined: the contrasts determine one another within clusters")
    total = totals.sum(axis=0)
    wald = float(total @ np.linalg.solve(spread, total))
    if wald >= groups:
        return Test(np.nan, q, np.nan, "not defined: clusters do not differ")
    statistic = (groups - q) / q * wald / (groups - wald)
    return Test(statistic, q, float(stats.f.sf(statistic, q, groups - q)), f"F on {q} and {groups - q} df")


def paired_share_difference(
    first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_], codes: Codes | None, *, ci_level: float = CI_LEVEL
) -> Effect:
    """Return by how much more common something is at the second reading than at the first, with a (cluster-robust) t interval.

    It is what McNemar's test asks about, as a difference of shares; unlike the exact test it can allow for clusters.
    """
    change = second.astype(float) - first
    how = "difference of paired shares" + ("" if codes is None else ", cluster-robust (CR1), t on G - 1 df")
    value = float(change.mean())
    return effect(value, change - value, codes, method=how, ci_level=ci_level)

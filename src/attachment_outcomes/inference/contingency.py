"""What do tables of counts say, many tables at once? Plain functions of (..., rows, columns) arrays, without intervals.

For one table with its interval see :mod:`.association`; for tests see :mod:`.agreement`. Rows are the first reading (the parent),
columns the second (the child). What a table does not define is NaN; cells need not be whole numbers.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def shares(tables: npt.ArrayLike) -> Numbers:
    """Return each table's cells as shares of its total."""
    t = np.asarray(tables, dtype=np.float64)
    return _ratio(t, t.sum(axis=(-2, -1))[..., None, None])


def _ratio(above: Numbers, below: Numbers) -> Numbers:
    """Divide, NaN where the divisor is 0."""
    out: Numbers = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    return np.divide(above, below, out=out, where=np.broadcast_to(below != 0, out.shape))


def agreement(tables: npt.ArrayLike) -> Numbers:
    """Share on the diagonal."""
    return np.asarray(np.trace(shares(tables), axis1=-2, axis2=-1))


def chance_agreement(tables: npt.ArrayLike) -> Numbers:
    """Share on the diagonal that the margins give by themselves."""
    p = shares(tables)
    return np.asarray((p.sum(axis=-1) * p.sum(axis=-2)).sum(axis=-1))


def kappa(tables: npt.ArrayLike) -> Numbers:
    """Cohen's kappa; NaN where everybody is in one class."""
    chance = chance_agreement(tables)
    return _ratio(agreement(tables) - chance, 1 - chance)


def kappa_error(table: Numbers) -> float:
    """Large-sample standard error of kappa in one table (Fleiss, Cohen & Everitt, 1969), whose cells may be fractions."""
    p = shares(table)
    k, chance = float(kappa(table)), float(chance_agreement(table))
    inner = np.eye(len(p)) - (p.sum(axis=0)[:, None] + p.sum(axis=1)[None, :]) * (1 - k)
    variance = (p * inner**2).sum() - (k - chance * (1 - k)) ** 2
    return math.sqrt(max(float(variance), 0.0) / float(table.sum())) / (1 - chance)


def pabak(tables: npt.ArrayLike) -> Numbers:
    r"""Prevalence- and bias-adjusted kappa, :math:`(K p_o - 1)/(K - 1)`: kappa if all classes were equally common.

    Byrt, T., Bishop, J., & Carlin, J. B. (1993). Journal of Clinical Epidemiology, 46, 423-429.
    """
    return pabak_of(agreement(tables), classes=np.asarray(tables).shape[-1])


def pabak_of(share: npt.ArrayLike, *, classes: int) -> Numbers:
    """Return :func:`pabak` of shares on the diagonal, and so of their limits."""
    return np.asarray((classes * np.asarray(share, dtype=np.float64) - 1) / (classes - 1))


def prevalence_index(tables: npt.ArrayLike) -> Numbers:
    """Share of 2 x 2 tables in the first class twice, less that in the second twice (Byrt et al., 1993; signed)."""
    p = shares(tables)
    return np.asarray(p[..., 0, 0] - p[..., 1, 1])


def bias_index(tables: npt.ArrayLike) -> Numbers:
    """How much more common the first class is in the rows than in the columns of 2 x 2 tables (Byrt et al., 1993; signed)."""
    p = shares(tables)
    return np.asarray(p[..., 0, 1] - p[..., 1, 0])


def phi(tables: npt.ArrayLike) -> Numbers:
    """Correlation of the two dichotomies of 2 x 2 tables."""
    t = np.asarray(tables, dtype=np.float64)
    spread = np.prod(t.sum(axis=-1), axis=-1) * np.prod(t.sum(axis=-2), axis=-1)
    return _ratio(t[..., 0, 0] * t[..., 1, 1] - t[..., 0, 1] * t[..., 1, 0], np.sqrt(spread))


def phi_error(table: Numbers) -> float:
    """Large-sample standard error of phi in one 2 x 2 table (Bishop, Fienberg & Holland, 1975), whose cells may be fractions."""
    p, value = shares(table), float(phi(table))
    u, v = ((m[0] - m[1]) / math.sqrt(float(np.prod(m))) for m in (p.sum(axis=1), p.sum(axis=0)))
    variance = 1 - value**2 + value * (1 + value**2 / 2) * u * v - 0.75 * value**2 * (u**2 + v**2)
    return math.sqrt(max(float(variance), 0.0) / float(table.sum()))


def phi_square(tables: npt.ArrayLike) -> Numbers:
    """Chi-square over n; empty rows and columns add nothing."""
    p = shares(tables)
    fit = p.sum(axis=-1)[..., :, None] * p.sum(axis=-2)[..., None, :]
    return np.asarray(np.where(fit > 0, _ratio((p - fit) ** 2, fit), 0.0).sum(axis=(-2, -1)))


def entropy(p: npt.ArrayLike, axis: int | tuple[int, ...] = -1) -> Numbers:
    """Entropy of shares in nats."""
    array = np.asarray(p, dtype=np.float64)
    return np.asarray(-(array * np.log(np.where(array > 0, array, 1.0))).sum(axis=axis))


def uncertainty(tables: npt.ArrayLike) -> Numbers:
    r"""Share of the columns' entropy that the rows take away, :math:`(H_r + H_c - H_{rc})/H_c` (Theil, 1970)."""
    p = shares(tables)
    columns = entropy(p.sum(axis=-2))
    return _ratio(entropy(p.sum(axis=-1)) + columns - entropy(p, axis=(-2, -1)), columns)


def reduction_of_error(tables: npt.ArrayLike) -> Numbers:
    r"""Goodman and Kruskal's lambda: by how much knowing the row lowers the errors in guessing the commonest column.

    .. math:: \lambda = \frac{\sum_i \max_j p_{ij} - \max_j p_{\cdot j}}{1 - \max_j p_{\cdot j}}

    Goodman, L. A., & Kruskal, W. H. (1954). Journal of the American Statistical Association, 49, 732-764.
    """
    p = shares(tables)
    guess = p.sum(axis=-2).max(axis=-1)
    return _ratio(p.max(axis=-1).sum(axis=-1) - guess, 1 - guess)


def risks(tables: npt.ArrayLike) -> tuple[Numbers, Numbers]:
    """Share of the first and of the second row of 2 x 2 tables that falls into the first column."""
    t = np.asarray(tables, dtype=np.float64)
    p = _ratio(t[..., 0], t.sum(axis=-1))
    return p[..., 0], p[..., 1]


def risk_difference(tables: npt.ArrayLike) -> Numbers:
    """First row's risk less the second's."""
    first, second = risks(tables)
    return np.asarray(first - second)


def log_risk_ratio(tables: npt.ArrayLike) -> Numbers:
    """Logarithm of the first row's risk over the second's; NaN where either is 0."""
    first, second = risks(tables)
    return _log(first) - _log(second)


def log_odds_ratio(tables: npt.ArrayLike) -> Numbers:
    """Logarithm of ad / bc; NaN where a cell is 0."""
    logs = _log(np.asarray(tables, dtype=np.float64))
    return np.asarray(logs[..., 0, 0] + logs[..., 1, 1] - logs[..., 0, 1] - logs[..., 1, 0])


def _log(values: Numbers) -> Numbers:
    out: Numbers = np.full(values.shape, np.nan)
    return np.log(values, out=out, where=values > 0)

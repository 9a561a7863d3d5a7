r"""How sure are the correlations that paths are computed from, in data and in publications?

Vocabulary
----------
z      Fisher's, :math:`\operatorname{artanh} r`; correlations are drawn on this scale, where their distribution is nearly normal
upper  the q = p(p - 1)/2 correlations above the diagonal, row by row
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.proportions import cluster_codes

Numbers = NDArray[np.float64]
PLACE = "correlations"
FLAT = 1e-12  # variance of a standardised variable below which a resampled one does not vary


def upper(matrices: Numbers) -> Numbers:
    """Return the correlations above the diagonal, (..., q), of matrices (..., p, p)."""
    rows, columns = np.triu_indices(matrices.shape[-1], 1)
    return np.asarray(matrices[..., rows, columns])


def full(correlations: Numbers) -> Numbers:
    """Return matrices (..., p, p) of correlations above the diagonal (..., q)."""
    p = (1 + int(np.sqrt(1 + 8 * correlations.shape[-1]))) // 2
    out = np.broadcast_to(np.eye(p), (*correlations.shape[:-1], p, p)).copy()
    rows, columns = np.triu_indices(p, 1)
    out[..., rows, columns] = out[..., columns, rows] = correlations
    return out


def cross_products(standard: Numbers) -> Numbers:
    """Return what is summed for correlations: 1, the variables, and their products, a row each."""
    rows, columns = np.triu_indices(standard.shape[1])
    return np.column_stack([np.ones(len(standard)), standard, standard[:, rows] * standard[:, columns]])


def correlations_of_sums(sums: Numbers) -> Numbers:
    """Return the correlations (..., q) of sums of :func:`cross_products`; NaN where a variable does not vary."""
    p = (int(np.sqrt(9 + 8 * (sums.shape[-1] - 1))) - 3) // 2
    mean = sums[..., 1 : p + 1] / sums[..., :1]
    rows, columns = np.triu_indices(p)
    covariance = sums[..., p + 1 :] / sums[..., :1] - mean[..., rows] * mean[..., columns]
    variance = covariance[..., rows == columns]
    sd = np.sqrt(np.where(variance > FLAT, variance, np.nan))
    off = rows < columns
    return np.asarray(np.clip(covariance[..., off] / (sd[..., rows[off]] * sd[..., columns[off]]), -1, 1))


def standardised(values: ArrayLike) -> Numbers:
    """Return the variables (n, p) with mean 0 and variance 1 (the sum of squares over n).

    Raises
    ------
    StatisticsError
        If a variable does not vary.
    """
    table = np.asarray(values, dtype=np.float64)
    if (np.ptp(table, axis=0) == 0).any():
        raise StatisticsError(problem(PLACE, "a variable does not vary."))
    return np.asarray((table - table.mean(axis=0)) / table.std(axis=0))


def robust_covariance(values: ArrayLike, clusters: ArrayLike | None = None) -> tuple[Numbers, Numbers, int]:
    r"""Correlations of data with a covariance that presumes neither normality nor independence within clusters.

    .. math::

        u_{i,jk} = z_{ij} z_{ik} - \tfrac12 r_{jk}(z_{ij}^2 + z_{ik}^2), \qquad
        \hat V = \frac{G}{G-1}\,\frac{1}{n^2} \sum_g \Big(\sum_{i \in g} u_i\Big)\Big(\sum_{i \in g} u_i\Big)'

    Parameters
    ----------
    values : (n, p)
        Variables, none missing.
    clusters : (n,), optional
        What rows share (a family); without, every row is its own.

    Returns
    -------
    correlations : (p, p)
    covariance : (q, q)
        Of the correlations above the diagonal, row by row.
    n_clusters : int

    Raises
    ------
    StatisticsError
        If a variable does not vary, or there are fewer than two clusters.

    References
    ----------
    Steiger, J. H., & Hakstian, A. R. (1982). British Journal of Mathematical and Statistical Psychology, 35, 208-215 (the
    distribution-free covariance of correlations, here summed within clusters).
    """
    z = standardised(values)
    n, p = z.shape
    codes = np.arange(n) if clusters is None else cluster_codes(clusters, n=n, missing="refuse")
    groups = int(codes.max()) + 1
    if groups < 2:
        raise StatisticsError(problem(PLACE, "all rows belong to one family; at least two are needed."))
    rows, columns = np.triu_indices(p, 1)
    matrix = np.asarray(z.T @ z / n)
    np.fill_diagonal(matrix, 1.0)
    influence = z[:, rows] * z[:, columns] - matrix[rows, columns] * (z[:, rows] ** 2 + z[:, columns] ** 2) / 2
    sums = np.zeros((groups, len(rows)))
    np.add.at(sums, codes, influence)
    return matrix, np.asarray(groups / (groups - 1) * (sums.T @ sums) / n**2), groups


def olkin_siotani(matrix: ArrayLike) -> Numbers:
    r"""Covariance, times n, of the correlations of one normal sample of size n.

    .. math::

        n\,\mathrm{cov}(r_{ij}, r_{kl}) = \tfrac12 r_{ij} r_{kl}(r_{ik}^2 + r_{il}^2 + r_{jk}^2 + r_{jl}^2)
        + r_{ik} r_{jl} + r_{il} r_{jk}
        - (r_{ij} r_{ik} r_{il} + r_{ji} r_{jk} r_{jl} + r_{ki} r_{kj} r_{kl} + r_{li} r_{lj} r_{lk})

    Parameters
    ----------
    matrix : (p, p)
        Correlations.

    Returns
    -------
    (q, q) array
        For the correlations above the diagonal, row by row.

    References
    ----------
    Olkin, I., & Siotani, M. (1976). In S. Ikeda (Ed.), Essays in probability and statistics (pp. 235-251).
    Steiger, J. H. (1980). Psychological Bulletin, 87, 245-251, eq. 3.
    """
    r = np.asarray(matrix, dtype=np.float64)
    rows, columns = np.triu_indices(len(r), 1)
    i, j = rows[:, None], columns[:, None]
    k, m = rows[None, :], columns[None, :]
    squares = r[i, k] ** 2 + r[i, m] ** 2 + r[j, k] ** 2 + r[j, m] ** 2
    threes = r[i, j] * r[i, k] * r[i, m] + r[j, i] * r[j, k] * r[j, m] + r[k, i] * r[k, j] * r[k, m] + r[m, i] * r[m, j] * r[m, k]
    return np.asarray(r[i, j] * r[k, m] * squares / 2 + r[i, k] * r[j, m] + r[i, m] * r[j, k] - threes)


def on_fisher_z(correlations: Numbers, covariance: Numbers) -> Numbers:
    """Return the covariance of Fisher's z from that of the correlations (q,): divided by 1 - r² on either side."""
    slope = 1 / (1 - correlations**2)
    return np.asarray(covariance * slope[:, None] * slope[None, :])

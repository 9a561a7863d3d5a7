r"""What does a factor model say of the means and covariances of the observed variables?

.. math:: \mu = \nu + \Lambda\alpha, \qquad \Sigma = \Lambda\Psi\Lambda^\top + \Theta

Vocabulary
----------
loadings            :math:`\Lambda` (p × m): what a variable gains with one unit of a factor
intercepts          :math:`\nu` (p): a variable's mean where all factors are 0
factor covariances  :math:`\Psi` (m × m), and factor means :math:`\alpha` (m)
uniquenesses        :math:`\Theta` (p × p): variances, and covariances, of what no factor explains
cell                an element of one of these: a number is fixed, a word is a free parameter, equal words are equal parameters
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]
Cell = float | int | str
FIXED = -1  # the index of a cell that holds no free parameter


@dataclass(frozen=True)
class Block:
    """One matrix or vector of a model: the values of its fixed cells, and the index of each free one (-1: fixed)."""

    fixed: Numbers
    index: Whole

    def filled(self, parameters: Numbers) -> Numbers:
        """Return the matrix at these parameters."""
        out = self.fixed.copy()
        free = self.index >= 0
        out[free] = parameters[self.index[free]]
        return out

    def gathered(self, gradient: Numbers, n: int) -> Numbers:
        """Return the sum over the cells of each of n parameters."""
        free = self.index >= 0
        found: Numbers = np.bincount(self.index[free], weights=gradient[free], minlength=n).astype(np.float64)
        return found


@dataclass(frozen=True)
class Structure:
    """A factor model; make it with :func:`structure`."""

    parameters: tuple[str, ...]
    loadings: Block
    intercepts: Block
    factor_covariance: Block
    factor_means: Block
    uniqueness: Block

    @property
    def shape(self) -> tuple[int, int]:
        """Number of variables and of factors."""
        p, m = self.loadings.fixed.shape
        return p, m

    def implied(self, parameters: Numbers) -> tuple[Numbers, Numbers]:
        """Return the means (p) and covariances (p × p) that the model implies."""
        lam, psi = self.loadings.filled(parameters), self.factor_covariance.filled(parameters)
        mean = self.intercepts.filled(parameters) + lam @ self.factor_means.filled(parameters)
        return mean, lam @ psi @ lam.T + self.uniqueness.filled(parameters)

    def chain(self, parameters: Numbers, by_mean: Numbers, by_covariance: Numbers) -> Numbers:
        """Turn the gradient by means (p) and covariances (p × p, symmetric, as in tr(G dS)) into that by parameters (q)."""
        q = len(parameters)
        lam, psi = self.loadings.filled(parameters), self.factor_covariance.filled(parameters)
        alpha = self.factor_means.filled(parameters)
        found = self.loadings.gathered(2 * by_covariance @ lam @ psi + np.outer(by_mean, alpha), q)
        found += self.intercepts.gathered(by_mean, q)
        found += self.factor_covariance.gathered(lam.T @ by_covariance @ lam, q)
        found += self.factor_means.gathered(lam.T @ by_mean, q)
        return found + self.uniqueness.gathered(by_covariance, q)

    def jacobian(self, parameters: Numbers) -> tuple[Numbers, Numbers]:
        """Return the derivatives of the means (q × p) and of the covariances (q × p × p) by the parameters."""
        p, _ = self.shape
        q = len(parameters)
        lam, psi = self.loadings.filled(parameters), self.factor_covariance.filled(parameters)
        alpha = self.factor_means.filled(parameters)
        mean, covariance = np.zeros((q, p)), np.zeros((q, p, p))
        slopes = psi @ lam.T
        for i, j in zip(*np.nonzero(self.loadings.index >= 0), strict=True):
            k = self.loadings.index[i, j]
            mean[k, i] += alpha[j]
            covariance[k, i, :] += slopes[j]
            covariance[k, :, i] += slopes[j]
        for i in np.flatnonzero(self.intercepts.index >= 0):
            mean[self.intercepts.index[i], i] += 1
        for a, b in zip(*np.nonzero(self.factor_covariance.index >= 0), strict=True):
            covariance[self.factor_covariance.index[a, b]] += np.outer(lam[:, a], lam[:, b])
        for a in np.flatnonzero(self.factor_means.index >= 0):
            mean[self.factor_means.index[a]] += lam[:, a]
        for i, j in zip(*np.nonzero(self.uniqueness.index >= 0), strict=True):
            covariance[self.uniqueness.index[i, j], i, j] += 1
        return mean, covariance


def structure(
    *,
    loadings: Sequence[Sequence[Cell]],
    intercepts: Sequence[Cell],
    factor_covariance: Sequence[Sequence[Cell]],
    factor_means: Sequence[Cell],
    uniqueness: Sequence[Sequence[Cell]],
) -> Structure:
    """Return a model from its cells: a number is fixed, a word a free parameter, equal words the same parameter.

    Parameters
    ----------
    loadings
        p rows of m cells.
    intercepts
        p cells.
    factor_covariance
        m rows of m cells, symmetric.
    factor_means
        m cells.
    uniqueness
        p rows of p cells, symmetric.

    Raises
    ------
    StatisticsError
        If shapes do not fit or a matrix of covariances is not symmetric.

    Examples
    --------
    >>> one = structure(loadings=[["a"], ["b"], ["c"]], intercepts=["i", "j", "k"], factor_covariance=[[1]], factor_means=[0],
    ...                 uniqueness=[["u", 0, 0], [0, "v", 0], [0, 0, "w"]])
    >>> one.parameters
    ('a', 'b', 'c', 'i', 'j', 'k', 'u', 'v', 'w')
    """
    names: dict[str, int] = {}
    blocks = [_block(cells, names) for cells in (loadings, intercepts, factor_covariance, factor_means, uniqueness)]
    lam, nu, psi, alpha, theta = blocks
    if lam.fixed.ndim != 2:
        raise StatisticsError("factor model: loadings need a row a variable and a column a factor")
    p, m = lam.fixed.shape
    wanted = [(p, m), (p,), (m, m), (m,), (p, p)]
    words = ["loadings", "intercepts", "factor covariances", "factor means", "uniquenesses"]
    for block, shape, word in zip(blocks, wanted, words, strict=True):
        if block.fixed.shape != shape:
            raise StatisticsError(f"factor model: {word} have shape {block.fixed.shape}; the loadings ask for {shape}")
    for block, word in ((psi, words[2]), (theta, words[4])):
        if not (np.array_equal(block.index, block.index.T) and np.array_equal(block.fixed, block.fixed.T)):
            raise StatisticsError(f"factor model: {word} are not symmetric")
    return Structure(tuple(names), lam, nu, psi, alpha, theta)


def _block(cells: Sequence[Cell] | Sequence[Sequence[Cell]], names: dict[str, int]) -> Block:
    table = np.array(cells, dtype=object)
    fixed, index = np.zeros(table.shape), np.full(table.shape, FIXED, dtype=np.int64)
    for at in np.ndindex(table.shape):
        cell: Any = table[at]
        if isinstance(cell, str):
            index[at] = names.setdefault(cell, len(names))
        else:
            fixed[at] = float(cell)
    return Block(fixed, index)


def diagonal(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Return a square table of cells with these on its diagonal and zeros elsewhere."""
    return [[cell if i == j else 0 for j in range(len(cells))] for i, cell in enumerate(cells)]

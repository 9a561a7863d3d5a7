r"""What becomes of security over generations if transmission goes on as it is? Powers of the matrix of transmission.

A projection is no forecast. It takes transmission to be first-order and the same in all generations, and a child's class in the
Strange Situation to stand for the class that the child will have as a parent.

Vocabulary
----------
transition matrix   share of children in each class (columns) given the parent's class (rows)
start               shares of the classes in generation 0, today's parents
line                a parent, a child, the child's child and so on
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
DOUBLINGS = 24  # 2 to this power of generations is as good as for ever, unless classes exchange next to nobody
LEAST = 1e-12
EVERYTHING = 1 - 1e-4  # a difference left from here on is all of it: fits are no nearer


def transitions(counts: npt.ArrayLike) -> Numbers:
    """Return the transition matrices of tables of parents by children (…, K, K), counts or shares; each row sums to 1.

    A class that nobody has, parent or child, has a row of zeros. A class that only children have makes the matrix undefined (NaN):
    nobody knows what they would pass on.
    """
    table = np.asarray(counts, dtype=np.float64)
    rows, columns = table.sum(axis=-1), table.sum(axis=-2)
    out = np.divide(table, rows[..., None], out=np.zeros_like(table), where=rows[..., None] > LEAST)
    unknown = np.asarray(((rows <= LEAST) & (columns > LEAST)).any(axis=-1))
    return np.where(unknown[..., None, None] | np.isnan(table), math.nan, out)


def powers(matrix: npt.ArrayLike, ahead: int) -> Numbers:
    """Return the matrix to the powers 0 to ``ahead``: (…, ahead + 1, K, K)."""
    p = np.asarray(matrix, dtype=np.float64)
    found = [np.broadcast_to(np.eye(p.shape[-1]), p.shape)]
    for _ in range(ahead):
        found.append(found[-1] @ p)
    return np.stack(found, axis=-3)


def project(start: npt.ArrayLike, matrix: npt.ArrayLike, ahead: int) -> Numbers:
    r"""Return the shares of the classes in generations 0 to ``ahead``, :math:`m'P^k`: (…, ahead + 1, K).

    Parameters
    ----------
    start : (…, K)
        Shares of the classes in generation 0.
    matrix : (…, K, K)
        Transition matrix, parents in rows.
    ahead : int
        Generations.

    Examples
    --------
    >>> project([1, 0], [[0.8, 0.2], [0.4, 0.6]], 2).round(2).tolist()
    [[1.0, 0.0], [0.8, 0.2], [0.72, 0.28]]
    """
    m = np.asarray(start, dtype=np.float64)
    return np.asarray(np.einsum("...i,...kij->...kj", m, powers(matrix, ahead)), dtype=float)


def long_run(start: npt.ArrayLike, matrix: npt.ArrayLike) -> Numbers:
    """Return the shares of the classes to which generations tend (…, K); where classes exchange nobody, it depends on the start."""
    p = np.asarray(matrix, dtype=np.float64)
    # Half a step each generation has the same end, and no cycles.
    lazy = (np.eye(p.shape[-1]) + p) / 2
    sums = lazy.sum(axis=-1, keepdims=True)
    lazy = np.divide(lazy, sums, out=np.zeros_like(lazy), where=sums > 0)
    for _ in range(DOUBLINGS):
        lazy = lazy @ lazy
    return np.asarray(np.einsum("...i,...ij->...j", np.asarray(start, dtype=np.float64), lazy), dtype=float)


def difference_left(matrix: npt.ArrayLike) -> Numbers:
    r"""Return how much of a difference between lines is left after a generation: the mean of all eigenvalues but the first (…).

    .. math:: \bar\lambda = \frac{\operatorname{tr} P - 1}{K - 1}

    over the K classes that occur. For two classes it is P(secure | secure) − P(secure | insecure), the second eigenvalue. The
    largest of several would say what lasts longest, but as the largest of several uncertain numbers it comes out much too large.
    NaN where the matrix is, or a single class occurs.
    """
    p = np.asarray(matrix, dtype=np.float64)
    classes = (p.sum(axis=-1) > LEAST).sum(axis=-1)
    found = (np.trace(p, axis1=-2, axis2=-1) - 1) / np.maximum(classes - 1, 1)
    return np.asarray(np.where(classes > 1, found, math.nan), dtype=float)


def half_life(left: npt.ArrayLike) -> Numbers:
    r"""Return the generations after which half of a difference between lines is left, :math:`\ln .5 / \ln\bar\lambda`.

    ``left`` is :func:`difference_left`. NaN where it is not between 0 and .9999: nothing is passed on, or everything.
    """
    value = np.asarray(left, dtype=np.float64)
    fine = (value > 0) & (value < EVERYTHING)
    return np.where(fine, math.log(0.5) / np.log(np.where(fine, value, 0.5)), math.nan)


def product_table(chains: npt.ArrayLike) -> Numbers:
    r"""Return the shares of grandparent by child (…, K, K) that a first-order chain with the two observed tables would have.

    .. math:: P(g, c) = \sum_p P(g, p) P(c|p)

    Parameters
    ----------
    chains : (…, K, K, K)
        Counts of grandparent, parent and child.
    """
    table = np.asarray(chains, dtype=np.float64)
    older, younger = table.sum(axis=-1), table.sum(axis=-3)
    parents = younger.sum(axis=-1, keepdims=True)
    onward = np.divide(younger, parents, out=np.zeros_like(younger), where=parents > 0)
    return np.asarray(older @ onward / table.sum(axis=(-3, -2, -1))[..., None, None], dtype=float)


def agreement_bounds(first: float, second: float, *, classes: int = 2) -> tuple[float, float]:
    r"""Return the least and greatest agreement of grandparents and children that two published agreements leave possible.

    With agreement a between grandparents and parents and b between parents and children,

    .. math:: |a + b - 1| \text{ (two classes) or } \max(0, a + b - 1) \;\le\; agreement \;\le\; 1 - |a - b|.

    A first-order chain can have any agreement in that range, and no chain whatever one outside it. So published agreements
    alone can never tell whether a chain is first-order; the joint table can.
    """
    low = abs(first + second - 1) if classes == 2 else max(0.0, first + second - 1)
    return low, 1 - abs(first - second)

r"""Which table of classes lies behind the one seen, if both classifications err?

With T the true table (shares, rows by columns), A and B the error matrices of rows and columns (row: true class, column: class
given, rows sum to 1) the table seen is on average

.. math:: P = A' T B

if the two errors are independent of each other and of the other member's class, given the own true class.

Vocabulary
----------
error matrix  chance of each class given (columns) for each true class (rows)
reversible    the errors leave the shares of classes as they are: :math:`m_i a_{ij} = m_j a_{ji}`
retest        the same people classified again; for such errors kappa of the two classifications is that of :math:`A A`
inversion     :math:`A'^{-1} P B^{-1}`: without bias, but its cells can be negative
possible      with no negative cell
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import Numbers, counts
from attachment_outcomes.inference.proportions import as_numbers

Flags = NDArray[np.bool_]

ROUNDING = 0.01  # by which rows of an error matrix may miss 1: published shares are rounded
ONE_SIDED = 0.02  # a cell of a retest below minus this is no rounding of 0 (see ``errors_from_retest``)
SINGULAR = 1e-3  # smallest singular value of an error matrix: below it classes cannot be told apart
NEGATIVE = -1e-12  # a cell below is negative, not rounding
TRACE = 1e-8  # a share below is one on its way to 0
GAP = 1e-9  # largest log-likelihood a pair that may be missing where the iteration stops
GIVE_UP = 20_000  # steps
START = 1e-3  # least share that a cell begins with: from 0 it could not grow


def _turned(a: Numbers) -> Numbers:
    return np.swapaxes(a, -1, -2)


def margin_preserving_errors(kappa: ArrayLike, margins: ArrayLike) -> Numbers:
    r"""Return the errors behind a retest kappa if who is misread gets any class in proportion to how common it is.

    .. math:: A = \rho I + (1 - \rho)\,1 m', \quad \rho = \sqrt{\kappa}

    With chance :math:`\rho` a person gets the true class, otherwise one drawn from the margins m. Two such classifications of
    the same people have kappa :math:`\rho^2` and the margins m both times.

    Parameters
    ----------
    kappa : (...) array
        Kappa of two classifications of the same people, above 0 and up to 1.
    margins : (..., K) array
        Shares of the classes.

    Returns
    -------
    (..., K, K) array
        Error matrices.

    Raises
    ------
    StatisticsError
        If a kappa is not above 0 and up to 1.
    """
    share = np.sqrt(np.asarray(kappa, dtype=float))[..., None, None]
    if not ((share > 0) & (share <= 1)).all():
        raise StatisticsError(problem("retest kappa", "is not above 0 and up to 1; without agreement nothing can be corrected."))
    m = np.asarray(margins, dtype=float)[..., None, :]
    return np.asarray(share * np.eye(m.shape[-1]) + (1 - share) * m, dtype=float)


def retest_kappa_error(kappa: float, margins: ArrayLike, n: int) -> float:
    r"""Return the large-sample error of a retest kappa from n people, from the table :math:`\kappa D_m + (1 - \kappa) m m'`.

    References
    ----------
    Fleiss, J. L., Cohen, J., & Everitt, B. S. (1969). Psychological Bulletin, 72, 323-327.
    """
    m = np.asarray(margins, dtype=float)
    table = kappa * np.diag(m) + (1 - kappa) * np.outer(m, m)
    chance = float(m @ m)
    weights = np.eye(len(m)) - (m[:, None] + m[None, :]) * (1 - kappa)
    variance = float((table * weights**2).sum()) - (kappa - chance * (1 - kappa)) ** 2
    return float(np.sqrt(max(variance, 0.0) / n) / (1 - chance)) if chance < 1 else float("nan")


def errors_from_retest(table: ArrayLike) -> Numbers:
    r"""Return the errors that a retest table shows, if they are reversible: the principal root of its transitions.

    .. math:: A = Q^{1/2}, \quad Q = D^{-1} S, \quad S = (N + N') / 2, \quad D = \operatorname{diag}(S 1)

    Two independent classifications with reversible errors give the transitions :math:`A A`.

    Parameters
    ----------
    table : (K, K) counts
        First by second classification of the same people, every class seen.

    Returns
    -------
    (K, K) array
        Error matrix. Cells between −.02 and 0, which the root of a table with an empty cell has, are taken as 0 and the rows
        brought to 1 again.

    Raises
    ------
    StatisticsError
        If a class was never seen, or the table is not that of two such classifications: it has a direction in which the
        classifications go *against* each other, or a cell of the root is below −.02.
    """
    root, least, worst = _roots(counts(table, place="retest table").astype(float)[None])
    if np.isnan(least[0]):
        raise _refuse("a class was never seen.", "join classes, or give kappa in place of the table.")
    if least[0] <= SINGULAR:
        raise _refuse("in one direction the two classifications go against each other.", "more retests, or kappa for the table.")
    if worst[0] < -ONE_SIDED:
        what = "no two classifications with errors that leave the shares of classes as they are give this table."
        raise _refuse(what, "give kappa, or errors, in place of the table.")
    return np.asarray(root[0], dtype=float)


def _refuse(what: str, hint: str = "") -> StatisticsError:
    return StatisticsError(problem("retest table", what, hint=hint))


def drawn_errors(table: ArrayLike, *, rng: np.random.Generator, draws: int) -> Numbers:
    """Return error matrices (draws, K, K) of retest tables whose people were drawn again; NaN where a draw has none."""
    cells = counts(table, place="retest table")
    again = rng.multinomial(int(cells.sum()), (cells / cells.sum()).ravel(), size=draws).reshape(-1, *cells.shape)
    root, least, _ = _roots(again.astype(float))
    root[~(least > SINGULAR)] = np.nan
    return root


def _roots(tables: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return roots (n, K, K) of the transitions, their smallest eigenvalue, and their smallest cell before it was mended."""
    both = (tables + _turned(tables)) / 2
    margins = both.sum(axis=-1)
    seen = (margins > 0).all(axis=-1)
    half = np.sqrt(np.where(margins > 0, margins, 1.0))
    # D^-1/2 S D^-1/2 is symmetric, so its eigenvalues, which are those of Q, are real.
    values, vectors = np.linalg.eigh(both / half[:, :, None] / half[:, None, :])
    least = np.where(seen, values[:, 0], np.nan)
    symmetric = (vectors * np.sqrt(np.clip(values, 0, None))[:, None, :]) @ _turned(vectors)
    root = symmetric / half[:, :, None] * half[:, None, :]
    worst = root.min(axis=(-1, -2))
    # Mended where it is symmetric, D A, so that it stays reversible.
    flow = np.clip(symmetric * half[:, :, None] * half[:, None, :], 0, None)
    total = flow.sum(axis=-1, keepdims=True)
    mended = np.divide(flow, total, out=np.zeros_like(flow), where=total > 0)
    return mended, np.sqrt(np.clip(least, 0, None)), worst


def as_errors(matrix: ArrayLike, *, classes: int, place: str = "errors") -> Numbers:
    """Return a given error matrix, its rows brought to exactly 1.

    Raises
    ------
    StatisticsError
        If it holds no numbers, is not classes x classes, has a cell outside 0 to 1, or a row more than .01 away from 1.
    """
    array = as_numbers(matrix, place=place, what="chances of error")
    if array.shape != (classes, classes):
        raise StatisticsError(problem(place, f"found shape {array.shape}; allowed: {classes} x {classes}, a row a true class."))
    if not ((array >= 0) & (array <= 1)).all() or (np.abs(array.sum(axis=1) - 1) > ROUNDING).any():
        hint = "rows are true classes, columns the classes given."
        raise StatisticsError(problem(place, "cells must lie between 0 and 1 and each row must sum to 1.", hint=hint))
    return np.asarray(array / array.sum(axis=1, keepdims=True), dtype=float)


def tells_apart(errors: Numbers) -> bool:
    """Return whether the classes given say anything about each true class, so that errors can be undone."""
    return bool(np.linalg.svd(errors, compute_uv=False).min(axis=-1).min() > SINGULAR)


def inverted(shares: ArrayLike, row_errors: ArrayLike, column_errors: ArrayLike) -> Numbers:
    r"""Return :math:`A'^{-1} P B^{-1}`, the true shares without bias; cells can be negative.

    Parameters
    ----------
    shares : (..., K, K)
        Shares seen, rows by columns.
    row_errors, column_errors : (..., K, K)
        Error matrices that tell classes apart.
    """
    a, b, p = (np.asarray(v, dtype=float) for v in (row_errors, column_errors, shares))
    rows = np.asarray(np.linalg.solve(_turned(a), p), dtype=float)
    return _turned(np.asarray(np.linalg.solve(_turned(b), _turned(rows)), dtype=float))


def most_likely(shares: ArrayLike, row_errors: ArrayLike, column_errors: ArrayLike, *, gap: float = GAP) -> tuple[Numbers, Flags]:
    r"""Return the possible true shares under which the shares seen are most likely.

    .. math:: \max_{T \ge 0,\ \sum T = 1}\ \sum_{ij} p_{ij} \log (A' T B)_{ij}

    Where the inversion has no negative cell it is the answer. Elsewhere the EM algorithm,
    :math:`T \leftarrow T \circ A (P / A'TB) B'`, which never leaves the possible tables and never gets less likely, in steps
    lengthened as by Varadhan and Roland (2008).

    Parameters
    ----------
    shares : (n, K, K)
        Shares seen, each table summing to 1.
    row_errors, column_errors : (n, K, K)
        Error matrices that tell classes apart.
    gap : float
        Largest log-likelihood a pair by which the answer may miss the best. Since the log-likelihood is concave, the largest
        gradient :math:`A (P / A'TB) B'` minus 1 bounds it.

    Returns
    -------
    tables : (n, K, K)
        True shares; NaN where 20,000 steps do not reach the gap (errors that hardly tell classes apart).
    boundary : (n,)
        Whether the inversion has a negative cell, so that some share is 0 here.

    References
    ----------
    Dempster, A. P., Laird, N. M., & Rubin, D. B. (1977). Journal of the Royal Statistical Society B, 39, 1-38.
    Varadhan, R., & Roland, C. (2008). Scandinavian Journal of Statistics, 35, 335-353.
    """
    p, a, b = (np.asarray(v, dtype=float) for v in (shares, row_errors, column_errors))
    tables = inverted(p, a, b)
    boundary = np.asarray((tables < NEGATIVE).any(axis=(-1, -2)), dtype=bool)
    if boundary.any():
        tables[boundary] = _iterated(tables[boundary], p[boundary], a[boundary], b[boundary], gap)
    return np.where(np.abs(tables) < TRACE, 0.0, tables), boundary


def _gradient(t: Numbers, p: Numbers, a: Numbers, b: Numbers) -> Numbers:
    seen = _turned(a) @ t @ b
    return np.asarray(a @ np.divide(p, seen, out=np.zeros_like(p), where=p > 0) @ _turned(b), dtype=float)


def _log_likelihood(t: Numbers, p: Numbers, a: Numbers, b: Numbers) -> Numbers:
    seen = _turned(a) @ t @ b
    return np.asarray((p * np.log(np.where(p > 0, seen, 1.0))).sum(axis=(-1, -2)), dtype=float)


def _iterated(start: Numbers, p: Numbers, a: Numbers, b: Numbers, gap: float) -> Numbers:
    """Iterate all tables at once; those that are done leave, NaN where one never is."""
    found = np.full_like(start, np.nan)
    left = np.arange(len(start))
    t: Numbers = np.maximum(start, START)
    t /= t.sum(axis=(-1, -2), keepdims=True)
    for _ in range(GIVE_UP):
        gradient = _gradient(t, p, a, b)
        going = gradient.max(axis=(-1, -2)) - 1 > gap
        if not going.all():
            found[left[~going]] = t[~going]
            left, t, p, a, b, gradient = left[going], t[going], p[going], a[going], b[going], gradient[going]
            if not len(left):
                break
        once = t * gradient
        twice = once * _gradient(once, p, a, b)
        first, bend = once - t, twice - 2 * once + t
        length = np.sqrt((first**2).sum(axis=(-1, -2)) / np.maximum((bend**2).sum(axis=(-1, -2)), np.finfo(float).tiny))
        length = np.clip(length, 1, 1 / START)[:, None, None]
        far = t + 2 * length * first + length**2 * bend
        far = np.where(far <= 0, START * twice, far)  # a cell that would turn negative is on its way to 0
        far /= far.sum(axis=(-1, -2), keepdims=True)
        better = _log_likelihood(far, p, a, b) > _log_likelihood(twice, p, a, b)
        t = np.where(better[:, None, None], far, twice)
    return found


def seen_through(tables: ArrayLike, row_errors: ArrayLike, column_errors: ArrayLike) -> Numbers:
    """Return the shares that are seen on average where the true shares are ``tables``: A' T B."""
    a, b, t = (np.asarray(v, dtype=float) for v in (row_errors, column_errors, tables))
    return np.asarray(_turned(a) @ t @ b, dtype=float)


def fullest_diagonal(tables: ArrayLike) -> Numbers:
    r"""Return the tables of the same margins that correspond as far as these margins allow.

    .. math:: d_i = \min(r_i, c_i), \quad T^* = \operatorname{diag}(d) + \frac{(r - d)(c - d)'}{1 - \sum d}
    """
    t = np.asarray(tables, dtype=float)
    rows, columns = t.sum(axis=-1), t.sum(axis=-2)
    diagonal = np.minimum(rows, columns)
    rest = 1 - diagonal.sum(axis=-1)[..., None, None]
    spread = (rows - diagonal)[..., :, None] * (columns - diagonal)[..., None, :]
    spread = np.divide(spread, rest, out=np.zeros_like(spread), where=rest > -NEGATIVE)
    return np.asarray(diagonal[..., None] * np.eye(t.shape[-1]) + spread, dtype=float)

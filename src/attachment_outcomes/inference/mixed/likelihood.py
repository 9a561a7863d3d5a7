r"""The (restricted) likelihood of a nested Gaussian model from cross products, and its gradient.

.. math:: y = X\beta + \sum_l Z_l b_l + e, \quad b_l \sim N(0, \sigma^2\Psi_l), \quad e \sim N(0, \sigma^2 I)

One step serves every level. A unit (client, therapist, site) has cross products :math:`D` of the columns :math:`(X, \dots, y)`
with its lower levels already eliminated. With :math:`Z_l = (X, \dots, y) E_l`, :math:`B = E'D` and :math:`A = BE`,

.. math:: M = (\Psi^{-1} + A)^{-1}, \quad D^* = D - B'MB, \quad \log\det V \mathrel{+}= \log\det(I + A\Psi),

and the sum of :math:`D^*` over a parent's units is the parent's :math:`D`. What is left at the top is
:math:`(X,y)'V^{-1}(X,y)`. With :math:`G` the derivative of the deviance by :math:`D^*` and :math:`P = I - AM`, the derivatives are

.. math:: \partial/\partial\Psi = PA - P\,BGB'P', \qquad \partial/\partial D = JGJ' + EME', \quad J = I - EMB.

Clients enter :math:`D^*` only through :math:`M`, which their design fixes, and products of their :math:`B`; so clients of one
parent with one design are pooled before the first evaluation, and a trial in which all come at the same weeks costs as much with
a million clients as with ten.

Arrays are laid out with units last, and symmetric matrices packed as their upper triangle, so that every step is a few passes
over long contiguous rows.

References
----------
Bates, D., et al. (2015). J. Stat. Softw., 67(1); Longford, N. T. (1987). Biometrika, 74, 817-827 (nested elimination).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Positions = NDArray[np.intp]
Packed = NDArray[Any]  # real, or complex where a derivative is taken by a complex step
BLOCK = 8192  # cells at a time: what a block touches stays in the processor's cache


@cache
def triangle(size: int) -> tuple[Positions, Positions]:
    """Return the rows and columns of a packed symmetric matrix's entries."""
    rows, columns = np.triu_indices(size)
    return rows, columns


@cache
def lower(size: int) -> tuple[Positions, Positions]:
    """Return the rows and columns of a lower triangle's entries, row by row."""
    rows, columns = np.tril_indices(size)
    return rows, columns


@cache
def places(size: int) -> Positions:
    """Return where each entry of a full symmetric matrix lies in its packed form."""
    rows, columns = triangle(size)
    where = np.empty((size, size), dtype=np.intp)
    where[rows, columns] = where[columns, rows] = np.arange(len(rows))
    return where


@cache
def twice(size: int) -> Numbers:
    """Return 2 for a packed matrix's entries that stand for two, 1 for the diagonal."""
    rows, columns = triangle(size)
    return np.where(rows == columns, 1.0, 2.0)


def pack(full: Packed) -> Packed:
    """Return the upper triangles of (size, size, …) matrices as (entries, …)."""
    return full[triangle(full.shape[0])]


def unpack(packed: Packed, size: int) -> Packed:
    """Return (entries, …) as full matrices (size, size, …)."""
    return np.asarray(packed[places(size)])


def products(b: Packed) -> Packed:
    """Return what (entries of M) times this gives B'MB: (entries of q × q, entries of m × m, units) from B (q, m, units)."""
    q, m = b.shape[:2]
    i, j = triangle(m)
    left, right = b[:, i], b[:, j]
    found = np.empty((q * (q + 1) // 2, len(i), b.shape[2]), dtype=b.dtype)
    for row, (a, c) in enumerate(zip(*triangle(q), strict=True)):
        np.multiply(left[a], right[c], out=found[row])
        if a != c:
            found[row] += left[c] * right[a]
    return found


def resolve(psi: Packed, a: Packed) -> tuple[Packed, Packed]:
    r"""Return :math:`M = (\Psi^{-1} + A)^{-1}`, packed, and :math:`\log\det(I + A\Psi)`, for packed A (entries, units).

    Closed forms for one and two random effects; they hold for a singular Psi, and nothing in them is subtracted that the sum
    could lose.
    """
    q = psi.shape[0]
    if q == 1:
        det = 1 + psi[0, 0] * a[0]
        return np.asarray(psi[0, 0] / det[None]), np.log(det)
    if q == 2:
        (p11, p12), (_, p22) = psi
        area = p11 * p22 - p12 * p12
        det = 1 + p11 * a[0] + 2 * p12 * a[1] + p22 * a[2] + area * (a[0] * a[2] - a[1] * a[1])
        found = np.empty_like(det, shape=a.shape)
        found[0], found[1], found[2] = p11 + area * a[2], p12 - area * a[1], p22 + area * a[0]
        found /= det
        return found, np.log(det)
    stacked = np.moveaxis(unpack(a, q), -1, 0)
    inner = np.eye(q) + psi @ stacked
    solved = np.linalg.solve(inner, np.broadcast_to(psi, stacked.shape))
    return pack(np.asarray(np.moveaxis(solved, 0, -1))), np.log(np.linalg.det(inner))


def parent_sums(values: Packed, starts: Positions) -> Packed:
    """Return the sums of consecutive units (…, units) by parent, whose first units are given."""
    if len(starts) == 1:
        return np.asarray(values.sum(axis=-1, keepdims=True))
    return np.asarray(np.add.reduceat(values, starts, axis=-1))


@dataclass(frozen=True, slots=True)
class Lowest:
    """The lowest level, pooled into cells: units of one parent with one design.

    ``a`` (entries, designs) packed A; ``size`` (designs,) how many units have it; ``design`` (cells,) each cell's; ``s``
    (entries of q × q, entries of m × m, cells) products of B, summed over the cell's units; ``parent`` (cells,) ascending;
    ``base`` (entries, parents) sums of D over the parents' units.
    """

    a: Numbers
    size: Numbers
    design: Positions
    s: Numbers
    parent: Positions
    base: Numbers
    q: int

    def design_blocks(self) -> Iterator[slice]:
        """Return slices of designs."""
        return (slice(start, start + BLOCK) for start in range(0, self.a.shape[1], BLOCK))

    def blocks(self) -> list[tuple[slice, slice, Positions]]:
        """Return slices of cells, the parents each touches, and those parents' first cells in the block."""
        found = []
        for start in range(0, len(self.parent), BLOCK):
            parent = self.parent[start : start + BLOCK]
            first = np.flatnonzero(np.diff(parent, prepend=-1))
            found.append((slice(start, start + len(parent)), slice(int(parent[0]), int(parent[-1]) + 1), first))
        return found


@dataclass(frozen=True, slots=True)
class Upper:
    """A level above: ``e`` (m, r) its random effects' columns, ``starts`` the first unit of each of its parents.

    Further down the same E as linear maps on packed matrices: ``to_b`` (r·m, entries) gives E'D, ``to_a`` gives E'DE, ``from_b``
    gives Ex + x'E' and ``from_a`` gives EME'.
    """

    e: Numbers
    starts: Positions
    to_b: Numbers
    to_a: Numbers
    from_b: Numbers
    from_a: Numbers

    def parent(self, n: int) -> Positions:
        """Return each of n units' parent."""
        return np.repeat(np.arange(len(self.starts)), np.diff(np.append(self.starts, n)))


def upper(e: Numbers, starts: Positions) -> Upper:
    """Return a level above the lowest from its random effects' columns and its parents' first units."""
    m, r = e.shape
    full = np.zeros((m, m, len(triangle(m)[0])))  # the full matrix of each packed entry
    full[:, :] = np.eye(full.shape[2])[places(m)]
    to_b = np.einsum("ja,jkt->akt", e, full)
    to_a = pack(np.einsum("akt,kb->abt", to_b, e))
    from_b = np.einsum("ja,kl->jkal", e, np.eye(m)).reshape(m, m, r * m)
    middle = np.zeros((r, r, len(triangle(r)[0])))
    middle[:, :] = np.eye(middle.shape[2])[places(r)]
    from_a = pack(np.einsum("ja,abt,kb->jkt", e, middle, e))
    return Upper(e, starts, to_b.reshape(r * m, -1), to_a, pack(from_b + from_b.transpose(1, 0, 2)), from_a)


@dataclass(frozen=True, slots=True)
class Problem:
    """What the likelihood needs, in the working columns (X orthonormal, further columns of Z, y's residual).

    ``p`` fixed effects among ``m`` columns; ``n`` observations; ``log_det`` what orthonormalising X took from log det X'X.
    """

    lowest: Lowest
    uppers: tuple[Upper, ...]
    p: int
    m: int
    n: int
    log_det: float
    blocks: list[tuple[slice, slice, Positions]]


@dataclass(frozen=True, slots=True)
class Eliminated:
    """A level above: each unit's D (packed), B (r, m, units), A and M (packed)."""

    d: Packed
    b: Packed
    a: Packed
    m: Packed


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation: the pieces of the deviance, and what the gradient reuses."""

    log_det: Any  # of V/σ²
    top: Packed  # (m, m) cross products, all levels eliminated
    m_lowest: Packed
    uppers: list[Eliminated]


def evaluate(problem: Problem, psis: list[Packed]) -> Evaluation:
    """Eliminate every level, lowest first, at relative covariance matrices Ψ (lowest first)."""
    lowest = problem.lowest
    m_packed = np.empty_like(lowest.a, dtype=psis[0].dtype)
    total: Any = 0.0
    for designs in lowest.design_blocks():
        m_packed[:, designs], log_det = resolve(psis[0], lowest.a[:, designs])
        total = total + log_det @ lowest.size[designs]
    d = lowest.base.astype(m_packed.dtype, copy=True)
    for cells, parents, first in problem.blocks:
        part = np.einsum("an,atn->tn", m_packed[:, lowest.design[cells]], lowest.s[:, :, cells])
        d[:, parents] -= parent_sums(part, first)
    kept = []
    for above, psi in zip(problem.uppers, psis[1:], strict=True):
        r, n = above.e.shape[1], d.shape[1]
        b, a = (above.to_b @ d).reshape(r, problem.m, n), above.to_a @ d
        m_above, log_det = resolve(psi, a)
        total = total + log_det.sum()
        kept.append(Eliminated(d, b, a, m_above))
        if len(above.starts) == 1:  # the top: one matrix product over all its units
            lines = b.transpose(1, 0, 2).reshape(problem.m, -1)
            gain = np.einsum("abn,bjn->jan", unpack(m_above, r), b).reshape(problem.m, -1)
            return Evaluation(total, unpack(d.sum(axis=1), problem.m) - lines @ gain.T, m_packed, kept)
        d = parent_sums(d - np.einsum("an,atn->tn", m_above, products(b)), above.starts)
    return Evaluation(total, unpack(d[:, 0], problem.m), m_packed, kept)


def gradient(problem: Problem, at: Evaluation, adjoint: Numbers) -> list[Numbers]:
    """Return the derivatives of the deviance by each Ψ (full, symmetric), from its derivative by the top's cross products."""
    m = problem.m
    g = pack(adjoint)[:, None]
    found: list[Numbers] = []
    for above, units in zip(reversed(problem.uppers), reversed(at.uppers), strict=True):
        r, _, n = units.b.shape
        mixed = unpack(units.m, r)
        if g.shape[1] == 1:
            gb = unpack(g[:, 0], m) @ units.b
        else:
            g = g[:, above.parent(n)]
            gb = np.einsum("ajn,jkn->akn", units.b, unpack(g, m))
        k = np.einsum("ajn,cjn->acn", gb, units.b)
        found.append(_by_psi(unpack(units.a, r), mixed, k, np.ones(n)))
        gain = np.einsum("abn,bkn->akn", mixed, gb).reshape(r * m, n)
        inner = np.einsum("abn,bcn->acn", np.einsum("abn,bcn->acn", mixed, k), mixed)
        g = g - above.from_b @ gain + above.from_a @ (units.m + pack(inner))
    found.append(_lowest_gradient(problem, at.m_lowest, g))
    return found[::-1]


def _lowest_gradient(problem: Problem, m_packed: Numbers, g: Numbers) -> Numbers:
    """Return the derivative by the lowest Ψ, from the derivatives g (entries, parents) by the parents' cross products."""
    lowest, q = problem.lowest, problem.lowest.q
    weighted = g * twice(problem.m)[:, None]
    shared = g.shape[1] == 1
    k = np.empty((len(lowest.a), len(lowest.parent)))
    for cells, _, _ in problem.blocks:
        if shared:
            k[:, cells] = weighted[:, 0] @ lowest.s[:, :, cells]
        else:
            k[:, cells] = np.einsum("tn,atn->an", weighted[:, lowest.parent[cells]], lowest.s[:, :, cells])
    if lowest.a.shape[1] < len(lowest.parent):
        k = np.stack([np.bincount(lowest.design, weights=row, minlength=lowest.a.shape[1]) for row in k])
    k /= twice(q)[:, None]
    found = np.zeros((q, q))
    for designs in lowest.design_blocks():
        a, mixed, inner = (unpack(values[:, designs], q) for values in (lowest.a, m_packed, k))
        found += _by_psi(a, mixed, inner, lowest.size[designs])
    return found


def _by_psi(a: Numbers, mixed: Numbers, k: Numbers, size: Numbers) -> Numbers:
    """Return the sum over units of PA (times how many there are of each) less that of PKP', for full (q, q, units) matrices."""
    q = len(a)
    p = -np.einsum("abn,bcn->acn", a, mixed)
    p[np.arange(q), np.arange(q)] += 1.0
    straight = np.einsum("abn,bcn->acn", p, a).reshape(q * q, -1) @ size
    pk = np.einsum("abn,bcn->acn", p, k)
    return np.asarray(straight.reshape(q, q) - pk.reshape(q, -1) @ p.reshape(q, -1).T)


@dataclass(frozen=True, slots=True)
class Top:
    """Fixed effects and residual variance at given Ψ, in the working columns."""

    beta: Numbers
    information: Numbers  # X'V⁻¹X times σ²
    inverse: Numbers
    rss: float
    log_det_information: float


def solve_top(problem: Problem, at: Evaluation) -> Top:
    """Return generalised least squares from the top's cross products."""
    p = problem.p
    information, score = at.top[:p, :p], at.top[:p, -1]
    inverse = np.linalg.inv(information)
    beta = inverse @ score
    rss = max(float(at.top[-1, -1] - score @ beta), np.finfo(float).tiny)
    return Top(beta, information, inverse, rss, float(np.linalg.slogdet(information)[1]))


def deviance(problem: Problem, at: Evaluation, top: Top, *, reml: bool) -> float:
    """Return −2 log (restricted) likelihood at the best residual variance."""
    df = problem.n - problem.p if reml else problem.n
    value = float(at.log_det) + df * float(1 + np.log(2 * np.pi * top.rss / df))
    return value + (top.log_det_information + problem.log_det if reml else 0.0)


def adjoint(problem: Problem, top: Top, *, reml: bool, weight: float) -> Numbers:
    """Return the derivative of the deviance by the top's cross products.

    ``weight`` multiplies the residual sum of squares: df/rss for the profiled deviance, 1/σ² for a fixed variance.
    """
    p, m = problem.p, problem.m
    along = np.zeros(m)
    along[:p], along[-1] = -top.beta, 1.0
    found = weight * np.outer(along, along)
    if reml:
        found[:p, :p] += top.inverse
    return found

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

import numpy as np

from attachment_outcomes.inference.mixed.resolve import (
    Numbers,
    Packed,
    Positions,
    by_psi,
    expected,
    pack,
    places,
    resolve,
    sums,
    triangle,
    twice,
    unpack,
    with_area,
)

BLOCK = 8192  # cells at a time: what a block touches stays in the processor's cache


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


@dataclass(frozen=True, slots=True)
class Lowest:
    """The lowest level, pooled into cells: units of one parent with one design.

    ``a`` (entries, designs) packed A (:func:`with_area`); ``size`` (designs,) how many units have it; ``design`` (cells,) each
    cell's; ``s`` (entries of q × q, entries of m × m, cells) products of B, summed over the cell's units; ``parent`` (cells,)
    ascending; ``base`` (entries, parents) sums of D over the parents' units; ``starts`` the first design of each fit.
    """

    a: Numbers
    size: Numbers
    design: Positions
    s: Numbers
    parent: Positions
    base: Numbers
    q: int
    starts: Positions

    def design_blocks(self) -> Iterator[slice]:
        """Return slices of designs; of several fits, all at once."""
        size = BLOCK if len(self.starts) == 1 else self.a.shape[1]
        return (slice(start, start + size) for start in range(0, self.a.shape[1], size))

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
    """A level above: ``e`` (m, r) its random effects' columns, ``starts`` the first unit of each of its parents, ``fits`` the
    first unit of each fit.

    Further down the same E as linear maps on packed matrices: ``to_b`` (r·m, entries) gives E'D, ``to_a`` gives E'DE, ``from_b``
    gives Ex + x'E' and ``from_a`` gives EME'.
    """

    e: Numbers
    starts: Positions
    fits: Positions
    to_b: Numbers
    to_a: Numbers
    from_b: Numbers
    from_a: Numbers

    def parent(self, n: int) -> Positions:
        """Return each of n units' parent."""
        return np.repeat(np.arange(len(self.starts)), np.diff(np.append(self.starts, n)))


def upper(e: Numbers, starts: Positions, fits: Positions) -> Upper:
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
    return Upper(e, starts, fits, to_b.reshape(r * m, -1), to_a, pack(from_b + from_b.transpose(1, 0, 2)), from_a)


@dataclass(frozen=True, slots=True)
class Problem:
    """What the likelihood needs, in the working columns (X orthonormal, further columns of Z, y's residual).

    One fit, or several of equal shape side by side: then their units follow each other at every level. ``p`` fixed effects
    among ``m`` columns; ``n`` observations a fit; ``log_det`` what orthonormalising X took from log det X'X.
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
    """A level above: each unit's D (packed), B (r, m, units), A, M (packed) and det(I + AΨ)."""

    d: Packed
    b: Packed
    a: Packed
    m: Packed
    det: Packed


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation: the pieces of the deviance, and what the gradient reuses."""

    log_det: Packed  # (fits,) of V/σ²
    top: Packed  # (m, m, fits) cross products, all levels eliminated
    psis: list[Packed]
    lowest: tuple[Packed, Packed]  # M and det
    uppers: list[Eliminated]


def of_units(psi: Packed, starts: Positions, n: int) -> Packed:
    """Return each of n units' Ψ (q, q, n) from their fits' (q, q, fits), or the one of a single fit as it is."""
    return psi if len(starts) == 1 else np.repeat(psi, np.diff(np.append(starts, n)), axis=-1)


def evaluate(problem: Problem, psis: list[Packed]) -> Evaluation:
    """Eliminate every level, lowest first, at relative covariance matrices Ψ (q, q, fits), lowest level first."""
    lowest = problem.lowest
    m_packed = np.empty_like(lowest.base, dtype=psis[0].dtype, shape=(len(lowest.s), lowest.a.shape[1]))
    det = np.empty_like(m_packed, shape=lowest.a.shape[1])
    psi_lowest = of_units(psis[0], lowest.starts, len(det))
    for designs in lowest.design_blocks():
        m_packed[:, designs], det[designs] = resolve(psi_lowest, lowest.a[:, designs])
    total = sums(np.log(det) * lowest.size, lowest.starts)
    d = lowest.base.astype(m_packed.dtype, copy=True)
    for cells, parents, first in problem.blocks:
        part = np.einsum("an,atn->tn", m_packed[:, lowest.design[cells]], lowest.s[:, :, cells])
        d[:, parents] -= sums(part, first)
    kept = []
    for above, psi in zip(problem.uppers, psis[1:], strict=True):
        r, n = above.e.shape[1], d.shape[1]
        b, a = (above.to_b @ d).reshape(r, problem.m, n), with_area(above.to_a @ d, r)
        m_above, det_above = resolve(of_units(psi, above.fits, n), a)
        total = total + sums(np.log(det_above), above.fits)
        kept.append(Eliminated(d, b, a, m_above, det_above))
        if len(above.starts) == 1:  # the top: one matrix product over all its units
            lines = b.transpose(1, 0, 2).reshape(problem.m, -1)
            gain = np.einsum("abn,bjn->jan", unpack(m_above, r), b).reshape(problem.m, -1)
            top = unpack(d.sum(axis=1), problem.m) - lines @ gain.T
            return Evaluation(total, top[:, :, None], psis, (m_packed, det), kept)
        d = sums(d - np.einsum("an,atn->tn", m_above, products(b)), above.starts)
    return Evaluation(total, unpack(d, problem.m), psis, (m_packed, det), kept)


def gradient(problem: Problem, at: Evaluation, adjoint: Numbers) -> list[Numbers]:
    """Return the derivatives of the deviance by each Ψ (q, q, fits), from that by the top's cross products (m, m, fits)."""
    m = problem.m
    g = pack(adjoint)
    found: list[Numbers] = []
    for above, units, psi in zip(reversed(problem.uppers), reversed(at.uppers), reversed(at.psis), strict=False):
        r, _, n = units.b.shape
        mixed = unpack(units.m, r)
        if g.shape[1] == 1:
            gb = unpack(g[:, 0], m) @ units.b
        else:
            g = g[:, above.parent(n)]
            gb = np.einsum("ajn,jkn->akn", units.b, unpack(g, m))
        k = np.einsum("ajn,cjn->acn", gb, units.b)
        found.append(by_psi(psi, units.a, units.m, units.det, pack(k), np.ones(n), above.fits))
        gain = np.einsum("abn,bkn->akn", mixed, gb).reshape(r * m, n)
        inner = np.einsum("abn,bcn->acn", np.einsum("abn,bcn->acn", mixed, k), mixed)
        g = g - above.from_b @ gain + above.from_a @ (units.m + pack(inner))
    found.append(_lowest_gradient(problem, at, g))
    return found[::-1]


def _lowest_gradient(problem: Problem, at: Evaluation, g: Numbers) -> Numbers:
    """Return the derivative by the lowest Ψ, from the derivatives g (entries, parents) by the parents' cross products."""
    lowest, q = problem.lowest, problem.lowest.q
    weighted = g * twice(problem.m)[:, None]
    k = np.empty((len(lowest.s), len(lowest.parent)))
    for cells, _, _ in problem.blocks:
        if g.shape[1] == 1:
            k[:, cells] = weighted[:, 0] @ lowest.s[:, :, cells]
        else:
            k[:, cells] = np.einsum("tn,atn->an", weighted[:, lowest.parent[cells]], lowest.s[:, :, cells])
    if lowest.a.shape[1] < len(lowest.parent):
        k = np.stack([np.bincount(lowest.design, weights=row, minlength=lowest.a.shape[1]) for row in k])
    k /= twice(q)[:, None]
    m_packed, det = at.lowest
    parts = (
        by_psi(at.psis[0], lowest.a[:, d], m_packed[:, d], det[d], k[:, d], lowest.size[d], lowest.starts)
        for d in lowest.design_blocks()
    )
    return np.asarray(sum(parts))


def information(problem: Problem, at: Evaluation) -> list[tuple[Numbers, Numbers]]:
    """Return each level's expected second derivatives (:func:`expected`), those across levels left out."""
    lowest = problem.lowest
    blocks = lowest.design_blocks()
    parts = [expected(lowest.a[:, d], at.lowest[0][:, d], lowest.size[d], lowest.q, lowest.starts) for d in blocks]
    found = [(np.asarray(sum(p[0] for p in parts)), np.asarray(sum(p[1] for p in parts)))]
    for above, units in zip(problem.uppers, at.uppers, strict=True):
        found.append(expected(units.a, units.m, np.ones(units.a.shape[1]), above.e.shape[1], above.fits))
    return found


@dataclass(frozen=True, slots=True)
class Top:
    """Fixed effects and residual sums of squares at given Ψ, in the working columns, a fit.

    ``beta`` (fits, p); ``inverse`` (fits, p, p) of X'V⁻¹Xσ²; ``log_det`` (fits,) of X'V⁻¹Xσ²; ``rss`` (fits,).
    """

    beta: Numbers
    inverse: Numbers
    rss: Numbers
    log_det: Numbers


def solve_top(problem: Problem, at: Evaluation) -> Top:
    """Return generalised least squares from the top's cross products."""
    p, top = problem.p, np.moveaxis(at.top, -1, 0)
    information, score = top[:, :p, :p], top[:, :p, -1]
    inverse = np.linalg.inv(information)
    beta = np.einsum("fab,fb->fa", inverse, score)
    rss = np.maximum(top[:, -1, -1] - np.einsum("fa,fa->f", score, beta), np.finfo(float).tiny)
    return Top(beta, inverse, rss, np.linalg.slogdet(information)[1])


def deviance(problem: Problem, at: Evaluation, top: Top, *, reml: bool) -> Numbers:
    """Return −2 log (restricted) likelihood at the best residual variances (fits,)."""
    df = problem.n - problem.p if reml else problem.n
    value = at.log_det + df * (1 + np.log(2 * np.pi * top.rss / df))
    return np.asarray(value + (top.log_det + problem.log_det) if reml else value)


def adjoint(problem: Problem, top: Top, *, reml: bool, weight: Numbers) -> Numbers:
    """Return the derivative of the deviance by the top's cross products (m, m, fits).

    ``weight`` (fits,) multiplies the residual sum of squares: df/rss for the profiled deviance, 1/σ² for a fixed variance.
    """
    p, m = problem.p, problem.m
    along = np.zeros((m, len(weight)))
    along[:p], along[-1] = -top.beta.T, 1.0
    found = (weight * along)[:, None] * along[None]
    if reml:
        found[:p, :p] += np.moveaxis(top.inverse, 0, -1)
    return found

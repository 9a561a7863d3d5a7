r"""One level's random effects: :math:`M = (\Psi^{-1} + A)^{-1}`, :math:`\log\det(I + A\Psi)`, and their derivatives by Ψ.

Closed forms for one and two random effects, matrices for more. All hold for a singular Ψ, and in the closed forms nothing is
subtracted that the sum could lose. Symmetric matrices are packed as their upper triangle, units last.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Positions = NDArray[np.intp]
Packed = NDArray[Any]  # real, or complex where a derivative is taken by a complex step
ADJUGATE = np.array([[1.0], [-1.0], [1.0]])


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


def with_area(a: Packed, q: int) -> Packed:
    """Return packed A with what :func:`resolve` needs of it at every Ψ: for two random effects, its determinant below."""
    return np.vstack([a, a[0] * a[2] - a[1] * a[1]]) if q == 2 else a


def sums(values: Packed, starts: Positions) -> Packed:
    """Return the sums of consecutive units (…, units), each run of which begins at one of the starts."""
    if len(starts) == 1:
        return np.asarray(values.sum(axis=-1, keepdims=True))
    return np.asarray(np.add.reduceat(values, starts, axis=-1))


def resolve(psi: Packed, a: Packed) -> tuple[Packed, Packed]:
    """Return M (entries, units) and det(I + AΨ) (units,).

    ``psi`` (q, q, units), or (q, q, 1) where all units share it; ``a`` as :func:`with_area` gives it.
    """
    q = len(psi)
    if q == 1:
        det = 1 + psi[0, 0] * a[0]
        return np.asarray(psi[0, 0] / det)[None], det
    if q == 2:
        area = psi[0, 0] * psi[1, 1] - psi[0, 1] * psi[0, 1]
        known = np.stack([psi[0, 0], 2 * psi[0, 1], psi[1, 1], area])
        det = 1 + (known[:, 0] @ a if known.shape[1] == 1 else (known * a).sum(axis=0))
        return (psi[triangle(2)] + area * ADJUGATE * a[2::-1]) / det, det
    stacked = np.moveaxis(unpack(a, q), -1, 0)
    relative = np.moveaxis(psi, -1, 0)
    inner = np.eye(q) + relative @ stacked
    solved = np.linalg.solve(inner, np.broadcast_to(relative, stacked.shape))
    return pack(np.asarray(np.moveaxis(solved, 0, -1))), np.linalg.det(inner)


def by_psi(psi: Numbers, a: Numbers, m: Numbers, det: Numbers, k: Numbers, size: Numbers, starts: Positions) -> Numbers:
    """Return the derivative by Ψ (q, q, fits) of the sum over units of size × log det(I + AΨ) less trace(MK).

    ``k`` (entries, units) packed; ``size`` (units,) how many units each stands for; ``starts`` the first unit of each fit;
    ``psi`` one a fit.
    """
    q = len(psi)
    if q == 1:
        return sums(size * (a[0] / det) - k[0] / det**2, starts)[None, None]
    kd = k / det
    if q == 2:
        s1, s12, s2, area = sums(a * ((size + twice(2) @ (m * k)) / det), starts)
        k1, k12, k2 = sums(kd, starts)
        rest = area - sums(kd[0] * a[2] - 2 * kd[1] * a[1] + kd[2] * a[0], starts)
        one, both, two = s1 - k1 + psi[1, 1] * rest, s12 - k12 - psi[0, 1] * rest, s2 - k2 + psi[0, 0] * rest
        return np.array([[one, both], [both, two]])
    full = unpack(a, q)
    p = np.eye(q)[:, :, None] - np.einsum("abn,bcn->acn", full, unpack(m, q))
    straight = sums(np.einsum("abn,bcn->acn", p, full) * size, starts)
    return straight - sums(np.einsum("abn,bcn,dcn->adn", p, unpack(k, q), p, optimize=True), starts)


def expected(a: Numbers, m: Numbers, size: Numbers, q: int, starts: Positions) -> tuple[Numbers, Numbers]:
    r"""Return the expected second derivatives by the level's Ψ (q², q², fits), and by Ψ and log σ² (q², fits), of the deviance.

    From :math:`H = Z'V^{-1}Z\sigma^2 = PA`: the sums of :math:`H_{ab}H_{cd}` at (bc, da), and of H.
    """
    full = unpack(a, q)
    p = np.eye(q)[:, :, None] - np.einsum("abn,bcn->acn", full, unpack(m, q))
    h = np.einsum("abn,bcn->acn", p, full).reshape(q * q, -1)
    weighted = h * size
    pairs = (weighted @ h.T)[:, :, None] if len(starts) == 1 else sums(weighted[:, None] * h[None], starts)
    fits = len(starts)
    return pairs.reshape(q, q, q, q, fits).transpose(1, 2, 3, 0, 4).reshape(q * q, q * q, fits), sums(weighted, starts)

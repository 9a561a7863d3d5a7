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


def resolve(psi: Packed, a: Packed) -> tuple[Packed, Packed]:
    """Return M (entries, units) and det(I + AΨ) (units,), for A as :func:`with_area` gives it."""
    q = len(psi)
    if q == 1:
        det = 1 + psi[0, 0] * a[0]
        return np.asarray(psi[0, 0] / det)[None], det
    if q == 2:
        area = psi[0, 0] * psi[1, 1] - psi[0, 1] * psi[0, 1]
        det = 1 + np.array([psi[0, 0], 2 * psi[0, 1], psi[1, 1], area]) @ a
        return (psi[triangle(2)][:, None] + area * ADJUGATE * a[2::-1]) / det, det
    stacked = np.moveaxis(unpack(a, q), -1, 0)
    inner = np.eye(q) + psi @ stacked
    solved = np.linalg.solve(inner, np.broadcast_to(psi, stacked.shape))
    return pack(np.asarray(np.moveaxis(solved, 0, -1))), np.linalg.det(inner)


def by_psi(psi: Numbers, a: Numbers, m: Numbers, det: Numbers, k: Numbers, size: Numbers) -> Numbers:
    """Return the derivative by Ψ (q, q) of the sum over units of size × log det(I + AΨ) less trace(MK).

    ``k`` (entries, units) packed; ``size`` (units,) how many units each stands for.
    """
    q = len(psi)
    if q == 1:
        return np.array([[(size @ (a[0] / det)) - (k[0] / det) @ (1 / det)]])
    kd = k / det
    if q == 2:
        s1, s12, s2, area = a @ ((size + twice(2) @ (m * k)) / det)
        k1, k12, k2 = kd.sum(axis=1)
        turned = kd[0] @ a[2] - 2 * (kd[1] @ a[1]) + kd[2] @ a[0]
        rest = area - turned
        one, both, two = s1 - k1 + psi[1, 1] * rest, s12 - k12 - psi[0, 1] * rest, s2 - k2 + psi[0, 0] * rest
        return np.array([[one, both], [both, two]])
    full = unpack(a, q)
    p = np.eye(q)[:, :, None] - np.einsum("abn,bcn->acn", full, unpack(m, q))
    straight = np.einsum("abn,bcn->acn", p, full).reshape(q * q, -1) @ size
    pk = np.einsum("abn,bcn->acn", p, unpack(k, q))
    return np.asarray(straight.reshape(q, q) - pk.reshape(q, -1) @ p.reshape(q, -1).T)


def expected(a: Numbers, m: Numbers, size: Numbers, q: int) -> tuple[Numbers, Numbers]:
    r"""Return the expected second derivatives by the level's Ψ (q², q²), and those by Ψ and log σ² (q²,), of the deviance.

    From :math:`H = Z'V^{-1}Z\sigma^2 = PA`: the sums of :math:`H_{ab}H_{cd}` at (bc, da), and of H.
    """
    full = unpack(a, q)
    p = np.eye(q)[:, :, None] - np.einsum("abn,bcn->acn", full, unpack(m, q))
    h = np.einsum("abn,bcn->acn", p, full)
    pairs = ((h.reshape(q * q, -1) * size) @ h.reshape(q * q, -1).T).reshape(q, q, q, q)
    return pairs.transpose(1, 2, 3, 0).reshape(q * q, q * q), h.reshape(q * q, -1) @ size

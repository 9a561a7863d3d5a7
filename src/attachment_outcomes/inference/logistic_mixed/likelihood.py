r"""How likely are the data at given standard deviations and fixed effects, and which way do they pull? Laplace and quadrature.

The random intercepts are integrated out about their joint mode. Laplace's approximation takes the integrand for a normal density:

.. math:: \ell = \sum_i \log p(y_i \mid \hat u) - \tfrac12 \hat u'\hat u - \tfrac12 \log\det H

Adaptive Gauss–Hermite quadrature keeps that normal density as a guide only: at K points a level, placed by the mode and by the
Cholesky factor of :math:`H^{-1}` (so a client's points move with the therapist's), it sums the integrand itself. One point is
Laplace.

The gradients are exact, of the approximation itself: mode and curvature move with the parameters, which brings in the third
derivatives of the log likelihood (`pull_back`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from attachment_outcomes.inference.logistic_mixed.nested import (
    Mode,
    Nest,
    Numbers,
    chances,
    dot,
    find_mode,
    log_chances,
    shift_variances,
    solve,
)

Rule = tuple[Numbers, Numbers]
BLOCK = 2**16  # numbers in one piece of a quadrature: small enough for a processor's cache


@dataclass(slots=True)
class Evaluation:
    """Log likelihood and gradient by (standard deviations, fixed effects), with the mode they were found at."""

    value: float
    gradient: Numbers
    mode: Mode


def evaluate(nest: Nest, sd: Numbers, beta: Numbers, start: Sequence[Numbers], points: int) -> Evaluation:
    """Return the approximated log likelihood and its gradient.

    Parameters
    ----------
    nest
        The data.
    sd : (levels,)
        Standard deviations of the random intercepts, lowest level first; the sign does not matter.
    beta : (p,)
        Fixed effects.
    start
        Random intercepts to look for the mode from, by level.
    points
        Quadrature points a level; 1 is Laplace, for any number of levels, more need two levels.
    """
    mode = find_mode(nest, sd, nest.fixed_part(beta), start)
    return laplace(nest, sd, mode) if points == 1 else quadrature(nest, sd, mode, points)


def pull_back(
    nest: Nest, sd: Numbers, mode: Mode, by_weight: Numbers, by_mode: Sequence[Numbers] | None = None
) -> tuple[Numbers, Numbers]:
    r"""Return what a quantity's derivatives by the mode and by the weights at the mode add to those by sd and cells' fixed part.

    Parameters
    ----------
    nest, sd, mode
        The data, the standard deviations and the mode there.
    by_weight
        Derivatives by the lowest groups' summed weights.
    by_mode
        Derivatives by the modes, by level; none if they are zero.

    Returns
    -------
    (levels,), (cells,)
        By the standard deviations, and by each cell's fixed part of the log odds.

    Notes
    -----
    With c the derivative by the log odds through the weights and :math:`s = H^{-1}(\partial_u + \Lambda Z'c)`, the mode's own
    movement, :math:`dû = -H^{-1} dG`, adds :math:`-s'dG`, where :math:`G = u - \Lambda Z'r` is zero at the mode.
    """
    c = nest.spread(by_weight, 0) * mode.w_slope()
    totals = nest.climb(nest.sums(c, 0))
    right = [s * total for s, total in zip(sd, totals, strict=True)]
    if by_mode is not None:
        right = [a + b for a, b in zip(right, by_mode, strict=True)]
    s, moved = solve(nest, sd, mode.a, mode.d, right)
    pulls = nest.climb(mode.a[0] * moved)
    residuals = nest.climb(nest.sums(mode.r, 0))
    by_sd = [
        dot(total - pull, u) + dot(at, residual)
        for total, pull, u, at, residual in zip(totals, pulls, mode.u, s, residuals, strict=True)
    ]
    return np.array(by_sd), c - mode.w * nest.spread(moved, 0)


def laplace(nest: Nest, sd: Numbers, mode: Mode) -> Evaluation:
    """Return Laplace's approximation at a mode."""
    value = float(log_chances(nest.y, nest.m, mode.eta, mode.against).sum())
    value -= 0.5 * sum(dot(u, u) + float(np.log(d).sum()) for u, d in zip(mode.u, mode.d, strict=True))
    above, of_shift = shift_variances(nest, sd, mode.d)
    by_sd, by_fixed = pull_back(nest, sd, mode, -0.5 * of_shift)
    residuals = nest.climb(nest.sums(mode.r, 0))
    for level, (a, d) in enumerate(zip(mode.a, mode.d, strict=True)):
        by_sd[level] += dot(residuals[level], mode.u[level]) - sd[level] * float((a / d * (1 - a * above[level] / d)).sum())
    return Evaluation(value, np.append(by_sd, nest.by_beta(mode.r + by_fixed)), mode)


def rule(points: int) -> Rule:
    r"""Return points z and log v: :math:`\int f = \sqrt{2\pi} \sum_k v_k f(z_k)` for a normal density times a polynomial."""
    z, v = np.polynomial.hermite_e.hermegauss(points)
    return z, np.log(v / np.sqrt(2 * np.pi)) + z * z / 2


def quadrature(nest: Nest, sd: Numbers, mode: Mode, points: int) -> Evaluation:
    """Return adaptive Gauss–Hermite quadrature about a mode, of one or two levels."""
    levels, given = nest.levels, mode
    if levels == 1:
        nest, sd, mode = _topped(nest, sd, mode)
    lower, upper = rule(points), rule(points if sd[1] != 0 else 1)
    done = [_integrate(piece, sd, mode, lower, upper) for piece in _pieces(nest, len(lower[0]) * len(upper[0]))]
    joined = [np.concatenate([getattr(part, name) for part in done]) for name in ("by_fixed", "by_weight", "by_lower", "by_upper")]
    by_fixed, by_weight, by_lower, by_upper = joined
    more_sd, more_fixed = pull_back(nest, sd, mode, by_weight, (by_lower, by_upper))
    by_sd = more_sd + np.sum([part.by_sd for part in done], axis=0)
    gradient = np.append(by_sd[:levels], nest.by_beta(by_fixed + more_fixed))
    return Evaluation(float(sum(part.value for part in done)), gradient, given)


def _topped(nest: Nest, sd: Numbers, mode: Mode) -> tuple[Nest, Numbers, Mode]:
    """Put a level with a standard deviation of zero, one group to each of the level below, on top: nothing changes."""
    alone = np.arange(len(nest.starts[0]))
    taller = Nest(nest.y, nest.m, nest.x, (*nest.starts, alone), (*nest.sizes, np.ones_like(alone)))
    u, a, d = [*mode.u, np.zeros(len(alone))], [*mode.a, mode.a[0] / mode.d[0]], [*mode.d, np.ones(len(alone))]
    return taller, np.append(sd, 0.0), replace(mode, u=u, a=a, d=d)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some groups of the top level with all that is below them: slices of the top level, the lowest level and the cells."""

    nest: Nest
    top: slice
    low: slice
    cells: slice


def _pieces(nest: Nest, n_points: int) -> list[Piece]:
    """Cut the nest into pieces of at most ``BLOCK`` numbers, or one group of the top level if that has more."""
    low_starts, top_starts = nest.starts
    ends = np.append(low_starts, len(nest.y))[np.append(top_starts, len(low_starts))]
    cuts = [0]
    while cuts[-1] < len(top_starts):
        reach = int(np.searchsorted(ends, ends[cuts[-1]] + BLOCK // n_points, side="right")) - 1
        cuts.append(max(reach, cuts[-1] + 1))
    found = []
    for first, last in pairwise(cuts):
        low = slice(int(top_starts[first]), int(np.append(top_starts, len(low_starts))[last]))
        cells = slice(int(ends[first]), int(ends[last]))
        starts = (low_starts[low] - cells.start, top_starts[first:last] - low.start)
        sizes = (nest.sizes[0][low], nest.sizes[1][first:last])
        found.append(Piece(Nest(nest.y[cells], nest.m[cells], nest.x[:, cells], starts, sizes), slice(first, last), low, cells))
    return found


@dataclass(frozen=True, slots=True)
class PieceResult:
    """A piece's log likelihood, and its derivatives: explicit ones by sd and cells' fixed part, and by modes and weights."""

    value: float
    by_sd: Numbers
    by_fixed: Numbers
    by_weight: Numbers
    by_lower: Numbers
    by_upper: Numbers


def _integrate(piece: Piece, sd: Numbers, mode: Mode, lower: Rule, upper: Rule) -> PieceResult:
    r"""Return the sum over points (upper j, lower k; axes j, k, group) of a piece, and go back through it for the derivatives.

    With :math:`s = d^{-1/2}` and :math:`f = \sigma_1 A_1/d_1`: :math:`u_{2j} = \hat u_2 + s_2 z_j` and
    :math:`u_{1jk} = \hat u_1 - f \sigma_2 s_2 z_j + s_1 z_k`.
    """
    nest = piece.nest
    (z1, log_v1), (z2, log_v2) = lower, upper
    sd1, sd2 = sd
    a1, d1, a2, d2 = mode.a[0][piece.low], mode.d[0][piece.low], mode.a[1][piece.top], mode.d[1][piece.top]
    s1, s2, f = d1**-0.5, d2**-0.5, sd1 * a1 / d1
    z1, z2 = z1[:, None], z2[:, None]

    u2 = mode.u[1][piece.top] + s2 * z2
    moved = nest.spread(sd2 * s2 * z2, 1)
    u1 = mode.u[0][piece.low] + (-f * moved)[:, None] + s1 * z1
    eta = mode.eta[piece.cells] + nest.spread((moved / d1)[:, None] + sd1 * s1 * z1, 0)
    against, p = chances(eta)
    inner = nest.sums(log_chances(nest.y, nest.m, eta, against), 0) - 0.5 * u1**2 + log_v1[:, None]
    log_inner, share1 = _log_sum(inner, 1)
    outer = nest.sums(log_inner + np.log(s1), 1) - 0.5 * u2**2 + log_v2[:, None]
    log_outer, share2 = _log_sum(outer, 0)
    value = float((log_outer + np.log(s2)).sum())

    share = share1 * nest.spread(share2, 1)[:, None]
    r = nest.y - nest.m * p
    pull = share * nest.sums(r, 0)
    by_u1 = sd1 * pull - share * u1
    pull_j, by_u1_j = pull.sum(axis=1), by_u1.sum(axis=1)
    by_u2 = sd2 * nest.sums(pull_j, 1) - share2 * u2
    leant = (z2 * by_u1_j).sum(axis=0)  # by f and by σ₂s₂, through the lower level's points

    s2_low = nest.spread(s2, 1)
    by_s2 = (by_u2 * z2).sum(axis=0) + 1 / s2 - sd2 * nest.sums(f * leant, 1)
    by_d2 = -0.5 * s2**3 * by_s2
    by_a2 = nest.spread(sd2**2 * by_d2, 1)
    by_f = -sd2 * s2_low * leant
    by_d1 = -0.5 * s1**3 * ((by_u1 * z1).sum(axis=(0, 1)) + 1 / s1) - by_a2 * a1 / d1**2 - by_f * f / d1
    by_sd1 = float((pull * u1).sum() + (by_f * a1 / d1 + 2 * sd1 * a1 * by_d1).sum())
    by_sd2 = float((pull_j * nest.spread(u2, 1)).sum() - (f * s2_low * leant).sum() + (2 * sd2 * a2 * by_d2).sum())
    return PieceResult(
        value=value, by_sd=np.array([by_sd1, by_sd2]), by_fixed=np.einsum("jkn,jkn->n", nest.spread(share, 0), r),
        by_weight=by_a2 / d1 + by_f * sd1 / d1 + sd1**2 * by_d1, by_lower=by_u1_j.sum(axis=0), by_upper=by_u2.sum(axis=0),
    )  # fmt: skip


def _log_sum(logs: Numbers, axis: int) -> tuple[Numbers, Numbers]:
    """Return the logarithm of a sum of exponentials along an axis, and each term's share of the sum."""
    most = logs.max(axis=axis, keepdims=True)
    terms = np.exp(logs - most)
    total = terms.sum(axis=axis, keepdims=True)
    return (most + np.log(total)).squeeze(axis), terms / total

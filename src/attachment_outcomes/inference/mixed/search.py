r"""The best variances: a bounded quasi-Newton search with exact gradients, and proof that it ended at an optimum.

The search is over the Cholesky factors :math:`\Lambda_l` of the relative covariances :math:`\Psi_l = \Lambda_l\Lambda_l'`, as in
lme4, with diagonals of at least zero: a variance may be exactly zero. On that boundary the factor's gradient vanishes whatever
the data say, so the end of a search is judged by the derivative by :math:`\Psi` itself: at an optimum :math:`G\Psi = 0` and
:math:`G` has no negative eigenvalue (no direction in which a larger variance would fit better). Where it has one, the search goes
on from a step in that direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.inference.mixed.likelihood import (
    Evaluation,
    Problem,
    Top,
    adjoint,
    deviance,
    evaluate,
    gradient,
    information,
    solve_top,
)
from attachment_outcomes.inference.mixed.resolve import lower

Numbers = NDArray[np.float64]
START = 0.6  # standard deviation of random effects beside the residual's: the order seen in psychotherapy scores
ZERO = 1e-3  # diagonals below are tried at zero
NO_WORSE = 1e-9  # of the deviance
ROUGH = 1e-4  # of the deviance that one more step would win: below, second derivatives are worth taking
DECREMENT = 1e-11  # below, another exact Newton step moves nothing that is reported
CONVERGED = 1e-6  # a search that ends above has not ended at an optimum
SLOPE = 1e-3  # of the deviance by a relative variance at zero; less negative counts as not falling
ROUNDS = 4
MOVED = 2e-5  # by the polish: second derivatives are then taken again, for the degrees of freedom
FAR = 0.5  # a Newton step longer than this is not a polish
RISE = 0.01  # relative variance of a step away from zero
SINGULAR = 1e-4  # least singular value of a factor, as lme4 takes for its diagonal
STEP = 1e-5  # of differences of gradients, beside parameters of order one: second derivatives to five digits
STEPS, SHORTEST, POLISHES = 200, 1e-8, 4


@dataclass(frozen=True, slots=True)
class Point:
    """Deviance at a theta, its gradient, the fixed effects there, and the derivatives by each Ψ."""

    theta: Numbers
    deviance: float
    by_theta: Numbers
    top: Top
    by_psi: list[Numbers]
    evaluation: Evaluation


@dataclass(slots=True)
class Search:
    """The likelihood along a search; ``count`` evaluations so far."""

    problem: Problem
    reml: bool
    sizes: tuple[int, ...]
    count: int = 0

    def psis(self, theta: Numbers) -> list[Numbers]:
        """Return Ψ a level from the stacked lower triangles."""
        return [f @ f.T for f in factors(theta, self.sizes)]

    @property
    def residual_df(self) -> int:
        """What the residual sum of squares is divided by."""
        return self.problem.n - self.problem.p if self.reml else self.problem.n

    def at(self, theta: Numbers, weight: float | None = None) -> Point:
        """Return deviance and gradient at theta; ``weight`` fixes 1/σ², which by default is at its best (profiled)."""
        self.count += 1
        roots = factors(theta, self.sizes)
        found = evaluate(self.problem, [(f @ f.T)[:, :, None] for f in roots])
        top = solve_top(self.problem, found)
        by_psi, by_theta = self._slopes(roots, found, top, self.residual_df / top.rss[0] if weight is None else weight)
        return Point(theta, float(deviance(self.problem, found, top, reml=self.reml)[0]), by_theta, top, by_psi, found)

    def _slopes(self, roots: list[Numbers], at: Evaluation, top: Top, weight: float) -> tuple[list[Numbers], Numbers]:
        found = gradient(self.problem, at, adjoint(self.problem, top, reml=self.reml, weight=np.array([weight])))
        by_psi = [g[:, :, 0] for g in found]
        return by_psi, np.concatenate([2 * (g @ f)[lower(len(f))] for g, f in zip(by_psi, roots, strict=True)])

    def by_residual(self, point: Point) -> Numbers:
        """Return the derivative by theta of the residual sum of squares over σ².

        The gradient is linear in 1/σ²: this is what doubling that adds.
        """
        weight = 2 * self.residual_df / point.top.rss[0]
        return self._slopes(factors(point.theta, self.sizes), point.evaluation, point.top, weight)[1] - point.by_theta


def factors(theta: Numbers, sizes: tuple[int, ...]) -> list[Numbers]:
    """Return the lower-triangular factors, a level, from their stacked entries."""
    found, at = [], 0
    for size in sizes:
        factor = np.zeros((size, size))
        entries = size * (size + 1) // 2
        factor[lower(size)] = theta[at : at + entries]
        found.append(factor)
        at += entries
    return found


def diagonal(sizes: tuple[int, ...]) -> NDArray[np.bool_]:
    """Tell which entries of theta are diagonals of their factor."""
    return np.concatenate([np.equal(*lower(size)) for size in sizes])


@dataclass(frozen=True, slots=True)
class Curvature:
    """Second derivatives of the deviance by (theta, log σ²) at fixed variances, and how the fixed effects' covariance moves.

    ``hessian`` (k + 1, k + 1), zero in the rows of theta that sit at zero; ``covariances`` (k + 1, p, p) the derivatives of the
    working fixed effects' covariance over σ².
    """

    hessian: Numbers
    covariances: Numbers

    @property
    def profiled(self) -> Numbers:
        """The Hessian by theta alone, with σ² at its best."""
        cross = self.hessian[:-1, -1]
        return np.asarray(self.hessian[:-1, :-1] - np.outer(cross, cross) / self.hessian[-1, -1])


@dataclass(frozen=True, slots=True)
class Optimum:
    """Where a search ended. ``sigma2`` residual variance in working units; ``singular`` if a factor has a zero diagonal."""

    theta: Numbers
    deviance: float
    sigma2: float
    top: Top
    curvature: Curvature
    converged: bool
    singular: bool


def optimum(search: Search) -> Optimum:
    """Search, put variances of zero at zero, polish with exact second derivatives, and check."""
    on_diagonal = diagonal(search.sizes)
    theta = np.where(on_diagonal, START, 0.0)
    for _ in range(ROUNDS):
        start = _zeros(search, _descend(search, theta), on_diagonal)
        here, bend, left = _polished(search, start, on_diagonal)
        flat = _zeros(search, here, on_diagonal)
        if flat is not here:  # only the polish came near enough to zero
            here, bend, left = _polished(search, flat, on_diagonal)
        if left >= CONVERGED:
            here, bend, left = _polished(search, _zeros(search, _descend(search, here.theta, 1e-8), on_diagonal), on_diagonal)
        risen = _larger(search, here)
        if risen is None:
            break
        theta = risen
    singular = any(np.linalg.svd(f, compute_uv=False).min() < SINGULAR for f in factors(here.theta, search.sizes))
    converged = risen is None and left < CONVERGED
    return Optimum(here.theta, here.deviance, float(here.top.rss[0]) / search.residual_df, here.top, bend, converged, singular)


def _polished(search: Search, here: Point, on_diagonal: NDArray[np.bool_]) -> tuple[Point, Curvature, float]:
    """Take Newton steps with exact second derivatives; also return these, and what a further step would win."""
    free, start = ~(on_diagonal & (here.theta == 0)), here.theta
    bend = curvature(search, here, free)
    inverse = np.linalg.pinv(bend.profiled, rcond=1e-10, hermitian=True)
    for _ in range(POLISHES):
        step = -inverse @ (here.by_theta * free)
        if abs(here.by_theta @ step) < DECREMENT or np.abs(step).max() > FAR:
            break
        there = search.at(here.theta + step)
        if there.deviance > here.deviance + NO_WORSE:
            break
        here = there
    if np.abs(here.theta - start).max() > MOVED:
        bend = curvature(search, here, free)
    slope = here.by_theta * free
    return here, bend, abs(float(slope @ inverse @ slope))


def _descend(search: Search, theta: Numbers, until: float = ROUGH) -> Point:
    """Go downhill by Fisher scoring: steps from the expected second derivatives, shortened where they go too far.

    The deviance depends on a factor only through ΛΛ', so diagonals may change sign on the way; they are turned back at the end.
    """
    here = search.at(theta)
    for _ in range(STEPS):
        step = -np.linalg.solve(_expected(search, here), here.by_theta)
        slope = float(here.by_theta @ step)
        if -slope < until:
            break
        length = 1.0
        there = search.at(here.theta + step)
        while not there.deviance <= here.deviance + 1e-4 * length * slope and length > SHORTEST:
            # The minimum of the parabola through both values and the slope, within reason.
            rise = there.deviance - here.deviance - length * slope
            length *= min(max(-slope * length / (2 * rise) if np.isfinite(rise) else 0.1, 0.1), 0.5)
            there = search.at(here.theta + length * step)
        if there.deviance > here.deviance:
            break
        here = there
    roots = factors(here.theta, search.sizes)
    signs = [np.where(np.diag(f) < 0, -1.0, 1.0) for f in roots]
    if all((s > 0).all() for s in signs):
        return here
    return search.at(np.concatenate([(f * s)[lower(len(f))] for f, s in zip(roots, signs, strict=True)]))


def _expected(search: Search, at: Point) -> Numbers:
    """Return the expected second derivatives by theta with σ² at its best, those across levels left out."""
    k = len(at.theta)
    found, cross, start = np.zeros((k, k)), np.zeros(k), 0
    levels = zip(factors(at.theta, search.sizes), information(search.problem, at.evaluation), at.by_psi, strict=True)
    for factor, (pairs, with_sigma), by_psi in levels:
        q, (rows, columns) = len(factor), lower(len(factor))
        moves = np.zeros((q, q, len(rows)))  # of Ψ by each entry of the factor
        for e, (i, j) in enumerate(zip(rows, columns, strict=True)):
            moves[i, :, e] += factor[:, j]
            moves[:, i, e] += factor[:, j]
        flat = moves.reshape(q * q, -1)
        part = slice(start, start + len(rows))
        # Ψ bends with its factor: without this a variance on its way to zero would never be seen to get there.
        values, vectors = np.linalg.eigh(by_psi)
        rising = (vectors * np.maximum(values, 0.0)) @ vectors.T
        bent = 2 * rising[np.ix_(rows, rows)] * (columns[:, None] == columns)
        found[part, part], cross[part] = flat.T @ pairs[:, :, 0] @ flat + bent, flat.T @ with_sigma[:, 0]
        start += len(rows)
    found -= np.outer(cross, cross) / search.residual_df
    return found + 1e-6 * float(np.trace(found)) * np.eye(k)


def _zeros(search: Search, here: Point, on_diagonal: NDArray[np.bool_]) -> Point:
    """Return the point with those diagonals at zero that are as good there."""
    for k in np.flatnonzero(on_diagonal & (here.theta != 0) & (np.abs(here.theta) < ZERO)):
        tried = here.theta.copy()
        tried[k] = 0.0
        there = search.at(tried)
        if there.deviance <= here.deviance + NO_WORSE:
            here = there
    return here


def _larger(search: Search, here: Point) -> Numbers | None:
    """Return theta after a step in which a random effect's variance grows and the deviance falls; None if there is none."""
    worst, where = -SLOPE * np.sqrt(search.problem.n), None
    for level, g in enumerate(here.by_psi):
        values, vectors = np.linalg.eigh(g)
        if values[0] < worst:
            worst, where = float(values[0]), (level, vectors[:, 0])
    if where is None:
        return None
    found = factors(here.theta, search.sizes)
    level, direction = where
    psi = found[level] @ found[level].T + RISE * np.outer(direction, direction)
    found[level] = np.asarray(np.linalg.cholesky(psi + 1e-9 * np.eye(len(psi))))
    return np.concatenate([f[lower(len(f))] for f in found])


def curvature(search: Search, here: Point, free: NDArray[np.bool_]) -> Curvature:
    """Return second derivatives at a point and its best σ², by differences of exact gradients."""
    k, p = len(here.theta), search.problem.p
    weight = search.residual_df / float(here.top.rss[0])
    hessian, covariances = np.zeros((k + 1, k + 1)), np.zeros((k + 1, p, p))
    for i in np.flatnonzero(free):
        moved = here.theta.copy()
        moved[i] += STEP
        there = search.at(moved, weight)
        hessian[i, :-1] = (there.by_theta - here.by_theta) / STEP * free
        covariances[i] = (there.top.inverse[0] - here.top.inverse[0]) / STEP
    hessian[:-1, :-1] = (hessian[:-1, :-1] + hessian[:-1, :-1].T) / 2
    hessian[-1, :-1] = hessian[:-1, -1] = -search.by_residual(here) * free
    hessian[-1, -1] = search.residual_df
    covariances[-1] = here.top.inverse[0]
    return Curvature(hessian, covariances)

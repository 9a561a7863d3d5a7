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
from scipy.optimize import minimize

from attachment_outcomes.inference.mixed.likelihood import Problem, Top, adjoint, deviance, evaluate, gradient, lower, solve_top

Numbers = NDArray[np.float64]
START = 0.6  # standard deviation of random effects beside the residual's: the order seen in psychotherapy scores
ZERO = 1e-3  # diagonals below are tried at zero
NO_WORSE = 1e-9  # of the deviance
DECREMENT = 1e-6  # of the deviance that one more Newton step would win: below, the search has ended
SLOPE = 1e-3  # of the deviance by a relative variance at zero; less negative counts as not falling
ROUNDS = 4
FAR = 0.5  # a Newton step longer than this is not a polish
RISE = 0.01  # relative variance of a step away from zero
SINGULAR = 1e-4  # least singular value of a factor, as lme4 takes for its diagonal
STEP = 1e-4  # of differences of gradients, beside parameters of order one


@dataclass(frozen=True, slots=True)
class Point:
    """Deviance at a theta, its gradient, the fixed effects there, and the derivatives by each Ψ."""

    deviance: float
    by_theta: Numbers
    top: Top
    by_psi: list[Numbers]


@dataclass(slots=True)
class Search:
    """The likelihood along a search: ``count`` evaluations so far."""

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
        psis = [f @ f.T for f in roots]
        found = evaluate(self.problem, psis)
        top = solve_top(self.problem, found)
        weight = self.residual_df / top.rss if weight is None else weight
        by_psi = gradient(self.problem, psis, found, adjoint(self.problem, top, reml=self.reml, weight=weight))
        by_theta = np.concatenate([2 * (g @ f)[lower(len(f))] for g, f in zip(by_psi, roots, strict=True)])
        return Point(deviance(self.problem, found, top, reml=self.reml), by_theta, top, by_psi)


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
    """Search, put variances of zero at zero, take a Newton step, and check."""
    on_diagonal = diagonal(search.sizes)
    bounds = [(0.0 if d else None, None) for d in on_diagonal]
    theta = np.where(on_diagonal, START, 0.0)

    def value(at: Numbers) -> tuple[float, Numbers]:
        point = search.at(at)
        return point.deviance, point.by_theta

    for _ in range(ROUNDS):
        found = minimize(
            value, theta, jac=True, method="L-BFGS-B", bounds=bounds,
            options={"ftol": 1e-13, "gtol": 1e-6 * np.sqrt(search.problem.n), "maxiter": 200},
        )  # fmt: skip
        theta = _zeros(search, np.asarray(found.x), float(found.fun), on_diagonal)
        here = search.at(theta)
        risen = _larger(search, theta, here.by_psi)
        if risen is None:
            break
        theta = risen
    free = ~(on_diagonal & (theta == 0))
    bend = curvature(search, theta, here, free)
    inverse = np.linalg.pinv(bend.profiled, rcond=1e-10, hermitian=True)
    step = -inverse @ (here.by_theta * free)
    if 0 < np.abs(step).max(initial=0.0) < FAR:
        moved = np.where(on_diagonal, np.maximum(theta + step, 0.0), theta + step)
        there = search.at(moved)
        if there.deviance <= here.deviance + NO_WORSE:
            theta, here = moved, there
    left = here.by_theta * free
    converged = risen is None and float(left @ inverse @ left) < DECREMENT
    singular = any(np.linalg.svd(f, compute_uv=False).min() < SINGULAR for f in factors(theta, search.sizes))
    return Optimum(theta, here.deviance, here.top.rss / search.residual_df, here.top, bend, converged, singular)


def _zeros(search: Search, theta: Numbers, value: float, on_diagonal: NDArray[np.bool_]) -> Numbers:
    """Return theta with the diagonals at zero that are as good there."""
    for k in np.flatnonzero(on_diagonal & (theta > 0) & (theta < ZERO)):
        tried = theta.copy()
        tried[k] = 0.0
        if search.at(tried).deviance <= value + NO_WORSE:
            theta = tried
    return theta


def _larger(search: Search, theta: Numbers, by_psi: list[Numbers]) -> Numbers | None:
    """Return theta after a step in which a random effect's variance grows and the deviance falls; None if there is none."""
    worst, where = -SLOPE * np.sqrt(search.problem.n), None
    for level, g in enumerate(by_psi):
        values, vectors = np.linalg.eigh(g)
        if values[0] < worst:
            worst, where = float(values[0]), (level, vectors[:, 0])
    if where is None:
        return None
    found = factors(theta, search.sizes)
    level, direction = where
    psi = found[level] @ found[level].T + RISE * np.outer(direction, direction)
    found[level] = np.asarray(np.linalg.cholesky(psi + 1e-9 * np.eye(len(psi))))
    return np.concatenate([f[lower(len(f))] for f in found])


def curvature(search: Search, theta: Numbers, here: Point, free: NDArray[np.bool_]) -> Curvature:
    """Return second derivatives at theta and its best σ², by central differences of exact gradients."""
    k, p = len(theta), search.problem.p
    weight = search.residual_df / here.top.rss
    hessian, covariances = np.zeros((k + 1, k + 1)), np.zeros((k + 1, p, p))
    for i in np.flatnonzero(free):
        step = np.zeros(k)
        step[i] = STEP
        above, below = search.at(theta + step, weight), search.at(theta - step, weight)
        hessian[i, :-1] = (above.by_theta - below.by_theta) / (2 * STEP) * free
        covariances[i] = (above.top.inverse - below.top.inverse) / (2 * STEP)
    hessian[:-1, :-1] = (hessian[:-1, :-1] + hessian[:-1, :-1].T) / 2
    # The gradient is linear in 1/σ²: what doubling that adds is the residual sum of squares' part.
    by_residual = (search.at(theta, 2 * weight).by_theta - here.by_theta) * free
    hessian[-1, :-1] = hessian[:-1, -1] = -by_residual
    hessian[-1, -1] = search.residual_df
    covariances[-1] = here.top.inverse
    return Curvature(hessian, covariances)

"""Which standard deviations and fixed effects make the data likeliest? A quasi-Newton search that may end at a variance of zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.inference.logistic_mixed.likelihood import Evaluation, evaluate
from attachment_outcomes.inference.logistic_mixed.nested import Mode, Nest, Numbers, solve

Free = NDArray[np.bool_]
START_SD = 0.8  # log odds; variances of people and therapists in such data are mostly near it
SMALL_SD = 0.1  # log odds; below it zero is tried
SAME = 1e-7  # log likelihoods closer than this are equal, and then the simpler model, with the zero, is taken
MOST_STEPS = 200
NEAR = 1e-9  # twice the log likelihood still to gain (the squared distance in standard errors) at which the search stops
STEP = 1e-3  # standard errors, for the second derivatives
CONVERGED = 1e-6  # twice the log likelihood still to gain, by the second derivatives
RISE = 1e-4  # share of the promised gain that a step must bring (Armijo)
NOISE = 1e-13  # relative rounding error of a log likelihood
HALVINGS = 30
LONGEST_SD = 2.0  # log odds that a step may change a standard deviation by
RUNAWAY_SD = 30.0  # log odds; no unit would ever change its outcome


class RunawayError(Exception):
    """A standard deviation grows without end; ``level`` says which."""

    def __init__(self, level: int) -> None:
        """Take the level's number, the lowest being 0."""
        super().__init__(f"standard deviation {level} grows without end")
        self.level = level


@dataclass(slots=True)
class Optimum:
    """Where the search ended: parameters are the standard deviations, lowest level first, and then the fixed effects.

    ``covariance`` of the parameters, zero for a standard deviation of zero; ``mode`` of the random intercepts.
    """

    parameters: Numbers
    covariance: Numbers
    loglik: float
    mode: Mode
    converged: bool
    n_evaluations: int

    @property
    def sd(self) -> Numbers:
        """Standard deviations."""
        return self.parameters[: len(self.mode.u)]

    @property
    def beta(self) -> Numbers:
        """Fixed effects."""
        return self.parameters[len(self.mode.u) :]


class _Surface:
    """The log likelihood; remembers where the mode was last, because the next one is near it, and counts."""

    def __init__(self, nest: Nest, points: int) -> None:
        self.nest, self.points, self.count = nest, points, 0
        self.u = [np.zeros(len(starts)) for starts in nest.starts]

    def at(self, parameters: Numbers, *, stay: bool = False) -> Evaluation:
        self.count += 1
        levels = self.nest.levels
        found = evaluate(self.nest, parameters[:levels], parameters[levels:], self.u, self.points)
        if found.mode.found and not stay:
            self.u = found.mode.u
        return found


def maximise(nest: Nest, beta: Numbers, points: int) -> Optimum:
    """Return the maximum of the approximated likelihood, from a start of the fixed effects.

    Notes
    -----
    The likelihood is even in each standard deviation, so the search needs no bounds: where a variance of zero is best, zero is a
    smooth maximum. It is then put in exactly, and kept if the likelihood does not fall.
    """
    surface = _Surface(nest, points)
    levels = nest.levels
    parameters = np.append(np.full(levels, START_SD), beta)
    free = np.ones(len(parameters), dtype=bool)
    parameters, loglik = _search(surface, parameters, free)
    while (parameters[:levels][free[:levels]] < SMALL_SD).any():
        tried = free.copy()
        tried[np.where(free[:levels], parameters[:levels], np.inf).argmin()] = False
        without, value = _search(surface, np.where(tried | ~free, parameters, 0.0), tried)
        if value < loglik - SAME:
            break
        parameters, loglik, free = without, value, tried
    return _finish(surface, parameters, free)


def _search(surface: _Surface, start: Numbers, free: Free) -> tuple[Numbers, float]:
    """Search over the free parameters, in units of about a standard error each; standard deviations come back positive.

    Quasi-Newton (BFGS). Steps are judged by the gain in likelihood with an allowance for rounding, so that the last ones, whose
    gain drowns in it, are still taken: the gradient is much more precise than the likelihood.
    """
    levels = surface.nest.levels
    here, information = _information(surface, start)
    root = np.linalg.inv(np.linalg.cholesky(information[np.ix_(free, free)])).T
    parameters, metric = start, np.eye(int(free.sum()))
    for _ in range(MOST_STEPS):
        slope = root.T @ here.gradient[free]
        step = metric @ slope
        promised = float(step @ slope)
        if promised < NEAR:
            break
        longest = float(np.abs(root[: int(free[:levels].sum())] @ step).max(initial=0.0))
        if longest > LONGEST_SD:
            step, promised = step * (LONGEST_SD / longest), promised * (LONGEST_SD / longest)
        for _ in range(HALVINGS):
            tried = parameters.copy()
            tried[free] += root @ step
            there = surface.at(tried)
            if there.value >= here.value + RISE * promised - NOISE * abs(here.value):
                break
            step, promised = step / 2, promised / 2
        else:
            break
        turned = slope - root.T @ there.gradient[free]
        curvature = float(step @ turned)
        if curvature > 0:
            rest = np.eye(len(step)) - np.outer(step, turned) / curvature
            metric = rest @ metric @ rest.T + np.outer(step, step) / curvature
        parameters, here = tried, there
        if np.abs(parameters[:levels]).max() > RUNAWAY_SD:
            raise RunawayError(int(np.abs(parameters[:levels]).argmax()))
    return np.append(np.abs(parameters[:levels]), parameters[levels:]), here.value


def _information(surface: _Surface, parameters: Numbers) -> tuple[Evaluation, Numbers]:
    """Return the likelihood and roughly minus its second derivatives, as if the outcome were normal, with the mode's weights."""
    nest, levels = surface.nest, surface.nest.levels
    here = surface.at(parameters)
    sd, mode = parameters[:levels], here.mode
    x = nest.x
    right = [s * total for s, total in zip(sd, nest.climb(nest.sums(mode.w * x, 0)), strict=True)]
    _, moved = solve(nest, sd, mode.a, mode.d, right)
    found = np.zeros((len(parameters), len(parameters)))
    found[levels:, levels:] = (mode.w * (x - nest.spread(moved, 0))) @ x.T
    for level, (s, a, d) in enumerate(zip(sd, mode.a, mode.d, strict=True)):
        found[level, level] = max(2 * float(((s * a / d) ** 2).sum()), 1.0)
    return here, found


def _finish(surface: _Surface, parameters: Numbers, free: Free) -> Optimum:
    """Take second derivatives, which give the standard errors, and one Newton step by them."""
    here, information = _information(surface, parameters)
    scale = np.linalg.inv(np.linalg.cholesky(information[np.ix_(free, free)])).T
    second = _second_derivatives(surface, parameters, free, scale)
    covariance = np.zeros((len(parameters), len(parameters)))
    covariance[np.ix_(free, free)] = np.nan
    left = np.inf
    if (np.linalg.eigvalsh(scale.T @ second @ scale) > 0).all():
        covariance[np.ix_(free, free)] = np.linalg.inv(second)
        step = covariance @ np.where(free, here.gradient, 0.0)
        there = surface.at(parameters + step)
        if there.value >= here.value - NOISE * abs(here.value):
            parameters, here = parameters + step, there
        slope = np.where(free, here.gradient, 0.0)
        left = float(slope @ covariance @ slope)
    return Optimum(parameters, covariance, here.value, here.mode, left < CONVERGED and here.mode.found, surface.count)


def _second_derivatives(surface: _Surface, parameters: Numbers, free: Free, scale: Numbers) -> Numbers:
    """Return minus the second derivatives by the free parameters, from central differences of the gradient."""
    columns = []
    for direction in scale.T:
        step = np.zeros(len(parameters))
        step[free] = STEP * direction
        up, down = surface.at(parameters + step, stay=True), surface.at(parameters - step, stay=True)
        columns.append((down.gradient[free] - up.gradient[free]) / (2 * STEP))
    found = np.column_stack(columns) @ np.linalg.inv(scale)
    return (found + found.T) / 2

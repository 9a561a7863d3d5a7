r"""Where do the random intercepts of nested groups sit, given everything else? Their joint mode and its curvature.

With :math:`\eta_i = x_i'\beta + \sum_l \sigma_l u_{l,g_l(i)}` and independent standard normal u, the u's log density given the data
is concave; minus its second derivatives form :math:`H = I + \Lambda Z'WZ\Lambda`. The groups are nested, so H has an arrowhead at
every level and is eliminated from the lowest level up: a group with summed weights A has the pivot :math:`d = 1 + \sigma^2 A` and
hands :math:`A/d` to its parent. All of it is sums over groups that lie beside each other.

Vocabulary
----------
cell    rows of one lowest group with the same predictors, counted together (``m`` rows, ``y`` of them 1)
shift   sum of a cell's random intercepts on the scale of log odds, :math:`\sum_l \sigma_l u_l`; the same for a lowest group's cells
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Positions = NDArray[np.intp]

LEAST_LOG_ODDS = -700.0  # e to the power of 710 is infinite
MODE_STEPS = 100  # Newton steps for the mode; from a far start about ten are needed
MODE_NEAR = 1e-10  # Newton decrement from which one more step, converging quadratically, reaches rounding error


@dataclass(frozen=True, slots=True)
class Nest:
    """Cells and their groups, sorted so that each group's members lie beside each other.

    ``y``, ``m`` (cells,) rows that are 1, and rows; ``x`` (p, cells) fixed effects' columns; ``starts`` for each level, lowest
    first, the first member (cell, or group of the level below) of each group; ``sizes`` how many members it has.
    """

    y: Numbers
    m: Numbers
    x: Numbers
    starts: tuple[Positions, ...]
    sizes: tuple[Positions, ...]

    @property
    def levels(self) -> int:
        """Number of grouping levels."""
        return len(self.starts)

    def sums(self, values: Numbers, level: int) -> Numbers:
        """Return sums by the groups of a level over the last axis, which runs over the level's members."""
        if len(self.starts[level]) == values.shape[-1]:
            return values
        return np.add.reduceat(values, self.starts[level], axis=-1)

    def spread(self, values: Numbers, level: int) -> Numbers:
        """Return each group's value at every one of its members: the reverse of :meth:`sums`."""
        if values.shape[-1] == 1:
            return np.broadcast_to(values, (*values.shape[:-1], int(self.sizes[level][0])))
        return np.repeat(values, self.sizes[level], axis=-1)

    def fixed_part(self, beta: Numbers) -> Numbers:
        """Return each cell's fixed part of the log odds."""
        return np.asarray(np.einsum("pn,p->n", self.x, beta))

    def by_beta(self, by_fixed_part: Numbers) -> Numbers:
        """Return derivatives by the fixed effects from those by each cell's fixed part."""
        return np.asarray(np.einsum("pn,n->p", self.x, by_fixed_part))

    def climb(self, lowest: Numbers) -> list[Numbers]:
        """Return sums at every level of a value of the lowest groups."""
        found = [lowest]
        for level in range(1, self.levels):
            found.append(self.sums(found[-1], level))
        return found

    def shift(self, sd: Numbers, u: Sequence[Numbers]) -> Numbers:
        """Return the lowest groups' summed random intercepts, in log odds."""
        total: Numbers = sd[-1] * u[-1]
        for level in range(self.levels - 1, 0, -1):
            total = self.spread(total, level) + sd[level - 1] * u[level - 1]
        return total


def make_nest(y: Numbers, x: Numbers, codes: Sequence[Positions]) -> tuple[Nest, list[Positions]]:
    """Sort rows by their nested groups and count equal rows of a lowest group together.

    Parameters
    ----------
    y : (n,)
        Outcome, 0 or 1.
    x : (n, p)
        Fixed effects' columns.
    codes
        For each level, lowest first, each row's group as a number from 0.

    Returns
    -------
    Nest, list
        And for each level the codes of its groups in the nest's order.
    """
    cell, n_cells = codes[0], int(codes[0].max()) + 1
    for column in x.T:
        if n_cells < len(y):
            which, values = pd.factorize(column)
            cell, found = pd.factorize(cell * len(values) + which)
            n_cells = len(found)
    m = np.ones(len(y))
    if n_cells < len(y):
        first = np.empty(n_cells, dtype=np.intp)
        first[cell[::-1]] = np.arange(len(y))[::-1]
        m = np.bincount(cell).astype(float)
        y = np.bincount(cell, weights=y).astype(float)
        x, codes = x[first], [c[first] for c in codes]
    order = np.lexsort(tuple(codes))
    starts, sizes, names = [], [], []
    member = np.arange(len(order))
    for level_codes in codes:
        labels = level_codes[order][member]
        begins = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
        starts.append(begins)
        sizes.append(np.diff(np.append(begins, len(labels))))
        names.append(labels[begins])
        member = member[begins]
    return Nest(y[order], m[order], np.ascontiguousarray(x[order].T), tuple(starts), tuple(sizes)), names


@dataclass(slots=True)
class Mode:
    r"""The joint mode at given parameters, and what was computed there.

    ``u`` modes by level; ``eta``, ``against`` (cells,) log odds and :math:`e^{-\eta}`; ``p``, ``w``, ``r`` probability,
    weight :math:`mp(1-p)` and residual :math:`y-mp`; ``a``, ``d`` by level the summed weights and pivots; ``found`` whether
    Newton's steps ended.
    """

    u: list[Numbers]
    eta: Numbers
    against: Numbers
    p: Numbers
    w: Numbers
    r: Numbers
    a: list[Numbers]
    d: list[Numbers]
    found: bool

    def w_slope(self) -> Numbers:
        """Return the derivative of the weights by the log odds."""
        return self.w * (1 - 2 * self.p)


def chances(eta: Numbers) -> tuple[Numbers, Numbers]:
    r"""Return :math:`e^{-\eta}` and the probability at log odds."""
    against = np.maximum(eta, LEAST_LOG_ODDS)
    np.exp(np.negative(against, out=against), out=against)  # in place: fresh memory costs more than the arithmetic
    p = against + 1
    return against, np.divide(1, p, out=p)


def log_chances(y: Numbers, m: Numbers, eta: Numbers, against: Numbers) -> Numbers:
    """Return each cell's log likelihood (of its single rows, so without binomial coefficients)."""
    found: Numbers = np.add(against, 1)
    np.multiply(np.log(found, out=found), m, out=found)
    return np.subtract((y - m) * eta, found, out=found)


def eliminate(nest: Nest, sd: Numbers, a: Numbers) -> tuple[list[Numbers], list[Numbers]]:
    """Return summed weights and pivots of every level from the lowest groups' summed weights."""
    weights, pivots = [a], [1 + sd[0] ** 2 * a]
    for level in range(1, nest.levels):
        weights.append(nest.sums(weights[-1] / pivots[-1], level))
        pivots.append(1 + sd[level] ** 2 * weights[-1])
    return weights, pivots


def solve(nest: Nest, sd: Numbers, a: list[Numbers], d: list[Numbers], right: Sequence[Numbers]) -> tuple[list[Numbers], Numbers]:
    """Return the solution of H δ = right by level, and the lowest groups' shift Σ σ δ."""
    last = nest.levels - 1
    flow = [np.zeros_like(right[0])]
    for level in range(last):
        passed = flow[level] + sd[level] * a[level] * (right[level] - sd[level] * flow[level]) / d[level]
        flow.append(nest.sums(passed, level + 1))
    above: Numbers = np.zeros(1)
    found: list[Numbers] = []
    for level in range(last, -1, -1):
        delta = (right[level] - sd[level] * (flow[level] + a[level] * above)) / d[level]
        found.append(delta)
        above = above + sd[level] * delta
        if level:
            above = nest.spread(above, level)
    return found[::-1], above


def shift_variances(nest: Nest, sd: Numbers, d: list[Numbers]) -> tuple[list[Numbers], Numbers]:
    """Return, given the data, the variance of what lies above each level's groups, and of the lowest groups' whole shift."""
    total: Numbers = np.zeros_like(d[-1])
    above: list[Numbers] = []
    for level in range(nest.levels - 1, -1, -1):
        above.append(total)
        total = sd[level] ** 2 / d[level] + total / d[level] ** 2
        if level:
            total = nest.spread(total, level)
    return above[::-1], total


def find_mode(nest: Nest, sd: Numbers, fixed: Numbers, start: Sequence[Numbers]) -> Mode:
    """Return the joint mode of the random intercepts by Newton's method.

    Parameters
    ----------
    nest
        The data.
    sd : (levels,)
        Standard deviations of the random intercepts.
    fixed : (cells,)
        Fixed part of the log odds.
    start
        Modes to start from, by level.

    Notes
    -----
    The density is concave, so a step is too long exactly if the slope along it has turned; it is then cut where the slope's
    secant crosses zero. This needs the slopes that the next step needs anyway, and no function values.
    """
    u = list(start)
    step: list[Numbers] = []
    slope, near = 0.0, False
    for _ in range(MODE_STEPS):
        eta = fixed + nest.spread(nest.shift(sd, u), 0)
        against, p = chances(eta)
        mean = nest.m * p
        r = nest.y - mean
        w = mean * (1 - p)
        a, d = eliminate(nest, sd, nest.sums(w, 0))
        right = [s * total - at for s, total, at in zip(sd, nest.climb(nest.sums(r, 0)), u, strict=True)]
        if near:
            return Mode(u, eta, against, p, w, r, a, d, found=True)
        if step:
            now = _along(step, right)
            if now < -0.5 * slope:
                cut = max(slope / (slope - now), 0.1)
                step = [cut * s for s in step]
                u = [at - (1 / cut - 1) * s for at, s in zip(u, step, strict=True)]
                slope *= cut
                continue
        step, _ = solve(nest, sd, a, d, right)
        slope = _along(step, right)
        near = slope < MODE_NEAR
        u = [at + s for at, s in zip(u, step, strict=True)]
    return Mode(u, eta, against, p, w, r, a, d, found=False)


def dot(a: Numbers, b: Numbers) -> float:
    """Return an inner product; unlike ``@``, it starts no threads, which cost more than they bring on a busy machine."""
    return float(np.einsum("n,n->", a, b))


def _along(step: Sequence[Numbers], right: Sequence[Numbers]) -> float:
    return sum(dot(s, g) for s, g in zip(step, right, strict=True))

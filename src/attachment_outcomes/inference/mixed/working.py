"""From a person's moments to the likelihood's working columns, and from its solution back to the data's units.

The search runs where it is well conditioned: fixed effects orthonormal over the data, the outcome's residual in units of its
standard deviation, random slopes' columns centred and scaled. None of this changes the likelihood, and all of it is undone
exactly in what is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.design import tied_columns
from attachment_outcomes.inference.mixed.likelihood import Lowest, Problem, products, upper
from attachment_outcomes.inference.mixed.moments import Moments
from attachment_outcomes.inference.mixed.resolve import pack, places, sums, triangle, with_area

Numbers = NDArray[np.float64]
Positions = NDArray[np.intp]
PLACE = "mixed model"
FIRST = np.zeros(1, dtype=np.intp)
POOLED = 0.5  # pool units of one design where that leaves at most this share of them
CHUNK = 100_000  # people at a time in the pass that pools them
SAME_DESIGN = 10  # digits, relative to the largest, to which two designs agree that count as one
NO_RESIDUAL = 1e-12  # share of the outcome's variance below which what is left is rounding error


@dataclass(frozen=True, slots=True)
class Standard:
    """People's moments in the basis (1, columns centred and scaled over all rows).

    ``n`` (people,) rows; ``apart`` (columns, people) means; ``scatter`` (entries, people) about the person's own means.
    """

    n: Numbers
    apart: Numbers
    scatter: Numbers

    def rows(self, wanted: list[int]) -> Numbers:
        """Return the wanted rows of each person's cross products: (wanted, columns + 1, people)."""
        at = places(len(self.apart))
        found = np.empty((len(wanted), len(self.apart) + 1, len(self.n)))
        for k, c in enumerate(wanted):
            weighted = self.n if c == 0 else self.n * self.apart[c - 1]
            found[k, 0] = weighted
            found[k, 1:] = weighted * self.apart
            if c:
                found[k, 1:] += self.scatter[at[c - 1]]
        return found

    def sums(self, starts: Positions) -> Numbers:
        """Return the sums over consecutive people of their cross products: (columns + 1, columns + 1, parents)."""
        size = len(self.apart) + 1
        found = np.empty((size, size, len(starts)))
        found[0, 0] = sums(self.n, starts)
        found[0, 1:] = found[1:, 0] = sums(self.n * self.apart, starts)
        for k, (i, j) in enumerate(zip(*triangle(size - 1), strict=True)):
            whole = sums(self.scatter[k] + self.n * self.apart[i] * self.apart[j], starts)
            found[i + 1, j + 1] = found[j + 1, i + 1] = whole
        return found


@dataclass(frozen=True, slots=True)
class Further:
    """A random effect's column beside the fixed ones (name empty: the constant): the data's less ``centre``, over ``unit``."""

    name: str
    centre: float
    unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """The problem in working columns and the way back.

    ``labels`` each level's units in the problem's order; ``parents`` each unit's parent, a level; ``es`` (m, r) each level's
    random effects' columns; ``further`` those of them beside the fixed effects; ``standard`` and ``q_matrix`` (columns + 1, m)
    make a person's cross products; ``a``, ``b`` each person's A and B. ``beta_back`` (p, p) times the working fixed effects plus
    ``beta_shift`` gives those of the data's columns; ``mean_shift`` is what a change of the outcome's mean adds to these;
    ``z_back`` each level's matrix from working random effects to the data's; ``scale`` the outcome's unit. ``order`` sorts people
    by their parents; ``pooled`` the order and first people of the cells, if people are pooled; ``centre``, ``unit`` of the
    columns; ``columns`` each level's random effects' columns (0: the constant).
    """

    problem: Problem
    labels: tuple[pd.Index, ...]
    parents: tuple[Positions, ...]
    es: tuple[Numbers, ...]
    further: tuple[Further, ...]
    standard: Standard
    q_matrix: Numbers
    a: Numbers
    b: Numbers
    beta_back: Numbers
    beta_shift: Numbers
    mean_shift: Numbers
    z_back: tuple[Numbers, ...]
    scale: float
    order: Positions
    pooled: tuple[Positions, Positions] | None
    centre: Numbers
    unit: Numbers
    columns: tuple[list[int], ...]


def working(moments: Moments) -> Working:
    """Return the likelihood's problem.

    Raises
    ------
    StatisticsError
        If the groups are too few or not nested, the fixed effects determine one another, the outcome or a random slope's column
        does not vary, the fixed effects determine the outcome, or there are too few rows to tell persons from residuals.
    """
    recipe = moments.recipe
    labels, parents, order = _nested(moments)
    standard, centre, unit = _standardised(moments, order)
    cross = standard.sums(FIRST)[:, :, 0]
    fixed = _fixed(recipe.fixed_at, centre, unit, cross, recipe.fixed)
    root = np.linalg.cholesky(fixed.basis.T @ cross @ fixed.basis).T
    white = fixed.basis @ np.linalg.inv(root)  # orthonormal over the data
    outcome = np.zeros(len(cross))
    outcome[-1] = 1.0
    if not fixed.centred:
        outcome[0] = centre[-1] / unit[-1]
    total = outcome @ cross @ outcome
    coefficients = white.T @ (cross @ outcome)
    outcome -= white @ coefficients
    if outcome @ cross @ outcome <= NO_RESIDUAL * total:
        raise StatisticsError(problem(PLACE, "the fixed effects fit the outcome exactly, so nothing is left to estimate from."))
    columns = [[0, *(recipe.columns.index(s) + 1 for s in level)] for level in recipe.slopes]
    extra = sorted({c for level in columns for c in level} - set(fixed.where))
    q_matrix = np.column_stack([white, np.eye(len(cross))[:, extra], outcome])
    p, m = white.shape[1], q_matrix.shape[1]
    further = tuple(Further(recipe.columns[c - 1], centre[c - 1], unit[c - 1]) if c else Further("", 0.0, 1.0) for c in extra)

    def placed(column: int) -> Numbers:
        found = np.zeros(m)
        if column in fixed.where:
            found[:p] = root[:, fixed.where[column]]
        else:
            found[p + extra.index(column)] = 1.0
        return found

    es = tuple(np.column_stack([placed(c) for c in level]) for level in columns)
    rows = standard.rows(columns[0])
    q = len(columns[0])
    a, b = with_area(pack(rows[:, columns[0]]), q), np.tensordot(rows, q_matrix, axes=([1], [0])).transpose(0, 2, 1)
    starts = [np.flatnonzero(np.diff(parent, prepend=-1)) for parent in parents]
    starts.append(FIRST)
    parent = parents[0] if parents else np.zeros(len(moments.n), dtype=np.intp)
    base = pack(np.einsum("ki,kln,lj->ijn", q_matrix, standard.sums(starts[0]), q_matrix, optimize=True))
    lowest, pooled = _pooled(a, np.ascontiguousarray(b), parent, base, q)
    back = fixed.back @ np.linalg.inv(root) * unit[-1]
    return Working(
        problem=Problem(
            lowest, tuple(upper(e, s, FIRST) for e, s in zip(es[1:], starts[1:], strict=True)), p, m, int(standard.n.sum()),
            2 * float(np.log(np.diag(root)).sum()) + fixed.log_det, lowest.blocks(),
        ),
        labels=labels, parents=parents, es=es, further=further, standard=standard, q_matrix=q_matrix, a=a, b=b, beta_back=back,
        beta_shift=back @ coefficients + fixed.shift * centre[-1], mean_shift=fixed.shift,
        z_back=tuple(_z_back(level, centre, unit) * unit[-1] for level in columns), scale=float(unit[-1]), order=order,
        pooled=pooled, centre=centre, unit=unit, columns=tuple(columns),
    )  # fmt: skip


def _standardised(moments: Moments, order: Positions) -> tuple[Standard, Numbers, Numbers]:
    """Return the moments about the mean of all rows in units of their spread, and those means and spreads."""
    n, mean, scatter = moments.n, moments.mean, moments.scatter
    if (order[1:] < order[:-1]).any():
        n, mean, scatter = n[order], mean[:, order], scatter[:, order]
    total = float(n.sum())
    i, j = triangle(len(mean))
    centre = mean @ n / total
    apart = mean - centre[:, None]
    with np.errstate(all="ignore"):  # what overflows is refused by name
        unit = np.sqrt((scatter[i == j].sum(axis=1) + apart**2 @ n) / total)
    _check_variation(moments, unit, centre)
    unit = np.where(unit > 0, unit, 1.0)
    return Standard(n, apart / unit[:, None], scatter / (unit[i] * unit[j])[:, None]), centre, unit


def _nested(moments: Moments) -> tuple[tuple[pd.Index, ...], tuple[Positions, ...], Positions]:
    """Return each level's units in the problem's order, each unit's parent, and the order of people that sorts them so."""
    names = moments.recipe.groups
    codes: list[Positions] = []
    units: list[pd.Index] = []
    for label in moments.labels[1:]:
        code, unit = pd.factorize(label)
        codes.append(code)
        units.append(pd.Index(unit))
    for level in range(len(codes) - 1):
        pairs = pd.DataFrame({"low": codes[level], "high": codes[level + 1]}).drop_duplicates()
        broken = int(pairs["low"].duplicated().sum())
        if broken:
            low, high = names[level + 1 : level + 3]
            hint = f"make a column that names {low!r} within {high!r}."
            what = f"{broken} of {low!r} are under more than one {high!r}, so the groups are not nested."
            raise StatisticsError(problem(PLACE, what, hint=hint))
    for name, count in zip(names, [len(moments.n), *map(len, units)], strict=True):
        if count < 2:
            what = f"{count} {name!r}; at least two are needed for a variance between them."
            raise StatisticsError(problem(PLACE, what, hint=f"leave {name!r} out of the groups."))
    if not codes:
        return (moments.labels[0],), (), np.arange(len(moments.n))
    order = np.lexsort(codes)  # the highest level last, which lexsort sorts by first
    labels, parents = [moments.labels[0][order]], []
    position = order
    for level, code in enumerate(codes):
        sorted_codes = code[position]
        first = np.flatnonzero(np.diff(sorted_codes, prepend=-1))
        parents.append(np.repeat(np.arange(len(first)), np.diff(np.append(first, len(sorted_codes)))))
        labels.append(units[level][sorted_codes[first]])
        position = position[first]
    return tuple(labels), tuple(parents), order


def _check_variation(moments: Moments, unit: Numbers, centre: Numbers) -> None:
    recipe = moments.recipe
    large = [name for name, spread in zip(recipe.columns, unit, strict=True) if not np.isfinite(spread)]
    if large:
        raise StatisticsError(problem(PLACE, f"the values of {large[0]!r} are too large to square.", hint="use another unit."))
    tiny = unit <= 1e-14 * np.abs(centre)
    if tiny[-1] or unit[-1] == 0:
        raise StatisticsError(problem(PLACE, f"the outcome {recipe.outcome!r} does not vary."))
    for name in dict.fromkeys(s for level in recipe.slopes for s in level):
        if tiny[recipe.columns.index(name)] or unit[recipe.columns.index(name)] == 0:
            raise StatisticsError(problem(PLACE, f"the random slope's column {name!r} is constant."))
    effects = [1 + len(level) for level in recipe.slopes]
    rows, people = int(moments.n.sum()), len(moments.n)
    if rows <= people * effects[0]:
        what = f"{rows} rows of {people} {recipe.groups[0]!r} cannot tell {effects[0]} random effects each from the residual."
        raise StatisticsError(problem(PLACE, what, hint="fewer random effects, or more occasions."))
    below = people
    for name, count, label in zip(recipe.groups[1:], effects[1:], moments.labels[1:], strict=True):
        units = label.nunique()
        if below <= units or rows <= units * count:
            what = f"{below} units under {units} {name!r} cannot tell {count} random effects each from the level below."
            raise StatisticsError(problem(PLACE, what, hint=f"leave {name!r} or its slopes out."))
        below = units


@dataclass(frozen=True, slots=True)
class _Fixed:
    """Fixed effects' columns in the standard basis (k, p), and the way back to the data's.

    ``where`` says which basis columns are fixed effects' as they stand; ``shift`` takes up the outcome's mean.
    """

    basis: Numbers
    back: Numbers
    shift: Numbers
    log_det: float
    where: dict[int, int]
    centred: bool


def _fixed(fixed_at: tuple[int, ...], centre: Numbers, unit: Numbers, sums: Numbers, names: tuple[str, ...]) -> _Fixed:
    """Centre the columns where there is an intercept to take that up; else only scale them."""
    p, centred = len(fixed_at), -1 in fixed_at
    basis, change, shift = np.zeros((len(sums), p)), np.eye(p), np.zeros(p)
    for j, at in enumerate(fixed_at):
        basis[at + 1, j] = 1.0
        if at < 0:
            shift[j] = 1.0
        elif centred:  # the data's column is unit × this one + centre × the constant
            change[j, j], change[fixed_at.index(-1), j] = unit[at], centre[at]
        else:
            change[j, j] = np.hypot(unit[at], centre[at])
            basis[[0, at + 1], j] = np.array([centre[at], unit[at]]) / change[j, j]
    tied = tied_columns(basis.T @ sums @ basis, names)
    if tied:
        what = f"the fixed effects determine one another: {', '.join(map(repr, tied))} follows from the others."
        raise StatisticsError(problem(PLACE, what, hint="leave it out; a column that is constant or a sum of others adds nothing."))
    where = {at + 1: j for j, at in enumerate(fixed_at)} if centred else {}
    return _Fixed(basis, np.asarray(np.linalg.inv(change)), shift, 2 * float(np.log(np.abs(np.diag(change))).sum()), where, centred)


def _z_back(columns: list[int], centre: Numbers, unit: Numbers) -> Numbers:
    """Return the matrix from random effects of the centred, scaled columns to those of the data's."""
    change = np.eye(len(columns))  # the data's columns are the working ones times this
    for k, c in enumerate(columns):
        if c:
            change[k, k], change[0, k] = unit[c - 1], centre[c - 1]
    return np.asarray(np.linalg.inv(change))


def _pooled(a: Numbers, b: Numbers, parent: Positions, base: Numbers, q: int) -> tuple[Lowest, tuple[Positions, Positions] | None]:
    """Put people of one parent with one design together, where that makes the problem much smaller; also return how."""
    people = a.shape[1]
    design, first = _designs(a)
    if len(first) <= POOLED * people:
        code = parent * len(first) + design
        order = np.argsort(code, kind="stable")
        starts = np.flatnonzero(np.diff(code[order], prepend=-1))
        if len(starts) <= POOLED * people:
            heads = order[starts]
            size = np.bincount(design, minlength=len(first)).astype(float)
            cells = cell_sums(b, order, starts)
            return Lowest(a[:, first], size, design[heads], cells, parent[heads], base, q, FIRST), (order, starts)
    return Lowest(a, np.ones(people), np.arange(people), products(b), parent, base, q, FIRST), None


def _designs(a: Numbers) -> tuple[Positions, Positions]:
    """Return each person's design as a number, and the first person with each.

    Designs are told apart by one number, a fixed irrational combination of their entries; where that should ever fail, each
    person gets a design of their own, which is slower and as right.
    """
    scaled = np.round(a / np.maximum(np.abs(a).max(axis=1, keepdims=True), np.finfo(float).tiny), SAME_DESIGN)
    design = np.asarray(pd.factorize(np.sqrt(np.arange(2.0, 2.0 + len(a))) @ scaled)[0], dtype=np.intp)
    people = np.arange(a.shape[1])
    first = np.empty(design.max() + 1, dtype=np.intp)
    first[design[::-1]] = people[::-1]
    return (design, first) if (scaled == scaled[:, first[design]]).all() else (people, people)


def cell_sums(b: Numbers, order: Positions, starts: Positions) -> Numbers:
    """Return the sums of the products of B over cells of consecutive people, some cells at a time."""
    ends = np.append(starts[1:], len(order))
    parts = []
    at = 0
    while at < len(starts):
        to = max(int(np.searchsorted(ends, starts[at] + CHUNK, side="right")), at + 1)
        part = products(b[:, :, order[starts[at] : ends[to - 1]]])
        parts.append(np.add.reduceat(part, starts[at:to] - starts[at], axis=-1))
        at = to
    return np.concatenate(parts, axis=-1)

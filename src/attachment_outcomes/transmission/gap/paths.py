r"""Which paths lead from a parent's to a child's attachment, given how all variables correlate?

All paths are standardised regression coefficients, so that they follow from the correlations alone. Where both ends are classes
(secure 1, insecure 0) the correlation of the ends is phi, and the paths are those of a linear model of the chance to be secure.

Vocabulary
----------
total      c, the correlation of parent and child
path       standardised coefficient of one variable in the regression of a later one
indirect   product of the paths of one chain from parent to child through mediators
gap        the direct path c', what the mediators leave of the total association: total = gap + sum of the indirect ones, exactly
parallel   every mediator is regressed on the parent alone; mediators may correlate for other reasons
serial     every mediator is regressed on the parent and on the mediators before it; chains may run through several. Total, gap and
           the sum of all chains are those of the parallel model
product    the correlations parent-mediator and mediator-child multiplied: the total that would be expected if the mediator were
           the only link. Van IJzendoorn (1995) took the gap as what the total has beyond it
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError, problem

Numbers = NDArray[np.float64]

PARENT, CHILD = "parent", "child"
PARALLEL, SERIAL, PRODUCT = "parallel", "serial", "product of correlations"
ARROW = " → "
SUMS = ("indirect_total", "gap", "share_unexplained")
MOST_MEDIATORS = 6  # chains double with each further one: six give 63
ROUNDING = 1e-12  # a total nearer to 0 is 0
SINGULAR = 1e-10  # smallest eigenvalue of a correlation matrix below which some variable follows from the others


class Quantity(NamedTuple):
    """What one column of the values is: its definition, its estimand, and the path or chain that it is about."""

    definition: str
    estimand: str
    group: str = ""

    @property
    def ends(self) -> tuple[str, str]:
        """Where a path starts and ends."""
        start, end = self.group.split(ARROW)
        return start, end


@dataclass(frozen=True)
class Model:
    """Parent, named mediators in their order, and child: which quantities there are, and their values for correlations.

    Correlations are matrices of parent, mediators and child, in this order.
    """

    mediators: tuple[str, ...]
    quantities: list[Quantity] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse names that leave open which mediator is meant.

        Raises
        ------
        StatisticsError
            If there is no mediator, there are too many, or two have one name.
        """
        if not 1 <= len(self.mediators) <= MOST_MEDIATORS:
            raise StatisticsError(problem("mediators", f"found {len(self.mediators)}; allowed: 1 to {MOST_MEDIATORS}."))
        if len({*self.mediators, PARENT, CHILD}) < len(self.mediators) + 2:
            raise StatisticsError(problem("mediators", "two have the same name, or that of an end; allowed: a name for each."))
        object.__setattr__(self, "quantities", list(self._quantities()))

    @property
    def variables(self) -> tuple[str, ...]:
        """All variables in order."""
        return (PARENT, *self.mediators, CHILD)

    @cached_property
    def chains(self) -> list[tuple[int, ...]]:
        """Mediators of every serial chain, by their place among the variables, the shortest first."""
        places = range(1, len(self.mediators) + 1)
        return [chain for length in places for chain in combinations(places, length)]

    def _quantities(self) -> Iterator[Quantity]:
        names, last = self.variables, len(self.mediators) + 1
        inner = range(1, last)
        yield Quantity(PARALLEL, "total")
        for i, j in [*((0, j) for j in inner), *((j, last) for j in inner), (0, last)]:
            yield Quantity(PARALLEL, "path", names[i] + ARROW + names[j])
        for name in self.mediators:
            yield Quantity(PARALLEL, "indirect", name)
        for estimand in SUMS:
            yield Quantity(PARALLEL, estimand)
        if len(self.mediators) == 1:
            for estimand in SUMS:
                yield Quantity(PRODUCT, estimand)
            return
        for i, j in self.serial_arrows:
            yield Quantity(SERIAL, "path", names[i] + ARROW + names[j])
        for chain in self.chains:
            yield Quantity(SERIAL, "indirect", ARROW.join(names[j] for j in chain))

    def values(self, correlations: Numbers) -> Numbers:
        """Return every quantity, (..., quantities), of correlation matrices (..., p, p); NaN where a matrix is impossible."""
        matrices = possible(correlations)
        last = len(self.mediators) + 1
        total = matrices[..., 0, last]
        direct, *b = np.moveaxis(slopes(matrices, range(last), last), -1, 0)
        a = [matrices[..., 0, j] for j in range(1, last)]
        indirect = [x * y for x, y in zip(a, b, strict=True)]
        columns = [total, *a, *b, direct, *indirect, *_sums(total, np.sum(indirect, axis=0))]
        if len(self.mediators) == 1:
            columns += _sums(total, matrices[..., 0, 1] * matrices[..., 1, 2])
        else:
            arrows: dict[tuple[int, int], Numbers] = {(j, last): b[j - 1] for j in range(1, last)}
            for j in range(1, last):
                for i, slope in enumerate(np.moveaxis(slopes(matrices, range(j), j), -1, 0)):
                    arrows[i, j] = slope
            columns += [arrows[arrow] for arrow in self.serial_arrows]
            columns += [np.prod([arrows[step] for step in pairwise((0, *chain, last))], axis=0) for chain in self.chains]
        return np.stack(columns, axis=-1)

    @property
    def serial_arrows(self) -> list[tuple[int, int]]:
        """Paths of the serial model but the direct one, by the places where they start and end."""
        last = len(self.mediators) + 1
        return [(i, j) for j in range(1, last + 1) for i in range(j) if (i, j) != (0, last)]


def _sums(total: Numbers, through: Numbers) -> list[Numbers]:
    """Return the sum of the indirect paths, the gap, and its share of the total; no share of a total of 0."""
    return [through, total - through, (total - through) / np.where(np.abs(total) > ROUNDING, total, np.nan)]


def possible(correlations: Numbers) -> Numbers:
    """Return the matrices, NaN where one is no correlation matrix or a variable in it follows from the others."""
    matrices = np.asarray(correlations, dtype=np.float64)
    told = np.asarray(np.isfinite(matrices).all(axis=(-2, -1)))
    usable = np.where(told[..., None, None], matrices, np.eye(matrices.shape[-1]))
    good = told & (np.linalg.eigvalsh(usable)[..., 0] > SINGULAR)
    return np.where(good[..., None, None], matrices, np.nan)


def slopes(matrices: Numbers, predictors: Sequence[int], outcome: int) -> Numbers:
    """Return standardised coefficients (..., k) of a regression within correlation matrices; NaN where these are."""
    rows = np.asarray(list(predictors))
    inside, across = matrices[..., rows[:, None], rows], matrices[..., rows, outcome]
    told = np.asarray(np.isfinite(inside).all(axis=(-2, -1), keepdims=True))
    found = np.linalg.solve(np.where(told, inside, np.eye(len(rows))), across[..., None])[..., 0]
    return np.where(told[..., 0], found, np.nan)


def slope_gradient(matrix: Numbers, predictors: Sequence[int], outcome: int) -> Numbers:
    r"""Return how coefficients (k,) change with each correlation (q,) of :func:`.correlations.upper`: (k, q).

    .. math:: b = S^{-1} r, \qquad \mathrm db = S^{-1}(\mathrm dr - \mathrm dS\, b)
    """
    rows = np.asarray(list(predictors))
    inside = matrix[rows[:, None], rows]
    found = np.linalg.solve(inside, matrix[rows, outcome])
    first, second = np.triu_indices(len(matrix), 1)
    change = np.zeros((len(first), *matrix.shape))
    each = np.arange(len(first))
    change[each, first, second] = change[each, second, first] = 1.0
    right = change[:, rows, outcome] - change[:, rows[:, None], rows] @ found
    return np.asarray(np.linalg.solve(inside, right.T), dtype=np.float64)

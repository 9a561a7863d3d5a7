"""What does a mixed model need to know of the data? Counts, means and scatter of each person's rows; never the rows.

One pass over the data makes them. They are small (a few numbers a person), they do not depend on the variances, and those of
different people just stand beside each other: so a pass can go chunk by chunk, or site by site on different machines, and the
parts merged give the same fit as one pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.design import Columns
from attachment_outcomes.inference.mixed.resolve import triangle

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Which columns a model has, and how to make them.

    ``columns`` of the cross products, the outcome last; ``fixed`` names the fixed effects, ``fixed_at`` says which column each
    is (−1: the constant); ``slopes`` the columns of each level's random slopes; ``groups`` the levels, lowest first; ``levels``
    the levels of categorical predictors, in order; ``numeric`` the other predictors; ``whole`` says that
    columns depend on all the data (``scale``, splines).
    """

    formula: str
    outcome: str
    groups: tuple[str, ...]
    slopes: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...]
    fixed: tuple[str, ...]
    fixed_at: tuple[int, ...]
    levels: Mapping[str, Sequence[Any]]
    numeric: tuple[str, ...]
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Each person's counts, means and scatter, and the groups above the person.

    ``labels`` (levels × people) each level's label; ``n`` (people,) rows; ``mean`` (columns, people); ``scatter`` (entries,
    people) packed sums of squares and products about the person's own means; ``n_excluded`` rows with a missing value;
    ``n_passes`` how often the data were read; ``spec`` how the formula
    makes its columns (None after :func:`load_moments`, which makes it anew where it is needed).
    """

    recipe: Recipe
    labels: tuple[pd.Index, ...]
    n: Numbers
    mean: Numbers
    scatter: Numbers
    n_excluded: int
    n_passes: int = 1
    spec: Columns | None = None


def merge_moments(parts: Iterable[Moments]) -> Moments:
    """Put the moments of different people together.

    Raises
    ------
    StatisticsError
        If there are none, the parts are of different models (or their categorical predictors have other levels), or a person
        is in two parts.
    """
    all_parts = [parts] if isinstance(parts, Moments) else list(parts)
    if not all_parts:
        raise StatisticsError(problem("moments", "nothing to merge."))
    first = all_parts[0]
    for other in all_parts[1:]:
        for name in Recipe.__dataclass_fields__:
            if getattr(other.recipe, name) != getattr(first.recipe, name):
                raise StatisticsError(
                    problem(
                        "moments", f"parts differ in their {name}.", hint="make all with one formula, the same groups and levels=."
                    )
                )
    if len(all_parts) == 1:
        return first
    if first.recipe.whole:
        hint = "make such columns (centred, scaled, splines, C() of a number) before, and name them in the formula."
        raise StatisticsError(
            problem("moments", "a column of the formula depends on all the data, so parts do not merge.", hint=hint)
        )
    labels = tuple(p.append([o.labels[i] for o in all_parts[1:]]) for i, p in enumerate(first.labels))
    if labels[0].has_duplicates:
        count = int(labels[0].duplicated().sum())
        hint = "each part needs all rows of its people."
        raise StatisticsError(problem("moments", f"{count} of {first.recipe.groups[0]!r} are in more than one part.", hint=hint))
    return Moments(
        recipe=first.recipe, labels=labels, n=np.concatenate([p.n for p in all_parts]),
        mean=np.concatenate([p.mean for p in all_parts], axis=1),
        scatter=np.concatenate([p.scatter for p in all_parts], axis=1),
        n_excluded=sum(p.n_excluded for p in all_parts), n_passes=max(p.n_passes for p in all_parts), spec=first.spec,
    )  # fmt: skip


def person_moments(values: Numbers, starts: NDArray[np.intp]) -> tuple[Numbers, Numbers, Numbers]:
    """Return counts, means and scatter of consecutive people's rows.

    Parameters
    ----------
    values : (columns, rows)
        Each person's rows beside each other.
    starts : (people,)
        First row of each.

    Notes
    -----
    Scatter is about the person's own means, so that no digits are lost to a large level (a score of 1e6, a week of 1e4).
    """
    sizes = np.diff(np.append(starts, values.shape[1]))
    mean = np.add.reduceat(values, starts, axis=1) / sizes
    rest = values - np.repeat(mean, sizes, axis=1)
    i, j = triangle(len(values))
    scatter = np.empty((len(i), len(starts)))
    with np.errstate(all="ignore"):  # what overflows is refused by name when the model is fitted
        for k, (a, b) in enumerate(zip(i, j, strict=True)):
            np.add.reduceat(rest[a] * rest[b], starts, out=scatter[k])
    return sizes.astype(float), mean, scatter

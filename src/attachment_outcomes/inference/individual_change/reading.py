"""Are these scores of people before and after, and which way is better? What every rule of individual change checks first."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.errors import StatisticsError, problem, rows_text
from attachment_outcomes.inference.pairing import same_people

Numbers = NDArray[np.float64]
_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "empty")


def numbers_of(values: ArrayLike, *, place: str, what: str) -> Numbers:
    """Return a vector of floats, NaN where missing.

    Raises
    ------
    StatisticsError
        If it is no vector, holds words, truth values or dates, or an infinite number.
    """
    series = values if isinstance(values, pd.Series) else _series(values, place, what)
    kind = series.dtype
    words = pd.api.types.is_object_dtype(kind)
    # A category of numbers is read as numbers in its own right: codes are no scores.
    if isinstance(kind, pd.CategoricalDtype) or (words and pd.api.types.infer_dtype(series, skipna=True) not in _NUMBERS):
        _refuse_kind(place, what, pd.api.types.infer_dtype(series, skipna=True))
    if not words and (not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind) or kind.kind == "c"):
        _refuse_kind(place, what, str(kind))
    x = np.asarray(series.to_numpy(dtype=float, na_value=np.nan))
    infinite = np.isinf(x)
    if infinite.any():
        where = rows_text(np.flatnonzero(infinite) + 1)  # type: ignore[arg-type]
        raise StatisticsError(problem(place, f"{what} holds infinite numbers ({where}).", hint="leave a missing score empty."))
    return x


def _series(values: ArrayLike, place: str, what: str) -> pd.Series:
    if np.ndim(values) != 1:
        raise StatisticsError(problem(place, f"{what} has {np.ndim(values)} dimensions; allowed: one number a person."))
    if isinstance(values, list | tuple) and any(isinstance(v, bool | np.bool_) for v in values):
        _refuse_kind(place, what, "boolean")
    return pd.Series(values)


def _refuse_kind(place: str, what: str, found: str) -> None:
    raise StatisticsError(problem(place, f"{what} holds values of kind {found}; allowed: numbers, score points."))


def scores_of(pre: ArrayLike, post: ArrayLike, *, place: str) -> tuple[Numbers, Numbers]:
    """Return the scores before and after as floats, pair by pair.

    Raises
    ------
    StatisticsError
        If they are not numbers, not of equal length, or Series that are not of the same people in the same order, each once.
    """
    for series, name in ((pre, "pre"), (post, "post")):
        if isinstance(series, pd.Series) and not isinstance(series.index, pd.RangeIndex) and not series.index.is_unique:
            n = int(series.index.duplicated().sum())
            raise StatisticsError(problem(place, f"{name} has {n} people twice in its index.", hint="one score a person."))
    same_people(place, pre=pre, post=post)
    x1, x2 = numbers_of(pre, place=place, what="pre"), numbers_of(post, place=place, what="post")
    if x1.shape != x2.shape:
        raise StatisticsError(problem(place, f"{len(x1)} scores before but {len(x2)} after; allowed: pairs."))
    return x1, x2


def direction_of(higher_is_better: object) -> bool:
    """Return the direction, and refuse anything but True and False: the word ``"lower"`` would count as true.

    Raises
    ------
    StatisticsError
        If it is neither.
    """
    if not isinstance(higher_is_better, bool | np.bool_):
        what = f"found {higher_is_better!r}; allowed: True or False."
        raise StatisticsError(problem("higher_is_better", what, hint="False for symptoms, anxiety and avoidance."))
    return bool(higher_is_better)

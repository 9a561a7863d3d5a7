"""Do columns of people belong together, and do their classes mean what they are taken to mean?"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.half_planes import inside

Numbers = NDArray[np.float64]
CONTRADICTING = 0.01  # of the secure, or of the others: more on the wrong side of a region is no matter of rounding
ON_A_LINE = 1e-9  # score points; who is on a line may be on either side of it


def check_pairs(place: str, **columns: ArrayLike | pd.Series | pd.DataFrame | None) -> None:
    """Refuse columns of people that are not of the same people; arrays and lists are paired by position.

    Raises
    ------
    StatisticsError
        If two Series have different indexes, or two columns different lengths.
    """
    given = {name: c for name, c in columns.items() if c is not None}
    sizes = {name: len(c) if isinstance(c, pd.Series | pd.DataFrame) else len(pd.Series(c)) for name, c in given.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{n} of {name}" for name, n in sizes.items())
        raise StatisticsError(
            problem(place, f"columns differ in length: {told}.", hint="a person without a class has a missing one.")
        )
    named = [(name, c.index) for name, c in given.items() if isinstance(c, pd.Series | pd.DataFrame)]
    for name, index in named[1:]:
        if not index.equals(named[0][1]):
            raise StatisticsError(
                problem(
                    place, f"{named[0][0]} and {name} have different indexes, so that their rows may be of different people.",
                    hint="align them by person, or give arrays in the same order.",
                )
            )  # fmt: skip


def check_secure(place: str, secure: object, found: Iterable[object]) -> str:
    """Return the class that counts as secure.

    Raises
    ------
    StatisticsError
        If it is no word, or differs from a class that occurs by case or blanks alone.
    """
    if not isinstance(secure, str) or not secure.strip():
        raise StatisticsError(problem(place, f"found secure {secure!r}; allowed: the name of a class."))
    for name in dict.fromkeys(str(c) for c in found):
        if name != secure and name.strip().casefold() == secure.strip().casefold():
            what = f"the secure class is {secure!r}, but people are classed {name!r}."
            raise StatisticsError(problem(place, what, hint="write them alike; case and blanks count."))
    return secure


def check_region(place: str, secure: NDArray[np.bool_], scores: Numbers, region: Numbers) -> None:
    """Refuse a region, or scores, that do not give the classes; people without scores are not looked at.

    Raises
    ------
    StatisticsError
        If the region is no table of half-planes, or more than 1 % of the secure lie outside it or of the others inside.
    """
    if region.ndim != 2 or region.shape[1] != 3 or not np.isfinite(region).all():
        raise StatisticsError(problem(place, "the region is not a table of half-planes: three numbers a row, none missing."))
    known = ~np.isnan(scores).any(axis=1)
    clear = known & (np.abs(scores @ region[:, :2].T + region[:, 2]) > ON_A_LINE).all(axis=1)
    within = inside(scores, region)
    for group, wrong in ((secure & clear, ~within), (~secure & clear, within)):
        if group.any() and wrong[group].mean() > CONTRADICTING:
            what = "the scores and the region do not give these classes; check the direction."
            raise StatisticsError(problem(place, what, hint="higher scores are less secure, and the region is that of the secure."))

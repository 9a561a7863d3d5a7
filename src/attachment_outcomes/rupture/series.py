"""What is a client's course of alliance? Session ratings, checked, sorted and held as flat arrays with offsets.

Vocabulary
----------
series    the rated sessions of one client in one treatment, in order of session number
row       one rated session; rows of a series are neighbours in the arrays
adjacent  a row whose session number follows that of the row before; a missing number, or a session without a
          rating, breaks adjacency
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import DataError, problem, rows_text

Numbers = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

PLACE = "alliance ratings"


@dataclass(frozen=True)
class Series:
    """All clients' series, one after the other.

    Attributes
    ----------
    values : (n,) float array
        Ratings in score points, higher = better alliance; no missing values.
    sessions : (n,) int array
        Session numbers, rising within a series.
    starts : (g + 1,) int array
        Series ``i`` holds rows ``starts[i]`` up to, not including, ``starts[i + 1]``; it may hold none.
    clients : (g,) frame
        Columns ``client`` and ``treatment_id`` (missing where none was given).
    n_missing : int
        Sessions left out because they have no rating.
    """

    values: Numbers
    sessions: Whole
    starts: Whole
    clients: pd.DataFrame
    n_missing: int = 0

    @cached_property
    def lengths(self) -> Whole:
        """Rated sessions of each series, (g,)."""
        return np.diff(self.starts)

    @cached_property
    def group(self) -> Whole:
        """Index of each row's series, (n,)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @cached_property
    def rank(self) -> Whole:
        """Position of each row within its series, counted from 0, (n,)."""
        return np.arange(len(self.values)) - np.repeat(self.starts[:-1], self.lengths)

    def adjacent(self, max_gap: int = 1) -> Flags:
        """Return whether each row's session number is at most ``max_gap`` above that of the row before it, (n,)."""
        flags = np.zeros(len(self.values), dtype=bool)
        flags[1:] = (self.rank[1:] > 0) & (np.diff(self.sessions) <= max_gap)
        return flags

    def total(self, x: Numbers | Whole | Flags) -> Numbers:
        """Return the sum of ``x`` over each series, (g,); 0 for a series without rows."""
        weights = np.asarray(x, dtype=np.float64)
        return np.bincount(self.group, weights=weights, minlength=len(self.lengths)).astype(np.float64, copy=False)

    def mean(self, x: Numbers | Whole) -> Numbers:
        """Return the mean of ``x`` over each series, (g,); NaN for a series without rows."""
        return ratio(self.total(x), self.lengths)

    def select(self, keep: Flags) -> Series:
        """Return the series flagged in ``keep``, (g,)."""
        if keep.all():
            return self
        rows = np.repeat(keep, self.lengths)
        starts = np.concatenate([[0], np.cumsum(self.lengths[keep])])
        return Series(self.values[rows], self.sessions[rows], starts, self.clients[keep].reset_index(drop=True))


def ratio(numerator: Numbers | Whole, denominator: Numbers | Whole) -> Numbers:
    """Return the quotient of two arrays, NaN where the denominator is not above zero."""
    out: Numbers = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=out, where=np.asarray(denominator) > 0)
    return out


def read_series(sessions: pd.DataFrame, *, score: str) -> Series:
    """Check and sort session ratings.

    Parameters
    ----------
    sessions : frame
        Columns ``person_id``, ``session_number`` and ``score``; ``treatment_id`` if clients have several treatments.
        One row a session, in any order. A row without a rating is left out and counted in ``n_missing``; a client
        without any rating keeps an empty series.
    score : str
        Column of the rating, score points, higher = better alliance.

    Raises
    ------
    DataError
        If a column is absent; a person or session number is missing; a session number is not whole; a rating is not a
        finite number; or a session number occurs twice within a series. With row numbers, never ids.
    """
    absent = [c for c in ("person_id", "session_number", score) if c not in sessions.columns]
    if absent:
        raise DataError(problem(PLACE, f"no column {absent[0]!r}; there are {', '.join(map(str, sessions.columns))}."))
    person, people = pd.factorize(pd.Index(sessions["person_id"]), sort=True)
    _refuse(person < 0, "person_id is missing", "name the client of each session.")
    number = pd.to_numeric(sessions["session_number"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    whole = np.isfinite(number) & (number == np.floor(number))
    _refuse(~whole, "session_number is not a whole number", "count sessions 1, 2, 3 … within a treatment.")
    values = _ratings(sessions[score], score)

    treatment, treatments = np.full(len(person), -1), pd.Index([], dtype="str")
    if "treatment_id" in sessions:
        treatment, treatments = pd.factorize(pd.Index(sessions["treatment_id"]), sort=True)
    key = person.astype(np.int64) * (len(treatments) + 1) + treatment + 1
    number = number.astype(np.int64)
    order = _order(key, number)
    key, number, values = key[order], number[order], values[order]
    same = np.flatnonzero((key[1:] == key[:-1]) & (number[1:] == number[:-1])) + 1
    if same.size:
        doubled = np.zeros(len(key), dtype=bool)
        doubled[order[same]] = True
        _refuse(doubled, "session_number occurs twice for one client", "keep one rating a session, or give treatment_id.")

    first = np.flatnonzero(np.diff(key, prepend=-1)) if key.size else np.array([], dtype=np.int64)
    group = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(key))))
    rated = ~np.isnan(values)
    lengths = np.bincount(group[rated], minlength=len(first))
    which = key[first] % (len(treatments) + 1) - 1
    clients = pd.DataFrame(
        {
            "client": pd.Series(people.take(key[first] // (len(treatments) + 1))).astype("str"),
            "treatment_id": pd.Series(treatments.astype("object").append(pd.Index([None])).take(which)).astype("str"),
        }
    )
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Series(values[rated], number[rated], starts, clients, int((~rated).sum()))


def _ratings(column: pd.Series, name: str) -> Numbers:
    if pd.api.types.is_bool_dtype(column):
        raise DataError(problem(PLACE, f"{name} holds yes/no answers; allowed: numbers, higher = better alliance."))
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = np.isinf(values) | (np.isnan(values) & column.notna().to_numpy())
    _refuse(wrong, f"{name} is not a number", "leave missing ratings empty.")
    return values


def _order(key: Whole, number: Whole) -> Whole:
    """Return the order of rows by series and session; an order that is there already costs no sort."""
    if not key.size:
        return np.array([], dtype=np.int64)
    low = number.min()
    joint = key * (number.max() - low + 1) + (number - low)
    return np.arange(len(joint)) if (joint[1:] >= joint[:-1]).all() else np.argsort(joint, kind="stable")


def _refuse(faulty: Flags, what: str, hint: str) -> None:
    if faulty.any():
        raise DataError(problem(PLACE, f"{what} in {rows_text(list(np.flatnonzero(faulty) + 1))}.", hint=hint))

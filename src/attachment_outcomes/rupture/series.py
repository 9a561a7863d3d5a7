"""What is a client's course of alliance? Session ratings, checked, sorted and held as flat arrays with offsets.

Vocabulary
----------
series    the rated sessions of one client in one treatment, in order of session number
row       one rated session; rows of a series are neighbours in the arrays
adjacent  a row whose session number follows that of the row before; a missing number, or a session without a
          rating, breaks adjacency
channel   a further number of the same session (the intensity of a reported rupture), beside the rating
form      of a scale: its range of numbers; a mean of items and their sum are two forms
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import DataError, problem, rows_text

Numbers = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
T = TypeVar("T")

PLACE = "alliance ratings"
TIE = 1e-9  # share of the person's spread below which two scores count as equal, so that rounding decides nothing
FORM_RISE = 2.0  # ratings that double at once and for good are another form of the scale (a mean and a sum of 12 items: 12)
FORM_FALL = 8.0  # a lasting fall may be a rupture; one from the top to the bottom of seven points is by 7
FORM_RATINGS = 3  # on either side of a change of form; fewer could be a slip of the pen or a deep rupture
LARGEST = 2**53  # whole numbers above are not exact as decimals


@dataclass(frozen=True)
class Series:
    """All clients' series, one after the other.

    Attributes
    ----------
    values : (n,) float array
        Ratings in score points, higher = better alliance; no missing values. Of reports, the first column that is read; missing
        where only another one is known.
    sessions : (n,) int array
        Session numbers, rising within a series.
    starts : (g + 1,) int array
        Series ``i`` holds rows ``starts[i]`` up to, not including, ``starts[i + 1]``; it may hold none.
    clients : (g,) frame
        Columns ``client`` and ``treatment_id`` (missing where none was given).
    n_missing : int
        Sessions left out because they have no rating.
    channels : dict of (n,) float arrays
        Further numbers of the same sessions by column name, NaN where missing.
    n_changed : int
        Series left empty because the scale changes form midway.
    """

    values: Numbers
    sessions: Whole
    starts: Whole
    clients: pd.DataFrame
    n_missing: int = 0
    channels: Mapping[str, Numbers] = field(default_factory=dict)
    n_changed: int = 0
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def keep(self, key: Any, make: Callable[[], T]) -> T:
        """Return what ``make`` returns, made once: several criteria ask for the same spread of the same ratings."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

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
        return np.arange(len(self.values)) - self.first_row

    @cached_property
    def first_row(self) -> Whole:
        """Each row's first row of the series, (n,)."""
        return np.repeat(self.starts[:-1], self.lengths)

    def adjacent(self, max_gap: int = 1) -> Flags:
        """Return whether each row's session number is at most ``max_gap`` above that of the row before it, (n,)."""

        def make() -> Flags:
            flags = np.zeros(len(self.values), dtype=bool)
            flags[1:] = np.diff(self.sessions) <= max_gap
            flags[self.starts[:-1][self.lengths > 0]] = False
            return flags

        return self.keep(("adjacent", max_gap), make)

    def falls(self, max_gap: int = 1) -> Flags:
        """Return whether each row's rating lies below that of the adjacent row before it, (n,)."""

        def make() -> Flags:
            flags = self.adjacent(max_gap).copy()
            flags[1:] &= self.values[1:] < self.values[:-1]
            return flags

        return self.keep(("falls", max_gap), make)

    def total(self, x: npt.NDArray[Any]) -> Numbers:
        """Return the sum of ``x`` over each series, (g,); 0 for a series without rows."""
        out = np.zeros(len(self.lengths))
        filled = self.lengths > 0
        if filled.any():
            out[filled] = np.add.reduceat(x, self.starts[:-1][filled], dtype=np.float64)
        return out

    def mean(self, x: Numbers | Whole) -> Numbers:
        """Return the mean of ``x`` over each series, (g,); NaN for a series without rows."""
        return ratio(self.total(x), self.lengths)

    def spread_out(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a number a series, (g,), as a number a row, (n,)."""
        return np.repeat(x, self.lengths)

    @cached_property
    def own_mean(self) -> Numbers:
        """Mean rating of each series, (g,)."""
        return self.mean(self.values)

    @cached_property
    def own_sd(self) -> Numbers:
        """SD (ddof = 1) of each series, (g,); NaN below two ratings."""
        deviation = self.values - self.spread_out(self.own_mean)
        return np.sqrt(ratio(self.total(np.square(deviation, out=deviation)), self.lengths - 1))

    @cached_property
    def varies(self) -> Flags:
        """Whether each series varies by more than the rounding of its numbers does, (g,)."""
        squares = self.total(self.values * self.values)
        return np.asarray(np.nan_to_num(self.own_sd) ** 2 * np.maximum(self.lengths - 1, 0) > TIE**2 * squares)

    def mean_range(self, max_gap: int = 1) -> tuple[Numbers, Numbers]:
        """Return the mean moving range of each series, (g,), and from how many ranges; NaN where there is none."""

        def make() -> tuple[Numbers, Numbers]:
            ranges = np.zeros(len(self.values))
            np.abs(np.diff(self.values), out=ranges[1:])
            ranges *= self.adjacent(max_gap)
            n = self.total(self.adjacent(max_gap))
            return ratio(self.total(ranges), n), n

        return self.keep(("mean_range", max_gap), make)

    def at_least(self, length: int) -> tuple[Series, Whole]:
        """Return the series with at least so many ratings, and which of all they are."""

        def make() -> tuple[Series, Whole]:
            long_enough = self.lengths >= length
            return self.select(long_enough), np.flatnonzero(long_enough)

        return self.keep(("at_least", length), make)

    def select(self, keep: Flags) -> Series:
        """Return the series flagged in ``keep``, (g,)."""
        if keep.all():
            return self
        rows = np.repeat(keep, self.lengths)
        starts = np.concatenate([[0], np.cumsum(self.lengths[keep])])
        clients = self.clients[keep].reset_index(drop=True)
        channels = {name: x[rows] for name, x in self.channels.items()}
        return Series(self.values[rows], self.sessions[rows], starts, clients, channels=channels)


def ratio(numerator: Numbers | Whole, denominator: Numbers | Whole) -> Numbers:
    """Return the quotient of two arrays, NaN where the denominator is not above zero."""
    out: Numbers = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=out, where=np.asarray(denominator) > 0)
    return out


def read_series(
    sessions: pd.DataFrame,
    *,
    score: str,
    channels: Sequence[str] = (),
    scale: tuple[float, float] | None = None,
    report: bool = False,
) -> Series:
    """Check and sort session ratings.

    Parameters
    ----------
    sessions : frame
        Columns ``person_id``, ``session_number`` and ``score``; ``treatment_id`` if clients have several treatments.
        One row a session, in any order. A row without a rating is left out and counted in ``n_missing``; a client
        without any rating keeps an empty series.
    score : str
        Column of the rating, score points, higher = better alliance.
    channels : sequence of str
        Further columns of the same sessions; yes and no are read as 1 and 0.
    scale : (lowest, highest), optional
        Range of the rating, score points. Without it, a client whose later ratings are all at least ``FORM_RISE`` times the
        highest of the earlier ones, or at most the lowest of them divided by ``FORM_FALL``, with at least ``FORM_RATINGS`` on
        either side, is taken to have answered two forms of the scale: the series is left empty and counted in
        ``n_changed``. With the range nobody is.
    report : bool
        The first column is a report of a session (yes and no, or a severity) and not a rating of the alliance: yes and no
        are read as 1 and 0, and nothing is asked about the form of its scale. A session counts as rated where the report or
        any of ``channels`` is known.

    Raises
    ------
    DataError
        If a column is absent; a person or session number is missing; a session number is not whole; a rating is not a
        finite number, or lies outside ``scale``; or a session number occurs twice within a series. With row numbers, never
        ids.
    """
    absent = [c for c in ("person_id", "session_number", score, *channels) if c not in sessions.columns]
    if absent:
        raise DataError(problem(PLACE, f"no column {absent[0]!r}; there are {', '.join(map(str, sessions.columns))}."))
    person, people = pd.factorize(pd.Index(sessions["person_id"]), sort=True)
    _refuse(person < 0, "person_id is missing", "name the client of each session.")
    number = pd.to_numeric(sessions["session_number"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    whole = (np.abs(number) < LARGEST) & (number == np.floor(number))
    _refuse(~whole, "session_number is not a whole number", "count sessions 1, 2, 3 … within a treatment.")
    values = _ratings(sessions[score], score, yes_no=report)
    if scale is not None:
        outside = (values < scale[0]) | (values > scale[1])
        _refuse(outside, f"{score} lies outside its range, {scale[0]:g} to {scale[1]:g},", "mend the ratings or the range.")

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
    which = key[first] % (len(treatments) + 1) - 1
    clients = pd.DataFrame(
        {
            "client": pd.Series(people.take(key[first] // (len(treatments) + 1))).astype("str"),
            "treatment_id": pd.Series(treatments.astype("object").append(pd.Index([None])).take(which)).astype("str"),
        }
    )
    beside = {name: _ratings(sessions[name], name, yes_no=True)[order] for name in channels}
    rated = ~np.isnan(values)
    if report:
        for other in beside.values():
            rated |= ~np.isnan(other)
    n_missing, n_changed = int(len(rated) - rated.sum()), 0
    if scale is None and not report:
        group = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(key))))
        changed = _changed_form(values[rated], group[rated], len(first))
        n_changed = int(changed.sum())
        rated &= ~changed[group]
    lengths = np.add.reduceat(rated, first, dtype=np.int64) if first.size else np.zeros(0, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    channel = {name: x[rated] for name, x in beside.items()}
    return Series(values[rated], number[rated], starts, clients, n_missing, channel, n_changed)


def _ratings(column: pd.Series, name: str, *, yes_no: bool = False) -> Numbers:
    if pd.api.types.is_bool_dtype(column):
        if yes_no:
            return np.asarray(column.astype("Float64").to_numpy(dtype=float, na_value=np.nan), dtype=np.float64)
        raise DataError(problem(PLACE, f"{name} holds yes/no answers; allowed: numbers, higher = better alliance."))
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = np.isinf(values) | (np.isnan(values) & column.notna().to_numpy())
    _refuse(wrong, f"{name} is not a number", "leave missing ratings empty.")
    return values


def _changed_form(values: Numbers, group: Whole, size: int) -> Flags:
    """Return which series, (size,), have later ratings wholly outside the range of the earlier ones, by the factors.

    Only series with such a step between two neighbours are looked at. Running extremes of all of them are taken at once, of the
    ratings' order raised with each series, so that they start anew there.
    """
    changed = np.zeros(size, dtype=bool)
    step = np.flatnonzero(
        (group[1:] == group[:-1]) & ((values[1:] >= FORM_RISE * values[:-1]) | (values[:-1] >= FORM_FALL * values[1:]))
    )
    suspect = np.zeros(size, dtype=bool)
    suspect[group[step]] = True
    suspect[group[values <= 0]] = False  # no factor
    rows = suspect[group]
    if not rows.any():
        return changed
    own = group[rows]
    levels, order = np.unique(values[rows], return_inverse=True)
    top = len(levels) - 1
    base, back = own * len(levels), (own[-1] - own) * len(levels)
    highest = np.maximum.accumulate(order + base) - base
    lowest = top - (np.maximum.accumulate(top - order + base) - base)
    later_highest = (np.maximum.accumulate((order + back)[::-1])[::-1]) - back
    later_lowest = top - (np.maximum.accumulate((top - order + back)[::-1])[::-1] - back)
    starts = np.flatnonzero(np.diff(own, prepend=-1))
    lengths = np.diff(np.append(starts, len(own)))
    rank = np.arange(len(own)) - np.repeat(starts, lengths)
    split = np.flatnonzero((rank >= FORM_RATINGS) & (np.repeat(lengths, lengths) - rank >= FORM_RATINGS))
    up = levels[later_lowest[split]] >= FORM_RISE * levels[highest[split - 1]]
    down = levels[lowest[split - 1]] >= FORM_FALL * levels[later_highest[split]]
    changed[own[split[up | down]]] = True
    return changed


def _order(key: Whole, number: Whole) -> Whole:
    """Return the order of rows by series and session; an order that is there already costs no sort."""
    if not key.size:
        return np.array([], dtype=np.int64)
    rising = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & (number[1:] >= number[:-1]))
    return np.arange(len(key)) if rising.all() else np.lexsort((number, key))


def _refuse(faulty: Flags, what: str, hint: str) -> None:
    if faulty.any():
        raise DataError(problem(PLACE, f"{what} in {rows_text(list(np.flatnonzero(faulty) + 1))}.", hint=hint))

r"""When do people first improve by more than error, and stay so? Seen at occasions only, and some leave before.

Vocabulary
----------
improved       reliably improved against baseline by a definition of the outcome (:mod:`.individual_change.definitions`)
confirmed      improved at one observed occasion and at the next; the time is that of the first of the two
once           improved at an occasion, whatever comes after
between        the time lies after the last occasion before it (``left``) and not after the occasion itself (``right``)
followed       the last time at which improvement could have been seen: for a confirmed one the last observed occasion but one, as
               the last has no next. This holds for everybody, whatever the last score is: were only late improvers taken out
               there, those not improved would stay at risk alone and improvement would look too rare.
left treatment ended for one of the reasons of ``dropout``, without (confirmed) improvement, and never measured after
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.individual_change.definitions import Definition, changes
from attachment_outcomes.inference.individual_change.reading import numbers_of

Numbers = NDArray[np.float64]
IMPROVED = ("recovered", "improved")
PLACE = "time to improvement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A row a person. ``cause``: 1 improved at ``right``, 2 left, 0 neither; ``time``: of that, or to which followed."""

    person: NDArray[Any]
    left: Numbers
    right: Numbers
    time: Numbers
    cause: NDArray[np.int64]
    unseen: int  # people with a baseline and nothing after it that could show improvement


def stayed(times: Times) -> Numbers:
    """Return the times had nobody left: who left is followed as everybody else is, not until leaving."""
    return np.where(times.cause == 1, times.right, times.left)


def improvement_times(
    rows: pd.DataFrame, *, confirmed: bool = True, late: str = "censor", left_at: Mapping[Any, float] | pd.Series | None = None
) -> Times:
    """Return when each person first improved, between which occasions, and who left or was followed to when.

    Parameters
    ----------
    rows
        ``person_id, time, improved`` of observed occasions, the baseline first (its ``improved`` is not read); a row an occasion.
        Times count from each person's baseline.
    confirmed
        Whether improvement counts only if the next observed occasion shows it too.
    late
        What an improvement at the last occasion is, which nothing can confirm: ``censor`` follows everybody to the last occasion
        but one; ``count`` takes it as confirmed.
    left_at : mapping from person to time, optional
        Those who left treatment and when, in the same time; someone measured after that left at the last measurement.

    Raises
    ------
    StatisticsError
        If there is nobody, ``late`` is another word, a person has two occasions at one time, a column is missing, a time is missing
        or no number, ``improved`` is not true or false throughout, or ``left_at`` does not give times by person.

    Notes
    -----
    Somebody who leaves before anything after baseline was measured has left, at the time they left. Somebody with a baseline
    only who did not leave tells nothing: censored at 0, and counted in ``unseen``.
    """
    if late not in ("censor", "count"):
        raise StatisticsError(problem(PLACE, f"found late {late!r}; allowed: censor, count."))
    if rows.empty:
        raise StatisticsError(problem(PLACE, "nobody has a baseline."))
    rows = _checked(rows)
    ordered = rows.sort_values(["person_id", "time"], kind="stable", ignore_index=True)
    if ordered.duplicated(["person_id", "time"]).any():
        raise StatisticsError(problem(PLACE, "a person has two occasions at one time."))
    codes, people = pd.factorize(ordered["person_id"])
    n = len(people)
    first = np.concatenate([[True], codes[1:] != codes[:-1]])
    last = np.concatenate([codes[1:] != codes[:-1], [True]])
    t = ordered["time"].to_numpy(dtype=float)
    shown = ordered["improved"].to_numpy(dtype=bool) & ~first
    after = np.concatenate([shown[1:], [False]]) & ~last
    event = shown if not confirmed else shown & (after | (last if late == "count" else False))
    hit = np.flatnonzero(event)
    hit = hit[np.unique(codes[hit], return_index=True)[1]]  # the first of each person
    right = np.full(n, np.inf)
    right[codes[hit]] = t[hit]
    end = np.flatnonzero(last)
    could = end - (1 if confirmed and late == "censor" else 0)
    followed = np.where(codes[np.maximum(could, 0)] == np.arange(n), t[np.maximum(could, 0)], 0.0)
    left = followed.copy()
    left[codes[hit]] = t[hit - 1]
    cause = np.zeros(n, dtype=np.int64)
    time = followed.copy()
    cause[codes[hit]], time[codes[hit]] = 1, t[hit]
    if left_at is not None:
        given = _left(left_at)
        if len(given) and not given.index.isin(people).any():
            raise StatisticsError(problem(PLACE, "left_at names nobody who was measured.", hint="its index must be the person_id."))
        gone = given.reindex(people).to_numpy(dtype=float)
        gone = np.maximum(gone, t[end])
        # After the last time at which anybody could be seen to improve, only leaving would be left to happen.
        leaves = (gone <= max(followed.max(), time.max())) & (cause == 0)
        stays = (gone > max(followed.max(), time.max())) & (cause == 0)
        cause[leaves], time[leaves] = 2, gone[leaves]
        time[stays] = max(followed.max(), time.max())
    unseen = int(((cause == 0) & (time == 0)).sum())
    return Times(person=np.asarray(people), left=left, right=right, time=time, cause=cause, unseen=unseen)


def _checked(rows: pd.DataFrame) -> pd.DataFrame:
    for column in ("person_id", "time", "improved"):
        if column not in rows.columns:
            raise StatisticsError(problem(PLACE, f"no column {column!r}.{did_you_mean(column, rows.columns)}"))
    rows = rows[["person_id", "time", "improved"]].reset_index(drop=True)
    improved, time = rows["improved"], numbers_of(rows["time"], place=PLACE, what="time")
    if improved.isna().any() or not all(isinstance(v, bool | np.bool_) for v in improved.unique()):
        raise StatisticsError(
            problem(PLACE, "improved is not true or false throughout.", hint="leave out occasions without a score.")
        )
    gaps = int(np.isnan(time).sum()) + int(rows["person_id"].isna().sum())
    if gaps:
        noun = "occasion lacks" if gaps == 1 else "occasions lack"
        raise StatisticsError(problem(PLACE, f"{gaps} {noun} a time or a person.", hint="leave them out and count them."))
    return rows.assign(time=time)


def _left(left_at: Mapping[Any, float] | pd.Series) -> pd.Series:
    if not isinstance(left_at, Mapping | pd.Series):
        raise StatisticsError(
            problem(PLACE, "left_at gives no times by person.", hint="a mapping or Series from person_id to time.")
        )
    series = left_at if isinstance(left_at, pd.Series) else pd.Series(dict(left_at), dtype=object if not left_at else None)
    if series.index.has_duplicates:
        raise StatisticsError(problem(PLACE, "left_at lists a person twice.", hint="one time a person."))
    return pd.Series(numbers_of(series.reset_index(drop=True), place=PLACE, what="left_at"), index=series.index)


def planned_times(timed: pd.DataFrame) -> pd.DataFrame:
    """Return the measurements with each occasion's time set to the median of all who were measured then.

    Visits of one wave are spread over some weeks. At their own times, people who come late would count as at risk while the others
    are seen one by one, though nothing can be seen in them yet; the share with the event would come out far too high.
    """
    return timed.assign(time=timed.groupby("occasion")["time"].transform("median"))


def from_baseline(timed: pd.DataFrame, pairs: pd.DataFrame, definition: Definition) -> pd.DataFrame:
    """Return each observed occasion from the baseline on, held against it: ``person_id, occasion, time, start, improved``.

    ``time`` counts from the person's baseline, which is at ``start``.
    """
    start = pairs.loc[pairs["pre"].notna().to_numpy(), ["person_id", "pre", "pre_at"]]
    rows = timed.merge(start, on="person_id", how="inner", validate="many_to_one")
    rows = rows[(rows["occasion"] >= rows["pre_at"]).to_numpy(dtype=bool)]
    at = rows["occasion"].to_numpy(dtype=float) == rows["pre_at"].to_numpy(dtype=float)
    zero = pd.Series(rows["time"].to_numpy()[at], index=rows["person_id"].to_numpy()[at])
    rows = rows[rows["person_id"].isin(zero.index)].reset_index(drop=True)
    category = changes(definition, rows["pre"], rows["value"])["category"]
    start_at = rows["person_id"].map(zero).to_numpy(dtype=float)
    rows = rows.assign(time=rows["time"].to_numpy() - start_at, start=start_at, improved=category.isin(IMPROVED).to_numpy())
    return rows[["person_id", "occasion", "time", "start", "improved"]]

"""Are the measurements of a growth curve what it needs: one score a person and occasion, and therapists of these people?"""

from __future__ import annotations

import pandas as pd

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.individual_change.reading import numbers_of

PLACE = "growth"
MEASUREMENT = ["person_id", "occasion", "time", "value"]


def measurements(data: pd.DataFrame) -> pd.DataFrame:
    """Return the complete measurements, time and value as numbers.

    Raises
    ------
    StatisticsError
        If a column is missing, time or value are no numbers, or a person has two scores at one occasion or time.
    """
    for column in MEASUREMENT:
        if column not in data.columns:
            raise StatisticsError(problem(PLACE, f"no column {column!r}.{did_you_mean(column, data.columns)}"))
    rows = data[MEASUREMENT].reset_index(drop=True)
    rows = rows.assign(**{c: numbers_of(rows[c], place=PLACE, what=c) for c in ("time", "value")}).dropna().reset_index(drop=True)
    for column in ("occasion", "time"):
        twice = int(rows.duplicated(["person_id", column]).sum())
        if twice:
            noun = "row is" if twice == 1 else "rows are"
            raise StatisticsError(
                problem(PLACE, f"{twice} {noun} a second score of a person at one {column}.", hint=f"one a {column}.")
            )
    return rows


def check_by_person(what: str, given: object, rows: pd.DataFrame, *, some: bool = False) -> None:
    """Refuse a Series by person_id that names somebody twice or, with ``some``, that is known of nobody measured.

    Raises
    ------
    StatisticsError
        If it is so.
    """
    if not isinstance(given, pd.Series):
        return
    twice = int(given.index.duplicated().sum())
    if twice:
        noun = "person is" if twice == 1 else "people are"
        raise StatisticsError(
            problem(PLACE, f"{what}: {twice} {noun} listed again.", hint="one row a person, person_id the index.")
        )
    if some and len(rows) and given.reindex(rows["person_id"].unique()).isna().all():
        raise StatisticsError(problem(PLACE, f"{what}: known of nobody who was measured.", hint="the index must be the person_id."))

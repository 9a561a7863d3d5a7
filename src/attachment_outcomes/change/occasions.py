"""Which of a person's measurements are baseline and end?

Vocabulary
----------
occasion       a planned wave, or a therapy session, whichever the study orders its measurements by
first, last    a person's first and last *observed* value; a number names one occasion for everybody
"""

from __future__ import annotations

import pandas as pd

from attachment_outcomes.errors import DataError, problem

OCCASION_COLUMNS = {"wave": "wave", "session": "session_number"}


def long_scores(scores: pd.DataFrame, *, score: str, rater: str, occasions: str) -> pd.DataFrame:
    """Return one score's values as ``person_id, occasion, value``, sorted; values that are missing are left out.

    Parameters
    ----------
    scores
        Canonical scores table.
    score
        ``<instrument>.<scale>``.
    rater
        Whose answers.
    occasions
        ``wave`` or ``session``.

    Raises
    ------
    DataError
        If a person has several values at one occasion.
    """
    instrument, _, scale = score.partition(".")
    column = OCCASION_COLUMNS[occasions]
    keep = (
        (scores["instrument"] == instrument) & (scores["scale"] == scale) & (scores["rater"] == rater)
        & scores[column].notna() & scores["score"].notna()
    )  # fmt: skip
    return _long(scores[keep.to_numpy(dtype=bool)], column, "score", score)


def long_values(table: pd.DataFrame, *, column: str, occasions: str, name: str) -> pd.DataFrame:
    """Return a column of a styles or classifications table in the same form; missing values are left out."""
    occasion = OCCASION_COLUMNS[occasions]
    return _long(table[(table[occasion].notna() & table[column].notna()).to_numpy(dtype=bool)], occasion, column, name)


def _long(rows: pd.DataFrame, occasion: str, value: str, name: str) -> pd.DataFrame:
    out = pd.DataFrame(
        {
            "person_id": rows["person_id"].to_numpy(),
            "occasion": rows[occasion].astype("int64").to_numpy(),
            "value": rows[value].to_numpy(),
        }
    ).sort_values(["person_id", "occasion"], kind="stable", ignore_index=True)
    doubled = int(out.duplicated(["person_id", "occasion"]).sum())
    if doubled:
        raise DataError(
            problem(
                name,
                f"{doubled} people-occasions hold more than one value.",
                hint="scores about several people, or by several coders, have no single change; choose one.",
            )
        )
    return out


def pairs(long: pd.DataFrame, *, baseline: int | str = "first", end: int | str = "last") -> pd.DataFrame:
    """Return ``person_id, pre, post, pre_at, post_at``: a row for everybody with any value.

    ``first`` and ``last`` are the person's own first and last observed occasion. The end must come after the baseline:
    someone seen once has a baseline and no end (if the baseline is a number, only values after it can be ``last``).
    """
    people = long[["person_id"]].drop_duplicates(ignore_index=True)
    before = long if baseline == "first" else long[long["occasion"] == baseline]
    before = before.drop_duplicates("person_id", keep="first").rename(columns={"value": "pre", "occasion": "pre_at"})
    after = long if end == "last" else long[long["occasion"] == end]
    after = after.drop_duplicates("person_id", keep="last").rename(columns={"value": "post", "occasion": "post_at"})
    out = people.merge(before, on="person_id", how="left").merge(after, on="person_id", how="left")
    once = out["post_at"] <= out["pre_at"]
    if isinstance(baseline, int):  # a last value from before the baseline is no end either
        once |= out["post_at"] <= baseline
    out.loc[once.to_numpy(dtype=bool), ["post", "post_at"]] = None
    return out[["person_id", "pre", "post", "pre_at", "post_at"]]

"""Which of a person's classifications and scores counts for a pair of people?

Vocabulary
----------
target      the person that a score or class is about. One about the other member of the pair goes before one about nobody
            in particular; those about third people count only in a mean over targets.
dimension   a score (``<instrument>.<scale>``) by one rater at one occasion
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from attachment_outcomes.errors import DataError, problem

CODES = ["primary", "secondary", "forced"]


def first_classes(classifications: pd.DataFrame, system: str) -> pd.DataFrame:
    """Return each person's first classification in a coding system, one row a person and person it is about.

    Returns
    -------
    DataFrame
        person_id, about_person_id, primary, secondary, forced. The first is that of the earliest wave with a class.

    Raises
    ------
    DataError
        If a person has two classifications at that wave, e.g. by two coders.
    """
    rows = classifications[(classifications["system"] == system) & classifications[CODES].notna().any(axis=1)]
    key = ["person_id", "about_person_id"]
    ordered = rows.sort_values([*key, "wave"], kind="stable", na_position="last")
    first_wave = ordered.groupby(key, dropna=False, sort=False)["wave"].transform("min")
    first = ordered[((ordered["wave"] == first_wave) | first_wave.isna()).fillna(False)]
    doubled = first.duplicated(key)
    if doubled.any():
        raise DataError(
            problem(
                "classifications",
                f"{int(doubled.sum())} people have two first classifications in {system}: which one holds is not told.",
                hint="keep one coder with 'where', or give the occasions their waves, in the study's YAML.",
            )
        )
    return first[[*key, *CODES]].reset_index(drop=True)


def about_the_other(person: Iterable[str], other: Iterable[str], values: pd.DataFrame) -> pd.DataFrame:
    """Return, for each pair, the row about the other member, or else the row about nobody in particular.

    Parameters
    ----------
    person, other : (n,) iterables of ids
        The member whose row is wanted, and the member it may be about.
    values : DataFrame
        person_id, about_person_id and value columns, one row a person and target.

    Returns
    -------
    DataFrame
        n rows with the value columns and ``found``; rows about third people are never used.
    """
    members = (pd.Series(p if isinstance(p, pd.Series) else list(p), dtype="str").reset_index(drop=True) for p in (person, other))
    wanted = pd.DataFrame(dict(zip(("person_id", "other"), members, strict=True)))
    columns = [c for c in values.columns if c not in ("person_id", "about_person_id")]
    general = values[values["about_person_id"].isna()].drop(columns="about_person_id")
    specific = values[values["about_person_id"].notna()].rename(columns={"about_person_id": "other"})
    about = wanted.merge(specific, on=["person_id", "other"], how="left", indicator="found")
    plain = wanted.merge(general, on="person_id", how="left", indicator="found")
    is_specific = (about["found"] == "both").to_numpy()
    out = about[columns].where(pd.Series(is_specific), plain[columns])
    out["found"] = is_specific | (plain["found"] == "both").to_numpy()
    return out


def dimension(
    scores: pd.DataFrame, *, score: str, rater: str = "self", wave: int | str = "first", mean_over_targets: bool = False
) -> pd.DataFrame:
    """Return one score of each person at one occasion.

    Parameters
    ----------
    scores : DataFrame
        Canonical ``scores``.
    score : str
        ``<instrument>.<scale>``.
    rater : str
        Whose answers.
    wave : int, "first" or "last"
        A wave's number, or the first or last at which the person has a score (about that target). Where a wave holds
        several sessions, or there are no waves, the first (for ``last`` the last) session counts.
    mean_over_targets : bool
        Average a person's scores about several people at that occasion (those that are there).

    Returns
    -------
    DataFrame
        person_id, about_person_id (missing if averaged, or about nobody in particular), score; no missing scores.

    Raises
    ------
    DataError
        If a person has two scores about the same target at the occasion.
    """
    instrument, _, scale = score.partition(".")
    mine = (scores["instrument"] == instrument) & (scores["scale"] == scale) & (scores["rater"] == rater)
    rows = scores[mine.fillna(False) & scores["score"].notna()]
    who = ["person_id"] if mean_over_targets else ["person_id", "about_person_id"]
    if isinstance(wave, int):
        rows = rows[(rows["wave"] == wave).fillna(False)]
    for column in ("wave", "session_number"):
        if column in rows:
            at = rows.groupby(who, dropna=False, sort=False)[column].transform("max" if wave == "last" else "min")
            rows = rows[((rows[column] == at) | at.isna()).fillna(False)]
    doubled = rows.duplicated(["person_id", "about_person_id"])
    if doubled.any():
        raise DataError(
            problem(
                f"scores, {score}",
                f"{int(doubled.sum())} people have two scores about the same person at one occasion ({rater}, wave {wave}).",
                hint="give the occasions their waves in the study's YAML.",
            )
        )
    if mean_over_targets:
        rows = rows.groupby("person_id", sort=True)["score"].mean().reset_index()
        rows["about_person_id"] = pd.Series(pd.NA, index=rows.index, dtype="str")
    return rows[["person_id", "about_person_id", "score"]].reset_index(drop=True)

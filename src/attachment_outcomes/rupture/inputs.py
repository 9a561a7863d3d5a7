"""Which numbers of the canonical study does the rupture analysis read? Ratings, therapists, outcome and its direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.rupture.series import Series

Instruments = Mapping[str, Mapping[str, Any]]


def alliance_ratings(
    scores: pd.DataFrame, sessions: pd.DataFrame, treatments: pd.DataFrame, *, alliance: str, rater: str = "self"
) -> pd.DataFrame:
    """Return ``person_id, treatment_id, session_number, rating``, one row a session.

    ``alliance`` is a score (``wai_sr.total``: the scores table, by ``rater``) or a column of the sessions table. The
    scores table does not say which treatment a session belongs to: clients with one treatment get that one, for others
    it is missing and their sessions form one series.

    Raises
    ------
    ConfigError
        If the sessions table has no such column of numbers.
    """
    if "." not in alliance:
        numbers = [c for c in sessions.columns if sessions[c].dtype == "float64"]
        if alliance not in numbers:
            what = f"no column {alliance!r} of ratings in the sessions table; allowed: {', '.join(numbers)}."
            raise ConfigError(problem("rupture, key alliance", what + did_you_mean(alliance, numbers)))
        return sessions[["person_id", "treatment_id", "session_number"]].assign(rating=sessions[alliance])
    instrument, scale = alliance.split(".", 1)
    rows = scores[(scores["instrument"] == instrument) & (scores["scale"] == scale) & (scores["rater"] == rater)]
    rows = rows[rows["session_number"].notna()].rename(columns={"score": "rating"})
    single = treatments.drop_duplicates("person_id", keep=False).set_index("person_id")["treatment_id"]
    rows = rows.assign(treatment_id=rows["person_id"].map(single).astype("str"))
    return rows[["person_id", "treatment_id", "session_number", "rating"]].reset_index(drop=True)


def outcome_scores(scores: pd.DataFrame, *, outcome: str, baseline: int | str = "first", end: int | str = "last") -> pd.DataFrame:
    """Return each person's self-rated score at two occasions: columns ``pre`` and ``post``, index ``person_id``.

    Occasions are waves, or sessions where the score has no waves: a number, or ``first`` or ``last`` observed. The end
    must come after the baseline, otherwise ``post`` is missing.
    """
    instrument, scale = outcome.split(".", 1)
    rows = scores[(scores["instrument"] == instrument) & (scores["scale"] == scale) & (scores["rater"] == "self")]
    rows = rows[rows["score"].notna()]
    occasion = "wave" if rows["wave"].notna().any() else "session_number"
    rows = rows[rows[occasion].notna()].sort_values(["person_id", occasion], kind="stable")

    def at(when: int | str) -> pd.DataFrame:
        chosen = rows if when in ("first", "last") else rows[rows[occasion] == when]
        chosen = chosen.drop_duplicates("person_id", keep="last" if when == "last" else "first")
        return chosen.set_index("person_id")[[occasion, "score"]]

    ends = at(baseline).add_suffix("_pre").join(at(end).add_suffix("_post"), how="outer")
    later = (ends[f"{occasion}_post"] > ends[f"{occasion}_pre"]).fillna(False).astype(bool)
    return pd.DataFrame({"pre": ends["score_pre"], "post": ends["score_post"].where(later)}).astype("float64")


def therapists(series: Series, treatments: pd.DataFrame) -> pd.Series:
    """Return the therapist of each series, missing where the treatments table does not say."""
    known = treatments[["person_id", "treatment_id", "therapist_id"]].rename(columns={"person_id": "client"})
    return series.clients.merge(known, how="left", on=["client", "treatment_id"])["therapist_id"]


def higher_is_better(outcome: str, instruments: Instruments) -> bool:
    """Return the direction that the instrument states for the scale.

    Raises
    ------
    ConfigError
        If it states none.
    """
    word = _scale(outcome, instruments).get("direction")
    if word not in ("higher is better", "higher is worse"):
        hint = "say in the instrument's YAML whether higher is better or worse."
        raise ConfigError(problem("rupture, key outcome", f"{outcome!r} has no direction.", hint=hint))
    return bool(word == "higher is better")


def lowest_rating(alliance: str, instruments: Instruments) -> float | None:
    """Return the lowest possible rating where the instrument states it.

    Raises
    ------
    ConfigError
        If the instrument says that higher is worse: a drop would then be no rupture.
    """
    block = _scale(alliance, instruments) if "." in alliance else {}
    if block.get("direction") == "higher is worse":
        hint = "name a score where higher is better."
        raise ConfigError(problem("rupture, key alliance", f"{alliance!r} is higher where the alliance is worse.", hint=hint))
    return float(block["range"][0]) if block.get("range") else None


def _scale(score: str, instruments: Instruments) -> Mapping[str, Any]:
    instrument, scale = score.split(".", 1)
    block: Mapping[str, Any] = instruments.get(instrument, {}).get("scales", {}).get(scale, {})
    return block

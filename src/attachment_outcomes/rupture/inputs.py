"""Which numbers of the canonical study does the rupture analysis read? Ratings, therapists, outcome and its direction.

Vocabulary
----------
stand-in    a series that is no rating of the alliance and is read as if it were one; whatever comes of it says so
turned      a stand-in where higher is worse, as lowest + highest possible - score, so that higher is better
form        the instrument that a session was rated with; its scores are not those of another form
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConfigError, DataError, did_you_mean, problem, rows_text
from attachment_outcomes.inference.estimate import Estimate
from attachment_outcomes.rupture.series import Series

Instruments = Mapping[str, Mapping[str, Any]]
KEY = "rupture, key alliance"
ALLIANCE = "alliance"  # the family of an instrument that rates it
NO_ALLIANCE = ("symptoms", "depth", "security", "withdrawal", "confrontation", "resolution")  # columns of the sessions table
HIGHER_IS_WORSE = ("symptoms", "withdrawal", "confrontation")
SLACK = 1e-9  # share of the range by which rounding of a mean may leave it


@dataclass(frozen=True)
class Rating:
    """What is known of the session rating that a study names: lowest and highest possible score, and how it is read.

    ``turned`` says that the score is turned round within its range; ``stand_in`` what it is, where it is no rating of the
    alliance, and is empty where it is one.
    """

    name: str
    low: float | None = None
    high: float | None = None
    turned: bool = False
    stand_in: str = ""

    def read(self, ratings: pd.DataFrame) -> pd.DataFrame:
        """Return the ratings, column ``rating``, checked against the range and with higher = better.

        Raises
        ------
        DataError
            If a rating lies outside the range, with the numbers of the rows.
        """
        if self.low is None or self.high is None:
            return ratings
        found = pd.to_numeric(ratings["rating"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        slack = SLACK * (self.high - self.low)
        outside = (found < self.low - slack) | (found > self.high + slack)
        if outside.any():
            what = f"{self.name} lies outside {self.low:g} to {self.high:g} in {rows_text(list(np.flatnonzero(outside) + 1))}."
            hint = "mark a missing rating as missing, give another form of the instrument its own name, or mend rupture.range."
            raise DataError(problem(f"ratings of {self.name}, rows counted among them", what, hint=hint))
        if not self.turned:
            return ratings
        turned = pd.Series(self.low + self.high - found, index=ratings.index)
        unread = np.isnan(found) & ratings["rating"].notna().to_numpy()
        # What is no number stays as it is, for the series to refuse by its row.
        return ratings.assign(rating=turned.astype(object).mask(unread, ratings["rating"]) if unread.any() else turned)

    @property
    def note(self) -> str:
        """What every number that comes of a stand-in must say; empty for a rating of the alliance."""
        if not self.stand_in:
            return ""
        turned = f", turned round within {self.low:g} to {self.high:g}" if self.turned else ""
        return f"no rating of the alliance; in its place: {self.stand_in}{turned}, and a rupture is a turn for the worse in that"


def rating_of(settings: Mapping[str, Any], instruments: Instruments, *, name: str | None = None) -> Rating:
    """Return what is known of the rating that the settings name as the alliance, or of another one of theirs.

    Parameters
    ----------
    settings
        The study's ``rupture`` block: ``alliance``, ``range``, ``stand_in``, ``outcome``, ``symptoms``.
    instruments
        Instruments by key.
    name
        A rating other than ``alliance``, e.g. the therapist's; the same is asked of it.

    Raises
    ------
    ConfigError
        If it is no rating of the alliance, or one that is higher where the alliance is worse, and no stand-in was named; if a
        stand-in that must be turned round has no known range; if the range contradicts the instrument's or is upside down; or
        if the outcome or the symptoms are the very series that the ruptures are found in.
    """
    name, stand_in = str(name or settings["alliance"]), str(settings.get("stand_in") or "")
    block = _scale(name, instruments) if "." in name else {}
    family = instruments.get(name.split(".", 1)[0], {}).get("family", ALLIANCE) if "." in name else ALLIANCE
    worse = block.get("direction") == "higher is worse" or name in HIGHER_IS_WORSE
    if not stand_in:
        hint = "name a rating of the alliance where higher is better, or say under stand_in what stands in for it."
        if worse:
            raise ConfigError(problem(KEY, f"{name!r} is higher where the alliance is worse.", hint=hint))
        if family != ALLIANCE or name in NO_ALLIANCE:
            raise ConfigError(problem(KEY, f"{name!r} is no rating of the alliance.", hint=hint))
    for key in ("outcome", "symptoms"):
        if settings.get(key) == name:
            raise ConfigError(
                problem(f"rupture, key {key}", f"{name!r} is the series that ruptures are found in; name another or none.")
            )
    low, high = _range(name, block.get("range"), settings.get("range"))
    if worse and low is None:
        hint = "give its lowest and highest possible score under range."
        raise ConfigError(problem(KEY, f"{name!r} must be turned round, and its range is not known.", hint=hint))
    return Rating(name, low, high, turned=worse, stand_in=stand_in)


def _range(name: str, stated: list[float] | None, asked: list[float] | None) -> tuple[float | None, float | None]:
    """Return the ends of a rating: the instrument's, or the study's own where no instrument says so."""
    if asked and not asked[0] < asked[1]:
        raise ConfigError(
            problem("rupture, key range", f"found {asked}; allowed: the lowest and the highest rating, in this order.")
        )
    if asked and stated and list(map(float, asked)) != list(map(float, stated)):
        raise ConfigError(problem("rupture, key range", f"found {asked}, but {name!r} has the range {stated}; leave it out."))
    ends = asked or stated
    return (float(ends[0]), float(ends[1])) if ends else (None, None)


def labelled(rows: Iterable[Estimate], rating: Rating, *, others: Collection[str] = ()) -> list[Estimate]:
    """Return the rows, with the words that the numbers of a stand-in must carry first in each note.

    ``others`` are analyses and definitions (criteria) that do not go by that series: reports, observers' ratings.
    """
    note = rating.note
    return [
        replace(row, note="; ".join(filter(None, [note, row.note])))
        if note and row.analysis not in others and row.definition not in others
        else row
        for row in rows
    ]


def other_forms(scores: pd.DataFrame, *, alliance: str, rater: str, instruments: Instruments) -> tuple[int, list[str]]:
    """Return how many sessions are rated with another form of the alliance only, and the titles of those forms.

    Their scores are on another scale and are not used.
    """
    if "." not in alliance:
        return 0, []
    own = alliance.split(".", 1)[0]
    others = {k for k, v in instruments.items() if v.get("family") == ALLIANCE and k != own}
    rated = scores[(scores["rater"] == rater) & scores["session_number"].notna() & scores["score"].notna()]
    rows = rated[rated["instrument"].isin(others)]
    key = ["person_id", "session_number"]
    here = pd.MultiIndex.from_frame(rated.loc[rated["instrument"] == own, key])
    alone = rows[~pd.MultiIndex.from_frame(rows[key]).isin(here)]
    titles = [str(instruments[k].get("title", k)) for k in sorted(alone["instrument"].unique())]
    return len(alone.drop_duplicates(key)), titles


def alliance_ratings(
    scores: pd.DataFrame,
    sessions: pd.DataFrame,
    treatments: pd.DataFrame,
    *,
    alliance: str,
    rater: str = "self",
    key: str = "alliance",
) -> pd.DataFrame:
    """Return ``person_id, treatment_id, session_number, rating``, one row a session; ``key`` is the setting that names it.

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
            raise ConfigError(problem(f"rupture, key {key}", what + did_you_mean(alliance, numbers)))
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


def _scale(score: str, instruments: Instruments) -> Mapping[str, Any]:
    instrument, scale = score.split(".", 1)
    block: Mapping[str, Any] = instruments.get(instrument, {}).get("scales", {}).get(scale, {})
    return block

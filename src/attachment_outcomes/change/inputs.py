"""What every analysis of change reads: a study's tables with the choices they share.

Vocabulary
----------
the treated    clients, where clients have the outcome; else everybody but therapists
occasion       a planned wave, or a therapy session, whichever the study orders its measurements by
series         one number a session: a score, or a column of the sessions table
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from attachment_outcomes.change.occasions import long_scores, pairs
from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.individual_change.definitions import scale_of

SELF = "self"
Outcome = Mapping[str, Any]


class Timed(NamedTuple):
    """Measurements with their time, what a unit of time is, and the time of the last planned occasion (NaN: unknown)."""

    rows: pd.DataFrame
    unit: str
    end: float


@dataclass(frozen=True)
class ChangeData:
    """A study's canonical tables and the choices that all analyses of change share.

    Parameters
    ----------
    scores, styles, waves, people, treatments, sessions, classifications, answers
        Canonical tables (docs/data-dictionary.md); ``answers`` are the items, and may be empty.
    settings
        The study's ``change`` block.
    instruments
        Instrument key to its configuration.
    overrides
        Instrument key to the study's own form of it: range, items.
    ci_level
        Confidence level of every interval.
    seed
        What is random derives from it, see :meth:`rng`.
    flow
        Takes the count of everybody who could not be counted. Each step is counted once, however often it is asked for.
    """

    scores: pd.DataFrame
    styles: pd.DataFrame
    waves: pd.DataFrame
    people: pd.DataFrame
    treatments: pd.DataFrame
    sessions: pd.DataFrame
    classifications: pd.DataFrame
    answers: pd.DataFrame
    settings: Mapping[str, Any]
    instruments: Mapping[str, Mapping[str, Any]]
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ci_level: float = CI_LEVEL
    seed: int = 0
    flow: Flow = field(default_factory=Flow)
    _kept: dict[tuple[str, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def outcomes(self) -> list[Outcome]:
        """The scores whose change is assessed, the primary one first."""
        return list(self.settings["outcomes"])

    @property
    def occasions(self) -> str:
        """``wave`` or ``session``: what orders the measurements."""
        return str(self.settings.get("occasions", "wave"))

    @property
    def when(self) -> dict[str, int | str]:
        """Which occasions are baseline and end: ``first`` and ``last`` observed, or a number."""
        return {"baseline": self.settings.get("baseline", "first"), "end": self.settings.get("end", "last")}

    @cached_property
    def therapists(self) -> pd.Series | None:
        """Therapist of each person's first treatment, by person_id; None if fewer than two therapists are known."""
        known = self.treatments[self.treatments["therapist_id"].notna().to_numpy()]
        if known["therapist_id"].nunique() < 2:
            return None
        several = int(known.drop_duplicates(["person_id", "therapist_id"]).duplicated("person_id").sum())
        first = known.sort_values(["person_id", "start_week", "treatment_id"], kind="stable").drop_duplicates("person_id")
        self.flow.add(
            "change: one therapist a person", len(first), len(first) - several,
            "several therapists: counted under the first, nobody is left out", unit="people",
        )  # fmt: skip
        return first.set_index("person_id")["therapist_id"]

    def therapists_of(self, people: pd.Series) -> pd.Series | None:
        """Return the therapist of each of these people in their order (missing where unknown); None as in ``therapists``."""
        return None if self.therapists is None else self.therapists.reindex(people.to_numpy()).reset_index(drop=True)

    def scale(self, outcome: Outcome) -> Mapping[str, Any]:
        """Return the instrument's scale: direction, reliability, norms, cutoffs."""
        return scale_of(str(outcome["score"]), self.instruments)

    def of_treated(self, rows: pd.DataFrame, name: str) -> pd.DataFrame:
        """Return the rows of the treated; the others are counted under ``name``."""
        role = self.people.set_index("person_id")["role"].reindex(rows["person_id"])
        wanted = (role == "client") if (role == "client").any() else (role != "therapist")
        kept = rows[wanted.fillna(True).to_numpy(dtype=bool)]
        n_in, n_out = rows["person_id"].nunique(), kept["person_id"].nunique()
        self._count(f"change, {name}: the treated", n_in, n_out, "therapists, partners, parents or children of clients")
        return kept

    def long(self, outcome: Outcome) -> pd.DataFrame:
        """Return ``person_id, occasion, value`` of the treated, sorted, without missing values.

        Raises
        ------
        DataError
            If a person has several values at one occasion.
        """
        score, rater = str(outcome["score"]), str(outcome.get("rater", SELF))
        if ("long", score, rater) not in self._kept:
            found = long_scores(self.scores, score=score, rater=rater, occasions=self.occasions)
            self._kept["long", score, rater] = self.of_treated(found, score)
        rows: pd.DataFrame = self._kept["long", score, rater]
        return rows.reset_index(drop=True)

    def pairs(self, outcome: Outcome) -> pd.DataFrame:
        """Return ``person_id, pre, post, pre_at, post_at``: a row for everybody with any value; who has no pair is counted."""
        found = pairs(self.long(outcome), **self.when)
        self.count_pairs(found, str(outcome["score"]))
        return found

    def count_pairs(self, found: pd.DataFrame, name: str) -> None:
        """Count those without a baseline and without an end."""
        n, start = len(found), int(found["pre"].notna().sum())
        both = int((found["pre"].notna() & found["post"].notna()).sum())
        self._count(f"change, {name}: at baseline", n, start, "nothing at baseline")
        self._count(f"change, {name}: at baseline and end", start, both, "nothing at the end")

    def timed(self, outcome: Outcome) -> Timed:
        """Return the measurements of :meth:`long` with their ``time``: weeks, or sessions, or waves if no week is known."""
        long, end, score = self.long(outcome), self.when["end"], str(outcome["score"])
        if self.occasions == "session":
            rows, unit = long.assign(time=long["occasion"].astype(float)), "session"
        else:
            weeks = self.waves[["person_id", "wave", "weeks"]].rename(columns={"wave": "occasion"}).astype({"occasion": "int64"})
            rows = long.merge(weeks, on=["person_id", "occasion"], how="left")
            if rows["weeks"].notna().any():
                rows, unit = rows.rename(columns={"weeks": "time"}), "week"
            else:
                rows, unit = rows.drop(columns="weeks").assign(time=rows["occasion"].astype(float)), "wave"
        known = rows[rows["time"].notna()].reset_index(drop=True)
        self._count(f"change, {score}: time known", len(rows), len(known), "no week is known for the occasion", unit="measurements")
        if known.empty:
            return Timed(known, unit, np.nan)
        if isinstance(end, int):
            last = known[known["occasion"] == end]
            return Timed(known, unit, float(last["time"].median()) if len(last) else np.nan)
        if unit == "session":
            # A few very long treatments must not set the horizon: the planned length, else how far the typical person came.
            planned = self.treatments["planned_sessions"].median()
            return Timed(known, unit, float(planned if pd.notna(planned) else known.groupby("person_id")["time"].max().median()))
        return Timed(known, unit, float(known.loc[known["occasion"] == known["occasion"].max(), "time"].median()))

    def series(self, name: str, rater: str = SELF) -> pd.DataFrame:
        """Return ``person_id, session_number, value`` of the treated, sorted; missing values stay, so that gaps are seen.

        Parameters
        ----------
        name
            A score (``<instrument>.<scale>``) with session numbers, or a column of numbers of the sessions table.
        rater
            Whose answers (scores only).

        Raises
        ------
        ConfigError
            If there is no such column of numbers.
        DataError
            If a person has several values at one session.
        """
        if "." in name:
            rows = long_scores(self.scores, score=name, rater=rater, occasions="session")
            rows = rows.rename(columns={"occasion": "session_number"})
        else:
            numbers = [c for c in self.sessions.columns if self.sessions[c].dtype == "float64"]
            if name not in numbers:
                what = f"no column {name!r} of numbers in the sessions table; allowed: {', '.join(numbers)}."
                raise ConfigError(problem("change, a session series", what + did_you_mean(name, numbers)))
            found = self.sessions[["person_id", "treatment_id", "session_number"]].assign(value=self.sessions[name])
            first = found.groupby("person_id")["treatment_id"].transform("min")
            rows = found[(found["treatment_id"] == first).to_numpy(dtype=bool)].drop(columns="treatment_id")
            rows = rows.sort_values(["person_id", "session_number"], kind="stable")
            self._count(f"change, {name}: sessions of one treatment", len(found), len(rows), "a later treatment", unit="sessions")
        return self.of_treated(rows, name).reset_index(drop=True)

    def rng(self, *words: str) -> np.random.Generator:
        """Return a generator that depends on the seed and on these words only."""
        return np.random.default_rng([self.seed, *sha256("\n".join(words).encode()).digest()])

    def _count(self, step: str, n_in: int, n_out: int, reason: str, *, unit: str = "people") -> None:
        if ("flow", step) not in self._kept:
            self._kept["flow", step] = True
            self.flow.add(step, n_in, n_out, reason, unit=unit)

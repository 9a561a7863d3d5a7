"""What every analysis of ruptures reads: a study's tables with the choices they share, and what the criteria found in them.

Vocabulary
----------
client          a person in one treatment; outcomes are counted once a person, with the treatment that has most rated sessions
reads           columns of the sessions table that a criterion judges; the study's alliance rating where it names none
primary         the first of the study's criteria, named before the data were seen
unread          a criterion of which nobody has what it reads
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConfigError, StatisticsError, did_you_mean, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.rupture.criteria import Criterion, Detection, as_criteria, detect, series_for
from attachment_outcomes.rupture.inputs import (
    Instruments,
    Rating,
    alliance_ratings,
    higher_is_better,
    other_forms,
    outcome_scores,
    rating_of,
    therapists,
)
from attachment_outcomes.rupture.observer.codes import read_codes
from attachment_outcomes.rupture.observer.codings import Observed, filled_sessions, observe
from attachment_outcomes.rupture.series import Series, read_series
from attachment_outcomes.rupture.summary import client_summary

NO_RATINGS = "no session-by-session alliance ratings"


@dataclass(frozen=True)
class RuptureData:
    """A study's canonical tables and the choices that all analyses of ruptures share.

    Parameters
    ----------
    tables
        Canonical tables by name (docs/data-dictionary.md): ``scores``, ``sessions``, ``treatments``.
    settings
        The study's ``rupture`` block.
    criteria
        Presets by name; the settings name those to use, the first of them primary.
    instruments
        Instruments by key, for a score's direction and range.
    published
        Published results that this study's own are set beside.
    coding
        The system that observers coded by, or None.
    ci_level
        Confidence level of every interval.
    seed
        What is random derives from it, see :meth:`rng`.
    flow
        Takes the count of everything that could not be counted. Each step is counted once, however often it is asked for.
    """

    tables: Mapping[str, pd.DataFrame]
    settings: Mapping[str, Any]
    criteria: Mapping[str, Mapping[str, Any]]
    instruments: Instruments
    published: Sequence[Mapping[str, Any]] = ()
    coding: Mapping[str, Any] | None = None
    ci_level: float = CI_LEVEL
    seed: int = 0
    flow: Flow = field(default_factory=Flow)
    _kept: dict[tuple[str, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def alliance(self) -> str:
        """Name of the alliance rating: a score, or a column of the sessions table."""
        return str(self.settings["alliance"])

    @cached_property
    def rating(self) -> Rating:
        """What is known of the alliance rating: its range, and what it is where it stands in for one."""
        return rating_of(self.settings, self.instruments)

    @property
    def lowest(self) -> float | None:
        """Lowest possible rating where it is known."""
        return self.rating.low

    @cached_property
    def ratings(self) -> pd.DataFrame:
        """``person_id, treatment_id, session_number, rating`` (higher = better): the study's alliance ratings, a row a session."""
        rater = str(self.settings.get("rater", "self"))
        found = self._read(self.alliance, rater, self.rating)
        elsewhere, forms = other_forms(self.tables["scores"], alliance=self.alliance, rater=rater, instruments=self.instruments)
        reason = "rated with another form of it only" + (f" ({', '.join(forms)})" if forms else "")
        self.count("rupture: one form of the alliance", len(found) + elsewhere, len(found), reason, unit="sessions")
        return found

    @cached_property
    def therapist_ratings(self) -> pd.DataFrame:
        """The same as the therapist rates it; no rows where the study names no such rating (``therapist_alliance``)."""
        name = self.settings.get("therapist_alliance")
        if not name:
            return self.ratings.iloc[:0]
        rating = rating_of(self.settings, self.instruments, name=str(name))
        return self._read(str(name), "therapist", rating, key="therapist_alliance")

    def _read(self, name: str, rater: str, rating: Rating, *, key: str = "alliance") -> pd.DataFrame:
        scores, sessions, treatments = (self.tables[t] for t in ("scores", "sessions", "treatments"))
        return rating.read(alliance_ratings(scores, sessions, treatments, alliance=name, rater=rater, key=key))

    @cached_property
    def observed(self) -> Observed | None:
        """What observers coded; None where no coding system is named."""
        if self.coding is None:
            return None
        tables = self.tables
        found = observe(
            tables.get("observations"), read_codes(self.coding), sessions=tables["sessions"], treatments=tables["treatments"]
        )
        reason = "no treatment is named, and the client has several"
        if len(found.codings):
            self.count("observer: codings placed", len(found.codings), len(found.placed), reason, unit="codings")
        return found

    @cached_property
    def sessions(self) -> pd.DataFrame:
        """The sessions table, with observers' ratings from their codings where it has none itself."""
        sessions = self.tables["sessions"]
        return sessions if self.observed is None else filled_sessions(sessions, self.observed.rated)

    @cached_property
    def series(self) -> Series:
        """Every client's rated sessions.

        Raises
        ------
        StatisticsError
            If there is no rating at all.
        DataError
            If the ratings are not usable.
        """
        rating = self.rating
        scale = None if rating.low is None or rating.high is None else (rating.low, rating.high)
        series = read_series(self.ratings, score="rating", scale=scale)
        self.count("rupture: rated sessions", len(self.ratings), len(self.ratings) - series.n_missing, "no rating", unit="sessions")
        n = len(series.lengths)
        self.count("rupture: one form of the scale", n, n - series.n_changed, "the scale changes form midway", unit="treatments")
        if not len(series.values):
            raise StatisticsError(f"{NO_RATINGS} ({self.alliance})")
        return series

    def series_of(self, criterion: Criterion) -> Series:
        """Return the series that a criterion judges: the alliance ratings, or the columns of the sessions table that it reads.

        Raises
        ------
        StatisticsError
            If nobody has what it reads.
        """
        if not criterion.reads:
            return self.series
        kept = ("reads", *criterion.reads)
        if kept not in self._kept:
            sessions = self.sessions
            lacking = [c for c in criterion.reads if c not in sessions or not sessions[c].notna().any()]
            if lacking:
                raise StatisticsError(f"no session has {', '.join(lacking)}, which {criterion.name} reads")
            self._kept[kept] = series_for(criterion, sessions, score="")
        found: Series = self._kept[kept]
        n, step = len(self.sessions), f"rupture: sessions read by {criterion.name}"
        self.count(step, n, n - found.n_missing, "nothing that it reads is known", unit="sessions")
        return found

    @cached_property
    def chosen(self) -> list[Criterion]:
        """The criteria that the settings name, in their order, the primary one first."""
        for name in self.settings["criteria"]:
            if name not in self.criteria:
                what = f"no criterion {name!r}; allowed: {', '.join(self.criteria)}.{did_you_mean(name, self.criteria)}"
                raise ConfigError(problem("rupture, key criteria", what))
        return as_criteria({name: self.criteria[name] for name in self.settings["criteria"]})

    @cached_property
    def unread(self) -> dict[str, str]:
        """Criteria that the study names and that cannot be applied, since nobody has what they read, with the reason."""
        reasons = {}
        for criterion in (c for c in self.chosen if c.reads):
            try:
                self.series_of(criterion)
            except StatisticsError as error:
                reasons[criterion.name] = str(error)
        return reasons

    @cached_property
    def detections(self) -> list[Detection]:
        """What each criterion finds, in the settings' order, the primary first; without those that are ``unread``.

        Raises
        ------
        StatisticsError
            If the primary criterion cannot be applied: no other takes its place.
        """
        if self.chosen[0].name in self.unread:
            raise StatisticsError(f"the primary criterion cannot be applied: {self.unread[self.chosen[0].name]}")
        return [detect(self.series_of(c), c) for c in self.chosen if c.name not in self.unread]

    @cached_property
    def therapists(self) -> pd.Series:
        """Therapist of each series, in the order of ``series.clients``; missing where nobody says."""
        return therapists(self.series, self.tables["treatments"])

    @cached_property
    def clients(self) -> list[pd.DataFrame]:
        """For each of ``detections``, a row a client and treatment; see :func:`.summary.client_summary`."""
        tables = []
        for i, found in enumerate(self.detections):
            series = self.series_of(found.criterion)
            by = self.therapists if series is self.series else therapists(series, self.tables["treatments"])
            tables.append(client_summary(series, found, primary=i == 0, therapists=by))
        return tables

    @property
    def outcome(self) -> str:
        """Name of the outcome score.

        Raises
        ------
        StatisticsError
            If the study names none.
        """
        if not self.settings.get("outcome"):
            raise StatisticsError("no outcome score is named (rupture, key outcome)")
        return str(self.settings["outcome"])

    @cached_property
    def higher_is_better(self) -> bool:
        """Direction of the outcome."""
        return higher_is_better(self.outcome, self.instruments)

    @cached_property
    def ends(self) -> pd.DataFrame:
        """Each person's outcome at start and end: columns ``pre`` and ``post``, index ``person_id``."""
        when = {"baseline": self.settings.get("baseline", "first"), "end": self.settings.get("end", "last")}
        return outcome_scores(self.tables["scores"], outcome=self.outcome, **when)

    def with_outcome(self, clients: pd.DataFrame) -> pd.DataFrame:
        """Return a client table with one treatment a client, and the columns ``pre`` and ``post``."""
        order = clients.sort_values(["client", "n_sessions", "treatment_id"], ascending=[True, False, True], kind="stable")
        one = order.drop_duplicates("client").reset_index(drop=True)
        self.count(
            "rupture: one treatment a client", len(clients), len(one),
            "a client's outcome is counted once, with the treatment that has most rated sessions", unit="treatments",
        )  # fmt: skip
        joined = one.merge(self.ends, how="left", left_on="client", right_index=True)
        known = int(joined[["pre", "post"]].notna().all(axis=1).sum())
        self.count("rupture: outcome known", len(joined), known, f"no {self.outcome} at start or end", unit="clients")
        return joined

    def session_values(self, name: str, *, rater: str = "self", key: str = "symptoms") -> pd.DataFrame:
        """Return ``person_id, treatment_id, session_number, value``: a score or a column of the sessions table, a row a session.

        ``key`` is the setting that names it.

        Raises
        ------
        ConfigError
            If there is no such column of numbers.
        """
        found = alliance_ratings(
            self.tables["scores"],
            self.tables["sessions"],
            self.tables["treatments"],
            alliance=name,
            rater=rater,
            key=key,
        )
        return found.rename(columns={"rating": "value"})

    def baseline_scores(self, score: str, *, rater: str = "self") -> pd.Series:
        """Return each person's score before treatment on a scale (``<instrument>.<scale>``), by ``person_id``.

        The wave is the study's ``baseline`` where that is a number, otherwise the earliest at which anybody has this score. Whoever
        was first measured later is not in it: a score from during or after treatment says nothing of before. They are counted.
        """
        instrument, scale = score.split(".", 1)
        scores = self.tables["scores"]
        rows = scores[(scores["instrument"] == instrument) & (scores["scale"] == scale) & (scores["rater"] == rater)]
        rows = rows[rows["score"].notna() & rows["wave"].notna()]
        named = self.settings.get("baseline", "first")
        wave = rows["wave"].min() if isinstance(named, str) else named
        rows = rows[rows["wave"] == wave].drop_duplicates("person_id")
        before: pd.Series = rows.set_index("person_id")["score"].astype("float64")
        people = self.tables["treatments"]["person_id"].drop_duplicates()
        there = int(people.isin(before.index).sum())
        self.count(f"rupture: {score} before treatment", len(people), there, f"no {score} at the baseline wave", unit="clients")
        return before

    def rng(self, *words: str) -> np.random.Generator:
        """Return a generator that depends on the seed and on these words only."""
        return np.random.default_rng([self.seed, *sha256("\n".join(words).encode()).digest()])

    def count(self, step: str, n_in: int, n_out: int, reason: str, *, unit: str) -> None:
        """Record an exclusion in the flow, once a step."""
        if ("flow", step) not in self._kept:
            self._kept["flow", step] = True
            self.flow.add(step, n_in, n_out, reason, unit=unit)

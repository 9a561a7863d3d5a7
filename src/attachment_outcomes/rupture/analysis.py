"""The whole question at once, for one study: detect, summarise, compare with noise, relate to outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.rupture.criteria import EPISODE_COLUMNS, Criterion, Detection, as_criteria, detect, episodes_frame
from attachment_outcomes.rupture.effects import OUTCOME, repair_effect
from attachment_outcomes.rupture.inputs import (
    Instruments,
    alliance_ratings,
    higher_is_better,
    lowest_rating,
    outcome_scores,
    therapists,
)
from attachment_outcomes.rupture.noise import expected_on_noise
from attachment_outcomes.rupture.series import read_series
from attachment_outcomes.rupture.summary import (
    CLIENT_COLUMNS,
    PREVALENCE,
    SERIES_COLUMNS,
    client_summary,
    not_assessable,
    prevalence,
    session_series,
)

NO_RATINGS = "no session-by-session alliance ratings"
STUDY_EPISODE_COLUMNS = [*EPISODE_COLUMNS[:3], "primary", *EPISODE_COLUMNS[3:]]
OUTCOME_COLUMNS = ["client", "therapist_id", "group", "pre", "post", "n_sessions"]
_WORDS = ("client", "treatment_id", "therapist_id", "criterion", "outcome", "group")
_WHOLE = ("onset", "nadir", "recovered_at", "length", "session_number", "n_sessions", "n_ruptures", "n_repaired")
_NUMBERS = ("depth", "rate", "score", "center", "lower_limit", "pre", "post")
_FLAGS = ("primary", "in_episode")
_TYPES = {c: kind for kind, names in (("str", _WORDS), ("Int64", _WHOLE), ("float64", _NUMBERS), ("bool", _FLAGS)) for c in names}


@dataclass
class RuptureResult:
    """Tables, estimates and the flow of one study; the tables are empty but typed where there is nothing to tell.

    ``episodes``: one row a rupture and criterion; ``clients``: one row a client, treatment and criterion; ``series``: one
    row a rated session, under the primary criterion; ``outcomes``: one row a client, under the primary criterion.
    """

    episodes: pd.DataFrame = field(default_factory=lambda: _table(STUDY_EPISODE_COLUMNS))
    clients: pd.DataFrame = field(default_factory=lambda: _table(CLIENT_COLUMNS))
    series: pd.DataFrame = field(default_factory=lambda: _table(SERIES_COLUMNS))
    outcomes: pd.DataFrame = field(default_factory=lambda: _table(OUTCOME_COLUMNS))
    estimates: list[Estimate] = field(default_factory=list)
    flow: Flow = field(default_factory=Flow)


def analyse_ruptures(
    scores: pd.DataFrame,
    sessions: pd.DataFrame,
    treatments: pd.DataFrame,
    *,
    settings: Mapping[str, Any] | None,
    criteria: Mapping[str, Mapping[str, Any]],
    instruments: Instruments,
    rng: np.random.Generator,
    ci_level: float = CI_LEVEL,
) -> RuptureResult:
    """Answer a study's questions about ruptures.

    Parameters
    ----------
    scores, sessions, treatments : frames
        Canonical tables.
    settings : dict or None
        The study's ``rupture`` block; without it every table is empty and the estimates say why.
    criteria : dict
        Presets by name; the settings name those to use, the first of them primary.
    instruments : dict
        Instruments by key, for a score's direction and range.
    rng : Generator
        For the simulated noise.
    ci_level : float
        Confidence level.

    Raises
    ------
    ConfigError
        If the settings name a score, column or criterion that does not exist, an alliance score that is higher where
        the alliance is worse, or an outcome without a direction.
    DataError
        If the ratings are not usable.
    """
    result = RuptureResult()
    if settings is None:
        return _silent(result, NO_RATINGS)
    chosen = _chosen(settings, criteria)
    alliance = str(settings["alliance"])
    lowest = lowest_rating(alliance, instruments)
    ratings = alliance_ratings(scores, sessions, treatments, alliance=alliance, rater=settings.get("rater", "self"))
    series = read_series(ratings, score="rating")
    result.flow.add("rupture: rated sessions", len(ratings), len(series.values), "no rating", unit="sessions")
    if not len(series.values):
        return _silent(result, f"{NO_RATINGS} ({alliance})")

    found = [detect(series, criterion) for criterion in chosen]
    by = therapists(series, treatments)
    tables = [client_summary(series, d, primary=i == 0, therapists=by) for i, d in enumerate(found)]
    episodes = episodes_frame(found)
    result.episodes = _table(STUDY_EPISODE_COLUMNS, episodes.assign(primary=episodes["criterion"] == chosen[0].name))
    result.clients = _table(CLIENT_COLUMNS, pd.concat(tables, ignore_index=True))
    result.series = _table(SERIES_COLUMNS, session_series(series, found[0]))
    for i, (d, clients) in enumerate(zip(found, tables, strict=True)):
        name, least = d.criterion.name, d.criterion.min_sessions
        n_assessable = int(d.assessable.sum())
        reason = f"fewer than {least} rated sessions, or too few of them adjacent"
        result.flow.add(f"rupture: assessable by {name}", len(clients), n_assessable, reason, unit="treatments")
        if n_assessable == 0:
            result.estimates.append(not_assessable(name, outcome=alliance, reason=f"no client is assessable: {reason}"))
            continue
        result.estimates += prevalence(clients, d, outcome=alliance, lowest=lowest, ci_level=ci_level)
        result.estimates.append(
            expected_on_noise(series, d.criterion, rng=rng, outcome=alliance, primary=i == 0, ci_level=ci_level)
        )
    _relate(result, tables, found, scores=scores, settings=settings, instruments=instruments, ci_level=ci_level)
    return result


def _relate(
    result: RuptureResult,
    tables: list[pd.DataFrame],
    found: list[Detection],
    *,
    scores: pd.DataFrame,
    settings: Mapping[str, Any],
    instruments: Instruments,
    ci_level: float,
) -> None:
    """Add the outcome contrasts of every criterion, and the table behind those of the primary one."""
    outcome = settings.get("outcome")
    if not outcome:
        result.estimates.append(not_testable(OUTCOME, "no outcome score is named (rupture, key outcome)"))
        return
    better = higher_is_better(outcome, instruments)
    ends = outcome_scores(scores, outcome=outcome, baseline=settings.get("baseline", "first"), end=settings.get("end", "last"))
    for i, (clients, d) in enumerate(zip(tables, found, strict=True)):
        one = _one_treatment(clients)
        joined = one.merge(ends, how="left", left_on="client", right_index=True)
        known = joined[["pre", "post"]].notna().all(axis=1)
        if i == 0:
            result.outcomes = _table(OUTCOME_COLUMNS, joined)
            reason = "a client's outcome is counted once, with the treatment that has most rated sessions"
            result.flow.add("rupture: one treatment a client", len(clients), len(one), reason, unit="treatments")
            result.flow.add(
                "rupture: outcome known", len(joined), int(known.sum()), f"no {outcome} at start or end", unit="clients"
            )
        if not known.any():
            reason = f"no client has both alliance ratings and {outcome} at start and end"
            result.estimates.append(not_assessable(d.criterion.name, outcome=outcome, reason=reason, analysis=OUTCOME))
            continue
        result.estimates += repair_effect(
            joined, outcome=outcome, higher_is_better=better, definition=d.criterion.name, primary=i == 0, ci_level=ci_level
        )


def _chosen(settings: Mapping[str, Any], criteria: Mapping[str, Mapping[str, Any]]) -> list[Criterion]:
    """Return the criteria the settings name, in their order."""
    for name in settings["criteria"]:
        if name not in criteria:
            what = f"no criterion {name!r}; allowed: {', '.join(criteria)}.{did_you_mean(name, criteria)}"
            raise ConfigError(problem("rupture, key criteria", what))
    return as_criteria({name: criteria[name] for name in settings["criteria"]})


def _one_treatment(clients: pd.DataFrame) -> pd.DataFrame:
    """Keep each client's treatment with the most rated sessions, since the outcome is the client's."""
    order = clients.sort_values(["client", "n_sessions", "treatment_id"], ascending=[True, False, True], kind="stable")
    return order.drop_duplicates("client").reset_index(drop=True)


def _silent(result: RuptureResult, reason: str) -> RuptureResult:
    result.estimates = [not_testable(PREVALENCE, reason), not_testable(OUTCOME, reason)]
    return result


def _table(columns: list[str], frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the frame with fixed columns and types; empty without one."""
    frame = pd.DataFrame(columns=columns) if frame is None else frame[columns].reset_index(drop=True)
    return frame.astype({c: _TYPES[c] for c in columns})

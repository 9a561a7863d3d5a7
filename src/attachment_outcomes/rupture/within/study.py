"""All that a study asks about sessions within clients: alliance and symptoms, states of rupture, attachment, and breaks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConfigError, StatisticsError, problem
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.steps import Part, stacked
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.inputs import higher_is_better
from attachment_outcomes.rupture.series import Numbers, read_series
from attachment_outcomes.rupture.within import breaks
from attachment_outcomes.rupture.within.lagged import ANALYSIS, Question, next_session, questions, usable
from attachment_outcomes.rupture.within.moderation import DIMENSIONS, attachment_of, moderated_by_attachment, moderated_by_break
from attachment_outcomes.rupture.within.panel import Panel, panel_of
from attachment_outcomes.rupture.within.regression import within
from attachment_outcomes.rupture.within.states import repair_next_session

NO_SYMPTOMS = "no session-by-session symptoms are named (rupture, key symptoms)"
WEEKS = 2.0
BINS = 10
# Tenths of the pairs of sessions by the predictor's deviation from the client's mean.
TABLES = {
    "alliance_within_bins": {
        "predictor": "str", "outcome": "str", "bin": "Int64", "predictor_deviation": "float64", "outcome_deviation": "float64",
        "std_error": "float64", "n_pairs": "Int64", "n_clients": "Int64",
    }
}  # fmt: skip
BREAK_TABLES = {"session_breaks": breaks.TABLE_COLUMNS}


def read_panel(data: RuptureData) -> Panel:
    """Return a study's sessions with alliance, symptoms (where the study names them) and weeks between sessions.

    Raises
    ------
    StatisticsError
        If there are no alliance ratings.
    DataError
        If ratings are not usable.
    """
    name = data.settings.get("symptoms")
    symptoms = read_series(data.session_values(str(name)), score="value") if name else None
    return panel_of(data.series, symptoms, data.tables["sessions"], data.therapists)


def read_attachment(data: RuptureData, panel: Panel) -> Numbers:
    """Return both dimensions of each unit at the start, (g, 2), in SDs.

    Raises
    ------
    StatisticsError
        If the study names none, or nobody has both.
    """
    named = data.settings.get("attachment") or {}
    if not all(named.get(d) for d in DIMENSIONS):
        raise StatisticsError("no scores of attachment anxiety and avoidance are named (rupture, key attachment)")
    z = attachment_of(panel, {d: data.baseline_scores(str(named[d])) for d in DIMENSIONS})
    if not np.isfinite(z).all(axis=1).any():
        raise StatisticsError("no client has ratings of sessions and both attachment scores at the baseline wave")
    return z


def asked(data: RuptureData, panel: Panel) -> list[Question]:
    """Return both directions: alliance before symptoms, symptoms before alliance.

    Raises
    ------
    StatisticsError
        If the study names no symptoms.
    """
    if not data.settings.get("symptoms"):
        raise StatisticsError(NO_SYMPTOMS)
    name = str(data.settings["symptoms"])
    better = higher_is_better(name, data.instruments) if "." in name else bool(data.settings.get("symptoms_higher_is_better"))
    return questions(panel, alliance=data.alliance, symptoms=name, symptoms_higher_is_better=better)


def analyse(data: RuptureData) -> Part:
    """Return what alliance, rupture and repair go with in the next session, both ways, by attachment and across breaks."""
    panel = read_panel(data)
    both = asked(data, panel)
    forward = both[0]
    _count(data, panel, forward)
    rows: list[Estimate] = []
    for question in both:
        try:
            rows += next_session(panel, question, ci_level=data.ci_level)
        except StatisticsError as error:
            rows.append(not_testable(ANALYSIS, str(error), outcome=question.outcome))
    for i, found in enumerate(data.detections):
        rows += repair_next_session(panel, found, forward, primary=i == 0, ci_level=data.ci_level)
    try:
        rows += moderated_by_attachment(panel, forward, read_attachment(data, panel), ci_level=data.ci_level)
    except StatisticsError as error:
        rows.append(replace(not_testable(ANALYSIS, str(error), outcome=forward.outcome), definition="moderation by attachment"))
    rows += moderated_by_break(panel, forward, _weeks(data), ci_level=data.ci_level)
    tables = {"alliance_within_bins": stacked((bins(panel, q) for q in both), TABLES["alliance_within_bins"])}
    return Part(rows, tables)


def analyse_breaks(data: RuptureData) -> Part:
    """Return the change of alliance and symptoms across breaks, and how it goes with attachment."""
    panel, weeks = read_panel(data), _weeks(data)
    if not np.isfinite(panel.gap).any():
        raise StatisticsError("no weeks between sessions are known (sessions table, gap_weeks or week)")
    rows: list[Estimate] = []
    z: Numbers | None = None
    try:
        z = read_attachment(data, panel)
    except StatisticsError as error:
        rows.append(replace(not_testable(breaks.ANALYSIS, str(error)), definition="by attachment"))
    ratings: list[tuple[str, Numbers, str]] = [(data.alliance, panel.alliance, "higher is better")]
    if data.settings.get("symptoms"):
        forward = asked(data, panel)[0]
        ratings.append((forward.outcome, panel.symptoms, forward.direction))
    else:
        rows.append(not_testable(breaks.ANALYSIS, NO_SYMPTOMS, outcome="symptoms"))
    parts = []
    for name, rating, direction in ratings:
        rows += breaks.breaks_by_attachment(
            panel, rating, z, outcome=name, direction=direction, weeks=weeks, ci_level=data.ci_level
        )
        parts.append(breaks.breaks_table(panel, rating, z, outcome=name, weeks=weeks))
    return Part(rows, {"session_breaks": stacked(parts, breaks.TABLE_COLUMNS)})


def bins(panel: Panel, question: Question) -> pd.DataFrame:
    """Return tenths of the pairs of adjacent sessions by the predictor's deviation from the client's mean, with the mean deviation
    of the next session's outcome (standard error from pairs taken as independent).
    """
    pairs = usable(panel, question, 1, own=False)
    if len(pairs.now) < BINS:
        return pd.DataFrame()
    x, y = within(question.predictor[pairs.now], pairs.unit), within(question.target[pairs.then], pairs.unit)
    order = np.argsort(x, kind="stable")
    tenth = np.empty(len(x), dtype=np.int64)
    tenth[order] = np.arange(len(x)) * BINS // len(x) + 1
    frame = pd.DataFrame({"bin": tenth, "x": x, "y": y, "person": panel.person[pairs.unit]})
    table = frame.groupby("bin").agg(
        predictor_deviation=("x", "mean"), outcome_deviation=("y", "mean"), std_error=("y", "sem"), n_pairs=("y", "size"),
        n_clients=("person", "nunique"),
    ).reset_index()  # fmt: skip
    return table.assign(predictor=question.predictor_name, outcome=question.outcome)


def _count(data: RuptureData, panel: Panel, question: Question) -> None:
    rated = int(np.isfinite(question.predictor).sum())
    used = usable(panel, question, 1, own=True)
    data.count(
        "alliance within clients: pairs of sessions", rated, len(used.now),
        "no adjacent next session with both ratings, or the client's only pair", unit="sessions",
    )  # fmt: skip


def _weeks(data: RuptureData) -> float:
    named: Any = (data.settings.get("breaks") or {}).get("weeks", WEEKS)
    if not isinstance(named, int | float) or named <= 0:
        raise ConfigError(problem("rupture, key breaks", f"weeks is {named!r}; allowed: a number above 0."))
    return float(named)

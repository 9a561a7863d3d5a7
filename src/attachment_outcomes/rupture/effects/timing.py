"""What of the contrasts is time? A study's whole-treatment contrasts, those from landmarks on, and leaving early by state.

The whole-treatment contrasts stand beside the landmark ones to be compared with them: where they differ, time that clients had to
stay for a rupture or a repair to happen (immortal time) is one reason.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.steps import Part
from attachment_outcomes.rupture.criteria import Detection
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.effects.contrasts import PAIRS, contrast_rows, fitted
from attachment_outcomes.rupture.effects.landmark import TIMING, groups_at, landmark_contrasts
from attachment_outcomes.rupture.effects.leaving import leaving_odds
from attachment_outcomes.rupture.effects.states import running_states
from attachment_outcomes.rupture.effects.study import FIRST, THERAPIST, adjustment, with_first_rating
from attachment_outcomes.rupture.inputs import therapists
from attachment_outcomes.rupture.summary import not_assessable

LANDMARKS = (4, 8, 12)
WHOLE, WITH_SESSIONS = "whole treatment", "whole treatment, adjusted for sessions"
ENDING = "ending early"
DROPPED, NOT_AT_RISK = "dropped out", ("completed", "referred on", "ongoing")
TABLES = {
    # A row a band of sessions (from session_number on) and state: clients' sessions, and clients.
    "rupture_states": {"session_number": "int64", "state": "str", "n": "int64", "n_clients": "int64"},
}
BAND = 4  # sessions counted together, so that few counts are too small to be shown


def analyse(data: RuptureData) -> Part:
    """Return whole-treatment and landmark contrasts of every criterion, and leaving by state under the primary one."""
    detections = data.detections
    rows: list[Estimate] = []
    try:
        baseline: pd.Series | None = data.ends["pre"]
        for i, (clients, found) in enumerate(zip(data.clients, detections, strict=True)):
            rows += _whole(data, data.with_outcome(clients), found.criterion.name)
            rows += _landmarks(data, found, primary=i == 0)
    except StatisticsError as error:  # without an outcome, who leaves can still be told
        baseline, rows = None, [not_testable(TIMING, str(error))]
    leaving, table = _leaving(data, detections[0], baseline)
    return Part([*rows, *leaving], {"rupture_states": table})


def _whole(data: RuptureData, clients: pd.DataFrame, criterion: str) -> list[Estimate]:
    """Return the contrasts that take the groups as known from the start, with and without the number of sessions."""
    rows: list[Estimate] = []
    for group, adjust in ((WHOLE, ("pre",)), (WITH_SESSIONS, ("pre", "n_sessions"))):
        refused = partial(not_assessable, criterion, outcome=data.outcome, analysis=TIMING)
        try:
            compared, model = fitted(clients, adjust=adjust, cluster=THERAPIST, drop_small=True)
        except StatisticsError as error:
            rows.append(replace(refused(reason=str(error)), group=group))
            continue
        rows += contrast_rows(
            compared, model, higher_is_better=data.higher_is_better, ci_level=data.ci_level, names=PAIRS, analysis=TIMING,
            outcome=data.outcome, definition=criterion, group=group, primary=False, more="shown to be compared with the landmarks",
        )  # fmt: skip
    return rows


def _landmarks(data: RuptureData, found: Detection, *, primary: bool) -> list[Estimate]:
    """Return the contrasts from each landmark on."""
    adjust = [c for c in adjustment(data) if c != "n_sessions"]
    series = data.series_of(found.criterion)
    own = therapists(series, data.tables["treatments"])
    ends = data.ends
    when = end_sessions(data)
    rows: list[Estimate] = []
    for session in data.settings.get("landmarks", LANDMARKS):
        at = groups_at(series, found.criterion, int(session), therapists=own)
        if FIRST in adjust:  # of the same treatment as the group, also where a client has several
            at = replace(at, clients=with_first_rating(data, at.clients))
        later = ends if when is None else ends.assign(post=ends["post"].where(when.reindex(ends.index) > session))
        rows += landmark_contrasts(
            at, later, outcome=data.outcome, higher_is_better=data.higher_is_better, adjust=adjust,
            definition=found.criterion.name, primary=primary, ci_level=data.ci_level,
        )  # fmt: skip
    return rows


def end_sessions(data: RuptureData) -> pd.Series | None:
    """Return the session of each person's end score where the outcome is measured at sessions; None where it is at waves."""
    instrument, scale = data.outcome.split(".", 1)
    scores = data.tables["scores"]
    rows = scores[(scores["instrument"] == instrument) & (scores["scale"] == scale) & (scores["rater"] == "self")]
    rows = rows[rows["score"].notna()]
    if rows["wave"].notna().any():
        return None
    end = data.settings.get("end", "last")
    if end not in ("first", "last"):
        rows = rows[rows["session_number"] == end]
    return rows.groupby("person_id")["session_number"].agg("min" if end == "first" else "max").astype("float64")


def _leaving(data: RuptureData, found: Detection, baseline: pd.Series | None) -> tuple[list[Estimate], pd.DataFrame]:
    """Return leaving early by state, given the score before if there is one, and how many were in which state when."""
    series = data.series_of(found.criterion)
    states = running_states(series, found.criterion)
    name = found.criterion.name
    clients = series.clients.assign(therapist_id=therapists(series, data.tables["treatments"]))
    ends = data.tables["treatments"][["person_id", "treatment_id", "end_reason"]].rename(columns={"person_id": "client"})
    clients = clients.merge(ends, how="left", on=["client", "treatment_id"])
    clients = clients.assign(pre=float("nan")) if baseline is None else clients.join(baseline, on="client")
    rows = states.merge(clients, how="left", left_on="series", right_index=True)
    known = rows["end_reason"].isin([DROPPED, *NOT_AT_RISK])
    people = clients["end_reason"].notna()
    data.count(
        "rupture: end of treatment known", len(clients), int(people.sum()), "nobody says how the treatment ended", unit="treatments"
    )
    # After the last session of a treatment that was completed nobody can leave early any more.
    at_risk = known & ~(rows["last"] & (rows["end_reason"] != DROPPED))
    rows = rows.assign(left=(rows["last"] & (rows["end_reason"] == DROPPED)).astype(float))
    banded = rows.assign(session_number=(rows["session_number"] - 1) // BAND * BAND + 1)
    counts = banded.groupby(["session_number", "state"], as_index=False).agg(n=("state", "size"), n_clients=("client", "nunique"))
    if not rows.loc[at_risk, "left"].any():
        reason = "no treatment is known to have ended early while the criterion could be applied (treatments, column end_reason)"
        row = not_assessable(name, outcome=ENDING, reason=reason, analysis=TIMING)
        return [replace(row, group="leaving")], counts
    adjust = ["pre"] if rows.loc[at_risk, "pre"].notna().any() else []
    return leaving_odds(rows[at_risk], adjust=adjust, definition=name, primary=True, ci_level=data.ci_level), counts

"""All that a study asks of observers: whether coders agree, what they see, and what others say of the same sessions."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.steps import Part
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.observer.coders import CODES, code_table, coded_twice, reliability
from attachment_outcomes.rupture.observer.codings import RUPTURE_RATINGS, SESSION
from attachment_outcomes.rupture.observer.occurrence import OBSERVER, Seen, observed_sessions, occurrence
from attachment_outcomes.rupture.observer.others import REPORTS, beside_others, leaving, with_attachment
from attachment_outcomes.rupture.summary import inside_episodes, not_assessable

RUPTURE_FROM = 3.0  # rating from which a session counts as one with a rupture; 2 is in use too
RESOLVED_FROM = 3.0
EARLY = 6  # sessions; the published associations with dropping out are of early ones
TABLES = {"observer_codes": CODES}


def analyse(data: RuptureData) -> Part:
    """Return the agreement of coders, what observers saw, and what clients, therapists and the primary criterion say of it."""
    settings: dict[str, Any] = {**(data.settings.get("observer") or {})}
    observed = data.observed
    if observed is None:
        return Part([not_testable(OBSERVER, "no coding system is named (rupture, key observer)")])
    sessions, given = data.tables["sessions"], data.tables.get("observations")
    system, codings = observed.system, observed.codings
    frame = observed_sessions(sessions, observed.rated)
    if not len(frame) and not len(codings):
        return Part([not_testable(OBSERVER, "no session was coded or rated by an observer")])
    rows: list[Estimate] = []
    if len(codings):
        n_given = 0 if given is None else len(given)
        data.count("observer: codings", n_given, len(codings), "no value", unit="codings")
        n_coded, n_twice = coded_twice(codings)
        data.count("observer: sessions coded by two", n_coded, n_twice, "coded by one coder only", unit="sessions")
        rows += reliability(codings, system, ci_level=data.ci_level)
    else:
        rows.append(not_assessable("coders", outcome="", reason="nobody says who coded: no codings by coder", analysis=OBSERVER))
    limits = {"rupture_from": RUPTURE_FROM, "resolved_from": RESOLVED_FROM, "early": EARLY}
    seen = Seen(frame, **{key: settings.get(key, value) for key, value in limits.items()}, ci_level=data.ci_level)
    n_rated = int(frame[list(RUPTURE_RATINGS)].notna().any(axis=1).sum())
    data.count("observer: rated sessions", max(len(sessions), n_rated), n_rated, "no observer rated them", unit="sessions")
    rows += occurrence(seen)
    rows += beside_others(seen, _others(data))
    rows += with_attachment(seen, _attachment(data))
    rows += leaving(seen, data.tables["treatments"], system.ratings, system.published)
    return Part(rows, {"observer_codes": code_table(codings, system)} if len(codings) else {})


def _others(data: RuptureData) -> dict[str, pd.DataFrame]:
    """Return what else is known of sessions: reports, and whether they lie in a rupture by the primary criterion."""
    sessions = data.tables["sessions"]
    found = {
        title: sessions[SESSION].assign(rupture=sessions[column])
        for column, title in REPORTS.items()
        if sessions[column].notna().any()
    }
    try:
        primary = data.detections[0]
    except StatisticsError:
        return found  # nothing is found in alliance ratings; that is told under prevalence
    if set(primary.criterion.reads) & set(RUPTURE_RATINGS):
        return found  # the criterion is the observer's own rating
    clients = primary.series.clients.iloc[primary.series.group].reset_index(drop=True)
    flags = pd.Series(inside_episodes(primary)).where(primary.signal.assessable[primary.series.group])
    found[primary.criterion.title or primary.criterion.name] = pd.DataFrame(
        {
            "person_id": clients["client"],
            "treatment_id": clients["treatment_id"],
            "session_number": pd.array(primary.series.sessions, dtype="Int64"),
            "rupture": flags,
        }
    )
    return found


def _attachment(data: RuptureData) -> dict[str, pd.Series]:
    named = data.settings.get("attachment") or {}
    return {dimension: data.baseline_scores(str(score)) for dimension, score in named.items() if score}

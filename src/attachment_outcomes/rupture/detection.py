"""How common are ruptures under each criterion, and how common would they be if nothing had happened?"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from attachment_outcomes.inference.estimate import Estimate
from attachment_outcomes.inference.steps import Part
from attachment_outcomes.rupture.against_noise import above_noise
from attachment_outcomes.rupture.aligned import reads_report
from attachment_outcomes.rupture.criteria import EPISODE_COLUMNS, Detection, episodes_frame
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.noise import Scale, found_on_noise, noise_rows, scale_of
from attachment_outcomes.rupture.summary import CLIENT_COLUMNS, SERIES_COLUMNS, not_assessable, prevalence, session_series

NOISE, BOUNDED = "noise", "within the scale"
_WORDS = ("client", "treatment_id", "therapist_id", "criterion", "outcome", "group", "pattern")
_WHOLE = (
    "onset", "nadir", "recovered_at", "length", "duration", "session_number", "n_sessions", "n_ruptures", "n_repaired",
    "n_unrepaired",
)  # fmt: skip
_NUMBERS = ("depth", "rate", "share_repaired", "mean_depth", "time_in_rupture", "score", "center", "lower_limit")
_FLAGS = ("primary", "in_episode")
_TYPES = {c: kind for kind, names in (("str", _WORDS), ("Int64", _WHOLE), ("float64", _NUMBERS), ("bool", _FLAGS)) for c in names}
# A row a rupture and criterion; a row a client, treatment and criterion; a row a rated session under the primary criterion.
TABLES = {
    "episodes": {c: _TYPES[c] for c in [*EPISODE_COLUMNS[:3], "primary", *EPISODE_COLUMNS[3:]]},
    "rupture_clients": {c: _TYPES[c] for c in CLIENT_COLUMNS},
    "rupture_series": {c: _TYPES[c] for c in SERIES_COLUMNS},
}


def analyse(data: RuptureData) -> Part:
    """Return the episodes of every criterion, who had them, how often, and how often pure noise would show one."""
    episodes = episodes_frame(data.detections)
    rows: list[Estimate] = []
    for found, clients in zip(data.detections, data.clients, strict=True):
        name, least = found.criterion.name, found.criterion.min_sessions
        n_assessable = int(found.assessable.sum())
        reason = f"fewer than {least} rated sessions, or too few of them adjacent"
        data.count(f"rupture: assessable by {name}", len(clients), n_assessable, reason, unit="treatments")
        if n_assessable == 0:
            rows.append(not_assessable(name, outcome=data.alliance, reason=f"no client is assessable: {reason}"))
            continue
        rows += prevalence(clients, found, outcome=data.alliance, lowest=data.lowest, ci_level=data.ci_level)
        rows += _beside_noise(data, found, clients)
    rows += [not_assessable(name, outcome=data.alliance, reason=reason) for name, reason in data.unread.items()]
    first = data.detections[0]
    tables = {
        "episodes": episodes.assign(primary=episodes["criterion"] == data.chosen[0].name),
        "rupture_clients": pd.concat(data.clients, ignore_index=True),
        "rupture_series": session_series(data.series_of(first.criterion), first),
    }
    return Part(rows, tables)


def _beside_noise(data: RuptureData, found: Detection, clients: pd.DataFrame) -> list[Estimate]:
    """Return what the criterion finds in noise, and the observed numbers less these; on the bounded scale too where it is known."""
    criterion, outcome, ci_level = found.criterion, data.alliance, data.ci_level
    if reads_report(criterion):
        reason = "pure noise has no reports to judge, so there is nothing to hold reported ruptures against"
        return [replace(not_assessable(criterion.name, outcome=outcome, reason=reason), group=NOISE)]
    rows: list[Estimate] = []
    primary = bool(clients["primary"].all())
    for kind, scale in (("", None), (BOUNDED, _scale(data))):
        if kind and scale is None:
            continue
        noise = found_on_noise(data.series, criterion, rng=data.rng("noise", criterion.name, kind), scale=scale)
        note = "" if scale is None else f"; {scale.words}"
        found_rows = [
            *noise_rows(noise, criterion.name, outcome=outcome, group=kind, primary=primary and not kind, ci_level=ci_level),
            *above_noise(clients, noise, outcome=outcome, group=kind, ci_level=ci_level),
        ]
        rows += [replace(row, note=row.note + note) for row in found_rows]
    return rows


def _scale(data: RuptureData) -> Scale | None:
    """Return the ends and the step of the rating where its range is known."""
    low, high = data.rating.low, data.rating.high
    return None if low is None or high is None else scale_of(data.series.values, low, high)

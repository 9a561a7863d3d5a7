"""How common are ruptures under each criterion, and how common would they be if nothing had happened?"""

from __future__ import annotations

import pandas as pd

from attachment_outcomes.inference.estimate import Estimate
from attachment_outcomes.inference.steps import Part
from attachment_outcomes.rupture.criteria import EPISODE_COLUMNS, episodes_frame
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.noise import expected_on_noise
from attachment_outcomes.rupture.summary import CLIENT_COLUMNS, SERIES_COLUMNS, not_assessable, prevalence, session_series

_WORDS = ("client", "treatment_id", "therapist_id", "criterion", "outcome", "group")
_WHOLE = ("onset", "nadir", "recovered_at", "length", "session_number", "n_sessions", "n_ruptures", "n_repaired")
_NUMBERS = ("depth", "rate", "score", "center", "lower_limit")
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
    for i, (found, clients) in enumerate(zip(data.detections, data.clients, strict=True)):
        name, least = found.criterion.name, found.criterion.min_sessions
        n_assessable = int(found.assessable.sum())
        reason = f"fewer than {least} rated sessions, or too few of them adjacent"
        data.count(f"rupture: assessable by {name}", len(clients), n_assessable, reason, unit="treatments")
        if n_assessable == 0:
            rows.append(not_assessable(name, outcome=data.alliance, reason=f"no client is assessable: {reason}"))
            continue
        rows += prevalence(clients, found, outcome=data.alliance, lowest=data.lowest, ci_level=data.ci_level)
        rows.append(
            expected_on_noise(
                data.series, found.criterion, rng=data.rng("noise", name), outcome=data.alliance, primary=i == 0,
                ci_level=data.ci_level,
            )
        )  # fmt: skip
    tables = {
        "episodes": episodes.assign(primary=episodes["criterion"] == data.chosen[0].name),
        "rupture_clients": pd.concat(data.clients, ignore_index=True),
        "rupture_series": session_series(data.series, data.detections[0]),
    }
    return Part(rows, tables)

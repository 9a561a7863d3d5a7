"""What goes with what from session to session within clients, across breaks, and between therapists."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.stand_in import warning
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table
from attachment_outcomes.present.words import outcome_title, plain

NEEDS = ("estimates",)
ANALYSES = ("alliance_within", "session_breaks", "therapist_repair")
NAMES = {
    "within_next_session": "per point in this session, within clients",
    "rupture_next_session": "after a session in rupture",
    "repair_next_session": "after a session of repair",
    "repair_minus_rupture": "after a repair, against after a rupture",
    "across_break": "after a break, against after ordinary sessions",
    "break_by_anxiety": "the same, per SD of attachment anxiety",
    "break_by_avoidance": "the same, per SD of attachment avoidance",
    "share_repaired": "ruptures repaired, of those whose end was seen",
    "therapist_variance": "variance between therapists, log odds",
    "median_odds_ratio": "median odds ratio of two therapists",
    "expected_low": "lowest share expected of 95 % of therapists",
    "expected_high": "highest share expected of 95 % of therapists",
}
ORDER = list(NAMES)


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return the primary rows of sessions within clients, of breaks and of therapists."""
    found = [r for name in ANALYSES for r in rows_of(tables["estimates"], analysis=name)]
    rows = [r for r in found if r["primary"] and r["estimand"] in ORDER and not r["group"]]
    rows.sort(key=lambda r: (_group(r, settings), ORDER.index(str(r["estimand"]))))
    return estimate_table(
        rows,
        settings,
        name="next_session",
        title="From session to session",
        group=lambda r: _group(r, settings),
        label=lambda r: NAMES.get(str(r["estimand"]), estimand_name(r)),
        notes=[
            warning(settings),
            "Within clients: a session against the client's own other sessions, given this session's level and the client's own "
            "trend; free of the bias that a client's own mean brings in. Associations, not effects",
        ],
        empty="No rating of symptoms session by session is named, and no therapists.",
    )


def _group(row: Row, settings: dict[str, Any]) -> str:
    if row["analysis"] == "therapist_repair":
        return f"Therapists: repair by {plain(str(row['definition']))}"
    outcome = outcome_title(str(row["outcome"]), settings) or plain(str(row["outcome"]))
    return f"{'Breaks' if row['analysis'] == 'session_breaks' else 'Next session'}: {outcome}"

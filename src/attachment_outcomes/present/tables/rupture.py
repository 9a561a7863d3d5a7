"""Ruptures and repairs by criterion, and outcome by group."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table
from attachment_outcomes.present.words import outcome_title, plain

NEEDS = ("estimates",)
ORDER = [
    "share_with_rupture",
    "expected_on_noise",
    "rate_per_session",
    "share",
    "repaired_minus_none",
    "unrepaired_minus_none",
    "repaired_minus_unrepaired",
    "none_minus_any",
    "repair_minus_avoidance",
]


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return how often each criterion finds ruptures, beside noise, and the adjusted differences in outcome."""
    rows = rows_of(tables["estimates"], analysis="rupture_prevalence") + rows_of(tables["estimates"], analysis="rupture_outcome")
    rows = [r for r in rows if r["estimand"] in ORDER]
    rows.sort(key=lambda r: (not r["primary"], str(r["definition"]), ORDER.index(str(r["estimand"])), str(r["group"])))
    return estimate_table(
        rows,
        settings,
        name="rupture",
        title="Ruptures, repairs and outcome",
        group=lambda r: plain(str(r["definition"])) + (" (primary)" if r["primary"] else ""),
        label=lambda r: _label(r, settings),
        notes=[
            "Differences are adjusted for the score before treatment; they are associations, not effects, "
            "since longer treatments have more chances of a rupture and of a repair",
            "A rupture in the last rated session cannot be told repaired or unrepaired and is left out of both groups",
        ],
        empty="No ruptures were looked for, or none could be found.",
    )


def _label(row: Row, settings: dict[str, Any]) -> str:
    if row["estimand"] == "share":
        return f"clients with {row['group']} ruptures" if row["group"] != "none" else "clients with none"
    if row["analysis"] == "rupture_outcome":
        return f"{outcome_title(str(row['outcome']), settings)}: {estimand_name(row)}".removeprefix(": ")
    return estimand_name(row)

"""Reliable and clinically significant change, by outcome and definition."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table
from attachment_outcomes.present.words import CATEGORIES, outcome_title

NEEDS = ("estimates",)
ORDER = [
    "share",
    "crossed_without_reliable_change",
    "reliably_improved",
    "improved_expected_without_change",
    "mean_change",
    "standardised_change",
    "cutoff_a",
    "cutoff_b",
    "cutoff_c",
    "cutoff",
    "reliable_change_threshold",
]


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return shares of each category, mean changes, cutoffs and thresholds, the primary definition first."""
    rows = rows_of(tables["estimates"], analysis="reliable_change")
    rows = [r for r in rows if r["estimand"] in ORDER]
    rows.sort(
        key=lambda r: (
            str(r["outcome"]),
            not r["primary"],
            str(r["definition"]),
            ORDER.index(str(r["estimand"])),
            CATEGORIES.index(str(r["group"])) if r["group"] in CATEGORIES else len(CATEGORIES),
        )
    )
    return estimate_table(
        rows,
        settings,
        name="reliable_change",
        title="Reliable and clinically significant change",
        group=lambda r: f"{outcome_title(str(r['outcome']), settings)}, {_definition(r)}",
        label=lambda r: str(r["group"]) if r["estimand"] == "share" else estimand_name(r),
        notes=[
            "Reliable change: larger than measurement error alone would show in 19 of 20 unchanged people",
            "Recovered: reliably improved and moved from the clinical to the functional range; harmed: the reverse",
            "Who crossed the cutoff towards the functional range without reliable change is among the unchanged",
            "A change over therapy is not shown to be an effect of therapy without a comparison group",
        ],
        empty="No change was assessed.",
    )


def _definition(row: Row) -> str:
    if not row["definition"]:
        return "mean"
    return f"{row['definition']} (primary)" if row["primary"] else str(row["definition"])

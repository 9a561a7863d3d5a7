"""Couples: recovery, how alike partners are, and what recovery leaves insecure."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table
from attachment_outcomes.present.words import outcome_title

NEEDS = ("estimates",)
ANALYSES = {
    "couple_recovery": "Recovery of couples",
    "couple_individual": "Individual patterns after recovery",
    "couple_concordance": "Classes of partners",
    "couple_correlation": "Scores of partners",
}


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return the estimates of the couple analyses, under a heading each."""
    order = list(ANALYSES)
    rows = [r for name in order for r in rows_of(tables["estimates"], analysis=name) if r["estimand"] != "not testable"]
    rows.sort(key=lambda r: (order.index(str(r["analysis"])), not r["primary"], str(r["definition"]), str(r["outcome"])))
    return estimate_table(
        rows,
        settings,
        name="couples",
        title="Couples",
        group=lambda r: f"{ANALYSES[str(r['analysis'])]}, {r['definition']}".removesuffix(", "),
        label=lambda r: _label(r, settings),
        notes=["The couple is the unit of recovery: its score is that of both partners together"],
        empty="There are no couples, or nothing was asked of them.",
    )


def _label(row: Row, settings: dict[str, Any]) -> str:
    about = ", ".join(p for p in (outcome_title(str(row["outcome"]), settings), str(row["group"])) if p)
    name = about if row["estimand"] == "correlation" else estimand_name(row)
    return name if row["estimand"] == "correlation" or not about else f"{name}: {about}"

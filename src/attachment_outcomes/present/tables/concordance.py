"""Correspondence of parents' and children's classes, by the way the classes are read."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import rows_of
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table
from attachment_outcomes.present.words import count

NEEDS = ("concordance", "estimates")
ORDER = [
    "agreement",
    "chance_agreement",
    "kappa",
    "phi",
    "cramers_v",
    "odds_ratio",
    "risk_difference",
    "risk_ratio",
    "interrupted",
    "correlation",
]


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return agreement, chance agreement, kappa and the measures of association of each way."""
    rows = rows_of(tables["estimates"], analysis="concordance")
    rows += rows_of(tables["estimates"], analysis="transmission_correlation")
    rows = [r for r in rows if r["estimand"] in ORDER]
    rows.sort(
        key=lambda r: (
            str(r["analysis"]),
            str(r["outcome"]),
            not r["primary"],
            str(r["definition"]),
            ORDER.index(str(r["estimand"])),
        )
    )
    table = tables["concordance"]
    sizes = [
        f"{system}, {way}: {'at least ' if part['n'].isna().any() else ''}{count(part['n'].sum())} pairs"
        for (system, way), part in table.groupby(["system", "way"], sort=False)
    ]
    return estimate_table(
        rows,
        settings,
        name="concordance",
        title="Correspondence between generations",
        group=lambda r: f"{r['outcome']}, {r['definition']}" + (" (primary)" if r["primary"] else ""),
        label=lambda r: f"correlation, {r['group']}" if r["estimand"] == "correlation" else estimand_name(r),
        notes=[
            "; ".join(sizes),
            "Agreement by chance is what the two distributions of classes give if they have nothing to do with each other",
        ],
        empty="No parents and children were compared.",
    )

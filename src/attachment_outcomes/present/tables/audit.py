"""Rates of the service, beside benchmarks."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table
from attachment_outcomes.present.words import first_upper, plain

NEEDS = ("estimates",)
RATES = ["recovery", "reliable_improvement", "reliable_recovery", "reliable_deterioration", "dropout", "completeness"]
UNITS = ("by therapist", "by site", "by provider", "by instrument and occasion")


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return each rate of the whole service, its earlier periods, and benchmarks; units are shown in the funnel."""
    rows = [r for r in rows_of(tables["estimates"], analysis="audit") if r["estimand"] in RATES and r["definition"] not in UNITS]
    rows.sort(key=lambda r: (RATES.index(str(r["estimand"])), r["definition"] == "benchmark", not r["primary"], str(r["group"])))
    unverified = any(r["definition"] == "benchmark" and r["note"] for r in rows)
    return estimate_table(
        rows,
        settings,
        name="audit",
        title="Rates of the service",
        group=lambda r: first_upper(estimand_name(r)),
        label=_label,
        notes=[
            "Recovery and reliable recovery are of those clinical at baseline, improvement and deterioration of all with both "
            "occasions, dropout of the treatments whose end is known",
            "A benchmark that was not verified against its source is marked" if unverified else "",
        ],
        empty="The study has no audit, or no rate could be computed.",
    )


def _label(row: Row) -> str:
    if row["definition"] == "benchmark":
        return f"benchmark: {row['group']}" + (" (not verified)" if row["note"] else "")
    return ", ".join(p for p in (plain(str(row["definition"])), str(row["group"])) if p)

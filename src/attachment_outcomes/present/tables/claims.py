"""The ledger: each claim, its verdict, and what speaks for it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, records
from attachment_outcomes.present.tabulate import Table, make_table
from attachment_outcomes.present.words import MISSING, count, plain, with_interval

NEEDS = ("claims",)


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return one row a claim."""
    lines = [
        {
            "claim": f"{row['claim']} {_text(row, 'text')}".strip(),
            "verdict": row["verdict"],
            "estimate": f"{plain(_text(row, 'estimand'))}: {with_interval(row)}".removeprefix(": ")
            if not pd.isna(row["estimate"])
            else "",
            "n": count(row["n"]) if not pd.isna(row["n"]) else MISSING,
            "rule": _text(row, "rule"),
            "what is missing, or to be kept in mind": _text(row, "missing") or _text(row, "note"),
        }
        for row in records(tables["claims"])
    ]
    return make_table(
        pd.DataFrame(lines),
        name="claims",
        title="Verdict on each claim",
        notes=[
            "Rules and estimands were fixed beforehand",
            "Inconclusive: the interval covers both answers; not testable: the data lack what the claim needs. Both are answers",
            "The bounds are those the claims quote",
        ],
        empty="There are no claims.",
    )


def _text(row: Row, column: str) -> str:
    value = row.get(column, "")
    return value if isinstance(value, str) else ""

"""Earned security and transitions, beside what measurement error alone gives."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table

NEEDS = ("estimates",)
ORDER = ["earned_security", "expected_without_change", "excess", "becomes_secure", "stays_secure", "agreement", "kappa"]
NAMES = {
    "earned_security": "insecure at baseline, secure at the end",
    "expected_without_change": "the same, if nobody had truly changed",
    "excess": "difference of the two",
    "agreement": "same class at both occasions",
}


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return earned security, what is expected of it without change, and transitions, by classification."""
    rows = rows_of(tables["estimates"], analysis="earned_security") + rows_of(tables["estimates"], analysis="transition")
    rows = [r for r in rows if r["estimand"] in (*ORDER, "bowker", "stuart_maxwell")]
    rows.sort(key=lambda r: (str(r["outcome"]), not r["primary"], _place(r)))
    return estimate_table(
        rows,
        settings,
        name="security",
        title="Earned security and transitions",
        group=lambda r: str(r["outcome"]) + (" (primary)" if r["primary"] else ""),
        label=lambda r: NAMES.get(str(r["estimand"]), estimand_name(r)),
        notes=[
            "Crossing a boundary between classes is not by itself a change of attachment: scores that are measured with error "
            "cross it without any, and those far from the mean return towards it",
        ],
        empty="No classes at two occasions.",
    )


def _place(row: Row) -> int:
    name = str(row["estimand"])
    return ORDER.index(name) if name in ORDER else len(ORDER)

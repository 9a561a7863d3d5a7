"""The flow of exclusions: who and what left the data, and why."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.tabulate import Table, make_table
from attachment_outcomes.present.words import SUPPRESSED, count, first_upper

NEEDS = ("flow",)


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return one row a step; a step that excluded nothing stays, for a zero is a finding."""
    lines = [
        {
            "step": first_upper(str(row["step"])),
            "unit": row["unit"],
            "in": count(row["n_in"]),
            "out": count(row["n_out"]),
            "left": _left(row["n_in"], row["n_out"]),
            "reason": row["reason"] if isinstance(row["reason"], str) else "",
        }
        for row in records(tables["flow"])
    ]
    return make_table(
        pd.DataFrame(lines),
        name="flow",
        title="Flow of exclusions",
        notes=["In and out: units that entered and left the step; left: units that stayed behind, for the reason given"],
        empty="No step was recorded.",
    )


def _left(n_in: float, n_out: float) -> str:
    return SUPPRESSED if pd.isna(n_in) or pd.isna(n_out) else count(n_in - n_out)

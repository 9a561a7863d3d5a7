"""What these data cannot answer, and why."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.inference.estimate import NOT_TESTABLE
from attachment_outcomes.present.lookup import rows_of
from attachment_outcomes.present.tabulate import Table, make_table
from attachment_outcomes.present.words import first_upper, outcome_title, plain

NEEDS = ("estimates",)


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return one row for each analysis that could not be done."""
    lines = [
        {
            "analysis": first_upper(plain(str(row["analysis"]))),
            "about": ", ".join(
                p for p in (outcome_title(plain(str(row["outcome"])), settings), str(row["group"]), str(row["definition"])) if p
            ),
            "reason": first_upper(str(row["note"])),
        }
        for row in rows_of(tables["estimates"], estimand=NOT_TESTABLE)
    ]
    return make_table(
        pd.DataFrame(lines),
        name="not_testable",
        title="What these data cannot answer",
        empty="Every analysis that the study asks for could be done.",
        notes=["An analysis that a study does not ask for is listed too, so that its absence is seen"],
    )

"""Change by each way of handling missing scores, side by side."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, estimate_table
from attachment_outcomes.present.words import outcome_title, plain

NEEDS = ("estimates",)
SHOWN = {"mean_change": "mean change", "reliably_improved": "reliably improved", "recovered": "recovered"}
ORDER = [
    "complete cases",
    "own last score of those seen twice",
    "last observation carried forward (comparison only)",
    "multiple imputation",
    "inverse-probability weights",
    "mixed model",
]
MODEL = "change_to_end"


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return mean change and shares of each outcome by each handling; the growth model's change beside them."""
    estimates = tables["estimates"]
    rows = [r for r in rows_of(estimates, analysis="missing_data") if r["estimand"] in SHOWN and r["group"] in ORDER]
    told = {r["outcome"] for r in rows}
    models = [r for r in rows_of(estimates, analysis="growth", estimand=MODEL) if r["outcome"] in told and not r["group"]]
    # Where several curves were fitted to an outcome, the first of the table is the one shown.
    first = {str(r["outcome"]): r for r in sorted(models, key=lambda r: (not r["primary"], str(r["definition"])), reverse=True)}
    rows += [{**r, "estimand": "mean_change", "group": "mixed model", "unit": "score points"} for r in first.values()]
    rows.sort(key=lambda r: (str(r["outcome"]), list(SHOWN).index(str(r["estimand"])), ORDER.index(str(r["group"]))))
    return estimate_table(
        rows,
        settings,
        name="missing",
        title="Change from the first occasion to the end, by how missing scores are handled",
        group=lambda r: _heading(r, settings),
        label=lambda r: str(r["group"]),
        notes=[
            "Complete cases presume that who is missing is so by chance",
            "Imputation, weights and the mixed model presume that it depends on what was seen only",
            "Carrying the last score forward presumes that nobody changes after leaving; it is shown for comparison only",
        ],
        empty="No way of handling missing scores could be applied.",
    )


def _heading(row: Row, settings: dict[str, Any]) -> str:
    return f"{outcome_title(str(row['outcome']), settings)}, {SHOWN.get(str(row['estimand']), plain(str(row['estimand'])))}"

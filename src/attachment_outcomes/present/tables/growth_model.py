"""Growth over treatment: the average course and how much people differ from it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import rows_of
from attachment_outcomes.present.tabulate import Table, estimate_table
from attachment_outcomes.present.words import outcome_title

NEEDS = ("estimates",)
NAMES = {
    "change_to_end": "change from the first to the last occasion",
    "slope": "mean slope",
    "intercept": "mean at baseline",
    "sd_intercept": "SD of people's baselines",
    "sd_slope": "SD of people's slopes",
}


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return the fixed effects and the spread of the random effects of each outcome's growth model."""
    order = list(NAMES)
    rows = [r for r in rows_of(tables["estimates"], analysis="growth") if r["estimand"] in NAMES]
    rows.sort(key=lambda r: (str(r["outcome"]), not r["primary"], str(r["definition"]), order.index(str(r["estimand"]))))
    return estimate_table(
        rows,
        settings,
        name="growth_model",
        title="Growth over treatment",
        group=lambda r: ", ".join(p for p in (outcome_title(str(r["outcome"]), settings), str(r["definition"])) if p),
        label=lambda r: NAMES[str(r["estimand"])],
        notes=[
            "Everybody with at least one score is in the model; it assumes that scores are missing at random given those observed",
            "A change over therapy is not shown to be an effect of therapy without a comparison group",
        ],
        empty="No growth model was fitted.",
    )

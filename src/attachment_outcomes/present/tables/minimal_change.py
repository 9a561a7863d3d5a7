"""Minimal important differences, by distribution and by anchor."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import rows_of
from attachment_outcomes.present.tabulate import Table, estimate_table
from attachment_outcomes.present.words import outcome_title, score_title

NEEDS = ("estimates",)
DISTRIBUTION = "distribution"
NAMES = {
    "predictive_reliable": "predictive modelling, adjusted for that share and the anchor's reliability",
    "predictive_adjusted": "predictive modelling, adjusted for the share of improved",
    "predictive": "predictive modelling",
    "roc_youden": "ROC, Youden's point",
    "roc_corner": "ROC, nearest to the corner",
    "anchor_mean_change": "mean change of the minimally improved",
    "auc": "area under the ROC curve",
    "anchor_correlation": "correlation of change and anchor",
    "sensitivity": "sensitivity at Youden's point",
    "specificity": "specificity at Youden's point",
    "half_sd": "half an SD before treatment",
    "one_sem": "one standard error of measurement",
    "smallest_detectable_change": "smallest detectable change",
}


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return the MIDs of each outcome, those by anchors first, and how well each anchor does."""
    order = list(NAMES)
    rows = [r for r in rows_of(tables["estimates"], analysis="minimal_change") if r["estimand"] in NAMES]
    rows.sort(
        key=lambda r: (
            str(r["outcome"]), r["definition"] == DISTRIBUTION, str(r["definition"]), order.index(str(r["estimand"])),
        )
    )  # fmt: skip
    eligible = {str(r["definition"]): "not eligible" not in str(r["note"]) for r in rows if r["estimand"] == "auc"}

    def group(row: dict[str, Any]) -> str:
        title, way = outcome_title(str(row["outcome"]), settings), str(row["definition"])
        if way == DISTRIBUTION:
            return f"{title}, by distribution"
        score, _, rest = way.partition(" ")
        told = "" if eligible.get(way, True) else " (anchor not eligible)"
        return f"{title}, by anchor: {score_title(score, settings)} {rest}{told}"

    return estimate_table(
        rows,
        settings,
        name="minimal_change",
        title="Minimal important differences",
        group=group,
        label=lambda r: NAMES[str(r["estimand"])],
        notes=[
            "Points of change towards better",
            "An anchor is eligible if the area is at least .70 and the correlation at least .30",
            "The ROC MID is biased where the share of improved by the anchor is far from one half",
            "MIDs by distribution say what could be measured, not what matters",
        ],
        empty="No minimal important difference was estimated.",
    )

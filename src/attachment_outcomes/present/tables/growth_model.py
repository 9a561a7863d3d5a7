"""Growth over treatment: the average course, how much people and therapists differ in it, other shapes, and groups."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, estimate_table
from attachment_outcomes.present.words import outcome_title

NEEDS = ("estimates",)
# Analysis and estimand to the row's words, in the order of the rows; what follows after a colon is the row's group.
NAMES = {
    ("growth", "change_to_end"): "change from the first to the last occasion",
    ("growth", "feingold_d"): "the same in SDs at the first occasion (d)",
    ("growth", "slope"): "mean slope",
    ("growth", "slope_during"): "slope until the end of treatment",
    ("growth", "slope_after"): "slope after the end of treatment",
    ("growth", "intercept"): "mean at baseline",
    ("growth", "sd_intercept"): "SD of people's baselines",
    ("growth", "sd_slope"): "SD of people's slopes",
    ("therapist_effect", "share_intercept"): "therapist share of the variance at time 0",
    ("therapist_effect", "share_slope"): "therapist share of the variance of slopes",
    ("therapist_effect", "share_end_adjusted"): "therapist share of the end score given the score before",
    ("growth_comparison", "change_to_end"): "change",
    ("growth_comparison", "change_difference"): "difference in change",
    ("growth_comparison", "slope_difference"): "difference in slopes",
    ("growth_comparison", "feingold_d"): "difference in change in SDs (d)",
    ("growth_shape", "change_to_end"): "change from the first to the last occasion",
    ("growth_shape", "aic"): "AIC",
    ("growth_shape", "bic"): "BIC",
}
PARTS = {"growth": "", "therapist_effect": "", "growth_comparison": "by ", "growth_shape": "shape: "}


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return each outcome's growth model, the therapists' shares, the comparison of groups, and the other shapes."""
    order = list(NAMES)
    rows = [r for part in PARTS for r in rows_of(tables["estimates"], analysis=part) if _key(r) in NAMES]
    places = list(PARTS)

    def heading(row: Row) -> str:
        return ", ".join(p for p in (outcome_title(str(row["outcome"]), settings), _part(row)) if p)

    def label(row: Row) -> str:
        return ": ".join(p for p in (NAMES[_key(row)], str(row["group"])) if p)

    rows.sort(
        key=lambda r: (
            str(r["outcome"]), places.index(str(r["analysis"])), not r["primary"], _part(r), str(r["group"]).count(" - "),
            str(r["group"]), order.index(_key(r)),
        )
    )  # fmt: skip
    return estimate_table(
        rows,
        settings,
        name="growth_model",
        title="Growth over treatment",
        group=heading,
        label=label,
        notes=[
            "Everybody with at least one score is in the model; it assumes that scores are missing at random given those observed",
            "A change over therapy is not shown to be an effect of therapy without a comparison group, nor is a difference between"
            " groups that were not drawn by lot",
            "The primary shape was named beforehand; smaller AIC and BIC fit better",
        ],
        empty="No growth model was fitted.",
    )


def _key(row: Row) -> tuple[str, str]:
    return str(row["analysis"]), str(row["estimand"])


def _part(row: Row) -> str:
    """Return the part of an outcome's table that a row belongs to: its model, its groups, or another shape."""
    analysis, definition = str(row["analysis"]), str(row["definition"])
    return "therapists" if analysis == "therapist_effect" else f"{PARTS[analysis]}{definition}" if definition else ""

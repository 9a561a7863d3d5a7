"""Correspondence of parents' and children's classes: the primary way to read them in full, the others in short."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table
from attachment_outcomes.present.words import count

NEEDS = ("estimates",)
SHORT = ["agreement", "chance_agreement", "kappa", "phi", "cramers_v", "odds_ratio", "interrupted"]
ORDER = [
    "agreement",
    "chance_agreement",
    "kappa",
    "pabak",
    "prevalence_index",
    "bias_index",
    "phi",
    "cramers_v",
    "cramers_v_corrected",
    "lambda",
    "uncertainty_coefficient",
    "odds_ratio",
    "logistic_odds_ratio",
    "risk_difference",
    "risk_ratio",
    "interrupted",
    "bowker",
    "stuart_maxwell",
    "lack_of_fit",
    "bic",
    "correlation",
]
NAMES = {
    "pabak": "prevalence- and bias-adjusted kappa",
    "cramers_v_corrected": "Cramér's V, less its bias",
    "lambda": "lambda, child's class given the parent's",
    "uncertainty_coefficient": "uncertainty coefficient, child's class given the parent's",
    "logistic_odds_ratio": "odds ratio, logistic regression",
}
SYMMETRY = {
    "bowker": "Bowker's test of symmetry",
    "stuart_maxwell": "Stuart–Maxwell test of equal margins",
}


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return agreement, chance agreement, kappa and the measures of association of each way."""
    rows = rows_of(tables["estimates"], analysis="concordance")
    ways = list((settings.get("transmission") or {}).get("ways") or [])
    rows = [r for r in rows if r["estimand"] in (ORDER if r["primary"] else SHORT)]
    rows += [r for r in rows_of(tables["estimates"], analysis="transmission_correlation") if r["estimand"] == "correlation"]
    rows.sort(
        key=lambda r: (
            str(r["analysis"]),
            str(r["outcome"]),
            not r["primary"],
            ways.index(str(r["definition"])) if str(r["definition"]) in ways else len(ways),
            str(r["definition"]),
            ORDER.index(str(r["estimand"])),
            str(r["group"]),
        )
    )
    # The number of pairs is that of the estimates: cells of the table may be suppressed.
    sizes = {
        f"{r['outcome']}, {r['definition']}": f"{r['outcome']}, {r['definition']}: {count(r['n'])} pairs"
        for r in rows
        if r["estimand"] == "agreement"
    }
    return estimate_table(
        rows,
        settings,
        name="concordance",
        title="Correspondence between generations",
        group=lambda r: f"{r['outcome']}, {r['definition']}" + (" (primary)" if r["primary"] else ""),
        label=_label,
        notes=[
            "; ".join(sizes.values()),
            "Agreement by chance is what the two distributions of classes give if they have nothing to do with each other",
            "Odds, risks and their ratios are those of the child being in the second class, insecure (or disorganised)",
        ],
        empty="No parents and children were compared.",
    )


def _label(row: Row) -> str:
    estimand, group = str(row["estimand"]), str(row["group"])
    if estimand == "correlation":
        return f"correlation, {group}"
    if estimand in ("lack_of_fit", "bic"):
        return f"{group}, {'lack of fit X²' if estimand == 'lack_of_fit' else 'BIC'}"
    if estimand == "interrupted":
        organised = "disorganised" in str(row["definition"])
        return "child organised, parent unresolved" if organised else "child secure, parent insecure"
    if estimand in SYMMETRY:
        return f"{SYMMETRY[estimand]}, {row['unit']}"
    return NAMES.get(estimand) or estimand_name(row)

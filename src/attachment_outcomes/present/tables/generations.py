"""Three generations: who is alike, whether grandparents matter beyond parents, and what becomes of security; by way."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.inference.estimate import NOT_TESTABLE
from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, estimate_table
from attachment_outcomes.present.words import count

NEEDS = ("generation_chains", "estimates")
# Estimand: the section it stands in, and its words ({} for the group).
ROWS: dict[str, tuple[str, str]] = {
    "agreement": ("Alike", "{} alike"),
    "kappa": ("Alike", "{}, kappa"),
    "agreement_if_markov": ("Alike", "{} alike, if children depend on parents alone"),
    "agreement_beyond_markov": ("Alike", "{} alike, beyond that"),
    "all_alike": ("Alike", "all three alike"),
    "all_alike_if_markov": ("Alike", "all three alike, if children depend on parents alone"),
    "persists": ("Alike", "parent and child {} where the grandparent is"),
    "markov": ("Grandparents beyond parents", "children depend on parents alone, X² or G²"),
    "markov_same_direction": ("Grandparents beyond parents", "the same, against departures in one direction, M²"),
    "conditional_kappa": ("Grandparents beyond parents", "agreement of grandparent and child beyond the parent's class, kappa"),
    "conditional_kappa_by_error": ("Grandparents beyond parents", "of it, what error in the classes alone would leave"),
    "conditional_kappa_beyond_error": ("Grandparents beyond parents", "of it, beyond error"),
    "markov_given_error": ("Grandparents beyond parents", "children depend on parents alone, classes read with error, G²"),
    "common_odds_ratio": ("Grandparents beyond parents", "odds ratio of grandparent and child, parents alike"),
    "same_transmission": ("If it goes on like this", "grandparents pass on as parents do, X²"),
    "projected_secure": ("If it goes on like this", "secure in {}"),
    "secure_line": ("If it goes on like this", "a secure line is secure in {}"),
    "long_run_secure": ("If it goes on like this", "secure in the long run{}"),
    "difference_left": ("If it goes on like this", "difference between lines left after a generation{}"),
    "half_life": ("If it goes on like this", "generations until half of a difference is left{}"),
    "published": ("In the literature", "{}"),
}
AFTER_A_COMMA = ("long_run_secure", "difference_left", "half_life")
SECTIONS = list(dict.fromkeys(section for section, _ in ROWS.values()))


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return each way's agreement, tests and projections; the primary way first, published results last."""
    rows = [r for r in rows_of(tables["estimates"], analysis="three_generations") if r["estimand"] in ROWS]
    untested = rows_of(tables["estimates"], analysis="three_generations", estimand=NOT_TESTABLE)
    first = [str(r["definition"]) for r in rows if r["primary"]]
    order = list(ROWS)
    rows.sort(
        key=lambda r: (
            r["estimand"] == "published", str(r["definition"]) not in first, str(r["definition"]), SECTIONS.index(_section(r)),
            order.index(str(r["estimand"])), str(r["group"]), not r["primary"],
        )
    )  # fmt: skip
    chains = tables["generation_chains"]
    sizes = [
        f"{way}: {'at least ' if part['n'].isna().any() else ''}{count(part['n'].sum())} chains"
        for way, part in chains.groupby("way", sort=False)
    ]
    return estimate_table(
        rows,
        settings,
        name="generations",
        title="Three generations",
        group=lambda r: (
            _section(r) if r["estimand"] == "published" else f"{r['definition']}{_mark(str(r['definition']), first)}: {_section(r)}"
        ),
        label=_label,
        notes=[
            "; ".join(sizes),
            "Error in the parents' classes makes grandparents seem to matter beyond parents; what is beyond error speaks for it",
            "Projections take transmission to be first-order and to stay so, and a child's class to stand for that as a parent",
            *(f"{r['definition']}: {r['note']}" for r in untested if r["note"]),
        ],
        empty="No chains of three generations were looked at.",
    )


def _mark(way: str, first: list[str]) -> str:
    return " (primary)" if way in first else ""


def _section(row: Row) -> str:
    return ROWS[str(row["estimand"])][0]


def _label(row: Row) -> str:
    name, group = str(row["estimand"]), str(row["group"])
    if name == "common_odds_ratio" and not row["primary"] and "exact" in str(row["method"]):
        return "the same, exact"
    if name == "markov":
        return f"children depend on parents alone, {str(row['method']).split(',')[0]}"
    text = ROWS[name][1]
    return text.format(f", {group}" if name in AFTER_A_COMMA and group else group)

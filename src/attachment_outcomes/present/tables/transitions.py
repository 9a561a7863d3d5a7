"""Transitions between classes from the first to the last occasion."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import primary_definition, records, told
from attachment_outcomes.present.tabulate import Table, make_table
from attachment_outcomes.present.words import STYLES, count, percent

NEEDS = ("transitions", "estimates")
ESTIMATES = {"stays_secure": "stays secure", "becomes_secure": "becomes secure", "agreement": "same class", "kappa": "kappa"}


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return the table of counts with row percentages; rows are the first occasion."""
    moves = primary_definition(tables["transitions"])
    title = "Transitions between classes"
    if moves.empty:
        return make_table(pd.DataFrame(), name="transitions", title=title, empty="Nobody has a class at two occasions.")
    name = str(moves["name"].iloc[0])
    own_rows = records(moves[moves["name"] == name])
    there = {(str(r["from_class"]), str(r["to_class"])): float(r["n"]) for r in own_rows}
    alone = {(str(r["from_class"]), str(r["to_class"])): r.get("share_without_change") for r in own_rows}
    starts, ends = {start for start, _ in there}, {end for _, end in there}
    order = [c for c in STYLES if c in starts | ends] + sorted((starts | ends) - set(STYLES))
    lines = []
    for start in [c for c in order if c in starts]:
        own = {end: n for (first, end), n in there.items() if first == start}
        total = float(sum(own.values()))
        line = {"first occasion": start}
        for end in [c for c in order if c in ends]:
            n = own.get(end, 0.0)
            part = f" ({percent(n / total)})" if total and not math.isnan(total) and n else ""
            line[end] = count(n) + part + _by_error(alone.get((start, end)))
        line["all"] = count(total)
        lines.append(line)
    found = [
        told(tables["estimates"], word, settings, analysis="transition", estimand=e, outcome=name) for e, word in ESTIMATES.items()
    ]
    return make_table(
        pd.DataFrame(lines),
        name="transitions",
        title=f"{title}: {name}",
        notes=[
            "Rows are classes at the first occasion, columns at the last; percentages are of the row; after the stroke, where the "
            "reliability is known, the percentage that measurement error alone would give",
            "; ".join(f for f in found if f),
            _ceiling(tables["estimates"], name, settings),
        ],
    )


def _by_error(share: float | None) -> str:
    return "" if share is None or math.isnan(share) else f" / {percent(share)}"


def _ceiling(estimates: pd.DataFrame, name: str, settings: dict[str, Any]) -> str:
    """Return what people would show without any true change, or that it is not known."""
    found = [
        told(estimates, word, settings, analysis="transition", estimand=estimand, outcome=name)
        for estimand, word in {
            "agreement_without_change": "same class",
            "stays_secure_without_change": "stays secure",
            "kappa_without_change": "kappa",
            "kappa_beyond_error": "observed less expected kappa",
        }.items()
    ]
    found = [f for f in found if f]
    if not found:
        return "Classes that are measured with error differ between two occasions without any change; how often is not known here"
    return f"Measurement error alone would give these people, had nobody truly changed: {'; '.join(found)}"

"""What transmission runs through and what that leaves: every path, by every definition."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table
from attachment_outcomes.present.words import first_upper, plain, score_title

NEEDS = ("estimates",)
ANALYSIS = "transmission_gap"
JOINT, MONTE_CARLO = "joint significance", "Monte-Carlo of correlations"
ARROW = " → "
ORDER = ["total", "indirect_total", "gap", "share_unexplained", "indirect", "path", "rho_at_zero"]
DEFINITIONS = ["parallel", "serial", "natural effects", "product of correlations"]


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return total, indirect paths, gap and paths of each definition, the primary one first; other intervals after its own."""
    rows = [r for r in rows_of(tables["estimates"], analysis=ANALYSIS) if r["estimand"] in ORDER]
    own = {r["outcome"] for r in rows if r["primary"]}
    rows.sort(key=lambda r: (r["outcome"] not in own, str(r["outcome"]), _place(r), _beside(r), ORDER.index(str(r["estimand"]))))
    return estimate_table(
        rows,
        settings,
        name="gap",
        title="The transmission gap",
        group=lambda r: _heading(r, own),
        label=lambda r: _label(r, settings),
        notes=[
            "Paths are standardised, on the scale of correlations; classes count 1 (secure) and 0. Indirect: product of the paths "
            "of a chain. Gap: the direct path, total − sum of the indirect ones. The serial model has the same total, gap and sum",
            "Joint significance: p is the largest of those of the chain's paths",
            "Rho at zero: the correlation of the errors of mediator and child, by an unmeasured cause, that would leave nothing "
            "indirect",
            "Associations, not effects: mediators were observed, not allotted, and may follow as well as precede",
        ],
        empty="No path from parent to child was estimated.",
    )


def _place(row: Row) -> int:
    definition = str(row["definition"])
    return DEFINITIONS.index(definition) if definition in DEFINITIONS else len(DEFINITIONS)


def _beside(row: Row) -> int:
    """Return 0 for the definition's own interval, and more for what stands beside it."""
    return {JOINT: 2, MONTE_CARLO: 1}.get(str(row["method"]), 0)


def _heading(row: Row, own: set[object]) -> str:
    published = f"{row['outcome']}, correlations alone: " if own and row["outcome"] not in own else ""
    beside = ["", ", Monte-Carlo", ", joint significance"][_beside(row)] if not published else ""
    return first_upper(f"{published}{row['definition']}{' (primary)' if row['primary'] else ''}{beside}")


def _label(row: Row, settings: dict[str, Any]) -> str:
    name = str(row["estimand"])
    if not row["group"]:
        return {"gap": "gap", "indirect_total": "sum of indirect paths"}.get(name, estimand_name(row))
    chain = ARROW.join(_name(part, settings) for part in str(row["group"]).split(ARROW))
    return {"path": chain, "indirect": f"through {chain}", "rho_at_zero": f"rho at zero, {chain}"}[name]


def _name(part: str, settings: dict[str, Any]) -> str:
    known = settings.get("scales", {}).get(part)
    if known is None or known["title"] == "Total":
        return score_title(part, settings) if "." in part else plain(part)
    return str(known["title"]).split(",", maxsplit=1)[0]

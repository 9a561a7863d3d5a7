"""What repaired and unrepaired ruptures go with in the outcome: the primary criterion in full, the others beside it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.stand_in import warning
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table
from attachment_outcomes.present.words import outcome_title, plain

NEEDS = ("estimates",)
CONTRASTS = [
    "repaired_minus_none",
    "unrepaired_minus_none",
    "repaired_minus_unrepaired",
    "none_minus_any",
    "repair_minus_avoidance",
]
BESIDE = ["repaired_minus_none", "repaired_minus_unrepaired", "repair_minus_avoidance"]  # of the criteria that are not primary
SECTIONS = ["Adjusted differences", "Means if all were alike in it", "E-values", "From a landmark on", "Leaving early"]


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return the primary criterion's contrasts, means, E-values, landmarks and odds of leaving, then the others' contrasts."""
    estimates = tables["estimates"]
    rows = [r for name in ("rupture_outcome", "repair_timing") for r in rows_of(estimates, analysis=name)]
    kept = [r for r in rows if _section(r)]
    kept.sort(
        key=lambda r: (not r["primary"], _place(r), str(r["definition"]) if not r["primary"] else "", str(r["group"]), _rank(r))
    )
    return estimate_table(
        kept,
        settings,
        name="repair_outcome",
        title="Repair and outcome",
        group=lambda r: f"{plain(str(r['definition']))}{' (primary)' if r['primary'] else ''}: {_section(r)}",
        label=lambda r: _label(r, settings),
        notes=[
            warning(settings),
            "Associations, not effects: nobody was allotted a rupture or its repair, and who stays longer has more chances of both",
            "From a landmark on: clients still in treatment then, by what was known of them then, so that nobody counts as "
            "repaired for having stayed",
            "E-value: how strongly something unmeasured would have to go with both, as a risk ratio, to make nothing of the "
            "difference, or of its limit",
        ],
        empty="Ruptures and repairs could not be related to an outcome.",
    )


def _section(row: Row) -> str:
    """Return under which heading a row stands; empty for what the table leaves out."""
    name, group, primary = str(row["estimand"]), str(row["group"]), bool(row["primary"])
    if row["analysis"] == "rupture_outcome":
        if name in CONTRASTS and not group:
            return SECTIONS[0] if primary or name in BESIDE else ""
        if primary and name == "standardised_mean":
            return SECTIONS[1]
        return SECTIONS[2] if primary and name.startswith("e_value") else ""
    if name in CONTRASTS and primary and group.startswith("landmark"):
        return SECTIONS[3]
    return SECTIONS[4] if primary and name == "leaving_odds_ratio" else ""


def _place(row: Row) -> int:
    return SECTIONS.index(_section(row))


def _rank(row: Row) -> tuple[int, str]:
    name = str(row["estimand"])
    return (CONTRASTS.index(name) if name in CONTRASTS else len(CONTRASTS), name)


def _label(row: Row, settings: dict[str, Any]) -> str:
    name, group = str(row["estimand"]), str(row["group"])
    if name == "standardised_mean":
        return f"all {group}"
    if name.startswith("e_value"):
        return f"{estimand_name({**row, 'estimand': group})}{', limit nearer to none' if name.endswith('limit') else ''}"
    if name == "leaving_odds_ratio":
        return f"odds ratio after a session {group}" if group.startswith("in ") else f"odds ratio {group}"
    when = f"{group.removeprefix('landmark ')}: " if group else ""
    return f"{when or outcome_title(str(row['outcome']), settings) + ': '}{estimand_name(row)}".removeprefix(": ")

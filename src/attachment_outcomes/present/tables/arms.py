"""Interruption of transmission by arm: shares, differences, their interaction, and the change in reflective functioning."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.inference.estimate import NOT_TESTABLE
from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.stand_in import warning
from attachment_outcomes.present.tabulate import Table, estimate_table
from attachment_outcomes.present.words import plain
from attachment_outcomes.transmission.interruption.rows import RANDOMISED

NEEDS = ("estimates",)
SHARES, CONTRASTS, UNSEEN, AFTER, FUNCTIONING = (
    "Children who are secure",
    "Treated less comparison",
    "Children who were not seen",
    "By the parent's class after",
    "Change in reflective functioning, parent's class unchanged",
)
# Estimand to heading and words; within a heading in this order.
ROWS = {
    "child_secure": (SHARES, ""),
    "child_secure_difference": (CONTRASTS, "difference"),
    "interaction_risk_difference": (CONTRASTS, "difference where the parent was insecure less where secure (primary)"),
    "interaction_odds_ratio": (CONTRASTS, "ratio of the odds ratios, insecure over secure parents"),
    "fraction_interrupted": (CONTRASTS, "share of the transmissions interrupted"),
    "number_needed_to_treat": (CONTRASTS, "number needed to treat"),
    "child_not_seen": (UNSEEN, "not seen"),
    "child_secure_difference_lowest": (UNSEEN, "lowest difference they allow"),
    "child_secure_difference_highest": (UNSEEN, "highest difference they allow"),
    "became_secure": (AFTER, "insecure parents who became secure"),
    "became_secure_difference": (AFTER, "difference of these"),
    "became_secure_by_error": (AFTER, "became secure by error of the interviews alone"),
    "functioning_change": (FUNCTIONING, "secure children for each SD of change (primary)"),
    "functioning_change_per_point": (FUNCTIONING, "secure children for each point of change"),
    "functioning_change_odds_ratio": (FUNCTIONING, "odds ratio for each SD of change"),
    "functioning_change_reliability": (FUNCTIONING, "reliability of the change"),
}
HEADINGS = [SHARES, CONTRASTS, UNSEEN, AFTER, FUNCTIONING]
SIDES = ("stayed insecure", "became secure")


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return the estimates of interruption under five headings."""
    found = rows_of(tables["estimates"], analysis="interruption")
    rows = [r for r in found if r["estimand"] in ROWS]
    names = list(ROWS)
    rows.sort(key=lambda r: (HEADINGS.index(_heading(r)), names.index(str(r["estimand"])), _arm_last(str(r["group"]))))
    reasons = dict.fromkeys(str(r["note"]) for r in found if r["estimand"] == NOT_TESTABLE)
    # Whole parts of notes: the words also stand within warnings that are no statement on this study.
    allotted = any(RANDOMISED in str(r["note"]).split("; ") for r in rows)
    infinity = [p for r in rows for p in str(r["note"]).split("; ") if "through infinity" in p]
    return estimate_table(
        rows,
        settings,
        name="arms",
        title="Interruption of transmission",
        group=_heading,
        label=_label,
        notes=[
            warning(settings),
            "Arms were allotted at random" if allotted else "Associations, not effects: arms were not allotted at random",
            "The comparison arm's share where the parent was insecure is what treatment without effect would give",
            "Groups by the parent's class after are formed after treatment and compare no arms fairly",
            f"Number needed to treat: {infinity[0]}" if infinity else "",
            f"Not told: {'; '.join(reasons)}" if reasons else "",
        ],
        empty="No arms with classified parents and children were compared.",
    )


def _heading(row: Row) -> str:
    return AFTER if any(side in str(row["group"]) for side in SIDES) else ROWS[str(row["estimand"])][0]


def _arm_last(group: str) -> tuple[int, str, int]:
    """Return where a group stands: the arms' before what stands beside, insecure before secure parents, treated first."""
    arm, _, who = group.partition(", ")
    own = arm in ("treated", "comparison", "")
    return (int(not own), who if own else group, int(arm == "comparison"))


def _label(row: Row) -> str:
    words, group = ROWS[str(row["estimand"])][1], plain(str(row["group"]))
    if not words:
        return group
    return words if not group or _heading(row) == FUNCTIONING else f"{words}: {group}"

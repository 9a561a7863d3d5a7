"""Reliability and distribution of the scores."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, one, rows_of
from attachment_outcomes.present.tabulate import Table, make_table
from attachment_outcomes.present.words import SUPPRESSED, count, level_text, number, outcome_title, with_interval

NEEDS = ("estimates",)


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return n, mean, SD and alpha of each score; of session scores the first and the last session."""
    estimates = tables["estimates"]
    means = _shown(rows_of(estimates, analysis="descriptives", estimand="mean"))
    lines = []
    named = {str(row["outcome"]).split(".")[0] for row in means}
    scales = settings.get("scales", {})
    full = dict.fromkeys(v["instrument"] for k, v in scales.items() if k.split(".")[0] in named and "(" in v["instrument"])
    for row in means:
        spread = one(estimates, analysis="descriptives", estimand="sd", outcome=row["outcome"], group=row["group"])
        alpha = one(estimates, analysis="reliability", estimand="cronbach_alpha", outcome=row["outcome"], group=row["group"])
        omega = one(estimates, analysis="reliability", estimand="omega_total", outcome=row["outcome"], group=row["group"])
        lines.append(
            {
                "score": outcome_title(str(row["outcome"]), settings),
                "occasion": str(row["group"]) or "all",
                "n": count(row["n"]),
                "M": SUPPRESSED if SUPPRESSED in str(row["note"]) else number(row["estimate"]),
                "SD": number(spread["estimate"]) if spread is not None else "",
                f"alpha [{level_text(settings)} CI]": with_interval(alpha) if alpha is not None else "",
                f"omega [{level_text(settings)} CI]": with_interval(omega) if omega is not None else "",
            }
        )
    frame = pd.DataFrame(lines)
    return make_table(
        frame,
        name="measures",
        title="Reliability and distribution of the scores",
        group="score" if lines else None,
        notes=[
            "M and SD in score points; alpha and omega (total, of one factor) are estimated where item responses are there",
            "Of scores taken at every session the first and the last session are shown",
            "; ".join(full),
        ],
        empty="There are no scores of people.",
    )


def _number(row: Row) -> int:
    digits = "".join(ch for ch in str(row["group"]).split(",")[0] if ch.isdigit())
    return int(digits) if digits else -1


def _shown(rows: list[Row]) -> list[Row]:
    """Return the rows in order; of many sessions, the first and the last of each score."""
    rows = sorted(rows, key=lambda r: (str(r["outcome"]), not str(r["group"]).startswith("wave"), _number(r)))
    kept = []
    for outcome in dict.fromkeys(r["outcome"] for r in rows):
        own = [r for r in rows if r["outcome"] == outcome]
        sessions = [r for r in own if str(r["group"]).startswith("session")]
        ends = {_number(sessions[0]), _number(sessions[-1])} if sessions else set()
        kept += [r for r in own if not str(r["group"]).startswith("session") or _number(r) in ends]
    return kept

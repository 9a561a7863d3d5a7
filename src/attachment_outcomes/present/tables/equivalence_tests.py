"""Equivalence: estimates beside their bounds, both p values, and the verdict in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.present.lookup import Row, records
from attachment_outcomes.present.tabulate import Table, make_table
from attachment_outcomes.present.words import count, first_upper, interval_text, level_text, number, outcome_title

NEEDS = ("equivalence",)
UNITS = {"score points": " points", "SD units": " SD"}


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return every test by question; p values are adjusted by Holm over the outcomes of a question."""
    rows = tables["equivalence"]
    rows = rows.assign(last=(rows["definition"] != "unadjusted")).sort_values(["question", "outcome", "last"], kind="stable")
    level = level_text(settings)
    narrow = f"{100 * (1 - 2 * float(rows['alpha'].max())):.0f} % CI" if len(rows) else ""
    lines = [
        {
            "question": first_upper(str(r["question"])),
            "outcome": ", ".join(p for p in (outcome_title(str(r["outcome"]), settings), str(r["definition"])) if p),
            "n": _sizes(r),
            "estimate": f"{number(r['estimate'])}{UNITS.get(str(r['unit']), '')}",
            "bounds": interval_text(r["low"], r["high"], ""),
            narrow: interval_text(r["tost_low"], r["tost_high"], ""),
            f"{level} CI": interval_text(r["ci_low"], r["ci_high"], ""),
            "p, equivalence": _p(r["p_equivalence_holm"]),
            "p, difference": _p(r["p_difference_holm"]),
            "verdict": str(r["verdict"]),
        }
        for r in records(rows)
    ]
    sources = sorted({f"{outcome_title(str(r['outcome']), settings)}: {r['margin_source']}" for r in records(rows)})
    return make_table(
        pd.DataFrame(lines),
        name="equivalence_tests",
        title="Equivalence with norms, of change with none, and of earned and continuously secure people",
        notes=[
            "Two one-sided tests; p values are adjusted by Holm over the outcomes of a question",
            "Neither shown means that the data cannot tell, not that there is no difference",
            f"Bounds: {'; '.join(sources)}" if sources else "",
        ],
        group="question",
        empty="No equivalence could be tested.",
    )


def _sizes(row: Row) -> str:
    return count(row["n"]) if np.isnan(row["first_n"]) else f"{count(row['first_n'])} and {count(row['second_n'])}"


def _p(value: float) -> str:
    return "—" if np.isnan(value) else "< .001" if value < 0.001 else number(value, 3, bounded=True)

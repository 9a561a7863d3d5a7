"""When people improve: shares by the horizon, mean times, styles, sudden gains and sessions."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, estimate_table
from attachment_outcomes.present.words import outcome_title

NEEDS = ("estimates",)
HEADINGS = {
    "time_to_improvement": "time to reliable improvement", "sudden_gains": "sudden gains", "dose_response": "sessions attended",
}  # fmt: skip
NAMES = {
    "improved_by_horizon": "improved by the horizon",
    "left_by_horizon": "left without improving by the horizon",
    "restricted_mean_time": "mean time without improvement",
    "median_time": "time by which half have improved",
    "restricted_mean_difference": "mean time without improvement, minus all others",
    "log_rank": "styles differ, chi-square",
    "share_with_gain": "people with a sudden gain",
    "expected_without_gains": "people with one in series without gains",
    "share_with_loss": "people with a sudden loss",
    "gains_per_100_intervals": "gains per 100 intervals",
    "expected_gains_per_100_intervals": "gains per 100 intervals in series without gains",
    "mean_magnitude": "mean size of a gain",
    "share_reversed": "gains reversed by half or more",
    "improved_by_sessions": "improved by this many sessions",
    "improved_per_doubling": "share improved at the end per doubling of the total",
    "change_per_doubling": "change for the better per doubling of the total",
    "rate_per_doubling": "change a session per doubling of the total",
}


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return the estimates of timing, sudden gains and dose-response under a heading an outcome and definition."""
    order, analyses = list(NAMES), list(HEADINGS)
    rows = [r for a in analyses for r in rows_of(tables["estimates"], analysis=a) if r["estimand"] in NAMES]
    rows.sort(
        key=lambda r: (
            analyses.index(str(r["analysis"])), str(r["outcome"]), str(r["definition"]), order.index(str(r["estimand"])),
            _number(str(r["group"])), str(r["group"]), not r["primary"], str(r["method"]),
        )
    )  # fmt: skip
    return estimate_table(
        rows,
        settings,
        name="timing",
        title="Timing of improvement",
        group=lambda r: _heading(r, settings),
        label=_label,
        notes=[
            "Confirmed: improved at one observed occasion and at the next; once: improved at an occasion, whatever comes after",
            "Aalen–Johansen counts those who leave as not improving in treatment; Kaplan–Meier and Turnbull tell what would be had "
            "nobody left, if those who left were like those who stayed",
            "How many sessions people have depends on how they do, so differences between totals are no effect of sessions",
        ],
        empty="No time to improvement, sudden gain or dose-response could be estimated.",
    )


def _number(group: str) -> float:
    first = group.split(" ")[0]
    return float(first) if first.replace(".", "", 1).isdigit() else 0.0


def _heading(row: Row, settings: dict[str, Any]) -> str:
    parts = (outcome_title(str(row["outcome"]), settings), str(row["definition"]), HEADINGS[str(row["analysis"])])
    return ", ".join(p for p in parts if p)


def _label(row: Row) -> str:
    name = NAMES[str(row["estimand"])]
    inside = [str(row["group"])] if row["group"] else []
    if row["estimand"] == "improved_by_horizon":
        inside.append(str(row["method"]).split(",")[0].replace("-", "–"))
    return f"{name} ({', '.join(inside)})" if inside else name

"""What others found of transmission, with the study's own value and the pooled one in the same metric."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, records
from attachment_outcomes.present.tabulate import Table, make_table
from attachment_outcomes.present.words import SUPPRESSED, count, estimate_text, interval_text, level_text, number

NEEDS = ("transmission_literature",)
ABOUT = {
    "secure": "Secure with secure",
    "unresolved": "Unresolved with disorganised",
    "agreement": "Correspondence of classes",
    "share": "How common classes are",
    "sensitivity": "Sensitivity in between",
    "chain": "Three generations",
    "retest": "The interview given again",
}


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return a row a published result, under what it is of."""
    interval = f"{level_text(settings)} CI"
    rows = sorted(records(tables["transmission_literature"]), key=lambda r: list(ABOUT).index(str(r["about"])))
    lines = [
        {
            "about": ABOUT[str(row["about"])],
            "published": str(row["label"]),
            "value": _value(row, "value", "ci_low", "ci_high"),
            "k": "" if pd.isna(row["k"]) else count(row["k"]),
            "n": "" if pd.isna(row["n"]) else count(row["n"]),
            f"this study [{interval}]": _own(row),
            f"pooled here [{interval}]": _value(row, "pooled", "pooled_low", "pooled_high"),
            "remark": "; ".join(filter(None, [_as_r(row), _note(row), _standing(row)])),
        }
        for row in rows
    ]
    return make_table(
        pd.DataFrame(lines),
        name="transmission_literature",
        title="Transmission in the literature, beside this study",
        group="about" if lines else None,
        notes=[
            "Each row is in the metric of the published result: r (phi), d (2r / sqrt(1 − r²) of phi), a share, or kappa",
            "Published values are part of no estimate; samples, ages and ways to read the classes differ from this study's",
        ],
        empty="There is nothing to set beside the literature.",
    )


def _unit(row: Row) -> str:
    return {"d": "d", "proportion": "proportion", "kappa": "kappa"}.get(str(row["metric"]), "r")


def _value(row: Row, value: str, low: str, high: str) -> str:
    if pd.isna(row[value]):
        return ""
    unit = _unit(row)
    prefix = {"d": "d = ", "r": "r = ", "kappa": "kappa = "}.get(unit, "")
    return f"{prefix}{estimate_text(row[value], unit)} {interval_text(row[low], row[high], unit)}".strip()


def _own(row: Row) -> str:
    if not isinstance(row["own_as"], str) or not row["own_as"]:
        return ""
    return _value(row, "own", "own_low", "own_high") or SUPPRESSED


def _note(row: Row) -> str:
    return str(row["note"]).removesuffix(".") if isinstance(row["note"], str) else ""


def _as_r(row: Row) -> str:
    return f"r = {number(row['as_r'], bounded=True)}, derived" if row["metric"] == "d" and not pd.isna(row["as_r"]) else ""


def _standing(row: Row) -> str:
    if row["standing"] == "recalled":
        return "recalled, not checked in its source"
    return "" if bool(row["verified"]) else "read in another document, not in its source"

"""What all specifications say together, which choice moves the answer, and why some combinations cannot be had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, make_table
from attachment_outcomes.present.words import MISSING, count, estimate_text, outcome_title, percent, plain

NEEDS = ("specifications", "estimates")
ORDER = ("recovered", "reliably_improved", "standardised_improvement")
NAMES = {
    "recovered": "recovered",
    "reliably_improved": "reliably improved",
    "standardised_improvement": "mean change towards better",
}


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return a line a curve, and below the reasons of combinations that cannot be had, with how many there are."""
    rows = rows_of(tables["estimates"], analysis="specification_curve")
    rows = [r for r in rows if r["group"] in ORDER and not np.isnan(r["estimate"])]
    outcomes = list(dict.fromkeys(str(r["outcome"]) for r in rows))
    lines: list[dict[str, str]] = []
    for outcome in outcomes:
        for estimand in ORDER:
            own = [r for r in rows if r["outcome"] == outcome and r["group"] == estimand]
            if own:
                lines.append(_line(own, outcome, estimand, settings))
    whole = tables["specifications"]
    refused = whole[(whole["refused"] != "").to_numpy(dtype=bool)]
    reasons = refused.groupby("refused", sort=True).size().sort_values(ascending=False, kind="stable")
    told = [
        f"{count(n)} combination{'s' if n != 1 else ''}: {str(reason).partition(' Hint:')[0].rstrip('.')}"
        for reason, n in reasons.items()
    ]
    return make_table(
        pd.DataFrame(lines),
        name="specifications",
        title="Change over every defensible specification",
        notes=[
            "Median, middle half and range are over specifications, which are no sample: they have no standard error",
            "Beyond expected: share of intervals wholly above what the same specification would give if nobody had truly changed",
            "Moves most: choice with the largest share of the variance of the estimates",
            f"Not possible: {'; '.join(told)}" if told else "",
        ],
        group="outcome",
        empty="No specification could be estimated.",
    )


def _line(own: list[Row], outcome: str, estimand: str, settings: dict[str, Any]) -> dict[str, str]:
    found = {str(r["estimand"]): r for r in own if r["estimand"] != "variance_share"}
    shares = [r for r in own if r["estimand"] == "variance_share" and r["definition"] != "combinations"]
    most = max(shares, key=lambda r: float(r["estimate"])) if shares else None

    def value(name: str) -> str:
        return estimate_text(found[name]["estimate"], str(found[name]["unit"])) if name in found else MISSING

    test = found.get("sign_flip_median")
    return {
        "outcome": outcome_title(outcome, settings) if "." in outcome else outcome,
        "quantity": NAMES[estimand],
        "specifications": count(found["n_specifications"]["estimate"]) if "n_specifications" in found else MISSING,
        "median": value("median"),
        "middle half": f"{value('first_quartile')} to {value('third_quartile')}",
        "range": f"{value('lowest')} to {value('highest')}",
        "beyond expected": percent(found["share_beyond_expected"]["estimate"]) if "share_beyond_expected" in found else MISSING,
        "moves most": MISSING if most is None else f"{plain(str(most['definition']))} ({percent(most['estimate'])})",
        "p, sign flips": MISSING if test is None else f"{float(test['p_value']):.3f}".lstrip("0"),
    }

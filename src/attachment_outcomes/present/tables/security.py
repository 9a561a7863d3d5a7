"""Earned security and transitions, beside what measurement error alone gives."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table

NEEDS = ("estimates",)
ORDER = [
    "earned_security", "expected_without_change", "excess", "becomes_secure", "stays_secure", "change_in_secure", "mcnemar_exact",
    "agreement", "agreement_without_change", "agreement_beyond_error", "kappa", "kappa_without_change", "kappa_beyond_error",
]  # fmt: skip
DEFINITIONS = ["crossing", "crossing with reliable change", "sustained at follow-up"]
NAMES = {
    "earned_security": "insecure at baseline, secure at the end",
    "expected_without_change": "the same, if nobody had truly changed",
    "excess": "difference of the two",
    "change_in_secure": "secure at the end less secure at baseline",
    "mcnemar_exact": "McNemar's exact test of secure and insecure",
    "agreement": "same class at both occasions",
    "agreement_without_change": "the same, if nobody had truly changed",
    "agreement_beyond_error": "difference of the two",
    "kappa_without_change": "kappa, if nobody had truly changed",
    "kappa_beyond_error": "difference of the two kappas",
}


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return earned security, what is expected of it without change, and transitions, by classification."""
    rows = rows_of(tables["estimates"], analysis="earned_security") + rows_of(tables["estimates"], analysis="transition")
    rows = [r for r in rows if r["estimand"] in (*ORDER, "bowker", "stuart_maxwell")]
    main = {str(r["outcome"]) for r in rows if r["primary"]}
    # Every definition and handling of drop-out for the primary classification; of the others only the primary definition.
    rows = [r for r in rows if str(r["outcome"]) in main or str(r["definition"]) in ("", DEFINITIONS[0])]
    rows.sort(key=lambda r: (str(r["outcome"]), _definition(r), _place(r), not r["primary"]))
    return estimate_table(
        rows,
        settings,
        name="security",
        title="Earned security and transitions",
        group=lambda r: ": ".join(t for t in (str(r["outcome"]), str(r["definition"])) if t),
        label=lambda r: NAMES.get(str(r["estimand"]), estimand_name(r)),
        notes=[
            "Crossing a boundary between classes is not by itself a change of attachment: scores that are measured with error "
            "cross it without any, and those far from the mean return towards it",
            "Complete cases unless drop-out is named; the worst (best) case counts nobody (everybody) who was lost as secure",
        ],
        empty="No classes at two occasions.",
    )


def _place(row: Row) -> int:
    name = str(row["estimand"])
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _definition(row: Row) -> tuple[int, str]:
    """Return where a definition stands: earned security by strictness and handling of drop-out, then transitions."""
    first, _, rest = str(row["definition"]).partition("; ")
    return (DEFINITIONS.index(first) if first in DEFINITIONS else len(DEFINITIONS), rest)

"""Fit of the levels of longitudinal measurement invariance of each scale."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.measures.invariance import LEVELS, Rule
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.tabulate import Table, make_table
from attachment_outcomes.present.words import count, number, outcome_title, p_value

NEEDS = ("invariance",)


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return a row a scale and level: chi-square, fit, what the level loses, and whether it holds."""
    lines = []
    rows = sorted(records(tables["invariance"]), key=lambda r: (str(r["outcome"]), LEVELS.index(str(r["level"]))))
    for row in rows:
        holds: str = "not judged" if pd.isna(row["holds"]) else "yes" if row["holds"] else "no"
        lines.append(
            {
                "score": outcome_title(str(row["outcome"]), settings),
                "level": str(row["level"]),
                "n": count(row["n"]),
                "chi-square (df)": f"{number(row['chi_square'])} ({row['df']})",
                "p": p_value(row["p_value"]).removeprefix("p ").removeprefix("= "),
                "CFI": number(row["cfi"], 3, bounded=True),
                "RMSEA [90 % CI]": f"{_three(row['rmsea'])} [{_three(row['rmsea_low'])}, {_three(row['rmsea_high'])}]",
                "SRMR": _three(row["srmr"]),
                "change of CFI": "" if pd.isna(row["delta_cfi"]) else _three(row["delta_cfi"]),
                "change of RMSEA": "" if pd.isna(row["delta_rmsea"]) else _three(row["delta_rmsea"]),
                "holds": holds,
            }
        )
    rule = Rule(**((settings.get("measures") or {}).get("invariance") or {}).get("rule", {}))
    return make_table(
        pd.DataFrame(lines),
        name="invariance_levels",
        title="Do the items mean the same at both occasions?",
        group="score" if lines else None,
        notes=[
            "One factor an occasion, correlated uniquenesses of the same item, maximum likelihood with missing answers; answers are"
            " treated as continuous",
            f"By a rule stated beforehand, the configural model holds with a CFI of at least {number(rule.cfi, bounded=True)} and"
            f" an RMSEA of at most {number(rule.rmsea, bounded=True)}; each further level with a loss of CFI of at most"
            f" {_three(rule.loss_of_cfi)} and a gain of RMSEA of at most {_three(rule.gain_of_rmsea)} against the level before",
            "Where scalar invariance does not hold, change of the score may be a change of meaning",
        ],
        empty="No scale's items were answered at two occasions by enough people.",
    )


def _three(value: float) -> str:
    return number(value, 3, bounded=True)

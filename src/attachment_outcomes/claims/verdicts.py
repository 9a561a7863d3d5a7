"""The ledger: each claim, the estimate that speaks to it, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from attachment_outcomes.claims.rules import NOT_TESTABLE, combine, decide, rule_text
from attachment_outcomes.errors import ConfigError
from attachment_outcomes.inference.estimate import NOT_TESTABLE as NO_ESTIMATE
from attachment_outcomes.inference.estimate import select

KEYS = ["analysis", "estimand", "outcome", "group", "definition"]
COLUMNS = [
    "claim",
    "verdict",
    "estimate",
    "ci_low",
    "ci_high",
    "rule",
    "missing",
    "note",
    "text",
    "n",
    "n_clusters",
    "unit",
    "method",
    *KEYS,
]


_MEANING = {
    "$outcome": "an outcome at two or more waves",
    "$anxiety": "an attachment anxiety scale",
    "$avoidance": "an attachment avoidance scale",
    "$satisfaction": "a couple satisfaction scale",
    "$alliance": "session-by-session alliance ratings",
}


def _pick(
    estimates: pd.DataFrame, wanted: Mapping[str, Any], words: Mapping[str, str], requires: Sequence[str] = ()
) -> tuple[pd.Series | None, str]:
    """Return the one estimate that a selection names, or None and what is missing, of what the claim requires first."""
    lacking = [w for w in (*requires, *wanted.values()) if isinstance(w, str) and w.startswith("$") and w not in words]
    if lacking:
        return None, f"the data have not {_MEANING.get(lacking[0], lacking[0])}"
    filled = {k: words.get(v, v) if isinstance(v, str) else v for k, v in wanted.items()}
    rows = select(estimates, **filled)
    if len(rows) > 1:
        raise ConfigError(f"config/claims.yaml: {filled} picks {len(rows)} estimates. Hint: name the group or the definition.")
    if len(rows) == 1 and not math.isnan(rows.iloc[0]["estimate"]):
        return rows.iloc[0], ""
    return None, _reason(estimates, filled, rows)


def _reason(estimates: pd.DataFrame, wanted: Mapping[str, Any], rows: pd.DataFrame) -> str:
    if len(rows) == 1 and rows.iloc[0]["note"]:
        return str(rows.iloc[0]["note"])
    refused = estimates[(estimates["analysis"] == wanted["analysis"]) & (estimates["estimand"] == NO_ESTIMATE)]
    own = refused[refused["outcome"] == wanted["outcome"]] if "outcome" in wanted else refused
    reasons = own["note"].tolist() or refused["note"].tolist()
    return (
        reasons[0] if reasons else f"no estimate of {wanted['estimand'].replace('_', ' ')} ({wanted['analysis'].replace('_', ' ')})"
    )


def ledger(claims: Sequence[Mapping[str, Any]], estimates: pd.DataFrame, *, words: Mapping[str, str], level: float) -> pd.DataFrame:
    """Return one row a claim: verdict, the estimate of its first rule, the rules, and what is missing.

    Parameters
    ----------
    claims : sequence of mapping
        The claims of ``config/claims.yaml``.
    estimates : DataFrame
        The study's estimates (:mod:`attachment_outcomes.inference.estimate`).
    words : mapping
        What the ``$`` words of the claims mean in the study, e.g. ``{"$outcome": "core10.total"}``. A claim that requires or
        selects a word that is absent is not testable.
    level : float
        Confidence level of the intervals, for the rules' text.

    Raises
    ------
    ConfigError
        If a claim picks more than one estimate.
    """
    rows = [_row(claim, estimates, words, level) for claim in claims]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(claim: Mapping[str, Any], estimates: pd.DataFrame, words: Mapping[str, str], level: float) -> dict[str, Any]:
    verdicts, missing, notes = [], [], []
    first: pd.Series | None = None
    for test in claim["tests"]:
        row, why = _pick(estimates, test["select"], words, claim["requires"])
        null = test["null"]
        if row is not None and test["rule"] == "above_estimate":
            other, why = _pick(estimates, test["against"], words)
            null = math.nan if other is None else float(other["estimate"])
        if row is None or math.isnan(null):
            verdicts.append(NOT_TESTABLE)
            missing.append(why)
            continue
        first = row if first is None else first
        rule = "above" if test["rule"] == "above_estimate" else test["rule"]
        verdict = decide(
            row["ci_low"], row["ci_high"], rule=rule, null=null, bounds=test.get("bounds", ()), direction=row["direction"]
        )
        verdicts.append(verdict)
        if len(claim["tests"]) > 1:
            notes.append(f"{row['estimand'].replace('_', ' ')} of {row['outcome'] or row['analysis']}: {verdict}")
        if row["note"] and row["note"] not in notes:
            notes.append(str(row["note"]))
    if not claim["tests"]:
        missing.append(claim["pending"])
    elif claim["pending"]:
        notes.append(claim["pending"])
    if claim["caveat"]:
        notes.append(claim["caveat"])
    verdict = combine(verdicts)
    shown = first if first is not None else pd.Series(dtype=object)
    return {
        "claim": claim["id"],
        "verdict": verdict,
        **{k: shown.get(k, math.nan) for k in ("estimate", "ci_low", "ci_high")},
        "rule": "; ".join(dict.fromkeys(rule_text(t, level) for t in claim["tests"])) or f"to be: {claim['estimand']}",
        "missing": "; ".join(dict.fromkeys(missing)) if verdict == NOT_TESTABLE else "",
        "note": "; ".join(notes),
        "text": claim["claim"],
        **{k: shown.get(k, math.nan) for k in ("n", "n_clusters")},
        **{k: shown.get(k, "") for k in ("unit", "method", *KEYS)},
    }

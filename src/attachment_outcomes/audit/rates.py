"""How many clients recover, improve, deteriorate and leave early, out of how many?

Vocabulary
----------
recovery                  moved from the clinical to the functional range, whether or not by a change larger than
                          measurement error; of those clinical at baseline
reliable recovery         recovery by a change larger than measurement error; of those clinical at baseline
reliable improvement      improved by more than measurement error (the recovered included); of all with both occasions
reliable deterioration    worsened by more than measurement error (the harmed included); of all with both occasions
dropout                   treatment ended by dropping out; of the treatments whose end is known

Recovery and reliable recovery leave out those who were not clinical at baseline, the other two do not. These are the
denominators of NHS England's reports on Talking Therapies; a recovery rate over everybody treated is a different,
smaller number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from attachment_outcomes.errors import DataError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.agreement import wilson
from attachment_outcomes.inference.estimate import Estimate

ANALYSIS = "audit"


@dataclass(frozen=True)
class RateRule:
    """One rate of change: the categories that count as the event, and whether only the clinical at baseline count.

    ``crossed``: those count too who left the clinical range without reliable change.
    """

    events: frozenset[str]
    clinical_only: bool
    direction: str
    crossed: bool = False


RULES = {
    "recovery": RateRule(frozenset({"recovered"}), True, "higher is better", crossed=True),
    "reliable_improvement": RateRule(frozenset({"recovered", "improved"}), False, "higher is better"),
    "reliable_recovery": RateRule(frozenset({"recovered"}), True, "higher is better"),
    "reliable_deterioration": RateRule(frozenset({"deteriorated", "harmed"}), False, "lower is better"),
}
DIRECTIONS = {name: rule.direction for name, rule in RULES.items()} | {
    "dropout": "lower is better",
    "completeness": "higher is better",
}
ENDED = ("completed", "dropped out", "referred on")


def rate_estimate(
    rate: str,
    events: float,
    n: float,
    *,
    ci_level: float,
    outcome: str = "",
    group: str = "",
    definition: str = "",
    primary: bool = True,
    note: str = "",
) -> Estimate:
    """Return one rate, events / n, as an estimate row with its Wilson interval (proportion; ``n`` of 0 gives NaN)."""
    found = wilson(events, n, ci_level=ci_level) if n else None
    return Estimate(
        analysis=ANALYSIS,
        estimand=rate,
        estimate=found.estimate if found else math.nan,
        std_error=found.std_error if found else math.nan,
        ci_low=found.ci_low if found else math.nan,
        ci_high=found.ci_high if found else math.nan,
        ci_level=ci_level,
        method="proportion, Wilson interval",
        outcome=outcome,
        group=group,
        definition=definition,
        primary=primary,
        n=n,
        n_clusters=n,
        unit="proportion",
        direction=DIRECTIONS[rate],
        note=note,
    )


def outcome_events(change: pd.DataFrame, *, outcome: str, flow: Flow | None = None) -> pd.DataFrame:
    """Who is in each rate's denominator, and to whom the event happened.

    Parameters
    ----------
    change : pd.DataFrame
        The table people_change; the rows of the primary definition of ``outcome`` are used.
    outcome : str
        Score, e.g. ``core10.total``.
    flow : Flow, optional
        Takes the people left out, with the reason.

    Returns
    -------
    pd.DataFrame
        ``person_id, rate, event`` (boolean), one row a person and rate; a person outside a denominator has no row.
        Without a cutoff there are no rows for recovery and reliable recovery.

    Raises
    ------
    DataError
        If the primary definition gives a person two categories.
    """
    rows = change[(change["outcome"] == outcome) & change["primary"].fillna(False).astype(bool)]
    if rows["person_id"].duplicated().any():
        raise DataError(
            f"people_change: {outcome} has people with two rows of the primary definition. Hint: one definition is primary."
        )
    assessed = rows[rows["category"].notna()]
    if flow is not None:
        flow.add(f"audit: {outcome}, both occasions", len(rows), len(assessed), "no score at baseline or at the end", unit="people")
    clinical = assessed["clinical_at_baseline"].astype("boolean")
    has_cutoff = bool(clinical.notna().any())
    if flow is not None and has_cutoff:
        flow.add(
            f"audit: {outcome}, clinical at baseline",
            len(assessed),
            int(clinical.fillna(False).sum()),
            "not in the clinical range at baseline, so recovery is not defined",
            unit="people",
        )
    parts = []
    for name, rule in RULES.items():
        if rule.clinical_only and not has_cutoff:
            continue
        eligible = assessed[clinical.fillna(False).to_numpy(dtype=bool)] if rule.clinical_only else assessed
        event = eligible["category"].isin(rule.events)
        if rule.crossed:
            event |= eligible["crossed"].astype("boolean").fillna(False).astype(bool)
        parts.append(pd.DataFrame({"person_id": eligible["person_id"], "rate": name, "event": event}))
    return pd.concat(parts, ignore_index=True)


def dropout_events(treatments: pd.DataFrame, *, flow: Flow | None = None) -> pd.DataFrame:
    """Treatments whose end is known, and whether it was by dropping out.

    Parameters
    ----------
    treatments : pd.DataFrame
        The canonical table treatments. A treatment that is going on has not ended and is left out, counted.
    flow : Flow, optional
        Takes the treatments left out.

    Returns
    -------
    pd.DataFrame
        ``person_id, treatment_id, therapist_id, rate`` (dropout), ``event`` (boolean), one row a treatment.
    """
    known = treatments[treatments["end_reason"].isin(ENDED)]
    if flow is not None:
        flow.add(
            "audit: treatments ended", len(treatments), len(known), "going on, or how it ended is not known", unit="treatments"
        )
    frame = known[["person_id", "treatment_id", "therapist_id"]].copy()
    frame["rate"] = "dropout"
    frame["event"] = (known["end_reason"] == "dropped out").to_numpy()
    return frame.reset_index(drop=True)

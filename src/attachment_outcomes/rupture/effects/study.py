"""All that a study asks about ruptures and the clients' outcome: the contrasts of every criterion."""

from __future__ import annotations

from attachment_outcomes.inference.steps import Part
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.effects.contrasts import OUTCOME, repair_effect
from attachment_outcomes.rupture.summary import not_assessable

# A row a client under the primary criterion.
TABLES = {
    "rupture_outcomes": {
        "client": "str", "therapist_id": "str", "group": "str", "pre": "float64", "post": "float64", "n_sessions": "Int64",
    }
}  # fmt: skip


def analyse(data: RuptureData) -> Part:
    """Return the outcome contrasts of every criterion, and the table behind those of the primary one."""
    rows, table, better = [], None, data.higher_is_better
    for i, (clients, found) in enumerate(zip(data.clients, data.detections, strict=True)):
        joined = data.with_outcome(clients)
        table = joined if table is None else table
        if not joined[["pre", "post"]].notna().all(axis=1).any():
            reason = f"no client has both alliance ratings and {data.outcome} at start and end"
            rows.append(not_assessable(found.criterion.name, outcome=data.outcome, reason=reason, analysis=OUTCOME))
            continue
        rows += repair_effect(
            joined, outcome=data.outcome, higher_is_better=better, definition=found.criterion.name,
            primary=i == 0, ci_level=data.ci_level,
        )  # fmt: skip
    return Part(rows, {} if table is None else {"rupture_outcomes": table})

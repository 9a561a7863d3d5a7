"""Ruptures and repairs by criterion, beside what noise alone shows: the primary criterion in full, of the others the main rows."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.stand_in import warning
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table
from attachment_outcomes.present.words import plain

NEEDS = ("estimates",)
BOUNDED = "within the scale"  # noise that is held within the scale: a check, told with the estimates
NAMES = {
    "share_above_noise": "more clients with a rupture than in noise",
    "noise_rate_per_session": "ruptures per session, in noise alone",
    "rate_above_noise": "more ruptures per session than in noise",
    "share_repaired": "ruptures repaired, of those whose end was seen",
    "noise_share_repaired": "ruptures repaired, in noise alone",
    "repaired_above_noise": "more ruptures repaired than in noise",
    "mean_depth": "depth of a rupture",
    "time_in_rupture": "sessions spent in a rupture",
}
ORDER = [
    "share_with_rupture",
    "expected_on_noise",
    "share_above_noise",
    "share",
    "rate_per_session",
    "noise_rate_per_session",
    "rate_above_noise",
    "share_repaired",
    "noise_share_repaired",
    "repaired_above_noise",
    "mean_depth",
    "time_in_rupture",
]
BESIDE = ("share_with_rupture", "expected_on_noise", "rate_per_session", "share_repaired", "noise_share_repaired")


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return how often each criterion finds ruptures and repairs, beside noise."""
    rows = rows_of(tables["estimates"], analysis="rupture_prevalence")
    rows = [r for r in rows if r["estimand"] in (ORDER if r["primary"] else BESIDE) and r["group"] != BOUNDED]
    rows.sort(key=lambda r: (not r["primary"], str(r["definition"]), ORDER.index(str(r["estimand"])), str(r["group"])))
    return estimate_table(
        rows,
        settings,
        name="rupture",
        title="Ruptures and repairs",
        group=lambda r: plain(str(r["definition"])) + (" (primary)" if r["primary"] else ""),
        label=_label,
        notes=[
            warning(settings),
            "Noise: series in which nothing happens, of the clients' own lengths, spread and autocorrelation; what falls by "
            "chance mostly rises again, so that noise has repairs too",
            "A rupture in the last rated session cannot be told repaired or unrepaired and is left out of both groups",
        ],
        empty="No ruptures were looked for, or none could be found.",
    )


def _label(row: Row) -> str:
    if row["estimand"] == "share":
        return f"clients with {row['group']} ruptures" if row["group"] != "none" else "clients with none"
    return NAMES.get(str(row["estimand"]), estimand_name(row))

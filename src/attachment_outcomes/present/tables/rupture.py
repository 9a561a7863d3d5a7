"""Ruptures and repairs by criterion, and outcome by group."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, rows_of
from attachment_outcomes.present.stand_in import warning
from attachment_outcomes.present.tabulate import Table, estimand_name, estimate_table
from attachment_outcomes.present.words import outcome_title, plain

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
    "repaired_minus_none",
    "unrepaired_minus_none",
    "repaired_minus_unrepaired",
    "none_minus_any",
    "repair_minus_avoidance",
]


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return how often each criterion finds ruptures, beside noise, and the adjusted differences in outcome."""
    rows = rows_of(tables["estimates"], analysis="rupture_prevalence") + rows_of(tables["estimates"], analysis="rupture_outcome")
    rows = [r for r in rows if r["estimand"] in ORDER and r["group"] != BOUNDED]
    rows.sort(key=lambda r: (not r["primary"], str(r["definition"]), ORDER.index(str(r["estimand"])), str(r["group"])))
    return estimate_table(
        rows,
        settings,
        name="rupture",
        title="Ruptures, repairs and outcome",
        group=lambda r: plain(str(r["definition"])) + (" (primary)" if r["primary"] else ""),
        label=lambda r: _label(r, settings),
        notes=[
            warning(settings),
            "Differences are adjusted for the score before treatment; they are associations, not effects, "
            "since longer treatments have more chances of a rupture and of a repair",
            "Noise: series in which nothing happens, of the clients' own lengths, spread and autocorrelation; what falls by "
            "chance mostly rises again, so that noise has repairs too",
            "A rupture in the last rated session cannot be told repaired or unrepaired and is left out of both groups",
        ],
        empty="No ruptures were looked for, or none could be found.",
    )


def _label(row: Row, settings: dict[str, Any]) -> str:
    if row["estimand"] == "share":
        return f"clients with {row['group']} ruptures" if row["group"] != "none" else "clients with none"
    if row["analysis"] == "rupture_outcome":
        return f"{outcome_title(str(row['outcome']), settings)}: {estimand_name(row)}".removeprefix(": ")
    return NAMES.get(str(row["estimand"]), estimand_name(row))

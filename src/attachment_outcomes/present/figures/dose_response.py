"""Improvement by number of sessions: cumulative, and people of different totals beside each other."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import told
from attachment_outcomes.present.style import BLUE, GREY, INK, SKY, look, new_figure, place_legend
from attachment_outcomes.present.words import level_text, score_title, sentence

NEEDS = ("dose_response", "estimates")
CUMULATIVE, SHARE, RATE, LINE = (
    "cumulative improvement", "share improved at the end", "mean change a session", "log-linear fit",
)  # fmt: skip


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the primary outcome: the cumulative share, the share improved by total, and the change a session by total.

    Raises
    ------
    NothingToDraw
        If there is no dose-response.
    """
    table = need(tables["dose_response"], "dose_response", "no outcome has scores and sessions")
    order = [o["score"] for o in (settings.get("change") or {}).get("outcomes", []) if isinstance(o, dict)]
    there = list(dict.fromkeys(table["outcome"]))
    outcome = next((o for o in order if o in there), there[0])
    own = table[(table["outcome"] == outcome) & table["estimate"].notna()]
    own = need(own, "dose_response", "every count is suppressed")
    with look():
        figure = new_figure(3.5, width=8.4)
        first, second, third = figure.subplots(1, 3)
        _steps(first, own[own["measure"] == CUMULATIVE])
        _totals(second, own, SHARE)
        _totals(third, own, RATE)
        first.set(title="By session", xlabel="Sessions attended so far", ylabel="First improved by then (%)")
        second.set(title="By total", xlabel="Sessions attended in all", ylabel="Improved at the end (%)")
        third.set(title="Change a session", xlabel="Sessions attended in all", ylabel="Score points a session, for the better")
        for ax in (first, second):
            ax.set_ylim(0, min(1.0, max(0.1, ax.get_ylim()[1])))
            ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
        third.axhline(0, color=GREY, linewidth=0.8)
        place_legend(figure, second.get_legend_handles_labels()[0], columns=3)
    keys: dict[str, object] = {"analysis": "dose_response", "outcome": outcome}
    found = [
        told(tables["estimates"], label, settings, estimand=estimand, **keys)
        for estimand, label in (
            ("improved_per_doubling", "share improved per doubling of the total"),
            ("change_per_doubling", "change per doubling"),
            ("rate_per_doubling", "change a session per doubling"),
        )
    ]
    caption = sentence(
        f"{score_title(outcome, settings)}: {'; '.join(f for f in found if f)}",
        "How many sessions people have depends on how they do (many stop when they are well enough), so none of this is what a "
        "session more would do",
    )
    data = own[["outcome", "measure", "sessions", "estimate", "ci_low", "ci_high", "n"]].reset_index(drop=True)
    caption_of = f"Bars and bands are {level_text(settings)} intervals"
    return Drawing(figure, data, sentence(caption, caption_of), "Improvement by number of sessions, in three panels. " + caption)


def _steps(ax: Axes, curve: pd.DataFrame) -> None:
    if curve.empty:
        ax.text(0.5, 0.5, "not known", ha="center", va="center", transform=ax.transAxes)
        return
    ordered = curve.sort_values("sessions")
    start = pd.DataFrame({"sessions": [0.0], "estimate": [0.0], "ci_low": [0.0], "ci_high": [0.0]})
    last = ordered[list(start)].iloc[[-1]].assign(sessions=1.08 * float(ordered["sessions"].iloc[-1]))  # to be seen with its band
    whole = pd.concat([start, ordered[list(start)], last], ignore_index=True)
    ax.fill_between(whole["sessions"], whole["ci_low"], whole["ci_high"], step="post", color=SKY, alpha=0.35, linewidth=0)
    ax.step(whole["sessions"], whole["estimate"], where="post", color=BLUE)
    ax.set_xlim(left=0)


def _totals(ax: Axes, table: pd.DataFrame, measure: str) -> None:
    line = table[table["measure"] == f"{measure}, {LINE}"].sort_values("sessions")
    if len(line):
        ax.fill_between(line["sessions"], line["ci_low"], line["ci_high"], color=SKY, alpha=0.35, linewidth=0, label="its interval")
        ax.plot(line["sessions"], line["estimate"], color=BLUE, label="line in the logarithm of the total")
    bands = table[table["measure"] == measure].sort_values("sessions")
    low, high = bands["estimate"] - bands["ci_low"], bands["ci_high"] - bands["estimate"]
    ax.errorbar(
        bands["sessions"], bands["estimate"], yerr=[low, high], fmt="o", color=INK, markerfacecolor="white", markersize=5,
        linewidth=1.0, capsize=2, label="people of a band of totals",
    )  # fmt: skip
    ax.set_xlim(left=0)

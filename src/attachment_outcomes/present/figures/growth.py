"""The average course over treatment: the growth model's curve with its interval, and the observed means."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import told
from attachment_outcomes.present.style import BLUE, INK, SKY, look, panels, place_legend
from attachment_outcomes.present.words import count, level_text, score_axis, score_title, sentence

NEEDS = ("growth", "estimates")
TIME = {"wave": "Time since baseline (weeks)", "session": "Session number"}


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw each outcome's curve in a panel of its own.

    Raises
    ------
    NothingToDraw
        If no growth model was fitted.
    """
    growth = need(tables["growth"], "growth", "no growth model was fitted")
    outcomes = list(growth["outcome"].unique())
    time = TIME[(settings.get("change") or {}).get("occasions", "wave")]
    words = []
    with look():
        figure, axes = panels(len(outcomes))
        for ax, outcome in zip(axes, outcomes, strict=True):
            part = growth[growth["outcome"] == outcome].sort_values("time")
            curve = part[part["predicted"].notna()]
            seen = part[part["observed_mean"].notna()]
            ax.fill_between(
                curve["time"],
                curve["ci_low"],
                curve["ci_high"],
                color=SKY,
                alpha=0.35,
                linewidth=0,
                label=f"{level_text(settings)} interval",
            )
            ax.plot(curve["time"], curve["predicted"], color=BLUE, label="growth model")
            ax.plot(
                seen["time"],
                seen["observed_mean"],
                "o",
                markersize=4.5,
                markerfacecolor="white",
                markeredgecolor=INK,
                label="observed mean",
            )
            ax.set(title=score_title(outcome, settings), xlabel=time, ylabel=score_axis(outcome, settings))
            words.append(_words(tables["estimates"], outcome, seen, settings))
        place_legend(figure, *axes[0].get_legend_handles_labels())
    threshold = int(settings.get("threshold", 0))
    note = f"Observed means of fewer than {threshold} people are not shown" if threshold > 1 else ""
    caption = sentence(*words, note, "Means are of those still observed, so a curve can bend where people leave")
    return Drawing(
        figure, growth.reset_index(drop=True), caption, "Curves of the mean score over time with observed means. " + caption
    )


def _words(estimates: pd.DataFrame, outcome: str, seen: pd.DataFrame, settings: dict[str, Any]) -> str:
    keys: dict[str, object] = {"analysis": "growth", "outcome": outcome}
    change = told(estimates, "change to the end", settings, estimand="change_to_end", **keys)
    slope = told(estimates, "slope", settings, estimand="slope", **keys)
    n = seen["n_observed"].dropna()
    people = f"n = {count(n.iloc[0])} at the first and {count(n.iloc[-1])} at the last occasion" if len(n) else ""
    return f"{score_title(outcome, settings)}: " + ", ".join(p for p in (change, slope, people) if p)

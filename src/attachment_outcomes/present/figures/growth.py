"""The average course over treatment: the growth model's curve with its interval, other shapes, and the observed means."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import told
from attachment_outcomes.present.style import BLUE, GREY, INK, SKY, look, panels, place_legend
from attachment_outcomes.present.words import count, level_text, score_axis, score_title, sentence

NEEDS = ("growth", "estimates")
OTHER_LINES = {"linear": (0, (6, 2)), "log": (0, (1, 1.5)), "quadratic": (0, (4, 1, 1, 1)), "piecewise": "-", "spline": (0, (2, 1))}
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
            main = part[part["primary"].astype(bool)]
            curve = main[main["predicted"].notna()]
            seen = main[main["observed_mean"].notna()]
            for name, line in OTHER_LINES.items():
                other = part[(part["shape"] == name) & ~part["primary"].astype(bool) & part["predicted"].notna()]
                if len(other):
                    ax.plot(other["time"], other["predicted"], color=GREY, linewidth=0.9, linestyle=line, label=f"{name} (beside)")
            ax.fill_between(
                curve["time"],
                curve["ci_low"],
                curve["ci_high"],
                color=SKY,
                alpha=0.35,
                linewidth=0,
                label=f"{level_text(settings)} interval",
            )
            shape = curve["shape"].iloc[0] if len(curve) else ""
            ax.plot(curve["time"], curve["predicted"], color=BLUE, linewidth=2, label=f"growth model, {shape}")
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
    beside = "Thin grey lines are other shapes of the course, fitted beside the one that was named beforehand"
    beside = beside if (~growth["primary"].astype(bool)).any() else ""
    caption = sentence(*words, beside, note, "Means are of those still observed, so a curve can bend where people leave")
    return Drawing(
        figure, growth.reset_index(drop=True), caption, "Curves of the mean score over time with observed means. " + caption
    )


def _words(estimates: pd.DataFrame, outcome: str, seen: pd.DataFrame, settings: dict[str, Any]) -> str:
    keys: dict[str, object] = {"analysis": "growth", "outcome": outcome}
    change = told(estimates, "change to the end", settings, estimand="change_to_end", **keys)
    slope = told(estimates, "slope", settings, estimand="slope", **keys)
    d = told(estimates, "d", settings, estimand="feingold_d", **keys)
    n = seen["n_observed"].dropna()
    people = f"n = {count(n.iloc[0])} at the first and {count(n.iloc[-1])} at the last occasion" if len(n) else ""
    return f"{score_title(outcome, settings)}: " + ", ".join(p for p in (change, d, slope, people) if p)

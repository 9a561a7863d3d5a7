"""Before and after, person by person, with the cutoff and the band of unreliable change (Jacobson & Truax, 1991)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one, primary_definition
from attachment_outcomes.present.style import CHANGE_MARKS, INK, PALE, look, marker_style, panels, place_legend
from attachment_outcomes.present.words import CATEGORIES, number, score_direction, score_title, sentence, with_interval

NEEDS = ("people_change", "estimates")
MOST_PANELS = 4
CUTOFFS = ("cutoff_a", "cutoff_b", "cutoff_c", "cutoff")


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw each outcome's scores before (x) and after (y), by category of change.

    Raises
    ------
    NothingToDraw
        If nobody has both scores.
    """
    people = primary_definition(tables["people_change"])
    people = need(
        people[people["pre"].notna() & people["post"].notna()], "people_change", "nobody has a score at baseline and at the end"
    )
    named = [o["score"] for o in (settings.get("change") or {}).get("outcomes", [])]
    there = list(people["outcome"].unique())
    outcomes = ([o for o in named if o in there] + [o for o in there if o not in named])[:MOST_PANELS]
    data, words = [], []
    with look():
        figure, axes = panels(len(outcomes), height=3.9)
        for ax, outcome in zip(axes, outcomes, strict=True):
            part = people[people["outcome"] == outcome].sort_values(["category", "pre", "post"], kind="stable")
            words.append(_panel(ax, part, tables["estimates"], outcome, settings))
            data.append(part[["outcome", "definition", "pre", "post", "category"]])
        shown = pd.concat(data, ignore_index=True)
        place_legend(figure, _legend(shown, words), columns=2 if len(outcomes) == 1 else 3)
    alt = (
        "Scatter plot of scores before and after treatment, one panel an outcome, with a diagonal of no change, a band of change "
        "within measurement error, and the cutoff. " + sentence(*(w["text"] for w in words))
    )
    left_out = sorted(set(there) - set(outcomes))
    note = f"Further outcomes are in the tables: {', '.join(score_title(o, settings) for o in left_out)}" if left_out else ""
    return Drawing(figure, shown, sentence(*(w["text"] for w in words), note), alt)


def _panel(ax: Axes, part: pd.DataFrame, estimates: pd.DataFrame, outcome: str, settings: dict[str, Any]) -> dict[str, Any]:
    definition = str(part["definition"].iloc[0])
    keys: dict[str, object] = {"analysis": "reliable_change", "outcome": outcome, "definition": definition}
    change = one(estimates, estimand="reliable_change_threshold", **keys)
    cutoffs = [row for name in CUTOFFS if (row := one(estimates, estimand=name, **keys)) is not None and row["primary"]]
    cutoff = cutoffs[0] if len(cutoffs) == 1 else None
    low, high = _limits(part, change, cutoff)
    line = np.array([low, high])
    if change is not None:
        width = change["estimate"]
        ax.fill_between(line, line - width, line + width, color=PALE, linewidth=0, zorder=0)
    ax.plot(line, line, color=INK, linewidth=0.8, zorder=1)
    if cutoff is not None:
        ax.axvline(cutoff["estimate"], color=INK, linestyle=(0, (4, 3)), linewidth=0.9, zorder=1)
        ax.axhline(cutoff["estimate"], color=INK, linestyle=(0, (4, 3)), linewidth=0.9, zorder=1)
    size = float(np.clip(3600 / len(part), 9, 32))
    # The many unchanged lie below, so that they hide nobody else.
    for category in sorted(CATEGORIES, key=lambda c: c != "unchanged"):
        rows = part[part["category"] == category]
        if len(rows):
            ax.scatter(
                rows["pre"], rows["post"], zorder=3, alpha=0.9 if len(part) < 500 else 0.5, rasterized=len(part) > 2000,
                **marker_style(*CHANGE_MARKS[category], size=size),
            )  # fmt: skip
    direction = score_direction(outcome, settings)
    unit = "score points" + (f"; {direction}" if direction else "")
    ax.set(
        xlim=(low, high), ylim=(low, high), aspect="equal", xlabel=f"Before ({unit})", ylabel=f"After ({unit})",
        title=score_title(outcome, settings),
    )  # fmt: skip
    shares = [
        f"{category} {with_interval(row)}"
        for category in CATEGORIES
        if (row := one(estimates, estimand="share", group=category, **keys)) is not None and (part["category"] == category).any()
    ]
    text = f"{score_title(outcome, settings)}: n = {len(part)}; definition {definition}"
    text += f"; reliable change {number(change['estimate'])} points" if change is not None else ""
    text += f"; cutoff {number(cutoff['estimate'])}" if cutoff is not None else ""
    text += f"; {', '.join(shares)}" if shares else ""
    return {"text": text, "band": change is not None, "cutoff": cutoff is not None}


def _limits(part: pd.DataFrame, change: dict[str, Any] | None, cutoff: dict[str, Any] | None) -> tuple[float, float]:
    values = np.concatenate([part["pre"], part["post"], [cutoff["estimate"]] if cutoff is not None else []])
    low, high = float(values.min()), float(values.max())
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def _legend(shown: pd.DataFrame, words: list[dict[str, Any]]) -> list[Any]:
    handles: list[Any] = []
    for category in CATEGORIES:
        if (shown["category"] == category).any():
            colour, marker, filled = CHANGE_MARKS[category]
            handles.append(
                Line2D(
                    [], [], color=colour, marker=marker, linestyle="", markerfacecolor=colour if filled else "white", label=category
                )
            )
    handles.append(Line2D([], [], color=INK, linewidth=0.8, label="no change"))
    if any(w["band"] for w in words):
        handles.append(Line2D([], [], color=PALE, linewidth=7, label="within measurement error"))
    if any(w["cutoff"] for w in words):
        handles.append(Line2D([], [], color=INK, linestyle=(0, (4, 3)), linewidth=0.9, label="cutoff"))
    return handles

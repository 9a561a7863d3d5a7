"""When people first improve reliably: shares by time, drop-out beside them, and how many could still be seen to improve."""

from __future__ import annotations

from typing import Any

import matplotlib.patheffects as effects
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import told
from attachment_outcomes.present.style import BLUE, INK, ORANGE, VERMILION, look, new_figure, place_legend
from attachment_outcomes.present.words import count, level_text, score_title, sentence

NEEDS = ("improvement_curves", "estimates")
TIME = {"week": "Weeks since baseline", "session": "Session number", "wave": "Wave"}
# method in the table: label, colour, line, band
LINES: dict[str, tuple[str, str, Any, bool]] = {
    "cumulative incidence": ("improved before leaving (Aalen–Johansen)", BLUE, "-", True),
    "drop-out": ("left without improving", VERMILION, (0, (5, 2)), True),
    "Kaplan-Meier": ("had nobody left (Kaplan–Meier)", INK, (0, (1, 1.2)), False),
    "Turnbull": ("had nobody left, between visits (Turnbull)", ORANGE, "none", False),
}
MOST_COUNTS = 6
BEYOND = 1.08


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw each outcome's curves by its primary definition, with the numbers at risk below.

    Raises
    ------
    NothingToDraw
        If no time to improvement was estimated.
    """
    curves = need(tables["improvement_curves"], "improvement_curves", "no time to improvement could be estimated")
    estimates = tables["estimates"]
    wanted = estimates[(estimates["analysis"] == "time_to_improvement") & estimates["primary"] & (estimates["group"] == "")]
    pairs = list(dict.fromkeys(zip(wanted["outcome"], wanted["definition"], strict=True)))
    pairs = [p for p in pairs if ((curves["outcome"] == p[0]) & (curves["definition"] == p[1])).any()]
    keys = pd.MultiIndex.from_frame(curves[["outcome", "definition"]])
    shown = curves[keys.isin(pairs) & (curves["group"] == "").to_numpy()]
    shown = need(shown, "improvement_curves", "no curve of a primary definition")
    order = list(dict.fromkeys(shown["outcome"]))
    words = []
    with look():
        columns = min(2, len(order))
        rows = -(-len(order) // columns)
        figure = new_figure(3.8 * rows + 0.4, width=7.5 if columns > 1 else 5.6)
        grid = figure.subplots(2 * rows, columns, squeeze=False, gridspec_kw={"height_ratios": [5.5, 0.8] * rows}, sharex=False)
        for spare in range(len(order), rows * columns):
            for k in (0, 1):
                grid[2 * (spare // columns) + k, spare % columns].axis("off")
        for place, outcome in enumerate(order):
            part = shown[shown["outcome"] == outcome]
            ax, below = (grid[2 * (place // columns) + k, place % columns] for k in (0, 1))
            _curves(ax, part)
            unit = TIME.get(str(part["unit"].iloc[0]), "Time")
            ax.set(title=score_title(outcome, settings), ylabel="Share of people (%)", xlabel=unit)
            ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
            _at_risk(below, part, ax)
            words.append(_words(estimates, outcome, str(part["definition"].iloc[0]), settings))
        handles, labels = figure.axes[0].get_legend_handles_labels()
        place_legend(figure, handles, labels, columns=2)
    note = "Improvement is confirmed at the next observed occasion" if shown["definition"].str.endswith("confirmed").all() else ""
    caption = sentence(
        *words,
        note,
        f"Bands are {level_text(settings)} intervals; a step is drawn at the occasion where improvement was first seen",
    )
    data = shown[["outcome", "definition", "method", "time", "estimate", "ci_low", "ci_high", "n_at_risk"]].reset_index(drop=True)
    return Drawing(figure, data, caption, "Step curves of the share of people improved and of those who left, by time. " + caption)


def _curves(ax: Axes, part: pd.DataFrame) -> None:
    end = float(part["time"].max())
    for method, (label, colour, line, band) in LINES.items():
        curve = part[part["method"] == method].sort_values("time")
        if curve.empty:
            continue
        if line == "none":
            ax.errorbar(
                curve["time"], curve["estimate"], yerr=[curve["estimate"] - curve["ci_low"], curve["ci_high"] - curve["estimate"]],
                fmt="D", color=colour, markeredgecolor=INK, markersize=4.5, linewidth=1.0, capsize=2, label=label, zorder=4,
            )  # fmt: skip
            continue
        # The last step is drawn on a little, to be seen with its band.
        x = np.append(curve["time"].to_numpy(dtype=float), BEYOND * end)
        y, low, high = (
            np.append(curve[c].to_numpy(dtype=float), float(curve[c].iloc[-1])) for c in ("estimate", "ci_low", "ci_high")
        )
        if band:
            ax.fill_between(x, low, high, step="post", color=colour, alpha=0.18, linewidth=0)
        (drawn,) = ax.step(x, y, where="post", color=colour, linestyle=line, label=label, linewidth=1.6)
        drawn.set_path_effects([effects.withStroke(linewidth=3, foreground="white"), effects.Normal()])
    top = float(part[["estimate", "ci_high"]].max().max())
    ax.set(xlim=(0, BEYOND * end), ylim=(0, min(1.0, max(0.1, 1.12 * top))))
    ax.grid(axis="y", color="#E6E6E6", linewidth=0.7)


def _at_risk(ax: Axes, part: pd.DataFrame, above: Axes) -> None:
    """Print how many could still be seen to improve, at some of the times."""
    curve = part[part["method"] == "Kaplan-Meier"].sort_values("time").drop_duplicates("time")
    times = curve["time"].to_numpy(dtype=float)
    picked: list[int] = []
    least = float(part["time"].max()) / (MOST_COUNTS + 1)
    for i, t in enumerate(times):
        if not picked or t - times[picked[-1]] >= least:
            picked.append(i)
    ax.set(xlim=above.get_xlim(), ylim=(0, 1), xticks=[], yticks=[])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_xlabel("people who can still be seen to improve (n)", fontsize=8.5, loc="left")
    above.set_xticks(times[picked], [f"{t:g}" for t in times[picked]])
    for i in picked:
        ax.text(times[i], 0.45, count(curve["n_at_risk"].iloc[i]), ha="left" if i == 0 else "center", va="center", fontsize=8.5)


def _words(estimates: pd.DataFrame, outcome: str, definition: str, settings: dict[str, Any]) -> str:
    keys: dict[str, object] = {"analysis": "time_to_improvement", "outcome": outcome, "definition": definition, "group": ""}
    found = [
        told(estimates, label, settings, estimand=estimand, primary=True, **keys)
        for estimand, label in (
            ("improved_by_horizon", "improved"),
            ("left_by_horizon", "left"),
            ("restricted_mean_time", "mean time without improvement"),
        )
    ]
    return f"{score_title(outcome, settings)}: " + ", ".join(f for f in found if f)

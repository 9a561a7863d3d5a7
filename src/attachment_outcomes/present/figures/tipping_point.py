"""How much worse those not seen would have to be until the conclusion no longer holds."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import BLUE, INK, ORANGE, SKY, VERMILION, look, panels, place_legend
from attachment_outcomes.present.words import count, level_text, number, score_direction, score_title, sentence

NEEDS = ("tipping_point",)
SHOWN = {"mean_change": "mean change", "reliably_improved": "reliably improved"}
PATTERNS = {"all missing": (BLUE, SKY, "-"), "ended early": (ORANGE, "none", "--")}
AXES = {"mean_change": "Mean change (score points)", "reliably_improved": "Reliably improved (%)"}


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the mean change and the share improved of each outcome against the shift of the imputed scores.

    Raises
    ------
    NothingToDraw
        If nobody was missing at the end, or nothing could be imputed.
    """
    rows = tables["tipping_point"]
    rows = rows[rows["estimand"].isin(list(SHOWN)) & rows["estimate"].notna()]
    rows = need(rows, "tipping_point", "nobody who began is missing at the end, or nothing could be imputed").reset_index(drop=True)
    cells = list(dict.fromkeys(zip(rows["outcome"], rows["estimand"], strict=True)))
    words = []
    with look():
        figure, axes = panels(len(cells), height=2.9)
        handles: dict[str, Any] = {}
        for ax, (outcome, estimand) in zip(axes, cells, strict=True):
            part = rows[(rows["outcome"] == outcome) & (rows["estimand"] == estimand)]
            words += _panel(ax, part, str(outcome), str(estimand), settings)
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        place_legend(figure, list(handles.values()), list(handles))
    caption = sentence(*words)
    alt = "Lines of the estimate over the shift, falling towards the null value. "
    columns = ["outcome", "pattern", "estimand", "delta", "estimate", "ci_low", "ci_high", "null", "tipping", "n", "shifted_n"]
    return Drawing(figure, rows[columns], caption, alt + caption)


def _panel(ax: Axes, part: pd.DataFrame, outcome: str, estimand: str, settings: dict[str, Any]) -> list[str]:
    """Draw one outcome's estimand; return what is said of its tipping points."""
    times = 100.0 if estimand == "reliably_improved" else 1.0
    found: list[str] = []
    for pattern, (colour, fill, line) in PATTERNS.items():
        one = part[part["pattern"] == pattern].sort_values("delta")
        if one.empty:
            continue
        low, high = times * one["ci_low"], times * one["ci_high"]
        if fill != "none":
            label = f"{level_text(settings)} interval, {pattern}"
            ax.fill_between(one["delta"], low, high, color=fill, alpha=0.35, linewidth=0, label=label)
        else:
            ax.plot(one["delta"], low, ":", color=colour, linewidth=1.1, label=f"{level_text(settings)} interval, {pattern}")
            ax.plot(one["delta"], high, ":", color=colour, linewidth=1.1)
        ax.plot(one["delta"], times * one["estimate"], line, color=colour, label=f"estimate, {pattern} shifted")
        row = records(one)[0]
        tips = row["tipping"]
        if pd.notna(tips):
            ax.plot([tips], [times * row["null"]], "D", color=VERMILION, markeredgecolor="white", markersize=7, zorder=5,
                    label="tipping point", clip_on=False)  # fmt: skip
        where = f"tips at {number(tips)} points" if pd.notna(tips) else "no tipping point within the scale's range"
        found.append(f"{pattern} (n = {count(row['shifted_n'])} of {count(row['n'])}) {where}")
    null = part["null"].dropna()
    if len(null):
        ax.axhline(times * float(null.iloc[0]), color=INK, linewidth=0.9, linestyle=(0, (1, 2)), label="null value")
    ax.axvline(0, color=INK, linewidth=0.6)
    direction = score_direction(outcome, settings)
    ax.set(
        title=score_title(outcome, settings),
        xlabel="Shift of imputed end scores\n(score points" + (f"; {direction})" if direction else ")"),
        ylabel=AXES[estimand],
    )
    if times > 1:
        ax.set_ylim(bottom=0)
    return [f"{score_title(outcome, settings)}, {SHOWN[estimand]}: " + "; ".join(found)] if found else []

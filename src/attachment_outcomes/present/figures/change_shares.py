"""How much the share of recovered, improved and deteriorated people depends on the definition of change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import primary_definition, records
from attachment_outcomes.present.style import CHANGE_MARKS, INK, look, new_figure
from attachment_outcomes.present.words import CATEGORIES, count, percent, score_title, sentence, wrapped

NEEDS = ("estimates",)
HATCHES = {
    "recovered": "",
    "improved": "//",
    "unchanged": "",
    "deteriorated": "\\\\",
    "harmed": "xx",
}
LEAST_LABELLED = 0.055  # a share narrower than this has no room for its label


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw one bar of shares for each outcome and definition.

    Raises
    ------
    NothingToDraw
        If no share was estimated, or all are suppressed.
    """
    estimates = tables["estimates"]
    shares = estimates[(estimates["analysis"] == "reliable_change") & (estimates["estimand"] == "share")]
    shares = need(shares[shares["estimate"].notna()], "estimates", "no share of change could be shown")
    bars = shares[["outcome", "definition", "primary"]].drop_duplicates()
    bars = bars.sort_values(["outcome", "primary", "definition"], ascending=[True, False, True], kind="stable").reset_index(
        drop=True
    )
    with look():
        figure = new_figure(1.3 + 0.42 * len(bars) + 0.25 * bars["outcome"].nunique())
        ax = figure.subplots()
        height, places = 0.0, []
        before = ""
        for bar in records(bars):
            height += 1.0 if bar["outcome"] == before else 1.6
            before = bar["outcome"]
            places.append(-height)
            left = 0.0
            own = shares[(shares["outcome"] == bar["outcome"]) & (shares["definition"] == bar["definition"])].set_index("group")
            for category in [c for c in CATEGORIES if c in own.index]:
                width = float(own.loc[category, "estimate"])
                colour = CHANGE_MARKS[category][0]
                ax.barh(
                    -height, width, left=left, height=0.8, color="white" if category == "unchanged" else colour, edgecolor=INK,
                    linewidth=0.6, hatch=HATCHES[category],
                    label=category,
                )  # fmt: skip
                if width >= LEAST_LABELLED:
                    ax.text(
                        left + width / 2, -height, percent(width), ha="center", va="center", fontsize=8.5,
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.9},
                    )  # fmt: skip
                left += width
        labels = [f"{bar['definition'] or 'primary'}{' (primary)' if bar['primary'] else ''}" for bar in records(bars)]
        ax.set_yticks(places, [wrapped(label) for label in labels])
        for outcome in bars["outcome"].unique():
            top = max(p for p, o in zip(places, bars["outcome"], strict=True) if o == outcome)
            n = shares.loc[shares["outcome"] == outcome, "n"].max()
            ax.text(0, top + 0.62, f"{score_title(outcome, settings)} (n = {count(n)})", fontweight="bold", va="center")
        ax.set(xlim=(0, 1), ylim=(-height - 0.6, -0.4), xlabel="Share of people with both occasions (%)")
        ax.set_xticks(np.linspace(0, 1, 6), [f"{v:.0f}" for v in np.linspace(0, 100, 6)])
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        handles, names = ax.get_legend_handles_labels()
        unique = {n: h for h, n in zip(handles, names, strict=True)}
        order = [c for c in CATEGORIES if c in unique]
        figure.legend([unique[c] for c in order], order, loc="outside lower center", ncols=3)
    first = primary_definition(shares).drop_duplicates(["outcome", "group"])
    words = []
    for outcome in bars["outcome"].unique():
        part = first[first["outcome"] == outcome].set_index("group")
        listed = ", ".join(f"{c} {percent(part.loc[c, 'estimate'])}" for c in CATEGORIES if c in part.index)
        words.append(f"{score_title(outcome, settings)}, primary definition: {listed}")
    caption = sentence(*words, "Shares that are suppressed leave their bar short of 100 %" if _short(shares) else "")
    data = shares[["outcome", "definition", "primary", "group", "estimate", "ci_low", "ci_high", "n"]].reset_index(drop=True)
    return Drawing(figure, data, caption, "Stacked bars of shares by category of change, a bar a definition. " + caption)


def _short(shares: pd.DataFrame) -> bool:
    return bool((shares.groupby(["outcome", "definition"])["estimate"].sum() < 1 - 1e-6).any())

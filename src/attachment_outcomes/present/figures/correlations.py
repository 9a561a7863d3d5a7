"""How strongly dimensions go together between generations and between partners."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import BLUE, GREY, ORANGE, look, new_figure
from attachment_outcomes.present.words import count, level_text, outcome_title, sentence, with_interval, wrapped

NEEDS = ("estimates",)
KINDS = {"transmission_correlation": ("parent and child", BLUE, "o"), "couple_correlation": ("partners", ORANGE, "s")}


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw correlations with their intervals, a row a pair of dimensions.

    Raises
    ------
    NothingToDraw
        If no correlation was estimated.
    """
    estimates = tables["estimates"]
    own = estimates[estimates["analysis"].isin(KINDS) & (estimates["estimand"] == "correlation") & estimates["estimate"].notna()]
    own = need(own, "estimates", "no correlation between generations or partners was estimated")
    own = own.sort_values(["analysis", "outcome", "group"], ascending=[False, True, True], kind="stable").reset_index(drop=True)
    places = list(range(len(own), 0, -1))
    with look():
        figure = new_figure(1.4 + 0.36 * len(own))
        ax = figure.subplots()
        for kind, (name, colour, marker) in KINDS.items():
            mine = [i for i, a in enumerate(own["analysis"]) if a == kind]
            if mine:
                at = [places[i] for i in mine]
                ax.hlines(at, own.loc[mine, "ci_low"], own.loc[mine, "ci_high"], color=colour, linewidth=2)
                ax.plot(own.loc[mine, "estimate"], at, marker, color=colour, linestyle="", markersize=6.5, label=name)
        for row, place in zip(records(own), places, strict=True):
            ax.text(
                1.02,
                place,
                f"{with_interval(row)}, n = {count(row['n'])}",
                transform=ax.get_yaxis_transform(),
                va="center",
                fontsize=8.5,
            )
        ax.axvline(0, color=GREY, linewidth=0.9)
        ax.set_yticks(places, [wrapped(_name(row, settings), 42) for row in records(own)])
        ax.set_xticks(np.linspace(-1, 1, 5))
        ax.set(xlim=(-1, 1), ylim=(0.4, len(own) + 0.6), xlabel=f"Correlation r with {level_text(settings)} interval (0 = none)")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    listed = [f"{_name(row, settings)} r = {with_interval(row)}, n = {count(row['n'])}" for row in records(own)]
    data = own[["analysis", "outcome", "group", "estimate", "ci_low", "ci_high", "n", "n_clusters"]]
    caption = sentence("; ".join(listed))
    return Drawing(figure, data, caption, "Correlations with intervals. " + caption)


def _name(row: dict[str, Any], settings: dict[str, Any]) -> str:
    parts = [outcome_title(str(row["outcome"]), settings), str(row["group"])]
    return ", ".join(p for p in parts if p)

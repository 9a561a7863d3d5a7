"""How reliable the scores are in these data."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import BLUE, GREY, look, new_figure
from attachment_outcomes.present.words import count, level_text, score_title, sentence, with_interval, wrapped

NEEDS = ("estimates",)


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw Cronbach's alpha of each score with its interval.

    Raises
    ------
    NothingToDraw
        If no item responses were there to estimate it from.
    """
    estimates = tables["estimates"]
    own = estimates[
        (estimates["analysis"] == "reliability") & (estimates["estimand"] == "cronbach_alpha") & estimates["estimate"].notna()
    ]
    own = need(own, "estimates", "no alpha was estimated, since there are no item responses")
    own = own.sort_values(["outcome", "group"], kind="stable").reset_index(drop=True)
    places = list(range(len(own), 0, -1))
    names = [", ".join(p for p in (score_title(str(r["outcome"]), settings), str(r["group"])) if p) for r in records(own)]
    with look():
        figure = new_figure(1.2 + 0.34 * len(own))
        ax = figure.subplots()
        ax.hlines(places, own["ci_low"], own["ci_high"], color=BLUE, linewidth=2)
        ax.plot(own["estimate"], places, "o", color=BLUE, markersize=6.5)
        for row, place in zip(records(own), places, strict=True):
            ax.text(
                1.02,
                place,
                f"{with_interval(row)}, n = {count(row['n'])}",
                transform=ax.get_yaxis_transform(),
                va="center",
                fontsize=8.5,
            )
        ax.axvline(0.7, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.set_yticks(places, [wrapped(name, 42) for name in names])
        low = min(0.5, float(own[["estimate", "ci_low"]].min().min()) - 0.05)
        ax.set(
            xlim=(low, 1),
            ylim=(0.4, len(own) + 0.6),
            xlabel=f"Cronbach's alpha with {level_text(settings)} interval (higher = more reliable)",
        )
    listed = [f"{name} {with_interval(row)}" for name, row in zip(names, records(own), strict=True)]
    data = own[["outcome", "group", "estimate", "ci_low", "ci_high", "n"]]
    caption = sentence("; ".join(listed), "The dashed line is .70, a customary least value for comparing groups")
    return Drawing(figure, data, caption, "Alpha by score. " + caption)

"""Who was seen at each occasion, and how the others are missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records, told
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, SKY, look, panels, place_legend
from attachment_outcomes.present.words import count, percent, score_title, sentence

NEEDS = ("missingness", "estimates")
# column, its name, colour, hatch; from the bottom up
PARTS = [
    ("n_seen", "seen", BLUE, ""),
    ("n_intermittent", "missed, seen again later", SKY, "//"),
    ("n_later", "not yet seen", ORANGE, "xx"),
    ("n_dropout", "not seen any more", GREY, ".."),
    ("n_never", "never seen", "white", ""),
]
AXIS = {"wave": "Wave", "session": "Session"}
LEAST_LABELLED = 0.06


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw each outcome's people at each occasion, as parts of those expected.

    Raises
    ------
    NothingToDraw
        If no outcome has two occasions, or every count is suppressed.
    """
    rows = need(tables["missingness"], "missingness", "no outcome was taken at two occasions")
    rows = need(rows[rows["n_seen"].notna()], "missingness", "every count is suppressed")
    outcomes = list(rows["outcome"].unique())
    hidden = int(rows[[c for c, *_ in PARTS]].isna().to_numpy().sum())
    words = []
    with look():
        figure, axes = panels(len(outcomes), height=2.9)
        for ax, outcome in zip(axes, outcomes, strict=True):
            part = rows[rows["outcome"] == outcome].sort_values("occasion")
            place, floor = np.arange(len(part)), np.zeros(len(part))
            expected = part["n_expected"].to_numpy(dtype=float)
            for column, name, colour, hatch in PARTS:
                share = part[column].fillna(0).to_numpy(dtype=float) / expected
                ax.bar(
                    place,
                    100 * share,
                    0.72,
                    bottom=100 * floor,
                    color=colour,
                    hatch=hatch,
                    edgecolor=INK,
                    linewidth=0.6,
                    label=name,
                )
                if column == "n_seen":
                    for x, value in zip(place, share, strict=True):
                        if value >= LEAST_LABELLED:
                            ax.text(float(x), 100 * value - 3, percent(value), ha="center", va="top", color="white", fontsize=8.5)
                floor += share
            ax.set_xticks(place, [str(int(o)) for o in part["occasion"]])
            time = AXIS[(settings.get("change") or {}).get("occasions", "wave")]
            ax.set(title=score_title(outcome, settings), xlabel=time, ylabel="People expected (%)", ylim=(0, 100))
            words.append(_words(tables["estimates"], outcome, part, settings))
        place_legend(figure, *axes[0].get_legend_handles_labels())
    note = f"{hidden} counts are suppressed and not drawn" if hidden else ""
    caption = sentence(*words, note)
    listed = [
        f"{score_title(str(r['outcome']), settings)}, occasion {count(r['occasion'])}: {count(r['n_seen'])} seen"
        for r in records(rows)
    ]
    data = rows[["outcome", "occasion", "n_expected", *(c for c, *_ in PARTS)]].reset_index(drop=True)
    return Drawing(figure, data, caption, "Bars of who was seen at each occasion. " + sentence("; ".join(listed)))


def _words(estimates: pd.DataFrame, outcome: str, part: pd.DataFrame, settings: dict[str, Any]) -> str:
    last = records(part)[-1]
    seen = told(estimates, "of those who began, seen at the end", settings, analysis="missing_data", outcome=outcome,
                estimand="seen_at_end")  # fmt: skip
    first = f"{count(last['n_seen'])} of {count(last['n_expected'])} expected were seen at the end"
    return f"{score_title(outcome, settings)}: " + "; ".join(p for p in (first, seen) if p)

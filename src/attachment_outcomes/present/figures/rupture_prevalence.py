"""How many clients have a rupture under each criterion, beside what the criterion finds in pure noise."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.ticker import PercentFormatter

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import BLUE, GREY, look, new_figure
from attachment_outcomes.present.words import level_text, percent, plain, sentence, with_interval

NEEDS = ("estimates",)


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the share of clients with a rupture, a row a criterion.

    Raises
    ------
    NothingToDraw
        If no share was estimated, or all are suppressed.
    """
    estimates = tables["estimates"]
    own = estimates[estimates["analysis"] == "rupture_prevalence"]
    seen = own[(own["estimand"] == "share_with_rupture") & own["estimate"].notna()]
    seen = need(seen, "estimates", "no share of clients with a rupture could be shown")
    seen = seen.sort_values(["primary", "definition"], ascending=[False, True]).reset_index(drop=True)
    noise = own[own["estimand"] == "expected_on_noise"].drop_duplicates("definition").set_index("definition")["estimate"]
    expected = [noise.get(d, float("nan")) for d in seen["definition"]]
    places = list(range(len(seen), 0, -1))
    with look():
        figure = new_figure(1.5 + 0.45 * len(seen))
        ax = figure.subplots()
        ax.hlines(places, seen["ci_low"], seen["ci_high"], color=BLUE, linewidth=2)
        ax.plot(
            seen["estimate"],
            places,
            "o",
            color=BLUE,
            markersize=7,
            label=f"clients with a rupture, {level_text(settings)} interval",
        )
        ax.plot(
            expected,
            places,
            "D",
            markerfacecolor="white",
            markeredgecolor=GREY,
            color=GREY,
            markersize=6.5,
            label="expected on noise alone",
        )
        ax.set_yticks(
            places, [plain(d) + (" (primary)" if p else "") for d, p in zip(seen["definition"], seen["primary"], strict=True)]
        )
        ax.set(xlim=(-0.02, 1.02), ylim=(0.4, len(seen) + 0.6), xlabel="Share of clients (%)")
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
        ax.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    listed = [
        f"{plain(row['definition'])} {with_interval(row)}" + ("" if pd.isna(e) else f" (noise alone {percent(e)})")
        for row, e in zip(records(seen), expected, strict=True)
    ]
    caption = sentence("; ".join(listed), "A criterion that finds no more than it finds in noise says nothing about ruptures")
    data = seen[["definition", "primary", "estimate", "ci_low", "ci_high", "n"]].assign(expected_on_noise=expected)
    return Drawing(
        figure, data, caption, "Shares of clients with a rupture by criterion, with the share expected on noise. " + caption
    )

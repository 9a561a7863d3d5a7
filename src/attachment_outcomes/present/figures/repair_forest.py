"""How far repair goes with outcome in this study, beside what meta-analyses found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import BLUE, GREY, INK, look, new_figure
from attachment_outcomes.present.words import count, interval_text, level_text, number, plain, sentence

NEEDS = ("repair_literature",)
OWN, PUBLISHED = "this study", "published"
ROW = 0.36  # inches a row
RECALLED = "recalled"


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the study's own correlations above and the published ones below.

    Raises
    ------
    NothingToDraw
        If the study has no correlation of its own.
    """
    rows = tables["repair_literature"]
    own = need(rows[(rows["source"] == OWN) & rows["r"].notna()], "repair_literature", "no correlation of repair and outcome here")
    primary = own.loc[own["primary"].astype(bool), "key"]
    first = primary.iloc[0] if len(primary) else own["key"].iloc[0]
    # Of the criteria that are not primary the share repaired is enough.
    own = own[(own["key"] == first) | (own["label"] != "repaired against unrepaired")]
    own = own.assign(_first=own["key"] == first, _rated=own["label"] == "rated resolution")
    own = own.sort_values(["_first", "_rated", "primary"], ascending=[False, True, False], kind="stable")
    other = rows[rows["source"] == PUBLISHED]
    shown = pd.concat([own, other], ignore_index=True)
    places = np.array([*range(len(shown) + 1, len(other) + 1, -1), *range(len(other), 0, -1)], dtype=float)
    with look():
        figure = new_figure(1.4 + ROW * (len(shown) + 1), width=8.6)
        ax = figure.subplots()
        for row, place in zip(records(shown), places, strict=True):
            colour, marker, face = _mark(row)
            ax.hlines(place, row["ci_low"], row["ci_high"], color=colour, linewidth=2.2 if row["primary"] else 1.5)
            ax.plot(row["r"], place, marker, color=colour, markerfacecolor=face, markersize=8 if row["primary"] else 6.5)
            ax.text(1.02, place, _numbers(row), transform=ax.get_yaxis_transform(), va="center", fontsize=8)
        ax.axvline(0, color=GREY, linewidth=0.9)
        ax.axhline(len(other) + 1, color="#CCCCCC", linewidth=0.8)
        ax.set_yticks(places, [_label(r) for r in records(shown)], fontsize=8.5)
        for tick, flag in zip(ax.get_yticklabels(), shown["primary"].astype(bool), strict=True):
            tick.set_fontweight("bold" if flag else "normal")
        low, high = min(-0.2, float(shown["ci_low"].min()) - 0.05), max(0.6, float(shown["ci_high"].max()) + 0.05)
        ax.set(
            xlim=(low, high), ylim=(0.3, len(shown) + 1.9), xlabel="Correlation with better outcome (r)",
        )  # fmt: skip
        ax.text(
            1.02,
            len(shown) + 1.75,
            f"r [{level_text(settings)} CI]; n, k",
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=8,
        )
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    listed = [f"{_label(r, short=True)} r = {_value(r)}" for r in records(own)]
    published = [f"{r['label']} r = {_value(r)}" for r in records(other)]
    doubtful = other.loc[other["standing"] == RECALLED, "label"]
    caption = sentence(
        f"Filled squares, this study: {'; '.join(listed)}",
        f"Open diamonds, published: {'; '.join(published)}",
        f"Recalled and not checked in their source: {'; '.join(doubtful)}" if len(doubtful) else "",
        "Published values are shown for comparison and pooled with nothing; k is the number of studies behind them. The study's "
        "own are partial correlations given the covariates, which theirs need not be. Associations, not effects",
    )
    data = shown[["source", "key", "label", "primary", "r", "ci_low", "ci_high", "k", "n", "standing", "citation"]]
    return Drawing(figure, data, caption, "Correlations of repair with outcome, this study beside published ones. " + caption)


def _mark(row: dict[str, Any]) -> tuple[str, str, str]:
    """Return colour, marker and filling."""
    if row["source"] == OWN:
        return (BLUE, "s", BLUE)
    return (GREY if row["standing"] == RECALLED else INK, "D", "white")


def _label(row: dict[str, Any], *, short: bool = False) -> str:
    if row["source"] == OWN:
        return f"{row['label']}, {plain(str(row['key']))}" + (" (primary)" if row["primary"] and not short else "")
    return str(row["label"]) + (", recalled" if row["standing"] == RECALLED else "")


def _value(row: dict[str, Any]) -> str:
    return f"{number(row['r'], bounded=True)} {interval_text(row['ci_low'], row['ci_high'], 'r')}".strip()


def _numbers(row: dict[str, Any]) -> str:
    n = f"n = {count(row['n'])}" if pd.notna(row["n"]) else "n not shown" if row["source"] == OWN else ""
    k = f"k = {count(row['k'])}" if pd.notna(row["k"]) else ""
    return f"{_value(row)}; {', '.join(filter(None, [n, k]))}"

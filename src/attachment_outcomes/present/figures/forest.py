"""How far samples agree with each other: what each one says of the primary measure, and what pooling gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one, records, rows_of
from attachment_outcomes.present.sample_marks import Shown, axis_label, chosen, flagged, interval_words, on_axis, value_words
from attachment_outcomes.present.style import BLUE, GREY, INK, PALE, VERMILION, look, new_figure
from attachment_outcomes.present.words import SUPPRESSED, count, level_text, number, percent, plain, sentence, with_interval

NEEDS = ("sample_effects", "sample_statistics", "estimates")
ROW = 0.172  # inches a sample, so that 67 samples fill one tall page and can still be read
BELOW = 1.9  # rows between pooled values
LONGEST_LABEL = 54
WIDTH = 8.9
KEPT = [
    "system", "measure", "unit", "sample_id", "label", "own", "n", "estimate", "ci_low", "ci_high", "weight", "differs",
]  # fmt: skip


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the primary measure of every sample with its interval, the largest on top, and the pooled values below.

    Raises
    ------
    NothingToDraw
        If no sample has an effect.
    """
    effects = chosen(tables["sample_effects"])
    need(effects[effects["estimate"].notna()], "sample_effects", "no sample says anything of what is pooled")
    rows = flagged(effects, tables["sample_statistics"]).sort_values(["estimate", "label"], ascending=[False, True], kind="stable")
    rows = rows.reset_index(drop=True)
    shown = Shown(str(rows["system"].iloc[0]), str(rows["measure"].iloc[0]), str(rows["unit"].iloc[0]))
    pooled = _pooled(tables["estimates"], shown)
    places = np.arange(len(rows), 0, -1, dtype=float)
    below = [-1.3 - BELOW * i for i in range(len(pooled))]
    with look():
        figure = new_figure(1.5 + ROW * len(rows) + 0.31 * len(pooled), width=WIDTH)
        ax = figure.subplots()
        _samples(ax, rows, places, shown)
        for item, place in zip(pooled, below, strict=True):
            _diamond(ax, item, place, shown)
        if pooled:
            ax.axvline(on_axis(pooled[0]["row"]["estimate"], shown), color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        if shown.nothing is not None:
            ax.axvline(on_axis(shown.nothing, shown), color=GREY, linewidth=0.9, zorder=0)
        labels = [_label(r) for r in records(rows)]
        ax.set_yticks([*places, *below], [*labels, *(p["name"] for p in pooled)], fontsize=7.5)
        bold = [bool(r["own"]) for r in records(rows)] + [True] * len(pooled)
        for tick, strong in zip(ax.get_yticklabels(), bold, strict=True):
            tick.set_fontweight("bold" if strong else "normal")
        head = f"[{level_text(settings)} CI]" + (", weight" if rows["weight"].notna().any() else "")
        ax.text(1.02, len(rows) + 1.3, head, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
        if shown.logarithmic:
            ax.set_xscale("log")
        ax.set(ylim=((below[-1] if below else 1) - 1.0, len(rows) + 1), xlabel=axis_label(shown))
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    caption = _caption(rows, pooled, tables["estimates"], shown)
    return Drawing(figure, rows[KEPT], caption, f"Forest plot of {plain(shown.measure)} by sample. " + caption)


def _samples(ax: Axes, rows: pd.DataFrame, places: np.ndarray, shown: Shown) -> None:
    """Draw each sample's interval and a mark whose area is its weight, or grows with its people where nothing is pooled."""
    values, low, high = (on_axis(rows[c].to_numpy(dtype=float), shown) for c in ("estimate", "ci_low", "ci_high"))
    own, differs = rows["own"].to_numpy(dtype=bool), rows["differs"].to_numpy(dtype=bool)
    colour = np.where(own, INK, np.where(differs, VERMILION, BLUE))
    ax.hlines(places, low, high, color=colour, linewidth=np.where(own, 1.9, 1.1))
    heavy = rows["weight"] if rows["weight"].notna().any() else rows["n"]
    size = 9 + 52 * np.sqrt((heavy / heavy.max()).fillna(0).to_numpy(dtype=float))
    for mask, face, marker in ((~own & ~differs, BLUE, "s"), (~own & differs, VERMILION, "D"), (own, INK, "o")):
        ax.scatter(values[mask], places[mask], s=size[mask], color=face, marker=marker, zorder=3)
    for row, place in zip(records(rows), places, strict=True):
        strong = "bold" if row["own"] else "normal"
        ax.text(1.02, place, _numbers(row, shown), transform=ax.get_yaxis_transform(), va="center", fontsize=7.5, fontweight=strong)


def _pooled(estimates: pd.DataFrame, shown: Shown) -> list[dict[str, Any]]:
    """Return the pooled rows: the primary one with its prediction interval, that of three levels, and all tables summed."""
    keys: dict[str, object] = {"analysis": "pooled_samples", "outcome": shown.system}
    rows = rows_of(estimates, **keys, estimand=shown.measure)
    primary = one(estimates, **keys, estimand=shown.measure)
    nested = next((r for r in rows if r["definition"] == "three levels, CR2"), None)
    summed = one(estimates, analysis="pooled_table", outcome=shown.system, estimand=shown.measure)
    spread = one(estimates, **keys, estimand=f"{shown.measure}_prediction_interval")
    wanted = (
        (primary, "pooled, random effects", spread),
        (nested, "pooled, samples in clusters", None),
        (summed, "all tables summed", None),
    )
    found = []
    for row, name, limits in wanted:
        if row is not None and not np.isnan(row["estimate"]):
            ends = (limits["ci_low"], limits["ci_high"]) if limits is not None and not np.isnan(limits["ci_low"]) else None
            found.append({"name": name, "row": row, "ends": ends})
    return found


def _diamond(ax: Axes, item: dict[str, Any], place: float, shown: Shown) -> None:
    row = item["row"]
    value, low, high = (on_axis(row[c], shown) for c in ("estimate", "ci_low", "ci_high"))
    if item["ends"] is not None:
        ends = [on_axis(x, shown) for x in item["ends"]]
        ax.hlines(place, *ends, color=INK, linewidth=1.2)
        ax.vlines(ends, place - 0.35, place + 0.35, color=INK, linewidth=1.2)
    if np.isnan(low):
        ax.plot(value, place, "D", color=INK, markerfacecolor="white")
    else:
        corners = [(low, place), (value, place + 0.65), (high, place), (value, place - 0.65)]
        ax.add_patch(Polygon(corners, closed=True, facecolor=PALE, edgecolor=INK, linewidth=1.2, zorder=3))
    ax.text(1.02, place, with_interval(row), transform=ax.get_yaxis_transform(), va="center", fontsize=7.5, fontweight="bold")


def _label(row: dict[str, Any]) -> str:
    label = str(row["label"])
    label = label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
    return f"{label} (n = {count(row['n'])})"


def _numbers(row: dict[str, Any], shown: Shown) -> str:
    if np.isnan(row["estimate"]):
        return SUPPRESSED
    weight = f", {percent(row['weight'], 1)}" if not np.isnan(row["weight"]) else ""
    return f"{value_words(row['estimate'], shown)} {interval_words(row['ci_low'], row['ci_high'], shown)}".strip() + weight


def _caption(rows: pd.DataFrame, pooled: list[dict[str, Any]], estimates: pd.DataFrame, shown: Shown) -> str:
    people, many = rows["n"].sum(), "1 sample" if len(rows) == 1 else f"{len(rows)} samples"
    hidden = int(rows["estimate"].isna().sum())
    words = []
    for item in pooled:
        ends = item["ends"]
        spread = "" if ends is None else f", prediction interval {interval_words(ends[0], ends[1], shown)}"
        words.append(f"{item['name']} {with_interval(item['row'])}{spread}")
    between = one(estimates, analysis="pooled_samples", outcome=shown.system, estimand=f"{shown.measure}_i2")
    i2 = "" if between is None or np.isnan(between["estimate"]) else f"I² {percent(between['estimate'])}"
    method = f"Primary: {pooled[0]['row']['method']}" if pooled and pooled[0]["row"]["analysis"] == "pooled_samples" else ""
    marked = rows.loc[rows["differs"].astype(bool), "label"]
    return sentence(
        f"{shown.system}, {plain(shown.measure)}; {many}, n = {'at least ' if hidden else ''}{count(people)}",
        "; ".join([*words, *filter(None, [i2])]),
        method,
        "A mark's area grows with the sample's weight; a diamond spans the interval of a pooled value" if pooled else "",
        "The line through it is the prediction interval: where the true value of a new sample is expected"
        if any(p["ends"] is not None for p in pooled)
        else "",
        "The black circle is this study" if rows["own"].any() else "",
        f"Red diamonds: stated kappa differs from that of the sample's own counts ({len(marked)})" if len(marked) else "",
        f"{number(hidden, 0)} suppressed because of small counts" if hidden else "",
    )

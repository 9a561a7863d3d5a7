"""How often parent and child correspond: as seen, without error, and as perfect transmission would be seen through error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from attachment_outcomes.inference.estimate import NOT_TESTABLE
from attachment_outcomes.measures.codes import WAYS
from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import Row, records
from attachment_outcomes.present.style import BLUE, GREY, INK, VERMILION, look, new_figure, place_legend
from attachment_outcomes.present.words import SUPPRESSED, level_text, sentence, with_interval

NEEDS = ("estimates",)
ANALYSIS = "transmission_corrected"
PANELS = {"agreement": "Share of pairs that correspond", "kappa": "Kappa"}
# group, estimand (that of the panel where empty): height in the row, colour, marker, filling, name
MARKS: dict[tuple[str, str], tuple[float, str, str, str, str]] = {
    ("observed", ""): (0.17, INK, "o", "white", "as seen"),
    ("corrected", ""): (-0.17, BLUE, "s", BLUE, "without error"),
    ("ceiling", ""): (0.0, VERMILION, "|", VERMILION, "ceiling: perfect transmission, as seen"),
    ("observed", "chance_agreement"): (0.17, GREY, "x", GREY, "by chance"),
}
WITH_INTERVAL = ("observed", "corrected", "ceiling")
SHOWN = ("observed", "corrected")  # their numbers are named as suppressed where they are
ROW = 0.62  # inches a way
MOST = 1.3  # axes end here; what lies beyond has an arrow


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw, for each way of reading the classes, agreement and kappa as seen and corrected, with ceiling and chance.

    Raises
    ------
    NothingToDraw
        If no way has a correction.
    """
    every = tables["estimates"][tables["estimates"]["analysis"] == ANALYSIS]
    rows = need(every[every["estimand"] != NOT_TESTABLE], "estimates", "no way of reading the classes could be corrected")
    primary = rows.loc[rows["primary"].astype(bool), "definition"].unique()
    ways = sorted(rows["definition"].unique(), key=lambda w: (w not in primary, WAYS.index(w) if w in WAYS else len(WAYS), w))
    found = {(r["definition"], r["group"], r["estimand"]): r for r in records(rows)}
    with look():
        figure = new_figure(1.5 + ROW * len(ways), width=8.6)
        axes = figure.subplots(1, 2, sharey=True)
        for ax, panel in zip(axes, PANELS, strict=True):
            _panel(ax, panel, ways, found)
        axes[0].set_yticks(range(len(ways)), [_label(way) for way in ways])
        axes[0].set_ylim(len(ways) - 0.5, -0.5)
        place_legend(figure, _handles(), columns=4)
    shown = rows[rows["estimand"].isin([*PANELS, "chance_agreement"]) & rows["group"].isin(["observed", "corrected", "ceiling"])]
    told = [_told(way, found) for way in ways]
    silent = every.loc[every["estimand"] == NOT_TESTABLE]
    left = [f"{r['definition']} ({r['note']})" if r["definition"] else str(r["note"]) for r in records(silent)]
    beyond = [way for way in ways if "above the ceiling" in str(found.get((way, "corrected", "kappa"), {}).get("note", ""))]
    caption = sentence(
        f"With {level_text(settings)} intervals: " + ". ".join(told),
        "What is seen is above the ceiling, so that the classifications must be more reliable here than was given: "
        + "; ".join(beyond)
        if beyond
        else "",
        "Not corrected: " + "; ".join(left) if left else "",
        f"Small counts are {SUPPRESSED}" if any(SUPPRESSED in str(note) for note in shown["note"]) else "",
        "The errors of the two classifications are taken to be independent",
    )
    data = shown[["definition", "group", "estimand", "estimate", "ci_low", "ci_high", "n", "note"]].reset_index(drop=True)
    return Drawing(
        figure, data, caption, "Agreement and kappa of parents' and children's classes, as seen and without error. " + caption
    )


def _panel(ax: Axes, panel: str, ways: list[str], found: dict[tuple[str, str, str], Row]) -> None:
    values = [
        row[column]
        for (_, group, estimand), row in found.items()
        if estimand == panel and group in ("observed", "corrected", "ceiling")
        for column in ("estimate", "ci_low", "ci_high")
    ]
    finite = np.array([v for v in values if np.isfinite(v)])
    low = min(0.0, float(finite.min()) - 0.03) if len(finite) else 0.0
    high = float(np.clip(finite.max() + 0.03, 1.0, MOST)) if len(finite) else 1.0
    for place, way in enumerate(ways):
        if place:
            ax.axhline(place - 0.5, color="#DDDDDD", linewidth=0.7)
        for (group, estimand), (up, colour, marker, face, _) in MARKS.items():
            if estimand and panel != "agreement":
                continue
            row = found.get((way, group, estimand or panel))
            if row is None:
                continue
            if np.isnan(row["estimate"]):
                if group in SHOWN and not estimand:
                    ax.text(low + 0.02, place - up, SUPPRESSED, va="center", fontsize=8, color=colour)
                continue
            size = 10 if marker == "|" else 6.5
            if group in WITH_INTERVAL and not estimand:
                ax.hlines(place - up, row["ci_low"], min(row["ci_high"], high), color=colour, linewidth=1.7)
                if row["ci_high"] > high:
                    ax.plot(high, place - up, ">", color=colour, markersize=6, clip_on=False)
            ax.plot(
                min(row["estimate"], high),
                place - up,
                marker,
                color=colour,
                markerfacecolor=face,
                markersize=size,
                markeredgewidth=1.8,
            )
    ax.axvline(1, color=GREY, linewidth=0.7, linestyle=":")
    if panel == "kappa":
        ax.axvline(0, color=GREY, linewidth=0.9)
    ax.set(xlim=(low, high), xlabel=PANELS[panel])
    if panel == "agreement":
        ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _handles() -> list[Line2D]:
    return [
        Line2D(
            [], [], color=colour, marker=marker, markerfacecolor=face, markersize=10 if marker == "|" else 6.5, markeredgewidth=1.8,
            linestyle="-" if group in WITH_INTERVAL and not estimand else "none", label=name,
        )
        for (group, estimand), (_, colour, marker, face, name) in MARKS.items()
    ]  # fmt: skip


def _label(way: str) -> str:
    return way.replace(", ", ",\n")


def _told(way: str, found: dict[tuple[str, str, str], Row]) -> str:
    """Return a way's agreement and kappa, seen and corrected, in words."""
    parts = []
    for panel in PANELS:
        seen, corrected, ceiling = (found.get((way, group, panel)) for group in ("observed", "corrected", "ceiling"))
        words = [f"{with_interval(row)} {name}" for row, name in ((seen, "as seen"), (corrected, "without error")) if row]
        if ceiling and not np.isnan(ceiling["estimate"]):
            words.append(f"about {with_interval(ceiling)} to be seen if transmission were perfect")
        parts.append(f"{panel} {', '.join(words)}")
    return f"{way}: {'; '.join(parts)}"

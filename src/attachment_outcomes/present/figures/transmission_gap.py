"""Through what transmission runs, and what that leaves: the paths, the parts of the total, and what the parts depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import Row, records, rows_of
from attachment_outcomes.present.style import BLUE, GREY, INK, SKY, VERMILION, look, new_figure
from attachment_outcomes.present.words import (
    count,
    first_upper,
    interval_text,
    level_text,
    number,
    plain,
    score_title,
    sentence,
    with_interval,
    wrapped,
)

NEEDS = ("estimates", "gap_paths", "gap_sensitivity")
ANALYSIS, PARALLEL, JOINT = "transmission_gap", "parallel", "joint significance"
PARENT, CHILD, ALL = "parent", "child", "all mediators"
HALF_WIDTH, HALF_HEIGHT = 0.125, 0.085  # of a box
LEFT, MIDDLE, RIGHT = 0.13, 0.5, 0.87
LOW = 0.2  # height of the ends and of the direct path
LETTERS = 15  # in a line of a box
TOWARDS = 0.55  # where along an arrow its number stands, as a share of the way from an end to the mediator
LINE = 4.5  # points of a path of 1
FAINT = 0.6  # of a bar, so that its interval is seen on it in grey too
CURVES = [
    ("confounding", "Correlation of the errors of mediators\nand child by an unmeasured cause (rho)"),
    ("reliability", "Reliability of the mediators\n(1 = free of error)"),
]


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the parallel model of the study's own pairs, or of the first published correlations where there are none.

    Raises
    ------
    NothingToDraw
        If no path was estimated.
    """
    paths = tables["gap_paths"]
    paths = need(paths[(paths["definition"] == PARALLEL) & paths["estimate"].notna()], "gap_paths", "no path was estimated")
    own = paths[paths["primary"].fillna(False).astype(bool)]
    outcome = str((own if len(own) else paths).iloc[0]["outcome"])
    paths = paths[paths["outcome"] == outcome]
    curves = tables["gap_sensitivity"]
    curves = curves[(curves["outcome"] == outcome) & (curves["mediator"] == ALL) & curves["estimate"].notna()]
    mediators = [str(m) for m in paths.loc[paths["from"] == PARENT, "to"] if m != CHILD]
    parts = _parts(tables["estimates"], outcome, mediators, primary=len(own) > 0)
    titles = {m: _title(m, settings) for m in mediators} | _ends(outcome, settings, own=len(own) > 0)
    with look():
        upper, lower = 1.05 * len(mediators) + 2.0, 2.7 if len(curves) else 0.0
        figure = new_figure(upper + lower, width=9.2)
        grid = figure.add_gridspec(2, 1, height_ratios=[upper, lower]) if len(curves) else figure.add_gridspec(1, 1)
        diagram, bars = figure.add_subfigure(grid[0]).subplots(1, 2, width_ratios=[1.75, 1])
        _diagram(diagram, records(paths), mediators, titles)
        _bars(bars, parts, titles, settings)
        if len(curves):
            for ax, (kind, label) in zip(figure.add_subfigure(grid[1]).subplots(1, 2), CURVES, strict=True):
                _curve(ax, curves[curves["kind"] == kind], label, kind)
    told = [f"{_part_name(p, titles)} {_value(p)}" for p in parts if p["estimand"] != "share_unexplained"]
    shares = [p for p in parts if p["estimand"] == "share_unexplained" and pd.notna(p["estimate"])]
    share = [f"Left unexplained: {with_interval(p)} of the total" for p in shares]
    share += [p["note"].split(";")[0] for p in shares if "not a share" in str(p["note"])]
    n = next((p["n"] for p in parts if pd.notna(p["n"])), float("nan"))
    zero = next((number(r["estimate"], bounded=True) for r in _rho(tables["estimates"], outcome)), "")
    note = next((str(p["note"]) for p in parts if "recalled" in str(p["note"])), "")
    caption = sentence(
        "" if len(own) else f"{outcome}: from correlations alone",
        f"{count(n)} pairs" if pd.notna(n) else "",
        f"The total correlation and its parts [{level_text(settings)} CI]: {'; '.join(told)}",
        *share,
        f"An unmeasured cause that makes the errors of mediators and child correlate by {zero} would leave nothing indirect"
        if zero
        else "",
        "Recalled and not checked in their source" if note else "",
        "Arrows: standardised paths; dashed: the interval holds 0" if paths["ci_low"].notna().any() else "",
        "Below: what is left of the indirect paths and the gap under an unmeasured cause, and were the mediators only so reliable"
        if len(curves)
        else "",
        "Associations, not effects: mediators were observed, not allotted",
    )
    listed = "; ".join(f"{titles.get(p['from'], p['from'])} to {titles.get(p['to'], p['to'])} {_value(p)}" for p in records(paths))
    data = paths[["outcome", "definition", "from", "to", "estimate", "ci_low", "ci_high"]]
    return Drawing(figure, data, caption, f"Paths from parent to child: {' '.join(listed.split())}. {caption}")


def _parts(estimates: pd.DataFrame, outcome: str, mediators: list[str], *, primary: bool) -> list[Row]:
    """Return the total and its parts in the order in which they are drawn."""
    rows = [
        r
        for r in records(estimates[(estimates["analysis"] == ANALYSIS) & (estimates["outcome"] == outcome)])
        if r["definition"] == PARALLEL and r["method"] != JOINT and (r["primary"] or not primary)
    ]
    order = ["total", "indirect", "indirect_total", "gap", "share_unexplained"]
    kept = [r for r in rows if r["estimand"] in order]
    several = sum(r["estimand"] == "indirect" for r in kept) > 1
    kept = [r for r in kept if several or r["estimand"] != "indirect_total"]
    return sorted(kept, key=lambda r: (order.index(str(r["estimand"])), [*mediators, ""].index(str(r["group"]))))


def _rho(estimates: pd.DataFrame, outcome: str) -> list[Row]:
    return rows_of(estimates, analysis=ANALYSIS, outcome=outcome, estimand="rho_at_zero", group=ALL)


def _title(mediator: str, settings: dict[str, Any]) -> str:
    """Return a mediator's name: its scale's, without the interview that it was coded from, or the instrument's for a total."""
    known = settings.get("scales", {}).get(mediator)
    if known is None or known["title"] == "Total":
        return first_upper(score_title(mediator, settings))
    return str(known["title"]).split(",", maxsplit=1)[0]


def _ends(outcome: str, settings: dict[str, Any], *, own: bool) -> dict[str, str]:
    """Return what both ends are called."""
    names = outcome.split(" and ") if own else []
    if len(names) != 2:
        return {PARENT: "Parent's attachment", CHILD: "Child's attachment"}
    told = [score_title(name, settings) if "." in name else f"secure ({name})" for name in names]
    return {PARENT: f"Parent {told[0]}", CHILD: f"Child {told[1]}"}


def _diagram(ax: Axes, paths: list[Row], mediators: list[str], titles: dict[str, str]) -> None:
    """Draw boxes and arrows; the direct path, which is the gap, runs below."""
    lowest = 0.56 if len(mediators) == 2 else 0.48
    heights = np.linspace(0.94, lowest, len(mediators)) if len(mediators) > 1 else np.array([0.8])
    places = {PARENT: (LEFT, LOW), CHILD: (RIGHT, LOW)}
    places |= {m: (MIDDLE, float(y)) for m, y in zip(mediators, heights, strict=True)}
    for name, (x, y) in places.items():
        ax.add_patch(
            FancyBboxPatch(
                (x - HALF_WIDTH, y - HALF_HEIGHT), 2 * HALF_WIDTH, 2 * HALF_HEIGHT, boxstyle="round,pad=0,rounding_size=0.02",
                facecolor="white", edgecolor=INK, linewidth=1.0, zorder=3,
            )
        )  # fmt: skip
        ax.text(x, y, wrapped(titles[name], LETTERS), ha="center", va="center", fontsize=8.5, zorder=4)
    for path in paths:
        _arrow(ax, path, places)
    ax.set(xlim=(0, 1), ylim=(0.0, 1.04))
    ax.axis("off")


def _arrow(ax: Axes, path: Row, places: dict[str, tuple[float, float]]) -> None:
    direct = (path["from"], path["to"]) == (PARENT, CHILD)
    (x0, y0), (x1, y1) = places[str(path["from"])], places[str(path["to"])]
    start, end = (x0 + HALF_WIDTH, y0), (x1 - HALF_WIDTH, y1)
    if not direct:
        end_y = LOW
        # Arrows leave and reach the upper edge of an end side by side, that of the highest mediator outermost.
        highest = max(y for _, y in places.values())
        across = HALF_WIDTH * (1.1 - 1.6 * (max(y0, y1) - end_y) / max(highest - end_y, 1e-9))
        if path["from"] == PARENT:
            start = (x0 + across, y0 + HALF_HEIGHT)
        else:
            end = (x1 - across, y1 + HALF_HEIGHT)
    holds_zero = path["ci_low"] <= 0 <= path["ci_high"]  # never where there is no interval
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=VERMILION if direct else BLUE, shrinkA=0, shrinkB=0,
            linewidth=0.9 + LINE * min(abs(float(path["estimate"])), 1.0), linestyle=(0, (3, 1.6)) if holds_zero else "-", zorder=2,
        )
    )  # fmt: skip
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.92}
    if direct:
        ax.text((x0 + x1) / 2, y0 - 0.04, f"{_value(path)}\nthe gap", ha="center", va="top", fontsize=8.5, color=INK, bbox=box)
        return
    text = _value(path).replace(" [", "\n[")
    share = TOWARDS if path["from"] == PARENT else 1 - TOWARDS
    x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
    ax.text(x, y, text, ha="center", va="center", fontsize=8, zorder=5, bbox=box)


def _bars(ax: Axes, parts: list[Row], titles: dict[str, str], settings: dict[str, Any]) -> None:
    """Draw the total and its parts, each with its interval."""
    shown = [p for p in parts if p["estimand"] != "share_unexplained" and pd.notna(p["estimate"])]
    fills = {"total": ("#BBBBBB", ""), "indirect": (SKY, "//"), "indirect_total": (BLUE, ""), "gap": (VERMILION, "\\\\")}
    for place, part in enumerate(reversed(shown)):
        colour, hatch = fills[str(part["estimand"])]
        ax.barh(place, part["estimate"], height=0.62, color=to_rgba(colour, FAINT), hatch=hatch, edgecolor=INK, linewidth=0.6)
        if pd.notna(part["ci_low"]):
            ax.plot([part["ci_low"], part["ci_high"]], [place, place], color=INK, linewidth=1.4, solid_capstyle="butt")
            ax.plot(part["estimate"], place, "o", color=INK, markersize=3.5)
    names = [wrapped(_part_name(p, titles), 17) for p in reversed(shown)]
    ax.set_yticks(range(len(shown)), names, fontsize=8.5)
    ax.axvline(0, color=GREY, linewidth=0.9)
    intervals = f"({level_text(settings)} intervals)" if any(pd.notna(p["ci_low"]) for p in shown) else "(no intervals)"
    ax.set(xlabel=f"Correlation, and its parts\n{intervals}", ylim=(-0.6, len(shown) - 0.4))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _curve(ax: Axes, rows: pd.DataFrame, label: str, kind: str) -> None:
    """Draw how the indirect paths, and over reliability the gap, depend on what was not seen."""
    marks = {"indirect": (BLUE, "-", "Indirect, all mediators"), "indirect_total": (BLUE, "-", "Indirect, all mediators"),
             "gap": (VERMILION, "--", "Gap")}  # fmt: skip
    for estimand, part in rows.groupby("estimand", sort=False):
        colour, line, name = marks[str(estimand)]
        ordered = part.sort_values("value")
        ax.fill_between(ordered["value"], ordered["ci_low"], ordered["ci_high"], color=colour, alpha=0.18, linewidth=0)
        ax.plot(ordered["value"], ordered["estimate"], line, color=colour, label=name)
    ax.axhline(0, color=GREY, linewidth=0.9)
    if kind == "confounding":
        ax.axvline(0, color=GREY, linewidth=0.9, linestyle=":")
    ax.set(xlabel=label, ylabel="Part of the correlation")
    ax.legend(loc="best", fontsize=8)


def _part_name(part: Row, titles: dict[str, str]) -> str:
    name = str(part["estimand"])
    if name == "indirect":
        return f"through {_first_lower(titles.get(str(part['group']), plain(str(part['group']))))}"
    return {"total": "total", "indirect_total": "all indirect", "gap": "gap (direct)"}[name]


def _first_lower(text: str) -> str:
    """Return a name as it stands within a sentence; one that begins with an abbreviation stays."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _value(row: Row) -> str:
    return f"{number(row['estimate'], bounded=True)} {interval_text(row['ci_low'], row['ci_high'], 'r')}".strip()

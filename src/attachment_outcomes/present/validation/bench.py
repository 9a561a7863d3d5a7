"""How fast are fits of mixed models beside other packages? Seconds by clients, a line a package."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION, look, panels
from attachment_outcomes.present.words import count, first_upper, sentence

Record = Mapping[str, Any]
MARKS: dict[str, tuple[str, str, bool]] = {
    "attachment-outcomes": (BLUE, "o", True), "lme4": (VERMILION, "s", True), "statsmodels": (PURPLE, "D", True),
    "glmm": (GREEN, "^", True), "mixedlm": (ORANGE, "v", True), "mixedlm-rs": (SKY, "P", True), "gpboost": (INK, "X", True),
}  # fmt: skip
SHORT = {"attachment-outcomes": "ours"}
BY_SIZE = [("two_level", "balanced"), ("two_level", "unbalanced"), ("three_level", "balanced"), ("three_level", "unbalanced")]
ONE_SIZE = ["logistic", "many_fits", "many_outcomes"]
FORM_OF_ONE_SIZE = dict.fromkeys(ONE_SIZE[1:], "unbalanced")  # where nothing can be pooled
SIZES = (200, 5_000, 50_000, 200_000, 1_000_000)
ROOM = 2.2  # by which a panel goes beyond its last point, for labels
APART = 0.085  # of a panel's height, between the labels of lines that end near each other


def draw(record: Record) -> Drawing:
    """Draw the timings.

    Parameters
    ----------
    record
        Content of ``validation/bench/models.json``.

    Raises
    ------
    NothingToDraw
        If no fit was timed.
    """
    shown = need(points(record), "models.json", "no fit was timed")
    goal = goal_seconds(record)
    series = [(name, form) for name, form in BY_SIZE if ((shown["model"] == name) & (shown["form"] == form)).any()]
    one_size = [name for name in ONE_SIZE if (shown["model"] == name).any()]
    session = (shown["model"] == "session").any()
    with look():
        figure, axes = panels(len(series) + int(session) + int(bool(one_size)), height=2.9)
        places = iter(axes)
        growth = shown[shown["model"].isin([name for name, _ in BY_SIZE])]
        for name, form in series:
            part = shown[(shown["model"] == name) & (shown["form"] == form)]
            _by_size(next(places), part, goal, f"{first_upper(part['title'].iloc[0])}, {form}", growth["seconds"])
        if session:
            part = shown[shown["model"] == "session"]
            _by_size(next(places), part, goal, first_upper(part["title"].iloc[0]), part["seconds"])
        if one_size:
            _by_model(next(places), shown[shown["model"].isin(one_size)], goal)
    caption = _caption(record, shown)
    return Drawing(figure, shown, caption, f"Seconds a fit by number of clients, a line a package. {caption}")


def points(record: Record) -> pd.DataFrame:
    """Return a row a package and model, form and size that was timed."""
    kept = ["row", "model", "title", "form", "clients"]
    found = [
        (*(row[k] for k in kept), package, *(one["seconds"][k] for k in ("median", "min", "max")), one["peak_mb"]["median"])
        for row in record["rows"]
        for package, one in in_order(row["results"])
        if "seconds" in one
    ]  # fmt: skip
    return pd.DataFrame(found, columns=[*kept, "package", "seconds", "seconds_min", "seconds_max", "peak_mb"])


def in_order(results: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return packages in the order of the legend, whatever their order in the file is."""
    return [(package, results[package]) for package in MARKS if package in results]


def goal_seconds(record: Record) -> dict[str, float]:
    """Return by row the seconds that the strictest of its goals asks for, of those beside packages that were measured."""
    results = {row["row"]: row["results"] for row in record["rows"]}
    found: dict[str, float] = {}
    for goal in record["goals"]:
        package = goal["goal"].removeprefix("times as fast as ")
        if goal["goal"] == "seconds":
            asked = float(goal["bound"])
        elif "seconds" in results.get(goal["row"], {}).get(package, {}):
            asked = results[goal["row"]][package]["seconds"]["median"] / goal["bound"]
        else:
            continue
        found[goal["row"]] = min(asked, found.get(goal["row"], math.inf))
    return found


def _by_size(ax: Axes, part: pd.DataFrame, goal: Mapping[str, float], title: str, alike: pd.Series) -> None:
    """Draw seconds by clients of one model."""
    sizes = sorted(part["clients"].unique())
    ax.set_xscale("log")
    ax.set_xlim(sizes[0] / 1.5, sizes[-1] * ROOM * (3 if len(sizes) > 2 else 1))
    _seconds_axis(ax, alike)
    ax.xaxis.set_major_locator(FixedLocator([s for s in SIZES if s in sizes]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _size(value)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_title(title)
    ax.set_xlabel("clients")
    ends = []
    for package, (colour, marker, _) in MARKS.items():
        own = part[part["package"] == package].sort_values("clients")
        if own.empty:
            continue
        ax.plot(own["clients"], own["seconds"], color=colour, marker=marker, markersize=4.5, linewidth=1.3, zorder=3)
        ax.vlines(own["clients"], own["seconds_min"], own["seconds_max"], color=colour, linewidth=1, zorder=2)
        ends.append((float(own["clients"].iloc[-1]), float(own["seconds"].iloc[-1]), package))
    asked = [(c, goal[row]) for row, c in part[["row", "clients"]].drop_duplicates().itertuples(index=False) if row in goal]
    for clients, seconds in asked:
        ax.plot(clients, seconds, marker="_", markersize=15, markeredgewidth=1.6, color=GREY, zorder=2)
    if asked:
        ends.append((*asked[-1], "goal"))
    highest = part[part["clients"].isin(sizes[1:-1])].groupby("clients")["seconds"].max()
    over = [end for end in ends if end[1] == highest.get(end[0])]
    for x, y, package in over:
        _label(ax, (x, y), package, xycoords="data", xytext=(0, 7), ha="center", va="bottom")
    _labels(ax, [end for end in ends if end not in over])


def _by_model(ax: Axes, part: pd.DataFrame, goal: Mapping[str, float]) -> None:
    """Draw the models that have one size, beside each other."""
    rows = part[["row", "model", "form", "clients"]].drop_duplicates().to_dict("records")
    rows = [row for row in rows if row["form"] == FORM_OF_ONE_SIZE.get(row["model"], row["form"])]
    _seconds_axis(ax, part["seconds"])
    first = {"logistic": "logistic,\n{} clients", "many_fits": "1,000 fits,\n{} clients", "many_outcomes": "the same,\none design"}
    names = [first[row["model"]].format(_size(row["clients"])) for row in rows]
    ax.set_xticks(range(len(rows)), names)
    ax.set_xlim(-0.4, len(rows) - 0.2)
    ax.set_title("Logistic model, and many fits")
    ends = []
    for at, row in enumerate(rows):
        for one in part[part["row"] == row["row"]].to_dict("records"):
            colour, marker, _ = MARKS[one["package"]]
            ax.plot(at, one["seconds"], color=colour, marker=marker, markersize=5, linestyle="none", zorder=3)
            ends.append((float(at), one["seconds"], one["package"]))
        if row["row"] in goal:
            ax.plot(at, goal[row["row"]], marker="_", markersize=15, markeredgewidth=1.6, color=GREY, zorder=2)
            ends.append((float(at), goal[row["row"]], "goal"))
    _labels(ax, ends)


def _seconds_axis(ax: Axes, seconds: pd.Series) -> None:
    ax.set_yscale("log")
    ax.set_ylim(float(seconds.min()) / 2.5, float(seconds.max()) * 2.5)
    ax.yaxis.set_major_locator(LogLocator(numticks=12))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylabel("seconds a fit")


def _labels(ax: Axes, ends: Sequence[tuple[float, float, str]]) -> None:
    """Write each line's name beside its end, and move names apart that would lie on each other."""
    low, high = (math.log(v) for v in ax.get_ylim())
    for x in {x for x, _, _ in ends}:
        here = sorted((math.log(y), name) for at, y, name in ends if at == x)
        heights = list(_apart([(y - low) / (high - low) for y, _ in here]))
        for (_, name), height in zip(here, heights, strict=True):
            _label(ax, (x, height), name, xycoords=("data", "axes fraction"), xytext=(7, 0), ha="left", va="center")


def _label(ax: Axes, at: tuple[float, float], name: str, **placed: Any) -> None:
    colour, bold = MARKS[name][0] if name in MARKS else "#555555", name in SHORT
    ax.annotate(
        SHORT.get(name, name), at, textcoords="offset points", fontsize=8, color=colour, fontweight="bold" if bold else "normal",
        path_effects=[withStroke(linewidth=2.5, foreground="white")], zorder=4, **placed,
    )  # fmt: skip


def _apart(heights: Sequence[float]) -> Iterator[float]:
    """Yield rising heights moved apart: groups that would overlap are spread about their middle."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _middle(groups[-1]) - _middle(groups[-2]) < APART * (len(groups[-1]) + len(groups[-2])) / 2:
            last = groups.pop()
            groups[-1] += last
    for group in groups:
        yield from (_middle(group) + APART * (i - (len(group) - 1) / 2) for i in range(len(group)))


def _middle(group: Sequence[float]) -> float:
    return sum(group) / len(group)


def _size(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:g} M"
    return f"{value / 1_000:g} k" if value >= 1_000 else f"{value:g}"


def _caption(record: Record, shown: pd.DataFrame) -> str:
    most = max(one["runs"] for row in record["rows"] for one in row["results"].values() if "runs" in one)
    met = sum(goal["met"] is True for goal in record["goals"])
    asked = sum(goal["met"] is not None for goal in record["goals"])
    machine = record["machine"]
    largest = shown[shown["package"] == record["own"]]["clients"].max()
    return sentence(
        f"Seconds of a fit, median of up to {most} processes in alternation, on {machine['processors']} processors "
        f"({machine['system']}, {machine['memory_gb']:g} GB); thin lines span the runs",
        f"{count(int(largest))} clients are the most" if largest == largest else "",
        "Grey bars: what the goals ask of ours",
        f"{met} of {asked} goals that could be measured are met",
    )

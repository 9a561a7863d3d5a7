"""The table and the picture of docs/methods/rupture-detection.md, from validation/recovery/rupture_detection.csv."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from attachment_outcomes.present.drawing import Drawing
from attachment_outcomes.present.style import BLUE, INK, ORANGE, VERMILION, look, new_figure
from attachment_outcomes.present.words import number, percent, plain

MARKER = "<!-- {} by `python3 run.py validate rupture_detection` and `python3 run.py docs` -->"
BEGIN, END = MARKER.format("made"), MARKER.format("end of what is made")
SESSIONS, DEPTHS = 16, (1, 2, 3)
SHALLOW, DEEP = "rupture of 1 SD", "rupture of 3 SD"
MARKS = ((BLUE, "o", True), (ORANGE, "s", True), (VERMILION, "^", False))
Errors = Mapping[tuple[str, str], float]
HEAD = (
    "criterion", "found, 1 SD deep", "found, 3 SD deep", "repaired, told so", "unrepaired, told so", "false per 100 sessions",
    "clients with a false one", "sessions in a false one",
)  # fmt: skip


def with_table(page: str, results: pd.DataFrame) -> str:
    """Return the page with what stands between its markers made anew.

    Raises
    ------
    ValueError
        If the page has no markers.
    """
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page lacks {BEGIN!r} or {END!r}")
    before, _, rest = page.partition(BEGIN)
    tables = "\n\n".join(
        f"{title}\n\n{table(results, rho)}" for rho, title in ((0.0, "Independent noise:"), (0.3, "Autocorrelation .3:"))
    )
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.partition(END)[2]}"


def table(results: pd.DataFrame, rho: float) -> str:
    """Return the Markdown table of one autocorrelation, 16 sessions, a row a criterion, those with fewest false ruptures first.

    All targets are errors; what is told here is one less the error where that reads better.
    """
    error = _errors(results, rho, SESSIONS)
    criteria = _by_false(error)
    lines = [HEAD, ("---",) * len(HEAD)]
    for c in criteria:
        right = [
            error[f"{c}: missed", SHALLOW], error[f"{c}: missed", DEEP], error[f"{c}: repaired, told otherwise", DEEP],
            error[f"{c}: unrepaired, told otherwise", DEEP],
        ]  # fmt: skip
        wrong = [error[f"{c}: falsely ruptured", DEEP], error[f"{c}: time in false ruptures", DEEP]]
        rate = number(error[f"{c}: false per 100 sessions", DEEP], 1)
        lines.append((f"`{c}`", *(percent(1 - e) for e in right), rate, *(percent(e) for e in wrong)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw(results: pd.DataFrame, rho: float = 0.0) -> Drawing:
    """Draw what each criterion finds, how it tells the ends, and what it invents, a row a criterion."""
    by_length = {n: _errors(results, rho, n) for n in sorted(results["sessions"].unique())}
    error = by_length[SESSIONS]
    criteria = _by_false(error)[::-1]
    deep = [f"{SESSIONS} sessions, {d} SD" for d in DEPTHS]
    with look():
        figure = new_figure(0.3 * len(criteria) + 1.6)
        axes = figure.subplots(1, 3, sharey=True)
        found = {t: [1 - error[f"{c}: missed", f"rupture of {d} SD"] for c in criteria] for t, d in zip(deep, DEPTHS, strict=True)}
        _dots(axes[0], found, "Ruptures found (%)")
        ends = {
            f"{what}, told so": [1 - error[f"{c}: {what}, told otherwise", DEEP] for c in criteria]
            for what in ("repaired", "unrepaired")
        }
        _dots(axes[1], ends, "Ends read rightly (%)")
        false = {f"{n} sessions": [by[f"{c}: falsely ruptured", DEEP] for c in criteria] for n, by in by_length.items()}
        _dots(axes[2], false, "Calm, called ruptured (%)")
        axes[0].set_yticks(range(len(criteria)), [plain(c) for c in criteria])
    rows = [
        {"criterion": c, "panel": panel, "series": name, "share": values[i]}
        for panel, series in (("found", found), ("ends", ends), ("false", false))
        for name, values in series.items()
        for i, c in enumerate(criteria)
    ]
    caption = (
        f"Planted ruptures found, their ends read rightly (3 SD, {SESSIONS} sessions), and calm clients called ruptured, by "
        "criterion; independent noise. Those that find most invent most."
    )
    return Drawing(figure, pd.DataFrame(rows), caption, caption)


def _dots(ax: Axes, series: Mapping[str, list[float]], title: str) -> None:
    places = range(len(next(iter(series.values()))))
    ax.hlines(places, 0, 100, color="#E0E0E0", linewidth=0.6, zorder=0)
    for (name, values), (colour, marker, filled) in zip(series.items(), MARKS, strict=False):
        ax.plot(
            [100 * v for v in values], places, marker, color=colour, markerfacecolor=colour if filled else "white", markersize=5.5,
            label=name, zorder=3,
        )  # fmt: skip
    ax.set(xlim=(-3, 103), xlabel=title)
    ax.xaxis.label.set_color(INK)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1, handletextpad=0.3)


def _errors(results: pd.DataFrame, rho: float, sessions: int) -> Errors:
    """Return the average error of one autocorrelation and length, by target and method."""
    rows = results[(results["measure"] == "bias") & (results["rho"] == rho) & (results["sessions"] == sessions)]
    known = {(t, m): float(v) for t, m, v in zip(rows["target"], rows["method"], rows["value"], strict=True)}
    return defaultdict(lambda: math.nan, known)


def _by_false(error: Errors) -> list[str]:
    """Return the criteria, those with fewest false ruptures first."""
    return sorted({t.split(": ")[0] for t, _ in error}, key=lambda c: (error[f"{c}: false per 100 sessions", DEEP], c))

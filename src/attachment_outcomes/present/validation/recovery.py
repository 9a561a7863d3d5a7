"""How well do methods recover the truth? One picture for every recovery study.

A row of panels for each target, and for each value of the grid parameters that are not along the panels; a column for each
measure. Every point has its Monte-Carlo interval, so that a difference which is luck of the repetitions can be told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from scipy.stats import norm

from attachment_outcomes.errors import ConfigError, problem
from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.style import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, SKY, VERMILION, look, new_figure
from attachment_outcomes.present.words import count, first_upper, number, percent, plain, sentence

NOMINAL, ALPHA = 0.95, 0.05
Z = float(norm.ppf(0.5 + NOMINAL / 2))
METHOD_MARKS: list[tuple[str, str, bool]] = [
    (BLUE, "o", True), (ORANGE, "s", True), (VERMILION, "^", False), (INK, "D", False), (GREEN, "v", True), (PURPLE, "P", True),
    (SKY, "X", True), (INK, "*", True), (GREY, "<", False), (BLUE, "h", False),
]  # fmt: skip
ROW, COLUMN, LEFT = 1.75, 2.15, 0.5  # inches
DODGE = 0.5  # share of the room between two places along the axis that the methods of one place take
LEAST_COVERAGE, LEAST_REJECTION = 0.88, 0.12  # what an axis of coverage or of type-I error shows at least
NULL, ALTERNATIVE = "type_1_error", "power"


class Column(NamedTuple):
    """What a column of panels shows: its measures, its name, whether it is a percentage, and what a missing one is called."""

    measures: tuple[str, ...]
    title: str
    percentage: bool = True
    absent: str = "none"


COLUMNS: dict[str, Column] = {
    "bias": Column(("bias",), "bias", False),
    "relative_bias": Column(("relative_bias",), "relative bias (%)", absent="the truth is 0"),
    "spread": Column(("empirical_se",), "SD of the estimates", False),
    "se_ratio": Column(("model_se_error",), "error of the SE (%)", absent="no standard error"),
    "coverage": Column(("coverage",), "coverage (%)", absent="no interval"),
    "rejection": Column((NULL, ALTERNATIVE), "p < .05 (%)", absent="no test"),
    "converged": Column(("converged",), "converged (%)"),
    "singular": Column(("singular",), "singular fits (%)"),
}


def draw(results: pd.DataFrame, settings: Mapping[str, Any]) -> Drawing:
    """Draw a study's results.

    Parameters
    ----------
    results
        Grid parameters, then target, method, measure, value, mc_error, n, truth: a file ``validation/recovery/<name>.csv``.
    settings
        ``title``, ``methods`` (in order) and ``repetitions`` of the study; ``x`` and ``x_title`` the parameter along the
        panels; ``targets`` their printed names; ``parameters`` those of the others, with ``{}`` for the value; ``columns``
        the keys of ``COLUMNS``.

    Raises
    ------
    NothingToDraw
        If there is no result of the wanted targets.
    ConfigError
        If there are more methods than marks: a method without one would be left out.
    """
    titles = settings.get("targets") or {t: first_upper(plain(t)) for t in results["target"].unique()}
    shown = need(results[results["target"].isin(list(titles))], "results", "none of the wanted targets has a result")
    grid = list(results.columns[: list(results.columns).index("target")])
    others = [p for p in grid if p != settings["x"] and len(shown[p].unique()) > 1]
    rows = _rows(shown, titles, others, settings.get("parameters") or {})
    measured = set(shown["measure"])
    columns = [COLUMNS[key] for key in settings["columns"] if measured & set(COLUMNS[key].measures)]
    methods = [m for m in settings["methods"] if (shown["method"] == m).any()]
    if len(methods) > len(METHOD_MARKS):
        what = f"{len(methods)} methods in one picture; allowed: at most {len(METHOD_MARKS)}."
        raise ConfigError(problem("recovery figure", what, hint="split the study."))
    places = shown[settings["x"]].drop_duplicates().tolist()
    with look():
        figure = new_figure(ROW * len(rows) + 1.1, width=COLUMN * len(columns) + LEFT)
        figure.suptitle(settings["title"], x=0.01, ha="left", fontsize=11.5, fontweight="bold")
        axes = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True)
        for (title, part), line in zip(rows, axes, strict=True):
            for column, ax in zip(columns, line, strict=True):
                own = part[part["measure"].isin(column.measures)]
                _panel(ax, own, column, methods, places, settings)
                if len(own):
                    _scale(ax, _alike(shown, own, column), column)
            line[0].set_title(title)
        for ax in axes[-1]:
            ax.set_xlabel(settings.get("x_title") or first_upper(plain(settings["x"])))
        figure.align_ylabels(axes)
        handles = [_handle(m, mark) for m, mark in zip(methods, METHOD_MARKS[: len(methods)], strict=True)]
        figure.legend(handles, methods, loc="outside lower center", ncols=min(len(methods), 4 if len(columns) > 3 else 3))
    caption = _caption(shown, columns, settings)
    return Drawing(figure, shown.reset_index(drop=True), caption, f"Performance of methods by {plain(settings['x'])}. {caption}")


def _rows(
    shown: pd.DataFrame, titles: Mapping[str, str], others: Sequence[str], names: Mapping[str, str]
) -> list[tuple[str, pd.DataFrame]]:
    """Return the title and the results of each row of panels."""
    found = []
    for target, title in titles.items():
        part = shown[shown["target"] == target]
        if not others:
            found.append((title, part))
            continue
        for values, same in part.groupby(list(others), sort=False):
            told = [names.get(p, f"{plain(p)} {{}}").format(v) for p, v in zip(others, values, strict=True)]
            found.append((", ".join([title, *told] if title else told), same))
    return found


def _handle(method: str, mark: tuple[str, str, bool]) -> Line2D:
    colour, marker, filled = mark
    return Line2D([], [], color=colour, marker=marker, markerfacecolor=colour if filled else "white", linewidth=1, label=method)


def _panel(
    ax: Axes, part: pd.DataFrame, column: Column, methods: Sequence[str], places: Sequence[Any], settings: Mapping[str, Any]
) -> None:
    """Draw one measure of one target."""
    ax.set_xticks(range(len(places)), [count(p) if isinstance(p, int) else str(p) for p in places])
    ax.set_xlim(-0.5, len(places) - 0.5)
    if part.empty:
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.text(0.5, 0.5, column.absent, transform=ax.transAxes, ha="center", va="center", color="#555555")
        return
    ax.set_ylabel(column.title)
    nominal = {"coverage": NOMINAL, NULL: ALPHA}.get(str(part["measure"].iloc[0]))
    if nominal is not None:
        half = Z * np.sqrt(nominal * (1 - nominal) / int(settings["repetitions"]))
        ax.axhspan(nominal - half, nominal + half, color=PALE, linewidth=0)
        ax.axhline(nominal, color=GREY, linewidth=0.9)
    elif column.measures[0] in ("bias", "relative_bias", "model_se_error"):
        ax.axhline(0, color=GREY, linewidth=0.9)
    step = DODGE / max(len(methods) - 1, 1)
    for i, (method, (colour, marker, filled)) in enumerate(zip(methods, METHOD_MARKS[: len(methods)], strict=True)):
        own = part[part["method"] == method].set_index(settings["x"]).reindex(pd.Index(places))
        at = np.arange(len(places)) + (i - (len(methods) - 1) / 2) * step
        ax.errorbar(
            at, own["value"], yerr=Z * own["mc_error"], color=colour, marker=marker, markersize=5, linewidth=0.7,
            markerfacecolor=colour if filled else "white", markeredgewidth=1, elinewidth=1.1, zorder=3,
        )  # fmt: skip


def _alike(shown: pd.DataFrame, own: pd.DataFrame, column: Column) -> pd.DataFrame:
    """Return the results that share a scale with a panel's: those of its measure, and of its target where that has a unit."""
    same = shown[shown["measure"].isin(own["measure"].unique())]
    return same if column.percentage else same[same["target"] == own["target"].iloc[0]]


def _scale(ax: Axes, alike: pd.DataFrame, column: Column) -> None:
    """Set what the axis of values shows, the same for panels that are to be compared."""
    measure = str(alike["measure"].iloc[0])
    low, high = float((alike["value"] - Z * alike["mc_error"]).min()), float((alike["value"] + Z * alike["mc_error"]).max())
    reach = 1.15 * max(abs(low), abs(high))
    if measure == "coverage":
        ax.set_ylim(min(LEAST_COVERAGE, low - 0.01), 1.005)
    elif measure == NULL:
        ax.set_ylim(0, max(LEAST_REJECTION, high + 0.01))
    elif measure in (ALTERNATIVE, "converged", "singular"):
        ax.set_ylim(-0.05, 1.05)
    else:
        ax.set_ylim(0 if measure == "empirical_se" else -reach, reach)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    factor = 100 if column.percentage else 1
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{factor * value:.3g}".replace("-", "−")))


def _caption(shown: pd.DataFrame, columns: Sequence[Column], settings: Mapping[str, Any]) -> str:
    converged = shown.loc[shown["measure"] == "converged", "value"]
    least = "" if converged.min() == 1 else f"At least {percent(float(converged.min()), 1)} of the fits of a method converged"
    keys = {m for c in columns for m in c.measures}
    coverage = shown.loc[shown["measure"] == "coverage", "value"]
    spans = f"Coverage runs from {number(100 * coverage.min(), 1)} to {percent(float(coverage.max()), 1)}" if len(coverage) else ""
    return sentence(
        f"{settings['title']}; {count(int(settings['repetitions']))} repetitions a cell, lines span the 95 % Monte-Carlo interval",
        "The band is where a method with a coverage of 95 % or an error of 5 % would lie by chance" if "coverage" in keys else "",
        "p < .05: type-I error where the truth is 0 (with the band), else power" if NULL in keys else "",
        "The error of the SE is that of the mean standard error against the SD of the estimates"
        if "model_se_error" in keys
        else "",
        spans,
        least or "Every fit converged",
    )

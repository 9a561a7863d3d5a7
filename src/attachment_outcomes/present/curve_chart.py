"""What figures of specification curves have in common: estimates in order of size above, the choices behind each below."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attachment_outcomes.inference.estimate import select
from attachment_outcomes.present.lookup import one
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, PALE, SKY, VERMILION, new_figure
from attachment_outcomes.present.words import count, estimate_text, level_text, percent

WIDTH, ROW, UPPER, HEAD = 9.6, 0.165, 2.3, 0.55  # inches
Levels = Mapping[str, Sequence[str]]


def sorted_curve(seen: pd.DataFrame, estimand: str, factors: Collection[str]) -> pd.DataFrame:
    """Return one curve sorted by its estimate; ties keep the order of the choices."""
    rows = seen[(seen["estimand"] == estimand).to_numpy(dtype=bool)]
    return rows.sort_values(["estimate", *factors], kind="stable").reset_index(drop=True)


def levels_of(curve: pd.DataFrame, factors: Collection[str]) -> dict[str, list[str]]:
    """Return the levels of each choice that varies, in the order of their mean estimates."""
    found = {}
    for factor in factors:
        means = curve.groupby(factor, sort=True)["estimate"].mean().sort_values(kind="stable")
        if len(means) > 1:
            found[factor] = [str(name) for name in means.index]
    return found


def new_chart(levels: Sequence[Levels]) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """Return a figure with a pair of axes a curve: for the estimates, and for the choices below them."""
    heights = [(HEAD, UPPER, ROW * sum(len(v) + 1.35 for v in each.values()) + 0.25) for each in levels]
    figure = new_figure(sum(map(sum, heights)) + 0.5, width=WIDTH)
    ratios = [h for _, upper, lower in heights for h in (upper, lower)]
    grid = figure.add_gridspec(len(ratios), 1, height_ratios=ratios)
    pairs = []
    for i in range(len(levels)):
        upper = figure.add_subplot(grid[2 * i])
        pairs.append((upper, figure.add_subplot(grid[2 * i + 1], sharex=upper)))
    return figure, pairs


def draw_estimates(
    ax: Axes,
    curve: pd.DataFrame,
    *,
    scale: float = 1.0,
    median: Callable[[float], str],
    beside: Callable[[Axes], None] | None = None,
) -> None:
    """Draw the estimates with their intervals, the primary one marked, and the median.

    Parameters
    ----------
    ax
        Where.
    curve
        Columns ``estimate, ci_low, ci_high, primary``, sorted.
    scale
        What the numbers are multiplied by.
    median
        The words beside the median, from its value.
    beside
        Draws what the estimates are compared with.
    """
    x = np.arange(1, len(curve) + 1)
    low, high, middle = (scale * curve[c].to_numpy(dtype=float) for c in ("ci_low", "ci_high", "estimate"))
    ax.vlines(x, low, high, color=SKY, linewidth=line_width(len(curve)), alpha=0.55)
    size = float(np.clip(1200 / len(curve), 2.5, 22))
    ax.scatter(x, middle, s=size, color=INK, zorder=3, linewidths=0)
    if beside is not None:
        beside(ax)
    chosen = np.flatnonzero(curve["primary"].to_numpy(dtype=bool))
    if len(chosen):
        at = chosen[0]
        ax.vlines(x[at], low[at], high[at], color=ORANGE, linewidth=2.2, zorder=4)
        ax.scatter(x[at], middle[at], marker="D", s=44, facecolor=ORANGE, edgecolor=INK, zorder=5)
    value = float(np.median(middle))
    ax.axhline(value, color=GREY, linewidth=0.8, zorder=0)
    ax.annotate(
        median(value), (1, value), xycoords=("axes fraction", "data"),
        xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color="#555555", annotation_clip=False,
    )  # fmt: skip
    ax.set(xlim=(0, len(curve) + 1))
    ax.tick_params(axis="x", labelbottom=False, length=0)
    ax.spines["bottom"].set_visible(False)


def draw_expected(ax: Axes, curve: pd.DataFrame, *, scale: float = 1.0) -> None:
    """Draw what each specification would give if there were nothing to find, as dashes."""
    expected = scale * curve["expected"].to_numpy(dtype=float)
    if np.isfinite(expected).any():
        x = np.arange(1, len(curve) + 1)
        ax.scatter(x, expected, s=float(np.clip(900 / len(curve), 4, 16)), marker="_", color=VERMILION, linewidths=1.0)


def draw_choices(
    ax: Axes, curve: pd.DataFrame, levels: Levels, titles: Mapping[str, str], *, name_of: Callable[[str, str], str]
) -> None:
    """Draw a tick for each specification on the line of the level it takes, grouped by choice; ``name_of`` names a level."""
    x = np.arange(1, len(curve) + 1)
    chosen = np.flatnonzero(curve["primary"].to_numpy(dtype=bool))
    place, ticks, labels = 0.0, [], []
    for factor, names in levels.items():
        ax.annotate(
            titles[factor], (0, place), xycoords=("axes fraction", "data"), xytext=(-6, 0), textcoords="offset points",
            ha="right", va="center", fontsize=8, fontweight="bold", annotation_clip=False,
        )  # fmt: skip
        place -= 1
        for k, name in enumerate(names):
            if k % 2 == 0:
                ax.axhspan(place - 0.5, place + 0.5, color=PALE, alpha=0.5, linewidth=0)
            at = x[(curve[factor] == name).to_numpy(dtype=bool)]
            ax.vlines(at, place - 0.36, place + 0.36, color=BLUE, linewidth=line_width(len(curve)))
            if len(chosen) and str(curve[factor].iloc[chosen[0]]) == name:
                ax.scatter(x[chosen[0]], place, marker="D", s=16, facecolor=ORANGE, edgecolor=INK, linewidths=0.6, zorder=4)
            ticks.append(place)
            labels.append(name_of(factor, name))
            place -= 1
        place -= 0.35
    ax.set_yticks(ticks, labels, fontsize=7.5)
    ax.set(ylim=(place + 0.8, 0.6), xlabel="Specifications, sorted by their estimate")
    ax.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="x", labelsize=8)


def legend_of(settings: Mapping[str, Any], expected: str) -> list[Line2D]:
    """Return the handles of a legend; ``expected`` says what the dashes are."""
    return [
        Line2D([], [], color=SKY, linewidth=3, label=f"{level_text(settings)} interval"),
        Line2D([], [], color=INK, marker="o", markersize=4, label="estimate", linestyle="none"),
        Line2D([], [], color=VERMILION, marker="_", markersize=9, label=expected, linestyle="none"),
        Line2D(
            [], [], color=ORANGE, marker="D", markersize=7, markeredgecolor=INK, label="primary specification", linestyle="none"
        ),
    ]


def line_width(n: int) -> float:
    """Return a width at which n lines beside each other can be told apart."""
    return float(np.clip(380 / n, 0.5, 3.0))


def summary_words(estimates: pd.DataFrame, curve: pd.DataFrame, title: str, primary_unit: str, **keys: Any) -> list[str]:
    """Return what the curve's summary says of its middle and its primary estimate, from the rows of the analysis."""

    def value(name: str) -> str:
        row = one(estimates, estimand=name, **keys)
        return "" if row is None or np.isnan(row["estimate"]) else estimate_text(row["estimate"], str(row["unit"]))

    said = [f"{title}: {len(curve)} specifications"]
    if value("median"):
        said.append(f"median {value('median')} (middle half {value('first_quartile')} to {value('third_quartile')}, ")
        said[-1] += f"all {value('lowest')} to {value('highest')})"
    chosen = curve[curve["primary"].to_numpy(dtype=bool)]
    if len(chosen):
        said.append(f"primary {estimate_text(float(chosen['estimate'].iloc[0]), primary_unit)}")
    return said


def most_moved(estimates: pd.DataFrame, name_of: Callable[[str], str], **keys: Any) -> str:
    """Return in words which choice moves the estimates most, or an empty string."""
    rows = select(estimates, estimand="variance_share", **keys)
    rows = rows[(rows["definition"] != "combinations").to_numpy(dtype=bool) & rows["estimate"].notna().to_numpy(dtype=bool)]
    if not len(rows):
        return ""
    most = rows.sort_values("estimate", kind="stable").iloc[-1]
    return f"most of the spread goes with {name_of(str(most['definition']))} ({percent(most['estimate'])} of the variance)"


def refused_words(n: int) -> str:
    """Return how many combinations could not be had."""
    if not n:
        return ""
    said = "1 combination is" if n == 1 else f"{count(n)} combinations are"
    return f"{said} not possible with these data and listed with the reason"

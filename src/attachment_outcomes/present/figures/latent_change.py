"""What changed once error of measurement is taken off: change by baseline, latent and observed, and the variance of change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import Row, one, records
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, look, new_figure, place_legend
from attachment_outcomes.present.words import (
    count,
    level_text,
    number,
    percent,
    score_title,
    sentence,
    short_title,
    with_interval,
    wrapped,
)

NEEDS = ("latent_change", "estimates")
SHARE = 0.90  # of people within an ellipse
RADIUS = math.sqrt(-2 * math.log(1 - SHARE))  # of a bivariate normal


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw, for each outcome, ellipses of latent and of observed change by baseline, and the parts of observed change.

    Raises
    ------
    NothingToDraw
        If no latent change score model was fitted.
    """
    table = need(tables["latent_change"], "latent_change", "no outcome's items were answered at two waves by enough people")
    rows = records(table)
    with look():
        n = len(rows)
        columns = min(3, n)
        lines = -(-n // columns)
        figure = new_figure(2.75 * lines + 1.2 + 0.42 * n)
        grid = figure.add_gridspec(lines + 1, columns, height_ratios=[2.6] * lines + [0.5 + 0.4 * n])
        for place, row in enumerate(rows):
            _ellipses(figure.add_subplot(grid[place // columns, place % columns]), row, settings, first=place % columns == 0)
        _parts(figure.add_subplot(grid[lines, :]), rows, settings)
        handles = [
            Line2D([], [], color=BLUE, label=f"latent: {percent(SHARE)} of people, and slope"),
            Line2D([], [], color=ORANGE, linestyle=(0, (4, 2)), label="observed scores: the same"),
            Patch(facecolor=BLUE, label="true change"),
            Patch(facecolor="white", edgecolor=GREY, hatch="////", label="error of measurement"),
        ]
        place_legend(figure, handles, columns=2)
    words = [_words(tables["estimates"], row, settings) for row in rows]
    caption = sentence(
        *words,
        "Ellipses are those of normal distributions with the model's means and variances, so no person is shown",
        "The observed slope is steeper wherever error of measurement makes high scores fall and low ones rise",
    )
    alt = "Latent and observed change by baseline; parts of the variance of change. " + caption
    return Drawing(figure, table.reset_index(drop=True), caption, alt)


def _ellipses(ax: Axes, row: Row, settings: dict[str, Any], *, first: bool) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = RADIUS * np.stack([np.cos(angle), np.sin(angle)])
    for kind, colour, style in (("observed", ORANGE, (0, (4, 2))), ("true", BLUE, "-")):
        x_sd = row["baseline_true_sd"] if kind == "true" else row["baseline_observed_sd"]
        y_sd, r = row[f"{kind}_change_sd"], row[f"{kind}_correlation"]
        x = row["baseline_mean"] + x_sd * circle[0]
        y = row["mean_change"] + y_sd * (r * circle[0] + math.sqrt(max(0.0, 1 - r**2)) * circle[1])
        ax.plot(x, y, color=colour, linestyle=style)
        if kind == "true":
            ax.fill(x, y, color=colour, alpha=0.12, linewidth=0)
        reach = RADIUS * x_sd * np.array([-1, 1])
        line = row["mean_change"] + row[f"{kind}_slope"] * reach
        ax.plot(row["baseline_mean"] + reach, line, color=colour, linestyle=style, linewidth=1.1)
    ax.plot([row["baseline_mean"]], [row["mean_change"]], "o", color=INK, markersize=4.5)
    ax.axhline(0, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    ax.set_title(wrapped(_title(row, settings), 20), fontsize=9.5)
    ax.set(xlabel="Baseline (score points)", ylabel="Change (score points)" if first else "")


def _parts(ax: Axes, rows: list[Row], settings: dict[str, Any]) -> None:
    for place, row in enumerate(rows):
        y = len(rows) - place
        true = float(row["reliability"])
        ax.barh(y, true, color=BLUE, height=0.6)
        ax.barh(y, 1 - true, left=true, color="white", edgecolor=GREY, hatch="////", height=0.6, linewidth=0.8)
        ax.text(true - 0.01, y, percent(true), ha="right", va="center", color="white", fontsize=8.5, fontweight="bold")
        ax.text(1.01, y, percent(1 - true), ha="left", va="center", fontsize=8.5)
    ax.set_yticks(range(len(rows), 0, -1), [_name(row, settings) for row in rows])
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    ax.set(xlim=(0, 1), xlabel="Variance of observed change (%)", title="What observed change is made of")


def _name(row: Row, settings: dict[str, Any]) -> str:
    return wrapped(_title(row, settings), 20)


def _title(row: Row, settings: dict[str, Any]) -> str:
    return short_title(score_title(str(row["outcome"]), settings))


def _words(estimates: pd.DataFrame, row: Row, settings: dict[str, Any]) -> str:
    keys: dict[str, object] = {"analysis": "latent_change", "outcome": row["outcome"]}
    told = []
    for estimand, name in (
        ("latent_mean_change", "mean latent change"),
        ("latent_change_on_baseline", "slope on the baseline"),
        ("reliability_of_change", "reliability of change"),
    ):
        found = one(estimates, estimand=estimand, **keys)
        if found is not None:
            told.append(f"{name} {with_interval(found)}")
    observed = f"observed slope {number(row['observed_slope'])}"
    people = f"n = {count(row['n'])}, {count(row['n_both'])} at both waves"
    title = score_title(str(row["outcome"]), settings)
    return f"{title}: {', '.join([*told, observed])} ({people}; {level_text(settings)} intervals)"

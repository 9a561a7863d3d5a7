"""Whether items mean the same at two occasions: fit over the levels of invariance, and what each level loses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from attachment_outcomes.measures.invariance import LEVELS, Rule
from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import Row, records
from attachment_outcomes.present.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    VERMILION,
    look,
    new_figure,
    place_legend,
)
from attachment_outcomes.present.words import count, number, score_title, sentence, wrapped

NEEDS = ("invariance",)
MARKS = [(BLUE, "o"), (ORANGE, "^"), (GREEN, "s"), (VERMILION, "v"), (PURPLE, "D"), (INK, "P"), (GREY, "X")]
WIDEST = 0.5  # of the distance between two levels that the scales of one level take up


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw CFI and RMSEA of each level, and the loss of fit at each step, with the bounds that were set beforehand.

    Raises
    ------
    NothingToDraw
        If no scale was answered at two occasions by enough people.
    """
    table = need(tables["invariance"], "invariance", "no scale's items were answered at two occasions by enough people")
    rule = Rule(**((settings.get("measures") or {}).get("invariance") or {}).get("rule", {}))
    outcomes = list(dict.fromkeys(table["outcome"]))
    step = WIDEST / max(1, len(outcomes) - 1)
    with look():
        figure = new_figure(5.6)
        cfi, rmsea, lost, gained = figure.subplots(2, 2).ravel()
        for place, outcome in enumerate(outcomes):
            rows = sorted(records(table[table["outcome"] == outcome]), key=lambda r: LEVELS.index(str(r["level"])))
            colour, marker = MARKS[place % len(MARKS)]
            shift = (place - (len(outcomes) - 1) / 2) * step
            at = [LEVELS.index(str(r["level"])) + shift for r in rows]
            rmsea.vlines(at, [r["rmsea_low"] for r in rows], [r["rmsea_high"] for r in rows], color=colour, linewidth=1.1)
            for ax, value in (
                (cfi, lambda r: float(r["cfi"])), (rmsea, lambda r: float(r["rmsea"])),
                (lost, lambda r: -float(r["delta_cfi"])), (gained, lambda r: float(r["delta_rmsea"])),
            ):  # fmt: skip
                _points(ax, rows, at, value, colour, marker)
        for ax, bound, worse, title in (
            (cfi, rule.cfi, "below", "CFI"), (rmsea, rule.rmsea, "above", "RMSEA with 90 % interval"),
            (lost, rule.loss_of_cfi, "above", "Loss of CFI"), (gained, rule.gain_of_rmsea, "above", "Gain of RMSEA"),
        ):  # fmt: skip
            _frame(ax, bound, worse, title, steps=ax in (lost, gained))
        handles = [
            Line2D([], [], color=MARKS[i % len(MARKS)][0], marker=MARKS[i % len(MARKS)][1], linestyle="none", markersize=6.5,
                   label=wrapped(score_title(outcome, settings), 40))
            for i, outcome in enumerate(outcomes)
        ]  # fmt: skip
        hollow = "hollow: does not hold, or not judged"
        handles.append(Line2D([], [], color=INK, marker="o", markerfacecolor="white", linestyle="none", label=hollow))
        place_legend(figure, handles, columns=2)
    words = [_words(table[table["outcome"] == outcome], outcome, settings) for outcome in outcomes]
    caption = sentence(
        *words,
        f"Bounds set beforehand: configural CFI at least {number(rule.cfi, bounded=True)} and RMSEA at most "
        f"{number(rule.rmsea, bounded=True)}; then a loss of CFI of at most {number(rule.loss_of_cfi, 3, bounded=True)} and a "
        f"gain of RMSEA of at most {number(rule.gain_of_rmsea, 3, bounded=True)} from level to level",
        "Where equal intercepts (scalar) do not hold, change of the score may be a change of meaning",
    )
    return Drawing(
        figure, table.reset_index(drop=True), caption, "Fit of four levels of longitudinal invariance by scale. " + caption
    )


def _points(ax: Axes, rows: list[Row], at: list[float], value: Callable[[Row], float], colour: str, marker: str) -> None:
    for row, x in zip(rows, at, strict=True):
        y = value(row)
        if not math.isnan(y):
            held: bool = not pd.isna(row["holds"]) and bool(row["holds"])
            ax.plot([x], [y], marker, color=colour, markersize=6.5, markerfacecolor=colour if held else "white", clip_on=False)


def _frame(ax: Axes, bound: float, worse: str, title: str, *, steps: bool) -> None:
    """Mark the bound and the side of it that fails, and name the levels."""
    low, high = ax.get_ylim()
    room = 0.35 * abs(bound if worse == "above" else 1 - bound)
    low, high = (min(low, bound - room), max(high, 1.0)) if worse == "below" else (min(low, 0.0), max(high, bound + room))
    left, right = (0.5, len(LEVELS) - 0.5) if steps else (-0.5, 0.5)  # fit itself is judged at the configural level only
    ax.hlines(bound, left, right, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    ax.fill_between([left, right], *((low, bound) if worse == "below" else (bound, high)), color=PALE, linewidth=0, zorder=0)
    ax.text(left + 0.08, bound, "fails", fontsize=8, color="#555555", va="top" if worse == "below" else "bottom")
    names = LEVELS[1:] if steps else LEVELS
    ax.set_xticks(range(1 if steps else 0, len(LEVELS)), names)
    ax.set(xlim=(0.5 if steps else -0.5, len(LEVELS) - 0.5), ylim=(low, high), ylabel=title)


def _words(rows: pd.DataFrame, outcome: str, settings: dict[str, Any]) -> str:
    held = [str(r["level"]) for r in records(rows) if not pd.isna(r["holds"]) and bool(r["holds"])]
    reached = [level for level in LEVELS if level in held]
    scalar = rows[rows["level"] == "scalar"].iloc[0]
    what = f"up to {reached[-1]} invariance holds" if reached else "not even the configural model holds"
    return (
        f"{score_title(outcome, settings)} (n = {count(scalar['n'])}, {count(scalar['n_both'])} at both): {what}; scalar CFI "
        f"{number(scalar['cfi'], 3, bounded=True)}, RMSEA {number(scalar['rmsea'], 3, bounded=True)}"
    )

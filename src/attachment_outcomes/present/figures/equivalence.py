"""Which differences are too small to matter, which are there, and about which nothing is shown? Estimates beside their bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, PALE, PURPLE, VERMILION, look, new_figure
from attachment_outcomes.present.words import count, interval_text, level_text, number, p_value, score_title, sentence, wrapped

NEEDS = ("equivalence",)
QUESTIONS = {
    "end and norm": "End mean − norm",
    "no relevant change": "Mean change (end − baseline)",
    "earned and continuously secure": "Earned − continuously secure",
}
# verdict: colour, marker
MARKS = {
    "equivalent": (BLUE, "o"),
    "different, but within bounds": (PURPLE, "D"),
    "neither shown": (ORANGE, "s"),
    "different": (VERMILION, "X"),
}
ROW, WIDTH = 0.42, 9.2
REACH = 3.2  # margins: what lies further off is drawn at the edge


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw every test of equivalence in units of its own margin, grouped by question, with the verdict in words.

    Raises
    ------
    NothingToDraw
        If nothing was tested, or all is suppressed.
    """
    rows = tables["equivalence"]
    rows = need(rows[rows["estimate"].notna().to_numpy()], "equivalence", "no equivalence could be tested")
    rows = rows.assign(question_order=rows["question"].map({q: i for i, q in enumerate(QUESTIONS)}))
    rows["definition_order"] = (rows["definition"] != "unadjusted").astype(int)
    rows = rows.sort_values(["question_order", "outcome", "definition_order"], kind="stable").reset_index(drop=True)
    places, heads, place, before = [], [], 0.0, ""
    for question in rows["question"]:
        place -= 1.0 if question == before else 1.9
        if question != before:
            heads.append((question, place + 0.85))
        places.append(place)
        before = question
    with look():
        figure = new_figure(1.2 + ROW * -place, width=WIDTH)
        ax = figure.subplots()
        ax.axvspan(-1, 1, color=PALE, zorder=0, linewidth=0)
        for bound in (-1, 1):
            ax.axvline(bound, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)))
        ax.axvline(0, color=INK, linewidth=0.7)
        edge = float(min(REACH, max(1.6, np.nanmax(np.abs(_margins(rows)[["ci_low", "ci_high"]].to_numpy())) * 1.05)))
        for row, scaled, at in zip(records(rows), records(_margins(rows)), places, strict=True):
            _draw_row(ax, row, scaled, at, edge)
        ax.set_yticks(places, [_label(r, settings) for r in records(rows)], fontsize=8.5)
        for question, at in heads:
            ax.text(
                -0.01, at, QUESTIONS.get(question, question), transform=ax.get_yaxis_transform(), fontweight="bold", va="center",
                ha="right", fontsize=9.5,
            )  # fmt: skip
        ax.set(
            xlim=(-edge, edge),
            ylim=(place - 0.7, -0.6),
            xlabel=f"Difference with {_narrow(rows)} and {level_text(settings)} intervals, in units of the smallest that matters",
        )
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        figure.legend(handles=_legend(rows, settings), loc="outside lower center", ncols=4)
    words = [
        f"{QUESTIONS.get(str(r['question']), str(r['question']))}, {_label(r, settings, line=False)}: "
        f"{number(r['estimate'])}{_unit(r)} {interval_text(r['ci_low'], r['ci_high'], '')}, {r['verdict']} "
        f"(equivalence {p_value(r['p_equivalence_holm'])})"
        for r in records(rows)
    ]
    alpha = float(rows["alpha"].iloc[0])
    caption = sentence(
        *words,
        f"Intervals in brackets are {level_text(settings)}; verdicts rest on Holm-adjusted p values at "
        f"{number(alpha, 2, bounded=True)} within each question",
        "Neither shown means that the data cannot tell, not that there is no difference",
    )
    columns = [
        "question", "outcome", "definition", "primary", "estimate", "low", "high", "tost_low", "tost_high", "ci_low", "ci_high",
        "p_equivalence_holm", "p_difference_holm", "verdict", "unit", "n", "first_n", "second_n",
    ]  # fmt: skip
    return Drawing(figure, rows[columns], caption, "Estimates with intervals beside bounds of equivalence. " + caption)


def _margins(rows: pd.DataFrame) -> pd.DataFrame:
    """Return estimates and limits in units of the margin."""
    margin = rows["high"].to_numpy(dtype=float)
    return pd.DataFrame(
        {c: rows[c].to_numpy(dtype=float) / margin for c in ("estimate", "tost_low", "tost_high", "ci_low", "ci_high")}
    )


def _draw_row(ax: Axes, row: dict[str, Any], scaled: dict[str, Any], at: float, edge: float) -> None:
    colour, marker = MARKS.get(str(row["verdict"]), (GREY, "o"))
    inside = {name: float(np.clip(value, -edge, edge)) for name, value in scaled.items()}
    if abs(scaled["estimate"]) > edge:
        tip = edge * 0.985 * np.sign(scaled["estimate"])
        ax.plot(tip, at, ">" if tip > 0 else "<", color=colour, markersize=8, clip_on=False)
    else:
        ax.hlines(at, inside["ci_low"], inside["ci_high"], color=colour, linewidth=1.1)
        ax.hlines(at, inside["tost_low"], inside["tost_high"], color=colour, linewidth=3.4)
        ax.plot(inside["estimate"], at, marker, color=colour, markersize=8, markeredgecolor="white", zorder=4)
    sizes = count(row["n"]) if np.isnan(row["first_n"]) else f"{count(row['first_n'])} and {count(row['second_n'])}"
    text = f"{number(row['estimate'])}{_unit(row)} (bounds ±{number(row['high'])})\n{row['verdict']}, n = {sizes}"
    ax.text(1.02, at, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8, linespacing=1.15)


def _unit(row: dict[str, Any]) -> str:
    return {"score points": " points", "SD units": " SD"}.get(str(row["unit"]), "")


def _label(row: dict[str, Any], settings: dict[str, Any], *, line: bool = True) -> str:
    title = score_title(str(row["outcome"]), settings)
    text = f"{title}, {row['definition']}" if row["definition"] else title
    return wrapped(text) if line else text


def _legend(rows: pd.DataFrame, settings: dict[str, Any]) -> list[Line2D | Patch]:
    there = [v for v in MARKS if (rows["verdict"] == v).any()]
    made: list[Line2D | Patch] = [
        Line2D([], [], color=MARKS[v][0], marker=MARKS[v][1], linestyle="none", markersize=8, markeredgecolor="white", label=v)
        for v in there
    ]
    return [
        *made, Line2D([], [], color=INK, linewidth=3.4, label=f"{_narrow(rows)} interval"),
        Line2D([], [], color=INK, linewidth=1.1, label=f"{level_text(settings)} interval"),
        Patch(color=PALE, label="within bounds"),
    ]  # fmt: skip


def _narrow(rows: pd.DataFrame) -> str:
    """Return the level of the interval that two one-sided tests go with."""
    return f"{100 * (1 - 2 * float(rows['alpha'].iloc[0])):.0f} %"

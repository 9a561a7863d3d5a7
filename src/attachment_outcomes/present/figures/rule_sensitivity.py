"""How the shares of the improved, recovered and deteriorated hang on the reliability and on the least change that counts."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import BLUE, GREEN, INK, ORANGE, look, panels, place_legend
from attachment_outcomes.present.words import count, interval_text, level_text, number, percent, score_title, sentence

NEEDS = ("rule_sensitivity",)
RELIABILITY, MID = "reliability", "least change that counts"
AXES = {RELIABILITY: "Reliability of the score (0 to 1)", MID: "Least change that counts (score points)"}
# estimand: colour, line, marker of the value in use, how it is called
LINES: dict[str, tuple[str, str, str, str]] = {
    "improved": (BLUE, "-", "o", "improved (with recovered)"),
    "recovered": (GREEN, "--", "s", "recovered"),
    "deteriorated": (ORANGE, "-.", "v", "deteriorated"),
}
EXPECTED = (0, (1, 1.6))
HEIGHT = 2.9


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw two panels an outcome: shares over the reliability, and over the least change that counts.

    Raises
    ------
    NothingToDraw
        If no share could be shown.
    """
    table = tables["rule_sensitivity"]
    table = need(table[table["share"].notna()], "rule_sensitivity", "no share of change could be shown").reset_index(drop=True)
    wanted = [str(o["score"]) for o in (settings.get("change") or {}).get("outcomes", [])]
    outcomes = sorted(table["outcome"].unique(), key=lambda o: (wanted.index(o) if o in wanted else len(wanted), o))
    words = []
    with look():
        figure, axes = panels(2 * len(outcomes), height=HEIGHT)
        handles: dict[str, Any] = {}
        for k, outcome in enumerate(outcomes):
            part = table[table["outcome"] == outcome]
            for ax, parameter in zip(axes[2 * k : 2 * k + 2], AXES, strict=True):
                own = part[part["parameter"] == parameter]
                rule = str(own["rule"].iloc[0]) if len(own) else ""
                handles |= _curves(ax, own, settings)
                ax.set(title=f"{score_title(outcome, settings)}, by {rule}", xlabel=AXES[parameter], ylabel="Share of people (%)")
                ax.title.set_fontsize(9)
                ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
                ax.set_ylim(0, max(0.1, float(part["ci_high"].max()) * 1.04))
            words.append(_words(part, outcome, settings))
        place_legend(figure, list(handles.values()), list(handles))
    n_note = (
        "Dotted: the share that error alone would call improved, and as many deteriorated (black), or recovered (green), "
        "if nobody had changed; vertical line: the value in use"
    )
    caption = sentence(*words, n_note)
    return Drawing(figure, table, caption, "Curves of shares over reliability and over the least change that counts. " + caption)


def _curves(ax: Axes, own: pd.DataFrame, settings: dict[str, Any]) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    in_use = own.loc[own["in_use"].astype(bool), "value"]
    for estimand, (colour, dash, marker, name) in LINES.items():
        rows = own[own["estimand"] == estimand].sort_values("value")
        if rows.empty:
            continue
        ax.fill_between(rows["value"], rows["ci_low"], rows["ci_high"], color=colour, alpha=0.18, linewidth=0)
        (line,) = ax.plot(rows["value"], rows["share"], dash, color=colour)
        handles[f"{name}, {level_text(settings)} interval"] = line
        if estimand != "deteriorated":  # the same by error alone as improved
            by_error = INK if estimand == "improved" else colour
            ax.plot(rows["value"], rows["expected_without_change"], linestyle=EXPECTED, color=by_error, linewidth=1.3)
        here = rows[rows["in_use"].astype(bool)]
        ax.plot(here["value"], here["share"], marker, color=colour, markersize=6, markeredgecolor=INK, markeredgewidth=0.6)
    if len(in_use):
        ax.axvline(float(in_use.iloc[0]), color=INK, linewidth=0.9, zorder=0.5)
        (handles["expected if nobody had changed"],) = ax.plot([], [], linestyle=EXPECTED, color=INK, linewidth=1.3)
        (handles["value in use"],) = ax.plot([], [], color=INK, linewidth=0.9, marker="o", markersize=5)
    else:
        (handles["expected if nobody had changed"],) = ax.plot([], [], linestyle=EXPECTED, color=INK, linewidth=1.3)
    return handles


def _words(part: pd.DataFrame, outcome: str, settings: dict[str, Any]) -> str:
    told = []
    for parameter in AXES:
        own = part[(part["parameter"] == parameter) & (part["estimand"] == "improved")].sort_values("value")
        if own.empty:
            continue
        first, last = records(own.iloc[[0, -1]])
        unit = "" if parameter == RELIABILITY else " points"
        span = (
            f"improved {percent(first['share'])} at {parameter} {_value(first, parameter)}{unit} "
            f"and {percent(last['share'])} at {_value(last, parameter)}{unit}"
        )
        used = records(own[own["in_use"].astype(bool)])
        if used:
            row = used[0]
            inside = interval_text(row["ci_low"], row["ci_high"], "proportion").replace("[", f"[{level_text(settings)} CI ")
            by_error = f", {percent(row['expected_without_change'], 1)} expected without change"
            span += f"; {percent(row['share'], 1)} {inside} at the {_value(row, parameter)}{unit} in use{by_error}"
        told.append(span)
    return f"{score_title(outcome, settings)} (n = {count(part['n'].max())}): " + "; ".join(told)


def _value(row: dict[str, Any], parameter: str) -> str:
    return number(float(row["value"]), 2, bounded=parameter == RELIABILITY)

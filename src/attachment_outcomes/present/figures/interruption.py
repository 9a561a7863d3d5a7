"""How many children are secure, by what the parent's class was before and after, with treatment and without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from attachment_outcomes.inference.estimate import select
from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one, records, told
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, look, new_figure
from attachment_outcomes.present.words import SUPPRESSED, count, interval_text, level_text, number, percent, sentence
from attachment_outcomes.transmission.interruption.rows import RANDOMISED

NEEDS = ("estimates",)
ROW = 0.31  # inches a row
TREATED, COMPARISON = "treated", "comparison"
BLOCKS = [
    ("Parent insecure before", "parent insecure"),
    ("– and insecure after", "parent stayed insecure"),
    ("– and secure after", "parent became secure"),
    ("Parent secure before", "parent secure"),
]
BESIDE = {
    "families without treatment, parent insecure": "Families without treatment,\nparent insecure",
    "earlier samples, parent insecure": "Earlier samples,\nparent insecure",
}
MARKS = {TREATED: (BLUE, "o", True), COMPARISON: (ORANGE, "s", True)}
BESIDE_THEM = "beside, not compared"
OTHER = (GREY, "D", False)


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw a row a group with its interval; a dashed line is what treatment without effect would give.

    Raises
    ------
    NothingToDraw
        If no arms were compared.
    """
    estimates = tables["estimates"]
    found = select(estimates, analysis="interruption", estimand="child_secure")
    shown = need(_rows(found), "estimates", "no arms with classified parents and children were compared")
    with look():
        figure = new_figure(1.7 + ROW * float(shown["place"].max() + 1), width=8.2)
        ax = figure.subplots()
        _expectation(ax, shown)
        for row in records(shown):
            _mark(ax, row)
        _labels(ax, shown, settings)
        handles = [
            Line2D([], [], color=c, marker=m, markerfacecolor=c if f else "white", label=label, linewidth=1.6)
            for label, (c, m, f) in {"treated": MARKS[TREATED], "comparison": MARKS[COMPARISON], BESIDE_THEM: OTHER}.items()
            if label in set(shown["arm"])
        ]
        if _expected(shown) is not None:
            handles.append(Line2D([], [], color=INK, linestyle="--", linewidth=1.1, label="expected of treatment without effect"))
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    caption = _caption(estimates, shown, settings)
    data = shown[["block", "arm", "group", "estimate", "ci_low", "ci_high", "n"]]
    listed = "; ".join(f"{_plain(r['block'])}, {r['arm']}: {_value(r)}" for r in records(shown))
    return Drawing(figure, data, caption, "Shares of secure children by arm and by the parent's class. " + listed)


def _rows(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in the order in which they are drawn, with their block, arm, and place from above."""
    own = {str(r["group"]): r for r in records(found)}
    rows: list[dict[str, Any]] = []
    place = 0.0
    for block, group in BLOCKS:
        there = [(arm, own[f"{arm}, {group}"]) for arm in (TREATED, COMPARISON) if f"{arm}, {group}" in own]
        rows += [{**row, "block": block, "arm": arm, "place": place + i} for i, (arm, row) in enumerate(there)]
        place += len(there) + 0.6 * bool(there)
    if not rows:
        return pd.DataFrame()
    beside = [(title, own[group]) for group, title in BESIDE.items() if group in own]
    rows += [{**row, "block": title, "arm": BESIDE_THEM, "place": place + i} for i, (title, row) in enumerate(beside)]
    return pd.DataFrame(rows)


def _expected(shown: pd.DataFrame) -> float | None:
    row = shown[(shown["block"] == BLOCKS[0][0]) & (shown["arm"] == COMPARISON)]
    return None if row.empty or np.isnan(row["estimate"].iloc[0]) else float(row["estimate"].iloc[0])


def _expectation(ax: Axes, shown: pd.DataFrame) -> None:
    expected = _expected(shown)
    if expected is not None:
        own = shown.loc[shown["block"] == BLOCKS[0][0], "place"]
        ax.vlines(expected, own.min() - 0.45, own.max() + 0.45, color=INK, linestyle="--", linewidth=1.1, zorder=1)


def _mark(ax: Axes, row: dict[str, Any]) -> None:
    colour, marker, filled = MARKS.get(str(row["arm"]), OTHER)
    y = float(row["place"])
    if not np.isnan(row["estimate"]):
        ax.hlines(y, row["ci_low"], row["ci_high"], color=colour, linewidth=1.8)
        ax.plot(row["estimate"], y, marker, color=colour, markerfacecolor=colour if filled else "white", markersize=7)
    ax.text(1.02, y, _numbers(row), transform=ax.get_yaxis_transform(), va="center", fontsize=8.5)


def _labels(ax: Axes, shown: pd.DataFrame, settings: dict[str, Any]) -> None:
    first = shown.drop_duplicates("block")
    middle = shown.groupby("block", sort=False)["place"].mean()
    ax.set_yticks([float(middle[b]) for b in first["block"]], list(first["block"]))
    for tick, block in zip(ax.get_yticklabels(), first["block"], strict=True):
        tick.set_fontweight("bold" if block in (BLOCKS[0][0], BLOCKS[3][0]) else "normal")
    bottom = float(shown["place"].max()) + 0.7
    if (shown["arm"] == BESIDE_THEM).any():
        ax.axhline(float(shown.loc[shown["arm"] == BESIDE_THEM, "place"].min()) - 0.8, color="#CCCCCC", linewidth=0.8)
    ax.set(xlim=(-0.02, 1.02), ylim=(bottom, -1.0), xlabel="Children who are secure (%)")
    ax.set_xticks(np.linspace(0, 1, 6), [percent(x) for x in np.linspace(0, 1, 6)])
    ax.text(1.02, -0.8, f"share [{level_text(settings)} CI]; n", transform=ax.get_yaxis_transform(), va="center", fontsize=8.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _plain(block: str) -> str:
    """Return a block's name in one line, whole where it continues the first."""
    return block.replace("\n", " ").replace("– ", f"{BLOCKS[0][0]} ")


def _value(row: dict[str, Any]) -> str:
    if np.isnan(row["estimate"]):
        return SUPPRESSED
    return f"{percent(row['estimate'])} {interval_text(row['ci_low'], row['ci_high'], 'proportion', digits=0)}".strip()


def _numbers(row: dict[str, Any]) -> str:
    if np.isnan(row["estimate"]):
        return SUPPRESSED
    return f"{percent(row['estimate'])} [{number(100 * row['ci_low'], 0)}, {number(100 * row['ci_high'], 0)}]; {count(row['n'])}"


def _caption(estimates: pd.DataFrame, shown: pd.DataFrame, settings: dict[str, Any]) -> str:
    first = shown.iloc[0]
    keys: dict[str, object] = {"analysis": "interruption", "outcome": first["outcome"], "definition": first["definition"]}
    texts = [
        told(estimates, "difference where the parent was insecure", settings, estimand="child_secure_difference",
             group="parent insecure", **keys),
        told(estimates, "that difference less the one where the parent was secure", settings,
             estimand="interaction_risk_difference", **keys),
        told(estimates, "share of transmissions interrupted", settings, estimand="fraction_interrupted", **keys),
    ]  # fmt: skip
    interaction = one(estimates, estimand="interaction_risk_difference", **keys)
    difference = one(estimates, estimand="child_secure_difference", group="parent insecure", **keys)
    note = str((interaction or difference or {"note": ""})["note"])
    allotted = "Arms were allotted at random" if RANDOMISED in note.split("; ") else ""
    return sentence(
        f"{first['outcome']}, {first['definition']}",
        *(t for t in texts if t),
        allotted or "Associations: arms were not allotted at random",
        _needed(one(estimates, estimand="number_needed_to_treat", **keys)),
        "Groups by the class after are formed after treatment, so that they compare no arms fairly"
        if shown["block"].str.contains("after").any()
        else "",
        "Small counts are suppressed" if shown["estimate"].isna().any() else "",
    )


def _needed(row: dict[str, Any] | None) -> str:
    if row is None or np.isnan(row["estimate"]):
        return ""
    through = next((part for part in str(row["note"]).split("; ") if part.startswith("the interval runs")), "")
    inside = through or interval_text(row["ci_low"], row["ci_high"], "parents", digits=1)
    return f"Number needed to treat {number(row['estimate'], 1)}{': ' if through else ' '}{inside}".strip()

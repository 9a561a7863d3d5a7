"""How many insecure people reached security, how many would by measurement error alone, and the difference."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import Row, records
from attachment_outcomes.present.style import BLUE, GREY, INK, look, new_figure, place_legend
from attachment_outcomes.present.words import count, level_text, percent, sentence, with_interval

NEEDS = ("estimates",)
SCREENED = "chosen by observed scores"
SUFFIXES = [
    "weighted for drop-out",
    "worst case of drop-out",
    "best case of drop-out",
    SCREENED,
]
DEFINITIONS = ["crossing", "crossing with reliable change", "sustained at follow-up"]
TITLES = {
    "crossing": "Crossing: secure at the end",
    "crossing with reliable change": "Crossing with reliable change",
    "sustained at follow-up": "Sustained at follow-up",
}
LABELS = {
    "": "complete cases",
    "weighted for drop-out": "weighted for drop-out",
    "worst case of drop-out": "none of the lost secure",
    "best case of drop-out": "all of the lost secure",
    SCREENED: "people screened: reference",
}
SHIFT = 0.16  # of a row, between the observed and the expected share


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw a row for each definition and handling of drop-out: the shares on the left, their difference on the right.

    Raises
    ------
    NothingToDraw
        If no classification has earned security.
    """
    estimates = tables["estimates"]
    rows = estimates[(estimates["analysis"] == "earned_security") & estimates["estimate"].notna()]
    rows = need(rows, "estimates", "nobody insecure at baseline has a class at the end")
    named = rows[rows["primary"].fillna(False).astype(bool)]
    name = str((named if len(named) else rows)["outcome"].iloc[0])
    rows = rows[rows["outcome"] == name]
    found = {(str(r["definition"]), str(r["estimand"])): r for r in records(rows)}
    lines = _lines({d for d, _ in found})
    with look():
        figure = new_figure(1.9 + 0.36 * len(lines))
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.5, 1])
        handles = _panels(left, right, lines, found)
        place_legend(figure, handles, ["observed", "expected if nobody truly changed", "observed minus expected"])
    caption = sentence(
        f"Earned security by {name}, with {level_text(settings)} intervals", *_words(lines, found), *_notes(lines, found)
    )
    keep = ["outcome", "definition", "estimand", "estimate", "ci_low", "ci_high", "n"]
    data = rows[rows["estimand"].isin(["earned_security", "expected_without_change", "excess"])][keep].reset_index(drop=True)
    return Drawing(figure, data, caption, "Observed and expected shares that reach security, and their difference. " + caption)


def _lines(there: set[str]) -> list[tuple[str, str]]:
    """Return the definitions and suffixes to draw, from top to bottom."""
    return [(d, s) for d in DEFINITIONS for s in ("", *SUFFIXES) if _key(d, s) in there]


def _key(definition: str, suffix: str) -> str:
    return f"{definition}; {suffix}" if suffix else definition


def _panels(left: Axes, right: Axes, lines: list[tuple[str, str]], found: dict[tuple[str, str], Row]) -> list[Any]:
    places, labels, y, before = [], [], 0.0, ""
    seen: dict[str, Any] = {}
    for definition, suffix in lines:
        if definition != before:
            y += 1.1
            left.text(
                -0.02, y - 0.62, TITLES[definition], transform=left.get_yaxis_transform(), ha="right", va="center",
                fontweight="bold", fontsize=9
            )  # fmt: skip
            before = definition
        key = _key(definition, suffix)
        # The share does not depend on the population that people were chosen from, so it stands in the row above.
        for estimand, colour, marker, up, axes in (
            ("earned_security", BLUE, "o", -SHIFT, left),
            ("expected_without_change", GREY, "s", SHIFT, left),
            ("excess", INK, "D", 0.0, right),
        ):
            row = found.get((key, estimand))
            if row is not None:
                seen[estimand] = _mark(axes, row, y + up, colour, marker)
        places.append(y)
        labels.append(LABELS[suffix])
        y += 1.0
    left.set_yticks(places, labels)
    left.set_ylim(y - 0.3, 0.0)
    left.set(title="Share of those insecure at baseline", xlabel="People (%)")
    right.set(title="Beyond error", xlabel="Difference (% points)")
    left.set_xlim(left=0.0)
    right.axvline(0, color=GREY, linewidth=0.8)
    for ax in (left, right):
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    return [seen[k] for k in ("earned_security", "expected_without_change", "excess") if k in seen]


def _mark(ax: Axes, row: Row, y: float, colour: str, marker: str) -> Any:
    if not math.isnan(row["ci_low"]):
        ax.plot([100 * row["ci_low"], 100 * row["ci_high"]], [y, y], color=colour, linewidth=1.6)
    filled = marker != "s"
    return ax.plot(
        100 * row["estimate"],
        y,
        marker=marker,
        color=colour,
        markerfacecolor=colour if filled else "white",
        linestyle="none",
        markersize=5.5,
    )[0]


def _words(lines: list[tuple[str, str]], found: dict[tuple[str, str], Row]) -> list[str]:
    out = []
    for definition in dict.fromkeys(d for d, _ in lines):
        share, alone, excess = (found.get((definition, e)) for e in ("earned_security", "expected_without_change", "excess"))
        if share is None:
            continue
        text = f"{definition} {with_interval(share)} of n = {count(share['n'])}"
        if alone is not None and excess is not None:
            text += f", expected without change {percent(alone['estimate'])}, beyond that {with_interval(excess)}"
        out.append(text)
    return out


def _notes(lines: list[tuple[str, str]], found: dict[tuple[str, str], Row]) -> list[str]:
    notes = ["Crossing a line between classes is not by itself a change of attachment"]
    if any(e == "expected_without_change" for _, e in found):
        chosen = (
            "The expectation rests on the given reliabilities and on people chosen, if at all, by what they truly are; "
            "where they were chosen by a high observed score it is too low"
        )
        if any(s == SCREENED for _, s in lines):
            chosen += ", and the row of people screened holds"
        notes.append(chosen)
    return notes

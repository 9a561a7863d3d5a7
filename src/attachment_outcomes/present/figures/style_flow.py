"""Which attachment style people had at the first wave, which at the last, and which error alone would have given them."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import primary_definition, records, told
from attachment_outcomes.present.style import INK, OTHER_FILLS, STYLE_FILLS, look, new_figure
from attachment_outcomes.present.words import STYLES, count, percent, sentence

NEEDS = ("transitions", "estimates")
GAP = 0.02  # between two classes, as a share of all people
NODE = 0.05  # width of a class's bar
LEAST_LABELLED = 0.03


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw people's moves between classes as bands from left (first wave) to right (last wave).

    Below them, where the error of measurement is known: the moves that it alone would give the same people, had nobody changed.
    They are average chances, so that they sum to people but are no whole ones. They are not drawn where a count is suppressed, for
    they would give it away.

    Raises
    ------
    NothingToDraw
        If there are no transitions, or all are suppressed.
    """
    moves = need(primary_definition(tables["transitions"]), "transitions", "nobody has a class at two occasions")
    name = str(moves["name"].iloc[0])
    moves = moves[moves["name"] == name]
    hidden = moves["n"].isna()
    shown = need(moves[~hidden & (moves["n"] > 0)], "transitions", "every count is suppressed")
    classes = [c for c in STYLES if c in {*shown["from_class"], *shown["to_class"]}]
    classes += sorted({*shown["from_class"], *shown["to_class"]} - set(classes))
    total = float(shown["n"].sum())
    alone = _alone(moves, shown)
    with look():
        figure = new_figure(4.6 if alone is None else 8.6)
        axes = figure.subplots(1 if alone is None else 2, 1, squeeze=False)[:, 0]
        _flow(axes[0], shown, moves, classes, total)
        if alone is not None:
            axes[0].set_title("Observed", pad=20)
            _flow(axes[1], alone, alone, classes, total)
            axes[1].set_title("If nobody had truly changed: moves by measurement error alone", pad=20)
    estimates = tables["estimates"]
    keys: dict[str, object] = {"analysis": "transition", "outcome": name}
    found = [
        told(estimates, label, settings, estimand=estimand, **keys)
        for estimand, label in (
            ("stays_secure", "stays secure"),
            ("becomes_secure", "becomes secure"),
            ("agreement", "same class"),
            ("kappa", "kappa"),
        )
    ]
    found = [f for f in found if f]
    n_people = f"{count(total)}{' shown' if hidden.any() else ''}"
    note = f"{int(hidden.sum())} moves are suppressed as small counts and not drawn" if hidden.any() else ""
    ceiling = [
        told(estimates, label, settings, estimand=estimand, **keys)
        for estimand, label in (
            ("agreement_without_change", "the same class"),
            ("kappa_without_change", "kappa"),
            ("kappa_beyond_error", "observed less expected kappa"),
        )
    ]
    ceiling = [c for c in ceiling if c]
    caption = sentence(
        f"Classes by {name}; n = {n_people}",
        "; ".join(found),
        f"Had nobody truly changed, measurement error alone would give {'; '.join(ceiling)}" if ceiling else "",
        "Below: average chances of each move by error alone" if alone is not None else "",
        note,
        "Dimensions are to be preferred to classes where both exist",
    )
    listed = [f"{r['from_class']} to {r['to_class']} {count(r['n'])}" for r in records(shown)]
    columns = ["name", "from_class", "to_class", "n", "share_without_change"]
    data = moves[[c for c in columns if c in moves]].reset_index(drop=True)
    return Drawing(
        figure, data, caption, "Flow from the classes at the first wave to those at the last. " + sentence("; ".join(listed))
    )


def _alone(moves: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame | None:
    """Return the moves by error alone as expected people; None where they are not known, or a count is suppressed."""
    if "share_without_change" not in moves or moves["n"].isna().any():
        return None
    people = moves.groupby("from_class")["n"].transform("sum")
    known = moves["share_without_change"].notna() | (people == 0)
    if not known.all() or not moves["share_without_change"].notna().any():
        return None
    found = moves.assign(n=people * moves["share_without_change"].fillna(0.0))
    # A class that error alone would give, but nobody has, stays out of a figure of classes that people have.
    return found[found["to_class"].isin({*shown["from_class"], *shown["to_class"]}) & (found["n"] > 0)]


def _flow(ax: Axes, shown: pd.DataFrame, moves: pd.DataFrame, classes: list[str], total: float) -> None:
    """Draw one flow with its bars, bands and headings."""
    left = _nodes(ax, shown, moves, "from_class", classes, total, 0.0)
    right = _nodes(ax, shown, moves, "to_class", classes, total, 1.0)
    for start in classes:
        for end in classes:
            part = shown[(shown["from_class"] == start) & (shown["to_class"] == end)]
            if len(part):
                left[start], right[end] = _band(
                    ax, left[start], right[end], float(part["n"].sum()) / total, _fill(start, classes), stays=start == end
                )
    ax.text(NODE / 2, 1.02, "First wave", ha="center", va="bottom", fontweight="bold", transform=ax.get_xaxis_transform())
    ax.text(1 - NODE / 2, 1.02, "Last wave", ha="center", va="bottom", fontweight="bold", transform=ax.get_xaxis_transform())
    ax.set(xlim=(-0.42, 1.42), ylim=(-(1 + GAP * len(classes)), 0.0))
    ax.axis("off")


def _fill(name: str, classes: list[str]) -> tuple[str, str]:
    return STYLE_FILLS.get(name, OTHER_FILLS[classes.index(name) % len(OTHER_FILLS)])


def _nodes(
    ax: Axes, shown: pd.DataFrame, moves: pd.DataFrame, side: str, classes: list[str], total: float, x: float
) -> dict[str, float]:
    """Draw one side's bars with their labels; return where the first band of each starts."""
    tops, top = {}, 0.0
    for name in classes:
        height = float(shown.loc[shown[side] == name, "n"].sum()) / total
        colour, hatch = _fill(name, classes)
        if height > 0:
            left = x if x == 0 else x - NODE
            ax.add_patch(Rectangle((left, top - height), NODE, height, facecolor=colour, edgecolor=INK, linewidth=0.7, hatch=hatch))
            at_least = "≥ " if moves.loc[moves[side] == name, "n"].isna().any() else ""
            label = f"{name}\n{at_least}{count(height * total)} ({percent(height)})"
            ax.text(
                -0.02 if x == 0 else 1.02, top - height / 2, label, ha="right" if x == 0 else "left", va="center", linespacing=1.15
            )
        tops[name] = top
        top -= height + (GAP if height > 0 else 0)
    return tops


def _band(ax: Axes, start: float, end: float, height: float, fill: tuple[str, str], *, stays: bool) -> tuple[float, float]:
    """Draw one band; return where the next one starts on either side."""
    x0, x1, middle = NODE, 1 - NODE, 0.5
    points = [
        (x0, start), (middle, start), (middle, end), (x1, end), (x1, end - height),
        (middle, end - height), (middle, start - height), (x0, start - height), (x0, start),
    ]  # fmt: skip
    codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.CLOSEPOLY]
    ax.add_patch(PathPatch(Path(points, codes), facecolor=fill[0], edgecolor=INK, linewidth=0.4, alpha=0.55 if stays else 0.32))
    if height >= LEAST_LABELLED:
        ax.text(0.1, start - height / 2, percent(height), ha="left", va="center", fontsize=8)
    return start - height, end - height

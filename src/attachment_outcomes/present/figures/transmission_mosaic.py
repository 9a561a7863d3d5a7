"""Parents' classes by children's classes: who corresponds, and where more or fewer do than chance gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records, told
from attachment_outcomes.present.style import INK, PALE, look, new_figure
from attachment_outcomes.present.words import SUPPRESSED, count, number, sentence

NEEDS = ("residuals", "estimates")
# Adjusted residuals beyond 2 and 4 are those of a mosaic plot by custom (Friendly, 1994); about 5 % and 0.006 % by chance.
SHADES = [(4.0, "#0072B2", ""), (2.0, "#A6CEE3", ""), (-2.0, "#FFFFFF", ""), (-4.0, "#F6C3A0", "//"), (-np.inf, "#D55E00", "///")]
WORDS = [
    "more than chance (residual above 4)",
    "more (2 to 4)",
    "as chance gives (−2 to 2)",
    "fewer (−4 to −2)",
    "fewer (below −4)",
]
GAP = 0.012
LEAST_HEIGHT, LEAST_WIDTH = 0.035, 0.03  # a smaller tile has no room for its count
SMALL_HEIGHT, SMALL_WIDTH = 0.14, 0.2  # likewise of the small panels
SHORT = {"secure": "sec", "insecure": "ins", "organised": "org", "unresolved or disorganised": "U/D"}
SHORT |= {"dismissing": "dis", "preoccupied": "pre", "fearful": "fear"}
WIDE = 0.09  # a narrower tile has no room for its residual


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw tiles whose width is the share of parents in a class and whose height that of children within it.

    The first way to read the classes is drawn large, the others small below it.

    Raises
    ------
    NothingToDraw
        If there is no class table.
    """
    residuals = need(tables["residuals"], "residuals", "no pair of classes was found")
    first = residuals.iloc[0]
    residuals = residuals[residuals["system"] == first["system"]]
    ways = [part.reset_index(drop=True) for _, part in residuals.groupby("way", sort=False)]
    table, others = ways[0], [w for w in ways[1:] if w["n"].isna().any() or w["n"].sum() > 0]
    hidden = bool(table["n"].isna().any())
    if not hidden:
        need(table[table["n"] > 0], "residuals", "the class table holds no pairs")
    with look():
        figure = new_figure(6.2 if others else 4.6)
        grid = figure.add_gridspec(2 if others else 1, max(len(others), 1), height_ratios=[3, 1] if others else [1])
        ax = figure.add_subplot(grid[0, :])
        _tiles(ax, table)
        for column, other in enumerate(others):
            _small(figure.add_subplot(grid[1, column]), other)
        ax.set(
            xlim=(-0.01, 1.02),
            ylim=(-0.01, 1.01),
            xlabel=f"Parent's class ({_system(first, 0)})",
            ylabel=f"Child's class ({_system(first, 1)})",
        )
        ax.set_frame_on(False)
        ax.tick_params(length=0)
        shown = pd.concat([table, *others])
        used = [i for i, _ in enumerate(SHADES) if any(_shade(r) == i for r in shown.loc[shown["n"].notna(), "residual"])]
        handles = [Patch(facecolor=SHADES[i][1], edgecolor=INK, hatch=SHADES[i][2], label=WORDS[i], linewidth=0.6) for i in used]
        if shown["n"].isna().any():
            handles.append(
                Patch(facecolor=PALE, edgecolor=INK, label=f"{SUPPRESSED}: a small count, or one that gives it back", linewidth=0.6)
            )
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    keys: dict[str, object] = {"analysis": "concordance", "outcome": first["system"], "definition": first["way"]}
    found = [
        told(tables["estimates"], name, settings, estimand=estimand, **keys)
        for estimand, name in (("agreement", "corresponding"), ("chance_agreement", "expected by chance"), ("kappa", "kappa"))
    ]
    total = table["n"].sum()
    caption = sentence(
        f"{first['system']}, {first['way']}; n = {'at least ' if hidden else ''}{count(total)} pairs",
        "; ".join(f for f in found if f),
        "Numbers in a tile: pairs, and the adjusted standardised residual in brackets",
        "Small counts are suppressed, so all tiles have one size" if hidden else "The area of a tile is its share of all pairs",
        "Below: the other ways to read the same classes" if others else "",
    )
    listed = "; ".join(f"parent {r['parent_class']} with child {r['child_class']}: {count(r['n'])}" for r in records(table))
    data = pd.concat([table, *others], ignore_index=True)
    return Drawing(figure, data, caption, "Mosaic of parents' and children's classes. " + listed)


def _system(row: pd.Series, side: int) -> str:
    parts = str(row["system"]).split("-")
    return parts[side] if len(parts) == 2 else str(row["system"])


def _shade(residual: float) -> int:
    if np.isnan(residual):
        return 2
    return next(i for i, (least, _, _) in enumerate(SHADES) if residual >= least)


def _tiles(ax: Axes, cells: pd.DataFrame, *, small: bool = False) -> None:
    """Draw a table's tiles, of one size where counts are hidden; in a small panel only the names and counts that have room."""
    parents, children = list(dict.fromkeys(cells["parent_class"])), list(dict.fromkeys(cells["child_class"]))
    equal = bool(cells["n"].isna().any())
    named = SHORT.get if small else lambda name, _: _wrapped(name)
    total = float(cells["n"].sum())
    x, ticks = 0.0, []
    for parent in parents:
        own = {row["child_class"]: row for row in records(cells[cells["parent_class"] == parent])}
        size = float(np.nansum([row["n"] for row in own.values()]))
        width = (1 / len(parents) if equal else size / total) - GAP
        y = 0.0
        for child in children:
            n, residual = float(own[child]["n"]), float(own[child]["residual"])
            share = 1 / len(children) if equal else (n / size if size else 0.0)
            height = max(share - GAP, 0.0)
            _, colour, hatch = (SUPPRESSED, PALE, "") if np.isnan(n) else SHADES[_shade(residual)]
            if width > 0:
                ax.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor=INK, linewidth=0.7, hatch=hatch))
                if not small:
                    _write(ax, x + width / 2, y + height / 2, n, residual, width, height)
                elif height > SMALL_HEIGHT and width > SMALL_WIDTH and not np.isnan(n):
                    _boxed(ax, x + width / 2, y + height / 2, count(n), 6.5)
            if parent == parents[0] and (not small or height > SMALL_HEIGHT):
                ticks.append((y + height / 2, named(child, child)))
            y += share
        sizes = "" if equal or small else count(size)
        if not small or width > SMALL_WIDTH:
            ax.text(
                x + width / 2,
                1.0,
                f"{named(parent, parent)}\n{sizes}".strip(),
                ha="center",
                va="bottom",
                fontsize=7 if small else None,
            )
        x += width + GAP
    ax.set_xticks([])
    ax.set_yticks([at for at, _ in ticks], [name for _, name in ticks])


def _small(ax: Axes, cells: pd.DataFrame) -> None:
    _tiles(ax, cells, small=True)
    ax.set(xlim=(-0.01, 1.02), ylim=(-0.01, 1.01))
    ax.set_xlabel(str(cells["way"].iloc[0]).replace(", ", ",\n"), fontsize=7.5)
    ax.set_frame_on(False)
    ax.tick_params(length=0, labelsize=7)


def _wrapped(name: str) -> str:
    """Return a long name on two lines: unresolved or disorganised."""
    return name.replace(" or ", " or\n")


def _write(ax: Axes, x: float, y: float, n: float, residual: float, width: float, height: float) -> None:
    if height < LEAST_HEIGHT or width < LEAST_WIDTH:
        return
    text = (
        SUPPRESSED if np.isnan(n) else count(n) + (f" ({number(residual, 1)})" if width >= WIDE and not np.isnan(residual) else "")
    )
    _boxed(ax, x, y, text, 8 if height < 0.06 else 8.5)


def _boxed(ax: Axes, x: float, y: float, text: str, size: float) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.85}
    ax.text(x, y, text, ha="center", va="center", fontsize=size, bbox=box)

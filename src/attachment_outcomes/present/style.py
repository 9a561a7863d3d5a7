"""One look for all figures: readable in grey, told apart by shape and pattern as well as by colour.

Colours are of the palette of Okabe and Ito (2008), which people with any common colour vision can tell apart. No two
that meet in one figure have the same lightness, and each comes with its own marker and hatch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE, INK, GREY, PALE = (
    "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#222222", "#8C8C8C", "#E6E6E6",
)  # fmt: skip

RC: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "pdf.fonttype": 42,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.12,
    "svg.fonttype": "path",
    "svg.hashsalt": "attachment-outcomes",
    "text.color": INK,
    "xtick.color": "#555555",
    "xtick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.color": "#555555",
    "ytick.labelcolor": INK,
    "ytick.labelsize": 9,
}
WIDTH = 7.5  # inches: the text width of a page

# category: colour, marker, filled
CHANGE_MARKS: dict[str, tuple[str, str, bool]] = {
    "recovered": (BLUE, "o", True),
    "improved": (SKY, "^", True),
    "unchanged": (GREY, "s", False),
    "deteriorated": (ORANGE, "v", True),
    "harmed": (VERMILION, "X", True),
}
STYLE_FILLS: dict[str, tuple[str, str]] = {
    "secure": (BLUE, ""),
    "preoccupied": (ORANGE, "//"),
    "dismissing": (SKY, "\\\\"),
    "fearful": (VERMILION, "xx"),
    "boundary": (GREY, ".."),
}
GROUP_MARKS: dict[str, tuple[str, str, bool]] = {
    "none": (GREY, "s", False),
    "repaired": (BLUE, "o", True),
    "unrepaired": (VERMILION, "v", True),
}
VERDICT_MARKS: dict[str, tuple[str, str]] = {
    "supported": (BLUE, "o"),
    "contradicted": (VERMILION, "X"),
    "inconclusive": (ORANGE, "D"),
    "not testable": (GREY, "_"),
}
OTHER_FILLS: list[tuple[str, str]] = [(BLUE, ""), (ORANGE, "//"), (SKY, "\\\\"), (VERMILION, "xx"), (PURPLE, "++"), (GREY, "..")]


@contextmanager
def look() -> Iterator[None]:
    """Draw with the project's look inside a ``with`` block, and leave the user's settings as they were."""
    with mpl.rc_context({**mpl.rcParamsDefault, "backend": mpl.rcParams["backend"], **RC}):
        yield


def new_figure(height: float, *, width: float = WIDTH) -> Figure:
    """Return an empty figure of a size in inches."""
    return Figure(figsize=(width, height))


def panels(n: int, *, columns: int = 2, height: float = 3.4, width: float = WIDTH) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``n`` panels in rows of ``columns``; a place that stays empty is left for the legend."""
    columns = min(columns, n)
    rows = -(-n // columns)
    figure = new_figure(height * rows, width=width if columns > 1 else min(width, 5.6))
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in grid[n:]:
        spare.axis("off")
    return figure, grid[:n]


def place_legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str] | None = None, *, columns: int = 3) -> None:
    """Put the legend in the place that the panels leave free, or below them where they leave none."""
    names = list(labels) if labels is not None else [str(h.get_label()) for h in handles]
    free = [ax for ax in figure.axes if not ax.axison]
    if free:
        free[0].legend(handles, names, loc="center left")
    else:
        figure.legend(handles, names, loc="outside lower center", ncols=columns)


def marker_style(colour: str, marker: str, filled: bool, *, size: float = 30) -> dict[str, Any]:
    """Return the arguments of ``scatter`` for a colour, a marker and whether it is filled."""
    face = colour if filled else "white"
    edge = "white" if filled and marker not in "x+_|" and size > 15 else colour
    return {"marker": marker, "s": size, "facecolors": face, "edgecolors": edge, "linewidths": 0.6 if filled or size < 15 else 1.2}


def spread_points(values: npt.ArrayLike, *, width: float = 0.3) -> npt.NDArray[np.float64]:
    """Return horizontal offsets that keep points apart where many have the same height, without chance.

    The offset is the van der Corput sequence, in the order of the values, scaled by how many values lie near.
    """
    y = np.asarray(values, dtype=float)
    if len(y) < 2:
        return np.zeros(len(y))
    order = np.argsort(y, kind="stable")
    reach = max(float(np.ptp(y)) / 25, 1e-9)
    near = np.array([(np.abs(y - v) <= reach).sum() for v in y])
    sequence = np.array([_van_der_corput(i + 1) for i in range(len(y))]) - 0.5
    offsets = np.empty(len(y))
    offsets[order] = sequence
    return np.asarray(2 * width * offsets * near / near.max(), dtype=np.float64)


def _van_der_corput(index: int) -> float:
    value, base = 0.0, 0.5
    while index:
        value += base * (index & 1)
        index >>= 1
        base /= 2
    return value

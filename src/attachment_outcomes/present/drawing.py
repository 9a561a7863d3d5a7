"""A figure with the data it shows, what it says in words, and how it is written: the same bytes every time."""

from __future__ import annotations

import io
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pandas as pd
from matplotlib.figure import Figure

from attachment_outcomes.errors import DataError
from attachment_outcomes.files import atomic, write_table, write_text
from attachment_outcomes.present.style import look, new_figure

DPI = 150
PLACES = 6  # decimals of an axes' position, as a share of the figure
logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells every table of every font that a PDF takes in
# What would differ from run to run is left out.
METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


class NothingToDraw(DataError):  # noqa: N818 (it reads as what it means)
    """A figure's table holds nothing that could be drawn."""


@dataclass(frozen=True)
class Drawing:
    """A figure, the rows it plots, a caption with its live numbers, and what a reader who does not see it is told."""

    figure: Figure
    data: pd.DataFrame
    caption: str
    alt: str


def need(frame: pd.DataFrame, table: str, what: str) -> pd.DataFrame:
    """Return the frame if it has rows.

    Raises
    ------
    NothingToDraw
        If it has none, naming the table and what is missing.
    """
    if frame.empty:
        raise NothingToDraw(f"{table}: {what}")
    return frame


def not_drawn(reason: str) -> Drawing:
    """Return the picture that stands where a figure has nothing to show: the reason, in words."""
    with look():
        figure = new_figure(1.1)
        figure.text(0.02, 0.5, f"Not drawn. {reason}", va="center", ha="left", wrap=True)
    return Drawing(figure, pd.DataFrame({"not_drawn": [reason]}), f"Not drawn: {reason}", f"No figure: {reason}")


def _settle(figure: Figure) -> None:
    """Lay the figure out once, instead of anew for each format; the solver's last digits, which differ, are rounded away."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for ax in figure.axes:
            left, bottom, width, height = (round(float(edge), PLACES) for edge in ax.get_position(original=True).bounds)
            ax.set_position((left, bottom, width, height), which="original")


def svg_text(drawing: Drawing) -> str:
    """Return the figure as SVG with its alternative text, for a file or for a page."""
    with look():
        _settle(drawing.figure)
        buffer = io.StringIO()
        drawing.figure.savefig(buffer, format="svg", metadata=METADATA["svg"])
    return buffer.getvalue().replace("<svg ", f'<svg role="img" aria-label={quoteattr(drawing.alt)} ', 1)


def inline_svg(drawing: Drawing, *, prefix: str) -> str:
    """Return the SVG element alone, for a page; ``prefix`` keeps the names inside apart from those of other figures."""
    text = svg_text(drawing)
    text = text[text.index("<svg ") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)


def save(drawing: Drawing, stem: Path, *, caption: Path) -> None:
    """Write the figure as ``stem``.svg, .png (150 dots an inch) and .pdf, its data as .csv, and its caption as text."""
    write_text(svg_text(drawing), stem.with_suffix(".svg"))
    with look():
        atomic(
            stem.with_suffix(".png"),
            lambda p: drawing.figure.savefig(p, format="png", dpi=DPI, metadata={"Description": drawing.alt}),
        )
        atomic(
            stem.with_suffix(".pdf"),
            lambda p: drawing.figure.savefig(p, format="pdf", metadata={**METADATA["pdf"], "Subject": drawing.alt}),
        )
    write_table(drawing.data, stem.with_suffix(".csv"))
    write_text(drawing.caption + "\n", caption)

"""What figures and tables of ruptures say where no alliance was rated and another series stands in for it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from attachment_outcomes.present.drawing import Drawing
from attachment_outcomes.present.items import FIGURES, OTHERS, RUPTURES
from attachment_outcomes.present.style import VERMILION
from attachment_outcomes.present.words import first_upper, score_title, wrapped
from attachment_outcomes.rupture.inputs import HIGHER_IS_WORSE

LETTERS = 13.0  # of the label, an inch
AXIS = 26  # letters in a line of an axis' name
SIZE = 9.0  # of the label, points
LINE = 0.19  # inches by which a line of the label makes the figure higher, so that its panels keep their size


def stand_in(settings: Mapping[str, Any]) -> str:
    """Return what stands in for the alliance in a study; empty where the alliance was rated."""
    return str((settings.get("rupture") or {}).get("stand_in") or "")


def warning(settings: Mapping[str, Any]) -> str:
    """Return the sentence that every figure and table of ruptures then carries; empty where the alliance was rated."""
    what = stand_in(settings)
    return f"No alliance was rated; in its place: {what}, and a rupture is a turn for the worse in that" if what else ""


def series_axis(settings: Mapping[str, Any]) -> str:
    """Return the name of the axis on which the session series is drawn, with its unit and direction."""
    alliance = str((settings.get("rupture") or {}).get("alliance", ""))
    scale = settings.get("scales", {}).get(alliance, {})
    title = score_title(alliance, settings) if scale else "Alliance"
    if not stand_in(settings):
        return f"{wrapped(title, AXIS)}\n(score points; higher = better)"
    if not scale:
        title = first_upper(stand_in(settings))
    worse = scale.get("direction") == "higher is worse" or alliance in HIGHER_IS_WORSE
    return f"{wrapped(title, AXIS)}\n({'turned round; ' if worse else 'stand-in; '}higher = better)"


def series_word(settings: Mapping[str, Any]) -> str:
    """Return what a legend calls the session series."""
    return "stand-in for the alliance" if stand_in(settings) else "alliance"


def labelled(drawing: Drawing, name: str, settings: Mapping[str, Any]) -> Drawing:
    """Return a figure as it may be shown: with the warning above it and in its text, where the study needs one.

    A figure that is not about ruptures stays as it is. The report's caption has the warning already.
    """
    text = warning(settings)
    if not text or FIGURES[name].category != RUPTURES or name in OTHERS:
        return drawing
    figure = drawing.figure
    lines = textwrap.wrap(f"{text}.", int(LETTERS * figure.get_figwidth()))
    figure.set_figheight(figure.get_figheight() + LINE * len(lines))
    figure.suptitle("\n".join(filter(None, [*lines, figure.get_suptitle()])), fontsize=SIZE, color=VERMILION, x=0.01, ha="left")
    return replace(drawing, alt=f"{text}. {drawing.alt}")

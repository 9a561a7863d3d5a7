"""Where people stand on attachment anxiety and avoidance, and the four styles that the dimensions are cut into."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import primary_definition
from attachment_outcomes.present.style import INK, STYLE_FILLS, look, new_figure
from attachment_outcomes.present.words import STYLES, count, percent, score_title, sentence

NEEDS = ("styles", "estimates")
MANY = 600  # more people than this are shown as a density
PEOPLE_A_BIN, MOST_BINS = 6, 40  # finer bins than these would show gaps that are chance, or too few people to be shown
ROOM = 0.09  # free margin, as a share of the range, that holds the styles' names
MARKERS = {"secure": "o", "preoccupied": "^", "dismissing": "s", "fearful": "v", "boundary": "x"}
# Corner of the plane (avoidance to the right, anxiety upwards) where each style lies.
CORNERS = {"secure": (0.015, 0.015), "preoccupied": (0.015, 0.985), "dismissing": (0.985, 0.015), "fearful": (0.985, 0.985)}


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw each person at the first occasion; above ``MANY`` people, how many stand in each bin.

    Raises
    ------
    NothingToDraw
        If nobody has both dimensions.
    """
    styles = primary_definition(tables["styles"])
    styles = styles[styles["anxiety"].notna() & styles["avoidance"].notna()]
    styles = need(styles, "styles", "nobody has both dimensions").sort_values(
        ["person_id", "wave", "session_number"], kind="stable"
    )
    people = styles.drop_duplicates("person_id").reset_index(drop=True)
    chosen = ((settings.get("measures") or {}).get("styles") or [{}])[0]
    threshold = int(settings.get("threshold", 0))
    names = {axis: score_title(str(chosen.get(axis, axis)), settings) for axis in ("anxiety", "avoidance")}
    limits = {axis: _range(people[axis], str(chosen.get(axis, "")), settings) for axis in names}
    cuts = _cuts(people)
    with look():
        figure = new_figure(5.6, width=6.2)
        ax = figure.subplots()
        data = _density(ax, people, limits, threshold) if len(people) > MANY else _points(ax, people)
        if cuts is not None:
            ax.axvline(cuts["avoidance"], color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
            ax.axhline(cuts["anxiety"], color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        shares = _labels(ax, people, threshold)
        ax.set(
            xlim=limits["avoidance"], ylim=limits["anxiety"], aspect="equal",
            xlabel=f"{names['avoidance']} (score points; higher = more avoidant)",
            ylabel=f"{names['anxiety']} (score points; higher = more anxious)",
        )  # fmt: skip
        if len(people) > MANY:
            figure.colorbar(ax.collections[0], ax=ax, shrink=0.7, label="People in a bin")
        else:
            figure.legend(handles=_handles(people), loc="outside lower center", ncols=5)
    caption = sentence(
        f"First occasion; n = {count(len(people))}; styles by {people['name'].iloc[0]}: {', '.join(shares)}",
        f"Bins with fewer than {threshold} people are not shown" if len(people) > MANY and threshold > 1 else "",
        "The styles cut a plane that has no gaps: dimensions are to be preferred",
    )
    return Drawing(figure, data, caption, "Plane of attachment avoidance and anxiety with the people's places. " + caption)


def _range(values: pd.Series, score: str, settings: dict[str, Any]) -> tuple[float, float]:
    known = settings.get("scales", {}).get(score, {}).get("range") or [float(values.min()), float(values.max())]
    room = ROOM * (known[1] - known[0]) or 0.5
    return known[0] - room, known[1] + room


def _cuts(people: pd.DataFrame) -> dict[str, float] | None:
    """Return where the dimensions are split, told from the classes themselves; None where no straight line splits them."""
    found = {}
    for axis, high in (("anxiety", ("preoccupied", "fearful")), ("avoidance", ("dismissing", "fearful"))):
        classed = people[people["style"].isin(CORNERS)]
        upper, lower = classed.loc[classed["style"].isin(high), axis], classed.loc[~classed["style"].isin(high), axis]
        if upper.empty or lower.empty or lower.max() > upper.min():
            return None
        on_line = people.loc[people["style"] == "boundary", axis]
        between = on_line[(on_line >= lower.max()) & (on_line <= upper.min())]
        found[axis] = float(between.iloc[0]) if len(between) else float(lower.max() + upper.min()) / 2
    return found


def _points(ax: Axes, people: pd.DataFrame) -> pd.DataFrame:
    size = float(np.clip(4000 / len(people), 10, 36))
    for style in STYLES:
        part = people[people["style"] == style]
        if len(part):
            colour, marker = STYLE_FILLS[style][0], MARKERS[style]
            edges: dict[str, Any] = {} if marker == "x" else {"edgecolors": "white", "linewidths": 0.5}
            ax.scatter(part["avoidance"], part["anxiety"], s=size, color=colour, marker=marker, alpha=0.85, **edges)
    return people[["avoidance", "anxiety", "style"]].sort_values(["avoidance", "anxiety"], kind="stable").reset_index(drop=True)


def _density(ax: Axes, people: pd.DataFrame, limits: dict[str, tuple[float, float]], threshold: int) -> pd.DataFrame:
    bins = int(np.clip(np.sqrt(len(people) / PEOPLE_A_BIN), 8, MOST_BINS))
    counts, x, y = np.histogram2d(people["avoidance"], people["anxiety"], bins=bins, range=[limits["avoidance"], limits["anxiety"]])
    shown = np.where(counts < max(threshold, 1), np.nan, counts)
    ax.pcolormesh(x, y, shown.T, cmap="Blues", rasterized=True, vmin=0)
    middle_x, middle_y = (x[:-1] + x[1:]) / 2, (y[:-1] + y[1:]) / 2
    i, j = np.nonzero(~np.isnan(shown))
    return pd.DataFrame({"avoidance": middle_x[i], "anxiety": middle_y[j], "n": shown[i, j]})


def _labels(ax: Axes, people: pd.DataFrame, threshold: int) -> list[str]:
    """Write each style's share into its corner; return all shares in words."""
    sizes = people["style"].value_counts()
    hidden = any(0 < sizes.get(s, 0) < threshold for s in STYLES)
    words = []
    for style in STYLES:
        n = int(sizes.get(style, 0))
        if n == 0:
            continue
        small = n < threshold
        # With one share hidden, the exact others would give it away.
        text = (
            "suppressed"
            if small
            else f"about {percent(round(n / len(people) * 20) / 20)}"
            if hidden
            else percent(n / len(people), 1)
        )
        words.append(f"{style} {text}")
        if style in CORNERS:
            x, y = CORNERS[style]
            across, along = "left" if x < 0.5 else "right", "bottom" if y < 0.5 else "top"
            ax.text(x, y, f"{style} {text}", transform=ax.transAxes, ha=across, va=along, fontweight="bold", zorder=5)
    return words


def _handles(people: pd.DataFrame) -> list[Any]:
    there = [s for s in STYLES if (people["style"] == s).any()]
    return [Line2D([], [], color=STYLE_FILLS[s][0], marker=MARKERS[s], linestyle="", label=s) for s in there]

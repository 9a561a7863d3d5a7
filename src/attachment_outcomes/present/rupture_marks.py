"""How series of the alliance are drawn with what a criterion finds in them: limits, episodes, and how they end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, VERMILION

KEYS = ["client", "treatment_id"]
# How an episode ends: fill, hatch, and the words of the legend. Told apart in grey by the hatch.
ENDS: dict[str, tuple[str, str, str]] = {
    "repaired": ("#CFE3F2", "", "rupture, repaired"),
    "unrepaired": ("#F6CDB8", "////", "rupture, not repaired"),
    "censored": ("#E6E6E6", "....", "rupture, end not seen"),
}
EDGE = "#9A9A9A"


def by_series(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with an empty treatment where none was given, so that it can be matched."""
    return frame.assign(client=frame["client"].astype(str), treatment_id=frame["treatment_id"].fillna("").astype(str))


def of_series(frame: pd.DataFrame, key: tuple[str, str]) -> pd.DataFrame:
    """Return the rows of one client and treatment of a frame made by :func:`by_series`."""
    return frame[(frame["client"] == key[0]) & (frame["treatment_id"] == key[1])]


def span(episode: dict[str, Any]) -> tuple[float, float]:
    """Return from where to where an episode is drawn: half a session before its onset to half a session before its return."""
    onset, length = float(episode["onset"]), float(episode["length"])
    return onset - 0.5, onset + max(length, 1.0) - 0.5


def draw_course(ax: Axes, own: pd.DataFrame, episodes: pd.DataFrame, *, word: str, size: float = 4.0) -> None:
    """Draw one series with centre and lower limit, its episodes as bands, and onsets and repairs as marks.

    A session without a rating breaks the line.
    """
    own = own.sort_values("session_number")
    for episode in records(episodes):
        fill, hatch, _ = ENDS[str(episode["outcome"])]
        ax.axvspan(*span(episode), facecolor=fill, hatch=hatch, edgecolor=EDGE if hatch else fill, linewidth=0, zorder=0)
    x = own["session_number"]
    ax.plot(x, own["center"], color=GREY, linewidth=0.3 * size, label="centre")
    ax.plot(x, own["lower_limit"], color=INK, linewidth=0.25 * size, linestyle=(0, (4, 3)), label="lower limit")
    gaps = _with_gaps(own)
    ax.plot(gaps["session_number"], gaps["score"], color=BLUE, marker="o", markersize=size, linewidth=0.35 * size, label=word)
    score = dict(zip(own["session_number"], own["score"], strict=True))
    for episode in records(episodes):
        onset = float(episode["onset"])
        ax.plot(onset, score.get(onset, np.nan), "v", color=VERMILION, markersize=2.1 * size, linestyle="", label="onset", zorder=4)
        if episode["outcome"] == "repaired":
            at = float(episode["recovered_at"])
            ax.plot(
                at, score.get(at, np.nan), "^", color=ORANGE, markeredgecolor=INK, markersize=2.1 * size, linestyle="",
                label="repair", zorder=4,
            )  # fmt: skip


def end_handles(outcomes: set[str]) -> list[Any]:
    """Return the legend's patches of the ends that occur."""
    return [
        Patch(facecolor=fill, hatch=hatch, edgecolor=EDGE, linewidth=0.5, label=name)
        for end, (fill, hatch, name) in ENDS.items()
        if end in outcomes
    ]


def unique_handles(axes: list[Axes]) -> list[Any]:
    """Return one legend entry a label, in the order of first appearance."""
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values())


def _with_gaps(own: pd.DataFrame) -> pd.DataFrame:
    """Return session numbers and scores with an empty row where a number is missing, so that no line is drawn across."""
    numbers = pd.Index(range(int(own["session_number"].min()), int(own["session_number"].max()) + 1), name="session_number")
    numeric = own.astype({"session_number": "int64", "score": "float64"})
    return numeric.set_index("session_number")[["score"]].reindex(numbers).reset_index()

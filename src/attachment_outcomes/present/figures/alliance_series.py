"""One client's alliance, session by session, with the ruptures and repairs that the primary criterion finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import primary_definition, records
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, PALE, VERMILION, look, new_figure
from attachment_outcomes.present.words import number, plain, score_title, sentence

NEEDS = ("rupture_series", "episodes", "estimates")


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the series of the client with most episodes; of several, the one with most sessions, then the first by id.

    Raises
    ------
    NothingToDraw
        If there is no series.
    """
    series = need(tables["rupture_series"], "rupture_series", "no client has a series of alliance ratings")
    episodes = primary_definition(tables["episodes"]) if len(tables["episodes"]) else tables["episodes"]
    keys = ["client", "treatment_id"]
    sessions = series.assign(treatment_id=series["treatment_id"].fillna("")).groupby(keys).size().rename("sessions").reset_index()
    found = episodes.assign(treatment_id=episodes["treatment_id"].fillna("")).groupby(keys).size().rename("episodes").reset_index()
    ranked = sessions.merge(found, on=keys, how="left").fillna({"episodes": 0})
    first = ranked.sort_values(["episodes", "sessions", *keys], ascending=[False, False, True, True]).iloc[0]
    own = _of(series, first).sort_values("session_number").reset_index(drop=True)
    breaks = _of(episodes, first).sort_values("onset")
    alliance = str((settings.get("rupture") or {}).get("alliance", ""))
    with look():
        figure = new_figure(3.9)
        ax = figure.subplots()
        seen = own["score"].notna()
        ax.plot(own["session_number"], own["center"], color=GREY, linewidth=1.2, label="centre")
        ax.plot(own["session_number"], own["lower_limit"], color=INK, linewidth=1, linestyle=(0, (4, 3)), label="lower limit")
        ax.plot(own.loc[seen, "session_number"], own.loc[seen, "score"], color=BLUE, marker="o", markersize=4, label="alliance")
        _mark(ax, own, breaks)
        title = score_title(alliance, settings) if alliance in settings.get("scales", {}) else "Alliance"
        ax.set(xlabel="Session number", ylabel=f"{title}\n(score points; higher = better)")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(*_unique(ax), loc="outside lower center", ncols=5)
    criterion = plain(str(own["criterion"].iloc[0]))
    repaired = int((breaks["outcome"] == "repaired").sum())
    open_end = int((breaks["outcome"] == "censored").sum())
    words = f"Ruptures by {criterion}: {len(breaks)}, repaired {repaired}" + (
        f", cannot be told since the ratings end {open_end}" if open_end else ""
    )
    depth = f"Greatest depth {number(float(breaks['depth'].max()))} points" if len(breaks) else ""
    caption = sentence(
        "The client with most ruptures, chosen for that and so not typical", f"{int(seen.sum())} rated sessions; {words}", depth
    )
    data = own[["session_number", "score", "center", "lower_limit", "in_episode"]]
    return Drawing(figure, data, caption, "Line of one client's alliance ratings over sessions with ruptures marked. " + caption)


def _of(frame: pd.DataFrame, client: pd.Series) -> pd.DataFrame:
    same = (frame["client"] == client["client"]) & (frame["treatment_id"].fillna("") == client["treatment_id"])
    return pd.DataFrame(frame[same])


def _mark(ax: Axes, own: pd.DataFrame, breaks: pd.DataFrame) -> None:
    score = dict(zip(own["session_number"], own["score"], strict=True))
    last = int(own["session_number"].max())
    for episode in records(breaks):
        onset, repair = int(episode["onset"]), episode["recovered_at"]
        ended = not pd.isna(repair)
        ax.axvspan(onset - 0.5, int(repair) if ended else last + 0.5, color=PALE, linewidth=0, zorder=0)
        ax.plot(onset, score.get(onset, np.nan), "v", color=VERMILION, markersize=9, linestyle="", label="rupture", zorder=4)
        if ended:
            at = int(repair)
            height = score.get(at, np.nan)
            ax.plot(at, height, "^", color=ORANGE, markeredgecolor=INK, markersize=9, linestyle="", label="repair", zorder=4)


def _unique(ax: Axes) -> tuple[list[Any], list[str]]:
    handles, labels = ax.get_legend_handles_labels()
    unique = {label: handle for handle, label in zip(handles, labels, strict=True)}
    return list(unique.values()), list(unique)

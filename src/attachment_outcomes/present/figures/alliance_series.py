"""One client's alliance, session by session, with the ruptures and repairs that the primary criterion finds."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import primary_definition
from attachment_outcomes.present.rupture_marks import KEYS, by_series, draw_course, end_handles, of_series, unique_handles
from attachment_outcomes.present.stand_in import series_axis, series_word
from attachment_outcomes.present.style import look, new_figure
from attachment_outcomes.present.words import number, plain, sentence

NEEDS = ("rupture_series", "episodes", "estimates")


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the series of the client with most episodes; of several, the one with most sessions, then the first by id.

    Raises
    ------
    NothingToDraw
        If there is no series.
    """
    series = by_series(need(tables["rupture_series"], "rupture_series", "no client has a series of alliance ratings"))
    episodes = by_series(primary_definition(tables["episodes"]) if len(tables["episodes"]) else tables["episodes"])
    sessions = series.groupby(KEYS).size().rename("sessions").reset_index()
    found = episodes.groupby(KEYS).size().rename("episodes").reset_index()
    ranked = sessions.merge(found, on=KEYS, how="left").fillna({"episodes": 0})
    first = ranked.sort_values(["episodes", "sessions", *KEYS], ascending=[False, False, True, True]).iloc[0]
    key = (str(first["client"]), str(first["treatment_id"]))
    own = of_series(series, key).sort_values("session_number").reset_index(drop=True)
    breaks = of_series(episodes, key).sort_values("onset")
    with look():
        figure = new_figure(4.1)
        ax = figure.subplots()
        draw_course(ax, own, breaks, word=series_word(settings))
        ax.set(xlabel="Session number", ylabel=series_axis(settings))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles = [*unique_handles([ax]), *end_handles(set(breaks["outcome"]))]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    criterion = plain(str(own["criterion"].iloc[0]))
    repaired, open_end = (int((breaks["outcome"] == end).sum()) for end in ("repaired", "censored"))
    words = f"Ruptures by {criterion}: {len(breaks)}, repaired {repaired}" + (
        f", cannot be told since the ratings end {open_end}" if open_end else ""
    )
    depth = f"Greatest depth {number(float(breaks['depth'].max()))} points" if len(breaks) else ""
    caption = sentence(
        "The client with most ruptures, chosen for that and so not typical",
        f"{int(own['score'].notna().sum())} rated sessions; {words}",
        depth,
    )
    data = own[["session_number", "score", "center", "lower_limit", "in_episode"]]
    return Drawing(figure, data, caption, "Line of one client's alliance ratings over sessions with ruptures marked. " + caption)

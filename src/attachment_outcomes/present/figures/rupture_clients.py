"""Courses of clients from the fewest to the most ruptures, with the limits and episodes of the primary criterion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import primary_definition, records
from attachment_outcomes.present.rupture_marks import by_series, draw_course, end_handles, of_series, unique_handles
from attachment_outcomes.present.stand_in import series_axis, series_word
from attachment_outcomes.present.style import look, new_figure
from attachment_outcomes.present.words import number, plain, sentence

NEEDS = ("rupture_series", "episodes", "rupture_clients")
SHOWN, COLUMNS = 12, 3
HEIGHT = 1.6  # inches a row of panels


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw twelve clients at even steps of the rank by ruptures per session, ties in order of sessions, then of id.

    Raises
    ------
    NothingToDraw
        If no client could be assessed by the primary criterion.
    """
    clients = tables["rupture_clients"]
    clients = by_series(primary_definition(clients) if len(clients) else clients)
    assessed = clients[clients["n_ruptures"].notna()]
    clients = need(assessed, "rupture_clients", "no client could be assessed by the primary criterion")
    series = by_series(need(tables["rupture_series"], "rupture_series", "no client has a series of alliance ratings"))
    episodes = by_series(primary_definition(tables["episodes"]) if len(tables["episodes"]) else tables["episodes"])
    ranked = clients.sort_values(["rate", "n_sessions", "client", "treatment_id"], kind="stable").reset_index(drop=True)
    places = np.unique(np.round(np.linspace(0, len(ranked) - 1, min(SHOWN, len(ranked)))).astype(int))
    chosen = records(ranked.iloc[places])
    rows = -(-len(chosen) // COLUMNS)
    parts, ends = [], set()
    with look():
        figure = new_figure(0.9 + HEIGHT * rows)
        columns = min(COLUMNS, len(chosen))
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel().tolist()
        for spare in grid[len(chosen) :]:
            spare.axis("off")
        for panel, (ax, client) in enumerate(zip(grid, chosen, strict=False), start=1):
            key = (str(client["client"]), str(client["treatment_id"]))
            own, breaks = of_series(series, key), of_series(episodes, key).sort_values("onset")
            draw_course(ax, own, breaks, word=series_word(settings), size=2.6)
            n = int(client["n_ruptures"])
            what = f"{n} rupture{'s' if n != 1 else ''} in {int(client['n_sessions'])} sessions"
            ax.set_title(what, fontsize=8.5, fontweight="normal")
            ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
            ax.tick_params(labelsize=7.5)
            ax.set_xlabel("Session number", fontsize=7.5, labelpad=1)
            ends |= set(breaks["outcome"])
            parts.append(own[["session_number", "score", "center", "lower_limit", "in_episode"]].assign(panel=panel))
        figure.supylabel(series_axis(settings), fontsize=9)
        handles = [*unique_handles(grid[: len(chosen)]), *end_handles(ends)]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8.5)
    rates = ranked["rate"].to_numpy(dtype=float)
    shown = [number(float(np.quantile(rates, q)), 3) for q in (0.25, 0.5, 0.75)]
    criterion = plain(str(ranked["criterion"].iloc[0]))
    caption = sentence(
        f"{len(chosen)} of {len(ranked)} clients, at even steps of the rank by ruptures per session ({criterion})",
        f"Quartiles of that rate {shown[0]}, {shown[1]} and {shown[2]}; {int((rates == 0).sum())} clients have no rupture",
    )
    return Drawing(figure, pd.concat(parts, ignore_index=True), caption, "Small panels of clients' alliance courses. " + caption)

"""One client under every criterion: the series on top, and below a row a criterion with the ruptures that it finds."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import primary_definition, records
from attachment_outcomes.present.rupture_marks import (
    EDGE,
    ENDS,
    KEYS,
    by_series,
    draw_course,
    end_handles,
    of_series,
    span,
    unique_handles,
)
from attachment_outcomes.present.stand_in import series_axis, series_word
from attachment_outcomes.present.style import INK, PALE, VERMILION, look, new_figure
from attachment_outcomes.present.words import plain, sentence

NEEDS = ("rupture_series", "episodes", "rupture_clients")
ROW, TOP = 0.26, 2.3  # inches a criterion, and of the series


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the client on whom the criteria are most divided.

    Of the clients whom most criteria can assess and of whom at least one finds a rupture, the one of whom nearest to half of them
    do; of several the one with most sessions, then the first by id.

    Raises
    ------
    NothingToDraw
        If there is no series.
    """
    series = by_series(need(tables["rupture_series"], "rupture_series", "no client has a series of alliance ratings"))
    clients = by_series(need(tables["rupture_clients"], "rupture_clients", "no client was judged by a criterion"))
    key = _most_divided(clients[clients["n_ruptures"].notna()], series)
    own, judged = of_series(series, key), of_series(clients, key)
    episodes = of_series(by_series(tables["episodes"]), key)
    order = judged.sort_values("primary", ascending=False, kind="stable")
    names = list(dict.fromkeys(order["criterion"].astype(str)))
    known = set(judged.loc[judged["n_ruptures"].notna(), "criterion"].astype(str))
    with look():
        figure = new_figure(TOP + 1.0 + ROW * len(names))
        top, ax = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [TOP, ROW * (len(names) + 1)]})
        draw_course(top, own, primary_definition(episodes) if len(episodes) else episodes, word=series_word(settings))
        top.set(ylabel=series_axis(settings))
        top.tick_params(axis="x", labelbottom=False)
        middle = float(own["session_number"].astype(float).mean())
        for row, name in enumerate(names):
            _row(ax, row, episodes[episodes["criterion"] == name], middle, known=name in known)
        first = names[0] if bool(order["primary"].iloc[0]) else ""
        ax.set_yticks(range(len(names)), [plain(n) + (" (primary)" if n == first else "") for n in names], fontsize=8)
        ax.tick_params(axis="y", length=0)
        ax.set(xlabel="Session number", ylim=(len(names) - 0.4, -0.6))
        ax.set_xlim(float(own["session_number"].min()) - 0.7, float(own["session_number"].max()) + 0.7)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles = [*unique_handles([top, ax]), *end_handles(set(episodes["outcome"]))]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8.5)
    with_one = [n for n in names if n in set(episodes["criterion"])]
    caption = sentence(
        "One client, chosen because the criteria are most divided on it, and so not typical",
        f"{len(with_one)} of {len(known)} criteria that can be applied find a rupture"
        + (f": {', '.join(plain(n) for n in with_one)}" if with_one else ""),
        f"{len(names) - len(known)} criteria cannot be applied to this series" if len(known) < len(names) else "",
        "Centre and limit are those of the primary criterion",
    )
    rated = own[["session_number", "score", "center", "lower_limit"]].assign(criterion="")
    found = episodes[["criterion", "onset", "recovered_at", "length", "outcome"]].rename(columns={"onset": "session_number"})
    data = pd.concat([rated, found], ignore_index=True)
    data["outcome"] = data["outcome"].fillna("")
    alt = "A client's series, and below it bars where each criterion finds a rupture. "
    return Drawing(figure, data, caption, alt + caption)


def _most_divided(clients: pd.DataFrame, series: pd.DataFrame) -> tuple[str, str]:
    drawn = series.groupby(KEYS).size().rename("sessions").reset_index()
    with_rupture = clients.assign(found=(clients["n_ruptures"] > 0).astype(int))
    counted = with_rupture.groupby(KEYS).agg(assessed=("found", "size"), found=("found", "sum")).reset_index()
    ranked = drawn.merge(counted, on=KEYS, how="left").fillna({"assessed": 0, "found": 0})
    ranked["off"] = (ranked["found"] - ranked["assessed"] / 2).abs()
    ranked["calm"] = ranked["found"] == 0
    order = ["assessed", "calm", "off", "sessions", *KEYS]
    best = ranked.sort_values(order, ascending=[False, True, True, False, True, True]).iloc[0]
    return str(best["client"]), str(best["treatment_id"])


def _row(ax: Axes, row: int, episodes: pd.DataFrame, middle: float, *, known: bool) -> None:
    if row % 2 == 0:
        ax.axhspan(row - 0.5, row + 0.5, color=PALE, alpha=0.35, linewidth=0, zorder=0)
    if not known:
        ax.text(middle, row, "cannot be applied", ha="center", va="center", fontsize=7.5, color="#555555", style="italic")
    for episode in records(episodes):
        fill, hatch, _ = ENDS[str(episode["outcome"])]
        left, right = span(episode)
        ax.barh(row, right - left, left=left, height=0.62, facecolor=fill, hatch=hatch, edgecolor=EDGE, linewidth=0.6, zorder=2)
        ax.plot(
            float(episode["onset"]), row, "v", color=VERMILION, markeredgecolor=INK, markeredgewidth=0.4, markersize=5,
            linestyle="", label="onset", zorder=3,
        )  # fmt: skip

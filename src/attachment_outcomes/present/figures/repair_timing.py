"""How much of what repair goes with is time: contrasts of whole treatments and from landmarks on, and who leaves from where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, SKY, VERMILION, look, new_figure
from attachment_outcomes.present.words import level_text, score_direction, score_title, sentence, with_interval
from attachment_outcomes.rupture.effects.timing import BAND

NEEDS = ("estimates", "rupture_states")
CONTRASTS = {
    "repaired_minus_none": ("repaired − none", BLUE, "o"),
    "unrepaired_minus_none": ("unrepaired − none", VERMILION, "v"),
    "repaired_minus_unrepaired": ("repaired − unrepaired", INK, "s"),
}
STATES = {"none": (GREY, ""), "in rupture": (ORANGE, "//"), "after repair": (SKY, "\\\\"), "unrepaired": (VERMILION, "xx")}
LEAVING = ("in rupture", "after repair", "unrepaired", "after repair against unrepaired")
AGAINST = "after repair against unrepaired"
STEP = 0.24


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the contrasts of the primary criterion above; below the states session by session and the odds of leaving from them.

    Raises
    ------
    NothingToDraw
        If no contrast between groups could be estimated.
    """
    estimates = tables["estimates"]
    timing = estimates[estimates["analysis"] == "repair_timing"]
    own = timing[timing["estimate"].notna()]
    primary = str((settings.get("rupture") or {}).get("criteria", [""])[0])
    contrasts = own[own["estimand"].isin(CONTRASTS)]
    if (contrasts["definition"] == primary).any():
        contrasts = contrasts[contrasts["definition"] == primary]
    contrasts = need(contrasts, "estimates", "no contrast between rupture groups could be estimated")
    definition = str(contrasts["definition"].iloc[0])
    contrasts = contrasts[contrasts["definition"] == definition]
    outcome = str(contrasts["outcome"].iloc[0])
    leaving = own[(own["estimand"] == "leaving_odds_ratio") & (own["definition"] == definition)]
    whole = tables["rupture_states"]
    # Without all of its states a band of sessions has no shares.
    states = whole[~whole["session_number"].isin(whole.loc[whole["n"].isna(), "session_number"]).to_numpy(dtype=bool)]
    blank = whole["session_number"].nunique() - states["session_number"].nunique()
    below = [name for name, there in (("states", len(states)), ("leaving", len(leaving))) if there]
    refused = timing[timing["estimate"].isna() & (timing["definition"] == definition) & timing["group"].str.startswith("landmark")]
    groups = sorted({*contrasts["group"], *refused["group"]}, key=_order)
    absent = [g for g in groups if g not in set(contrasts["group"])]
    with look():
        figure = new_figure(1.6 + 0.55 * len(groups) + (2.9 if below else 0.0))
        if below:
            grid = figure.add_gridspec(2, len(below), height_ratios=[0.7 + 0.55 * len(groups), 2.9])
            above = figure.add_subplot(grid[0, :])
            for i, name in enumerate(below):
                ax = figure.add_subplot(grid[1, i])
                if name == "states":
                    _states(ax, states)
                else:
                    _leaving(ax, leaving)
        else:
            above = figure.subplots()
        _contrasts(above, contrasts, groups)
        direction = score_direction(outcome, settings)
        above.set(
            title=score_title(outcome, settings), xlabel="Difference in score points" + (f" ({direction})" if direction else "")
        )
    told = [
        f"{group}: " + ", ".join(f"{CONTRASTS[r['estimand']][0]} {with_interval(r)}" for r in records(rows))
        for group in groups
        if len(rows := contrasts[contrasts["group"] == group])
    ]
    odds = [f"{_name(r['group'])} {with_interval(r)}" for r in _in_order(leaving)]
    caption = sentence(
        f"Above, under {definition.replace('_', ' ')}, differences with {level_text(settings)} intervals: {'; '.join(told)}",
        f"Too few clients in the groups: {', '.join(absent)}" if absent else "",
        "Contrasts of whole treatments take groups as known from the start, and so count the time that clients had to stay as the "
        "group's; those from a landmark on compare who is still in treatment, by what was known then",
        f"Odds ratios of leaving early after a session: {'; '.join(odds)}" if odds else "",
        f"Left blank, since a count may not be shown: {blank} of {whole['session_number'].nunique()} bands of sessions"
        if blank
        else "",
        "Associations, not effects",
    )
    data = pd.concat([contrasts, leaving], ignore_index=True)
    data = data[["estimand", "group", "definition", "estimate", "ci_low", "ci_high", "n"]]
    return Drawing(figure, data, caption, "Differences between rupture groups by how time is dealt with. " + caption)


def _order(group: str) -> tuple[int, int]:
    number = "".join(c for c in group if c.isdigit())
    return (1, int(number)) if number else (0, len(group))


def _contrasts(ax: Axes, rows: pd.DataFrame, groups: list[str]) -> None:
    """Draw a row a group, with a mark a contrast."""
    for offset, (estimand, (label, colour, marker)) in zip((STEP, 0.0, -STEP), CONTRASTS.items(), strict=True):
        part = rows[rows["estimand"] == estimand]
        if not len(part):
            continue
        places = np.array([len(groups) - groups.index(g) + offset for g in part["group"]])
        ax.hlines(places, part["ci_low"], part["ci_high"], color=colour, linewidth=1.8)
        ax.plot(part["estimate"], places, marker, color=colour, markersize=6, label=label)
    ax.axvline(0, color=GREY, linewidth=0.9)
    for group in groups:
        if group not in set(rows["group"]):
            place = len(groups) - groups.index(group)
            ax.text(
                0.01, place, "too few in the groups", transform=ax.get_yaxis_transform(), color="#555555", va="center", fontsize=8.5
            )
    ax.set_yticks(range(len(groups), 0, -1), [_label(g) for g in groups])
    for place in range(1, len(groups)):
        ax.axhline(place + 0.5, color="#E6E6E6", linewidth=0.8)
    ax.set_ylim(0.5, len(groups) + 0.5)
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.08), ncols=3, borderaxespad=0)


def _label(group: str) -> str:
    return group.replace("whole treatment, adjusted for sessions", "whole treatment,\nadjusted for sessions")


def _states(ax: Axes, states: pd.DataFrame) -> None:
    """Draw the share of sessions in each state, band by band; bands with a suppressed count are left blank."""
    table = states.pivot_table(index="session_number", columns="state", values="n", aggfunc="sum").reindex(columns=list(STATES))
    share = table.fillna(0).div(table.fillna(0).sum(axis=1), axis=0)
    bottom, wide = np.zeros(len(share)), float(BAND)
    middle = share.index + (wide - 1) / 2
    for name, (colour, hatch) in STATES.items():
        height = share[name].to_numpy(dtype=float)
        ax.bar(middle, height, wide, bottom=bottom, color=colour, hatch=hatch, edgecolor="white", linewidth=0.3, label=name)
        bottom += height
    ax.set(xlim=(middle.min() - wide / 2, middle.max() + wide / 2), ylim=(0, 1), xlabel="Session", ylabel="Sessions followed (%)")
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_title("State, known after the session", pad=34)
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.01), ncols=2, fontsize=8, borderaxespad=0, columnspacing=1.0)


def _in_order(leaving: pd.DataFrame) -> list[dict[str, Any]]:
    return sorted(records(leaving), key=lambda r: LEAVING.index(str(r["group"])))


def _name(group: str) -> str:
    return group if group == AGAINST else f"{group} against none"


def _leaving(ax: Axes, leaving: pd.DataFrame) -> None:
    """Draw the odds ratios of leaving on a logarithmic axis."""
    rows = _in_order(leaving)
    places = list(range(len(rows), 0, -1))
    for place, row in zip(places, rows, strict=True):
        colour = INK if row["group"] == AGAINST else STATES[str(row["group"])][0]
        ax.hlines(place, row["ci_low"], row["ci_high"], color=colour, linewidth=2)
        ax.plot(row["estimate"], place, "D" if row["group"] == AGAINST else "o", color=colour, markersize=6)
        ax.text(row["estimate"], place + 0.14, with_interval(row), ha="center", va="bottom", fontsize=8)
    ax.axvline(1, color=GREY, linewidth=0.9)
    ax.set_xscale("log")
    low, high = min(r["ci_low"] for r in rows), max(r["ci_high"] for r in rows)
    low, high = min(low, 0.5) / 1.3, max(high, 2.0) * 1.3
    ax.xaxis.set_major_locator(FixedLocator([t for t in (0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 100) if low <= t <= high]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_yticks(places, [_name(r["group"]).replace(" against", "\nagainst") for r in rows])
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(low, high), ylim=(0.5, len(rows) + 0.6), xlabel="Odds ratio of leaving early (log scale)")
    ax.set_title("Leaving after a session", pad=34)

"""Outcome of clients with no rupture, with repaired and with unrepaired ruptures: standardised means and adjusted contrasts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import t

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one
from attachment_outcomes.present.style import GREY, GROUP_MARKS, INK, look, marker_style, new_figure, spread_points
from attachment_outcomes.present.words import (
    level_text,
    number,
    p_value,
    score_axis,
    score_direction,
    score_title,
    sentence,
    with_interval,
)

NEEDS = ("rupture_outcomes", "estimates")
GROUPS = ("none", "repaired", "unrepaired")
CONTRASTS = {
    "repaired_minus_none": "repaired − none",
    "unrepaired_minus_none": "unrepaired − none",
    "repaired_minus_unrepaired": "repaired − unrepaired",
}


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw end scores by group (every client, mean and interval) and the adjusted contrasts beside them.

    Raises
    ------
    NothingToDraw
        If no client has a group and an end score.
    """
    rows = tables["rupture_outcomes"]
    rows = need(
        rows[rows["post"].notna() & rows["group"].isin(GROUPS)], "rupture_outcomes", "no client has a group and an end score"
    )
    outcome = str((settings.get("rupture") or {}).get("outcome", ""))
    level = float(settings.get("ci_level", 0.95))
    threshold = int(settings.get("threshold", 0))
    sizes = rows.groupby("group").size()
    small = [g for g in GROUPS if 0 < sizes.get(g, 0) < threshold]
    rows = need(rows[~rows["group"].isin(small)], "rupture_outcomes", "every group is smaller than may be shown")
    contrasts = {k: found for k in CONTRASTS if (found := _contrast(tables["estimates"], k)) is not None}
    standard = {g: found for g in GROUPS if (found := _contrast(tables["estimates"], "standardised_mean", group=g)) is not None}
    means: list[dict[str, Any]] = []
    with look():
        figure = new_figure(4.0)
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1]) if contrasts else (figure.subplots(), None)
        groups = [g for g in GROUPS if (rows["group"] == g).any()]
        for position, group in enumerate(groups):
            values = np.sort(rows.loc[rows["group"] == group, "post"].to_numpy(dtype=float))
            size = float(np.clip(3500 / len(rows), 9, 24))
            left.scatter(
                position + spread_points(values), values, alpha=0.6, zorder=2, **marker_style(*GROUP_MARKS[group], size=size)
            )
            means.append({"group": group, "n": len(values), **_mean(left, position, values, level)})
            _standardised(left, position, standard.get(group))
        left.set_xticks(range(len(groups)), [f"{g}\n(n = {m['n']})" for g, m in zip(groups, means, strict=True)])
        left.set(xlim=(-0.6, len(groups) - 0.4), xlabel="Ruptures", ylabel=score_axis(outcome, settings, occasion="End score"))
        left.set_title(score_title(outcome, settings))
        if right is not None:
            _forest(right, contrasts, score_direction(outcome, settings))
    listed = [f"{CONTRASTS[k]} {with_interval(v)}, {p_value(v['p_value'])}" for k, v in contrasts.items()]
    criterion = next(iter(contrasts.values()))["definition"].replace("_", " ") if contrasts else ""
    caption = sentence(
        f"Left: each client, with mean and {level_text(settings)} interval: "
        + "; ".join(f"{m['group']} n = {m['n']}, M = {number(float(m['mean']))}" for m in means),
        "Diamonds: means if all clients were like those of the group, other things as they are: "
        + "; ".join(f"{g} {with_interval(row)}" for g, row in standard.items())
        if standard
        else "",
        f"Right: adjusted differences ({criterion}): {'; '.join(listed)}" if listed else "",
        _explained_away(tables["estimates"]),
        f"Groups too small to be shown: {', '.join(small)}" if small else "",
        "An association, not an effect: longer treatments have more chances of a rupture and of a repair",
    )
    data = rows[["group", "pre", "post", "n_sessions"]].sort_values(["group", "post"], kind="stable").reset_index(drop=True)
    return Drawing(figure, data, caption, "End scores by rupture group, with adjusted differences between groups. " + caption)


def _contrast(estimates: pd.DataFrame, estimand: str, group: str = "") -> dict[str, Any] | None:
    found = one(estimates, analysis="rupture_outcome", estimand=estimand, group=group, primary=True)
    return found if found is not None and not np.isnan(found["estimate"]) else None


def _standardised(ax: Axes, position: int, row: dict[str, Any] | None) -> None:
    if row is not None:
        ax.vlines(position + 0.52, row["ci_low"], row["ci_high"], color=INK, linewidth=1.3, zorder=3)
        ax.plot(position + 0.52, row["estimate"], "D", color=INK, markerfacecolor="white", markersize=5.5, zorder=4)


def _explained_away(estimates: pd.DataFrame) -> str:
    """Return the E-values of the repair contrast in words."""
    e, limit = (_contrast(estimates, name, group="repaired_minus_unrepaired") for name in ("e_value", "e_value_of_limit"))
    if e is None or limit is None:
        return ""
    return (
        f"To explain repaired − unrepaired away, an unmeasured cause would have to go with group and outcome by risk ratios of "
        f"{number(e['estimate'])} each (E-value; of the limit nearer to none {number(limit['estimate'])})"
    )


def _mean(ax: Axes, position: int, values: np.ndarray, level: float) -> dict[str, float]:
    mean, half = float(values.mean()), float("nan")
    if len(values) > 1:
        half = float(t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        ax.vlines(position + 0.4, mean - half, mean + half, color=INK, linewidth=2, zorder=3)
    ax.plot(position + 0.4, mean, "_", color=INK, markersize=13, markeredgewidth=2.4, zorder=4)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _forest(ax: Axes, contrasts: dict[str, dict[str, Any]], direction: str) -> None:
    places = list(range(len(contrasts), 0, -1))
    for place, row in zip(places, contrasts.values(), strict=True):
        ax.hlines(place, row["ci_low"], row["ci_high"], color=INK, linewidth=2)
        ax.plot(row["estimate"], place, "s", color=INK, markersize=6)
        ax.text(
            row["estimate"],
            place + 0.16,
            with_interval(row),
            ha="center",
            va="bottom",
            fontsize=8.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )
    ax.axvline(0, color=GREY, linewidth=0.9)
    ax.set_yticks(places, [CONTRASTS[k] for k in contrasts])
    ax.margins(x=0.25)
    ax.set(
        ylim=(0.5, len(contrasts) + 0.6), xlabel="Adjusted difference (score points" + (f";\n{direction})" if direction else ")")
    )

"""Shares of ruptures repaired, by therapist: shrunken shares beside raw ones, and the funnel. No names, no ranking."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from attachment_outcomes.inference.funnel import exact_limits
from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, VERMILION, look, panels, place_legend
from attachment_outcomes.present.words import count, level_text, number, p_value, plain, sentence, with_interval

NEEDS = ("therapist_repair", "estimates")
ANALYSIS = "therapist_repair"
WIDTH, HEIGHT = 9.6, 4.4  # inches
LEAST_LABEL = "Share of ruptures repaired (%)"
POSITIONS = (
    ("inside", BLUE, "o", "inside the limits"),
    ("beyond 95 %", ORANGE, "D", "beyond 95 %"),
    ("beyond 99.8 %", VERMILION, "X", "beyond 99.8 %"),
)


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the therapists with enough ruptures: left their shrunken shares, right the funnel of their raw ones.

    Raises
    ------
    NothingToDraw
        If no therapist can be shown.
    """
    whole = tables["therapist_repair"]
    seen = whole[whole[["estimate", "share", "n_ruptures"]].notna().all(axis=1).to_numpy(dtype=bool)]
    seen = need(seen, "therapist_repair", "no therapist has enough ruptures to be shown, or all are suppressed")
    rows = seen.sort_values(["estimate", "share", "n_ruptures"], kind="stable", ignore_index=True)
    criterion = str(rows["criterion"].iloc[0])
    keys = {"analysis": ANALYSIS, "definition": criterion, "group": ""}
    phi, tau2 = (one(tables["estimates"], estimand=e, **keys) for e in ("overdispersion_phi", "funnel_variance"))
    adjusted = phi is not None and phi["estimate"] > 1 and tau2 is not None
    variance = float(tau2["estimate"]) if adjusted and tau2 is not None else 0.0
    with look():
        figure, (left, right) = panels(2, height=HEIGHT, width=WIDTH)
        _caterpillar(left, rows, settings)
        _funnel(right, rows, variance)
        named = {label: handle for ax in (left, right) for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        place_legend(figure, list(named.values()), list(named), columns=4)
    said = {e: one(tables["estimates"], estimand=e, **keys) for e in ("share_repaired", "therapist_sd", "median_odds_ratio")}
    caption = sentence(
        f"{plain(criterion)}: repaired {with_interval(said['share_repaired'])}" if said["share_repaired"] is not None else "",
        _difference(said["therapist_sd"], said["median_odds_ratio"]),
        _beyond(rows, "the adjusted limits" if variance > 0 else "the limits", None if phi is None else float(phi["estimate"])),
        f"The {len(rows)} therapists shown have {count(float(rows['n_ruptures'].min()))} ruptures or more whose end was seen; all "
        "therapists count in the model",
        f"Not drawn, since a count may not be shown: {len(whole) - len(seen)} of {len(whole)}" if len(seen) < len(whole) else "",
        f"Bars are comparison intervals of {level_text(settings)} (conditional)" if rows["ci_low"].notna().any() else "",
        "Nobody is named and nobody ranked: neighbours do not differ, and clients are not drawn by lot",
    )
    columns = ["criterion", "n_ruptures", "share", "estimate", "ci_low", "ci_high", "target", "position"]
    return Drawing(figure, rows[columns], caption, "Therapists' shares of repaired ruptures, shrunken and in a funnel. " + caption)


def _caterpillar(ax: Axes, rows: pd.DataFrame, settings: dict[str, Any]) -> None:
    place = np.arange(1, len(rows) + 1)
    low, high = (rows[c].to_numpy(dtype=float) for c in ("ci_low", "ci_high"))
    target = float(rows["target"].iloc[0])
    ax.axhline(target, color=INK, linewidth=0.9, label="all together")
    ax.plot(place, rows["share"], "x", color=GREY, markersize=4.5, label="raw share")
    if np.isfinite(low).any():
        ax.vlines(place, low, high, color=BLUE, linewidth=1.3, label=f"{level_text(settings)} interval")
    ax.plot(place, rows["estimate"], "o", color=BLUE, markersize=4.5, label="shrunken share", zorder=3)
    ax.set(title="Shrunken shares", ylabel=LEAST_LABEL, xlabel=f"Therapists (n = {len(rows)}, without names)", ylim=(-0.04, 1.04))
    ax.set_xlim(0, len(rows) + 1)
    ax.tick_params(axis="x", labelbottom=False, length=0)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    if not np.isfinite(low).any():
        ax.annotate(
            "no difference between therapists is estimated", (0.5, 0.03), xycoords="axes fraction", ha="center", va="bottom",
            fontsize=8.5, color="#555555",
        )  # fmt: skip


def _funnel(ax: Axes, rows: pd.DataFrame, variance: float) -> None:
    target = float(rows["target"].iloc[0])
    smallest, largest = float(rows["n_ruptures"].min()), float(rows["n_ruptures"].max())
    grid = np.arange(max(1.0, smallest - 1), largest + 2)
    for level, dash, name in ((0.95, (0, (4, 2)), "95 %"), (0.998, "-", "99.8 %")):
        for tau2, colour, what in ((0.0, GREY if variance > 0 else INK, "chance alone" if variance > 0 else "limits"),
                                   (variance, INK, "limits")):  # fmt: skip
            if tau2 == 0.0 and what == "limits" and variance > 0:
                continue
            for i, limit in enumerate(exact_limits(grid, target=target, level=level, between=tau2)):
                ax.plot(grid, limit, color=colour, linewidth=1.0, linestyle=dash, label=f"{what}, {name}" if i == 0 else None)
    ax.axhline(target, color=INK, linewidth=0.9)
    for name, colour, marker, label in POSITIONS:
        part = rows[(rows["position"] == name).to_numpy(dtype=bool)]
        if len(part):
            ax.scatter(
                part["n_ruptures"], part["share"], s=30, color=colour, marker=marker, edgecolors="white", linewidths=0.4, zorder=3,
                label=label,
            )  # fmt: skip
    ax.set(title="Funnel of raw shares", xlabel="Ruptures whose end was seen", ylim=(-0.04, 1.04))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))


def _difference(sd: dict[str, Any] | None, ratio: dict[str, Any] | None) -> str:
    if sd is None or ratio is None:
        return ""
    p = f", {p_value(sd['p_value'])}" if np.isfinite(sd["p_value"]) else ""
    return f"SD between therapists {with_interval(sd)} log odds{p}; median odds ratio {with_interval(ratio)}"


def _beyond(rows: pd.DataFrame, limits: str, phi: float | None) -> str:
    n = int((rows["position"] == "beyond 99.8 %").sum()), int((rows["position"] != "inside").sum())
    spread = f", overdispersion phi = {number(phi)}" if phi is not None and np.isfinite(phi) else ""
    return f"{n[1]} of {len(rows)} therapists beyond {limits} of 95 %, {n[0]} beyond 99.8 %{spread}"

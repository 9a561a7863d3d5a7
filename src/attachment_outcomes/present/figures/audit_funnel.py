"""Do units differ by more than chance allows? Each unit's rate against its number of clients, with limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from attachment_outcomes.inference.funnel import funnel_limits
from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one, records, rows_of
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, VERMILION, look, panels, place_legend
from attachment_outcomes.present.words import count, first_upper, number, percent, plain, sentence

NEEDS = ("funnel", "estimates")
RATES = ("recovery", "reliable_improvement", "reliable_recovery", "reliable_deterioration", "dropout")
MOST_PANELS = 4
LEAST_SHOWN = 0.5  # share of a rate's units that must be shown
WIDE = 20  # sizes that differ by more than this factor are shown on a log axis
ADJUST_ABOVE = 1.0  # phi of chance alone
WHERE = {
    "inside": (BLUE, "o", "inside the limits"),
    "beyond 95 %": (ORANGE, "D", "beyond 95 %"),
    "beyond 99.8 %": (VERMILION, "X", "beyond 99.8 %"),
}
UNITS = {"therapist": "therapists", "site": "sites", "sample": "providers"}


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw one funnel a rate; units with fewer clients than the threshold, or with suppressed counts, are left out.

    Raises
    ------
    NothingToDraw
        If no unit can be shown.
    """
    funnel = tables["funnel"]
    threshold = int(settings.get("threshold", 0))
    sized = funnel["n"].notna() & (funnel["n"] >= max(threshold, 1))
    large = sized & funnel["proportion"].notna()
    units = funnel.groupby("rate")["unit_id"].size()
    seen = funnel[large].groupby("rate")["unit_id"].size()
    # A funnel of the units whose counts are large enough to be shown would be chosen by its own outcome.
    some = set(funnel.loc[large & (funnel["proportion"] > 0), "rate"])
    rates = [r for r in RATES if r in some and seen[r] >= LEAST_SHOWN * units[r]][:MOST_PANELS]
    dropped = [plain(r) for r in RATES if r in units.index and r not in rates]
    shown = need(funnel[large & funnel["rate"].isin(rates)], "funnel", "the counts of most units are too small to be shown")
    shown = shown.sort_values(["rate", "n", "unit_id"], kind="stable").reset_index(drop=True)
    hidden = int((~large & funnel["rate"].isin(rates)).sum())
    spreads = {r: one(tables["estimates"], analysis="audit", estimand="overdispersion_phi", group=r) for r in rates}
    adjusted = {r: s is not None and s["estimate"] > ADJUST_ABOVE for r, s in spreads.items()}
    shown["position"] = [_position(row, adjusted[row["rate"]]) for row in records(shown)]
    unit = UNITS.get(str(shown["unit"].iloc[0]), "units")
    with look():
        figure, axes = panels(len(rates))
        for ax, rate in zip(axes, rates, strict=True):
            variance = one(tables["estimates"], analysis="audit", estimand="between_unit_variance", group=rate)
            tau2 = float(variance["estimate"]) if adjusted[rate] and variance is not None else 0.0
            benchmarks = rows_of(tables["estimates"], analysis="audit", estimand=rate, definition="benchmark")
            rateless = funnel.loc[sized & ~large & (funnel["rate"] == rate), "n"]
            _panel(ax, shown[shown["rate"] == rate], rateless, rate, tau2, benchmarks)
        unique = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        place_legend(figure, list(unique.values()), list(unique))
    words = [_words(shown[shown["rate"] == r], r, unit, spreads[r], adjusted=adjusted[r]) for r in rates]
    caption = sentence(
        *words,
        f"{hidden} points with small counts are suppressed; these are units with few clients or few events, so what is left "
        "is no fair picture of all units"
        if hidden
        else "",
        f"Not drawn, as the counts of most units are suppressed or zero: {', '.join(dropped)}" if dropped else "",
        "Limits are around the rate of all units together; adjusted limits allow for the variation between units beyond chance"
        if any(adjusted.values())
        else "Limits are around the rate of all units together",
        "A funnel makes no ranking: units inside the limits do not differ by more than chance",
    )
    data = shown[["unit", "label", "rate", "n", "proportion", "target", "low95", "high95", "low998", "high998", "position"]]
    return Drawing(figure, data, caption, "Funnel plots of rates by unit against the number of clients. " + caption)


def _position(row: dict[str, Any], adjusted: bool) -> str:
    end = "_adjusted" if adjusted else ""
    for word, level in (("beyond 99.8 %", "998"), ("beyond 95 %", "95")):
        if not row[f"low{level}{end}"] <= row["proportion"] <= row[f"high{level}{end}"]:
            return word
    return "inside"


def _panel(ax: Axes, part: pd.DataFrame, rateless: pd.Series, rate: str, tau2: float, benchmarks: list[dict[str, Any]]) -> None:
    target = float(part["target"].iloc[0])
    smallest, largest = float(part["n"].min()), float(part["n"].max())
    wide = largest / smallest > WIDE
    grid = np.geomspace(smallest / 1.15, largest * 1.15, 300) if wide else np.linspace(max(smallest * 0.7, 1), largest * 1.1, 300)
    plain_style, adjusted_style = (0.8, GREY), (1.2, INK)
    for level, dash in ((0.95, (0, (4, 2))), (0.998, "-")):
        ends = funnel_limits(grid, target=target, level=level)
        width, colour = plain_style if tau2 > 0 else adjusted_style
        name = "chance alone" if tau2 > 0 else "limits"
        for i, limit in enumerate(ends):
            ax.plot(
                grid,
                limit,
                color=colour,
                linewidth=width,
                linestyle=dash,
                label=f"{name}, {percent(level, 1 if level > 0.99 else 0)}" if i == 0 else None,
            )
        if tau2 > 0:
            for i, limit in enumerate(funnel_limits(grid, target=target, level=level, tau2=tau2)):
                ax.plot(
                    grid,
                    limit,
                    color=INK,
                    linewidth=1.2,
                    linestyle=dash,
                    label=f"limits, {percent(level, 1 if level > 0.99 else 0)}" if i == 0 else None,
                )
    ax.axhline(target, color=INK, linewidth=0.9, label="all units together")
    for benchmark in benchmarks:
        verified = "" if not benchmark["note"] else " (not verified)"
        ax.axhline(benchmark["estimate"], color=ORANGE, linewidth=1.4, linestyle=(0, (1, 1.5)), label=f"benchmark{verified}")
    size = float(np.clip(1800 / len(part), 10, 34))
    for word, (colour, marker, label) in WHERE.items():
        rows = part[part["position"] == word]
        if len(rows):
            ax.scatter(
                rows["n"],
                rows["proportion"],
                s=size,
                color=colour,
                marker=marker,
                edgecolors="white",
                linewidths=0.4,
                zorder=3,
                label=label,
            )
    if len(rateless):
        rug: dict[str, Any] = {"color": GREY, "marker": "|", "s": 60, "clip_on": False, "zorder": 4}
        ax.scatter(rateless, [0] * len(rateless), transform=ax.get_xaxis_transform(), label="rate suppressed", **rug)
    if wide:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    direction = "lower = better" if rate in ("dropout", "reliable_deterioration") else "higher = better"
    what = {
        "recovery": "clients clinical at baseline",
        "reliable_recovery": "clients clinical at baseline",
        "dropout": "treatments ended",
    }
    ax.set(title=first_upper(plain(rate)), xlabel=f"Number of {what.get(rate, 'clients')}", ylabel=f"Rate (%; {direction})")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    seen = part["proportion"]
    room = 0.25 * max(float(seen.max() - seen.min()), 0.1)
    low, high = max(-0.02, float(seen.min()) - room), min(1.02, float(seen.max()) + room)
    ax.set_ylim(low, high)


def _words(part: pd.DataFrame, rate: str, unit: str, spread: dict[str, Any] | None, *, adjusted: bool) -> str:
    beyond = int((part["position"] == "beyond 99.8 %").sum())
    phi = f", overdispersion phi = {number(spread['estimate'])}" if spread is not None and not np.isnan(spread["estimate"]) else ""
    limits = "the adjusted 99.8 % limits" if adjusted else "the 99.8 % limits"
    together = percent(part["target"].iloc[0], 1)
    return f"{first_upper(plain(rate))}: {len(part)} {unit}, all together {together}, {beyond} beyond {limits}{phi}"

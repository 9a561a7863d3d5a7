"""How many clients have a rupture under each criterion, how often, and how many are repaired, beside the same in pure noise."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import BLUE, look, new_figure
from attachment_outcomes.present.words import level_text, percent, plain, sentence, with_interval

NEEDS = ("estimates",)
NOISE = "#6A6A6A"
# What was seen, its counterpart in noise, and how the panel is called.
PANELS = {
    "share_with_rupture": ("expected_on_noise", "Clients with a rupture (%)"),
    "rate_per_session": ("noise_rate_per_session", "Ruptures per 100 sessions"),
    "share_repaired": ("noise_share_repaired", "Ruptures repaired (%)"),
}
ROW = 0.36  # inches a criterion


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw a row a criterion: share of clients, ruptures per session and share repaired, each with its counterpart in noise.

    Raises
    ------
    NothingToDraw
        If no share was estimated, or all are suppressed.
    """
    estimates = tables["estimates"]
    own = estimates[(estimates["analysis"] == "rupture_prevalence") & (estimates["group"].fillna("") == "")]
    seen = own[(own["estimand"] == "share_with_rupture") & own["estimate"].notna()]
    seen = need(seen, "estimates", "no share of clients with a rupture could be shown")
    names = seen.sort_values(["primary", "definition"], ascending=[False, True])["definition"].tolist()
    primary = set(seen.loc[seen["primary"].astype(bool), "definition"])
    shown = [p for p in PANELS if p == "share_with_rupture" or own.loc[own["estimand"] == p, "estimate"].notna().any()]
    places = {name: len(names) - k for k, name in enumerate(names)}
    with look():
        figure = new_figure(1.7 + ROW * len(names))
        axes = figure.subplots(1, len(shown), sharey=True, squeeze=False).ravel().tolist()
        for ax, estimand in zip(axes, shown, strict=True):
            _panel(ax, own, estimand, places, settings)
        axes[0].set_yticks(list(places.values()), [plain(d) + (" (primary)" if d in primary else "") for d in names], fontsize=8.5)
        axes[0].set_ylim(0.4, len(names) + 0.6)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    noise = _values(own, "expected_on_noise")
    listed = [
        f"{plain(row['definition'])} {with_interval(row)}"
        + (f" (noise alone {percent(noise[row['definition']])})" if row["definition"] in noise else "")
        for row in records(seen.set_index("definition").loc[names].reset_index())
    ]
    caption = sentence(
        "; ".join(listed),
        _repairs(own, names),
        "A criterion that finds no more than it finds in noise says nothing about ruptures",
        "What falls by chance rises again by itself, so that repairs are common in noise too" if len(shown) > 1 else "",
    )
    return Drawing(
        figure,
        _data(own, names, primary, shown),
        caption,
        "Shares of clients with a rupture by criterion, with the share expected on noise. " + caption,
    )


def _values(own: pd.DataFrame, estimand: str) -> dict[str, float]:
    rows = own[(own["estimand"] == estimand) & own["estimate"].notna()].drop_duplicates("definition")
    return dict(zip(rows["definition"], rows["estimate"], strict=True))


def _panel(ax: Axes, own: pd.DataFrame, estimand: str, places: dict[str, int], settings: dict[str, Any]) -> None:
    counterpart, title = PANELS[estimand]
    per_session = estimand == "rate_per_session"
    factor = 100.0 if per_session else 1.0
    rows = own[(own["estimand"] == estimand) & own["estimate"].notna() & own["definition"].isin(list(places))]
    y = [places[d] for d in rows["definition"]]
    ax.hlines(y, factor * rows["ci_low"], factor * rows["ci_high"], color=BLUE, linewidth=2)
    label = f"in the data, {level_text(settings)} interval"
    ax.plot(factor * rows["estimate"], y, "o", color=BLUE, markersize=6.5, linestyle="", label=label)
    noise = {d: v for d, v in _values(own, counterpart).items() if d in places}
    ax.plot(
        [factor * v for v in noise.values()], [places[d] for d in noise], "D", markerfacecolor="white", markeredgecolor=NOISE,
        markeredgewidth=1.3, markersize=5.5, linestyle="", label="in noise alone",
    )  # fmt: skip
    for line in range(1, len(places) + 1):
        ax.axhline(line, color="#EEEEEE", linewidth=0.6, zorder=0)
    if per_session:
        ax.set_xlim(left=0)
    else:
        ax.set_xlim(-0.03, 1.03)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    ax.set_xlabel(title, fontsize=9)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#DDDDDD", linewidth=0.6)


def _repairs(own: pd.DataFrame, names: list[str]) -> str:
    """Return the share repaired of the first criterion beside noise, with the difference where there is one."""
    rows = {
        e: records(own[(own["estimand"] == e) & (own["definition"] == names[0]) & own["estimate"].notna()])
        for e in ("share_repaired", "noise_share_repaired", "repaired_above_noise")
    }
    if not rows["share_repaired"]:
        return ""
    text = f"Of the ruptures by {plain(names[0])}, {with_interval(rows['share_repaired'][0])} are repaired"
    if rows["noise_share_repaired"]:
        text += f", in noise {percent(rows['noise_share_repaired'][0]['estimate'], 1)}"
    return text + (f"; the difference is {with_interval(rows['repaired_above_noise'][0])}" if rows["repaired_above_noise"] else "")


def _data(own: pd.DataFrame, names: list[str], primary: set[str], shown: list[str]) -> pd.DataFrame:
    """Return a row a criterion and panel: what was found, its interval, and the counterpart in noise."""
    rows = own[own["estimand"].isin(shown) & own["definition"].isin(names) & own["estimate"].notna()]
    order = {name: k for k, name in enumerate(names)}
    data = rows[["estimand", "definition", "estimate", "ci_low", "ci_high", "n"]].copy()
    data["primary"] = data["definition"].isin(primary)
    data["in_noise"] = [_values(own, PANELS[e][0]).get(d) for e, d in zip(data["estimand"], data["definition"], strict=True)]
    data["_panel"], data["_row"] = data["estimand"].map(shown.index), data["definition"].map(order)
    return data.sort_values(["_panel", "_row"], kind="stable", ignore_index=True).drop(columns=["_panel", "_row"])

"""How much an answer hangs on choices that could have been made otherwise: every estimate, sorted, and the choices behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, PALE, SKY, VERMILION, look, new_figure
from attachment_outcomes.present.words import count, estimate_text, level_text, number, percent, plain, score_title, sentence

NEEDS = ("specifications", "estimates")
ESTIMANDS = ("recovered", "reliably_improved", "standardised_improvement")
TITLES = {
    "recovered": "Recovered",
    "reliably_improved": "Reliably improved",
    "standardised_improvement": "Mean change towards better",
}
AXES = {
    "recovered": "Share of people (%;\nhigher = better)",
    "reliably_improved": "Share of people (%;\nhigher = better)",
    "standardised_improvement": "SD units\n(higher = better)",
}
FACTORS = {
    "rule": "Rule",
    "reliability_source": "Reliability",
    "cutoff": "Cutoff",
    "occasions": "Occasions",
    "handling": "Missing ends",
}
NOT_USED, BOUND, INDEPENDENT, DISCREDITED = "not used", "bound", "independent", "discredited"
WIDTH, ROW, UPPER, HEAD = 9.6, 0.165, 2.3, 0.55  # inches


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the primary outcome's curve of each estimand: estimates with intervals above, their choices as ticks below.

    Raises
    ------
    NothingToDraw
        If no specification has an estimate.
    """
    whole = tables["specifications"]
    seen = whole[(whole["estimate"].notna() & (whole["standing"] != BOUND)).to_numpy(dtype=bool)]
    seen = need(seen, "specifications", "no specification could be estimated, or all are suppressed")
    listed = [str(o["score"]) for o in (settings.get("change") or {}).get("outcomes", [])]
    outcome = next((o for o in listed if (seen["outcome"] == o).any()), str(seen["outcome"].iloc[0]))
    seen = seen[(seen["outcome"] == outcome).to_numpy(dtype=bool)]
    way = next((w for w in sorted(seen["clusters"].unique()) if w != INDEPENDENT), INDEPENDENT)
    seen = seen[(seen["clusters"] == way).to_numpy(dtype=bool)]
    estimands = [e for e in ESTIMANDS if (seen["estimand"] == e).any()]
    curves = {e: _curve(seen, e) for e in estimands}
    levels = {e: _levels(curves[e]) for e in estimands}
    heights = [(HEAD, UPPER, ROW * sum(len(v) + 1.35 for v in levels[e].values()) + 0.25) for e in estimands]
    with look():
        figure = new_figure(sum(map(sum, heights)) + 0.5, width=WIDTH)
        ratios = [h for _, upper, lower in heights for h in (upper, lower)]
        grid = figure.add_gridspec(len(ratios), 1, height_ratios=ratios)
        for i, estimand in enumerate(estimands):
            upper = figure.add_subplot(grid[2 * i])
            lower = figure.add_subplot(grid[2 * i + 1], sharex=upper)
            _estimates(upper, curves[estimand], estimand, settings)
            _choices(lower, curves[estimand], levels[estimand])
        figure.legend(handles=_legend(settings), loc="outside lower center", ncols=4)
    words = [_words(tables["estimates"], outcome, e, curves[e]) for e in estimands]
    n = curves[estimands[0]]["n"].max()
    caption = sentence(
        f"{score_title(outcome, settings)}, n up to {count(n)}; intervals are {level_text(settings)}"
        + (", robust to therapists" if way != INDEPENDENT else ""),
        *words,
        _refused(whole, outcome, way),
        "* A last value carried forward is discredited and shown for comparison" if (seen["standing"] == DISCREDITED).any() else "",
    )
    data = pd.concat([curves[e].assign(rank=np.arange(1, len(curves[e]) + 1)) for e in estimands], ignore_index=True)
    columns = ["outcome", "estimand", "rank", *FACTORS, "standing", "estimate", "ci_low", "ci_high", "expected", "n", "primary"]
    return Drawing(figure, data[columns], caption, "Specification curves: sorted estimates over a chart of choices. " + caption)


def _curve(seen: pd.DataFrame, estimand: str) -> pd.DataFrame:
    """Return one curve sorted by its estimate; ties keep the order of the choices."""
    rows = seen[(seen["estimand"] == estimand).to_numpy(dtype=bool)]
    return rows.sort_values(["estimate", *FACTORS], kind="stable").reset_index(drop=True)


def _levels(curve: pd.DataFrame) -> dict[str, list[str]]:
    """Return the levels of each choice that varies, in the order of their mean estimates."""
    found = {}
    for factor in FACTORS:
        means = curve.groupby(factor, sort=True)["estimate"].mean().sort_values(kind="stable")
        if len(means) > 1:
            found[factor] = [str(name) for name in means.index]
    return found


def _estimates(ax: Axes, curve: pd.DataFrame, estimand: str, settings: dict[str, Any]) -> None:
    share = estimand != "standardised_improvement"
    scale = 100.0 if share else 1.0
    x = np.arange(1, len(curve) + 1)
    low, high, middle = (scale * curve[c].to_numpy(dtype=float) for c in ("ci_low", "ci_high", "estimate"))
    ax.vlines(x, low, high, color=SKY, linewidth=_line(len(curve)), alpha=0.55)
    size = float(np.clip(1200 / len(curve), 2.5, 22))
    ax.scatter(x, middle, s=size, color=INK, zorder=3, linewidths=0)
    expected = scale * curve["expected"].to_numpy(dtype=float)
    if share and np.isfinite(expected).any():
        ax.scatter(x, expected, s=float(np.clip(900 / len(curve), 4, 16)), marker="_", color=VERMILION, linewidths=1.0)  # fmt: skip
    elif not share:
        ax.axhline(0, color=VERMILION, linewidth=1.0, linestyle=(0, (4, 2)))
    chosen = np.flatnonzero(curve["primary"].to_numpy(dtype=bool))
    if len(chosen):
        at = chosen[0]
        ax.vlines(x[at], low[at], high[at], color=ORANGE, linewidth=2.2, zorder=4)
        ax.scatter(x[at], middle[at], marker="D", s=44, facecolor=ORANGE, edgecolor=INK, zorder=5)
    median = float(np.median(middle))
    ax.axhline(median, color=GREY, linewidth=0.8, zorder=0)
    ax.annotate(
        f"median {median:.0f} %" if share else f"median {number(median)}", (1, median), xycoords=("axes fraction", "data"),
        xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color="#555555", annotation_clip=False,
    )  # fmt: skip
    ax.set(title=f"{TITLES[estimand]}: {len(curve)} specifications", ylabel=AXES[estimand], xlim=(0, len(curve) + 1))
    if share:
        ax.set_ylim(bottom=0)
    ax.tick_params(axis="x", labelbottom=False, length=0)
    ax.spines["bottom"].set_visible(False)


def _legend(settings: dict[str, Any]) -> list[Line2D]:
    return [
        Line2D([], [], color=SKY, linewidth=3, label=f"{level_text(settings)} interval"),
        Line2D([], [], color=INK, marker="o", markersize=4, label="estimate", linestyle="none"),
        Line2D([], [], color=VERMILION, marker="_", markersize=9, label="expected if nobody had truly changed", linestyle="none"),
        Line2D(
            [], [], color=ORANGE, marker="D", markersize=7, markeredgecolor=INK, label="primary specification", linestyle="none"
        ),
    ]


def _line(n: int) -> float:
    return float(np.clip(380 / n, 0.5, 3.0))


def _choices(ax: Axes, curve: pd.DataFrame, levels: dict[str, list[str]]) -> None:
    """Draw a tick for each specification on the line of the level it takes, grouped by choice."""
    x = np.arange(1, len(curve) + 1)
    chosen = np.flatnonzero(curve["primary"].to_numpy(dtype=bool))
    discredited = set(curve.loc[(curve["standing"] == DISCREDITED).to_numpy(dtype=bool), "handling"])
    place, ticks, labels = 0.0, [], []
    for factor, names in levels.items():
        ax.annotate(
            FACTORS[factor], (0, place), xycoords=("axes fraction", "data"), xytext=(-6, 0), textcoords="offset points",
            ha="right", va="center", fontsize=8, fontweight="bold", annotation_clip=False,
        )  # fmt: skip
        place -= 1
        for k, name in enumerate(names):
            if k % 2 == 0:
                ax.axhspan(place - 0.5, place + 0.5, color=PALE, alpha=0.5, linewidth=0)
            at = x[(curve[factor] == name).to_numpy(dtype=bool)]
            ax.vlines(at, place - 0.36, place + 0.36, color=BLUE, linewidth=_line(len(curve)))
            if len(chosen) and str(curve[factor].iloc[chosen[0]]) == name:
                ax.scatter(x[chosen[0]], place, marker="D", s=16, facecolor=ORANGE, edgecolor=INK, linewidths=0.6, zorder=4)
            ticks.append(place)
            labels.append("none needed" if name == NOT_USED else name + (" *" if name in discredited else ""))
            place -= 1
        place -= 0.35
    ax.set_yticks(ticks, labels, fontsize=7.5)
    ax.set(ylim=(place + 0.8, 0.6), xlabel="Specifications, sorted by their estimate")
    ax.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="x", labelsize=8)


def _words(estimates: pd.DataFrame, outcome: str, estimand: str, curve: pd.DataFrame) -> str:
    """Return what the curve's summary says, from the rows of the analysis."""
    keys: dict[str, Any] = {"analysis": "specification_curve", "outcome": outcome, "group": estimand}

    def value(name: str) -> str:
        row = one(estimates, estimand=name, **keys)
        return "" if row is None or np.isnan(row["estimate"]) else estimate_text(row["estimate"], str(row["unit"]))

    said = [f"{TITLES[estimand]}: {len(curve)} specifications"]
    if value("median"):
        said.append(f"median {value('median')} (middle half {value('first_quartile')} to {value('third_quartile')}, ")
        said[-1] += f"all {value('lowest')} to {value('highest')})"
    chosen = curve[curve["primary"].to_numpy(dtype=bool)]
    if len(chosen):
        unit = "proportion" if estimand != "standardised_improvement" else "SD"
        said.append(f"primary {estimate_text(float(chosen['estimate'].iloc[0]), unit)}")
    row = one(estimates, estimand="share_beyond_expected", **keys)
    if row is not None:
        said.append(f"{percent(row['estimate'])} of intervals beyond what no true change would give")
    rows = estimates[
        ((estimates["analysis"] == "specification_curve") & (estimates["estimand"] == "variance_share")
         & (estimates["outcome"] == outcome) & (estimates["group"] == estimand) & (estimates["definition"] != "combinations"))
        .to_numpy(dtype=bool)
    ]  # fmt: skip
    if len(rows):
        most = rows.sort_values("estimate", kind="stable").iloc[-1]
        said.append(
            f"most of the spread goes with {_factor(str(most['definition']))} ({percent(most['estimate'])} of the variance)"
        )
    return ", ".join(said)


def _factor(name: str) -> str:
    return {"outcome": "the outcome", "reliability_source": "the reliability", "handling": "the handling of missing ends"}.get(
        name, f"the {plain(name)}"
    )


def _refused(whole: pd.DataFrame, outcome: str, way: str) -> str:
    rows = whole[((whole["outcome"] == outcome) & (whole["clusters"] == way) & (whole["refused"] != "")).to_numpy(dtype=bool)]
    if not len(rows):
        return ""
    said = "1 combination is" if len(rows) == 1 else f"{count(len(rows))} combinations are"
    return f"{said} not possible with these data and listed with the reason"

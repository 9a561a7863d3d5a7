"""What alliance and symptoms go with in each other from session to session within clients: slopes by lag, and raw ratings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, SKY, look, new_figure
from attachment_outcomes.present.words import count, first_upper, level_text, score_title, sentence, with_interval

NEEDS = ("alliance_within_bins", "estimates")
ANALYSIS, SLOPE = "alliance_within", "within_next_session"
# Definition: printed name, colour, marker, place beside the lag of 1.
ADJUSTED = {
    "adjusted, instruments": ("given the session's own score", BLUE, "D", 0.13),
    "adjusted, own trends": ("the same, clients' own trends allowed for", SKY, "s", 0.26),
    "adjusted, uncorrected": ("the same by least squares (Nickell bias)", ORANGE, "v", 0.39),
}
Z = 1.959964


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw a column a direction: slopes by lag above, means of tenths of the pairs of sessions below.

    Raises
    ------
    NothingToDraw
        If no direction has pairs of sessions.
    """
    bins = need(tables["alliance_within_bins"], "alliance_within_bins", "no ratings of alliance and symptoms in adjacent sessions")
    estimates = tables["estimates"]
    estimates = estimates[((estimates["analysis"] == ANALYSIS) & estimates["estimate"].notna()).to_numpy(dtype=bool)]
    directions = [(str(p), str(o)) for p, o in bins[["predictor", "outcome"]].drop_duplicates().itertuples(index=False)]
    shown = []
    with look():
        figure = new_figure(6.4, width=8.2)
        axes = figure.subplots(2, len(directions), squeeze=False)
        for column, (predictor, outcome) in enumerate(directions):
            first, then = (first_upper(score_title(name, settings)) for name in (predictor, outcome))
            rows = _slopes(estimates, outcome)
            _lags(axes[0][column], rows)
            axes[0][column].set(
                title=f"{first} before {then}", xlabel="Lag (sessions; 0 = the same session)",
                ylabel=f"Slope within clients\n(score points of {then}\nper point of {first})",
            )  # fmt: skip
            part = bins[((bins["predictor"] == predictor) & (bins["outcome"] == outcome)).to_numpy(dtype=bool)]
            _raw(axes[1][column], part)
            axes[1][column].set(
                xlabel=f"{first}:\nsession beside the client's average",
                ylabel=f"{then}: next session\nbeside the client's average",
            )
            shown.append(rows.assign(predictor=predictor))
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    caption = sentence(
        *(_words(estimates, p, o, settings) for p, o in directions),
        f"Intervals are {level_text(settings)}; below, means of tenths of {count(bins['n_pairs'].sum() / len(directions))} pairs "
        "of sessions with intervals that take pairs as independent",
        "Associations within clients, not effects",
    )
    data = pd.concat(
        [
            *(rows.assign(panel="slopes") for rows in shown),
            bins.rename(columns={"predictor_deviation": "x", "outcome_deviation": "estimate"}).assign(panel="means"),
        ],
        ignore_index=True,
    )
    columns = ["panel", "predictor", "outcome", "definition", "lag", "bin", "x", "estimate", "std_error", "ci_low", "ci_high"]
    return Drawing(figure, data[[*columns, "n_pairs"]], caption, "Slopes by lag, and means of next sessions. " + caption)


def _slopes(estimates: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """Return the slopes by lag and the adjusted ones of the next session, with their lag."""
    mine = estimates[(estimates["outcome"] == outcome).to_numpy(dtype=bool)]
    lags = mine[(mine["estimand"] == "within_lag").to_numpy(dtype=bool)]
    adjusted = mine[((mine["estimand"] == SLOPE) & mine["definition"].isin(list(ADJUSTED))).to_numpy(dtype=bool)]
    found = pd.concat([lags.assign(lag=lags["group"].astype(float)), adjusted.assign(lag=1.0)], ignore_index=True)
    return found[["outcome", "definition", "lag", "estimate", "std_error", "ci_low", "ci_high"]]


def _lags(ax: Axes, rows: pd.DataFrame) -> None:
    ax.axhline(0, color=INK, linewidth=0.9)
    plain = rows[~rows["definition"].isin(list(ADJUSTED)).to_numpy()].sort_values("lag")
    ax.errorbar(
        plain["lag"], plain["estimate"], yerr=_arms(plain), fmt="o", color=GREY, markerfacecolor="white",
        label="unadjusted", linewidth=1.2, markersize=5.5,
    )  # fmt: skip
    for name, (label, colour, marker, beside) in ADJUSTED.items():
        own = rows[(rows["definition"] == name).to_numpy(dtype=bool)]
        if len(own):
            ax.errorbar(
                own["lag"] + beside, own["estimate"], yerr=_arms(own), fmt=marker, color=colour, markeredgecolor=INK,
                markeredgewidth=0.6, label=label, linewidth=1.2, markersize=5.5,
            )  # fmt: skip
    ax.set_xticks(sorted(rows["lag"].unique()))
    ax.set_xlim(-0.4, rows["lag"].max() + 0.4)


def _arms(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    middle, low, high = (rows[c].to_numpy(dtype=float) for c in ("estimate", "ci_low", "ci_high"))
    return np.vstack([middle - low, high - middle])


def _raw(ax: Axes, part: pd.DataFrame) -> None:
    ax.axhline(0, color=INK, linewidth=0.9)
    ax.axvline(0, color=GREY, linewidth=0.6)
    x, y, error = (part[c].to_numpy(dtype=float) for c in ("predictor_deviation", "outcome_deviation", "std_error"))
    ax.errorbar(x, y, yerr=Z * error, fmt="o", color=BLUE, markersize=4.5, linewidth=1.1)


def _words(estimates: pd.DataFrame, predictor: str, outcome: str, settings: dict[str, Any]) -> str:
    """Return the primary slope of one direction in words, with the check of its errors."""
    row = one(estimates, estimand=SLOPE, outcome=outcome)
    name = f"{score_title(predictor, settings)} before {score_title(outcome, settings)}"
    if row is None or not row["primary"]:
        return f"{name}: no slope given the session's own score can be had"
    told = f"{name}: {with_interval(row)} points per point in the next session, given the session's own score"
    if row["definition"] == "adjusted, own trends":
        return f"{told} and a straight trend of each client"
    serial = one(estimates, estimand="residual_autocorrelation", outcome=outcome, definition=row["definition"])
    if serial is not None and (serial["ci_low"] > 0 or serial["ci_high"] < 0):
        told += f"; its errors are correlated from session to session ({with_interval(serial)}), so read it with caution"
    return told

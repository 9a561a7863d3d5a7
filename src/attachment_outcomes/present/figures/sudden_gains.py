"""Sudden gains: the mean course around them, and between which sessions they fall."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import told
from attachment_outcomes.present.style import BLUE, INK, ORANGE, SKY, look, new_figure, place_legend
from attachment_outcomes.present.words import count, level_text, score_axis, score_title, sentence

NEEDS = ("sudden_gains", "sudden_gain_profile", "estimates")


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw, side by side, the course aligned at the gain and the gains and losses by interval.

    Raises
    ------
    NothingToDraw
        If no series was searched for sudden gains.
    """
    counts = need(tables["sudden_gains"], "sudden_gains", "no series was searched for sudden gains")
    profile = tables["sudden_gain_profile"]
    outcome = str(counts["outcome"].iloc[0])
    counts = counts[counts["outcome"] == outcome].sort_values("session")
    profile = profile[(profile["outcome"] == outcome) & profile["mean"].notna()].sort_values("offset")
    with look():
        figure = new_figure(3.7)
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1.25]})
        _course(left, profile, outcome, settings)
        _bars(right, counts)
        handles = [*left.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
        place_legend(figure, handles, columns=4)
    caption = sentence(*_words(tables["estimates"], outcome, counts, settings))
    data = pd.concat(
        [
            counts.assign(panel="intervals")[["panel", "interval", "n_gains", "n_losses", "n_available"]],
            profile.assign(panel="course")[["panel", "offset", "mean", "ci_low", "ci_high", "n"]],
        ],
        ignore_index=True,
    )
    return Drawing(figure, data, caption, "Mean score around sudden gains, and their number between sessions. " + caption)


def _course(ax: Axes, profile: pd.DataFrame, outcome: str, settings: dict[str, Any]) -> None:
    ax.set(title="Around the gain", xlabel="Session, counted from the gain", ylabel=score_axis(outcome, settings))
    if profile.empty:
        ax.text(0.5, 0.5, "no gain", ha="center", va="center", transform=ax.transAxes)
        ax.set(xticks=[], yticks=[])
        return
    place = {-3: 0, -2: 1, -1: 2, 1: 3, 2: 4, 3: 5}
    x = profile["offset"].map(place)
    ax.axvspan(2, 3, color=SKY, alpha=0.25, linewidth=0, label="the gain")
    ax.fill_between(
        x, profile["ci_low"], profile["ci_high"], color=BLUE, alpha=0.18, linewidth=0, label=f"{level_text(settings)} interval"
    )
    ax.plot(x, profile["mean"], "-o", color=BLUE, markersize=5, label="mean")
    names = {-3: "3rd last\nbefore", -2: "2nd", -1: "last", 1: "first\nafter", 2: "2nd", 3: "3rd"}
    ax.set_xticks([place[k] for k in names], [names[k] for k in names], fontsize=8.5)
    low, high = float(profile[["mean", "ci_low"]].min().min()), float(profile[["mean", "ci_high"]].max().max())
    ax.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))


def _bars(ax: Axes, counts: pd.DataFrame) -> None:
    x = list(range(len(counts)))
    gains, losses = (counts[c].astype(float) for c in ("n_gains", "n_losses"))
    ax.bar(x, gains.fillna(0), color=BLUE, edgecolor=INK, linewidth=0.6, width=0.8, label="gains")
    ax.bar(x, -losses.fillna(0), color=ORANGE, edgecolor=INK, linewidth=0.6, width=0.8, hatch="//", label="losses")
    ax.axhline(0, color=INK, linewidth=0.8)
    step = -(-len(counts) // 10)
    ax.set_xticks(x[::step], [f"{s}–{s + 1}" for s in counts["session"].tolist()[::step]], fontsize=8.5)
    top, bottom = float(gains.max()), float(losses.max())
    ax.set(
        title="Between which sessions", xlabel="Sessions", ylabel="People (losses below 0)",
        ylim=(-max(1.0, 1.15 * bottom), max(1.0, 1.15 * top)),
    )  # fmt: skip
    if not (gains > 0).any() and not (losses > 0).any():  # only zeros and hidden counts: there is no bar
        ax.text(
            0.5,
            0.75,
            "all counts are zero or too small to be shown",
            transform=ax.transAxes,
            ha="center",
            fontsize=8.5,
            color="#555555",
        )
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(lambda v, _: f"{abs(v):g}")


def _words(estimates: pd.DataFrame, outcome: str, counts: pd.DataFrame, settings: dict[str, Any]) -> list[str]:
    keys: dict[str, object] = {"analysis": "sudden_gains", "outcome": outcome}
    found = [
        told(estimates, label, settings, estimand=estimand, **keys)
        for estimand, label in (
            ("share_with_gain", "people with a gain"),
            ("expected_without_gains", "expected in series without gains"),
            ("mean_magnitude", "mean magnitude"),
            ("share_reversed", "gains reversed"),
        )
    ]
    hidden = int(counts[["n_gains", "n_losses"]].isna().any(axis=1).sum())
    judged = counts["n_available"].sum(min_count=1)
    return [
        f"{score_title(outcome, settings)}: {'; '.join(f for f in found if f)}",
        f"{count(judged)} intervals could be judged" if not counts["n_available"].isna().any() else "",
        f"{hidden} intervals with small counts are not drawn" if hidden else "",
        "The course falls at the gain by construction, since gains are chosen for it; what comes after is what tells",
    ]

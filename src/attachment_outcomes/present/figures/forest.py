"""How far samples agree with each other: each sample's kappa, and what pooling gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one, records, rows_of
from attachment_outcomes.present.style import BLUE, GREY, INK, VERMILION, look, new_figure
from attachment_outcomes.present.words import count, interval_text, level_text, number, plain, sentence, with_interval

NEEDS = ("sample_statistics", "estimates")
ROW = 0.172  # inches a sample, so that 67 samples fill one tall page and can still be read
LONGEST_LABEL = 54
WIDTH = 8.6


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the kappa of every sample of one system with its interval, sorted, and the pooled ones below.

    Raises
    ------
    NothingToDraw
        If no sample has a kappa.
    """
    samples = tables["sample_statistics"]
    samples = need(samples[samples["kappa"].notna()], "sample_statistics", "no sample has a kappa")
    block = (settings.get("transmission") or {}).get("samples") or {}
    system = block.get("pool") if (samples["system"] == block.get("pool")).any() else samples["system"].mode().iloc[0]
    rows = (
        samples[samples["system"] == system]
        .sort_values(["kappa", "label"], ascending=[False, True], kind="stable")
        .reset_index(drop=True)
    )
    pooled = _pooled(tables["estimates"], str(system))
    places = np.arange(len(rows), 0, -1, dtype=float)
    with look():
        figure = new_figure(1.5 + ROW * len(rows) + 0.3 * len(pooled), width=WIDTH)
        ax = figure.subplots()
        kappa = rows["kappa"].to_numpy(dtype=float)
        low, high = (rows[f"kappa_ci_{end}"].to_numpy(dtype=float) for end in ("low", "high"))
        differs = rows["differs"].fillna(False).astype(bool).to_numpy()
        ax.hlines(places, low, high, color=np.where(differs, VERMILION, BLUE), linewidth=1.1)
        size = 10 + 50 * np.sqrt(rows["n"].fillna(0).to_numpy(dtype=float) / max(rows["n"].max(), 1))
        for flag, colour, marker in ((False, BLUE, "s"), (True, VERMILION, "D")):
            keep = differs == flag
            ax.scatter(kappa[keep], places[keep], s=size[keep], color=colour, marker=marker, zorder=3)
        for row, place in zip(records(rows), places, strict=True):
            ax.text(1.02, place, _numbers(row), transform=ax.get_yaxis_transform(), va="center", fontsize=7.5)
        for i, item in enumerate(pooled):
            _diamond(ax, item, -1.2 - 1.8 * i)
        ax.axvline(0, color=GREY, linewidth=0.9)
        ticks = [*places, *(-1.2 - 1.8 * i for i in range(len(pooled)))]
        ax.set_yticks(ticks, [*(_label(r) for r in records(rows)), *(p["name"] for p in pooled)], fontsize=7.5)
        for tick in ax.get_yticklabels()[len(rows) :]:
            tick.set_fontweight("bold")
        ax.text(
            1.02, len(rows) + 1.3, f"kappa [{level_text(settings)} CI]", transform=ax.get_yaxis_transform(), va="center", fontsize=8
        )
        ax.set(ylim=(-1.8 * len(pooled) - 0.6 if pooled else 0.2, len(rows) + 1), xlabel="kappa (0 = chance, 1 = all agree)")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    words = [f"{p['name']} {with_interval(p['row'])}{_prediction(p)}" for p in pooled]
    note = (
        f"Diamonds in red: {int(differs.sum())} samples whose stated kappa differs from that of their own counts"
        if differs.any()
        else ""
    )
    caption = sentence(
        f"{system}; {len(rows)} samples, n = {count(rows['n'].sum())}",
        "; ".join(words),
        "Squares grow with the sample; an open diamond spans the interval of a pooled value" if pooled else "",
        "The line through it is the prediction interval for a new sample" if any(p["low"] is not None for p in pooled) else "",
        _others(tables["estimates"], str(system)),
        note,
    )
    data = rows[
        [
            "sample_id",
            "label",
            "system",
            "n",
            "agreement",
            "chance",
            "kappa",
            "kappa_ci_low",
            "kappa_ci_high",
            "stated_kappa",
            "differs",
        ]
    ]
    return Drawing(figure, data, caption, "Forest plot of kappa by sample. " + caption)


def _pooled(estimates: pd.DataFrame, system: str) -> list[dict[str, Any]]:
    """Return the pooled rows: kappa, or phi where only that was pooled, and the kappa of all tables summed."""
    found = []
    known = {str(r["estimand"]) for r in rows_of(estimates, analysis="pooled_samples", outcome=system)}
    measure = "kappa" if "kappa" in known or "phi" not in known else "phi"
    first = f"pooled{' phi' if measure == 'phi' else ''}, random effects"
    for analysis, estimand, name in (("pooled_samples", measure, first), ("pooled_table", "kappa", "all tables summed")):
        row = one(estimates, analysis=analysis, estimand=estimand, outcome=system)
        if row is None or np.isnan(row["estimate"]):
            continue
        spread = one(estimates, analysis=analysis, estimand=f"{estimand}_prediction_interval", outcome=system)
        ends = (spread["ci_low"], spread["ci_high"]) if spread is not None and not np.isnan(spread["ci_low"]) else (None, None)
        found.append({"name": name, "row": row, "low": ends[0], "high": ends[1]})
    return found


def _others(estimates: pd.DataFrame, system: str) -> str:
    """Return what else was pooled, with prediction intervals, in words."""
    said = []
    for measure in ("agreement", "stays_secure", "becomes_secure"):
        row = one(estimates, analysis="pooled_samples", estimand=measure, outcome=system)
        spread = one(estimates, analysis="pooled_samples", estimand=f"{measure}_prediction_interval", outcome=system)
        if row is not None and not np.isnan(row["estimate"]):
            ends = interval_text(spread["ci_low"], spread["ci_high"], "proportion") if spread is not None else ""
            said.append(f"{plain(measure)} {with_interval(row)}" + (f", prediction interval {ends}" if ends else ""))
    return f"Pooled: {'; '.join(said)}" if said else ""


def _diamond(ax: Axes, item: dict[str, Any], place: float) -> None:
    row = item["row"]
    if item["low"] is not None:
        ax.hlines(place, item["low"], item["high"], color=INK, linewidth=1.2)
    corners = [(row["ci_low"], place), (row["estimate"], place + 0.6), (row["ci_high"], place), (row["estimate"], place - 0.6)]
    if np.isnan(row["ci_low"]):
        ax.plot(row["estimate"], place, "D", color=INK, markerfacecolor="white")
    else:
        ax.add_patch(Polygon(corners, closed=True, facecolor="white", edgecolor=INK, linewidth=1.2, zorder=3))
    ax.text(1.02, place, with_interval(row), transform=ax.get_yaxis_transform(), va="center", fontsize=7.5, fontweight="bold")


def _label(row: dict[str, Any]) -> str:
    label = str(row["label"]) if isinstance(row["label"], str) and row["label"] else str(row["sample_id"])
    label = label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
    return f"{label} (n = {count(row['n'])})"


def _numbers(row: dict[str, Any]) -> str:
    return f"{number(row['kappa'], bounded=True)} {interval_text(row['kappa_ci_low'], row['kappa_ci_high'], 'kappa')}".strip()


def _prediction(item: dict[str, Any]) -> str:
    return "" if item["low"] is None else f", prediction interval {interval_text(item['low'], item['high'], 'kappa')}"

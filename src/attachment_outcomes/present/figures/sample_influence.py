"""Does one sample decide what is pooled, and when did it settle?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one, records
from attachment_outcomes.present.sample_marks import Shown, axis_label, interval_words, on_axis, value_words
from attachment_outcomes.present.style import BLUE, GREY, INK, PALE, VERMILION, look, new_figure
from attachment_outcomes.present.words import level_text, number, plain, sentence, with_interval

NEEDS = ("sample_influence", "estimates")
ROW = 0.165
LONGEST_LABEL = 44
WITHOUT, UP_TO = "without", "up to"


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw what is pooled without each sample in turn (left), and with samples added in order (right, where there is one).

    Raises
    ------
    NothingToDraw
        If there are fewer than 3 samples, or too many to leave out one at a time.
    """
    rows = tables["sample_influence"]
    rows = rows[rows["primary"].astype(bool)]
    left = need(rows[rows["kind"] == WITHOUT], "sample_influence", "fewer than 3 pooled samples, or too many to leave out each")
    right = rows[rows["kind"] == UP_TO]
    measure, system = str(left["measure"].iloc[0]), str(left["system"].iloc[0])
    pooled = one(tables["estimates"], analysis="pooled_samples", estimand=measure, outcome=system)
    shown = Shown(system, measure, str(pooled["unit"]) if pooled is not None else "")
    left = left.sort_values("place", kind="stable").reset_index(drop=True)
    right = right.sort_values("place", kind="stable").reset_index(drop=True)
    order = str(((settings.get("transmission") or {}).get("samples") or {}).get("order") or "order")
    height = 1.3 + ROW * max(len(left), len(right), 8)
    with look():
        figure = new_figure(height, width=9.2 if len(right) else 7.0)
        axes = figure.subplots(1, 2, width_ratios=[1.0, 1.0]) if len(right) else [figure.subplots()]
        _panel(axes[0], left, [f"{_short(r)}" for r in records(left)], pooled, shown, BLUE)
        axes[0].set_title("Without the sample")
        if len(right):
            _panel(axes[1], right, [f"{r['label']} (k = {r['k']})" for r in records(right)], pooled, shown, INK)
            axes[1].set_title(f"All samples up to the {order}")
    most = max(records(left), key=lambda r: -1.0 if np.isnan(r["cook_d"]) else float(r["cook_d"]))
    marked = left.loc[left["influential"].astype(bool), "label"].astype(str)
    span = left["estimate"].min(), left["estimate"].max()
    caption = sentence(
        f"{system}, {plain(measure)}" + (f"; all samples {with_interval(pooled)}" if pooled is not None else ""),
        f"Without one sample at a time {value_words(span[0], shown)} to {value_words(span[1], shown)}; most without "
        f"{most['label']}, {value_words(most['estimate'], shown)} {interval_words(most['ci_low'], most['ci_high'], shown)}",
        f"Marked as influential: {'; '.join(marked)}" if len(marked) else "None passes a usual mark of influence",
        _settled(right, order, shown),
        f"Lines: {level_text(settings)} confidence intervals; the band is that of all samples. Long intervals are cut",
    )
    data = rows[["system", "measure", "kind", "place", "sample_id", "label", "own", "k", "order", "estimate", "ci_low", "ci_high"]]
    return Drawing(figure, data, caption, f"{plain(measure)} without each sample, and sample by sample. " + caption)


def _panel(ax: Axes, rows: pd.DataFrame, labels: list[str], pooled: dict[str, Any] | None, shown: Shown, colour: str) -> None:
    places = np.arange(len(rows), 0, -1, dtype=float)
    value, low, high = (on_axis(rows[c].to_numpy(dtype=float), shown) for c in ("estimate", "ci_low", "ci_high"))
    marked = rows["influential"].to_numpy(dtype=bool)
    if pooled is not None and not np.isnan(pooled["estimate"]):
        if not np.isnan(pooled["ci_low"]):
            ax.axvspan(float(on_axis(pooled["ci_low"], shown)), float(on_axis(pooled["ci_high"], shown)), color=PALE, zorder=0)
        ax.axvline(float(on_axis(pooled["estimate"], shown)), color=GREY, linewidth=0.9, zorder=1)
    ax.hlines(places, low, high, color=np.where(marked, VERMILION, colour), linewidth=1.1, zorder=2)
    for mask, face, marker in ((~marked, colour, "s"), (marked, VERMILION, "D")):
        ax.scatter(value[mask], places[mask], s=15, color=face, marker=marker, zorder=3)
    ax.set_yticks(places, labels, fontsize=7)
    for tick, own in zip(ax.get_yticklabels(), rows["own"].astype(bool), strict=True):
        tick.set_fontweight("bold" if own else "normal")
    if shown.logarithmic:
        ax.set_xscale("log")
    ax.set(ylim=(0.2, len(rows) + 0.8), xlabel=axis_label(shown), xlim=_limits(value, low, high, shown))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _limits(value: np.ndarray, low: np.ndarray, high: np.ndarray, shown: Shown) -> tuple[float, float]:
    """Return ends that show every value, and intervals as far as they are not several times as long as the usual one."""
    usual = 3 * float(np.nanmedian(high - low)) if np.isfinite(high - low).any() else 1.0
    start = max(np.nanmin([np.nanmin(value), *low[np.isfinite(low)]]), float(np.nanmin(value)) - usual)
    end = min(np.nanmax([np.nanmax(value), *high[np.isfinite(high)]]), float(np.nanmax(value)) + usual)
    edge = 0.03 * (end - start)
    least, most = {"proportion": (0.0, 100.0), "kappa": (-1.0, 1.0), "phi": (-1.0, 1.0)}.get(shown.unit, (-np.inf, np.inf))
    return max(float(start - edge), least), min(float(end + edge), most)


def _short(row: dict[str, Any]) -> str:
    label = str(row["label"])
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def _settled(right: pd.DataFrame, order: str, shown: Shown) -> str:
    if right.empty:
        return ""
    first, last = right.iloc[0], right.iloc[-1]
    words = [f"{r['label']} {value_words(r['estimate'], shown)} (k = {number(r['k'], 0)})" for r in (first, last)]
    return f"In order of {order}: {words[0]} to {words[1]}"

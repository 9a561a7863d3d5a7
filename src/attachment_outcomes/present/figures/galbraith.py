"""Which samples lie off what is pooled, for how precise they are?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from attachment_outcomes.present.drawing import Drawing, NothingToDraw, need
from attachment_outcomes.present.lookup import one, records
from attachment_outcomes.present.sample_marks import Shown, chosen, flagged
from attachment_outcomes.present.style import BLUE, GREY, INK, PALE, VERMILION, look, new_figure
from attachment_outcomes.present.words import plain, sentence, with_interval

NEEDS = ("sample_effects", "sample_statistics", "estimates")
BAND = 2.0  # standard errors on either side of the line, by custom (Galbraith, 1988)
MOST_NAMES = 12
LONGEST_NAME = 36
FEWEST = 3


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw each sample's standardised effect against its precision, with the line of the pooled value and a band of two.

    Raises
    ------
    NothingToDraw
        If fewer than 3 samples are pooled.
    """
    del settings
    rows = flagged(chosen(tables["sample_effects"]), tables["sample_statistics"])
    hidden = int(rows["effect"].isna().sum())
    rows = need(rows[rows["effect"].notna() & rows["weight"].notna()], "sample_effects", "no samples are pooled")
    if len(rows) < FEWEST:
        raise NothingToDraw(f"sample_effects: fewer than {FEWEST} samples are pooled")
    shown = Shown(str(rows["system"].iloc[0]), str(rows["measure"].iloc[0]), str(rows["unit"].iloc[0]))
    pooled = one(tables["estimates"], analysis="pooled_samples", estimand=shown.measure, outcome=shown.system)
    slope = _on_scale(pooled["estimate"], shown) if pooled is not None and not np.isnan(pooled["estimate"]) else float("nan")
    rows = rows.assign(off=rows["standardised"] - slope * rows["precision"]).sort_values("precision", kind="stable")
    rows = rows.reset_index(drop=True)
    far = rows[rows["off"].abs() > BAND].reindex(rows["off"].abs().sort_values(ascending=False).index).dropna(subset=["off"])
    with look():
        figure = new_figure(4.8)
        ax = figure.subplots()
        _line(ax, rows, slope)
        own, differs = rows["own"].to_numpy(dtype=bool), rows["differs"].to_numpy(dtype=bool)
        outside = (rows["off"].abs() > BAND).to_numpy()
        for mask, face, marker, name in (
            (~own & ~outside, "white", "o", "within two standard errors of the line"),
            (~own & outside, VERMILION, "D", "farther off"),
            (own, INK, "s", "this study"),
        ):
            if mask.any():
                edge = BLUE if face == "white" else face
                ax.scatter(
                    rows.loc[mask, "precision"], rows.loc[mask, "standardised"], s=26, facecolors=face, edgecolors=edge,
                    marker=marker, zorder=3, label=name,
                )  # fmt: skip
        _names(ax, far.head(MOST_NAMES))
        ax.set(
            xlim=(0, float(rows["precision"].max()) * 1.22), xlabel=f"precision (1 / standard error of {shown.scale})",
            ylabel="standardised effect (effect / its standard error)",
        )  # fmt: skip
        figure.legend(loc="outside lower center", ncols=3)
    names = [str(r["label"]) for r in records(far)]
    listed = "; ".join(names[:MOST_NAMES]) + (f"; and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
    caption = sentence(
        f"{shown.system}, {plain(shown.measure)}; {len(rows)} samples"
        + (f"; pooled {with_interval(pooled)}" if pooled is not None else ""),
        "The slope of the line is the pooled value on the scale pooled; about 95 % of samples would lie in the band if they "
        "differed by chance alone",
        f"Farther off, {len(names)}: {listed}" if names else "No sample lies farther off",
        f"{int(differs.sum())} of all have a stated kappa that is not that of their counts" if differs.any() else "",
        f"{hidden} suppressed because of small counts" if hidden else "",
    )
    data = rows[["system", "measure", "sample_id", "label", "own", "effect", "precision", "standardised", "off"]]
    return Drawing(figure, data, caption, f"Galbraith plot of {plain(shown.measure)}. " + caption)


def _on_scale(value: float, shown: Shown) -> float:
    """Return a pooled value on the scale on which it was pooled."""
    if shown.unit == "proportion":
        return float(np.log(value / (1 - value)))
    return float({"phi": np.arctanh, "odds ratio": np.log}.get(shown.unit, float)(value))


def _line(ax: Axes, rows: pd.DataFrame, slope: float) -> None:
    end = float(rows["precision"].max()) * 1.05
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    if np.isnan(slope):
        return
    x = np.array([0.0, end])
    ax.fill_between(x, slope * x - BAND, slope * x + BAND, color=PALE, zorder=0, linewidth=0)
    for offset, style in ((0.0, "-"), (BAND, (0, (4, 3))), (-BAND, (0, (4, 3)))):
        ax.plot(x, slope * x + offset, color=INK, linewidth=1.1 if offset == 0 else 0.8, linestyle=style, zorder=1)


def _names(ax: Axes, far: pd.DataFrame) -> None:
    """Write names to the right of points, apart from each other: each as high as its point, or as near as the last one allows."""
    low, high = ax.get_ylim()
    step = (high - low) * 0.042
    last = -np.inf
    for row in records(far.sort_values("standardised", kind="stable")):
        place = max(float(row["standardised"]), last + step)
        last = place
        label = str(row["label"])
        name = label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…"
        ax.annotate(
            name, (row["precision"], row["standardised"]), xytext=(float(row["precision"]) + 0.012 * ax.get_xlim()[1], place),
            fontsize=7, va="center", zorder=4,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
            path_effects=[withStroke(linewidth=2.2, foreground="white")],
        )  # fmt: skip

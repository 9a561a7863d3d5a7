"""How complete the data are: the share of expected questionnaires that are there, by instrument and occasion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records, told
from attachment_outcomes.present.style import GREY, INK, look, new_figure
from attachment_outcomes.present.words import instrument_title, percent, sentence

NEEDS = ("completeness", "estimates")
KINDS = {"wave": "Wave", "session": "Session number"}
DARK = 0.62  # above this share the letters are white
SHADES = LinearSegmentedColormap.from_list("completeness", colormaps["Blues"](np.linspace(0, 0.87, 64)))


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw a heat map for waves and one for sessions, the percentage in each cell.

    Raises
    ------
    NothingToDraw
        If the study expects no scores of people.
    """
    table = need(tables["completeness"], "completeness", "the study holds no scores of people").reset_index(drop=True)
    parts = table["occasion"].str.rsplit(" ", n=1, expand=True)
    table = table.assign(kind=parts[0], number=parts[1].astype(int))
    kinds = [k for k in KINDS if (table["kind"] == k).any()]
    rows = [table.loc[table["kind"] == k, "instrument"].nunique() for k in kinds]
    with look():
        figure = new_figure(0.9 * len(kinds) + 0.42 * sum(rows) + 0.6)
        axes = figure.subplots(len(kinds), 1, squeeze=False, height_ratios=[r + 1.2 for r in rows])[:, 0]
        for ax, kind in zip(axes, kinds, strict=True):
            image = _heat(ax, table[table["kind"] == kind], kind, settings)
        bar = figure.colorbar(image, ax=list(axes), shrink=0.8, aspect=18, pad=0.02)
        bar.set_label("Complete (%; higher = better)")
        bar.set_ticks([0, 0.5, 1], labels=["0", "50", "100"])
    known = records(table[table["proportion"].notna()].sort_values("proportion", kind="stable"))
    lowest = known[0] if known else None
    outcome = str((settings.get("audit") or {}).get("outcome") or "")
    wanted: dict[str, object] = {"analysis": "audit", "estimand": "completeness", "definition": "both occasions"}
    paired = told(
        tables["estimates"],
        "people with the outcome at both occasions",
        settings,
        **(wanted | ({"outcome": outcome} if outcome else {})),
    )
    caption = sentence(
        paired,
        f"Lowest: {instrument_title(str(lowest['instrument']), settings)} at {lowest['occasion']}, {percent(lowest['proportion'])}"
        if lowest is not None
        else "",
        "A session is expected while therapy lasted; crosses are suppressed small counts",
    )
    data = table[["instrument", "occasion", "n_expected", "n_present", "proportion"]]
    return Drawing(figure, data, caption, "Heat maps of completeness by instrument and occasion. " + caption)


def _heat(ax: Axes, table: pd.DataFrame, kind: str, settings: dict[str, Any]) -> Any:
    wide = table.pivot(index="instrument", columns="number", values="proportion")
    known = table.assign(there=1).pivot(index="instrument", columns="number", values="there")
    values = wide.to_numpy(dtype=float)
    image = ax.imshow(values, aspect="auto", cmap=SHADES, vmin=0, vmax=1)
    many = values.shape[1] > 14
    for i, j in np.argwhere(known.notna().to_numpy()):
        value = values[i, j]
        if np.isnan(value):
            ax.text(j, i, "×", ha="center", va="center", color=GREY)
        else:
            ax.text(
                j,
                i,
                f"{100 * value:.0f}",
                ha="center",
                va="center",
                fontsize=7 if many else 9,
                color="white" if value > DARK else INK,
            )
    ax.set_xticks(range(values.shape[1]), [str(c) for c in wide.columns])
    ax.set_yticks(range(values.shape[0]), [instrument_title(str(i), settings) for i in wide.index])
    ax.set(xlabel=KINDS[kind])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return image

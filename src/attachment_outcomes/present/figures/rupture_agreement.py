"""Do the criteria find the same ruptures? Kappa of every pair: by session below the diagonal, by client above it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records, told
from attachment_outcomes.present.style import BLUE, INK, PALE, look, new_figure
from attachment_outcomes.present.words import level_text, number, plain, sentence

NEEDS = ("rupture_agreement", "estimates")
SESSIONS, CLIENTS = "sessions in a rupture", "clients with a rupture"
SHADES = LinearSegmentedColormap.from_list("kappa", ["#FFFFFF", "#CFE3F2", BLUE, "#00344F"])
DARK = 0.55  # kappa from which a cell's number is white
CELL, MARGIN = 0.34, 2.3  # inches


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the kappa of each pair of criteria; the primary first, the others by how far they agree with it.

    Raises
    ------
    NothingToDraw
        If fewer than two criteria were compared.
    """
    table = need(tables["rupture_agreement"], "rupture_agreement", "fewer than two criteria could be compared")
    pairs = table[table["level"].isin([SESSIONS, CLIENTS])].reset_index(drop=True)
    names = _order(pairs)
    with look():
        figure = new_figure(MARGIN + CELL * len(names))
        ax = figure.subplots()
        _heat_map(ax, pairs, names)
    caption = _caption(tables["estimates"], pairs, settings)
    columns = ["level", "criterion_a", "criterion_b", "kappa", "ci_low", "ci_high", "agreement", "pabak", "prevalence_index", "n"]
    alt = f"Heat map of kappa between {len(names)} criteria: {', '.join(plain(n) for n in names)}. "
    return Drawing(figure, table[columns].reset_index(drop=True), caption, alt + caption)


def _order(pairs: pd.DataFrame) -> list[str]:
    names = list(dict.fromkeys([*pairs["criterion_a"], *pairs["criterion_b"]]))
    with_first = pairs[(pairs["level"] == SESSIONS) & pairs["primary"].astype(bool)].set_index("criterion_b")["kappa"]
    return [names[0], *sorted(names[1:], key=lambda n: (-float(with_first.fillna(-2.0).get(n, -3.0)), names.index(n)))]


def _heat_map(ax: Axes, pairs: pd.DataFrame, names: list[str]) -> None:
    place = {name: k for k, name in enumerate(names)}
    size = len(names)
    for row in records(pairs):
        low, high = sorted((place[str(row["criterion_a"])], place[str(row["criterion_b"])]))
        x, y = (low, high) if row["level"] == SESSIONS else (high, low)
        kappa = row["kappa"]
        known = not pd.isna(kappa)
        colour = SHADES(float(np.clip(kappa, 0, 1))) if known else "white"
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="#DDDDDD", linewidth=0.6))
        text = number(float(kappa), 2, bounded=True) if known else "–"
        ax.text(x, y, text, ha="center", va="center", fontsize=7, color="white" if known and kappa >= DARK else INK)
    for k in range(size):
        ax.add_patch(Rectangle((k - 0.5, k - 0.5), 1, 1, facecolor=PALE, edgecolor="white", linewidth=0.6))
    ax.set(xlim=(-0.55, size - 0.45), ylim=(size - 0.45, -0.55), aspect="equal")
    ax.set_yticks(range(size), [plain(n) + (" (primary)" if k == 0 else "") for k, n in enumerate(names)], fontsize=8)
    for k, name in enumerate(names):
        ax.text(k - 0.1, -0.7, plain(name), ha="left", va="center", fontsize=8, rotation=55, rotation_mode="anchor")
    ax.set_xticks([])
    ax.tick_params(axis="y", length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.set_xlabel("Kappa. Below the diagonal: sessions in a rupture. Above: clients with a rupture.", fontsize=8.5)


def _caption(estimates: pd.DataFrame, pairs: pd.DataFrame, settings: dict[str, Any]) -> str:
    words = []
    for level in (SESSIONS, CLIENTS):
        own = pairs[(pairs["level"] == level) & pairs["kappa"].notna()].sort_values("kappa")
        if own.empty:
            words.append(f"{level}: no kappa is defined")
            continue
        low, high = records(own.iloc[[0, -1]])
        wanted = {"analysis": "rupture_agreement", "estimand": "fleiss_kappa", "group": level}
        together = told(estimates, "kappa of all criteria together", settings, **wanted)
        span = "; ".join(f"{what} {_pair(row, settings)}" for what, row in (("lowest", low), ("highest", high)))
        median = f"median kappa {number(float(own['kappa'].median()), 2, bounded=True)} over {len(own)} pairs"
        words.append("; ".join(filter(None, [f"{level}: {median}", span if len(own) > 1 else "", together])))
    hidden = int(pairs["kappa"].isna().sum())
    return sentence(
        *words,
        f"{hidden} pairs have no kappa or are suppressed" if hidden else "",
        "Kappa is low where one criterion finds far more than the other; PABAK and the prevalence index are in the figure's data",
    )


def _pair(row: dict[str, Any], settings: dict[str, Any]) -> str:
    low, high = (number(float(row[c]), 2, bounded=True) for c in ("ci_low", "ci_high"))
    value = number(float(row["kappa"]), 2, bounded=True)
    return f"{plain(row['criterion_a'])} and {plain(row['criterion_b'])} {value} [{level_text(settings)} CI {low}, {high}]"

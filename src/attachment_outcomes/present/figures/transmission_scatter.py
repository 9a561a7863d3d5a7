"""Parents' and children's dimensions against each other, pair by pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one, records
from attachment_outcomes.present.style import BLUE, INK, look, panels
from attachment_outcomes.present.words import (
    count,
    first_upper,
    level_text,
    p_value,
    score_axis,
    score_title,
    sentence,
    with_interval,
    wrapped,
)

NEEDS = ("transmission_pairs", "estimates")
KEYS = ["label", "definition", "parent_score", "child_score"]
MOST_PANELS = 6
REPLICATES = 500  # of the band around the line, with a fixed seed


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw one panel a relation and pair of dimensions, with the straight line and its interval.

    Raises
    ------
    NothingToDraw
        If no pair has both scores, or each group of pairs is smaller than may be shown.
    """
    pairs = need(tables["transmission_pairs"], "transmission_pairs", "no parent and child both have a score")
    least = max(int(settings.get("threshold", 0)), 3)
    sizes = pairs.groupby(KEYS, sort=False).size().rename("n").reset_index()
    shown = need(sizes[sizes["n"] >= least].head(MOST_PANELS), "transmission_pairs", f"no relation has {least} pairs")
    level, words, data = float(settings.get("ci_level", 0.95)), [], []
    with look():
        figure, axes = panels(len(shown))
        for ax, group in zip(axes, records(shown), strict=True):
            part = pairs[(pairs[KEYS] == pd.Series({k: group[k] for k in KEYS})).all(axis=1)]
            part = part.sort_values(["parent", "child"], kind="stable")
            _panel(ax, part, group, level, settings)
            row = one(
                tables["estimates"],
                analysis="transmission_correlation",
                estimand="correlation",
                group=group["label"],
                definition=group["definition"],
                outcome=f"{group['parent_score']} and {group['child_score']}",
            )
            tested = f"{p_value(row['p_value'])}, " if row is not None and not np.isnan(row["p_value"]) else ""
            found = f"r = {with_interval(row)}, {tested}" if row is not None else ""
            name = score_title(group["child_score"], settings)
            words.append(f"{first_upper(group['label'])}, child's {name}: {found}n = {count(group['n'])} pairs")
            data.append(part)
    left_out = len(sizes) - len(shown)
    caption = sentence(
        *words,
        f"The band is the {level_text(settings)} bootstrap interval of the line; the intervals of r allow for families",
        f"{left_out} further pairs of dimensions are in the estimates" if left_out else "",
    )
    frame = pd.concat(data, ignore_index=True)
    return Drawing(figure, frame, caption, "Scatter plots of parents' and children's scores with a line. " + caption)


def _panel(ax: Axes, part: pd.DataFrame, group: dict[str, Any], level: float, settings: dict[str, Any]) -> None:
    import seaborn as sns

    varies = part["parent"].min() < part["parent"].max()
    sns.regplot(
        x=part["parent"].to_numpy(dtype=float),
        y=part["child"].to_numpy(dtype=float),
        ax=ax,
        fit_reg=varies,
        ci=100 * level,
        n_boot=REPLICATES,
        seed=0,
        color=INK,
        scatter_kws={"s": float(np.clip(2500 / len(part), 6, 24)), "color": BLUE, "alpha": 0.6, "linewidths": 0},
        line_kws={"linewidth": 1.5},
    )
    ax.set(
        title=first_upper(str(group["label"])),
        xlabel=_label("Parent", group["parent_score"], settings),
        ylabel=_label("Child", group["child_score"], settings),
    )


def _label(who: str, score: str, settings: dict[str, Any]) -> str:
    return wrapped(f"{who}: {score_title(score, settings)}", 36) + "\n" + score_axis(score, settings).removeprefix("Score ")

"""How far each therapist's clients are from the average, with comparison intervals: a caterpillar of ranks without names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one
from attachment_outcomes.present.style import BLUE, GREY, INK, look, panels, place_legend
from attachment_outcomes.present.words import count, level_text, score_direction, score_title, sentence, with_interval

NEEDS = ("therapists", "estimates")
END, SLOPE, LEVEL = "end score, adjusted", "slope", "intercept"
ORDER = (SLOPE, END, LEVEL)  # what is drawn of an outcome: the first that is there; slopes are not where therapists' do not differ
AXES = {
    END: "End score given the score before,\ndifference from the average",
    SLOPE: "Change per {unit},\ndifference from the average",
    LEVEL: "Score at the start,\ndifference from the average",
}
SHARES = {END: "share_end_adjusted", SLOPE: "share_slope", LEVEL: "share_intercept"}


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the therapists of each outcome in a panel of its own, lowest deviation first.

    Raises
    ------
    NothingToDraw
        If no therapist can be shown.
    """
    therapists = need(tables["therapists"], "therapists", "no therapist has enough clients to be shown, or none is known")
    unit = {"wave": "week", "session": "session"}[(settings.get("change") or {}).get("occasions", "wave")]
    shown: list[tuple[str, str, pd.DataFrame]] = []
    for outcome in therapists["outcome"].unique():
        part = therapists[(therapists["outcome"] == outcome) & therapists["estimate"].notna()]
        which = next((name for name in ORDER if (part["estimand"] == name).any()), None)
        if which is not None:
            shown.append((str(outcome), which, part[part["estimand"] == which].sort_values("rank", ignore_index=True)))
    need(pd.DataFrame(shown), "therapists", "every therapist is suppressed")
    with look():
        figure, axes = panels(len(shown), height=3.7)
        for ax, (outcome, which, rows) in zip(axes, shown, strict=True):
            _panel(ax, rows)
            inside = "; ".join(p for p in ("score points", score_direction(outcome, settings)) if p)
            share = one(tables["estimates"], analysis="therapist_effect", estimand=SHARES[which], outcome=outcome)
            log = share is not None and share["definition"] == "log"  # slopes are then of log time
            label = f"{AXES[which].format(unit=f'log {unit}' if log else unit)}\n({inside})"
            ax.set(title=score_title(outcome, settings), xlabel=f"Therapists by rank (n = {len(rows)})", ylabel=label)
        named = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        place_legend(figure, list(named.values()), list(named))
    words = [_words(tables["estimates"], outcome, which, rows, settings) for outcome, which, rows in shown]
    least = min(rows["n_clients"].min() for _, _, rows in shown)
    caption = sentence(
        *words,
        f"Deviations are shrunken towards the average; bars are comparison intervals of {level_text(settings)} (conditional)",
        f"The therapists shown have {count(least)} clients or more; ranks name nobody, and clients are not drawn by lot",
    )
    data = pd.concat([rows for _, _, rows in shown], ignore_index=True)
    return Drawing(figure, data, caption, "Therapists' deviations from the average, by rank. " + caption)


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    rank, estimate, low, high = (rows[c].to_numpy(dtype=float) for c in ("rank", "estimate", "ci_low", "ci_high"))
    apart = _apart(rows)
    ax.axhline(0, color=INK, linewidth=0.9)
    for keep, colour, face, marker, label in (
        (~apart, GREY, "white", "o", "interval holds the average"),
        (apart, BLUE, BLUE, "D", "apart from the average"),
    ):
        if not keep.any():
            continue
        ax.vlines(rank[keep], low[keep], high[keep], color=colour, linewidth=1.1)
        ax.plot(rank[keep], estimate[keep], marker, markersize=4, color=colour, markerfacecolor=face, label=label)
    ax.set_xlim(0, rank.max() + 1)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _apart(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return ((rows["ci_low"] > 0) | (rows["ci_high"] < 0)).to_numpy(dtype=bool)


def _words(estimates: pd.DataFrame, outcome: str, which: str, rows: pd.DataFrame, settings: dict[str, Any]) -> str:
    share = one(estimates, analysis="therapist_effect", estimand=SHARES[which], outcome=outcome)
    told = "" if share is None else f", therapist share {with_interval(share)}"
    return f"{score_title(outcome, settings)}: {int(_apart(rows).sum())} of {len(rows)} therapists apart from the average{told}"

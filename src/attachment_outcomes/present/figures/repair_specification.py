"""How much what repair goes with hangs on the criterion and on other choices: every estimate, sorted, and the choices behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from attachment_outcomes.present.curve_chart import (
    draw_choices,
    draw_estimates,
    draw_expected,
    legend_of,
    levels_of,
    most_moved,
    new_chart,
    refused_words,
    sorted_curve,
    summary_words,
)
from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import one
from attachment_outcomes.present.style import GREY, look
from attachment_outcomes.present.words import level_text, number, p_value, percent, plain, score_title, sentence

NEEDS = ("repair_specifications", "estimates")
ANALYSIS = "repair_specification"
NEXT = "repair_next_session"
TITLES = {
    "repaired_minus_none": "Repaired beside no rupture",
    "repair_minus_avoidance": "Repair beside avoidance",
    "repaired_minus_unrepaired": "Repaired beside unrepaired",
    NEXT: "Session after a repair beside the client's others",
}
FACTORS = {
    "criterion": "Criterion",
    "window": "Window (sessions)",
    "min_sessions": "Least sessions",
    "exposure": "Group known by",
    "adjustment": "Adjusted for",
    "comparison": "Compared",
}
AXIS = "Improvement\n(score points; higher = better)"
DRAWN = ("repaired_minus_none", "repair_minus_avoidance")  # what claims are about; of the others the caption tells the summary
REACH = 0.01  # of the intervals' ends, that may lie outside the frame
EXPECTED = "expected if groups went with nothing"


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw a curve for each of the two estimands that claims are about, else for what there is.

    Estimates in points of improvement with intervals stand above, their choices as ticks below.

    Raises
    ------
    NothingToDraw
        If no specification has an estimate.
    """
    whole = tables["repair_specifications"]
    seen = whole[whole["estimate"].notna().to_numpy(dtype=bool)]
    seen = need(seen, "repair_specifications", "no specification could be estimated, or all are suppressed")
    estimands = [e for e in TITLES if (seen["estimand"] == e).any()]
    curves = {e: sorted_curve(seen, e, FACTORS) for e in estimands}
    drawn = [e for e in DRAWN if e in curves] or estimands
    levels = {e: levels_of(curves[e], FACTORS) for e in drawn}
    with look():
        figure, pairs = new_chart([levels[e] for e in drawn])
        for estimand, (upper, lower) in zip(drawn, pairs, strict=True):
            _estimates(upper, curves[estimand], estimand)
            draw_choices(lower, curves[estimand], levels[estimand], FACTORS, name_of=_level)
        figure.legend(handles=legend_of(settings, EXPECTED), loc="outside lower center", ncols=4)
    words = [_words(tables["estimates"], e, curves[e]) for e in estimands]
    between = [e for e in estimands if e != NEXT]
    refused = whole[((whole["refused"] != "") & whole["estimand"].isin(between[:1] or [NEXT])).to_numpy(dtype=bool)]
    outcomes = " and ".join(dict.fromkeys(score_title(str(o), settings) for o in seen["outcome"]))
    caption = sentence(
        f"{outcomes}, in points of improvement; intervals are {level_text(settings)} and allow for therapists where five are known",
        *words,
        refused_words(len(refused)),
        "Associations, not effects",
    )
    columns = ["outcome", "estimand", "rank", *FACTORS, "estimate", "ci_low", "ci_high", "expected", "n", "primary"]
    data = pd.concat([curves[e].assign(rank=np.arange(1, len(curves[e]) + 1)) for e in estimands], ignore_index=True)
    alt = "Specification curves of repair: sorted estimates over a chart of choices. " + caption
    return Drawing(figure, data[columns], caption, alt)


def _estimates(ax: Axes, curve: pd.DataFrame, estimand: str) -> None:
    def beside(ax: Axes) -> None:
        ax.axhline(0, color=GREY, linewidth=1.0, linestyle=(0, (4, 2)), zorder=0)
        draw_expected(ax, curve)

    draw_estimates(ax, curve, median=lambda v: f"median {number(v)}", beside=beside)
    ax.set(title=f"{TITLES[estimand]}: {len(curve)} specifications", ylabel=AXIS, ylim=_frame(curve))


def _frame(curve: pd.DataFrame) -> tuple[float, float]:
    """Return the limits of the axis: all estimates and 0, and all but the widest hundredth of the intervals."""
    low, high = float(curve["ci_low"].quantile(REACH)), float(curve["ci_high"].quantile(1 - REACH))
    low, high = min(low, float(curve["estimate"].min()), 0.0), max(high, float(curve["estimate"].max()), 0.0)
    room = 0.06 * max(high - low, 1e-9)
    return low - room, high + room


def _level(factor: str, level: str) -> str:
    if factor == "min_sessions":
        return "criterion's own" if level == "own" else level
    return plain(level) if factor == "criterion" else level


def _words(estimates: pd.DataFrame, estimand: str, curve: pd.DataFrame) -> str:
    """Return what the curve's summary and its test say, from the rows of the analysis."""
    keys: dict[str, Any] = {"analysis": ANALYSIS, "group": estimand}
    said = summary_words(estimates, curve, TITLES[estimand], "score points", **keys)
    above, below = one(estimates, estimand="share_above", **keys), one(estimates, estimand="share_below", **keys)
    if above is not None and below is not None:
        said.append(f"{percent(above['estimate'])} of intervals wholly above 0 and {percent(below['estimate'])} below")
    tested = one(estimates, estimand="exchange_median", **keys)
    if tested is not None and np.isfinite(tested["p_value"]):
        said.append(f"median beside what chance brings {p_value(tested['p_value'])}")
    factors = {name: f"the {title.lower()}" for name, title in FACTORS.items()}
    factors |= {"exposure": "when the group is known", "adjustment": "the adjustment", "comparison": "who is compared"}
    factors |= {"window": "the window of repair", "min_sessions": "the least number of sessions"}
    moved = most_moved(estimates, lambda name: factors.get(name, plain(name)), **keys)
    return ", ".join(p for p in (*said, moved) if p)

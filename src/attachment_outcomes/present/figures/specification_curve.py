"""How much an answer hangs on choices that could have been made otherwise: every estimate, sorted, and the choices behind it."""

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
from attachment_outcomes.present.style import VERMILION, look
from attachment_outcomes.present.words import count, level_text, number, percent, plain, score_title, sentence

NEEDS = ("specifications", "estimates")
ESTIMANDS = ("recovered", "reliably_improved", "standardised_improvement")
TITLES = {
    "recovered": "Recovered",
    "reliably_improved": "Reliably improved",
    "standardised_improvement": "Mean change towards better",
}
AXES = {
    "recovered": "Share of people (%;\nhigher = better)",
    "reliably_improved": "Share of people (%;\nhigher = better)",
    "standardised_improvement": "SD units\n(higher = better)",
}
FACTORS = {
    "rule": "Rule",
    "reliability_source": "Reliability",
    "cutoff": "Cutoff",
    "occasions": "Occasions",
    "handling": "Missing ends",
}
NOT_USED, BOUND, INDEPENDENT, DISCREDITED = "not used", "bound", "independent", "discredited"
EXPECTED = "expected if nobody had truly changed"


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the primary outcome's curve of each estimand: estimates with intervals above, their choices as ticks below.

    Raises
    ------
    NothingToDraw
        If no specification has an estimate.
    """
    whole = tables["specifications"]
    seen = whole[(whole["estimate"].notna() & (whole["standing"] != BOUND)).to_numpy(dtype=bool)]
    seen = need(seen, "specifications", "no specification could be estimated, or all are suppressed")
    listed = [str(o["score"]) for o in (settings.get("change") or {}).get("outcomes", [])]
    outcome = next((o for o in listed if (seen["outcome"] == o).any()), str(seen["outcome"].iloc[0]))
    seen = seen[(seen["outcome"] == outcome).to_numpy(dtype=bool)]
    way = next((w for w in sorted(seen["clusters"].unique()) if w != INDEPENDENT), INDEPENDENT)
    seen = seen[(seen["clusters"] == way).to_numpy(dtype=bool)]
    estimands = [e for e in ESTIMANDS if (seen["estimand"] == e).any()]
    curves = {e: sorted_curve(seen, e, FACTORS) for e in estimands}
    levels = {e: levels_of(curves[e], FACTORS) for e in estimands}
    with look():
        figure, pairs = new_chart([levels[e] for e in estimands])
        for estimand, (upper, lower) in zip(estimands, pairs, strict=True):
            _estimates(upper, curves[estimand], estimand)
            _choices(lower, curves[estimand], levels[estimand])
        figure.legend(handles=legend_of(settings, EXPECTED), loc="outside lower center", ncols=4)
    words = [_words(tables["estimates"], outcome, e, curves[e]) for e in estimands]
    n = curves[estimands[0]]["n"].max()
    caption = sentence(
        f"{score_title(outcome, settings)}, n up to {count(n)}; intervals are {level_text(settings)}"
        + (", robust to therapists" if way != INDEPENDENT else ""),
        *words,
        _refused(whole, outcome, way),
        "* A last value carried forward is discredited and shown for comparison" if (seen["standing"] == DISCREDITED).any() else "",
    )
    data = pd.concat([curves[e].assign(rank=np.arange(1, len(curves[e]) + 1)) for e in estimands], ignore_index=True)
    columns = ["outcome", "estimand", "rank", *FACTORS, "standing", "estimate", "ci_low", "ci_high", "expected", "n", "primary"]
    return Drawing(figure, data[columns], caption, "Specification curves: sorted estimates over a chart of choices. " + caption)


def _estimates(ax: Axes, curve: pd.DataFrame, estimand: str) -> None:
    share = estimand != "standardised_improvement"

    def beside(ax: Axes) -> None:
        if share:
            draw_expected(ax, curve, scale=100.0)
        else:
            ax.axhline(0, color=VERMILION, linewidth=1.0, linestyle=(0, (4, 2)))

    draw_estimates(
        ax, curve, scale=100.0 if share else 1.0, median=lambda v: f"median {v:.0f} %" if share else f"median {number(v)}",
        beside=beside,
    )  # fmt: skip
    ax.set(title=f"{TITLES[estimand]}: {len(curve)} specifications", ylabel=AXES[estimand])
    if share:
        ax.set_ylim(bottom=0)


def _choices(ax: Axes, curve: pd.DataFrame, levels: dict[str, list[str]]) -> None:
    discredited = set(curve.loc[(curve["standing"] == DISCREDITED).to_numpy(dtype=bool), "handling"])

    def name_of(_: str, level: str) -> str:
        return "none needed" if level == NOT_USED else level + (" *" if level in discredited else "")

    draw_choices(ax, curve, levels, FACTORS, name_of=name_of)


def _words(estimates: pd.DataFrame, outcome: str, estimand: str, curve: pd.DataFrame) -> str:
    """Return what the curve's summary says, from the rows of the analysis."""
    keys: dict[str, Any] = {"analysis": "specification_curve", "outcome": outcome, "group": estimand}
    unit = "proportion" if estimand != "standardised_improvement" else "SD"
    said = summary_words(estimates, curve, TITLES[estimand], unit, **keys)
    row = one(estimates, estimand="share_beyond_expected", **keys)
    if row is not None:
        said.append(f"{percent(row['estimate'])} of intervals beyond what no true change would give")
    return ", ".join(p for p in (*said, most_moved(estimates, _factor, **keys)) if p)


def _factor(name: str) -> str:
    return {"outcome": "the outcome", "reliability_source": "the reliability", "handling": "the handling of missing ends"}.get(
        name, f"the {plain(name)}"
    )


def _refused(whole: pd.DataFrame, outcome: str, way: str) -> str:
    rows = whole[((whole["outcome"] == outcome) & (whole["clusters"] == way) & (whole["refused"] != "")).to_numpy(dtype=bool)]
    return refused_words(len(rows))

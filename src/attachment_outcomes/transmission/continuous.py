"""How closely do a parent's and a child's attachment dimensions go together?

Vocabulary
----------
dimension   a score (``<instrument>.<scale>``) by one rater at one occasion
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.correlation import pearson
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.steps import Part, stacked
from attachment_outcomes.measures.targets import about_the_other, dimension
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.relations import pairs

ANALYSIS = "transmission_correlation"
ALL = "all"
PAIRS = {
    "label": "str",
    "definition": "str",
    "parent_score": "str",
    "child_score": "str",
    "parent": "float64",
    "child": "float64",
}
TABLES: Mapping[str, Mapping[str, str]] = {"transmission_pairs": PAIRS}


def analyse(data: TransmissionData) -> Part:
    """Correlate the dimensions that the study names.

    Raises
    ------
    StatisticsError
        If it names none.
    """
    asked = data.settings["continuous"]
    if not asked:
        raise StatisticsError("the study names no dimensions of parent and child (transmission.continuous)")
    estimates, pairs = correlations(
        data.tables["relations"], data.tables["scores"], settings=asked, flow=data.flow, ci_level=data.ci_level
    )
    return Part(estimates, {"transmission_pairs": pairs})


def correlations(
    relations: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    settings: Sequence[Mapping[str, Any]],
    flow: Flow,
    ci_level: float = CI_LEVEL,
) -> tuple[list[Estimate], pd.DataFrame]:
    """Correlate dimensions of parents with dimensions of their children.

    Parameters
    ----------
    relations, scores : DataFrame
        Canonical tables.
    settings : sequence of mappings
        The study's ``transmission.continuous``: label (of the relation, or ``all``), parent and child (each score, rater,
        wave, mean_over_targets).
    flow : Flow
        Takes the pairs left out.
    ci_level : float
        Confidence level of the intervals.

    Returns
    -------
    estimates : list of Estimate
        analysis ``transmission_correlation``, estimand ``correlation``: Pearson's r with Fisher's z interval, or, where
        families have several pairs, that of the jackknife over families. ``group`` is the relation's label.
    pairs : DataFrame
        One row a pair and setting with both scores: ``PAIRS``; no ids.

    Raises
    ------
    DataError
        If relations run in a loop, or a score is ambiguous.
    """
    whole = pairs(relations)
    estimates: list[Estimate] = []
    kept = []
    for pair in settings:
        label, parent, child = str(pair["label"]), pair["parent"], pair["child"]
        outcome = f"{parent['score']} and {child['score']}"
        definition = f"parent {_when(parent)}; child {_when(child)}"
        table = whole if label == ALL else whole[whole["label"] == label]
        if table.empty:
            reason = f"no parent–child relation{'' if label == ALL else f' with the label {label!r}'}"
            estimates.append(replace(not_testable(ANALYSIS, reason, outcome=outcome), group=label, definition=definition))
            continue
        x = about_the_other(table["parent"], table["child"], dimension(scores, **parent))["score"].to_numpy(dtype=float)
        y = about_the_other(table["child"], table["parent"], dimension(scores, **child))["score"].to_numpy(dtype=float)
        has_x = ~np.isnan(x)
        both = has_x & ~np.isnan(y)
        step = f"correlation {label}: {outcome}"
        flow.add(step, len(table), int(has_x.sum()), "parent without the score", unit="pairs")
        flow.add(step, int(has_x.sum()), int(both.sum()), "child without the score", unit="pairs")
        if not both.any():
            nobody = not_testable(ANALYSIS, "no pair has both scores", outcome=outcome)
            estimates.append(replace(nobody, group=label, definition=definition))
            continue
        found = pearson(x[both], y[both], clusters=table["cluster"].to_numpy()[both].tolist(), ci_level=ci_level)
        estimates.append(
            Estimate(
                analysis=ANALYSIS, estimand="correlation", outcome=outcome, group=label, definition=definition,
                estimate=found.r, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level,
                p_value=found.p_value, n=found.n, n_clusters=found.n_clusters, unit="r", method=found.method, note=found.note,
            )
        )  # fmt: skip
        shown = {"label": label, "definition": definition, "parent_score": parent["score"], "child_score": child["score"]}
        kept.append(pd.DataFrame({**shown, "parent": x[both], "child": y[both]}))
    return estimates, stacked(kept, PAIRS)


def _when(side: Mapping[str, Any]) -> str:
    """Return the rater, the wave and the averaging of a side in words, defaults included."""
    wave = side.get("wave", "first")
    when = f"wave {wave}" if isinstance(wave, int) else f"{wave} wave"
    mean = ", mean over targets" if side.get("mean_over_targets", False) else ""
    return f"{side.get('rater', 'self')}, {when}{mean}"

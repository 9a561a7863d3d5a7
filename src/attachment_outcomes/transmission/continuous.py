"""How closely do a parent's and a child's attachment dimensions go together, and how closely would they without error?

Vocabulary
----------
dimension   a score (``<instrument>.<scale>``) by one rater at one occasion
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.correlation import pearson
from attachment_outcomes.inference.disattenuation import disattenuated
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.steps import Part, stacked, typed_table
from attachment_outcomes.measures.targets import about_the_other, dimension
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.relations import pairs

ANALYSIS = "transmission_correlation"
ALL = "all"
CORRELATION = "correlation"
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
    """Correlate the dimensions that the study names, and correct the correlations where it says how reliable they are.

    Raises
    ------
    StatisticsError
        If it names none.
    """
    asked = data.settings["continuous"]
    if not asked:
        raise StatisticsError("the study names no dimensions of parent and child (transmission.continuous)")
    estimates: list[Estimate] = []
    kept: list[pd.DataFrame] = []
    for pair in asked:
        label = str(pair["label"])
        found, shown = _correlated(data.relations, data.tables["scores"], pair, count=data.count, ci_level=data.ci_level)
        estimates += found
        kept.append(shown)
        if found[0].estimand == CORRELATION:
            estimates += corrected(found[0], pair, rng=data.rng("disattenuation", label, found[0].outcome, found[0].definition))
    return Part(estimates, {"transmission_pairs": stacked(kept, PAIRS)})


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
    found = [_correlated(whole, scores, pair, count=flow.add, ci_level=ci_level) for pair in settings]
    return [row for rows, _ in found for row in rows], stacked([shown for _, shown in found], PAIRS)


def _correlated(
    whole: pd.DataFrame, scores: pd.DataFrame, pair: Mapping[str, Any], *, count: Callable[..., None], ci_level: float
) -> tuple[list[Estimate], pd.DataFrame]:
    """Correlate one dimension of parents with one of children."""
    label, parent, child = str(pair["label"]), _side(pair["parent"]), _side(pair["child"])
    outcome = f"{parent['score']} and {child['score']}"
    definition = f"parent {_when(parent)}; child {_when(child)}"
    table = whole if label == ALL else whole[whole["label"] == label]
    nobody = typed_table([], PAIRS)
    if table.empty:
        reason = f"no parent–child relation{'' if label == ALL else f' with the label {label!r}'}"
        return [replace(not_testable(ANALYSIS, reason, outcome=outcome), group=label, definition=definition)], nobody
    x = about_the_other(table["parent"], table["child"], dimension(scores, **parent))["score"].to_numpy(dtype=float)
    y = about_the_other(table["child"], table["parent"], dimension(scores, **child))["score"].to_numpy(dtype=float)
    has_x = ~np.isnan(x)
    both = has_x & ~np.isnan(y)
    step = f"correlation {label}: {outcome} ({definition})"
    count(step, len(table), int(has_x.sum()), "parent without the score", unit="pairs")
    count(step, int(has_x.sum()), int(both.sum()), "child without the score", unit="pairs")
    if not both.any():
        silent = not_testable(ANALYSIS, "no pair has both scores", outcome=outcome)
        return [replace(silent, group=label, definition=definition)], nobody
    found = pearson(x[both], y[both], clusters=table["cluster"].to_numpy()[both].tolist(), ci_level=ci_level)
    row = Estimate(
        analysis=ANALYSIS, estimand=CORRELATION, outcome=outcome, group=label, definition=definition,
        estimate=found.r, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level,
        p_value=found.p_value, n=found.n, n_clusters=found.n_clusters, unit="r", method=found.method, note=found.note,
    )  # fmt: skip
    shown = {"label": label, "definition": definition, "parent_score": parent["score"], "child_score": child["score"]}
    return [row], pd.DataFrame({**shown, "parent": x[both], "child": y[both]})


def corrected(row: Estimate, pair: Mapping[str, Any], *, rng: np.random.Generator) -> list[Estimate]:
    """Return the row of a correlation corrected for the unreliability of the scores, none where no reliability is given.

    A score without a reliability counts as free of error, which the note says.
    """
    given = {side: pair[side].get("reliability") for side in ("parent", "child")}
    if not any(given.values()):
        return []
    values = {side: (1.0, None) if r is None else (float(r["value"]), r.get("n")) for side, r in given.items()}
    found = disattenuated(
        row.estimate, row.std_error, (row.ci_low, row.ci_high), reliabilities=(values["parent"][0], values["child"][0]),
        n=(values["parent"][1], values["child"][1]), rng=rng, ci_level=row.ci_level,
    )  # fmt: skip
    notes = [row.note, "errors of the two scores are taken to be independent", found.note]
    for side, r in given.items():
        if r is None:
            notes.append(f"the {side}'s score is taken as free of error")
        else:
            standing = "" if r["verified"] else ", not checked in its source"
            notes.append(f"{side}'s reliability {r['value']:g}{' as if known' if r.get('n') is None else ''}{standing}")
    return [
        replace(
            row, estimand="correlation_corrected", estimate=found.estimate, std_error=found.std_error, ci_low=found.ci_low,
            ci_high=found.ci_high, primary=False, method=f"{row.method}, corrected for unreliability",
            note="; ".join(filter(None, notes)),
        )
    ]  # fmt: skip


def _side(side: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in side.items() if key != "reliability"}


def _when(side: Mapping[str, Any]) -> str:
    """Return the rater, the wave and the averaging of a side in words, defaults included."""
    wave = side.get("wave", "first")
    when = f"wave {wave}" if isinstance(wave, int) else f"{wave} wave"
    mean = ", mean over targets" if side.get("mean_over_targets", False) else ""
    return f"{side.get('rater', 'self')}, {when}{mean}"

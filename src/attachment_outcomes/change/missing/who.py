"""How many are missing at each occasion, and how do those seen at the end differ from those who are not?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from attachment_outcomes.change.missing.panel import FEWEST, Panel
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.effects import Effect, standardised_difference
from attachment_outcomes.inference.regression import ContrastResult, logistic_contrasts

BASELINE, EARLY_CHANGE = "baseline score (per SD)", "change to the second occasion (per SD of baseline)"
SEEN_FIRST, SEEN_TWICE = "seen at the first occasion", "seen at the first two occasions"


def attrition(scores: ArrayLike, occasions: Sequence[int], *, never: int = 0) -> pd.DataFrame:
    """Return, for each occasion, how many are seen and how the others are missing.

    Parameters
    ----------
    scores : (n, t)
        Of people with any score; NaN where missing.
    occasions
        Names of the t columns.
    never
        How many more were expected but have no score at all.

    Returns
    -------
    DataFrame
        ``occasion, n_expected, n_seen, n_dropout`` (neither here nor later), ``n_intermittent`` (not here, but both before and
        later), ``n_later`` (not yet, first seen later) and ``n_never``; the last five sum to ``n_expected``.
    """
    seen = ~np.isnan(np.asarray(scores, dtype=float))
    before = np.logical_or.accumulate(seen, axis=1)
    later = np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
    return pd.DataFrame(
        {
            "occasion": list(occasions),
            "n_expected": len(seen) + never,
            "n_seen": seen.sum(axis=0),
            "n_dropout": (~later).sum(axis=0),
            "n_intermittent": (~seen & before & later).sum(axis=0),
            "n_later": (~before).sum(axis=0),
            "n_never": never,
        }
    )


def predictors_of_being_seen(
    panel: Panel, *, early_change: bool = False, ci_level: float = 0.95
) -> tuple[list[tuple[str, ContrastResult]], list[str]]:
    """Return the log odds of being seen at the end by each predictor, other predictors equal, and notes.

    A logistic regression with cluster-robust (CR1) intervals by therapist, HC0 without therapists. Categories in which everybody or
    nobody is seen are joined with the reference, which the notes say.

    Parameters
    ----------
    panel
        From :func:`~attachment_outcomes.change.missing.panel_of`.
    early_change
        Whether change from the first to the second occasion is a predictor; of those seen at both.
    ci_level
        Confidence level.

    Raises
    ------
    StatisticsError
        If fewer than ten are seen or not seen, or the model cannot be fitted.
    """
    who = ~np.isnan(panel.scores[:, 1]) if early_change else np.ones(len(panel.scores), dtype=bool)
    seen = ~panel.missing_end[who]
    if min(seen.sum(), (~seen).sum()) < FEWEST:
        raise StatisticsError(f"{int(seen.sum())} seen and {int((~seen).sum())} not seen at the end; {FEWEST} of each are needed")
    spread = panel.pre.std(ddof=1)
    columns = [(BASELINE, (panel.pre[who] - panel.pre[who].mean()) / spread)]
    if early_change:
        columns.append((EARLY_CHANGE, (panel.scores[who, 1] - panel.pre[who]) / spread))
    notes = []
    for name, column in zip(panel.names, panel.covariates[who].T, strict=True):
        values = np.unique(column)
        if len(values) < 2:
            continue
        if len(values) == 2 and any(seen[column == v].all() or not seen[column == v].any() for v in values):
            notes.append(f"{name} is joined with the reference: everybody or nobody there is seen")
            continue
        columns.append((name, column))
    frame = pd.DataFrame({f"x{i}": column for i, (_, column) in enumerate(columns)}).assign(seen=seen.astype(float))
    cluster = None
    if panel.clusters is not None:
        labels = panel.clusters[who].reset_index(drop=True).astype("object")
        frame["cluster"] = labels.where(labels.notna(), [f"alone {i}" for i in range(len(labels))]).astype("str")
        cluster = "cluster"
    terms = [f"x{i}" for i in range(len(columns))]
    formula = "seen ~ " + " + ".join(terms)
    found = logistic_contrasts(formula, frame, contrasts={t: t for t in terms}, cluster=cluster, ci_level=ci_level)
    return [(name, found[term]) for (name, _), term in zip(columns, terms, strict=True)], notes


def difference_of_seen(values: ArrayLike, panel: Panel, *, ci_level: float = 0.95) -> Effect:
    """Return the standardised difference of those seen at the end from those not seen, in pooled SDs, by therapist.

    Raises
    ------
    StatisticsError
        If either group has fewer than two values.
    """
    x, seen = np.asarray(values, dtype=float), ~panel.missing_end
    labels = None if panel.clusters is None else (panel.clusters[seen], panel.clusters[~seen])
    return standardised_difference(x[seen], x[~seen], clusters=labels, ci_level=ci_level)

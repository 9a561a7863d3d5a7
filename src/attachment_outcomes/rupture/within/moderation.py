"""Is what the alliance goes with in the next session's symptoms other in anxious or avoidant clients, or across a break?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.rupture.series import Numbers
from attachment_outcomes.rupture.within.lagged import (
    ASSOCIATION,
    IV,
    Question,
    best_slopes,
    enough,
    robust_by,
    silent_row,
    slope_row,
    usable,
)
from attachment_outcomes.rupture.within.panel import Pairs, Panel

BY_ATTACHMENT, BY_BREAK = "moderation by attachment", "moderation by breaks"
DIMENSIONS = ("anxiety", "avoidance")
FEWEST_BREAKS = 20


def attachment_of(panel: Panel, scores: Mapping[str, pd.Series]) -> Numbers:
    """Return both dimensions of each unit, (g, 2), centred and in SDs over the panel's clients; NaN where one is missing.

    ``scores`` has each person's score at the start by ``person_id``, under ``anxiety`` and ``avoidance``.
    """
    columns = []
    for dimension in DIMENSIONS:
        value = panel.units["client"].map(scores[dimension]).to_numpy(dtype=float)
        each = value[np.unique(panel.person, return_index=True)[1]]  # once a client
        spread = np.nanstd(each, ddof=1) if np.isfinite(each).sum() > 1 else np.nan
        columns.append((value - np.nanmean(each)) / spread if spread > 0 else np.full(len(value), np.nan))
    return np.column_stack(columns)


def moderated_by_attachment(panel: Panel, question: Question, z: Numbers, *, ci_level: float = CI_LEVEL) -> list[Estimate]:
    r"""Return how the slope of the next session's outcome on today's predictor differs with attachment.

    .. math:: y_{i,t+1} = \rho\,y_{it} + (\beta + \beta_X z_{Xi} + \beta_V z_{Vi})\,x_{it} + \gamma' time_{t+1}
        + \alpha_i + e_{i,t+1}

    Parameters
    ----------
    panel, question
        The sessions; predictor x and outcome y.
    z : (g, 2)
        Anxiety and avoidance of each unit, centred, in SDs; NaN where missing. Both stand in one model.
    ci_level : float
        Confidence level.

    Returns
    -------
    list of Estimate
        ``within_at_mean`` (at average attachment), ``within_by_anxiety`` and ``within_by_avoidance`` (change of the slope per SD),
        points of the outcome per point, by instruments. One not-testable row if the data allow none.
    """
    pairs = usable(panel, question, 1, own=True)
    pairs = pairs.where(np.isfinite(z.sum(axis=1))[pairs.unit])
    x = question.predictor[pairs.now]
    x = x - x.mean() if len(x) else x
    columns = [x, x * z[pairs.unit, 0], x * z[pairs.unit, 1]]
    names = ("within_at_mean", "within_by_anxiety", "within_by_avoidance")
    note = "attachment at the start of treatment, per SD, as measured (random error of it draws the slopes towards 0)"
    return _fitted(pairs, question, columns, dict(enumerate(names)), BY_ATTACHMENT, note, ci_level)


def moderated_by_break(panel: Panel, question: Question, weeks: float, *, ci_level: float = CI_LEVEL) -> list[Estimate]:
    """Return how that slope differs where at least ``weeks`` weeks lie between the two sessions: ``within_by_break``.

    Also ``within_without_break``. One not-testable row if fewer than 20 pairs span a break or the weeks are not known.
    """
    pairs = usable(panel, question, 1, own=True)
    pairs = pairs.where(np.isfinite(panel.gap[pairs.then]))
    across = (panel.gap[pairs.then] >= weeks).astype(float)
    if across.sum() < FEWEST_BREAKS:
        reason = f"{int(across.sum())} pairs of sessions span a break of {weeks:g} weeks or more; at least {FEWEST_BREAKS}"
        return [silent_row(question.outcome, BY_BREAK, reason)]
    x = question.predictor[pairs.now] - question.predictor[pairs.now].mean()
    note = f"{int(across.sum())} pairs span a break of {weeks:g} weeks or more"
    return _fitted(
        pairs, question, [x, x * across, across], {0: "within_without_break", 1: "within_by_break"}, BY_BREAK, note, ci_level
    )


def _fitted(
    pairs: Pairs, question: Question, columns: list[Numbers], wanted: Mapping[int, str], definition: str, note: str, ci_level: float
) -> list[Estimate]:
    try:
        enough(pairs)
        fit, allowed = best_slopes(question.target[pairs.then], np.column_stack([*columns, question.target[pairs.now]]), pairs)
    except StatisticsError as error:
        return [silent_row(question.outcome, definition, str(error))]
    shared: dict[str, Any] = {
        "outcome": question.outcome, "definition": definition, "direction": question.direction, "ci_level": ci_level,
        "n": float(fit.n), "n_clusters": float(fit.n_clusters), "method": f"{IV}, {robust_by(pairs.panel)}",
        "note": "; ".join(p for p in (f"predictor {question.predictor_name}", note, allowed, ASSOCIATION, fit.warning) if p),
        "primary": False,
    }  # fmt: skip
    return [slope_row(name, fit.slope(column, ci_level), **shared) for column, name in wanted.items()]

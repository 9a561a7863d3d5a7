"""Does the next session look different after a session in rupture, or after a repair? Session states of one criterion."""

from __future__ import annotations

from typing import Any

import numpy as np

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.rupture.criteria import Detection
from attachment_outcomes.rupture.effects.comparison import few
from attachment_outcomes.rupture.series import Flags
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
from attachment_outcomes.rupture.within.panel import Panel

FEWEST_SESSIONS = 20  # in each state, with a next session to look at
NEXT = ("rupture_next_session", "repair_next_session", "repair_minus_rupture")
TWICE = (
    "the state of a session is read from the alliance of the whole series, so it also stands for how high the alliance was; "
    "compared with sessions of the same clients outside episodes; late returns count as repair too, and a session that is both "
    "onset and return counts as repair"
)


def session_states(panel: Panel, found: Detection) -> tuple[Flags, Flags, Flags]:
    """Return for each session of the panel whether the criterion could judge it, whether it lies in a rupture, and whether it is
    the session of a return to the target (repair), however late the return was.

    No session is both. One that begins a rupture and sees it resolved (a report), or that is the return of one and the onset of the
    next, counts as repair: the question is what follows a session, and it ended with the rupture resolved.
    """
    series, episodes = found.series, found.episodes
    inside, _ = episodes.rows()
    row = panel.rows_of(series)
    judged, rupture, repair = (np.zeros(len(panel.unit), dtype=bool) for _ in range(3))
    assessable = found.assessable[found.kept][series.group]
    for flags, rows in ((judged, np.flatnonzero(assessable)), (rupture, inside), (repair, episodes.back[episodes.returned])):
        at = row[rows]
        flags[at[at >= 0]] = True
    return judged, rupture & ~repair, repair


def repair_next_session(
    panel: Panel, found: Detection, question: Question, *, primary: bool = True, ci_level: float = CI_LEVEL
) -> list[Estimate]:
    r"""Return how the session after a repair, and after a session in rupture, differs from the client's other sessions.

    .. math:: y_{i,t+1} = \rho\,y_{it} + \delta_R\,rupture_{it} + \delta_P\,repair_{it} + \gamma' time_{t+1} + \alpha_i + e_{i,t+1}

    Parameters
    ----------
    panel : Panel
        The sessions.
    found : Detection
        What one criterion finds.
    question : Question
        Its outcome is y; its predictor is not used.
    primary : bool
        Whether it is the study's primary criterion.
    ci_level : float
        Confidence level.

    Returns
    -------
    list of Estimate
        Analysis ``alliance_within``, definition the criterion's name, score points of y in its own direction:
        ``rupture_next_session`` (:math:`\delta_R`), ``repair_next_session`` (:math:`\delta_P`) and ``repair_minus_rupture``, all
        given the session's own y; by :func:`.lagged.best_slopes`. One not-testable row where
        fewer than 20 sessions are in a state or the instruments are weak. Never raises for small data.

    References
    ----------
    Hayakawa, K. (2009). Econometric Theory, 25, 1157-1179.
    """
    name = found.criterion.name
    judged, rupture, repair = session_states(panel, found)
    pairs = usable(panel, Question("", question.outcome, question.direction, question.target, question.target), 1, own=True)
    pairs = pairs.where(judged[pairs.now])
    at_rupture, at_repair = rupture[pairs.now], repair[pairs.now]
    sizes = (
        f"{few(int(at_rupture.sum()))} sessions in rupture and {few(int(at_repair.sum()))} of repair are followed by a rated one"
    )
    if min(at_rupture.sum(), at_repair.sum()) < FEWEST_SESSIONS:
        return [silent_row(question.outcome, name, f"{sizes}; at least {FEWEST_SESSIONS} of each")]
    x = np.column_stack([at_rupture, at_repair, question.target[pairs.now]]).astype(float)
    try:
        enough(pairs)
        fit, allowed = best_slopes(question.target[pairs.then], x, pairs)
    except StatisticsError as error:
        return [silent_row(question.outcome, name, str(error))]
    shared: dict[str, Any] = {
        "outcome": question.outcome, "definition": name, "primary": primary, "direction": question.direction, "ci_level": ci_level,
        "n": float(fit.n), "n_clusters": float(fit.n_clusters), "method": f"{IV}, {robust_by(panel)}", "unit": "score points",
        "note": "; ".join(p for p in (sizes, allowed, TWICE, ASSOCIATION, fit.warning) if p),
    }  # fmt: skip
    weights = np.zeros((3, len(fit.beta)))
    weights[0, 0], weights[1, 1], weights[2, :2] = 1, 1, (-1, 1)
    return [slope_row(e, fit.combination(w, ci_level), **shared) for e, w in zip(NEXT, weights, strict=True)]

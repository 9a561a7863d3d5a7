"""Is there anything to estimate, and where does the search begin? Ordinary logistic regression, and separation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import linprog

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.logistic_mixed.nested import Nest, Numbers, chances

STEPS = 25  # of Newton; ordinary data need five, and separated data would go on for ever
DONE = 1e-8  # Newton decrement
FAR = 12.0  # log odds (6 in a million) beyond which a fit is looked at for separation
SEPARATES = 1e-6  # weight of a column, each scaled to at most 1


def ordinary_logistic(nest: Nest) -> tuple[Numbers, bool]:
    """Return the fixed effects without any random ones, and whether they are so far out that separation must be looked for."""
    beta = np.zeros(len(nest.x))
    for _ in range(STEPS):
        _, p = chances(nest.fixed_part(beta))
        mean = nest.m * p
        score = nest.by_beta(nest.y - mean)
        information = (nest.x * (mean * (1 - p))) @ nest.x.T
        try:
            step = np.linalg.solve(information, score)
        except np.linalg.LinAlgError:
            return beta, True
        size = float(step @ score)
        if not np.isfinite(size) or np.abs(nest.fixed_part(beta + step)).max() > 2 * FAR:
            return beta, True
        beta = beta + step
        if size < DONE:
            return beta, bool(np.abs(nest.fixed_part(beta)).max() > FAR)
    return beta, True


def refuse_separation(nest: Nest, x: Numbers, names: Sequence[str]) -> None:
    r"""Refuse data in which a combination of predictors tells the 0s from the 1s without error.

    Parameters
    ----------
    nest
        The data.
    x : (cells, p)
        The fixed effects' columns as the user knows them.
    names
        Their names.

    Raises
    ------
    StatisticsError
        If there is a :math:`\gamma` with :math:`x'\gamma \ge 0` wherever the outcome is 1 and :math:`\le 0` wherever it is 0,
        and not always 0: along it the likelihood grows for ever. Names the columns that take part.

    Notes
    -----
    A linear programme looks for it (Konis 2007), and for the one with the smallest :math:`\sum|\gamma|`, which has few columns.
    Random intercepts do not help: they are held near zero.

    References
    ----------
    Konis, K. (2007). Linear programming algorithms for detecting separated data in binary logistic regression models [Thesis].
    """
    scale = np.abs(x).max(axis=0)
    side = np.where(nest.y == nest.m, 1.0, np.where(nest.y == 0, -1.0, 0.0))
    patterns = pd.DataFrame(x / np.where(scale > 0, scale, 1.0)).assign(side=side).drop_duplicates().to_numpy()
    told, mixed = patterns[patterns[:, -1] != 0], patterns[patterns[:, -1] == 0, :-1]
    toward = told[:, :-1] * told[:, -1:]
    complete = None if len(mixed) else _direction(toward, np.ones(len(toward)), mixed)
    total = np.vstack([toward, toward.sum(axis=0)])
    found = complete if complete is not None else _direction(total, np.append(np.zeros(len(toward)), len(toward)), mixed)
    if found is None:
        return
    part = [name for name, weight in zip(names, found, strict=True) if abs(weight) > SEPARATES]
    part = [name for name in part if name != "Intercept"] or part
    kind = "complete" if complete is not None else "quasi-complete"
    what = "tell 0 from 1 without error" if complete is not None else "have values at which the outcome never varies"
    raise StatisticsError(
        problem(
            "logistic mixed model",
            f"{', '.join(repr(n) for n in part)} {what} ({kind} separation), so there is no finite estimate.",
            hint="join rare categories, leave the predictor out, or report the counts.",
        )
    )


def _direction(toward: Numbers, least: Numbers, level: Numbers) -> Numbers | None:
    """Return the smallest weights with ``toward`` times them at least ``least`` and ``level`` times them zero; None if none are."""
    found = linprog(
        np.ones(2 * toward.shape[1]), A_ub=np.hstack([-toward, toward]), b_ub=-least,
        A_eq=np.hstack([level, -level]) if len(level) else None, b_eq=np.zeros(len(level)) if len(level) else None,
    )  # fmt: skip
    if found.status != 0:
        return None
    plus, minus = np.split(found.x, 2)
    return np.asarray(plus - minus)

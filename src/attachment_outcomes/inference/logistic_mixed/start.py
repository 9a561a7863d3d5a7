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
SEPARATES = 1e-6  # share of a column's largest value


def ordinary_logistic(nest: Nest) -> tuple[Numbers, bool]:
    """Return the fixed effects without any random ones, and whether they are so far out that separation must be looked for."""
    beta = np.zeros(nest.x.shape[1])
    for _ in range(STEPS):
        _, p = chances(nest.x @ beta)
        mean = nest.m * p
        score = (nest.y - mean) @ nest.x
        information = (nest.x * (mean * (1 - p))[:, None]).T @ nest.x
        try:
            step = np.linalg.solve(information, score)
        except np.linalg.LinAlgError:
            return beta, True
        size = float(step @ score)
        if not np.isfinite(size) or np.abs(nest.x @ (beta + step)).max() > 2 * FAR:
            return beta, True
        beta = beta + step
        if size < DONE:
            return beta, bool(np.abs(nest.x @ beta).max() > FAR)
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
    A linear programme finds it (Konis 2007): the sum of the distances is maximised with each :math:`\gamma` between −1 and 1.
    Random intercepts do not help: they are held near zero.
    """
    scale = np.abs(x).max(axis=0)
    side = np.where(nest.y == nest.m, 1.0, np.where(nest.y == 0, -1.0, 0.0))
    rows = pd.DataFrame(x / np.where(scale > 0, scale, 1.0))
    patterns = rows.assign(side=side).drop_duplicates().to_numpy()
    told, mixed = patterns[patterns[:, -1] != 0], patterns[patterns[:, -1] == 0, :-1]
    toward = told[:, :-1] * told[:, -1:]
    found = linprog(
        -toward.sum(axis=0), A_ub=-toward, b_ub=np.zeros(len(toward)), A_eq=mixed if len(mixed) else None,
        b_eq=np.zeros(len(mixed)) if len(mixed) else None, bounds=(-1, 1),
    )  # fmt: skip
    if found.status != 0 or -found.fun < SEPARATES:
        return
    part = [name for name, weight in zip(names, found.x, strict=True) if abs(weight) > SEPARATES]
    complete = bool((toward @ found.x > SEPARATES).all()) and not len(mixed)
    kind = "tell 0 from 1 without error (complete separation)" if complete else "have values at which the outcome never varies"
    raise StatisticsError(
        problem(
            "logistic mixed model",
            f"{', '.join(repr(n) for n in part)} {kind}"
            + ("" if complete else " (quasi-complete separation)")
            + ", so their log odds "
            "have no finite estimate.",
            hint="join rare categories, leave the predictor out, or report the counts.",
        )
    )

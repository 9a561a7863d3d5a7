r"""What do all specifications of one question say together, and which choice moves the answer most?

Vocabulary
----------
specification   one combination of choices that could all be defended
variance share  how much of the variance of the estimates over the specifications goes with one choice. It is the gain in
                :math:`R^2` of an additive model of the choices when the choice enters, averaged over all orders in which they can
                enter (Lindeman, Merenda & Gold): in a full design the usual :math:`\eta^2` of a main effect. The shares add up
                to that model's :math:`R^2`; the rest is ``combinations``
"""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.proportions import as_numbers

COMBINATIONS = "combinations"
MOST_CHOICES = 10  # 1,024 models
TINY = 1e-9  # of the largest eigenvalue: a direction that the other columns give already


def spread(estimates: ArrayLike, primary: ArrayLike) -> dict[str, float]:
    """Return where the estimates of a curve lie, and where the primary one stands among them.

    Parameters
    ----------
    estimates : (k,) floats
        One a specification, none missing.
    primary : (k,) booleans
        Which is the primary one; there may be none.

    Returns
    -------
    dict
        ``median, first_quartile, third_quartile, lowest, highest``, and ``primary_rank``: the share of specifications whose
        estimate is below the primary one, ties half. NaN where there is nothing to sum up, or not one primary specification.
    """
    values, chosen = np.asarray(estimates, dtype=float), np.asarray(primary, dtype=bool)
    found = dict.fromkeys(("median", "first_quartile", "third_quartile", "lowest", "highest", "primary_rank"), np.nan)
    if len(values):
        names = ("lowest", "first_quartile", "median", "third_quartile", "highest")
        found |= dict(zip(names, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist(), strict=True))
        if chosen.sum() == 1:
            at = float(values[chosen][0])
            found["primary_rank"] = float(((values < at) + 0.5 * (values == at)).mean())
    return found


def variance_shares(estimates: ArrayLike, choices: pd.DataFrame) -> dict[str, float]:
    """Return each choice's share of the variance of the estimates, and that of their combinations.

    Parameters
    ----------
    estimates : (k,) floats
        One a specification.
    choices : (k, f) frame
        The level of each choice. A choice with one level has share 0.

    Returns
    -------
    dict
        Choice to share, and ``combinations`` to what the choices one by one do not explain. Empty where the estimates do not vary.

    Raises
    ------
    StatisticsError
        If lengths differ, an estimate is missing, or there are more than ten choices with several levels.

    References
    ----------
    Lindeman, R. H., Merenda, P. F., & Gold, R. Z. (1980). Introduction to bivariate and multivariate analysis. Scott, Foresman.
    Grömping, U. (2007). The American Statistician, 61, 139-147.
    """
    y = as_numbers(estimates, place="variance shares", what="estimates")
    if y.shape != (len(choices),) or not np.isfinite(y).all():
        raise StatisticsError(problem("variance shares", "estimates must be numbers, one for each row of choices, none missing."))
    y = y - y.mean() if len(y) else y
    total = float(y @ y)
    if len(y) < 2 or total <= 1e-24 * len(y):
        return {}
    several = [c for c in choices if len(choices[c].unique()) > 1]
    if len(several) > MOST_CHOICES:
        raise StatisticsError(problem("variance shares", f"{len(several)} choices; at most {MOST_CHOICES}."))
    columns, owner = [], []
    for j, name in enumerate(several):
        codes = pd.factorize(choices[name], use_na_sentinel=False)[0]
        for level in range(1, codes.max() + 1):
            column = (codes == level).astype(float)
            columns.append(column - column.mean())
            owner.append(j)
    x, belongs = np.array(columns).T.reshape(len(y), -1), np.array(owner, dtype=int)
    gram, cross = x.T @ x, x.T @ y
    explained: dict[frozenset[int], float] = {frozenset(): 0.0}
    for size in range(1, len(several) + 1):
        for group in combinations(range(len(several)), size):
            keep = np.isin(belongs, group)
            values, vectors = np.linalg.eigh(gram[np.ix_(keep, keep)])
            part = vectors.T @ cross[keep]
            real = values > TINY * values.max()
            explained[frozenset(group)] = float((part[real] ** 2 / values[real]).sum() / total)
    shares = dict.fromkeys((str(c) for c in choices), 0.0)
    f = len(several)
    for j, name in enumerate(several):
        others = [i for i in range(f) if i != j]
        for size in range(f):
            weight = factorial(size) * factorial(f - size - 1) / factorial(f)
            for group in combinations(others, size):
                shares[str(name)] += weight * (explained[frozenset((*group, j))] - explained[frozenset(group)])
    return {**shares, COMBINATIONS: max(0.0, 1 - explained[frozenset(range(f))])}

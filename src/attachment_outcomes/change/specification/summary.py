r"""What do all specifications say together, and which choice moves the answer most?

Vocabulary
----------
curve           the specifications of one estimand, of one outcome or of all
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
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.change.specification.situation import BOUND
from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.proportions import as_numbers

Numbers = NDArray[np.float64]
CHOICES = ("outcome", "rule", "reliability_source", "cutoff", "occasions", "handling")
COMBINATIONS = "combinations"
MOST_CHOICES = 10  # 1,024 models
TINY = 1e-9  # of the largest eigenvalue: a direction that the other columns give already


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


def analyses(curve: pd.DataFrame) -> pd.DataFrame:
    """Return the specifications that a summary counts: each estimate once, whatever its interval allows for, and no bounds."""
    kept = curve[(curve["estimate"].notna() & (curve["standing"] != BOUND)).to_numpy(dtype=bool)]
    return kept[(kept["clusters"] == _preferred(curve)).to_numpy(dtype=bool)]


def _preferred(curve: pd.DataFrame) -> str:
    """Return whose intervals are the primary ones: those that allow for therapists, where there are such."""
    return str(max(curve["clusters"].unique(), key=lambda way: way != "independent"))


def summarise(curve: pd.DataFrame) -> dict[str, float]:
    """Sum up one curve.

    Parameters
    ----------
    curve
        Rows of one estimand from :func:`~attachment_outcomes.change.specification.specification_table`, of one outcome or several.

    Returns
    -------
    dict
        ``median, first_quartile, third_quartile, lowest, highest`` of the estimates; ``share_beyond_expected``: of the intervals,
        the share that lie wholly above what no true change would give (of those for which that is known);
        ``primary_rank``: the share of specifications whose estimate is below the primary one, ties half;
        ``bound_low, bound_high``: the lowest and highest estimate of a bound; ``n_specifications``, ``n_refused``: estimates that
        could be had, bounds left out, and combinations that could not; ``n``: the most people that a specification rests on.
        NaN where there is nothing to sum up.
    """
    kept = analyses(curve)
    own = curve["clusters"] == _preferred(curve) if len(curve) else np.zeros(0, dtype=bool)
    bounds = curve.loc[((curve["standing"] == BOUND) & own).to_numpy(dtype=bool), "estimate"]
    values = kept["estimate"].to_numpy(dtype=float)
    found = dict.fromkeys(
        ("median", "first_quartile", "third_quartile", "lowest", "highest", "share_beyond_expected", "primary_rank"), np.nan
    )
    if len(values):
        names = ("lowest", "first_quartile", "median", "third_quartile", "highest")
        found |= dict(zip(names, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist(), strict=True))
        known = kept["expected"].notna().to_numpy(dtype=bool)
        if known.any():
            found["share_beyond_expected"] = float((kept["ci_low"] > kept["expected"]).to_numpy()[known].mean())
        chosen = kept.loc[kept["primary"].to_numpy(dtype=bool), "estimate"]
        if len(chosen) == 1:
            at = float(chosen.iloc[0])
            found["primary_rank"] = float(((values < at) + 0.5 * (values == at)).mean())
    refused = curve["refused"] != ""
    return {
        **found, "bound_low": float(bounds.min()), "bound_high": float(bounds.max()), "n_specifications": float(len(values)),
        "n_refused": float((refused & own).sum()), "n": float(kept["n"].max()),
    }  # fmt: skip

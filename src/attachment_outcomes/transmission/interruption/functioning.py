r"""Is the child more often secure where the parent's reflective functioning improved, even if the parent's class did not change?

Vocabulary
----------
class unchanged  secure before and after, or insecure before and after
change           reflective functioning after less before, score points; SD that of the parents compared
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.robust_ols import FEW_DF, contrast, fit
from attachment_outcomes.measures.codes import INSECURE, SECURE
from attachment_outcomes.transmission.interruption.comparison import checked
from attachment_outcomes.transmission.interruption.people import TREATED
from attachment_outcomes.transmission.interruption.rows import Shared, odds_ratio_rows

UNCHANGED = "parent's class unchanged"
RATINGS = ("functioning_before", "functioning_after")
MIN_PAIRS = 20  # four to six coefficients; with fewer pairs HC3 rests on next to nothing
CAVEATS = (
    "an association: nobody was allotted to a change in reflective functioning",
    "adjusted for reflective functioning before, so that regression to the mean is not taken for change",
    "the error of both ratings is in the change and flattens the association",
)


def functioning_change(
    pairs: pd.DataFrame,
    *,
    reliability: float | None = None,
    outcome: str = "AAI-SSP",
    definition: str = "",
    ci_level: float = CI_LEVEL,
) -> list[Estimate]:
    r"""Regress the child's security on the change in parental reflective functioning among parents whose class is unchanged.

    .. math:: y = \beta_0 + \beta_1 (f_2 - f_1) + \beta_2 f_1 + \beta_3\,treated + \beta_4\,insecure + e

    Arm and class are in the model where both are there. Errors are HC3, or CR2 with Satterthwaite's degrees of freedom where
    families hold several pairs.

    Parameters
    ----------
    pairs : DataFrame
        As for :func:`.unchanged.unchanged_class`, with ``functioning_before`` and ``functioning_after`` (score points, more is
        better).
    reliability : float, optional
        Of one rating, above 0 to 1: tells how reliable the change is.
    outcome, definition, ci_level
        As for :func:`.comparison.interrupted_transmission`.

    Returns
    -------
    list of Estimate
        analysis ``interruption``, group ``parent's class unchanged``: ``functioning_change`` (primary; share of secure children
        for each SD of change), ``functioning_change_per_point``, ``functioning_change_odds_ratio`` (for each SD; logistic model
        with the same predictors), and with ``reliability`` also ``functioning_change_reliability``,
        :math:`1 - (1-r)(s_1^2 + s_2^2)/s_D^2`.

    Raises
    ------
    DataError
        If a column is absent, holds another word, or reflective functioning is not numbers.
    StatisticsError
        If fewer than 20 pairs have everything, all changed by the same, all children are alike, or the model is not identified.
    """
    shared = Shared(outcome, definition, False, ci_level)
    rows = checked(pairs, classes=("after",), numbers=RATINGS)
    same = rows[(rows["before"] == rows["after"]).fillna(False) & rows["child"].notna()]
    first, second = (same[rating].to_numpy(dtype=float) for rating in RATINGS)
    known = ~(np.isnan(first) | np.isnan(second))
    same, first, second = same[known], first[known], second[known]
    if len(same) < MIN_PAIRS:
        what = f"fewer than {MIN_PAIRS} pairs have the parent's class and reflective functioning twice, with the class unchanged"
        raise StatisticsError(f"reflective functioning: {what}, and a child's class")
    change = second - first
    sd = float(change.std(ddof=1))
    if sd == 0:
        raise StatisticsError("reflective functioning changed by the same in everybody")
    design, codes = _design(same, change, first)
    child = np.asarray(same["child"] == SECURE, dtype=np.float64)
    if child.min() == child.max():
        raise StatisticsError("reflective functioning: all children are alike, so that nothing goes with its change")
    weights = np.eye(design.shape[1])[1]
    try:
        found = fit(design, child, codes, units="families")
    except StatisticsError:  # its message counts people
        raise StatisticsError("reflective functioning: so few pairs or families that one decides a coefficient") from None
    counts = {"n": float(len(same)), "n_clusters": float(len(np.unique(found.unit))), "group": UNCHANGED}
    estimates = []
    for estimand, scale, unit in (
        ("functioning_change", sd, "proportion per SD of change"),
        ("functioning_change_per_point", 1.0, "proportion per score point"),
    ):
        c = contrast(found, weights * scale, ci_level=ci_level)
        few = f"the interval rests on {c.df:.1f} degrees of freedom: too few to be trusted" if c.df < FEW_DF else ""
        estimates.append(
            shared.row(
                estimand,
                Interval(c.estimate, c.std_error, c.ci_low, c.ci_high, few),
                primary=scale == sd and estimand == "functioning_change",
                unit=unit,
                p_value=c.p_value,
                method=found.method,
                notes=[f"SD of change {sd:.2f} points", *CAVEATS],
                **counts,
            )
        )
    odds = {"functioning_change_odds_ratio": weights * sd}
    estimates += odds_ratio_rows(design, child, codes, odds, shared, notes=["for each SD of change", *CAVEATS], **counts)
    if reliability is not None:
        estimates.append(_reliability(shared, first, second, reliability, counts))
    return estimates


def _design(
    same: pd.DataFrame, change: npt.NDArray[np.float64], before: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64] | None]:
    """Return intercept, change, level before, and arm and class where they vary; and families, where they hold several pairs."""
    columns = [np.ones(len(same)), change, before - before.mean()]
    for flag in (same["arm"] == TREATED, same["before"] == INSECURE):
        values = flag.to_numpy(dtype=float)
        if 0 < values.mean() < 1:
            columns.append(values)
    families = same["cluster"]
    codes = pd.factorize(families)[0].astype(np.int64) if families.duplicated().any() else None
    return np.column_stack(columns), codes


def _reliability(
    shared: Shared, first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], reliability: float, counts: dict[str, Any]
) -> Estimate:
    if not 0 < reliability <= 1:
        raise StatisticsError(problem("reliability", f"found {reliability}; allowed: above 0 to 1."))
    variance = float((second - first).var(ddof=1))
    found = 1 - (1 - reliability) * (float(first.var(ddof=1)) + float(second.var(ddof=1))) / variance
    note = "" if found > 0 else "negative: the ratings scatter less than their errors should"
    return shared.row(
        "functioning_change_reliability",
        Interval(found, math.nan, math.nan, math.nan, note),
        unit="reliability",
        method="1 - error variance / variance of change",
        notes=[f"reliability of one rating {reliability:g}"],
        **counts,
    )

"""Which findings stand when many questions are asked at once? Adjusted p values within families of tests.

Vocabulary
----------
family                 tests that answer one question together; each family is adjusted by itself
family-wise error      probability of one false finding or more in a family (Bonferroni, Holm, Hochberg)
false discovery rate   expected share of false ones among the findings (Benjamini-Hochberg, Benjamini-Yekutieli)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.proportions import as_numbers

Method = Literal["holm", "hochberg", "bonferroni", "benjamini-hochberg", "benjamini-yekutieli"]

METHODS = ("holm", "hochberg", "bonferroni", "benjamini-hochberg", "benjamini-yekutieli")


def adjust_p_values(p_values: ArrayLike, *, method: Method = "holm") -> NDArray[np.float64]:
    r"""Return the adjusted p values of one family.

    With :math:`p_{(1)} \le \dots \le p_{(m)}`: Bonferroni :math:`m p_{(i)}`; Holm
    :math:`\max_{j \le i} (m - j + 1) p_{(j)}`; Hochberg :math:`\min_{j \ge i} (m - j + 1) p_{(j)}`; Benjamini-Hochberg
    :math:`\min_{j \ge i} (m / j) p_{(j)}`; Benjamini-Yekutieli that times :math:`\sum_{j=1}^m 1/j`; none above 1.

    Parameters
    ----------
    p_values : (m,)
        NaN (a test that could not be made) stays NaN and does not count in m.
    method
        Holm and Benjamini-Yekutieli hold whatever the tests have in common; Hochberg and Benjamini-Hochberg need independent
        or positively dependent tests.

    Raises
    ------
    StatisticsError
        If a p value is outside 0 to 1, or the method is not known.

    References
    ----------
    Holm, S. (1979). Scandinavian Journal of Statistics, 6, 65-70. Hochberg, Y. (1988). Biometrika, 75, 800-802.
    Benjamini, Y., & Hochberg, Y. (1995). Journal of the Royal Statistical Society B, 57, 289-300.
    Benjamini, Y., & Yekutieli, D. (2001). Annals of Statistics, 29, 1165-1188.
    """
    if method not in METHODS:
        known = f"{', '.join(METHODS)}.{did_you_mean(method, METHODS)}"
        raise StatisticsError(problem("multiplicity", f"found method {method!r}; allowed: {known}"))
    p = as_numbers(p_values, place="multiplicity", what="p values")
    if p.ndim != 1 or (p < 0).any() or (p > 1).any():
        raise StatisticsError(problem("multiplicity", "p values must be one list of numbers from 0 to 1."))
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    m = len(order)
    rank = np.arange(1, m + 1)
    factor = {
        "holm": m - rank + 1,
        "hochberg": m - rank + 1,
        "bonferroni": np.full(m, m),
        "benjamini-hochberg": m / rank,
        "benjamini-yekutieli": m / rank * (1 / rank).sum(),
    }[method]
    raised = factor * p[order]
    # Step-down methods never fall below an easier test before them; the others are never above a harder one after them.
    down = method in ("holm", "bonferroni")
    kept = np.maximum.accumulate(raised) if down else np.minimum.accumulate(raised[::-1])[::-1]
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(kept, 1.0)
    return adjusted


def adjust_families(
    frame: pd.DataFrame,
    *,
    family: Sequence[str] = (),
    p_value: str = "p_value",
    method: Method = "holm",
    into: str = "p_adjusted",
    size: str = "family_size",
) -> pd.DataFrame:
    """Return the frame with adjusted p values, and the number of tests in each row's family.

    Parameters
    ----------
    frame
        One row a test, e.g. an estimates table.
    family
        Columns whose values make a family; none makes one family of all rows. Rows that miss one are a family of their own kind.
    p_value
        Column of p values; a missing one stays missing and does not count.
    method
        As in :func:`adjust_p_values`.
    into, size
        Names of the two columns added.

    Raises
    ------
    StatisticsError
        If a column is absent, a column to be added is there already, or as :func:`adjust_p_values`.
    """
    for name in (*family, p_value):
        if name not in frame.columns:
            raise StatisticsError(problem("multiplicity", f"no column {name!r}.{did_you_mean(name, frame.columns)}"))
    for name in (into, size):
        if name in frame.columns:
            raise StatisticsError(problem("multiplicity", f"column {name!r} is there already.", hint="name another."))
    p = as_numbers(frame[p_value], place="multiplicity", what="p values")
    codes = np.zeros(len(frame), dtype=int)
    if family:
        codes = frame.groupby(list(family), sort=False, dropna=False, observed=True).ngroup().to_numpy(dtype=int)
    adjusted, tests = np.full(len(frame), np.nan), np.zeros(len(frame), dtype=int)
    for code in np.unique(codes):
        member = codes == code
        adjusted[member] = adjust_p_values(p[member], method=method)
        tests[member] = int((~np.isnan(p[member])).sum())
    return frame.assign(**{into: adjusted, size: tests})

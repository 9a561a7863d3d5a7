"""What does one sample say, as an effect with its sampling variance? Fisher's z of correlations, log odds of proportions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import StatisticsError, problem

Numbers = npt.NDArray[np.float64]
Clusters = Sequence[object] | npt.NDArray[Any] | pd.Series  # one label a sample

CONTINUITY = 0.5  # added to successes and failures where one of them is 0, and only there
ROUNDING = 1e-10  # share of the model's own standard error below which another one is rounding: all effects are fitted exactly
ALL_EQUAL = "the interval has no length because all effects are equal"
FITTED = "intervals have no length because the moderators fit all effects exactly"


def fisher_z(r: npt.ArrayLike, n: npt.ArrayLike) -> tuple[Numbers, Numbers]:
    r"""Fisher's z of correlations, :math:`\operatorname{artanh} r`, with variance 1 / (n − 3).

    NaN where r is missing, is −1 or 1, or n is 3 or less; ``tanh`` takes z back to r.

    Raises
    ------
    StatisticsError
        If a correlation is outside −1 to 1.
    """
    value, size = np.broadcast_arrays(np.asarray(r, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if np.any(np.abs(value) > 1 + 1e-12):
        raise StatisticsError(problem("correlations", "found one outside -1 to 1."))
    usable = (np.abs(value) < 1) & (size > 3)
    z = np.where(usable, np.arctanh(np.where(usable, value, 0.0)), math.nan)
    return z, np.where(usable, 1 / np.where(usable, size - 3, 1.0), math.nan)


def logit_proportion(successes: npt.ArrayLike, n: npt.ArrayLike) -> tuple[Numbers, Numbers]:
    r"""Log odds of proportions, :math:`\ln(x / (n - x))`, with variance :math:`1/x + 1/(n - x)`.

    Where x is 0 or n, and only there, 0.5 is added to both successes and failures. NaN where n is 0 or missing.
    ``scipy.special.expit`` takes the log odds back.

    Raises
    ------
    StatisticsError
        If a count of successes is negative or above n.
    """
    x, size = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if np.any(x < 0) or np.any(x > size):
        raise StatisticsError(problem("proportions", "found successes below 0 or above n."))
    add = np.where((x == 0) | (x == size), CONTINUITY, 0.0)
    yes, no = x + add, size - x + add
    empty = ~(size > 0)
    safe_yes, safe_no = np.where(empty, 1.0, yes), np.where(empty, 1.0, no)
    return np.where(empty, math.nan, np.log(safe_yes / safe_no)), np.where(empty, math.nan, 1 / safe_yes + 1 / safe_no)


def without_rounding(covariance: Numbers, model: Numbers) -> Numbers:
    """Return a covariance (p, p) with 0 for coefficients whose error is rounding beside that of the model's own covariance."""
    gone = np.diag(covariance) <= ROUNDING**2 * np.diag(model)
    return np.where(gone[:, None] | gone[None, :], 0.0, covariance)


def checked(effects: npt.ArrayLike, variances: npt.ArrayLike, *, fewest: int = 1) -> tuple[Numbers, Numbers]:
    """Return effects and variances as arrays, if they can be pooled.

    Raises
    ------
    StatisticsError
        If they are not two lists of the same length, fewer than ``fewest``, or one is missing or a variance not above 0.
    """
    y, v = np.asarray(effects, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if y.ndim != 1 or y.shape != v.shape or len(y) == 0:
        raise StatisticsError(
            problem("pooling", f"found shapes {y.shape} and {v.shape}; allowed: two lists of the same length, 1 or more.")
        )
    if not (np.all(np.isfinite(y)) and np.all(np.isfinite(v)) and np.all(v > 0)):
        raise StatisticsError(
            problem(
                "pooling",
                "found a missing effect or a variance that is not above 0.",
                hint="leave such samples out and count them.",
            )
        )
    if len(y) < fewest:
        raise StatisticsError(problem("pooling", f"found {len(y)} samples; allowed: {fewest} or more."))
    return y, v

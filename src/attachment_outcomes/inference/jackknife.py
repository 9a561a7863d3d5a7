"""How sure is an estimate whose units come in clusters (children of one family)? Leave one cluster out at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.estimate import CI_LEVEL

Numbers = npt.NDArray[np.float64]
Scale = Callable[[float], float]


def jackknife(
    estimate: float,
    without_one: npt.ArrayLike,
    *,
    scale: Scale = float,
    back: Scale = float,
    ci_level: float = CI_LEVEL,
) -> Interval:
    r"""Interval of an estimate from its G values with one cluster left out.

    .. math:: SE^2 = \frac{G - 1}{G}\sum_g(\theta_{(g)} - \bar\theta)^2, \quad h^{-1}\big(h(\hat\theta) \pm t_{G-1} SE\big)

    with :math:`\theta = h(\cdot)` on the given scale (e.g. logit and its inverse); ``std_error`` is on that scale.
    No interval, with a note, if fewer than 2 clusters, or a value that is not finite on the scale.

    References
    ----------
    Efron, B., & Stein, C. (1981). Annals of Statistics, 9, 586-596.
    """
    values = np.asarray(without_one, dtype=np.float64)
    groups = len(values)
    nan = math.nan
    if groups < 2:
        return Interval(estimate, nan, nan, nan, "no interval: fewer than 2 clusters")
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.array([_on(scale, v) for v in values])
        middle = _on(scale, estimate)
    if not (math.isfinite(middle) and np.all(np.isfinite(moved))):
        return Interval(estimate, nan, nan, nan, "no interval: not defined for every sample with one cluster left out")
    error = math.sqrt((groups - 1) / groups * float(((moved - moved.mean()) ** 2).sum()))
    half = float(stats.t.ppf(0.5 + ci_level / 2, groups - 1)) * error
    return Interval(estimate, error, back(middle - half), back(middle + half))


def _on(scale: Scale, value: float) -> float:
    """Return a value on a scale, NaN where it has none there."""
    try:
        return float(scale(float(value)))
    except (ValueError, ZeroDivisionError, OverflowError):
        return math.nan


def logit(share: float) -> float:
    """Return the log odds of a share."""
    return math.log(share / (1 - share))


def from_logit(value: float) -> float:
    """Return the share of a log odds."""
    return 1 / (1 + math.exp(-value))

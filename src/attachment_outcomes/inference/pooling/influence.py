"""Which samples decide the pooled effect, and when did it settle? Leave-one-out, deletion diagnostics, pooling in order.

Vocabulary
----------
hat          a sample's share of the weights
rstudent     its distance from what the others pool to, in standard errors; beyond about 2, out of line
cook_d       squared move of the pooled effect without it, in squared standard errors
dffits       move of the pooled effect without it, in its own standard errors
cov_ratio    variance of the pooled effect without it, over that with it; below 1, precision gains without it
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.pooling.effects import ROUNDING, checked
from attachment_outcomes.inference.pooling.tau2 import Method, tau2_estimate

Numbers = npt.NDArray[np.float64]
Interval = Literal["z", "hartung-knapp"]

# Beyond these, metafor too marks a sample (Viechtbauer & Cheung, 2010): rules of thumb, not tests.
FAR_DFFITS, FAR_COOK, FAR_HAT, FAR_DFBETA = 3.0, 0.5, 3.0, 1.0


def leave_one_out(
    effects: npt.ArrayLike,
    variances: npt.ArrayLike,
    *,
    method: Method = "REML",
    interval: Interval = "z",
    ci_level: float = CI_LEVEL,
) -> pd.DataFrame:
    """Pool again without each sample.

    Parameters
    ----------
    effects, variances : (k,) arrays
        Effects and their sampling variances; k is 3 or more.
    method, interval, ci_level
        As for :func:`~attachment_outcomes.inference.pooling.random_effects.pool`.

    Returns
    -------
    DataFrame
        A row a sample left out, in the order given: ``estimate``, ``std_error``, ``ci_low``, ``ci_high``, ``p_value``, ``tau2``,
        ``i2``, ``q``, ``q_p``. Where all others are equal the interval of Hartung and Knapp has no length, and no p value.

    Raises
    ------
    StatisticsError
        If there are fewer than 3 samples, effects are missing or variances are not above 0.
    """
    y, v = checked(effects, variances, fewest=3)
    return _pooled(y, v, ~np.eye(len(y), dtype=bool), method, interval, ci_level)


def cumulative(
    effects: npt.ArrayLike,
    variances: npt.ArrayLike,
    order: Sequence[float] | npt.ArrayLike,
    *,
    method: Method = "REML",
    interval: Interval = "z",
    ci_level: float = CI_LEVEL,
) -> pd.DataFrame:
    """Pool the first samples, then add the next, and so on, by year or whatever orders them.

    Samples of the same year are added together, so that the result does not depend on how ties are broken.

    Parameters
    ----------
    effects, variances : (k,) arrays
        Effects and their sampling variances.
    order : (k,) array of numbers
        What orders the samples, smallest first; none missing.
    method, interval, ci_level
        As for :func:`~attachment_outcomes.inference.pooling.random_effects.pool`.

    Returns
    -------
    DataFrame
        A row a value of ``order``, with ``k`` samples so far, and the columns of :func:`leave_one_out`. With one sample so far
        tau2, i2 and, with ``hartung-knapp``, the interval are NaN.

    Raises
    ------
    StatisticsError
        If ``order`` is not one number a sample, or as for :func:`leave_one_out`.
    """
    y, v = checked(effects, variances)
    when = np.asarray(order, dtype=np.float64)
    if when.shape != y.shape or not np.isfinite(when).all():
        raise StatisticsError(
            problem("order", "need one number a sample, none missing.", hint="leave such samples out and count them.")
        )
    steps = np.unique(when)
    keep = when <= steps[:, None]
    table = _pooled(y, v, keep, method, interval, ci_level)
    table.insert(0, "k", keep.sum(axis=1))
    table.insert(0, "order", steps)
    return table


def influence_measures(effects: npt.ArrayLike, variances: npt.ArrayLike, *, method: Method = "REML") -> pd.DataFrame:
    r"""Return deletion diagnostics of each sample; see the module's vocabulary.

    With :math:`\hat\mu_{(i)}`, :math:`\hat\tau^2_{(i)}` from all samples but i:

    .. math::

        t_i = \frac{y_i - \hat\mu_{(i)}}{\sqrt{v_i + \hat\tau^2_{(i)} + SE_{(i)}^2}}, \quad
        D_i = \frac{(\hat\mu - \hat\mu_{(i)})^2}{SE^2}, \quad
        DFFITS_i = \frac{\hat\mu - \hat\mu_{(i)}}{\sqrt{h_i(v_i + \hat\tau^2_{(i)})}}

    Returns
    -------
    DataFrame
        ``hat``, ``rstudent``, ``dffits``, ``cook_d``, ``cov_ratio``, ``dfbeta``, ``tau2_deleted``, ``q_deleted`` and
        ``influential``: whether one of them passes its usual mark. A marked sample is one to look at, not one to leave out.

    Raises
    ------
    StatisticsError
        As for :func:`leave_one_out`.

    References
    ----------
    Viechtbauer, W., & Cheung, M. W.-L. (2010). Research Synthesis Methods, 1, 112-125.
    """
    y, v = checked(effects, variances, fewest=3)
    k = len(y)
    without = _pooled(y, v, ~np.eye(k, dtype=bool), method, "z", CI_LEVEL)
    mu, tau2, error = (without[c].to_numpy(dtype=float) for c in ("estimate", "tau2", "std_error"))
    w = 1 / (v + tau2_estimate(y, v, method=method))
    total = float(w.sum())
    hat = w / total
    move = float(w @ y) / total - mu
    dffits = move / np.sqrt(hat * (v + tau2))
    cook = move**2 * total
    dfbeta = move * np.sqrt((1 / (v + tau2[:, None])).sum(axis=1))
    marked = (
        (np.abs(dffits) > FAR_DFFITS * math.sqrt(1 / (k - 1)))
        | (stats.chi2.cdf(cook, 1) > FAR_COOK)
        | (hat > FAR_HAT / k)
        | (np.abs(dfbeta) > FAR_DFBETA)
    )
    return pd.DataFrame(
        {
            "hat": hat, "rstudent": (y - mu) / np.sqrt(v + tau2 + error**2), "dffits": dffits, "cook_d": cook,
            "cov_ratio": error**2 * total, "dfbeta": dfbeta, "tau2_deleted": tau2, "q_deleted": without["q"].to_numpy(dtype=float),
            "influential": marked,
        }
    )  # fmt: skip


def _pooled(
    y: Numbers, v: Numbers, keep: npt.NDArray[np.bool_], method: Method, interval: Interval, ci_level: float
) -> pd.DataFrame:
    """Pool several choices (rows of ``keep``) of the samples; only tau2 is sought choice by choice."""
    if interval not in ("z", "hartung-knapp"):
        raise StatisticsError(problem("interval", f"found {interval!r}; allowed: z, hartung-knapp."))
    z = critical(ci_level)
    k = keep.sum(axis=1)
    tau2 = np.array([tau2_estimate(y[row], v[row], method=method) if n > 1 else math.nan for row, n in zip(keep, k, strict=True)])
    w = keep / (v + np.nan_to_num(tau2)[:, None])
    total = w.sum(axis=1)
    mean = (w @ y) / total
    error = total**-0.5
    w0 = keep / v
    first, second = w0.sum(axis=1), (w0**2).sum(axis=1)
    q = (w0 * (y - ((w0 @ y) / first)[:, None]) ** 2).sum(axis=1)
    df = k - 1.0
    quantile = np.full(len(k), z)
    with np.errstate(divide="ignore", invalid="ignore"):
        typical = df / (first - second / first)
        if interval == "hartung-knapp":
            factor = np.sqrt((w * (y - mean[:, None]) ** 2).sum(axis=1) / df)
            error = error * np.where(factor <= ROUNDING, 0.0, factor)
            quantile = stats.t.ppf(0.5 + ci_level / 2, df)
        i2 = np.maximum(0.0, (q - df) / q) if method == "EE" else tau2 / (tau2 + typical)
        ratio = np.abs(mean) / error
    tail = stats.t.sf(ratio, df) if interval == "hartung-knapp" else stats.norm.sf(ratio)
    p_value = np.where(error > 0, 2 * tail, math.nan)
    return pd.DataFrame(
        {
            "estimate": mean, "std_error": error, "ci_low": mean - quantile * error, "ci_high": mean + quantile * error,
            "p_value": p_value, "tau2": tau2, "i2": np.where(k > 1, i2, math.nan), "q": q,
            "q_p": np.where(k > 1, stats.chi2.sf(q, np.maximum(df, 1)), math.nan),
        }
    )  # fmt: skip

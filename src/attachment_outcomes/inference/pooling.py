r"""What do several samples say together, how much do they differ, and what would a new sample show?

Random-effects pooling of one effect a sample: :math:`y_i = \mu + u_i + e_i` with :math:`u_i \sim N(0, \tau^2)` and
:math:`e_i \sim N(0, v_i)`, the sampling variances :math:`v_i` taken as known.

Vocabulary
----------
tau2                 variance of the true effects between samples, on the scale pooled (logits, Fisher's z)
I2                   share of the variation between samples that is not sampling error, 0 to 1
Q                    Cochran's test that all true effects are equal
prediction interval  where the true effect of a new sample is expected; wider than the interval of the mean
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import cluster_codes

Numbers = npt.NDArray[np.float64]

METHODS = ("REML", "DL", "EE")
INTERVALS = ("z", "hartung-knapp", "hartung-knapp-modified")
PREDICTIONS = ("as-interval", "higgins")
TOLERANCE = 1e-12  # of tau2, relative to the mean sampling variance
CONTINUITY = 0.5  # added to successes and failures where one of them is 0, and only there


@dataclass(frozen=True, slots=True)
class Pooled:
    """A pooled effect on the scale it was pooled on; see the module's vocabulary. NaN where it is not defined."""

    k: int
    estimate: float
    std_error: float
    ci_low: float
    ci_high: float
    p_value: float
    tau2: float
    tau2_se: float
    i2: float
    h2: float
    q: float
    q_df: int
    q_p: float
    prediction_low: float
    prediction_high: float
    n_clusters: float
    method: str
    note: str = ""


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


def _tau2_dl(y: Numbers, v: Numbers) -> float:
    w = 1 / v
    mean = (w @ y) / w.sum()
    scale = w.sum() - (w**2).sum() / w.sum()
    return max(0.0, float((w @ (y - mean) ** 2 - (len(y) - 1)) / scale))


def _tau2_reml(y: Numbers, v: Numbers) -> float:
    r"""Where the slope of the restricted likelihood, :math:`\sum w^2 e^2 - (\sum w - \sum w^2 / \sum w)`, changes its sign.

    The root is bracketed, walking uphill from the moment estimate of Hedges, because Fisher scoring swings about it for ever
    where precisions differ much and tau2 is small (about 1 in 150 such sets of 10 to 15 samples).
    """

    def slope(tau2: float) -> float:
        w = 1 / (v + tau2)
        total = w.sum()
        return float((w**2 * (y - (w @ y) / total) ** 2).sum() - (total - (w**2).sum() / total))

    start = max(0.0, float(y.var(ddof=1) - v.mean()))
    uphill, step = slope(start) > 0, float(v.mean())
    other = start
    while (slope(other) > 0) == uphill:
        if not uphill and other == 0:
            return 0.0
        start, other = other, other + step if uphill else max(0.0, other - step)
        step *= 2
    low, high = sorted((start, other))
    return float(brentq(slope, low, high, xtol=TOLERANCE * float(v.mean()), maxiter=1000))


def _tau2_error(v: Numbers, tau2: float, method: str) -> float:
    """Large-sample standard error of tau2: inverse information (REML), or the variance of the moment estimator (DL)."""
    if method == "REML":
        w = 1 / (v + tau2)
        trace2 = (w**2).sum() - 2 * (w**3).sum() / w.sum() + ((w**2).sum() / w.sum()) ** 2
        return math.sqrt(2 / float(trace2))
    w = 1 / v
    trace = w.sum() - (w**2).sum() / w.sum()
    trace2 = (w**2).sum() - 2 * (w**3).sum() / w.sum() + ((w**2).sum() / w.sum()) ** 2
    return math.sqrt(float((2 * (len(v) - 1) + 4 * tau2 * trace + 2 * tau2**2 * trace2) / trace**2))


def _checked(effects: npt.ArrayLike, variances: npt.ArrayLike) -> tuple[Numbers, Numbers]:
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
    return y, v


def pool(
    effects: npt.ArrayLike,
    variances: npt.ArrayLike,
    *,
    method: Literal["REML", "DL", "EE"] = "REML",
    interval: Literal["z", "hartung-knapp", "hartung-knapp-modified"] = "z",
    prediction: Literal["as-interval", "higgins"] = "as-interval",
    clusters: Sequence[object] | None = None,
    ci_level: float = CI_LEVEL,
) -> Pooled:
    r"""Pool one effect a sample.

    .. math:: \hat\mu = \frac{\sum w_i y_i}{\sum w_i}, \quad w_i = \frac{1}{v_i + \hat\tau^2}, \quad SE = (\sum w_i)^{-1/2}

    Parameters
    ----------
    effects, variances : (k,) arrays
        Effects and their sampling variances, e.g. of :func:`fisher_z` or :func:`logit_proportion`.
    method : {"REML", "DL", "EE"}
        Estimator of tau2: restricted maximum likelihood, DerSimonian and Laird's moments, or none
        (equal effects).
    interval : {"z", "hartung-knapp", "hartung-knapp-modified"}
        Normal interval, or t on k − 1 degrees of freedom with :math:`SE^2 q, q = \sum w_i(y_i - \hat\mu)^2/(k - 1)`.
        Where effects happen to lie closer together than their errors say, q is below 1 and that interval can be shorter
        than the normal one; modified, q is never put below 1.
    prediction : {"as-interval", "higgins"}
        Quantile of the prediction interval: that of the interval of the mean, or t on k − 2 degrees of freedom (Higgins et al.).
    clusters : (k,) sequence, optional
        What samples share (authors, people). The standard error is then the cluster-robust sandwich
        :math:`\sum_g(\sum_{i \in g} w_i e_i)^2/(\sum w_i)^2 \cdot G/(G - 1)` (CR1) with t on G − 1 degrees of freedom.
        None may be missing. Not together with either ``hartung-knapp``.
    ci_level : float
        Confidence level of the interval, and level of the prediction interval.

    Returns
    -------
    Pooled
        The prediction interval is :math:`\hat\mu \pm c\,\sqrt{SE^2 + \hat\tau^2}`. With one sample tau2 and the prediction
        interval are NaN; with two, Higgins' is NaN, with a note.

    Raises
    ------
    StatisticsError
        If effects are missing, variances are not above 0, or a setting is not known.

    References
    ----------
    Viechtbauer, W. (2005). Journal of Educational and Behavioral Statistics, 30, 261-293.
    DerSimonian, R., & Laird, N. (1986). Controlled Clinical Trials, 7, 177-188.
    Hartung, J., & Knapp, G. (2001). Statistics in Medicine, 20, 1771-1782.
    Röver, C., Knapp, G., & Friede, T. (2015). BMC Medical Research Methodology, 15, 99 (the modification).
    Higgins, J. P. T., Thompson, S. G., & Spiegelhalter, D. J. (2009). Journal of the Royal Statistical Society A, 172, 137-159.
    """
    y, v = _checked(effects, variances)
    settings = (("method", method, METHODS), ("interval", interval, INTERVALS), ("prediction", prediction, PREDICTIONS))
    for name, found, allowed in settings:
        if found not in allowed:
            raise StatisticsError(problem(name, f"found {found!r}; allowed: {', '.join(allowed)}.{did_you_mean(found, allowed)}"))
    if clusters is not None and (len(clusters) != len(y) or interval != "z"):
        raise StatisticsError(problem("clusters", "need one a sample, and the interval 'z'."))
    z = critical(ci_level)
    k = len(y)
    if k == 1:
        error = math.sqrt(float(v[0]))
        nan = math.nan
        return Pooled(
            1, float(y[0]), error, float(y[0]) - z * error, float(y[0]) + z * error,
            2 * float(stats.norm.sf(abs(float(y[0])) / error)), nan, nan, nan, nan, 0.0, 0, nan, nan, nan,
            1.0, method, "one sample: how samples differ cannot be told",
        )  # fmt: skip
    tau2 = {"REML": _tau2_reml, "DL": _tau2_dl, "EE": lambda *_: 0.0}[method](y, v)
    note = ""
    w0 = 1 / v
    q = float(w0 @ (y - (w0 @ y) / w0.sum()) ** 2)
    typical = float((k - 1) / (w0.sum() - (w0**2).sum() / w0.sum()))
    if method == "EE":  # without tau2, the excess of Q over its degrees of freedom
        h2 = q / (k - 1)
        i2 = max(0.0, (q - (k - 1)) / q) if q > 0 else 0.0
    else:
        h2, i2 = tau2 / typical + 1, tau2 / (tau2 + typical)

    w = 1 / (v + tau2)
    mean = float((w @ y) / w.sum())
    error = 1 / math.sqrt(float(w.sum()))
    groups = k
    quantile, tail = z, stats.norm()
    if interval != "z":
        excess = float(w @ (y - mean) ** 2) / (k - 1)
        error *= math.sqrt(max(excess, 1.0) if interval == "hartung-knapp-modified" else excess)
        tail = stats.t(k - 1)
    elif clusters is not None:
        code = cluster_codes(clusters, n=k, missing="refuse")
        groups = int(code.max()) + 1
        if groups < 2:
            raise StatisticsError(problem("clusters", "found one; a cluster-robust interval needs 2 or more."))
        sums = np.bincount(code, weights=w * (y - mean))
        error = math.sqrt(float((sums**2).sum()) * groups / (groups - 1)) / float(w.sum())
        tail = stats.t(groups - 1)
    quantile = float(tail.ppf(0.5 + ci_level / 2))
    if error == 0:
        note = "; ".join(filter(None, [note, "the interval has no length because all effects are equal"]))
    p_value = 2 * float(tail.sf(abs(mean) / error)) if error > 0 else math.nan
    spread = math.sqrt(error**2 + tau2)
    wide = quantile
    if prediction == "higgins":
        wide = float(stats.t.ppf(0.5 + ci_level / 2, k - 2)) if k > 2 else math.nan
        note = "; ".join(filter(None, [note, "" if k > 2 else "two samples: no prediction interval by Higgins et al."]))
    return Pooled(
        k, mean, error, mean - quantile * error, mean + quantile * error, p_value, tau2,
        math.nan if method == "EE" else _tau2_error(v, tau2, method), i2, h2, q, k - 1, float(stats.chi2.sf(q, k - 1)),
        mean - wide * spread, mean + wide * spread, groups, _name(method, interval, clusters is not None), note,
    )  # fmt: skip


def _name(method: str, interval: str, clustered: bool) -> str:
    named = {"hartung-knapp": " Hartung-Knapp", "hartung-knapp-modified": " Hartung-Knapp, modified"}
    ending = named.get(interval, " cluster-robust (CR1)" if clustered else "")
    return {"REML": "random effects (REML)", "DL": "random effects (DL)", "EE": "equal effects"}[method] + ending

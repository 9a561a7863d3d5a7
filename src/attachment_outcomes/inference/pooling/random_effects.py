r"""What do several samples say together, how much do they differ, and what would a new sample show?

Random-effects pooling of one effect a sample: :math:`y_i = \mu + u_i + e_i` with :math:`u_i \sim N(0, \tau^2)` and
:math:`e_i \sim N(0, v_i)`, the sampling variances :math:`v_i` taken as known.

Vocabulary
----------
tau2                 variance of the true effects between samples, on the scale pooled (logits, Fisher's z); see `tau2.py`
I2                   share of the variation between samples that is not sampling error, 0 to 1
Q                    Cochran's test that all true effects are equal
prediction interval  where the true effect of a new sample is expected; wider than the interval of the mean
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.pooling.effects import ALL_EQUAL, ROUNDING, Clusters, checked
from attachment_outcomes.inference.pooling.tau2 import METHODS, Method, tau2_error, tau2_estimate, tau2_interval
from attachment_outcomes.inference.proportions import cluster_codes

Numbers = npt.NDArray[np.float64]

INTERVALS = ("z", "hartung-knapp", "hartung-knapp-modified")
PREDICTIONS = ("as-interval", "higgins")
ONE_SAMPLE = "one sample, normal"
SHORT = "shorter than the normal interval, because effects lie closer together than their errors say"


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
    tau2_low: float = math.nan
    tau2_high: float = math.nan


def pool(
    effects: npt.ArrayLike,
    variances: npt.ArrayLike,
    *,
    method: Method = "REML",
    interval: Literal["z", "hartung-knapp", "hartung-knapp-modified"] = "z",
    prediction: Literal["as-interval", "higgins"] = "as-interval",
    clusters: Clusters | None = None,
    ci_level: float = CI_LEVEL,
) -> Pooled:
    r"""Pool one effect a sample.

    .. math:: \hat\mu = \frac{\sum w_i y_i}{\sum w_i}, \quad w_i = \frac{1}{v_i + \hat\tau^2}, \quad SE = (\sum w_i)^{-1/2}

    Parameters
    ----------
    effects, variances : (k,) arrays
        Effects and their sampling variances, e.g. of :func:`fisher_z` or :func:`logit_proportion`.
    method : {"REML", "ML", "DL", "PM", "EB", "HE", "SJ", "EE"}
        Estimator of tau2, see :func:`~attachment_outcomes.inference.pooling.tau2.tau2_estimate`; EE is equal effects, tau2 = 0.
    interval : {"z", "hartung-knapp", "hartung-knapp-modified"}
        Normal interval, or t on k − 1 degrees of freedom with :math:`SE^2 q, q = \sum w_i(y_i - \hat\mu)^2/(k - 1)`.
        Where effects happen to lie closer together than their errors say, q is below 1 and that interval can be shorter
        than the normal one, which ``note`` then says; modified, q is never put below 1.
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
        The prediction interval is :math:`\hat\mu \pm c\,\sqrt{SE^2 + \hat\tau^2}`. With one sample the interval is normal, as
        ``method`` says, and tau2 and the prediction interval are NaN; with two, Higgins' is NaN, with a note. ``tau2_low`` and
        ``tau2_high`` are the Q-profile interval, which does not depend on the estimator; a tau2 may lie outside it. Where all
        effects are equal, but for rounding, an interval not of the model has no length, and there is no p value. I2 and H2 are of
        tau2 and the typical sampling variance;
        with equal effects, of Q.

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
    y, v = checked(effects, variances)
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
            1.0, ONE_SAMPLE, "one sample: how samples differ cannot be told",
        )  # fmt: skip
    tau2 = tau2_estimate(y, v, method=method)
    tau2_low, tau2_high = (math.nan, math.nan) if method == "EE" else tau2_interval(y, v, ci_level=ci_level)
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
    error = of_model = 1 / math.sqrt(float(w.sum()))
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
    if error <= ROUNDING * of_model:
        error, note = 0.0, ALL_EQUAL
    elif interval == "hartung-knapp" and quantile * error < z * of_model:
        note = SHORT
    p_value = 2 * float(tail.sf(abs(mean) / error)) if error > 0 else math.nan
    spread = math.sqrt(error**2 + tau2)
    wide = quantile
    if prediction == "higgins":
        wide = float(stats.t.ppf(0.5 + ci_level / 2, k - 2)) if k > 2 else math.nan
        note = "; ".join(filter(None, [note, "" if k > 2 else "two samples: no prediction interval by Higgins et al."]))
    return Pooled(
        k, mean, error, mean - quantile * error, mean + quantile * error, p_value, tau2,
        tau2_error(y, v, tau2, method=method), i2, h2, q, k - 1, float(stats.chi2.sf(q, k - 1)),
        mean - wide * spread, mean + wide * spread, groups, _name(method, interval, clusters is not None), note,
        tau2_low, tau2_high,
    )  # fmt: skip


def _name(method: str, interval: str, clustered: bool) -> str:
    named = {"hartung-knapp": " Hartung-Knapp", "hartung-knapp-modified": " Hartung-Knapp, modified"}
    ending = named.get(interval, " cluster-robust (CR1)" if clustered else "")
    return ("equal effects" if method == "EE" else f"random effects ({method})") + ending

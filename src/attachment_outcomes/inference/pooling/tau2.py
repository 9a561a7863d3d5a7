r"""How much do the true effects differ between samples? Estimators of :math:`\tau^2`, its error and its interval.

.. math:: P = W - WX(X'WX)^{-1}X'W, \quad W = \operatorname{diag}\frac{1}{v_i + \tau^2}

X is a column of ones, or moderators too. With residuals e of the weighted fit, y'Py is :math:`\sum w_i e_i^2`.

Vocabulary
----------
REML   restricted maximum likelihood: y'PPy = tr P
ML     maximum likelihood: y'PPy = tr W; too small with few samples
DL     DerSimonian and Laird: Cochran's Q set to what it is on average
PM     Paule and Mandel: y'Py = k − p
EB     Morris's empirical Bayes: the same equation as PM, solved with PM here; only metafor's stopping tells them apart
HE     Hedges: variance of the effects minus the mean sampling variance
SJ     Sidik and Jonkman, two steps; never 0, so too large where samples agree
EE     equal effects (also called fixed effect): tau2 is taken as 0
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem

Numbers = npt.NDArray[np.float64]
Method = Literal["REML", "ML", "DL", "PM", "EB", "HE", "SJ", "EE"]

METHODS = ("REML", "ML", "DL", "PM", "EB", "HE", "SJ", "EE")
TOLERANCE = 1e-12  # of tau2, relative to the mean sampling variance
MOST_STEPS = 1000


def tau2_estimate(effects: Numbers, variances: Numbers, *, method: Method = "REML", design: Numbers | None = None) -> float:
    """Return the variance of true effects between samples, or what moderators leave of it.

    Parameters
    ----------
    effects, variances : (k,) arrays
        Effects and their sampling variances, none missing, variances above 0.
    method
        Estimator; see the module's vocabulary.
    design : (k, p) array, optional
        Columns of the moderators with that of the intercept; none means the intercept only. Full rank, and p below k.

    Returns
    -------
    float
        On the scale of the effects, squared; never below 0.

    Raises
    ------
    StatisticsError
        If the method is not known, or samples do not outnumber the columns.

    References
    ----------
    Veroniki, A. A., et al. (2016). Research Synthesis Methods, 7, 55-79. Viechtbauer, W. (2005). Journal of Educational and
    Behavioral Statistics, 30, 261-293. Sidik, K., & Jonkman, J. N. (2005). Journal of the Royal Statistical Society C, 54, 367-384.
    """
    if method not in METHODS:
        raise StatisticsError(problem("method", f"found {method!r}; allowed: {', '.join(METHODS)}.{did_you_mean(method, METHODS)}"))
    y, v, x = effects, variances, design
    k, p = len(y), 1 if x is None else int(x.shape[1])
    if k <= p:
        raise StatisticsError(problem("tau2", f"found {k} samples for {p} coefficients; allowed: more samples than coefficients."))
    if method == "EE":
        return 0.0
    if method in ("PM", "EB"):
        return _falling(lambda t: _q(t, y, v, x), k - p, float(v.mean()))
    if method == "DL":
        w = 1 / v
        e, lost = residuals(y, w, x)
        return max(0.0, float((w @ e**2 - (k - p)) / (w.sum() - lost)))
    if method == "SJ":
        first = float(y.var())
        if first == 0:
            return 0.0
        w = 1 / (v + first)
        return first * float(w @ residuals(y, w, x)[0] ** 2) / (k - p)
    start = _hedges(y, v, x)
    return start if method == "HE" else _likeliest(y, v, x, restricted=method == "REML", start=start)


def residuals(y: Numbers, w: Numbers, x: Numbers | None) -> tuple[Numbers, float]:
    r"""Return residuals of the weighted fit, and the weight that it costs, :math:`\operatorname{tr} W - \operatorname{tr} P`."""
    if x is None:
        total = w.sum()
        return y - (w @ y) / total, float((w**2).sum() / total)
    wx = w[:, None] * x
    inverse = np.linalg.inv(x.T @ wx)
    return y - x @ (inverse @ (wx.T @ y)), float((inverse * (wx.T @ wx)).sum())


def _hedges(y: Numbers, v: Numbers, x: Numbers | None) -> float:
    if x is None:
        return max(0.0, float(y.var(ddof=1) - v.mean()))
    e, _ = residuals(y, np.ones(len(y)), x)
    leverage = np.einsum("ij,ji->i", x, np.linalg.pinv(x))
    return max(0.0, float(e @ e - (1 - leverage) @ v) / (len(y) - int(x.shape[1])))


def _q(tau2: float, y: Numbers, v: Numbers, x: Numbers | None) -> float:
    """Return Cochran's Q with tau2 in the weights: it falls as tau2 grows."""
    w = 1 / (v + tau2)
    return float(w @ residuals(y, w, x)[0] ** 2)


def _falling(function: Callable[[float], float], target: float, scale: float) -> float:
    """Return where a falling function of tau2 reaches a target; 0 where it begins below."""
    if function(0.0) <= target:
        return 0.0
    low, high = 0.0, scale
    while function(high) > target:
        low, high = high, 2 * high
    return float(brentq(lambda t: function(t) - target, low, high, xtol=TOLERANCE * scale, maxiter=MOST_STEPS))


def _likeliest(y: Numbers, v: Numbers, x: Numbers | None, *, restricted: bool, start: float) -> float:
    r"""Where the slope of the likelihood, :math:`\sum w^2 e^2 - \operatorname{tr} P` (ML: − tr W), changes its sign.

    The root is bracketed, walking uphill from the moment estimate of Hedges, because Fisher scoring swings about it for ever
    where precisions differ much and tau2 is small (about 1 in 150 such sets of 10 to 15 samples).
    """

    def slope(tau2: float) -> float:
        w = 1 / (v + tau2)
        e, lost = residuals(y, w, x)
        return float((w**2 * e**2).sum() - (w.sum() - lost if restricted else w.sum()))

    uphill, step = slope(start) > 0, float(v.mean())
    other = start
    while (slope(other) > 0) == uphill:
        if not uphill and other == 0:
            return 0.0
        start, other = other, other + step if uphill else max(0.0, other - step)
        step *= 2
    low, high = sorted((start, other))
    return float(brentq(slope, low, high, xtol=TOLERANCE * float(v.mean()), maxiter=MOST_STEPS))


def _trace(w: Numbers, x: Numbers, left: Numbers | float, right: Numbers | float) -> float:
    """Return tr(P L P R) of diagonal L and R."""
    wx = w[:, None] * x
    inverse = np.linalg.inv(x.T @ wx)
    first, second = (inverse @ (wx.T * by) @ wx for by in (left, right))
    both = (inverse * ((wx.T * (left * w * right)) @ wx)).sum()
    return float((w * left * w * right).sum() - 2 * both + (first * second.T).sum())


def tau2_error(effects: Numbers, variances: Numbers, tau2: float, *, method: Method, design: Numbers | None = None) -> float:
    """Return the large-sample standard error of tau2: inverse information (ML, REML), or of the moment equation at tau2.

    The same as metafor's for each method; NaN for equal effects.
    """
    if method == "EE":
        return math.nan
    y, v = effects, variances
    k = len(v)
    x = np.ones((k, 1)) if design is None else design
    rest = k - int(x.shape[1])
    w = 1 / (v + tau2)
    if method == "REML":
        return math.sqrt(2 / _trace(w, x, 1.0, 1.0))
    if method == "ML":
        return math.sqrt(2 / float(w @ w))
    if method in ("PM", "EB"):
        return math.sqrt(2 * k**2 / rest) / float(w.sum())
    if method == "DL":
        w = 1 / v
        scale = 1 / float(w.sum() - residuals(y, w, x)[1])
    elif method == "HE":
        w, scale = np.ones(k), 1 / rest
    else:
        first = float(y.var())
        w, scale = 1 / (v + first), first / rest
    squared = 2 * _trace(w, x, v, v) + 4 * tau2 * _trace(w, x, v, 1.0) + 2 * tau2**2 * _trace(w, x, 1.0, 1.0)
    return scale * math.sqrt(max(0.0, squared))


def tau2_interval(effects: Numbers, variances: Numbers, *, ci_level: float, design: Numbers | None = None) -> tuple[float, float]:
    r"""Return the Q-profile interval of tau2: where Q at tau2 is a quantile of chi-squared with k − p degrees of freedom.

    Exact where effects are normal and the sampling variances known, whatever the estimator of tau2. Both limits are 0 where
    samples are more alike than sampling errors allow.

    References
    ----------
    Viechtbauer, W. (2007). Statistics in Medicine, 26, 37-52.
    """
    df = len(effects) - (1 if design is None else design.shape[1])
    upper, lower = stats.chi2.ppf([0.5 + ci_level / 2, 0.5 - ci_level / 2], df)
    scale = float(variances.mean())
    low, high = (_falling(lambda t: _q(t, effects, variances, design), float(at), scale) for at in (upper, lower))
    return low, high

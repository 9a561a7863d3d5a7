r"""How large is a share over several samples, when samples are small or events are rare? The binomial–normal model.

.. math:: x_i \sim \operatorname{Binomial}(n_i, p_i), \quad \operatorname{logit} p_i = \mu + u_i, \quad u_i \sim N(0, \tau^2)

The counts themselves are pooled: no correction of zero cells, and no sampling variance taken as known, which for small samples
depends on the very effect it weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit, xlogy

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.pooling.binomial_likelihood import (
    TOO_FAR,
    Counts,
    Fit,
    TooFarError,
    at_mean,
    at_sd,
    evaluate,
    maximise,
)
from attachment_outcomes.inference.pooling.effects import Clusters, logit_proportion
from attachment_outcomes.inference.proportions import cluster_codes

Numbers = npt.NDArray[np.float64]

INTERVALS = ("t", "profile", "z")
ROOT = 1e-8  # log odds to which limits are sought
FAR = 25.0  # log odds: beyond, the likelihood does not come back
SPARSE = 5.0  # expected events or non-events of a sample below which chi-squared does not hold for Q


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledProportion:
    """A pooled share. Log odds but for ``share`` and its limits, the share of a typical sample; NaN where it is not defined.

    ``mean_share`` is the average over samples of a typical sample's differing shares, which lies nearer to a half. ``lr`` and
    ``lr_p`` are the likelihood-ratio test that tau2 is 0; ``q`` that all shares are equal, against one share a sample.
    """

    k: int
    n: int
    estimate: float
    std_error: float
    df: float
    ci_low: float
    ci_high: float
    share: float
    share_low: float
    share_high: float
    mean_share: float
    tau2: float
    tau2_low: float
    tau2_high: float
    i2: float
    lr: float
    lr_p: float
    q: float
    q_df: int
    q_p: float
    prediction_low: float
    prediction_high: float
    n_clusters: float
    loglik: float
    method: str
    note: str = ""


def pool_proportions(
    successes: npt.ArrayLike,
    n: npt.ArrayLike,
    *,
    interval: Literal["t", "profile", "z"] = "t",
    clusters: Clusters | None = None,
    ci_level: float = CI_LEVEL,
) -> PooledProportion:
    r"""Pool shares by maximum likelihood of the binomial–normal model, a logistic regression with a random intercept a sample.

    Parameters
    ----------
    successes, n : (k,) arrays of whole numbers
        Events and people of each sample; every n above 0.
    interval : {"t", "profile", "z"}
        t on k − 1 degrees of freedom with the error from the observed information; where twice the log likelihood, with tau2
        sought anew, has fallen by a quantile of chi-squared; normal.
    clusters : (k,) sequence, optional
        What samples share. The error is then the sandwich of the clusters' scores, times G/(G − 1), with t on G − 1; the estimate
        stays that of independent samples. Not together with ``profile``.
    ci_level : float
        Confidence level, and level of the prediction interval.

    Returns
    -------
    PooledProportion
        The prediction interval (log odds) is :math:`\hat\mu \pm c\sqrt{SE^2 + \hat\tau^2}` with c of the interval (profile:
        normal); the interval of tau2 is by profile. With one sample tau2 and the prediction interval are NaN. ``i2`` has the
        typical sampling variance of log odds, as metafor's ``rma.glmm``.

    Raises
    ------
    StatisticsError
        If counts are not whole, events are below 0 or above n, an n is 0; if all people or none have the event, or every sample
        has all or none, so that no estimate is finite; if a setting is not known.

    Notes
    -----
    Integrals by adaptive Gauss–Hermite quadrature with 25 points, as lme4's ``glmer(nAGQ = 25)``. The test of tau2 halves the p
    value, because tau2 is on the edge of its space (Self & Liang).

    References
    ----------
    Hamza, T. H., van Houwelingen, H. C., & Stijnen, T. (2008). Journal of Clinical Epidemiology, 61, 41-51. Stijnen, T., Hamza,
    T. H., & Özdemir, P. (2010). Statistics in Medicine, 29, 3046-3067. Self, S. G., & Liang, K.-Y. (1987). Journal of the American
    Statistical Association, 82, 605-610.
    """
    data = _counts(successes, n)
    if interval not in INTERVALS:
        raise StatisticsError(
            problem("interval", f"found {interval!r}; allowed: {', '.join(INTERVALS)}.{did_you_mean(interval, INTERVALS)}")
        )
    z, k = critical(ci_level), len(data.x)
    if clusters is not None and interval == "profile":
        raise StatisticsError(problem("interval", "'profile' takes samples as independent.", hint="'t' with clusters."))
    equal = at_sd(data, 0.0)
    best = _maximise(data) if k > 1 else equal
    error, groups, df, notes = best.std_error, float(k), math.inf, []
    if clusters is not None:
        code = cluster_codes(clusters, n=k, missing="refuse")
        groups = float(code.max() + 1)
        if groups < 2:
            raise StatisticsError(problem("clusters", "found one; a cluster-robust interval needs 2 or more."))
        error, df = _sandwich(best, code), groups - 1
    elif interval == "t" and k > 1:
        df = float(k - 1)
    half = float(stats.t.ppf(0.5 + ci_level / 2, df)) * error
    low, high = best.mean - half, best.mean + half
    if interval == "profile":
        low, high = (_limit(data, best, side, z) for side in (-1.0, 1.0))
    nan = math.nan
    spread = tau2_low = tau2_high = i2 = lr = lr_p = q_p = nan
    shares = data.x / data.n
    q = 2 * float((xlogy(data.x, shares) + xlogy(data.n - data.x, 1 - shares)).sum() - (equal.loglik - data.constant))
    if k > 1:
        spread = (z if math.isinf(df) else float(stats.t.ppf(0.5 + ci_level / 2, df))) * math.hypot(error, best.sd)
        tau2_low, tau2_high = _tau2_limits(data, best, z)
        w = 1 / logit_proportion(data.x, data.n)[1]
        typical = (k - 1) / float(w.sum() - (w**2).sum() / w.sum())
        i2 = best.sd**2 / (best.sd**2 + typical)
        lr = max(0.0, 2 * (best.loglik - equal.loglik))
        lr_p = float(stats.chi2.sf(lr, 1)) / 2 if best.sd > 0 else 1.0
        q_p = float(stats.chi2.sf(q, k - 1))
        common = float(expit(equal.mean))
        if float((data.n * min(common, 1 - common)).min()) < SPARSE:
            notes.append("small expected counts: the p value of Q is rough")
    else:
        notes.append("one sample: how samples differ cannot be told")
    ending = " cluster-robust (CR1)" if clusters is not None else {"t": ", t", "profile": ", profile likelihood", "z": ""}[interval]
    return PooledProportion(
        k=k, n=int(data.n.sum()), estimate=best.mean, std_error=error, df=df, ci_low=low, ci_high=high,
        share=float(expit(best.mean)), share_low=float(expit(low)), share_high=float(expit(high)), mean_share=best.mean_share(),
        tau2=best.sd**2 if k > 1 else nan, tau2_low=tau2_low, tau2_high=tau2_high, i2=i2, lr=lr, lr_p=lr_p, q=max(0.0, q),
        q_df=k - 1, q_p=q_p, prediction_low=best.mean - spread, prediction_high=best.mean + spread, n_clusters=groups,
        loglik=best.loglik,
        method=f"binomial-normal model (ML){ending}", note="; ".join(notes),
    )  # fmt: skip


def _counts(successes: npt.ArrayLike, n: npt.ArrayLike) -> Counts:
    place = "proportions"
    x, size = np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if x.ndim != 1 or x.shape != size.shape or not len(x):
        raise StatisticsError(
            problem(place, f"found shapes {x.shape} and {size.shape}; allowed: two lists of the same length, 1 or more.")
        )
    if not (np.isfinite(x).all() and np.isfinite(size).all() and (x == np.round(x)).all() and (size == np.round(size)).all()):
        what, hint = "found counts that are missing or not whole.", "leave such samples out and count them."
    elif (x < 0).any() or (x > size).any() or (size == 0).any():
        what, hint = "found successes below 0 or above n, or an n of 0.", "leave empty samples out."
    elif x.sum() in (0, size.sum()):
        what = "all people or none have the event, so there is no finite estimate."
        hint = "report an exact interval of the share."
    elif len(x) > 1 and ((x == 0) | (x == size)).all():
        what, hint = "every sample has all or none, so that their variance is infinite.", "report the counts."
    else:
        return Counts(x, size)
    raise StatisticsError(problem(place, what, hint=hint))


def _maximise(data: Counts) -> Fit:
    try:
        return maximise(data)
    except TooFarError as error:
        raise StatisticsError(
            problem(
                "proportions",
                "nearly all samples have all or none, so the variance between them has no end.",
                hint="report the counts.",
            )
        ) from error


def _sandwich(best: Fit, code: npt.NDArray[np.int64]) -> float:
    """Return the cluster-robust error of the mean; tau is not moved where it is estimated as 0."""
    free = 2 if best.sd > 0 else 1
    bread = np.linalg.inv(best.information[:free, :free])[0]
    sums = np.bincount(code, weights=best.scores[:, :free] @ bread)
    return math.sqrt(float(sums @ sums) * len(sums) / (len(sums) - 1))


def _limit(data: Counts, best: Fit, side: float, z: float) -> float:
    """Return where the profile likelihood of the mean has fallen by z² / 2; infinite if not before the sd is too far out."""

    def there(mean: float) -> Fit:
        return at_mean(data, mean, best.sd) if len(data.x) > 1 else evaluate(data, mean, 0.0)

    found = _crossing(lambda m: 2 * (best.loglik - there(m).loglik) - z**2, best.mean, side * 2 * best.std_error, most=FAR)
    return found if math.isfinite(found) and there(found).sd < TOO_FAR else side * math.inf


def _tau2_limits(data: Counts, best: Fit, z: float) -> tuple[float, float]:
    near = best.mean

    def fall(sd: float) -> float:
        nonlocal near
        there = at_sd(data, sd, near)
        near = there.mean
        return 2 * (best.loglik - there.loglik) - z**2

    low = float(brentq(fall, 0.0, best.sd, xtol=ROOT)) if best.sd > 0 and fall(0.0) > 0 else 0.0
    return low**2, _crossing(fall, best.sd, max(best.sd, 0.5), most=TOO_FAR) ** 2


def _crossing(fall: Callable[[float], float], start: float, step: float, *, most: float) -> float:
    """Return where a function below 0 at the start rises through 0, in the direction of the step; infinite beyond ``most``."""
    inside, outside = start, start + step
    while fall(outside) < 0:
        if abs(outside) >= most:
            return math.copysign(math.inf, step)
        inside, step = outside, 2 * step
        outside = max(-most, min(most, inside + step))
    low, high = sorted((inside, outside))
    return float(brentq(fall, low, high, xtol=ROOT))

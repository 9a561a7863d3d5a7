r"""How sure is a quantity computed from several estimates (an indirect association a·b, a ratio k)? By drawing them again.

Vocabulary
----------
draw               one set of values from the normal distribution of the estimates
Monte-Carlo error  how much a limit would change with other draws; it shrinks with their number, the interval does not
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import as_numbers, check_generator
from attachment_outcomes.inference.resampling import MOST_FAILED

Numbers = NDArray[np.float64]

DRAWS = 40_000  # the number used for actor-partner ratios in dyadr; limits then vary by about 1 % of their distance
PLACE = "Monte-Carlo interval"
ROUNDING = 1e-10  # of the largest variance: a negative eigenvalue smaller than this is 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MonteCarlo:
    """A quantity with its Monte-Carlo interval, and the Monte-Carlo error of either limit."""

    estimate: float
    std_error: float
    ci_low: float
    ci_high: float
    ci_level: float
    ci_low_error: float
    ci_high_error: float
    method: str
    draws: int
    failed: int
    note: str = ""


def monte_carlo_interval(
    estimates: ArrayLike,
    covariance: ArrayLike,
    function: Callable[..., ArrayLike],
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
    ci_level: float = CI_LEVEL,
    most_failed: float = MOST_FAILED,
) -> MonteCarlo:
    r"""Return the interval of a function of estimates: quantiles of the function over draws from their normal distribution.

    .. math:: \theta^* \sim N(\hat\theta, \hat V), \quad [f(\theta^*)_{(\alpha/2)},\ f(\theta^*)_{(1 - \alpha/2)}]

    Parameters
    ----------
    estimates : (p,)
        Estimates, e.g. the two paths of an indirect association.
    covariance : (p, p)
        Their sampling covariance; it may be singular (an estimate known without error).
    function
        Takes p arrays, one an estimate, and returns an array: ``lambda a, b: a * b``.
    rng
        The job's generator.
    draws
        Number of draws.
    ci_level
        Confidence level.
    most_failed
        Share of draws for which the function may be undefined; they are counted and left out.

    Returns
    -------
    MonteCarlo
        ``estimate`` is the function of the estimates, not the mean of the draws. ``ci_low_error`` and ``ci_high_error``: half
        the distance between the order statistics one binomial standard deviation on either side of the limit.

    Raises
    ------
    StatisticsError
        If the covariance does not fit, is not symmetric or has a negative variance in some direction; the function is not
        defined for the estimates, or for too many draws.

    Notes
    -----
    A ratio whose denominator may be 0 has no finite interval in truth; the limits are then wide and their Monte-Carlo error
    large.

    References
    ----------
    MacKinnon, D. P., Lockwood, C. M., & Williams, J. (2004). Multivariate Behavioral Research, 39, 99-128.
    Preacher, K. J., & Selig, J. P. (2012). Communication Methods and Measures, 6, 77-98.
    """
    mean, drawn = normal_draws(estimates, covariance, rng=rng, draws=draws)
    whole = float(np.asarray(function(*mean[:, None]), dtype=float).ravel()[0])
    if not math.isfinite(whole):
        raise _refuse("the function is not defined for the estimates.")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        values = np.asarray(function(*drawn.T), dtype=float)
    if values.shape != (draws,):
        raise _refuse(f"the function gave shape {values.shape} for {draws} draws; allowed: one value a draw.")
    return interval_of_draws(whole, values, ci_level=ci_level, most_failed=most_failed)


def normal_draws(
    estimates: ArrayLike, covariance: ArrayLike, *, rng: np.random.Generator, draws: int = DRAWS
) -> tuple[Numbers, Numbers]:
    """Return the estimates (p,) and draws (draws, p) from their normal distribution, for several functions of the same draws.

    Raises
    ------
    StatisticsError
        If the covariance does not fit, is not symmetric or has a negative variance in some direction.
    """
    check_generator(rng, place=PLACE)
    mean = as_numbers(estimates, place=PLACE, what="estimates")
    matrix = as_numbers(covariance, place=PLACE, what="covariances")
    if mean.ndim != 1 or matrix.shape != (len(mean), len(mean)) or not len(mean):
        raise _refuse(f"estimates have shape {mean.shape}, covariance {matrix.shape}; allowed: (p,) and (p, p).")
    if not (np.isfinite(mean).all() and np.isfinite(matrix).all()):
        raise _refuse("an estimate or covariance is missing.")
    if draws < 2:
        raise _refuse(f"{draws} draws; at least two are needed.")
    return mean, mean + rng.standard_normal((draws, len(mean))) @ _root(matrix).T


def interval_of_draws(
    estimate: float, values: Numbers, *, ci_level: float = CI_LEVEL, most_failed: float = MOST_FAILED
) -> MonteCarlo:
    """Return the interval of an estimate from the values (draws,) of its function; those that are not finite have failed.

    Raises
    ------
    StatisticsError
        If too many draws are not defined.
    """
    tails = np.array([-1.0, 1.0]) * critical(ci_level)
    draws = len(values)
    kept = np.sort(values[np.isfinite(values)])
    failed = draws - len(kept)
    if failed > most_failed * draws or len(kept) < 2:
        raise _refuse(f"{failed} of {draws} draws are not defined.", hint="take a scale on which the function always is.")
    share = np.asarray(norm.cdf(tails), dtype=float)
    limits = np.quantile(kept, share, method="weibull")
    errors = quantile_errors(kept, share)
    return MonteCarlo(
        estimate=estimate, std_error=float(kept.std(ddof=1)), ci_low=float(limits[0]), ci_high=float(limits[1]), ci_level=ci_level,
        ci_low_error=float(errors[0]), ci_high_error=float(errors[1]), method="Monte-Carlo interval", draws=draws, failed=failed,
        note=f"{failed} draws are not defined and left out" if failed else "",
    )  # fmt: skip


def quantile_errors(ordered: Numbers, shares: Numbers) -> Numbers:
    r"""Return the Monte-Carlo standard error of quantiles of sorted draws: half of what lies within one binomial SD of their rank.

    .. math:: \tfrac12\big(x_{(Rp + \sqrt{Rp(1-p)})} - x_{(Rp - \sqrt{Rp(1-p)})}\big)
    """
    size = len(ordered)
    apart = np.sqrt(shares * (1 - shares) / size)
    upper = np.quantile(ordered, np.clip(shares + apart, 0, 1), method="weibull")
    lower = np.quantile(ordered, np.clip(shares - apart, 0, 1), method="weibull")
    return np.asarray((upper - lower) / 2, dtype=float)


def _refuse(what: str, *, hint: str = "") -> StatisticsError:
    return StatisticsError(problem(PLACE, what, hint=hint))


def _root(matrix: Numbers) -> Numbers:
    """Return L with LL' = V: Cholesky's, which is the same everywhere, or from eigenvalues where V is singular."""
    # A cell that should be 0 may be rounding on either side: of the size of the largest variance.
    if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=ROUNDING * float(np.abs(np.diag(matrix)).max())):
        raise _refuse("the covariance is not symmetric.")
    try:
        return np.asarray(np.linalg.cholesky(matrix), dtype=float)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        if values.min() < -ROUNDING * max(float(np.abs(np.diag(matrix)).max()), np.finfo(float).tiny):
            raise _refuse(
                "the covariance has a negative variance in some direction.", hint="covariances, not correlations?"
            ) from None
        return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)), dtype=float)

r"""One odds ratio common to several 2 x 2 tables: Mantel and Haenszel's, and the exact conditional one.

Tables are counts (S, 2, 2): strata, rows and columns, the same class first in both, so that an odds ratio above 1 means that
rows and columns tend to be alike within strata.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.transmission.generations.markov import Counts, Numbers, strata

FARTHEST = 60.0  # log odds ratio beyond which limits are taken as infinite
TIES = 1 + 1e-7  # tables as likely as the one seen, rounding forgiven


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonOddsRatio:
    """A common odds ratio with its interval, and the test that it is 1. ``std_error`` is that of the logarithm."""

    odds_ratio: float
    std_error: float
    ci_low: float
    ci_high: float
    statistic: float
    p_value: float
    method: str
    note: str = ""


def log_common_odds(table: npt.ArrayLike) -> Numbers:
    """Return the logarithm of Mantel and Haenszel's common odds ratio of tables (…, S, 2, 2); leading axes stay."""
    array = np.asarray(table, dtype=np.float64)
    n = array.sum(axis=(-2, -1))
    share = np.divide(1.0, n, out=np.zeros_like(n), where=n > 0)
    same = (array[..., 0, 0] * array[..., 1, 1] * share).sum(axis=-1)
    other = (array[..., 0, 1] * array[..., 1, 0] * share).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(same) - np.log(other)
    return np.where(np.isfinite(found), found, math.nan)


def mantel_haenszel(table: npt.ArrayLike, *, ci_level: float = CI_LEVEL) -> CommonOddsRatio:
    r"""Mantel and Haenszel's common odds ratio, interval of Robins, Breslow and Greenland, test without continuity correction.

    .. math::

        SE^2(\ln OR) = \frac{\sum P_sR_s}{2R^2} + \frac{\sum (P_sS_s + Q_sR_s)}{2RS} + \frac{\sum Q_sS_s}{2S^2}

    with :math:`R_s = a_sd_s/n_s`, :math:`S_s = b_sc_s/n_s`, :math:`P_s = (a_s + d_s)/n_s`, :math:`Q_s = 1 - P_s`.

    Parameters
    ----------
    table : (S, 2, 2) counts
        Strata, rows, columns.
    ci_level : float
        Confidence level.

    Returns
    -------
    CommonOddsRatio
        NaN with a note where both, or either, of the sums is 0.

    Raises
    ------
    StatisticsError
        If the table is not (S, 2, 2) counts.

    References
    ----------
    Mantel, N., & Haenszel, W. (1959). Journal of the National Cancer Institute, 22, 719-748.
    Robins, J., Breslow, N., & Greenland, S. (1986). Biometrics, 42, 311-323.
    """
    counts = _two(table)
    kept = counts[counts.sum(axis=(1, 2)) > 0].astype(float)
    n = kept.sum(axis=(1, 2))
    a, b, c, d = kept[:, 0, 0], kept[:, 0, 1], kept[:, 1, 0], kept[:, 1, 1]
    alike, apart, p = a * d / n, b * c / n, (a + d) / n
    r, s = float(alike.sum()), float(apart.sum())
    statistic, p_value = _mh_test(kept)
    if r == 0 or s == 0:
        value = 0.0 if r == 0 < s else math.nan
        why = "no interval: empty cells leave the common odds ratio at 0 or without limit" if r + s else "not defined: empty cells"
        nan = math.nan
        return CommonOddsRatio(
            odds_ratio=value, std_error=nan, ci_low=nan, ci_high=nan, statistic=statistic, p_value=p_value,
            method="Mantel-Haenszel", note=why,
        )  # fmt: skip
    variance = (
        (p * alike).sum() / (2 * r**2) + (p * apart + (1 - p) * alike).sum() / (2 * r * s) + ((1 - p) * apart).sum() / (2 * s**2)
    )
    log, error = math.log(r / s), math.sqrt(float(variance))
    half = critical(ci_level) * error
    return CommonOddsRatio(
        odds_ratio=r / s, std_error=error, ci_low=math.exp(log - half), ci_high=math.exp(log + half), statistic=statistic,
        p_value=p_value, method="Mantel-Haenszel, Robins-Breslow-Greenland",
    )  # fmt: skip


def exact_common_odds(table: npt.ArrayLike, *, ci_level: float = CI_LEVEL) -> CommonOddsRatio:
    r"""Conditional maximum-likelihood common odds ratio with exact interval and test, all margins of all strata given.

    The sum of the first cells has probability :math:`d(t)\theta^t / \sum_u d(u)\theta^u`, d being the convolution of the strata's
    hypergeometric distributions. The interval is Clopper and Pearson's kind; the two-sided p adds up all sums no more likely than
    the one seen under an odds ratio of 1. ``statistic`` is that sum.

    Raises
    ------
    StatisticsError
        If the table is not (S, 2, 2) counts.

    References
    ----------
    Agresti, A. (1992). Statistical Science, 7, 131-153. Mehta, C. R., Patel, N. R., & Gray, R. (1985). JASA, 80, 969-973.
    """
    counts = _two(table)
    critical(ci_level)
    low, log_density = 0, np.zeros(1)
    for stratum in counts:
        n, row, column = int(stratum.sum()), int(stratum[0].sum()), int(stratum[:, 0].sum())
        first, last = max(0, row + column - n), min(row, column)
        log_density = _convolved(
            log_density, stats.hypergeom(n, row, column).logpmf(np.arange(first, last + 1)) if n else np.zeros(1)
        )
        low += first
    support = low + np.arange(len(log_density))
    seen = int(counts[:, 0, 0].sum())
    density = np.exp(log_density - special.logsumexp(log_density))
    p_value = min(1.0, float(density[density <= density[seen - low] * TIES].sum()))
    if len(support) == 1:
        nan = math.nan
        return CommonOddsRatio(
            odds_ratio=nan, std_error=nan, ci_low=nan, ci_high=nan, statistic=seen, p_value=nan, method="exact conditional",
            note="not defined: the margins leave one table only",
        )  # fmt: skip

    def weights(log_odds: float) -> Numbers:
        tilted = log_density + (support - seen) * log_odds
        return np.asarray(np.exp(tilted - special.logsumexp(tilted)), dtype=float)

    alpha = (1 - ci_level) / 2
    mean = 0.0 if seen == support[0] else math.inf
    lower, upper = 0.0, math.inf
    if support[0] < seen < support[-1]:
        mean = _root(lambda x: float(weights(x) @ support) - seen)
    if seen > support[0]:
        lower = _root(lambda x: float(weights(x)[support >= seen].sum()) - alpha)
    if seen < support[-1]:
        upper = _root(lambda x: float(weights(x)[support <= seen].sum()) - alpha)
    return CommonOddsRatio(
        odds_ratio=mean,
        std_error=math.nan,
        ci_low=lower,
        ci_high=upper,
        statistic=seen,
        p_value=p_value,
        method="exact conditional",
    )


def _two(table: npt.ArrayLike) -> Counts:
    counts = strata(table)
    if counts.shape[1:] != (2, 2):
        raise StatisticsError(problem("common odds ratio", f"found tables of {counts.shape[1:]}; allowed: 2 x 2 in every stratum."))
    return counts


def _mh_test(kept: Numbers) -> tuple[float, float]:
    n, row, column = kept.sum(axis=(1, 2)), kept[:, 0].sum(axis=1), kept[:, :, 0].sum(axis=1)
    some = n > 1
    apart = float((kept[:, 0, 0] - row * column / n).sum())
    spread = float((row * (n - row) * column * (n - column))[some] @ (1 / (n**2 * (n - 1))[some])) if some.any() else 0.0
    if spread <= 0:
        return math.nan, math.nan
    return apart**2 / spread, float(stats.chi2.sf(apart**2 / spread, 1))


def _convolved(first: Numbers, second: Numbers) -> Numbers:
    """Return the logarithm of the convolution of two densities given by their logarithms, which may be too small for numbers."""
    few, many = sorted((first, second), key=len)
    out = np.full(len(few) + len(many) - 1, -math.inf)
    for i, weight in enumerate(few):
        out[i : i + len(many)] = np.logaddexp(out[i : i + len(many)], weight + many)
    return out


def _root(function: object) -> float:
    """Return the odds ratio at which a monotone function of its logarithm is 0."""
    f = function
    assert callable(f)
    ends = (f(-FARTHEST), f(FARTHEST))
    if ends[0] * ends[1] > 0:
        return math.nan
    return math.exp(float(optimize.brentq(f, -FARTHEST, FARTHEST, xtol=1e-12, rtol=1e-13)))

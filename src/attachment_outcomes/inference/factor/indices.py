r"""How well does a factor model fit? The indices that papers report, with the formulas that lavaan uses.

With the test statistic :math:`T` on :math:`d` degrees of freedom of the model, :math:`T_b` and :math:`d_b` of uncorrelated
variables, and n people:

.. math::

   \mathrm{CFI} = 1 - \frac{\max(T-d, 0)}{\max(T-d,\ T_b-d_b,\ 0)}, \quad
   \mathrm{TLI} = \frac{T_b/d_b - T/d}{T_b/d_b - 1}, \quad
   \mathrm{RMSEA} = \sqrt{\max(T-d, 0)/(dn)}

SRMR is the root of the mean squared difference between observed and implied means, variances and covariances, each divided by the
observed standard deviations (Bentler's, with means).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtr, chndtr

from attachment_outcomes.inference.factor.fit import FactorFit

RMSEA_LEVEL = 0.90  # the customary interval of the RMSEA, whatever the level of others


@dataclass(frozen=True)
class Fit:
    """Fit of one model; the interval of ``rmsea`` is one of 90 %."""

    chi_square: float
    df: int
    p_value: float
    cfi: float
    tli: float
    rmsea: float
    rmsea_low: float
    rmsea_high: float
    srmr: float
    n: int


def fit_indices(fit: FactorFit) -> Fit:
    """Return the fit of a model; indices that divide by its degrees of freedom are NaN without any."""
    p, _ = fit.structure.shape
    t, d, n = fit.chi_square, fit.df, fit.n
    base = 2 * (fit.saturated_loglik - fit.independence_loglik)
    base_df = p * (p - 1) // 2
    lack, most = max(t - d, 0.0), max(t - d, base - base_df, 0.0)
    cfi = 1 - lack / most if most > 0 else 1.0
    tli = (base / base_df - t / d) / (base / base_df - 1) if d and base > base_df else math.nan
    low, high = rmsea_interval(t, d, n)
    rmsea = math.sqrt(lack / (d * n)) if d else math.nan
    return Fit(t, d, fit.p_value, cfi, tli, rmsea, low, high, srmr(fit), n)


def rmsea_interval(chi_square: float, df: int, n: int, *, level: float = RMSEA_LEVEL) -> tuple[float, float]:
    """Return the limits of the RMSEA: noncentralities with the statistic at the ends of the chi-square distribution."""
    if not df:
        return math.nan, math.nan

    def limit(tail: float) -> float:
        if chdtr(df, chi_square) <= tail:
            return 0.0

        def off(x: float) -> float:
            return float(chndtr(chi_square, df, x)) - tail

        top = max(chi_square, 1.0)
        while off(top) > 0:
            top *= 2
        return float(brentq(off, 1e-12, top, xtol=1e-10))

    tail = (1 - level) / 2
    return math.sqrt(limit(1 - tail) / (df * n)), math.sqrt(limit(tail) / (df * n))


def srmr(fit: FactorFit) -> float:
    """Return the standardised root mean squared residual, means included."""
    mean, covariance, _ = fit.moments.saturated
    sd = np.sqrt(np.diag(covariance))
    off = (covariance - fit.covariance) / np.outer(sd, sd)
    shift = (mean - fit.mean) / sd
    p = len(sd)
    total = float((off[np.tril_indices(p)] ** 2).sum() + (shift**2).sum())
    return math.sqrt(total / (p * (p + 1) / 2 + p))

"""Do small samples show other effects than large ones? Egger's regression, rank correlation, trim and fill.

Asymmetry is not publication bias: small samples may differ in their people, methods or risk; effects and their errors are related
by construction for proportions, odds ratios and standardised differences; and chance alone does it. No test here can tell which.
With fewer than 10 samples, or with samples of like size, they see hardly anything, so that "not significant" says nothing either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.pooling.effects import checked
from attachment_outcomes.inference.pooling.moderators import checked_design, meta_regression
from attachment_outcomes.inference.pooling.random_effects import Pooled, pool
from attachment_outcomes.inference.pooling.tau2 import Method, tau2_estimate

Numbers = npt.NDArray[np.float64]

FEW = 10  # samples: below, power is too low to tell asymmetry from chance (Sterne et al., 2011)
FEW_SAMPLES = f"fewer than {FEW} samples: too few to see asymmetry"
MODELS = ("random-effects", "weighted")
SIDES = ("auto", "left", "right")
MOST_STEPS = 100
EXACT_TO = 170  # samples up to which Kendall's exact distribution is used; factorials overflow beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class Asymmetry:
    """A test of funnel asymmetry. ``statistic`` is z (``df`` infinite) or t, or Kendall's z; NaN where it is not defined.

    ``estimate`` is the slope on the predictor, or Kendall's tau: positive where less precise samples have larger effects.
    ``limit`` with its interval is the effect at a standard error of 0 (regression on the standard error only).
    """

    k: int
    estimate: float
    std_error: float
    statistic: float
    df: float
    p_value: float
    limit: float
    limit_low: float
    limit_high: float
    method: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrimFill:
    """Samples that symmetry would ask for: how many, on which side, their values, and what pooling gives with them."""

    k: int
    k0: int
    side: str
    pooled: Pooled
    filled_effects: Numbers
    filled_variances: Numbers
    method: str
    note: str = ""


def egger(
    effects: npt.ArrayLike,
    variances: npt.ArrayLike,
    *,
    model: Literal["random-effects", "weighted"] = "random-effects",
    method: Method = "REML",
    predictor: npt.ArrayLike | None = None,
    ci_level: float = 0.95,
) -> Asymmetry:
    r"""Test whether the effect depends on its standard error.

    .. math:: y_i = \beta_0 + \beta_1 \sqrt{v_i} + u_i + e_i

    Parameters
    ----------
    effects, variances : (k,) arrays
        Effects and their sampling variances; k is 4 or more.
    model : {"random-effects", "weighted"}
        Meta-regression with tau2 by ``method`` and a normal test (metafor's default), or Egger's own regression weighted with
        1/v and a variance that is multiplied, t on k − 2 degrees of freedom.
    predictor : (k,) array, optional
        Something else than the standard error. For proportions and odds ratios, whose errors depend on the effect, take
        :math:`1/\sqrt n` (Peters et al.): with the standard error the test errs far more there.
    method, ci_level
        Estimator of tau2, and confidence level of the limit.

    Raises
    ------
    StatisticsError
        If there are fewer than 4 samples, all have the same standard error, effects are missing or a setting is not known.

    Notes
    -----
    Egger's bias coefficient, the intercept of :math:`y/\sqrt v` on :math:`1/\sqrt v`, is :math:`\beta_1` of the weighted model.

    References
    ----------
    Egger, M., et al. (1997). BMJ, 315, 629-634. Sterne, J. A. C., & Egger, M. (2005), in Rothstein et al., Publication bias in
    meta-analysis, ch. 6. Peters, J. L., et al. (2006). JAMA, 295, 676-680.
    """
    y, v = checked(effects, variances, fewest=4)
    if model not in MODELS:
        raise StatisticsError(problem("model", f"found {model!r}; allowed: {', '.join(MODELS)}.{did_you_mean(model, MODELS)}"))
    own = predictor is not None
    x = np.asarray(predictor, dtype=np.float64) if predictor is not None else np.sqrt(v)
    design = pd.DataFrame({"predictor" if own else "standard error": x})
    if model == "random-effects":
        table = meta_regression(y, v, design, method=method, interval="z", ci_level=ci_level).coefficients
        name = f"Egger's regression, random effects ({method})"
    else:
        table = _weighted(y, v, design, ci_level)
        name = "Egger's regression, weighted, multiplicative variance"
    start, slope = table.to_dict("records")
    limit = [math.nan] * 3 if own else [start[c] for c in ("estimate", "ci_low", "ci_high")]
    return Asymmetry(
        k=len(y), estimate=slope["estimate"], std_error=slope["std_error"],
        statistic=slope["estimate"] / slope["std_error"] if slope["std_error"] > 0 else math.nan, df=slope["df"],
        p_value=slope["p_value"], limit=limit[0], limit_low=limit[1], limit_high=limit[2], method=name,
        note=FEW_SAMPLES if len(y) < FEW else "",
    )  # fmt: skip


def _weighted(y: Numbers, v: Numbers, design: pd.DataFrame, ci_level: float) -> pd.DataFrame:
    """Return the coefficients of the regression weighted with 1/v, whose variance is multiplied as residuals ask for."""
    names, x = checked_design(design, len(y))
    w = 1 / v
    inverse = np.linalg.inv(x.T @ (w[:, None] * x))
    beta = inverse @ (x.T @ (w * y))
    df = len(y) - x.shape[1]
    error = np.sqrt(np.diag(inverse) * float(w @ (y - x @ beta) ** 2) / df)
    half = float(stats.t.ppf(0.5 + ci_level / 2, df)) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = 2 * stats.t.sf(np.abs(beta) / error, df)
    return pd.DataFrame(
        {"term": names, "estimate": beta, "std_error": error, "df": float(df), "ci_low": beta - half, "ci_high": beta + half,
         "p_value": p_value}
    )  # fmt: skip


def rank_correlation(effects: npt.ArrayLike, variances: npt.ArrayLike) -> Asymmetry:
    r"""Test whether standardised effects and variances are related: Begg and Mazumdar's rank correlation.

    .. math:: \text{Kendall's } \tau \text{ of } \frac{y_i - \hat\mu}{\sqrt{v_i - 1/\sum w}} \text{ and } v_i, \quad w_i = 1/v_i

    The p value is exact up to 170 samples without ties, else normal. Weaker than Egger's test; see the module's warning.

    Raises
    ------
    StatisticsError
        If there are fewer than 3 samples, all variances are equal, or effects are missing.

    References
    ----------
    Begg, C. B., & Mazumdar, M. (1994). Biometrics, 50, 1088-1101.
    """
    y, v = checked(effects, variances, fewest=3)
    if np.ptp(v) == 0:
        raise StatisticsError(
            problem("rank correlation", "all samples have the same variance.", hint="it needs samples of several sizes.")
        )
    w = 1 / v
    apart = (y - (w @ y) / w.sum()) / np.sqrt(v - 1 / w.sum())
    ties = len(np.unique(apart)) < len(y) or len(np.unique(v)) < len(y)
    exact = not ties and len(y) <= EXACT_TO
    found = stats.kendalltau(apart, v, method="exact" if exact else "asymptotic")
    nan = math.nan
    return Asymmetry(
        k=len(y), estimate=float(found.statistic), std_error=nan, statistic=nan, df=nan, p_value=float(found.pvalue), limit=nan,
        limit_low=nan, limit_high=nan, method=f"rank correlation, {'exact' if exact else 'normal'}",
        note=FEW_SAMPLES if len(y) < FEW else "",
    )  # fmt: skip


def trim_and_fill(
    effects: npt.ArrayLike,
    variances: npt.ArrayLike,
    *,
    side: Literal["auto", "left", "right"] = "auto",
    method: Method = "REML",
    interval: Literal["z", "hartung-knapp"] = "z",
    ci_level: float = 0.95,
) -> TrimFill:
    r"""Estimate how many samples are missing on one side if the funnel were symmetric, and pool with their mirror images.

    .. math:: L_0 = \frac{4 S - k(k + 1)}{2k - 1}

    S is the sum of the ranks of :math:`|y_i - \hat\mu|` of the samples on the other side; the L0 outermost of these are left out,
    :math:`\hat\mu` is sought again, and so on until L0 rests.

    Parameters
    ----------
    effects, variances : (k,) arrays
        Effects and their sampling variances; k is 3 or more.
    side : {"auto", "left", "right"}
        Where samples are missing: below or above the pooled effect. ``auto``: below where less precise samples have larger
        effects (Egger's slope is not negative), else above.
    method, interval, ci_level
        Of pooling, as for :func:`~attachment_outcomes.inference.pooling.random_effects.pool`.

    Notes
    -----
    What would happen if asymmetry were all due to suppressed samples, not an estimate of the effect without bias: where effects
    differ between samples it fills in samples that were never there, and where bias is real it corrects too little.

    Raises
    ------
    StatisticsError
        If there are fewer than 3 samples, effects are missing or a setting is not known; with ``auto``, as for :func:`egger`.

    References
    ----------
    Duval, S., & Tweedie, R. (2000). Biometrics, 56, 455-463; Journal of the American Statistical Association, 95, 89-98.
    """
    y, v = checked(effects, variances, fewest=3)
    if side not in SIDES:
        raise StatisticsError(problem("side", f"found {side!r}; allowed: {', '.join(SIDES)}.{did_you_mean(side, SIDES)}"))
    where = side
    if side == "auto":
        where = "right" if egger(y, v, method=method).estimate < 0 else "left"
    sign = -1.0 if where == "right" else 1.0
    order = np.argsort(sign * y, kind="stable")
    up, spread = sign * y[order], v[order]
    k, k0, settled = len(y), 0, False
    center = 0.0
    for _ in range(MOST_STEPS):
        center = _mean(up[: max(k - k0, 1)], spread[: max(k - k0, 1)], method)
        apart = up - center
        ranks = np.argsort(np.argsort(np.abs(apart), kind="stable"), kind="stable") + 1
        found = max(0, round((4 * float(ranks[apart > 0].sum()) - k * (k + 1)) / (2 * k - 1)))
        settled = found == k0
        k0 = found
        if settled:
            break
    mirrored = sign * (2 * center - up[k - k0 :])
    notes = ["" if settled else "the number of samples did not settle", FEW_SAMPLES if k < FEW else ""]
    pooled = pool(
        np.append(y, mirrored), np.append(v, spread[k - k0 :]), method=method, interval=interval, ci_level=ci_level
    )  # fmt: skip
    return TrimFill(
        k=k, k0=k0, side=where, pooled=pooled, filled_effects=mirrored, filled_variances=spread[k - k0 :],
        method=f"trim and fill (L0), {pooled.method}", note="; ".join(filter(None, notes)),
    )  # fmt: skip


def _mean(y: Numbers, v: Numbers, method: Method) -> float:
    if len(y) == 1:
        return float(y[0])
    w = 1 / (v + tau2_estimate(y, v, method=method))
    return float((w @ y) / w.sum())

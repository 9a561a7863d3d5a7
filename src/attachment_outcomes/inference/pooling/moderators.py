r"""Does the effect differ with what samples are like? Random-effects meta-regression.

.. math:: y_i = x_i'\beta + u_i + e_i, \quad u_i \sim N(0, \tau^2), \quad e_i \sim N(0, v_i)

Vocabulary
----------
moderator   a property of the sample (mean age, year, risk), not of its people: an association over samples says nothing of people
QM          test that no moderator matters
QE          Cochran's test that nothing is left to explain
R2          share of tau2 that the moderators take away; rough below some 40 samples (López-López et al., 2014)
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
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.design import tied_columns
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.pooling.effects import FITTED, Clusters, checked, without_rounding
from attachment_outcomes.inference.pooling.robust import robust_covariance
from attachment_outcomes.inference.pooling.tau2 import Method, residuals, tau2_error, tau2_estimate, tau2_interval
from attachment_outcomes.inference.proportions import cluster_codes

Numbers = npt.NDArray[np.float64]

INTERCEPT = "Intercept"
INTERVALS = ("hartung-knapp", "z")
FEWEST_LEFT = 2  # samples beyond the coefficients: with one, neither tau2 nor the t interval means anything
FEW_PER_MODERATOR = 10  # samples: below, a moderator is easily found by chance and easily missed (Borenstein et al., 2009, ch. 20)
LOW_DF = 4.0  # Satterthwaite's degrees of freedom below which CR2 tests err (Tipton, 2015)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaRegression:
    """Coefficients (term, estimate, std_error, df, ci_low, ci_high, p_value) and what samples still differ by; NaN if undefined.

    ``qm`` is chi-squared on ``qm_df`` with normal intervals, and F on ``qm_df`` and ``qm_df2`` else. ``i2`` is 0 to 1, as ``r2``.
    ``covariance`` (p, p) is that of the coefficients.
    """

    k: int
    coefficients: pd.DataFrame
    covariance: Numbers
    tau2: float
    tau2_se: float
    tau2_low: float
    tau2_high: float
    i2: float
    r2: float
    qe: float
    qe_df: int
    qe_p: float
    qm: float
    qm_df: int
    qm_df2: float
    qm_p: float
    n_clusters: float
    method: str
    note: str = ""


def meta_regression(
    effects: npt.ArrayLike,
    variances: npt.ArrayLike,
    design: pd.DataFrame,
    *,
    method: Method = "REML",
    interval: Literal["hartung-knapp", "z"] = "hartung-knapp",
    clusters: Clusters | None = None,
    ci_level: float = CI_LEVEL,
) -> MetaRegression:
    r"""Regress one effect a sample on properties of the samples.

    .. math:: \hat\beta = (X'WX)^{-1}X'Wy, \quad W = \operatorname{diag}\frac{1}{v_i + \hat\tau^2}

    Parameters
    ----------
    effects, variances : (k,) arrays
        Effects and their sampling variances.
    design : DataFrame (k, m)
        Moderators as numbers, a row a sample in the order of the effects; levels coded by the caller (0 and 1 against a
        reference). An intercept is added, and is the effect where all of them are 0.
    method
        Estimator of the tau2 that is left.
    interval : {"hartung-knapp", "z"}
        t on k − p degrees of freedom with :math:`\sum w_ie_i^2/(k - p)` times the covariance, or normal.
    clusters : (k,) sequence, optional
        What samples share. Intervals are then CR2 with Satterthwaite's degrees of freedom, whatever ``interval`` says; the joint
        test of several moderators is not given.
    ci_level : float
        Confidence level.

    Raises
    ------
    StatisticsError
        If a moderator is missing somewhere, constant, or determined by the others; if fewer than 2 samples are left beyond the
        coefficients; if effects are missing or a setting is not known.

    References
    ----------
    Viechtbauer, W., et al. (2015). Psychological Methods, 20, 360-374. Knapp, G., & Hartung, J. (2003). Statistics in Medicine, 22,
    2693-2710.
    """
    y, v = checked(effects, variances)
    if interval not in INTERVALS:
        raise StatisticsError(
            problem("interval", f"found {interval!r}; allowed: {', '.join(INTERVALS)}.{did_you_mean(interval, INTERVALS)}")
        )
    critical(ci_level)
    names, x = checked_design(design, len(y))
    k, p = x.shape
    basis, triangle = np.linalg.qr(x)  # units and far-off intercepts (years) then cost no digits
    back = np.linalg.inv(triangle)

    tau2 = tau2_estimate(y, v, method=method, design=basis)
    w = 1 / (v + tau2)
    wx = w[:, None] * basis
    inverse = np.linalg.inv(basis.T @ wx)
    beta = inverse @ (wx.T @ y)
    e = y - basis @ beta
    df = np.full(p, float(k - p))
    covariance = of_model = back @ inverse @ back.T
    groups, notes = math.nan, []
    if clusters is not None:
        code = cluster_codes(clusters, n=k, missing="refuse")
        groups = int(code.max()) + 1
        if groups - p < FEWEST_LEFT:
            what = f"found {groups} for {p} coefficients; allowed: {FEWEST_LEFT} or more beyond the coefficients."
            raise StatisticsError(problem("clusters", what, hint="fewer moderators."))
        found = robust_covariance(x, e, v + tau2, 0.0, code, bias_reduced=True)
        covariance, df = found.covariance, found.df
    elif interval == "hartung-knapp":
        covariance = covariance * float(w @ e**2) / (k - p)
    else:
        df = np.full(p, math.inf)
    covariance = without_rounding(covariance, of_model)
    table = coefficient_table(names, back @ beta, covariance, df, ci_level)

    w0 = 1 / v
    e0, lost = residuals(y, w0, basis)
    qe = float(w0 @ e0**2)
    typical = (k - p) / float(w0.sum() - lost)
    without = tau2_estimate(y, v, method=method)
    if method == "EE":
        i2, r2 = (max(0.0, (qe - (k - p)) / qe) if qe > 0 else 0.0), math.nan
    else:
        i2, r2 = tau2 / (tau2 + typical), max(0.0, (without - tau2) / without) if without > 0 else math.nan
    tau2_low, tau2_high = (math.nan, math.nan) if method == "EE" else tau2_interval(y, v, ci_level=ci_level, design=basis)
    if k < FEW_PER_MODERATOR * (p - 1):
        notes.append(f"fewer than {FEW_PER_MODERATOR} samples a moderator: easily found by chance, easily missed")
    if clusters is not None and float(df.min()) < LOW_DF:
        notes.append(f"degrees of freedom below {LOW_DF:.0f}: intervals and tests are rough")
    if not float(np.diag(covariance).max()) > 0:
        notes.append(FITTED)
    qm, qm_df2, qm_p = _joint(table, covariance, interval, k - p, clusters is not None)
    if clusters is not None and p > 2:
        notes.append("no joint test of several moderators with clusters")
    return MetaRegression(
        k=k, coefficients=table, covariance=covariance, tau2=tau2, tau2_se=tau2_error(y, v, tau2, method=method, design=basis),
        tau2_low=tau2_low, tau2_high=tau2_high, i2=i2, r2=r2, qe=qe, qe_df=k - p, qe_p=float(stats.chi2.sf(qe, k - p)),
        qm=qm, qm_df=p - 1, qm_df2=qm_df2, qm_p=qm_p, n_clusters=groups, method=_name(method, interval, clusters is not None),
        note="; ".join(notes),
    )  # fmt: skip


def checked_design(design: pd.DataFrame, k: int) -> tuple[list[str], Numbers]:
    """Return the names and numbers of an intercept and the moderators, if they can be told apart; see :func:`meta_regression`."""
    place = "moderators"
    if len(design) != k or not len(design.columns):
        raise StatisticsError(
            problem(place, f"found {len(design)} rows and {len(design.columns)} columns; allowed: {k} rows, 1 column or more.")
        )
    names = [str(c) for c in design.columns]
    try:
        x = design.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise StatisticsError(problem(place, "found words.", hint="code levels as 0 and 1, one column a level but one.")) from None
    missing = ~np.isfinite(x).all(axis=0)
    if missing.any():
        what = f"missing values in {', '.join(repr(n) for n, m in zip(names, missing, strict=True) if m)}."
        raise StatisticsError(problem(place, what, hint="leave such samples out and count them."))
    spread = x - x.mean(axis=0)
    constant = np.abs(spread).max(axis=0) <= 1e-12 * np.abs(x).max(axis=0)
    if constant.any():
        what = f"{', '.join(repr(n) for n, c in zip(names, constant, strict=True) if c)} is the same in all samples."
        raise StatisticsError(problem(place, what, hint="leave it out."))
    tied = tied_columns(spread.T @ spread, names)
    if tied:
        what = f"the others determine {', '.join(map(repr, tied))}."
        raise StatisticsError(problem(place, what, hint="leave it out, or join rare levels."))
    p = x.shape[1] + 1
    if k - p < FEWEST_LEFT:
        what = f"found {k} samples for {p} coefficients; allowed: {FEWEST_LEFT} or more beyond the coefficients."
        raise StatisticsError(problem(place, what, hint="fewer moderators."))
    return [INTERCEPT, *names], np.column_stack([np.ones(k), x])


def coefficient_table(names: list[str], beta: Numbers, covariance: Numbers, df: Numbers, ci_level: float) -> pd.DataFrame:
    """Return coefficients with their t intervals (normal where ``df`` is infinite)."""
    error = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    half = stats.t.ppf(0.5 + ci_level / 2, df) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = np.where(error > 0, 2 * stats.t.sf(np.abs(beta) / error, df), math.nan)
    return pd.DataFrame(
        {
            "term": names, "estimate": beta, "std_error": error, "df": df, "ci_low": beta - half, "ci_high": beta + half,
            "p_value": p_value,
        }
    )  # fmt: skip


def _joint(table: pd.DataFrame, covariance: Numbers, interval: str, rest: int, clustered: bool) -> tuple[float, float, float]:
    """Return the test of all moderators, its denominator's degrees of freedom and its p value."""
    m = len(table) - 1
    beta = table["estimate"].to_numpy(dtype=float)[1:]
    if (clustered and m > 1) or not float(np.diag(covariance)[1:].min()) > 0:
        return math.nan, math.nan, math.nan
    wald = float(beta @ np.linalg.solve(covariance[1:, 1:], beta))
    if clustered:
        df = float(table["df"].iloc[1])
        return wald, df, float(stats.f.sf(wald, 1, df))
    if interval == "z":
        return wald, math.inf, float(stats.chi2.sf(wald, m))
    return wald / m, float(rest), float(stats.f.sf(wald / m, m, rest))


def _name(method: str, interval: str, clustered: bool) -> str:
    ending = " cluster-robust (CR2)" if clustered else " Hartung-Knapp" if interval == "hartung-knapp" else ""
    return ("equal-effects" if method == "EE" else f"mixed-effects ({method})") + " meta-regression" + ending

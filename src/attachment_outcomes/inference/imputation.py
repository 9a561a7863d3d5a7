r"""What do analyses of several completed data sets say together? Rubin's rules.

Vocabulary
----------
within              mean of the squared standard errors of the m analyses
between             variance of their estimates: what is not known because data are missing
relative increase   r = (1 + 1/m) between / within
fraction missing    share of the information about a quantity that is missing, allowing for the number of imputations
complete-data df    degrees of freedom that the analysis would have, were nothing missing

Making the imputations is not done here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2
from scipy.stats import f as fisher
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import as_numbers

Numbers = NDArray[np.float64]

PLACE = "imputations"
COMBINED_COLUMNS = [
    "term", "estimate", "std_error", "df", "ci_low", "ci_high", "p_value", "within", "between", "relative_increase",
    "fraction_missing",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """One quantity over m imputations; ``p_value`` tests 0 by t on ``df`` degrees of freedom."""

    estimate: float
    std_error: float
    df: float
    ci_low: float
    ci_high: float
    ci_level: float
    p_value: float
    within: float
    between: float
    relative_increase: float
    fraction_missing: float
    imputations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTest:
    """A test of several parameters over m imputations (D1): F on ``df`` and ``df_error`` degrees of freedom."""

    statistic: float
    df: int
    df_error: float
    p_value: float
    relative_increase: float
    imputations: int
    note: str = ""


def combine_imputations(
    estimates: ArrayLike, variances: ArrayLike, *, df_complete: float = math.inf, ci_level: float = CI_LEVEL
) -> Combined:
    r"""Combine the m estimates of one quantity by Rubin's rules.

    .. math::

        T = \bar U + (1 + \tfrac1m) B, \quad \lambda = (1 + \tfrac1m) B / T, \quad
        \frac1\nu = \frac{\lambda^2}{m - 1} + \frac1{\nu_{obs}}, \quad
        \nu_{obs} = \frac{\nu_c + 1}{\nu_c + 3}\,\nu_c (1 - \lambda)

    Parameters
    ----------
    estimates, variances : (m,)
        Estimates and squared standard errors, on a scale on which the estimate is nearly normal (logits of shares, Fisher's z).
    df_complete
        Degrees of freedom of the complete-data analysis (Barnard & Rubin); infinite for Rubin's of 1987.
    ci_level
        Confidence level.

    Raises
    ------
    StatisticsError
        If there are fewer than two imputations, a value is missing, or a variance is not above 0.

    References
    ----------
    Rubin, D. B. (1987). Multiple imputation for nonresponse in surveys. Wiley. Barnard, J., & Rubin, D. B. (1999).
    Biometrika, 86, 948-955.
    """
    q, u = _numbers(estimates, "estimates"), _numbers(variances, "variances")
    if q.ndim != 1 or q.shape != u.shape:
        raise _refuse(f"found shapes {q.shape} and {u.shape}; allowed: one estimate and one variance an imputation.")
    _check(q, df_complete)
    if not (np.isfinite(u).all() and (u > 0).all()):
        raise _refuse("a variance is missing or not above 0.")
    critical(ci_level)
    m = len(q)
    mean, within, between = float(q.mean()), float(u.mean()), float(q.var(ddof=1))
    total = within + (1 + 1 / m) * between
    increase, share = (1 + 1 / m) * between / within, (1 + 1 / m) * between / total
    observed = math.inf if math.isinf(df_complete) else (df_complete + 1) / (df_complete + 3) * df_complete * (1 - share)
    rate = share**2 / (m - 1) + 1 / observed
    df = 1 / rate if rate > 0 else math.inf
    error = math.sqrt(total)
    half = float(student.ppf(0.5 + ci_level / 2, df)) * error
    return Combined(
        estimate=mean, std_error=error, df=df, ci_low=mean - half, ci_high=mean + half, ci_level=ci_level,
        p_value=float(2 * student.sf(abs(mean) / error, df)), within=within, between=between, relative_increase=increase,
        fraction_missing=(increase + 2 / (df + 3)) / (increase + 1), imputations=m,
    )  # fmt: skip


def combine_estimates(fits: Sequence[pd.DataFrame], *, df_complete: float = math.inf, ci_level: float = CI_LEVEL) -> pd.DataFrame:
    """Combine the estimates of a model fitted to each completed data set, term by term.

    Parameters
    ----------
    fits
        One frame an imputation, with columns ``term``, ``estimate`` and ``std_error``; the same terms in each.
    df_complete, ci_level
        As in :func:`combine_imputations`.

    Returns
    -------
    frame
        ``COMBINED_COLUMNS``, a row a term, in the order of the first fit.

    Raises
    ------
    StatisticsError
        If fits have different terms or one twice, or as :func:`combine_imputations`.
    """
    if len(fits) < 2:
        raise _refuse(f"{len(fits)} imputations; at least two are needed.")
    tables = [fit.set_index("term") for fit in fits]
    terms = tables[0].index
    if not terms.is_unique or any(set(t.index) != set(terms) or len(t) != len(terms) for t in tables):
        raise _refuse("the fits do not have the same terms, each once.", hint="a level may be absent from one data set.")
    rows = []
    for term in terms:
        each = np.array([_numbers(t.loc[term, ["estimate", "std_error"]], "estimates or errors") for t in tables])
        found = combine_imputations(each[:, 0], each[:, 1] ** 2, df_complete=df_complete, ci_level=ci_level)
        rows.append({"term": term, **{c: getattr(found, c) for c in COMBINED_COLUMNS[1:]}})
    return pd.DataFrame(rows, columns=COMBINED_COLUMNS)


def combined_covariance(estimates: ArrayLike, covariances: ArrayLike) -> tuple[Numbers, Numbers]:
    r"""Return mean estimates (p,) and their total covariance (p, p), :math:`\bar U + (1 + 1/m) B`.

    Parameters
    ----------
    estimates : (m, p)
        Estimates of each imputation.
    covariances : (m, p, p)
        Their sampling covariances.

    Raises
    ------
    StatisticsError
        If shapes do not fit, a value is missing, or there are fewer than two imputations.
    """
    q, within, between = _parts(estimates, covariances)
    return q.mean(axis=0), within + (1 + 1 / len(q)) * between


def joint_test(estimates: ArrayLike, covariances: ArrayLike, *, null: ArrayLike = 0.0, df_complete: float = math.inf) -> JointTest:
    r"""Test k parameters together (D1): a Wald test that takes the missing information to be alike in all of them.

    .. math::

        D_1 = \frac{(\bar Q - Q_0)' \bar U^{-1} (\bar Q - Q_0)}{k (1 + r)}, \quad
        r = (1 + \tfrac1m)\,\mathrm{tr}(B \bar U^{-1}) / k

    Parameters
    ----------
    estimates : (m, k)
        Estimates of the parameters tested, in each imputation.
    covariances : (m, k, k)
        Their sampling covariances.
    null
        The values tested, 0 if not given.
    df_complete
        Degrees of freedom of the complete-data analysis: those of the error are then Reiter's; infinite for those of Li et al.

    Returns
    -------
    JointTest
        One parameter gives the square of the t of :func:`combine_imputations`, with its degrees of freedom. Reiter's need
        k(m − 1) > 4 and complete-data degrees of freedom that are not too small; otherwise those of Li et al. are taken,
        and the note says so.

    Raises
    ------
    StatisticsError
        If shapes do not fit, a value is missing, there are fewer than two imputations, or parameters determine each other.

    References
    ----------
    Li, K. H., Raghunathan, T. E., & Rubin, D. B. (1991). JASA, 86, 1065-1073. Reiter, J. P. (2007). Biometrika, 94, 502-508.
    """
    q, within, between = _parts(estimates, covariances)
    m, k = q.shape
    _check(q, df_complete)
    away = q.mean(axis=0) - np.broadcast_to(_numbers(null, "null values"), (k,))
    try:
        inverse = np.linalg.inv(within)
    except np.linalg.LinAlgError:
        raise _refuse("the parameters determine each other.", hint="leave one of them out.") from None
    increase = (1 + 1 / m) * float(np.trace(between @ inverse)) / k
    statistic = float(away @ inverse @ away) / (k * (1 + increase))
    note = ""
    if k == 1:
        df = combine_imputations(q[:, 0], np.full(m, within[0, 0]), df_complete=df_complete).df
    else:
        df, note = _joint_df(k, m, increase, df_complete)
    p_value = float(chi2.sf(k * statistic, k) if math.isinf(df) else fisher.sf(statistic, k, df))
    return JointTest(statistic=statistic, df=k, df_error=df, p_value=p_value, relative_increase=increase, imputations=m, note=note)


def _joint_df(k: int, m: int, r: float, df_complete: float) -> tuple[float, str]:
    """Return the error's degrees of freedom by Reiter (2007), or by Li et al. (1991) with a note where those are not defined."""
    t = k * (m - 1)
    if math.isinf(df_complete):
        return _li(k, t, r), ""
    a = r * t / (t - 2) if t > 4 else math.nan
    complete = (df_complete + 1) / (df_complete + 3) * df_complete
    c1, c2 = complete - 2 * (1 + a), complete - 4 * (1 + a)
    if not c2 > 0:
        return _li(k, t, r), "degrees of freedom do not allow for the size of the sample: too few imputations or people"
    z = a**2 * c1 / ((1 + a) ** 2 * c2) + 8 * a**2 * c1 / ((1 + a) * c2**2) + 4 * a**2 / ((1 + a) * c2)
    z += 4 * a**2 / (c2 * c1) + 16 * a**2 * c1 / c2**3 + 8 * a**2 / c2**2
    return 4 + 1 / (1 / c2 + z / (t - 4)), ""


def _li(k: int, t: int, r: float) -> float:
    if r == 0:
        return math.inf
    return 4 + (t - 4) * (1 + (1 - 2 / t) / r) ** 2 if t > 4 else t * (1 + 1 / k) * (1 + 1 / r) ** 2 / 2


def _parts(estimates: ArrayLike, covariances: ArrayLike) -> tuple[Numbers, Numbers, Numbers]:
    """Return the estimates (m, p), the mean covariance within, and the covariance between imputations."""
    q, u = _numbers(estimates, "estimates"), _numbers(covariances, "covariances")
    if q.ndim != 2 or u.shape != (*q.shape, q.shape[1]):
        raise _refuse(f"found shapes {q.shape} and {u.shape}; allowed: (m, p) estimates and (m, p, p) covariances.")
    _check(q, math.inf)
    if not np.isfinite(u).all() or (np.diagonal(u, axis1=1, axis2=2) <= 0).any():
        raise _refuse("a covariance is missing, or a variance is not above 0.")
    between = np.atleast_2d(np.cov(q, rowvar=False, ddof=1))
    return q, u.mean(axis=0), between


def _check(estimates: Numbers, df_complete: float) -> None:
    if len(estimates) < 2:
        raise _refuse(f"{len(estimates)} imputations; at least two are needed.")
    if not np.isfinite(estimates).all():
        raise _refuse("an estimate is missing.", hint="find out why the analysis of that imputation failed.")
    if not df_complete > 0:
        raise _refuse(f"found {df_complete} complete-data degrees of freedom; allowed: above 0.")


def _numbers(values: object, what: str) -> Numbers:
    return as_numbers(values, place=PLACE, what=what)


def _refuse(what: str, *, hint: str = "") -> StatisticsError:
    return StatisticsError(problem(PLACE, what, hint=hint))

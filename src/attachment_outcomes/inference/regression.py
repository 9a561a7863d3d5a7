"""Is one group better off than another, other things equal? Contrasts of regression coefficients with honest intervals.

Vocabulary
----------
contrast   a linear combination of coefficients, named by the caller, e.g. ``repaired - none``
cluster    units that share something (a therapist's clients, a family); they count as one independent unit
HC3        covariance that allows the residual variance to differ from person to person
CR1        covariance that allows residuals to be correlated within clusters, with the usual small-sample factor
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
from numpy.typing import ArrayLike
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.design import CompleteRows, complete_rows, identified

FEW_CLUSTERS = 10  # below this CR1 intervals are known to be too short, even with t on G - 1 df (Cameron & Miller 2015)
_LEVERAGE_ONE = 1 - 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastResult:
    """One contrast: its estimate, interval and what they rest on. ``n_clusters`` is NaN without clusters."""

    name: str
    estimate: float
    std_error: float
    ci_low: float
    ci_high: float
    ci_level: float
    p_value: float
    df: float
    n: int
    n_clusters: float
    n_excluded: int
    method: str
    note: str


def linear_contrasts(
    formula: str,
    data: pd.DataFrame,
    *,
    contrasts: Mapping[str, str | ArrayLike],
    cluster: str | None = None,
    ci_level: float = 0.95,
) -> dict[str, ContrastResult]:
    r"""Return contrasts of least-squares coefficients with heteroscedasticity- or cluster-robust intervals.

    .. math:: c'\hat\beta \pm t_{df}\sqrt{c' V c}

    Without ``cluster``, V is HC3, :math:`(X'X)^{-1} X' \mathrm{diag}(e_i^2/(1-h_i)^2) X (X'X)^{-1}`, with n − k df.
    With it, V is CR1, :math:`\frac{G}{G-1}\frac{n-1}{n-k}(X'X)^{-1}\sum_g X_g'e_ge_g'X_g(X'X)^{-1}`, with G − 1 df.

    Parameters
    ----------
    formula
        Model formula over the columns of ``data``, e.g. ``"post ~ pre + C(group, Treatment('none'))"``.
    data
        One row a unit. Rows with a missing value in a used column are left out and counted in ``n_excluded``.
    contrasts
        Name to a combination of coefficient names, e.g. ``"C(group)[T.repaired] - C(group)[T.unrepaired]"``, or to an
        array of weights, one a coefficient.
    cluster
        Column that names each row's cluster.
    ci_level
        Confidence level of the intervals.

    Raises
    ------
    StatisticsError
        If rows do not outnumber coefficients, the coefficients are not identified, an observation decides a coefficient
        alone (HC3 is then undefined), there are fewer than two clusters, or a contrast names no coefficient.

    Notes
    -----
    The estimate has the outcome's unit. The same numbers as R's ``lm`` with HC3 and CR1 written out; see docs/methods.

    References
    ----------
    MacKinnon, J. G., & White, H. (1985). J. Econometrics, 29, 305-325. Cameron, A. C., & Miller, D. L. (2015). J. Human
    Resources, 50, 317-372.
    """
    used = complete_rows(formula, data, extra=(cluster,) if cluster else (), as_is=(cluster,) if cluster else ())
    n_clusters = _count(used.rows, cluster)
    model = smf.ols(formula, used.rows)
    design = np.asarray(model.exog, dtype=float)
    _check_design(design, used.rows, cluster)
    if cluster is None:
        leverage = np.einsum("ij,ji->i", design, np.linalg.pinv(design))
        if (leverage > _LEVERAGE_ONE).any():
            raise StatisticsError(
                problem(
                    "regression",
                    f"{int((leverage > _LEVERAGE_ONE).sum())} rows decide a coefficient alone, so HC3 is not defined.",
                    hint="a group needs at least two members.",
                )
            )
        fit = model.fit(cov_type="HC3", use_t=True)
        df, method = len(used.rows) - design.shape[1], "OLS, HC3"
    else:
        codes = pd.factorize(used.rows[cluster])[0]
        fit = model.fit(cov_type="cluster", cov_kwds={"groups": codes, "df_correction": True}, use_t=True)
        df, method = int(codes.max()), "OLS, cluster-robust (CR1)"
    return _results(fit, contrasts, used, n_clusters, df=df, method=method, ci_level=ci_level)


def logistic_contrasts(
    formula: str,
    data: pd.DataFrame,
    *,
    contrasts: Mapping[str, str | ArrayLike],
    cluster: str | None = None,
    ci_level: float = 0.95,
) -> dict[str, ContrastResult]:
    """Return contrasts of logistic-regression coefficients (log odds) with robust intervals.

    Without ``cluster`` the covariance is the sandwich HC0 with a normal reference; with it CR1 with t on G − 1 df. The
    outcome column holds 0 and 1. Exponentiate estimate and limits for odds ratios.

    Raises
    ------
    StatisticsError
        As :func:`linear_contrasts`; also if the outcome takes one value only, or groups are perfectly separated.
    """
    used = complete_rows(formula, data, extra=(cluster,) if cluster else (), as_is=(cluster,) if cluster else ())
    n_clusters = _count(used.rows, cluster)
    model = smf.glm(formula, used.rows, family=sm.families.Binomial())
    design = np.asarray(model.exog, dtype=float)
    _check_design(design, used.rows, cluster)
    outcome = np.asarray(model.endog, dtype=float)
    if not np.isin(outcome, (0, 1)).all() or np.unique(outcome).size < 2:
        raise StatisticsError(problem("logistic regression", "the outcome must hold both 0 and 1 and nothing else."))
    options: dict[str, Any]
    if cluster is None:
        df, method, options = np.inf, "logistic, robust (HC0)", {"cov_type": "HC0"}
    else:
        codes = pd.factorize(used.rows[cluster])[0]
        df, method = int(codes.max()), "logistic, cluster-robust (CR1)"
        options = {"cov_type": "cluster", "cov_kwds": {"groups": codes, "df_correction": True}}
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # separation and failure to converge are refused below, by name
            fit = model.fit(**options)
            fitted = np.asarray(fit.fittedvalues)
    except (np.linalg.LinAlgError, ValueError) as error:
        raise StatisticsError(problem("logistic regression", "does not converge.")) from error
    if not fit.converged:
        raise StatisticsError(problem("logistic regression", "does not converge.", hint="are the groups separated?"))
    if np.minimum(fitted, 1 - fitted).min() < 1e-8:
        raise StatisticsError(
            problem("logistic regression", "the predictors separate the outcomes perfectly, so odds ratios are not finite.")
        )
    return _results(fit, contrasts, used, n_clusters, df=df, method=method, ci_level=ci_level)


def _count(rows: pd.DataFrame, cluster: str | None) -> float:
    return float(rows[cluster].nunique()) if cluster else np.nan


def _check_design(design: np.ndarray, rows: pd.DataFrame, cluster: str | None) -> None:
    n, k = design.shape
    if n <= k:
        raise StatisticsError(
            problem("regression", f"{n} complete rows for {k} coefficients.", hint="more data or a smaller model.")
        )
    if not identified(design):
        raise StatisticsError(
            problem("regression", "the predictors determine one another, so the coefficients are not identified.",
                    hint="is a group empty or a predictor constant?")
        )  # fmt: skip
    if cluster is not None and rows[cluster].nunique() < 2:
        raise StatisticsError(problem("regression", f"{rows[cluster].nunique()} clusters; cluster-robust intervals need two."))


def _results(
    fit: Any,
    contrasts: Mapping[str, str | ArrayLike],
    used: CompleteRows,
    n_clusters: float,
    *,
    df: float,
    method: str,
    ci_level: float,
) -> dict[str, ContrastResult]:
    note = f"few clusters ({n_clusters:.0f}): the interval may be too short" if n_clusters < FEW_CLUSTERS else ""
    results = {}
    for name, contrast in contrasts.items():
        estimate, std_error = _contrast(fit, name, contrast)
        half = float(student.ppf((1 + ci_level) / 2, df)) * std_error
        p_value = float(2 * student.sf(abs(estimate) / std_error, df)) if std_error > 0 else np.nan
        results[name] = ContrastResult(
            name=name, estimate=estimate, std_error=std_error, ci_low=estimate - half, ci_high=estimate + half,
            ci_level=ci_level, p_value=p_value, df=float(df), n=len(used.rows), n_clusters=n_clusters,
            n_excluded=used.n_excluded, method=method, note=note,
        )  # fmt: skip
    return results


def _contrast(fit: Any, name: str, contrast: str | ArrayLike) -> tuple[float, float]:
    """Return a contrast's estimate and standard error."""
    names = list(fit.model.exog_names)
    if isinstance(contrast, str):
        if "=" in contrast:
            raise StatisticsError(problem(f"contrast {name!r}", "states an equation; give the combination alone, without '='."))
        test = _parsed(fit, name, contrast, names)
    else:
        weights = np.asarray(contrast, dtype=float)
        if weights.shape != (len(names),):
            raise StatisticsError(problem(f"contrast {name!r}", f"shape {weights.shape}; allowed: a weight for each of {names}."))
        test = fit.t_test(weights)
    return float(np.squeeze(test.effect)), float(np.squeeze(test.sd))


def _parsed(fit: Any, name: str, contrast: str, names: list[str]) -> Any:
    try:
        return fit.t_test(contrast)
    except Exception as error:  # the formula engines each raise their own kinds
        allowed = ", ".join(names)
        raise StatisticsError(problem(f"contrast {name!r}", f"{contrast!r} cannot be read; coefficients: {allowed}.")) from error

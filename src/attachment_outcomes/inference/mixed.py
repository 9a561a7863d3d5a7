r"""How do people change on average, and how much do they differ in it? Linear mixed models with one grouping factor.

.. math:: y_{ij} = x_{ij}'\beta + z_{ij}'b_i + e_{ij}, \quad b_i \sim N(0, \Psi), \quad e_{ij} \sim N(0, \sigma^2)

with :math:`z = (1, \text{slopes})`: each group (person, therapist) has its own intercept and, if asked for, its own slopes, freely
correlated.

Vocabulary
----------
REML      restricted maximum likelihood: variances that allow for the fixed effects having been estimated
singular  an estimated variance of zero or a correlation of ±1: the data do not tell the random effects apart
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import patsy  # type: ignore[import-untyped]
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.stats import norm

from attachment_outcomes.errors import ConvergenceWarning, StatisticsError, problem
from attachment_outcomes.inference.design import complete_rows, identified

Numbers = NDArray[np.float64]
INTERCEPT, RESIDUAL = "intercept", "residual"
FEW_GROUPS = 30  # below this Wald intervals of fixed effects are noticeably too short
SINGULAR = 1e-4  # least diagonal of the Cholesky factor of Ψ/σ², as in lme4's isSingular

NO_RESIDUAL = 1e-12  # share of the outcome's variance below which the residual is rounding error


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedFit:
    """A fitted model.

    ``estimates``  a row a fixed effect: term, estimate, std_error, ci_low, ci_high, p_value (Wald, normal)
    ``variances``  name to variance: ``intercept``, each slope, ``residual``, and covariances as ``intercept:slope``
    ``loglik``     (restricted) log likelihood at the estimates
    ``df``         number of parameters: fixed effects, variances and covariances
    ``random_effects``  a row a group: the predicted deviations from the fixed effects
    ``note``       in plain words, what limits the fit; empty if nothing does
    """

    estimates: pd.DataFrame
    variances: dict[str, float]
    loglik: float
    df: int
    converged: bool
    singular: bool
    n: int
    n_groups: int
    n_excluded: int
    reml: bool
    ci_level: float
    note: str
    random_effects: pd.DataFrame
    covariance: Numbers = field(repr=False)
    design: Any = field(repr=False)

    def predict(self, new: pd.DataFrame) -> pd.DataFrame:
        """Return the average (fixed-effects) prediction with its confidence band for the rows of ``new``.

        Columns: predicted, std_error, ci_low, ci_high; in the outcome's unit. The band is about the mean curve, not about
        persons.
        """
        (matrix,) = patsy.build_design_matrices([self.design], _plain(new), return_type="matrix")
        x = np.asarray(matrix, dtype=float)
        mean = x @ self.estimates["estimate"].to_numpy()
        std_error = np.sqrt(np.einsum("ij,jk,ik->i", x, self.covariance, x))
        half = norm.ppf(0.5 + self.ci_level / 2) * std_error
        return pd.DataFrame(
            {"predicted": mean, "std_error": std_error, "ci_low": mean - half, "ci_high": mean + half}, index=new.index
        )

    def combination(self, weights: ArrayLike) -> tuple[float, float, float, float, float]:
        """Return estimate, standard error, lower and upper limit and p value of a weighted sum of the fixed effects."""
        w = np.asarray(weights, dtype=float)
        estimate = float(w @ self.estimates["estimate"].to_numpy())
        std_error = float(np.sqrt(w @ self.covariance @ w))
        half = float(norm.ppf(0.5 + self.ci_level / 2)) * std_error
        p_value = float(2 * norm.sf(abs(estimate) / std_error)) if std_error > 0 else np.nan
        return estimate, std_error, estimate - half, estimate + half, p_value


def mixed_model(
    formula: str,
    data: pd.DataFrame,
    *,
    groups: str,
    slopes: Sequence[str] = (),
    reml: bool = True,
    ci_level: float = 0.95,
) -> MixedFit:
    r"""Fit a linear mixed model with a random intercept and, if named, random slopes by group.

    Parameters
    ----------
    formula
        Outcome and fixed effects over the columns of ``data``, e.g. ``"score ~ weeks * arm"``.
    data
        One row an observation. Rows with a missing value in a used column are left out and counted in ``n_excluded``.
    groups
        Column that names each row's group (the person, in a growth model).
    slopes
        Numeric columns whose coefficient differs between groups.
    reml
        Restricted maximum likelihood; False for maximum likelihood (to compare models with different fixed effects).
    ci_level
        Confidence level of the fixed effects' intervals.

    Raises
    ------
    StatisticsError
        If there are fewer than two groups, no more observations than random effects (each group needs more rows than it
        has random effects, on average), or the fixed effects are not identified.

    Warns
    -----
    ConvergenceWarning
        If the optimiser did not converge or the fit is singular; ``note`` says which.

    Notes
    -----
    The (restricted) likelihood is profiled over fixed effects and residual variance, as in lme4, and maximised over the
    Cholesky factor of :math:`\Psi/\sigma^2` with each slope scaled to SD 1; a variance of exactly zero is allowed. Estimates
    agree with lme4; statsmodels' MixedLM, tried first, stops early on raw time scales and near zero variances (see
    docs/methods/change.md).

    References
    ----------
    Laird, N. M., & Ware, J. H. (1982). Biometrics, 38, 963-974. Bates, D., et al. (2015). J. Stat. Softw., 67(1).
    """
    used = complete_rows(formula, data, extra=(groups, *slopes), as_is=(groups,))
    rows = used.rows
    outcome, design = patsy.dmatrices(formula, _plain(rows), return_type="dataframe")
    y, x = outcome.iloc[:, 0].to_numpy(dtype=float), design.to_numpy(dtype=float)
    codes, names = pd.factorize(rows[groups])
    z = np.column_stack([np.ones(len(rows)), *(rows[s].to_numpy(dtype=float) for s in slopes)])
    _check(x, z, len(names))
    if y.std() == 0:
        raise StatisticsError(problem("mixed model", "the outcome does not vary."))
    scale = np.array([1.0, *(float(z[:, i].std()) for i in range(1, z.shape[1]))])
    if (scale == 0).any():
        raise StatisticsError(problem("mixed model", "a random slope's predictor is constant."))
    factor, residual, loglik, converged = _optimise(y, x, z / scale, codes, len(names), reml=reml)
    if residual <= NO_RESIDUAL * float(y.var()):
        raise StatisticsError(problem("mixed model", "the model fits the outcome exactly, so nothing is left to estimate from."))
    singular = bool((np.diag(factor) < SINGULAR).any())
    psi = factor @ factor.T * residual / np.outer(scale, scale)
    beta, covariance, random = _solve(y, x, z, codes, len(names), psi, residual)
    note = "; ".join(
        text
        for text, holds in (
            ("the optimiser did not converge: variances and intervals may be off", not converged),
            ("singular fit: a variance is near zero or a correlation near ±1, so the random effects are not told apart", singular),
            (f"few groups ({len(names)}): intervals may be too short", len(names) < FEW_GROUPS),
        )
        if holds
    )
    if singular or not converged:
        warnings.warn(problem("mixed model", note + "."), ConvergenceWarning, stacklevel=2)
    labels = [INTERCEPT, *slopes]
    variances = {labels[i]: float(psi[i, i]) for i in range(len(labels))}
    variances |= {f"{labels[i]}:{labels[j]}": float(psi[i, j]) for j in range(len(labels)) for i in range(j)}
    variances[RESIDUAL] = residual
    return MixedFit(
        estimates=_table(list(design.columns), beta, covariance, ci_level), variances=variances, loglik=loglik,
        df=x.shape[1] + len(variances), converged=converged, singular=singular, n=len(rows), n_groups=len(names),
        n_excluded=used.n_excluded, reml=reml, ci_level=ci_level, note=note,
        random_effects=pd.DataFrame(random, columns=labels, index=pd.Index(names, name=groups)),
        covariance=covariance, design=design.design_info,
    )  # fmt: skip


def _plain(frame: pd.DataFrame) -> dict[str, Any]:
    """Return columns as numpy arrays: the formula engine knows neither nullable nor Arrow-backed types."""
    return {
        str(c): frame[c].to_numpy(dtype=float) if pd.api.types.is_numeric_dtype(frame[c]) else frame[c].to_numpy(dtype=object)
        for c in frame.columns
    }


def _check(x: Numbers, z: Numbers, n_groups: int) -> None:
    if n_groups < 2:
        raise StatisticsError(problem("mixed model", f"{n_groups} groups; at least two are needed."))
    if len(x) <= n_groups * z.shape[1]:
        raise StatisticsError(
            problem(
                "mixed model",
                f"{len(x)} observations of {n_groups} groups cannot tell {z.shape[1]} random effects a group from the residual.",
                hint="fewer random effects, or more occasions.",
            )
        )
    if not identified(x):
        raise StatisticsError(problem("mixed model", "the fixed effects determine one another, so they are not identified."))


@dataclass(frozen=True, slots=True)
class _Cross:
    """Cross products that the deviance needs: of the random effects by group, with an orthonormal basis of the fixed ones."""

    zz: Numbers
    zx: Numbers
    zy: Numbers
    yy: float
    n: int
    log_det: float  # of X'X, lost by orthonormalising

    @property
    def p(self) -> int:
        return int(self.zx.shape[2])


def _cross(y: Numbers, x: Numbers, z: Numbers, codes: NDArray[np.intp], n_groups: int) -> _Cross:
    basis, triangle = np.linalg.qr(x)
    rest = y - basis @ (basis.T @ y)  # the likelihood does not change, and no digits are lost to a large mean
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(n_groups))
    zs, others = z[order], np.column_stack([z, basis, rest])[order]
    products = np.add.reduceat(zs[:, :, None] * others[:, None, :], starts, axis=0)
    q = z.shape[1]
    zz, zx, zy = products[:, :, :q], products[:, :, q:-1], products[:, :, -1]
    return _Cross(zz, zx, zy, float(rest @ rest), len(y), 2 * float(np.log(np.abs(np.diag(triangle))).sum()))


def _deviance(theta: Numbers, cross: _Cross, q: int, reml: bool) -> tuple[float, float]:
    """Return −2 log likelihood, with fixed effects and residual variance at their best for theta, and that variance.

    Theta fills the lower triangle of the Cholesky factor of Ψ/σ² row by row (Bates et al. 2015, eq. 39 and 41).
    """
    factor = np.zeros((q, q))
    factor[np.tril_indices(q)] = theta
    root = np.linalg.cholesky(factor.T @ cross.zz @ factor + np.eye(q))
    half = np.linalg.solve(root, factor.T @ np.concatenate([cross.zx, cross.zy[:, :, None]], axis=2))
    zx, zy = half[:, :, :-1], half[:, :, -1]
    fixed = np.eye(cross.p) - np.einsum("gik,gil->kl", zx, zx)
    score = -np.einsum("gik,gi->k", zx, zy)
    inner = np.linalg.cholesky(fixed)
    solved = np.linalg.solve(inner, score)
    rss = max(cross.yy - float((zy**2).sum()) - float(solved @ solved), np.finfo(float).tiny)
    log_det = 2 * float(np.log(np.einsum("gii->gi", root)).sum())
    df = cross.n - cross.p if reml else cross.n
    value = log_det + df * (1 + np.log(2 * np.pi * rss / df))
    if reml:
        value += 2 * float(np.log(np.diag(inner)).sum()) + cross.log_det
    return float(value), rss / df


def _optimise(
    y: Numbers, x: Numbers, z: Numbers, codes: NDArray[np.intp], n_groups: int, *, reml: bool
) -> tuple[Numbers, float, float, bool]:
    """Return the Cholesky factor of Ψ/σ² (for the scaled z), σ², the log likelihood and whether the search converged.

    Two starts of a bounded quasi-Newton search, the better one polished by a simplex, which needs no derivatives at the
    boundary. A variance of exactly zero is allowed and found.
    """
    q = z.shape[1]
    cross = _cross(y, x, z, codes, n_groups)
    rows, columns = np.tril_indices(q)
    bounds = [(0.0 if i == j else None, None) for i, j in zip(rows, columns, strict=True)]

    def deviance(theta: Numbers) -> float:
        return _deviance(theta, cross, q, reml)[0]

    starts = [np.where(rows == columns, size, 0.0) for size in (1.0, 0.1)]
    found = [minimize(deviance, s, method="L-BFGS-B", bounds=bounds) for s in starts]
    first = min(found, key=lambda f: float(f.fun))
    polished = minimize(
        deviance, first.x, method="Nelder-Mead", bounds=bounds,
        options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 400 * len(rows), "initial_simplex": _simplex(first.x)},
    )  # fmt: skip
    best = polished if polished.fun <= first.fun else first
    value, residual = _deviance(best.x, cross, q, reml)
    factor = np.zeros((q, q))
    factor[rows, columns] = best.x
    return factor, residual, -value / 2, bool(polished.success)


def _simplex(centre: Numbers) -> Numbers:
    """Return a small simplex around a point: the optimum is near, and the default one would be flat in a zero coordinate."""
    return np.vstack([centre, centre + np.diag(np.maximum(0.02 * np.abs(centre), 1e-3))])


def _solve(
    y: Numbers, x: Numbers, z: Numbers, codes: NDArray[np.intp], n_groups: int, psi: Numbers, residual: float
) -> tuple[Numbers, Numbers, Numbers]:
    """Return generalised least squares, its covariance, and the predicted random effects, by the Woodbury identity."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(n_groups))
    stacked = np.column_stack([z, x, y])[order]
    cross = np.add.reduceat(stacked[:, :, None] * stacked[:, None, :], starts, axis=0)
    q, k = z.shape[1], x.shape[1]
    zz, zx, zy = cross[:, :q, :q], cross[:, :q, q : q + k], cross[:, :q, -1]
    xx, xy = cross[:, q : q + k, q : q + k].sum(axis=0), cross[:, q : q + k, -1].sum(axis=0)
    # V⁻¹ = (I − Z (σ²I + ΨZ'Z)⁻¹ Ψ Z') / σ², which stays defined if Ψ is singular.
    inner = np.linalg.solve(residual * np.eye(q) + psi @ zz, np.broadcast_to(psi, zz.shape))
    information = (xx - np.einsum("gik,gij,gjl->kl", zx, inner, zx)) / residual
    score = (xy - np.einsum("gik,gij,gj->k", zx, inner, zy)) / residual
    covariance = np.linalg.inv(information)
    beta = covariance @ score
    random = np.einsum("gij,gj->gi", inner, zy - zx @ beta)
    return beta, (covariance + covariance.T) / 2, random


def _table(names: list[str], beta: Numbers, covariance: Numbers, ci_level: float) -> pd.DataFrame:
    std_error = np.sqrt(np.diag(covariance))
    half = norm.ppf(0.5 + ci_level / 2) * std_error
    return pd.DataFrame(
        {
            "term": names, "estimate": beta, "std_error": std_error, "ci_low": beta - half, "ci_high": beta + half,
            "p_value": 2 * norm.sf(np.abs(beta) / std_error),
        }
    )  # fmt: skip

r"""How do people change on average, and how much do persons, therapists and sites differ? Nested linear mixed models.

.. math:: y = x'\beta + \sum_l z_l'b_l + e, \quad b_l \sim N(0, \Psi_l), \quad e \sim N(0, \sigma^2)

with :math:`z_l = (1, \text{slopes})` at each level: every person (therapist, site) has an own intercept and, if asked for, own
slopes, freely correlated.

Vocabulary
----------
REML      restricted maximum likelihood: variances that allow for the fixed effects having been estimated
singular  an estimated variance of zero or a correlation of ±1: the data do not tell the random effects apart
mode      what the model says of one unit: its most likely deviation from the average, shrunken towards it
share     a variance over all variance (intraclass correlation, variance partition coefficient)
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from attachment_outcomes.errors import ConvergenceWarning, StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.design import columns_of, design_of
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.mixed.moments import Moments
from attachment_outcomes.inference.mixed.posterior import Known, posterior
from attachment_outcomes.inference.mixed.reading import PLACE, Slopes, moments_of
from attachment_outcomes.inference.mixed.search import Search, optimum
from attachment_outcomes.inference.mixed.small_samples import Uncertainty, kenward_roger, robust, satterthwaite
from attachment_outcomes.inference.mixed.working import Working, working

Numbers = NDArray[np.float64]
INTERCEPT, RESIDUAL = "intercept", "residual"
FEW = 10  # units of a level below which its variance is known to its order of magnitude only


@dataclass(frozen=True, kw_only=True)
class MixedFit:
    """A fitted model.

    ``estimates``   a row a fixed effect: term, estimate, std_error, df (Satterthwaite), ci_low, ci_high, p_value (t), in the
                    outcome's unit
    ``variances``   name to variance: ``intercept``, slopes and covariances (``intercept:slope``) of the lowest level; those of
                    the levels above with the group before (``therapist_id: intercept``); ``residual``
    ``loglik``      (restricted) log likelihood at the estimates
    ``df``          number of parameters: fixed effects, variances and covariances
    ``n_groups``, ``n_clusters``   units of the lowest and of the highest level
    ``n_evaluations``  of the likelihood; ``n_passes`` of the data
    ``note``        in plain words, what limits the fit; empty if nothing does
    """

    estimates: pd.DataFrame
    variances: dict[str, float]
    loglik: float
    df: int
    converged: bool
    singular: bool
    n: int
    n_groups: int
    n_clusters: int
    n_excluded: int
    n_evaluations: int
    reml: bool
    ci_level: float
    note: str
    moments: Moments = field(repr=False)
    uncertainty: Uncertainty = field(repr=False)
    psis: tuple[Numbers, ...] = field(repr=False)  # in the data's units, lowest level first
    _working: Working = field(repr=False)
    _relative: list[Numbers] = field(repr=False)
    _beta: Numbers = field(repr=False)
    _inverse: Numbers = field(repr=False)
    _sigma2: float = field(repr=False)

    @property
    def covariance(self) -> Numbers:
        """Covariance of the fixed effects (p, p)."""
        return self.uncertainty.covariance

    @property
    def n_passes(self) -> int:
        """How often the data were read."""
        return self.moments.n_passes

    @property
    def groups(self) -> tuple[str, ...]:
        """The levels, lowest first."""
        return self.moments.recipe.groups

    @cached_property
    def variance_shares(self) -> pd.DataFrame:
        """A row a variance: group, term, variance, sd, correlation (with the level's intercept), share.

        The share is of all variance where every random slope's column is zero; see :meth:`shares` for elsewhere.
        """
        rows = []
        share = self.shares()
        for group, slopes, psi in zip(self.groups, self.moments.recipe.slopes, self.psis, strict=True):
            for k, term in enumerate([INTERCEPT, *slopes]):
                spread = np.sqrt(psi[0, 0] * psi[k, k])
                r = psi[0, k] / spread if k and spread > 0 else np.nan
                rows.append((group, term, psi[k, k], np.sqrt(psi[k, k]), r, share[group] if k == 0 else np.nan))
        residual = self.variances[RESIDUAL]
        rows.append((RESIDUAL, RESIDUAL, residual, np.sqrt(residual), np.nan, share[RESIDUAL]))
        return pd.DataFrame(rows, columns=["group", "term", "variance", "sd", "correlation", "share"])

    def shares(self, at: Mapping[str, float] | None = None) -> dict[str, float]:
        """Return each level's share of all variance where the random slopes' columns have the given values (default zero).

        Raises
        ------
        StatisticsError
            If a column has no random slope.
        """
        given = dict(at or {})
        known = {s for level in self.moments.recipe.slopes for s in level}
        for name in given:
            if name not in known:
                raise StatisticsError(problem(PLACE, f"{name!r} has no random slope.{did_you_mean(name, known)}"))
        parts = {}
        for group, slopes, psi in zip(self.groups, self.moments.recipe.slopes, self.psis, strict=True):
            z = np.array([1.0, *(given.get(s, 0.0) for s in slopes)])
            parts[group] = float(z @ psi @ z)
        parts[RESIDUAL] = self.variances[RESIDUAL]
        total = sum(parts.values())
        return {name: part / total for name, part in parts.items()}

    def combination(self, weights: ArrayLike) -> tuple[float, float, float, float, float]:
        """Return estimate, standard error, lower and upper limit and p value of a weighted sum of the fixed effects.

        ``weights`` has one number a term, in the order of ``estimates``; degrees of freedom are Satterthwaite's.
        """
        w = np.atleast_2d(np.asarray(weights, dtype=float))
        if w.shape != (1, len(self.estimates)):
            what = f"{w.size} weights for {len(self.estimates)} fixed effects."
            raise StatisticsError(problem(PLACE, what, hint="one a term, in the order of estimates."))
        estimate = w @ self.estimates["estimate"].to_numpy()
        table = coefficients(estimate, self.uncertainty.std_errors(w), self.uncertainty.df(w), [""], self.ci_level)
        value, std_error, low, high, p_value = table[["estimate", "std_error", "ci_low", "ci_high", "p_value"]].to_numpy()[0]
        return float(value), float(std_error), float(low), float(high), float(p_value)

    def kenward_roger(self) -> pd.DataFrame:
        """Return the fixed effects with Kenward–Roger standard errors and degrees of freedom, for few clusters.

        Raises
        ------
        StatisticsError
            If the fit is not REML, for which alone the correction is derived.
        """
        if not self.reml:
            raise StatisticsError(problem(PLACE, "the Kenward–Roger correction is for REML fits.", hint="fit with reml=True."))
        pieces, corrected = kenward_roger(self._working, self._relative, self._sigma2)
        return self._fixed_effects(np.sqrt(np.diag(corrected)), pieces.df(np.eye(len(corrected))))

    def robust(self) -> pd.DataFrame:
        """Return the fixed effects with cluster-robust (CR2) standard errors over the highest level, and their df.

        They hold whatever the true variances and correlations within a cluster are, with enough clusters.
        """
        found = robust(self._working, self._relative, self._beta, self._sigma2)
        return self._fixed_effects(np.sqrt(np.diag(found.covariance)), found.df(np.eye(len(found.covariance))))

    def _fixed_effects(self, std_error: Numbers, df: Numbers) -> pd.DataFrame:
        return coefficients(self.estimates["estimate"].to_numpy(), std_error, df, list(self.estimates["term"]), self.ci_level)

    def predict(self, new: pd.DataFrame, *, known: bool = False) -> pd.DataFrame:
        """Return predictions with their confidence bands for the rows of ``new``, in the outcome's unit.

        Columns: predicted, std_error, ci_low, ci_high. By default the average curve and the band about it. With ``known`` the
        expected scores of the persons that ``new`` names in the lowest group's column: with their modes, and a band (normal)
        for their uncertainty; the variances are taken as known.

        Raises
        ------
        StatisticsError
            If a predictor is absent or missing, or a person is unknown.
        """
        new = pd.DataFrame(new)
        recipe = self.moments.recipe
        spec = self.moments.spec
        if spec is None:
            spec = columns_of(recipe.formula, tuple((k, tuple(v)) for k, v in sorted(recipe.levels.items())), recipe.numeric)
        x = design_of(spec, new)
        if not known:
            pieces = self.uncertainty
            return self._band(x @ self.estimates["estimate"].to_numpy(), pieces.std_errors(x), pieces.df(x), new.index)
        return self._predict_known(new, x)

    def _predict_known(self, new: pd.DataFrame, x: Numbers) -> pd.DataFrame:
        work, recipe = self._working, self.moments.recipe
        slopes = list(dict.fromkeys(s for level in recipe.slopes for s in level))
        for name in (recipe.groups[0], *slopes):
            if name not in new.columns:
                raise StatisticsError(problem("prediction", f"no column {name!r}.{did_you_mean(name, new.columns)}"))
        who = work.labels[0].get_indexer(pd.Index(new[recipe.groups[0]]))
        if (who < 0).any():
            what = f"{int((who < 0).sum())} rows are of a {recipe.groups[0]!r} that the model does not know."
            raise StatisticsError(problem("prediction", what, hint="known=False predicts the average."))
        further = [
            np.ones(len(new)) if not c.name else (new[c.name].to_numpy(dtype=float) - c.centre) / c.unit for c in work.further
        ]
        rows = np.column_stack([x @ work.beta_back / work.scale, *further, np.zeros(len(new))])  # in working columns
        found = posterior(work, self._relative, self._beta, self._inverse)[0]
        mean = np.einsum("ij,ji->i", rows, found.coefficients[:, who])
        variance = np.einsum("ij,jki,ik->i", rows, found.spread[:, :, who], rows, optimize=True) * self._sigma2
        shift = x @ work.beta_shift
        std_error = np.sqrt(np.maximum(variance, 0.0)) * work.scale
        return self._band(mean * work.scale + shift, std_error, np.full(len(x), np.inf), new.index)

    def _band(self, predicted: Numbers, std_error: Numbers, df: Numbers, index: pd.Index) -> pd.DataFrame:
        table = coefficients(predicted, std_error, df, [""] * len(predicted), self.ci_level)
        return table.rename(columns={"estimate": "predicted"})[["predicted", "std_error", "ci_low", "ci_high"]].set_index(index)

    @cached_property
    def _posterior(self) -> list[Known]:
        p = self._working.problem.p
        return posterior(self._working, self._relative, self._beta, np.zeros((p, p)))

    def modes(self, group: str | None = None) -> pd.DataFrame:
        """Return each unit's deviation from the average, and how sure it is: <group>, term, estimate, std_error.

        ``group`` is a level (default: the lowest). The standard error is the conditional one, fixed effects and variances
        taken as known.

        Raises
        ------
        StatisticsError
            If there is no such level.
        """
        name = self.groups[0] if group is None else group
        if name not in self.groups:
            raise StatisticsError(problem(PLACE, f"no level {name!r}.{did_you_mean(name, self.groups)}"))
        level = self.groups.index(name)
        found, back = self._posterior[level], self._working.z_back[level]
        modes = back @ found.modes
        spread = np.sqrt(np.einsum("ab,bcn,ac->an", back, found.covariance, back) * self._sigma2)
        terms = [INTERCEPT, *self.moments.recipe.slopes[level]]
        return pd.DataFrame(
            {
                name: np.repeat(self._working.labels[level], len(terms)), "term": terms * modes.shape[1],
                "estimate": modes.T.ravel(), "std_error": spread.T.ravel(),
            }
        )  # fmt: skip

    @cached_property
    def random_effects(self) -> pd.DataFrame:
        """The lowest level's modes, a row a unit and a column a term, in the order of the data."""
        found = self._working.z_back[0] @ self._posterior[0].modes
        frame = pd.DataFrame(found.T, columns=[INTERCEPT, *self.moments.recipe.slopes[0]], index=self._working.labels[0])
        return frame.reindex(self.moments.labels[0]).rename_axis(self.groups[0])


def mixed_model(
    formula: str,
    data: pd.DataFrame | str | Path | Moments,
    *,
    groups: str | Sequence[str],
    slopes: Slopes = (),
    reml: bool = True,
    ci_level: float = CI_LEVEL,
) -> MixedFit:
    r"""Fit a linear mixed model with random intercepts and, if named, random slopes at up to any number of nested levels.

    Parameters
    ----------
    formula
        Outcome and fixed effects over the columns of ``data``, e.g. ``"score ~ weeks * arm"``.
    data
        One row an observation: a table, or the path of a Parquet file that is read a chunk at a time. Or the merged moments of
        parts (:func:`merge_moments`), of the same formula, groups and slopes. Rows with a missing value in a used column are left
        out and counted in ``n_excluded``.
    groups
        Column that names each row's group (the person, in a growth model), or several for nested levels, lowest first:
        ``("person_id", "therapist_id", "site_id")``.
    slopes
        Numeric columns whose coefficient differs between the lowest level's units; or by group, e.g.
        ``{"person_id": ["weeks"], "therapist_id": ["weeks"]}``.
    reml
        Restricted maximum likelihood; False for maximum likelihood (to compare models with different fixed effects).
    ci_level
        Confidence level of the fixed effects' intervals.

    Raises
    ------
    StatisticsError
        If groups are too few or not nested, there are too few rows to tell the random effects from the residual, the fixed
        effects determine one another or the outcome, or a column cannot be used; the message names it.

    Warns
    -----
    ConvergenceWarning
        If the search did not end at an optimum or the fit is singular; ``note`` says which.

    Notes
    -----
    One pass over the data makes each person's cross products; the (restricted) likelihood is profiled over fixed effects and
    residual variance as in lme4 and maximised over the Cholesky factors of the relative covariances, with exact gradients (see
    docs/methods/mixed-models.md). Estimates agree with lme4. Intervals use Satterthwaite's degrees of freedom.

    References
    ----------
    Laird, N. M., & Ware, J. H. (1982). Biometrics, 38, 963-974. Bates, D., et al. (2015). J. Stat. Softw., 67(1). Fai, A. H.-T.,
    & Cornelius, P. L. (1996). J. Stat. Comput. Simul., 54, 363-378.
    """
    if not 0 < ci_level < 1:
        raise StatisticsError(problem(PLACE, f"ci_level {ci_level} is not between 0 and 1."))
    if isinstance(data, Moments):
        moments, recipe = data, data.recipe
        names = (groups,) if isinstance(groups, str) else tuple(groups)
        given = dict(slopes) if isinstance(slopes, Mapping) else {names[0]: slopes}
        if (formula, names, tuple(tuple(given.get(n, ())) for n in names)) != (recipe.formula, recipe.groups, recipe.slopes):
            what = f"the moments are of {recipe.formula!r} with groups {recipe.groups} and slopes {recipe.slopes}."
            raise StatisticsError(problem(PLACE, what, hint="fit that model, or make the moments anew."))
    else:
        moments = moments_of(formula, data, groups=groups, slopes=slopes)
    fit = fit_moments(moments, reml=reml, ci_level=ci_level)
    if fit.singular or not fit.converged:
        warnings.warn(problem(PLACE, fit.note + "."), ConvergenceWarning, stacklevel=2)
    return fit


def fit_moments(moments: Moments, *, reml: bool, ci_level: float) -> MixedFit:
    """Fit the model whose moments these are (:func:`mixed_model` without its warnings)."""
    recipe = moments.recipe
    work = working(moments)
    search = Search(work.problem, reml, tuple(e.shape[1] for e in work.es))
    best = optimum(search)
    relative, residual = search.psis(best.theta), best.sigma2
    pieces = satterthwaite(work.beta_back, best.curvature, best.top.inverse[0], residual)
    beta = work.beta_back @ best.top.beta[0] + work.beta_shift
    psis = tuple(residual * back @ psi @ back.T for back, psi in zip(work.z_back, relative, strict=True))
    names = variance_names(recipe.groups, recipe.slopes)
    variances = dict(zip(names, [*_variances(psis), residual * work.scale**2], strict=True))
    df = work.problem.n - work.problem.p if reml else work.problem.n
    units = [len(label) for label in work.labels]
    note = _note(best.converged, best.singular, dict(zip(recipe.groups, units, strict=True)))
    weights = np.eye(len(beta))
    return MixedFit(
        estimates=coefficients(beta, pieces.std_errors(weights), pieces.df(weights), recipe.fixed, ci_level), variances=variances,
        loglik=-(best.deviance + 2 * df * np.log(work.scale)) / 2, df=len(beta) + len(variances), converged=best.converged,
        singular=best.singular, n=work.problem.n, n_groups=units[0], n_clusters=units[-1], n_excluded=moments.n_excluded,
        n_evaluations=search.count, reml=reml, ci_level=ci_level, note=note, moments=moments, uncertainty=pieces, psis=psis,
        _working=work, _relative=relative, _beta=best.top.beta[0], _inverse=best.top.inverse[0], _sigma2=residual,
    )  # fmt: skip


def coefficients(estimate: Numbers, std_error: Numbers, df: Numbers, terms: Sequence[str], ci_level: float) -> pd.DataFrame:
    """Return a row a coefficient with its t interval and two-sided p value."""
    half = stdtrit(df, 0.5 + ci_level / 2) * std_error
    ratio = np.divide(np.abs(estimate), std_error, out=np.full(len(estimate), np.nan), where=std_error > 0)
    return pd.DataFrame(
        {
            "term": list(terms), "estimate": estimate, "std_error": std_error, "df": df, "ci_low": estimate - half,
            "ci_high": estimate + half, "p_value": 2 * stdtr(df, -ratio),
        }
    )  # fmt: skip


def variance_names(groups: Sequence[str], slopes: Sequence[Sequence[str]]) -> list[str]:
    """Return the names of variances and covariances, lowest level first, the residual's last."""
    found: list[str] = []
    for level, (group, names) in enumerate(zip(groups, slopes, strict=True)):
        labels, before = [INTERCEPT, *names], f"{group}: " if level else ""
        found += [f"{before}{label}" for label in labels]
        found += [f"{before}{labels[i]}:{labels[j]}" for j in range(len(labels)) for i in range(j)]
    return [*found, RESIDUAL]


def _variances(psis: Sequence[Numbers]) -> list[float]:
    """Return the variances and covariances in the order of their names."""
    found: list[float] = []
    for psi in psis:
        found += [float(v) for v in np.diag(psi)]
        found += [float(psi[i, j]) for j in range(len(psi)) for i in range(j)]
    return found


def _note(converged: bool, singular: bool, units: dict[str, int]) -> str:
    told = []
    if not converged:
        told.append("the search did not end at an optimum: variances and intervals may be off; try fewer random effects")
    if singular:
        told.append(
            "singular fit: a variance is near zero or a correlation near ±1, so the random effects are not told apart; "
            "fixed effects hold, and a model without that random effect fits as well"
        )
    few = [f"few {name} ({count}): their variances are known roughly" for name, count in units.items() if count < FEW]
    return "; ".join(told + few)

"""What does a logistic mixed model say? Odds ratios, variances, modes and predicted probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import norm

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.design import design_of
from attachment_outcomes.inference.logistic_mixed.nested import Numbers

INTERCEPT, RESIDUAL = "intercept", "residual"
LATENT_VARIANCE = np.pi**2 / 3  # of the standard logistic distribution, in squared log odds
GRID = np.linspace(-9.0, 9.0, 241)  # standard deviations; the trapezoid rule is exact to 1e-10 up to a sd of 10 log odds
DENSITY = norm.pdf(GRID) * (GRID[1] - GRID[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticFit:
    """A fitted logistic model with nested random intercepts.

    ``estimates``   a row a fixed effect: term, estimate and std_error [log odds], ci_low, ci_high, p_value (Wald, normal),
                    odds_ratio, odds_ratio_low, odds_ratio_high; for a typical unit, all of whose random intercepts are 0
    ``variances``   name to variance [squared log odds]: ``intercept`` of the lowest level, ``<group>: intercept`` of others
    ``loglik``      approximated log likelihood of the rows
    ``df``          number of parameters: fixed effects and variances
    ``singular``    whether a variance is zero
    ``n_groups``, ``n_clusters``  number of groups at the lowest and the highest level
    ``note``        in plain words, what limits the fit; empty if nothing does
    ``n_evaluations``  how often the likelihood and its gradient were computed
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
    quadrature: int
    ci_level: float
    note: str
    n_evaluations: int
    groups: tuple[str, ...]
    covariance: Numbers = field(repr=False)
    """Of the fixed effects."""
    sd_covariance: Numbers = field(repr=False)
    """Of the standard deviations (lowest first) and then the fixed effects; zero where a standard deviation is zero."""
    design: Any = field(repr=False)
    intercepts: Mapping[str, pd.DataFrame] = field(repr=False)

    @property
    def variance_shares(self) -> pd.DataFrame:
        r"""A row a level: group, term, variance, sd, share, intraclass; on the latent scale, where the residual has π²/3.

        ``share`` is :math:`\sigma_l^2/(\sum\sigma^2+\pi^2/3)`; ``intraclass`` the correlation of two observations of one unit of
        the group, which also have everything above the group in common.
        """
        values = np.array([*self.variances.values(), LATENT_VARIANCE])
        share = values / values.sum()
        together = np.append(np.cumsum(share[-2::-1])[::-1], np.nan)
        terms = [INTERCEPT] * len(self.groups) + [RESIDUAL]
        return pd.DataFrame(
            {
                "group": [*self.groups, ""], "term": terms, "variance": values, "sd": np.sqrt(values), "share": share,
                "intraclass": together,
            }
        )  # fmt: skip

    def modes(self, group: str) -> pd.DataFrame:
        """Return each unit's random intercept [log odds]: its group, term, estimate (conditional mode) and std_error.

        Raises
        ------
        StatisticsError
            If the model has no such group.
        """
        if group not in self.intercepts:
            raise StatisticsError(problem("logistic mixed model", f"no group {group!r}.{did_you_mean(group, self.groups)}"))
        return self.intercepts[group].copy()

    def combination(self, weights: ArrayLike) -> tuple[float, float, float, float, float]:
        """Return estimate, standard error, lower and upper limit and p value of a weighted sum of the fixed effects [log odds]."""
        w = np.asarray(weights, dtype=float)
        estimate = float(w @ self.estimates["estimate"].to_numpy())
        std_error = float(np.sqrt(w @ self.covariance @ w))
        half = float(norm.ppf(0.5 + self.ci_level / 2)) * std_error
        p_value = float(2 * norm.sf(abs(estimate) / std_error)) if std_error > 0 else np.nan
        return estimate, std_error, estimate - half, estimate + half, p_value

    def predict(self, new: pd.DataFrame) -> pd.DataFrame:
        r"""Return probabilities for the rows of ``new``, which need the predictors only.

        Columns: ``predicted`` for a typical unit (all random intercepts 0) with ``std_error``, ``ci_low``, ``ci_high``; and
        ``population`` averaged over units, :math:`\int \mathrm{logit}^{-1}(x'\beta + s z)\,\phi(z)\,dz` with
        :math:`s^2 = \sum\sigma_l^2`, with ``population_std_error``, ``population_ci_low``, ``population_ci_high``. Intervals are
        symmetric in log odds; those of the average allow for the standard deviations having been estimated.
        """
        x = design_of(self.design, new)
        eta = x @ self.estimates["estimate"].to_numpy()
        variance = np.array(list(self.variances.values()))
        spread = float(np.sqrt(variance.sum()))
        average, by_eta, by_spread = (np.empty(len(eta)) for _ in range(3))
        for i, at in enumerate(eta):
            p = expit(at + spread * GRID)
            slope = p * (1 - p) * DENSITY
            average[i], by_eta[i], by_spread[i] = p @ DENSITY, slope.sum(), slope @ GRID
        by_sd = by_spread[:, None] * (np.sqrt(variance) / spread if spread > 0 else np.zeros_like(variance))
        typical = self._band("", expit(eta), (expit(eta) * expit(-eta))[:, None] * x, self.covariance)
        population = self._band("population", average, np.column_stack([by_sd, by_eta[:, None] * x]), self.sd_covariance)
        return pd.DataFrame(typical | population, index=new.index)

    def _band(self, name: str, p: Numbers, slopes: Numbers, covariance: Numbers) -> dict[str, Numbers]:
        """Return probabilities with standard errors and limits, by the delta method in log odds."""
        std_error = np.sqrt(np.einsum("ij,jk,ik->i", slopes, covariance, slopes))
        half = norm.ppf(0.5 + self.ci_level / 2) * std_error / (p * (1 - p))
        stem = f"{name}_" if name else ""
        return {
            name or "predicted": p,
            f"{stem}std_error": std_error,
            f"{stem}ci_low": expit(logit(p) - half),
            f"{stem}ci_high": expit(logit(p) + half),
        }

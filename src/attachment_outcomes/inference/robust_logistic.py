r"""How sure is a log odds where people share a family, few of them, or where predictors separate the outcomes?

The logistic model at its solution is a weighted least-squares model of the working response; HC3 and CR2 are taken there, as for
least squares (:mod:`.robust_ols`).

Vocabulary
----------
separation  a predictor tells the outcomes apart without error, so that the likelihood has no maximum
Firth       the likelihood times the root of the information's determinant; its maximum is always finite, and less biased
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.design import identified
from attachment_outcomes.inference.robust_ols import Fit, fit

Numbers = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

HC3, CR2 = "logistic, HC3", "logistic, cluster-robust (CR2, Satterthwaite)"
FIRTH = "logistic, Firth's penalised likelihood, error of the model"
FIRTH_NOTE = "the predictors separate the outcomes, so that only a penalised estimate is finite"
_STEPS = 100
_CONVERGED = 1e-10
_SEPARATED = 1e-8  # fitted probabilities this near to 0 or 1 are on their way to it
_LONGEST = 5.0  # of one step, log odds


@dataclass(frozen=True, slots=True)
class LogisticFit:
    """Coefficients (p,) with their ``covariance`` (p, p): that of ``robust``, or, of a penalised fit, the model's."""

    coefficients: Numbers
    robust: Fit | None
    covariance: Numbers

    @property
    def penalised(self) -> bool:
        """Whether only the penalised estimate was finite."""
        return self.robust is None

    @property
    def method(self) -> str:
        """Name of the estimate and its covariance."""
        if self.robust is None:
            return FIRTH
        return HC3 if self.robust.small is None else CR2

    def error(self, weights: Numbers) -> tuple[float, float]:
        """Return the standard error of a weighted sum of coefficients, and its degrees of freedom."""
        return float(np.sqrt(weights @ self.covariance @ weights)), np.inf if self.robust is None else self.robust.df(weights)


def logistic_fit(design: Numbers, outcome: Numbers, codes: Whole | None = None) -> LogisticFit:
    r"""Fit a logistic model with HC3, or CR2 if rows have clusters; by Firth's penalty where outcomes are separated.

    With weights :math:`w = \hat p(1 - \hat p)` and the working response :math:`\eta + (y - \hat p)/w`, errors are those of least
    squares on rows times :math:`\sqrt{w}`. Without clusters they are those of ``vcovHC(glm, "HC3")`` in R.

    Parameters
    ----------
    design : (n, p)
        Predictors, the intercept among them.
    outcome : (n,)
        0 or 1.
    codes : (n,) integers from 0, optional
        Cluster of each row. A penalised fit does not allow for them.

    Raises
    ------
    StatisticsError
        If rows do not outnumber coefficients, these are not identified, the outcome has one value only, or a row or cluster decides
        a coefficient alone.

    References
    ----------
    Firth, D. (1993). Biometrika, 80, 27-38. Pustejovsky, J. E., & Tipton, E. (2018). J. Bus. Econ. Stat., 36, 672-683.
    """
    n, p = design.shape
    if n <= p:
        raise StatisticsError(problem("logistic regression", f"{n} complete rows for {p} coefficients."))
    if not identified(design):
        what = "the predictors determine one another, so the coefficients are not identified."
        raise StatisticsError(problem("logistic regression", what, hint="is a group empty or a predictor constant?"))
    if not np.isin(outcome, (0.0, 1.0)).all() or outcome.min() == outcome.max():
        raise StatisticsError(problem("logistic regression", "the outcome must hold both 0 and 1 and nothing else."))
    beta, chance = _maximum(design, outcome, penalised=False)
    if np.minimum(chance, 1 - chance).min() < _SEPARATED or not np.isfinite(beta).all():
        beta, chance = _maximum(design, outcome, penalised=True)
        weight = chance * (1 - chance)
        return LogisticFit(beta, None, np.asarray(np.linalg.inv((design * weight[:, None]).T @ design), dtype=np.float64))
    root = np.sqrt(chance * (1 - chance))
    working = design @ beta + (outcome - chance) / root**2
    robust = fit(design * root[:, None], working * root, codes)
    return LogisticFit(beta, robust, np.asarray(robust.parts.T @ robust.parts, dtype=np.float64))


def _maximum(design: Numbers, outcome: Numbers, *, penalised: bool) -> tuple[Numbers, Numbers]:
    """Return coefficients and fitted probabilities by Fisher scoring with steps of limited length."""
    beta = np.zeros(design.shape[1])
    chance = np.full(len(outcome), 0.5)
    for _ in range(_STEPS):
        weight = np.maximum(chance * (1 - chance), 1e-12)
        information = (design * weight[:, None]).T @ design
        residual = outcome - chance
        if penalised:
            leverage = weight * np.einsum("ij,ji->i", design, np.linalg.solve(information, design.T))
            residual = residual + leverage * (0.5 - chance)
        step = np.linalg.solve(information, design.T @ residual)
        longest = np.abs(design @ step).max()
        beta = beta + step * min(1.0, _LONGEST / longest if longest > 0 else 1.0)
        chance = np.asarray(expit(design @ beta), dtype=np.float64)
        if longest < _CONVERGED or (not penalised and np.minimum(chance, 1 - chance).min() < _SEPARATED):
            break
    return beta, chance

r"""How large may the highest groups' differences be? Profile likelihood of their standard deviation, and the test of none.

.. math:: \{\sigma : 2[\ell(\hat\theta) - \max_{\theta : \sigma_L = \sigma}\ell(\theta)] \le \chi^2_1(c)\}

The limits are not symmetric, and the lower one is 0 where a model without the highest level fits nearly as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq, minimize
from scipy.stats import chi2

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.design import build_design
from attachment_outcomes.inference.logistic_mixed.likelihood import evaluate
from attachment_outcomes.inference.logistic_mixed.nested import Numbers, make_nest
from attachment_outcomes.inference.logistic_mixed.result import LogisticFit

PLACE = "profile likelihood"
FIRST_STEP = 0.5  # log odds above the estimate where the upper limit is first looked for
LARGEST = 30.0  # log odds: as far as the model's own search goes
PRECISE = 1e-3  # log odds
LEAST_START = 0.2  # log odds: the likelihood is level at a lower standard deviation of 0, whether it is best or not
FLAT = 1e-4  # slope of the log likelihood, by a parameter in standard errors, at which the inner search stops


@dataclass(frozen=True, slots=True, kw_only=True)
class TopSd:
    """Standard deviation of the highest level [log odds] with its profile limits, and the test that it is 0.

    ``statistic`` is twice the log likelihood that the level adds; ``p_value`` takes its null as half χ² of 0 and half of 1 degree
    of freedom, since a standard deviation of 0 lies at the edge of what is possible. ``ci_high`` is infinite where none is found.
    """

    estimate: float
    ci_low: float
    ci_high: float
    ci_level: float
    statistic: float
    p_value: float


def top_sd(fit: LogisticFit, formula: str, data: pd.DataFrame) -> TopSd:
    """Return the interval of the highest level's standard deviation by profile likelihood, and the test of no differences.

    Parameters
    ----------
    fit
        A fitted model; its groups, quadrature and confidence level are taken.
    formula, data
        What it was fitted to.

    Raises
    ------
    StatisticsError
        If the fit did not converge, or the data are not those of the fit.

    References
    ----------
    Self, S. G., & Liang, K.-Y. (1987). JASA, 82, 605-610. Venzon, D. J., & Moolgavkar, S. H. (1988). Applied Statistics, 37, 87-94.
    """
    if not fit.converged:
        raise StatisticsError(problem(PLACE, "the model did not converge."))
    profile = _profile(fit, formula, data)
    best = float(np.sqrt(list(fit.variances.values())[-1]))
    top = max(profile(best), fit.loglik)
    drop = float(chi2.ppf(fit.ci_level, 1)) / 2

    def beyond(sd: float) -> float:
        # The root of the fall is nearly straight in the standard deviation, so that few steps find where it meets its limit.
        return float(np.sqrt(max(top - profile(sd), 0.0)) - np.sqrt(drop))

    statistic = max(2 * (top - profile(0.0)), 0.0) if best > 0 else 0.0
    low = 0.0 if statistic / 2 <= drop else float(brentq(beyond, 0.0, best, xtol=PRECISE))
    near, far = best, best + FIRST_STEP
    while beyond(far) < 0:
        near, far = far, best + 2 * (far - best)
        if far > LARGEST:
            break
    high = float("inf") if far > LARGEST else float(brentq(beyond, near, far, xtol=PRECISE))
    return TopSd(
        estimate=best, ci_low=low, ci_high=high, ci_level=fit.ci_level, statistic=statistic,
        p_value=float(chi2.sf(statistic, 1)) / 2 if statistic > 0 else 1.0,
    )  # fmt: skip


def _profile(fit: LogisticFit, formula: str, data: pd.DataFrame) -> Callable[[float], float]:
    """Return the log likelihood, largest over all other parameters, as a function of the highest standard deviation."""
    design = build_design(formula, data, extra=fit.groups, as_is=fit.groups)
    if len(design.y) != fit.n or design.x.shape[1] != len(fit.estimates):
        raise StatisticsError(problem(PLACE, "formula and data are not those of the fit."))
    codes = [pd.factorize(design.rows[group])[0] for group in fit.groups]
    basis, triangle = np.linalg.qr(design.x)
    nest, _ = make_nest(design.y, basis * np.sqrt(len(basis)), codes)
    lower = np.sqrt(list(fit.variances.values())[:-1])
    to_search = np.eye(len(lower) + 1 + len(triangle))
    to_search[len(lower) + 1 :, len(lower) + 1 :] = triangle / np.sqrt(len(basis))
    # The others' best values move little with the one that is held, so each search starts where the last one ended.
    here = np.append(lower, to_search[len(lower) + 1 :, len(lower) + 1 :] @ fit.estimates["estimate"].to_numpy(dtype=float))
    unit = float(np.sqrt(len(design.y)))  # about one standard error of each parameter
    metric = _others(to_search @ fit.sd_covariance @ to_search.T, len(lower), unit) * unit**2
    count = len(lower)
    state: dict[str, Any] = {"at": here, "modes": [np.zeros(len(starts)) for starts in nest.starts]}

    def profile(sd: float) -> float:
        def minus(scaled: Numbers) -> tuple[float, Numbers]:
            parameters = scaled / unit
            found = evaluate(nest, np.append(parameters[:count], sd), parameters[count:], state["modes"], fit.quadrature)
            if found.mode.found:
                state["modes"] = found.mode.u
            return -found.value, -np.delete(found.gradient, count) / unit

        start = np.append(np.maximum(np.abs(state["at"][:count]), LEAST_START), state["at"][count:])
        options = {"gtol": FLAT, "hess_inv0": metric}
        inner: Any = minimize(minus, start * unit, jac=True, method="BFGS", options=options)
        state["at"] = inner.x / unit
        return float(-inner.fun)

    return profile


def _others(covariance: Numbers, held: int, unit: float) -> Numbers:
    """Return the covariance of the other parameters given the one that is held, to begin a search with.

    Where a standard deviation is zero and has no variance, the unit's takes its place.
    """
    known = np.isfinite(covariance).all() and covariance[held, held] > 0 and (np.diag(covariance) > 0).all()
    keep = np.arange(len(covariance)) != held
    found: Numbers = covariance[np.ix_(keep, keep)].copy()
    if known:
        found = np.linalg.inv(np.linalg.inv(covariance)[np.ix_(keep, keep)])
    if not np.isfinite(found).all():
        found = np.zeros_like(found)
    np.fill_diagonal(found, np.where(np.diag(found) > 0, np.diag(found), 1 / unit**2))
    return (found + found.T) / 2

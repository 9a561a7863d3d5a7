"""How much of a score's variance is due to what all its items share? McDonald's omega total of one factor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.factor.fit import fit_structure
from attachment_outcomes.inference.factor.indices import fit_indices
from attachment_outcomes.inference.factor.moments import moments_of
from attachment_outcomes.inference.factor.structure import Structure, diagonal, structure
from attachment_outcomes.measures.instruments import Instrument
from attachment_outcomes.measures.reliability import ANALYSIS, keyed_scales
from attachment_outcomes.measures.scoring import ItemMatrix

METHOD = "McDonald's omega total of one factor, maximum likelihood with missing answers, robust delta interval of ln(1 - omega)"
LEAST_ITEMS = 3  # with two items one factor is not identified


@dataclass(frozen=True)
class Omega:
    """Omega total with its interval; ``n`` questionnaires with any answer to the ``k`` items, ``n_complete`` with all.

    ``cfi`` and ``rmsea`` say how well one factor fits: where it does not, omega has no plain meaning.
    """

    omega: float
    std_error: float
    ci_low: float
    ci_high: float
    n: int
    n_complete: int
    k: int
    cfi: float
    rmsea: float
    proper: bool


def one_factor(k: int) -> Structure:
    """Return the model of k items with one factor of variance 1."""
    return structure(
        loadings=[[f"loading {i}"] for i in range(k)],
        intercepts=[f"intercept {i}" for i in range(k)],
        factor_covariance=[[1]],
        factor_means=[0],
        uniqueness=diagonal([f"uniqueness {i}" for i in range(k)]),
    )


def omega_total(answers: np.ndarray | pd.DataFrame, *, ci_level: float = CI_LEVEL) -> Omega:
    r"""McDonald's omega total of keyed answers, from a model of one factor.

    .. math:: \omega = \frac{(\sum_i \lambda_i)^2}{(\sum_i \lambda_i)^2 + \sum_i \theta_i}

    with the loadings :math:`\lambda_i` on a factor of variance 1 and the uniquenesses :math:`\theta_i`. The interval is
    :math:`1 - \exp(\ln(1-\omega) \pm z\, s/(1-\omega))`, s the delta method's standard error from the sandwich, which does not
    take the answers as normal.

    Parameters
    ----------
    answers : (n, k) array or frame
        Answers after reversal, k of 3 or more; NaN = not answered, at random given the other answers.
    ci_level : float
        Confidence level.

    Raises
    ------
    StatisticsError
        With fewer than three items, no more people than items, an item that does not vary, or if the factor model has no
        solution.

    Notes
    -----
    It equals alpha where all loadings are equal, and is at least as large otherwise. Items on few steps are treated as
    continuous, so this is the omega of the sum score as it is used.

    References
    ----------
    .. [1] McDonald, R. P. (1999). Test theory: A unified treatment. Erlbaum.
    """
    values = np.asarray(answers, dtype=float)
    if values.ndim != 2 or values.shape[1] < LEAST_ITEMS:
        raise StatisticsError(f"omega needs {LEAST_ITEMS} items or more")
    k = values.shape[1]
    fit = fit_structure(one_factor(k), moments_of(values))
    if not fit.converged:
        raise StatisticsError("omega: the search for the one-factor model did not end")
    found, error = fit.derived(_omega, fit.covariance_of_estimates(errors="robust"))["omega"]
    half = float(norm.ppf((1 + ci_level) / 2)) * error / (1 - found) if found < 1 else math.nan
    low, high = (1 - (1 - found) * math.exp(s * half) for s in (1, -1))
    indices = fit_indices(fit)
    complete = int((~np.isnan(values)).all(axis=1).sum())
    return Omega(found, error, low, high, fit.n, complete, k, indices.cfi, indices.rmsea, fit.proper)


def _omega(parameters: Mapping[str, float]) -> dict[str, float]:
    common = sum(v for name, v in parameters.items() if name.startswith("loading")) ** 2
    return {"omega": common / (common + sum(v for name, v in parameters.items() if name.startswith("uniqueness")))}


def omega_estimates(
    matrices: Mapping[str, ItemMatrix], instruments: Mapping[str, Instrument], *, ci_level: float = CI_LEVEL
) -> list[Estimate]:
    """Return omega total of every scale made from three items or more, at the occasions where alpha is estimated.

    Parameters
    ----------
    matrices : mapping
        Instrument key to its answers.
    instruments : mapping
        Instrument key to its form.
    ci_level : float
        Confidence level.
    """
    rows: list[Estimate] = []
    for part in keyed_scales(matrices, instruments, least_items=LEAST_ITEMS):
        try:
            found = omega_total(part.keyed, ci_level=ci_level)
        except StatisticsError as error:
            reason = f"omega: {error}"
            rows.append(not_testable(ANALYSIS, f"{part.group}: {reason}" if part.group else reason, outcome=part.outcome))
            continue
        answered = ~np.isnan(part.keyed).all(axis=1)
        people = part.people[answered].nunique()
        note = f"{found.k} items; {found.n_complete} of {found.n} questionnaires complete"
        note += f"; one factor: CFI {found.cfi:.3f}, RMSEA {found.rmsea:.3f}"
        note += "" if found.proper else "; a uniqueness is not above 0"
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand="omega_total", estimate=found.omega, method=METHOD, outcome=part.outcome,
                group=part.group, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level,
                n=found.n, n_clusters=people, unit="reliability", direction="higher is better", note=note,
            )
        )  # fmt: skip
    return rows

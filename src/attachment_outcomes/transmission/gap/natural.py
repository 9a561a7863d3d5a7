r"""By how much would children more often be secure through the mediators alone, on the scale of chances?

Where the child's attachment is a class, a logistic model keeps chances between 0 and 1, which the linear paths do not. The parts
are then differences of chances, computed by standardisation:

.. math::

    \operatorname{logit} P(y = 1) = \gamma_0 + \gamma_x x + \gamma_m' m, \qquad m \mid x \sim N(\alpha + \beta x, \Sigma)

.. math::

    \mu(x, x') = E\,\operatorname{expit}\{\gamma_0 + \gamma_x x + \gamma_m'(\alpha + \beta x') + s Z\}, \quad
    s^2 = \gamma_m' \Sigma \gamma_m

Vocabulary
----------
natural direct    mu(1, 0) - mu(0, 0): secure against insecure parents, mediators as insecure parents have them
natural indirect  mu(1, 1) - mu(1, 0): mediators as secure against as insecure parents have them, parents secure
total             their sum

The words are those of Pearl (2001); they are causal only if nothing unmeasured stands behind parent, mediators and child.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.monte_carlo import interval_of_draws, normal_draws
from attachment_outcomes.inference.proportions import as_numbers, cluster_codes
from attachment_outcomes.transmission.gap.estimation import complete_table

Numbers = NDArray[np.float64]

ANALYSIS, DEFINITION = "transmission_gap", "natural effects"
METHOD = "logistic standardisation, Monte-Carlo, cluster-robust"
ESTIMANDS = ("total", "indirect_total", "gap")
NODES = 21  # of the quadrature; ten digits for s up to 5
STEPS, SMALL, LARGEST = 50, 1e-10, 30.0  # Newton's method; coefficients of standardised variables beyond this mean separation
DRAWS = 10_000
LEAST_FAMILIES = 2
PLACE = "natural effects"


class Fit(NamedTuple):
    """Coefficients of all models in one list, and what each pair adds to them (n, parameters)."""

    values: Numbers
    influence: Numbers
    mediators: int


def natural_effects(
    parent: ArrayLike,
    mediators: ArrayLike,
    child: ArrayLike,
    *,
    rng: np.random.Generator,
    families: ArrayLike | None = None,
    outcome: str = "",
    draws: int = DRAWS,
    ci_level: float = CI_LEVEL,
    having: str = "secure",
) -> list[Estimate]:
    """Split the difference in children's chances of security between two levels of the parent into its natural parts.

    Parameters
    ----------
    parent : (n,)
        A class as 1 and 0, which are compared; of a score, half an SD above and below its mean.
    mediators : (n, m)
        Scores; none missing. Of one mediator (n,) will do.
    child : (n,)
        1 (secure) or 0.
    rng
        Generator of the Monte-Carlo draws.
    families : (n,), optional
        What pairs share; the covariance of all coefficients together is summed within them.
    outcome, draws, ci_level
        As for :func:`.estimation.transmission_gap`.
    having
        What a child with 1 is called.

    Returns
    -------
    list of Estimate
        definition ``natural effects``: total, indirect_total and gap (the natural direct part), in proportions, higher meaning
        more secure children of more secure parents.

    Raises
    ------
    StatisticsError
        If the child is not a class; there are fewer than 10 pairs or two families; something is missing, no number or does not
        vary; lengths differ; or parent and mediators tell secure from insecure children without error.

    References
    ----------
    Pearl, J. (2001). Direct and indirect effects. UAI 17, 411-420. VanderWeele, T. J., & Vansteelandt, S. (2010). American Journal
    of Epidemiology, 172, 1339-1348 (mediation with a logistic outcome; there odds ratios, here differences).
    """
    scores = as_numbers(mediators, place=PLACE, what="mediators")
    if scores.ndim not in (1, 2):
        raise StatisticsError(problem(PLACE, f"mediators have shape {scores.shape}; allowed: (n, m)."))
    table = complete_table(parent, dict(enumerate(np.atleast_2d(scores.T))), child)  # type: ignore[arg-type]
    x, m, y = table[:, 0], table[:, 1:-1], table[:, -1]
    if not np.isin(y, (0.0, 1.0)).all() or len(np.unique(y)) < 2:
        raise StatisticsError("natural effects are of a child's class; this child's attachment is a score, or does not vary")
    if (np.ptp(table, axis=0) == 0).any():
        raise StatisticsError("natural effects: the parent or a mediator does not vary among the pairs with everything")
    if np.isin(x, (0.0, 1.0)).all():
        low, high = 0.0, 1.0
    else:
        low, high = x.mean() - x.std() / 2, x.mean() + x.std() / 2
    codes = np.arange(len(x)) if families is None else cluster_codes(families, n=len(x), missing="refuse")
    groups = int(codes.max()) + 1
    if groups < LEAST_FAMILIES:
        raise StatisticsError(problem(PLACE, "all rows belong to one family; at least two are needed."))
    fit = fitted(x, (m - m.mean(axis=0)) / m.std(axis=0), y)
    sums = np.zeros((groups, fit.influence.shape[1]))
    np.add.at(sums, codes, fit.influence)
    mean, drawn = normal_draws(fit.values, groups / (groups - 1) * (sums.T @ sums), rng=rng, draws=draws)
    whole, many = (parts(v, fit.mediators, low, high) for v in (mean[None], drawn))
    rows = []
    for place, estimand in enumerate(ESTIMANDS):
        found = interval_of_draws(float(whole[0, place]), many[:, place], ci_level=ci_level)
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand=estimand, outcome=outcome, definition=DEFINITION, primary=False,
                estimate=found.estimate, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level,
                n=len(x), n_clusters=groups, unit="proportion", method=METHOD,
                note=f"difference in chances that the child is {having}",
            )
        )  # fmt: skip
    return rows


def fitted(x: Numbers, m: Numbers, y: Numbers) -> Fit:
    """Fit the logistic model of the child and the linear ones of the mediators.

    Parameters are gamma (m + 2), alpha and beta by mediator (2 m), and the covariances of the mediators' errors, row by row on
    and above the diagonal.

    Raises
    ------
    StatisticsError
        If classes are told apart without error, so that the logistic model has no estimate.
    """
    n, many = m.shape
    design = np.column_stack([np.ones(n), x, m])
    gamma = np.zeros(many + 2)
    for _ in range(STEPS):
        chance = expit(design @ gamma)
        information = (design * (chance * (1 - chance))[:, None]).T @ design
        try:
            step = np.linalg.solve(information, design.T @ (y - chance))
        except np.linalg.LinAlgError:
            step = np.full(len(gamma), np.inf)
        gamma = gamma + step
        if not np.isfinite(gamma).all() or np.abs(gamma[2:]).max() > LARGEST:
            raise StatisticsError("parent and mediators tell secure from insecure children without error: no logistic model")
        if np.abs(step).max() < SMALL:
            break
    else:
        raise StatisticsError("the logistic model of the child did not converge")
    of_gamma = (design * (y - chance)[:, None]) @ np.linalg.inv(information)
    simple = design[:, :2]
    bread = np.linalg.inv(simple.T @ simple)
    lines = bread @ simple.T @ m
    errors = m - simple @ lines
    of_lines = (errors[:, None, :] * (simple @ bread)[:, :, None]).reshape(n, -1)
    rows, columns = np.triu_indices(many)
    products = errors[:, rows] * errors[:, columns]
    spread = products.mean(axis=0)
    return Fit(
        np.concatenate([gamma, lines.ravel(), spread]),
        np.column_stack([of_gamma, of_lines, (products - spread) / n]),
        many,
    )


def parts(values: Numbers, many: int, low: float, high: float) -> Numbers:
    """Return total, indirect and direct difference, (draws, 3), of parameters (draws, p)."""
    gamma, lines, spread = np.split(values, [many + 2, 3 * many + 2], axis=1)
    alpha, beta = lines[:, :many], lines[:, many:]
    rows, columns = np.triu_indices(many)
    weight = np.where(rows == columns, 1.0, 2.0)
    slopes = gamma[:, 2:]
    variance = (slopes[:, rows] * slopes[:, columns] * weight * spread).sum(axis=1)
    sd = np.sqrt(np.clip(variance, 0, None))
    nodes, weights = hermegauss(NODES)

    def chance(at: float, mediators_at: float) -> Numbers:
        index = gamma[:, 0] + gamma[:, 1] * at + (slopes * (alpha + beta * mediators_at)).sum(axis=1)
        return np.asarray(expit(index[:, None] + sd[:, None] * nodes) @ (weights / weights.sum()))

    both, direct, neither = chance(high, high), chance(high, low), chance(low, low)
    return np.column_stack([both - neither, both - direct, direct - neither])

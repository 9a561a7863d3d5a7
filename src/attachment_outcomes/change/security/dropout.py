r"""What would the share be if those without an end had been seen? Weights for being seen, and bounds without a model.

Vocabulary
----------
complete cases   only people who were seen at the end: right if those lost would have fared as those seen
weighted         people seen count for people like them who were not: right if, given the covariates, being seen is by chance
worst, best      nobody (everybody) who was lost reached security: right whatever the reason, and as wide as the loss
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.design import identified

Numbers = NDArray[np.float64]
PLACE = "weights for drop-out"
STEPS = 50
TOLERANCE = 1e-10  # of the largest coefficient's step, in SDs of its covariate
LEAST_CHANCE = 1e-6  # below it somebody could practically not have been seen, and no weight stands for such people


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedShare:
    """A share weighted for drop-out. ``influence`` (n,) has mean 0 and allows for the weights being estimated.

    ``n_seen`` of ``n`` were seen; ``effective`` is how many people seen the weights leave, ``largest`` the largest weight.
    """

    estimate: float
    influence: Numbers
    n: int
    n_seen: int
    effective: float
    largest: float


def chances_of_being_seen(seen: ArrayLike, covariates: ArrayLike) -> tuple[Numbers, Numbers]:
    """Return each person's chance of being seen by a logistic model with an intercept, and the design (n, k) it used.

    Raises
    ------
    StatisticsError
        If a covariate is missing or constant, covariates determine one another, or they tell exactly who was seen.
    """
    r, given = np.asarray(seen, dtype=float), np.asarray(covariates, dtype=float)
    if given.ndim != 2 or len(given) != len(r):
        raise StatisticsError(problem(PLACE, f"covariates have shape {given.shape}; allowed: {len(r)} rows."))
    if not np.isfinite(given).all():
        lacking = int((~np.isfinite(given)).any(axis=1).sum())
        raise StatisticsError(
            problem(
                PLACE,
                f"{lacking} of {len(r)} people {'lacks' if lacking == 1 else 'lack'} a covariate.",
                hint="name only covariates that everybody has.",
            )
        )
    design = np.column_stack([np.ones(len(r)), given])
    sd = given.std(axis=0)
    if len(r) <= design.shape[1] or not (sd > 0).all() or not identified(design):
        raise StatisticsError(problem(PLACE, "the covariates are constant, determine one another, or are too many."))
    design[:, 1:] = (given - given.mean(axis=0)) / sd  # for the arithmetic; the chances do not depend on it
    beta = np.zeros(design.shape[1])
    for _ in range(STEPS):
        p = expit(design @ beta)
        information = design.T @ (design * (p * (1 - p))[:, None])
        if not np.isfinite(information).all() or np.linalg.cond(information) > 1 / np.finfo(float).eps:
            raise StatisticsError(
                problem(PLACE, "the covariates tell exactly who was seen, so that no weight stands for the others.")
            )
        step = np.linalg.solve(information, design.T @ (r - p))
        beta = beta + step
        if np.abs(step).max() < TOLERANCE:
            break
    p = expit(design @ beta)
    if np.abs(step).max() >= TOLERANCE or p.min() < LEAST_CHANCE:
        raise StatisticsError(problem(PLACE, "the covariates tell exactly who was seen, so that no weight stands for the others."))
    return p, design


def filled(covariates: Numbers, seen: NDArray[np.bool_]) -> Numbers:
    """Return covariates without gaps: a missing one is the mean, with a column that says so where that may tell who stays.

    The column is left out where all (or none) of those who lack the covariate were seen, since no weight could be had from it; so
    is a covariate that nobody has.

    References
    ----------
    Rosenbaum, P. R., & Rubin, D. B. (1984). JASA, 79, 516-524 (the column).
    """
    columns: list[Numbers] = []
    for x in covariates.T:
        lacking = np.isnan(x)
        if lacking.all():
            continue
        columns.append(np.where(lacking, x[~lacking].mean(), x))
        if lacking.any() and 0 < seen[lacking].mean() < 1:
            columns.append(lacking.astype(float))
    return np.column_stack(columns) if columns else np.empty((len(seen), 0))


def weighted_share(reached: ArrayLike, seen: ArrayLike, covariates: ArrayLike) -> WeightedShare:
    r"""Return the share who reached something, weighted by the inverse chance of being seen.

    .. math::

        \hat\theta = \frac{\sum_i R_i Y_i / \hat p_i}{\sum_i R_i / \hat p_i}, \quad
        \psi_i = \frac{R_i (Y_i - \theta)/p_i}{A} + B' I^{-1} z_i (R_i - p_i)

    with :math:`R` whether a person was seen, :math:`\hat p` from a logistic model on :math:`z`, A the mean of :math:`R/p`,
    :math:`B = -\overline{R (Y - \theta)(1 - p) z / p}/A` and :math:`I = \overline{p(1 - p) z z'}`: the second part is what
    estimating the weights adds (usually it takes away).

    Parameters
    ----------
    reached : (n,) booleans
        Whether a person reached it; ignored where not seen.
    seen : (n,) booleans
        Whether a person was seen at the end. If everybody was, this is the plain share.
    covariates : (n, k) floats
        What was known of everybody beforehand.

    Raises
    ------
    StatisticsError
        If nobody was seen; see also :func:`chances_of_being_seen`.

    References
    ----------
    Robins, J. M., Rotnitzky, A., & Zhao, L. P. (1994). JASA, 89, 846-866. Lunceford, J. K., & Davidian, M. (2004). Statistics in
    Medicine, 23, 2937-2960 (the ratio form and its variance).
    """
    r = np.asarray(seen, dtype=bool)
    y = np.where(r, np.asarray(reached, dtype=float), 0.0)
    n, n_seen = len(r), int(r.sum())
    if n_seen == 0:
        raise StatisticsError(problem(PLACE, "nobody was seen at the end."))
    if n_seen == n:
        value = float(y.mean())
        return WeightedShare(estimate=value, influence=y - value, n=n, n_seen=n, effective=float(n), largest=1.0)
    p, z = chances_of_being_seen(r, covariates)
    weight = np.where(r, 1 / p, 0.0)
    value = float((weight * y).sum() / weight.sum())
    mean_weight = weight.mean()
    own = weight * (y - value) / mean_weight
    bend = -(own * (1 - p)) @ z / n
    information = z.T @ (z * (p * (1 - p))[:, None]) / n
    influence = own + (z * (r - p)[:, None]) @ np.linalg.solve(information, bend)
    return WeightedShare(
        estimate=value, influence=influence, n=n, n_seen=n_seen, effective=float(weight.sum() ** 2 / (weight**2).sum()),
        largest=float(weight.max()),
    )  # fmt: skip

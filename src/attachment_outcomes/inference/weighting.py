r"""What would the mean be if everybody had been seen? Weights by the inverse of the probability of being seen.

Vocabulary
----------
step          from one occasion to the next; a person stays or leaves for good
weight        of a person seen: the share seen over the person's own probability of being seen (stabilised)
effective n   number of equally weighted people that would tell as much
positivity    everybody has some chance of being seen; where nearly nobody like a person is seen, no weight can stand in
truncated     a weight above the bound is put at the bound: a little bias for less variance
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.design import identified
from attachment_outcomes.inference.effects import Effect, effect
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import as_numbers, cluster_codes

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

PLACE = "inverse-probability weights"
TRUNCATE = 0.99  # quantile of the weights that becomes their bound
LEAST_PROBABILITY = 0.01  # one person may then stand for at most a hundred
_STEPS, _SETTLED, _SURE = 50, 1e-10, 1e-8
BALANCE_COLUMNS = ["predictor", "mean_all", "mean_seen", "mean_weighted", "difference_before", "difference_after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenWeights:
    """Weights of ``n`` people and what their estimation adds to an estimate's error.

    ``weights`` (n,) are 0 for who was not seen; ``seen`` (n,); ``effective_n``; ``bound`` and how many were ``n_truncated`` to it;
    ``coefficients`` (k,) of the logistic model, with ``scores`` (n, k) and ``information`` (k, k) of its likelihood; ``slopes``
    (n, k) derivatives of the weights by the coefficients; ``least`` the smallest probability of anybody seen.
    """

    weights: Numbers
    seen: Flags
    effective_n: float
    bound: float
    n_truncated: int
    coefficients: Numbers
    scores: Numbers
    information: Numbers
    slopes: Numbers
    least: float


def seen_weights(
    design: ArrayLike,
    stays: ArrayLike,
    *,
    person: ArrayLike | None = None,
    truncate: float = TRUNCATE,
    least_probability: float = LEAST_PROBABILITY,
) -> SeenWeights:
    r"""Estimate each person's probability of being seen at the end, and the weights of those who are.

    .. math:: \hat p_{it} = \mathrm{expit}(x_{it}'\hat\gamma), \quad w_i = \frac{\bar R}{\prod_t \hat p_{it}}

    with :math:`\bar R` the share seen. A person has a row for each step until leaving or the end, so that leaving may depend on the
    last score seen; with one step it is an ordinary logistic regression of being seen.

    Parameters
    ----------
    design : (r, k)
        Predictors of each row, the intercept (or one for each step) among them.
    stays : (r,)
        1 if the person stays over the step.
    person : (r,) integers, optional
        Whose row it is, from 0; without it every row is a person.
    truncate
        Quantile of the weights that bounds them, above 0.5; 1 for none.
    least_probability
        Refused if anybody at risk has a smaller estimated probability of staying over a step, or anybody seen of being seen.

    Raises
    ------
    StatisticsError
        If all or none stay, the model is not identified, predictors separate who stays from who leaves, a person has rows after
        leaving, or a probability is below ``least_probability``.

    References
    ----------
    Robins, J. M., Rotnitzky, A., & Zhao, L. P. (1995). JASA, 90, 106-121. Seaman, S. R., & White, I. R. (2013). Statistical
    Methods in Medical Research, 22, 278-295 (review, truncation, stabilising).
    """
    x, y = as_numbers(design, place=PLACE, what="predictors"), as_numbers(stays, place=PLACE, what="values of stays")
    who = np.arange(len(y)) if person is None else np.asarray(person, dtype=np.int64)
    if x.ndim != 2 or y.shape != (len(x),) or who.shape != y.shape:
        raise _refuse(
            f"found {x.shape} predictors, {y.shape} values of stays and {who.shape} people; allowed: a row for each step."
        )
    for name, value, low in (("truncate", truncate, 0.5), ("least_probability", least_probability, 0.0)):
        if not low <= value <= 1:
            raise _refuse(f"found {name} {value:g}; allowed: {low:g} to 1.")
    if not np.isfinite(x).all() or not np.isin(y, (0, 1)).all():
        raise _refuse("a predictor is missing, or stays is neither 0 nor 1.")
    n = int(who.max()) + 1 if len(who) else 0
    gone = np.bincount(who, weights=1 - y, minlength=n)
    last = pd.Series(y).groupby(who).last()
    if len(last) < n or (gone > 1).any() or ((gone == 1) & (last.to_numpy() == 1)).any():
        raise _refuse("a person has no row, or rows after leaving.")
    if y.min() == y.max():
        raise _refuse("everybody stays, so there is nothing to weight." if y.min() == 1 else "nobody stays.")
    gamma, p = _logistic(x, y)
    seen = gone == 0
    if not seen.any():
        raise _refuse("nobody is seen at the end.")
    chance = np.exp(np.bincount(who, weights=np.log(p), minlength=n))
    least = float(min(p.min(), chance[seen].min()))
    if least < least_probability:
        what = f"somebody's estimated probability of being seen is {least:.2g}, below {least_probability:g} (positivity)."
        raise _refuse(what, hint="leave out the predictor that sets them apart, or accept a smaller probability.")
    weights = np.where(seen, seen.mean() / chance, 0.0)
    bound = float(np.quantile(weights[seen], truncate))
    over = weights > bound * (1 + 1e-12)
    slopes = -weights[:, None] * _sums((1 - p)[:, None] * x, who, n)
    slopes[over] = 0.0
    weights[over] = bound
    return SeenWeights(
        weights=weights, seen=seen, effective_n=float(weights.sum() ** 2 / (weights**2).sum()), bound=bound,
        n_truncated=int(over.sum()), coefficients=gamma, scores=_sums((y - p)[:, None] * x, who, n),
        information=(x * (p * (1 - p))[:, None]).T @ x, slopes=slopes, least=least,
    )  # fmt: skip


def weighted_mean(
    values: ArrayLike,
    weights: SeenWeights,
    *,
    clusters: ArrayLike | pd.Series | None = None,
    scale: Literal["identity", "logit"] = "identity",
    ci_level: float = CI_LEVEL,
) -> Effect:
    r"""Return the weighted mean of those seen, with an interval that allows for the estimation of the weights.

    .. math::

        \hat\mu = \frac{\sum w_i y_i}{\sum w_i}, \quad
        u_i = \frac{n}{\sum w}\big[w_i (y_i - \hat\mu) + d' I^{-1} s_i\big], \quad
        d = \sum_i \frac{\partial w_i}{\partial\gamma}(y_i - \hat\mu)

    the influence of stacked estimating equations (the logistic model's score s with information I, and the mean's), summed within
    clusters with the factor G/(G − 1) and t on G − 1 df (people: n − 1). A truncated weight counts as fixed.

    Parameters
    ----------
    values : (n,)
        Everybody's value; of those not seen it is not read.
    weights
        From :func:`seen_weights`.
    clusters : (n,) labels, optional
        Therapist of each person.
    scale
        ``logit`` makes the interval of a share on that scale; the estimate and its error stay on the share's.
    ci_level
        Confidence level.

    Raises
    ------
    StatisticsError
        If somebody who was seen has no value, shapes do not fit, or a logit is asked for of what is no share.

    References
    ----------
    Lunceford, J. K., & Davidian, M. (2004). Statistics in Medicine, 23, 2937-2960 (stacked equations for weighted means).
    """
    y = as_numbers(values, place=PLACE, what="values")
    if y.shape != weights.weights.shape:
        raise _refuse(f"found {y.shape} values for {len(weights.weights)} people.")
    y = np.where(weights.seen, y, 0.0)
    if not np.isfinite(y).all():
        raise _refuse("somebody who was seen has no value.")
    w = weights.weights
    mean = float(w @ y / w.sum())
    away = np.where(weights.seen, y - mean, 0.0)
    pull = np.linalg.solve(weights.information, weights.slopes.T @ away)
    influence = len(y) / w.sum() * (w * away + weights.scores @ pull)
    codes = None if clusters is None else cluster_codes(clusters, n=len(y))
    how = "weights by the inverse probability of being seen, stacked estimating equations" + ("" if codes is None else ", CR1")
    found = replace(effect(mean, influence, codes, method=how, ci_level=ci_level), n=int(weights.seen.sum()))
    if scale == "identity":
        return found
    if not (np.isin(y[weights.seen], (0, 1)).all() and 0 < mean < 1):
        raise _refuse("a logit needs a share that is neither 0 nor 1.")
    half = float(student.ppf(0.5 + ci_level / 2, found.df)) * found.std_error / (mean * (1 - mean))
    centre = math.log(mean / (1 - mean))
    return replace(found, ci_low=float(expit(centre - half)), ci_high=float(expit(centre + half)), p_value=math.nan)


def balance(predictors: ArrayLike, names: Sequence[str], weights: SeenWeights) -> pd.DataFrame:
    """Return how those seen differ from everybody, before and after weighting, in SDs of everybody.

    Parameters
    ----------
    predictors : (n, k)
        Known of everybody.
    names
        Of the k columns.
    weights
        From :func:`seen_weights`.

    Returns
    -------
    DataFrame
        ``BALANCE_COLUMNS``: means of everybody, of those seen, of those seen with weights; the differences of the latter two from
        the first in SDs (NaN where all are alike).
    """
    x = as_numbers(predictors, place=PLACE, what="predictors")
    if x.shape != (len(weights.weights), len(names)):
        raise _refuse(f"predictors have shape {x.shape} for {len(weights.weights)} people and {len(names)} names.")
    everybody, spread = x.mean(axis=0), x.std(axis=0, ddof=1)
    seen, weighted = x[weights.seen].mean(axis=0), weights.weights @ x / weights.weights.sum()
    unit = np.where(spread > 0, spread, np.nan)
    columns = [list(names), everybody, seen, weighted, (seen - everybody) / unit, (weighted - everybody) / unit]
    return pd.DataFrame(dict(zip(BALANCE_COLUMNS, columns, strict=True)))


def _logistic(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """Return the coefficients and fitted probabilities of a logistic regression (Newton)."""
    if len(y) <= x.shape[1] or not identified(x):
        raise _refuse("the predictors determine one another, or there are more of them than rows.")
    gamma = np.zeros(x.shape[1])
    with np.errstate(over="ignore"):
        for _ in range(_STEPS):
            p = expit(x @ gamma)
            weight = p * (1 - p)
            if np.minimum(p, 1 - p).min() < _SURE:
                break
            step = np.linalg.solve((x * weight[:, None]).T @ x, x.T @ (y - p))
            gamma = gamma + step
            if np.abs(x @ step).max() < _SETTLED:
                p = expit(x @ gamma)
                if np.minimum(p, 1 - p).min() < _SURE:
                    break
                return gamma, np.asarray(p, dtype=np.float64)
    raise _refuse("the predictors tell who stays from who leaves without error, so weights are not finite.",
                  hint="leave out the predictor that does, or join its categories.")  # fmt: skip


def _sums(values: Numbers, who: NDArray[np.int64], n: int) -> Numbers:
    return np.column_stack([np.bincount(who, weights=column, minlength=n) for column in values.T])


def _refuse(what: str, *, hint: str = "") -> StatisticsError:
    return StatisticsError(problem(PLACE, what, hint=hint))

r"""Do those with different values missing differ in what was seen of them? Normal maximum likelihood and Little's test.

Vocabulary
----------
pattern   which of the values are missing; people of one pattern are compared with what the others make expect
MCAR      missing completely at random: missing values are a random part; the test can only speak against it
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.design import identified
from attachment_outcomes.inference.proportions import as_numbers

Numbers = NDArray[np.float64]
PLACE = "Little's test"
MOST_ITERATIONS = 10_000
TOLERANCE = 1e-11  # of a parameter, in SDs


@dataclass(frozen=True, slots=True)
class NormalFit:
    """Maximum-likelihood mean (t,) and covariance (t, t) of incomplete normal rows, and the EM steps it took."""

    mean: Numbers
    covariance: Numbers
    iterations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LittleTest:
    """Little's chi-square, its degrees of freedom and p value; ``n`` rows with a value, in ``patterns`` patterns."""

    statistic: float
    df: int
    p_value: float
    n: int
    patterns: int


@dataclass(frozen=True, slots=True)
class _Pattern:
    seen: NDArray[np.int64]
    gone: NDArray[np.int64]
    n: int
    mean: Numbers
    products: Numbers  # of the seen values about their mean


def normal_fit(values: ArrayLike) -> NormalFit:
    """Return the maximum-likelihood mean and covariance of rows with missing values (EM over patterns).

    Parameters
    ----------
    values : (n, t)
        NaN where missing. Rows without any value are left out.

    Raises
    ------
    StatisticsError
        If a column has fewer than two different values, columns determine each other, or EM does not settle.

    References
    ----------
    Little, R. J. A., & Rubin, D. B. (2019). Statistical analysis with missing data (3rd ed.). Wiley, section 11.2.
    """
    y = _checked(values)
    centre, spread = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
    found = _em(_patterns((y - centre) / spread), y.shape[1])  # in SDs, so that the tolerance means the same for each
    return NormalFit(centre + spread * found.mean, found.covariance * np.outer(spread, spread), found.iterations)


def little_test(values: ArrayLike) -> LittleTest:
    r"""Test whether values are missing completely at random.

    .. math:: d^2 = \sum_p n_p (\bar y_p - \hat\mu_p)' \tilde\Sigma_{pp}^{-1} (\bar y_p - \hat\mu_p), \quad
        df = \sum_p t_p - t, \quad \tilde\Sigma = \frac{n}{n-1} \hat\Sigma

    over the patterns p, each with its :math:`t_p` columns seen.

    Parameters
    ----------
    values : (n, t)
        Scores of people at the occasions, NaN where missing; covariates may be columns too.

    Raises
    ------
    StatisticsError
        As :func:`normal_fit`; or if all rows have one pattern.

    Notes
    -----
    It presumes that patterns share one covariance, and has little power in small samples: no rejection is no evidence that
    values are missing at random, and rejection does not tell random given what was seen (MAR) from not at random.

    References
    ----------
    Little, R. J. A. (1988). JASA, 83, 1198-1202.
    """
    y = _checked(values)
    spread = np.nanstd(y, axis=0)
    patterns = _patterns((y - np.nanmean(y, axis=0)) / spread)
    df = sum(len(p.seen) for p in patterns) - y.shape[1]
    if df < 1:
        raise StatisticsError(problem(PLACE, "all people have the same values missing, so there is nothing to compare."))
    fit = _em(patterns, y.shape[1])
    covariance = fit.covariance * len(y) / (len(y) - 1)
    statistic = 0.0
    for p in patterns:
        away = p.mean - fit.mean[p.seen]
        statistic += p.n * float(away @ np.linalg.solve(covariance[np.ix_(p.seen, p.seen)], away))
    p_value = float(chi2.sf(statistic, df))
    return LittleTest(statistic=statistic, df=df, p_value=p_value, n=len(y), patterns=len(patterns))


def _checked(values: ArrayLike) -> Numbers:
    y = as_numbers(values, place=PLACE, what="values")
    if y.ndim != 2 or y.shape[1] < 2:
        raise StatisticsError(problem(PLACE, f"values have shape {y.shape}; allowed: people by two or more columns."))
    if np.isinf(y).any():
        raise StatisticsError(problem(PLACE, "a value is infinite."))
    y = y[~np.isnan(y).all(axis=1)]
    for column in range(y.shape[1]):
        if len(np.unique(y[~np.isnan(y[:, column]), column])) < 2:
            raise StatisticsError(problem(PLACE, f"column {column + 1} has fewer than two different values."))
    complete = y[~np.isnan(y).any(axis=1)]
    if len(complete) <= y.shape[1]:
        raise StatisticsError(
            problem(PLACE, f"{len(complete)} people are complete for {y.shape[1]} columns; more are needed.",
                    hint="leave out the occasion at which fewest were seen.")
        )  # fmt: skip
    if not identified(np.column_stack([np.ones(len(complete)), complete])):
        raise StatisticsError(problem(PLACE, "the columns determine one another."))
    return y


def _patterns(y: Numbers) -> list[_Pattern]:
    """Return what the likelihood needs of each pattern: its size, means and products, so that steps do not grow with n."""
    kinds, which = np.unique(np.isnan(y), axis=0, return_inverse=True)
    found = []
    for index, kind in enumerate(kinds):
        seen = np.flatnonzero(~kind)
        rows = y[which.ravel() == index][:, seen]
        mean = rows.mean(axis=0)
        found.append(_Pattern(seen, np.flatnonzero(kind), len(rows), mean, (rows - mean).T @ (rows - mean)))
    return found


def _em(patterns: list[_Pattern], t: int) -> NormalFit:
    n = sum(p.n for p in patterns)
    mean, covariance = np.zeros(t), np.eye(t)
    for iteration in range(1, MOST_ITERATIONS + 1):
        means, products = np.empty((len(patterns), t)), np.zeros((t, t))
        for row, p in zip(means, patterns, strict=True):
            row[p.seen] = p.mean
            o, g = p.seen, p.gone
            products[np.ix_(o, o)] += p.products
            if len(g):
                slope = np.linalg.solve(covariance[np.ix_(o, o)], covariance[np.ix_(o, g)])
                row[g] = mean[g] + (p.mean - mean[o]) @ slope
                shared = p.products @ slope
                products[np.ix_(o, g)] += shared
                products[np.ix_(g, o)] += shared.T
                products[np.ix_(g, g)] += slope.T @ shared
                products[np.ix_(g, g)] += p.n * (covariance[np.ix_(g, g)] - covariance[np.ix_(g, o)] @ slope)
        sizes = np.array([p.n for p in patterns], dtype=float)
        new = sizes @ means / n
        away = means - new
        spread = (products + (away * sizes[:, None]).T @ away) / n
        step = max(float(np.abs(new - mean).max()), float(np.abs(spread - covariance).max()))
        mean, covariance = new, spread
        if step < TOLERANCE:
            return NormalFit(mean, covariance, iteration)
    raise StatisticsError(problem(PLACE, f"the estimates have not settled after {MOST_ITERATIONS} steps; too much is missing."))

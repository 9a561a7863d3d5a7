"""How much of transmission runs through mediators, from data of families or from correlations alone?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.monte_carlo import DRAWS, normal_draws
from attachment_outcomes.inference.proportions import as_numbers, cluster_codes
from attachment_outcomes.inference.resampling import REPLICATES, Replicates, cluster_bootstrap
from attachment_outcomes.transmission.gap import intervals
from attachment_outcomes.transmission.gap.correlations import (
    correlations_of_sums,
    cross_products,
    olkin_siotani,
    on_fisher_z,
    robust_covariance,
    standardised,
    upper,
)
from attachment_outcomes.transmission.gap.intervals import ANALYSIS, CORRECTED, Drawn
from attachment_outcomes.transmission.gap.paths import Model, possible
from attachment_outcomes.transmission.gap.sensitivity import drawn_reliabilities

Numbers = NDArray[np.float64]
Bootstrap = Callable[[Callable[[Numbers], ArrayLike], Numbers], Replicates]

LEAST_PAIRS = 10  # with fewer, resampled families often hold nobody who differs
BOOTSTRAP, MONTE_CARLO = "cluster bootstrap, percentile", "Monte-Carlo of correlations"
PLACE = "transmission gap"
BESIDE_DRAWS = 10_000  # the Monte-Carlo interval stands beside that of the bootstrap
BESIDE = ("total", "indirect", "indirect_total", "gap", "share_unexplained")
NO_ERROR = "no interval: how many people the correlations rest on is not told"


@dataclass(frozen=True)
class Gap:
    """What mediation of transmission gives: estimates, and the curves of :mod:`.sensitivity`."""

    estimates: list[Estimate]
    sensitivity: pd.DataFrame = field(default_factory=pd.DataFrame)


def transmission_gap(
    parent: ArrayLike,
    mediators: pd.DataFrame | Mapping[str, ArrayLike],
    child: ArrayLike,
    *,
    rng: np.random.Generator,
    families: ArrayLike | None = None,
    reliabilities: Mapping[str, Mapping[str, Any]] | None = None,
    outcome: str = "",
    replicates: int = REPLICATES,
    draws: int = BESIDE_DRAWS,
    ci_level: float = CI_LEVEL,
    bootstrap: Bootstrap | None = None,
    sensitivity: bool = True,
) -> Gap:
    r"""Split the association of a parent's with a child's attachment into what runs through mediators and the gap.

    .. math:: c = c' + \sum_j a_j b_j

    with :math:`c` the correlation of parent and child, :math:`a_j` that of parent and mediator, and :math:`b_j`, :math:`c'` the
    standardised coefficients of child on mediators and parent. All are associations: who is sensitive was not allotted.

    Parameters
    ----------
    parent, child : (n,) float arrays
        Attachment of both members of a pair: a class as 1 (secure) and 0, or a score; none missing.
    mediators : DataFrame or mapping of (n,) float arrays
        Each mediator by its name, in the order in which they act where they act one after the other; none missing.
    rng
        Generator of the bootstrap and of the Monte-Carlo draws.
    families : (n,), optional
        What pairs share; families are drawn as a whole. Without, every pair is its own.
    reliabilities : mapping, optional
        Variable (``parent``, ``child`` or a mediator's name) to ``value`` and, where it is not exactly known, ``n`` people.
    outcome
        What the rows are about.
    replicates, draws
        Of the bootstrap, and of the Monte-Carlo interval.
    ci_level
        Confidence level.
    bootstrap
        Another way to draw families: takes a statistic of sums and what is summed.
    sensitivity
        Whether to look at unmeasured causes and unreliable mediators too.

    Returns
    -------
    Gap
        Estimates of the analysis ``transmission_gap``: total, path, indirect (``group``: mediators of the chain), indirect_total,
        gap, share_unexplained, rho_at_zero; definitions ``parallel`` (primary) and ``serial``, with one mediator
        ``product of correlations``, with reliabilities ``parallel, corrected for unreliability``. Methods: percentiles of the
        bootstrap of families (primary), Monte-Carlo, and the joint-significance test. ``sensitivity``: curves.

    Raises
    ------
    StatisticsError
        If there are fewer than 10 pairs or two families, something is missing or does not vary, a variable follows from the
        others, or shapes differ.

    References
    ----------
    van IJzendoorn, M. H. (1995). Psychological Bulletin, 117, 387-403 (the transmission gap). MacKinnon, D. P., Lockwood, C. M., &
    Williams, J. (2004). Multivariate Behavioral Research, 39, 99-128 (intervals of indirect paths).
    """
    model = Model(tuple(str(name) for name in mediators))
    values = complete_table(parent, mediators, child)
    for place, name in enumerate(model.variables):
        if np.ptp(values[:, place]) == 0:
            raise StatisticsError(f"{name} does not vary among the pairs with everything")
    matrix, covariance, groups = robust_covariance(values, families)
    if np.isnan(possible(matrix)).any():
        raise StatisticsError("one of parent, mediators and child follows from the others, so their parts cannot be told apart")
    draw = bootstrap or _own_bootstrap(len(values), families, rng, replicates)
    found = draw(correlations_of_sums, cross_products(standardised(values)))
    told: dict[str, Any] = {"outcome": outcome, "n": len(values), "n_clusters": groups, "ci_level": ci_level}
    again = Drawn(method=BOOTSTRAP, correlations=found.draws, note=found.note, **told)
    rows = intervals.quantity_rows(model, matrix, again)
    r = upper(matrix)
    _, z = normal_draws(np.arctanh(r), on_fisher_z(r, covariance), rng=rng, draws=draws)
    beside = Drawn(method=MONTE_CARLO, correlations=np.tanh(z), primary=False, **told)
    rows += intervals.quantity_rows(model, matrix, beside, only=BESIDE)
    rows += intervals.joint_significance(model, matrix, covariance, beside)
    if reliabilities:
        rows += _corrected(model, matrix, again, reliabilities, rng)
    if not sensitivity:
        return Gap(rows)
    rhos, curve = intervals.confounding(model, matrix, again)
    return Gap([*rows, *rhos], pd.concat([curve, intervals.unreliability(model, matrix, again)], ignore_index=True))


def gap_from_correlations(
    correlations: pd.DataFrame | ArrayLike,
    *,
    rng: np.random.Generator,
    names: tuple[str, ...] | None = None,
    n: int | ArrayLike | None = None,
    limits: tuple[ArrayLike, ArrayLike] | None = None,
    limits_level: float = CI_LEVEL,
    outcome: str = "",
    note: str = "",
    draws: int = DRAWS,
    ci_level: float = CI_LEVEL,
) -> Gap:
    r"""Split transmission as :func:`transmission_gap` does, from published correlations alone.

    Parameters
    ----------
    correlations : (p, p) DataFrame or array
        Parent, mediators in their order, child; symmetric.
    rng
        Generator of the Monte-Carlo draws.
    names
        Of the mediators; the columns of a DataFrame, or mediator 1, 2, … by default.
    n : int or (p, p) array, optional
        One number: people of the one sample that all correlations are of; they are then drawn together, with the covariance of
        Olkin and Siotani. An array: people behind each correlation, which come from different people and are drawn apart,
        :math:`\operatorname{var}(z) = 1/(n - 3)`.
    limits : two (p, p) arrays, optional
        Lower and upper limits of pooled correlations; where both are given they go before ``n``:
        :math:`\operatorname{SE}(z) = (z_{high} - z_{low}) / (2 z_{1-\alpha/2})`.
    limits_level
        Their confidence level.
    outcome, note
        What the rows are about, and what is said with each.
    draws, ci_level
        Of the Monte-Carlo intervals.

    Returns
    -------
    Gap
        As :func:`transmission_gap`, without intervals where a correlation has neither n nor limits.

    Raises
    ------
    StatisticsError
        If the correlations are not symmetric, lie outside -1 to 1 or are impossible together, or n or limits do not fit.

    Notes
    -----
    Correlations of different meta-analyses are of different people and measures; together they need not describe any population.

    References
    ----------
    Cheung, M. W.-L., & Chan, W. (2005). Psychological Methods, 10, 40-64 (why correlations of one sample are not independent).

    Examples
    --------
    >>> r = [[1, .34, .47], [.34, 1, .32], [.47, .32, 1]]
    >>> found = gap_from_correlations(r, n=400, rng=np.random.default_rng(1)).estimates
    >>> [round(x.estimate, 3) for x in found if x.estimand == "gap" and x.definition == "product of correlations"]
    [0.361]
    """
    matrix = as_numbers(correlations, place=PLACE, what="correlations").copy()
    p = len(matrix) if matrix.ndim else 0
    if matrix.shape != (p, p) or p < 3 or not np.allclose(matrix, matrix.T, rtol=0, atol=1e-12, equal_nan=True):
        raise _refuse("allowed: a symmetric table of parent, mediators and child.")
    np.fill_diagonal(matrix, 1.0)
    if np.isnan(possible(matrix)).any() or (np.abs(upper(matrix)) >= 1).any():
        raise _refuse("these correlations are impossible together, or one is missing.")
    if names is None and isinstance(correlations, pd.DataFrame):
        names = tuple(str(c) for c in correlations.columns[1:-1])
    model = Model(names or tuple(f"mediator {j}" for j in range(1, p - 1)))
    if len(model.variables) != p:
        raise _refuse(f"found {len(model.mediators)} names for {p - 2} mediators.")
    one = _one_sample(n)
    covariance = _published_covariance(matrix, n if one is None else one, limits, limits_level)
    size = np.nan if one is None else float(one)
    if covariance is None:
        nothing = Drawn(
            method="correlations alone", correlations=np.full((2, len(upper(matrix))), np.nan), outcome=outcome, ci_level=ci_level
        )
        rows = [
            nothing.estimate(quantity, float(value), None, primary=False, note="; ".join(filter(None, [note, NO_ERROR])))
            for quantity, value in zip(model.quantities, model.values(matrix), strict=True)
        ]
        return Gap(rows)
    _, z = normal_draws(np.arctanh(upper(matrix)), covariance, rng=rng, draws=draws)
    drawn = Drawn(
        method=MONTE_CARLO, correlations=np.tanh(z), outcome=outcome, n=size, n_clusters=size, ci_level=ci_level, primary=False
    )
    rows = intervals.quantity_rows(model, matrix, drawn, note=note)
    rhos, curve = intervals.confounding(model, matrix, drawn)
    return Gap([*rows, *rhos], pd.concat([curve, intervals.unreliability(model, matrix, drawn)], ignore_index=True))


def complete_table(parent: ArrayLike, mediators: pd.DataFrame | Mapping[str, ArrayLike], child: ArrayLike) -> Numbers:
    """Return parent, mediators and child as columns (n, p).

    Raises
    ------
    StatisticsError
        If they are not numbers or not of one length, one is missing, or there are fewer than 10 pairs.
    """
    columns = [
        as_numbers(v, place=PLACE, what="parent, mediators or child") for v in (parent, *(v for _, v in mediators.items()), child)
    ]
    if len({c.shape for c in columns}) > 1 or columns[0].ndim != 1:
        raise _refuse("parent, mediators and child must be lists of one length.")
    values = np.column_stack(columns)
    if not np.isfinite(values).all():
        raise _refuse("a value is missing.", hint="leave pairs out and count them, before.")
    if len(values) < LEAST_PAIRS:
        raise StatisticsError(f"fewer than {LEAST_PAIRS} pairs have everything that the paths need")
    return values


def _own_bootstrap(n: int, families: ArrayLike | None, rng: np.random.Generator, replicates: int) -> Bootstrap:
    codes = np.arange(n) if families is None else cluster_codes(families, n=n, missing="refuse")
    return lambda statistic, values: cluster_bootstrap(statistic, values, rng=rng, clusters=codes, replicates=replicates)


def _corrected(
    model: Model, matrix: Numbers, drawn: Drawn, given: Mapping[str, Mapping[str, Any]], rng: np.random.Generator
) -> list[Estimate]:
    """Return the quantities corrected for unreliability, or why they cannot be."""
    unknown = sorted(set(given) - set(model.variables))
    if unknown:
        raise _refuse(f"reliabilities are given for {len(unknown)} variables that there are not.")
    known = np.array([[float(given[v]["value"]) if v in given else 1.0 for v in model.variables]])
    many = drawn_reliabilities(given, model, rng, len(drawn.correlations))
    said = ", ".join(f"{name} {given[name]['value']:g}" for name in model.variables if name in given)
    doubt = "" if all(given[name].get("verified", True) for name in given) else "; not all checked in their source"
    note = f"reliabilities: {said}{doubt}"
    try:
        return intervals.corrected(model, matrix, drawn, np.concatenate([known, many]), note)
    except StatisticsError as error:
        return [replace(not_testable(ANALYSIS, str(error), outcome=drawn.outcome), definition=CORRECTED)]


def _one_sample(n: int | ArrayLike | None) -> int | None:
    """Return the one number of people, None where there is none or one for each correlation."""
    if n is None or np.ndim(n):
        return None
    size = float(as_numbers(n, place=PLACE, what="numbers of people"))
    if not size.is_integer():
        raise _refuse("n is no whole number of people.")
    return int(size)


def _published_covariance(
    matrix: Numbers, n: int | ArrayLike | None, limits: tuple[ArrayLike, ArrayLike] | None, level: float
) -> Numbers | None:
    """Return the covariance of Fisher's z above the diagonal, None where not every correlation tells its error."""
    r = upper(matrix)
    if limits is None and isinstance(n, int | np.integer):
        if n <= len(matrix) + 1:
            raise _refuse(f"found n = {n}; allowed: more than {len(matrix) + 1}.")
        return np.asarray(on_fisher_z(r, olkin_siotani(matrix)) / (int(n) - 3))
    variance = np.full(len(r), np.nan)
    if n is not None:
        sizes = as_numbers(n, place=PLACE, what="numbers of people")
        if sizes.shape not in ((), matrix.shape):
            raise _refuse(f"numbers of people have shape {sizes.shape}; allowed: one number, or {matrix.shape}.")
        sizes = upper(np.broadcast_to(sizes, matrix.shape))
        if (sizes <= 3).any():
            raise _refuse("a correlation rests on 3 people or fewer; allowed: 4 or more.")
        variance = 1 / (sizes - 3)
    if limits is not None:
        tables = [as_numbers(v, place=PLACE, what="limits") for v in limits]
        if any(v.shape != matrix.shape for v in tables):
            raise _refuse(f"limits do not fit the correlations; allowed: two tables of shape {matrix.shape}.")
        low, high = (upper(v) for v in tables)
        told = np.isfinite(low) & np.isfinite(high)
        if not ((np.abs(low[told]) < 1) & (np.abs(high[told]) < 1) & (low[told] <= r[told]) & (r[told] <= high[told])).all():
            raise _refuse("an interval does not hold its correlation, or reaches 1.")
        width = (np.arctanh(high[told]) - np.arctanh(low[told])) / (2 * float(norm.ppf(0.5 + level / 2)))
        variance[told] = width**2
    return np.diag(variance) if np.isfinite(variance).all() else None


def _refuse(what: str, *, hint: str = "") -> StatisticsError:
    return StatisticsError(problem(PLACE, what, hint=hint))

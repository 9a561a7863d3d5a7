r"""How strongly do two classifications go together in one table, with intervals that hold in small tables and for families?

Every function takes a table of counts (K, K), whose units are independent, or one table a cluster (G, K, K). Families are worth
fewer independent pairs than they hold: the interval is that of :math:`n/d\cdot(z/t_{G-1})^2` pairs with the same shares, where d is
the jackknife's variance when families are left out over its variance when pairs are, at least 1, as for a share (Korn & Graubard,
1998). Kappa's and phi's large-sample intervals are too short in small tables, and nothing where all agree; they are therefore
made on Fisher's z of the table to which a pair or two are added, spread evenly over its cells, as Agresti and Coull (1998) do for
a share.

Vocabulary
----------
unit      what is left out at a time: a pair, or all pairs of a family
spread    pairs added to a table, the same part to each cell, for the interval only
worth     independent pairs that a pair counts for
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference import contingency, two_by_two
from attachment_outcomes.inference.agreement import Counts, Interval, cells, counts, critical, wilson
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import FEW_CLUSTERS, effective_wilson

Numbers = npt.NDArray[np.float64]
Statistic = Callable[[Numbers], Numbers]
Flags = npt.NDArray[np.bool_]

# Chosen by their coverage at 30 and 60 pairs, validation/recovery/concordance_small.yaml.
KAPPA_SPREAD = 1.0
PHI_SPREAD = 2.0
HALF = 0.5  # added to every cell before families are left out, so that the logarithm of a ratio is always there
STEP = 1e-6  # of the table, by which a cell is made larger to find how a statistic moves
ONE_UNIT = "no interval: fewer than 2 families or pairs"
EMPTY = "not defined: a row or column is empty"
ONE_ROW_FAMILY = "no interval: not defined without one of the families"
FEW = f"few families (fewer than {FEW_CLUSTERS}): the interval may be too short"
NO_LAMBDA_INTERVAL = "no interval: none holds in small tables, because lambda sticks at 0"


@dataclass(frozen=True)
class Units:
    """A table's units: the different tables that one of them can hold, and how often each occurs."""

    whole: Numbers
    tables: Numbers
    times: Numbers
    clustered: bool

    @property
    def count(self) -> int:
        """How many units there are."""
        return int(self.times.sum())

    @property
    def n(self) -> int:
        """How many pairs there are."""
        return int(self.whole.sum())


Tables = npt.ArrayLike | Units


def as_units(table: Tables) -> Units:
    """Return the units of a table, or of one table a cluster; clusters of one pair each are as if there were none.

    Every function of this module takes what this returns in place of the tables, which saves finding the units again.

    Raises
    ------
    StatisticsError
        If the tables are not square tables of counts, or all are empty.
    """
    if isinstance(table, Units):
        return table
    array = cells(table)
    if array.ndim != 3:
        return _pairs(counts(array))
    whole = counts(array.sum(axis=0))
    parts: Numbers = array[array.sum(axis=(1, 2)) > 0].astype(np.float64)
    if parts.min() < 0 or np.any(parts != np.round(parts)):
        raise StatisticsError(problem("table", "found a negative or fractional count; allowed: whole numbers from 0."))
    if len(parts) == int(whole.sum()):
        return _pairs(whole)
    different, times = np.unique(parts.reshape(len(parts), -1), axis=0, return_counts=True)
    return Units(whole.astype(np.float64), different.reshape(-1, *whole.shape), times.astype(np.float64), clustered=True)


def _pairs(whole: Counts) -> Units:
    filled = np.flatnonzero(whole)
    single = np.zeros((len(filled), whole.size))
    single[np.arange(len(filled)), filled] = 1
    return Units(
        whole.astype(np.float64), single.reshape(-1, *whole.shape), whole.ravel()[filled].astype(np.float64), clustered=False
    )


def _without_one(units: Units, statistic: Statistic, *, add: float = 0.0) -> Numbers:
    """Return the statistic of the table without each different unit, ``add`` pairs spread over the cells."""
    return statistic(units.whole - units.tables + add / units.whole.size)


def _error(units: Units, values: Numbers) -> float:
    r"""Return :math:`\sqrt{\frac{G-1}{G}\sum_g(\theta_{(g)} - \bar\theta)^2}` (Efron & Stein, 1981)."""
    groups = units.count
    middle = float((units.times * values).sum() / groups)
    return math.sqrt((groups - 1) / groups * float((units.times * (values - middle) ** 2).sum()))


def _design_effect(units: Units, statistic: Statistic, add: float) -> float:
    """Return the variance with families left out over that with pairs left out, at least 1."""
    if not units.clustered:
        return 1.0
    alone = _pairs(units.whole.astype(np.int64))
    apart, together = (_error(u, _without_one(u, statistic, add=add)) ** 2 for u in (alone, units))
    return max(together / apart, 1.0) if apart > 0 else 1.0


def t_quantile(df: float, ci_level: float) -> float:
    """Two-sided quantile of t, of the standard normal for infinite degrees of freedom."""
    return float(stats.t.ppf(0.5 + ci_level / 2, df)) if math.isfinite(df) else critical(ci_level)


def t_p_value(statistic: float, df: float) -> float:
    """Two-sided p value of t, of the standard normal for infinite degrees of freedom."""
    return 2 * float(stats.t.sf(abs(statistic), df) if math.isfinite(df) else stats.norm.sf(abs(statistic)))


def _t(units: Units, ci_level: float) -> float:
    return t_quantile(units.count - 1 if units.clustered else math.inf, ci_level)


def _few(units: Units) -> str:
    return FEW if units.clustered and units.count < FEW_CLUSTERS else ""


def _nothing(estimate: float, note: str) -> Interval:
    return Interval(estimate, math.nan, math.nan, math.nan, note)


def _alone(units: Units) -> bool:
    """Whether all pairs are of one family, which says nothing of how families differ."""
    return units.clustered and units.count < 2


def _correlation(units: Units, statistic: Statistic, error_of: Callable[[Numbers], float], add: float, ci_level: float) -> Interval:
    """Return a quantity between −1 and 1 with its interval on Fisher's z; the error is on the quantity's own scale."""
    estimate = float(statistic(units.whole))
    if _alone(units):
        return _nothing(estimate, ONE_UNIT)
    design = _design_effect(units, statistic, add)
    t = _t(units, ci_level)
    worth = (critical(ci_level) / t) ** 2 / design
    table = units.whole * worth + add / units.whole.size
    middle, error = float(statistic(table)), error_of(table)
    half = critical(ci_level) * error / (1 - middle**2)
    low, high = math.tanh(math.atanh(middle) - half), math.tanh(math.atanh(middle) + half)
    # The added pairs may leave the estimate itself outside, where all agree.
    own = error_of(units.whole) * math.sqrt(design)
    return Interval(estimate, own, min(low, estimate), max(high, estimate), _few(units))


def kappa_interval(table: Tables, *, ci_level: float = CI_LEVEL) -> Interval:
    r"""Cohen's kappa with an interval that holds in small tables and for families.

    .. math:: \tanh\big(\operatorname{artanh}\tilde\kappa \pm z\,SE(\tilde\kappa)/(1 - \tilde\kappa^2)\big)

    with :math:`\tilde\kappa` and the error of Fleiss, Cohen and Everitt of the table with one pair spread over its cells.
    :func:`~.agreement.kappa` has their interval itself, which covers the truth too seldom in small tables with unequal margins.

    Parameters
    ----------
    table : (K, K) or (G, K, K) counts
        Rows and columns in the same order; one table a cluster where pairs are not independent.
    ci_level : float
        Confidence level of the interval.

    Returns
    -------
    Interval
        Kappa itself without the added pair, and ``std_error`` of Fleiss, Cohen and Everitt, for families times the root of the
        design effect. NaN with a note if all pairs are in one class; 0 without an interval, with a note,
        if one of the two readings has a single class.

    Raises
    ------
    StatisticsError
        If the table is not a square table of counts.

    References
    ----------
    Cohen, J. (1960). Educational and Psychological Measurement, 20, 37-46. Agresti, A., & Coull, B. A. (1998). The American
    Statistician, 52, 119-126 (adding to small tables). Fleiss, J. L., Cohen, J., & Everitt, B. S. (1969). Psychological Bulletin,
    72, 323-327. Korn, E. L., & Graubard, B. I. (1998). Survey Methodology, 24, 193-201 (effective numbers).
    """
    units = as_units(table)
    rows, columns = (np.count_nonzero(units.whole.sum(axis=a)) for a in (1, 0))
    if min(rows, columns) == 1:
        if np.trace(units.whole) == units.n:
            return _nothing(math.nan, "kappa is not defined: all units are in one class")
        note = "kappa is 0 whatever the other reading says, because one reading has a single class: no interval"
        return _nothing(0.0, note)
    return _correlation(units, contingency.kappa, contingency.kappa_error, KAPPA_SPREAD, ci_level)


def phi_interval(table: Tables, *, ci_level: float = CI_LEVEL) -> Interval:
    """Phi of a 2 x 2 table, with the interval of :func:`kappa_interval` and half a pair in every cell; NaN if a margin is 0."""
    units = _two(as_units(table))
    if not _full_margins(units.whole):
        return _nothing(math.nan, EMPTY)
    return _correlation(units, contingency.phi, contingency.phi_error, PHI_SPREAD, ci_level)


def _two(units: Units) -> Units:
    if units.whole.shape != (2, 2):
        raise StatisticsError(problem("2 x 2 contrast", f"found shape {units.whole.shape}; allowed: a 2 x 2 table."))
    return units


def _full_margins(table: Numbers) -> bool:
    return bool(np.all(table.sum(axis=0) > 0) and np.all(table.sum(axis=1) > 0))


def _delta_variance(table: Numbers, statistic: Statistic) -> float:
    """Return a statistic's large-sample variance in one table, whose cells may be fractions."""
    n = float(table.sum())
    step = STEP * n
    moved = table + step * np.eye(table.size).reshape(-1, *table.shape)
    slope = (statistic(moved) - statistic(table)) / STEP
    p = table.ravel() / n
    return float((p * (slope - p @ slope) ** 2).sum() / n)


def _above_zero(units: Units, statistic: Statistic, scale: float, df: int, ci_level: float) -> tuple[float, float, float]:
    r"""Return a squared association, and the limits of what it estimates.

    Under independence ``scale`` times it is chi-square on ``df``, so that it is too high by :math:`b = df/s` and varies by
    :math:`2 df/s^2`; with association its variance grows by :math:`v/\hat\theta`. v is that of the jackknife, but not less than
    the delta method's in the table with one pair spread over its cells: where classes determine each other the first is 0.
    Families multiply b by their design effect. The limits solve

    .. math:: |\hat\theta - b - \theta| = t\sqrt{2b^2/df + \theta v/\hat\theta}
    """
    estimate = float(statistic(units.whole))
    design = _design_effect(units, statistic, 0.0)
    own = _error(units, _without_one(units, statistic)) ** 2
    variance = max(own, design * _delta_variance(units.whole + KAPPA_SPREAD / units.whole.size, statistic))
    bias, t = design * df / scale, t_quantile(units.count - 1, ci_level)
    at_zero, slope = 2 * bias**2 / df, variance / estimate if estimate > 0 else 4 * design / scale
    middle = 2 * (estimate - bias) + t**2 * slope
    root = math.sqrt(max(middle**2 - 4 * ((estimate - bias) ** 2 - t**2 * at_zero), 0.0))
    low, high = (min(max((middle + sign * root) / 2, 0.0), 1.0) for sign in (-1, 1))
    return estimate, min(low, estimate), max(high, estimate)


def cramers_v(table: Tables, *, ci_level: float = CI_LEVEL) -> Interval:
    r"""Cramér's V, :math:`\sqrt{\chi^2/(n(k-1))}`, with an interval that allows for its bias: V is never 0 by chance.

    Parameters
    ----------
    table : (K, K) or (G, K, K) counts
        As for :func:`kappa_interval`; classes that nobody has are left out.
    ci_level : float
        Confidence level.

    Returns
    -------
    Interval
        0 to 1; no ``std_error``, because near 0 the interval does not come from one. NaN with a note if all are in one row or
        column.

    Raises
    ------
    StatisticsError
        If the table is not a square table of counts.

    References
    ----------
    Cramér, H. (1946). Mathematical Methods of Statistics. Princeton University Press.
    """
    units = as_units(table)
    rows, columns = (int(np.count_nonzero(units.whole.sum(axis=a))) for a in (1, 0))
    least = min(rows, columns) - 1
    if least == 0:
        return _nothing(math.nan, EMPTY)
    if units.count < 2:
        return _nothing(math.sqrt(float(contingency.phi_square(units.whole)) / least), ONE_UNIT)
    found = _above_zero(units, lambda t: contingency.phi_square(t) / least, units.n * least, (rows - 1) * (columns - 1), ci_level)
    value, low, high = (math.sqrt(x) for x in found)
    return Interval(value, math.nan, low, high)


def cramers_v_corrected(table: Tables) -> float:
    r"""Cramér's V less its bias, :math:`\sqrt{\max(0, \varphi^2 - df/(n-1))/(\tilde k - 1)}`; NaN as :func:`cramers_v`,
    and of hardly more units than classes.

    References
    ----------
    Bergsma, W. (2013). Journal of the Korean Statistical Society, 42, 323-328.
    """
    whole = as_units(table).whole
    n = float(whole.sum())
    sizes = np.array([np.count_nonzero(whole.sum(axis=a)) for a in (1, 0)], dtype=np.float64)
    if sizes.min() == 1 or n < 3:
        return math.nan
    left = max(float(contingency.phi_square(whole)) - float(np.prod(sizes - 1)) / (n - 1), 0.0)
    largest = float((sizes - (sizes - 1) ** 2 / (n - 1)).min() - 1)
    return math.sqrt(left / largest) if largest > 0 else math.nan


def uncertainty_coefficient(table: Tables, *, ci_level: float = CI_LEVEL) -> Interval:
    """Theil's uncertainty coefficient of the columns given the rows (0 to 1), with an interval as :func:`cramers_v` has.

    References
    ----------
    Theil, H. (1970). American Journal of Sociology, 76, 103-154.
    """
    units = as_units(table)
    rows, columns = (int(np.count_nonzero(units.whole.sum(axis=a))) for a in (1, 0))
    if min(rows, columns) == 1:
        return _nothing(math.nan, EMPTY)
    if units.count < 2:
        return _nothing(float(contingency.uncertainty(units.whole)), ONE_UNIT)
    scale = 2 * units.n * float(contingency.entropy(contingency.shares(units.whole).sum(axis=0)))
    # Without the only unit of a column the statistic is still defined, of the columns that are left, unless one is left.
    values = _without_one(units, contingency.uncertainty)
    if not np.all(np.isfinite(values)):
        return _nothing(float(contingency.uncertainty(units.whole)), ONE_ROW_FAMILY)
    value, low, high = _above_zero(units, contingency.uncertainty, scale, (rows - 1) * (columns - 1), ci_level)
    return Interval(value, math.nan, low, high)


def lambda_coefficient(table: Tables) -> Interval:
    """Goodman and Kruskal's lambda of the columns given the rows, without an interval; NaN if all are in one column."""
    value = float(contingency.reduction_of_error(as_units(table).whole))
    return _nothing(value, "not defined: all units are in one column" if math.isnan(value) else NO_LAMBDA_INTERVAL)


def odds_ratio(table: Tables, *, ci_level: float = CI_LEVEL) -> Interval:
    """Odds ratio ad / bc with Woolf's interval; ``std_error`` is the logarithm's. See :func:`~.two_by_two.odds_ratio`."""
    return _contrast(_two(as_units(table)), two_by_two.odds_ratio, contingency.log_odds_ratio, ci_level)


def risk_ratio(table: Tables, *, ci_level: float = CI_LEVEL) -> Interval:
    """Ratio of the rows' risks with Koopman's score interval. See :func:`~.two_by_two.risk_ratio_score`."""
    return _contrast(_two(as_units(table)), two_by_two.risk_ratio_score, contingency.log_risk_ratio, ci_level)


def risk_difference(table: Tables, *, ci_level: float = CI_LEVEL) -> Interval:
    """First row's risk less the second's with Newcombe's interval. See :func:`~.two_by_two.risk_difference`."""
    return _contrast(_two(as_units(table)), two_by_two.risk_difference, contingency.risk_difference, ci_level)


def _contrast(units: Units, plain: Callable[..., Interval], statistic: Statistic, ci_level: float) -> Interval:
    found = plain(units.whole, ci_level=ci_level)
    if not units.clustered or math.isnan(found.estimate):
        return found
    if _alone(units):
        return _nothing(found.estimate, ONE_UNIT)
    stretch = _t(units, ci_level) / critical(ci_level)
    design = _design_effect(units, statistic, HALF * units.whole.size)
    wide = plain(units.whole, ci_level=ci_level, worth=1 / (design * stretch**2))
    low, high = min(wide.ci_low, found.estimate), max(wide.ci_high, found.estimate)
    note = "; ".join(filter(None, [found.note, _few(units)]))
    return Interval(found.estimate, found.std_error * math.sqrt(design), low, high, note)


def share(tables: Tables, *, having: Flags, among: Flags | None = None, ci_level: float = CI_LEVEL) -> Interval:
    """Return the share of pairs in some cells that lie in others: Wilson's interval, for families at their effective number.

    Parameters
    ----------
    tables : (K, K) or (G, K, K) counts
        As for :func:`kappa_interval`.
    having, among : (K, K) booleans
        The cells that count, and those they are a share of (all by default).
    ci_level : float
        Confidence level.
    """
    units = as_units(tables)
    base = np.ones(units.whole.shape, dtype=bool) if among is None else among
    n, x = int(units.whole[base].sum()), int(units.whole[base & having].sum())
    if n == 0:
        return _nothing(math.nan, "not defined: nobody is in these classes")
    if not units.clustered:
        return wilson(x, n, ci_level=ci_level)
    inside, sizes = ((units.tables * which).sum(axis=(1, 2)) for which in (base & having, base))
    there = sizes > 0
    groups = int(units.times[there].sum())
    if groups < 2 or x in (0, n):
        found = wilson(x, n, ci_level=ci_level)
        why = "one family only" if groups < 2 else "all alike"
        return Interval(
            found.estimate, found.std_error, found.ci_low, found.ci_high, f"{why}: the interval cannot allow for families"
        )
    spread = float((units.times * (inside - x / n * sizes) ** 2).sum())
    wide = effective_wilson(x / n, n, variance=groups / (groups - 1) * spread / n**2, groups=groups, ci_level=ci_level)
    note = FEW if groups < FEW_CLUSTERS else ""
    return Interval(wide.estimate, wide.std_error, wide.ci_low, wide.ci_high, note)

"""How well do two classifications of the same units agree, beyond chance, and where do they not?

Everything works on a table of counts, rows by columns in the same order of classes. Rows are the first reading
(parent, first partner, earlier time), columns the second (child, second partner, later time).

Vocabulary
----------
agreement   share of units on the diagonal
chance      agreement expected if rows and columns were independent with the margins seen
kappa       (agreement − chance) / (1 − chance)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem, rows_text
from attachment_outcomes.inference.estimate import CI_LEVEL

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

SHAPE = "rows and columns must list the same classes in the same order, also those nobody has."
SMALL_EXPECTED = 5.0  # below it the chi-square approximation is not trusted (Cochran, 1954, Biometrics, 10, 417-451)
DRAWS = 9999  # random tables behind an exact test of a table too large to enumerate


@dataclass(frozen=True, slots=True)
class Interval:
    """A quantity with its standard error and interval; NaN and a note where it is not defined."""

    estimate: float
    std_error: float
    ci_low: float
    ci_high: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Test:
    """A test: statistic, degrees of freedom and p value; NaN and a note where it is not defined."""

    __test__ = False  # not a class of tests

    statistic: float
    df: float
    p_value: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Kappa:
    """Cohen's kappa with what it is made of. ``p_value`` tests kappa = 0 with ``std_error_null``."""

    kappa: float
    std_error: float
    ci_low: float
    ci_high: float
    std_error_null: float
    p_value: float
    agreement: float
    chance: float
    n: int
    note: str = ""


def cells(table: npt.ArrayLike, *, place: str = "table") -> npt.NDArray[Any]:
    """Return a table, or tables, as an array of numbers, whatever its shape.

    Raises
    ------
    StatisticsError
        If rows differ in length, or cells are not numbers.
    """
    try:
        array = np.asarray(table)
    except ValueError:
        raise StatisticsError(
            problem(place, "found rows of different lengths; allowed: whole numbers from 0.", hint=SHAPE)
        ) from None
    if array.dtype.kind not in "iufb":
        raise StatisticsError(problem(place, f"found {array.dtype} cells; allowed: whole numbers from 0."))
    return array


def counts(table: npt.ArrayLike, *, square: bool = True, place: str = "table") -> Counts:
    """Return the table as whole counts.

    Raises
    ------
    StatisticsError
        If it is not two-dimensional (square, if asked), smaller than 2 x 2, holds missing, negative or fractional
        counts, or is empty.
    """
    array = cells(table, place=place)
    if array.ndim != 2 or min(array.shape) < 2 or (square and array.shape[0] != array.shape[1]):
        allowed = "a square table of at least 2 x 2 counts" if square else "a table of at least 2 x 2 counts"
        raise StatisticsError(
            problem(
                place,
                f"found shape {array.shape}; allowed: {allowed}.",
                hint=SHAPE,
            )
        )
    numbers = array.astype(np.float64)
    if not np.all(np.isfinite(numbers)):
        raise StatisticsError(problem(place, "found a missing or infinite count; allowed: whole numbers from 0."))
    if np.any(numbers < 0) or np.any(numbers != np.round(numbers)):
        raise StatisticsError(
            problem(place, "found a negative or fractional count; allowed: whole numbers from 0.", hint="give counts, not shares.")
        )
    if numbers.sum() == 0:
        raise StatisticsError(problem(place, "is empty: all counts are 0."))
    return numbers.astype(np.int64)


def crosstab(rows: Sequence[object], columns: Sequence[object], classes: Sequence[str], *, place: str = "classes") -> Counts:
    """Return the classes x classes counts of two aligned lists of labels; may hold zeros only if the lists are empty.

    Raises
    ------
    StatisticsError
        If the lists differ in length, hold a missing value, or hold a label that is not among ``classes``.
    """
    if len(rows) != len(columns):
        raise StatisticsError(problem(place, f"{len(rows)} rows but {len(columns)} columns; they must be pairs."))
    position = {name: i for i, name in enumerate(classes)}
    out = np.zeros((len(classes), len(classes)), dtype=np.int64)
    unknown = [i + 1 for i, pair in enumerate(zip(rows, columns, strict=True)) if any(v not in position for v in pair)]
    if unknown:
        first = next(v for v in (rows[unknown[0] - 1], columns[unknown[0] - 1]) if v not in position)
        guess = did_you_mean(first, classes) if isinstance(first, str) else ""
        raise StatisticsError(
            problem(
                place,
                f"a missing or unknown class in {rows_text(unknown)}; allowed: {', '.join(classes)}.{guess}",
                hint="leave pairs without a class out and count them.",
            )
        )
    for row, column in zip(rows, columns, strict=True):
        out[position[str(row)], position[str(column)]] += 1
    return out


def critical(ci_level: float) -> float:
    """Two-sided standard normal quantile of a confidence level (1.96 for 0.95).

    Raises
    ------
    StatisticsError
        If the level is not between 0 and 1.
    """
    if not 0 < ci_level < 1:
        raise StatisticsError(problem("ci_level", f"found {ci_level}; allowed: between 0 and 1, e.g. 0.95."))
    return float(stats.norm.ppf(0.5 + ci_level / 2))


def wilson(successes: float, n: float, *, ci_level: float = CI_LEVEL) -> Interval:
    r"""Share of successes with Wilson's score interval.

    .. math:: \frac{p + z^2/2n \pm z\sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}

    Defined (and inside 0 to 1) also for no or only successes; ``std_error`` is the usual :math:`\sqrt{p(1-p)/n}`.

    Raises
    ------
    StatisticsError
        If ``successes`` is not between 0 and ``n``, or ``n`` is below 1.

    References
    ----------
    Wilson, E. B. (1927). Journal of the American Statistical Association, 22, 209-212.
    """
    if not (n >= 1 and 0 <= successes <= n):
        raise StatisticsError(problem("share", f"found {successes:g} of {n:g}; allowed: 0 to n of at least 1."))
    z = critical(ci_level)
    p = float(successes) / float(n)
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # At 0 and n the limits are exactly 0 and 1; rounding must not leave them a hair off.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return Interval(p, math.sqrt(p * (1 - p) / n), low, high)


def observed_agreement(table: npt.ArrayLike, *, ci_level: float = CI_LEVEL) -> Interval:
    """Share of units on the diagonal with Wilson's interval (proportion, 0 to 1, higher = more agreement)."""
    array = counts(table)
    return wilson(int(np.trace(array)), int(array.sum()), ci_level=ci_level)


def kappa(table: npt.ArrayLike, *, ci_level: float = CI_LEVEL) -> Kappa:
    r"""Cohen's unweighted kappa with the large-sample standard error of Fleiss, Cohen and Everitt.

    .. math::

        \kappa = \frac{p_o - p_e}{1 - p_e}, \quad
        SE^2 = \frac{\sum_{ij} p_{ij}\,[\delta_{ij} - (p_{\cdot i} + p_{j\cdot})(1 - \kappa)]^2 - [\kappa - p_e(1 - \kappa)]^2}
        {n (1 - p_e)^2}

    The interval is kappa ± z SE; it is too short for small tables and has no length if all units agree (see ``note``).

    Parameters
    ----------
    table : (K, K) counts
        Rows and columns in the same order.
    ci_level : float
        Confidence level of the interval.

    Returns
    -------
    Kappa
        ``std_error_null`` and ``p_value`` belong to the hypothesis kappa = 0. Kappa is NaN, with a note, if all units
        are in one and the same class, where chance agreement is already complete. It is 0 without an interval, with a
        note, if one of the two readings has a single class.

    Raises
    ------
    StatisticsError
        If the table is not a square table of counts.

    References
    ----------
    Cohen, J. (1960). Educational and Psychological Measurement, 20, 37-46.
    Fleiss, J. L., Cohen, J., & Everitt, B. S. (1969). Psychological Bulletin, 72, 323-327.
    """
    array = counts(table)
    z = critical(ci_level)
    n = int(array.sum())
    p = array / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, chance = float(np.trace(p)), float(rows @ columns)
    nan = math.nan
    single = min(np.count_nonzero(rows), np.count_nonzero(columns)) == 1
    if single and np.trace(array) == n:
        return Kappa(nan, nan, nan, nan, nan, nan, observed, chance, n, "kappa is not defined: all units are in one class")
    if single:
        note = "kappa is 0 whatever the other reading says, because one reading has a single class: no interval"
        return Kappa(0.0, nan, nan, nan, nan, nan, observed, chance, n, note)
    value = (observed - chance) / (1 - chance)
    inner = np.eye(len(p)) - (columns[:, None] + rows[None, :]) * (1 - value)
    variance = ((p * inner**2).sum() - (value - chance * (1 - value)) ** 2) / (n * (1 - chance) ** 2)
    null_variance = (chance + chance**2 - float((rows * columns * (rows + columns)).sum())) / (n * (1 - chance) ** 2)
    error, null_error = math.sqrt(max(variance, 0.0)), math.sqrt(max(null_variance, 0.0))
    p_value = 2 * float(stats.norm.sf(abs(value) / null_error)) if null_error > 0 else math.nan
    note = "the interval has no length because all units agree" if observed == 1 else ""
    return Kappa(value, error, value - z * error, value + z * error, null_error, p_value, observed, chance, n, note)


def expected(table: npt.ArrayLike) -> Numbers:
    """Return the counts expected if rows and columns were independent: row total x column total / n."""
    array = counts(table, square=False)
    fit: Numbers = np.outer(array.sum(axis=1), array.sum(axis=0)) / array.sum()
    return fit


def adjusted_residuals(table: npt.ArrayLike) -> Numbers:
    r"""Return the adjusted standardised residuals, standard normal under independence.

    .. math:: \frac{n_{ij} - e_{ij}}{\sqrt{e_{ij}(1 - p_{i\cdot})(1 - p_{\cdot j})}}

    NaN in rows and columns that hold nobody or everybody.

    References
    ----------
    Haberman, S. J. (1973). Biometrics, 29, 205-220.
    """
    array = counts(table, square=False)
    n = array.sum()
    fit = expected(array)
    variance = fit * np.outer(1 - array.sum(axis=1) / n, 1 - array.sum(axis=0) / n)
    residuals: Numbers = np.full(array.shape, math.nan)
    return np.divide(array - fit, np.sqrt(variance), out=residuals, where=variance > 0)


def bowker(table: npt.ArrayLike) -> Test:
    r"""Bowker's test of symmetry, :math:`\sum_{i<j}(n_{ij}-n_{ji})^2/(n_{ij}+n_{ji})`.

    Pairs of cells that are both empty say nothing and are left out of the degrees of freedom. For two classes it is
    McNemar's test without continuity correction.

    References
    ----------
    Bowker, A. H. (1948). Journal of the American Statistical Association, 43, 572-574.
    """
    array = counts(table)
    upper = np.triu_indices(len(array), 1)
    there, back = array[upper], array.T[upper]
    used = (there + back) > 0
    if not used.any():
        return Test(math.nan, 0.0, math.nan, "not defined: no unit changes class")
    statistic = float(((there - back)[used] ** 2 / (there + back)[used]).sum())
    df = int(used.sum())
    note = f"{len(used) - df} empty pairs of cells left out" if df < len(used) else ""
    return Test(statistic, df, float(stats.chi2.sf(statistic, df)), note)


def stuart_maxwell(table: npt.ArrayLike) -> Test:
    r"""Stuart–Maxwell test of equal margins, :math:`d' V^{-1} d` on all classes but one.

    With d the differences of the margins and :math:`V_{ii} = n_{i\cdot} + n_{\cdot i} - 2 n_{ii}`,
    :math:`V_{ij} = -(n_{ij} + n_{ji})`. Classes that nobody has in either reading are left out.
    NaN with a note if V is singular (classes that exchange nobody with the rest).

    References
    ----------
    Stuart, A. (1955). Biometrika, 42, 412-416. Maxwell, A. E. (1970). British Journal of Psychiatry, 116, 651-655.
    """
    array = counts(table)
    used = (array.sum(axis=0) + array.sum(axis=1)) > 0
    array = array[np.ix_(used, used)]
    dropped = int((~used).sum())
    note = f"{dropped} empty classes left out" if dropped else ""
    if len(array) < 2:
        return Test(math.nan, 0.0, math.nan, "not defined: all units are in one class")
    difference = (array.sum(axis=1) - array.sum(axis=0)).astype(np.float64)[:-1]
    spread = -(array + array.T).astype(np.float64)
    np.fill_diagonal(spread, array.sum(axis=1) + array.sum(axis=0) - 2 * np.diag(array))
    spread = spread[:-1, :-1]
    df = len(difference)
    if np.linalg.matrix_rank(spread) < df:
        return Test(math.nan, df, math.nan, "not defined: some classes exchange nobody with the others")
    statistic = float(difference @ np.linalg.solve(spread, difference))
    return Test(statistic, df, float(stats.chi2.sf(statistic, df)), note)


def mcnemar_exact(table: npt.ArrayLike) -> Test:
    """Exact McNemar test of a 2 x 2 table: binomial test of the two discordant counts; ``statistic`` is the smaller.

    References
    ----------
    McNemar, Q. (1947). Psychometrika, 12, 153-157.
    """
    array = counts(table)
    if array.shape != (2, 2):
        raise StatisticsError(problem("McNemar's test", f"found shape {array.shape}; allowed: a 2 x 2 table."))
    first, second = int(array[0, 1]), int(array[1, 0])
    if first + second == 0:
        return Test(0.0, math.nan, 1.0, "no unit changes class")
    return Test(min(first, second), math.nan, float(stats.binomtest(first, first + second, 0.5).pvalue))


def chi_square(table: npt.ArrayLike) -> Test:
    """Pearson's chi-square test of independence, without continuity correction; empty rows and columns are left out."""
    array = counts(table, square=False)
    array = array[array.sum(axis=1) > 0][:, array.sum(axis=0) > 0]
    if min(array.shape) < 2:
        return Test(math.nan, 0.0, math.nan, "not defined: all units are in one row or column")
    fit = expected(array)
    statistic = float(((array - fit) ** 2 / fit).sum())
    df = (array.shape[0] - 1) * (array.shape[1] - 1)
    return Test(statistic, df, float(stats.chi2.sf(statistic, df)))


def independence(table: npt.ArrayLike, *, rng: np.random.Generator | None = None) -> Test:
    """Test of independence: Pearson's chi-square, or Fisher's exact test if an expected count is below 5.

    Fisher's test enumerates a 2 x 2 table. Larger tables are compared with 9999 random tables of the same margins
    (p = (1 + tables no more likely than this one) / 10000), for which ``rng`` is needed; without it the chi-square
    test is returned with a note.

    References
    ----------
    Fisher, R. A. (1935). Journal of the Royal Statistical Society, 98, 39-82.
    """
    array = counts(table, square=False)
    array = array[array.sum(axis=1) > 0][:, array.sum(axis=0) > 0]
    asymptotic = chi_square(table)
    if min(array.shape) < 2 or expected(array).min() >= SMALL_EXPECTED:
        return asymptotic
    if array.shape == (2, 2):
        return Test(asymptotic.statistic, math.nan, float(stats.fisher_exact(array).pvalue), "Fisher's exact test")
    if rng is None:
        return Test(asymptotic.statistic, asymptotic.df, asymptotic.p_value, "an expected count is below 5: p is approximate")
    tables = stats.random_table(array.sum(axis=1), array.sum(axis=0))
    draws = tables.rvs(DRAWS, random_state=rng)
    # A table's probability given its margins falls with the sum of its log factorials; 1e-7 forgives rounding.
    likely = -special.gammaln(draws + 1.0).sum(axis=(1, 2))
    seen = -special.gammaln(array + 1.0).sum()
    p_value = (1 + int((likely <= seen + 1e-7).sum())) / (DRAWS + 1)
    return Test(asymptotic.statistic, math.nan, p_value, f"Fisher's exact test from {DRAWS} random tables")


def cramers_v(table: npt.ArrayLike) -> float:
    """Cramér's V, the square root of chi-square / (n x (smaller of rows and columns - 1)); 0 to 1, empty ones left out.

    References
    ----------
    Cramér, H. (1946). Mathematical Methods of Statistics. Princeton University Press.
    """
    array = counts(table, square=False)
    array = array[array.sum(axis=1) > 0][:, array.sum(axis=0) > 0]
    if min(array.shape) < 2:
        return math.nan
    return math.sqrt(chi_square(array).statistic / (int(array.sum()) * (min(array.shape) - 1)))

"""How much more often does the second thing happen where the first is there? Contrasts of a 2 x 2 table.

The table is [[a, b], [c, d]]: rows are the groups compared, the first against the second; the first column is the
event. Swap rows and columns to ask about the other class.

Vocabulary
----------
risk        share of a row that falls into the first column: a / (a + b) and c / (c + d)
worth       how many independent units a unit counts for in the interval: below 1 where units share a family
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import Interval, Numbers, counts, critical, wilson
from attachment_outcomes.inference.estimate import CI_LEVEL

HALDANE = 0.5  # added to all cells of a table with a zero, and only then (Haldane, 1956, Annals of Human Genetics, 20, 309-311)
HALDANE_NOTE = "0.5 added to every cell because one is 0"
EMPTY_NOTE = "not defined: a row or column is empty"


def _cells(table: npt.ArrayLike) -> Numbers:
    array = counts(table)
    if array.shape != (2, 2):
        raise StatisticsError(problem("2 x 2 contrast", f"found shape {array.shape}; allowed: a 2 x 2 table."))
    return array.astype(np.float64)


def _undefined(note: str = EMPTY_NOTE) -> Interval:
    return Interval(math.nan, math.nan, math.nan, math.nan, note)


def phi(table: npt.ArrayLike, *, ci_level: float = CI_LEVEL) -> Interval:
    r"""Phi, the product–moment correlation of two dichotomies, with its large-sample standard error.

    .. math::

        \varphi = \frac{ad - bc}{\sqrt{r_1 r_2 c_1 c_2}}, \quad
        SE^2 = \frac1n\Big[1 - \varphi^2 + \varphi\Big(1 + \frac{\varphi^2}{2}\Big) uv
        - \frac34\varphi^2 (u^2 + v^2)\Big]

    with :math:`u = (r_1 - r_2)/\sqrt{r_1 r_2}` of the row shares and :math:`v` alike of the column shares. The interval
    is made on Fisher's z, :math:`\operatorname{artanh}\varphi \pm z\,SE/(1 - \varphi^2)`, so that it stays inside −1 to 1.

    References
    ----------
    Bishop, Y. M. M., Fienberg, S. E., & Holland, P. W. (1975). Discrete Multivariate Analysis, chapter 11. MIT Press.
    """
    cells = _cells(table)
    n = float(cells.sum())
    rows, columns = cells.sum(axis=1) / n, cells.sum(axis=0) / n
    spread = float(np.prod(rows) * np.prod(columns))
    if spread == 0:
        return _undefined()
    value = float(np.clip(np.linalg.det(cells / n) / math.sqrt(spread), -1.0, 1.0))
    if np.all(np.diag(cells) == 0) or np.all(np.diag(cells[::-1]) == 0):
        value = math.copysign(1.0, value)
        return Interval(value, 0.0, value, value, "the interval has no length because the classes determine each other")
    u = (rows[0] - rows[1]) / math.sqrt(float(np.prod(rows)))
    v = (columns[0] - columns[1]) / math.sqrt(float(np.prod(columns)))
    variance = (1 - value**2 + value * (1 + value**2 / 2) * u * v - 0.75 * value**2 * (u**2 + v**2)) / n
    error = math.sqrt(max(float(variance), 0.0))
    half = critical(ci_level) * error / (1 - value**2)
    return Interval(value, error, math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half))


def odds_ratio(table: npt.ArrayLike, *, ci_level: float = CI_LEVEL, worth: float = 1.0) -> Interval:
    r"""Odds ratio ad / bc with Woolf's interval, :math:`\ln OR \pm z\sqrt{1/a + 1/b + 1/c + 1/d}`.

    ``std_error`` is that of the logarithm. A table with a zero, and only such a table, gets 0.5 in every cell.
    NaN if a row or column is empty.

    References
    ----------
    Woolf, B. (1955). Annals of Human Genetics, 19, 251-253. Haldane, J. B. S. (1956). Annals of Human Genetics, 20, 309-311.
    """
    cells = _cells(table)
    if np.any(cells.sum(axis=0) == 0) or np.any(cells.sum(axis=1) == 0):
        return _undefined()
    zero = bool(np.any(cells == 0))
    own, cells = (c + HALDANE if zero else c for c in (cells, cells * worth))
    estimate = float(own[0, 0] * own[1, 1] / (own[0, 1] * own[1, 0]))
    log = math.log(cells[0, 0] * cells[1, 1] / (cells[0, 1] * cells[1, 0]))
    error = math.sqrt(float((1 / cells).sum()))
    half = critical(ci_level) * error
    return Interval(estimate, error, math.exp(log - half), math.exp(log + half), HALDANE_NOTE if zero else "")


def _risk(row: Numbers, worth: float, ci_level: float) -> Interval:
    """Return a row's share of the first column; a row counts for at least one unit."""
    size = max(float(row.sum()) * worth, 1.0)
    return wilson(float(row[0] / row.sum()) * size, size, ci_level=ci_level)


def risk_difference(table: npt.ArrayLike, *, ci_level: float = CI_LEVEL, worth: float = 1.0) -> Interval:
    r"""Risk difference a/(a+b) − c/(c+d) with Newcombe's score interval (method 10: from both Wilson intervals).

    .. math:: d - \sqrt{(p_1 - l_1)^2 + (u_2 - p_2)^2}, \quad d + \sqrt{(u_1 - p_1)^2 + (p_2 - l_2)^2}

    NaN if a row is empty.

    References
    ----------
    Newcombe, R. G. (1998). Statistics in Medicine, 17, 873-890.
    """
    cells = _cells(table)
    if np.any(cells.sum(axis=1) == 0):
        return _undefined("not defined: a row is empty")
    first, second = (_risk(row, worth, ci_level) for row in cells)
    difference = first.estimate - second.estimate
    return Interval(
        difference,
        math.hypot(first.std_error, second.std_error),
        difference - math.hypot(first.estimate - first.ci_low, second.ci_high - second.estimate),
        difference + math.hypot(first.ci_high - first.estimate, second.estimate - second.ci_low),
    )


def risk_ratio(table: npt.ArrayLike, *, ci_level: float = CI_LEVEL, worth: float = 1.0) -> Interval:
    r"""Risk ratio with the log interval of Katz, :math:`\ln RR \pm z\sqrt{1/a - 1/(a+b) + 1/c - 1/(c+d)}`.

    ``std_error`` is that of the logarithm. If a or c is zero, every cell gets 0.5. NaN if a row or column is empty.

    References
    ----------
    Katz, D., Baptista, J., Azen, S. P., & Pike, M. C. (1978). Biometrics, 34, 469-474.
    """
    cells = _cells(table)
    if np.any(cells.sum(axis=0) == 0) or np.any(cells.sum(axis=1) == 0):
        return _undefined()
    zero = bool(np.any(cells[:, 0] == 0))
    own, cells = (c + HALDANE if zero else c for c in (cells, cells * worth))
    risks, (first, second) = own[:, 0] / own.sum(axis=1), cells[:, 0] / cells.sum(axis=1)
    log = math.log(first / second)
    error = math.sqrt(float((1 / cells[:, 0] - 1 / cells.sum(axis=1)).sum()))
    half = critical(ci_level) * error
    return Interval(float(risks[0] / risks[1]), error, math.exp(log - half), math.exp(log + half), HALDANE_NOTE if zero else "")


def risk_ratio_score(table: npt.ArrayLike, *, ci_level: float = CI_LEVEL, worth: float = 1.0) -> Interval:
    r"""Risk ratio with Koopman's score interval, which holds in small tables where that of Katz is too long.

    The limits are the ratios :math:`\theta` at which

    .. math:: \frac{p_1 - \theta p_2}{\sqrt{\tilde p_1(1 - \tilde p_1)/n_1 + \theta^2\tilde p_2(1 - \tilde p_2)/n_2}} = \pm z

    with :math:`\tilde p` the most likely risks that have that ratio. ``std_error`` is that of the logarithm, as :func:`risk_ratio`
    has it. If a or c is zero the upper or lower limit would have no end: the interval is then that of :func:`risk_ratio`.

    References
    ----------
    Koopman, P. A. R. (1984). Biometrics, 40, 513-517.
    """
    wald = risk_ratio(table, ci_level=ci_level, worth=worth)
    cells = _cells(table) * worth
    if math.isnan(wald.estimate) or np.any(cells[:, 0] == 0):
        return wald
    z, (n1, n2), (x1, x2) = critical(ci_level), cells.sum(axis=1), cells[:, 0]

    def score(log_ratio: float) -> float:
        ratio = math.exp(log_ratio)
        a, b, c = (n1 + n2) * ratio, n1 * ratio + x1 + n2 + x2 * ratio, x1 + x2
        second = (b - math.sqrt(max(b * b - 4 * a * c, 0.0))) / (2 * a)
        first = ratio * second
        variance = first * (1 - first) / n1 + ratio**2 * second * (1 - second) / n2
        difference = x1 / n1 - ratio * x2 / n2
        return difference / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, difference)

    middle = math.log(wald.estimate)

    def limit(sign: int) -> float:
        reach = 1.0
        while sign * score(middle + sign * reach) > -z:
            reach *= 2
        bounds = sorted((middle, middle + sign * reach))
        return math.exp(brentq(lambda x: max(min(score(x), 1e6), -1e6) + sign * z, *bounds, xtol=1e-13))

    return Interval(wald.estimate, wald.std_error, limit(-1), limit(1), wald.note)

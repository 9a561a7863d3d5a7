r"""How many bad ends does a treatment prevent? Contrasts of shares from the limits of each share (MOVER).

Vocabulary
----------
share               of a group that has the good end (a child that is secure)
prevented fraction  share of the bad ends without treatment that there are fewer with it: :math:`1 - (1-p_1)/(1-p_0)`
number needed       to treat for one more good end: one over the difference of shares
MOVER               the distance from an estimate to its own limit takes the place of :math:`z\,SE`; with Wilson's limits it gives
                    Newcombe's intervals, which do not collapse where a share is 0 or 1
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import Interval, critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import Proportion

HALF = 0.5
NOTHING = 1e-12  # a difference of shares below this is a rounding error
HALF_NOTE = "a cell is 0, so that 0.5 is added to every cell (Firth's estimate of this model)"


Limits = Interval | Proportion


def combination(weights: Sequence[float], parts: Sequence[Limits]) -> Interval:
    r"""Return a weighted sum of independent quantities with the interval that their own limits give.

    .. math:: L = \sum_j c_j\hat\theta_j - \sqrt{\sum_j (c_j\hat\theta_j - \min(c_jl_j, c_ju_j))^2}

    and U alike. Two shares with Wilson's limits and weights 1, −1 give Newcombe's (1998) method 10; four with 1, −1, −1, 1 the
    interval of a difference of differences of Newcombe (2001).

    Parameters
    ----------
    weights : (k,)
        One a quantity.
    parts : (k,)
        Independent quantities with limits of one level.

    References
    ----------
    Newcombe, R. G. (2001). Statistics in Medicine, 20, 2885-2893. Zou, G. Y., Huang, W., & Zhang, X. (2009). Computational
    Statistics & Data Analysis, 53, 1080-1085.
    """
    below = above = variance = estimate = 0.0
    for weight, part in zip(weights, parts, strict=True):
        ends = sorted((weight * part.ci_low, weight * part.ci_high))
        value = weight * part.estimate
        estimate += value
        below, above = below + (value - ends[0]) ** 2, above + (ends[1] - value) ** 2
        variance += (weight * part.std_error) ** 2
    return Interval(estimate, math.sqrt(variance), estimate - math.sqrt(below), estimate + math.sqrt(above))


def ratio(first: Limits, second: Limits) -> Interval:
    r"""Return the ratio of two independent quantities of 0 and more with the interval that their own limits give.

    The limits are the roots R of :math:`(\theta_1 - R\theta_2)^2 = (\theta_1 - l_1)^2 + R^2(u_2 - \theta_2)^2` (and of the same
    with the other limits): with :math:`B = \theta_1\theta_2`,

    .. math::

        L = \frac{l_1(2\theta_1 - l_1)}{B + \sqrt{B^2 - l_1(2\theta_1 - l_1)\,u_2(2\theta_2 - u_2)}}, \quad
        U = \frac{B + \sqrt{B^2 - u_1(2\theta_1 - u_1)\,l_2(2\theta_2 - l_2)}}{l_2(2\theta_2 - l_2)}

    The upper limit is infinite if the second may be 0. NaN with a note if the second is 0. No standard error.

    References
    ----------
    Donner, A., & Zou, G. Y. (2012). Statistical Methods in Medical Research, 21, 347-359.
    """
    a, b = first.estimate, second.estimate
    if not b > 0:
        return Interval(math.nan, math.nan, math.nan, math.nan, "not defined: the second quantity is 0")
    l1, u1, l2, u2 = first.ci_low, first.ci_high, second.ci_low, second.ci_high
    product = a * b
    lower, upper = l1 * (2 * a - l1), l2 * (2 * b - l2)
    root = math.sqrt(max(product**2 - lower * u2 * (2 * b - u2), 0.0))
    low = lower / (product + root) if product + root > 0 else 0.0
    root = math.sqrt(max(product**2 - u1 * (2 * a - u1) * upper, 0.0))
    high = (product + root) / upper if upper > 0 else math.inf
    return Interval(a / b, math.nan, low, high)


def prevented_fraction(treated: Limits, comparison: Limits) -> Interval:
    r"""Return the share of bad ends that treatment prevents, :math:`1 - (1-p_1)/(1-p_0) = (p_1-p_0)/(1-p_0)`.

    Parameters
    ----------
    treated, comparison
        Shares with the *good* end, with limits of one level. Groups are independent.

    Returns
    -------
    Interval
        Negative where treatment goes with more bad ends; the lower limit may be −inf. NaN with a note if nobody in comparison has
        a bad end. No standard error.
    """
    found = ratio(*(Interval(1 - s.estimate, s.std_error, 1 - s.ci_high, 1 - s.ci_low) for s in (treated, comparison)))
    if math.isnan(found.estimate):
        return Interval(math.nan, math.nan, math.nan, math.nan, "not defined: without treatment nobody has the bad end")
    return Interval(1 - found.estimate, math.nan, 1 - found.ci_high, 1 - found.ci_low)


@dataclass(frozen=True, slots=True)
class NumberNeeded:
    """Number needed to treat: ``estimate`` is negative where it is a number needed to harm, infinite without a difference.

    ``ci_low`` and ``ci_high`` are NaN where the interval runs through infinity. It is then all numbers to harm above
    ``harm_from`` and all numbers to benefit above ``benefit_from``.
    """

    estimate: float
    ci_low: float
    ci_high: float
    benefit_from: float
    harm_from: float

    @property
    def through_infinity(self) -> bool:
        """Whether no difference lies in the interval."""
        return math.isnan(self.ci_low)

    @property
    def words(self) -> str:
        """The interval in words, where two numbers do not tell it."""
        if not self.through_infinity:
            return ""
        benefit, harm = (f"{n:.1f}" if math.isfinite(n) else "infinity" for n in (self.benefit_from, self.harm_from))
        return f"the interval runs from {benefit} to benefit through infinity (no difference) to {harm} to harm"


def number_needed(difference: Limits) -> NumberNeeded:
    r"""Return the number needed to treat for one more good end, 1/d, with the interval that belongs to that of the difference d.

    Where the interval of d holds 0, that of 1/d is not between two numbers but outside them: from 1/u to infinity, and from
    −infinity to 1/l. A difference or limit of less than 1e-12 is 0.

    Parameters
    ----------
    difference
        Share with the good end, treated less comparison.

    References
    ----------
    Altman, D. G. (1998). BMJ, 317, 1309-1312.
    """
    value, low, high = (0.0 if abs(x) < NOTHING else x for x in (difference.estimate, difference.ci_low, difference.ci_high))
    estimate = 1 / value if value else math.inf
    if low <= 0 <= high:
        return NumberNeeded(estimate, math.nan, math.nan, 1 / high if high else math.inf, -1 / low if low else math.inf)
    return NumberNeeded(estimate, 1 / high, 1 / low, 1 / high if high > 0 else math.nan, -1 / low if low < 0 else math.nan)


def ratio_of_odds_ratios(tables: npt.ArrayLike, *, ci_level: float = CI_LEVEL) -> Interval:
    r"""Return how many times larger an odds ratio is in one group than in another: the interaction of a logistic model.

    .. math:: \frac{a_1d_1/b_1c_1}{a_2d_2/b_2c_2}, \quad SE(\ln) = \sqrt{\textstyle\sum 1/n_{kij}}

    Parameters
    ----------
    tables : (2, 2, 2) counts
        Group, treated and comparison, good and bad end. If a cell is 0, 0.5 is added to every cell: in this model, which has a
        coefficient for each of its four shares, that is Firth's penalised likelihood.
    ci_level
        Confidence level.

    Returns
    -------
    Interval
        ``std_error`` is that of the logarithm. NaN with a note if treated or comparison of a group are empty.

    Raises
    ------
    StatisticsError
        If the shape is another, or a count is negative or missing.

    References
    ----------
    Firth, D. (1993). Biometrika, 80, 27-38. Haldane, J. B. S. (1956). Annals of Human Genetics, 20, 309-311.
    """
    cells = np.asarray(tables, dtype=np.float64)
    if cells.shape != (2, 2, 2) or not np.isfinite(cells).all() or (cells < 0).any():
        raise StatisticsError(problem("interaction", f"found shape {cells.shape}; allowed: 2 x 2 x 2 counts from 0."))
    if (cells.sum(axis=2) == 0).any():
        return Interval(math.nan, math.nan, math.nan, math.nan, "not defined: a group is empty")
    zero = bool((cells == 0).any())
    logs = np.log(cells + HALF) if zero else np.log(cells)
    error = math.sqrt(float((1 / (cells + HALF if zero else cells)).sum()))
    log = float(np.einsum("kij,kij->", logs, _SIGNS))
    half = critical(ci_level) * error
    return Interval(math.exp(log), error, math.exp(log - half), math.exp(log + half), HALF_NOTE if zero else "")


_SIGNS = np.array([[[1.0, -1.0], [-1.0, 1.0]], [[-1.0, 1.0], [1.0, -1.0]]])

r"""What do scores do when nobody changes? Norms from a control or retest sample, for the rules that need one.

Vocabulary
----------
control sample   people measured twice without treatment in between; their regression says what an end score is without change
retest sample    people who did not change in between; their differences are error
ICC agreement    share of variance that is between people, where a general shift between the occasions counts as error
ICC consistency  the same, where it does not
SDC              smallest detectable change: the change that error exceeds in one of twenty people only
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.individual_change.methods import ALPHA, Numbers, RegressionNorm
from attachment_outcomes.inference.individual_change.reading import scores_of

FEWEST = 3  # people of a control sample: a line through two has no residual


@dataclass(frozen=True, slots=True, kw_only=True)
class RetestNorm:
    """Error in a retest sample of two occasions, score points. ``sd`` is pooled over the occasions."""

    icc_agreement: float
    icc_consistency: float
    ms_error: float
    sd: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectableChange:
    """``sem``, and the smallest detectable change of one person and of the mean of ``n`` people (NaN without n)."""

    sem: float
    sdc: float
    sdc_group: float


def _complete(pre: ArrayLike, post: ArrayLike, place: str) -> tuple[Numbers, Numbers]:
    x1, x2 = scores_of(pre, post, place=place)
    there = ~(np.isnan(x1) | np.isnan(x2))
    x1, x2 = x1[there], x2[there]
    if len(x1) < FEWEST:
        raise StatisticsError(problem(place, f"{len(x1)} people with both scores; at least {FEWEST} are needed."))
    if not x1.std() > 1e-12 * np.abs(x1).max():
        raise StatisticsError(problem(place, "everybody scored alike at the first occasion."))
    return x1, x2


def regression_norm(control_pre: ArrayLike, control_post: ArrayLike) -> RegressionNorm:
    r"""Return the regression of a control sample's end scores on their scores before.

    .. math:: x_2 = a + b x_1, \quad SEE = \sqrt{\textstyle\sum (x_2 - a - b x_1)^2 / (n - 2)}

    Parameters
    ----------
    control_pre, control_post : (n,) floats
        Score points of people who were not treated in between; those without both scores are left out.

    Raises
    ------
    StatisticsError
        If fewer than three people have both scores, they scored alike before, or all lie on the line.

    Notes
    -----
    The error of prediction for a new person also holds the uncertainty of the line (a factor near :math:`1 + 1/2n`), which the
    published rule leaves out: with a small control sample somewhat more than :math:`\alpha` are called changed.

    References
    ----------
    McSweeny, A. J., Naugle, R. I., Chelune, G. J., & Lüders, H. (1993). Clin. Neuropsychol., 7, 300-312.
    """
    x1, x2 = _complete(control_pre, control_post, "regression norm")
    deviation = x1 - x1.mean()
    slope = float(deviation @ x2 / (deviation @ deviation))
    intercept = float(x2.mean() - slope * x1.mean())
    residual = x2 - intercept - slope * x1
    see = float(np.sqrt(residual @ residual / (len(x1) - 2)))
    if not see > 1e-12 * np.abs(x2).max():
        raise StatisticsError(problem("regression norm", "the control sample's end scores lie on a line; no error can be told."))
    return RegressionNorm(intercept=intercept, slope=slope, see=see, n=len(x1))


def retest_norm(first: ArrayLike, second: ArrayLike) -> RetestNorm:
    r"""Return intraclass correlations, error mean square and pooled SD of a retest sample, by two-way analysis of variance.

    .. math:: ICC_A = \frac{MS_R - MS_E}{MS_R + MS_E + 2(MS_C - MS_E)/n}, \quad ICC_C = \frac{MS_R - MS_E}{MS_R + MS_E}

    with mean squares of people (R), occasions (C) and error (E), two occasions.

    Raises
    ------
    StatisticsError
        If fewer than three people have both scores, they scored alike at the first occasion, or there is no error at all.

    References
    ----------
    McGraw, K. O., & Wong, S. P. (1996). Psychol. Methods, 1, 30-46: ICC(A,1) and ICC(C,1).
    """
    x1, x2 = _complete(first, second, "retest norm")
    n = len(x1)
    difference, mean = x2 - x1, (x1 + x2) / 2
    ms_people = 2 * float(mean.var(ddof=1))
    ms_error = float(difference.var(ddof=1)) / 2
    ms_occasions = n * float(difference.mean()) ** 2 / 2
    if not ms_error > 1e-24 * float(np.abs(x2).max()) ** 2:
        raise StatisticsError(problem("retest norm", "everybody changed alike between the occasions; no error can be told."))
    agreement = (ms_people - ms_error) / (ms_people + ms_error + 2 * (ms_occasions - ms_error) / n)
    consistency = (ms_people - ms_error) / (ms_people + ms_error)
    sd = float(np.sqrt((x1.var(ddof=1) + x2.var(ddof=1)) / 2))
    return RetestNorm(icc_agreement=agreement, icc_consistency=consistency, ms_error=ms_error, sd=sd, n=n)


def smallest_detectable_change(
    *, icc: float | None = None, sd: float | None = None, ms_error: float | None = None, n: int | None = None, alpha: float = ALPHA
) -> DetectableChange:
    r"""Return the smallest detectable change, of one person and of a group.

    .. math:: SEM = S\sqrt{1 - ICC} \text{ or } \sqrt{MS_E}, \quad SDC = z_{1-\alpha/2}\sqrt2\,SEM, \quad SDC_{group} = SDC/\sqrt n

    Parameters
    ----------
    icc, sd
        Intraclass correlation and pooled SD of a retest sample; or
    ms_error
        its error mean square. One of the two ways must be taken, not both.
    n
        People of the group.
    alpha
        Two-sided error rate.

    Raises
    ------
    StatisticsError
        If neither or both ways are given, or a number is impossible.

    References
    ----------
    de Vet, H. C. W., et al. (2006). J. Clin. Epidemiol., 59, 1033-1039.
    """
    place = "smallest detectable change"
    by_icc = icc is not None and sd is not None
    if by_icc == (ms_error is not None) or (ms_error is not None and (icc is not None or sd is not None)):
        raise StatisticsError(problem(place, "give either icc and sd, or ms_error."))
    if icc is not None and sd is not None:
        if not (0 < icc < 1 and 0 < sd < np.inf):
            raise StatisticsError(problem(place, f"found ICC {icc:g}, SD {sd:g}; allowed: an ICC in (0, 1) and an SD above 0."))
        sem = sd * float(np.sqrt(1 - icc))
    else:
        square = np.nan if ms_error is None else ms_error
        if not 0 < square < np.inf:
            raise StatisticsError(problem(place, f"found an error mean square of {square:g}; allowed: above 0."))
        sem = float(np.sqrt(square))
    if not 0 < alpha < 1:
        raise StatisticsError(problem("alpha", f"found {alpha}; allowed: between 0 and 1."))
    if n is not None and n < 1:
        raise StatisticsError(problem(place, f"found n = {n}; allowed: at least 1."))
    sdc = float(ndtri(1 - alpha / 2)) * float(np.sqrt(2)) * sem
    return DetectableChange(sem=sem, sdc=sdc, sdc_group=np.nan if n is None else sdc / float(np.sqrt(n)))

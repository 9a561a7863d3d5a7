"""How strong would an unmeasured cause have to be to explain an association away?"""

from __future__ import annotations

import math

from attachment_outcomes.errors import StatisticsError, problem

RISK_RATIO_PER_SD = 0.91  # Chinn's pi/sqrt(3) on log odds, halved for common outcomes: log RR is about 0.91 d


def e_value(d: float) -> float:
    r"""Return the E-value of a standardised difference.

    .. math:: RR = e^{0.91 |d|}, \qquad E = RR + \sqrt{RR\,(RR - 1)}

    Parameters
    ----------
    d
        Difference in SDs of the outcome; the sign does not matter. For the E-value of an interval give its limit nearer to 0, and
        0 where the interval holds 0.

    Returns
    -------
    float
        On the scale of risk ratios, 1 or more: an unmeasured cause would have to go with the group and with the outcome by risk
        ratios of at least this size each, beyond the covariates, to explain the difference away; a weaker one could not.

    Raises
    ------
    StatisticsError
        If ``d`` is not a number.

    References
    ----------
    VanderWeele, T. J., & Ding, P. (2017). Sensitivity analysis in observational research: introducing the E-value. Annals of
    Internal Medicine, 167, 268-274.
    """
    if not math.isfinite(d):
        raise StatisticsError(problem("E-value", "the standardised difference is not a number."))
    return e_value_of_risk_ratio(math.exp(RISK_RATIO_PER_SD * abs(d)))


def e_value_of_risk_ratio(ratio: float) -> float:
    """Return the E-value of a risk ratio; below 1 its inverse is taken.

    Raises
    ------
    StatisticsError
        If the ratio is not above 0.
    """
    if not (math.isfinite(ratio) and ratio > 0):
        raise StatisticsError(problem("E-value", "a risk ratio lies above 0."))
    ratio = max(ratio, 1 / ratio)
    return ratio + math.sqrt(ratio * (ratio - 1))

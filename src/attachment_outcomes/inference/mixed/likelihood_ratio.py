"""Does the larger of two nested models fit better? Likelihood-ratio tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.mixed.model import MixedFit

PLACE = "likelihood-ratio test"
SLACK = 1e-6  # of the deviance, by which a larger model may seem to fit worse


def _outcome(fit: MixedFit) -> tuple[float, float]:
    """Return the outcome's mean and its sum of squares about it, which tell whether two fits are of the same values."""
    n, mean, scatter = fit.moments.n, fit.moments.mean[-1], fit.moments.scatter[-1]
    centre = float(n @ mean / n.sum())
    return centre, float(scatter.sum() + n @ (mean - centre) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodRatio:
    """Twice the difference in log likelihood, its degrees of freedom and its p value.

    ``p_boundary`` halves the null's weight where a variance of zero is tested (the mixture of χ² with one parameter set less and
    with all of them); NaN where fixed effects are tested or more than one random effect differs. ``p_value`` is too large there.
    """

    statistic: float
    df: int
    p_value: float
    p_boundary: float
    note: str


def compare(smaller: MixedFit, larger: MixedFit) -> LikelihoodRatio:
    """Test the larger model against the smaller one that is a special case of it.

    Raises
    ------
    StatisticsError
        If they are of different rows or outcomes, mix REML and ML, have different fixed effects under REML (whose likelihoods
        cannot be compared), the larger has no more parameters, or the smaller fits better (it is no special case).

    References
    ----------
    Self, S. G., & Liang, K.-Y. (1987). JASA, 82, 605-610; Stram, D. O., & Lee, J. W. (1994). Biometrics, 50, 1171-1177.
    """
    if not (isinstance(smaller, MixedFit) and isinstance(larger, MixedFit)):
        raise StatisticsError(problem(PLACE, "both models must be linear mixed models."))
    one, two = smaller.moments.recipe, larger.moments.recipe
    if (smaller.n, one.outcome) != (larger.n, two.outcome) or not np.allclose(
        _outcome(smaller), _outcome(larger), rtol=1e-9, atol=0
    ):
        hint = "drop the rows that one of them cannot use before fitting both."
        what = f"the models are of {smaller.n} and {larger.n} rows, and not of the same values of one outcome."
        raise StatisticsError(problem(PLACE, what, hint=hint))
    inside = set(one.fixed) <= set(two.fixed) and set(one.groups) <= set(two.groups)
    below = dict(zip(two.groups, two.slopes, strict=True))
    if not inside or any(not set(s) <= set(below[g]) for g, s in zip(one.groups, one.slopes, strict=True)):
        hint = "write both so that the larger has every term, group and slope of the smaller."
        raise StatisticsError(problem(PLACE, "the first model is no special case of the second.", hint=hint))
    if smaller.reml != larger.reml:
        raise StatisticsError(problem(PLACE, "one model is REML and the other ML.", hint="fit both with the same reml=."))
    same_fixed = set(one.fixed) == set(two.fixed)
    if smaller.reml and not same_fixed:
        hint = "fit both with reml=False."
        raise StatisticsError(problem(PLACE, "REML likelihoods of different fixed effects cannot be compared.", hint=hint))
    df = larger.df - smaller.df
    if df <= 0:
        raise StatisticsError(problem(PLACE, "the second model has no more parameters.", hint="give the smaller model first."))
    statistic = 2 * (larger.loglik - smaller.loglik)
    if statistic < -SLACK:
        raise StatisticsError(problem(PLACE, "the larger model fits worse, so the smaller is no special case of it."))
    statistic = max(statistic, 0.0)
    added = sum(1 + len(s) for s in two.slopes) - sum(1 + len(s) for s in one.slopes)
    boundary, note = float("nan"), ""
    if same_fixed and added == 1:
        boundary = float(chi2.sf(statistic, df - 1) + chi2.sf(statistic, df)) / 2 if df > 1 else float(chi2.sf(statistic, 1)) / 2
        note = "a variance is tested at its boundary of zero: p_boundary holds, p_value is too large"
    elif added:
        note = "variances are tested at their boundary of zero: p_value is too large"
    return LikelihoodRatio(statistic=statistic, df=df, p_value=float(chi2.sf(statistic, df)), p_boundary=boundary, note=note)

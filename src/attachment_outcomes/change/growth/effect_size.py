r"""How large is the change that a growth model finds, in standard deviations of the scores before treatment?

Vocabulary
----------
raw SD      SD of the observed scores at the first occasion (ddof 1), not of slopes and not of the model's intercepts: with it the d
            of a growth model is in the metric of any pre-post comparison
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.effects import Effect
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import as_numbers, cluster_codes, robust_variance

PLACE = "Feingold's d"


def feingold_d(
    change: float,
    std_error: float,
    baseline: ArrayLike,
    *,
    df: float = np.inf,
    groups: ArrayLike | pd.Series | None = None,
    clusters: ArrayLike | pd.Series | None = None,
    sd_estimated: bool = True,
    ci_level: float = CI_LEVEL,
) -> Effect:
    r"""Return Feingold's d of a growth model: slope times duration over the SD of the raw scores at baseline.

    .. math::

        d = \frac{\hat\beta\, T}{S}, \qquad
        SE_d^2 = \frac{(T \cdot SE_\beta)^2}{S^2} + d^2\, \mathrm{Var}(\log S)

    The first part alone is Feingold's interval, in which S is taken as known. The second allows for S having been estimated
    (delta method; slope and SD uncorrelated, as they are for normal scores): the variance of log S is that of the mean of
    :math:`u_i = \tfrac12\big((x_i - \bar x)^2/S^2 - 1\big)`, summed within clusters, so that scores need not be normal.

    Parameters
    ----------
    change : float
        :math:`\hat\beta T`: the change over the course, or the difference of two groups' changes, score points. For a course
        that is no straight line it is the expected change from the first occasion to the end.
    std_error : float
        Its standard error.
    baseline : (n,) floats
        Raw scores at the first occasion; NaN is left out.
    df
        Degrees of freedom of the standard error.
    groups : (n,) labels, optional
        Groups whose difference it is; S is then the SD within groups, pooled by n − 1.
    clusters : (n,) labels, optional
        Therapist of each person, for the variance of S; a missing label makes a person a cluster of their own.
    sd_estimated
        Whether the interval allows for the estimation of S.
    ci_level
        Confidence level.

    Returns
    -------
    Effect
        ``p_value`` is that of the change, since d is 0 where the change is.

    Raises
    ------
    StatisticsError
        If there are fewer than two baseline scores in a group, or nobody differs.

    References
    ----------
    Feingold, A. (2009). Psychol. Methods, 14, 43-53. doi:10.1037/a0014699 (d); Feingold, A. (2015). JCCP, 83, 157-168 (interval).
    """
    x = as_numbers(baseline, place=PLACE, what="baseline scores").ravel()
    there = ~np.isnan(x)
    labels = np.zeros(len(x)) if groups is None else cluster_codes(groups, n=len(x), missing="refuse")
    x, labels = x[there], np.unique(labels[there], return_inverse=True)[1]
    sizes = np.bincount(labels)
    if not len(sizes) or sizes.min() < 2:
        raise StatisticsError(problem(PLACE, "fewer than two baseline scores in a group."))
    residual = x - (np.bincount(labels, weights=x) / sizes)[labels]
    variance = float((residual**2).sum() / (len(x) - len(sizes)))
    if variance <= 0:
        raise StatisticsError(problem(PLACE, "nobody differs before treatment."))
    sd = np.sqrt(variance)
    d = change / sd
    of_change = (std_error / sd) ** 2
    of_sd, n_clusters = 0.0, np.nan
    p_value = float(2 * student.sf(abs(change) / std_error, df)) if std_error > 0 else np.nan
    if sd_estimated:
        codes = None if clusters is None else cluster_codes(pd.Series(np.asarray(clusters, dtype=object))[there])
        spread = residual**2 / (residual**2).mean()
        log_variance, spread_df = robust_variance((spread - 1) / 2, codes)
        of_sd = d**2 * log_variance
        n_clusters = np.nan if codes is None else spread_df + 1
        if of_sd > 0:
            df = (of_change + of_sd) ** 2 / (of_change**2 / df + of_sd**2 / spread_df)
    error = float(np.sqrt(of_change + of_sd))
    half = float(student.ppf(0.5 + ci_level / 2, df)) * error
    how = "SD before treatment estimated (delta method)" if sd_estimated else "SD before treatment taken as known"
    return Effect(
        estimate=float(d), std_error=error, ci_low=d - half, ci_high=d + half, ci_level=ci_level, p_value=p_value, df=float(df),
        n=len(x), n_clusters=n_clusters, method=f"Feingold's d, raw SD at the first occasion, {how}",
        note=f"raw SD {sd:.4g} of {len(x)} people at the first occasion" + ("" if groups is None else ", within groups"),
    )  # fmt: skip

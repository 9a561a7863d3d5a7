r"""What do samples say together when several come from the same families, authors or reports? Three-level pooling.

.. math:: y_{gi} = x_{gi}'\beta + b_g + u_{gi} + e_{gi}, \quad b_g \sim N(0, \sigma_b^2), \quad u_{gi} \sim N(0, \sigma_w^2), \quad
    e_{gi} \sim N(0, v_{gi})

Vocabulary
----------
between   variance of the true effects between clusters, :math:`\sigma_b^2`
within    variance of the true effects between the samples of one cluster, :math:`\sigma_w^2`
shares    of a typical sample's variance: between clusters, within clusters, sampling error
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.pooling.effects import ALL_EQUAL, FITTED, Clusters, checked, without_rounding
from attachment_outcomes.inference.pooling.moderators import INTERCEPT, checked_design, coefficient_table
from attachment_outcomes.inference.pooling.nested_likelihood import Clustered, maximise
from attachment_outcomes.inference.pooling.robust import robust_covariance
from attachment_outcomes.inference.proportions import cluster_codes

Numbers = npt.NDArray[np.float64]

INTERVALS = ("CR2", "CR1", "t", "z")
LOW_DF = 4.0  # Satterthwaite's degrees of freedom below which CR2 intervals err (Tipton, 2015)


@dataclass(frozen=True, slots=True, kw_only=True)
class NestedPool:
    """A pooled effect of samples in clusters, on the scale pooled; see the module's vocabulary. NaN where it is not defined.

    Estimate, interval, p value and prediction interval are of the intercept: with moderators, of samples that have 0 in all of
    them. ``coefficients`` has all terms. ``i2_between``, ``i2_within`` are the shares, 0 to 1.
    """

    k: int
    n_clusters: int
    estimate: float
    std_error: float
    df: float
    ci_low: float
    ci_high: float
    p_value: float
    tau2_between: float
    tau2_within: float
    i2_between: float
    i2_within: float
    q: float
    q_df: int
    q_p: float
    prediction_low: float
    prediction_high: float
    coefficients: pd.DataFrame
    loglik: float
    converged: bool
    method: str
    note: str = ""


def pool_nested(
    effects: npt.ArrayLike,
    variances: npt.ArrayLike,
    clusters: Clusters,
    *,
    design: pd.DataFrame | None = None,
    interval: Literal["CR2", "CR1", "t", "z"] = "CR2",
    ci_level: float = CI_LEVEL,
) -> NestedPool:
    r"""Pool effects of samples that come in clusters, by restricted maximum likelihood of both variances.

    Parameters
    ----------
    effects, variances : (k,) arrays
        Effects and their sampling variances; sampling errors are taken as independent, also within a cluster.
    clusters : (k,) sequence
        What samples share; none missing.
    design : DataFrame (k, m), optional
        Moderators, as for :func:`~attachment_outcomes.inference.pooling.moderators.meta_regression`.
    interval : {"CR2", "CR1", "t", "z"}
        Standard errors and quantiles: bias-reduced cluster-robust with Satterthwaite's degrees of freedom; cluster-robust with
        factor G/(G − p) and t on G − p; of the model with t on G − p; of the model, normal. The robust ones hold where people are
        in several samples of a cluster, so that sampling errors are related.
    ci_level : float
        Confidence level, and level of the prediction interval.

    Returns
    -------
    NestedPool
        The prediction interval is :math:`\hat\mu \pm c\sqrt{SE^2 + \hat\sigma_b^2 + \hat\sigma_w^2}`, of one sample of a new
        cluster. The typical sampling variance in the shares is :math:`(k - p)/\operatorname{tr} P` at
        :math:`\sigma_b^2 = \sigma_w^2 = 0` (Higgins & Thompson).

    Raises
    ------
    StatisticsError
        If clusters do not outnumber the coefficients, each has one sample (the two variances are then one: use ``pool``), effects
        or clusters are missing, or a setting is not known.

    References
    ----------
    Konstantopoulos, S. (2011). Research Synthesis Methods, 2, 61-76. Cheung, M. W.-L. (2014). Psychological Methods, 19, 211-229.
    Assink, M., & Wibbelink, C. J. M. (2016). The Quantitative Methods for Psychology, 12, 154-174.
    """
    y, v = checked(effects, variances, fewest=3)
    k = len(y)
    if interval not in INTERVALS:
        raise StatisticsError(
            problem("interval", f"found {interval!r}; allowed: {', '.join(INTERVALS)}.{did_you_mean(interval, INTERVALS)}")
        )
    critical(ci_level)
    code = cluster_codes(clusters, n=k, missing="refuse")
    groups = int(code.max()) + 1
    names, x = ([INTERCEPT], np.ones((k, 1))) if design is None else checked_design(design, k)
    p = len(names)
    if groups - p < 1:
        raise StatisticsError(
            problem("clusters", f"found {groups} for {p} coefficients; allowed: more clusters than coefficients.")
        )
    if groups == k:
        raise StatisticsError(
            problem("clusters", "each has one sample, so their two variances are one.", hint="pool the samples without clusters.")
        )
    basis, triangle = np.linalg.qr(x)
    back = np.linalg.inv(triangle)
    best, converged = maximise(Clustered(y, v, basis, code, groups))
    df = np.full(p, math.inf if interval == "z" else float(groups - p))
    covariance = of_model = back @ best.inverse @ back.T
    if interval in ("CR1", "CR2"):
        own, shared = v + best.variances[1], best.variances[0]
        found = robust_covariance(x, best.residuals[:, 0], own, shared, code, bias_reduced=interval == "CR2")
        covariance, df = without_rounding(found.covariance, of_model), found.df
    table = coefficient_table(names, back @ best.beta, covariance, df, ci_level)
    first = table.iloc[0]
    between, within = best.variances
    zero = Clustered(y, v, basis, code, groups).at((0.0, 0.0))
    q = float(zero.residuals[:, 0] @ (zero.residuals[:, 0] / v))
    typical = (k - p) / zero.trace_p
    total = between + within + typical
    quantile = float(stats.t.ppf(0.5 + ci_level / 2, df[0]))
    spread = quantile * math.sqrt(float(first["std_error"]) ** 2 + between + within)
    notes = [
        "" if converged else "the search did not converge",
        "no variance between clusters" if between == 0 else "",
        "no variance within clusters" if within == 0 else "",
        f"degrees of freedom below {LOW_DF:.0f}: the interval is rough" if interval == "CR2" and df[0] < LOW_DF else "",
        "" if float(np.diag(covariance).max()) > 0 else ALL_EQUAL if p == 1 else FITTED,
    ]
    return NestedPool(
        k=k, n_clusters=groups, estimate=float(first["estimate"]), std_error=float(first["std_error"]), df=float(df[0]),
        ci_low=float(first["ci_low"]), ci_high=float(first["ci_high"]), p_value=float(first["p_value"]), tau2_between=between,
        tau2_within=within, i2_between=between / total, i2_within=within / total, q=q, q_df=k - p,
        q_p=float(stats.chi2.sf(q, k - p)), prediction_low=float(first["estimate"]) - spread,
        prediction_high=float(first["estimate"]) + spread, coefficients=table,
        loglik=best.loglik - 0.5 * (k - p) * math.log(2 * math.pi), converged=converged,
        method="three-level random effects (REML)" + {"t": "", "z": ", normal"}.get(interval, f" cluster-robust ({interval})"),
        note="; ".join(filter(None, notes)),
    )  # fmt: skip

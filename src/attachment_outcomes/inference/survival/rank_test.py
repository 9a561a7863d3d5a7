"""Do groups differ in when it happens? The log-rank test, also for people in clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2
from scipy.stats import f as fisher

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.proportions import cluster_codes
from attachment_outcomes.inference.survival.curves import Labels, Numbers, checked_times, count, few


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRank:
    """The test, and observed and expected events of each group in the order of their labels."""

    statistic: float
    df: int
    p_value: float
    observed: Numbers
    expected: Numbers
    groups: list[str]
    n: int
    n_clusters: float
    method: str
    note: str = ""


def log_rank(time: ArrayLike, event: ArrayLike, group: Labels, *, clusters: Labels | None = None) -> LogRank:
    r"""Test whether the groups have one hazard.

    .. math:: U_k = \sum_u \Big(d_{ku} - n_{ku} \frac{d_u}{n_u}\Big), \quad
        V_{kl} = \sum_u d_u \frac{n_u - d_u}{n_u - 1} \frac{n_{ku}}{n_u} \Big(\delta_{kl} - \frac{n_{lu}}{n_u}\Big), \quad
        U' V^{-1} U \sim \chi^2_{K-1}

    With clusters V is the variance of their summed score residuals (times G/(G - 1)), and :math:`U'V^{-1}U/(K-1)` is held
    against F with K - 1 and G - 1 degrees of freedom.

    Parameters
    ----------
    time, event, clusters
        As in :func:`~.curves.kaplan_meier`. With competing events, pass them as censored: the test is then of the hazard of
        this event among those still there.
    group : (n,) labels
        Group of each person; none missing.

    Raises
    ------
    StatisticsError
        As :func:`~.curves.kaplan_meier`; or if there are fewer than two groups, a label is missing, or no event was seen.

    References
    ----------
    Mantel, N. (1966). Cancer Chemotherapy Reports, 50, 163-170. Ying, Z., & Wei, L. J. (1994). Journal of Multivariate
    Analysis, 50, 17-29 (clusters).
    """
    t, c = checked_times(time, event, place="log-rank test")
    if c.max() > 1:
        raise StatisticsError(problem("log-rank test", "an event is neither 0 nor 1.", hint="competing events are censored here."))
    codes = cluster_codes(group, n=len(t), missing="refuse")
    many = int(codes.max()) + 1
    names = pd.Series(group).reset_index(drop=True).groupby(codes).first().astype("str").tolist()
    if many < 2:
        raise StatisticsError(problem("log-rank test", "one group only; at least two are needed."))
    if not c.any():
        raise StatisticsError(problem("log-rank test", "no event was seen."))
    counts = count(t, c, 1)
    size, d, n = len(counts.times), counts.events[0], counts.at_risk
    leaving = np.bincount(codes * size + counts.place, minlength=many * size).reshape(many, size).astype(float)
    share = leaving[:, ::-1].cumsum(axis=1)[:, ::-1] / n
    observed = np.bincount(codes, weights=c.astype(float), minlength=many).astype(float)
    expected = (share * d).sum(axis=1)
    score = (observed - expected)[1:]
    if clusters is None:
        spread = np.divide(d * (n - d), n - 1, out=np.zeros_like(n), where=n > 1)
        variance = np.diag((share * spread).sum(axis=1)) - (share * spread) @ share.T
        return _test(score, variance[1:, 1:], math.nan, observed, expected, names, len(t))
    own = np.eye(many)[codes]
    hazard = d / n
    passed, weighted = np.cumsum(hazard), np.cumsum(share * hazard, axis=1)
    s = counts.place
    residual = c[:, None] * (own - share.T[s]) - own * passed[s][:, None] + weighted.T[s]
    of = cluster_codes(clusters, n=len(t))
    sums = np.column_stack([np.bincount(of, weights=column) for column in residual.T[1:]])
    if len(sums) < 2:
        raise StatisticsError(problem("survival, clusters", f"{len(sums)} clusters; at least two are needed."))
    return _test(score, len(sums) / (len(sums) - 1) * sums.T @ sums, float(len(sums)), observed, expected, names, len(t))


def _test(
    score: Numbers, variance: Numbers, groups: float, observed: Numbers, expected: Numbers, names: list[str], n: int
) -> LogRank:
    df = int(np.linalg.matrix_rank(variance))
    statistic = float(score @ np.linalg.pinv(variance, hermitian=True) @ score)
    if df == 0:
        p_value = math.nan
    elif math.isnan(groups):
        p_value = float(chi2.sf(statistic, df))
    else:
        p_value = float(fisher.sf(statistic / df, df, groups - 1))
    notes = [few(groups), "" if df == len(score) else "some groups were never at risk together with others"]
    return LogRank(
        statistic=statistic, df=df, p_value=p_value, observed=observed, expected=expected, groups=names, n=n, n_clusters=groups,
        method="log-rank test" + ("" if math.isnan(groups) else ", cluster-robust"), note="; ".join(filter(None, notes)),
    )  # fmt: skip

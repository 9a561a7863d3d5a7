r"""How many insecure people reach security, and how many would cross the boundary by measurement error alone?

Vocabulary
----------
earned security          insecure at baseline, secure at the end (prospective; the retrospective kind, judged from an interview
                         about childhood, is another thing)
expected without change  share of the insecure who would be classed secure at the end if nobody truly changed
excess                   earned security minus that share
region                   half-planes :math:`w_1 x_{anxiety} + w_2 x_{avoidance} + c > 0` that together bound the secure scores

The expectation is classical test theory for two dimensions. With :math:`\Sigma` the covariance of the observed baseline scores,
:math:`\mu` their mean, and :math:`\Sigma_\tau = \Sigma - \mathrm{diag}((1-r_k)\sigma_k^2)` that of the true scores, the
end score of someone who did not change is, given the baseline score :math:`x`,

.. math:: N\big(\mu + \Sigma_\tau\Sigma^{-1}(x - \mu),\; \Sigma - \Sigma_\tau\Sigma^{-1}\Sigma_\tau\big)

and its probability of falling into the secure region is averaged over those who were insecure at baseline.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.effects import effect
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.proportions import cluster_codes, proportion

Numbers = NDArray[np.float64]
ANALYSIS = "earned_security"
SECURE = "secure"
CAVEAT = "crossing the boundary is not by itself a change of attachment: read it beside the share expected without change"
MODEL = (
    "assumes normal scores, the given reliabilities at both occasions, and true scores that centre on this sample's mean; "
    "if the sample was chosen for being insecure, the expectation is somewhat too high"
)
NODES = 64  # Gauss–Legendre nodes; the quadrant probability is then exact to 1e-9
REACH = 8.0  # SDs beyond which the normal density adds nothing
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(NODES)
STEP = 1e-4  # of the SD, for the derivatives by the mean and covariance


def quadrant(anxiety: float, avoidance: float) -> Numbers:
    """Return the region below two cuts: secure is low on both dimensions."""
    return np.array([[-1.0, 0.0, anxiety], [0.0, -1.0, avoidance]])


def region_probability(means: ArrayLike, covariance: ArrayLike, region: ArrayLike) -> Numbers:
    """Return the probability that bivariate normal scores fall into a region, for each mean.

    Parameters
    ----------
    means : (n, 2) floats
        Anxiety and avoidance.
    covariance : (2, 2) floats
        Positive definite, the same for all.
    region : (k, 3) floats
        Half-planes, see the module.

    Notes
    -----
    Deterministic: the second coordinate is integrated exactly, the first by Gauss–Legendre quadrature.
    """
    m, planes = np.asarray(means, dtype=float), np.asarray(region, dtype=float)
    root = np.linalg.cholesky(np.asarray(covariance, dtype=float))
    slopes = planes[:, :2] @ root
    gammas = m @ planes[:, :2].T + planes[:, 2]
    low, high = np.full(len(m), -REACH), np.full(len(m), REACH)
    flat = np.abs(slopes[:, 1]) <= 1e-12 * np.abs(slopes).max()
    for k in np.flatnonzero(flat):  # bounds on the first coordinate alone
        edge = -gammas[:, k] / slopes[k, 0]
        if slopes[k, 0] > 0:
            low = np.maximum(low, edge)
        else:
            high = np.minimum(high, edge)
    high = np.maximum(high, low)
    half = (high - low)[:, None] / 2
    first = (high + low)[:, None] / 2 + half * _NODES
    bottom, top = np.full_like(first, -np.inf), np.full_like(first, np.inf)
    for k in np.flatnonzero(~flat):
        edge = -(slopes[k, 0] * first + gammas[:, [k]]) / slopes[k, 1]
        if slopes[k, 1] > 0:
            bottom = np.maximum(bottom, edge)
        else:
            top = np.minimum(top, edge)
    inner = np.clip(ndtr(top) - ndtr(bottom), 0.0, None)
    density = np.exp(-(first**2) / 2) / np.sqrt(2 * np.pi)
    total: Numbers = (inner * density * _WEIGHTS).sum(axis=1) * half[:, 0]
    return np.clip(total, 0.0, 1.0)


def probability_without_change(
    scores: Numbers, mean: Numbers, covariance: Numbers, reliability: tuple[float, float], region: Numbers
) -> Numbers:
    """Return each person's probability of a secure end score, given the baseline scores, if nothing truly changed.

    Raises
    ------
    StatisticsError
        If the dimensions correlate more than their reliabilities allow (the true scores' covariance is not positive).
    """
    true = covariance - np.diag((1 - np.asarray(reliability)) * np.diag(covariance))
    if np.linalg.eigvalsh(true)[0] <= 0:
        raise StatisticsError(
            problem("earned security", "the two dimensions correlate more than their reliabilities allow.",
                    hint="check the reliabilities.")
        )  # fmt: skip
    shrink = true @ np.linalg.inv(covariance)
    return region_probability(mean + (scores - mean) @ shrink.T, covariance - shrink @ true, region)


def earned_security(
    baseline: ArrayLike,
    end: ArrayLike,
    *,
    secure: str = SECURE,
    scores: ArrayLike | None = None,
    reliability: tuple[float, float] | None = None,
    region: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    outcome: str = "",
    primary: bool = True,
    ci_level: float = CI_LEVEL,
    note: str = "",
) -> list[Estimate]:
    """Return the share of the insecure who become secure, the share expected without true change, and the excess.

    Parameters
    ----------
    baseline, end : (n,) words
        Class of each person; missing in either leaves the person out (count them before).
    secure
        The class that counts as secure; every other one is insecure.
    scores : (n, 2) floats, optional
        Baseline anxiety and avoidance (higher = less secure), for the expectation.
    reliability : (anxiety, avoidance), optional
        In (0, 1), in a population like this one.
    region : (k, 3) floats, optional
        The secure half-planes of the rule that made the classes; see :func:`quadrant`.
    clusters : (n,) labels, optional
        Therapists.
    outcome, primary, note
        Passed into the rows.
    ci_level
        Confidence level.

    Returns
    -------
    list of Estimate
        ``earned_security``, ``expected_without_change`` and ``excess`` (proportions). What the data cannot answer is a row
        that says so.

    Raises
    ------
    StatisticsError
        If the inputs differ in length or a reliability is not in (0, 1).

    Notes
    -----
    The share has Wilson's interval (on the effective n if there are clusters). The excess has a delta-method interval from
    influence values that include the estimation of mean and covariance, summed within clusters, with t on G − 1 df; the
    reliabilities are taken as known.
    """
    first, last = pd.Series(baseline).reset_index(drop=True), pd.Series(end).reset_index(drop=True)
    if len(first) != len(last):
        raise StatisticsError(problem("earned security", f"{len(first)} baseline but {len(last)} end classes."))
    for r in reliability or ():
        if not 0 < r < 1:
            raise StatisticsError(problem("earned security", f"reliability {r}; allowed: between 0 and 1, both excluded."))
    known = (first.notna() & last.notna()).to_numpy()
    insecure = (first != secure).to_numpy()[known]
    reached = (last == secure).to_numpy()[known]
    labels = None if clusters is None else pd.Series(clusters).reset_index(drop=True)[known].reset_index(drop=True)
    if not insecure.any():
        return [not_testable(ANALYSIS, "nobody classed at both occasions was insecure at baseline", outcome=outcome)]
    share = proportion(reached[insecure], clusters=None if labels is None else labels[insecure], ci_level=ci_level)
    row = Estimate(
        analysis=ANALYSIS, estimand="earned_security", outcome=outcome, primary=primary, estimate=share.estimate,
        std_error=share.std_error, ci_low=share.ci_low, ci_high=share.ci_high, ci_level=ci_level, n=share.n,
        n_clusters=share.n_clusters, unit="proportion", direction="higher is better", method=share.method,
        note="; ".join(t for t in (CAVEAT, share.note, note) if t),
    )  # fmt: skip
    if scores is None or reliability is None or region is None:
        missing = (
            "scores"
            if scores is None
            else "reliabilities of both dimensions"
            if reliability is None
            else "a rule with known bounds"
        )
        return [row, _untestable(f"excess over measurement error: needs {missing}", outcome)]
    x = np.asarray(scores, dtype=float)
    if x.shape != (len(first), 2):
        raise StatisticsError(problem("earned security", f"scores have shape {x.shape}; allowed: {(len(first), 2)}."))
    x = x[known]
    if np.isnan(x).any():
        return [row, _untestable("excess over measurement error: some classed people have no scores", outcome)]
    try:
        more = _excess(x, insecure, reached, reliability, np.asarray(region, dtype=float), labels, ci_level)
    except StatisticsError as error:
        return [row, _untestable(f"excess over measurement error: {error}", outcome)]
    text = "; ".join(t for t in (MODEL, f"reliabilities {reliability[0]:g} and {reliability[1]:g}", note) if t)
    return [row, *(replace(r, outcome=outcome, primary=primary, note="; ".join(t for t in (text, r.note) if t)) for r in more)]


def _untestable(reason: str, outcome: str) -> Estimate:
    return replace(not_testable(ANALYSIS, reason, outcome=outcome), group="excess")


def _excess(
    x: Numbers, insecure: NDArray[np.bool_], reached: NDArray[np.bool_], reliability: tuple[float, float], region: Numbers,
    labels: pd.Series | None, ci_level: float,
) -> list[Estimate]:  # fmt: skip
    n = len(x)
    if n < 3:
        raise StatisticsError(problem("earned security", f"{n} people; the covariance of two dimensions needs three."))
    mean, covariance = x.mean(axis=0), np.cov(x.T, ddof=1)
    sd = np.sqrt(np.diag(covariance))
    if not (sd > 0).all():
        raise StatisticsError(problem("earned security", "nobody differs at baseline."))

    def average(mean_: Numbers, covariance_: Numbers) -> float:
        return float(probability_without_change(x[insecure], mean_, covariance_, reliability, region).mean())

    each = probability_without_change(x[insecure], mean, covariance, reliability, region)
    expected = float(each.mean())
    centred = x - mean
    drift = np.zeros(n)  # influence of each person on the expectation through the mean and the covariance
    for j in range(2):
        step = np.eye(2)[j] * STEP * sd[j]
        slope = (average(mean + step, covariance) - average(mean - step, covariance)) / (2 * step[j])
        drift += slope * centred[:, j]
    for j, k in ((0, 0), (0, 1), (1, 1)):
        size = STEP * sd[j] * sd[k]
        change = np.zeros((2, 2))
        change[j, k] = change[k, j] = size
        slope = (average(mean, covariance + change) - average(mean, covariance - change)) / (2 * size)
        drift += slope * (centred[:, j] * centred[:, k] - covariance[j, k])
    codes = None if labels is None else cluster_codes(labels)
    rate = insecure.mean()
    own = np.zeros(n)
    own[insecure] = (each - expected) / rate
    observed = np.zeros(n)
    observed[insecure] = (reached[insecure] - reached[insecure].mean()) / rate
    how = "delta method" + ("" if codes is None else ", cluster-robust (CR1), t on G - 1 df")
    rows = []
    for estimand, value, influence in (
        ("expected_without_change", expected, own + drift),
        ("excess", float(reached[insecure].mean()) - expected, observed - own - drift),
    ):
        e = effect(value, influence, codes, method=how, ci_level=ci_level)
        bounds = (max(e.ci_low, 0.0), min(e.ci_high, 1.0)) if estimand != "excess" else (e.ci_low, e.ci_high)
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand=estimand, estimate=value, std_error=e.std_error, ci_low=bounds[0], ci_high=bounds[1],
                ci_level=ci_level, p_value=e.p_value if estimand == "excess" else np.nan, n=int(insecure.sum()),
                n_clusters=e.n_clusters, unit="proportion", direction="higher is better" if estimand == "excess" else "",
                method=how, note=e.note,
            )
        )  # fmt: skip
    return rows

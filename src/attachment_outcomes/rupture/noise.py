"""How many clients would show a rupture if nothing had happened? The same criteria on simulated, uneventful series.

Any lower limit is crossed now and then by chance, the more often the longer the series and the stronger its
autocorrelation. A share of clients with ruptures means little until it is set beside this one.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.rupture.criteria import Criterion
from attachment_outcomes.rupture.series import Numbers, Series, ratio
from attachment_outcomes.rupture.summary import PREVALENCE

REPLICATES = 50
MAX_ROWS = 2_000_000  # simulated at a time
MAX_CLIENTS = 5_000  # a random part of larger data is simulated: Monte-Carlo error below .001 at 50 replicates
BOUND = 0.95  # of the autocorrelation, beyond which short series cannot tell it from a drift


def expected_on_noise(
    series: Series,
    criterion: Criterion,
    *,
    rng: np.random.Generator,
    outcome: str = "",
    primary: bool = True,
    replicates: int = REPLICATES,
    ci_level: float = CI_LEVEL,
) -> Estimate:
    r"""Return the share of clients with at least one rupture in pure noise.

    Each client's series is replaced by a stationary Gaussian AR(1) around a constant,
    :math:`x_t = \rho^g x_{t-1} + s\sqrt{1 - \rho^{2g}}\,e_t` with g the step in session number, keeping the client's own
    session numbers and SD s, and the lag-1 autocorrelation :math:`\rho` that all clients share.

    Parameters
    ----------
    series : Series
        The observed series; those too short for the criterion are left out.
    criterion : Criterion
        The criterion to apply.
    rng : Generator
        Source of the random numbers.
    outcome : str
        Name of the alliance score.
    primary : bool
        Whether it is the study's primary criterion.
    replicates : int
        Simulated studies, at least 2.
    ci_level : float
        Confidence level.

    Returns
    -------
    Estimate
        Analysis ``rupture_prevalence``, estimand ``expected_on_noise``, a proportion of the assessable clients. The
        interval holds the Monte-Carlo error only, not the uncertainty of SD and autocorrelation.

    Raises
    ------
    StatisticsError
        If no series is long enough, or ``replicates`` is below 2.

    Notes
    -----
    Real ruptures raise the observed SD and autocorrelation, so the noise is if anything too lively and the comparison
    conservative. Rounding and the ends of the scale are not simulated.
    """
    if replicates < 2:
        raise StatisticsError(problem("expected_on_noise", f"found {replicates} replicates; allowed: 2 or more."))
    kept = series.select(series.lengths >= criterion.min_sessions)
    if not len(kept.lengths):
        raise StatisticsError(problem(f"criterion {criterion.name}", "no client has enough rated sessions."))
    rho = autocorrelation(kept)
    n_clients = len(kept.lengths)
    if n_clients > MAX_CLIENTS:
        chosen = np.zeros(n_clients, dtype=bool)
        chosen[rng.choice(n_clients, MAX_CLIENTS, replace=False)] = True
        kept = kept.select(chosen)
    at_once = int(np.clip(MAX_ROWS // max(len(kept.values), 1), 1, replicates))
    shares = np.concatenate(
        [_shares(kept, criterion, rho, min(at_once, replicates - done), rng) for done in range(0, replicates, at_once)]
    )
    mean, error = float(np.nanmean(shares)), float(np.nanstd(shares, ddof=1) / math.sqrt(len(shares)))
    half = float(student.ppf((1 + ci_level) / 2, len(shares) - 1)) * error
    return Estimate(
        analysis=PREVALENCE, estimand="expected_on_noise", outcome=outcome, definition=criterion.name, primary=primary,
        estimate=mean, std_error=error, ci_low=max(0.0, mean - half), ci_high=min(1.0, mean + half), ci_level=ci_level,
        n=float(n_clients), n_clusters=float(n_clients), unit="proportion", method=f"simulated AR(1), {replicates} replicates",
        note="stationary series with the data's own lengths and SDs and lag-1 autocorrelation "
        f"{rho:.2f}; the interval is Monte-Carlo error only",
    )  # fmt: skip


def _shares(series: Series, criterion: Criterion, rho: float, replicates: int, rng: np.random.Generator) -> Numbers:
    """Return the share of assessable series with a rupture in each of several simulated studies."""
    noise = simulate_noise(series, rho, replicates, rng)
    signal = criterion.rule(noise, **criterion.settings)
    ruptured = (noise.total(signal.begins) > 0) & signal.assessable
    counted = signal.assessable.reshape(replicates, -1).sum(axis=1)
    return ratio(ruptured.reshape(replicates, -1).sum(axis=1), counted)


def simulate_noise(series: Series, rho: float, replicates: int, rng: np.random.Generator) -> Series:
    """Return ``replicates`` copies of the series, one study after the other, with stationary AR(1) noise as scores."""
    deviation = series.values - series.mean(series.values)[series.group]
    own_sd = np.nan_to_num(np.sqrt(ratio(series.total(deviation * deviation), series.lengths - 1)))
    step = np.diff(series.sessions, prepend=0)
    carry = np.where(series.rank == 0, 0.0, np.sign(rho) ** step * abs(rho) ** np.maximum(step, 0)) if rho else np.zeros(len(step))
    values = rng.standard_normal((replicates, len(series.values))) * np.sqrt(1 - carry**2)
    # Sessions of one rank depend on those of the rank before; all clients and replicates are computed together.
    order = np.argsort(series.rank, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(series.rank))[:-1])[1:]:
        values[:, rows] += carry[rows] * values[:, rows - 1]
    values *= own_sd[series.group]
    lengths = np.tile(series.lengths, replicates)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Series(values.ravel(), np.tile(series.sessions, replicates), starts, series.clients)


def autocorrelation(series: Series) -> float:
    r"""Return the lag-1 autocorrelation that the series share, corrected for the estimation of each person's mean.

    Deviations from a mean of n values are negatively correlated even in white noise. For an AR(1) series of variance 1,

    .. math:: v = \mathrm{Var}(\bar{x}) = \frac{1}{n}\left[\frac{1+\rho}{1-\rho} - \frac{2\rho(1-\rho^n)}{n(1-\rho)^2}\right],
        \qquad c = \mathrm{Cov}(x_1, \bar{x}) = \frac{1-\rho^n}{n(1-\rho)}

    the expected product of adjacent deviations is :math:`\rho + v - 2(nv - c)/(n-1)` and the expected squared deviation
    :math:`1 - v`. The ratio of the pooled sums is set to the ratio of these, averaged over persons, and solved for
    :math:`\rho`. Pooled sums, since the average of the persons' own ratios is biased in short series; persons with more
    spread therefore weigh more. 0 where no adjacent pair varies; within ±0.95.
    """
    deviation = series.values - series.mean(series.values)[series.group]
    adjacent = series.adjacent()
    products = np.zeros(len(deviation))
    products[1:] = deviation[1:] * deviation[:-1]
    square = float((deviation * deviation).sum())
    pairs = series.total(adjacent)
    if pairs.sum() == 0 or square == 0:
        return 0.0
    observed = float(products[adjacent].sum() / pairs.sum()) / (square / len(deviation))
    n, weights = series.lengths[series.lengths > 1].astype(float), pairs[series.lengths > 1]

    def gap(rho: float) -> float:
        v = ((1 + rho) / (1 - rho) - 2 * rho * (1 - rho**n) / (n * (1 - rho) ** 2)) / n
        c = (1 - rho**n) / (n * (1 - rho))
        return float(np.average(rho + v - 2 * (n * v - c) / (n - 1), weights=weights) / (1 - np.average(v, weights=n))) - observed

    if gap(-BOUND) >= 0:
        return -BOUND
    return BOUND if gap(BOUND) <= 0 else float(brentq(gap, -BOUND, BOUND, xtol=1e-6))

"""How many ruptures and repairs would there be if nothing had happened? The same criteria on simulated, uneventful series.

Any lower limit is crossed now and then by chance, the more often the longer the series and the stronger its
autocorrelation; and what was low by chance is mostly followed by something higher, which looks like a repair. A share of clients
with ruptures, or of ruptures that were repaired, means little until it is set beside this one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.rupture.criteria import Criterion, detect
from attachment_outcomes.rupture.series import Flags, Numbers, Series, Whole, ratio
from attachment_outcomes.rupture.summary import PREVALENCE

REPLICATES = 50
MAX_ROWS = 2_000_000  # simulated at a time
MAX_CLIENTS = 5_000  # a random part of larger data is simulated: Monte-Carlo error below .001 at 50 replicates
BOUND = 0.95  # of the autocorrelation, beyond which short series cannot tell it from a drift
FINEST = 400  # steps of a scale; one with more is as good as continuous


@dataclass(frozen=True)
class Scale:
    """What values a rating can take: its ends, and the step between two values (0: any value)."""

    low: float
    high: float
    step: float = 0.0

    @property
    def words(self) -> str:
        """What was done to the simulated ratings."""
        return f"held within {self.low:g} to {self.high:g}" + (f" and rounded to steps of {self.step:.3g}" if self.step else "")

    def rounded(self, values: Numbers) -> Numbers:
        """Return the values that the scale would have shown."""
        inside = np.clip(values, self.low, self.high)
        if not self.step:
            return np.asarray(inside, dtype=np.float64)
        places = np.rint((inside - self.low) / self.step)
        return np.asarray(np.clip(self.low + places * self.step, self.low, self.high), dtype=np.float64)


def scale_of(values: Numbers, low: float, high: float) -> Scale:
    """Return the scale of ratings: its step is the smallest difference of two that all others are multiples of, if there is one."""
    seen = np.unique(np.round(values, 9))
    step = float(np.diff(seen).min()) if len(seen) > 1 else 0.0
    if step <= 0 or (high - low) / step > FINEST:
        return Scale(low, high)
    places = (seen - low) / step
    return Scale(low, high, step if np.abs(places - np.rint(places)).max() < 1e-3 else 0.0)


@dataclass(frozen=True)
class OnNoise:
    """What a criterion finds in simulated series without any event.

    ``chosen`` are the series (of all) that were simulated; the counts are (replicates, chosen) arrays, and say nothing where a
    simulated series is not ``assessable``.
    """

    chosen: Whole
    sessions: Whole
    assessable: Flags
    ruptures: Whole
    repaired: Whole
    told: Whole
    rho: float
    replicates: int


def found_on_noise(
    series: Series,
    criterion: Criterion,
    *,
    rng: np.random.Generator,
    scale: Scale | None = None,
    replicates: int = REPLICATES,
) -> OnNoise:
    r"""Apply a criterion to series in which nothing happens.

    Each client's series is replaced by a stationary Gaussian AR(1) around the client's own mean,
    :math:`x_t = \mu_i + u_t, \ u_t = \rho^g u_{t-1} + s_i\sqrt{1 - \rho^{2g}}\,e_t` with g the step in session number, keeping
    the client's own session numbers, an SD as in :func:`spread`, and the lag-1 autocorrelation :math:`\rho` that all share.

    Parameters
    ----------
    series : Series
        The observed series; those too short for the criterion are left out.
    criterion : Criterion
        The criterion to apply.
    rng : Generator
        Source of the random numbers.
    scale : Scale, optional
        Round the simulated ratings and hold them within the scale.
    replicates : int
        Simulated studies, at least 2.

    Raises
    ------
    StatisticsError
        If no series is long enough, or ``replicates`` is below 2.

    Notes
    -----
    Real ruptures raise the observed SD and autocorrelation, so the noise is if anything too lively and the comparison
    conservative.
    """
    if replicates < 2:
        raise StatisticsError(problem("expected_on_noise", f"found {replicates} replicates; allowed: 2 or more."))
    enough = series.lengths >= criterion.min_sessions
    if not enough.any():
        raise StatisticsError(problem(f"criterion {criterion.name}", "no client has enough rated sessions."))
    rho = autocorrelation(series.select(enough))
    own_sd = np.zeros(len(enough))
    own_sd[enough] = spread(series.select(enough), rho)
    chosen = np.flatnonzero(enough)
    if len(chosen) > MAX_CLIENTS:
        chosen = np.sort(rng.choice(chosen, MAX_CLIENTS, replace=False))
        enough = np.isin(np.arange(len(enough)), chosen)
    kept, own_sd = series.select(enough), own_sd[enough]
    at_once = int(np.clip(MAX_ROWS // max(len(kept.values), 1), 1, replicates))
    parts = [
        _counts(simulate_noise(kept, rho, min(at_once, replicates - done), rng, own_sd=own_sd, scale=scale), criterion, len(chosen))
        for done in range(0, replicates, at_once)
    ]
    assessable, ruptures, repaired, told = (np.concatenate(p) for p in zip(*parts, strict=True))
    return OnNoise(chosen, kept.lengths, assessable.astype(bool), ruptures, repaired, told, rho, replicates)


def _counts(noise: Series, criterion: Criterion, clients: int) -> tuple[Whole, Whole, Whole, Whole]:
    """Return (replicates, clients) counts: assessable, ruptures, repaired ones, those whose end is known."""
    found = detect(noise, criterion)
    size = len(noise.lengths)
    of, outcome = found.kept[found.episodes.group], found.episodes.outcome
    counts = [np.bincount(of[flags], minlength=size) for flags in (outcome >= 0, outcome == 0, outcome < 2)]
    shaped = [np.asarray(c, dtype=np.int64).reshape(-1, clients) for c in (found.assessable, *counts)]
    return shaped[0], shaped[1], shaped[2], shaped[3]


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
    r"""Return the share of clients with at least one rupture in pure noise; see :func:`found_on_noise`.

    Parameters
    ----------
    series, criterion, rng, replicates
        As there.
    outcome : str
        Name of the alliance score.
    primary : bool
        Whether it is the study's primary criterion.
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
    """
    noise = found_on_noise(series, criterion, rng=rng, replicates=replicates)
    return next(noise_rows(noise, criterion.name, outcome=outcome, primary=primary, ci_level=ci_level))


def noise_rows(
    noise: OnNoise, definition: str, *, outcome: str = "", group: str = "", primary: bool = True, ci_level: float = CI_LEVEL
) -> Iterator[Estimate]:
    """Yield what a criterion finds in noise: share of clients, ruptures per session, and the share of ruptures that are repaired.

    The intervals hold the Monte-Carlo error only: they tell how far more replicates could move the numbers.
    """
    ruptured = (noise.assessable & (noise.ruptures > 0)).sum(axis=1)
    counted = noise.assessable.sum(axis=1)
    sessions = (noise.assessable * noise.sessions).sum(axis=1)
    for estimand, unit, top, bottom in (
        ("expected_on_noise", "proportion", ruptured, counted),
        ("noise_rate_per_session", "ruptures per session", noise.ruptures.sum(axis=1), sessions),
        ("noise_share_repaired", "proportion", noise.repaired.sum(axis=1), noise.told.sum(axis=1)),
    ):
        values = ratio(top, bottom)
        values = values[~np.isnan(values)]
        if len(values) < 2:
            continue
        mean = float(top.sum() / bottom.sum())
        error = float(values.std(ddof=1) / math.sqrt(len(values)))
        half = float(student.ppf((1 + ci_level) / 2, len(values) - 1)) * error
        high = mean + half if unit != "proportion" else min(1.0, mean + half)
        yield Estimate(
            analysis=PREVALENCE, estimand=estimand, outcome=outcome, group=group, definition=definition, primary=primary,
            estimate=mean, std_error=error, ci_low=max(0.0, mean - half), ci_high=high, ci_level=ci_level,
            n=float(len(noise.chosen)), n_clusters=float(len(noise.chosen)), unit=unit,
            method=f"simulated AR(1), {noise.replicates} replicates",
            note="stationary series with the data's own lengths and SDs and lag-1 autocorrelation "
            f"{noise.rho:.2f}; the interval is Monte-Carlo error only",
        )  # fmt: skip


def spread(series: Series, rho: float) -> Numbers:
    r"""Return the SD of each client's simulated noise, in score points.

    :math:`\hat\sigma_i^2 = \frac1n\sum(x - \bar x)^2 / (1 - v_i)`, with v the variance of the mean of such a series (see
    :func:`autocorrelation`). These vary between clients by chance as well; a rule with a limit that all share would find too much
    in noise whose SDs vary twice, once by chance. Their logarithms are therefore drawn together until they vary by what is left
    beyond chance: with :math:`d_i = (n_i - 1)(1 - \rho^2)/(1 + \rho^2)` degrees of freedom,

    .. math:: \log\sigma_i^2 = m + \sqrt{\frac{\tau^2}{\tau^2 + \psi'(d_i/2)}}
        \big(\log\hat\sigma_i^2 - \psi(d_i/2) + \log(d_i/2) - m\big)

    where :math:`\tau^2` is the variance of the corrected logarithms less the mean of :math:`\psi'(d_i/2)`, not below 0. 0 for a
    client without variation.
    """
    deviation = series.values - series.mean(series.values)[series.group]
    n = series.lengths.astype(float)
    square = series.mean(deviation * deviation)
    varies = square > (1e-9 * np.sqrt(series.mean(series.values**2))) ** 2
    out = np.zeros(len(n))
    if not varies.any():
        return out
    half = np.maximum((n[varies] - 1) * (1 - rho**2) / (1 + rho**2), 1.0) / 2
    own = np.log(square[varies] / (1 - _of_mean(n[varies], rho)[0])) - digamma(half) + np.log(half)
    chance = polygamma(1, half)
    weights = 1 / chance
    m = float(np.average(own, weights=weights))
    between = max(float(np.average((own - m) ** 2, weights=weights) - np.average(chance, weights=weights)), 0.0)
    out[varies] = np.exp((m + np.sqrt(between / (between + chance)) * (own - m)) / 2)
    return out


def simulate_noise(
    series: Series,
    rho: float,
    replicates: int,
    rng: np.random.Generator,
    *,
    own_sd: Numbers | None = None,
    scale: Scale | None = None,
) -> Series:
    """Return ``replicates`` copies of the series, one study after the other, with stationary AR(1) noise as scores.

    Each client's noise is around the client's own mean, with ``own_sd`` (:func:`spread` without it), on the ``scale`` if one is
    given.
    """
    own_sd = spread(series, rho) if own_sd is None else own_sd
    step = np.diff(series.sessions, prepend=0)
    carry = np.where(series.rank == 0, 0.0, np.sign(rho) ** step * abs(rho) ** np.maximum(step, 0)) if rho else np.zeros(len(step))
    values = rng.standard_normal((replicates, len(series.values))) * np.sqrt(1 - carry**2)
    # Sessions of one rank depend on those of the rank before; all clients and replicates are computed together.
    order = np.argsort(series.rank, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(series.rank))[:-1])[1:]:
        values[:, rows] += carry[rows] * values[:, rows - 1]
    values *= own_sd[series.group]
    values += series.mean(series.values)[series.group]
    if scale is not None:
        values = scale.rounded(values)
    lengths = np.tile(series.lengths, replicates)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Series(values.ravel(), np.tile(series.sessions, replicates), starts, series.clients)


def _of_mean(n: Numbers, rho: float) -> tuple[Numbers, Numbers]:
    """Return the variance v of the mean of n sessions of an AR(1) of variance 1, and its covariance c with the first session."""
    v = ((1 + rho) / (1 - rho) - 2 * rho * (1 - rho**n) / (n * (1 - rho) ** 2)) / n
    return v, (1 - rho**n) / (n * (1 - rho))


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
        v, c = _of_mean(n, rho)
        return float(np.average(rho + v - 2 * (n * v - c) / (n - 1), weights=weights) / (1 - np.average(v, weights=n))) - observed

    if gap(-BOUND) >= 0:
        return -BOUND
    return BOUND if gap(BOUND) <= 0 else float(brentq(gap, -BOUND, BOUND, xtol=1e-6))

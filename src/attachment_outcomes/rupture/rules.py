"""When is a dip in the alliance a rupture? The rules; presets in ``config/criteria`` give their settings.

A rule is a plain function ``rule(series, **settings) -> Signal``. It flags the sessions at which a rupture may begin and
says from which level the score fell and at which level it counts as repaired; :mod:`.episodes` makes episodes of that.

Vocabulary
----------
centre     level a session is expected at
limit      lower limit; what counts as below it is the rule's business
level      score (or deviation) that the alliance fell from; depth is counted from it
target     level at which the rupture is repaired
baseline   first rated sessions, where a rule takes its limits from these instead of the whole series
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.rupture.series import Flags, Numbers, Series, Whole, ratio

MULTIPLIER = 2.66  # 3 / d2 with d2 = 2 / sqrt(pi) = 1.128, the mean range of two normal values in SDs (Shewhart charts)
MIN_RANGES = 2  # a mean of a single moving range says nothing about spread
TIE = 1e-9  # share of the person's spread below which two scores count as equal, so that rounding decides nothing


@dataclass(frozen=True)
class Signal:
    """What a rule says about each session.

    Attributes
    ----------
    begins : (n,) bool array
        A rupture may begin here. Never at the first session of a series: there is nothing it could have fallen from.
    center, limit : (n,) float arrays
        Expected level and lower limit of the score, score points; NaN where the rule has none.
    position : (n,) float array
        The score on the scale on which repair and depth are judged (the score, or its deviation from a trend).
    level, target : (n,) float arrays
        On that scale: for a rupture that begins here, the level it fell from and the level that repairs it.
    assessable : (g,) bool array
        The series has enough for the rule.
    """

    begins: Flags
    center: Numbers
    limit: Numbers
    position: Numbers
    level: Numbers
    target: Numbers
    assessable: Flags


def control_chart(
    series: Series,
    *,
    multiplier: float = MULTIPLIER,
    baseline: int | None = None,
    detrend: bool = False,
    repair_at: str = "center",
    max_gap: int = 1,
) -> Signal:
    r"""Individuals (XmR) chart of each person's own scores: a rupture is a score below the lower natural limit.

    .. math:: LCL = \bar{x} - 2.66\,\overline{mR}, \qquad mR_t = |x_t - x_{t-1}| \text{ over adjacent sessions}

    Parameters
    ----------
    series : Series
        Ratings, higher = better alliance.
    multiplier : float
        Limits lie this many mean moving ranges from the centre.
    baseline : int, optional
        Take centre and limits from the first so many rated sessions, which then cannot be ruptures; the whole series
        without it. Only with a baseline do later sessions never change earlier findings.
    detrend : bool
        Centre on the person's own least-squares line over session number instead of the mean.
    repair_at : {"center", "limit"}
        A score at or above the centre (the limit) ends the rupture.
    max_gap : int
        Neighbours further apart in session number give no moving range.

    Returns
    -------
    Signal
        Depth is counted from the centre. A series that starts below the limit has not fallen: its first run of low
        sessions begins no rupture. A series without variation has no ruptures; one with fewer than two moving ranges is
        not assessable.

    Raises
    ------
    ConfigError
        If a setting is impossible.

    References
    ----------
    Wheeler, D. J., & Chambers, D. S. (1992). Understanding statistical process control (2nd ed.). SPC Press.
    Eubanks-Carter, C., Gorman, B. S., & Muran, J. C. (2012). Psychotherapy Research, 22(6), 627-637.
    """
    _one_of("repair_at", repair_at, ("center", "limit"))
    _check(multiplier > 0, "multiplier", multiplier, "above 0")
    _check_baseline(baseline)
    if detrend and baseline is not None:
        raise ConfigError(problem("control_chart", "detrend takes its line from the whole series, baseline forbids that; set one."))
    used = _used(series, baseline)
    center = _center(series, used, detrend=detrend)
    residual = series.values - center

    ranged = series.adjacent(max_gap) & used  # used is a run from the first session, so the row before is used too
    moving = np.zeros(len(residual))
    moving[1:] = np.abs(np.diff(residual))
    moving[~ranged] = 0.0
    n_ranges = series.total(ranged)
    mean_range = ratio(series.total(moving), n_ranges)[series.group]

    spread = TIE * mean_range
    below = (mean_range > 0) & (residual < -multiplier * mean_range - spread) & _varies(series, residual)
    # A run of low sessions begins where the session before was not low; the first session has none before it.
    begins = below.copy()
    begins[1:] &= ~below[:-1]
    begins &= series.rank >= (1 if baseline is None else baseline)
    limit = center - multiplier * mean_range
    target = np.zeros(len(residual)) if repair_at == "center" else -multiplier * mean_range
    return Signal(begins, center, limit, residual, np.zeros(len(residual)), target - spread, n_ranges >= MIN_RANGES)


def within_person_drop(
    series: Series,
    *,
    k: float = 1.0,
    sd: str = "person",
    relative_to: str = "previous",
    tolerance: float = 0.25,
    baseline: int | None = None,
    max_gap: int = 1,
) -> Signal:
    r"""Drop of at least k SDs of the person's own scores; repaired once the score is back near where it fell from.

    .. math:: x_{\text{before}} - x_t \ge k\,s, \qquad \text{repaired: } x_{t+j} \ge x_{\text{before}} - c\,s

    Parameters
    ----------
    series : Series
        Ratings, higher = better alliance.
    k : float
        Least drop, in SDs.
    sd : {"person", "sample", "stricter"}
        The person's own SD (ddof = 1), the mean of all persons' own SDs, or the larger of the two.
    relative_to : {"previous", "decline"}
        The score of the session before, or the score from which an unbroken decline began (which also finds a slow
        slide; the rupture then begins at the session where the slide has reached k SDs).
    tolerance : float
        c: how far below the level it fell from a score may stay and count as repaired, in SDs.
    baseline : int, optional
        Take the SD from the first so many rated sessions, which then cannot be ruptures.
    max_gap : int
        Neighbours further apart in session number are not compared.

    Returns
    -------
    Signal
        A drop of exactly k SDs counts. A person without variation has no ruptures.

    Raises
    ------
    ConfigError
        If a setting is impossible.

    References
    ----------
    Stiles, W. B., et al. (2004). J. Consulting and Clinical Psychology, 72(1), 81-92. Strauss, J. L., et al. (2006).
    J. Consulting and Clinical Psychology, 74(2), 337-345. Gumz, A., et al. (2012). BMC Medical Research Methodology, 12, 10.
    """
    _one_of("sd", sd, ("person", "sample", "stricter"))
    _one_of("relative_to", relative_to, ("previous", "decline"))
    _check(k > 0, "k", k, "above 0")
    _check(0 <= tolerance < k, "tolerance", tolerance, "0 up to below k")
    _check_baseline(baseline)
    used = _used(series, baseline)
    own = _own_sd(series, used)
    defined = np.isfinite(own)
    sample = float(own[defined].mean()) if defined.any() else np.nan
    spread = {"person": own, "sample": np.full(len(own), sample), "stricter": np.maximum(own, sample)}[sd][series.group]

    adjacent = series.adjacent(max_gap)
    before = np.full(len(series.values), np.nan)
    before[1:] = (series.values[_decline_start(series, adjacent)] if relative_to == "decline" else series.values)[:-1]
    before[~adjacent] = np.nan
    falling = np.zeros(len(before), dtype=bool)
    falling[1:] = adjacent[1:] & (series.values[1:] < series.values[:-1])
    tie = TIE * spread
    begins = falling & (own[series.group] > 0) & _varies(series, series.values) & (before - series.values >= k * spread - tie)
    begins &= series.rank >= (1 if baseline is None else baseline)
    return Signal(begins, before, before - k * spread, series.values, before, before - tolerance * spread - tie, defined)


def _used(series: Series, baseline: int | None) -> Flags:
    return np.ones(len(series.values), dtype=bool) if baseline is None else series.rank < baseline


def _center(series: Series, used: Flags, *, detrend: bool) -> Numbers:
    """Return each session's expected level: the person's mean, or the person's own line over session number."""
    n = series.total(used)
    mean = ratio(series.total(np.where(used, series.values, 0.0)), n)[series.group]
    if not detrend:
        return mean
    time = series.sessions - ratio(series.total(np.where(used, series.sessions, 0.0)), n)[series.group]
    slope = ratio(series.total(time * (series.values - mean)), series.total(time * time))
    return mean + np.nan_to_num(slope)[series.group] * time


def _own_sd(series: Series, used: Flags) -> Numbers:
    """Return each person's SD (ddof = 1) over the sessions used; NaN below two sessions."""
    n = series.total(used)
    deviation = np.where(used, series.values - _center(series, used, detrend=False), 0.0)
    return np.sqrt(ratio(series.total(deviation * deviation), n - 1))


def _varies(series: Series, x: Numbers) -> Flags:
    """Return, for each row, whether its series varies by more than rounding of the scores does."""
    deviation = x - series.mean(x)[series.group]
    spread = series.mean(deviation * deviation)
    size = series.mean(series.values * series.values)
    return (spread > TIE**2 * size)[series.group]


def _decline_start(series: Series, adjacent: Flags) -> Whole:
    """Return, for each row, the row where the unbroken decline that it belongs to began (itself if it did not fall)."""
    falls = np.zeros(len(adjacent), dtype=bool)
    falls[1:] = adjacent[1:] & (series.values[1:] < series.values[:-1])
    return np.maximum.accumulate(np.where(falls, 0, np.arange(len(falls))))


def _check(fine: bool, key: str, found: object, allowed: str) -> None:
    if not fine:
        raise ConfigError(problem(f"rupture criterion, setting {key}", f"found {found!r}; allowed: {allowed}."))


def _check_baseline(baseline: int | None) -> None:
    _check(baseline is None or baseline >= 3, "baseline", baseline, "3 or more sessions, or nothing")


def _one_of(key: str, found: str, allowed: tuple[str, ...]) -> None:
    _check(found in allowed, key, found, f"{', '.join(allowed)}{did_you_mean(found, allowed)}")

"""Is the score below what the person's own moving ranges allow? Individuals (XmR) charts with their run rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attachment_outcomes.errors import ConfigError, problem
from attachment_outcomes.rupture.rules.signal import Signal, check, check_baseline, one_of, same
from attachment_outcomes.rupture.series import TIE, Flags, Numbers, Series, Whole, ratio

MULTIPLIER = 2.66  # 3 / d2 with d2 = 2 / sqrt(pi) = 1.128, the mean range of two normal values in SDs (Shewhart charts)
RANGE_LIMIT = 3.267  # upper limit of a moving range, in mean moving ranges (D4 of two values)
MIN_RANGES = 2  # a mean of a single moving range says nothing about spread
SIGNALS = ("limit", "two_of_three", "run")


def control_chart(
    series: Series,
    *,
    multiplier: float = MULTIPLIER,
    signals: Sequence[str] = ("limit",),
    run: int = 7,
    baseline: int | None = None,
    detrend: bool = False,
    screen: float | None = None,
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
    signals : list of {"limit", "two_of_three", "run"}
        What begins a rupture: a score below the limit; the second of two scores, out of three adjacent sessions, that lie
        below two thirds of the way to it; the last of ``run`` adjacent sessions below the centre.
    run : int
        Sessions of a run, 2 or more.
    baseline : int, optional
        Take centre and limits from the first so many rated sessions, which then cannot be ruptures; the whole series
        without it. Only with a baseline do later sessions never change earlier findings.
    detrend : bool
        Centre on the person's own least-squares line over session number instead of the mean.
    screen : float, optional
        Leave out moving ranges above so many mean moving ranges (3.267 is their upper limit) and take the mean of the
        others, once: a deep dip then does not widen the limits that it is judged by. Where the others are all 0 (a flat
        series with one step), nothing is left out.
    repair_at : {"center", "limit"}
        A score at or above the centre (the limit) ends the rupture.
    max_gap : int
        Neighbours further apart in session number give no moving range.

    Returns
    -------
    Signal
        Depth is counted from the centre. A series that starts low has not fallen: no rupture begins before it has once been
        out of the zone that gives the signal. A series without variation has no ruptures; one with fewer than two moving
        ranges is not assessable.

    Raises
    ------
    ConfigError
        If a setting is impossible.

    References
    ----------
    Wheeler, D. J., & Chambers, D. S. (1992). Understanding statistical process control (2nd ed.). SPC Press.
    Nelson, L. S. (1982). Control charts for individual measurements. J. Quality Technology, 14(3), 172-173.
    Eubanks-Carter, C., Gorman, B. S., & Muran, J. C. (2012). Psychotherapy Research, 22(6), 627-637.
    """
    one_of("repair_at", repair_at, ("center", "limit"))
    check(multiplier > 0, "multiplier", multiplier, "above 0")
    check(len(signals) > 0, "signals", signals, "one or more")
    for name in signals:
        one_of("signals", name, SIGNALS)
    check(run >= 2, "run", run, "2 or more")
    check(screen is None or screen >= 1, "screen", screen, "1 or more, or nothing")
    check(max_gap >= 1, "max_gap", max_gap, "1 or more")
    check_baseline(baseline)
    if detrend and baseline is not None:
        raise ConfigError(problem("control_chart", "detrend takes its line from the whole series, baseline forbids that; set one."))
    used = None if baseline is None else series.rank < baseline
    center = series.spread_out(_own_mean(series, used)) if not detrend else own_line(series)
    residual = series.values - center
    size, n_ranges = _mean_range(series, residual, used, detrend=detrend, screen=screen, max_gap=max_gap)
    varies = _varies(series, residual, detrend=detrend) & (size > 0)
    width = series.spread_out(np.where(varies, size, np.nan))  # NaN: nothing lies below it

    begins = _begins(series, residual, width, multiplier, signals, run, max_gap)
    if baseline is not None:
        begins &= series.rank >= baseline
    limit = center - multiplier * series.spread_out(size)
    target = np.multiply(width, -TIE if repair_at == "center" else -multiplier - TIE, out=width)
    return Signal(begins, center, limit, residual, same(0.0, series), target, n_ranges >= MIN_RANGES)


def own_line(series: Series) -> Numbers:
    """Return each session's level on the person's own least-squares line over session number, (n,)."""

    def make() -> Numbers:
        time = series.sessions - series.spread_out(series.mean(series.sessions))
        slope = ratio(series.total(time * series.values), series.total(time * time))
        return np.asarray(series.spread_out(series.own_mean) + series.spread_out(np.nan_to_num(slope)) * time)

    return series.keep("own_line", make)


def _own_mean(series: Series, used: Flags | None) -> Numbers:
    return series.own_mean if used is None else ratio(series.total(series.values * used), series.total(used))


def _mean_range(
    series: Series, residual: Numbers, used: Flags | None, *, detrend: bool, screen: float | None, max_gap: int
) -> tuple[Numbers, Numbers]:
    """Return the mean moving range of each series, (g,), and from how many; NaN where there is none."""
    if used is None and not detrend and screen is None:
        return series.mean_range(max_gap)
    # A baseline is a run from the first session, so the row before a used one is used too.
    ranged = series.adjacent(max_gap) if used is None else series.adjacent(max_gap) & used
    moving = np.zeros(len(residual))
    np.abs(np.diff(residual), out=moving[1:])
    moving *= ranged
    n = series.total(ranged)
    mean = ratio(series.total(moving), n)
    if screen is None:
        return mean, n
    ranged = ranged & (moving <= series.spread_out((screen + TIE) * mean))
    others = ratio(series.total(moving * ranged), series.total(ranged))
    return np.where(others > 0, others, mean), n


def _varies(series: Series, residual: Numbers, *, detrend: bool) -> Flags:
    """Return whether each series varies around its centre by more than the rounding of its numbers does, (g,)."""
    if not detrend:
        return series.varies
    return np.asarray(series.total(residual * residual) > TIE**2 * series.total(series.values * series.values))


def _begins(
    series: Series, residual: Numbers, width: Numbers, multiplier: float, signals: Sequence[str], run: int, max_gap: int
) -> Flags:
    """Return the first session of each unbroken stretch of signals, in series that have once been out of the zone."""
    found = np.zeros(len(residual), dtype=bool)
    if "limit" in signals:
        found |= _fallen(series, residual < -(multiplier + TIE) * width)
    if "two_of_three" in signals:
        low = residual < -(multiplier * 2 / 3 + TIE) * width
        found |= _fallen(series, low) & _second_of_three(low, series.adjacent(max_gap))
    if "run" in signals:
        low = residual < -TIE * width
        found |= _fallen(series, low) & (_run_length(low, series.adjacent(max_gap)) >= run)
    begins = found.copy()
    begins[1:] &= ~found[:-1] | (series.rank[1:] == 0)
    return begins


def _fallen(series: Series, low: Flags) -> Flags:
    """Return the low sessions before which the series has once not been low."""
    rows = np.flatnonzero(low)
    high = np.flatnonzero(~low)
    before = np.searchsorted(high, rows) - 1  # the last session that was not low
    fallen = np.zeros(len(low), dtype=bool)
    if high.size:
        fallen[rows] = (before >= 0) & (high[before] >= series.first_row[rows])
    return fallen


def _second_of_three(low: Flags, adjacent: Flags) -> Flags:
    """Return the low sessions with another low one among the two adjacent sessions before them."""
    one = np.zeros(len(low), dtype=bool)
    one[1:] = low[:-1] & adjacent[1:]
    two = np.zeros(len(low), dtype=bool)
    two[2:] = low[:-2] & adjacent[1:-1] & adjacent[2:]
    return np.asarray(low & (one | two))


def _run_length(low: Flags, adjacent: Flags) -> Whole:
    """Return how many adjacent sessions up to each have been low."""
    starts = low.copy()
    starts[1:] &= ~(low[:-1] & adjacent[1:])
    rows = np.arange(len(low))
    return np.where(low, rows - np.maximum.accumulate(np.where(starts, rows, 0)) + 1, 0)

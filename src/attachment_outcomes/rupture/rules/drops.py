"""Has the score fallen by more than it usually moves? Drops from session to session, or from where a decline began."""

from __future__ import annotations

import numpy as np

from attachment_outcomes.rupture.rules.signal import Signal, check, check_baseline, one_of
from attachment_outcomes.rupture.series import TIE, Flags, Numbers, Series, Whole, ratio


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
    one_of("sd", sd, ("person", "sample", "stricter"))
    check(k > 0, "k", k, "above 0")
    check(0 <= tolerance < k, "tolerance", tolerance, "0 up to below k")
    check_baseline(baseline)
    own = series.own_sd if baseline is None else _sd_of(series, series.rank < baseline)
    defined = np.isfinite(own)
    sample = float(own[defined].mean()) if defined.any() else np.nan
    spread = {"person": own, "sample": np.full(len(own), sample), "stricter": np.maximum(own, sample)}[sd]
    may = np.nan_to_num(own) > 0
    return drops(series, spread, may & series.varies, defined, k, tolerance, relative_to, baseline, max_gap)


def drops(
    series: Series,
    spread: Numbers,
    may: Flags,
    assessable: Flags,
    k: float,
    tolerance: float,
    relative_to: str,
    baseline: int | None = None,
    max_gap: int = 1,
) -> Signal:
    """Return the signal of a drop by at least k units of each series' ``spread``, (g,), in the series that ``may`` show one."""
    one_of("relative_to", relative_to, ("previous", "decline"))
    check(max_gap >= 1, "max_gap", max_gap, "1 or more")
    unit = series.spread_out(spread)
    falls = series.falls(max_gap)
    before = np.full(len(series.values), np.nan)
    source = series.values[decline_start(falls)] if relative_to == "decline" else series.values
    np.copyto(before[1:], source[:-1], where=series.adjacent(max_gap)[1:])
    limit = before - k * unit
    begins = series.values <= limit + TIE * unit
    begins &= falls
    if not may.all():
        begins &= series.spread_out(may)
    if baseline is not None:
        begins &= series.rank >= baseline
    unit *= tolerance + TIE
    return Signal(begins, before, limit, series.values, before, np.subtract(before, unit, out=unit), assessable, at_limit=True)


def decline_start(falls: Flags) -> Whole:
    """Return, for each row, the row where the unbroken decline that it belongs to began (itself if it did not fall)."""
    return np.maximum.accumulate(np.where(falls, 0, np.arange(len(falls))))


def _sd_of(series: Series, used: Flags) -> Numbers:
    """Return each person's SD (ddof = 1) over the sessions used; NaN below two."""
    n = series.total(used)
    mean = ratio(series.total(series.values * used), n)
    deviation = (series.values - series.spread_out(mean)) * used
    return np.sqrt(ratio(series.total(deviation * deviation), n - 1))

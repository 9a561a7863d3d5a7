"""Has the level itself fallen? Change points of each series, by least squares with a penalty on their number."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from attachment_outcomes.rupture.rules.signal import Signal, check
from attachment_outcomes.rupture.series import TIE, Numbers, Series, Whole

D2 = 2 / math.sqrt(math.pi)  # mean moving range of independent normal values, in SDs
AT_ONCE = 200_000  # scores cut at a time, few enough for the processor's own memory
MIN_RANGES = 2


def level_shift(
    series: Series,
    *,
    k: float = 1.0,
    penalty: float = 2.0,
    min_segment: int = 2,
    tolerance: float = 0.25,
    max_gap: int = 1,
) -> Signal:
    r"""Downward shift of a series' mean by at least k own SDs; repaired once the mean has shifted back up.

    Each series is cut into segments of constant mean, so that

    .. math:: \sum_{\text{segments}} \sum_t (x_t - \bar{x}_{\text{segment}})^2 + c\,\hat\sigma^2 \log(n)\,m

    is least over all numbers m and places of the cuts (an exact search), with :math:`\hat\sigma = \overline{mR} / d_2` from
    the moving ranges, which a shift of the mean hardly raises.

    Parameters
    ----------
    series : Series
        Ratings, higher = better alliance.
    k : float
        Least difference between the means of two neighbouring segments, in the person's own SDs (ddof 1).
    penalty : float
        c. 2 is Schwarz's criterion for the mean and the place of a cut; a larger one finds fewer.
    min_segment : int
        Rated sessions of a segment, 2 or more: a single low session is a dip, not another level.
    tolerance : float
        How far below the mean it fell from a later mean may stay and count as repaired, in own SDs.
    max_gap : int
        Neighbours further apart in session number give no moving range, and no rupture begins between them.

    Returns
    -------
    Signal
        ``center`` is the mean of each session's segment, on which repair is judged too; ``limit`` the mean that the next
        segment would have to fall to. The first session of the lower segment is nearer to that segment's mean than to the
        one before, else it is no onset. Depth is counted from the mean it fell from to the lowest score. A series
        without variation has no ruptures; one with fewer than two moving ranges is not assessable.

    Raises
    ------
    ConfigError
        If a setting is impossible.

    References
    ----------
    Jackson, B., et al. (2005). An algorithm for optimal partitioning of data on an interval. IEEE Signal Processing Letters,
    12(2), 105-108. Yao, Y.-C. (1988). Estimating the number of change-points via Schwarz' criterion. Statistics &
    Probability Letters, 6(3), 181-189. Eubanks-Carter, C., Gorman, B. S., & Muran, J. C. (2012). Psychotherapy Research,
    22(6), 627-637.
    """
    check(k > 0, "k", k, "above 0")
    check(penalty > 0, "penalty", penalty, "above 0")
    check(min_segment >= 2, "min_segment", min_segment, "2 or more")
    check(0 <= tolerance < k, "tolerance", tolerance, "0 up to below k")
    check(max_gap >= 1, "max_gap", max_gap, "1 or more")
    size, n_ranges = series.mean_range(max_gap)
    price = penalty * (size / D2) ** 2 * np.log(np.maximum(series.lengths, 1))
    segment = segments(series, np.where(series.varies & (size > 0), price, np.inf), min_segment)

    first = np.flatnonzero(segment == np.arange(len(segment)))
    lengths = np.diff(np.append(first, len(segment)))
    means = np.add.reduceat(series.values, first) / lengths if first.size else np.zeros(0)
    unit = series.spread_out(np.nan_to_num(series.own_sd))
    before = np.full(len(means), np.nan)
    before[1:] = means[:-1]
    before[series.rank[first] == 0] = np.nan
    fitted, above = np.repeat(means, lengths), np.repeat(before, lengths)
    begins = np.zeros(len(fitted), dtype=bool)
    # Two sessions may make a segment of which the first is as high as ever: a level begins with a session that is nearer to it.
    lower = series.values[first] <= (means + before) / 2
    begins[first] = lower & (means <= before - (k - TIE) * unit[first])
    begins &= series.adjacent(max_gap) & (unit > 0)
    limit = fitted - k * unit
    target = above - (tolerance + TIE) * unit
    return Signal(begins, fitted, limit, fitted, above, target, n_ranges >= MIN_RANGES, at_limit=True, scores=series.values)


def segments(series: Series, price: Numbers, min_segment: int = 2) -> Whole:
    """Return, for each row, the first row of its segment, (n,): the cut of least squares plus ``price``, (g,), a cut.

    Of partitions that cost the same the one with the longest last segment is taken.
    """
    start_of = series.first_row.copy()
    for chosen in _alike(series, np.isfinite(price) & (series.lengths >= 2 * min_segment)):
        length = int(series.lengths[chosen[0]])
        rows = series.starts[:-1][chosen] + np.arange(length)[:, None]  # a row a session, a column a series
        cut = _partition(series.values[rows], price[chosen], min_segment)
        start_of[rows] = series.starts[:-1][chosen] + cut
    return start_of


def _alike(series: Series, wanted: npt.NDArray[np.bool_]) -> Iterator[Whole]:
    """Yield series of equal length, as many at a time as partial sums may be held."""
    chosen = np.flatnonzero(wanted)
    chosen = chosen[np.argsort(series.lengths[chosen], kind="stable")]
    for group in np.split(chosen, np.flatnonzero(np.diff(series.lengths[chosen])) + 1):
        if group.size:
            step = max(1, AT_ONCE // int(series.lengths[group[0]]))
            yield from (group[i : i + step] for i in range(0, len(group), step))


def _partition(x: Numbers, price: Numbers, shortest: int) -> Whole:
    """Return the position at which each session's segment begins, for series of equal length side by side, (length, series).

    Dynamic programming: the best partition of the first t sessions ends in a segment from s to t, after the best partition of
    the first s. Sums are of deviations from each series' mean, so that large scores lose no digits.
    """
    length, size = x.shape
    x = x - x.mean(axis=0)
    tie = TIE * price
    sums = np.concatenate([np.zeros((1, size)), np.cumsum(x, axis=0)])
    best = np.full((length + 1, size), np.inf)
    best[0] = -price  # the first segment is no cut
    last = np.zeros((length + 1, size), dtype=np.int64)
    columns = np.arange(size)
    for t in range(shortest, length + 1):
        starts = np.append(0, np.arange(shortest, t - shortest + 1))
        cost = sums[t] - sums[starts]  # less the sum of squares up to t, which all partitions share
        cost *= cost
        cost /= (starts - t)[:, None]
        cost += best[starts]
        cost += price
        chosen = (cost <= cost.min(axis=0) + tie).argmax(axis=0)
        best[t], last[t] = cost[chosen, columns], starts[chosen]
    cut = np.empty((length, size), dtype=np.int64)
    begin = last[length]
    for row in reversed(range(length)):
        begin = np.where(row < begin, last[begin, columns], begin)
        cut[row] = begin
    return cut

"""When does a rupture begin, how deep does it go, and how does it end? One state machine for all rules.

States of a series, session by session::

    stable --begins--> in rupture --score at or above target--> stable
                       in rupture --begins again--------------> in rupture (the episodes merge)
                       in rupture --end of the series---------> unrepaired or censored

Vocabulary
----------
onset       session at which the rupture begins
nadir       session of the lowest score of the episode (the first of several)
repaired    back at the target within ``window`` rated sessions after the onset
unrepaired  not so, though at least ``window`` rated sessions followed the onset
censored    not seen to be repaired, and fewer than ``window`` rated sessions followed: nobody knows how it ended
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attachment_outcomes.errors import ConfigError, problem
from attachment_outcomes.rupture.rules import Signal
from attachment_outcomes.rupture.series import Flags, Numbers, Series, Whole

REPAIRED, UNREPAIRED, CENSORED = "repaired", "unrepaired", "censored"
OUTCOMES = (REPAIRED, UNREPAIRED, CENSORED)
WINDOW = 3  # rated sessions; a convention of this project (Stiles et al. 2004 are recalled, unchecked, to use about three)


@dataclass(frozen=True)
class Episodes:
    """Ruptures as arrays of equal length, in the order of series and sessions.

    Attributes
    ----------
    group : int array
        Index of the series.
    onset, nadir, end : int arrays
        Rows; ``end`` is the row of the return to the target, or one past the series' last row.
    returned : bool array
        The target was reached, however late.
    depth : float array
        Level the score fell from minus the lowest score, score points, positive.
    outcome : int array
        Index in ``OUTCOMES``.
    """

    group: Whole
    onset: Whole
    nadir: Whole
    end: Whole
    returned: Flags
    depth: Numbers
    outcome: Whole

    def rows(self) -> tuple[Whole, Whole]:
        """Return the rows inside any episode (before its return), and the index of the episode each belongs to."""
        return _expand(self.onset, self.end)


def find_episodes(series: Series, signal: Signal, *, window: int = WINDOW, late_repair: bool = False) -> Episodes:
    """Turn a rule's signal into rupture episodes.

    Parameters
    ----------
    series : Series
        Ratings.
    signal : Signal
        What a rule says about them.
    window : int
        Rated sessions after the onset within which a return counts as repair, and which must have followed for an
        episode to be called unrepaired. At least 1, so that a rupture in the last session is censored.
    late_repair : bool
        Count a return after the window as repair too. Without it such an episode is unrepaired and ends at its return.

    Raises
    ------
    ConfigError
        If ``window`` is below 1.
    """
    if window < 1:
        raise ConfigError(problem("rupture criterion, setting window", f"found {window}; allowed: 1 session or more."))
    begins = signal.begins & signal.assessable[series.group]
    candidates = np.flatnonzero(begins)
    last = series.starts[1:][series.group[candidates]]  # one past the last row of the candidate's series
    back = _first_return(signal.position, signal.target, candidates, last)
    chosen = _without_overlap(candidates, back, series.group)
    onset, end, last = candidates[chosen], back[chosen], last[chosen]

    returned = end < last
    followed = last - 1 - onset
    repaired = returned & ((end - onset <= window) | late_repair)
    outcome = np.where(repaired, 0, np.where(followed >= window, 1, 2))
    rows, episode = _expand(onset, end)
    lowest = signal.position[rows]
    depth, nadir = np.zeros(0), np.zeros(0, dtype=np.int64)
    if onset.size:
        first = np.searchsorted(episode, np.arange(len(onset)))
        minimum = np.minimum.reduceat(lowest, first)
        at_minimum = np.flatnonzero(lowest == minimum[episode])
        nadir = rows[at_minimum[np.searchsorted(episode[at_minimum], np.arange(len(onset)))]]
        depth = signal.level[onset] - minimum
    return Episodes(series.group[onset], onset, nadir, end, returned, depth, outcome)


def _first_return(position: Numbers, target: Numbers, candidates: Whole, last: Whole) -> Whole:
    """Return for each candidate the first later row of its series at or above its target, or one past the series.

    All candidates step forward together, so the cost is that of the sessions spent in ruptures.
    """
    back = last.copy()
    active = np.arange(len(candidates))
    row = candidates + 1
    while active.size:
        active = active[row[active] < last[active]]
        at = row[active]
        reached = position[at] >= target[candidates[active]]
        back[active[reached]] = at[reached]
        active = active[~reached]
        row[active] += 1
    return back


def _without_overlap(candidates: Whole, back: Whole, group: Whole) -> Whole:
    """Return the candidates that begin outside an earlier episode; the others are part of it."""
    if not candidates.size:
        return np.zeros(0, dtype=np.int64)
    series = group[candidates]
    current = np.flatnonzero(np.diff(series, prepend=-1))  # the first candidate of each series
    following = np.searchsorted(candidates, back)  # the first candidate at or after the return
    chosen = []
    while current.size:
        chosen.append(current)
        after = following[current]
        inside = after < len(candidates)
        current, after = current[inside], after[inside]
        current = after[series[after] == series[current]]
    return np.sort(np.concatenate(chosen))


def _expand(start: Whole, end: Whole) -> tuple[Whole, Whole]:
    """Return all rows from each start up to its end, and which interval each belongs to."""
    lengths = end - start
    which = np.repeat(np.arange(len(start)), lengths)
    offset = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(start, lengths) + offset, which

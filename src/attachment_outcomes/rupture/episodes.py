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
pattern     how the scores go down and come back, see ``PATTERNS``
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from attachment_outcomes.errors import ConfigError, problem
from attachment_outcomes.rupture.rules.signal import Signal
from attachment_outcomes.rupture.series import Flags, Numbers, Series, Whole

REPAIRED, UNREPAIRED, CENSORED = "repaired", "unrepaired", "censored"
OUTCOMES = (REPAIRED, UNREPAIRED, CENSORED)
WINDOW = 3  # rated sessions; a convention of this project (Stiles et al. 2004 are recalled, unchecked, to use about three)
PATTERNS = (
    "V",  # down in one step, back in one step
    "stepwise fall",  # down in several steps, back in one
    "stepwise return",  # down in one step, back in several
    "stepwise fall and return",
    "plateau",  # down in one step, some sessions at the lowest score, back in one step
    "irregular",  # rises on the way down, or falls on the way back
    "open",  # no return was seen
    "same session",  # a report that names the session resolved too
    "later session",  # a report resolved in a later session
)


@dataclass(frozen=True)
class Episodes:
    """Ruptures as arrays of equal length, in the order of series and sessions.

    Attributes
    ----------
    group : int array
        Index of the series.
    onset, nadir : int arrays
        Rows.
    end : int array
        One past the last row inside the episode: the row of the return, or one past the series' last row, or, of ruptures
        that end with the window, one past that.
    back : int array
        Row of the return, wherever ``returned``; that of the onset for a report resolved in its own session.
    returned : bool array
        The target was reached, however late.
    depth : float array
        Level the score fell from minus the lowest score, score points, positive.
    outcome, pattern : int arrays
        Indices in ``OUTCOMES`` and ``PATTERNS``.
    """

    group: Whole
    onset: Whole
    nadir: Whole
    end: Whole
    back: Whole
    returned: Flags
    depth: Numbers
    outcome: Whole
    pattern: Whole

    def rows(self) -> tuple[Whole, Whole]:
        """Return the rows inside any episode (before its return), and the index of the episode each belongs to."""
        return _expand(self.onset, self.end)

    @property
    def duration(self) -> Whole:
        """Rated sessions inside each episode; a return is outside, unless it was in the session of the onset."""
        return self.end - self.onset


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
    candidates = np.flatnonzero(signal.begins)
    candidates = candidates[signal.assessable[series.group[candidates]]]
    group = series.group[candidates]
    last = series.starts[1:][group]  # one past the last row of the candidate's series

    flagged = np.append(np.flatnonzero(signal.returns), len(series.values)) if signal.returns is not None else None

    def over(which: Whole) -> tuple[Whole, Whole]:
        """Return the row of the return, or one past the series, and one past the last row inside the episode."""
        begin, bound = candidates[which], last[which]
        if flagged is None:
            back = _first_return(signal.position, signal.target, begin, bound)
        else:
            back = np.minimum(flagged[np.searchsorted(flagged, begin + (not signal.same_session))], bound)
        end = np.maximum(back, begin + 1)
        if signal.lasts:
            return back, end
        late = back > begin + window
        return np.where(late, bound, back), np.where(late, np.minimum(begin + window + 1, bound), end)

    chosen, back, end = _one_after_another(candidates, group, last, over, len(series.values))
    group, onset, last = group[chosen], candidates[chosen], last[chosen]

    returned = back < last
    repaired = returned & ((back - onset <= window) | late_repair)
    outcome = np.where(repaired, 0, np.where(last - 1 - onset >= window, 1, 2))
    nadir, lowest = _lowest(signal.position if signal.scores is None else signal.scores, onset, end)
    pattern = _patterns(series, signal, onset, nadir, back, returned)
    return Episodes(group, onset, nadir, end, back, returned, signal.level[onset] - lowest, outcome, pattern)


def _lowest(position: Numbers, onset: Whole, end: Whole) -> tuple[Whole, Numbers]:
    """Return the row of each episode's lowest score (the first of several), and that score."""
    if not onset.size:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    rows, episode = _expand(onset, end)
    scores = position[rows]
    lowest = np.minimum.reduceat(scores, _first(end - onset))
    at = np.flatnonzero(scores == np.repeat(lowest, end - onset))
    return rows[at[np.diff(episode[at], prepend=-1) > 0]], lowest


def _patterns(series: Series, signal: Signal, onset: Whole, nadir: Whole, back: Whole, returned: Flags) -> Whole:
    """Return the pattern of each episode, an index in ``PATTERNS``; the way down is followed from where the decline began."""
    words = {name: i for i, name in enumerate(PATTERNS)}
    found = np.full(len(onset), words["open"])
    if signal.returns is not None:
        found[returned] = np.where(back == onset, words["same session"], words["later session"])[returned]
        return found
    seen = np.flatnonzero(returned)
    if not seen.size:
        return found
    nadir, back = nadir[seen], back[seen]
    start = _decline_start(signal.position, series.adjacent(), onset[seen])
    rows, _ = _expand(start + 1, back + 1)
    step = signal.position[rows] - signal.position[rows - 1]
    down = rows <= np.repeat(nadir, back - start)
    first, rises, falls = _first(back - start), step > 0, step < 0

    def several(flags: Flags) -> Flags:
        return np.asarray(np.add.reduceat(flags, first, dtype=np.int64) > 1)

    slow_fall, slow_return = several(down & falls), several(~down & rises)
    astray = np.logical_or.reduceat((down & rises) | (~down & falls), first)
    kinds = [
        (astray, "irregular"),
        (slow_fall & slow_return, "stepwise fall and return"),
        (slow_fall, "stepwise fall"),
        (slow_return, "stepwise return"),
        (back - nadir > 1, "plateau"),
    ]
    found[seen] = np.select([flags for flags, _ in kinds], [words[name] for _, name in kinds], words["V"])
    return found


def _decline_start(position: Numbers, adjacent: Flags, onset: Whole) -> Whole:
    """Return the row from which the score has fallen without a break up to each onset; all onsets step back together."""
    start = onset.copy()
    active, row = np.arange(len(onset)), onset
    while active.size:
        falls = adjacent[row] & (position[row] < position[row - 1])
        active, row = active[falls], row[falls] - 1
        start[active] = row
    return start


def _first_return(position: Numbers, target: Numbers, candidates: Whole, last: Whole) -> Whole:
    """Return for each candidate the first later row of its series at or above its target, or one past the series.

    All candidates step forward together, so the cost is that of the sessions spent in ruptures.
    """
    back = last.copy()
    active, row, wanted = np.arange(len(candidates)), candidates + 1, target[candidates]
    while active.size:
        inside = row < last
        active, row, last, wanted = active[inside], row[inside], last[inside], wanted[inside]
        below = ~(position[row] >= wanted)
        back[active[~below]] = row[~below]
        active, row, last, wanted = active[below], row[below] + 1, last[below], wanted[below]
    return back


def _one_after_another(
    candidates: Whole, group: Whole, last: Whole, over: Callable[[Whole], tuple[Whole, Whole]], n_rows: int
) -> tuple[Whole, Whole, Whole]:
    """Return which candidates begin outside an earlier episode (the others are part of it), with their return and end.

    All series take their first episode together, then their second, and so on, so that no session is walked twice.
    """
    earlier = np.zeros(n_rows + 1, dtype=np.int64)  # candidates before each row
    earlier[candidates + 1] = 1
    np.cumsum(earlier, out=earlier)
    begins, back, end = np.zeros(len(candidates), dtype=bool), last.copy(), last.copy()
    current = np.flatnonzero(np.diff(group, prepend=-1))  # the first candidate of each series
    while current.size:
        begins[current] = True
        back[current], end[current] = over(current)
        # A session that is reported as a rupture, and resolves the one that was open, is part of that one.
        bound = last[current]
        stable = np.where(back[current] < bound, back[current] + 1, end[current])
        after = earlier[np.minimum(stable, n_rows)]
        current = after[after < earlier[bound]]
    chosen = np.flatnonzero(begins)
    return chosen, back[chosen], end[chosen]


def _expand(start: Whole, end: Whole) -> tuple[Whole, Whole]:
    """Return all rows from each start up to its end, and which interval each belongs to."""
    lengths = end - start
    which = np.repeat(np.arange(len(start)), lengths)
    return np.arange(len(which)) + np.repeat(start - _first(lengths), lengths), which


def _first(lengths: Whole) -> Whole:
    """Return where each of several intervals begins, laid end to end."""
    return np.cumsum(lengths) - lengths

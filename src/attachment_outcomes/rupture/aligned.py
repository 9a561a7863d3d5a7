"""What do several criteria say of the same sessions and the same clients? Their verdicts, side by side.

Criteria may judge different ratings of the same sessions (the client's, the therapist's, a report), so that sessions are matched by
client, treatment and session number.

Vocabulary
----------
unit      a client in one treatment
judged    a session in which the criterion could have found a rupture: rated, of an assessable unit, and not the unit's first one
          unless the criterion reads a report of the session itself
episode   sessions from the onset up to, not including, the return; the onset always
cells     for a pair of criteria, counts of both, the first only, the second only, and neither, one row a person
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.rupture.criteria import Criterion, Detection
from attachment_outcomes.rupture.series import Flags, Numbers, Whole
from attachment_outcomes.rupture.summary import inside_episodes

Codes = npt.NDArray[np.int8]
UNKNOWN = -1
NEAR = 1  # session numbers by which two onsets may differ and count as the same
EPISODE, ONSET, CLIENT = "sessions in a rupture", "onsets within one session", "clients with a rupture"
LEVELS = (EPISODE, ONSET, CLIENT)  # the primary one first


def reads_report(criterion: Criterion) -> bool:
    """Return whether a criterion judges reports of single sessions instead of a series of alliance ratings."""
    return bool(criterion.reads)


@dataclass(frozen=True)
class Verdicts:
    """Verdicts of several criteria on the sessions that any of them judges.

    Attributes
    ----------
    units : (u,) frame
        Columns ``client`` and ``treatment_id``.
    person : (u,) whole numbers
        The person of each unit, from 0: the cluster.
    unit, session : (n,) whole numbers
        Unit and session number of each session, in this order.
    inside : criteria x (n,) codes
        1 in an episode, 0 not, -1 not judged.
    onset : criteria x (n,) flags
        A rupture begins here.
    any_rupture : criteria x (u,) codes
        1 with a rupture, 0 without, -1 not assessable.
    """

    units: pd.DataFrame
    person: Whole
    unit: Whole
    session: Whole
    inside: list[Codes]
    onset: list[Flags]
    any_rupture: list[Codes]

    @cached_property
    def people(self) -> int:
        """Number of persons."""
        return int(self.person.max(initial=-1)) + 1

    def cells(self, first: int, second: int, level: str) -> Numbers:
        """Return the (persons, 4) counts of both, first only, second only and neither at one of ``LEVELS``.

        Two onsets count as the same if they are at most one session number apart; each is matched at most once.
        """
        if level == CLIENT:
            return self._counted(self.any_rupture[first], self.any_rupture[second], self.person)
        if level == EPISODE:
            return self._counted(self.inside[first], self.inside[second], self.person[self.unit])
        judged = (self.inside[first] != UNKNOWN) & (self.inside[second] != UNKNOWN)
        of = self.person[self.unit]

        def by_person(flags: Flags) -> Numbers:
            return np.bincount(of[flags], minlength=self.people).astype(np.float64)

        one, two = self.onset[first] & judged, self.onset[second] & judged
        both = self._matched(one, two)
        only = [by_person(one) - both, by_person(two) - both]
        return np.column_stack([both, *only, by_person(judged) - both - only[0] - only[1]])

    def _counted(self, first: Codes, second: Codes, of: Whole) -> Numbers:
        judged = (first != UNKNOWN) & (second != UNKNOWN)
        cell = (1 - first[judged]).astype(np.int64) * 2 + (1 - second[judged])
        # both 0, first only 1, second only 2, neither 3
        return np.bincount(of[judged] * 4 + cell, minlength=4 * self.people).reshape(-1, 4).astype(np.float64)

    def _matched(self, first: Flags, second: Flags) -> Numbers:
        """Return, for each person, how many onsets of the two criteria can be paired.

        In the order of sessions, an onset can be paired with the next one if that is the other criterion's and near. Of a run of
        k onsets that are so linked, half (rounded down) are pairs.
        """
        at = np.concatenate([np.flatnonzero(first), np.flatnonzero(second)])
        which = np.repeat([0, 1], [int(first.sum()), int(second.sum())])
        order = np.lexsort((which, at))
        at, which = at[order], which[order]
        near = (np.diff(self.unit[at]) == 0) & (np.diff(self.session[at]) <= NEAR) & (np.diff(which) != 0)
        starts = np.flatnonzero(np.concatenate([[True], ~near])) if at.size else np.zeros(0, dtype=np.int64)
        pairs = np.diff(np.append(starts, at.size)) // 2
        return np.bincount(self.person[self.unit[at[starts]]], weights=pairs, minlength=self.people).astype(np.float64)


def align(detections: Sequence[Detection]) -> Verdicts:
    """Put the verdicts of several criteria side by side; what is not assessable by any of them is left out."""
    frames = [d.series.clients[d.signal.assessable] for d in detections]
    whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"client": [], "treatment_id": []})
    person, _ = pd.factorize(whole["client"], sort=True)
    treatment, names = pd.factorize(whole["treatment_id"], sort=True)
    key = person.astype(np.int64) * (len(names) + 1) + treatment + 1
    known, first, unit = np.unique(key, return_index=True, return_inverse=True)
    codes = np.split(unit, np.cumsum([len(f) for f in frames])[:-1]) if frames else []
    rows = [_rows(d, c) for d, c in zip(detections, codes, strict=True)]
    at = _places(rows)
    span, low = _span(rows)
    inside, onset, any_rupture = [], [], []
    for (of, session, flags, begins), d, c in zip(rows, detections, codes, strict=True):
        where = np.searchsorted(at, of * span + (session - low))
        state = np.full(len(at), UNKNOWN, dtype=np.int8)
        state[where] = flags
        inside.append(state)
        starts = np.zeros(len(at), dtype=bool)
        starts[where[begins]] = True
        onset.append(starts)
        client = np.full(len(known), UNKNOWN, dtype=np.int8)
        with_rupture = np.zeros(len(d.series.lengths), dtype=np.int8)
        with_rupture[d.episodes.group] = 1
        client[c] = with_rupture[d.signal.assessable]
        any_rupture.append(client)
    return Verdicts(
        whole.take(first).reset_index(drop=True), person[first].astype(np.int64), at // span, at % span + low, inside, onset,
        any_rupture,
    )  # fmt: skip


Rows = tuple[Whole, Whole, Flags, Flags]


def _rows(found: Detection, codes: Whole) -> Rows:
    """Return unit, session number, whether in an episode and whether an onset, of the sessions that a criterion judges."""
    series = found.series
    inside, onset = inside_episodes(found), np.zeros(len(series.values), dtype=bool)
    onset[found.episodes.onset] = True
    judged = found.signal.assessable[series.group]
    if not reads_report(found.criterion):
        judged &= series.rank > 0
    unit = np.full(len(series.lengths), UNKNOWN)
    unit[found.signal.assessable] = codes
    return unit[series.group[judged]], series.sessions[judged], inside[judged], onset[judged]


def _span(rows: Sequence[Rows]) -> tuple[int, int]:
    """Return how many session numbers there may be, and the lowest."""
    low = min((int(session.min()) for _, session, *_ in rows if session.size), default=0)
    high = max((int(session.max()) for _, session, *_ in rows if session.size), default=0)
    return high - low + 1, low


def _places(rows: Sequence[Rows]) -> Whole:
    """Return the sorted keys of all sessions that any criterion judges."""
    span, low = _span(rows)
    found = np.zeros(0, dtype=np.int64)
    for unit, session, *_ in rows:
        key = unit * span + (session - low)
        if not np.array_equal(found, key):
            found = np.union1d(found, key)
    return found

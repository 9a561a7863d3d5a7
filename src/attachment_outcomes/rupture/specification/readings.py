"""In which group is each client, by every criterion, window, number of sessions asked for, and time by which it must be known?

Vocabulary
----------
reading   one criterion with one window and one minimal number of sessions, over the whole treatment or up to a landmark
people    clients whose end score and start score are known, each once
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.rupture.criteria import Detection, detect
from attachment_outcomes.rupture.effects.landmark import up_to
from attachment_outcomes.rupture.episodes import OUTCOMES, find_episodes
from attachment_outcomes.rupture.series import Series
from attachment_outcomes.rupture.specification.designs import UNKNOWN
from attachment_outcomes.rupture.summary import GROUPS

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]
WHOLE, OWN = "whole treatment", "own"
WINDOWS, SESSIONS = (2, 3, 4), (10,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way of reading the ratings. ``group`` (people,) is an index in ``none, repaired, unrepaired``, −1 where not known.

    ``landmark`` is 0 for the whole treatment; ``primary`` tells the criterion's own window and sessions over the whole treatment.
    """

    criterion: str
    window: int
    min_sessions: str
    landmark: int
    group: Whole
    primary: bool = False
    refused: str = ""

    @property
    def exposure(self) -> str:
        """The time by which the group is known, in words."""
        return f"landmark session {self.landmark}" if self.landmark else WHOLE


def readings(
    found: Detection,
    chosen: pd.DataFrame,
    people: Sequence[str],
    *,
    windows: Sequence[int] = WINDOWS,
    min_sessions: Sequence[int] = SESSIONS,
    landmarks: Sequence[int] = (),
) -> Iterator[Reading]:
    """Yield every reading of one criterion, its own first.

    Parameters
    ----------
    found
        What the criterion finds, on the series long enough for it.
    chosen : frame
        ``client`` and ``treatment_id``: the treatment with which each client counts.
    people
        Whose groups are wanted.
    windows, min_sessions, landmarks
        Levels beside the criterion's own window and least number of rated sessions, and beside the whole treatment. A number of
        sessions below the criterion's own is refused.
    """
    criterion = found.criterion
    own, places = criterion.min_sessions, _places(found.series, chosen, people)
    for landmark in (0, *landmarks):
        known, at = _so_far(found.series, places, landmark)
        for least in (OWN, *(str(m) for m in min_sessions if m != own)):
            n = own if least == OWN else int(least)
            seen = detect(known, replace(criterion, min_sessions=n)) if n >= own else None
            for window in dict.fromkeys((criterion.window, *windows)):
                reading = Reading(
                    criterion=criterion.name, window=window, min_sessions=least, landmark=landmark,
                    group=np.full(len(people), UNKNOWN), primary=least == OWN and window == criterion.window and not landmark,
                )  # fmt: skip
                if seen is None:
                    yield replace(reading, refused=f"the criterion itself asks for {own} rated sessions")
                    continue
                # The rule's signal does not depend on the window, so it is asked for once.
                episodes = find_episodes(seen.series, seen.signal, window=window, late_repair=criterion.late_repair)
                codes = group_codes(known, replace(seen, episodes=episodes), at_landmark=bool(landmark))
                reading.group[at[at >= 0]] = codes[at >= 0]
                yield reading


def _places(series: Series, chosen: pd.DataFrame, people: Sequence[str]) -> Whole:
    """Return each series' place among the people, −1 for other treatments and for who is not among them."""
    keys = ["client", "treatment_id"]
    place = pd.Series(np.arange(len(people)), index=pd.Index(people))
    counted = chosen[keys].assign(at=chosen["client"].map(place).fillna(-1).astype(np.int64))
    joined = series.clients[keys].merge(counted, how="left", on=keys)
    return joined["at"].fillna(-1).to_numpy(dtype=np.int64)


def _so_far(series: Series, places: Whole, landmark: int) -> tuple[Series, Whole]:
    """Return the ratings up to a landmark of who is in treatment then, and their places; all of them without a landmark."""
    if not landmark:
        return series, places
    keep = series.lengths > 0
    keep[keep] = series.sessions[series.starts[1:][keep] - 1] >= landmark
    return up_to(series, landmark, keep), places[keep]


def group_codes(series: Series, found: Detection, *, at_landmark: bool = False) -> Whole:
    """Return each series' group as in :func:`~attachment_outcomes.rupture.summary.client_summary`, by its index; −1: none.

    With ``at_landmark``, as in :func:`~attachment_outcomes.rupture.effects.landmark.groups_at`, a rupture that is still open
    leaves a client without a group even after an earlier repair.
    """
    of, size = found.kept[found.episodes.group], len(series.lengths)
    counts = [np.bincount(of[found.episodes.outcome == code], minlength=size) for code in range(len(OUTCOMES))]
    repaired, unrepaired, censored = counts
    settled = unrepaired if at_landmark else repaired + unrepaired
    unknown = ~found.assessable | ((censored > 0) & (settled == 0))
    return np.select([unknown, unrepaired > 0], [UNKNOWN, GROUPS.index("unrepaired")], (repaired > 0).astype(np.int64))

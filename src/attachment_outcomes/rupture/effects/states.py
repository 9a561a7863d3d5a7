"""In which state is a client after each session, by what is known then, and who leaves from it?

Vocabulary
----------
state      none: no rupture so far; in rupture: one whose window has not passed; unrepaired: at least one that stayed so, and none
           open; after repair: at least one repaired, none unrepaired or open
at risk    rated at the session, with enough ratings by then for the criterion
leaving    the session is the client's last rated one, and the treatment ended by drop-out
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from attachment_outcomes.rupture.criteria import Criterion, detect
from attachment_outcomes.rupture.effects.landmark import up_to
from attachment_outcomes.rupture.episodes import CENSORED, OUTCOMES, REPAIRED, UNREPAIRED
from attachment_outcomes.rupture.series import Series

STATES = ("none", "in rupture", "after repair", "unrepaired")
LAST = 100  # later sessions are not followed: few clients have them, and every session costs a look at all before it
COLUMNS = ["series", "session_number", "state", "last"]


def running_states(series: Series, criterion: Criterion, *, last: int = LAST) -> pd.DataFrame:
    """Return a row a client and session at risk: ``series`` (index), ``session_number``, ``state``, ``last`` (rated no more).

    The criterion is applied anew after every session to the ratings so far, so that no state rests on what came later.

    Parameters
    ----------
    series : Series
        All series of the criterion.
    criterion : Criterion
        The rule.
    last : int
        Last session number that is followed.
    """
    final = np.full(len(series.lengths), np.iinfo(np.int64).min)
    rated = series.lengths > 0
    final[rated] = series.sessions[series.starts[1:][rated] - 1]
    numbers = np.unique(series.sessions)
    parts = []
    for session in numbers[numbers <= last]:
        here = np.zeros(len(final), dtype=bool)
        here[series.group[series.sessions == session]] = True
        index = np.flatnonzero(here & (series.lengths >= criterion.min_sessions))
        if not index.size:
            continue
        keep = np.zeros(len(final), dtype=bool)
        keep[index] = True
        found = detect(up_to(series, int(session), keep), criterion)
        any_of = {
            outcome: np.bincount(
                found.kept[found.episodes.group[found.episodes.outcome == OUTCOMES.index(outcome)]], minlength=len(index)
            )
            > 0
            for outcome in OUTCOMES
        }
        code = np.select([any_of[CENSORED], any_of[UNREPAIRED], any_of[REPAIRED]], [1, 3, 2], 0)[found.assessable]
        known = index[found.assessable]
        parts.append(
            pd.DataFrame(
                {"series": known, "session_number": session, "state": np.array(STATES)[code], "last": final[known] == session}
            )
        )
    if not parts:
        return pd.DataFrame({"series": [], "session_number": [], "state": [], "last": []}).astype(
            {"series": "int64", "session_number": "int64", "state": "str", "last": "bool"}
        )
    return pd.concat(parts, ignore_index=True)[COLUMNS]

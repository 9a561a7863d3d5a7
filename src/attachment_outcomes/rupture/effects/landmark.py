"""Do clients whose rupture was repaired by a given session end better, counted from that session on?

Who leaves early has no time to rupture, and who repairs must have stayed for it: compared over whole treatments, groups differ
in how long their members stayed before anything could happen (immortal time). From a landmark on everybody compared is still
in treatment, and the group is what could be known by then.

Vocabulary
----------
landmark        a session number, chosen before the data were seen
in treatment    rated at the landmark or later
known by then   the criterion sees no rating after the landmark; a whole-series criterion is applied to the series so far
open            in a rupture whose window has not passed at the landmark; nobody knows its group yet
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.rupture.criteria import Criterion, detect
from attachment_outcomes.rupture.effects.comparison import MIN_GROUP, few
from attachment_outcomes.rupture.effects.contrasts import PAIRS, contrast_rows, fitted
from attachment_outcomes.rupture.series import Flags, Series
from attachment_outcomes.rupture.summary import CENSORED_ONLY, client_summary, not_assessable

TIMING = "repair_timing"
CAVEATS = (
    "association, not effect; it holds for clients who stay until the landmark: where ruptures make clients leave before, those "
    "who stayed in spite of one may be special"
)


@dataclass(frozen=True)
class Landmark:
    """Groups at one session. ``clients`` holds those in treatment; ``gone`` counts those who had left."""

    session: int
    clients: pd.DataFrame
    gone: int

    def note(self) -> str:
        """Return who is not compared."""
        unknown = int((self.clients["state"] == "").sum())
        still_open = int((self.clients["state"] == CENSORED_ONLY).sum())
        return (
            f"landmark at session {self.session}: {few(self.gone)} had left before, {few(still_open)} in a rupture still open, "
            f"{few(unknown)} with too few ratings by then"
        )


def up_to(series: Series, session: int, keep: Flags | None = None) -> Series:
    """Return the ratings up to and including a session, of the series flagged in ``keep``, (g,), or of all."""
    kept = series if keep is None else series.select(keep)
    rows = kept.sessions <= session
    starts = np.concatenate([[0], np.cumsum(kept.total(rows).astype(np.int64))])
    channels = {name: values[rows] for name, values in kept.channels.items()}
    return replace(kept, values=kept.values[rows], sessions=kept.sessions[rows], starts=starts, channels=channels)


def groups_at(series: Series, criterion: Criterion, session: int, *, therapists: pd.Series | None = None) -> Landmark:
    """Return who is in treatment at a session, and in which group by what is known then.

    Parameters
    ----------
    series : Series
        All series of the criterion.
    criterion : Criterion
        Applied to the ratings up to the landmark.
    session : int
        The landmark.
    therapists : Series of str, optional
        Therapist of each series, (g,).

    Returns
    -------
    Landmark
        ``clients`` as of :func:`attachment_outcomes.rupture.client_summary`, but without a group while a rupture is open and none
        before it stayed unrepaired; and ``state``: the group, ``censored`` for a rupture still open, or an empty word where the
        criterion needs more ratings.
    """
    there = np.zeros(len(series.lengths), dtype=bool)
    rated = series.lengths > 0
    there[rated] = series.sessions[series.starts[1:][rated] - 1] >= session
    known = up_to(series, session, there)
    own = None if therapists is None else therapists[there].reset_index(drop=True)
    clients = client_summary(known, detect(known, criterion), therapists=own)
    n_open = (clients["n_ruptures"] - clients["n_repaired"] - clients["n_unrepaired"]).fillna(0)
    # A repair before does not settle how the rupture that is open will end; one that stayed unrepaired does.
    clients["group"] = clients["group"].mask((n_open > 0) & (clients["group"] == "repaired"))
    state = clients["group"].fillna("").mask(clients["group"].isna() & (n_open > 0), CENSORED_ONLY)
    return Landmark(session, clients.assign(state=state), int((rated & ~there).sum()))


def landmark_contrasts(
    found: Landmark,
    ends: pd.DataFrame,
    *,
    outcome: str,
    higher_is_better: bool = False,
    adjust: Sequence[str] = ("pre",),
    cluster: str | None = "therapist_id",
    definition: str = "",
    primary: bool = False,
    min_group: int = MIN_GROUP,
    ci_level: float = CI_LEVEL,
) -> list[Estimate]:
    r"""Compare the end scores of clients by the group they were in at a landmark.

    .. math:: post_i = \beta_0 + \beta_1 pre_i + \beta_R\,repaired_i(L) + \beta_U\,unrepaired_i(L) + e_i, \quad T_i \ge L

    Clients who later change group stay in the one of the landmark: the contrast is between being in one group or another at session
    L, with what usually follows.

    Parameters
    ----------
    found : Landmark
        As :func:`groups_at` returns it.
    ends : frame
        Columns ``pre`` and ``post`` and further covariates, index ``client``; the end score must lie after the landmark. A client
        with several treatments counts once, with the one that has most ratings by then.
    outcome, higher_is_better, cluster, definition, primary, min_group, ci_level
        As in :func:`attachment_outcomes.rupture.repair_effect`.
    adjust : list of str
        Covariates known by the landmark; the number of sessions is decided after it and is none.

    Returns
    -------
    list of Estimate
        Analysis ``repair_timing``, group ``landmark session L``, score points in the outcome's own direction:
        ``repaired_minus_none``, ``unrepaired_minus_none``, ``repaired_minus_unrepaired``, of those groups that are large enough;
        one not-testable row if two are too small.

    References
    ----------
    Anderson, J. R., Cain, K. C., & Gelber, R. D. (1983). J. Clinical Oncology, 1, 710-719. Suissa, S. (2008). American J.
    Epidemiology, 167, 492-499 (immortal time).
    """
    group = f"landmark session {found.session}"
    order = found.clients.sort_values(["client", "n_sessions", "treatment_id"], ascending=[True, False, True], kind="stable")
    rows = order.drop_duplicates("client").merge(ends, how="left", left_on="client", right_index=True)
    try:
        compared, model = fitted(rows, adjust=adjust, cluster=cluster, min_group=min_group, drop_small=True)
    except StatisticsError as error:
        row = not_assessable(definition, outcome=outcome, reason=f"{error}; {found.note()}", analysis=TIMING)
        return [replace(row, group=group)]
    return contrast_rows(
        compared, model, higher_is_better=higher_is_better, ci_level=ci_level, names=PAIRS, caveats=CAVEATS, analysis=TIMING,
        outcome=outcome, group=group, definition=definition, primary=primary, more=found.note(),
    )  # fmt: skip

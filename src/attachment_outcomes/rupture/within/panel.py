"""Whose session is followed by which? Sessions of all clients with their ratings, and the pairs that lie a fixed step apart.

Vocabulary
----------
unit    a client in one treatment
pair    a session and the one that lies ``lag`` session numbers later in the same unit; a missing number makes no pair
cluster clients, or therapists where enough of them are known: what counts as independent
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from attachment_outcomes.inference.regression import FEW_CLUSTERS
from attachment_outcomes.rupture.series import Flags, Numbers, Series, Whole

KEYS = ["client", "treatment_id", "session_number"]
THERAPISTS, CLIENTS = "therapists", "clients"


@dataclass(frozen=True)
class Panel:
    """Sessions of all units, sorted by unit and session number.

    Attributes
    ----------
    unit, session : (n,) int arrays
        Unit of each session, counted from 0, and session number.
    alliance, symptoms, gap : (n,) float arrays
        Ratings in score points, and weeks since the session before; NaN where missing.
    units : (g,) frame
        ``client``, ``treatment_id`` (empty where none was given) and ``therapist_id`` (missing where unknown).
    """

    unit: Whole
    session: Whole
    alliance: Numbers
    symptoms: Numbers
    gap: Numbers
    units: pd.DataFrame

    @cached_property
    def person(self) -> Whole:
        """Client of each unit, (g,)."""
        return np.asarray(pd.factorize(self.units["client"])[0], dtype=np.int64)

    @cached_property
    def clustered_by(self) -> str:
        """What counts as independent: therapists where at least ten are known, else clients."""
        return THERAPISTS if self.units["therapist_id"].nunique() >= FEW_CLUSTERS else CLIENTS

    @cached_property
    def cluster(self) -> Whole:
        """Cluster of each unit, (g,); a client without a known therapist is one of their own."""
        if self.clustered_by == CLIENTS:
            return self.person
        known = pd.factorize(self.units["therapist_id"])[0]
        return np.where(known >= 0, known, known.max() + 1 + self.person).astype(np.int64)

    def later(self, lag: int) -> Whole:
        """Return for each session the row of the one ``lag`` numbers later in its unit (earlier if negative), -1 if none."""
        if not len(self.unit):
            return np.zeros(0, dtype=np.int64)
        low = int(self.session.min()) - abs(lag)
        span = int(self.session.max()) + abs(lag) - low + 1
        key = self.unit * span + self.session - low
        at = np.minimum(np.searchsorted(key, key + lag), len(key) - 1)
        return np.where(key[at] == key + lag, at, -1)

    def rows_of(self, series: Series) -> Whole:
        """Return for each row of another set of series its row here, -1 if there is none."""
        mine = self._index
        whose = series.clients.assign(treatment_id=series.clients["treatment_id"].fillna("")).iloc[series.group]
        wanted = pd.MultiIndex.from_arrays([whose["client"], whose["treatment_id"], series.sessions])
        return np.asarray(mine.get_indexer(wanted), dtype=np.int64)

    @cached_property
    def _index(self) -> pd.MultiIndex:
        whose = self.units.iloc[self.unit]
        return pd.MultiIndex.from_arrays([whose["client"], whose["treatment_id"], self.session])


def panel_of(alliance: Series, symptoms: Series | None, calendar: pd.DataFrame, therapists: pd.Series) -> Panel:
    """Join the ratings of alliance and symptoms, and the calendar, by client, treatment and session number.

    Parameters
    ----------
    alliance, symptoms
        Series of ratings.
    calendar
        ``person_id, treatment_id, session_number`` and, if known, ``gap_weeks`` and ``week``. Where the weeks since the session
        before are missing they are the difference of the weeks of adjacent sessions.
    therapists
        Therapist of each series of ``alliance``.
    """
    rated = _long(alliance, "alliance")
    if symptoms is None:
        rated["symptoms"] = np.nan
    else:
        rated = rated.merge(_long(symptoms, "symptoms"), on=KEYS, how="outer")
    rows = rated.merge(_gaps(calendar), on=KEYS, how="left").sort_values(KEYS, kind="stable", ignore_index=True)
    units = rows[KEYS[:2]].drop_duplicates(ignore_index=True)
    unit = np.asarray(rows.groupby(KEYS[:2], sort=False).ngroup(), dtype=np.int64)
    known = alliance.clients.assign(therapist_id=therapists.to_numpy(), treatment_id=alliance.clients["treatment_id"].fillna(""))
    return Panel(
        unit, rows["session_number"].to_numpy(np.int64), rows["alliance"].to_numpy(float), rows["symptoms"].to_numpy(float),
        rows["gap"].to_numpy(float), units.merge(known, on=KEYS[:2], how="left"),
    )  # fmt: skip


def _long(series: Series, name: str) -> pd.DataFrame:
    whose = series.clients.assign(treatment_id=series.clients["treatment_id"].fillna(""))
    rows = whose.iloc[series.group].reset_index(drop=True)
    return rows.assign(session_number=series.sessions, **{name: series.values})


def _gaps(calendar: pd.DataFrame) -> pd.DataFrame:
    rows = calendar.rename(columns={"person_id": "client"})
    rows = rows.assign(
        client=rows["client"].astype("str"), treatment_id=rows["treatment_id"].fillna("").astype("str"),
        session_number=rows["session_number"].astype("int64"),
    ).sort_values(KEYS, kind="stable", ignore_index=True)  # fmt: skip
    gap = rows["gap_weeks"].astype(float) if "gap_weeks" in rows else pd.Series(np.nan, index=rows.index)
    if "week" in rows:
        before = rows.groupby(KEYS[:2])[["session_number", "week"]].diff()
        gap = gap.fillna(before["week"].astype(float).where(before["session_number"] == 1))
    return rows[KEYS].assign(gap=gap)


@dataclass(frozen=True)
class Pairs:
    """Pairs of sessions: rows of the panel (``now`` and ``then``), both (m,), sorted by unit and session."""

    panel: Panel
    now: Whole
    then: Whole

    @property
    def unit(self) -> Whole:
        """Unit of each pair."""
        return self.panel.unit[self.now]

    @property
    def cluster(self) -> Whole:
        """Cluster of each pair."""
        return self.panel.cluster[self.unit]

    @property
    def n_clients(self) -> int:
        """Clients with at least one pair."""
        return len(np.unique(self.panel.person[self.unit]))

    @property
    def time(self) -> Numbers:
        """Session number of the later session, and its logarithm: courses are steep at first, then flat. (m, 2)."""
        number = self.panel.session[self.then].astype(float)
        return np.column_stack([number, np.log(np.maximum(number, 0.0) + 1.0)])

    def where(self, keep: Flags) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.panel, self.now[keep], self.then[keep])


def pairs_of(panel: Panel, lag: int) -> Pairs:
    """Return all pairs of sessions that are ``lag`` numbers apart; with 0 each session is paired with itself."""
    then = panel.later(lag)
    now = np.flatnonzero(then >= 0)
    return Pairs(panel, now, then[now])

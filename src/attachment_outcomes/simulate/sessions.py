"""What happens session by session: the calendar, ruptures and repairs, the alliance and the other ratings.

Arrays have a row a client and a column a session; ``held`` marks the sessions a client was planned to have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from attachment_outcomes.simulate.answers import WAI_SR, Noise, answer_items, noise_for
from attachment_outcomes.simulate.clients import Truth
from attachment_outcomes.simulate.draws import Flags, Floats, Whole, normals, pick

FIRST_RUPTURE = 4  # session: an alliance must have formed
SESSIONS_AFTER = 5  # sessions left after the onset, so that a repair can be seen
REPAIR_SESSIONS = (1, 2, 3)
CONFRONTING_SHARE = 0.4  # of clients: these confront, the others withdraw
LEFT_OPEN = 0.65  # share of its depth that an unrepaired rupture keeps
NEVER = 10_000


@dataclass(frozen=True)
class Calendar:
    """Planned sessions: which exist, the week each falls in, the weeks since the one before, and whether the client came."""

    held: Flags
    week: Whole
    gap: Whole
    came: Flags


@dataclass(frozen=True)
class Ruptures:
    """Up to two ruptures a client: onset session (``NEVER`` if none), depth, sessions until repaired, and whether repaired."""

    onset: Whole
    depth: Floats
    length: Whole
    repaired: Flags

    def happened_by(self, last_session: Whole) -> Ruptures:
        """Return the ruptures that began in or before each client's last session."""
        return Ruptures(np.where(self.onset <= last_session[:, None], self.onset, NEVER), self.depth, self.length, self.repaired)

    @property
    def any(self) -> Flags:
        """Whether a client has a rupture."""
        return np.asarray((self.onset < NEVER).any(axis=1))

    @property
    def unrepaired(self) -> Flags:
        """Whether a client has a rupture that was never repaired."""
        return np.asarray(((self.onset < NEVER) & ~self.repaired).any(axis=1))


def make_calendar(truth: Truth, clients: pd.DataFrame, rng: np.random.Generator) -> Calendar:
    """Return the calendar: a session a week, with breaks of two to four weeks."""
    sessions = truth["sessions"]
    n, longest = len(clients), max(sessions["planned"])
    number = np.arange(1, longest + 1)
    held = number[None, :] <= clients["planned_sessions"].to_numpy()[:, None]
    breaks = rng.random((n, longest)) < sessions["break_share"]
    gap = np.where(breaks, 2 + pick(rng.random((n, longest)), (1, 1, 1)), 1)
    gap[:, 0] = 0
    came = rng.random((n, longest)) >= sessions["missed_share"]
    came[:, 0] = True
    return Calendar(held, np.cumsum(gap, axis=1), gap, came)


def make_ruptures(truth: Truth, clients: pd.DataFrame, rng: np.random.Generator) -> Ruptures:
    """Return the ruptures that would happen if nobody dropped out."""
    ruptures = truth["ruptures"]
    n = len(clients)
    planned = clients["planned_sessions"].to_numpy()
    room = planned - SESSIONS_AFTER - FIRST_RUPTURE + 1
    has = rng.random(n) < ruptures["share"]
    place = rng.random(n)
    length = np.array(REPAIR_SESSIONS)[pick(rng.random((n, 2)), np.ones(len(REPAIR_SESSIONS)))]
    depth = np.maximum(ruptures["depth"] + ruptures["depth_sd"] * normals(rng, n, 2), 0.3)
    repaired = rng.random((n, 2)) < ruptures["repaired_share"]
    # A rupture that stays open early on ends most treatments, so those that can be followed begin in the second half.
    place = np.where(repaired[:, 0], place, 0.5 + place / 2)
    first = FIRST_RUPTURE + np.floor(place * room).astype(np.int64)
    # A second rupture comes only after a repair, in treatments with room for it, and is repaired as well: whether a
    # client belongs to the repaired or the unrepaired is decided once.
    repaired[:, 1] = True
    earliest = first + length[:, 0] + 3
    left = planned - SESSIONS_AFTER - earliest + 1
    again = has & repaired[:, 0] & (left > 0) & (rng.random(n) < ruptures["second_share"])
    second = earliest + np.floor(rng.random(n) * np.maximum(left, 1)).astype(np.int64)
    onset = np.column_stack([np.where(has, first, NEVER), np.where(again, second, NEVER)])
    return Ruptures(onset, depth, length, repaired)


def dip(ruptures: Ruptures, sessions: int) -> Floats:
    """Return how far ruptures lower the alliance in each session, answer points (0 or more)."""
    total = np.zeros((len(ruptures.onset), sessions))
    number = np.arange(1, sessions + 1)[None, :]
    for r in range(ruptures.onset.shape[1]):
        since = number - ruptures.onset[:, r, None]
        length = ruptures.length[:, r, None]
        mending = np.clip(1 - since / length, 0, None)
        left = np.where(ruptures.repaired[:, r, None], mending, np.maximum(mending, LEFT_OPEN))
        total += np.where(since >= 0, ruptures.depth[:, r, None] * left, 0.0)
    return total


@dataclass(frozen=True)
class AllianceDraws:
    """What is random in the alliance, drawn once, so that the same client can be seen with and without a rupture."""

    undisturbed: Floats
    uniform: Floats


def make_alliance(truth: Truth, clients: pd.DataFrame, calendar: Calendar, rng: np.random.Generator) -> AllianceDraws:
    """Return the true alliance without ruptures, and the uniform numbers that answers are made from."""
    alliance = truth["alliance"]
    n, sessions = calendar.held.shape
    level = alliance["mean"] + alliance["sd"] * normals(rng, n)
    growth = alliance["growth_per_session"] * (np.arange(sessions) - (sessions - 1) / 2)
    after_break = (calendar.gap >= 2) * (
        alliance["break_dip"] + alliance["break_dip_per_anxiety_sd"] * clients["anxiety_z"].to_numpy()[:, None]
    )
    true = level[:, None] + growth[None, :] - after_break + alliance["within_sd"] * normals(rng, n, sessions)
    return AllianceDraws(true, rng.random((n * sessions, WAI_SR.items)))


def alliance_noise(truth: Truth) -> Noise:
    """Return the noise of the alliance's answers; between-client and within-client variance are both true."""
    alliance = truth["alliance"]
    return noise_for(
        alliance["reliability"], mean=alliance["mean"], sd=float(np.hypot(alliance["sd"], alliance["within_sd"])), form=WAI_SR
    )


def alliance_answers(truth: Truth, draws: AllianceDraws, ruptures: Ruptures) -> Whole:
    """Return the answers to the alliance items: clients by sessions by items."""
    n, sessions = draws.undisturbed.shape
    true = draws.undisturbed - dip(ruptures, sessions)
    answers = answer_items(true.ravel(), draws.uniform, form=WAI_SR, noise=alliance_noise(truth))
    return answers.reshape(n, sessions, WAI_SR.items)


def other_ratings(
    truth: Truth,
    *,
    alliance: Floats,
    symptoms: Floats,
    ruptures: Ruptures,
    rng: np.random.Generator,
) -> dict[str, Floats]:
    """Return the session's other ratings: symptoms, felt security, depth, the therapist's alliance, the observer's ratings.

    ``alliance`` (answer points, 1 to 5) and ``symptoms`` (CORE-10 total in the week of the session) are true values,
    clients by sessions.
    """
    n, sessions = alliance.shape
    down = dip(ruptures, sessions)
    own_security = normals(rng, n)[:, None]
    within = normals(rng, n, sessions)
    security = np.clip(np.rint(4.6 + 0.8 * own_security + 0.6 * within - 0.8 * down), 1, 7)
    own_depth = normals(rng, n)[:, None]
    depth = 4.2 + 0.7 * own_depth + truth["exploration"]["security_slope"] * (security - 4.6) + 0.7 * normals(rng, n, sessions)
    observed = rng.random((n, 1)) < truth["ruptures"]["observed_share"]
    confronting = rng.random((n, 1)) < CONFRONTING_SHARE
    slight = np.where(rng.random((3, n, sessions)) < 0.25, 1.0, 0.0)
    severity = np.clip(np.rint(1 + 2.6 * down), 1, 5)
    withdrawal = np.maximum(np.where(confronting, np.minimum(severity, 2), severity), 1 + slight[0])
    confrontation = np.maximum(np.where(confronting, severity, np.minimum(severity, 2)), 1 + slight[1])
    resolution = _resolution(ruptures, sessions) + slight[2]
    return {
        "symptoms": np.clip(np.rint(symptoms / 4 + 0.8 * normals(rng, n, sessions)), 0, 10),
        "security": security,
        "depth": np.clip(np.rint(depth), 1, 7),
        "alliance_therapist": np.clip(np.round(2.0 + 0.5 * alliance + 0.3 * normals(rng, n, sessions), 1), 1, 5),
        "withdrawal": np.where(observed, withdrawal, np.nan),
        "confrontation": np.where(observed, confrontation, np.nan),
        "resolution": np.where(observed, np.clip(resolution, 1, 5), np.nan),
    }


def _resolution(ruptures: Ruptures, sessions: int) -> Floats:
    """Return how far the observer sees a rupture resolved: high while one mends, low otherwise."""
    number = np.arange(1, sessions + 1)[None, :]
    rating = np.ones((len(ruptures.onset), sessions))
    for r in range(ruptures.onset.shape[1]):
        since = number - ruptures.onset[:, r, None]
        mending = (since >= 1) & (since <= ruptures.length[:, r, None]) & ruptures.repaired[:, r, None]
        rating = np.where(mending, 4.0, rating)
    return rating

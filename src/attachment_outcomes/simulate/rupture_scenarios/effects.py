"""Clients whose ruptures, repairs and outcome are made so that every contrast is known: do the estimators give it back?

Vocabulary
----------
effect     points by which an unrepaired rupture leaves clients worse off than a repaired one: two thirds of it worse than without a
           rupture, and one third better after a repair
known      groups as they were made; detection plays no part
detected   groups as a criterion finds them in noisy ratings
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from attachment_outcomes.inference.estimate import NOT_TESTABLE, Estimate
from attachment_outcomes.rupture.criteria import Criterion, as_criteria, detect
from attachment_outcomes.rupture.effects.contrasts import PAIRS, repair_effect
from attachment_outcomes.rupture.effects.landmark import groups_at, landmark_contrasts
from attachment_outcomes.rupture.effects.leaving import leaving_odds
from attachment_outcomes.rupture.effects.standardisation import standardised_means
from attachment_outcomes.rupture.effects.states import running_states
from attachment_outcomes.rupture.series import Series
from attachment_outcomes.rupture.summary import client_summary
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]

SESSIONS = 16
LEVEL, DEPTH, NOISE = 5.0, 1.6, 0.4  # points of the alliance: usual level, depth of a rupture, SD from session to session
WINDOW = 3
LONGEST, FIRST_LEAVING, FIRST_RUPTURE = 24, 3, 3
MODIFICATION = 0.5  # how much larger an unrepaired rupture's part is for each SD of the score before
RULES = "attachment_outcomes.rupture.rules:"
CRITERIA = {
    "control chart": {"rule": RULES + "control_chart", "settings": {}, "episode": {"min_sessions": 8}},
    "drop of 2 SD": {"rule": RULES + "within_person_drop", "settings": {"k": 2.0, "tolerance": 0.25}},
}
# Without noise a drop rule sees every rupture and every repair, in any part of a series: what is known.
KNOWN = {"known": {"rule": RULES + "within_person_drop", "settings": {"k": 1.0}, "episode": {"window": WINDOW, "min_sessions": 4}}}


class Clients(NamedTuple):
    """``table``: a row a client with true group, scores and therapist; ``ratings`` (n, sessions) of the alliance."""

    table: pd.DataFrame
    ratings: Numbers


class Courses(NamedTuple):
    """Ratings without noise, scores before and after by client, and whether each client dropped out."""

    series: Series
    ends: pd.DataFrame
    dropped: NDArray[np.bool_]


def groups(rng: np.random.Generator, *, therapists: int, effect: float, per_therapist: int) -> Sample:
    r"""Clients of therapists with known groups, and ratings in which a criterion can look for them.

    .. math:: post = 6 + 0.5\,pre + b_{th} + \delta_g + \tfrac12 z\,\delta_U [g = U] + e, \quad
        \delta = (0, -\tfrac13, \tfrac23)\,effect

    Who is worse before (z) ruptures more often; repair depends on the therapist and not on the therapist's outcomes. Since z has
    mean 0, :math:`\delta` are the average differences that all clients would have.
    """
    n = therapists * per_therapist
    who = np.arange(n) % therapists
    z = normals(rng, n)
    skill, level = 1.5 * normals(rng, therapists), 2 * normals(rng, therapists)
    rupture = rng.random(n) < expit(0.2 + 0.6 * z)
    mended = rng.random(n) < expit(skill[who])
    group = np.where(~rupture, "none", np.where(mended, "repaired", "unrepaired"))
    part = np.select([group == "repaired", group == "unrepaired"], [-effect / 3, 2 / 3 * effect * (1 + MODIFICATION * z)], 0.0)
    pre = 20 + 5 * z
    post = 6 + 0.5 * pre + level[who] + part + 4 * normals(rng, n)
    onset = 4 + np.floor(8 * rng.random(n)).astype(np.int64)
    length = np.where(group == "repaired", 1 + np.floor(2 * rng.random(n)).astype(np.int64), SESSIONS)
    number = np.arange(1, SESSIONS + 1)
    low = rupture[:, None] & (number >= onset[:, None]) & (number < (onset + length)[:, None])
    ratings = LEVEL - DEPTH * low + NOISE * normals(rng, n, SESSIONS)
    table = pd.DataFrame(
        {"client": np.arange(n).astype(str), "therapist_id": who.astype(str), "group": group, "pre": pre, "post": post,
         "n_sessions": SESSIONS}
    )  # fmt: skip
    truth = dict(zip(PAIRS, (-effect / 3, 2 * effect / 3, -effect), strict=True))
    return Sample(Clients(table, ratings), truth)


def adjusted(data: Clients, *, by: str = "therapist_id", adjust: Sequence[str] = ("pre",)) -> Iterator[Finding]:
    """Compare the known groups by regression; ``by`` is the cluster, empty for none."""
    yield from _findings(repair_effect(data.table, outcome="x", adjust=adjust, cluster=by or None))


def standardised(data: Clients) -> Iterator[Finding]:
    """Compare the known groups by standardised means."""
    yield from _findings(standardised_means(data.table, outcome="x", adjust=("pre",)), prefix="standardised_")


def detected(data: Clients, *, criterion: str) -> Iterator[Finding]:
    """Compare by standardised means the groups that a criterion finds."""
    n, sessions = data.ratings.shape
    series = _series(data.ratings, np.full(n, sessions))
    found = client_summary(series, detect(series, _criterion(criterion)))
    table = data.table.assign(group=found["group"].to_numpy())
    yield from _findings(standardised_means(table, outcome="x", adjust=("pre",)), prefix="standardised_")


def courses(rng: np.random.Generator, *, clients: int, effect: float, landmark: int, hazard: float, repair: float) -> Sample:
    r"""Treatments of unequal length, in which who does well stays, and every session helps.

    A rupture begins in each session from 3 on with probability ``hazard`` (one a client), and is repaired in each of the next three
    sessions with probability ``repair``, else never; neither depends on the prognosis u or on how long a client stays. After each
    session from 3 on a client leaves with probability expit(−2.4 − u), at the latest after 24.

    .. math:: post = 20 + 0.6(pre - 20) - 0.25\,T - 2u + \delta_g + e

    The truth is that of groups at the landmark: who has had no rupture by then may have one later.
    """
    u = normals(rng, clients)
    length = _lengths(rng, expit(-2.4 - u))
    onset, back = _ruptures(rng, clients, hazard, repair)
    low = _low(onset, back)
    began, mended = onset <= length, back <= length
    part = np.where(began, np.where(mended, -effect / 3, 2 * effect / 3), 0.0)
    pre = 20 + 5 * normals(rng, clients)
    post = 20 + 0.6 * (pre - 20) - 0.25 * length - 2 * u + part + 3 * normals(rng, clients)
    series = _series(LEVEL - DEPTH * low, length)
    ends = pd.DataFrame({"pre": pre, "post": post}, index=pd.Index(series.clients["client"], name="client"))
    later = _later(effect, landmark, hazard, repair)
    truth = dict(zip(PAIRS, (-effect / 3 - later, 2 * effect / 3 - later, -effect), strict=True))
    return Sample(Courses(series, ends, np.ones(clients, dtype=bool)), truth)


def whole(data: Courses, *, adjust: Sequence[str] = ("pre",)) -> Iterator[Finding]:
    """Compare the groups of whole treatments, as if they had been known from the start."""
    found = client_summary(data.series, detect(data.series, _criterion("known")))
    table = found.merge(data.ends, left_on="client", right_index=True)
    yield from _findings(repair_effect(table, outcome="x", adjust=adjust, cluster=None))


def from_landmark(data: Courses, *, session: int) -> Iterator[Finding]:
    """Compare the groups at a landmark."""
    found = groups_at(data.series, _criterion("known"), session)
    yield from _findings(landmark_contrasts(found, data.ends, outcome="x", cluster=None))


def leaving(rng: np.random.Generator, *, clients: int, odds: float, frailty: float, hazard: float, repair: float) -> Sample:
    """Treatments from which clients leave more often while in a rupture (log odds ``odds``) and after one stayed unrepaired (half).

    ``frailty`` is the SD of the log odds of leaving between clients, which nobody measures. Ruptures as in :func:`courses`.
    """
    u = frailty * normals(rng, clients)
    onset, back = _ruptures(rng, clients, hazard, repair)
    since = np.arange(1, LONGEST + 1)[None, :] - onset[:, None]
    low = _low(onset, back)
    raised = odds * (low & (since < WINDOW)) + odds / 2 * (low & (since >= WINDOW))
    chance = expit(-2.6 + u[:, None] + raised)
    length = _lengths(rng, chance)
    series = _series(LEVEL - DEPTH * low, length)
    ends = pd.DataFrame({"pre": np.zeros(clients)}, index=pd.Index(series.clients["client"], name="client"))
    truth = {"in rupture": odds, "after repair": 0.0, "unrepaired": odds / 2}
    return Sample(Courses(series, ends, length < LONGEST), truth)


def odds_by_state(data: Courses) -> Iterator[Finding]:
    """Estimate the log odds of leaving by state."""
    rows = running_states(data.series, _criterion("known"))
    gone = data.dropped[rows["series"]] & rows["last"].to_numpy()
    rows = rows.assign(client=rows["series"].astype(str), therapist_id=None, left=gone.astype(float))
    rows = rows[~rows["last"] | gone]
    for row in leaving_odds(rows):
        if row.estimand != NOT_TESTABLE and row.group in ("in rupture", "after repair", "unrepaired"):
            limits = (float(np.log(row.ci_low)), float(np.log(row.ci_high)))
            yield Finding(row.group, float(np.log(row.estimate)), row.std_error, *limits, row.p_value)


def _ruptures(rng: np.random.Generator, clients: int, hazard: float, repair: float) -> tuple[Whole, Whole]:
    """Return the session of each client's onset and return, ``LONGEST`` + 1 or later if there is none."""
    first = np.argmax(
        np.column_stack([rng.random((clients, LONGEST - FIRST_RUPTURE + 1)) < hazard, np.ones(clients, bool)]), axis=1
    )
    onset = FIRST_RUPTURE + first
    wait = np.argmax(np.column_stack([rng.random((clients, WINDOW)) < repair, np.ones(clients, bool)]), axis=1) + 1
    return onset, np.where(wait <= WINDOW, onset + wait, 2 * LONGEST)


def _low(onset: Whole, back: Whole) -> NDArray[np.bool_]:
    """Return whether each session lies in a rupture, (clients, LONGEST)."""
    number = np.arange(1, LONGEST + 1)
    return (number >= onset[:, None]) & (number < back[:, None])


def _lengths(rng: np.random.Generator, chance: Numbers) -> Whole:
    """Return each client's last session, from the chance to leave after each session: (n,) or (n, LONGEST)."""
    each = chance[:, None] if chance.ndim == 1 else chance[:, FIRST_LEAVING - 1 : LONGEST - 1]
    leaves = rng.random((len(chance), LONGEST - FIRST_LEAVING)) < each
    return np.asarray(FIRST_LEAVING + np.argmax(np.column_stack([leaves, np.ones(len(chance), bool)]), axis=1), dtype=np.int64)


@cache
def _later(effect: float, landmark: int, hazard: float, repair: float) -> float:
    """Return the expected part of ruptures after the landmark for those without one by then."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(81)
    stay = 1 - expit(-2.4 - nodes)
    lengths = np.arange(landmark, LONGEST + 1)
    alive = stay ** (lengths[:, None] - FIRST_LEAVING)
    share = (alive * np.where(lengths[:, None] < LONGEST, 1 - stay, 1.0)) @ weights
    share /= share.sum()
    total = 0.0
    for length, of_length in zip(lengths, share, strict=True):
        onset = np.arange(landmark + 1, length + 1)
        begins = hazard * (1 - hazard) ** (onset - landmark - 1)
        mended = 1 - (1 - repair) ** np.minimum(WINDOW, length - onset)
        total += of_length * float(begins @ (-effect / 3 * mended + 2 * effect / 3 * (1 - mended)))
    return total


def _series(ratings: npt.ArrayLike, length: Whole) -> Series:
    """Return the first ``length`` ratings of each client as series."""
    ratings = np.asarray(ratings, dtype=np.float64)
    n, sessions = ratings.shape
    number = np.tile(np.arange(1, sessions + 1), (n, 1))
    seen = number <= length[:, None]
    clients = pd.DataFrame({"client": np.arange(n).astype(str), "treatment_id": pd.Series([None] * n, dtype="str")})
    return Series(ratings[seen], number[seen], np.concatenate([[0], np.cumsum(length)]), clients.astype({"client": "str"}))


@cache
def _criterion(name: str) -> Criterion:
    (found,) = as_criteria({name: {**CRITERIA, **KNOWN}[name]})
    return found


def _findings(rows: Sequence[Estimate], *, prefix: str = "") -> Iterator[Finding]:
    for row in rows:
        name = row.estimand.removeprefix(prefix)
        if name in PAIRS and row.estimand == prefix + name:
            yield Finding(name, row.estimate, row.std_error, row.ci_low, row.ci_high, row.p_value)

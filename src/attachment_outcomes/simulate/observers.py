"""What client and therapist report after a session, and what observers code in it: post-session reports and codings.

Both read the same truth as the alliance ratings. They add their own errors: a report misses ruptures and gives false
alarms, a coder overlooks markers, sees some that are not there, and rates with error.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binom, poisson

from attachment_outcomes.simulate.clients import Truth
from attachment_outcomes.simulate.draws import Flags, Floats, Whole, normals
from attachment_outcomes.simulate.sessions import NEVER, Ruptures, dip

RATERS = ("client", "therapist")
MARKERS = {"W": 7, "C": 7, "R": 10}  # codes a family: withdrawal, confrontation, resolution strategies
CODERS = ("K1", "K2")
EVENTS = 0.9  # markers a session for each point of severity above 1
STRATEGIES = (0.3, 0.5, 0.4)  # strategies a session: always, for each point of severity, for each point of resolution
GLOBALS = ("withdrawal", "confrontation", "resolution", "contribution")


def in_rupture(ruptures: Ruptures, sessions: int) -> tuple[Flags, Flags]:
    """Return in which sessions a rupture is open, onset and repairing session included, and in which of them it mends."""
    number = np.arange(1, sessions + 1)[None, :]
    going, mending = np.zeros((2, len(ruptures.onset), sessions), dtype=bool)
    for r in range(ruptures.onset.shape[1]):
        since, length = number - ruptures.onset[:, r, None], ruptures.length[:, r, None]
        repaired = ruptures.repaired[:, r, None]
        began = (ruptures.onset[:, r, None] < NEVER) & (since >= 0)
        going |= began & (~repaired | (since <= length))
        mending |= began & repaired & (since >= 1) & (since <= length)
    return going, mending


def make_reports(truth: Truth, client_id: Whole, held: Flags, ruptures: Ruptures, rng: np.random.Generator) -> pd.DataFrame:
    """Return the post-session reports: a row a session that took place, empty where nobody answered.

    ``held`` marks the sessions to which the client came, clients by sessions.
    """
    reports = truth["reports"]
    n, sessions = held.shape
    going, mending = in_rupture(ruptures, sessions)
    depth = dip(ruptures, sessions)
    client, session = np.nonzero(held)
    frame = pd.DataFrame({"client_id": client_id[client], "session": session + 1})
    for rater in RATERS:
        notices = np.where(going, reports[f"{rater}_sensitivity"], reports[f"{rater}_false_alarm"])
        says = rng.random((n, sessions)) < notices
        intensity = np.clip(np.rint(1.8 + 1.4 * depth + 0.7 * normals(rng, n, sessions)), 1, 5)
        resolved = np.clip(np.rint(np.where(mending, 4.2, 2.2) + 0.8 * normals(rng, n, sessions)), 1, 5)
        answered = (rng.random((n, sessions)) >= reports["missing_share"])[client, session]
        yes = says[client, session]
        frame[f"{rater}_tension"] = pd.Series(np.where(yes, "yes", "no"), dtype="str").where(answered)
        for name, values in (("intensity", intensity), ("resolution", resolved)):
            frame[f"{rater}_{name}"] = pd.Series(values[client, session]).astype("Int64").where(answered & yes)
    return frame


def make_codings(truth: Truth, client_id: Whole, came: Flags, ratings: dict[str, Floats], rng: np.random.Generator) -> pd.DataFrame:
    """Return the observers' codings: a row a coder, session and segment; the row without a segment rates the whole session.

    ``ratings`` are the session's true ``withdrawal``, ``confrontation`` and ``resolution``, clients by sessions, missing
    where no observer was there. Every client's worst session is coded, and others at random; part of them by two coders.
    """
    observers = truth["observers"]
    client, session = _chosen(came, ratings, observers["clients"], observers["sessions"], rng)
    n, segments = len(client), observers["segments"]
    true = {name: ratings[name][client, session] for name in GLOBALS[:3]}
    worst = np.maximum(true["withdrawal"], true["confrontation"]) - 1
    true["contribution"] = np.clip(1 + 0.5 * worst + 0.6 * normals(rng, n), 1, 5)
    base, by_severity, by_resolution = STRATEGIES
    expected = {
        "W": EVENTS * (true["withdrawal"] - 1),
        "C": EVENTS * (true["confrontation"] - 1),
        "R": base + by_severity * worst + by_resolution * (true["resolution"] - 1),
    }
    events = {
        family: poisson.ppf(rng.random((n, segments, k)), expected[family][:, None, None] / (segments * k))
        for family, k in MARKERS.items()
    }
    second = np.argsort(rng.random(n), kind="stable") < round(observers["coded_twice_share"] * n)
    # The first coder codes every session; the second those that are coded twice.
    parts = [_coded(observers, events, true, rng).assign(coder=coder) for coder in CODERS]
    parts = [part[np.repeat(keep, segments + 1)] for part, keep in zip(parts, (np.ones(n, dtype=bool), second), strict=True)]
    frame = pd.concat(parts, ignore_index=True)
    which = frame.pop("_session").to_numpy()
    frame.insert(0, "client_id", client_id[client[which]])
    frame.insert(1, "session", session[which] + 1)
    frame.insert(2, "coder", frame.pop("coder"))
    order = frame.assign(_last=frame["segment"].fillna(segments + 1)).sort_values(["client_id", "session", "coder", "_last"])
    return frame.loc[order.index].reset_index(drop=True)


def _chosen(came: Flags, ratings: dict[str, Floats], clients: int, sessions: int, rng: np.random.Generator) -> tuple[Whole, Whole]:
    """Return client and session of those that are coded, by position."""
    rated = came & ~np.isnan(ratings["withdrawal"])
    severity = np.where(rated, np.fmax(ratings["withdrawal"], ratings["confrontation"]), 0)
    draw = rng.random(came.shape)
    among = np.flatnonzero(rated.sum(axis=1) >= sessions)
    among = np.sort(among[np.argsort(rng.random(len(among)), kind="stable")[:clients]])
    worst = severity.argmax(axis=1)
    draw[np.arange(len(came)), worst] = -1.0
    draw[~rated] = 2.0
    picked = np.sort(np.argsort(draw[among], axis=1, kind="stable")[:, :sessions], axis=1)
    return np.repeat(among, sessions), picked.ravel()


def _coded(observers: Truth, events: dict[str, Floats], true: dict[str, Floats], rng: np.random.Generator) -> pd.DataFrame:
    """Return what one coder writes down: a row a segment and, after them, a row a session."""
    n, segments, _ = events["W"].shape
    found = {}
    for family, counts in events.items():
        seen = binom.ppf(rng.random(counts.shape), counts, observers["sees"])
        false = poisson.ppf(rng.random(counts.shape), observers["false_codes"] / counts.shape[2])
        found[family] = np.where(counts > 0, seen, 0) + false
    rated = {name: np.clip(np.rint(values + observers["rating_sd"] * normals(rng, n)), 1, 5) for name, values in true.items()}
    blank = np.full((n, segments), np.nan)
    columns: dict[str, Floats] = {
        "_session": np.repeat(np.arange(n), segments + 1),
        "segment": np.tile(np.append(np.arange(1.0, segments + 1), np.nan), n),
    }
    for family, counts in found.items():
        for k in range(counts.shape[2]):
            columns[f"{family}{k + 1}"] = np.column_stack([counts[:, :, k], blank[:, 0]]).ravel()
    for family, name in (("W", "withdrawal"), ("C", "confrontation")):
        for k in range(MARKERS[family]):
            weight = np.clip(np.rint(true[name] + observers["rating_sd"] * normals(rng, n)), 1, 5)
            weight = np.where(found[family][:, :, k].sum(axis=1) > 0, weight, np.nan)
            columns[f"{family}{k + 1}_significance"] = np.column_stack([blank, weight]).ravel()
    for name, values in rated.items():
        columns[name] = np.column_stack([blank, values]).ravel()
    return pd.DataFrame(columns).astype("Int64")

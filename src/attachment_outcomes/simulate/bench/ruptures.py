"""How long do ruptures take in ten million sessions? Every criterion on made-up sessions, from the ratings to the summaries."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.config import load_criteria
from attachment_outcomes.rupture.criteria import Criterion, as_criteria, detect, episodes_frame, series_for
from attachment_outcomes.rupture.series import Series
from attachment_outcomes.rupture.summary import client_summary
from attachment_outcomes.simulate.bench.goals import slope
from attachment_outcomes.simulate.draws import normals

SIZES = (100_000, 1_000_000, 10_000_000)  # sessions
EACH = 10  # sessions of a client
RHO = 0.3  # autocorrelation of a client's ratings
RANGE = (1.0, 7.0)
MISSED = 0.05  # sessions without a rating
GOAL_SECONDS, GOAL_MB = 60.0, 6_000.0  # of the whole process at the largest size
GOAL_SLOPE = 1.1  # of log seconds over log sessions: 1 is linear, and the rest is what no longer fits the cache
REPORTED, CODED = 0.15, 0.25  # sessions with a rupture that somebody reported or coded


def sessions_of(count: int) -> pd.DataFrame:
    """Return so many sessions of a tenth as many clients: ratings from 1 to 7, and reports and codes beside them.

    A client's ratings are autocorrelated around their own level; every seventh client has a dip of three sessions.
    """
    rng = np.random.default_rng(1)
    clients = count // EACH
    noise = normals(rng, clients, EACH)
    for i in range(1, EACH):
        noise[:, i] = RHO * noise[:, i - 1] + math.sqrt(1 - RHO**2) * noise[:, i]
    level = 5.2 + 0.7 * normals(rng, clients, 1)
    dips = (np.arange(clients) % 7 == 0)[:, None] & (np.arange(EACH) >= 5) & (np.arange(EACH) < 8)
    ratings = np.clip(np.round(level + 0.6 * noise - 1.5 * dips, 1), *RANGE).ravel()
    ratings[rng.random(count) < MISSED] = np.nan
    number = np.arange(count)
    made = {
        "person_id": pd.Series([f"c{i:07d}" for i in range(clients)], dtype="str").repeat(EACH).reset_index(drop=True),
        "session_number": number % EACH + 1,
        "alliance": ratings,
    }
    for ending in ("", "_therapist"):
        reported = rng.random(count) < REPORTED
        made[f"rupture_reported{ending}"] = reported.astype(float)
        made[f"rupture_intensity{ending}"] = np.where(reported, 1 + np.floor(5 * rng.random(count)), 1.0)
        made[f"rupture_resolution{ending}"] = np.where(reported, 1 + np.floor(5 * rng.random(count)), np.nan)
    coded = rng.random(count) < CODED
    for family in ("withdrawal", "confrontation"):
        made[family] = np.where(coded, 1 + np.floor(5 * rng.random(count)), 1.0)
    made["resolution"] = np.where(coded, 1 + np.floor(5 * rng.random(count)), 1.0)
    return pd.DataFrame(made)


def run(count: int) -> dict[str, Any]:
    """Find the ruptures of every criterion in so many sessions; return the seconds of each part and what was found.

    One criterion after the other: the table of its episodes and its summary of the clients are made, counted and let go, since
    nobody keeps all tables of a million clients at once.
    """
    started = time.perf_counter()
    sessions = sessions_of(count)
    seconds = {"making the data": time.perf_counter() - started}
    series: Series | None = None
    reads: tuple[str, ...] | None = None
    by_criterion: dict[str, dict[str, float]] = {}
    for criterion in sorted(as_criteria(load_criteria("rupture")), key=lambda c: c.reads):
        if series is None or criterion.reads != reads:
            began, reads = time.perf_counter(), criterion.reads
            series = series_for(criterion, sessions, score="alliance", scale=RANGE)
            seconds[f"reading {', '.join(reads or ('alliance',))}"] = time.perf_counter() - began
        by_criterion[criterion.name] = one(series, criterion)
    total = sum(c["seconds"] for c in by_criterion.values()) + sum(v for k, v in seconds.items() if k.startswith("reading"))
    return {"sessions": count, "clients": count // EACH, "seconds": total, "parts": seconds, "criteria": by_criterion}


def one(series: Series, criterion: Criterion) -> dict[str, float]:
    """Return what a criterion finds and what that took: episodes, their table, and the clients' summaries."""
    began = time.perf_counter()
    found = detect(series, criterion)
    detected = time.perf_counter()
    episodes = episodes_frame([found])
    tabled = time.perf_counter()
    clients = client_summary(series, found)
    ended = time.perf_counter()
    return {
        "detection": detected - began, "episode_table": tabled - detected, "client_summary": ended - tabled,
        "seconds": ended - began, "episodes": len(episodes), "clients_with_rupture": int((clients["n_ruptures"] > 0).sum()),
    }  # fmt: skip


def goals(measured: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return each goal with what was measured of it.

    Parameters
    ----------
    measured
        What :func:`run` returned for each number of sessions, in rising order, with ``process_seconds`` and ``peak_mb`` of the
        whole process.
    """
    largest = measured[-1]
    found = {
        "seconds": (largest["process_seconds"], GOAL_SECONDS),
        "peak memory in MB": (largest["peak_mb"], GOAL_MB),
        "log-log slope of seconds by sessions": (slope({m["sessions"]: m["seconds"] for m in measured}), GOAL_SLOPE),
    }
    return {
        name: {"measured": value, "at_most": most, "met": value is not None and value <= most}
        for name, (value, most) in found.items()
    }

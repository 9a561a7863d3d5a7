"""How common are ruptures, and who had them? Tables a client and a session, and the shares and rates they give.

Vocabulary
----------
group   none: no rupture; unrepaired: at least one rupture that stayed unrepaired; repaired: at least one repaired and
        none unrepaired; missing: not assessable, or ruptures whose end nobody saw (censored only)
rate    ruptures per rated session, since clients with more sessions have more occasions for a rupture
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import critical, wilson
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.proportions import proportion
from attachment_outcomes.rupture.criteria import Detection
from attachment_outcomes.rupture.episodes import OUTCOMES
from attachment_outcomes.rupture.series import Flags, Numbers, Series, ratio

PREVALENCE = "rupture_prevalence"
NONE, CENSORED_ONLY = "none", "censored"
GROUPS = (NONE, "repaired", "unrepaired")
CLIENT_COLUMNS = [
    "client", "treatment_id", "therapist_id", "criterion", "primary", "n_sessions", "n_ruptures", "n_repaired", "n_unrepaired",
    "rate", "share_repaired", "mean_depth", "time_in_rupture", "group",
]  # fmt: skip
SERIES_COLUMNS = ["client", "treatment_id", "session_number", "score", "center", "lower_limit", "in_episode", "criterion"]


def client_summary(series: Series, found: Detection, *, primary: bool = True, therapists: pd.Series | None = None) -> pd.DataFrame:
    """Return one row a client and treatment: sessions, ruptures, repairs, how often, how deep and how long, and the group.

    Parameters
    ----------
    series : Series
        All series that the criterion was applied to.
    found : Detection
        What it found.
    primary : bool
        Whether it is the study's primary criterion.
    therapists : Series of str, optional
        Therapist of each series, (g,), in the order of ``series.clients``.

    Returns
    -------
    frame
        Columns ``CLIENT_COLUMNS``. ``n_sessions`` counts rated sessions. What follows is missing where the client is not
        assessable: ``n_ruptures``, ``n_repaired`` and ``n_unrepaired`` (the rest is censored); ``rate``, ruptures per rated
        session; ``share_repaired`` of the ruptures whose end is known (missing without any); ``mean_depth`` over ruptures, score
        points (missing without any); ``time_in_rupture``, the share of rated sessions inside an episode.
    """
    size = len(series.lengths)
    of = found.kept[found.episodes.group]
    ends = len(OUTCOMES)
    n = np.bincount(of * ends + found.episodes.outcome, minlength=size * ends).reshape(-1, ends).T
    total = n.sum(axis=0)
    rate = np.full(size, np.nan)
    np.divide(total, series.lengths, out=rate, where=found.assessable)
    # The onset is inside also where a report was resolved in its own session; see inside_episodes.
    inside = np.bincount(of, weights=np.maximum(found.episodes.end - found.episodes.onset, 1), minlength=size)
    time = np.full(size, np.nan)
    np.divide(inside, series.lengths, out=time, where=found.assessable)
    depth = np.bincount(of, weights=found.episodes.depth, minlength=size)
    # In the order of GROUPS; missing for who is not assessable, or whose ruptures are all censored.
    group = np.select([~found.assessable, n[1] > 0, n[0] > 0, total > 0], [-1, 2, 1, -1], 0)
    return pd.DataFrame(
        {
            "client": series.clients["client"],
            "treatment_id": series.clients["treatment_id"],
            "therapist_id": pd.Series(None if therapists is None else therapists.to_numpy(), index=range(size), dtype="str"),
            "criterion": pd.Series(pd.array([found.criterion.name], dtype="str").repeat(size)),
            "primary": primary,
            "n_sessions": pd.array(series.lengths, dtype="Int64"),
            "n_ruptures": pd.arrays.IntegerArray(total.astype(np.int64), ~found.assessable),
            "n_repaired": pd.arrays.IntegerArray(n[0].astype(np.int64), ~found.assessable),
            "n_unrepaired": pd.arrays.IntegerArray(n[1].astype(np.int64), ~found.assessable),
            "rate": rate,
            "share_repaired": ratio(n[0], n[0] + n[1]),
            "mean_depth": ratio(depth, total),
            "time_in_rupture": time,
            "group": pd.Series(pd.array(GROUPS, dtype="str").take(group, allow_fill=True)),
        }
    )[CLIENT_COLUMNS]


def inside_episodes(found: Detection) -> Flags:
    """Return which rows of ``found.series`` lie in an episode: from its onset up to, not including, the return.

    The onset is always inside, also of a reported rupture that was resolved in its own session.
    """
    flags = np.zeros(len(found.series.values), dtype=bool)
    flags[found.episodes.rows()[0]] = True
    flags[found.episodes.onset] = True
    return flags


def session_series(series: Series, found: Detection) -> pd.DataFrame:
    """Return one row a rated session with the criterion's centre and lower limit, for figures; columns ``SERIES_COLUMNS``.

    Centre and limit are in score points; they are missing where the criterion has none (a client who is not assessable,
    the session after a gap for criteria that compare neighbours). ``in_episode`` holds from the onset up to, not
    including, the return.
    """
    flags = inside_episodes(found)
    rows = np.repeat(np.isin(np.arange(len(series.lengths)), found.kept), series.lengths)
    known = found.signal.assessable[found.series.group]
    center, limit, inside = np.full(len(rows), np.nan), np.full(len(rows), np.nan), np.zeros(len(rows), dtype=bool)
    center[rows] = np.where(known, found.signal.center, np.nan)
    limit[rows] = np.where(known, found.signal.limit, np.nan)
    inside[rows] = flags
    clients = series.clients.iloc[series.group].reset_index(drop=True)
    return pd.DataFrame(
        {
            "client": clients["client"],
            "treatment_id": clients["treatment_id"],
            "session_number": pd.array(series.sessions, dtype="Int64"),
            "score": series.values,
            "center": center,
            "lower_limit": limit,
            "in_episode": inside,
            "criterion": pd.Series(found.criterion.name, index=range(len(rows)), dtype="str"),
        }
    )[SERIES_COLUMNS]


def prevalence(
    clients: pd.DataFrame, found: Detection, *, outcome: str, lowest: float | None = None, ci_level: float = CI_LEVEL
) -> list[Estimate]:
    r"""Return how many clients had a rupture, how often, and how it ended, under one criterion.

    ``share_with_rupture`` and ``share`` are proportions of the assessable clients with Wilson's interval (group
    ``censored``: ruptures whose end nobody saw). ``rate_per_session`` is ruptures over rated sessions, with a
    ratio-estimator interval over clients, :math:`SE = \sqrt{\frac{n}{n-1}\sum_i (y_i - R\,x_i)^2} / \sum_i x_i`; so are
    ``time_in_rupture`` (rated sessions inside an episode over all) and ``mean_depth`` (score points a rupture). ``share_repaired``
    is of the ruptures whose end is known, Wilson's interval at the effective n of persons.

    Parameters
    ----------
    clients : frame
        As :func:`client_summary` returns it.
    found : Detection
        The criterion's finding; with ``lowest`` it says whose limit lies at or below the scale's end.
    outcome : str
        Name of the alliance score.
    lowest : float, optional
        Lowest possible rating, score points. Clients whose limit never lies above it cannot show a rupture; the note
        counts them.
    ci_level : float
        Confidence level.
    """
    counted = clients[clients["n_ruptures"].notna()]
    name = found.criterion.name
    primary = bool(clients["primary"].all())
    n = len(counted)
    if n == 0:
        raise StatisticsError(problem(f"criterion {name}", f"none of {len(clients)} clients has enough rated sessions."))
    people = float(counted["client"].nunique())
    note = f"{len(clients) - n} of {len(clients)} clients not assessable"
    floored = 0 if lowest is None else int(found.unable(lowest).sum())
    if floored:
        note += f"; {floored} cannot show a rupture, since their limit lies below the scale's lowest score"
    if people < n:
        note += f"; {n} treatments of {people:.0f} clients"
    shared: dict[str, Any] = {
        "analysis": PREVALENCE,
        "outcome": outcome,
        "definition": name,
        "primary": primary,
        "ci_level": ci_level,
        "n": float(n),
        "n_clusters": people,
    }
    ruptures, sessions = counted["n_ruptures"].to_numpy(dtype=float), counted["n_sessions"].to_numpy(dtype=float)
    rows = [_share("share_with_rupture", int((ruptures > 0).sum()), n, shared, note)]
    censored = (counted["group"].isna() & (counted["n_ruptures"] > 0)).sum()
    for group, k in [*((g, (counted["group"] == g).sum()) for g in GROUPS), (CENSORED_ONLY, censored)]:
        rows.append(_share("share", int(k), n, {**shared, "group": group}, note))
    seen = f"{ruptures.sum():.0f} ruptures in {sessions.sum():.0f} rated sessions; {note}"
    rows.append(_ratio("rate_per_session", ruptures, sessions, "ruptures per session", {**shared, "note": seen}))
    inside = counted["time_in_rupture"].to_numpy(dtype=float) * sessions
    rows.append(_ratio("time_in_rupture", inside, sessions, "proportion", {**shared, "note": seen}))
    if ruptures.sum():
        some = counted[ruptures > 0]
        of_some = some["n_ruptures"].to_numpy(dtype=float)
        mixed = {**shared, "n": float(len(some)), "n_clusters": float(some["client"].nunique()), "note": seen}
        rows.append(_ratio("mean_depth", some["mean_depth"].to_numpy(dtype=float) * of_some, of_some, "score points", mixed))
        rows += _repaired(some, shared)
    return rows


def _ratio(estimand: str, top: Numbers, bottom: Numbers, unit: str, shared: dict[str, Any]) -> Estimate:
    """Return a ratio of two sums over clients with its interval, not below 0."""
    value, n = float(top.sum() / bottom.sum()), len(top)
    error = math.sqrt(n / (n - 1) * float(((top - value * bottom) ** 2).sum())) / bottom.sum() if n > 1 else math.nan
    half = critical(shared["ci_level"]) * error
    high = min(1.0, value + half) if unit == "proportion" else value + half
    return Estimate(
        estimand=estimand, estimate=value, std_error=error, ci_low=max(0.0, value - half) if n > 1 else math.nan,
        ci_high=high if n > 1 else math.nan, unit=unit, method="ratio estimator over clients", **shared,
    )  # fmt: skip


def _repaired(clients: pd.DataFrame, shared: dict[str, Any]) -> Iterator[Estimate]:
    """Yield the share repaired of the ruptures whose end is known; a person's ruptures are a cluster."""
    repaired, unrepaired = (clients[c].to_numpy(dtype=np.int64) for c in ("n_repaired", "n_unrepaired"))
    told = repaired + unrepaired
    if not told.sum():
        return
    each = np.repeat(np.tile([True, False], len(told)), np.column_stack([repaired, unrepaired]).ravel())
    found = proportion(each, clusters=np.repeat(clients["client"].to_numpy(), told), ci_level=shared["ci_level"])
    note = "; ".join(filter(None, ["n is ruptures, not clients; those whose end nobody saw are left out", found.note]))
    yield Estimate(
        estimand="share_repaired", estimate=found.estimate, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high,
        unit="proportion", method=found.method.replace("therapist clusters", "clients"), note=note,
        **{**shared, "n": float(found.n), "n_clusters": float(found.n_clusters)},
    )  # fmt: skip


def not_assessable(name: str, *, outcome: str, reason: str, analysis: str = PREVALENCE, primary: bool = False) -> Estimate:
    """Return the row that says why a criterion gives no answer."""
    return replace(not_testable(analysis, reason, outcome=outcome), definition=name, primary=primary)


def _share(estimand: str, k: int, n: int, shared: dict[str, Any], note: str) -> Estimate:
    found = wilson(k, n, ci_level=shared["ci_level"])
    return Estimate(
        estimand=estimand, estimate=found.estimate, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high,
        unit="proportion", method="Wilson", note=note, **shared,
    )  # fmt: skip

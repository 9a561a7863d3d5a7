"""Ruptures planted in uneventful series: how often a criterion misses them, misreads their end, or sees one where none is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta

from attachment_outcomes.rupture.criteria import Criterion, Detection, as_criteria, detect
from attachment_outcomes.rupture.episodes import OUTCOMES
from attachment_outcomes.rupture.rules import within_person_drop
from attachment_outcomes.rupture.series import Series, read_series
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]
LASTING = 4  # equally likely: a dip of 1, 2 or 3 sessions, or one to the end of the series
MISSED, OUTSIDE = "missed", "begun outside any rupture"
FALSE_RATE, FALSE_CLIENT, FALSE_TIME = "false per 100 sessions", "falsely ruptured", "time in false ruptures"
LESS_THEORY = "drops less theory"


class Planted(NamedTuple):
    """Ratings (clients, sessions; NaN where unrated) by depth of the planted ruptures, and where these begin and end.

    ``onset`` is the session of the first low score, counted from 0 (-1: none planted), ``back`` that of the first score that
    is as before again, or the number of sessions. ``independent`` says that the noise has no autocorrelation.
    """

    ratings: Mapping[str, Numbers]
    onset: Whole
    back: Whole
    low: float
    high: float
    independent: bool


class Visible(NamedTuple):
    """Which planted ruptures can be seen at all: their first rated session, and the rated sessions to the return and after.

    ``returns`` is 0 where no rated session follows the rupture.
    """

    seen: Flags
    session: Whole
    returns: Whole
    followed: Whole


def planted(
    rng: np.random.Generator, *, people: int, sessions: int, share: float, rho: float, depths: Sequence[float], sd: float,
    sd_spread: float, level: float, level_sd: float, low: float, high: float, step: float, missing: float, criteria: Sequence[str],
) -> Sample:  # fmt: skip
    r"""Draw ratings that vary by chance, and in a share of the clients one rupture of known depth, onset and length.

    .. math:: x_{it} = \mu_i + s_i\,(e_{it} - d\,1[o_i \le t < b_i]), \quad e_i \sim AR(1, \rho)\ \text{of SD 1}

    with :math:`s_i` the client's own SD (of log-normal spread), d the depth in own SDs, the onset :math:`o_i` at any session
    but the first, and the dip 1, 2 or 3 sessions long or lasting to the end, each as likely. Ratings are rounded to ``step``
    and cut at ``low`` and ``high``; sessions are unrated with probability ``missing``. The same clients are made with each depth.
    All targets are errors, so every truth is 0: of each criterion the share of ruptures ``missed``, of those whose first session
    is not even inside some episode, and of ends misread; among clients without a planted one, false ruptures per 100 rated
    sessions, the share of clients with one, and of sessions in one; and, where theory has the number for independent noise, the
    drops among 100 pairs of neighbours less those of theory.
    """
    e = normals(rng, people, sessions)
    for t in range(1, sessions):
        e[:, t] = rho * e[:, t - 1] + np.sqrt(1 - rho**2) * e[:, t]
    own, mean = sd * np.exp(sd_spread * normals(rng, people, 1)), level + level_sd * normals(rng, people, 1)
    onset = 1 + np.floor(rng.random(people) * (sessions - 1)).astype(np.int64)
    length = 1 + np.floor(rng.random(people) * LASTING).astype(np.int64)
    back = np.where(length < LASTING, np.minimum(onset + length, sessions), sessions)
    onset = np.where(np.arange(people) < round(share * people), onset, -1)
    place = np.arange(sessions)
    dip = (onset[:, None] >= 0) & (place >= onset[:, None]) & (place < back[:, None])
    unrated = rng.random(e.shape) < missing

    def rated(depth: float) -> Numbers:
        x = np.clip(np.round((mean + own * (e - depth * dip) - low) / step) * step + low, low, high)
        return np.where(unrated, np.nan, x)

    endings = [f"{ending}, told otherwise" for ending in OUTCOMES]
    targets = [f"{c}: {what}" for c in criteria for what in (MISSED, OUTSIDE, *endings, FALSE_RATE, FALSE_CLIENT, FALSE_TIME)]
    if rho == 0:
        targets += [f"{c.name}: {LESS_THEORY}" for c in as_criteria(criteria) if _has_theory(c)]
    data = Planted({f"{d:g} SD": rated(d) for d in depths}, onset, back, low, high, independent=rho == 0)
    return Sample(data, dict.fromkeys(targets, 0.0))


def detection_errors(data: Planted, *, methods: Sequence[str], criteria: Sequence[str]) -> Iterator[Finding]:
    """Judge each criterion at each depth (``methods``): what it misses, misreads and makes up.

    A planted rupture is found if an episode begins in its first rated session or a session number beside it. Clients whom the
    criterion cannot assess do not count.
    """
    for method in methods:
        series, visible = _series(data, method), _visible(data, method)
        free, sessions = data.onset < 0, data.ratings[method].shape[1]
        for criterion in as_criteria(criteria):
            found = detect(series, criterion)
            told = _told(found, visible.session, sessions)
            judged = visible.seen & found.assessable
            yield _mean(criterion, MISSED, told[judged] < 0, method)
            inside = _inside(found, sessions)
            yield _mean(criterion, OUTSIDE, ~inside[judged, visible.session[judged]], method)
            true = _endings(visible, criterion)
            for code, ending in enumerate(OUTCOMES):
                chosen = judged & (told >= 0) & (true == code)
                yield _mean(criterion, f"{ending}, told otherwise", told[chosen] != code, method)
            calm = free & found.assessable
            begun = np.bincount(found.kept[found.episodes.group], minlength=len(free))[calm]
            rate = 100 * begun.sum() / max(series.lengths[calm].sum(), 1) if calm.any() else np.nan
            yield Finding(f"{criterion.name}: {FALSE_RATE}", float(rate), method=method)
            yield _mean(criterion, FALSE_CLIENT, begun > 0, method)
            spent = inside[calm].sum() / max(series.lengths[calm].sum(), 1) if calm.any() else np.nan
            yield Finding(f"{criterion.name}: {FALSE_TIME}", float(spent), method=method)
            if data.independent and _has_theory(criterion):
                yield Finding(f"{criterion.name}: {LESS_THEORY}", _drops_less_theory(found, free), method=method)


def _mean(criterion: Criterion, what: str, flags: Flags, method: str) -> Finding:
    return Finding(f"{criterion.name}: {what}", float(flags.mean()) if flags.size else np.nan, method=method)


def _series(data: Planted, method: str) -> Series:
    x = data.ratings[method]
    people, sessions = x.shape
    frame = pd.DataFrame(
        {
            "person_id": np.repeat(np.arange(people), sessions),
            "session_number": np.tile(np.arange(sessions), people),
            "rating": x.ravel(),
        }
    )
    return read_series(frame, score="rating", scale=(data.low, data.high))


def _visible(data: Planted, method: str) -> Visible:
    """Return what a reader of the ratings could see of each planted rupture; it needs a rated session before it."""
    rated = ~np.isnan(data.ratings[method])
    t = np.arange(rated.shape[1])
    inside = rated & (t >= data.onset[:, None]) & (t < data.back[:, None]) & (data.onset[:, None] >= 0)
    after = rated & (t >= data.back[:, None])
    before = rated & (t < data.onset[:, None])
    session, back = inside.argmax(axis=1), after.argmax(axis=1)
    place = np.cumsum(rated, axis=1) - 1
    rows = np.arange(len(rated))
    at = place[rows, session]
    returns = np.where(after.any(axis=1), place[rows, back] - at, 0)
    return Visible(np.asarray(inside.any(axis=1) & before.any(axis=1)), session, returns, place[:, -1] - at)


def _endings(visible: Visible, criterion: Criterion) -> Whole:
    """Return the index in ``OUTCOMES`` of how each planted rupture truly ends, by the criterion's own window."""
    repaired = (visible.returns > 0) & ((visible.returns <= criterion.window) | criterion.late_repair)
    return np.where(repaired, 0, np.where(visible.followed >= criterion.window, 1, 2))


def _told(found: Detection, session: Whole, sessions: int) -> Whole:
    """Return how the episode ended that begins in each client's session, or else in the one after or before it; -1 for none."""
    at = np.full((len(session), sessions + 2), -1)  # a column a session, and one before and after them
    at[found.kept[found.episodes.group], found.series.sessions[found.episodes.onset] + 1] = found.episodes.outcome
    same, after, before = (at[np.arange(len(session)), session + place] for place in (1, 2, 0))
    return np.where(same >= 0, same, np.where(after >= 0, after, before))


def _inside(found: Detection, sessions: int) -> Flags:
    """Return which sessions of each client lie inside an episode, (clients, sessions)."""
    inside = np.zeros((len(found.assessable), sessions), dtype=bool)
    rows, episode = found.episodes.rows()
    inside[found.kept[found.episodes.group[episode]], found.series.sessions[rows]] = True
    return inside


def _has_theory(criterion: Criterion) -> bool:
    """Tell whether theory has the share of neighbours that drop: by own SDs, against the session before."""
    chosen = {"sd": "person", "relative_to": "previous", "baseline": None, **criterion.settings}
    plain = chosen["sd"] == "person" and chosen["relative_to"] == "previous" and chosen["baseline"] is None
    return criterion.rule is within_person_drop and plain


def _drops_less_theory(found: Detection, free: Flags) -> float:
    r"""Return drops among 100 pairs of neighbours in clients without a rupture, less those expected of independent normal noise.

    The difference of two of n values is a contrast that is free of their mean, so that
    :math:`B = (x_t - x_{t-1})^2 / 2SS \sim Beta(1/2, (n - 2)/2)` exactly, SS the sum of squares around the mean, and

    .. math:: P(x_{t-1} - x_t \ge k s) = \tfrac12 P\left(B \ge \frac{k^2}{2(n - 1)}\right)
    """
    series, signal = found.series, found.signal
    chosen = signal.assessable & free[found.kept]
    pairs, n, k = series.total(series.adjacent())[chosen], series.lengths[chosen], float(found.criterion.settings.get("k", 1.0))
    if not pairs.sum():
        return np.nan
    expected = (pairs * beta.sf(k**2 / (2 * (n - 1)), 0.5, (n - 2) / 2) / 2).sum()
    return float(100 * (series.total(signal.begins)[chosen].sum() - expected) / pairs.sum())

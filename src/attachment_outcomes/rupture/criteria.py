"""Which ruptures does each published or chosen criterion find? Presets of ``config/criteria``, run over all clients."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.config import load_criteria
from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.registry import resolve
from attachment_outcomes.rupture.episodes import OUTCOMES, PATTERNS, WINDOW, Episodes, find_episodes
from attachment_outcomes.rupture.rules.signal import Signal, unable
from attachment_outcomes.rupture.series import PLACE, Flags, Series, Whole, read_series

MIN_SESSIONS = 4  # fewer ratings give neither a spread nor a course; reviews of the methods ask for three to four
EPISODE_COLUMNS = [
    "client", "treatment_id", "criterion", "onset", "nadir", "recovered_at", "depth", "length", "duration", "pattern", "outcome",
]  # fmt: skip
WHOLE_SERIES, BASELINE, EARLIER = "whole series", "baseline", "earlier sessions"
USES = (WHOLE_SERIES, BASELINE, EARLIER)


@dataclass(frozen=True)
class Criterion:
    """A rule with its settings and with what counts as repair.

    ``reads`` names the columns of the sessions table that it judges, the first as the series' values and the others as its
    channels; the alliance rating where it names none. ``uses`` says what a session is judged by: sessions that are yet to
    come too (``whole series``), the first ones (``baseline``), or ``earlier sessions`` only.
    """

    name: str
    rule: Callable[..., Signal]
    title: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    window: int = WINDOW
    late_repair: bool = False
    min_sessions: int = MIN_SESSIONS
    verified: bool = False
    reads: tuple[str, ...] = ()
    uses: str = WHOLE_SERIES


@dataclass(frozen=True)
class Detection:
    """What a criterion finds: the series long enough for it (``kept`` of all), its signal there, and the episodes.

    ``assessable`` tells of all series, (g,), whether the criterion could be applied.
    """

    criterion: Criterion
    series: Series
    kept: Whole
    assessable: Flags
    signal: Signal
    episodes: Episodes

    def unable(self, lowest: float) -> Flags:
        """Return which of all series, (g,), are assessable and cannot show a rupture, since their limit lies below the scale."""
        flags = np.zeros(len(self.assessable), dtype=bool)
        flags[self.kept] = unable(self.series, self.signal, lowest)
        return flags


def detect_ruptures(
    sessions: pd.DataFrame,
    *,
    score: str,
    criteria: str | Iterable[str] | Mapping[str, Mapping[str, Any]] = "all",
    window: int | None = None,
    min_sessions: int | None = None,
    scale: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Find alliance ruptures and whether they were repaired.

    Parameters
    ----------
    sessions : frame
        Columns ``person_id``, ``session_number`` and ``score``, in any order of rows; with ``treatment_id`` each of a
        person's treatments is a series of its own.
    score : str
        Column of the session rating, score points, higher = better alliance. Sessions without a rating are left out.
    criteria : str, list of str or dict
        ``"all"`` presets of ``config/criteria`` whose columns are there, the name of one, several names, or presets by name
        as in those files (``rule``, ``settings``, ``episode`` and ``reads``).
    window, min_sessions : int, optional
        Replace the presets' own: rated sessions after the onset within which a return counts as repair; fewest rated
        sessions that make a client assessable.
    scale : (lowest, highest), optional
        Range of the rating, score points; ratings outside are refused. Without it, clients whose scale changes form midway
        are left out, with a warning; see :func:`attachment_outcomes.rupture.read_series`.

    Returns
    -------
    frame
        One row an episode, sorted by client, treatment, criterion (in the order asked for) and onset:

        ==============  ===========================================================================================
        client          ``person_id``
        treatment_id    missing where none was given
        criterion       name of the preset
        onset           session number at which the rupture begins; never a client's first rated session, unless it
                        was reported
        nadir           session number of the lowest score
        recovered_at    session number of the return to the pre-rupture level; missing if there was none. Where it is
                        present and the outcome is unrepaired, the return came after the window
        depth           level it fell from minus the lowest score, score points, positive; of a report, its severity
        length          sessions from the onset to the return (or to the end of the series), by session number; 0 for a
                        report that was resolved in its own session
        duration        rated sessions inside the episode
        pattern         how the scores go down and come back: one of :data:`.episodes.PATTERNS`
        outcome         repaired, unrepaired, or censored: the series ended before anybody could know
        ==============  ===========================================================================================

    Raises
    ------
    ConfigError
        If a criterion does not exist or has an impossible setting.
    DataError
        If the ratings are not usable; see :func:`attachment_outcomes.rupture.read_series`.

    Examples
    --------
    >>> ratings = pd.DataFrame({"person_id": "a", "session_number": range(1, 9), "wai": [5, 5.2, 5.1, 2, 5.2, 5, 5.1, 5]})
    >>> detect_ruptures(ratings, score="wai", criteria="within_person_drop")[["onset", "recovered_at", "outcome"]].values.tolist()
    [[4, 5, 'repaired']]
    """
    chosen = as_criteria(criteria, window=window, min_sessions=min_sessions)
    if isinstance(criteria, str) and criteria == "all":
        chosen = [c for c in chosen if set(c.reads) <= set(sessions.columns)]
    series: dict[tuple[str, ...], Series] = {}
    for criterion in chosen:
        if criterion.reads not in series:
            series[criterion.reads] = series_for(criterion, sessions, score=score, scale=scale)
            _warn_of_forms(series[criterion.reads].n_changed)
    return episodes_frame([detect(series[criterion.reads], criterion) for criterion in chosen])


def _warn_of_forms(n: int) -> None:
    if n:
        what = f"the scale seems to change form midway in {n} series, which are left out."
        warnings.warn(problem(PLACE, what, hint="give scale=(lowest, highest) if it does not."), UserWarning, stacklevel=3)


def series_for(criterion: Criterion, sessions: pd.DataFrame, *, score: str, scale: tuple[float, float] | None = None) -> Series:
    """Return the series that a criterion judges: the columns it ``reads``, or the alliance rating ``score`` on its ``scale``.

    Raises
    ------
    DataError
        If a column is absent or not usable; see :func:`attachment_outcomes.rupture.read_series`.
    """
    if not criterion.reads:
        return read_series(sessions, score=score, scale=scale)
    return read_series(sessions, score=criterion.reads[0], channels=criterion.reads[1:], report=True)


def as_criteria(
    criteria: str | Iterable[str] | Mapping[str, Mapping[str, Any]],
    *,
    window: int | None = None,
    min_sessions: int | None = None,
) -> list[Criterion]:
    """Return criteria from names or presets; see :func:`detect_ruptures`."""
    if isinstance(criteria, Mapping):
        presets = dict(criteria)
    else:
        known = load_criteria("rupture")
        names = list(known) if criteria == "all" else [criteria] if isinstance(criteria, str) else list(criteria)
        for name in names:
            if name not in known:
                what = f"no rupture criterion {name!r}; allowed: {', '.join(known)}.{did_you_mean(name, known)}"
                raise ConfigError(problem("criteria", what))
        presets = {name: known[name] for name in names}
    chosen = []
    for name, preset in presets.items():
        episode = dict(preset.get("episode", {}))
        if window is not None:
            episode["window"] = window
        if min_sessions is not None:
            episode["min_sessions"] = min_sessions
        chosen.append(_criterion(name, preset, episode))
    return chosen


def _criterion(name: str, preset: Mapping[str, Any], episode: Mapping[str, Any]) -> Criterion:
    rule, settings = resolve(preset["rule"]), dict(preset.get("settings", {}))
    for what, found, allowed in (
        ("settings", settings, list(inspect.signature(rule).parameters)[1:]),
        ("episode", episode, ["window", "late_repair", "min_sessions"]),
    ):
        for key in found:
            if key not in allowed:
                what_wrong = f"unknown key {key!r}; allowed: {', '.join(allowed)}.{did_you_mean(key, allowed)}"
                raise ConfigError(problem(f"criterion {name}, {what}", what_wrong))
    reads, uses = tuple(preset.get("reads", ())), str(preset.get("uses", WHOLE_SERIES))
    if uses not in USES:
        what = f"found {uses!r}; allowed: {', '.join(USES)}.{did_you_mean(uses, USES)}"
        raise ConfigError(problem(f"criterion {name}, key uses", what))
    title, verified = str(preset.get("title", name)), bool(preset.get("verified"))
    return Criterion(name, rule, title=title, settings=settings, verified=verified, reads=reads, uses=uses, **episode)


def detect(series: Series, criterion: Criterion) -> Detection:
    """Apply one criterion to all series that are long enough for it."""
    chosen, kept = series.at_least(criterion.min_sessions)
    signal = criterion.rule(chosen, **criterion.settings)
    episodes = find_episodes(chosen, signal, window=criterion.window, late_repair=criterion.late_repair)
    assessable = np.zeros(len(series.lengths), dtype=bool)
    assessable[kept[signal.assessable]] = True
    return Detection(criterion, chosen, kept, assessable, signal, episodes)


def episodes_frame(detections: Iterable[Detection]) -> pd.DataFrame:
    """Return the episodes of several criteria as one table, columns ``EPISODE_COLUMNS``, sorted."""
    parts = [_episodes_part(position, found) for position, found in enumerate(detections)]
    if not parts:
        parts = [pd.DataFrame(columns=[*EPISODE_COLUMNS, "_series", "_criterion"])]
    frame = pd.concat(parts, ignore_index=True)
    frame = frame.sort_values(["_series", "_criterion"], kind="stable", ignore_index=True)[EPISODE_COLUMNS]
    words = ["client", "treatment_id", "criterion", "pattern", "outcome"]
    whole = ["onset", "nadir", "recovered_at", "length", "duration"]
    return frame.astype({**dict.fromkeys(words, "str"), **dict.fromkeys(whole, "Int64"), "depth": "float64"})


def _episodes_part(position: int, found: Detection) -> pd.DataFrame:
    series, episodes = found.series, found.episodes
    sessions = np.append(series.sessions, 0)  # the end of the last series lies one past the rows
    clients = series.clients.iloc[episodes.group].reset_index(drop=True)
    onset, back = sessions[episodes.onset], sessions[episodes.back]
    return pd.DataFrame(
        {
            "client": clients["client"],
            "treatment_id": clients["treatment_id"],
            "criterion": _words([found.criterion.name], np.zeros(len(onset), dtype=np.int64)),
            "onset": onset,
            "nadir": sessions[episodes.nadir],
            "recovered_at": pd.arrays.IntegerArray(back, ~episodes.returned),
            "depth": episodes.depth,
            "length": np.where(episodes.returned, back - onset, sessions[episodes.end - 1] - onset + 1),
            "duration": episodes.duration,
            "pattern": _words(PATTERNS, episodes.pattern),
            "outcome": _words(OUTCOMES, episodes.outcome),
            "_series": found.kept[episodes.group],
            "_criterion": position,
        }
    )


def _words(words: Sequence[str], which: Whole) -> pd.Series:
    """Return the words that numbers stand for; taken from a column of words, since millions of strings are slow to make one of."""
    return pd.Series(pd.array(list(words), dtype="str").take(which))

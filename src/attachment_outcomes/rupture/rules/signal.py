"""What does a rule say of each session? The signal that all rules give, from which :mod:`..episodes` makes episodes.

A rule is a plain function ``rule(series, **settings) -> Signal``.

Vocabulary
----------
centre     level a session is expected at
limit      lower limit; what counts as below it is the rule's business
level      score (or deviation) that the alliance fell from; depth is counted from it
target     level at which the rupture is repaired
baseline   first rated sessions, where a rule takes its limits from these instead of the whole series
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.rupture.series import Flags, Numbers, Series


@dataclass(frozen=True)
class Signal:
    """What a rule says about each session.

    Attributes
    ----------
    begins : (n,) bool array
        A rupture may begin here. A rating cannot have fallen at the first session of a series; a report can name a rupture
        there.
    center, limit : (n,) float arrays
        Expected level and lower limit of the score, score points; NaN where the rule has none.
    position : (n,) float array
        The score on the scale on which repair and depth are judged (the score, or its deviation from a trend).
    level, target : (n,) float arrays
        On that scale: for a rupture that begins here, the level it fell from and the level that repairs it.
    assessable : (g,) bool array
        The series has enough for the rule.
    returns : (n,) bool array, optional
        The session itself says that a rupture is repaired; the target then plays no part.
    same_session : bool
        The session of the onset may be the one that repairs it.
    lasts : bool
        A rupture lasts until it is repaired. Without it, one that is not repaired within the window is over after the
        window: reports of later sessions are about other ruptures.
    at_limit : bool
        A score on the limit counts as a rupture.
    scores : (n,) float array, optional
        On which the lowest session of a rupture and its depth are read, where that is not ``position``.
    """

    begins: Flags
    center: Numbers
    limit: Numbers
    position: Numbers
    level: Numbers
    target: Numbers
    assessable: Flags
    returns: Flags | None = None
    same_session: bool = False
    lasts: bool = True
    at_limit: bool = False
    scores: Numbers | None = None


def unable(series: Series, signal: Signal, lowest: float) -> Flags:
    """Return which assessable series, (g,), cannot show a rupture: their limit never lies above the scale's lowest score.

    Series of a rule without limits are never flagged.
    """
    limit = signal.limit
    above = limit >= lowest if signal.at_limit else limit > lowest
    known = series.total(~np.isnan(limit)) > 0
    return np.asarray(signal.assessable & known & (series.total(above) == 0))


def same(value: float, series: Series) -> Numbers:
    """Return one number for all rows, without a copy a row."""
    return np.broadcast_to(np.float64(value), (len(series.values),))


def check(fine: bool, key: str, found: object, allowed: str) -> None:
    """Refuse an impossible setting.

    Raises
    ------
    ConfigError
        If it is not fine.
    """
    if not fine:
        raise ConfigError(problem(f"rupture criterion, setting {key}", f"found {found!r}; allowed: {allowed}."))


def check_baseline(baseline: int | None) -> None:
    """Refuse a baseline too short to tell a spread."""
    check(baseline is None or baseline >= 3, "baseline", baseline, "3 or more sessions, or nothing")


def one_of(key: str, found: str, allowed: tuple[str, ...]) -> None:
    """Refuse an unknown word, with a suggestion."""
    check(found in allowed, key, found, f"{', '.join(allowed)}{did_you_mean(found, allowed)}")

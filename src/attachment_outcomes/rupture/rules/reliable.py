"""Has the score fallen by more than measurement error would explain?"""

from __future__ import annotations

import math

import numpy as np

from attachment_outcomes.errors import ConfigError, problem
from attachment_outcomes.rupture.rules.drops import drops
from attachment_outcomes.rupture.rules.signal import Signal, check
from attachment_outcomes.rupture.series import Series


def reliable_drop(
    series: Series,
    *,
    reliability: float | None = None,
    sd: float | None = None,
    sem: float | None = None,
    z: float = 1.96,
    tolerance: float = 1.0,
    relative_to: str = "previous",
    max_gap: int = 1,
) -> Signal:
    r"""Drop beyond measurement error, as the reliable change index has it; repaired once the score is back within one error.

    .. math:: x_{\text{before}} - x_t \ge z\sqrt{2}\,SEM, \qquad SEM = s\sqrt{1 - r}, \qquad
        \text{repaired: } x_{t+j} \ge x_{\text{before}} - c\,SEM

    Parameters
    ----------
    series : Series
        Ratings, higher = better alliance.
    reliability : float
        r, internal consistency of the rating, between 0 and 1.
    sd : float, optional
        s, SD of the rating between persons, score points; that of the clients' first ratings (ddof = 1) without it.
    sem : float, optional
        SEM itself, score points, in place of ``reliability`` and ``sd``.
    z : float
        Quantile of the normal distribution.
    tolerance : float
        c: how far below the level it fell from a score may stay and count as repaired, in SEM.
    relative_to : {"previous", "decline"}
        As in :func:`within_person_drop`.
    max_gap : int
        Neighbours further apart in session number are not compared.

    Returns
    -------
    Signal
        The same drop in score points for everybody, unlike rules that go by the person's own SD. Nobody is assessable where
        the SD is to come from the sample and fewer than two clients, or clients that all began alike, give none.

    Raises
    ------
    ConfigError
        If a setting is impossible, or neither ``reliability`` nor ``sem`` is given.

    References
    ----------
    Jacobson, N. S., & Truax, P. (1991). J. Consulting and Clinical Psychology, 59(1), 12-19.
    """
    check(z > 0, "z", z, "above 0")
    check(0 <= tolerance < z * math.sqrt(2), "tolerance", tolerance, "0 up to below z times the root of 2")
    if (reliability is None) == (sem is None):
        raise ConfigError(problem("reliable_drop", "give either reliability or sem."))
    if sem is None:
        check(0 < float(reliability or 0) < 1, "reliability", reliability, "between 0 and 1")
        check(sd is None or sd > 0, "sd", sd, "above 0, or nothing")
        sem = (_first_sd(series) if sd is None else sd) * math.sqrt(1 - float(reliability or 0))
    else:
        check(sem > 0, "sem", sem, "above 0")
    known = np.full(len(series.lengths), sem > 0)
    spread = np.full(len(series.lengths), sem)
    return drops(series, spread, known, known & (series.lengths > 0), z * math.sqrt(2), tolerance, relative_to, None, max_gap)


def _first_sd(series: Series) -> float:
    """Return the SD of the clients' first ratings; NaN below two clients."""
    first = series.values[series.starts[:-1][series.lengths > 0]]
    return float(first.std(ddof=1)) if len(first) > 1 else math.nan

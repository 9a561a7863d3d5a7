r"""Who improves by a jump from one session to the next, does it last, and how many jumps would noise alone show?

Vocabulary
----------
interval      from session n to session n + 1
gain          an interval that meets the three criteria of Tang & DeRubeis (1999): large, large for the level before, and large
              beside the fluctuation of the three sessions before and the three after
loss          the same for the worse
available     an interval of which every criterion in use can be judged: both scores, and two of three on either side
reversal      half of a gain's magnitude is lost again at any later session
expected      gains in series made of the people's own trends and noise with their own autocorrelation, without any gain
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.proportions import cluster_codes, robust_variance

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

PERCENT = 0.25  # of the score before: Tang & DeRubeis (1999), criterion 2
ALPHA = 0.05  # two-sided; gives their 2.776 with three sessions on either side
REVERSED = 0.5  # of the gain: Tang & DeRubeis (1999)
SIDE = 3  # sessions before and after
LEAST = 2  # of them with a score


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What counts as a sudden gain; None switches a criterion off.

    ``cutoff``        1: least drop, score points; often :func:`cutoff_from` reliability and SD
    ``percent``       2: least drop as a share of the score before, counted from the scale's ``minimum``
    ``third``         3: ``published``: the difference of the two means exceeds t times the pooled SD, as printed and used since;
                      ``student``: t times the standard error of that difference, which is the t test it is called after
    ``alpha``         two-sided level of t
    ``first_session`` whether the first interval counts although only one session is before it (Stiles et al., 2003)
    ``settle``        whether an interval that fails a criterion is judged "no gain" although another criterion cannot be judged.
                      Off by default: such an interval could never have been a gain, so counting it makes gains look rarer.
    ``losses``        ``mirrored``: a rise of at least ``percent`` of the score before; ``any rise``: criterion 2 as in the R
                      package suddengains, which every rise meets
    """

    cutoff: float | None
    percent: float | None = PERCENT
    third: Literal["published", "student"] | None = "published"
    alpha: float = ALPHA
    first_session: bool = False
    settle: bool = False
    losses: Literal["mirrored", "any rise"] = "mirrored"

    def __post_init__(self) -> None:
        """Refuse a rule that says nothing or is impossible.

        Raises
        ------
        StatisticsError
            If no criterion is on, or a number or word is not allowed.
        """
        if self.cutoff is None and self.percent is None and self.third is None:
            raise StatisticsError(problem("sudden gains", "no criterion is on.", hint="give a cutoff, a percentage or a test."))
        if self.cutoff is not None and not (math.isfinite(self.cutoff) and self.cutoff > 0):
            raise StatisticsError(problem("sudden gains", f"found cutoff {self.cutoff}; allowed: score points above 0."))
        if self.percent is not None and not 0 < self.percent < 1:
            raise StatisticsError(problem("sudden gains", f"found percent {self.percent}; allowed: between 0 and 1."))
        if not 0 < self.alpha < 1:
            raise StatisticsError(problem("sudden gains", f"found alpha {self.alpha}; allowed: between 0 and 1."))
        for name, value, allowed in (
            ("third criterion", self.third, ("published", "student", None)),
            ("losses", self.losses, ("mirrored", "any rise")),
        ):
            if value not in allowed:
                words = [w for w in allowed if w]
                what = f"found {name} {value!r}; allowed: {', '.join(words)}.{did_you_mean(value, words)}"
                raise StatisticsError(problem("sudden gains", what))


class Found(NamedTuple):
    """By person and interval (people, sessions - 1). ``criteria`` are those of gains: 1 met, 0 not, NaN cannot be judged or off."""

    gain: Flags
    loss: Flags
    available: Flags
    criteria: Numbers


def cutoff_from(*, sd: float, reliability: float, alpha: float = ALPHA) -> float:
    r"""Return the least reliable change as criterion 1: :math:`z\,SD\sqrt{2(1 - r)}`.

    Raises
    ------
    StatisticsError
        If the SD is not above 0 or the reliability not between 0 and 1.

    Examples
    --------
    >>> round(cutoff_from(sd=10.5, reliability=0.931), 3)  # the tutorial of the R package suddengains
    7.645
    """
    if not (math.isfinite(sd) and sd > 0):
        raise StatisticsError(problem("sudden gains", f"found SD {sd}; allowed: above 0."))
    if not 0 < reliability < 1:
        raise StatisticsError(problem("sudden gains", f"found reliability {reliability}; allowed: between 0 and 1, both excluded."))
    return float(norm.ppf(1 - alpha / 2)) * sd * math.sqrt(2 * (1 - reliability))


def wide_series(series: pd.DataFrame) -> pd.DataFrame:
    """Return a series (``person_id, session_number, value``) as a row a person and a column a session, without gaps.

    Raises
    ------
    StatisticsError
        If a person has two values at one session.
    """
    if series.duplicated(["person_id", "session_number"]).any():
        raise StatisticsError(problem("sudden gains", "a person has two values at one session."))
    wide = series.pivot(index="person_id", columns="session_number", values="value").sort_index()
    if wide.empty:
        return wide
    return wide.reindex(columns=range(int(wide.columns.min()), int(wide.columns.max()) + 1)).astype(float)


def find_gains(values: Any, rule: Rule, *, higher_is_better: bool = False, minimum: float = 0.0) -> Found:
    r"""Judge every interval of every series at once.

    With :math:`x_n` before, :math:`x_{n+1}` after, and means and SDs of up to three scores on either side:

    .. math::

        (1)\ x_n - x_{n+1} \ge c, \quad (2)\ x_n - x_{n+1} \ge 0.25\,(x_n - min), \quad
        (3)\ \bar x_{pre} - \bar x_{post} > t_{df}\, s_p\,[\sqrt{1/n_{pre} + 1/n_{post}}], \quad
        s_p^2 = \frac{(n_{pre}-1) s_{pre}^2 + (n_{post}-1) s_{post}^2}{n_{pre} + n_{post} - 2}

    with df = n_pre + n_post - 2. The factor in brackets belongs to ``third="student"``; the published rule has none.

    Parameters
    ----------
    values : (people, sessions) floats
        Scores by consecutive session, NaN where missing. A first column with an assessment before session 1 makes the
        interval 1 to 2 one like all others.
    rule
        The criteria.
    higher_is_better
        Whether a gain is a rise. Criterion 2 stays a share of the score before.
    minimum
        Lowest score of the scale, so that a percentage has a zero to start from.

    Raises
    ------
    StatisticsError
        If values are no table of numbers with at least three sessions, or a score is below ``minimum``.

    References
    ----------
    Tang, T. Z., & DeRubeis, R. J. (1999). JCCP, 67, 894-904. Stiles, W. B., et al. (2003). JCCP, 71, 14-21. Lutz, W., et al.
    (2013). Psychotherapy Research, 23, 14-24 (t adjusted to missing sessions). Wiedemann, M., et al. (2020). PLOS ONE, 15,
    e0230276 (suddengains).
    """
    x = np.asarray(values, dtype=float)
    if x.ndim != 2 or x.shape[1] < LEAST + 1:
        raise StatisticsError(
            problem("sudden gains", f"found series of shape {x.shape}; allowed: people by three sessions or more.")
        )
    if (x < minimum).any():
        hint = "say what the lowest possible score is (minimum)."
        raise StatisticsError(problem("sudden gains", f"a score is below the scale's minimum {minimum:g}.", hint=hint))
    better = x if not higher_is_better else -x
    drop = better[:, :-1] - better[:, 1:]
    level = rule.percent * (x[:, :-1] - minimum) if rule.percent is not None else np.full_like(drop, np.nan)
    third = _third(better, rule)
    known = ~np.isnan(drop)
    parts = []
    for sign in (1.0, -1.0):
        moved = sign * drop
        # Every rise meets the R package's second criterion for losses: the drop is at most a quarter of the level.
        second = -moved <= level if sign < 0 and rule.losses == "any rise" else moved >= level
        rows = np.full((3, *drop.shape), np.nan)
        if rule.cutoff is not None:
            rows[0] = np.where(known, moved >= rule.cutoff, np.nan)
        if rule.percent is not None:
            rows[1] = np.where(known, second, np.nan)
        if third is not None:
            rows[2] = np.where(np.isnan(third[0]), np.nan, sign * third[0] > third[1])
        parts.append(rows)
    on = np.array([rule.cutoff is not None, rule.percent is not None, rule.third is not None])
    counted = _inner(drop, rule)
    judged = known & ~np.isnan(parts[0][on]).any(axis=0) & counted
    gain, loss = (judged & (rows[on] == 1).all(axis=0) for rows in parts)
    failed = (parts[0][on] == 0).any(axis=0)
    available = judged | (rule.settle & known & failed & counted)
    return Found(gain, loss, available, np.where(counted, parts[0], np.nan))


def _inner(drop: Numbers, rule: Rule) -> Flags:
    """Tell which intervals have enough sessions on either side, whether or not there are scores."""
    n = drop.shape[1]
    counted = np.ones(n, dtype=bool)
    if not rule.first_session:
        counted[0] = False
    counted[-1] = False
    return np.broadcast_to(counted, drop.shape)


def _third(x: Numbers, rule: Rule) -> tuple[Numbers, Numbers] | None:
    """Return the difference of the means before and after each interval, and what it must exceed."""
    if rule.third is None:
        return None
    people, sessions = x.shape
    edge = np.full((people, SIDE - 1), np.nan)
    padded = np.hstack([edge, x, edge])
    windows = [padded[:, k : k + sessions + 1 + (SIDE - 1) - 1] for k in range(SIDE)]  # of three from two before the first on
    there = [~np.isnan(w) for w in windows]
    n = sum(w.astype(np.int64) for w in there)
    total = sum(np.where(t, w, 0.0) for t, w in zip(there, windows, strict=True))
    # From pairwise differences, so that equal scores have no spread at all.
    spread = sum(np.nan_to_num((windows[i] - windows[j]) ** 2) for i, j in ((0, 1), (0, 2), (1, 2)))
    squares = np.divide(spread, n, out=np.zeros_like(total), where=n > 0)
    mean = np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0)
    # Window j ends at session j; the one that begins at session j + 1 is number j + 3.
    before, after = slice(0, sessions - 1), slice(SIDE, SIDE + sessions - 1)
    n1, n2 = n[:, before], n[:, after]
    least = np.full(sessions - 1, LEAST)
    if rule.first_session:
        least[0] = 1
    df = n1 + n2 - 2
    enough = (n1 >= least) & (n2 >= LEAST) & (df > 0)
    sd = np.sqrt((squares[:, before] + squares[:, after]) / np.maximum(df, 1))
    critical = np.array([np.nan, *student.ppf(1 - rule.alpha / 2, np.arange(1, 2 * SIDE - 1))])
    limit = critical[np.clip(df, 0, 2 * SIDE - 2)] * sd
    if rule.third == "student":
        limit = limit * np.sqrt(1 / np.maximum(n1, 1) + 1 / np.maximum(n2, 1))
    return np.where(enough, mean[:, before] - mean[:, after], np.nan), limit


def describe_gains(values: Any, happened: Flags, *, higher_is_better: bool = False, strictly: bool = False) -> pd.DataFrame:
    """Return a row a gain (or loss): ``row, interval`` (numbers from 0), ``magnitude, change, proportion, reversed``.

    Parameters
    ----------
    values : (people, sessions) floats
        As in :func:`find_gains`.
    happened : (people, sessions - 1) booleans
        Gains, or losses, of :func:`find_gains`.
    higher_is_better
        Whether a gain is a rise.
    strictly
        Whether a reversal loses *more than* half (as the R package counts), instead of half or more.

    Returns
    -------
    DataFrame
        ``magnitude`` in score points, positive for gains and negative for losses; ``change`` from the first to the last score
        of the series, positive for the better; ``proportion`` magnitude / change, NaN without change; ``reversed`` whether half of
        it was undone at any later session.
    """
    x = np.asarray(values, dtype=float) * (-1.0 if higher_is_better else 1.0)
    row, interval = np.nonzero(happened)
    magnitude = x[row, interval] - x[row, interval + 1]
    sign = np.where(magnitude >= 0, 1.0, -1.0)
    # The highest (for losses the lowest) score after the session that follows the interval.
    missing = np.full((len(x), 1), -np.inf)
    highest = np.hstack([np.maximum.accumulate(np.where(np.isnan(x), -np.inf, x)[:, ::-1], axis=1)[:, ::-1], missing])
    lowest = -np.hstack([np.maximum.accumulate(np.where(np.isnan(x), -np.inf, -x)[:, ::-1], axis=1)[:, ::-1], missing])
    later = np.where(sign > 0, highest[row, interval + 2], lowest[row, interval + 2])
    undone = sign * (later - x[row, interval + 1])
    limit = REVERSED * np.abs(magnitude)
    seen = ~np.isnan(x)
    first, last = seen.argmax(axis=1), x.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    change = x[row, first[row]] - x[row, last[row]]
    return pd.DataFrame(
        {
            "row": row.astype("int64"), "interval": interval.astype("int64"), "magnitude": magnitude, "change": change,
            "proportion": np.divide(magnitude, change, out=np.full(len(row), np.nan), where=change != 0),
            "reversed": (undone > limit) if strictly else (undone >= limit),
        }
    )  # fmt: skip


def interval_counts(found: Found, sessions: Any) -> pd.DataFrame:
    """Return ``interval, session, n_gains, n_losses, n_available`` of each interval between two sessions."""
    numbers = [int(s) for s in sessions]
    out = pd.DataFrame(
        {
            "interval": [f"{a} to {b}" for a, b in pairwise(numbers)], "session": numbers[:-1],
            "n_gains": found.gain.sum(axis=0), "n_losses": found.loss.sum(axis=0), "n_available": found.available.sum(axis=0),
        }
    )  # fmt: skip
    return out[out["n_available"] > 0].reset_index(drop=True)


def gain_profile(values: Any, gain: Flags, *, clusters: Any = None, ci_level: float = 0.95) -> pd.DataFrame:
    """Return the mean course around gains: offsets -3 to -1 are the sessions up to n, 1 to 3 those from n + 1 on.

    The interval allows for several gains of a person (or of a therapist's clients, if ``clusters`` gives one label a row).
    """
    x = np.asarray(values, dtype=float)
    row, interval = np.nonzero(gain)
    codes = cluster_codes(np.arange(len(x)) if clusters is None else clusters, n=len(x))
    rows = []
    for offset in (-3, -2, -1, 1, 2, 3):
        place = interval + offset + (1 if offset < 0 else 0)
        inside = (place >= 0) & (place < x.shape[1])
        scores = np.where(inside, x[row, np.clip(place, 0, x.shape[1] - 1)], np.nan)
        kept = ~np.isnan(scores)
        y, of = scores[kept], codes[row[kept]]
        mean = float(y.mean()) if len(y) else math.nan
        half = math.nan
        if len(np.unique(of)) > 1:
            variance, df = robust_variance(y - mean, np.unique(of, return_inverse=True)[1])
            half = float(student.ppf(0.5 + ci_level / 2, df)) * math.sqrt(variance)
        rows.append({"offset": offset, "mean": mean, "ci_low": mean - half, "ci_high": mean + half, "n": len(y)})
    return pd.DataFrame(rows)

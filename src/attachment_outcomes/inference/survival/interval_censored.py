r"""When did it happen, if it is only known between which two visits? Turnbull's estimate for interval-censored times.

Vocabulary
----------
left, right        the event was after ``left`` and not after ``right``; right is infinite for those in whom it was not seen, and
                   equal to left where the time is known exactly
innermost interval where mass can be: from a left end to a right end with no other end in between
gap                of the Karush-Kuhn-Tucker conditions; the log likelihood is at most this much short of the highest possible
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import as_numbers, check_generator, cluster_codes
from attachment_outcomes.inference.survival.curves import ROUNDING, Codes, Labels, Numbers, few

REPLICATES = 499
MOST_GAP = 1e-9  # in units of log likelihood: far below what any interval could show
DRAW_GAP = 1e-4  # of a bootstrap sample: a thousandth of what half a standard error is worth
GAP_A_PERSON = 3e-12  # sums over many people are known to so many digits only
EM_STEPS = 20  # before Newton steps: enough to be near
NEWTON_STEPS = 100
MOST_EM = 20_000
MOST_INTERVALS = 300  # innermost ones; beyond it EM steps only, which need no table of who covers what
NEGLIGIBLE = 1e-12
FRESH = 1e-3  # spread evenly over all innermost intervals at the start: an EM step can never bring back what is 0
EXACT, CLOSED, OPEN = 0, 1, 2  # how an end sorts at its time: before an exact time, a right end, a left end


class _Design(NamedTuple):
    """Which innermost intervals, from ``first`` to before ``last``, a kind of observation covers; ``of``: each person's kind."""

    left: Numbers
    right: Numbers
    first: Codes
    last: Codes
    of: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Turnbull:
    """Mass on the innermost intervals (left, right]; an exact time has left equal to right.

    Where in an interval the mass lies cannot be known. ``gap`` proves the fit: no distribution has a log likelihood more than
    this above ``log_likelihood``.
    """

    left: Numbers
    right: Numbers
    mass: Numbers
    log_likelihood: float
    gap: float
    converged: bool
    iterations: int
    n: int

    def at(self, times: ArrayLike) -> pd.DataFrame:
        """Return ``time, low, high``: the lowest and highest share with the event by a time that the estimate allows.

        They differ only inside an innermost interval.
        """
        t = np.atleast_1d(np.asarray(times, dtype=float))
        low = (self.mass * (self.right <= t[:, None])).sum(axis=1)
        begun = np.where(self.left == self.right, self.left <= t[:, None], self.left < t[:, None])
        return pd.DataFrame({"time": t, "low": low, "high": (self.mass * begun).sum(axis=1)})


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnbullCurve:
    """The share with the event by each time (at the end of innermost intervals) with its bootstrap interval."""

    time: Numbers
    estimate: Numbers
    std_error: Numbers
    ci_low: Numbers
    ci_high: Numbers
    ci_level: float
    fit: Turnbull
    n: int
    n_clusters: float
    replicates: int
    method: str
    note: str = ""


def turnbull(left: ArrayLike, right: ArrayLike, *, weights: ArrayLike | None = None) -> Turnbull:
    r"""Return the nonparametric maximum-likelihood estimate of when an event happens that is seen at visits only.

    .. math:: \max_p \sum_i w_i \log \sum_j \alpha_{ij} p_j, \quad \sum_j p_j = 1,\ p \ge 0

    with :math:`\alpha_{ij} = 1` if innermost interval j lies in observation i. Self-consistent (EM) steps
    :math:`p_j \leftarrow p_j D_j / n`, :math:`D_j = \sum_i w_i \alpha_{ij} / \sum_k \alpha_{ik} p_k`, then Newton steps under
    :math:`p \ge 0`. At the maximum :math:`D_j \le n` everywhere; since the log likelihood is concave,
    :math:`\max_j D_j - n` bounds what is missing, and is reported as ``gap``.

    Parameters
    ----------
    left : (n,) floats
        Last time without the event, 0 or more.
    right : (n,) floats
        First time with it; infinite if it was not seen.
    weights : (n,) floats, optional
        How often each row counts.

    Raises
    ------
    StatisticsError
        If there is nobody, an end is missing, ``left`` is below 0 or infinite, ``right`` is before ``left``, or weights are
        negative or all 0.

    Notes
    -----
    Presumes that when people are seen does not depend on when it happens. Where two estimates have one likelihood (the mass
    is not unique) one of them is returned; each gives every observation the same probability.

    References
    ----------
    Turnbull, B. W. (1976). JRSS B, 38, 290-295. Gentleman, R., & Geyer, C. J. (1994). Biometrika, 81, 618-623 (the
    conditions). Wang, Y. (2008). Computational Statistics & Data Analysis, 52, 2388-2402 (the Newton steps).

    Examples
    --------
    >>> fit = turnbull([0, 1, 1, 2], [1, 2, 3, float("inf")])
    >>> fit.mass.round(3).tolist(), fit.right.tolist()
    ([0.25, 0.5, 0.25], [1.0, 2.0, inf])
    """
    lo, hi = _ends(left, right)
    design = _design(lo, hi)
    w = np.ones(len(lo)) if weights is None else as_numbers(weights, place="Turnbull", what="weights")
    if w.shape != lo.shape or not (w >= 0).all() or not w.sum() > 0:
        raise StatisticsError(problem("Turnbull", "weights are one number from 0 for each person, and not all 0."))
    mass, gap, steps = _maximum(design, np.bincount(design.of, weights=w).astype(float), None)
    covered = _covered(design, mass)[design.of]
    return Turnbull(
        left=design.left, right=design.right, mass=mass, log_likelihood=float((w[w > 0] * np.log(covered[w > 0])).sum()), gap=gap,
        converged=gap <= _allowed(float(w.sum())), iterations=steps, n=len(lo),
    )  # fmt: skip


def turnbull_curve(
    left: ArrayLike, right: ArrayLike, *, rng: np.random.Generator, times: ArrayLike | None = None, clusters: Labels | None = None,
    replicates: int = REPLICATES, ci_level: float = CI_LEVEL,
) -> TurnbullCurve:  # fmt: skip
    """Return Turnbull's share with the event by each time, with a bootstrap interval over people or clusters.

    Parameters
    ----------
    left, right
        As in :func:`turnbull`.
    rng
        Source of the draws.
    times : optional
        At which the share is wanted; else the right ends of the innermost intervals.
    clusters : (n,) labels, optional
        What is drawn as a whole: therapist, family or site.
    replicates
        Bootstrap samples, 99 or more.
    ci_level
        Confidence level (percentile interval).

    Raises
    ------
    StatisticsError
        As :func:`turnbull`; or if there are too few replicates, or fewer than two people or clusters.

    Notes
    -----
    Inside an innermost interval the lower of the two possible shares is given: what has happened at the latest. The bootstrap
    is right where people are seen at few occasions in common, as with planned waves; with a visit time of its own for
    everybody the estimate is not normal in the limit and the interval approximate (Sen & Xu, 2015).

    References
    ----------
    Sen, B., & Xu, G. (2015). Journal of Statistical Planning and Inference, 163, 52-69 (doi:10.1016/j.jspi.2015.01.008).
    """
    check_generator(rng, place="Turnbull")
    critical(ci_level)
    if replicates < 99:
        raise StatisticsError(problem("Turnbull", f"found {replicates} replicates; allowed: 99 or more."))
    fit = turnbull(left, right)
    lo, hi = _ends(left, right)
    design = _design(lo, hi)
    t = np.unique(fit.right[np.isfinite(fit.right)]) if times is None else np.atleast_1d(np.asarray(times, dtype=float))
    distinct = len(design.first)
    groups = math.nan
    if clusters is None:
        of_row = np.bincount(design.of, minlength=distinct).astype(float)
        drawn = rng.multinomial(len(lo), of_row / len(lo), size=replicates).astype(float)
    else:
        codes = cluster_codes(clusters, n=len(lo))
        groups = float(codes.max() + 1)
        table = np.zeros((int(groups), distinct))
        np.add.at(table, (codes, design.of), 1.0)
        drawn = rng.multinomial(int(groups), np.full(int(groups), 1 / groups), size=replicates).astype(float) @ table
    if (groups if clusters is not None else len(lo)) < 2:
        raise StatisticsError(problem("Turnbull", "the bootstrap needs at least two people or clusters."))
    ended = (design.right[:, None] <= t).astype(float)
    draws = np.array([_maximum(design, w, fit.mass, allowed=DRAW_GAP)[0] @ ended for w in drawn])
    tails = [0.5 - ci_level / 2, 0.5 + ci_level / 2]
    low, high = np.quantile(draws, tails, axis=0, method="weibull")  # order statistic number (R + 1)p
    note = "; ".join(filter(None, [few(groups), "" if fit.converged else f"not converged: {fit.gap:.2g} short in log likelihood"]))
    return TurnbullCurve(
        time=t, estimate=fit.mass @ ended, std_error=draws.std(axis=0, ddof=1), ci_low=low, ci_high=high, ci_level=ci_level,
        fit=fit, n=len(lo), n_clusters=groups, replicates=replicates, note=note,
        method=f"Turnbull, bootstrap of {'people' if clusters is None else 'clusters'}, percentile, {replicates} replicates",
    )  # fmt: skip


def _ends(left: object, right: object) -> tuple[Numbers, Numbers]:
    lo, hi = (as_numbers(x, place="Turnbull", what="ends of intervals") for x in (left, right))
    if lo.ndim != 1 or lo.shape != hi.shape or not len(lo):
        raise StatisticsError(problem("Turnbull", f"found {lo.shape} left and {hi.shape} right ends; allowed: one pair a person."))
    wrong = int((~np.isfinite(lo) | (lo < 0) | np.isnan(hi)).sum())
    if wrong:
        raise StatisticsError(problem("Turnbull", f"{wrong} left ends are missing, infinite or below 0, or right ends missing."))
    if (hi < lo).any():
        raise StatisticsError(problem("Turnbull", f"{int((hi < lo).sum())} right ends are before their left ends."))
    return lo, hi


def _design(left: Numbers, right: Numbers) -> _Design:
    distinct, of = np.unique(np.column_stack([left, right]), axis=0, return_inverse=True)
    lo, hi = distinct.T
    values = np.unique(distinct)
    # An end is a place on one line: its time, and at one time an exact one before right ends before left ends.
    start = 3 * np.searchsorted(values, lo) + np.where(lo == hi, EXACT, OPEN)
    stop = 3 * np.searchsorted(values, hi) + CLOSED
    starts, stops = np.unique(start), np.unique(stop)
    following = np.searchsorted(starts, stops, side="left") - 1  # the last left end before each right end
    paired = pd.DataFrame({"start": following, "stop": stops}).drop_duplicates("start")  # with the first right end after it
    begin, end = starts[paired["start"]], paired["stop"].to_numpy()
    first = np.searchsorted(begin, start, side="left")
    last = np.searchsorted(end, stop, side="right")
    # What covers the same innermost intervals says the same, whatever its own ends.
    kinds, kind = np.unique(first * (len(begin) + 1) + last, return_inverse=True)
    return _Design(values[begin // 3], values[end // 3], kinds // (len(begin) + 1), kinds % (len(begin) + 1), kind[of.ravel()])


def _covered(design: _Design, mass: Numbers) -> Numbers:
    total = np.concatenate([[0.0], np.cumsum(mass)])
    return np.asarray(np.maximum(total[design.last] - total[design.first], np.finfo(float).tiny))


def _gradient(design: _Design, weights: Numbers, covered: Numbers) -> Numbers:
    """Return D_j, from what each observation adds over the range that it covers."""
    each = weights / covered
    size = len(design.left) + 1
    steps = np.bincount(design.first, weights=each, minlength=size) - np.bincount(design.last, weights=each, minlength=size)
    return np.asarray(np.cumsum(steps)[:-1])


def _allowed(n: float) -> float:
    """Return the gap that counts as none; sums of many terms are known to so many digits only."""
    return max(MOST_GAP, GAP_A_PERSON * n)


def _maximum(
    design: _Design, weights: Numbers, start: Numbers | None, *, allowed: float | None = None
) -> tuple[Numbers, float, int]:
    """Return the mass, the gap and the number of steps."""
    n, size = float(weights.sum()), len(design.left)
    allowed = _allowed(n) if allowed is None else allowed
    used = weights > 0
    design, weights = design._replace(first=design.first[used], last=design.last[used]), weights[used]
    mass = np.full(size, 1 / size) if start is None else (1 - FRESH) * start + FRESH / size
    dense = size <= MOST_INTERVALS
    steps = 0
    for steps in range(1, (EM_STEPS if dense else MOST_EM) + 1):
        slope = _gradient(design, weights, _covered(design, mass))
        if slope.max() - n <= allowed:
            return mass / mass.sum(), float(max(slope.max() - n, 0.0)), steps
        mass = mass * slope / n
    if dense:
        mass, more = _newton(design, weights, mass / mass.sum(), allowed)
        steps += more
    gap = float(_gradient(design, weights, _covered(design, mass)).max() - n)
    return mass, max(gap, 0.0), steps


def _newton(design: _Design, weights: Numbers, mass: Numbers, allowed: float) -> tuple[Numbers, int]:
    """Take Newton steps under p >= 0 and sum 1 on the innermost intervals that have mass or deserve some."""
    n = float(weights.sum())
    at = np.arange(len(design.left))
    root = np.sqrt(weights)
    for step in range(1, NEWTON_STEPS + 1):
        covered = _covered(design, mass)
        slope = _gradient(design, weights, covered)
        if slope.max() - n <= allowed:
            return mass, step
        support = np.flatnonzero((mass > NEGLIGIBLE) | (slope > n * (1 - 1e-6)))
        inside = (design.first[:, None] <= at[support]) & (at[support] < design.last[:, None])
        rows = root[:, None] * (inside / covered[:, None] - 2.0)
        # The quadratic with sum 1 is least squares with one row more, scaled to sum 1 after (Wang, 2008, section 3.2).
        whole = np.vstack([rows, np.ones(len(support))])
        # With the right side as a further column, the triangle of QR holds the same problem in as many rows as columns.
        triangle = np.linalg.qr(np.column_stack([whole, np.append(np.zeros(len(rows)), 1.0)]), mode="r")
        aim, _ = nnls(np.asarray(triangle)[:, :-1], np.asarray(triangle)[:, -1])
        wanted = np.zeros(len(mass))
        wanted[support] = aim / aim.sum()
        value, direction = float((weights * np.log(covered)).sum()), float(slope @ (wanted - mass))
        share, slack = 1.0, ROUNDING * abs(value)  # near the maximum a step gains less than the sum can show
        while share > 1e-10:
            tried = mass + share * (wanted - mass)
            if float((weights * np.log(_covered(design, tried))).sum()) >= value + share * max(direction, 0.0) / 3 - slack:
                break
            share /= 2
        else:
            return mass, step
        mass = tried
    return mass, NEWTON_STEPS

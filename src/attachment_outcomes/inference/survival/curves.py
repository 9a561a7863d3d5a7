r"""What share has had an event by each time? Kaplan-Meier, and Aalen-Johansen where another event can come first.

Vocabulary
----------
time         from a common start to the event or, if it was not seen, to the last time at which it could have been (censored)
cause        0 censored, 1 the event, 2 and more events that come in its place (competing)
at risk      those whose time is not before t: somebody censored at t is at risk at t
incidence    share who had an event of one cause by t: the competing ones keep people from it for ever, censoring does not
influence    what one person more would move the curve by: the variance between clusters is that of their summed influences

One pass over the sorted times gives curve and variance, so that a million people take about a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import FEW_CLUSTERS, as_numbers, cluster_codes

Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]
Labels = ArrayLike | pd.Series

ROUNDING = 1e-12  # a sum of shares that ends at 1 may stop short of it by this
SURE = 1e-7  # its root: a standard error below it is none
CELLS = 5_000_000  # clusters x times held at once


class Counts(NamedTuple):
    """Distinct times (T,), each person's place among them (n,), events by cause (K, T), leaving (T,) and at risk (T,)."""

    times: Numbers
    place: Codes
    events: Numbers
    leaving: Numbers
    at_risk: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A step function of time with its pointwise interval; before the first time it is ``start``.

    ``n_at_risk``, ``n_event`` and ``n_censored`` are people at each time. ``n_clusters`` is NaN where people were taken as
    independent.
    """

    time: Numbers
    estimate: Numbers
    std_error: Numbers
    ci_low: Numbers
    ci_high: Numbers
    n_at_risk: Numbers
    n_event: Numbers
    n_censored: Numbers
    start: float
    ci_level: float
    n: int
    n_clusters: float
    method: str
    note: str = ""

    def at(self, times: ArrayLike) -> pd.DataFrame:
        """Return ``time, estimate, std_error, ci_low, ci_high, n_at_risk`` at any times.

        After the last time with anybody at risk the last value stands, and ``n_at_risk`` is 0.
        """
        asked = np.atleast_1d(np.asarray(times, dtype=float))
        step = np.searchsorted(self.time, asked, side="right") - 1
        before = {"estimate": self.start, "std_error": 0.0, "ci_low": self.start, "ci_high": self.start}
        told = {name: np.where(step < 0, value, getattr(self, name)[np.maximum(step, 0)]) for name, value in before.items()}
        later = np.searchsorted(self.time, asked, side="left")
        n_at_risk = np.append(self.n_at_risk, 0.0)[later]
        return pd.DataFrame({"time": asked, **told, "n_at_risk": n_at_risk})

    def quantile(self, share: float = 0.5) -> float:
        """Return the first time by which ``share`` of people had the event; NaN if it is not reached."""
        if not 0 < share < 1:
            raise StatisticsError(problem("quantile", f"found {share}; allowed: between 0 and 1."))
        had = np.abs(self.estimate - self.start)
        reached = np.flatnonzero(had >= share - 1e-12)
        return float(self.time[reached[0]]) if len(reached) else math.nan

    def frame(self) -> pd.DataFrame:
        """Return one row a time."""
        names = ("time", "estimate", "std_error", "ci_low", "ci_high", "n_at_risk", "n_event", "n_censored")
        return pd.DataFrame({name: getattr(self, name) for name in names})


def checked_times(time: object, cause: object, *, place: str) -> tuple[Numbers, Codes]:
    """Return times and causes as arrays.

    Raises
    ------
    StatisticsError
        If there is nobody, lengths differ, a time is missing, infinite or negative, or a cause is no whole number from 0.
    """
    t, c = as_numbers(time, place=place, what="times"), as_numbers(cause, place=place, what="events")
    if t.ndim != 1 or t.shape != c.shape or not len(t):
        raise StatisticsError(
            problem(place, f"found {t.shape} times and {c.shape} events; allowed: one for each person, at least one.")
        )
    wrong = int((~np.isfinite(t) | (t < 0)).sum())
    if wrong:
        hint = "leave out, and count, those of whom no time is known."
        raise StatisticsError(problem(place, f"{wrong} times are missing, infinite or below 0.", hint=hint))
    if not (np.isfinite(c) & (c >= 0) & (c == np.round(c))).all():
        raise StatisticsError(problem(place, "an event is no whole number from 0.", hint="0 is censored, 1 the event."))
    return t, c.astype(np.int64)


def count(time: Numbers, cause: Codes, causes: int) -> Counts:
    """Return how many had which event, left, and were at risk at each distinct time."""
    times, place = np.unique(time, return_inverse=True)
    of = np.bincount(cause * len(times) + place, minlength=(causes + 1) * len(times)).reshape(causes + 1, -1).astype(float)
    leaving = of.sum(axis=0)
    return Counts(times, place.astype(np.int64), of[1:], leaving, leaving[::-1].cumsum()[::-1])


def hazards(counts: Counts) -> tuple[Numbers, Numbers, Numbers]:
    r"""Return the hazard of each cause (K, T), that of any (T,), and :math:`S(t^-)` (T,)."""
    by_cause = counts.events / counts.at_risk
    # Counts are summed before they are divided: with all leaving by an event the hazard is exactly 1.
    whole = counts.events.sum(axis=0) / counts.at_risk
    before = np.concatenate([[1.0], np.cumprod(1 - whole)[:-1]])
    return by_cause, whole, before


class Influence(NamedTuple):
    r"""The influence of every kind of person on an incidence C(t) in closed form, so that no persons x times table is needed.

    A person who left at s by cause c has, with m = min(s, t),

    .. math:: -A(m) + C(t) B(m) + 1_{s \le t}\,[P_c(s) + C(t)\, Q_c(s)]

    A, B are (T,), P, Q (K + 1, T) with rows by cause, the first for the censored.
    """

    incidence: Numbers
    a: Numbers
    b: Numbers
    p: Numbers
    q: Numbers


def influence_of(counts: Counts, cause: int) -> Influence:
    r"""Return the parts of the influence on the incidence of a cause (from 1).

    From :math:`C(t) = \sum_{u \le t} S(u^-) h_k(u)` and :math:`dh_k(u) = (dN_{ik}(u) - Y_i(u) h_k(u)) / n(u)`:
    :math:`dC(t) = \sum_{u \le t} \{S(u^-) dh_k(u) - [C(t) - C(u)]\, dh(u) / (1 - h(u))\}`.
    """
    by_cause, whole, before = hazards(counts)
    n, own = counts.at_risk, by_cause[cause - 1]
    incidence = np.cumsum(before * own)
    # Where everybody leaves by an event nothing comes after, and C(t) - C(u) is 0.
    inverse = np.divide(1.0, 1 - whole, out=np.zeros_like(whole), where=whole < 1)
    a = np.cumsum((before * own + whole * inverse * incidence) / n)
    b = np.cumsum(whole * inverse / n)
    rows = len(counts.events) + 1
    p, q = np.zeros((rows, len(n))), np.zeros((rows, len(n)))
    p[1:] = inverse * incidence / n
    q[1:] = -inverse / n
    p[cause] += before / n
    return Influence(incidence, a, b, p, q)


def incidence_variance(counts: Counts, cause_of: Codes, found: Influence, codes: Codes | None) -> tuple[Numbers, float, float]:
    """Return the variance of an incidence at each time, and the number of clusters and degrees of freedom (NaN without)."""
    c, size = found.incidence, len(found.incidence)
    after = -found.a + c * found.b  # of somebody who is still there after t
    p, q = found.p - found.a, found.q + found.b  # of somebody who has left by t
    if codes is None:
        of = np.vstack([counts.leaving - counts.events.sum(axis=0), counts.events])
        pp, pq, qq = (np.cumsum((of * x).sum(axis=0)) for x in (p * p, p * q, q * q))
        left = np.cumsum(counts.leaving)
        return pp + 2 * c * pq + c * c * qq + (left[-1] - left) * after**2, math.nan, math.nan
    groups = int(codes.max()) + 1
    if groups < 2:
        raise StatisticsError(problem("survival, clusters", f"{groups} clusters; at least two are needed."))
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes))])
    total = np.zeros(size)
    for first in range(0, groups, step := max(1, CELLS // size)):
        rows = order[starts[first] : starts[min(first + step, groups)]]
        here, some = codes[rows] - first, min(step, groups - first)
        cell, place, own = here * size + counts.place[rows], counts.place[rows], cause_of[rows]

        def summed(weights: Numbers, cell: Codes = cell, some: int = some) -> Numbers:
            return np.asarray(np.bincount(cell, weights=weights, minlength=some * size).reshape(some, size).cumsum(axis=1))

        gone = summed(np.ones(len(rows)))
        moved = summed(p[own, place]) + c * summed(q[own, place]) + (gone[:, -1:] - gone) * after
        total += (moved**2).sum(axis=0)
    return groups / (groups - 1) * total, float(groups), float(groups - 1)


def quantile_of(df: float, ci_level: float) -> float:
    """Return the two-sided critical value: normal, or Student's t where there are clusters."""
    critical(ci_level)
    tail = 0.5 + ci_level / 2
    return float(norm.ppf(tail) if math.isnan(df) else student.ppf(tail, df))


def log_log(estimate: Numbers, std_error: Numbers, z: float) -> tuple[Numbers, Numbers]:
    r"""Return :math:`p^{\exp(\pm z\,SE/(p \log p))}`; where p is 0 or 1 without error the value itself, else NaN."""
    inside = (estimate > ROUNDING) & (estimate < 1 - ROUNDING)
    p = np.where(inside, estimate, 0.5)
    power = np.exp(z * std_error / np.abs(p * np.log(p)))
    sure = np.where(std_error < SURE, estimate, np.nan)
    return np.where(inside, p**power, sure), np.where(inside, p ** (1 / power), sure)


def few(n_clusters: float) -> str:
    """Return what is to be said where clusters are few."""
    return f"few clusters ({n_clusters:.0f}): the interval may be too short" if n_clusters < FEW_CLUSTERS else ""


def kaplan_meier(time: ArrayLike, event: ArrayLike, *, clusters: Labels | None = None, ci_level: float = CI_LEVEL) -> Curve:
    r"""Return the Kaplan-Meier curve: the share who have *not* had the event.

    .. math:: S(t) = \prod_{u \le t} (1 - d_u / n_u), \quad \mathrm{Var} = S^2 \sum_{u \le t} \frac{d_u}{n_u (n_u - d_u)}
        \text{ (Greenwood)}, \quad S^{\exp(\pm z\,SE / (S \log S))}

    With clusters the variance is that of the summed influences of their people, times G/(G - 1), and z is Student's t on
    G - 1 degrees of freedom.

    Parameters
    ----------
    time : (n,) floats
        To the event, or to the last time at which it could have been seen.
    event : (n,) booleans or 0/1
        Whether it was seen.
    clusters : (n,) labels, optional
        Therapist, family or site; a missing label makes a person a cluster of their own.
    ci_level
        Confidence level of the pointwise interval.

    Raises
    ------
    StatisticsError
        If there is nobody, a time is missing or below 0, an event is neither 0 nor 1, or there is one cluster only.

    Notes
    -----
    Presumes that those who are censored would fare like those who stay. Somebody censored at t counts as at risk at t. Where
    nobody is left (S = 0) the interval is not defined; before the first event it has no length.

    References
    ----------
    Kaplan, E. L., & Meier, P. (1958). JASA, 53, 457-481. Kalbfleisch, J. D., & Prentice, R. L. (2002). The statistical
    analysis of failure time data, 2nd ed., section 1.4 (the log-log interval).
    """
    t, c = checked_times(time, event, place="Kaplan-Meier")
    if c.max() > 1:
        hint = "with several kinds of events use cumulative_incidence()."
        raise StatisticsError(problem("Kaplan-Meier", "an event is neither 0 nor 1.", hint=hint))
    counts = count(t, c, 1)
    d, n = counts.events[0], counts.at_risk
    survival = np.cumprod(1 - d / n)
    groups, df = math.nan, math.nan
    if clusters is None:
        terms = np.divide(d, n * (n - d), out=np.zeros_like(n), where=n > d)
        error = survival * np.sqrt(np.cumsum(terms))
        error[survival == 0] = np.nan
    else:
        codes = cluster_codes(clusters, n=len(t))
        variance, groups, df = incidence_variance(counts, c, influence_of(counts, 1), codes)
        error = np.sqrt(variance)
    low, high = log_log(survival, error, quantile_of(df, ci_level))
    return Curve(
        time=counts.times, estimate=survival, std_error=error, ci_low=low, ci_high=high, n_at_risk=n, n_event=d,
        n_censored=counts.leaving - d, start=1.0, ci_level=ci_level, n=len(t), n_clusters=groups, note=few(groups),
        method="Kaplan-Meier, log-log interval" + ("" if clusters is None else ", cluster-robust"),
    )  # fmt: skip


def cumulative_incidence(
    time: ArrayLike, cause: ArrayLike, *, causes: int | None = None, clusters: Labels | None = None, ci_level: float = CI_LEVEL
) -> list[Curve]:
    r"""Return the Aalen-Johansen cumulative incidence of each cause: the share who have had *this* event by t.

    .. math:: C_k(t) = \sum_{u \le t} S(u^-)\, d_{ku} / n_u, \qquad \sum_k C_k(t) = 1 - S(t)

    The variance is that of the influences (infinitesimal jackknife), the interval :math:`C^{\exp(\pm z\,SE/(C \log C))}`; with
    clusters as in :func:`kaplan_meier`.

    Parameters
    ----------
    time : (n,) floats
        To the first event of any cause, or to censoring.
    cause : (n,) whole numbers
        0 censored, 1 to K the causes.
    causes
        K, if not every cause may have been seen.
    clusters, ci_level
        As in :func:`kaplan_meier`.

    Returns
    -------
    list of Curve
        That of cause 1 first.

    Raises
    ------
    StatisticsError
        As :func:`kaplan_meier`; or if a cause is above ``causes``.

    References
    ----------
    Aalen, O. O., & Johansen, S. (1978). Scandinavian Journal of Statistics, 5, 141-150. Therneau, T., Crowson, C., & Atkinson,
    E. (2024). Multi-state models and competing risks (vignette of the R package survival): the variance. Choudhury, J. B.
    (2002). Statistics in Medicine, 21, 1129-1144: the interval.
    """
    t, c = checked_times(time, cause, place="cumulative incidence")
    many = max(int(c.max()), 1) if causes is None else int(causes)
    if c.max() > many or many < 1:
        raise StatisticsError(problem("cumulative incidence", f"found cause {int(c.max())}; allowed: 0 to {many}."))
    counts = count(t, c, many)
    codes = None if clusters is None else cluster_codes(clusters, n=len(t))
    out = []
    for k in range(1, many + 1):
        found = influence_of(counts, k)
        variance, groups, df = incidence_variance(counts, c, found, codes)
        error = np.sqrt(np.maximum(variance, 0.0))
        low, high = log_log(found.incidence, error, quantile_of(df, ci_level))
        out.append(
            Curve(
                time=counts.times, estimate=found.incidence, std_error=error, ci_low=low, ci_high=high, n_at_risk=counts.at_risk,
                n_event=counts.events[k - 1], n_censored=counts.leaving - counts.events.sum(axis=0), start=0.0,
                ci_level=ci_level, n=len(t), n_clusters=groups, note=few(groups),
                method="Aalen-Johansen, log-log interval" + ("" if clusters is None else ", cluster-robust"),
            )
        )  # fmt: skip
    return out

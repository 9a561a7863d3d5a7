r"""How sure is an estimate? By drawing whole clusters of the data again, with replacement, and estimating anew.

Vocabulary
----------
cluster      what is drawn as a whole: a family, a person with all sessions, a therapist
replicate    the statistic of one drawn sample
failed       a replicate whose statistic is not defined (an empty row of a table, a fit that was refused)
percentile   limits are quantiles of the replicates
basic        those quantiles reflected at the estimate
BCa          quantiles moved for the bias of the replicates (z0) and for how their spread depends on the value (a)
studentised  limits from the replicates of (estimate − truth) / standard error

Every function takes the job's generator; none keeps one. Tests by reshuffling are in ``permutation``, draws from the
distribution of estimates in ``monte_carlo``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import FEW_CLUSTERS, as_numbers, check_generator, cluster_codes, numbers_of

Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]
Labels = ArrayLike | pd.Series

METHODS = ("percentile", "basic", "BCa", "studentised")
REPLICATES = 1999  # (R + 1) times .025, .05 and .005 are whole numbers, so that plain limits are order statistics
MOST_FAILED = 0.05  # of the replicates; with more, the limits describe only the samples that happened to work
CELLS = 250_000  # replicates x clusters held at once: 2 MB an array, which stays near the processor


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """One estimate with its bootstrap interval. ``failed`` replicates are left out of error and limits."""

    estimate: float
    std_error: float
    ci_low: float
    ci_high: float
    ci_level: float
    method: str
    replicates: int
    n_clusters: int
    failed: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicates:
    """The replicates of k statistics from the same draws: estimates (k,), draws (replicates, k).

    ``acceleration`` (k,) is the a of the BCa interval. ``error`` (k,) and ``errors`` (replicates, k) are the standard
    errors of estimate and replicates, if a function for them was given. NaN where something is not defined.
    """

    estimates: Numbers
    draws: Numbers
    acceleration: Numbers
    error: Numbers
    errors: Numbers
    n_clusters: int
    note: str = ""

    def interval(
        self,
        which: int = 0,
        *,
        method: Literal["percentile", "basic", "BCa", "studentised"] = "BCa",
        ci_level: float = CI_LEVEL,
        most_failed: float = MOST_FAILED,
    ) -> Resampled:
        r"""Return the interval of statistic number ``which``.

        .. math::

            \text{percentile } t^*_{(\alpha)}; \quad \text{basic } 2\hat\theta - t^*_{(1-\alpha)}; \quad
            \text{BCa } t^*_{(\Phi(z_0 + (z_0 + z_\alpha)/(1 - a(z_0 + z_\alpha))))}; \quad
            \text{studentised } \hat\theta - SE\,q^*_{(1-\alpha)}

        :math:`t^*_{(p)}` is the order statistic number (R + 1)p, between two of them interpolated on the normal scale.
        Replicates equal to the estimate count half in :math:`z_0`.

        Raises
        ------
        StatisticsError
            If there is no such statistic, the estimate is not defined, more than the share ``most_failed`` of the replicates
            failed, or the method lacks what it needs.

        References
        ----------
        Davison, A. C., & Hinkley, D. V. (1997). Bootstrap methods and their application. Cambridge University Press,
        sections 5.2-5.3. Efron, B. (1987). JASA, 82, 171-185 (BCa).
        """
        if method not in METHODS:
            raise _refuse(f"found method {method!r}; allowed: {', '.join(METHODS)}.{did_you_mean(method, METHODS)}")
        critical(ci_level)
        if which not in range(many := len(self.estimates)):
            raise _refuse(f"{many} statistics, found number {which!r}; allowed: 0 to {many - 1}.")
        estimate, draws = float(self.estimates[which]), self.draws[:, which]
        if not math.isfinite(estimate):
            raise _refuse("the statistic is not defined for the data themselves.")
        used = np.isfinite(draws)
        if method == "studentised":
            used &= self.errors[:, which] > 0
        failed = len(draws) - int(used.sum())
        if failed > most_failed * len(draws) or len(draws) - failed < 2:
            hint = "the table or the groups are too small for resampling."
            if method == "studentised" and np.isfinite(draws).mean() >= 1 - most_failed:
                hint = "give the statistic's standard error as a function."
            raise _refuse(f"{failed} of {len(draws)} replicates are not defined.", hint=hint)
        kept = np.sort(draws[used])
        notes = [self.note]
        tails = np.array([0.5 - ci_level / 2, 0.5 + ci_level / 2])
        if method == "BCa":
            tails = self._moved(which, kept, tails)
        if not (tails * (len(kept) + 1) >= 1).all() or not (tails * (len(kept) + 1) <= len(kept)).all():
            notes.append("a limit is the smallest or largest replicate: draw more")
        if method == "studentised":
            pivots = np.sort((draws[used] - estimate) / self.errors[used, which])
            low, high = estimate - float(self.error[which]) * _order_statistics(pivots, tails)[::-1]
        else:
            low, high = _order_statistics(kept, tails)
            if method == "basic":
                low, high = 2 * estimate - high, 2 * estimate - low
        if low == high:
            notes.append("the interval has no length because the replicates are alike")
        return Resampled(
            estimate=estimate, std_error=float(kept.std(ddof=1)), ci_low=float(low), ci_high=float(high), ci_level=ci_level,
            method=f"cluster bootstrap, {method}", replicates=len(draws), n_clusters=self.n_clusters, failed=failed,
            note="; ".join(filter(None, notes)),
        )  # fmt: skip

    def _moved(self, which: int, kept: Numbers, tails: Numbers) -> Numbers:
        """Return the tail probabilities of the BCa limits."""
        a = float(self.acceleration[which])
        if not math.isfinite(a):
            what = "BCa is not defined: the statistic without one of the clusters is not known."
            raise _refuse(what, hint="ask for acceleration, or use method 'percentile'.")
        below = float((kept < self.estimates[which]).mean() + (kept == self.estimates[which]).mean() / 2)
        if below in (0.0, 1.0):
            raise _refuse("BCa is not defined: all replicates are on one side of the estimate.", hint="use 'percentile'.")
        z0 = norm.ppf(below)
        z = z0 + norm.ppf(tails)
        if (1 - a * z <= 0).any():
            raise _refuse("BCa is not defined: the acceleration is too large.", hint="use method 'percentile'.")
        return np.asarray(norm.cdf(z0 + z / (1 - a * z)), dtype=float)


def _refuse(what: str, *, place: str = "bootstrap", hint: str = "") -> StatisticsError:
    return StatisticsError(problem(place, what, hint=hint))


def _order_statistics(ordered: Numbers, tails: Numbers) -> Numbers:
    """Return the order statistics number (R + 1)p, interpolated on the normal scale (Davison & Hinkley, 1997, eq. 5.8)."""
    size = len(ordered)
    place = np.clip((size + 1) * tails, 1, size)
    below = np.minimum(np.floor(place + 1e-9).astype(int), size - 1)
    at = norm.ppf(np.stack([below, place, below + 1]) / (size + 1))
    share = np.clip((at[1] - at[0]) / (at[2] - at[0]), 0, 1)
    share[np.abs(place - np.round(place)) < 1e-9] = 0  # a whole number is an order statistic itself
    share[place >= size] = 1
    return np.asarray(ordered[below - 1] + share * (ordered[below] - ordered[below - 1]), dtype=float)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Clusters sorted by stratum: which rows are in each, and the stretch of clusters that each place draws from."""

    rows: Codes  # rows, sorted by cluster
    first: Codes  # of each cluster in ``rows``
    size: Codes  # rows of each cluster
    start: Codes  # first cluster of the stratum that a place belongs to
    many: Codes  # clusters in that stratum
    note: str

    def drawn(self, rng: np.random.Generator, replicates: int) -> Iterator[Codes]:
        """Yield blocks (replicates, clusters) of drawn clusters; the block's size does not change what is drawn."""
        step = max(1, CELLS // len(self.size))
        for done in range(0, replicates, step):
            u = rng.random((min(step, replicates - done), len(self.size)))
            drawn: Codes = self.start + (u * self.many).astype(np.int64)
            yield drawn

    def taken(self, clusters: Codes) -> Codes:
        """Return the rows of the clusters, one cluster after the other."""
        size = self.size[clusters]
        before = np.cumsum(size) - size
        taken: Codes = self.rows[np.repeat(self.first[clusters] - before, size) + np.arange(size.sum())]
        return taken


def few_clusters(count: int) -> str:
    """Return what is to be said of an interval from so many clusters, nothing where they are enough."""
    return f"few clusters ({count}): the interval may be too short" if count < FEW_CLUSTERS else ""


def _plan(n: int, clusters: Labels | None, strata: Labels | None, replicates: int) -> _Plan:
    if replicates < 2:
        raise _refuse(f"{replicates} replicates; at least two are needed.")
    codes, of_cluster = units(n, clusters, strata)
    order = np.argsort(of_cluster, kind="stable")  # clusters of one stratum beside each other
    codes, of_cluster = np.argsort(order)[codes], of_cluster[order]
    size = np.bincount(codes)
    per_stratum = np.bincount(of_cluster)
    if (per_stratum < 2).all():
        raise _refuse(f"{len(size)} clusters in {len(per_stratum)} strata; some stratum needs at least two.")
    alone = int((per_stratum == 1).sum())
    notes = [few_clusters(len(size)), f"{alone} strata of one cluster do not vary" if alone else ""]
    start = (np.cumsum(per_stratum) - per_stratum)[of_cluster]
    return _Plan(
        np.argsort(codes, kind="stable"),
        np.cumsum(size) - size,
        size,
        start,
        per_stratum[of_cluster],
        "; ".join(filter(None, notes)),
    )


def units(n: int, clusters: Labels | None, strata: Labels | None) -> tuple[Codes, Codes]:
    """Return each row's cluster (without clusters, itself) and each cluster's stratum, as numbers from 0.

    Raises
    ------
    StatisticsError
        If there is no row, labels do not fit, a stratum is missing, or a cluster lies in two strata.
    """
    if not n:
        raise _refuse("there is nothing to draw from.", place="resampling")
    codes = np.arange(n, dtype=np.int64) if clusters is None else cluster_codes(clusters, n=n)
    of_cluster = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    if strata is None:
        return codes, of_cluster
    of_row = cluster_codes(strata, n=n, missing="refuse")
    of_cluster[codes] = of_row
    if (of_cluster[codes] != of_row).any():
        raise _refuse("a cluster lies in two strata; strata must hold whole clusters.", place="strata")
    return codes, of_cluster


def _acceleration(without: Numbers, plan: _Plan) -> Numbers:
    r"""Return :math:`a = \frac16 \sum l^3 / (\sum l^2)^{3/2}` of the influence values l of the jackknife over clusters.

    :math:`l_g = (n_s - 1)(\bar\theta_{(s)} - \theta_{(g)}) / n_s` for a cluster of a stratum of n_s, the mean being that of
    the stratum (Efron, 1987; strata as in Davison & Hinkley, 1997, section 5.3.2). 0 where no cluster matters, NaN where
    leaving one out leaves nothing defined.
    """
    stratum = np.unique(plan.start, return_inverse=True)[1]
    many = plan.many[:, None]
    middle = np.stack([np.bincount(stratum, weights=column) for column in without.T], axis=1) / np.bincount(stratum)[:, None]
    influence = np.where(many > 1, (many - 1) * (middle[stratum] - without) / many, 0.0)
    spread = (influence**2).sum(axis=0) ** 1.5
    return np.where(spread == 0, 0.0, (influence**3).sum(axis=0) / (6 * np.where(spread == 0, 1.0, spread)))


def cluster_bootstrap(
    statistic: Callable[[Numbers], ArrayLike],
    values: ArrayLike | pd.DataFrame,
    *,
    rng: np.random.Generator,
    clusters: Labels | None = None,
    strata: Labels | None = None,
    replicates: int = REPLICATES,
    std_error: Callable[[Numbers], ArrayLike] | None = None,
) -> Replicates:
    r"""Bootstrap whole clusters, for statistics that are functions of sums: means, shares, tables, cross products.

    Replicate r is :math:`t(W_r S)` with S the sums of ``values`` in each cluster and :math:`W_r` how often each was drawn:
    one product of matrices for a block of replicates, instead of a pass over the data for each.

    Parameters
    ----------
    statistic
        Takes an array of sums (replicates, p) and returns (replicates,) or (replicates, k), e.g. ``lambda s: s[:, 0] / s[:, 1]``
        for a mean of rows with columns value and 1. A mean of clusters needs a column that is 1 once a cluster.
    values : (n, p)
        What is summed; one row a unit, none missing (give a missing value 0, and leave it out of the column that counts).
    rng
        The job's generator.
    clusters : (n,) labels, optional
        Drawn with replacement as a whole; a row with a missing label is a cluster of its own. Without, every row is.
        The order of labelled rows does not matter; that of rows which are their own cluster does.
    strata : (n,) labels, optional
        Clusters are drawn within strata, as many as each has.
    replicates
        Number of draws.
    std_error
        Function of the same sums giving the statistic's standard error, for studentised intervals.

    Returns
    -------
    Replicates
        With ``interval(which, method=..., ci_level=...)`` for each statistic.

    Raises
    ------
    StatisticsError
        If a value is missing, labels do not fit, no stratum has two clusters, or the statistic has the wrong shape.

    References
    ----------
    Field, C. A., & Welsh, A. H. (2007). Journal of the Royal Statistical Society B, 69, 369-390 (resampling clusters).
    """
    check_generator(rng, place="bootstrap")
    table = as_numbers(values, place="bootstrap", what="values")
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or not np.isfinite(table).all():
        raise _refuse("values must be a table of numbers, none missing or infinite.", hint="leave out and count, before.")
    plan = _plan(len(table), clusters, strata, replicates)
    cells = np.add.reduceat(table[plan.rows], plan.first, axis=0)
    groups, total = len(cells), cells.sum(axis=0, keepdims=True)

    def of(function: Callable[[Numbers], ArrayLike], sums: Numbers) -> Numbers:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            result = numbers_of(function, sums, place="bootstrap")
        if result.ndim not in (1, 2) or len(result) != len(sums):
            raise _refuse(f"the statistic gave shape {result.shape} for {len(sums)} rows of sums; allowed: one row for each.")
        return np.where(np.isfinite(result), result, math.nan).reshape(len(sums), -1)

    estimates = of(statistic, total)
    draws = np.empty((replicates, estimates.shape[1]))
    errors = np.full(draws.shape, math.nan)
    # Many clusters are alike (families with the same classes): to count the kinds drawn is enough, and so is one of each left out.
    kinds, kind = np.unique(np.column_stack([cells, plan.many > 1]), axis=0, return_inverse=True)
    kinds, kind = (kinds[:, :-1], kind.ravel()) if 2 * len(kinds) <= groups else (cells, np.arange(groups))
    at_once, waiting, done = max(1, CELLS // cells.shape[1]), [], 0
    for drawn in plan.drawn(rng, replicates):
        place = kind[drawn] + np.arange(len(drawn))[:, None] * len(kinds)
        taken = np.bincount(place.ravel(), minlength=len(drawn) * len(kinds)).reshape(len(drawn), -1)
        waiting.append(taken.astype(float) @ kinds)
        ready = sum(map(len, waiting))
        if ready >= at_once or done + ready == replicates:
            sums, waiting, block = np.concatenate(waiting), [], slice(done, done + ready)
            done += ready
            draws[block] = of(statistic, sums)
            if std_error is not None:
                errors[block] = of(std_error, sums)
    first = np.unique(kind, return_index=True)[1]
    without = of(statistic, np.where(plan.many[first, None] > 1, total - cells[first], total))[kind]
    error = np.full(estimates.shape, math.nan) if std_error is None else of(std_error, total)
    return Replicates(
        estimates=estimates[0], draws=draws, acceleration=_acceleration(without, plan), error=error[0], errors=errors,
        n_clusters=groups, note=plan.note,
    )  # fmt: skip


def cluster_bootstrap_rows(
    statistic: Callable[[Codes, Codes], ArrayLike],
    *,
    rng: np.random.Generator,
    clusters: Labels,
    strata: Labels | None = None,
    replicates: int = REPLICATES,
    acceleration: bool = False,
) -> Replicates:
    """Bootstrap whole clusters, for any function of the rows drawn. The same generator draws the same clusters as above.

    Parameters
    ----------
    statistic
        Takes the row numbers drawn and, for each, the number of the draw it came with, which tells copies of one cluster
        apart where a model needs groups; returns a number or (k,). A replicate that it refuses (``StatisticsError``), or
        in which it divides by 0 or meets a singular matrix, has failed.
    rng, strata, replicates
        As in :func:`cluster_bootstrap`.
    clusters : (n,) labels
        ``range(n)`` for rows that are independent.
    acceleration
        Also leave out each cluster in turn, which BCa intervals need: as many calls more as there are clusters.

    Raises
    ------
    StatisticsError
        As :func:`cluster_bootstrap`, and what the statistic raises for the data themselves.
    """
    check_generator(rng, place="bootstrap")
    labels = pd.Series(clusters)
    plan = _plan(len(labels), labels, strata, replicates)
    everything = np.arange(len(plan.size))

    def of(drawn: Codes) -> Numbers:
        copies = np.repeat(np.arange(len(drawn)), plan.size[drawn])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            result = np.atleast_1d(numbers_of(statistic, plan.taken(drawn), copies, place="bootstrap"))
        return np.where(np.isfinite(result), result, math.nan)

    estimates = of(everything)
    nothing = np.full(estimates.shape, math.nan)

    def tried(drawn: Codes) -> Numbers:
        try:
            return of(drawn)
        except (StatisticsError, ZeroDivisionError, np.linalg.LinAlgError):
            return nothing

    draws = np.stack([tried(drawn) for block in plan.drawn(rng, replicates) for drawn in block])
    a = nothing
    if acceleration:
        without = [tried(everything[everything != g]) if plan.many[g] > 1 else estimates for g in everything]
        a = _acceleration(np.stack(without), plan)
    return Replicates(
        estimates=estimates, draws=draws, acceleration=a, error=nothing, errors=np.full(draws.shape, math.nan),
        n_clusters=len(everything), note=plan.note,
    )  # fmt: skip

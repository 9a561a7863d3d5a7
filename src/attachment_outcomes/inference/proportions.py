"""How large is a share, and how sure are we when people share therapists?

Vocabulary
----------
design effect   variance of the share with clusters over its variance if people were independent
effective n     number of independent people that would give the same variance
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import wilson
from attachment_outcomes.inference.estimate import CI_LEVEL

FEW_CLUSTERS = 10  # below this the variance between clusters is itself poorly known (Cameron & Miller, 2015)
WILSON = "Wilson interval"
CLUSTERED = "Wilson interval on the effective n of therapist clusters"
NOT_NUMBERS = "recode words as numbers; NaN for what is missing; rows of equal length."


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """A share with its interval. ``n_clusters`` is NaN where people were taken as independent."""

    estimate: float
    std_error: float
    ci_low: float
    ci_high: float
    ci_level: float
    n: int
    n_clusters: float
    design_effect: float
    method: str
    note: str = ""


def as_numbers(values: object, *, place: str, what: str) -> NDArray[np.float64]:
    """Return values as an array of numbers, missing ones as NaN; a message about words never holds the words.

    Raises
    ------
    StatisticsError
        If they are not numbers.
    """
    try:
        if isinstance(values, pd.Series | pd.DataFrame):
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise StatisticsError(problem(place, f"{what} are not numbers.", hint=NOT_NUMBERS)) from None


def numbers_of(function: Callable[..., object], *arguments: object, place: str) -> NDArray[np.float64]:
    """Return a caller's statistic as numbers. Its own errors are told as they are, but for those that hold a cell's content.

    Raises
    ------
    StatisticsError
        If the statistic is not a number, or met words where it needs numbers.
    """
    try:
        found = function(*arguments)
    except (TypeError, ValueError) as wrong:
        # NumPy and pandas quote the word that they could not convert: personal data.
        if "could not convert" not in str(wrong).lower():
            raise
        raise StatisticsError(problem(place, "what the statistic takes are not numbers.", hint=NOT_NUMBERS)) from None
    return as_numbers(found, place=place, what="the statistic's values")


def check_generator(rng: object, *, place: str) -> None:
    """Refuse a seed where a generator belongs.

    Raises
    ------
    StatisticsError
        If ``rng`` is not a NumPy generator.
    """
    if not isinstance(rng, np.random.Generator):
        raise StatisticsError(problem(place, "rng is a numpy Generator: numpy.random.default_rng(seed)."))


def cluster_codes(
    clusters: ArrayLike | Sequence[object] | pd.Series, *, n: int | None = None, missing: Literal["alone", "refuse"] = "alone"
) -> NDArray[np.int64]:
    """Return clusters as numbers from 0, in the order of their labels, so that the order of rows does not matter.

    Units without a label come last, as they are seen.

    Parameters
    ----------
    clusters
        One label a unit.
    n
        How many units there are, where labels are to be held against that.
    missing
        A unit whose label is missing is a cluster of its own (``alone``), or stops with a message (``refuse``).

    Raises
    ------
    StatisticsError
        If there are not ``n`` labels, or one is missing where that is refused.
    """
    labels = pd.Series(clusters).reset_index(drop=True)
    if n is not None and len(labels) != n:
        raise StatisticsError(problem("clusters", f"found {len(labels)} labels for {n} units; allowed: one for each."))
    seen, names = pd.factorize(labels)
    codes = np.where(seen < 0, -1, _ranks(np.asarray(names))[seen]) if len(names) else seen.astype(np.int64)
    alone = codes < 0
    if missing == "refuse" and alone.any():
        raise StatisticsError(
            problem("clusters", f"{int(alone.sum())} of {len(labels)} units have no label; allowed: none missing.")
        )
    codes[alone] = len(names) + np.arange(alone.sum())
    return codes


def _ranks(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return each label's place among the sorted labels; kinds that have no common order (numbers, words) are kept apart."""
    try:
        order = np.argsort(labels, kind="stable")
    except TypeError:
        kinds = [(type(label).__name__, str(label)) for label in labels]
        order = np.array(sorted(range(len(kinds)), key=kinds.__getitem__))
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def cluster_sums(values: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of ``values`` in each cluster."""
    return np.bincount(codes, weights=values).astype(np.float64)


def robust_variance(influence: NDArray[np.float64], codes: NDArray[np.int64] | None) -> tuple[float, float]:
    r"""Return the variance of a mean of influence values, and the degrees of freedom of its t interval.

    .. math:: \frac{G}{G-1}\,\frac{1}{n^2}\sum_g \Big(\sum_{i \in g} u_i\Big)^2, \quad df = G - 1

    where ``u`` are centred influence values; without clusters every unit is its own (G = n).

    Raises
    ------
    StatisticsError
        If there are fewer than two clusters.
    """
    sums = influence if codes is None else cluster_sums(influence, codes)
    groups = len(sums)
    if groups < 2:
        raise StatisticsError(problem("cluster-robust variance", f"{groups} clusters; at least two are needed."))
    return float(groups / (groups - 1) * (sums**2).sum() / len(influence) ** 2), float(groups - 1)


def proportion(events: ArrayLike, *, clusters: ArrayLike | pd.Series | None = None, ci_level: float = CI_LEVEL) -> Proportion:
    r"""Return the share of ``events`` that are true, with Wilson's interval, widened for clusters if there are any.

    .. math::

        n_{eff} = \frac{n}{\max(deff, 1)} \Big(\frac{z}{t_{G-1}}\Big)^2, \quad
        deff = \frac{V_{cluster}(\hat p)}{\hat p(1-\hat p)/n}

    Wilson's interval is then taken at :math:`n_{eff}`. The design effect is never put below 1, since a smaller one is
    more likely chance than truth. Where everybody or nobody has the event it cannot be estimated: the interval is then
    the plain one, and the note says so.

    Parameters
    ----------
    events : (n,) booleans or 0/1
        NaN is refused: leave out, and count, who has no answer before.
    clusters : (n,) labels, optional
        Therapist, family or site of each person; a missing label makes a person a cluster of their own.
    ci_level
        Confidence level.

    Raises
    ------
    StatisticsError
        If there is nobody, or an event is neither true nor false.

    References
    ----------
    Wilson, E. B. (1927). JASA, 22, 209-212. Korn, E. L., & Graubard, B. I. (1998). Survey Methodology, 24, 193-201 (the
    effective n); Dean, N., & Pagano, M. (2015). JSSAM, 3, 484-503 (with Wilson's interval).
    """
    try:
        y = np.asarray(events, dtype=float)
    except (TypeError, ValueError):
        raise StatisticsError(problem("proportion", "events are words.", hint="compare them with the word that counts.")) from None
    if y.ndim != 1 or len(y) == 0:
        raise StatisticsError(problem("proportion", f"found {y.shape} events; allowed: one for each person, at least one."))
    if not np.isin(y, (0.0, 1.0)).all():
        raise StatisticsError(problem("proportion", "an event is neither true nor false.", hint="leave out missing answers."))
    n, share = len(y), float(y.mean())
    plain = wilson(float(y.sum()), n, ci_level=ci_level)
    result = Proportion(
        estimate=share, std_error=plain.std_error, ci_low=plain.ci_low, ci_high=plain.ci_high, ci_level=ci_level, n=n,
        n_clusters=np.nan, design_effect=1.0, method=WILSON,
    )  # fmt: skip
    if clusters is None:
        return result
    codes = cluster_codes(clusters)
    if len(codes) != n:
        raise StatisticsError(problem("proportion", f"{n} events but {len(codes)} cluster labels."))
    groups = int(codes.max()) + 1
    if groups < 2 or share in (0.0, 1.0):
        why = "one cluster only" if groups < 2 else "all alike"
        return Proportion(
            estimate=share, std_error=plain.std_error, ci_low=plain.ci_low, ci_high=plain.ci_high, ci_level=ci_level, n=n,
            n_clusters=groups, design_effect=np.nan, method=WILSON,
            note=f"{why}: the interval cannot allow for clusters",
        )  # fmt: skip
    variance, _ = robust_variance(y - share, codes)
    return effective_wilson(share, n, variance=variance, groups=groups, ci_level=ci_level)


def effective_wilson(share: float, n: int, *, variance: float, groups: int, ci_level: float = CI_LEVEL) -> Proportion:
    """Return a share with Wilson's interval at its effective n, from its cluster-robust ``variance``; see :func:`proportion`."""
    df = groups - 1
    effect = max(variance / (share * (1 - share) / n), 1.0)
    # Two or three clusters leave less than one person's worth of information; Wilson's interval is then nearly 0 to 1 anyway.
    shrink = float(norm.ppf(0.5 + ci_level / 2) / student.ppf(0.5 + ci_level / 2, df)) ** 2
    n_effective = max(n / effect * shrink, 1.0)
    wide = wilson(share * n_effective, n_effective, ci_level=ci_level)
    return Proportion(
        estimate=share, std_error=float(np.sqrt(effect * share * (1 - share) / n)), ci_low=wide.ci_low, ci_high=wide.ci_high,
        ci_level=ci_level, n=n, n_clusters=groups, design_effect=effect, method=CLUSTERED,
        note=f"few clusters ({groups}): the interval may be too short" if groups < FEW_CLUSTERS else "",
    )  # fmt: skip

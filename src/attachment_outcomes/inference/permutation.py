"""Could chance alone have made what is seen? By reshuffling labels, or signs, that mean nothing if there is nothing to see.

Vocabulary
----------
exchangeable  what may be reshuffled under the hypothesis: people within a stratum, or whole clusters
sign flip     each pair's difference is as likely to have been seen the other way round
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference import resampling
from attachment_outcomes.inference.proportions import as_numbers, check_generator, numbers_of

Numbers = NDArray[np.float64]
Alternative = Literal["two-sided", "greater", "less"]

ALTERNATIVES = ("two-sided", "greater", "less")
PERMUTATIONS = 9999
PLACE = "permutation test"
ROUNDING = 1e-10  # of the statistic's size: sums of the same numbers in another order are ties, not less or more


@dataclass(frozen=True, slots=True, kw_only=True)
class Permuted:
    """A permutation test. ``std_error`` is the Monte-Carlo error of the p value; ``n_units`` is what was reshuffled."""

    statistic: float
    p_value: float
    std_error: float
    alternative: str
    permutations: int
    n_units: int
    failed: int
    method: str
    note: str = ""


def permutation_test(
    statistic: Callable[[NDArray[Any]], ArrayLike],
    labels: ArrayLike | pd.Series,
    *,
    rng: np.random.Generator,
    clusters: ArrayLike | pd.Series | None = None,
    strata: ArrayLike | pd.Series | None = None,
    permutations: int = PERMUTATIONS,
    alternative: Alternative = "two-sided",
    vectorised: bool = False,
) -> Permuted:
    r"""Reshuffle labels (arms, classes, a predictor's values) among rows, or among whole clusters, within strata.

    .. math:: p = (b + 1) / (m + 1)

    with b of m reshuffled statistics at least as extreme as the one seen. "Two-sided" compares absolute values, so the
    statistic must be 0 where there is nothing to see; take "greater" for one that is only large (chi-square, kappa).
    A reshuffled statistic that is not defined has failed, and counts as extreme.

    Parameters
    ----------
    statistic
        Takes the labels (n,) and returns a number; if ``vectorised``, takes (b, n) and returns (b,).
    labels : (n,)
        What is reshuffled.
    rng
        The job's generator.
    clusters : (n,) labels, optional
        Clusters keep together: their rows have one label, which moves as a whole (arms given to therapists or families).
    strata : (n,) labels, optional
        Labels are reshuffled within strata only; a stratum holds whole clusters.
    permutations
        Number of random reshuffles.
    alternative : {"two-sided", "greater", "less"}
        Which statistics are extreme.
    vectorised
        Whether the statistic takes many reshuffles at once.

    Raises
    ------
    StatisticsError
        If the statistic is not defined for the data themselves, labels do not fit, a cluster has two labels, or nothing
        can be reshuffled because all labels of each stratum are alike.

    References
    ----------
    Phipson, B., & Smyth, G. K. (2010). Statistical Applications in Genetics and Molecular Biology, 9, Article 39 (why 1 is added).
    """
    check_generator(rng, place=PLACE)
    values = labels.to_numpy() if isinstance(labels, pd.Series) else np.asarray(labels)
    if values.ndim != 1:
        raise _refuse(f"labels have shape {values.shape}; allowed: one a row.")
    codes, stratum = resampling.units(len(values), clusters, strata)
    of_cluster = values[np.unique(codes, return_index=True)[1]]
    if not (pd.Series(of_cluster[codes]) == pd.Series(values)).all():
        raise _refuse("a cluster has two labels, or one is missing.", hint="leave out clusters, and put them under strata.")
    order = np.argsort(stratum, kind="stable")
    if pd.DataFrame({"s": stratum, "l": of_cluster}).groupby("s")["l"].nunique().max() < 2:
        raise _refuse("all labels are alike, so that reshuffling changes nothing.")

    def shuffled(step: int) -> NDArray[Any]:
        keys = rng.random((step, len(stratum))) + stratum[order]
        moved = np.empty((step, len(stratum)), dtype=of_cluster.dtype)
        moved[:, order] = of_cluster[order][np.argsort(keys, axis=1)]
        return moved[:, codes]

    method = "permutation of " + ("rows" if clusters is None else "clusters") + ("" if strata is None else " within strata")
    return _test(_each(statistic, vectorised), values, shuffled, permutations, alternative, n_units=len(stratum), method=method)


def sign_flip_test(
    differences: ArrayLike,
    *,
    rng: np.random.Generator,
    clusters: ArrayLike | pd.Series | None = None,
    statistic: Callable[[Numbers], ArrayLike] | None = None,
    permutations: int = PERMUTATIONS,
    alternative: Alternative = "two-sided",
    vectorised: bool = False,
) -> Permuted:
    """Turn the signs of paired differences at random, of all rows of a cluster together, and see how extreme their mean is.

    Parameters
    ----------
    differences : (n,) floats
        One a pair, none missing.
    rng, permutations, alternative
        As in :func:`permutation_test`.
    clusters : (n,) labels, optional
        Rows whose signs turn together.
    statistic, vectorised
        Another statistic than the mean, 0 where there is nothing to see; as in :func:`permutation_test`.

    Raises
    ------
    StatisticsError
        If a difference is missing, or labels do not fit.
    """
    check_generator(rng, place=PLACE)
    values = as_numbers(differences, place=PLACE, what="differences")
    if values.ndim != 1 or not np.isfinite(values).all():
        raise _refuse("differences must be numbers, one a pair, none missing.", hint="leave out, and count, before.")
    codes, stratum = resampling.units(len(values), clusters, None)
    sums = np.bincount(codes, weights=values)

    def signs(step: int) -> Numbers:
        return np.asarray(1.0 - 2.0 * rng.integers(0, 2, size=(step, len(sums))))

    method = "sign flips of " + ("rows" if clusters is None else "clusters")
    if statistic is None:
        function = _each(lambda turned: turned @ sums / len(values), vectorised=True)
        return _test(function, np.ones(len(sums)), signs, permutations, alternative, n_units=len(stratum), method=method)
    return _test(
        _each(statistic, vectorised), values, lambda step: signs(step)[:, codes] * values, permutations, alternative,
        n_units=len(stratum), method=method,
    )  # fmt: skip


def _refuse(what: str, *, hint: str = "") -> StatisticsError:
    return StatisticsError(problem(PLACE, what, hint=hint))


def _each(statistic: Callable[[NDArray[Any]], ArrayLike], vectorised: bool) -> Callable[[NDArray[Any]], Numbers]:
    """Return the statistic as a function of (b, n) arrays."""

    def of(block: NDArray[Any]) -> Numbers:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = numbers_of(lambda: statistic(block) if vectorised else [statistic(row) for row in block], place=PLACE)
        if found.shape != (len(block),):
            raise _refuse(f"the statistic gave shape {found.shape} for {len(block)} reshuffles; allowed: one number for each.")
        return found

    return of


def _test(
    statistic: Callable[[NDArray[Any]], Numbers],
    seen: NDArray[Any],
    shuffled: Callable[[int], NDArray[Any]],
    permutations: int,
    alternative: str,
    *,
    n_units: int,
    method: str,
) -> Permuted:
    if alternative not in ALTERNATIVES:
        allowed = f"found {alternative!r}; allowed: {', '.join(ALTERNATIVES)}."
        raise _refuse(f"alternative: {allowed}{did_you_mean(alternative, ALTERNATIVES)}")
    if permutations < 1:
        raise _refuse(f"{permutations} permutations; at least one is needed.")
    estimate = float(statistic(seen[None, :])[0])
    if not math.isfinite(estimate):
        raise _refuse("the statistic is not defined for the data themselves.")
    size = {"two-sided": np.abs, "greater": np.positive, "less": np.negative}[alternative]
    step = max(1, resampling.CELLS // len(seen))
    extreme = failed = 0
    for done in range(0, permutations, step):
        found = statistic(shuffled(min(step, permutations - done)))
        unknown = ~np.isfinite(found)
        failed += int(unknown.sum())
        extreme += int((unknown | (size(found) >= size(estimate) - ROUNDING * abs(estimate))).sum())
    p = (extreme + 1) / (permutations + 1)
    return Permuted(
        statistic=estimate, p_value=p, std_error=math.sqrt(p * (1 - p) / (permutations + 1)), alternative=alternative,
        permutations=permutations, n_units=n_units, failed=failed, method=method,
        note=f"{failed} reshuffled statistics are not defined and count as extreme" if failed else "",
    )  # fmt: skip

r"""What transmission would be seen without error, from a class table and the reliability of both classifications.

.. math:: P = A' T B

P is the table seen, T the true one, A and B the errors of the parents' and the children's classification. **Errors are taken to be
independent of each other and of the other person's class.** Where the same coder, or hints about the other, make them go together,
the correction is too large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import Interval, Numbers
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.misclassification import Flags
from attachment_outcomes.inference.proportions import FEW_CLUSTERS, as_numbers
from attachment_outcomes.inference.resampling import REPLICATES, Replicates, cluster_bootstrap
from attachment_outcomes.transmission.misclassification.quantities import (
    CEILING,
    CORRECTED,
    OBSERVED,
    POSSIBLE,
    Name,
    all_quantities,
    as_seen,
    chance,
    kappa,
)
from attachment_outcomes.transmission.misclassification.reliability import CODERS, Reliability

ANALYSIS = "transmission_corrected"
EXACT = 1e-9  # log-likelihood a pair by which the estimate may miss the best
NEAR = 1e-3  # log-likelihood of all pairs by which a draw may: it moves nothing by more than .045 of its standard error
UNITS = {"kappa": "kappa", "phi": "phi", "odds_ratio": "odds ratio"}
METHODS = {
    OBSERVED: "as seen",
    CORRECTED: "inverted errors",
    POSSIBLE: "most likely possible table",
    CEILING: "perfect transmission",
}
ODDS = "odds_ratio"
ENDLESS = 15.0  # a log odds ratio from here on is that of a table with an empty discordant cell
_CHANGED = (CORRECTED, POSSIBLE)
ALIKE = 1e-9  # draws that differ less are the same
UNDEFINED = "not defined: a share is 0"
ALL_ALIKE = "no interval: all pairs correspond, and so they do in all families that can be drawn"
NO_SPREAD = "no interval: all families that can be drawn give the same"
KNOWN = "no interval: it follows from the reliabilities alone, which count as known"
ONE_CLASS = "no interval: one side has a single class"
NO_LIMIT = "no interval: a retest kappa does not differ from 0, so that corrected values have no limit"
FEW = f"no p value: fewer than {FEW_CLUSTERS} families"
INDEPENDENT = "errors of parent and child are taken to be independent"
AT_ONCE = 50_000  # cells held at once


def corrected_transmission(
    tables: ArrayLike,
    *,
    parent: Reliability,
    child: Reliability,
    rng: np.random.Generator,
    outcome: str = "",
    way: str = "",
    primary: bool = True,
    replicates: int = REPLICATES,
    ci_level: float = CI_LEVEL,
) -> tuple[list[Estimate], Numbers]:
    r"""Estimate the transmission that would be seen if nobody were misclassified.

    Parameters
    ----------
    tables : (K, K) or (G, K, K) whole numbers
        Parent's (rows) by child's classes in corresponding order; or one such table a family. Of a single table every pair is a
        family of its own. Two classes: the secure one first.
    parent, child : Reliability
        Of the parents' and the children's classification.
    rng : numpy Generator
        For drawing families and reliabilities.
    outcome, way, primary
        Words for the rows.
    replicates : int
        Draws of whole families; each also draws the reliabilities.
    ci_level : float
        Confidence level.

    Returns
    -------
    estimates : list of Estimate
        See :func:`estimates_of`.
    shares : (K, K)
        The most likely possible table without error.

    Raises
    ------
    StatisticsError
        If there is no pair, a count is no whole number, there are fewer than two families, or the reliabilities do not fit the
        table or cannot be undone.

    Examples
    --------
    >>> rows, shares = corrected_transmission([[30, 10], [10, 30]], parent=Reliability(kappa=.8), child=Reliability(kappa=.8),
    ...                                       rng=np.random.default_rng(1), replicates=199)
    >>> {row.group: round(row.estimate, 3) for row in rows if row.estimand == "kappa"}["corrected"]
    0.625
    """
    counted = as_numbers(tables, place="class table", what="counts")
    if counted.ndim not in (2, 3) or counted.shape[-1] != counted.shape[-2] or counted.shape[-1] < 2:
        raise StatisticsError(problem("class table", f"found shape {counted.shape}; allowed: (K, K), or (families, K, K)."))
    if not (np.isfinite(counted) & (counted >= 0) & (counted == np.round(counted))).all():
        raise StatisticsError(problem("class table", "found a missing, negative or fractional count."))
    size = counted.shape[-1]
    if counted.ndim == 2:
        cells = np.repeat(np.arange(size * size), counted.ravel().astype(int))
        counted = np.eye(size * size)[cells].reshape(-1, size, size)
    if not len(counted) or not counted.sum():
        raise StatisticsError(problem("class table", "holds no pair."))
    sums = cluster_bootstrap(lambda s: s, counted.reshape(len(counted), -1), rng=rng, replicates=replicates)
    return estimates_of(
        sums.estimates.reshape(size, size), sums.draws.reshape(-1, size, size), parent=parent, child=child, rng=rng,
        n_clusters=len(counted), outcome=outcome, way=way, primary=primary, ci_level=ci_level, note=sums.note,
    )  # fmt: skip


def estimates_of(
    table: Numbers,
    drawn: Numbers,
    *,
    parent: Reliability,
    child: Reliability,
    rng: np.random.Generator,
    n_clusters: int,
    outcome: str,
    way: str,
    primary: bool = True,
    ci_level: float = CI_LEVEL,
    note: str = "",
) -> tuple[list[Estimate], Numbers]:
    """Return the estimates of a table of counts (K, K) with draws of it (replicates, K, K), and the corrected shares.

    Returns
    -------
    estimates : list of Estimate
        analysis ``transmission_corrected``, definition ``way``. Groups: ``observed``; ``corrected``, agreement, chance and kappa
        of the inverted table, which have no bias but may lie beyond 1 (told, not clipped), and ``explained_by_error``, the share
        of pairs that do not correspond which correction takes away; ``corrected, possible table``, of the most likely table
        without negative cells; ``ceiling``, what would be seen if every child were in the parent's class, and
        ``expected_from_error``, the pairs that would not correspond even then as a share of those that do not. With two classes
        also phi, odds_ratio, passed_on and interrupted. Percentile limits over the draws, those of ``observed`` too: the analysis
        ``concordance`` has limits for small tables. No interval where the draws are all alike, one side has a single class
        (kappa) or a retest kappa does not differ from 0 (``corrected``), and no p value without one or with fewer than 10
        families.
    shares : (K, K)
        The most likely possible table without error.

    Raises
    ------
    StatisticsError
        If a class that the reliability needs is not defined, or the reliabilities cannot be undone.
    """
    whole = table[None] / table.sum()
    own = whole[0].sum(axis=1), whole[0].sum(axis=0)
    known = parent.matrices(own[0][None]), child.matrices(own[1][None])
    found, possible, boundary = all_quantities(whole, *known, parent=parent, child=child, gap=EXACT)
    kept = drawn[drawn.sum(axis=(1, 2)) > 0]
    shares = kept / kept.sum(axis=(1, 2), keepdims=True)
    first = parent.drawn(shares.sum(axis=2), own[0], rng=rng)
    second = child.drawn(shares.sum(axis=1), own[1], rng=rng)
    replicates = _blocks(shares, first, second, parent=parent, child=child, gap=NEAR / float(table.sum()))
    names = list(found)
    nothing = np.full(len(names), math.nan)
    result = Replicates(
        estimates=np.array([_moved(name, found[name])[0] for name in names]),
        draws=np.stack([_moved(name, replicates[name]) for name in names], axis=1),
        acceleration=nothing, error=nothing, errors=np.empty((len(shares), 0)), n_clusters=n_clusters, note=note,
    )  # fmt: skip
    told, beyond = _told(parent, child), _beyond(found, negative=bool(boundary.any()))
    all_known = parent.known and child.known
    drawn_too = "" if all_known else " and reliability"
    one_class = min(np.count_nonzero(margins) for margins in own) == 1
    no_limit = parent.may_be_none(own[0], ci_level=ci_level) or child.may_be_none(own[1], ci_level=ci_level)
    rows = []
    for which, (group, estimand) in enumerate(names):
        value = float(found[group, estimand][0])
        if estimand == ODDS and not math.exp(-ENDLESS) < value < math.exp(ENDLESS):
            value = math.nan
        limits = _limits(result, which, ci_level, alike=KNOWN if group == CEILING and all_known else NO_SPREAD)
        if not math.isfinite(value):
            limits = _none(UNDEFINED)
        elif one_class and estimand == "kappa":
            value, limits = (value if abs(value) > ALIKE else 0.0), _none(ONE_CLASS)
        elif group != CEILING and found[OBSERVED, "agreement"][0] > 1 - ALIKE:
            limits = _none(ALL_ALIKE) if estimand != "chance_agreement" else limits
        elif no_limit and group == CORRECTED:
            limits = _none(NO_LIMIT)
        back = _from_log if estimand == ODDS else float
        p_value, tested = math.nan, (group, estimand) == (CORRECTED, "kappa") and not math.isnan(limits.ci_low)
        if tested and n_clusters >= FEW_CLUSTERS:
            p_value = _p_value(result.draws[:, which])
        few = FEW if tested and n_clusters < FEW_CLUSTERS else ""
        notes = [limits.note, few, told if group != OBSERVED else "", beyond if group in _CHANGED else ""]
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand=estimand, outcome=outcome, definition=way, group=group,
                primary=primary and group != POSSIBLE, estimate=value,
                std_error=limits.std_error, ci_low=back(limits.ci_low), ci_high=back(limits.ci_high), ci_level=ci_level,
                p_value=p_value, n=float(table.sum()), n_clusters=n_clusters, unit=UNITS.get(estimand, "proportion"),
                direction="higher is better" if estimand == "interrupted" else "",
                method=f"{METHODS[group]}; families{drawn_too if group != OBSERVED else ''} drawn, percentile",
                note="; ".join(filter(None, notes)),
            )
        )  # fmt: skip
    return rows, possible[0]


def _blocks(
    shares: Numbers, first: Numbers, second: Numbers, *, parent: Reliability, child: Reliability, gap: float
) -> Mapping[Name, Numbers]:
    """Return the quantities of all draws, a block at a time; NaN where a draw of the reliability has no error matrix.

    What is seen needs no error matrix and is there in all draws.
    """
    fine: Flags = np.asarray(np.isfinite(first + second).all(axis=(1, 2)), dtype=bool)
    step = max(1, AT_ONCE // shares[0].size)
    parts = []
    for start in range(0, len(shares), step):
        block = slice(start, start + step)
        use = fine[block]
        found, _, _ = all_quantities(shares[block][use], first[block][use], second[block][use], parent=parent, child=child, gap=gap)
        whole = {name: np.full(len(use), math.nan) for name in found}
        for name, values in found.items():
            whole[name][use] = values
        parts.append(whole | as_seen(shares[block]))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _moved(name: Name, values: Numbers) -> Numbers:
    """Return values on the scale that their spread is told on: odds ratios as logarithms, which may be endless in a draw."""
    if name[1] != ODDS:
        return values
    with np.errstate(divide="ignore"):
        return np.clip(np.log(values), -ENDLESS, ENDLESS)


def _from_log(value: float) -> float:
    return math.exp(value) if abs(value) < ENDLESS else (math.inf if value > 0 else 0.0) if not math.isnan(value) else value


def _none(note: str) -> Interval:
    return Interval(math.nan, math.nan, math.nan, math.nan, note)


def _limits(result: Replicates, which: int, ci_level: float, *, alike: str) -> Interval:
    """Return the percentile limits of a quantity, none with the note ``alike`` where all draws are the same."""
    try:
        found = result.interval(which, method="percentile", ci_level=ci_level)
    except StatisticsError as error:
        return _none(f"no interval: {error}")
    draws = result.draws[:, which]
    if np.nanmax(draws) - np.nanmin(draws) < ALIKE:
        return _none(alike)
    endless = bool(np.any(np.abs(draws) >= ENDLESS))
    return Interval(found.estimate, math.nan if endless else found.std_error, found.ci_low, found.ci_high, found.note)


def _p_value(draws: Numbers) -> float:
    """Return the p value of the percentile interval that just holds 0."""
    kept = draws[np.isfinite(draws)]
    if len(kept) < 2:
        return math.nan
    below, above = (kept <= 0).sum(), (kept >= 0).sum()
    return float(min(1.0, 2 * (1 + min(below, above)) / (len(kept) + 1)))


def _told(parent: Reliability, child: Reliability) -> str:
    """Return what the correction rests on."""
    notes = [f"parents: {parent.words}; children: {child.words}", INDEPENDENT]
    if CODERS in (parent.of, child.of):
        notes.append("agreement of coders covers coders' error only: the correction is then too small")
    if {parent.of, child.of} != {CODERS}:
        notes.append("retests may hold true change too: the correction is then too large")
    if parent.known or child.known:
        notes.append(
            f"reliability of {' and '.join(s for s, r in (('parents', parent), ('children', child)) if r.known)} as if known"
        )
    return "; ".join(notes)


def _beyond(found: Mapping[Name, Numbers], *, negative: bool) -> str:
    """Return what it means if the errors explain more than there is."""
    notes = []
    if found[CORRECTED, "agreement"][0] > 1 + 1e-9:
        notes.append("what is seen is above the ceiling: the classifications are more reliable here than was given")
    if negative:
        notes.append("undoing the errors gives some pair of classes a share below 0")
    return "; ".join(notes)


def sensitivity(table: Numbers, kappas: Numbers) -> list[dict[str, float | bool]]:
    r"""Return kappa and agreement without error over a grid of retest kappas of parents and children.

    .. math:: \kappa_T = \kappa_P / \sqrt{\kappa_A \kappa_B}, \quad agreement = e + \kappa_T (1 - e)

    Errors leave the shares of classes as they are, so the chance agreement e is that seen. ``possible`` tells whether margins
    allow such a kappa: :math:`e + \kappa_T (1 - e) \le \sum_i \min(r_i, c_i)`.
    """
    shares = table / table.sum()
    seen, by_chance = float(kappa(shares)), float(chance(shares))
    most = float(np.minimum(shares.sum(axis=0), shares.sum(axis=1)).sum())
    rows: list[dict[str, float | bool]] = []
    for first in kappas:
        for second in kappas:
            value = seen / math.sqrt(first * second)
            agreed = by_chance + value * (1 - by_chance)
            rows.append(
                {"parent_kappa": float(first), "child_kappa": float(second), "kappa": value, "agreement": agreed,
                 "possible": bool(agreed <= most + 1e-12)}
            )  # fmt: skip
    return rows

r"""Which class were people in before, and which after? Tables of moves, their balance, who is secure, and what error alone gives.

Vocabulary
----------
move             from one class at baseline to another at the end
without change   the moves that measurement error alone would give the same people, see :mod:`.security.expectation`
ceiling          agreement and kappa that people would reach without any change: 1 only if nothing is measured with error
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.change.aligned import check_pairs, check_secure
from attachment_outcomes.change.security.expectation import (
    Reference,
    moment_influence,
    moments,
    probability_without_change,
    reference_variance,
    widened,
)
from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.agreement import Test, bowker, crosstab, kappa, mcnemar_exact, stuart_maxwell
from attachment_outcomes.inference.clustered_agreement import (
    clustered_kappa,
    clustered_margins,
    clustered_symmetry,
    kappa_gradient,
    kappa_of,
    paired_share_difference,
)
from attachment_outcomes.inference.effects import Effect, effect
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.proportions import cluster_codes, proportion

Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]
ANALYSIS = "transition"
COLUMNS = ["name", "primary", "from_class", "to_class", "n"]
# Shares, not counts: times the people of a row they would give away a count that was suppressed.
TABLE = {"name": "str", "primary": "bool", "from_class": "str", "to_class": "str", "n": "int64", "share_without_change": "float64"}
INDEPENDENT = "takes people as independent of their therapists; see the cluster-robust row"
CLUSTERED_TEST = "Hotelling's F on therapists' totals"
CEILING = "what measurement error alone would give these people if nobody had truly changed"


def no_transitions() -> pd.DataFrame:
    """Return a transitions table without rows."""
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in TABLE.items()})


def transition_table(
    baseline: ArrayLike, end: ArrayLike, *, classes: list[str], name: str = "", primary: bool = True,
    without_change: Numbers | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Return the K x K counts as rows (zeros included); people without a class at either occasion are left out.

    Columns: name, primary, from_class, to_class, n, and ``share_without_change``: the share of each row's people that would be in
    the column's class without true change (``without_change``, K x K; missing without it).

    Raises
    ------
    StatisticsError
        If a class is not among ``classes`` or is listed twice, the columns differ in length, or Series have different indexes.
    """
    first, last = _both(baseline, end)
    _check_classes(classes, name)
    counts = crosstab(first, last, classes, place=name or "transitions")
    return pd.DataFrame(
        {
            "name": pd.Series([name] * counts.size, dtype="str"),
            "primary": primary,
            "from_class": pd.Series(np.repeat(classes, len(classes)), dtype="str"),
            "to_class": pd.Series(np.tile(classes, len(classes)), dtype="str"),
            "n": counts.ravel(),
            "share_without_change": np.full(counts.size, np.nan) if without_change is None else without_change.ravel(),
        }
    )


def transition_estimates(
    baseline: ArrayLike,
    end: ArrayLike,
    *,
    classes: list[str],
    secure: str,
    name: str,
    primary: bool = True,
    clusters: ArrayLike | None = None,
    ci_level: float = CI_LEVEL,
) -> list[Estimate]:
    """Return who stays and who becomes secure, how far the classes agree over time, and whether moves balance.

    ``stays_secure`` is the share of the secure who still are; ``becomes_secure`` that of the others who now are; ``agreement``
    the share in the same class; ``kappa`` that beyond chance. ``change_in_secure`` is by how much more common security is at the
    end. ``mcnemar_exact`` tests whether as many become secure as cease to be; ``bowker`` whether moves in both directions balance
    in each pair of classes, ``stuart_maxwell`` whether the classes are as common as before.

    With ``clusters``, shares have Wilson's interval on the effective n, kappa and the change in secure one from influence values
    summed within clusters, and the two chi-square tests a cluster-robust row beside them. The exact test has no such form.

    Raises
    ------
    StatisticsError
        As :func:`transition_table`; or if ``secure`` is not among ``classes``.
    """
    first, last = _both(baseline, end, clusters)
    _check_classes(classes, name, secure)
    n = len(first)
    if n == 0:
        return [not_testable(ANALYSIS, "nobody has a class at two occasions", outcome=name)]
    codes = None
    if clusters is not None:
        there = (pd.Series(baseline).notna().to_numpy()) & (pd.Series(end).notna().to_numpy())
        codes = cluster_codes(pd.Series(clusters).reset_index(drop=True)[there])
    several = codes if codes is not None and codes.max() > 0 else None
    was, now = np.asarray(first) == secure, np.asarray(last) == secure
    same = np.asarray(first) == np.asarray(last)
    rows = []
    for estimand, among, event, direction in (
        ("stays_secure", was, now, "higher is better"),
        ("becomes_secure", ~was, now, "higher is better"),
        ("agreement", np.ones(n, dtype=bool), same, ""),
    ):
        if not among.any():
            who = "secure" if estimand == "stays_secure" else "insecure"
            rows.append(_missing(f"{estimand}: nobody was {who} at baseline", name, estimand))
            continue
        share = proportion(event[among], clusters=None if codes is None else codes[among], ci_level=ci_level)
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand=estimand, outcome=name, primary=primary, estimate=share.estimate,
                std_error=share.std_error, ci_low=share.ci_low, ci_high=share.ci_high, ci_level=ci_level, n=share.n,
                n_clusters=share.n_clusters, unit="proportion", direction=direction, method=share.method, note=share.note,
            )
        )  # fmt: skip
    if n > 1:
        found = paired_share_difference(was, now, several, ci_level=ci_level)
        rows.append(_row("change_in_secure", found, name, primary, "proportion", direction="higher is better"))
    rows += _kappa(first, last, classes, name, primary, several, ci_level)
    return rows + _tests(first, last, classes, secure, name, primary, several, ci_level)


def _kappa(
    first: list[str], last: list[str], classes: list[str], name: str, primary: bool, codes: Codes | None, ci_level: float
) -> list[Estimate]:
    n = len(first)
    try:
        k = kappa(crosstab(first, last, classes, place=name), ci_level=ci_level)
        row = Estimate(
            analysis=ANALYSIS, estimand="kappa", outcome=name, primary=primary, estimate=k.kappa, std_error=k.std_error,
            ci_low=k.ci_low, ci_high=k.ci_high, ci_level=ci_level, p_value=k.p_value, n=n, n_clusters=n, unit="kappa",
            method="Cohen's kappa", note=k.note,
        )  # fmt: skip
        if codes is None or not np.isfinite(k.std_error):
            return [row]
        found = clustered_kappa(_numbered(first, classes), _numbered(last, classes), len(classes), codes, ci_level=ci_level)
    except StatisticsError as error:
        return [_missing(f"kappa: {error}", name, "kappa")]
    return [_row("kappa", found, name, primary, "kappa"), replace(row, primary=False, note=INDEPENDENT)]


def _tests(
    first: list[str], last: list[str], classes: list[str], secure: str, name: str, primary: bool, codes: Codes | None,
    ci_level: float,
) -> list[Estimate]:  # fmt: skip
    counts = crosstab(first, last, classes, place=name)
    n, place = len(first), classes.index(secure)
    kept, total = counts[place, place], counts.sum()
    left, came = counts[place].sum() - kept, counts[:, place].sum() - kept
    tests: list[tuple[str, Test, str, str, bool]] = [
        ("mcnemar_exact", mcnemar_exact([[kept, left], [came, total - kept - left - came]]),
         "McNemar's exact test, secure and insecure", "people", True),
        ("bowker", bowker(counts), "Bowker's test of symmetry", "chi-square", True),
        ("stuart_maxwell", stuart_maxwell(counts), "Stuart–Maxwell test of equal margins", "chi-square", True),
    ]  # fmt: skip
    if codes is not None:
        a, b = _numbered(first, classes), _numbered(last, classes)
        tests += [
            ("bowker", clustered_symmetry(a, b, len(classes), codes), f"symmetry, {CLUSTERED_TEST}", "F", False),
            ("stuart_maxwell", clustered_margins(a, b, len(classes), codes), f"equal margins, {CLUSTERED_TEST}", "F", False),
        ]
    rows = []
    for estimand, test, how, unit, plain in tests:
        note = [f"df = {test.df:g}" if np.isfinite(test.df) and unit == "chi-square" else "", test.note]
        if estimand == "mcnemar_exact":
            note.append(f"{came} became secure, {left} ceased to be; the statistic is the smaller number")
        if plain and codes is not None:
            other = "; see change_in_secure" if estimand == "mcnemar_exact" else "; see the cluster-robust row"
            note.append(f"takes people as independent of their therapists{other}")
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand=estimand, outcome=name, primary=primary and plain, estimate=test.statistic,
                p_value=test.p_value, ci_level=ci_level, n=n, n_clusters=n if plain or codes is None else float(codes.max() + 1),
                unit=unit, method=how, note="; ".join(t for t in note if t),
            )
        )  # fmt: skip
    return rows


def moves_without_change(
    baseline: ArrayLike,
    end: ArrayLike,
    *,
    scores: ArrayLike,
    classes: list[str],
    regions: Mapping[str, ArrayLike],
    reliability: tuple[float, float],
    secure: str,
    name: str,
    clusters: ArrayLike | None = None,
    reference: Reference | None = None,
    error_correlation: float = 0.0,
    primary: bool = True,
    ci_level: float = CI_LEVEL,
) -> tuple[Numbers, list[Estimate]]:
    r"""Return the table of moves that measurement error alone would give, and what agreement could be at most.

    .. math:: \pi_{ij} = \frac{1}{n_{i\cdot}} \sum_{a \in i} P(x_{2a} \in R_j \mid x_{1a})

    averages each person's chances over those of a baseline class, with the distribution of :mod:`.security.expectation`.

    Parameters
    ----------
    baseline, end : (n,) words
        Classes; who lacks one is left out.
    scores : (n, 2) floats
        Baseline anxiety and avoidance.
    classes, secure
        All classes, and the secure one.
    regions : mapping
        Class to its half-planes; together the regions cover everything.
    reliability : (anxiety, avoidance)
        In (0, 1).
    name, clusters, reference, error_correlation, primary, ci_level
        As in :func:`~attachment_outcomes.change.security.shares.earned_security`.

    Returns
    -------
    shares : (K, K) floats
        Rows sum to 1; a class that nobody had at baseline has a missing row.
    rows : list of Estimate
        ``agreement_without_change`` and ``kappa_without_change`` (the ceilings), ``stays_secure_without_change``, and
        ``agreement_beyond_error`` and ``kappa_beyond_error``: observed minus ceiling, below 0 where people moved more than error
        moves them.

    Raises
    ------
    StatisticsError
        If nobody has both classes, a score is missing, or the regions do not cover everything.
    """
    there = pd.Series(baseline).notna().to_numpy() & pd.Series(end).notna().to_numpy()
    first, last = _both(baseline, end, clusters)
    _check_classes(classes, name, secure)
    x = np.asarray(scores, dtype=float)[there]
    n, size = len(first), len(classes)
    if n < 3 or np.isnan(x).any():
        who = "1 person" if n == 1 else f"{n} people"
        raise StatisticsError(problem(f"{name}: moves without change", f"{who}; at least three with scores are needed."))
    a, b = _numbered(first, classes), _numbered(last, classes)
    codes = None if clusters is None else cluster_codes(pd.Series(clusters).reset_index(drop=True)[there])
    codes = codes if codes is None or codes.max() > 0 else None
    mean, covariance = moments(x, reference)

    def each(m: Numbers, c: Numbers) -> Numbers:
        parts = [
            probability_without_change(
                x, m, c, reliability, np.asarray(regions[k], dtype=float), error_correlation=error_correlation
            )
            for k in classes
        ]
        return np.column_stack(parts)

    chances = each(mean, covariance)
    if np.abs(chances.sum(axis=1) - 1).max() > COVERED:
        raise StatisticsError(problem(f"{name}: moves without change", "the classes' regions do not cover everything, or overlap."))
    start = np.eye(size)[a]
    table = (start.T @ chances) / n
    drift, gradient = moment_influence(x, mean, covariance, lambda m, c: ((start.T @ each(m, c)) / n).ravel())
    own = (start[:, :, None] * chances[:, None, :]).reshape(n, -1) - table.ravel()
    extra = np.zeros((size**2, size**2))
    if reference is None:
        own = own + drift
    else:
        extra = gradient.T @ reference_variance(reference) @ gradient
    seen = np.zeros((n, size**2))
    seen[np.arange(n), a * size + b] = 1.0
    observed = seen.mean(axis=0).reshape(size, size)
    seen = seen - observed.ravel()
    k_seen, k_alone = (kappa_gradient(t).ravel() for t in (observed, table))
    same, place = np.eye(size).ravel(), classes.index(secure)
    share = table[place].sum()
    stays = np.zeros((size, size))
    stays[place] = -table[place, place] / share**2 if share else np.nan
    stays[place, place] += 1 / share if share else np.nan
    values: list[tuple[str, float, Numbers, Numbers, str]] = [
        ("agreement_without_change", float(np.trace(table)), own @ same, same, "proportion"),
        ("kappa_without_change", kappa_of(table), own @ k_alone, k_alone, "kappa"),
        ("agreement_beyond_error", float(np.trace(observed) - np.trace(table)), (seen - own) @ same, same, "proportion"),
        ("kappa_beyond_error", kappa_of(observed) - kappa_of(table), seen @ k_seen - own @ k_alone, k_alone, "kappa"),
    ]
    if share:
        flat = stays.ravel()
        kept = float(table[place, place] / share)
        values.append(("stays_secure_without_change", kept, own @ flat, flat, "proportion"))
    how = "delta method" + ("" if codes is None else ", cluster-robust (CR1), t on G - 1 df")
    rows = []
    for estimand, value, influence, slope, unit in values:
        if not np.isfinite(value) or not np.isfinite(influence).all():
            continue
        found = widened(effect(value, influence, codes, method=how, ci_level=ci_level), float(slope @ extra @ slope))
        row = _row(estimand, found, name, primary, unit, note=f"{CEILING}; reliabilities {reliability[0]:g} and {reliability[1]:g}")
        rows.append(row if estimand.endswith("beyond_error") else replace(row, p_value=np.nan))
    with np.errstate(invalid="ignore"):
        shares: Numbers = table / table.sum(axis=1, keepdims=True)
    return shares, rows


COVERED = 1e-6  # how far the chances of all classes may be from 1


def _row(estimand: str, found: Effect, name: str, primary: bool, unit: str, *, direction: str = "", note: str = "") -> Estimate:
    return Estimate(
        analysis=ANALYSIS, estimand=estimand, outcome=name, primary=primary, estimate=found.estimate, std_error=found.std_error,
        ci_low=found.ci_low, ci_high=found.ci_high, ci_level=found.ci_level, p_value=found.p_value, n=found.n,
        n_clusters=found.n_clusters, unit=unit, direction=direction, method=found.method,
        note="; ".join(t for t in (note, found.note) if t),
    )  # fmt: skip


def _numbered(labels: list[str], classes: list[str]) -> Codes:
    return np.asarray(pd.Categorical(labels, categories=classes).codes, dtype=np.int64)


def _missing(reason: str, name: str, estimand: str) -> Estimate:
    return replace(not_testable(ANALYSIS, reason, outcome=name), group=estimand)


def _check_classes(classes: list[str], name: str, secure: str | None = None) -> None:
    place = name or "transitions"
    twice = sorted({c for c in classes if classes.count(c) > 1})
    if twice:
        raise StatisticsError(problem(place, f"listed twice among the classes: {', '.join(twice)}."))
    if secure is not None and secure not in classes:
        check_secure(place, secure, classes)
        what = f"the secure class {secure!r} is none of the classes; allowed: {', '.join(classes)}.{did_you_mean(secure, classes)}"
        raise StatisticsError(problem(place, what))


def _both(baseline: ArrayLike, end: ArrayLike, clusters: ArrayLike | None = None) -> tuple[list[str], list[str]]:
    check_pairs("transitions", baseline=baseline, end=end)
    if isinstance(clusters, pd.Series):
        check_pairs("transitions", **{k: v for k, v in (("baseline", baseline), ("end", end)) if isinstance(v, pd.Series)},
                    clusters=clusters)  # fmt: skip
    first, last = pd.Series(baseline).reset_index(drop=True), pd.Series(end).reset_index(drop=True)
    there = first.notna() & last.notna()
    return [str(v) for v in first[there]], [str(v) for v in last[there]]

"""What does one table of parents' by children's classes say? Its estimates, with intervals that allow for families.

Rows are the parent's classes and columns the child's, in corresponding order, so that the diagonal holds the pairs that
correspond. In a table of two classes the secure one is first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.inference import agreement, two_by_two
from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.jackknife import from_logit, jackknife, logit

ANALYSIS = "concordance"
CLUSTERED = "cluster jackknife"

Table = npt.NDArray[np.int64]
Contrast = Callable[[Table], float]
Scale = Callable[[float], float]


def class_tables(
    rows: pd.Series, columns: pd.Series, *, row_classes: list[str], column_classes: list[str], groups: npt.ArrayLike
) -> Table:
    """Return one classes x classes table for each group (numbered from 0) of aligned labels; the labels must be classes."""
    row = np.asarray(pd.Categorical(rows, categories=row_classes).codes)
    column = np.asarray(pd.Categorical(columns, categories=column_classes).codes)
    group = np.asarray(groups, dtype=np.int64)
    out = np.zeros((int(group.max()) + 1 if len(group) else 1, len(row_classes), len(column_classes)), dtype=np.int64)
    np.add.at(out, (group, row, column), 1)
    return out


def diagonal_share(table: Table) -> float:
    """Return the share of pairs on the diagonal."""
    return float(np.trace(table) / table.sum())


def insecure_first(table: Table) -> Table:
    """Return a two-class table turned round, so that contrasts of risk speak of insecurity."""
    return table[::-1, ::-1]


def interrupted(table: Table, *, ci_level: float = CI_LEVEL) -> Interval:
    """Share of insecure parents (second row) whose child is secure (first column), with Wilson's interval."""
    insecure = int(table[1].sum())
    if insecure == 0:
        return Interval(math.nan, math.nan, math.nan, math.nan, "not defined: no parent is insecure")
    return agreement.wilson(int(table[1, 0]), insecure, ci_level=ci_level)


def _no_zero(contrast: Contrast) -> Contrast:
    """Refuse a table with a zero, where the half that is added to its cells would make the jackknife jump."""
    return lambda table: contrast(table) if np.all(table > 0) else math.nan


@dataclass(frozen=True)
class _Measure:
    """How one quantity is read from a table: estimate with its plain interval, and the scale its jackknife works on."""

    estimand: str
    unit: str
    method: str
    plain: Callable[[Table, float], Interval]
    contrast: Contrast
    scale: Scale = float
    back: Scale = float
    direction: str = ""
    n: Callable[[Table], int] = lambda table: int(table.sum())


def _kappa(table: Table, ci_level: float) -> Interval:
    found = agreement.kappa(table, ci_level=ci_level)
    return Interval(found.kappa, found.std_error, found.ci_low, found.ci_high, found.note)


MEASURES = [
    _Measure(
        "agreement",
        "proportion",
        "Wilson",
        lambda t, c: agreement.observed_agreement(t, ci_level=c),
        diagonal_share,
        logit,
        from_logit,
    ),
    _Measure("kappa", "kappa", "Fleiss-Cohen-Everitt", _kappa, lambda t: agreement.kappa(t).kappa),
]
TWO_CLASS_MEASURES = [
    _Measure(
        "phi",
        "phi",
        "Fisher z",
        lambda t, c: two_by_two.phi(t, ci_level=c),
        lambda t: two_by_two.phi(t).estimate,
        math.atanh,
        math.tanh,
    ),
    _Measure(
        "odds_ratio",
        "odds ratio",
        "Woolf",
        lambda t, c: two_by_two.odds_ratio(insecure_first(t), ci_level=c),
        _no_zero(lambda t: two_by_two.odds_ratio(insecure_first(t)).estimate),
        math.log,
        math.exp,
    ),
    _Measure(
        "risk_difference",
        "proportion",
        "Newcombe",
        lambda t, c: two_by_two.risk_difference(insecure_first(t), ci_level=c),
        lambda t: two_by_two.risk_difference(insecure_first(t)).estimate,
    ),
    _Measure(
        "risk_ratio",
        "risk ratio",
        "Katz",
        lambda t, c: two_by_two.risk_ratio(insecure_first(t), ci_level=c),
        _no_zero(lambda t: two_by_two.risk_ratio(insecure_first(t)).estimate),
        math.log,
        math.exp,
    ),
    _Measure(
        "interrupted",
        "proportion",
        "Wilson",
        lambda t, c: interrupted(t, ci_level=c),
        lambda t: interrupted(t).estimate,
        logit,
        from_logit,
        "higher is better",
        lambda t: int(t[1].sum()),
    ),
]


def cluster_interval(plain: Interval, tables: Table, measure: Contrast, *, scale: Scale, back: Scale, ci_level: float) -> Interval:
    """Return the interval of a quantity of the summed table by leaving out one of the (G, K, K) tables at a time."""
    if math.isnan(plain.estimate):
        return plain
    # Most families have one pair, so only few different tables are ever left out.
    different, which = np.unique(tables.reshape(len(tables), -1), axis=0, return_inverse=True)
    whole = tables.sum(axis=0)
    rest = [whole - d.reshape(whole.shape) for d in different]
    values = np.array([measure(t) if t.sum() else math.nan for t in rest])
    found = jackknife(plain.estimate, values[which.ravel()], scale=scale, back=back, ci_level=ci_level)
    notes = [plain.note] if plain.note and "interval" not in plain.note else []
    return Interval(plain.estimate, found.std_error, found.ci_low, found.ci_high, "; ".join(filter(None, [*notes, found.note])))


def table_estimates(
    tables: Table,
    *,
    outcome: str,
    way: str,
    primary: bool = True,
    ci_level: float = CI_LEVEL,
    note: str = "",
    rng: np.random.Generator | None = None,
) -> list[Estimate]:
    """Return the estimates of the sum of (G, K, K) tables, one a cluster; see ``concordance`` for what they are.

    If every cluster holds one pair the plain intervals are used, otherwise the jackknife over clusters.
    """
    whole = tables.sum(axis=0)
    n = int(whole.sum())
    if n == 0:
        reason = "; ".join(filter(None, ["no pair has both classes", note]))
        return [replace(not_testable(ANALYSIS, reason, outcome=outcome), definition=way)]
    tables = tables[tables.sum(axis=(1, 2)) > 0]
    clustered = len(tables) < n

    def row(
        estimand: str, found: Interval, *, n: int, unit: str, method: str, direction: str = "", p: float = math.nan
    ) -> Estimate:
        return Estimate(
            analysis=ANALYSIS, estimand=estimand, outcome=outcome, definition=way, primary=primary, estimate=found.estimate,
            std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level, p_value=p, n=n,
            n_clusters=len(tables), unit=unit, direction=direction, method=method,
            note="; ".join(filter(None, [found.note, note])),
        )  # fmt: skip

    out = []
    kappa = agreement.kappa(whole, ci_level=ci_level)
    for measure in [*MEASURES, *(TWO_CLASS_MEASURES if len(whole) == 2 else [])]:
        found = measure.plain(whole, ci_level)
        if clustered:
            found = cluster_interval(found, tables, measure.contrast, scale=measure.scale, back=measure.back, ci_level=ci_level)
        p = kappa.p_value if measure.estimand == "kappa" and not clustered else math.nan
        method = CLUSTERED if clustered else measure.method
        out.append(
            row(measure.estimand, found, n=measure.n(whole), unit=measure.unit, method=method, direction=measure.direction, p=p)
        )
    nan = math.nan
    out.append(
        row("chance_agreement", Interval(kappa.chance, nan, nan, nan), n=n, unit="proportion", method="product of the margins")
    )
    test = agreement.independence(whole, rng=rng)
    exact = "Fisher's exact test" if "exact" in test.note else "Pearson chi-square"
    apart = "no p value: pairs of a family are not independent" if clustered else test.note
    v = Interval(agreement.cramers_v(whole), nan, nan, nan, apart)
    out.append(row("cramers_v", v, n=n, unit="Cramér's V", method=exact, p=nan if clustered else test.p_value))
    return out

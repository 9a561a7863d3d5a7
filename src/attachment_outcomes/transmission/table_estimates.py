"""What does one table of parents' by children's classes say? Its estimates, with intervals that allow for families."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference import agreement, association, contingency
from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.association import Units, as_units
from attachment_outcomes.inference.clustered_agreement import clustered_margins, clustered_symmetry
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.loglinear import MODELS, LogLinear, loglinear
from attachment_outcomes.inference.robust_logistic import logistic_fit
from attachment_outcomes.inference.robust_ols import FEW_DF
from attachment_outcomes.transmission.tables import Table

ANALYSIS = "concordance"
BETTER = "higher is better"
APART = "no p value: pairs of a family are not independent"
UNBOUNDED = "no interval: a cell is empty, so that the odds ratio has no end"
ALONE = "not defined: there is only one family, or one decides the odds ratio alone"
FEW_FAMILIES_TELL = f"no interval: fewer than {FEW_DF} degrees of freedom, because few families tell of the odds ratio"
NOT_CORRECTED = "not defined: a single row or column, or hardly more pairs than classes"
FAMILIES = ", effective n of families"
KAPPA = "Fisher z, one pair spread"
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Frame:
    """What all rows of one table share."""

    outcome: str
    way: str
    primary: bool
    ci_level: float
    note: str
    n: int
    n_clusters: int

    def row(
        self,
        estimand: str,
        found: Interval,
        *,
        unit: str,
        method: str,
        n: int | None = None,
        group: str = "",
        direction: str = "",
        p: float = math.nan,
    ) -> Estimate:
        """Return an estimate of this table."""
        return Estimate(
            analysis=ANALYSIS, estimand=estimand, outcome=self.outcome, group=group, definition=self.way, primary=self.primary,
            estimate=found.estimate, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=self.ci_level,
            p_value=p, n=self.n if n is None else n, n_clusters=self.n_clusters, unit=unit, direction=direction, method=method,
            note="; ".join(filter(None, [found.note, self.note])),
        )  # fmt: skip


def table_estimates(
    tables: Table,
    *,
    outcome: str,
    way: str,
    primary: bool = True,
    ci_level: float = CI_LEVEL,
    note: str = "",
    rng: np.random.Generator | None = None,
) -> tuple[list[Estimate], list[LogLinear]]:
    """Return the estimates of the sum of (G, K, K) tables, one a cluster, and its log-linear models; see ``concordance``."""
    whole = tables.sum(axis=0)
    n = int(whole.sum())
    if n == 0:
        reason = "; ".join(filter(None, ["no pair has both classes", note]))
        return [replace(not_testable(ANALYSIS, reason, outcome=outcome), definition=way)], []
    units = as_units(tables)
    frame = Frame(outcome, way, primary, ci_level, note, n, units.count)
    names = MODELS if len(whole) > 2 else (MODELS[0], MODELS[2])
    models = [loglinear(whole, model, rng=None if units.clustered else rng) for model in names]
    if units.clustered:
        # A note on how near a p value is has no place where there is none.
        models = [
            m if math.isnan(m.p_value) else replace(m, p_value=math.nan, method="maximum likelihood", note=APART) for m in models
        ]
    rows = [*_agreement(units, whole, frame), *_association(units, whole, frame, rng)]
    if len(whole) == 2:
        rows += [*_contrasts(units, frame), *_regression(tables, units, frame)]
    rows += [*_margins(tables, units, whole, frame), *_fits(models, frame)]
    return rows, models


def _value(value: float, note: str = "") -> Interval:
    return Interval(value, math.nan, math.nan, math.nan, note)


def method_of(units: Units, name: str) -> str:
    """Return the name of a method, and that families count for their effective number where there are any."""
    return name + FAMILIES if units.clustered else name


def _agreement(units: Units, whole: Table, frame: Frame) -> Iterator[Estimate]:
    level, diagonal = frame.ci_level, np.eye(len(whole), dtype=bool)
    share = association.share(units, having=diagonal, ci_level=level)
    yield frame.row("agreement", share, unit="proportion", method=method_of(units, "Wilson"))
    chance = _value(float(contingency.chance_agreement(whole)))
    yield frame.row("chance_agreement", chance, unit="proportion", method="product of the margins")
    kappa = association.kappa_interval(units, ci_level=level)
    p_value = math.nan if units.clustered else agreement.kappa(whole).p_value
    yield frame.row("kappa", kappa, unit="kappa", method=method_of(units, KAPPA), p=p_value)
    k = len(whole)
    value, low, high = contingency.pabak_of([share.estimate, share.ci_low, share.ci_high], classes=k).tolist()
    pabak = Interval(value, share.std_error * k / (k - 1), low, high, share.note)
    yield frame.row("pabak", pabak, unit="kappa", method=method_of(units, "Wilson"))
    if k == 2:
        for name, function in (("prevalence_index", contingency.prevalence_index), ("bias_index", contingency.bias_index)):
            yield frame.row(name, _value(float(function(whole))), unit="index", method="difference of cells")


def _association(units: Units, whole: Table, frame: Frame, rng: np.random.Generator | None) -> Iterator[Estimate]:
    level = frame.ci_level
    test = agreement.independence(whole, rng=rng)
    v = association.cramers_v(units, ci_level=level)
    apart = APART if units.clustered else test.note
    v = Interval(v.estimate, v.std_error, v.ci_low, v.ci_high, "; ".join(filter(None, [v.note, apart])))
    exact = "Fisher's exact test" if "exact" in test.note else "Pearson chi-square"
    p_value = math.nan if units.clustered else test.p_value
    yield frame.row("cramers_v", v, unit="Cramér's V", method=method_of(units, exact), p=p_value)
    corrected = association.cramers_v_corrected(units)
    why = NOT_CORRECTED if math.isnan(corrected) else ""
    yield frame.row("cramers_v_corrected", _value(corrected, why), unit="Cramér's V", method="Bergsma")
    lost = association.lambda_coefficient(units)
    yield frame.row("lambda", lost, unit="coefficient", method="Goodman–Kruskal, child given parent")
    known = association.uncertainty_coefficient(units, ci_level=level)
    yield frame.row("uncertainty_coefficient", known, unit="coefficient", method=method_of(units, "Theil, child given parent"))
    if len(whole) == 2:
        phi = association.phi_interval(units, ci_level=level)
        yield frame.row("phi", phi, unit="phi", method=method_of(units, "Fisher z, half a pair in every cell"))


def turned(units: Units) -> Units:
    """Return two-class tables turned round, so that contrasts of risk speak of insecurity."""
    return replace(units, whole=units.whole[::-1, ::-1], tables=units.tables[:, ::-1, ::-1])


def _contrasts(units: Units, frame: Frame) -> Iterator[Estimate]:
    level, insecure = frame.ci_level, turned(units)
    odds = association.odds_ratio(insecure, ci_level=level)
    yield frame.row("odds_ratio", odds, unit="odds ratio", method=method_of(units, "Woolf"))
    difference = association.risk_difference(insecure, ci_level=level)
    yield frame.row("risk_difference", difference, unit="proportion", method=method_of(units, "Newcombe"))
    ratio = association.risk_ratio(insecure, ci_level=level)
    katz = bool((units.whole[:, 1] == 0).any())
    yield frame.row("risk_ratio", ratio, unit="risk ratio", method=method_of(units, "Katz" if katz else "Koopman"))
    among = np.array([[False, False], [True, True]])
    having = np.array([[False, False], [True, False]])
    found = association.share(units, having=having, among=among, ci_level=level)
    if math.isnan(found.estimate):
        found = _value(math.nan, "not defined: no parent is in the second class")
    yield frame.row(
        "interrupted", found, n=int(units.whole[1].sum()), unit="proportion", method=method_of(units, "Wilson"), direction=BETTER
    )


def _expanded(tables: Table) -> tuple[Whole, Whole, Whole]:
    """Return each pair's family, parent's class and child's class as numbers."""
    family, row, column = np.nonzero(tables)
    times = tables[family, row, column]
    codes = np.unique(family, return_inverse=True)[1]
    return np.repeat(codes, times), np.repeat(row, times), np.repeat(column, times)


def _regression(tables: Table, units: Units, frame: Frame) -> Iterator[Estimate]:
    """Yield the odds ratio of a logistic regression of the child's class on the parent's, where pairs share families."""
    if not units.clustered:
        return
    family, parent, child = _expanded(tables)
    design = np.column_stack([np.ones(len(parent)), parent.astype(np.float64)])
    try:
        fit = logistic_fit(design, child.astype(np.float64), family)
    except StatisticsError:
        # Not in its own words, which tell how many families or pairs: nothing would hide them.
        full = units.whole.sum(axis=0).all() and units.whole.sum(axis=1).all()
        why = _value(math.nan, ALONE if full else association.EMPTY)
        yield frame.row("logistic_odds_ratio", why, unit="odds ratio", method="logistic regression")
        return
    value = math.exp(float(fit.coefficients[1]))
    if fit.penalised:
        yield frame.row("logistic_odds_ratio", _value(value, UNBOUNDED), unit="odds ratio", method=fit.method)
        return
    std_error, df = fit.error(np.array([0.0, 1.0]))
    if df < FEW_DF:
        yield frame.row("logistic_odds_ratio", _value(value, FEW_FAMILIES_TELL), unit="odds ratio", method=fit.method)
        return
    log = math.log(value)
    half = association.t_quantile(df, frame.ci_level) * std_error
    found = Interval(value, std_error, math.exp(log - half), math.exp(log + half))
    p_value = association.t_p_value(log / std_error, df) if std_error > 0 else math.nan
    yield frame.row("logistic_odds_ratio", found, unit="odds ratio", method=fit.method, p=p_value)


def _margins(tables: Table, units: Units, whole: Table, frame: Frame) -> Iterator[Estimate]:
    """Yield the tests of symmetry and of equal margins; families are summed first."""
    if units.clustered:
        family, parent, child = _expanded(tables)
        tests = [f(parent, child, len(whole), family) for f in (clustered_symmetry, clustered_margins)]
        unit, how = "F", "totals of families"
    else:
        tests, unit, how = [agreement.bowker(whole), agreement.stuart_maxwell(whole)], "chi-square", "large-sample"
    for name, test in zip(("bowker", "stuart_maxwell"), tests, strict=True):
        df = "" if math.isnan(test.statistic) or units.clustered else f"{test.df:.0f} df"
        note = "; ".join(filter(None, [df, test.note]))
        yield frame.row(name, _value(test.statistic, note), unit=unit, method=how, p=test.p_value)


def row_shares(tables: Table, *, ci_level: float = CI_LEVEL) -> list[list[Interval]]:
    """Return how often children of parents in a class are in each class, a list of columns for each row, with intervals."""
    units = as_units(tables)
    cells = np.arange(units.whole.size).reshape(units.whole.shape)
    return [
        [association.share(units, having=cells == cell, among=np.isin(cells, row), ci_level=ci_level) for cell in row]
        for row in cells
    ]


def _fits(models: Sequence[LogLinear], frame: Frame) -> Iterator[Estimate]:
    for model in models:
        note = "; ".join(filter(None, [f"{model.df} df" if model.df else "", model.note]))
        found, bic = _value(model.x2, note), _value(model.bic, model.note if math.isnan(model.bic) else "")
        yield frame.row("lack_of_fit", found, group=model.model, unit="X²", method=model.method, p=model.p_value)
        yield frame.row("bic", bic, group=model.model, unit="BIC", method="G² − df log n")

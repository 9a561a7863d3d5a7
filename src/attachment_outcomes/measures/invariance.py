"""Do a scale's items mean the same at two occasions? Longitudinal measurement invariance of one factor.

If the items' loadings or intercepts change, a change of the score may be a change of meaning, not of the person.

Vocabulary
----------
configural   the same items on one factor at each occasion; everything else may differ
metric       equal loadings: a unit of the factor moves an item as much at both occasions
scalar       equal intercepts too: people with the same factor have the same expected answers, so that means compare
strict       equal uniquenesses too: the items are as precise at both occasions
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.factor.fit import FactorFit, fit_structure
from attachment_outcomes.inference.factor.indices import RMSEA_LEVEL, Fit, fit_indices
from attachment_outcomes.inference.factor.moments import moments_of
from attachment_outcomes.inference.factor.structure import Cell, Structure, structure
from attachment_outcomes.measures.instruments import Instrument
from attachment_outcomes.measures.repeated import Repeated, repeated_answers
from attachment_outcomes.measures.scoring import ItemMatrix

ANALYSIS = "invariance"
METHOD = "maximum likelihood with missing answers, one factor an occasion, correlated uniquenesses of an item"
CONFIGURAL, METRIC, SCALAR, STRICT = LEVELS = ("configural", "metric", "scalar", "strict")
LEAST_ITEMS = 3
FEW = 300  # people; with 150 the rule failed 16 of 100 samples whose items had not changed (docs/methods/measurement.md)
MEANING = "change of this score may be a change of meaning"
TABLES: dict[str, dict[str, str]] = {
    "invariance": {
        "outcome": "str", "level": "str", "chi_square": "float64", "df": "int64", "p_value": "float64", "cfi": "float64",
        "tli": "float64", "rmsea": "float64", "rmsea_low": "float64", "rmsea_high": "float64", "srmr": "float64",
        "delta_chi_square": "float64", "delta_df": "float64", "delta_p_value": "float64", "delta_cfi": "float64",
        "delta_rmsea": "float64", "holds": "boolean", "proper": "bool", "n": "int64", "n_both": "int64",
    }
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """When a level holds, stated before the data are seen.

    The configural model must reach ``cfi`` and keep to ``rmsea``; each stricter one may lose no more than ``loss_of_cfi`` and
    gain no more than ``gain_of_rmsea`` against the level before it. CFI loss .01: Cheung & Rensvold (2002); with RMSEA gain .015:
    Chen (2007), who proposes .005 and .010 for samples below 300; both derived for groups, and used for occasions by custom.
    """

    cfi: float = 0.90
    rmsea: float = 0.08
    loss_of_cfi: float = 0.010
    gain_of_rmsea: float = 0.015


@dataclass(frozen=True)
class Level:
    """One level: its fit, the change against the level before (NaN at the first), and whether it holds by the rule.

    ``holds`` is None where the model has no proper solution, or a level before it does not hold.
    """

    name: str
    fit: Fit
    model: FactorFit
    delta_cfi: float
    delta_rmsea: float
    delta_chi_square: float
    delta_df: float
    delta_p_value: float
    holds: bool | None


@dataclass(frozen=True)
class Invariance:
    """All levels in order, and the last one that holds (empty if none does)."""

    levels: tuple[Level, ...]
    reached: str
    n_both: int
    rule: Rule = field(default_factory=Rule)

    @property
    def scalar(self) -> bool:
        """Whether means of the two occasions may be compared."""
        return self.reached in (SCALAR, STRICT)

    @property
    def verdict(self) -> str:
        """The finding in one sentence."""
        if self.scalar:
            return f"{self.reached} invariance holds by the rule: no sign that the items changed their meaning"
        if not self.reached:
            return f"one factor does not fit both occasions, so what changed is not one thing: {MEANING}"
        failed = "intercepts" if self.reached == METRIC else "loadings"
        return f"the items' {failed} differ between the occasions: {MEANING}"


def longitudinal_model(k: int, level: str) -> Structure:
    """Return the model of k items at two occasions at a level of invariance.

    The first factor has mean 0 and variance 1; the second is freed as the equalities allow. Uniquenesses of the same item are
    correlated across occasions.

    Raises
    ------
    StatisticsError
        If the level is not known or there are fewer than three items.
    """
    if level not in LEVELS:
        raise StatisticsError(f"invariance: found level {level!r}; allowed: {', '.join(LEVELS)}")
    if k < LEAST_ITEMS:
        raise StatisticsError(f"invariance needs {LEAST_ITEMS} items or more")
    depth = LEVELS.index(level)
    loadings: list[list[Cell]] = [[f"loading {i}", 0] for i in range(k)]
    loadings += [[0, f"loading {i}" if depth > 0 else f"second loading {i}"] for i in range(k)]
    intercepts = [f"intercept {i}" for i in range(k)]
    intercepts += [f"intercept {i}" if depth > 1 else f"second intercept {i}" for i in range(k)]
    psi: list[list[Cell]] = [[1, "covariance"], ["covariance", "variance" if depth > 0 else 1]]
    return structure(
        loadings=loadings,
        intercepts=intercepts,
        factor_covariance=psi,
        factor_means=[0, "mean" if depth > 1 else 0],
        uniqueness=paired_uniqueness(k, equal=depth > 2),
    )


def paired_uniqueness(k: int, *, equal: bool = False) -> list[list[Cell]]:
    """Return the cells of uniquenesses (2k × 2k) that are correlated between the occasions of the same item."""
    cells: list[list[Cell]] = [[0] * (2 * k) for _ in range(2 * k)]
    for i in range(k):
        cells[i][i] = f"uniqueness {i}"
        cells[k + i][k + i] = f"uniqueness {i}" if equal else f"second uniqueness {i}"
        cells[i][k + i] = cells[k + i][i] = f"shared {i}"
    return cells


def invariance(first: np.ndarray, second: np.ndarray, *, rule: Rule | None = None) -> Invariance:
    """Compare the levels of longitudinal invariance of one scale.

    Parameters
    ----------
    first, second : (n, k) arrays
        Keyed answers of the same people to the same items at two occasions; NaN = missing, at random given what was answered.
    rule : Rule, optional
        When a level holds.

    Raises
    ------
    StatisticsError
        With fewer than three items, shapes that differ, fewer people at both occasions than free parameters, or a model without
        a solution.

    Notes
    -----
    Answers on few steps are treated as continuous. The likelihood takes them as normal; with skewed answers chi-square is too
    large, and CFI and RMSEA look worse than they are. Their *differences* between levels are touched less, which is why the
    rule rests on these.

    References
    ----------
    .. [1] Cheung, G. W., & Rensvold, R. B. (2002). Structural Equation Modeling, 9, 233-255. doi:10.1207/S15328007SEM0902_5
    .. [2] Chen, F. F. (2007). Structural Equation Modeling, 14, 464-504. doi:10.1080/10705510701301834
    """
    rule = rule or Rule()
    if first.shape != second.shape or first.ndim != 2:
        raise StatisticsError(
            f"invariance: found shapes {first.shape} and {second.shape}; the same people and items are needed twice"
        )
    k = first.shape[1]
    both = int((~np.isnan(first).all(axis=1) & ~np.isnan(second).all(axis=1)).sum())
    needed = len(longitudinal_model(k, CONFIGURAL).parameters)
    if both <= needed:
        raise StatisticsError(f"{both} people answered at both occasions; the model has {needed} parameters and needs more people")
    moments = moments_of(np.hstack([first, second]))
    levels: list[Level] = []
    for name in LEVELS:
        model = fit_structure(longitudinal_model(k, name), moments)
        if not model.converged:
            raise StatisticsError(f"the search for the {name} model did not end")
        levels.append(_level(name, model, levels[-1] if levels else None, rule))
    held = [level.name for level in levels if level.holds]
    return Invariance(tuple(levels), held[-1] if held else "", both, rule)


def _level(name: str, model: FactorFit, before: Level | None, rule: Rule) -> Level:
    fit = fit_indices(model)
    if before is None:
        holds = fit.cfi >= rule.cfi and fit.rmsea <= rule.rmsea
        return Level(name, fit, model, math.nan, math.nan, math.nan, math.nan, math.nan, holds if model.proper else None)
    cfi, rmsea = fit.cfi - before.fit.cfi, fit.rmsea - before.fit.rmsea
    difference, df = max(0.0, fit.chi_square - before.fit.chi_square), fit.df - before.fit.df
    holds = -cfi <= rule.loss_of_cfi and rmsea <= rule.gain_of_rmsea
    known = holds if before.holds and model.proper else None
    return Level(name, fit, model, cfi, rmsea, difference, df, float(chi2.sf(difference, df)), known)


def invariance_estimates(
    matrices: Mapping[str, ItemMatrix],
    instruments: Mapping[str, Instrument],
    settings: Mapping[str, Any] | None = None,
    *,
    people: pd.DataFrame | None = None,
    ci_level: float = CI_LEVEL,
) -> tuple[list[Estimate], dict[str, pd.DataFrame]]:
    """Return the fit of each level and the verdict for every scale that was answered at two waves.

    Parameters
    ----------
    matrices : mapping
        Instrument key to its answers.
    instruments : mapping
        Instrument key to its form.
    settings : mapping, optional
        ``scales`` (all that are made from three unweighted items or more, and not from other scales), ``baseline`` (``first``),
        ``end`` (``last``), ``rater`` (``self``), and ``rule``: fields of :class:`Rule`.
    people : DataFrame, optional
        Canonical people: with it only the treated count.
    ci_level : float
        Confidence level of the study; the interval of the RMSEA is one of 90 % by custom.

    Returns
    -------
    estimates : list of Estimate
    tables : dict
        ``invariance``, a row a scale and level; ``n`` and ``n_both`` count people.
    """
    settings = settings or {}
    rule = Rule(**settings.get("rule", {}))
    rows: list[Estimate] = []
    lines: list[dict[str, Any]] = []
    for outcome in settings.get("scales") or _scales(matrices, instruments):
        key, _, scale = str(outcome).partition(".")
        try:
            if key not in matrices:
                raise StatisticsError("its items were not given")
            pair = repeated_answers(
                matrices[key], instruments[key], scale, baseline=settings.get("baseline", "first"), end=settings.get("end", "last"),
                rater=str(settings.get("rater", "self")), people=people,
            )  # fmt: skip
            found = invariance(pair.first, pair.second, rule=rule)
        except StatisticsError as error:
            rows.append(not_testable(ANALYSIS, str(error), outcome=str(outcome)))
            continue
        rows += _rows(found, pair, str(outcome), instruments[key], ci_level)
        lines += [_line(str(outcome), level, found) for level in found.levels]
    if not rows:
        rows.append(not_testable(ANALYSIS, "no item answers of a scale of three items or more"))
    return rows, {"invariance": _typed(lines)}


def _scales(matrices: Mapping[str, ItemMatrix], instruments: Mapping[str, Instrument]) -> Sequence[str]:
    return [
        f"{key}.{name}"
        for key in matrices
        for name, scale in instruments[key].scales.items()
        if len(scale.items) >= LEAST_ITEMS and not scale.weights
    ]


def _line(outcome: str, level: Level, found: Invariance) -> dict[str, Any]:
    own = {k: getattr(level, k) for k in ("delta_chi_square", "delta_df", "delta_p_value", "delta_cfi", "delta_rmsea", "holds")}
    line = {"outcome": outcome, "level": level.name, **asdict(level.fit), **own, "proper": level.model.proper}
    return {**line, "n_both": found.n_both}


def _typed(lines: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    columns = TABLES["invariance"]
    if not lines:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    return pd.DataFrame(lines)[list(columns)].astype(columns)


def _rows(found: Invariance, pair: Repeated, outcome: str, form: Instrument, ci_level: float) -> list[Estimate]:
    rule, k = found.rule, len(pair.items)
    steps = f"; answers from {form.low:g} to {form.high:g} are treated as continuous"
    rows = []
    for level in found.levels:
        fit = level.fit
        base: dict[str, Any] = {
            "analysis": ANALYSIS, "outcome": outcome, "group": level.name, "method": METHOD, "primary": level.name == SCALAR,
            "n": fit.n, "ci_level": ci_level,
        }  # fmt: skip
        verdict = {True: "holds", False: "does not hold", None: "not judged"}[level.holds]
        tail = "" if level.model.proper else "; a variance is not above 0"
        rows += [
            Estimate(
                **base, estimand="chi_square", estimate=fit.chi_square, p_value=fit.p_value, unit="chi-square",
                note=f"{fit.df} degrees of freedom; {k} items{tail}",
            ),
            Estimate(
                **base, estimand="cfi", estimate=fit.cfi, unit="CFI", direction="higher is better", note=f"{level.name} {verdict}"
            ),
            Estimate(**base, estimand="tli", estimate=fit.tli, unit="TLI", direction="higher is better"),
            Estimate(
                **{**base, "ci_level": RMSEA_LEVEL}, estimand="rmsea", estimate=fit.rmsea, ci_low=fit.rmsea_low,
                ci_high=fit.rmsea_high, unit="RMSEA", direction="lower is better", note="interval of 90 % by custom",
            ),
            Estimate(**base, estimand="srmr", estimate=fit.srmr, unit="SRMR", direction="lower is better"),
        ]  # fmt: skip
        if not math.isnan(level.delta_cfi):
            rows += [
                Estimate(**base, estimand="delta_cfi", estimate=level.delta_cfi, unit="CFI", direction="higher is better"),
                Estimate(**base, estimand="delta_rmsea", estimate=level.delta_rmsea, unit="RMSEA", direction="lower is better"),
                Estimate(
                    **base, estimand="delta_chi_square", estimate=level.delta_chi_square, p_value=level.delta_p_value,
                    unit="chi-square", note=f"{level.delta_df:g} degrees of freedom",
                ),
            ]  # fmt: skip
    told = (
        f"rule stated beforehand: configural CFI >= {rule.cfi:g} and RMSEA <= {rule.rmsea:g}; then loss of "
        f"CFI <= {rule.loss_of_cfi:g} and gain of RMSEA <= {rule.gain_of_rmsea:g}"
    )
    alarm = f"; below {FEW} people the rule often fails without cause; look at chi-square too"
    few = "" if found.scalar or found.n_both >= FEW else alarm
    rows.append(
        Estimate(
            analysis=ANALYSIS, estimand="scalar_invariance", outcome=outcome, group="verdict", estimate=float(found.scalar),
            method=told, n=found.levels[0].fit.n, unit="1 = holds, 0 = does not", direction="higher is better", ci_level=ci_level,
            note=f"{found.verdict}; {found.n_both} people at both occasions{few}{steps}",
        )
    )  # fmt: skip
    return rows

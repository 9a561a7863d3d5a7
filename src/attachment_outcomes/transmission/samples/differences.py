"""What goes with how much samples differ? Meta-regression on what is told of them, one trait at a time.

Vocabulary
----------
trait      what is told of a sample, as a number (year, age) or a word (risk, coding system)
slope      change of the effect, on the scale pooled, with one unit of a number, which is centred
contrast   difference, on the scale pooled, between samples of one level and those of the most frequent one
shared     samples of a cluster share people or authors: the trait is then mostly the cluster's, and errors are cluster-robust

Traits are of samples and not of people, and nobody allotted them: associations, which another trait may explain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import pandas as pd

from attachment_outcomes.errors import DataError, StatisticsError, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.multiplicity import adjust_p_values
from attachment_outcomes.inference.pooling.moderators import MetaRegression, meta_regression
from attachment_outcomes.transmission.samples.effects import Effects
from attachment_outcomes.transmission.samples.pooled import INTERVALS, Interval

ANALYSIS = "sample_moderators"
FEWEST_OF_LEVEL = 2  # samples or clusters: of a single one the level and the sample cannot be told apart
JOINT = "test of the trait"
ROBUST = "cluster-robust (CR2)"


def moderators(
    effects: Effects,
    traits: pd.DataFrame,
    asked: Sequence[str],
    *,
    system: str,
    primary: bool = True,
    interval: Interval = "hartung-knapp",
    ci_level: float = CI_LEVEL,
    flow: Flow | None = None,
) -> list[Estimate]:
    """Regress one measure on each trait of the samples by itself.

    Parameters
    ----------
    effects : Effects
        Of one measure.
    traits : DataFrame
        Canonical ``sample_traits``: sample_id, trait, number, level.
    asked : sequence of str
        Traits, in order.
    system, interval, ci_level
        Of pooling; the modified interval is that of Hartung and Knapp here. Where samples share clusters errors are cluster-robust
        (CR2, Satterthwaite), whatever the interval.
    primary : bool
        Whether figures show this measure, so that its rows are primary.
    flow : Flow, optional
        Takes the samples without the trait, and those alone with their level.

    Returns
    -------
    list of Estimate
        analysis ``sample_moderators``, a trait: ``<measure>_r2``, the share of tau2 that goes with the trait, with the p value of
        the whole trait by Holm over all traits (``group`` is the trait); ``<measure>_slope`` or ``<measure>_contrast`` with their
        own p values; of a word also ``<measure>`` in each level. A trait that cannot be used has its reason. ``n_clusters`` are
        samples, or clusters where samples share them.

    Raises
    ------
    DataError
        If a trait is told twice of a sample.
    """
    line = flow or Flow()
    twice = traits[traits["trait"].isin(list(asked))].duplicated(["sample_id", "trait"])
    if twice.any():
        what = f"{int(twice.sum())} rows tell a trait of a sample that another row tells already."
        raise DataError(problem("sample_traits", what, hint="keep one row a sample and trait."))
    found = {trait: _one(effects, traits[traits["trait"] == trait], trait, system, interval, ci_level, line) for trait in asked}
    tests = [(trait, i) for trait, rows in found.items() for i, row in enumerate(rows) if row.definition == JOINT]
    adjusted = adjust_p_values([found[t][i].p_value for t, i in tests])
    made = sum(not math.isnan(p) for p in adjusted)  # of three levels or more with shared clusters there is no test
    for (trait, i), p in zip(tests, adjusted, strict=True):
        row = found[trait][i]
        raw = "" if math.isnan(p) else f"p unadjusted {row.p_value:.4g}; Holm over {made} traits"
        found[trait][i] = replace(row, p_value=float(p), note="; ".join(filter(None, [row.note, raw])))
    return [replace(row, primary=row.primary and primary) for rows in found.values() for row in rows]


def _one(
    effects: Effects, told: pd.DataFrame, trait: str, system: str, interval: Interval, ci_level: float, flow: Flow
) -> list[Estimate]:
    measure, step = effects.measure, f"{trait} of samples, {effects.measure.name}, {system}"

    def silent(reason: str) -> list[Estimate]:
        return [replace(not_testable(ANALYSIS, reason, outcome=system), group=trait, definition=measure.name)]

    if told.empty:
        return silent(f"no sample has the trait {trait!r} (sample_traits)")
    is_number = bool(told["number"].notna().any())
    values = effects.rows["sample_id"].map(told.set_index("sample_id")["number" if is_number else "level"])
    known = values.notna()
    _count(flow, step, len(values), int(known.sum()), "without the trait")
    often = effects.rows["cluster"].groupby(values).nunique()
    kept = known & (True if is_number else ~values.isin(often.index[often < FEWEST_OF_LEVEL]))
    of_what = "clusters of samples" if effects.shared else "samples"
    _count(flow, step, int(known.sum()), int(kept.sum()), f"a level of fewer than {FEWEST_OF_LEVEL} {of_what}")
    rows, values = effects.rows[kept].reset_index(drop=True), values[kept].reset_index(drop=True)
    if values.nunique() < 2:
        return silent(f"the samples do not differ in the trait {trait!r}")
    design, levels, centre = _design(values, trait, is_number)
    kind: Literal["z", "hartung-knapp"] = "z" if interval == "z" else "hartung-knapp"
    clusters = rows["cluster"] if rows["cluster"].nunique() < len(rows) else None
    definition = f"REML, {INTERVALS[kind] if clusters is None else ROBUST}"
    y, v = rows["effect"].to_numpy(), rows["variance"].to_numpy()
    regress = partial(meta_regression, y, v, interval=kind, clusters=clusters, ci_level=ci_level)
    try:
        fit = regress(design)
    except StatisticsError as error:
        return silent(str(error))
    shared = {"analysis": ANALYSIS, "outcome": system, "ci_level": ci_level, "n": float(rows["n"].sum()), "method": fit.method}
    left = len(effects.rows) - len(rows)
    groups = float(rows["cluster"].nunique())
    many = f"{fit.k} samples" + ("" if clusters is None else f" in {groups:.0f} clusters")
    out = [
        Estimate(
            estimand=f"{measure.name}_r2", group=trait, definition=JOINT, estimate=fit.r2, p_value=fit.qm_p,
            n_clusters=groups, unit="proportion",
            note="; ".join(filter(None, [many + (f", {left} left out" if left else ""),
                f"tau2 left {fit.tau2:.4g}", fit.note])), **shared,  # type: ignore[arg-type]
        )
    ]  # fmt: skip
    name, unit = ("slope", f"{measure.scale} per unit of {trait}") if is_number else ("contrast", measure.scale)
    for term in fit.coefficients.iloc[1:].to_dict("records"):
        against = "" if is_number else f": {term['term']} against {levels[0]}"
        rough = "" if clusters is None else f"; {term['df']:.1f} degrees of freedom"
        out.append(
            Estimate(
                estimand=f"{measure.name}_{name}", group=f"{trait}{against}", definition=definition,
                estimate=term["estimate"], std_error=term["std_error"], ci_low=term["ci_low"], ci_high=term["ci_high"],
                p_value=term["p_value"], n_clusters=groups, unit=unit,
                note=(f"centred at {centre:.4g}; " if is_number else "") + f"association over samples{rough}", **shared,  # type: ignore[arg-type]
            )
        )  # fmt: skip
    return [*out, *_levels(effects, regress, rows, values, levels, trait, definition, shared)]


def _count(flow: Flow, step: str, n_in: int, n_out: int, reason: str) -> None:
    """Record who is left out, where somebody is: a line a trait and measure would hide the others."""
    if n_out < n_in:
        flow.add(step, n_in, n_out, reason, unit="samples")


def _design(values: pd.Series, trait: str, is_number: bool) -> tuple[pd.DataFrame, list[str], float]:
    """Return the columns of the regression, the levels with the most frequent first, and the mean of a number."""
    if is_number:
        number = values.astype("float64")
        return pd.DataFrame({trait: number - number.mean()}), [], float(number.mean())
    often = values.value_counts()
    levels = sorted((str(x) for x in often.index), key=lambda x: (-often[x], x))
    return _contrasts(values, levels), levels, math.nan


def _contrasts(values: pd.Series, levels: Sequence[str]) -> pd.DataFrame:
    """Return a column a level against the first one."""
    return pd.DataFrame({x: (values == x).astype("float64") for x in levels[1:]})


def _levels(
    effects: Effects,
    regress: Callable[[pd.DataFrame], MetaRegression],
    rows: pd.DataFrame,
    values: pd.Series,
    levels: Sequence[str],
    trait: str,
    definition: str,
    shared: dict[str, object],
) -> list[Estimate]:
    """Return the measure in the samples of each level, brought back from the scale pooled.

    A level's mean is the intercept where that level is the reference, with the intercept's own degrees of freedom.
    """
    measure = effects.measure
    out = []
    for name in levels:
        here = regress(_contrasts(values, [name, *(x for x in levels if x != name)])).coefficients.iloc[0]
        of = values == name
        middle, low, high = (float(measure.back(here[c])) for c in ("estimate", "ci_low", "ci_high"))
        out.append(
            Estimate(
                estimand=measure.name, group=f"{trait}: {name}", definition=definition, estimate=middle,
                std_error=float(here["std_error"]), ci_low=low, ci_high=high,
                n_clusters=float(rows.loc[of, "cluster"].nunique()), unit=measure.unit, direction=measure.direction,
                note=f"{int(of.sum())} samples; one variance between samples for all levels",
                **{**shared, "n": float(rows.loc[of, "n"].sum())},  # type: ignore[arg-type]
            )
        )  # fmt: skip
    return out

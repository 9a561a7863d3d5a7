"""What goes with how much samples differ? Meta-regression on what is told of them, one trait at a time.

Vocabulary
----------
trait      what is told of a sample, as a number (year, age) or a word (risk, coding system)
slope      change of the effect, on the scale pooled, with one unit of a number, which is centred
contrast   difference, on the scale pooled, between samples of one level and those of the most frequent one

Traits are of samples and not of people, and nobody allotted them: associations, which another trait may explain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.multiplicity import adjust_p_values
from attachment_outcomes.inference.pooling.moderators import MetaRegression, meta_regression
from attachment_outcomes.transmission.samples.effects import Effects
from attachment_outcomes.transmission.samples.pooled import INTERVALS, Interval

ANALYSIS = "sample_moderators"
FEWEST_OF_LEVEL = 2  # samples: of a single one the level and the sample cannot be told apart
JOINT = "test of the trait"


def moderators(
    effects: Effects,
    traits: pd.DataFrame,
    asked: Sequence[str],
    *,
    system: str,
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
        Of pooling; the modified interval is that of Hartung and Knapp here.
    flow : Flow, optional
        Takes the samples without the trait, and those alone with their level.

    Returns
    -------
    list of Estimate
        analysis ``sample_moderators``, a trait: ``<measure>_r2``, the share of tau2 that goes with the trait, with the p value of
        the whole trait by Holm over all traits (``group`` is the trait); ``<measure>_slope`` or ``<measure>_contrast`` with their
        own p values; of a word also ``<measure>`` in each level. A trait that cannot be used has its reason.
    """
    line = flow or Flow()
    found = {trait: _one(effects, traits[traits["trait"] == trait], trait, system, interval, ci_level, line) for trait in asked}
    tests = [(trait, i) for trait, rows in found.items() for i, row in enumerate(rows) if row.definition == JOINT]
    adjusted = adjust_p_values([found[t][i].p_value for t, i in tests])
    for (trait, i), p in zip(tests, adjusted, strict=True):
        row = found[trait][i]
        raw = f"p unadjusted {row.p_value:.4g}; Holm over {len(tests)} traits"
        found[trait][i] = replace(row, p_value=float(p), note="; ".join(filter(None, [row.note, raw])))
    return [row for rows in found.values() for row in rows]


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
    often = values.value_counts()
    kept = known & (True if is_number else ~values.isin(often.index[often < FEWEST_OF_LEVEL]))
    _count(flow, step, int(known.sum()), int(kept.sum()), f"a level of fewer than {FEWEST_OF_LEVEL} samples")
    rows, values = effects.rows[kept].reset_index(drop=True), values[kept].reset_index(drop=True)
    if values.nunique() < 2:
        return silent(f"the samples do not differ in the trait {trait!r}")
    design, levels, centre = _design(values, trait, is_number)
    kind: Literal["z", "hartung-knapp"] = "z" if interval == "z" else "hartung-knapp"
    try:
        fit = meta_regression(
            rows["effect"].to_numpy(), rows["variance"].to_numpy(), design, interval=kind, ci_level=ci_level
        )  # fmt: skip
    except StatisticsError as error:
        return silent(str(error))
    shared = {"analysis": ANALYSIS, "outcome": system, "ci_level": ci_level, "n": float(rows["n"].sum()), "method": fit.method}
    left = len(effects.rows) - len(rows)
    out = [
        Estimate(
            estimand=f"{measure.name}_r2", group=trait, definition=JOINT, estimate=fit.r2, p_value=fit.qm_p,
            n_clusters=float(fit.k), unit="proportion",
            note="; ".join(filter(None, [f"{fit.k} samples" + (f", {left} left out" if left else ""),
                f"tau2 left {fit.tau2:.4g}", fit.note])), **shared,  # type: ignore[arg-type]
        )
    ]  # fmt: skip
    name, unit = ("slope", f"{measure.scale} per unit of {trait}") if is_number else ("contrast", measure.scale)
    for term in fit.coefficients.iloc[1:].to_dict("records"):
        against = "" if is_number else f": {term['term']} against {levels[0]}"
        out.append(
            Estimate(
                estimand=f"{measure.name}_{name}", group=f"{trait}{against}", definition=f"REML, {INTERVALS[kind]}",
                estimate=term["estimate"], std_error=term["std_error"], ci_low=term["ci_low"], ci_high=term["ci_high"],
                p_value=term["p_value"], n_clusters=float(fit.k), unit=unit,
                note=f"centred at {centre:.4g}; association over samples" if is_number else "association over samples", **shared,  # type: ignore[arg-type]
            )
        )  # fmt: skip
    return [*out, *_levels(effects, fit, rows, values, levels, trait, kind, shared)]


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
    return pd.DataFrame({x: (values == x).astype("float64") for x in levels[1:]}), levels, math.nan


def _levels(
    effects: Effects,
    fit: MetaRegression,
    rows: pd.DataFrame,
    values: pd.Series,
    levels: Sequence[str],
    trait: str,
    kind: Interval,
    shared: dict[str, object],
) -> list[Estimate]:
    """Return the measure in the samples of each level, brought back from the scale pooled."""
    measure = effects.measure
    level = float(shared["ci_level"])  # type: ignore[arg-type]
    beta = fit.coefficients["estimate"].to_numpy()
    df = fit.k - len(beta)
    quantile = float(stats.norm.ppf(0.5 + level / 2) if kind == "z" else stats.t.ppf(0.5 + level / 2, df))
    out = []
    for i, name in enumerate(levels):
        weights = np.zeros(len(beta))
        weights[[0, i]] = 1.0
        mean, error = float(weights @ beta), math.sqrt(float(weights @ fit.covariance @ weights))
        of = values == name
        out.append(
            Estimate(
                estimand=measure.name, group=f"{trait}: {name}", definition=f"REML, {INTERVALS[kind]}",
                estimate=float(measure.back(mean)), std_error=error, ci_low=float(measure.back(mean - quantile * error)),
                ci_high=float(measure.back(mean + quantile * error)), n_clusters=float(of.sum()), unit=measure.unit,
                direction=measure.direction, note=f"{int(of.sum())} samples; one variance between samples for all levels",
                **{**shared, "n": float(rows.loc[of, "n"].sum())},  # type: ignore[arg-type]
            )
        )  # fmt: skip
    return out

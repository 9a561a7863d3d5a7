"""What do several samples say together, and how much do samples differ? Random-effects pooling, one measure at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from attachment_outcomes.errors import ConfigError, DataError, StatisticsError, did_you_mean, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.pooling.binomial import pool_proportions
from attachment_outcomes.inference.pooling.effects import ALL_EQUAL
from attachment_outcomes.inference.pooling.nested import pool_nested
from attachment_outcomes.inference.pooling.random_effects import ONE_SAMPLE, SHORT, Pooled, pool
from attachment_outcomes.inference.pooling.tau2 import Method
from attachment_outcomes.transmission.samples.effects import BY_MEANING, MEASURES, Effects, read_effects
from attachment_outcomes.transmission.samples.tables import (
    RECALLED,
    Reported,
    Sample,
    check_secure_known,
    read_reported,
    read_samples,
)

ANALYSIS = "pooled_samples"
Interval = Literal["z", "hartung-knapp", "hartung-knapp-modified"]
INTERVALS: dict[Interval, str] = {
    "hartung-knapp": "Hartung-Knapp",
    "hartung-knapp-modified": "Hartung-Knapp modified",
    "z": "normal",
}
MOST_COUNTED = 1000  # samples: beyond, the mixed model of counts takes longer than everything else together
BINOMIAL, NESTED = "binomial mixed model", "three levels"
SHARED = "samples share people or authors, which this row does not allow for: see three levels"
OWN_UNDEFINED = "the study's own families: not defined without one of them"


def pool_samples(
    table: pd.DataFrame,
    *,
    measure: str,
    classes: Sequence[str] | None = None,
    system: str | None = None,
    method: Method = "REML",
    interval: Interval = "hartung-knapp",
    ci_level: float = CI_LEVEL,
    flow: Flow | None = None,
) -> list[Estimate]:
    """Pool one measure of the class tables of several samples.

    Parameters
    ----------
    table : DataFrame
        Canonical ``samples`` rows, or a long frame with the columns sample_id, row_class, col_class, n (and system,
        label, cluster if there are any). Rows are parents or the earlier time, columns children or the later time.
    measure : str
        ``stays_secure`` (of those secure in the rows, the share secure in the columns) and ``becomes_secure`` (of those
        insecure); the same named ``secure_given_secure`` and ``secure_given_insecure`` where rows are parents; ``agreement``
        (share on the diagonal); all pooled as log odds; ``phi`` (as Fisher's z); ``kappa`` (as it is, with its
        Fleiss–Cohen–Everitt error); ``odds_ratio`` (of insecurity in the columns, insecure against secure rows; as logarithm).
    classes : sequence, optional
        Classes in order, the secure one of two last. Without it the order of appearance, of two a class named S, secure, B, F or
        autonomous (in any case) last.
    system : str, optional
        Which system to pool, where the table has several.
    method, interval
        As for :func:`attachment_outcomes.inference.pooling.pool`.
    ci_level : float
        Confidence level of the interval, and level of the prediction interval.
    flow : Flow, optional
        Takes the samples left out.

    Returns
    -------
    list of Estimate
        analysis ``pooled_samples``: the pooled measure (``std_error`` on the scale pooled), its
        ``<measure>_prediction_interval`` (limits for a new sample), ``<measure>_i2`` (share of the variation between
        samples that is not sampling error, with the p value of Cochran's Q) and ``<measure>_tau2`` (variance between samples on
        the scale pooled, Q-profile interval). Not primary: the other interval, of shares the binomial mixed model, and where
        samples share clusters the three-level model with cluster-robust interval. ``n`` is the number of people, of a conditional
        share of those in its row; ``n_clusters`` of samples or clusters. Limits for a new sample have the modified error, where
        that of Hartung and Knapp is smaller than the normal one. One sample alone has its normal interval. Samples recalled from
        memory, or without the measure, are left out and counted.

    Raises
    ------
    DataError
        If the table breaks its contract, see ``read_samples``.
    ConfigError
        If the measure is not known, the system is needed or not there, or the secure class of a share cannot be told.
    StatisticsError
        If the measure needs two classes and there are more.
    """
    if measure not in MEASURES:
        raise ConfigError(
            problem("measure", f"found {measure!r}; allowed: {', '.join(MEASURES)}.{did_you_mean(measure, MEASURES)}")
        )
    if {"system", "sample_id"} <= set(table.columns) and table["system"].isna().any():
        raise DataError(problem("samples", "rows without a system.", hint="give each its system, or leave the column out."))
    if system is None:
        found = ["all"] if "system" not in table else sorted(table["system"].dropna().unique())
        if len(found) != 1:
            raise ConfigError(problem("system", f"the table has {len(found)} ({', '.join(found)}); name the one to pool."))
        system = found[0]
    chosen = table.assign(system=system) if "system" not in table else table[table["system"] == system]
    if classes is None and MEASURES[measure].direction:
        check_secure_known(chosen)
    samples = read_samples(chosen, systems=None if classes is None else {system: classes})
    reported = read_reported(chosen, samples, systems={system: ()}) if {"measure", "value"} <= set(table.columns) else []
    effects = measured(samples, reported, measure, system, flow=flow or Flow())
    return pooled_rows(effects, system, method=method, interval=interval, ci_level=ci_level)


def measured(samples: Sequence[Sample], reported: Sequence[Reported], measure: str, system: str, *, flow: Flow) -> Effects:
    """Return the effects of the samples of one system that may be pooled; what is recalled or not defined is counted.

    Raises
    ------
    StatisticsError
        If the measure needs two classes and there are more.
    """
    of = MEASURES[measure]
    own, told = [s for s in samples if s.system == system], [r for r in reported if r.system == system]
    known = [s for s in own if not s.recalled], [r for r in told if not r.recalled and r.measure in of.reported]
    whole = len(own) + len({r.sample_id for r in told if r.measure in of.reported})
    step = f"pooled {measure}, {system}"
    found = read_effects(*known, of)
    flow.add(step, whole, found.asked, RECALLED, unit="samples")
    undefined = any(s.own and s.clustered for s in own) and not found.rows["own"].any()
    if undefined:
        flow.add(step, found.asked, found.asked - 1, OWN_UNDEFINED, unit="samples")
    found.record(flow.add, step, found.asked - undefined)
    return found._replace(asked=whole)


@dataclass(frozen=True)
class _Rows:
    """What all rows of one pooled measure share."""

    effects: Effects
    system: str
    ci_level: float

    def row(self, estimand: str, definition: str, estimate: float, low: float, high: float, **more: object) -> Estimate:
        """Return a row whose numbers are on the scale pooled, brought back."""
        measure = self.effects.measure
        back = measure.back
        return self.plain(
            estimand, definition, float(back(estimate)), float(back(low)), float(back(high)),
            **{"unit": measure.unit, "direction": measure.direction, **more},
        )  # fmt: skip

    def plain(self, estimand: str, definition: str, estimate: float, low: float, high: float, **more: object) -> Estimate:
        """Return a row whose numbers are as they are."""
        fields = {"n": float(self.effects.rows["n"].sum()), "n_clusters": float(len(self.effects.rows)), **more}
        return Estimate(
            analysis=ANALYSIS, estimand=estimand, outcome=self.system, definition=definition, estimate=estimate, ci_low=low,
            ci_high=high, ci_level=self.ci_level, **fields,  # type: ignore[arg-type]
        )  # fmt: skip

    @property
    def left(self) -> str:
        """How many samples were left out, in words."""
        out, alike = self.effects.asked - len(self.effects.rows), self.effects.alike
        why = f", {alike} of them because all agree, so that the pooled value is too low" if alike else ""
        return f"; {out} left out{why}" if out else ""

    @property
    def tests(self) -> bool:
        """Whether 0 on the scale pooled means that rows and columns have nothing to do with each other."""
        return self.effects.measure.counts is None


def pooled_rows(
    effects: Effects, system: str, *, method: Method = "REML", interval: Interval = "hartung-knapp", ci_level: float = CI_LEVEL
) -> list[Estimate]:
    """Return what pooling one measure gives; see :func:`pool_samples`."""
    measure, rows = effects.measure, effects.rows
    if rows.empty:
        reason = f"no sample of {system} with counts that allow it, and that was read in its source"
        return [replace(not_testable(ANALYSIS, reason, outcome=system), definition=measure.name)]
    shared = _Rows(effects, system, ci_level)
    y, v = rows["effect"].to_numpy(), rows["variance"].to_numpy()
    clusters = rows["cluster"].tolist()
    nested = effects.shared and len(set(clusters)) > 1

    def one(found: Pooled, interval: Interval, *, primary: bool) -> Estimate:
        alone = found.k == 1
        note = [
            f"k = {found.k} samples{shared.left}" + ("" if alone else f"; tau2 = {found.tau2:.4g}"), found.note,
            _modified(found) if SHORT in found.note or ALL_EQUAL in found.note else "", SHARED if nested else "",
            f"standard error on the scale pooled ({measure.scale})",
        ]  # fmt: skip
        return shared.row(
            measure.name, ONE_SAMPLE if alone else f"{method}, {INTERVALS[interval]}", found.estimate, found.ci_low,
            found.ci_high, primary=primary,
            std_error=found.std_error, p_value=found.p_value if shared.tests else math.nan, method=found.method,
            note="; ".join(filter(None, note)),
        )  # fmt: skip

    whole = pool(y, v, method=method, interval=interval, ci_level=ci_level)
    never_shorter: Interval = "z" if interval == "z" else "hartung-knapp-modified"
    careful = pool(y, v, method=method, interval=never_shorter, ci_level=ci_level)

    def _modified(found: Pooled) -> str:
        low, high = (float(measure.back(x)) for x in (careful.ci_low, careful.ci_high))
        return f"modified {low:.3f} to {high:.3f}" if careful.method != found.method else ""

    out = [one(whole, interval, primary=True)]
    if whole.k == 1:
        return out
    other: Interval = "hartung-knapp" if interval == "z" else "z"
    out += [
        one(pool(y, v, method=method, interval=other, ci_level=ci_level), other, primary=False),
        *_spread(shared, whole, careful, f"{method}, {INTERVALS[interval]}"),
    ]
    if rows["successes"].notna().sum() > 1:
        out.append(_binomial(shared))
    if nested:
        out += _nested(shared)
    return out


def _spread(shared: _Rows, whole: Pooled, careful: Pooled, definition: str) -> list[Estimate]:
    """Return how samples differ: prediction interval (careful where the whole's error is too small for it), I2 and tau2."""
    name, nan = shared.effects.measure.name, math.nan
    new = whole if whole.std_error >= careful.std_error else careful
    why = "" if new is whole else "; with the modified error, because effects lie closer together than their errors say"
    return [
        shared.row(
            f"{name}_prediction_interval", definition, new.estimate, new.prediction_low, new.prediction_high,
            method=new.method, note=f"limits for the true value of a new sample{why}",
        ),
        shared.plain(
            f"{name}_i2", definition, whole.i2, nan, nan, p_value=whole.q_p, unit="proportion", method=whole.method,
            note=f"Q = {whole.q:.2f} on {whole.q_df} df",
        ),
        shared.plain(
            f"{name}_tau2", definition, whole.tau2, whole.tau2_low, whole.tau2_high, std_error=whole.tau2_se,
            unit=f"squared {shared.effects.measure.scale}", method=f"{whole.method}; Q-profile interval",
        ),
    ]  # fmt: skip


def _binomial(shared: _Rows) -> Estimate:
    """Return a share by the mixed model of counts, which needs no half added where nobody or everybody succeeds."""
    name = shared.effects.measure.name
    rows = shared.effects.rows
    counted = rows[rows["successes"].notna()]
    try:
        if len(counted) > MOST_COUNTED:
            raise StatisticsError(f"not run with more than {MOST_COUNTED} samples, for its time")
        found = pool_proportions(counted["successes"].to_numpy(), counted["of"].to_numpy(), ci_level=shared.ci_level)
    except StatisticsError as error:
        return replace(not_testable(ANALYSIS, str(error), outcome=shared.system), definition=f"{name}, {BINOMIAL}")
    out = len(rows) - len(counted)
    back = shared.effects.measure.back
    note = [
        f"k = {found.k} samples", f"{out} without independent counts left out" if out else "", found.note,
        f"variance between samples {found.tau2:.4g} (log odds)",
        f"new sample {float(back(found.prediction_low)):.3f} to {float(back(found.prediction_high)):.3f}",
    ]  # fmt: skip
    return shared.plain(
        name, BINOMIAL, found.share, found.share_low, found.share_high, primary=False, std_error=found.std_error,
        n=float(counted["n"].sum()), n_clusters=float(len(counted)), unit="proportion",
        direction=shared.effects.measure.direction, method=found.method, note="; ".join(filter(None, note)),
    )  # fmt: skip


def _nested(shared: _Rows) -> list[Estimate]:
    """Return the pooled value where samples share clusters: three levels, with cluster-robust intervals."""
    rows, name = shared.effects.rows, shared.effects.measure.name
    out = []
    for interval in ("CR2", "CR1"):
        found = pool_nested(
            rows["effect"].to_numpy(), rows["variance"].to_numpy(), rows["cluster"].tolist(), interval=interval,
            ci_level=shared.ci_level,
        )  # fmt: skip
        note = [
            f"k = {found.k} samples{shared.left} in {found.n_clusters} clusters",
            f"variance {found.tau2_between:.4g} between and {found.tau2_within:.4g} within clusters", found.note,
        ]  # fmt: skip
        out.append(
            shared.row(
                name, f"{NESTED}, {interval}", found.estimate, found.ci_low, found.ci_high, primary=False,
                std_error=found.std_error, p_value=found.p_value if shared.tests else math.nan,
                n_clusters=float(found.n_clusters), method=found.method, note="; ".join(filter(None, note)),
            )
        )  # fmt: skip
    return out


def pooled_systems(
    samples: Sequence[Sample],
    reported: Sequence[Reported] = (),
    *,
    pool: str | None,
    meaning: Literal["transmission", "stability"] = "transmission",
    interval: Interval = "hartung-knapp",
    ci_level: float = CI_LEVEL,
    flow: Flow,
) -> tuple[list[Estimate], list[Effects]]:
    """Pool what the meaning of the tables asks for, over the samples of one two-class system; see ``pool_samples``.

    transmission: kappa, agreement, phi, odds_ratio, secure_given_secure and secure_given_insecure. stability: stays_secure,
    becomes_secure and phi. The first of them is the one that figures show. Returns the estimates, and the effects of each measure.
    """
    if pool is None:
        return [not_testable(ANALYSIS, "the study names no system to pool (transmission.samples.pool)")], []
    rows: list[Estimate] = []
    effects = []
    for measure in BY_MEANING[meaning]:
        effects.append(measured(samples, reported, measure, pool, flow=flow))
        rows += pooled_rows(effects[-1], pool, interval=interval, ci_level=ci_level)
    return rows, effects


def not_told(systems: Mapping[str, Sequence[str]], samples: Sequence[Sample]) -> list[Estimate]:
    """Return a row for each named system that no sample has a table of."""
    there = {s.system for s in samples}
    return [not_testable("pooled_table", "no sample has a table of this system", outcome=s) for s in sorted(set(systems) - there)]

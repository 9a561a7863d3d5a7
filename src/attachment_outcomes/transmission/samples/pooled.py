"""What do several samples' class tables say together, and how much do samples differ? Random-effects pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from attachment_outcomes.errors import ConfigError, StatisticsError, did_you_mean, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference import agreement, pooling, two_by_two
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.transmission.samples.tables import RECALLED, Sample, read_samples
from attachment_outcomes.transmission.tables import Table

ANALYSIS = "pooled_samples"
CLUSTER_ROBUST = "cluster-robust"

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Effect:
    """One effect a sample: how it is read on the scale it is pooled on, and how it comes back."""

    unit: str
    read: Callable[[list[Table]], tuple[Numbers, Numbers]]
    back: Callable[[float], float]
    missing: str
    two_class: bool = True
    direction: str = ""


def _cells(tables: list[Table], row: int) -> tuple[Numbers, Numbers]:
    """Return the counts in the last (secure) column, and the totals, of one row."""
    return np.array([float(t[row, -1]) for t in tables]), np.array([float(t[row].sum()) for t in tables])


def _agreement(tables: list[Table]) -> tuple[Numbers, Numbers]:
    return pooling.logit_proportion([int(np.trace(t)) for t in tables], [int(t.sum()) for t in tables])


def _kappa(tables: list[Table]) -> tuple[Numbers, Numbers]:
    found = [agreement.kappa(t) for t in tables]
    return np.array([k.kappa for k in found]), np.array([k.std_error**2 for k in found])


def _phi(tables: list[Table]) -> tuple[Numbers, Numbers]:
    return pooling.fisher_z([two_by_two.phi(t).estimate for t in tables], [int(t.sum()) for t in tables])


def _odds_ratio(tables: list[Table]) -> tuple[Numbers, Numbers]:
    found = [two_by_two.odds_ratio(t) for t in tables]
    return np.log([f.estimate for f in found]), np.array([f.std_error**2 for f in found])


EFFECTS = {
    "stays_secure": _Effect(
        "proportion",
        lambda t: pooling.logit_proportion(*_cells(t, 1)),
        lambda x: float(expit(x)),
        "nobody secure in the rows",
        direction="higher is better",
    ),
    "becomes_secure": _Effect(
        "proportion",
        lambda t: pooling.logit_proportion(*_cells(t, 0)),
        lambda x: float(expit(x)),
        "nobody insecure in the rows",
        direction="higher is better",
    ),
    "phi": _Effect("phi", _phi, math.tanh, "an empty row or column, a phi of 1, or fewer than 4 people"),
    "odds_ratio": _Effect("odds ratio", _odds_ratio, math.exp, "an empty row or column"),
    "agreement": _Effect("proportion", _agreement, lambda x: float(expit(x)), "no people", two_class=False),
    "kappa": _Effect("kappa", _kappa, float, "kappa or its error not defined", two_class=False),
}
BY_MEANING = {
    "transmission": ["agreement", "kappa", "phi", "odds_ratio"],
    "stability": ["stays_secure", "becomes_secure", "phi"],
}


def pool_samples(
    table: pd.DataFrame,
    *,
    measure: str,
    classes: Sequence[str] | None = None,
    system: str | None = None,
    method: Literal["REML", "DL", "EE"] = "REML",
    interval: Literal["z", "hartung-knapp"] = "z",
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
        ``stays_secure`` (of those secure in the rows, the share secure in the columns), ``becomes_secure`` (of those
        insecure), ``agreement`` (share on the diagonal), all pooled as logits; ``phi`` (as Fisher's z); ``kappa`` (as it
        is, with its Fleiss–Cohen–Everitt error); ``odds_ratio`` (of insecurity in the columns, insecure against secure
        rows; as logarithm).
    classes : sequence, optional
        Classes in order, the secure one of two last. Without it the order of appearance, a class named S, secure, B or
        F last.
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
        ``<measure>_prediction_interval`` (limits for a new sample) and ``<measure>_i2`` (share of the variation between
        samples that is not sampling error, with the p value of Cochran's Q). If samples share clusters, a second row
        with a cluster-robust interval, not primary. ``n`` is the number of people, ``n_clusters`` of samples or
        clusters. Samples recalled from memory, or without the measure, are left out and counted.

    Raises
    ------
    DataError
        If the table breaks its contract, see ``read_samples``.
    ConfigError
        If the measure is not known, or the system is needed or not there.
    StatisticsError
        If the measure needs two classes and there are more.
    """
    if measure not in EFFECTS:
        raise ConfigError(problem("measure", f"found {measure!r}; allowed: {', '.join(EFFECTS)}.{did_you_mean(measure, EFFECTS)}"))
    if system is None:
        found = ["all"] if "system" not in table else sorted(table["system"].dropna().unique())
        if len(found) != 1:
            raise ConfigError(problem("system", f"the table has {len(found)} ({', '.join(found)}); name the one to pool."))
        system = found[0]
    samples = read_samples(
        table if "system" not in table else table[table["system"] == system],
        systems=None if classes is None else {system: classes},
    )
    return _pool(samples, measure, system, method=method, interval=interval, ci_level=ci_level, flow=flow or Flow())


def pooled_systems(
    samples: Sequence[Sample],
    *,
    pool: str | None,
    meaning: Literal["transmission", "stability"] = "transmission",
    ci_level: float = CI_LEVEL,
    flow: Flow,
) -> list[Estimate]:
    """Pool what the meaning of the tables asks for, over the samples of one two-class system; see ``pool_samples``.

    transmission: agreement, kappa, phi and odds_ratio. stability: stays_secure, becomes_secure and phi.
    """
    if pool is None:
        return [not_testable(ANALYSIS, "the study names no system to pool (transmission.samples.pool)")]
    chosen = [s for s in samples if s.system == pool]
    out: list[Estimate] = []
    for measure in BY_MEANING[meaning]:
        out += _pool(chosen, measure, pool, method="REML", interval="z", ci_level=ci_level, flow=flow)
    return out


def _pool(
    samples: Sequence[Sample],
    measure: str,
    system: str,
    *,
    method: Literal["REML", "DL", "EE"],
    interval: Literal["z", "hartung-knapp"],
    ci_level: float,
    flow: Flow,
) -> list[Estimate]:
    effect = EFFECTS[measure]
    step = f"pooled {measure}, {system}"
    checked = [s for s in samples if not s.recalled]
    flow.add(step, len(samples), len(checked), RECALLED, unit="samples")
    wrong = next((s for s in checked if effect.two_class and len(s.table) != 2), None)
    if wrong is not None:
        raise StatisticsError(
            problem(
                f"{measure} of {system}",
                f"its tables have {len(wrong.table)} classes; allowed: 2.",
                hint="pool a secure/insecure system, or measure agreement or kappa.",
            )
        )
    effects, variances = effect.read([s.table for s in checked]) if checked else (np.empty(0), np.empty(0))
    used = np.isfinite(effects) & np.isfinite(variances) & (variances > 0)
    flow.add(step, len(checked), int(used.sum()), effect.missing, unit="samples")
    if not used.any():
        reason = f"no sample of {system} with counts that allow it" + (f"; all {RECALLED}" if samples and not checked else "")
        return [replace(not_testable(ANALYSIS, reason, outcome=system), definition=measure)]
    kept = [s for s, keep in zip(checked, used, strict=True) if keep]
    y, v = effects[used], variances[used]
    people = sum(s.n for s in kept)
    left = f"; {len(samples) - len(kept)} left out" if len(kept) < len(samples) else ""

    def row(estimand: str, found: pooling.Pooled, *, definition: str, primary: bool = True) -> Estimate:
        return Estimate(
            analysis=ANALYSIS, estimand=estimand, outcome=system, definition=definition, primary=primary,
            estimate=effect.back(found.estimate), std_error=found.std_error, ci_low=effect.back(found.ci_low),
            ci_high=effect.back(found.ci_high), ci_level=ci_level, p_value=math.nan, n=people, n_clusters=found.n_clusters,
            unit=effect.unit, direction=effect.direction, method=found.method,
            note="; ".join(filter(None, [f"k = {found.k} samples{left}; tau2 = {found.tau2:.4g}", found.note])),
        )  # fmt: skip

    whole = pooling.pool(y, v, method=method, interval=interval, ci_level=ci_level)
    out = [row(measure, whole, definition=method)]
    if whole.k > 1:
        out += [
            Estimate(
                analysis=ANALYSIS, estimand=f"{measure}_prediction_interval", outcome=system, definition=method,
                estimate=effect.back(whole.estimate), ci_low=effect.back(whole.prediction_low),
                ci_high=effect.back(whole.prediction_high), ci_level=ci_level, n=people, n_clusters=whole.n_clusters,
                unit=effect.unit, direction=effect.direction, method=whole.method,
                note=f"limits for a new sample, {'t' if interval == 'hartung-knapp' else 'normal'} quantile",
            ),
            Estimate(
                analysis=ANALYSIS, estimand=f"{measure}_i2", outcome=system, definition=method, estimate=whole.i2,
                p_value=whole.q_p, ci_level=ci_level, n=people, n_clusters=whole.n_clusters, unit="proportion",
                method=whole.method, note=f"Q = {whole.q:.2f} on {whole.q_df} df",
            ),
        ]  # fmt: skip
    clusters = [s.cluster for s in kept]
    if 1 < len(set(clusters)) < len(kept) and interval == "z":
        robust = pooling.pool(y, v, method=method, clusters=clusters, ci_level=ci_level)
        out.append(row(measure, robust, definition=f"{method}, {CLUSTER_ROBUST}", primary=False))
    return out


def not_told(systems: Mapping[str, Sequence[str]], samples: Sequence[Sample]) -> list[Estimate]:
    """Return a row for each named system that no sample has a table of."""
    there = {s.system for s in samples}
    return [not_testable("pooled_table", "no sample has a table of this system", outcome=s) for s in sorted(set(systems) - there)]

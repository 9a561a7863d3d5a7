"""Everything a study asks of the class tables of several samples, its own families among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.pooling.radial import galbraith
from attachment_outcomes.inference.pooling.tau2 import tau2_estimate
from attachment_outcomes.inference.steps import Part, stacked
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.samples.checks import INFLUENCE, influence, small_samples
from attachment_outcomes.transmission.samples.differences import moderators
from attachment_outcomes.transmission.samples.effects import MEASURES, Effects, read_effects
from attachment_outcomes.transmission.samples.literature import LITERATURE, literature
from attachment_outcomes.transmission.samples.own import own_sample
from attachment_outcomes.transmission.samples.pooled import ANALYSIS, not_told, pooled_systems
from attachment_outcomes.transmission.samples.tables import (
    STATISTICS,
    Reported,
    Sample,
    read_reported,
    read_samples,
    sample_results,
)

EFFECTS = {
    "system": "str", "measure": "str", "unit": "str", "primary": "bool", "sample_id": "str", "label": "str", "cluster": "str",
    "own": "bool", "n": "float64", "estimate": "float64", "ci_low": "float64", "ci_high": "float64", "weight": "float64",
    "effect": "float64", "std_error": "float64", "precision": "float64", "standardised": "float64", "source": "str",
    "smallest": "Int64",
}  # fmt: skip
TABLES: Mapping[str, Mapping[str, str]] = {
    "sample_statistics": STATISTICS,
    "sample_effects": EFFECTS,
    "sample_influence": INFLUENCE,
    "transmission_literature": LITERATURE,
}
NO_TABLES = "the study names no class tables of samples (transmission.samples)"


def analyse(data: TransmissionData) -> Part:
    """Read each sample, pool them, and tell what differences between them go with, what each one decides, and what others found.

    Raises
    ------
    ConfigError
        If the system to pool is not among the named ones.
    DataError
        If a table breaks its contract, see ``read_samples``.
    """
    asked = data.settings.get("samples")
    if asked is None:
        return Part([not_testable(ANALYSIS, NO_TABLES)], {"transmission_literature": literature(data, [], system=None)})
    systems, pool, meaning = asked["systems"], asked.get("pool"), asked["meaning"]
    if pool is not None and pool not in systems:
        known = ", ".join(systems)
        raise ConfigError(
            problem("transmission.samples.pool", f"no system {pool!r}; systems are: {known}.{did_you_mean(pool, systems)}")
        )
    samples = read_samples(data.tables["samples"], systems=systems, flow=data.flow)
    reported = read_reported(data.tables["samples"], samples, systems=systems)
    own = own_sample(data, pool, systems[pool]) if pool and asked["with_study"] and meaning == "transmission" else None
    samples = [*samples, *([own] if own else [])]
    estimates, statistics = sample_results(samples, ci_level=data.ci_level)
    estimates += not_told(systems, samples)
    rows, effects = pooled_systems(
        samples, reported, pool=pool, meaning=meaning, interval=asked["interval"], ci_level=data.ci_level, flow=data.flow
    )
    estimates += rows
    shown = [effect_table(e, str(pool), primary=i == 0, ci_level=data.ci_level) for i, e in enumerate(effects)]
    shown += _others(data, samples, reported, pool)
    checked = [_checks(data, e, str(pool), primary=i == 0) for i, e in enumerate(effects) if len(e.rows)]
    estimates += [row for part, _ in checked for row in part]
    found = literature(data, rows if meaning == "transmission" else [], system=systems[pool] if pool else None)
    tables = {
        "sample_statistics": statistics, "sample_effects": stacked(shown, EFFECTS),
        "sample_influence": stacked([t for _, t in checked], INFLUENCE), "transmission_literature": found,
    }  # fmt: skip
    return Part(estimates, tables)


def _checks(data: TransmissionData, effects: Effects, system: str, *, primary: bool) -> tuple[list[Estimate], pd.DataFrame]:
    """Return influence, signs of small samples and moderators of one measure."""
    asked: Mapping[str, Any] = data.settings["samples"]
    traits, order, name = data.tables["sample_traits"], asked.get("order"), effects.measure.name
    when = None
    if order is not None and primary:
        told = traits[(traits["trait"] == order) & traits["number"].notna()]
        when = told.set_index("sample_id")["number"]
        with_it = int(effects.rows["sample_id"].isin(when.index).sum())
        data.count(f"pooled {name} by {order}, {system}", len(effects.rows), with_it, f"without {order}", unit="samples")
    rows, table = influence(effects, system, when, primary=primary, interval=asked["interval"], ci_level=data.ci_level)
    rows += small_samples(effects, system, primary=primary, interval=asked["interval"], ci_level=data.ci_level)
    rows += moderators(
        effects, traits, asked["moderators"], system=system, primary=primary, interval=asked["interval"], ci_level=data.ci_level,
        flow=data.flow if primary else None,
    )  # fmt: skip
    return rows, table


def _others(
    data: TransmissionData, samples: Sequence[Sample], reported: Sequence[Reported], pool: str | None
) -> list[pd.DataFrame]:
    """Return the kappas of the systems that are not pooled, recalled ones too; where none is pooled, the largest is primary."""
    counts = pd.Series([s.system for s in samples if s.system != pool], dtype=object).value_counts()
    first = None if pool is not None or counts.empty else min(counts.index, key=lambda s: (-counts[s], s))
    out = []
    for system in sorted(counts.index):
        own = [s for s in samples if s.system == system]
        told = [r for r in reported if r.system == system]
        effects = read_effects(own, told, MEASURES["kappa"])
        effects.record(data.count, f"kappa, {system}", effects.asked)
        doubtful = effects.rows["sample_id"].isin(
            [*(s.sample_id for s in own if s.recalled), *(r.sample_id for r in told if r.recalled)]
        )
        effects.rows["name"] = effects.rows["name"].mask(doubtful, effects.rows["name"] + ", recalled")
        out.append(effect_table(effects, system, primary=system == first, ci_level=data.ci_level, pooled=False))
    return out


def effect_table(effects: Effects, system: str, *, primary: bool, ci_level: float, pooled: bool = True) -> pd.DataFrame:
    """Return what each sample says of one measure: ``EFFECTS``.

    ``estimate`` and its limits are as the measure is; ``effect``, ``std_error``, ``precision`` (1 / standard error) and
    ``standardised`` (effect / standard error) on the scale pooled. ``weight`` is the sample's share in the pooled value
    (random effects, REML), missing where nothing is pooled. ``smallest`` is the smallest cell of the study's own table.
    """
    rows, measure = effects.rows, effects.measure
    y, v = rows["effect"].to_numpy(dtype=float), rows["variance"].to_numpy(dtype=float)
    if not len(rows):
        return pd.DataFrame(columns=list(EFFECTS))
    half = critical(ci_level) * np.sqrt(v)
    weight = np.full(len(y), np.nan)
    if pooled:
        weight = 1 / (v + (tau2_estimate(y, v, method="REML") if len(y) > 1 else 0.0))
    points = galbraith(y, v)
    return pd.DataFrame(
        {
            "system": system, "measure": measure.name, "unit": measure.unit, "primary": primary, "sample_id": rows["sample_id"],
            "label": rows["name"], "cluster": rows["cluster"], "own": rows["own"], "n": rows["n"], "estimate": measure.back(y),
            "ci_low": measure.back(y - half), "ci_high": measure.back(y + half), "weight": weight / weight.sum(), "effect": y,
            "std_error": np.sqrt(v), "precision": points["precision"], "standardised": points["standardised"],
            "source": rows["source"], "smallest": rows["smallest"],
        }
    )  # fmt: skip

"""All that a study can say about attachment between generations, from its canonical tables and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.transmission.continuous import ANALYSIS as CORRELATION
from attachment_outcomes.transmission.continuous import correlations, pair_frame
from attachment_outcomes.transmission.correspondence import CONCORDANCE_COLUMNS, RESIDUAL_COLUMNS, between_generations, cell_frame
from attachment_outcomes.transmission.pooled import ANALYSIS as POOLED
from attachment_outcomes.transmission.pooled import not_told, pooled_systems
from attachment_outcomes.transmission.samples import read_samples, sample_results, statistics_frame
from attachment_outcomes.transmission.tables import ANALYSIS as CONCORDANCE

NO_SETTINGS = "the study's configuration has no transmission block"


@dataclass
class Transmission:
    """Estimates, tables and flow of the stage; tables without rows keep their columns and types."""

    estimates: list[Estimate] = field(default_factory=list)
    concordance: pd.DataFrame = field(default_factory=lambda: cell_frame([], CONCORDANCE_COLUMNS))
    residuals: pd.DataFrame = field(default_factory=lambda: cell_frame([], RESIDUAL_COLUMNS))
    samples: pd.DataFrame = field(default_factory=statistics_frame)
    pairs: pd.DataFrame = field(default_factory=pair_frame)
    flow: Flow = field(default_factory=Flow)


def analyse_transmission(
    tables: Mapping[str, pd.DataFrame],
    *,
    settings: Mapping[str, Any] | None,
    ci_level: float = CI_LEVEL,
    rng: np.random.Generator | None = None,
) -> Transmission:
    """Estimate correspondence, correlations and pooled samples, as far as the settings ask and the tables allow.

    Parameters
    ----------
    tables : mapping
        Canonical ``relations``, ``classifications``, ``scores`` and ``samples``.
    settings : mapping or None
        The study's ``transmission`` block; without it every analysis is told as not testable.
    ci_level : float
        Confidence level of the intervals.
    rng : numpy Generator, optional
        For exact tests of large tables.
    """
    out = Transmission()
    if settings is None:
        out.estimates = [not_testable(analysis, NO_SETTINGS) for analysis in (CONCORDANCE, CORRELATION, POOLED)]
        return out
    concordance, out.concordance, out.residuals = between_generations(
        tables["relations"],
        tables["classifications"],
        parent_system=settings["parent_system"],
        child_system=settings["child_system"],
        ways=settings["ways"],
        flow=out.flow,
        ci_level=ci_level,
        rng=rng,
    )
    out.estimates += concordance
    if settings["continuous"]:
        found, out.pairs = correlations(
            tables["relations"], tables["scores"], settings=settings["continuous"], flow=out.flow, ci_level=ci_level
        )
        out.estimates += found
    else:
        out.estimates.append(
            not_testable(CORRELATION, "the study names no dimensions of parent and child (transmission.continuous)")
        )
    asked = settings.get("samples")
    if asked is None:
        out.estimates.append(not_testable(POOLED, "the study names no class tables of samples (transmission.samples)"))
        return out
    samples = read_samples(tables["samples"], systems=asked["systems"], flow=out.flow)
    statistics, out.samples = sample_results(samples, ci_level=ci_level)
    out.estimates += statistics
    out.estimates += not_told(asked["systems"], samples)
    out.estimates += pooled_systems(samples, pool=asked.get("pool"), meaning=asked["meaning"], ci_level=ci_level, flow=out.flow)
    return out

"""All that a study's ``rupture`` block asks for, in two steps: which ruptures there are, and what repair goes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.steps import Analysis, Part, StepResult, gather
from attachment_outcomes.rupture import agreement, detection, raters, shapes, therapist_repair
from attachment_outcomes.rupture.data import NO_RATINGS, RuptureData
from attachment_outcomes.rupture.effects import literature, timing
from attachment_outcomes.rupture.effects import study as effects
from attachment_outcomes.rupture.inputs import labelled
from attachment_outcomes.rupture.observer import study as observer
from attachment_outcomes.rupture.specification import stage as specification
from attachment_outcomes.rupture.within import study as within

RUPTURE: tuple[Analysis[RuptureData], ...] = (
    Analysis(("rupture_prevalence",), detection.TABLES, detection.analyse),
    Analysis(("rupture_agreement",), agreement.TABLES, agreement.analyse),
    Analysis(("rupture_raters",), raters.TABLES, raters.analyse),
    Analysis(("rupture_shapes",), shapes.TABLES, shapes.analyse),
    Analysis(("observer_ratings",), observer.TABLES, observer.analyse),
)
REPAIR: tuple[Analysis[RuptureData], ...] = (
    Analysis(("rupture_outcome",), effects.TABLES, effects.analyse),
    Analysis(("repair_timing",), timing.TABLES, timing.analyse),
    Analysis(("repair_literature",), literature.TABLES, literature.analyse),
    Analysis(("alliance_within",), within.TABLES, within.analyse),
    Analysis(("session_breaks",), within.BREAK_TABLES, within.analyse_breaks),
    Analysis(("therapist_repair",), therapist_repair.TABLES, therapist_repair.analyse),
    Analysis(("repair_specification",), specification.TABLES, specification.analyse),
)
READS = ("scores", "sessions", "treatments", "observations")  # the canonical tables that every step reads


def run_step(
    analyses: Sequence[Analysis[RuptureData]],
    tables: Mapping[str, pd.DataFrame],
    *,
    settings: Mapping[str, Any] | None,
    criteria: Mapping[str, Mapping[str, Any]],
    instruments: Mapping[str, Mapping[str, Any]],
    published: Sequence[Mapping[str, Any]] = (),
    coding: Mapping[str, Any] | None = None,
    ci_level: float = CI_LEVEL,
    seed: int = 0,
) -> StepResult:
    """Run the analyses of one step of a study's ``rupture`` block on its canonical tables.

    Parameters
    ----------
    analyses
        ``RUPTURE`` (episodes, prevalence, agreement of criteria and raters, shapes, observers) or ``REPAIR`` (what ruptures and
        repairs go with: outcome, the next session, therapists).
    tables
        Those of ``READS``.
    settings
        The study's ``rupture`` block; without it every table is empty and the estimates say why.
    criteria
        Presets by name; the settings name those to use, the first of them primary.
    instruments
        Instruments by key, for a score's direction and range.
    published
        Published results that this study's own are set beside.
    coding
        The system that observers coded by (``config/observer``), if any.
    ci_level
        Confidence level of every interval.
    seed
        What is random derives from it.

    Raises
    ------
    ConfigError
        If the settings name a score, column or criterion that does not exist, an alliance score that is higher where
        the alliance is worse, or an outcome without a direction.
    DataError
        If the ratings are not usable.
    """
    if settings is None:
        return gather(analyses, [a.silent(NO_RATINGS) for a in analyses], Flow())
    data = RuptureData(tables, settings, criteria, instruments, published, coding, ci_level, seed)
    found = gather(analyses, [_run(analysis, data) for analysis in analyses], data.flow)
    others = {"observer_ratings", *(c.name for c in data.chosen if c.reads)}
    return replace(found, estimates=labelled(found.estimates, data.rating, others=others))


def _run(analysis: Analysis[RuptureData], data: RuptureData) -> Part:
    """Run one analysis; what it cannot answer at all is a row of its own."""
    try:
        return analysis.run(data)
    except StatisticsError as error:
        return analysis.silent(str(error))

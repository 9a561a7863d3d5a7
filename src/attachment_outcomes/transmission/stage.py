"""All that a study's ``transmission`` block asks for, in two steps: its own families, and the samples of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.resampling import REPLICATES
from attachment_outcomes.inference.steps import Analysis, Part, StepResult, gather
from attachment_outcomes.transmission import continuous, correspondence
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.gap import study as gap
from attachment_outcomes.transmission.generations import study as generations
from attachment_outcomes.transmission.interruption import study as interruption
from attachment_outcomes.transmission.misclassification import study as misclassification
from attachment_outcomes.transmission.samples import study as samples

NO_SETTINGS = "the study's configuration has no transmission block"

TRANSMISSION: tuple[Analysis[TransmissionData], ...] = (
    Analysis(("concordance",), correspondence.TABLES, correspondence.analyse),
    Analysis(("transmission_corrected",), misclassification.TABLES, misclassification.analyse),
    Analysis(("transmission_correlation",), continuous.TABLES, continuous.analyse),
    Analysis(("transmission_gap",), gap.TABLES, gap.analyse),
    Analysis(("three_generations",), generations.TABLES, generations.analyse),
    Analysis(("interruption",), interruption.TABLES, interruption.analyse),
)
SAMPLES: tuple[Analysis[TransmissionData], ...] = (Analysis(("pooled_samples",), samples.TABLES, samples.analyse),)


def run_step(
    analyses: Sequence[Analysis[TransmissionData]],
    tables: Mapping[str, pd.DataFrame],
    *,
    settings: Mapping[str, Any] | None,
    instruments: Mapping[str, Mapping[str, Any]],
    published: Sequence[Mapping[str, Any]] = (),
    ci_level: float = CI_LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> StepResult:
    """Run the analyses of one step of a study's ``transmission`` block.

    Parameters
    ----------
    analyses
        ``TRANSMISSION`` (the study's own families) or ``SAMPLES`` (class tables of several samples).
    tables
        Those of ``READS``.
    settings
        The study's ``transmission`` block; without it every table is empty and the estimates say why.
    instruments, published, ci_level, replicates, seed
        As for :class:`.data.TransmissionData`.

    Raises
    ------
    DataError
        If relations, classes or tables break their contract.
    ConfigError
        If the settings name what does not exist.
    """
    if settings is None:
        return gather(analyses, [a.silent(NO_SETTINGS) for a in analyses], Flow())
    data = TransmissionData(tables, settings, instruments, published, ci_level, replicates, seed)
    return gather(analyses, [_run(analysis, data) for analysis in analyses], data.flow)


def _run(analysis: Analysis[TransmissionData], data: TransmissionData) -> Part:
    """Run one analysis; what it cannot answer at all is a row of its own."""
    try:
        return analysis.run(data)
    except StatisticsError as error:
        return analysis.silent(str(error))

"""Everything a study asks of the class tables of several samples."""

from __future__ import annotations

from collections.abc import Mapping

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.steps import Part
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.samples.pooled import not_told, pooled_systems
from attachment_outcomes.transmission.samples.tables import STATISTICS, read_samples, sample_results

TABLES: Mapping[str, Mapping[str, str]] = {"sample_statistics": STATISTICS}


def analyse(data: TransmissionData) -> Part:
    """Estimate each sample's agreement and kappa, those of all tables summed, and what pooling gives."""
    asked = data.settings.get("samples")
    if asked is None:
        raise StatisticsError("the study names no class tables of samples (transmission.samples)")
    samples = read_samples(data.tables["samples"], systems=asked["systems"], flow=data.flow)
    estimates, statistics = sample_results(samples, ci_level=data.ci_level)
    estimates += not_told(asked["systems"], samples)
    estimates += pooled_systems(samples, pool=asked.get("pool"), meaning=asked["meaning"], ci_level=data.ci_level, flow=data.flow)
    return Part(estimates, {"sample_statistics": statistics})

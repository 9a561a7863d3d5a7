"""Are transmissions interrupted, and more often with treatment?"""

from __future__ import annotations

from collections.abc import Mapping

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.steps import Part
from attachment_outcomes.transmission.data import TransmissionData

TABLES: Mapping[str, Mapping[str, str]] = {}


def analyse(data: TransmissionData) -> Part:
    """Say that the study does not ask for it."""
    raise StatisticsError("the study names no arms (transmission.interruption)")

"""What transmission would be seen if nobody were misclassified?"""

from __future__ import annotations

from collections.abc import Mapping

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.steps import Part
from attachment_outcomes.transmission.data import TransmissionData

TABLES: Mapping[str, Mapping[str, str]] = {}


def analyse(data: TransmissionData) -> Part:
    """Say that the study does not ask for it."""
    raise StatisticsError("the study does not say how reliable its classifications are (transmission.misclassification)")

"""Who reaches security in therapy, how many would by measurement error alone, and what those who left might change."""

from attachment_outcomes.registry import entry_points

ANALYSIS = "earned_security"

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "Reference": "expectation",
        "TABLES": "study",
        "analyse": "study",
        "crossed_reliably": "expectation",
        "earned_security": "shares",
        "probability_of_reliable_crossing": "expectation",
        "probability_of_staying": "expectation",
        "probability_without_change": "expectation",
        "quadrant": "attachment_outcomes.inference.half_planes",
        "region_probability": "attachment_outcomes.inference.half_planes",
        "retrospective_security": "retrospective",
        "weighted_share": "dropout",
    },
)

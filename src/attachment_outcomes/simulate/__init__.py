"""Simulate: cohorts whose truth is known, so that what the analyses find can be set beside it."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "simulate_cohort": "cohort",
        "check_truth": "truth",
        "describe_cohort": "describe",
    },
)

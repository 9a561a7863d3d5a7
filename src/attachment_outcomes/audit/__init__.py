"""Audit of a service: rates, completeness and funnels, beside published benchmarks."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "audit_service": "service",
        "completeness_table": "completeness",
        "count_rates": "counts",
        "funnel_limits": "attachment_outcomes.inference.funnel",
        "funnel_table": "funnel",
        "outcome_events": "rates",
        "dropout_events": "rates",
        "overdispersion": "attachment_outcomes.inference.funnel",
        "rate_estimate": "rates",
    },
)

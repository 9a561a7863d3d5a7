"""Attachment between generations: correspondence, correction for error, what mediates it, chains, interruption, and samples."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "TransmissionData": "data",
        "between_generations": "correspondence",
        "concordance": "correspondence",
        "correlations": "continuous",
        "gap_from_correlations": "attachment_outcomes.transmission.gap.estimation",
        "natural_effects": "attachment_outcomes.transmission.gap.natural",
        "pairs": "relations",
        "pool_samples": "attachment_outcomes.transmission.samples.pooled",
        "pooled_systems": "attachment_outcomes.transmission.samples.pooled",
        "read_samples": "attachment_outcomes.transmission.samples.tables",
        "sample_results": "attachment_outcomes.transmission.samples.tables",
        "transmission_gap": "attachment_outcomes.transmission.gap.estimation",
    },
)

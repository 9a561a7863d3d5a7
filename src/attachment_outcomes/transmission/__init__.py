"""Attachment between generations: correspondence, correction for error, what mediates it, chains, interruption, and samples."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "all_classifications": "classified",
        "apparent_change": "attachment_outcomes.transmission.interruption.unchanged",
        "arms_of_tables": "attachment_outcomes.transmission.interruption.aggregate",
        "between_generations": "correspondence",
        "concordance": "correspondence",
        "corrected_transmission": "attachment_outcomes.transmission.misclassification.correction",
        "correlations": "continuous",
        "functioning_change": "attachment_outcomes.transmission.interruption.functioning",
        "gap_from_correlations": "attachment_outcomes.transmission.gap.estimation",
        "interrupted_transmission": "attachment_outcomes.transmission.interruption.comparison",
        "natural_effects": "attachment_outcomes.transmission.gap.natural",
        "pairs": "relations",
        "pool_samples": "attachment_outcomes.transmission.samples.pooled",
        "pooled_systems": "attachment_outcomes.transmission.samples.pooled",
        "read_samples": "attachment_outcomes.transmission.samples.tables",
        "sample_results": "attachment_outcomes.transmission.samples.tables",
        "transmission_gap": "attachment_outcomes.transmission.gap.estimation",
        "Reliability": "attachment_outcomes.transmission.misclassification.reliability",
        "TransmissionData": "data",
        "unchanged_class": "attachment_outcomes.transmission.interruption.unchanged",
    },
)

"""Attachment between generations: correspondence of classes, correlations of dimensions, and pooling over samples."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "analyse_transmission": "stage",
        "between_generations": "correspondence",
        "concordance": "correspondence",
        "correlations": "continuous",
        "pairs": "relations",
        "pool_samples": "pooled",
        "pooled_systems": "pooled",
        "read_samples": "samples",
        "sample_results": "samples",
    },
)

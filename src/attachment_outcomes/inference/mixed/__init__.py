"""Nested linear mixed models on cross products: the estimation core."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "LikelihoodRatio": "likelihood_ratio",
        "MixedFit": "model",
        "Moments": "moments",
        "compare": "likelihood_ratio",
        "load_moments": "storage",
        "merge_moments": "moments",
        "mixed_model": "model",
        "moments_of": "reading",
        "repeated_fits": "repeated",
        "save_moments": "storage",
    },
)

"""Statistical engines: the estimate record, proportions, effect sizes, regression, mixed models, agreement and pooling."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "Estimate": "estimate",
        "bowker": "agreement",
        "estimates_frame": "estimate",
        "kappa": "agreement",
        "linear_contrasts": "regression",
        "logistic_contrasts": "regression",
        "mixed_model": "mixed",
        "paired_change": "effects",
        "proportion": "proportions",
        "select": "estimate",
        "standardised_difference": "effects",
        "stuart_maxwell": "agreement",
    },
)

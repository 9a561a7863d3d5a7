"""Statistical engines: the estimate record, proportions, effect sizes, regression, mixed models, agreement and pooling."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "Estimate": "estimate",
        "adjusted_residuals": "agreement",
        "bowker": "agreement",
        "compare": "attachment_outcomes.inference.mixed.likelihood_ratio",
        "estimates_frame": "estimate",
        "fisher_z": "pooling",
        "kappa": "agreement",
        "linear_contrasts": "regression",
        "logistic_contrasts": "regression",
        "logit_proportion": "pooling",
        "mixed_model": "attachment_outcomes.inference.mixed.model",
        "odds_ratio": "two_by_two",
        "paired_change": "effects",
        "pearson": "correlation",
        "phi": "two_by_two",
        "pool": "pooling",
        "proportion": "proportions",
        "risk_difference": "two_by_two",
        "risk_ratio": "two_by_two",
        "select": "estimate",
        "standardised_difference": "effects",
        "stuart_maxwell": "agreement",
        "wilson": "agreement",
    },
)

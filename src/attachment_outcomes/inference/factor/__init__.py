"""Factor models of means and covariances, by maximum likelihood with or without missing values."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "FactorFit": "fit",
        "Fit": "indices",
        "Structure": "structure",
        "fit_indices": "indices",
        "fit_structure": "fit",
        "moments_of": "moments",
    },
)

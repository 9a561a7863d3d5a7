"""What ruptures and repairs go with in the outcome: contrasts of clients, over whole treatments and from landmarks on."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "e_value": "unmeasured",
        "groups_at": "landmark",
        "landmark_contrasts": "landmark",
        "leaving_odds": "leaving",
        "partial_correlation": "partial",
        "repair_effect": "contrasts",
        "running_states": "states",
        "standardised_means": "standardisation",
    },
)

"""Are transmissions interrupted, and more often with treatment?"""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "apparent_change": "unchanged",
        "arms_of_tables": "aggregate",
        "functioning_change": "functioning",
        "interrupted_transmission": "comparison",
        "unchanged_class": "unchanged",
    },
)

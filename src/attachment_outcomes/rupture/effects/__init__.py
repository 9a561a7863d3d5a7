"""What ruptures and repairs go with in the outcome: contrasts of clients."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(__name__, {"repair_effect": "contrasts"})

"""What leaves the house: disclosure control and provenance."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__, {"suppress": "disclosure", "suppress_estimates": "disclosure", "manifest": "provenance"}
)

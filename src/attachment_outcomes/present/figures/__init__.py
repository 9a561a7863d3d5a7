"""Figures, one module each, named as the figure; each has ``NEEDS`` (its tables) and ``draw(tables, settings)``."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(__name__, {})

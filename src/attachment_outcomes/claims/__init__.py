"""The claims of the field's guides, and the verdict that the data at hand give."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(__name__, {"ledger": "verdicts", "decide": "rules"})

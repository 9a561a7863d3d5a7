"""Pages that need nothing else to be opened, one module each."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(__name__, {"audit_page": "audit"})

"""Tables, one module each, named as the table; each has ``NEEDS`` (its inputs) and ``build(tables, settings)``."""

from attachment_outcomes.registry import entry_points

# Written out, so that the fingerprint of a script that builds them all follows each.
BUILDERS = {
    "arms": "attachment_outcomes.present.tables.arms:build",
    "audit": "attachment_outcomes.present.tables.audit:build",
    "claims": "attachment_outcomes.present.tables.claims:build",
    "concordance": "attachment_outcomes.present.tables.concordance:build",
    "couples": "attachment_outcomes.present.tables.couples:build",
    "equivalence_tests": "attachment_outcomes.present.tables.equivalence_tests:build",
    "flow": "attachment_outcomes.present.tables.flow:build",
    "gap": "attachment_outcomes.present.tables.gap:build",
    "generations": "attachment_outcomes.present.tables.generations:build",
    "growth_model": "attachment_outcomes.present.tables.growth_model:build",
    "invariance_levels": "attachment_outcomes.present.tables.invariance_levels:build",
    "measures": "attachment_outcomes.present.tables.measures:build",
    "minimal_change": "attachment_outcomes.present.tables.minimal_change:build",
    "missing": "attachment_outcomes.present.tables.missing:build",
    "next_session": "attachment_outcomes.present.tables.next_session:build",
    "not_testable": "attachment_outcomes.present.tables.not_testable:build",
    "reliable_change": "attachment_outcomes.present.tables.reliable_change:build",
    "repair_outcome": "attachment_outcomes.present.tables.repair_outcome:build",
    "rupture": "attachment_outcomes.present.tables.rupture:build",
    "samples": "attachment_outcomes.present.tables.samples:build",
    "security": "attachment_outcomes.present.tables.security:build",
    "specifications": "attachment_outcomes.present.tables.specifications:build",
    "timing": "attachment_outcomes.present.tables.timing:build",
    "transmission_literature": "attachment_outcomes.present.tables.transmission_literature:build",
    "transitions": "attachment_outcomes.present.tables.transitions:build",
}

__getattr__, __dir__ = entry_points(__name__, {})

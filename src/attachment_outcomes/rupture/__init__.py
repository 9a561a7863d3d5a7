"""Alliance ruptures and repairs: detection from session-by-session ratings, and what they go with in outcome."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "client_summary": "summary",
        "control_chart": "attachment_outcomes.rupture.rules.charts",
        "detect_ruptures": "criteria",
        "expected_on_noise": "noise",
        "level_shift": "attachment_outcomes.rupture.rules.partition",
        "prevalence": "summary",
        "read_series": "series",
        "reliable_drop": "attachment_outcomes.rupture.rules.reliable",
        "repair_effect": "attachment_outcomes.rupture.effects.contrasts",
        "reported_rupture": "attachment_outcomes.rupture.rules.reports",
        "session_series": "summary",
        "tune_limits": "attachment_outcomes.rupture.rules.tuning",
        "within_person_drop": "attachment_outcomes.rupture.rules.drops",
    },
)

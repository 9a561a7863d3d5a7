"""Alliance ruptures and repairs: detection from session-by-session ratings, and what they go with in outcome."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "client_summary": "summary",
        "control_chart": "rules",
        "detect_ruptures": "criteria",
        "expected_on_noise": "noise",
        "prevalence": "summary",
        "read_series": "series",
        "repair_effect": "attachment_outcomes.rupture.effects.contrasts",
        "session_series": "summary",
        "within_person_drop": "rules",
    },
)

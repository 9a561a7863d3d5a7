"""Alliance ruptures and repairs: detection from session-by-session ratings, and what they go with in outcome."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "above_noise": "against_noise",
        "align": "aligned",
        "client_shapes": "shapes",
        "client_summary": "summary",
        "compare_raters": "raters",
        "congruence": "raters",
        "control_chart": "attachment_outcomes.rupture.rules.charts",
        "detect_ruptures": "criteria",
        "e_value": "attachment_outcomes.rupture.effects.unmeasured",
        "fleiss_kappa": "agreement",
        "found_on_noise": "noise",
        "landmark_contrasts": "attachment_outcomes.rupture.effects.landmark",
        "leaving_odds": "attachment_outcomes.rupture.effects.leaving",
        "level_shift": "attachment_outcomes.rupture.rules.partition",
        "noise_rows": "noise",
        "pair_agreement": "agreement",
        "prevalence": "summary",
        "read_series": "series",
        "reliable_drop": "attachment_outcomes.rupture.rules.reliable",
        "repair_by_therapist": "therapist_repair",
        "repair_effect": "attachment_outcomes.rupture.effects.contrasts",
        "reported_rupture": "attachment_outcomes.rupture.rules.reports",
        "reshuffle_curve": "attachment_outcomes.rupture.specification.reshuffle",
        "session_series": "summary",
        "standardised_means": "attachment_outcomes.rupture.effects.standardisation",
        "tune_limits": "attachment_outcomes.rupture.rules.tuning",
        "within_person_drop": "attachment_outcomes.rupture.rules.drops",
    },
)

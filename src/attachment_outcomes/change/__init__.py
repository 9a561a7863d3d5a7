"""Who changed, beyond what measurement error alone would show: reliable change, transitions, earned security, growth."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "METHODS": "attachment_outcomes.inference.individual_change.methods",
        "categorise": "attachment_outcomes.inference.individual_change.significance",
        "change_analysis": "stage",
        "choose_cutoff": "attachment_outcomes.inference.individual_change.significance",
        "cutoffs": "attachment_outcomes.inference.individual_change.significance",
        "earned_security": "security",
        "growth_curve": "growth",
        "percentage_change": "percentage",
        "reliable_change": "attachment_outcomes.inference.individual_change.reliable",
        "transition_table": "transitions",
    },
)

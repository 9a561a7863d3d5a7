"""Who changed, beyond what measurement error alone would show: reliable change, transitions, earned security, growth."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "METHODS": "methods",
        "categorise": "significance",
        "change_analysis": "stage",
        "choose_cutoff": "significance",
        "cutoffs": "significance",
        "earned_security": "security",
        "growth_curve": "growth",
        "percentage_change": "percentage",
        "reliable_change": "reliable",
        "transition_table": "transitions",
    },
)

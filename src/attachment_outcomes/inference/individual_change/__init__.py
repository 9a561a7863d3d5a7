"""Did one person (or one couple) change beyond measurement error, and out of the clinical range?"""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "METHODS": "methods",
        "categorise": "significance",
        "choose_cutoff": "significance",
        "cutoffs": "significance",
        "reliable_change": "reliable",
    },
)

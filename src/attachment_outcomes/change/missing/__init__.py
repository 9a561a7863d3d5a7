"""Who is missing, what change would be by each way of allowing for it, and how far off the missing would have to be."""

from attachment_outcomes.registry import entry_points

ANALYSIS = "missing_data"

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "TABLES": "study",
        "Panel": "panel",
        "analyse": "study",
        "attrition": "who",
        "by_carrying_forward": "handling",
        "by_complete_cases": "handling",
        "by_imputation": "handling",
        "by_weighting": "handling",
        "panel_of": "from_study",
        "predictors_of_being_seen": "who",
        "stay_rows": "handling",
        "tipping_points": "delta",
    },
)

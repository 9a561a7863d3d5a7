"""How much does what repair goes with hang on the criterion and on choices that could defensibly have been made otherwise?"""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "ANALYSIS": "stage",
        "TABLES": "stage",
        "analyse": "stage",
        "reshuffle_curve": "reshuffle",
        "specification_table": "curve",
    },
)

"""How much does an answer about change hang on choices that could defensibly have been made otherwise?"""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "ANALYSIS": "stage",
        "HANDLINGS": "handlings",
        "TABLES": "stage",
        "analyse": "stage",
        "sign_flip_curve": "signs",
        "specification_table": "curve",
        "summarise": "summary",
        "variance_shares": "attachment_outcomes.inference.specification_summary",
    },
)

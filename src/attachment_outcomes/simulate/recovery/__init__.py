"""Recovery studies: does an estimator give back the truth that data were made from, and as precisely as it says?"""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "Estimator": "study",
        "Finding": "study",
        "RecoveryStudy": "study",
        "Sample": "study",
        "disagreements": "limits",
        "failures": "measures",
        "performance": "measures",
        "read_study": "study",
        "run_study": "repetitions",
    },
)

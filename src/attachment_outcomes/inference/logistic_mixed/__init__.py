"""What makes a yes or no likelier, in sessions of clients of therapists? Logistic mixed models with nested random intercepts."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "LogisticFit": "result",
        "logistic_mixed_model": "fit",
        "top_sd": "profile",
    },
)

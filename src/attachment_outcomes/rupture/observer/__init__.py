"""What observers code in sessions: codings checked, agreement of coders, and what they see beside what others report."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "coder_icc": "reliability",
        "coder_kappa": "reliability",
        "read_codes": "codes",
        "read_codings": "codings",
        "session_ratings": "codings",
    },
)

"""What the answers mean: instruments, scores, reliability, attachment styles and interview classes."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "classes": "codes",
        "read_class": "codes",
    },
)

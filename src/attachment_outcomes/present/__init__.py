"""What people look at: figures, tables and pages, made from the estimates and the tables of the analyses."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "Drawing": "drawing",
        "NothingToDraw": "drawing",
        "save": "drawing",
        "Table": "tabulate",
        "svg_text": "drawing",
    },
)

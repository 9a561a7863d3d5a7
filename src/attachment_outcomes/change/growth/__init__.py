"""How does the average person change over the whole course, and how much do people and therapists differ in it?"""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "ANALYSIS": "curve",
        "COLUMNS": "curve",
        "SHAPES": "shapes",
        "TABLES": "analysis",
        "analyse": "analysis",
        "compare_courses": "comparison",
        "feingold_d": "effect_size",
        "growth_curve": "curve",
        "no_curve": "curve",
        "treatment_ends": "shapes",
    },
)

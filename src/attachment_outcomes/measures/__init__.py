"""What the answers mean: instruments, scores, reliability, attachment styles and interview classes."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "attachment_styles": "styles",
        "classes": "codes",
        "cronbach_alpha": "reliability",
        "find_split": "styles",
        "intraclass_correlations": "stability",
        "omega_total": "omega",
        "read_class": "codes",
        "read_instrument": "instruments",
        "retest": "stability",
        "rotated_dimensions": "styles",
        "score": "scoring",
        "standard_error_of_measurement": "reliability",
        "style_certainty": "styles",
        "unverified": "instruments",
    },
)

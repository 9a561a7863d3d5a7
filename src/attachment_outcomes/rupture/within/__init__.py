"""From session to session within clients: alliance and symptoms, ruptures, repairs and breaks."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "breaks_by_attachment": "breaks",
        "fixed_effects": "regression",
        "next_session": "lagged",
        "orthogonal_instruments": "regression",
        "repair_next_session": "states",
        "residual_autocorrelation": "serial",
    },
)

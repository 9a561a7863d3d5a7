"""When is a dip in the alliance a rupture? The rules; presets in ``config/criteria`` give their settings."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "Signal": "signal",
        "control_chart": "charts",
        "level_shift": "partition",
        "reliable_drop": "reliable",
        "reported_rupture": "reports",
        "tune_limits": "tuning",
        "within_person_drop": "drops",
    },
)

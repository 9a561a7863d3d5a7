"""When does something happen, if some leave before and it is only seen at visits? Kaplan-Meier, Aalen-Johansen, Turnbull."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "cumulative_incidence": "curves",
        "kaplan_meier": "curves",
        "log_rank": "rank_test",
        "restricted_mean": "mean_time",
        "restricted_mean_difference": "mean_time",
        "turnbull": "interval_censored",
        "turnbull_curve": "interval_censored",
    },
)

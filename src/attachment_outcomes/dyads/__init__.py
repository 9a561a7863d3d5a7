"""Couples: recovery of their satisfaction, how alike partners are, and what recovery leaves insecure."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "analyse_dyads": "stage",
        "couple_change": "recovery",
        "couple_table": "couples",
        "partner_agreement": "partners",
        "partner_correlations": "partners",
        "recovery_rates": "recovery",
        "recovered_still_insecure": "recovery",
    },
)

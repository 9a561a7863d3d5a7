"""Who changed, beyond what measurement error alone would show: reliable change, transitions, earned security, growth."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "METHODS": "attachment_outcomes.inference.individual_change.methods",
        "anchor_roc": "attachment_outcomes.inference.individual_change.minimal_change",
        "bootstrap_change": "attachment_outcomes.inference.individual_change.bootstrap",
        "categorise": "attachment_outcomes.inference.individual_change.significance",
        "change_categories": "attachment_outcomes.inference.individual_change.categories",
        "choose_cutoff": "attachment_outcomes.inference.individual_change.significance",
        "compare_courses": "attachment_outcomes.change.growth.comparison",
        "cutoffs": "attachment_outcomes.inference.individual_change.significance",
        "distribution_mids": "attachment_outcomes.inference.individual_change.minimal_change",
        "earned_security": "attachment_outcomes.change.security.shares",
        "feingold_d": "attachment_outcomes.change.growth.effect_size",
        "group_change": "attachment_outcomes.inference.individual_change.groups",
        "growth_curve": "attachment_outcomes.change.growth.curve",
        "hageman_arrindell_shares": "attachment_outcomes.inference.individual_change.groups",
        "improvement_times": "timing",
        "moves_without_change": "transitions",
        "percentage_change": "percentage",
        "person_cutoffs": "attachment_outcomes.inference.individual_change.norms",
        "person_norms": "attachment_outcomes.inference.individual_change.norms",
        "person_slopes": "attachment_outcomes.inference.individual_change.slopes",
        "regression_norm": "attachment_outcomes.inference.individual_change.controls",
        "reliable_change": "attachment_outcomes.inference.individual_change.reliable",
        "retest_norm": "attachment_outcomes.inference.individual_change.controls",
        "retrospective_security": "attachment_outcomes.change.security.retrospective",
        "rule_agreement": "attachment_outcomes.inference.individual_change.agreement",
        "run_step": "stage",
        "smallest_detectable_change": "attachment_outcomes.inference.individual_change.controls",
        "transition_table": "transitions",
    },
)

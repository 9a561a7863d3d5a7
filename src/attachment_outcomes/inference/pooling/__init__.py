"""What do several samples say together, how much do they differ, why, and which of them decide? Random-effects pooling."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "MetaRegression": "moderators",
        "NestedPool": "nested",
        "Pooled": "random_effects",
        "PooledProportion": "binomial",
        "cumulative": "influence",
        "egger": "small_studies",
        "fisher_z": "effects",
        "galbraith": "radial",
        "influence_measures": "influence",
        "leave_one_out": "influence",
        "logit_proportion": "effects",
        "meta_regression": "moderators",
        "pool": "random_effects",
        "pool_nested": "nested",
        "pool_proportions": "binomial",
        "rank_correlation": "small_studies",
        "tau2_estimate": "tau2",
        "trim_and_fill": "small_studies",
    },
)

"""Suppress small counts and write the tables that people open."""

from typing import Any

import pandas as pd

from attachment_outcomes.files import read_table, write_table
from attachment_outcomes.inference.estimate import read_estimates
from attachment_outcomes.job import Job, run
from attachment_outcomes.release.disclosure import (
    LINEAR_SUM,
    blank_like,
    has_small_cell,
    suppress,
    suppress_estimates,
    suppress_flow,
)
from attachment_outcomes.release.families import blank_beside, small_tables

FUNNEL_LIMITS = [f"{side}{level}{kind}" for side in ("low", "high") for level in ("95", "998") for kind in ("", "_adjusted")]
EQUIVALENCE_LIMITS = ["tost_low", "tost_high", "ci_low", "ci_high", "p_equivalence", "p_difference"]
REPAIR_SHARES = ["share", "log_odds", "log_odds_low", "log_odds_high", "estimate", "ci_low", "ci_high"]
WITHIN = ["predictor_deviation", "outcome_deviation", "std_error"]
LATENT = ["mean_change", "true_change_sd", "observed_change_sd", "true_variance", "error_variance", "reliability"]
# Table: its counts, the columns that tell tables apart, the columns whose totals are known, and what is made from the counts.
COUNTS: dict[str, dict[str, Any]] = {
    "concordance": {
        "counts": ["n"],
        "within": ["system", "way"],
        "margins": ["parent_class", "child_class"],
        "derived": ["share", "ci_low", "ci_high"],
    },
    "residuals": {
        "counts": ["n"],
        "within": ["system", "way"],
        "margins": ["parent_class", "child_class"],
        "derived": ["expected", "residual"],
    },
    "transitions": {"counts": ["n"], "within": ["name"], "margins": ["from_class", "to_class"]},
    "rule_agreement": {"counts": ["n"], "derived": ["kappa", "ci_low", "ci_high", "kappa_linear", "agreement"]},
    "rule_patterns": {"counts": ["n"], "within": ["outcome", "direction"]},
    "rule_sensitivity": {"counts": ["n"], "derived": ["share", "ci_low", "ci_high"], "shares": {"share": "n"}},
    "growth": {"counts": ["n_observed"], "within": ["outcome", "shape"], "derived": ["observed_mean"]},
    "therapists": {"counts": ["n_clients"], "derived": ["estimate", "ci_low", "ci_high"]},
    "sudden_gains": {"counts": ["n_gains", "n_losses", "n_available"]},
    "sudden_gain_profile": {"counts": ["n"], "derived": ["mean", "ci_low", "ci_high"]},
    "improvement_curves": {"counts": ["n_at_risk"], "derived": ["estimate", "ci_low", "ci_high"]},
    "dose_response": {"counts": ["n"], "derived": ["estimate", "ci_low", "ci_high"]},
    "latent_change": {"counts": ["n", "n_both"], "derived": LATENT},
    "invariance": {"counts": ["n", "n_both"]},
    "missingness": {
        "counts": ["n_expected", "n_seen", "n_dropout", "n_intermittent", "n_later", "n_never"],
        "within": ["outcome", "occasion"],
    },
    "missing_estimates": {"counts": ["n"], "derived": ["estimate", "ci_low", "ci_high"], "shares": {"estimate": "n"}},
    "tipping_point": {"counts": ["n", "shifted_n"], "derived": ["estimate", "ci_low", "ci_high"]},
    "missing_balance": {"counts": ["n", "seen_n"]},
    "security_reliability": {"counts": []},
    "equivalence": {"counts": ["n", "first_n", "second_n"], "derived": ["estimate", "std_error", *EQUIVALENCE_LIMITS]},
    "specifications": {"counts": ["n"], "derived": ["estimate", "std_error", "ci_low", "ci_high"], "shares": {"estimate": "n"}},
    "rupture_agreement": {
        "counts": ["n_people", "n_both", "n_a_only", "n_b_only"],
        # Agreement and the indices give the cells back.
        "derived": ["kappa", "std_error", "ci_low", "ci_high", "agreement", "pabak", "prevalence_index", "bias_index"],
        "cells": {"n": ["n_both", "n_a_only", "n_b_only"]},
    },
    "rupture_raters": {
        "counts": ["n_pairs", "n_both", "n_client_only", "n_therapist_only"],
        "derived": ["kappa", "ci_low", "ci_high"],
        "cells": {"n": ["n_both", "n_client_only", "n_therapist_only"]},
    },
    "rupture_shapes": {
        "counts": ["n", "n_clients"],
        "within": ["rule"],
        "derived": ["share", "ci_low", "ci_high"],
        "cells": {"n_clients": ["n"]},  # who has the shape, and who has not
        "sums": {"shape": LINEAR_SUM},
    },
    "observer_codes": {"counts": ["n_sessions", "n_seen"], "derived": ["share", "mean_significance", "agreement", "kappa"]},
    "rupture_states": {"counts": ["n_clients"], "within": ["session_number"], "derived": ["n"]},
    "repair_literature": {"counts": ["n"], "derived": ["r", "ci_low", "ci_high"]},
    "alliance_within_bins": {
        "counts": ["n_pairs", "n_clients"],
        "derived": ["predictor_deviation", "outcome_deviation", "std_error"],
    },
    # The thirds of a dimension are all clients together.
    "session_breaks": {
        "counts": ["n_changes", "n_clients"],
        "within": ["outcome", "dimension", "across"],
        "derived": ["mean_change", "std_error"],
    },
    # Ruptures are events of clients of a therapist whom nothing names: it is few clients that are hidden. Hidden by few ruptures,
    # the therapists left would be those of whom all were repaired.
    "therapist_repair": {"counts": ["n_clients"], "derived": ["n_ruptures", "n_repaired", *REPAIR_SHARES, *FUNNEL_LIMITS]},
    "repair_specifications": {
        "counts": ["n", "n_none", "n_repaired", "n_unrepaired"],
        "derived": ["estimate", "std_error", "ci_low", "ci_high", "p_value", "expected"],
    },
    # The limits are functions of n, so they would give it back.
    "funnel": {"counts": ["n", "events"], "derived": ["proportion", *FUNNEL_LIMITS]},
    "completeness": {"counts": ["n_present", "n_expected"], "derived": ["proportion"]},
    "loglinear": {"counts": ["n"], "within": ["system", "way"], "derived": ["g2", "x2", "p_value", "bic"]},
    "corrected_tables": {
        "counts": ["n"],
        "within": ["system", "way"],
        "margins": ["parent_class", "child_class"],
        "derived": ["observed", "corrected"],
    },
    "corrected_sensitivity": {"counts": []},
    "gap_paths": {"counts": ["smallest"]},
    "gap_sensitivity": {"counts": []},
    "generation_chains": {
        "counts": ["n"],
        "within": ["way"],
        # The tables of two generations are known.
        "margins": [["grandparent_class", "parent_class"], ["parent_class", "child_class"], ["grandparent_class", "child_class"]],
    },
    "generation_transitions": {
        "counts": ["n"],
        "within": ["way", "step"],
        "margins": ["from_class", "to_class"],
        "derived": ["share", "ci_low", "ci_high"],
    },
    "generation_projection": {"counts": []},
    "interruption_cells": {"counts": ["n"], "within": ["arm", "parent_before"], "margins": ["parent_after", "child_class"]},
    "sample_statistics": {
        "counts": ["n", "smallest"],
        "derived": ["agreement", "chance", "kappa", "kappa_se", "kappa_ci_low", "kappa_ci_high"],
    },
    "sample_effects": {
        "counts": ["n", "smallest"],
        "derived": ["estimate", "ci_low", "ci_high", "weight", "effect", "std_error", "precision", "standardised"],
    },
    "sample_influence": {"counts": []},
    "transmission_literature": {"counts": ["own_n", "own_smallest"], "derived": ["own", "own_low", "own_high"]},
}
AS_THEY_ARE = ("people_change", "episodes")  # one row a person or episode, under re-coded ids: no counts


def small_crosses(agreement: pd.DataFrame, raters: pd.DataFrame, *, threshold: int) -> pd.DataFrame:
    """Return which tables of two criteria, or of two raters, have a small cell, as ``suppress_estimates`` takes them."""
    named = {
        "rupture_agreement": agreement.assign(definition=agreement["criterion_a"] + " and " + agreement["criterion_b"]),
        "rupture_raters": raters.assign(definition=raters["criterion"]),
    }
    found = []
    for name, table in named.items():
        ((total, parts),) = COUNTS[name]["cells"].items()
        rows = table[has_small_cell(table, total, parts, threshold=threshold)]
        found.append(pd.DataFrame({"analysis": name, "group": rows["level"], "definition": rows["definition"]}))
    return pd.concat(found, ignore_index=True)


def main(job: Job) -> None:
    """Read every analysis' tables, protect them and write them."""
    threshold = job.params.threshold
    estimates = read_estimates(job.input.estimates)
    crossed = small_crosses(read_table(job.input.rupture_agreement), read_table(job.input.rupture_raters), threshold=threshold)
    counted = [read_table(getattr(job.input, name)) for name in ("concordance", "generation_transitions", "generation_chains")]
    tables = small_tables(
        *counted,
        threshold=threshold,
        shown=suppress(counted[0], threshold=threshold, **COUNTS["concordance"]),
        gap=read_table(job.input.gap_paths),
        samples=read_table(job.input.sample_statistics),
        arms=read_table(job.input.interruption_cells),
    )
    released = suppress_estimates(estimates, threshold=threshold, crossed=crossed, tables=tables)
    write_table(released, job.output.estimates)
    write_table(blank_like(read_table(job.input.claims), released), job.output.claims)
    for name, columns in COUNTS.items():
        table = suppress(read_table(getattr(job.input, name)), threshold=threshold, **columns)
        table = blank_beside(name, table, tables)
        write_table(table, getattr(job.output, name))
    for name in AS_THEY_ARE:
        write_table(read_table(getattr(job.input, name)), getattr(job.output, name))
    # The steps of change count the same people again.
    flow = pd.concat([read_table(path) for path in job.input.flow], ignore_index=True).drop_duplicates(ignore_index=True)
    write_table(suppress_flow(flow, threshold=threshold), job.output.flow)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

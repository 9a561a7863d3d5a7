"""Suppress small counts and write the tables that people open."""

import pandas as pd

from attachment_outcomes.files import read_table, write_table
from attachment_outcomes.inference.estimate import read_estimates
from attachment_outcomes.job import Job, run
from attachment_outcomes.release.disclosure import blank_like, suppress, suppress_estimates, suppress_flow

FUNNEL_LIMITS = [f"{side}{level}{kind}" for side in ("low", "high") for level in ("95", "998") for kind in ("", "_adjusted")]
# Table: its counts, the columns that tell tables apart, the columns whose totals are known, and what is made from the counts.
COUNTS: dict[str, dict[str, list[str]]] = {
    "concordance": {"counts": ["n"], "within": ["system", "way"], "margins": ["parent_class", "child_class"]},
    "residuals": {
        "counts": ["n"],
        "within": ["system", "way"],
        "margins": ["parent_class", "child_class"],
        "derived": ["expected", "residual"],
    },
    "transitions": {"counts": ["n"], "within": ["name"], "margins": ["from_class", "to_class"]},
    "growth": {"counts": ["n_observed"], "derived": ["observed_mean"]},
    # The limits are functions of n, so they would give it back.
    "funnel": {"counts": ["n", "events"], "derived": ["proportion", *FUNNEL_LIMITS]},
    "completeness": {"counts": ["n_present", "n_expected"], "derived": ["proportion"]},
    "samples": {"counts": ["n"], "derived": ["agreement", "chance", "kappa", "kappa_se", "kappa_ci_low", "kappa_ci_high"]},
}
AS_THEY_ARE = ("people_change", "episodes")  # one row a person or episode, under re-coded ids: no counts


def main(job: Job) -> None:
    """Read every analysis' tables, protect them and write them."""
    threshold = job.params.threshold
    estimates = read_estimates(job.input.estimates)
    released = suppress_estimates(estimates, threshold=threshold)
    write_table(released, job.output.estimates)
    write_table(blank_like(read_table(job.input.claims), released), job.output.claims)
    for name, columns in COUNTS.items():
        table = suppress(read_table(getattr(job.input, name)), threshold=threshold, **columns)
        write_table(table, getattr(job.output, name))
    for name in AS_THEY_ARE:
        write_table(read_table(getattr(job.input, name)), getattr(job.output, name))
    flow = pd.concat([read_table(path) for path in job.input.flow], ignore_index=True)
    write_table(suppress_flow(flow, threshold=threshold), job.output.flow)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

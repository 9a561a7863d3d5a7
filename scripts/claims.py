"""Give a verdict on each claim from the study's estimates."""

import pandas as pd

from attachment_outcomes.claims.verdicts import ledger
from attachment_outcomes.files import write_table
from attachment_outcomes.inference.estimate import read_estimates, tidy_estimates
from attachment_outcomes.job import Job, run


def main(job: Job) -> None:
    """Read all estimates, decide, and write the ledger."""
    estimates = tidy_estimates(pd.concat([read_estimates(path) for path in job.input.estimates]))
    write_table(estimates, job.output.estimates)
    write_table(ledger(job.params.claims, estimates, words=job.params.words, level=job.params.ci_level), job.output.claims)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

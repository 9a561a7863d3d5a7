"""Set the tables of a study's report: each as a page and as CSV."""

from pathlib import Path

import pandas as pd

from attachment_outcomes.errors import ConfigError, did_you_mean
from attachment_outcomes.files import read_table, write_table, write_text
from attachment_outcomes.inference.estimate import read_estimates
from attachment_outcomes.job import Job, run
from attachment_outcomes.present.tables import BUILDERS
from attachment_outcomes.registry import resolve


def table(name: str, path: str) -> pd.DataFrame:
    return read_estimates(path) if name == "estimates" else read_table(path)


def main(job: Job) -> None:
    folder = Path(job.output[0])
    unknown = [name for name in job.params.tables if name not in BUILDERS]
    if unknown:
        raise ConfigError(f"no table {unknown[0]!r}; there are {', '.join(BUILDERS)}.{did_you_mean(unknown[0], BUILDERS)}")
    needed = {need for name in job.params.tables for need in resolve(BUILDERS[name].replace(":build", ":NEEDS"))}
    inputs = {need: table(need, str(getattr(job.input, need))) for need in sorted(needed)}
    for name in job.params.tables:
        made = resolve(BUILDERS[name])(inputs, job.params.settings)
        write_text(made.html, folder / f"{name}.html")
        write_table(made.frame, folder / f"{name}.csv")


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

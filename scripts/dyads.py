"""Assess recovery of couples and how alike partners are."""

from attachment_outcomes.dyads.stage import analyse_dyads
from attachment_outcomes.files import read_table, write_table
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.job import Job, run
from attachment_outcomes.study.contracts import read


def main(job: Job) -> None:
    tables = {name: read(getattr(job.input, name), name) for name in ("relations", "scores", "classifications")}
    tables["styles"] = read_table(job.input.styles)
    params = job.params
    found = analyse_dyads(
        tables, settings=params.settings, change=params.change, instruments=params.instruments, ci_level=params.ci_level
    )
    write_table(found.couples, job.output.couples)
    write_table(estimates_frame(found.estimates, study=job.study), job.output.estimates)
    write_table(found.flow.frame(), job.output.flow)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

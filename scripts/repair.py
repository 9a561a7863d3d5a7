"""Relate the ruptures and repairs of one study to what became of its clients."""

from attachment_outcomes.files import write_table
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.job import Job, run
from attachment_outcomes.rupture.stage import READS, REPAIR, run_step
from attachment_outcomes.study.contracts import read


def main(job: Job) -> None:
    result = run_step(
        REPAIR,
        {name: read(getattr(job.input, name), name) for name in READS},
        settings=job.params.settings,
        criteria=job.params.criteria,
        instruments=job.params.instruments,
        published=job.params.published,
        coding=job.params.coding,
        ci_level=job.params.ci_level,
        seed=job.seed,
    )
    for name, table in result.tables.items():
        write_table(table, getattr(job.output, name))
    write_table(estimates_frame(result.estimates, study=job.study), job.output.estimates)
    write_table(result.flow.frame(), job.output.flow)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

"""Compare the attachment of parents and children, over two and three generations."""

from attachment_outcomes.files import read_table, write_table
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.job import Job, run
from attachment_outcomes.study.contracts import TABLES, read
from attachment_outcomes.transmission.data import READS
from attachment_outcomes.transmission.stage import TRANSMISSION, run_step


def main(job: Job) -> None:
    paths = {name: getattr(job.input, name) for name in READS}
    result = run_step(
        TRANSMISSION,
        {name: read(path, name) if name in TABLES else read_table(path) for name, path in paths.items()},
        settings=job.params.settings,
        instruments=job.params.instruments,
        published=job.params.published,
        ci_level=job.params.ci_level,
        replicates=job.params.bootstrap,
        seed=job.seed,
    )
    for name, table in result.tables.items():
        write_table(table, getattr(job.output, name))
    write_table(estimates_frame(result.estimates, study=job.study), job.output.estimates)
    write_table(result.flow.frame(), job.output.flow)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

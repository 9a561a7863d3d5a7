"""Missing data, equivalence and the specification curve of one study."""

from attachment_outcomes.change.stage import READS, ROBUSTNESS, run_step
from attachment_outcomes.files import read_table, write_table
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.job import Job, run
from attachment_outcomes.study.contracts import read


def main(job: Job) -> None:
    tables = {name: read(getattr(job.input, name), table) for name, table in READS.items()}
    result = run_step(
        ROBUSTNESS,
        {**tables, "styles": read_table(job.input.styles)},
        settings=job.params.settings,
        instruments=job.params.instruments,
        overrides=job.params.overrides,
        ci_level=job.params.ci_level,
        seed=job.seed,
    )
    for name, table in result.tables.items():
        write_table(table, getattr(job.output, name))
    write_table(estimates_frame(result.estimates, study=job.study), job.output.estimates)
    write_table(result.flow.frame(), job.output.flow)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

"""Reliable change, transitions, earned security and growth of one study."""

from attachment_outcomes.change.stage import change_analysis
from attachment_outcomes.files import read_table, write_table
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.job import Job, run
from attachment_outcomes.study.contracts import read


def main(job: Job) -> None:
    result = change_analysis(
        scores=read(job.input.scores, "scores"),
        styles=read_table(job.input.styles),
        waves=read(job.input.waves, "waves"),
        people=read(job.input.people, "people"),
        treatments=read(job.input.treatments, "treatments"),
        classifications=read(job.input.classifications, "classifications"),
        settings=job.params.settings,
        instruments=job.params.instruments,
        ci_level=job.params.ci_level,
    )
    write_table(result.people_change, job.output.people_change)
    write_table(result.transitions, job.output.transitions)
    write_table(result.growth, job.output.growth)
    write_table(estimates_frame(result.estimates, study=job.study), job.output.estimates)
    write_table(result.flow.frame(), job.output.flow)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

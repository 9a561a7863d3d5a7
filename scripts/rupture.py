"""Find alliance ruptures and repairs, and relate them to outcome."""

from attachment_outcomes.files import write_table
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.job import Job, run
from attachment_outcomes.rupture.analysis import analyse_ruptures
from attachment_outcomes.study.contracts import read


def main(job: Job) -> None:
    result = analyse_ruptures(
        read(job.input.scores, "scores"),
        read(job.input.sessions, "sessions"),
        read(job.input.treatments, "treatments"),
        settings=job.params.settings,
        criteria=job.params.criteria,
        instruments=job.params.instruments,
        rng=job.rng,
        ci_level=job.params.ci_level,
    )
    for name in ("episodes", "clients", "series", "outcomes"):
        write_table(getattr(result, name), getattr(job.output, name))
    write_table(estimates_frame(result.estimates, study=job.study), job.output.estimates)
    write_table(result.flow.frame(), job.output.flow)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

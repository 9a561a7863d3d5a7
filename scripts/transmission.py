"""Compare the attachment of parents and children, and pool published samples."""

from attachment_outcomes.files import write_table
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.job import Job, run
from attachment_outcomes.study.contracts import read
from attachment_outcomes.transmission.stage import analyse_transmission


def main(job: Job) -> None:
    tables = {name: read(getattr(job.input, name), name) for name in ("relations", "classifications", "scores", "samples")}
    found = analyse_transmission(tables, settings=job.params.settings, ci_level=job.params.ci_level, rng=job.rng)
    write_table(found.concordance, job.output.concordance)
    write_table(found.residuals, job.output.residuals)
    write_table(found.samples, job.output.samples)
    write_table(found.pairs, job.output.pairs)
    write_table(estimates_frame(found.estimates, study=job.study), job.output.estimates)
    write_table(found.flow.frame(), job.output.flow)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

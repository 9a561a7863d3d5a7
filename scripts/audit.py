"""Rates, completeness and funnels of a study's service."""

from attachment_outcomes.audit.service import audit_service
from attachment_outcomes.files import read_table, write_table
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.job import Job, run
from attachment_outcomes.study.contracts import read

CANONICAL = ("treatments", "scores", "people", "samples")


def main(job: Job) -> None:
    tables = {name: read(getattr(job.input, name), name) for name in CANONICAL}
    tables["people_change"] = read_table(job.input.people_change)
    audit = audit_service(tables, settings=job.params.settings, change=job.params.change, ci_level=job.params.ci_level)
    write_table(audit.funnel, job.output.funnel)
    write_table(audit.completeness, job.output.completeness)
    write_table(estimates_frame(audit.estimates, study=job.study), job.output.estimates)
    write_table(audit.flow.frame(), job.output.flow)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

"""Read a study's raw files, stop at anything identifying, and write its canonical tables."""

from pathlib import Path

from attachment_outcomes.job import Job, run
from attachment_outcomes.study.contracts import TABLES
from attachment_outcomes.study.identity import open_key, secret_key
from attachment_outcomes.study.intake import ingest


def main(job: Job) -> None:
    study = dict(job.params.study)
    study["name"] = job.study
    folder = Path(job.output.flow).parent
    key = open_key(job.study) if study["open_data"] else secret_key(job.params.id_key_file, results=folder.parents[2])
    with ingest(study, list(job.input.raw), key=key, ranges=job.params.ranges, near=folder) as intake:
        intake.save({table: getattr(job.output, "answers" if table == "items" else table) for table in TABLES}, job.output.flow)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

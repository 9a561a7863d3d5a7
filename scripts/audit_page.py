"""Write the one-page audit of a study."""

import pandas as pd

from attachment_outcomes.files import read_table, write_text
from attachment_outcomes.inference.estimate import read_estimates
from attachment_outcomes.job import Job, run
from attachment_outcomes.present.pages.audit import NEEDS, audit_page


def table(name: str, path: str) -> pd.DataFrame:
    return read_estimates(path) if name == "estimates" else read_table(path)


def main(job: Job) -> None:
    tables = {name: table(name, str(getattr(job.input, name))) for name in NEEDS}
    write_text(audit_page(tables, job.params.settings), job.output[0])


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

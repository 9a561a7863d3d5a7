"""Draw one figure; where its data hold nothing to draw, write the reason in its place."""

import logging

import pandas as pd

from attachment_outcomes.files import read_table
from attachment_outcomes.inference.estimate import read_estimates
from attachment_outcomes.job import Job, run
from attachment_outcomes.present.drawing import NothingToDraw, not_drawn, save
from attachment_outcomes.registry import resolve


def table(name: str, path: str) -> pd.DataFrame:
    return read_estimates(path) if name == "estimates" else read_table(path)


def main(job: Job) -> None:
    module = f"attachment_outcomes.present.figures.{job.params.figure}"
    tables = {name: table(name, str(getattr(job.input, name))) for name in resolve(f"{module}:NEEDS")}
    try:
        drawing = resolve(f"{module}:draw")(tables, job.params.settings)
    except NothingToDraw as reason:
        logging.getLogger(__name__).warning("%s", reason)
        drawing = not_drawn(str(reason))
    out = job.output
    save(drawing, svg=out.svg, png=out.png, pdf=out.pdf, csv=out.csv, caption=out.caption)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

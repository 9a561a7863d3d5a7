"""Draw a study's figures; where a figure's data hold nothing to draw, write the reason in its place."""

import logging
from pathlib import Path

import pandas as pd

from attachment_outcomes.files import read_table
from attachment_outcomes.inference.estimate import read_estimates
from attachment_outcomes.job import Job, run
from attachment_outcomes.present.drawing import NothingToDraw, not_drawn, save
from attachment_outcomes.present.stand_in import labelled
from attachment_outcomes.registry import resolve


def table(name: str, path: str) -> pd.DataFrame:
    return read_estimates(path) if name == "estimates" else read_table(path)


def main(job: Job) -> None:
    modules = {name: f"attachment_outcomes.present.figures.{name}" for name in job.params.figures}
    needed = {name: resolve(f"{module}:NEEDS") for name, module in modules.items()}
    inputs = {need: table(need, str(getattr(job.input, need))) for need in sorted({n for needs in needed.values() for n in needs})}
    folder, captions = Path(job.output.figures), Path(job.output.captions)
    for name, module in modules.items():
        try:
            drawing = resolve(f"{module}:draw")({need: inputs[need] for need in needed[name]}, job.params.settings)
        except NothingToDraw as reason:
            logging.getLogger(__name__).warning("%s: %s", name, reason)
            drawing = not_drawn(str(reason))
        save(labelled(drawing, name, job.params.settings), folder / name, caption=captions / f"{name}.txt")


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)

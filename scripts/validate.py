"""Run recovery studies: ``python3 run.py validate [NAME…]`` makes validation/recovery/<name>.{csv,json,svg,png}.

Finished blocks of repetitions are kept in results/validation/, so a stopped run goes on where it was; they are made anew when
the code or the settings that they come from have changed. A run with another number of repetitions than the study's own writes
to results/validation/<name>/, and leaves the committed files as they are.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from attachment_outcomes.config import project_root, read_yaml, shown
from attachment_outcomes.errors import AttachmentOutcomesError, ConfigError, did_you_mean, problem
from attachment_outcomes.files import atomic, read_json, read_table, write_json, write_table, write_text
from attachment_outcomes.present.drawing import DPI, Drawing, svg_text
from attachment_outcomes.present.style import look
from attachment_outcomes.present.validation.recovery import draw
from attachment_outcomes.simulate.recovery.limits import disagreements
from attachment_outcomes.simulate.recovery.measures import failures, first_findings, performance
from attachment_outcomes.simulate.recovery.repetitions import Block, run_study
from attachment_outcomes.simulate.recovery.study import RecoveryStudy, read_study

PACKAGES = ("numpy", "pandas", "scipy")
FIRST = 3  # repetitions whose estimates are written out, for a short run to be held against
PLAIN_STEP = 30.0  # seconds between lines where there is no terminal to rewrite one


class Folder:
    """Keeps the finished blocks of one study, each as a file, for one state of the code."""

    def __init__(self, study: RecoveryStudy, folder: Path) -> None:
        """Use a folder of the study's own, and clear it of the blocks of other states."""
        self.cells = ["-".join(f"{k}={v}" for k, v in cell.items()) for cell in study.cells]
        self.folder = folder / study.code["repetitions"]
        for other in folder.glob("*") if folder.is_dir() else ():
            if other != self.folder:
                shutil.rmtree(other)

    def path(self, block: Block) -> Path:
        """Return the file of a block; the cell goes by its parameters, so that a longer grid keeps what there is."""
        return self.folder / self.cells[block.cell] / f"{block.start}-{block.stop}.parquet"

    def get(self, block: Block) -> pd.DataFrame | None:
        """Return a kept block, or None."""
        path = self.path(block)
        return read_table(path).assign(cell=block.cell) if path.is_file() else None

    def put(self, block: Block, rows: pd.DataFrame) -> None:
        """Keep a block."""
        write_table(rows, self.path(block))


class Progress:
    """Says how far a study is and when it will end: on one line of a terminal, or in a line now and then elsewhere."""

    def __init__(self, name: str) -> None:
        """Start the clock."""
        self.name, self.started, self.last, self.kept = name, time.monotonic(), 0.0, 0

    def __call__(self, done: int, of: int, kept: bool) -> None:
        """Tell that one more block is there."""
        self.kept += kept
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if kept or (done < of and now - self.last < (0.5 if terminal else PLAIN_STEP)):
            return
        self.last = now
        left = (now - self.started) / (done - self.kept) * (of - done)
        end = f"about {time.strftime('%H:%M:%S', time.localtime(time.time() + left))}" if done < of else "done"
        earlier = f", {self.kept} kept from before" if self.kept else ""
        text = f"{self.name}: {done} of {of} blocks{earlier}, {end}"
        sys.stderr.write(f"\r\x1b[2K{text}{'' if done < of else chr(10)}" if terminal else f"{text}\n")
        sys.stderr.flush()


def record(study: RecoveryStudy, rows: pd.DataFrame, repetitions: int) -> dict[str, Any]:
    """Return what makes a result repeatable: no seconds and no machine, so that the same run writes the same bytes."""
    return {
        "study": study.name,
        "title": study.title,
        "seed": study.seed,
        "repetitions": repetitions,
        "cells": study.cells,
        "methods": study.methods,
        "code": study.code,
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}},
        "failures": failures(rows, study),
        "first": first_findings(rows, study, FIRST),
    }


def write(study: RecoveryStudy, rows: pd.DataFrame, repetitions: int, folder: Path) -> pd.DataFrame:
    """Write a study's results and figure, and return the results."""
    results = performance(rows, study)
    write_table(results, folder / f"{study.name}.csv")
    write_json(record(study, rows, repetitions), folder / f"{study.name}.json")
    drawing: Drawing = draw(results, {**study.figure, "title": study.title, "methods": study.methods, "repetitions": repetitions})
    write_text(svg_text(drawing), folder / f"{study.name}.svg")
    with look():
        about = {"Description": drawing.alt}
        atomic(folder / f"{study.name}.png", lambda p: drawing.figure.savefig(p, format="png", dpi=DPI, metadata=about))
    return results


def state(study: RecoveryStudy, folder: Path) -> str:
    """Return in words whether the committed results are what a run would make now; empty if they are."""
    lacking = [ending for ending in ("json", "csv", "svg", "png") if not (folder / f"{study.name}.{ending}").is_file()]
    if lacking:
        return f"{study.name}: no results yet ({', '.join(lacking)})"
    told = read_json(folder / f"{study.name}.json")
    code = study.code
    changed = {
        "seed": told["seed"] != study.seed,
        "number of repetitions": told["repetitions"] != study.repetitions,
        "grid": told["cells"] != study.cells,
        "methods": told["methods"] != study.methods,
        "code of scenario or estimators": told["code"]["repetitions"] != code["repetitions"],
        "code of the measures": told["code"]["measures"] != code["measures"],
    }
    stale = [what for what, differs in changed.items() if differs]
    return f"{study.name}: stale, as these changed: {', '.join(stale)}" if stale else ""


def main(arguments: list[str]) -> int:
    """Run, list or check studies; return the exit code."""
    parser = argparse.ArgumentParser(prog="python3 run.py validate", description="Run the recovery studies of validation/recovery.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="studies; all if not given")
    parser.add_argument("--list", action="store_true", help="say which studies there are")
    parser.add_argument("--check", action="store_true", help="only say whether the committed results are up to date")
    parser.add_argument("--repetitions", type=int, metavar="N", help="run N data sets a cell and write to results/validation")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, metavar="N", help="processes at a time")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write there")
    options = parser.parse_args(arguments)
    if options.cores < 1 or (options.repetitions is not None and options.repetitions < 2):
        parser.error("--cores takes a number from 1, --repetitions one from 2.")
    committed, work = project_root() / "validation" / "recovery", project_root() / "results" / "validation"
    there = sorted(p.stem for p in committed.glob("*.yaml"))
    for name in options.names:
        if name not in there:
            raise ConfigError(
                problem("validate", f"no study {name!r}.{did_you_mean(name, there)}", hint=f"there are: {', '.join(there)}.")
            )
    files = [committed / f"{name}.yaml" for name in options.names or there]
    studies = [read_study(read_yaml(file), shown(file)) for file in files]
    if options.list:
        for study in studies:
            sys.stdout.write(f"{study.name}: {study.title} ({len(study.cells)} cells of {study.repetitions} repetitions)\n")
        return 0
    if options.check:
        stale = [text for study in studies if (text := state(study, committed))]
        sys.stdout.write("".join(f"{text}\n" for text in stale) or "All recovery results are up to date.\n")
        return int(bool(stale))
    # At once, so that an edit during a long run is not taken for the code that ran.
    folders = {study.name: Folder(study, work / study.name / "blocks") for study in studies}
    said = []
    for study in studies:
        repetitions = options.repetitions or study.repetitions
        full = repetitions == study.repetitions
        rows = run_study(study, repetitions=repetitions, cores=options.cores, store=folders[study.name], tell=Progress(study.name))
        out = options.out or (committed if full else work / study.name)
        results = write(study, rows, repetitions, out)
        said += disagreements(results, study) if full else []
        sys.stdout.write(f"{study.name}: {shown(out / study.name)}.csv, .json, .svg, .png\n")
    sys.stdout.writelines(f"{text}\n" for text in said)
    return int(bool(said))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AttachmentOutcomesError as error:
        sys.exit(f"ERROR {error}")
    except KeyboardInterrupt:
        sys.exit(130)

"""Measure time and memory: ``python3 run.py bench [pipeline] [models] [change] [transmission] [ruptures]``, all if none is named.

pipeline  whole runs of the workflow, into validation/bench.json. Everything runs in a temporary copy of the project with the Python
          of this process, so results at hand stay as they are. ``seconds`` are wall-clock, and depend on what else the machine
          does; ``cpu_seconds`` are those of all processes together (0 where the system does not tell). Memory is the largest sum
          over the processes of a run, shared memory counted once (where the system tells it, else resident memory), looked at
          ten times a second.
models    fits of mixed models beside lme4, statsmodels and packages of the Python package index, into
          validation/bench/models.{json,svg,png} and docs/methods/speed.md. Every run is a process of its own, in alternation. What
          is done is kept in results/bench/, and ``--resume`` goes on from there.
change    categories, slopes and bootstraps of many people, each in a process of its own, into validation/bench/change.json.
transmission  the whole analysis of many families and of many samples, each in a process of its own, into
          validation/bench/transmission.json.
ruptures  every rupture criterion on up to ten million sessions, each number of sessions in a process of its own, into
          validation/bench/ruptures.json and docs/methods/speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import psutil

from attachment_outcomes.config import project_root, shown
from attachment_outcomes.files import atomic, read_json, sha256, write_json, write_table, write_text
from attachment_outcomes.fingerprint import fingerprint
from attachment_outcomes.present.drawing import DPI, svg_text
from attachment_outcomes.present.style import look
from attachment_outcomes.present.validation.bench import draw
from attachment_outcomes.present.validation.bench_ruptures import table, with_table
from attachment_outcomes.present.validation.bench_tables import with_tables
from attachment_outcomes.simulate.bench import ruptures as rupture_bench
from attachment_outcomes.simulate.bench.change import TASKS as CHANGE
from attachment_outcomes.simulate.bench.data import columns
from attachment_outcomes.simulate.bench.measure import LOOK_SECONDS, machine, measured
from attachment_outcomes.simulate.bench.models import LME4, OURS, PACKAGES, PEERS, STATSMODELS, Row, rows
from attachment_outcomes.simulate.bench.record import record_of
from attachment_outcomes.simulate.bench.tasks import Task, met
from attachment_outcomes.simulate.bench.transmission import TASKS as TRANSMISSION

ROWS = 10_000_000
SESSIONS_EACH = 25
LARGEST = "ecr_openpsychometrics"
VERSIONS = ("duckdb", "matplotlib", "numpy", "pandas", "pyarrow", "scipy", "snakemake", "statsmodels")
PARTS = ("Snakefile", "config", "data", "profiles", "scripts", "src", "workflow", "pyproject.toml", "requirements.lock")
SESSIONS_STUDY = """\
name: many_sessions
title: Ten million sessions, for the bench
source: {citation: made for the bench, licence: none needed}
folder: many_sessions
open_data: true
sources:
  - file: sessions.csv
    tables:
      - table: people
        distinct: true
        columns: {person_id: client, role: {value: client}}
      - table: sessions
        columns:
          person_id: client
          treatment_id: {value: "1"}
          session_number: session
          week: week
          alliance: alliance
          symptoms: symptoms
"""

RUNS, LEAST_RUNS = 3, 2  # processes of each package at each row; with fewer, the committed files stay as they are
ENOUGH = 20.0  # seconds that the runs of a package at a row may have taken before a further one
LIMIT, LIMIT_STATSMODELS = 150.0, 600.0  # seconds of one process
TIGHT_CLIENTS = 5_000  # up to which lme4 also searches with tiny tolerances, for the estimates
MEMORY_SHARE = 0.6  # of the machine's, that one process may take
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
FITS = "attachment_outcomes.inference.mixed.model:mixed_model"
LOGISTIC = "attachment_outcomes.inference.logistic_mixed.fit:logistic_mixed_model"


# ---- pipeline


def snakemake(folder: Path, *arguments: str, study: str, data: Path | None = None) -> dict[str, float]:
    """Run Snakemake in the copy for one study."""
    settings = [f'studies=["{study}"]', *([f"data_dir={data}"] if data else [])]
    return measured(
        [sys.executable, "-m", "snakemake", "--quiet", "host", "--cores", "all", *arguments, "--config", *settings], folder
    )


def sessions_file(target: Path, count: int) -> None:
    """Write a CSV of sessions whose numbers follow from the row's own, so that it is the same every time."""
    target.parent.mkdir(parents=True)
    duckdb.sql(
        f"COPY (SELECT 'c' || (i // {SESSIONS_EACH}) AS client, i % {SESSIONS_EACH} + 1 AS session, i % {SESSIONS_EACH} AS week, "
        f"round(4 + sin(i * 0.7), 2) AS alliance, round(20 - (i % {SESSIONS_EACH}) * 0.4 + 3 * cos(i * 1.3), 1) AS symptoms "
        f"FROM range({count}) AS r(i)) TO '{target.as_posix()}' (HEADER, DELIMITER ',')"
    )


def pipeline(root: Path, data: Path | None, count: int) -> None:
    """Measure whole runs of the workflow."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        copy = Path(temporary) / "project"
        copy.mkdir()
        for part in PARTS:
            (shutil.copytree if (root / part).is_dir() else shutil.copy2)(root / part, copy / part)
        write_text(SESSIONS_STUDY, copy / "config" / "studies" / "many_sessions.yaml")

        found["example, first run"] = snakemake(copy, study="example")
        for folder in ("results", ".snakemake", "logs", "benchmarks"):
            shutil.rmtree(copy / folder)
        found["example, second run from nothing"] = snakemake(copy, study="example")
        found["example, nothing to do"] = snakemake(copy, study="example")
        found["example, report"] = snakemake(copy, "--report", "report.html", study="example")
        if data and (data / LARGEST).is_dir():
            found[f"{LARGEST}, from nothing"] = snakemake(copy, study=LARGEST, data=data)
        else:
            found[f"{LARGEST}, from nothing"] = "not measured: the data are not here (--data)"
        made = copy / "made" / "many_sessions" / "sessions.csv"
        sessions_file(made, count)
        found[f"ingest of {count} sessions"] = {
            **snakemake(copy, "--until", "ingest", study="many_sessions", data=copy / "made"),
            "file_mb": round(made.stat().st_size / 1e6),
        }
    versions = {name: metadata.version(name) for name in VERSIONS}
    lock = sha256(root / "requirements.lock")
    write_json(
        {"machine": machine(), "packages": versions, "requirements.lock": lock, "measured": found},
        root / "validation" / "bench.json",
    )
    for name, values in found.items():
        sys.stdout.write(f"{name}: {values}\n")


# ---- change, transmission


def tasks(root: Path, name: str, todo: Mapping[str, Task]) -> None:
    """Measure each task in a process of its own; the seconds are of the whole process, the making of data included."""
    found = {}
    for key, task in todo.items():
        call = f"from attachment_outcomes.simulate.bench.{name} import TASKS; TASKS[{key!r}].run()"
        values = measured([sys.executable, "-c", call], root)
        goal = {"goal_seconds": task.seconds, "goal_mb": task.megabytes, "met": met(task, values["seconds"], values["peak_mb"])}
        found[key] = {"title": task.title, **values, **goal}
        sys.stdout.write(f"{task.title}: {values} {'met' if goal['met'] else 'NOT MET'}\n")
    versions = {package: metadata.version(package) for package in VERSIONS}
    write_json({"machine": machine(), "packages": versions, "measured": found}, root / "validation" / "bench" / f"{name}.json")


# ---- ruptures


def ruptures(root: Path) -> None:
    """Measure every criterion on each number of sessions, each in a process of its own."""
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        for size in rupture_bench.SIZES:
            out = Path(temporary) / "found.json"
            call = (
                "from pathlib import Path; from attachment_outcomes.files import write_json; "
                f"from attachment_outcomes.simulate.bench.ruptures import run; write_json(run({size}), Path({str(out)!r}))"
            )
            took = measured([sys.executable, "-c", call], root)
            found.append({**read_json(out), "process_seconds": took["seconds"], **{k: took[k] for k in ("cpu_seconds", "peak_mb")}})
    record = {
        "machine": machine(), "load_before": load, "packages": {name: metadata.version(name) for name in VERSIONS},
        "measured": found, "goals": rupture_bench.goals(found),
    }  # fmt: skip
    write_json(record, root / "validation" / "bench" / "ruptures.json")
    page = root / "docs" / "methods" / "speed.md"
    write_text(with_table(page.read_text(encoding="utf-8"), record), page)
    sys.stdout.write(f"{table(record)}\n")


# ---- models


class Kept:
    """The runs so far, a line each, of one state of the code and one set of packages."""

    def __init__(self, path: Path, head: dict[str, Any], *, resume: bool) -> None:
        """Open the file; what it holds of another state is dropped."""
        self.path = path
        self.runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if resume and path.is_file() else []
        if lines and json.loads(lines[0]) == head:
            for line in map(json.loads, lines[1:]):
                self.runs.setdefault((line["row"], line["package"]), []).append(line["run"])
        else:
            if lines:
                say("The runs kept from before are of other code, packages or settings; all is measured anew.")
            write_text(json.dumps(head) + "\n", path)

    def of(self, row: Row, package: str) -> list[dict[str, Any]]:
        """Return the runs of a package at a row."""
        return self.runs.setdefault((row.key, package), [])

    def add(self, row: Row, package: str, run: dict[str, Any]) -> None:
        """Keep one more run, in the file too."""
        self.of(row, package).append(run)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"row": row.key, "package": package, "run": run}) + "\n")


def say(text: str) -> None:
    """Tell how it goes."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def plain_environment() -> dict[str, str]:
    """Return the environment in which everyone fits: as many threads as a package takes by itself."""
    return {**{k: v for k, v in os.environ.items() if k not in THREADS}, "PYTHONNOUSERSITE": "1"}


def commands(root: Path, peers: str | None, rscript: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the command that fits with each package that is here, and all versions."""
    python_worker, r_worker = root / "validation" / "bench" / "fit.py", root / "validation" / "bench" / "fit.R"
    env = plain_environment()

    def asked(command: list[str]) -> dict[str, str]:
        try:
            answer = subprocess.run(command, capture_output=True, text=True, env=env, check=False)  # noqa: S603
            return dict(json.loads(answer.stdout)) if answer.returncode == 0 else {}
        except OSError:
            return {}

    found: dict[str, list[str]] = {OURS: [sys.executable, str(python_worker), OURS]}
    own = asked([sys.executable, str(python_worker), "--versions"])
    others = asked([peers, str(python_worker), "--versions"]) if peers else {}
    with_r = asked([rscript, "--vanilla", str(r_worker), "--versions"])
    if peers and not others:
        sys.exit(f"ERROR --peers: {Path(peers).name} does not start.")
    versions = {k: v for k, v in own.items() if k not in PEERS} | with_r | {k: v for k, v in others.items() if k in PEERS}
    found |= {STATSMODELS: [sys.executable, str(python_worker), STATSMODELS]} if STATSMODELS in own else {}
    found |= {LME4: [rscript, "--vanilla", str(r_worker)]} if LME4 in with_r else {}
    found |= {name: [str(peers), str(python_worker), name] for name in PEERS if name in others}
    return found, versions


def write_rows(row: Row, folder: Path) -> int:
    """Write the data of a row as the fitting programs read them, and return how many observations there are."""
    made, starts = columns(row)
    model = row.model
    if model.from_file:
        write_table(pd.DataFrame(made), folder / "rows.parquet")
    else:
        for name, values in made.items():
            np.ascontiguousarray(values).tofile(folder / f"{name}.bin")
    about = {
        "fixed": model.fixed, "mixed": model.mixed, "groups": model.groups, "slopes": model.slopes, "family": model.family,
        "columns": {name: values.dtype.str for name, values in made.items()}, "starts": starts, "fits": model.fits,
        "fits_others": model.fits_others, "one_design": model.one_design, "file": "rows.parquet" if model.from_file else None,
    }  # fmt: skip
    write_json(about, folder / "about.json")
    return starts[-1]


def fitted(command: list[str], out: Path, limit: float, env: dict[str, str]) -> dict[str, Any]:
    """Run one fitting process; return what it wrote and its seconds, or why there is nothing."""
    over = threading.Event()
    stopped: list[str] = []
    out.unlink(missing_ok=True)
    most = MEMORY_SHARE * psutil.virtual_memory().total
    started = time.perf_counter()
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, env=env, stdout=said, stderr=said) as process,  # noqa: S603
    ):

        def watch() -> None:
            while not over.wait(LOOK_SECONDS):
                try:
                    held = psutil.Process(process.pid).memory_info().rss
                except psutil.Error:
                    return
                if held > most:
                    stopped.append(f"stopped at {most / 1e9:.0f} GB")
                elif time.perf_counter() - started > limit:
                    stopped.append(f"stopped after {limit:.0f} s")
                if stopped:
                    process.kill()
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        seconds = time.perf_counter() - started
        over.set()
        watcher.join()
        if stopped:
            return {"not": stopped[0]}
        if code or not out.is_file():
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines() or [f"ended with code {code}"]
            say("  " + "\n  ".join(lines[-8:]))
            return {"not": f"failed: {lines[-1][:120]}"}
    return {**read_json(out), "process_seconds": seconds}


def expected(row: Row, package: str, kept: Kept) -> float:
    """Return about how many seconds a fit takes, from the next smaller size, at least in proportion; 0 if nothing is known."""
    smaller = [r for r in rows() if (r.name, r.form) == (row.name, row.form) and r.clients < row.clients]
    runs = [run for run in kept.of(smaller[-1], package) if "calls" in run] if smaller and package in smaller[-1].packages else []
    return row.clients / smaller[-1].clients * min(run["calls"][-1]["seconds"] for run in runs) if runs else 0.0


def measure_row(row: Row, there: dict[str, list[str]], kept: Kept, runs: int) -> int:
    """Measure one row: every package in turn, and again; return the number of observations."""
    env = plain_environment()
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        observations = write_rows(row, folder)
        for number in range(runs):
            for package in [p for p in row.packages if p in there]:
                own = kept.of(row, package)
                spent = sum(run.get("process_seconds", ENOUGH) for run in own)
                if len(own) > number or any("not" in run for run in own) or spent > ENOUGH:
                    continue
                limit = LIMIT_STATSMODELS if package == STATSMODELS else LIMIT
                ahead = expected(row, package, kept)
                if package in PEERS and ahead > limit:
                    run: dict[str, Any] = {"not": f"not run: some {ahead:.0f} s expected from the smaller size"}
                else:
                    tight = ["--tight"] if package == LME4 and not own and row.clients <= TIGHT_CLIENTS else []
                    run = fitted([*there[package], str(folder), str(folder / "out.json"), *tight], folder / "out.json", limit, env)
                kept.add(row, package, run)
                took = f"{run['calls'][-1]['seconds']:.3g} s" if "calls" in run else run["not"]
                say(f"{row.key}, run {number + 1}: {package} {took}")
    return observations


def code_of(root: Path) -> dict[str, str]:
    """Return fingerprints of what is timed and of what times it."""
    workers = [root / "validation" / "bench" / name for name in ("fit.py", "fit.R")]
    return {
        "mixed_model": fingerprint(FITS), "logistic_mixed_model": fingerprint(LOGISTIC),
        "data": fingerprint("attachment_outcomes.simulate.bench.data:columns"),
        **{path.name: sha256(path)[:16] for path in workers},
    }  # fmt: skip


def write_models(record: dict[str, Any], stem: Path, page: Path | None) -> None:
    """Write the record, its figure, and the tables of the page about it."""
    write_json(record, stem.with_suffix(".json"))
    drawing = draw(record)
    write_text(svg_text(drawing), stem.with_suffix(".svg"))
    with look():
        about = {"Description": drawing.alt}
        atomic(stem.with_suffix(".png"), lambda p: drawing.figure.savefig(p, format="png", dpi=DPI, metadata=about))
    if page:
        write_text(with_tables(page.read_text(encoding="utf-8"), record), page)


def models(root: Path, options: argparse.Namespace) -> None:
    """Measure fits of mixed models."""
    chosen = [row for row in rows() if not options.only or any(fnmatchcase(row.key, pattern) for pattern in options.only)]
    if not chosen:
        sys.exit(f"ERROR --only: there are {', '.join(row.key for row in rows())}.")
    there, versions = commands(root, options.peers, options.rscript)
    absent = [p for p in PACKAGES if p not in there]
    there = {p: command for p, command in there.items() if not options.packages or p in options.packages}
    if absent:
        say(f"Not here, so not measured: {', '.join(absent)}.")
    head = {"machine": machine(), "packages": {**versions, "matplotlib": metadata.version("matplotlib")}, "code": code_of(root)}
    kept = Kept(root / "results" / "bench" / "runs.jsonl", {**head, "runs": options.runs}, resume=options.resume)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    observations = {}
    for row in chosen:
        observations[row.key] = measure_row(row, there, kept, options.runs)
    runs = {row.key: {p: kept.of(row, p) for p in row.packages} for row in chosen}
    record = record_of(chosen, runs, observations, head={**head, "load_before": load, "absent": absent})
    whole = not options.only and not options.packages and options.runs >= LEAST_RUNS
    stem = root / "validation" / "bench" / "models" if whole else root / "results" / "bench" / "models"
    write_models(record, stem, root / "docs" / "methods" / "speed.md" if whole else None)
    for goal in record["goals"]:
        met = {True: "met", False: "NOT MET", None: "not measured"}[goal["met"]]
        sys.stdout.write(f"{goal['row']}: {goal['goal']}: {goal['measured']} ({goal['sense']} {goal['bound']}) {met}\n")
    sys.stdout.write(f"{shown(stem)}.json, .svg, .png\n")


def main(arguments: Sequence[str]) -> int:
    """Measure what is named; return the exit code."""
    parser = argparse.ArgumentParser(prog="python3 run.py bench", description="Measure time and memory.")
    parser.add_argument(
        "parts", nargs="*", metavar="pipeline|models|change|transmission|ruptures", help="what to measure; all if not given"
    )
    parser.add_argument("--rows", type=int, default=ROWS, help="pipeline: rows of the sessions file")
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTACHMENT_OUTCOMES_DATA"), help="pipeline: public data sets")
    parser.add_argument("--peers", metavar="PYTHON", help=f"models: a Python that has {', '.join(PEERS)}")
    parser.add_argument("--rscript", default="Rscript", metavar="PROGRAM", help="models: R with lme4 and jsonlite")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help="models: processes of each package at each row")
    parser.add_argument("--only", nargs="+", metavar="PATTERN", help="models: rows, e.g. '*-5000'; to results/bench")
    parser.add_argument("--packages", nargs="+", choices=PACKAGES, metavar="NAME", help="models: these; to results/bench")
    parser.add_argument("--resume", action="store_true", help="models: go on with the runs of results/bench")
    parser.add_argument("--check", action="store_true", help="models: only say whether the committed timings are of this code")
    options = parser.parse_args(arguments)
    root = project_root()
    todo: dict[str, Callable[[], None]] = {
        "pipeline": lambda: pipeline(root, Path(options.data).expanduser().resolve() if options.data else None, options.rows),
        "models": lambda: models(root, options),
        "change": lambda: tasks(root, "change", CHANGE),
        "transmission": lambda: tasks(root, "transmission", TRANSMISSION),
        "ruptures": lambda: ruptures(root),
    }
    for part in options.parts:
        if part not in todo:
            parser.error(f"no part {part!r}; there are: {', '.join(todo)}.")
    if options.check:
        file = root / "validation" / "bench" / "models.json"
        told = read_json(file)["code"] if file.is_file() else {}
        changed = [name for name, code in code_of(root).items() if told.get(name) != code]
        sys.stdout.write(f"Changed since the timings: {', '.join(changed)}\n" if changed else "The timings are of this code.\n")
        return int(bool(changed))
    for part in options.parts or list(todo):
        todo[part]()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("Stopped. `bench models --resume` goes on from here.")
        sys.exit(130)

"""Measure time and memory: ``python3 run.py bench`` writes validation/bench.json.

Everything runs in a temporary copy of the project with the Python of this process, so results at hand stay as they are.
``seconds`` are wall-clock, and depend on what else the machine does; ``cpu_seconds`` are those of all processes together
(0 where the system does not tell). Memory is the largest sum over the processes of a run, shared memory counted once (where
the system tells it, else resident memory), looked at ten times a second.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import duckdb
import psutil

from attachment_outcomes.config import project_root
from attachment_outcomes.files import sha256, write_json, write_text

ROWS = 10_000_000
SESSIONS_EACH = 25
LOOK_SECONDS = 0.1
PACKAGES = ("duckdb", "matplotlib", "numpy", "pandas", "pyarrow", "scipy", "snakemake", "statsmodels")
LARGEST = "ecr_openpsychometrics"
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


def memory(process: psutil.Process) -> int:
    """Return the bytes that a process and its descendants hold now."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            full = one.memory_full_info()
            total += getattr(full, "pss", full.rss)
        except psutil.Error:  # ended meanwhile
            continue
    return total


def measured(command: list[str], folder: Path) -> dict[str, float]:
    """Run a command; return its seconds, its processor seconds and its peak megabytes."""
    env = {**os.environ, "PYTHONPATH": str(folder / "src"), "ATTACHMENT_OUTCOMES_ROOT": str(folder)}
    started, before = time.perf_counter(), os.times()
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, cwd=folder, env=env, stdout=said, stderr=said) as process,  # noqa: S603 (our own command)
    ):
        top, peak = psutil.Process(process.pid), 0
        while process.poll() is None:
            try:
                peak = max(peak, memory(top))
            except psutil.Error:
                break
            time.sleep(LOOK_SECONDS)
        code = process.wait()
        if code:
            said.seek(0)
            sys.stderr.buffer.write(said.read())
            sys.exit(f"ERROR {' '.join(command)} ended with code {code}")
    seconds, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "peak_mb": round(peak / 1e6)}


def snakemake(folder: Path, *arguments: str, study: str, data: Path | None = None) -> dict[str, float]:
    """Run Snakemake in the copy for one study."""
    settings = [f'studies=["{study}"]', *([f"data_dir={data}"] if data else [])]
    return measured(
        [sys.executable, "-m", "snakemake", "--quiet", "host", "--cores", "all", *arguments, "--config", *settings], folder
    )


def sessions_file(target: Path, rows: int) -> None:
    """Write a CSV of sessions whose numbers follow from the row's own, so that it is the same every time."""
    target.parent.mkdir(parents=True)
    duckdb.sql(
        f"COPY (SELECT 'c' || (i // {SESSIONS_EACH}) AS client, i % {SESSIONS_EACH} + 1 AS session, i % {SESSIONS_EACH} AS week, "
        f"round(4 + sin(i * 0.7), 2) AS alliance, round(20 - (i % {SESSIONS_EACH}) * 0.4 + 3 * cos(i * 1.3), 1) AS symptoms "
        f"FROM range({rows}) AS r(i)) TO '{target.as_posix()}' (HEADER, DELIMITER ',')"
    )


def machine() -> dict[str, Any]:
    """Return what kind of machine this is, without its name."""
    return {
        "system": platform.system(), "processor": platform.machine(), "processors": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1), "python": platform.python_version(),
    }  # fmt: skip


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python3 run.py bench", description="Measure time and memory.")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the sessions file")
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTACHMENT_OUTCOMES_DATA"), help="folder of public data sets")
    options = parser.parse_args(arguments)
    root = project_root()
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
        data = Path(options.data).expanduser().resolve() if options.data else None
        if data and (data / LARGEST).is_dir():
            found[f"{LARGEST}, from nothing"] = snakemake(copy, study=LARGEST, data=data)
        else:
            found[f"{LARGEST}, from nothing"] = "not measured: the data are not here (--data)"
        made = copy / "made" / "many_sessions" / "sessions.csv"
        sessions_file(made, options.rows)
        found[f"ingest of {options.rows} sessions"] = {
            **snakemake(copy, "--until", "ingest", study="many_sessions", data=copy / "made"),
            "file_mb": round(made.stat().st_size / 1e6),
        }
    write_json(
        {
            "machine": machine(),
            "packages": {name: metadata.version(name) for name in PACKAGES},
            "requirements.lock": sha256(root / "requirements.lock"),
            "measured": found,
        },
        root / "validation" / "bench.json",
    )
    for name, values in found.items():
        sys.stdout.write(f"{name}: {values}\n")


if __name__ == "__main__":
    main(sys.argv[1:])

"""What does a command take? Seconds and memory of a process and of all that it starts. Needs psutil, as development does."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

LOOK_SECONDS = 0.1


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


def machine() -> dict[str, Any]:
    """Return what kind of machine this is, without its name."""
    return {
        "system": platform.system(), "processor": platform.machine(), "processors": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1), "python": platform.python_version(),
    }  # fmt: skip

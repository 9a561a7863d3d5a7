"""A copy of the project in which the whole workflow can be run, and what was made there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "config", "scripts", "src", "profiles", "data", "requirements.lock", "pyproject.toml")


@dataclass(frozen=True)
class Copy:
    """A copy of the project."""

    folder: Path

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake there."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "src"), "COLUMNS": "200"}
        environment.pop("ATTACHMENT_OUTCOMES_ROOT", None)
        command = [sys.executable, "-m", "snakemake", *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def run(self, *arguments: str) -> str:
        """Run Snakemake there and return all that it says; fail the test if it fails."""
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def hashes(self, study: str) -> dict[str, str]:
        """Return the checksum of every result file."""
        results = self.folder / "results" / study
        return {
            p.relative_to(results).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(results.rglob("*"))
            if p.is_file() and p.name != "report.html" and not p.name.startswith(".snakemake")
        }


def make_copy(folder: Path) -> Copy:
    """Copy what the workflow needs."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignore, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy2(source, folder / part)
    return Copy(folder)


@pytest.fixture(scope="session")
def example_run(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The example study, run on two cores."""
    copy = make_copy(tmp_path_factory.mktemp("two cores") / "project")
    copy.run("--cores", "2")
    return copy


@pytest.fixture
def fresh_copy(tmp_path: Path) -> Copy:
    """A copy in which nothing has been run."""
    return make_copy(tmp_path / "project")

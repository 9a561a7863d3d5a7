"""What is declared, what is locked and what conda users get are the same; and no file leads to a machine or a registry."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

# The name a package has in the conda channels, where it is another than in the lock.
CONDA_NAMES = {
    "duckdb": "python-duckdb",
    "great-tables": "great_tables",
    "matplotlib": "matplotlib-base",
    "snakemake": "snakemake-minimal",
}
OLDEST_PYTHON = (3, 11)  # environment.yml has this one; the lock may hold a second version of a package for newer ones
ENTRY = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>.+?))? \\$")
# Registry hosts, index options, and folders of one machine (the brackets keep this file from finding itself).
MACHINE = re.compile(
    r"p[y]pi\.org|python[h]osted|registry\.[n]pmjs|deb\.deb[i]an|[c]onda\.anaconda\.org|--(?:extra-)?index-[u]rl|--find-[l]inks"
    r"|(?<![\w}>*.])/(?:work|tmp|home|root|Users)/\w|C:\\[U]sers",
    re.IGNORECASE,
)


def project(root: Path) -> dict[str, dict[str, str]]:
    """Return the bounds of the direct dependencies, by purpose and name."""
    content = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"run": content["dependencies"], "dev": content["optional-dependencies"]["dev"]}
    return {
        purpose: {re.split(r"[<>=]", r)[0]: r[len(re.split(r"[<>=]", r)[0]) :] for r in group} for purpose, group in groups.items()
    }


def locked(root: Path) -> dict[str, str]:
    """Return the versions that the lock has for the oldest Python."""
    found = {}
    for line in (root / "requirements.lock").read_text(encoding="utf-8").splitlines():
        entry = ENTRY.match(line)
        if entry:
            bound = re.search(r"python_full_version (<|>=) '(\d+)\.(\d+)'", entry["marker"] or "")
            newer_only = bound is not None and bound[1] == ">=" and (int(bound[2]), int(bound[3])) > OLDEST_PYTHON
            if not newer_only:
                assert entry["name"] not in found, f"two versions of {entry['name']} for one Python"
                found[entry["name"]] = entry["version"]
    return found


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version))


def test_every_direct_dependency_has_a_lower_bound_that_the_lock_meets(root: Path) -> None:
    versions = locked(root)
    for group in project(root).values():
        for name, bounds in group.items():
            least, *most = bounds.split(",")
            assert least.startswith(">="), f"{name}: the first bound is a lower one"
            assert numbers(versions[name]) >= numbers(least), f"{name}: run the lock command of CONTRIBUTING.md"
            assert all(numbers(versions[name]) < numbers(bound) for bound in most if bound.startswith("<"))


def test_every_locked_package_has_hashes_and_nothing_else(root: Path) -> None:
    lines = (root / "requirements.lock").read_text(encoding="utf-8").splitlines()
    entries = [i for i, line in enumerate(lines) if ENTRY.match(line)]
    assert len(entries) > 100
    for i in entries:
        assert lines[i + 1].startswith("    --hash=sha256:"), lines[i]
    others = [line for i, line in enumerate(lines) if i not in set(entries)]
    assert [line for line in others if not re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line)] == []


def test_the_conda_environment_has_the_versions_of_the_lock(root: Path) -> None:
    environment = yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))
    listed = {}
    for entry in environment["dependencies"]:
        for text in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, _, version = text.replace("==", "=").partition("=")
            assert name not in listed
            listed[name] = version
    versions = locked(root)
    direct = [name for group in project(root).values() for name in group]
    expected = {CONDA_NAMES.get(name, name): versions[name] for name in direct}
    assert listed == {**expected, "python": ".".join(map(str, OLDEST_PYTHON)), "pip": ""}


def test_declared_pythons_agree(root: Path) -> None:
    content = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    text = ".".join(map(str, OLDEST_PYTHON))
    assert content["project"]["requires-python"] == f">={text}"
    assert content["tool"]["mypy"]["python_version"] == text
    assert content["tool"]["ruff"]["target-version"] == f"py{text.replace('.', '')}"
    assert "sys.version_info < (3, 11)" in (root / "run.py").read_text(encoding="utf-8")


def test_no_tracked_file_leads_to_a_registry_or_a_machine(root: Path) -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout, so what is tracked is not known")
    found = []
    for name in listing.stdout.decode().split("\0"):
        path = root / name
        if name and path.is_file():
            text = path.read_bytes()
            match = None if b"\0" in text else MACHINE.search(text.decode("utf-8", errors="replace"))
            if match:
                found.append(f"{name}: {match[0]}")
    assert found == []

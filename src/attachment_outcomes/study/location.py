"""Are the raw files there, and if not, where can they be had? Asked before anything is read, so it loads no engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attachment_outcomes.errors import DataError, problem


def check_present(study: Mapping[str, Any], paths: Sequence[str | Path]) -> None:
    """Stop if a raw file or a data dictionary is not there, or is empty.

    Raises
    ------
    DataError
        Naming every missing file, the folder it belongs into, and where it can be had.
    """
    lines = []
    for source, path in zip(study["sources"], paths, strict=True):
        wanted = [(source["file"], Path(path))]
        if "dictionary" in source:
            wanted.append((source["dictionary"], beside(source, path, source["dictionary"])))
        for name, place in wanted:
            if not place.is_file():
                lines.append(problem(name, f"no such file in the folder {study['folder']!r}."))
            elif place.stat().st_size == 0:
                lines.append(problem(name, "the file is empty.", hint="copy it again from its source."))
    if lines:
        raise DataError("\n".join([*dict.fromkeys(lines), f"Hint: {_where(study)}"]))


def beside(source: Mapping[str, Any], path: str | Path, name: str) -> Path:
    """Return the path of another file of the study's folder."""
    return Path(path).parents[len(Path(source["file"]).parts) - 1] / name


def _where(study: Mapping[str, Any]) -> str:
    origin = study["source"]
    parts = [f"put the files into <data folder>/{study['folder']} and name the data folder with --data DIR (or 'data_dir')."]
    if "repository" in origin:
        paths = f", paths {', '.join(origin['paths'])}" if origin.get("paths") else ""
        commit = f", commit {origin['commit']}" if "commit" in origin else ""
        parts.append(f"They are published in {origin['repository']}{paths}{commit}.")
    elif "doi" in origin:
        parts.append(f"See doi {origin['doi']}.")
    if "note" in origin:
        parts.append(str(origin["note"]).strip())
    return " ".join(parts)

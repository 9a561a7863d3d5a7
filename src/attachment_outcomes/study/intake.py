"""The whole way in: raw files → text relations → gate → mapping → canonical tables, all or nothing."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from attachment_outcomes.config import data_folder, load_instruments, load_study
from attachment_outcomes.errors import ConfigError, DataError, did_you_mean, problem
from attachment_outcomes.files import write_table
from attachment_outcomes.flow import Flow
from attachment_outcomes.study import gate
from attachment_outcomes.study.canonical import check_keys, create_tables, put_together, sorted_query
from attachment_outcomes.study.contracts import TABLES, check_file, read
from attachment_outcomes.study.engine import THREADS, Engine, engine, text
from attachment_outcomes.study.identity import Codes, open_key, secret_key
from attachment_outcomes.study.location import beside, check_present
from attachment_outcomes.study.mapping import Ranges, Spec
from attachment_outcomes.study.readers import Raw, load
from attachment_outcomes.study.rules import OPEN

ROW_GROUP = 122_880  # fixed, so that a file's bytes do not depend on the number of threads

logger = logging.getLogger(__name__)


@dataclass
class Intake:
    """The canonical tables of a study, in the session, with the flow of exclusions."""

    session: Engine
    specs: list[Spec] = field(default_factory=list)
    flow: Flow = field(default_factory=Flow)

    def save(self, tables: Mapping[str, str | Path], flow: str | Path) -> None:
        """Write the canonical tables as Parquet in the order of their keys, and the flow; all of them or none.

        Raises
        ------
        DataError
            If a written table breaks its contract.
        """
        staged: list[tuple[Path, Path]] = []
        try:
            for name, target in tables.items():
                staged.append((_beside(target), Path(target)))
                self._copy(name, staged[-1][0])
            staged.append((_beside(flow), Path(flow)))
            write_table(self.flow.frame(), staged[-1][0])
            for made, target in staged:
                made.chmod(0o644)
                made.replace(target)
        except BaseException:
            for made, _ in staged:
                made.unlink(missing_ok=True)
            raise

    def _copy(self, name: str, path: Path) -> None:
        self.session.run(
            f"COPY ({sorted_query(name, self.specs)}) TO {text(path)} "
            f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})",
            place=name,
        )
        check_file(path, name, key=False)  # the keys were checked in the session, with the rows they came from


def _beside(target: str | Path) -> Path:
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix)
    os.close(handle)
    return Path(name)


@contextmanager
def ingest(
    study: Mapping[str, Any],
    files: Sequence[str | Path],
    *,
    key: bytes,
    ranges: Mapping[str, Sequence[float]],
    near: str | Path | None = None,
    threads: int = THREADS,
) -> Iterator[Intake]:
    """Read a study's raw files into canonical tables.

    Parameters
    ----------
    study : mapping
        The study's configuration (``name``, ``source``, ``folder`` and ``sources`` are used), with defaults filled in.
    files : sequence of paths
        The raw files, in the order of ``study["sources"]``.
    key : bytes
        Key of the re-coding of ids.
    ranges : mapping
        Instrument to its lowest and highest answer.
    near : path, optional
        Folder for the scratch files; they hold raw cells, are readable by their owner only and are removed at the end.
    threads : int
        Threads of the session. The result does not depend on them.

    Yields
    ------
    Intake
        The checked tables; nothing is written before :meth:`Intake.save`.

    Raises
    ------
    ConfigError
        If the configuration names what a file does not have.
    DataError
        If a file is missing, is not what the configuration says, may identify people, or breaks a contract.
    """
    limits: Ranges = {k: (float(v[0]), float(v[1])) for k, v in ranges.items()}
    check_present(study, files)
    with engine(near=near, threads=threads) as session:
        intake = Intake(session)
        raws = [load(session, s, f, f"raw_{i}", intake.flow) for i, (s, f) in enumerate(zip(study["sources"], files, strict=True))]
        specs_of = _specs(str(study["name"]), raws, limits)
        _gate(session, str(study["name"]), raws, specs_of, files)
        specs = intake.specs = [spec for group in specs_of for spec in group]
        create_tables(session)
        for spec in specs:
            spec.create(session)
        lines = [line for spec in specs for line in spec.check(session)]
        if lines:
            raise DataError("\n".join(dict.fromkeys(lines)))
        codes = Codes(session, key)
        for number, spec in enumerate(specs):
            spec.insert(session, codes, intake.flow, number)
        check_keys(session, specs)
        put_together(session, specs, intake.flow)
        sizes = session.counts("SELECT " + ", ".join(f"(SELECT count(*) FROM canonical_{name})" for name in TABLES))
        logger.info("%s: rows read into %s", study["name"], ", ".join(f"{t} {n}" for t, n in zip(TABLES, sizes, strict=True)))
        yield intake


def _specs(study: str, raws: Sequence[Raw], ranges: Ranges) -> list[list[Spec]]:
    """Return the checked specifications of each file, or all that is wrong with them."""
    found: list[list[Spec]] = []
    lines, number = [], 0
    for raw in raws:
        specs = []
        for given in raw.source["tables"]:
            try:
                specs.append(Spec(study, raw, given, number, ranges))
            except ConfigError as error:
                lines.append(str(error))
            number += 1
        found.append(specs)
    if lines:
        raise ConfigError("\n".join(dict.fromkeys(lines)))
    return found


def _gate(session: Engine, study: str, raws: Sequence[Raw], specs: Sequence[Sequence[Spec]], files: Sequence[str | Path]) -> None:
    """Stop if a column is neither used nor dropped, or may identify people."""
    lines: list[str] = []
    wanted: list[tuple[Raw, list[str], dict[str, str]]] = []
    for raw, group, path in zip(raws, specs, files, strict=True):
        uses = [use for spec in group for use in spec.uses]
        lines += _unnamed(study, raw, {name for name, _ in uses})
        cleared = raw.source["not_identifying"]
        looked_at = {name for name, how in uses if how == OPEN and name not in cleared}
        dictionary = raw.source.get("dictionary")
        flagged = gate.read_dictionary(beside(raw.source, path, dictionary), dictionary) if dictionary else {}
        wanted.append((raw, [c for c in raw.columns if c in looked_at], flagged))
    if lines:
        raise ConfigError("\n".join(lines))
    gate.refuse(zip(raws, gate.inspect(session, wanted), strict=True))


def _unnamed(study: str, raw: Raw, used: set[str]) -> Iterator[str]:
    """Tell of columns that nobody named, and of names that no column has."""
    place = f"config/studies/{study}.yaml, file {raw.file}"
    drop = [str(d) for d in raw.source["drop"]]
    for pattern in drop:
        if not any(_named_by(c, pattern) for c in raw.columns):
            yield problem(f"{place}, drop", f"no column {pattern!r}.{did_you_mean(pattern, raw.columns)}")
        # A pattern may cover columns that are used by name; naming one and using it is a contradiction.
        elif pattern in used:
            yield problem(f"{place}, drop", f"column {pattern!r} is dropped and used; allowed: one of the two.")
    for name in raw.source["not_identifying"]:
        if name not in raw.columns:
            yield problem(f"{place}, not_identifying", f"no column {name!r}.{did_you_mean(name, raw.columns)}")
    loose = [c for c in raw.columns if c not in used and not any(_named_by(c, p) for p in drop)]
    if loose:
        shown = ", ".join(repr(c) for c in loose[:20]) + (f" and {len(loose) - 20} more" if len(loose) > 20 else "")
        hint = "use them in a table, or name them under 'drop' (patterns with * allowed)."
        yield problem(place, f"columns that are neither used nor dropped: {shown}.", hint=hint)


def _named_by(column: str, pattern: str) -> bool:
    return column == pattern or fnmatchcase(column, pattern)


def answer_ranges(study: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the lowest and highest answer of each instrument, in this study's form of it."""
    own = study["instruments"]
    return {k: list(own.get(k, {}).get("range") or v["range"]) for k, v in load_instruments().items()}


def read_study(
    name: str, data_dir: str | Path = "data", *, id_key_file: str | Path | None = None
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return a study's canonical tables as frames, and its flow of exclusions; for notebooks.

    Parameters
    ----------
    name : str
        The study, a file ``config/studies/<name>.yaml``.
    data_dir : path
        The folder that holds the study's folder.
    id_key_file : path, optional
        The secret key of the ids; needed unless the data are open.

    Raises
    ------
    ConfigError, DataError
        As :func:`ingest`.
    """
    study = load_study(name)
    if not study["open_data"] and id_key_file is None:
        raise ConfigError(problem(name, "these data are not open: re-coding the ids needs 'id_key_file'."))
    key = open_key(name) if study["open_data"] else secret_key(str(id_key_file))
    files = [data_folder(study, data_dir) / s["file"] for s in study["sources"]]
    with tempfile.TemporaryDirectory() as folder, ingest(study, files, key=key, ranges=answer_ranges(study)) as intake:
        paths = {table: Path(folder) / f"{table}.parquet" for table in TABLES}
        intake.save(paths, Path(folder) / "flow.parquet")
        return {table: read(path, table) for table, path in paths.items()}, intake.flow.frame()

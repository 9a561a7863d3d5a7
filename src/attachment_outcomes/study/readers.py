"""Raw files: found, checked against their checksum, read as text, with columns under the names that users see.

Nothing is guessed: a file that is not what the study says stops the run with what is wrong and what to do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attachment_outcomes.errors import DataError, problem
from attachment_outcomes.files import sha256
from attachment_outcomes.flow import Flow
from attachment_outcomes.study.delimited import FIRST_ROW, load_delimited
from attachment_outcomes.study.engine import Engine, equals, first_rows, text
from attachment_outcomes.study.workbooks import load_workbook

FORMATS = {".csv": "csv", ".txt": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet", ".xlsx": "xlsx"}
_PLAIN_TYPES = re.compile(r"VARCHAR|BOOLEAN|DATE|TIMESTAMP.*|TIME|FLOAT|DOUBLE|DECIMAL.*|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|ENUM.*")


@dataclass(frozen=True)
class Raw:
    """One raw file as a relation of text columns."""

    source: Mapping[str, Any]
    relation: str
    columns: dict[str, str] = field(default_factory=dict)  # name that users see -> column of the relation
    first_row: int = FIRST_ROW

    @property
    def file(self) -> str:
        """The file's name, as in the study's configuration."""
        return str(self.source["file"])


def _check_sum(source: Mapping[str, Any], path: Path) -> None:
    expected = source.get("sha256")
    if expected is None:
        return
    found = sha256(path)
    if found != expected:
        what = f"is not the file that the study was set up for: expected SHA-256 {expected}, found {found}."
        hint = "get the version named in the study's source; if a new version is meant, put its checksum into the study's YAML."
        raise DataError(problem(source["file"], what, hint=hint))


def _load_parquet(engine: Engine, path: Path, source: Mapping[str, Any], relation: str) -> list[str]:
    place, scan = source["file"], f"read_parquet({text(path)}, file_row_number = true)"
    described = [(str(r[0]), str(r[1])) for r in engine.rows(f"DESCRIBE SELECT * FROM {scan}", place=place)]
    described = [d for d in described if d[0] != "file_row_number"]
    nested = [name for name, kind in described if not _PLAIN_TYPES.fullmatch(kind)]
    if nested:
        raise DataError(problem(place, f"columns hold lists or records: {', '.join(nested)}.", hint="flatten them first."))
    cells = []
    for i, (name, kind) in enumerate(described):
        column = '"' + name.replace('"', '""') + '"'
        if kind in ("FLOAT", "DOUBLE"):
            as_text = f"CASE WHEN isnan({column}) THEN NULL WHEN {column} = floor({column}) AND abs({column}) < 9e15 "
            as_text += f"THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE CAST({column} AS VARCHAR) END"
        elif kind.startswith("TIMESTAMP"):
            as_text = f"CASE WHEN date_trunc('day', {column}) = {column} THEN CAST(CAST({column} AS DATE) AS VARCHAR) "
            as_text += f"ELSE CAST({column} AS VARCHAR) END"
        else:
            as_text = f"CAST({column} AS VARCHAR)"
        if source["decimal"] == "," and kind != "VARCHAR":
            as_text = f"replace({as_text}, '.', ',')"
        cells.append(f"nullif(trim({as_text}), '') AS c{i}")
    engine.run(f"CREATE TABLE {relation} AS SELECT file_row_number + 1 AS row, {', '.join(cells)} FROM {scan}", place=place)
    return [name for name, _ in described]


def _names(engine: Engine, header: Sequence[str], source: Mapping[str, Any], relation: str) -> dict[str, str]:
    """Return the columns by the name that users see, settling names that occur twice as the study says."""
    place, rule = source["file"], source["duplicate_columns"]
    names = [" ".join(cell.split()) or f"column_{i}" for i, cell in enumerate(header, start=1)]
    nameless = [i for i, cell in enumerate(header) if not cell.strip()]
    filled = engine.counts("SELECT " + ", ".join(f"count(c{i})" for i in nameless) + f" FROM {relation}") if nameless else ()
    vacant = {i for i, n in zip(nameless, filled, strict=True) if not n}  # neither a name nor a cell: no column at all
    doubled = [name for name, n in Counter(names).items() if n > 1]
    if doubled and rule == "refuse":
        positions = "; ".join(
            f"{name!r} (columns {', '.join(str(i) for i, n in enumerate(names, 1) if n == name)})" for name in doubled
        )
        hint = "rename them, or set 'duplicate_columns: keep identical' or 'duplicate_columns: number' for the file."
        raise DataError(problem(place, f"columns share a name: {positions}.", hint=hint))
    found: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):
        if i in vacant:
            continue
        seen[name] += 1
        if seen[name] == 1:
            if name in found:
                raise DataError(
                    problem(place, f"a column is named {name!r}, the name a repeated column is given.", hint="rename it.")
                )
            found[name] = f"c{i}"
        elif rule == "number":
            numbered = f"{name} ({seen[name]})"
            if numbered in found:
                raise DataError(
                    problem(place, f"a column is named {numbered!r}, the name a repeated one is given.", hint="rename it.")
                )
            found[numbered] = f"c{i}"
        else:
            different = f"c{i} IS DISTINCT FROM {found[name]}"
            if engine.count(f"SELECT count(*) FROM {relation} WHERE {different}"):
                rows = first_rows(engine, f"SELECT * FROM {relation}", different)
                what = f"columns named {name!r} are not identical: they differ in {rows}."
                raise DataError(problem(place, what, hint="rename them, or set 'duplicate_columns: number' for the file."))
    return found


def load(engine: Engine, source: Mapping[str, Any], path: str | Path, relation: str, flow: Flow) -> Raw:
    """Read one raw file into the session, drop and count empty and repeated rows, and blank its missing codes.

    Raises
    ------
    DataError
        If the checksum differs, the file cannot be read as declared, or it holds no data.
    """
    path, source = Path(path), dict(source)
    place = source["file"]
    source["format"] = source.get("format") or FORMATS.get(path.suffix.lower(), "")
    if not source["format"]:
        hint = f"save it as one of {', '.join(FORMATS)}, or set 'format' for the file."
        raise DataError(problem(place, f"ending {path.suffix!r} is of no known format.", hint=hint))
    _check_sum(source, path)
    loaders = {"parquet": _load_parquet, "xlsx": load_workbook}
    header = loaders.get(source["format"], load_delimited)(engine, path, source, relation)
    columns = _names(engine, header, source, relation)
    cells = list(columns.values())
    empty = " AND ".join(f"{c} IS NULL" for c in cells)
    read, used = engine.counts(f"SELECT count(*), count_if(NOT ({empty})) FROM {relation}")
    flow.add(f"{place}: read", read, used, "rows without any cell")
    if not used:
        raise DataError(problem(place, "has a header but no data.", hint="check that the export was not filtered to nothing."))
    if used < read:
        engine.run(f"DELETE FROM {relation} WHERE {empty}")
    _repeats(engine, source, relation, cells, used, flow)
    _blank(engine, source, relation, cells, flow)
    return Raw(source, relation, columns, 1 if source["format"] == "parquet" else FIRST_ROW)


def _repeats(engine: Engine, source: Mapping[str, Any], relation: str, cells: list[str], n: int, flow: Flow) -> None:
    """Refuse or drop rows that repeat another in every column."""
    rule, place = source["duplicates"], source["file"]
    # Equal rows have equal hashes, so rows whose hash is alone need no comparison: this keeps large files quick.
    mixed = f"hash({', '.join(cells)})"
    suspect = f"{mixed} IN (SELECT {mixed} FROM {relation} GROUP BY 1 HAVING count(*) > 1)"
    if rule == "keep" or not engine.count(f"SELECT count(*) - count(DISTINCT {mixed}) FROM {relation}"):
        flow.add(f"{place}: repeats", n, n, "rows identical to an earlier row")
        return
    ranked = f"SELECT row, row_number() OVER (PARTITION BY {', '.join(cells)} ORDER BY row) AS n FROM {relation} WHERE {suspect}"
    doubled = engine.count(f"SELECT count(*) FROM ({ranked}) WHERE n > 1")
    if doubled and rule == "refuse":
        rows = first_rows(engine, ranked, "n > 1")
        hint = "set 'duplicates: drop identical' for the file, or 'duplicates: keep' if each row is another person."
        raise DataError(problem(place, f"repeats of an earlier row, identical in every column, in {rows}.", hint=hint))
    engine.run(f"DELETE FROM {relation} WHERE row IN (SELECT row FROM ({ranked}) WHERE n > 1)")
    flow.add(f"{place}: repeats", n, n - doubled, "rows identical to an earlier row")


def _blank(engine: Engine, source: Mapping[str, Any], relation: str, cells: list[str], flow: Flow) -> None:
    """Blank the cells that hold one of the file's missing codes, and count them."""
    codes = source["missing"]
    if not codes:
        return
    tests = {c: equals(c, codes, decimal=source["decimal"]) for c in cells}
    held = sum(engine.counts("SELECT " + ", ".join(f"count_if({t})" for t in tests.values()) + f" FROM {relation}"))
    filled = sum(engine.counts("SELECT " + ", ".join(f"count({c})" for c in cells) + f" FROM {relation}"))
    flow.add(f"{source['file']}: missing codes", filled, filled - held, "cells that hold a missing code", unit="cells")
    if held:
        blanked = ", ".join(f"CASE WHEN NOT {t} THEN {c} END AS {c}" for c, t in tests.items())
        engine.run(f"CREATE OR REPLACE TABLE {relation} AS SELECT row, {blanked} FROM {relation}")

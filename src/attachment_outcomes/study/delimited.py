"""Delimited text into an all-text relation: fast where the file is plain, row by row where it is not.

A plain file (UTF-8, one kind of line end, no blank lines inside) goes straight through DuckDB's parallel reader. Any
other file, and any file that reader refuses, goes through Python's own reader once, which names the faulty rows or
writes a plain copy into the scratch folder. Row numbers are those a spreadsheet shows: the header is row 1.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb

from attachment_outcomes.errors import DataError, problem, rows_text
from attachment_outcomes.study.engine import Engine, text

FIRST_ROW = 2  # the header is row 1
_BLOCK = 1 << 22
_SEPARATORS = {";": ("semicolon", ";"), "\t": ("tab", "\\t"), ",": ("comma", ","), "|": ("bar", "|")}
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LONGEST_CELL = 1 << 24
_BLANKS = " \t\r\n\u00a0"  # the last is the fixed blank that web pages and spreadsheets leave


@dataclass(frozen=True)
class _Shape:
    """What a look at the bytes tells: whether the file is plain, i.e. fit for the parallel reader."""

    valid_utf8: bool
    ascii_only: bool
    one_line_end: bool
    blank_inside: bool
    controls: bool  # holds bytes 0x80 to 0x9F, which are no characters of Latin-1

    @property
    def plain(self) -> bool:
        return self.valid_utf8 and self.one_line_end and not self.blank_inside


def _look(path: Path) -> _Shape:
    """Read the file once and tell its shape."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    valid, ascii_only, controls, blank, pending = True, True, False, False, False
    lf = crlf = cr = 0
    tail = b""
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            lf, crlf, cr = lf + block.count(b"\n"), crlf + block.count(b"\r\n"), cr + block.count(b"\r")
            if tail.endswith(b"\r") and block.startswith(b"\n"):
                crlf += 1
            if not block.isascii():
                ascii_only = False
                controls = controls or any(0x80 <= byte <= 0x9F for byte in set(block))
            if valid and not (ascii_only and block.isascii()):
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    valid = False
            joined = (tail + block).replace(b"\r\n", b"\n")
            if not blank:
                at = joined.find(b"\n\n")
                blank = (pending and bool(joined.strip())) or (at >= 0 and bool(joined[at:].strip()))
                pending = pending or at >= 0
            tail = block[-2:]
    if valid:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            valid = False
    one = (crlf in (0, lf)) and cr == crlf
    return _Shape(valid, ascii_only, one, blank, controls)


def _check_encoding(path: Path, source: Mapping[str, Any], shape: _Shape) -> None:
    """Refuse a file whose bytes are not in the declared encoding, naming rows where lines can be told apart."""
    encoding, place = source["encoding"], source["file"]
    with path.open("rb") as handle:
        marked = handle.read(2) in _UTF16_MARKS
    if marked and encoding != "utf-16":
        raise DataError(problem(place, f"is UTF-16 text, not {encoding}.", hint="set 'encoding: utf-16' for the file."))
    if encoding == "utf-16":
        return
    if encoding == "utf-8" and not shape.valid_utf8:
        hint = (
            "it may be in another encoding (set 'encoding: cp1252' or 'latin-1' for the file), or be put together from files "
            "in two encodings; then save it as UTF-8."
        )
        raise DataError(problem(place, f"is not UTF-8 text in {_undecodable(path, 'utf-8')}.", hint=hint))
    if encoding == "cp1252" and (bad := _undecodable(path, "cp1252")):
        raise DataError(problem(place, f"has bytes that are no cp1252 characters in {bad}.", hint="save it as UTF-8."))
    if encoding != "utf-8" and shape.valid_utf8 and not shape.ascii_only:
        raise DataError(problem(place, f"is declared {encoding} but is UTF-8 text.", hint="set 'encoding: utf-8' for the file."))
    if encoding == "latin-1" and shape.controls:
        raise DataError(problem(place, "has bytes that are no Latin-1 characters.", hint="set 'encoding: cp1252' for the file."))


def _undecodable(path: Path, encoding: str) -> str:
    """Return the rows whose bytes are not text in an encoding, or an empty string."""
    bad = []
    with path.open("rb") as handle:
        for line_number, line in enumerate(handle, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                bad.append(line_number)
    return rows_text(bad) if bad else ""


def _records(path: Path, source: Mapping[str, Any], delimiter: str) -> Iterator[list[str]]:
    """Yield the records of the file, blank lines as empty lists."""
    encoding = "utf-8-sig" if source["encoding"] == "utf-8" else source["encoding"]
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(encoding=encoding, newline="") as handle:
            yield from csv.reader(handle, delimiter=delimiter, strict=True)
    finally:
        csv.field_size_limit(before)


def _header(path: Path, source: Mapping[str, Any], delimiter: str) -> list[str]:
    """Return the cells of the first row."""
    place = source["file"]
    try:
        cells = next(_records(path, source, delimiter), [])
    except (csv.Error, UnicodeError):
        raise DataError(problem(f"{place}, row 1", "the header cannot be read.", hint="check quotes and encoding.")) from None
    if not any(c.strip() for c in cells):
        raise DataError(problem(place, "has no header in row 1.", hint="the first row must hold the column names."))
    if len(cells) == 1:
        for separator, (name, written) in _SEPARATORS.items():
            if separator != delimiter and separator in cells[0]:
                hint = f"set 'delimiter: \"{written}\"' for the file."
                raise DataError(problem(place, f"has one column only, but its header holds a {name}.", hint=hint))
    return cells


def _copy(engine: Engine, path: Path, source: Mapping[str, Any], delimiter: str, width: int) -> Path:
    """Write a plain copy with row numbers, or say which rows are faulty."""
    target = engine.scratch / f"plain-{len(list(engine.scratch.iterdir()))}.csv"
    place, row = source["file"], 1
    ragged: list[int] = []
    records = _records(path, source, delimiter)
    try:
        next(records, None)
        with target.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n", quoting=csv.QUOTE_ALL)
            for row, cells in enumerate(records, start=FIRST_ROW):
                if not cells:
                    continue
                if len(cells) < width or any(cells[width:]):
                    ragged.append(row)
                    continue
                writer.writerow([row, *cells[:width]])
    except csv.Error:
        hint = "a quotation mark may open a cell and never close it, or stand inside a quoted cell without being doubled."
        raise DataError(problem(place, f"a quoted cell is broken in or after row {row}.", hint=hint)) from None
    except UnicodeError:
        raise DataError(problem(place, f"is not {source['encoding']} text after row {row}.", hint="save it as UTF-8.")) from None
    if ragged:
        what = f"the header has {width} cells, but another number is in {rows_text(ragged)}."
        hint = "a cell that holds the separator must be quoted; a decimal comma in a comma-separated file splits a cell in two."
        raise DataError(problem(place, what, hint=hint))
    return target


def _scan(path: Path, columns: list[str], delimiter: str, *, header: bool) -> str:
    types = ", ".join(f"{text(c)}: 'VARCHAR'" for c in columns)
    return (
        f"read_csv({text(path)}, auto_detect = false, header = {str(header).lower()}, columns = {{{types}}}, "
        f"delim = {text(delimiter)}, quote = '\"', escape = '\"', max_line_size = {_LONGEST_CELL})"
    )


def load_delimited(engine: Engine, path: Path, source: Mapping[str, Any], relation: str) -> list[str]:
    """Create ``relation`` (``row``, ``c0``, ``c1`` …) from a delimited file and return the header's cells.

    Raises
    ------
    DataError
        If the file is in another encoding, has no header, or has rows of another width; with the row numbers.
    """
    delimiter = source.get("delimiter") or ("\t" if source["format"] == "tsv" else ",")
    shape = _look(path)
    _check_encoding(path, source, shape)
    header = _header(path, source, delimiter)
    cells = [f"c{i}" for i in range(len(header))]
    clean = ", ".join(f"nullif(trim({c}, {text(_BLANKS)}), '') AS {c}" for c in cells)
    if shape.plain and source["encoding"] == "utf-8":
        scan = _scan(path, cells, delimiter, header=True)
        try:
            engine.connection.execute(
                f"CREATE TABLE {relation} AS SELECT row_number() OVER () + {FIRST_ROW - 1} AS row, {clean} FROM {scan}"
            )
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error:
            engine.run(f"DROP TABLE IF EXISTS {relation}")
        else:
            return header
    copy = _copy(engine, path, source, delimiter, len(header))
    scan = _scan(copy, list(chain(["row"], cells)), ",", header=False)
    engine.run(f"CREATE TABLE {relation} AS SELECT CAST(row AS BIGINT) AS row, {clean} FROM {scan}", place=source["file"])
    copy.unlink()
    return header

"""Sheets of Excel workbooks into an all-text relation; the row numbers are those of the sheet."""

from __future__ import annotations

import datetime as dt
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from attachment_outcomes.errors import DataError, did_you_mean, problem
from attachment_outcomes.study.engine import Engine

_BLOCK = 50_000


def _cell(value: Any, decimal: str) -> str | None:
    """Return a cell as text: numbers in their shortest form with the declared mark, dates as ISO."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value).replace(".", decimal)
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(sep=" ")
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value).strip() or None


def _rows(path: Path, source: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the sheet's rows."""
    import openpyxl

    place = source["file"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl tells of styles and validations that reading values does not need
        try:
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        except (zipfile.BadZipFile, KeyError, ValueError, OSError):
            raise DataError(problem(place, "is not a readable .xlsx workbook.", hint="save it again as .xlsx.")) from None
        try:
            sheet = source.get("sheet") or book.sheetnames[0]
            if sheet not in book.sheetnames:
                hint = f"set 'sheet' to one of: {', '.join(book.sheetnames)}."
                raise DataError(problem(place, f"no sheet {sheet!r}.{did_you_mean(sheet, book.sheetnames)}", hint=hint))
            yield from book[sheet].iter_rows(values_only=True)
        finally:
            book.close()


def load_workbook(engine: Engine, path: Path, source: Mapping[str, Any], relation: str) -> list[str]:
    """Create ``relation`` (``row``, ``c0``, ``c1`` …) from one sheet and return the header's cells.

    Rows without any cell are left out but keep their numbers.

    Raises
    ------
    DataError
        If the workbook cannot be read, lacks the sheet or has no header.
    """
    rows = _rows(path, source)
    header = ["" if c is None else str(c) for c in next(rows, ())]
    while header and not header[-1].strip():
        header.pop()
    if not header:
        raise DataError(problem(source["file"], "has no header in row 1.", hint="the first row must hold the column names."))
    width, wider = len(header), []
    schema = pa.schema([("row", pa.int64()), *((f"c{i}", pa.string()) for i in range(width))])
    engine.run(f"CREATE TABLE {relation} (row BIGINT, {', '.join(f'c{i} VARCHAR' for i in range(width))})")
    block: list[tuple[Any, ...]] = []

    def flush() -> None:
        columns = list(zip(*block, strict=True)) if block else [()] * (width + 1)
        table = pa.table([pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
        engine.connection.register("block", table)
        engine.run(f"INSERT INTO {relation} SELECT * FROM block", place=source["file"])
        engine.connection.unregister("block")
        block.clear()

    for number, values in enumerate(rows, start=2):
        cells = [_cell(v, source["decimal"]) for v in values]
        if any(c is not None for c in cells[width:]):
            wider.append(number)
        if any(c is not None for c in cells):
            block.append((number, *cells[:width], *[None] * (width - len(cells))))
        if len(block) >= _BLOCK:
            flush()
    flush()
    if wider:
        what = f"there are cells right of the last column name, first in row {wider[0]}."
        raise DataError(problem(source["file"], what, hint="name these columns in row 1, or clear them."))
    return header

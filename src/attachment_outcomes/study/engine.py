"""The DuckDB session that reads and reshapes: bounded memory, kept order, and errors without cell contents.

Every raw file becomes a relation of text columns named by position (``c0``, ``c1`` …) beside ``row``, the number of the
row as a spreadsheet shows it. Names that users chose stay in Python, so that no SQL identifier comes from a file.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from attachment_outcomes.errors import ROWS_SHOWN, DataError, problem

THREADS = 2
_SCRATCH = ".ingest-"
MEMORY = "1500MB"  # what does not fit is spilled to the scratch folder, so ten million rows pass through a small job

# Faults of our own SQL; everything else may quote a cell and is told by its kind only.
_OURS = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)

_MACROS = (
    # Underscores are digit separators to DuckDB; 'inf' and 'nan' are no measurements.
    "CREATE MACRO number_of(t) AS CASE WHEN NOT contains(t, '_') AND isfinite(TRY_CAST(t AS DOUBLE)) "
    "THEN TRY_CAST(t AS DOUBLE) END",
    # A point in a number whose decimal mark is a comma is a separator of thousands or another file's habit: not read.
    "CREATE MACRO comma_number_of(t) AS CASE WHEN NOT contains(t, '.') THEN number_of(replace(t, ',', '.')) END",
    "CREATE MACRO whole_of(x) AS CASE WHEN x = floor(x) AND abs(x) < 9e15 THEN CAST(x AS BIGINT) END",
    "CREATE MACRO yes_no_of(t) AS CASE WHEN lower(t) IN ('1', 'true', 'yes', 'y') THEN TRUE "
    "WHEN lower(t) IN ('0', 'false', 'no', 'n') THEN FALSE END",
)


@dataclass(frozen=True)
class Engine:
    """A DuckDB session with a private scratch folder."""

    connection: duckdb.DuckDBPyConnection
    scratch: Path

    def run(self, sql: str, *, place: str = "the study") -> None:
        """Run a statement."""
        self._execute(sql, place)

    def rows(self, sql: str, *, place: str = "the study") -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return list(self._execute(sql, place).fetchall())

    def counts(self, sql: str, *, place: str = "the study") -> list[int]:
        """Return the one row of a query of counts; where there was nothing to count, 0."""
        return [int(n or 0) for n in self.rows(sql, place=place)[0]]

    def count(self, sql: str, *, place: str = "the study") -> int:
        """Return the one count of a query."""
        return self.counts(sql, place=place)[0]

    def _execute(self, sql: str, place: str) -> duckdb.DuckDBPyConnection:
        try:
            return self.connection.execute(sql)
        except _OURS:
            raise
        except duckdb.OutOfMemoryException:
            raise DataError(problem(place, f"does not fit into {MEMORY} of memory and the free disk.", hint="free disk.")) from None
        except duckdb.Error as error:
            raise DataError(problem(place, f"could not be read ({type(error).__name__}).")) from None


@contextmanager
def engine(*, near: str | Path | None = None, threads: int = THREADS) -> Iterator[Engine]:
    """Open a session whose scratch folder lies in ``near`` (readable by its owner only) and goes when the session ends."""
    if near is not None:
        Path(near).mkdir(parents=True, exist_ok=True)
        for left in Path(near).glob(f"{_SCRATCH}*"):  # of a run that was killed; it may hold raw cells
            shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(dir=near, prefix=_SCRATCH))
    connection = None
    try:
        connection = duckdb.connect(
            config={
                "threads": threads,
                "memory_limit": MEMORY,
                "temp_directory": str(scratch / "spill"),
                "preserve_insertion_order": "true",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            }
        )
        connection.execute("SET enable_progress_bar = false")  # it would be drawn into logs
        for macro in _MACROS:
            connection.execute(macro)
        yield Engine(connection, scratch)
    finally:
        if connection is not None:
            connection.close()
        shutil.rmtree(scratch, ignore_errors=True)


def quoted(name: str) -> str:
    """Return a canonical column's name as an SQL identifier (``primary`` is a word of SQL)."""
    return f'"{name}"'


def text(value: object) -> str:
    """Return a value as an SQL text literal."""
    return "'" + str(value).replace("'", "''") + "'"


def texts(values: Iterable[object]) -> str:
    """Return values as a bracketed list of SQL text literals."""
    return "(" + ", ".join(text(v) for v in values) + ")"


def equals(expression: str, codes: Sequence[object], *, decimal: str = ".") -> str:
    """Return SQL that is true where a text is one of the codes: words by their text, numbers by their value.

    It is false, never unknown, where the text is missing.
    """
    words = [c for c in codes if isinstance(c, str)]
    numbers = [c for c in codes if isinstance(c, int | float) and not isinstance(c, bool)]
    parts = [f"{expression} IN {texts(words)}"] if words else []
    if numbers:
        parts.append(f"{number(expression, decimal)} IN ({', '.join(repr(float(n)) for n in numbers)})")
    return f"coalesce({' OR '.join(parts)}, FALSE)" if parts else "FALSE"


def number(expression: str, decimal: str = ".") -> str:
    """Return SQL that reads a text as a number, or NULL where it is none."""
    return f"comma_number_of({expression})" if decimal == "," else f"number_of({expression})"


def first_rows(engine: Engine, relation: str, condition: str) -> str:
    """Return ``rows 3, 7 and 4 more`` for the rows of a relation that meet a condition (a row counts once)."""
    found = f"SELECT DISTINCT row FROM ({relation}) WHERE {condition}"
    total = engine.count(f"SELECT count(*) FROM ({found})")
    shown = [str(r[0]) for r in engine.rows(f"{found} ORDER BY row LIMIT {ROWS_SHOWN}")]
    noun = "row" if total == 1 else "rows"
    return f"{noun} {', '.join(shown)}" + (f" and {total - len(shown)} more" if total > len(shown) else "")

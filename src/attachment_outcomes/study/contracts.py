"""The canonical study: long, typed tables, one row a fact, checked on every write and read.

Vocabulary
----------
wave            a planned measurement occasion, 0 is baseline
session_number  a therapy session, counted from 1 within a treatment
rater           who answered: ``self``, ``mother``, ``father``, ``therapist``, ``observer`` …
about           the person the answer is about, where that is not the person who is measured
standing        how well a published number is known: ``stored`` (read in the source named), ``derived`` (computed
                from numbers read there) or ``recalled`` (from memory, shown as unverified)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow
import pyarrow.parquet as pq

from attachment_outcomes.errors import DataError, rows_text
from attachment_outcomes.files import atomic

ROLES = ["client", "parent", "child", "partner", "therapist", "respondent"]
RELATIONS = ["parent_child", "parent_child_adoptive", "couple", "therapist_client"]


@dataclass(frozen=True)
class Column:
    """One column: its type (``word``, ``whole``, ``number``, ``yes_no``), and what it may hold."""

    kind: str
    required: bool = False
    allowed: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    meaning: str = ""


@dataclass(frozen=True)
class Contract:
    """One table: its key and its columns in order. Nulls in a key column count as one value."""

    key: tuple[str, ...]
    columns: dict[str, Column] = field(default_factory=dict)
    meaning: str = ""


def _word(meaning: str, *, required: bool = False, allowed: tuple[str, ...] = ()) -> Column:
    return Column("word", required, allowed, meaning=meaning)


def _number(meaning: str, *, required: bool = False, low: float | None = None, high: float | None = None) -> Column:
    return Column("number", required, low=low, high=high, meaning=meaning)


def _whole(meaning: str, *, required: bool = False, low: float | None = None) -> Column:
    return Column("whole", required, low=low, meaning=meaning)


_PERSON = _word("re-coded id of the person", required=True)
_ABOUT = _word("re-coded id of the person the answer is about, if another")
_WAVE = _whole("measurement occasion, 0 = baseline", low=0)
_SESSION = _whole("session number within the treatment", low=0)
_RATER = _word("who answered", required=True)
_INSTRUMENT = _word("instrument key, as in config/instruments", required=True)

TABLES: dict[str, Contract] = {
    "people": Contract(
        ("person_id",),
        {
            "person_id": _PERSON,
            "role": _word("part the person plays", required=True, allowed=tuple(ROLES)),
            "site_id": _word("re-coded id of the clinic or site"),
            "age_band": _word("age in bands, never the birth date"),
            "gender": _word("as coded by the study"),
            "subgroup": _word("free grouping variable of the study"),
        },
        "one row a person",
    ),
    "treatments": Contract(
        ("person_id", "treatment_id"),
        {
            "person_id": _PERSON,
            "treatment_id": _word("treatment, unique within the person", required=True),
            "modality": _word("kind of therapy"),
            "arm": _word("trial arm"),
            "therapist_id": _word("re-coded id of the therapist"),
            "planned_sessions": _whole("planned length in sessions", low=0),
            "start_week": _number("week the treatment starts, weeks since baseline"),
            "end_reason": _word("how it ended", allowed=("completed", "dropped out", "referred on", "ongoing")),
        },
        "one row a treatment",
    ),
    "items": Contract(
        ("person_id", "about_person_id", "wave", "session_number", "instrument", "rater", "item"),
        {
            "person_id": _PERSON, "about_person_id": _ABOUT, "wave": _WAVE, "session_number": _SESSION,
            "instrument": _INSTRUMENT, "rater": _RATER,
            "item": _word("item number in the published order", required=True),
            "value": _number("answer, in the instrument's response range; empty = not answered"),
        },
        "one row an answer",
    ),
    "scores": Contract(
        ("person_id", "about_person_id", "wave", "session_number", "instrument", "scale", "rater"),
        {
            "person_id": _PERSON, "about_person_id": _ABOUT, "wave": _WAVE, "session_number": _SESSION,
            "instrument": _INSTRUMENT, "scale": _word("scale of the instrument", required=True), "rater": _RATER,
            "score": _number("scale score in score points; empty = refused or missing"),
            "n_items": _whole("items of the scale", low=0), "n_answered": _whole("items answered", low=0),
            "prorated": Column("yes_no", meaning="score made from fewer than all items"),
        },
        "one row a scale score",
    ),
    "waves": Contract(
        ("person_id", "wave"),
        {
            "person_id": _PERSON, "wave": Column("whole", True, low=0, meaning="measurement occasion, 0 = baseline"),
            "weeks": _number("weeks since baseline, never a date"),
        },
        "one row a person and occasion",
    ),
    "sessions": Contract(
        ("person_id", "treatment_id", "session_number"),
        {
            "person_id": _PERSON, "treatment_id": _word("treatment, unique within the person"),
            "session_number": Column("whole", True, low=0, meaning="session number within the treatment"),
            "week": _number("weeks since baseline"),
            "attended": Column("yes_no", meaning="whether the client came"),
            "gap_weeks": _number("weeks since the session before", low=0),
            "alliance": _number("client-rated working alliance, higher = better"),
            "alliance_therapist": _number("therapist-rated working alliance, higher = better"),
            "symptoms": _number("session symptom rating, higher = worse"),
            "depth": _number("depth of exploration, higher = deeper"),
            "security": _number("felt security with the therapist, higher = more"),
            "withdrawal": _number("observer: withdrawal rupture, 1 none to 5 severe", low=1, high=5),
            "confrontation": _number("observer: confrontation rupture, 1 none to 5 severe", low=1, high=5),
            "resolution": _number("observer: extent of resolution, 1 to 5", low=1, high=5),
            "rupture_reported": Column("yes_no", meaning="client: was there any tension or problem in the relationship"),
            "rupture_intensity": _number("client: how strong it was, 1 to 5", low=1, high=5),
            "rupture_resolution": _number("client: how far it was resolved by the end of the session, 1 to 5", low=1, high=5),
            "rupture_reported_therapist": Column("yes_no", meaning="therapist: was there any tension or problem"),
            "rupture_intensity_therapist": _number("therapist: how strong it was, 1 to 5", low=1, high=5),
            "rupture_resolution_therapist": _number("therapist: how far it was resolved, 1 to 5", low=1, high=5),
        },
        "one row a session",
    ),
    "observations": Contract(
        ("person_id", "treatment_id", "session_number", "segment", "channel", "coder", "code"),
        {
            "person_id": _PERSON, "treatment_id": _word("treatment, unique within the person"),
            "session_number": Column("whole", True, low=0, meaning="session number within the treatment"),
            "segment": _whole("segment of the session, from 1; empty = the whole session", low=1),
            "channel": _word("whose behaviour was coded; empty = not told apart", allowed=("client", "therapist")),
            "coder": _word("re-coded id of the coder", required=True),
            "code": _word("code of the coding system, as in config/observer", required=True),
            "value": _number("what the coder gave: a count, or a rating; empty = not coded", low=0),
        },
        "one row a code that a coder gave to a session or a segment of it",
    ),
    "classifications": Contract(
        ("person_id", "about_person_id", "wave", "system", "coder"),
        {
            "person_id": _PERSON, "about_person_id": _ABOUT, "wave": _WAVE,
            "system": _word("coding system: AAI, SSP, AQS …", required=True),
            "primary": _word("class assigned, in the system's own codes"),
            "secondary": _word("secondary class, e.g. the F of U/F"),
            "forced": _word("forced organised class"),
            "coder": _word("re-coded id of the coder or coding team"),
            "coherence": _number("coherence of transcript, 1 to 9"),
        },
        "one row a classification",
    ),
    "relations": Contract(
        ("person_a", "person_b", "kind"),
        {
            "person_a": _word("parent, first partner or therapist", required=True),
            "person_b": _word("child, second partner or client", required=True),
            "kind": _word("kind of relation", required=True, allowed=tuple(RELATIONS)),
            "family_id": _word("re-coded id of the family: the cluster of siblings and parents"),
            "generation": _whole("1 = grandparent to parent, 2 = parent to child", low=1),
            "label": _word("which relation within the family, e.g. mother-child"),
        },
        "one row a pair of people",
    ),
    "samples": Contract(
        ("sample_id", "system", "measure", "row_class", "col_class"),
        {
            "sample_id": _word("sample, table or provider", required=True),
            "label": _word("name as printed"),
            "cluster": _word("samples that share people or authors"),
            "system": _word("which table of the sample: a classification system or a period", required=True),
            "measure": _word("what the value is: count, kappa, r, d, proportion …", required=True),
            "row_class": _word("class of the row (parent, or the earlier time)"),
            "col_class": _word("class of the column (child, or the later time)"),
            "value": _number("the number", required=False),
            "ci_low": _number("lower limit, as published"), "ci_high": _number("upper limit, as published"),
            "k": _number("samples behind it", low=0), "n": _number("people behind it", low=0),
            "standing": _word("how well the number is known", required=True, allowed=("stored", "derived", "recalled")),
            "provenance": _word("where the number was read"),
        },
        "one row a published number",
    ),
    "sample_traits": Contract(
        ("sample_id", "trait"),
        {
            "sample_id": _word("sample, as in the samples table", required=True),
            "trait": _word("what is told of the sample: year, risk, relation, child_age …", required=True),
            "number": _number("the trait as a number"),
            "level": _word("the trait as a word, where it is no number"),
        },
        "one row a sample and what is told of it",
    ),
}  # fmt: skip

_PANDAS: dict[str, Any] = {"word": "str", "whole": "Int64", "number": "float64", "yes_no": "boolean"}
_ARROW = {"word": pyarrow.string(), "whole": pyarrow.int64(), "number": pyarrow.float64(), "yes_no": pyarrow.bool_()}
SQL_TYPES = {"word": "VARCHAR", "whole": "BIGINT", "number": "DOUBLE", "yes_no": "BOOLEAN"}


def empty(table: str) -> pd.DataFrame:
    """Return the table with no rows and its fixed types."""
    return typed(pd.DataFrame(columns=list(TABLES[table].columns)), table)


def typed(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """Return the frame with the contract's columns in order and its types; absent optional columns become empty."""
    contract = TABLES[table]
    unknown = [c for c in frame.columns if c not in contract.columns]
    if unknown:
        raise DataError(f"{table}: no column {unknown[0]!r} in the contract; it has {', '.join(contract.columns)}")
    return pd.DataFrame(
        {
            name: (frame[name] if name in frame else pd.Series(None, index=frame.index, dtype=object)).astype(_PANDAS[column.kind])
            for name, column in contract.columns.items()
        }
    )


def schema(table: str) -> Any:
    """Return the pandera schema of a canonical table."""
    import pandera.pandas as pa  # takes longer to load than most tables take to check

    columns = {}
    for name, column in TABLES[table].columns.items():
        checks: list[pa.Check] = []
        if column.allowed:
            checks.append(pa.Check.isin(column.allowed))
        if column.low is not None:
            checks.append(pa.Check.ge(column.low))
        if column.high is not None:
            checks.append(pa.Check.le(column.high))
        columns[name] = pa.Column(_PANDAS[column.kind], checks=checks, nullable=not column.required)
    return pa.DataFrameSchema(columns, strict=True, ordered=True, name=table)


def arrow_schema(table: str) -> pyarrow.Schema:
    """Return the Arrow schema that the table's Parquet file has."""
    return pyarrow.schema([(name, _ARROW[c.kind]) for name, c in TABLES[table].columns.items()])


def check(frame: pd.DataFrame, table: str, *, first_row: int = 1) -> None:
    """Check values against the contract.

    Raises
    ------
    DataError
        Naming the table, the column, what is wrong and the first row numbers, never the content.
    """
    from pandera.errors import SchemaErrors

    try:
        schema(table).validate(frame, lazy=True)
    except SchemaErrors as errors:
        failures = errors.failure_cases
        first = failures.iloc[0]
        same = failures[(failures["column"] == first["column"]) & (failures["check"] == first["check"])]
        rows = [int(i) + first_row for i in same["index"].dropna()]
        where = f" in {rows_text(rows)}" if rows else ""
        column = TABLES[table].columns.get(str(first["column"]))
        allowed = ""
        if column is not None and column.allowed:
            allowed = f"; allowed: {', '.join(column.allowed)}"
        raise DataError(f"{table}.{first['column']}: breaks {first['check']}{where}{allowed}") from None


def check_key(path: str | Path, table: str) -> None:
    """Check that the key of a written table is unique.

    Raises
    ------
    DataError
        With the number of keys that occur more than once.
    """
    key = TABLES[table].key
    names = ", ".join(f'"{k}"' for k in key)
    source = f"read_parquet('{_quoted(path)}')"
    # Different hashes prove different keys, so that large tables are grouped by one number instead of their whole key.
    if _one(f"SELECT count(*) = count(DISTINCT hash({names})) FROM {source}")[0]:
        return
    doubled = _one(f"SELECT count(*) FROM (SELECT 1 FROM {source} GROUP BY {names} HAVING count(*) > 1)")[0]
    if doubled:
        raise DataError(
            f"{table}: {doubled} keys ({', '.join(key)}) occur more than once. Hint: map the column that tells the "
            "rows apart, or set 'duplicates: drop identical' for the source in the study's YAML."
        )


def _one(sql: str) -> tuple[Any, ...]:
    """Return the one row of a query, without the bar that DuckDB draws when a query takes long."""
    with duckdb.connect() as session:
        session.execute("SET enable_progress_bar = false")
        row: tuple[Any, ...] = session.execute(sql).fetchall()[0]
    return row


def _quoted(path: str | Path) -> str:
    return str(path).replace("'", "''")


def _rules(table: str) -> list[tuple[str, str, str]]:
    """Return the contract's rules as (column, SQL that is true where it is broken, words)."""
    rules = []
    for name, column in TABLES[table].columns.items():
        if column.required:
            rules.append((name, f'"{name}" IS NULL', "is missing"))
        if column.allowed:
            words = ", ".join(f"'{a}'" for a in column.allowed)
            rules.append((name, f'"{name}" NOT IN ({words})', f"is none of {', '.join(column.allowed)}"))
        if column.low is not None:
            rules.append((name, f'"{name}" < {column.low!r}', f"is below {column.low:g}"))
        if column.high is not None:
            rules.append((name, f'"{name}" > {column.high!r}', f"is above {column.high:g}"))
    return rules


def check_file(path: str | Path, table: str, *, key: bool = True) -> None:
    """Check a written canonical table without loading it: types, values and (unless known to be unique) the key.

    Raises
    ------
    DataError
        Naming the table, the column, what is wrong and in how many rows.
    """
    # Whether a column may be null is left open: DuckDB marks columns that happen to have no null.
    if [(f.name, f.type) for f in pq.read_schema(path)] != [(f.name, f.type) for f in arrow_schema(table)]:
        raise DataError(f"{table}: its columns or types are not the contract's")
    rules = _rules(table)
    counts = ", ".join(f"count_if({broken})" for _, broken, _ in rules)
    found = _one(f"SELECT {counts} FROM read_parquet('{_quoted(path)}')")
    for (name, _, words), n in zip(rules, found, strict=True):
        if n:
            raise DataError(f"{table}.{name}: {words} in {n} {'row' if n == 1 else 'rows'}")
    if key:
        check_key(path, table)


def write(frame: pd.DataFrame, table: str, path: str | Path) -> None:
    """Sort by key, check and write one canonical table as Parquet."""
    contract = TABLES[table]
    frame = typed(frame, table).sort_values(list(contract.key), kind="stable").reset_index(drop=True)
    check(frame, table)
    arrow = pyarrow.Table.from_pandas(frame, schema=arrow_schema(table), preserve_index=False).replace_schema_metadata()

    def save(target: Path) -> None:
        pq.write_table(arrow, target, compression="zstd")
        check_key(target, table)

    atomic(path, save)


def read(path: str | Path, table: str) -> pd.DataFrame:
    """Read one canonical table with its fixed types."""
    frame = typed(pd.read_parquet(path), table)
    check(frame, table)
    return frame

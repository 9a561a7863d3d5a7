"""The canonical tables while they are being filled: their form, their keys, and where each row came from."""

from __future__ import annotations

from collections.abc import Sequence

from attachment_outcomes.errors import DataError, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.study.contracts import SQL_TYPES, TABLES
from attachment_outcomes.study.engine import Engine, first_rows, quoted
from attachment_outcomes.study.mapping import Spec


def create_tables(engine: Engine) -> None:
    """Create the canonical tables with their fixed types, and where each row came from."""
    for name, contract in TABLES.items():
        columns = ", ".join(f"{quoted(c)} {SQL_TYPES[column.kind]}" for c, column in contract.columns.items())
        engine.run(f"CREATE TABLE canonical_{name} (_spec INTEGER, _row BIGINT, {columns})")


def fixed_columns(table: str, specs: Sequence[Spec]) -> set[str]:
    """Return the columns that hold one value, or nothing, in every row: sorting and comparing can do without them."""
    rules = {name: [s.rule(name) for s in specs if s.table == table] for name in TABLES[table].columns}
    return {
        name
        for name, found in rules.items()
        if len({None if r is None else r.constant for r in found}) < 2 and all(r is None or r.constant is not None for r in found)
    }


def sorted_query(table: str, specs: Sequence[Spec]) -> str:
    """Return a query of a canonical table's columns in the order of its key; nulls come last."""
    fixed = fixed_columns(table, specs)
    columns = ", ".join(quoted(c) for c in TABLES[table].columns)
    order = ", ".join(f"{quoted(k)} NULLS LAST" for k in TABLES[table].key if k not in fixed)
    return f"SELECT {columns} FROM canonical_{table} ORDER BY {order or 'ALL'}"


def check_keys(engine: Engine, specs: Sequence[Spec]) -> None:
    """Refuse canonical tables in which a key occurs more than once.

    Raises
    ------
    DataError
        Naming the table, its key, the files and the rows.
    """
    lines = []
    for name in dict.fromkeys(s.table for s in specs):
        contract = TABLES[name]
        fixed = fixed_columns(name, specs)
        key = ", ".join(quoted(k) for k in contract.key if k not in fixed) or ", ".join(quoted(k) for k in contract.key)
        parts = filled_apart(name, specs)
        if len(parts) > 1:
            key += ", " + _part_of_row(parts)
        mixed = f"hash({key})"
        table = f"canonical_{name}"
        if engine.count(f"SELECT count(*) = count(DISTINCT {mixed}) FROM {table}"):
            continue
        doubled = f"SELECT _spec, _row AS row, count(*) OVER (PARTITION BY {key}) AS n FROM {table}"
        places = [
            f"{specs[s].raw.file}, {first_rows(engine, doubled, f'n > 1 AND _spec = {s}')}"
            for (s,) in engine.rows(f"SELECT DISTINCT _spec FROM ({doubled}) WHERE n > 1 ORDER BY 1")
        ]
        if places:
            others = [c for c in contract.columns if c not in contract.key]
            changing = ", ".join(f"bool_or(min({quoted(c)}) IS DISTINCT FROM max({quoted(c)})) OVER ()" for c in others)
            found = engine.rows(f"SELECT {changing} FROM {table} GROUP BY {key} HAVING count(*) > 1 LIMIT 1")[0] if others else ()
            differing = [c for c, differs in zip(others, found, strict=True) if differs]
            same = f"they differ in {', '.join(differing)}" if differing else "they say the same"
            hint = (
                "map the column that tells these rows apart (wave, session, rater …); or set 'distinct: true' for the table if "
                "they say the same, or 'duplicates: drop identical' for the file."
            )
            lines.append(
                problem(f"{name}: {'; '.join(places)}", f"rows share a key ({', '.join(contract.key)}); {same}.", hint=hint)
            )
    if lines:
        raise DataError("\n".join(lines))


def filled_apart(table: str, specs: Sequence[Spec]) -> list[set[int]]:
    """Return the numbers of a table's specifications, in sets that fill no column (besides the key) of another set.

    A session's ratings may lie in several files: the client's, the therapist's, the observer's. Rows of different sets
    that share a key are then parts of one row, and nothing in them can contradict. Within a set they are doubled rows.
    """
    contract = TABLES[table]
    sets: list[tuple[set[int], set[str]]] = []
    for number, spec in enumerate(specs):
        if spec.table != table:
            continue
        own = {rule.column for rule in spec.rules} - set(contract.key)
        touched = [s for s in sets if not own or not s[1] or s[1] & own]
        sets = [s for s in sets if s not in touched]
        sets.append(({number}.union(*(s[0] for s in touched)), own.union(*(s[1] for s in touched))))
    return [numbers for numbers, _ in sets]


def _part_of_row(parts: Sequence[set[int]]) -> str:
    cases = " ".join(f"WHEN _spec IN ({', '.join(map(str, sorted(part)))}) THEN {i}" for i, part in enumerate(parts))
    return f"CASE {cases} END"


def put_together(engine: Engine, specs: Sequence[Spec], flow: Flow) -> None:
    """Make one row of the rows that share a key and fill different columns; run :func:`check_keys` before."""
    for name in dict.fromkeys(s.table for s in specs):
        if len(filled_apart(name, specs)) < 2:
            continue
        contract, table = TABLES[name], f"canonical_{name}"
        columns = ", ".join(quoted(c) if c in contract.key else f"max({quoted(c)}) AS {quoted(c)}" for c in contract.columns)
        key = ", ".join(quoted(k) for k in contract.key)
        before = engine.count(f"SELECT count(*) FROM {table}")
        whole = f"SELECT min(_spec) AS _spec, min(_row) AS _row, {columns} FROM {table} GROUP BY {key}"
        engine.run(f"CREATE OR REPLACE TABLE {table} AS {whole}")
        after = engine.count(f"SELECT count(*) FROM {table}")
        flow.add(f"{name}: rows put together", before, after, "parts of one row, from entries that fill different columns")

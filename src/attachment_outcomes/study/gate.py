"""The gate: no column that may identify a person enters, and no column enters that nobody named.

Every column of every file is looked at, unless its content cannot enter: it is dropped, it only picks rows, it is only
turned into weeks since baseline, it is an id that will be re-coded, or each of its cells is mapped to a value that the
study's YAML spells out. What the gate finds is told by column, kind and number of cells, never by content.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attachment_outcomes.errors import DataError, problem
from attachment_outcomes.study import patterns as p
from attachment_outcomes.study.engine import Engine, text
from attachment_outcomes.study.readers import Raw

FLAGGED = "flagged as identifier in the data dictionary"
_COMPACT_LENGTH = 8  # of a date written as 20240131
_VALIDATION = {"date": "dates", "datetime": "dates", "email": "e-mail addresses", "phone": "telephone numbers", "zipcode": "places"}


@dataclass(frozen=True)
class Finding:
    """One column that may identify people."""

    column: str
    kind: str
    cells: int


def read_dictionary(path: Path, name: str) -> dict[str, str]:
    """Return what a REDCap data dictionary says identifies people: field name to kind.

    Raises
    ------
    DataError
        If the file is no data dictionary.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            records = list(csv.DictReader(handle))
    except (UnicodeError, csv.Error):
        raise DataError(
            problem(name, "is not a readable data dictionary.", hint="export it from REDCap as CSV in UTF-8.")
        ) from None
    found: dict[str, str] = {}
    for record in records:
        plain = {"".join(ch for ch in key.lower() if ch.isalnum()): (value or "").strip() for key, value in record.items() if key}
        field = plain.get("variablefieldname") or plain.get("fieldname")
        if not field:
            raise DataError(problem(name, "has no column 'Variable / Field Name'.", hint="export it from REDCap as CSV."))
        validation = plain.get("textvalidationtypeorshowslidernumber", "").split("_")[0].lower()
        if plain.get("identifier", "").lower() in ("y", "yes", "1", "true"):
            found[field] = FLAGGED
        elif validation in _VALIDATION:
            found[field] = _VALIDATION[validation]
        elif plain.get("fieldtype", "").lower() == "notes":
            found[field] = "free text"
    return found


def _by_dictionary(column: str, flagged: Mapping[str, str]) -> str | None:
    return flagged.get(column) or flagged.get(column.split("___")[0])


def inspect(engine: Engine, found: Sequence[tuple[Raw, Sequence[str], Mapping[str, str]]]) -> list[list[Finding]]:
    """Return what of the given columns of each file may identify people, in the order of the columns.

    Parameters
    ----------
    engine : Engine
        The session that holds the files.
    found : sequence of (file, columns, flagged)
        The columns to look at, and what the file's data dictionary says of its fields.
    """
    overviews = [_overview(engine, raw, columns) for raw, columns, _ in found]
    worded = [
        (raw, column)
        for (raw, _, _), overview in zip(found, overviews, strict=True)
        for column, facts in overview.items()
        if facts.plain < facts.filled
    ]
    shapes = _shapes(engine, worded)
    results = []
    for (raw, columns, flagged), overview in zip(found, overviews, strict=True):
        findings = [
            _judge(engine, raw, c, overview[c], shapes.get((raw.relation, c)), _by_dictionary(c, flagged))
            for c in columns
            if overview[c].filled
        ]
        results.append([f for f in findings if f is not None])
    return results


@dataclass(frozen=True)
class _Facts:
    """Counts of one column: filled cells, those that are plain numbers, and the shortest and longest cell."""

    filled: int = 0
    plain: int = 0
    shortest: int = 0
    longest: int = 0


def _overview(engine: Engine, raw: Raw, columns: Sequence[str]) -> dict[str, _Facts]:
    if not columns:
        return {}
    mark = "replace(v, ',', '.')" if raw.source["decimal"] == "," else "v"
    # A number that begins with a plus, or with a zero and a digit, may be a telephone number or a postcode.
    plain = (
        f"TRY_CAST({mark} AS DOUBLE) IS NOT NULL AND NOT contains(v, '_') AND NOT (v >= '+' AND v < ',') "
        "AND NOT (v >= '00' AND v < '0:')"
    )
    cells = {raw.columns[c]: c for c in columns}
    query = (
        f"SELECT source, count(*), count_if({plain}), min(length(v)), max(length(v)) "
        f"FROM (FROM {raw.relation} UNPIVOT (v FOR source IN ({', '.join(cells)}))) GROUP BY source"
    )
    known = {cells[r[0]]: _Facts(*(int(n) for n in r[1:])) for r in engine.rows(query, place=raw.file)}
    return {c: known.get(c, _Facts()) for c in columns}


def _judge(
    engine: Engine, raw: Raw, column: str, facts: _Facts, shaped: Sequence[int] | None, flagged: str | None
) -> Finding | None:
    """Judge one column by the data dictionary, by the shapes of its cells, and by its name."""
    if flagged:
        return Finding(column, flagged, facts.filled)
    found = None
    if shaped is not None:
        found = _by_shape(column, facts.filled, shaped)
    elif facts.shortest == facts.longest == _COMPACT_LENGTH:
        c = raw.columns[column]
        n = engine.count(f"SELECT count_if(regexp_matches({c}, {text(p.COMPACT_DATE)})) FROM {raw.relation}")
        found = Finding(column, "dates", n) if n >= p.COMPACT_SHARE * facts.filled else None
    suspicion = p.suspected_by_name(column)
    if found is None and suspicion is not None:
        found = _confirmed(engine, raw, column, suspicion, facts)
    return found


def _shapes(engine: Engine, worded: Sequence[tuple[Raw, str]]) -> dict[tuple[str, str], list[int]]:
    """Count the shapes of the distinct cells of all columns with words, in one query: compiling the expressions is dear."""
    if not worded:
        return {}
    cells = " UNION ALL ".join(
        f"SELECT {i} AS source, {c} AS v, count(*) AS n FROM {relation} WHERE {c} IS NOT NULL GROUP BY 2"
        for i, (relation, c) in enumerate((raw.relation, raw.columns[c]) for raw, c in worded)
    )
    tests = [
        *(f"regexp_matches(v, {text(s.expression)})" for s in p.SHAPES),
        f"regexp_matches(v, {text(p.FULL_NAME)})",
        f"regexp_matches(v, {text(p.SINGLE_NAME)})",
        f"regexp_matches(v, {text(p.CATEGORY_WORDS)})",
    ]
    named = ", ".join(f"{test} AS s{i}" for i, test in enumerate(tests))
    words = "len(string_split_regex(v, '\\s+')) AS words"
    no_number = f"NOT regexp_full_match(v, {text(p.PLAIN_NUMBER)})"
    judged = f"SELECT source, n, length(v) AS letters, {words}, {named} FROM ({cells}) WHERE {no_number}"
    n_shapes = len(p.SHAPES)
    full, single = f"(s{n_shapes} AND NOT s{n_shapes + 2})", f"(s{n_shapes + 1} AND NOT s{n_shapes + 2})"
    long = f"(words >= {p.LONG_WORDS} OR (letters >= {p.LONG_LETTERS} AND words > 1))"
    medium = f"(words >= {p.MEDIUM_WORDS})"
    counts = [f"sum(n) FILTER (s{i})" for i in range(n_shapes)] + ["count(*)"]
    for test in (full, single, long, medium):
        counts += [f"count_if({test})", f"sum(n) FILTER ({test})", f"count_if({test} AND n = 1)"]
    query = f"SELECT source, {', '.join(counts)} FROM ({judged}) GROUP BY source"
    return {(worded[r[0]][0].relation, worded[r[0]][1]): [int(v or 0) for v in r[1:]] for r in engine.rows(query)}


def _by_shape(column: str, filled: int, counts: Sequence[int]) -> Finding | None:
    """Judge a column of words by the counts of its shapes."""
    shaped, (distinct, *rest) = counts[: len(p.SHAPES)], counts[len(p.SHAPES) :]
    for shape, n in zip(p.SHAPES, shaped, strict=True):
        if n and n >= shape.share * filled:
            return Finding(column, shape.kind, n)
    full, single, long, medium = (rest[i : i + 3] for i in range(0, len(rest), 3))  # distinct cells, cells, cells that occur once
    if full[0] >= p.FULL_NAMES_FEWEST and full[0] >= p.NAME_SHARE * distinct:
        return Finding(column, "person names", full[1])
    if single[0] >= p.SINGLE_NAMES_FEWEST and single[0] >= p.NAME_SHARE * filled:
        return Finding(column, "person names", single[1])
    if long[2] or long[0] >= p.MEDIUM_FEWEST:
        return Finding(column, "free text", long[1])
    if medium[2] >= p.MEDIUM_FEWEST:
        return Finding(column, "free text", medium[1])
    return None


def _confirmed(engine: Engine, raw: Raw, column: str, suspicion: tuple[str, str], facts: _Facts) -> Finding | None:
    """Return the finding that a column's name suggests, if its cells are of the sort."""
    kind, needs = suspicion
    cells = facts.filled if needs == p.ANY_CELL else facts.filled - facts.plain
    if needs == p.TEXT_CELL and cells:
        cells = engine.count(f"SELECT count_if(contains({raw.columns[column]}, ' ')) FROM {raw.relation}")
    return Finding(column, kind, cells) if cells else None


def refuse(found: Iterable[tuple[Raw, Sequence[Finding]]]) -> None:
    """Stop the run if anything was found, with every column of every file.

    Raises
    ------
    DataError
        Naming file, column, kind and number of cells.
    """
    lines = [
        f"{raw.file}: column {f.column!r}: {f.kind} ({f.cells} {'cell' if f.cells == 1 else 'cells'})"
        for raw, fs in found
        for f in fs
    ]
    if lines:
        hint = (
            "for each column, in the study's YAML: name it under 'drop'; or turn a date into weeks with 'weeks_since'; or give a "
            "'map' that names every category; or, if it identifies nobody, put it under 'not_identifying' with the reason."
        )
        what = f"{len(lines)} {'column' if len(lines) == 1 else 'columns'} may identify people; nothing was written."
        raise DataError("\n".join([f"de-identification gate: {what}", *lines, f"Hint: {hint}"]))

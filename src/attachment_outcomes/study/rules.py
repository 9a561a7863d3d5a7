"""Column rules of a study's YAML: checked against the file, and turned into SQL over its text columns.

Vocabulary
----------
place    where in the configuration a rule stands, for messages
text     SQL for the cell as text, after missing codes and before any map
value    SQL for the text that the canonical column gets (after the map), before it is typed
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.study.contracts import TABLES, Column
from attachment_outcomes.study.engine import equals, text
from attachment_outcomes.study.readers import Raw

WORD, ROW = "=", "#"  # marks of a fixed word and of the row's number in a composite id
KINDS = ("from", "join", "value", "row_number", "weeks_since")
ID_SPACES = {
    "person_id": "person", "about_person_id": "person", "person_a": "person", "person_b": "person", "therapist_id": "person",
    "coder": "coder", "site_id": "site", "family_id": "family",
}  # fmt: skip
# How a raw column's content gets into the canonical tables; only the first needs the gate.
OPEN, MAPPED, AS_ID, AS_WEEKS, PICKS_ROWS = "open", "mapped", "id", "weeks", "where"


@dataclass
class Rule:
    """One canonical column: its SQL and what is needed to check it."""

    column: str
    contract: Column
    text: str
    value: str
    decimal: str = "."
    allowed: tuple[str, ...] = ()  # the raw values a map names, for messages
    unknown: str = "FALSE"  # SQL: the text is in no key of the map
    date_faults: tuple[tuple[str, str], ...] = ()  # (raw column, SQL: its cell is no date)
    parts: tuple[str, ...] = ()  # SQL of the parts of a composite id
    words: tuple[str, ...] = ()  # every value the column can get, where the configuration alone decides it
    constant: str | None = None
    raw_columns: tuple[str, ...] = ()
    grouped: bool = False  # depends on a group of the melt pattern


@dataclass
class Scope:
    """What rules of one table may refer to: the raw columns, and the groups of the melt pattern."""

    raw: Raw
    place: str
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)  # group -> its values, one a melted column
    uses: list[tuple[str, str]] = field(default_factory=list)  # (raw column, how its content gets in)
    windows: list[str] = field(default_factory=list)  # SQL of columns computed over all rows of the file

    def column(self, name: str, how: str, key: str) -> str:
        """Return the SQL name of a raw column or melt group, and note its use."""
        if name in self.groups:
            if name in self.raw.columns:
                raise ConfigError(
                    problem(f"{self.place}, {key}", f"{name!r} is a group of the melt pattern and a column of {self.raw.file}.")
                )
            return f"g_{list(self.groups).index(name)}"
        return "k" + self.raw_column(name, how, key)

    def raw_column(self, name: str, how: str, key: str) -> str:
        """Return the name of a raw column in its relation, and note its use."""
        if name not in self.raw.columns:
            known = [*self.raw.columns, *self.groups]
            hint = f"its columns are: {', '.join(known[:40])}{' …' if len(known) > 40 else ''}."
            raise ConfigError(
                problem(f"{self.place}, {key}", f"{self.raw.file} has no column {name!r}.{did_you_mean(name, known)}", hint=hint)
            )
        self.uses.append((name, how))
        return self.raw.columns[name]


def canonical(value: object) -> str:
    """Return a value of the configuration as canonical text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def check_map(given: Mapping[Any, Any], place: str) -> None:
    """Refuse keys that YAML has read as true or false, because the file holds words."""
    if any(isinstance(k, bool) for k in given):
        raise ConfigError(problem(place, "a key of the map is read as true or false.", hint="put yes, no, on and off in quotes."))


def mapped(expression: str, given: Mapping[Any, Any], decimal: str) -> tuple[str, str]:
    """Return SQL for the mapped value, and SQL that is true where a text is in no key."""
    cases = " ".join(
        f"WHEN {equals(expression, [key], decimal=decimal)} THEN {'NULL' if value is None else text(canonical(value))}"
        for key, value in given.items()
    )
    known = equals(expression, list(given), decimal=decimal)
    return f"CASE {cases} END", f"({expression} IS NOT NULL AND NOT {known})"


def without(expression: str, codes: Sequence[object], decimal: str) -> str:
    """Return SQL for a text without its missing codes."""
    return f"CASE WHEN NOT {equals(expression, codes, decimal=decimal)} THEN {expression} END" if codes else expression


def build(scope: Scope, table: str, column: str, given: str | Mapping[str, Any], person: str | Mapping[str, Any] | None) -> Rule:
    """Turn one rule into SQL.

    Raises
    ------
    ConfigError
        If the rule names a column that the file lacks, or says something impossible.
    """
    key = f"column {column}"
    place = f"{scope.place}, {key}"
    rule: dict[str, Any] = {"from": given} if isinstance(given, str) else dict(given)
    contract = TABLES[table].columns[column]
    kinds = [k for k in KINDS if k in rule]
    if len(kinds) != 1:
        raise ConfigError(problem(place, f"gives {' and '.join(kinds) or 'none'} of {', '.join(KINDS)}; allowed: exactly one."))
    kind = kinds[0]
    if kind not in ("from", "join") and (rule.get("map") or rule.get("missing")):
        raise ConfigError(problem(place, f"'map' and 'missing' need 'from' or 'join', not {kind!r}."))
    decimal = str(scope.raw.source["decimal"])
    made = Rule(column, contract, "NULL", "NULL")
    if kind == "value":
        made.text = made.value = text(canonical(rule["value"]))
        made.constant, made.words = canonical(rule["value"]), (canonical(rule["value"]),)
        return made
    if kind == "row_number":
        made.text = made.value = _row_number(scope)
        return made
    if kind == "weeks_since":
        return _weeks(scope, made, rule["weeks_since"], place, person)
    how = AS_ID if column in ID_SPACES else MAPPED if rule.get("map") else OPEN
    if kind == "join":
        made.parts = tuple(_part(scope, p, how, key) for p in rule["join"])
        expression = f" || '{'-' if column in ID_SPACES else ', '}' || ".join(made.parts)
        made.raw_columns = tuple(p for p in rule["join"] if p in scope.raw.columns)
        made.grouped = any(p in scope.groups for p in rule["join"])
    else:
        expression = scope.column(rule["from"], how, key)
        made.raw_columns = (rule["from"],) if rule["from"] in scope.raw.columns else ()
        made.words = tuple(dict.fromkeys(scope.groups.get(rule["from"], ())))
        made.grouped = rule["from"] in scope.groups
        made.decimal = "." if rule["from"] in scope.groups else decimal
    made.text = without(expression, rule.get("missing", ()), made.decimal)
    made.value = f"t_{column}"
    if rule.get("map"):
        apply_map(made, rule["map"], place)
    return made


def _row_number(scope: Scope) -> str:
    return f"CAST(row - {scope.raw.first_row - 1} AS VARCHAR)"


def _part(scope: Scope, part: str, how: str, key: str) -> str:
    """Return SQL for one part of a composite id."""
    if part == ROW:
        return _row_number(scope)
    return text(part[1:]) if part.startswith(WORD) else scope.column(part, how, key)


def apply_map(rule: Rule, given: Mapping[Any, Any], place: str) -> None:
    """Put a map between the text and the value of a rule."""
    check_map(given, place)
    rule.value, rule.unknown = mapped(f"t_{rule.column}", given, rule.decimal)
    rule.decimal = "."  # what the map gives is written in the configuration
    rule.allowed = tuple(str(k) for k in given)
    rule.words = tuple(canonical(v) for v in given.values() if v is not None)


def _weeks(scope: Scope, made: Rule, given: Mapping[str, str], place: str, person: str | Mapping[str, Any] | None) -> Rule:
    """Weeks between a date and its baseline; the date itself goes no further than this expression."""
    if made.contract.kind != "number":
        raise ConfigError(problem(place, "weeks_since fills a column of weeks only, e.g. weeks, week or start_week."))

    def date(name: str) -> str:
        return f"CAST(try_strptime({scope.raw_column(name, AS_WEEKS, f'column {made.column}')}, {text(given['format'])}) AS DATE)"

    when, names = date(given["date"]), [given["date"]]
    if "baseline" in given:
        since = date(given["baseline"])
        names.append(given["baseline"])
    else:
        if person is None:
            hint = "name the column with the baseline date under 'baseline'."
            raise ConfigError(problem(place, "without a person_id there is no earliest date of the person.", hint=hint))
        since = f"min({when}) OVER (PARTITION BY {_person_in_file(scope, person, place)})"
    number = len(scope.windows)
    scope.windows.append(f"date_diff('day', {since}, {when}) / 7.0 AS w_{number}")
    faults = []
    for name in names:
        raw_name = scope.raw.columns[name]
        scope.windows.append(f"({raw_name} IS NOT NULL AND {date(name)} IS NULL) AS f_{len(scope.windows)}")
        faults.append((name, f"f_{len(scope.windows) - 1}"))
    made.text = f"CAST(w_{number} AS VARCHAR)"
    made.value = f"t_{made.column}"
    made.date_faults = tuple(faults)
    return made


def _person_in_file(scope: Scope, person: str | Mapping[str, Any], place: str) -> str:
    rule = {"from": person} if isinstance(person, str) else person
    named = [rule["from"]] if "from" in rule else [p for p in rule.get("join", ()) if not p.startswith(WORD)]
    if not named or any(n not in scope.raw.columns for n in named):
        hint = "name the column with the baseline date under 'baseline'."
        raise ConfigError(problem(place, "the earliest date of the person needs a person_id made of raw columns.", hint=hint))
    return ", ".join(scope.raw_column(n, AS_ID, "column person_id") for n in named)


def melted_columns(raw: Raw, pattern: str, place: str) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Return the raw columns whose whole name matches a pattern, and the values of its named groups.

    Raises
    ------
    ConfigError
        If the pattern is no regular expression, has no groups, or matches nothing.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigError(problem(f"{place}, melt", f"'columns' is no regular expression: {error.msg}.")) from None
    if not expression.groupindex:
        hint = "write the varying part as a named group, e.g. phq_(?P<item>[0-9]+)."
        raise ConfigError(problem(f"{place}, melt", "the pattern has no named group.", hint=hint))
    matches = [(name, m) for name in raw.columns if (m := expression.fullmatch(name))]
    if not matches:
        hint = f"its columns are: {', '.join(list(raw.columns)[:40])}. The whole name must match."
        raise ConfigError(problem(f"{place}, melt", f"no column of {raw.file} matches {pattern!r}.", hint=hint))
    groups = {g: tuple(m[g] or "" for _, m in matches) for g in expression.groupindex}
    return [name for name, _ in matches], groups

"""From raw columns to canonical columns: one specification of the study's YAML as a relation, checked before it is used.

A specification (one entry of a file's ``tables``) becomes a view with, for each canonical column, the cell's text
``t_<column>`` and the typed value. The checks run over the whole view at once; only then are its rows put into the
canonical table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.study.contracts import TABLES
from attachment_outcomes.study.engine import Engine, equals, first_rows, number, quoted, text
from attachment_outcomes.study.identity import Codes
from attachment_outcomes.study.readers import Raw
from attachment_outcomes.study.rules import (
    ID_SPACES,
    MAPPED,
    OPEN,
    PICKS_ROWS,
    Rule,
    Scope,
    apply_map,
    build,
    melted_columns,
    without,
)

Ranges = Mapping[str, tuple[float, float]]
_KIND_WORDS = {"number": "a number", "whole": "a whole number", "yes_no": "yes or no"}


@dataclass(frozen=True)
class Check:
    """One way in which rows can be wrong: SQL that is true for such rows, and what to say."""

    place: str
    condition: str
    what: str
    hint: str
    column: str = ""


class Spec:
    """One entry of a file's ``tables``: from raw rows to rows of one canonical table."""

    def __init__(self, study: str, raw: Raw, given: Mapping[str, Any], number_: int, ranges: Ranges) -> None:
        """Check the entry against its file; nothing is read yet."""
        self.raw, self.given, self.table = raw, given, str(given["table"])
        self.contract = TABLES[self.table]
        self.view = f"spec_{number_}"
        self.picked = ""
        self._counts: dict[str, int] = {}
        self.label = f"{raw.file} → {self.table}"
        self.place = f"config/studies/{study}.yaml, file {raw.file}, table {self.table}"
        self.melt: Mapping[str, Any] | None = given.get("melt")
        self.melted: list[str] = []
        groups: dict[str, tuple[str, ...]] = {}
        if self.melt:
            self.melted, groups = melted_columns(raw, self.melt["columns"], self.place)
        self.scope = Scope(raw, self.place, groups)
        for picker in ("where", "where_not"):
            for name in given[picker]:
                self.scope.raw_column(name, PICKS_ROWS, picker)
        self.rules = self._rules()
        self._carried = sorted({raw.columns[name] for name, _ in self.scope.uses})
        self.scope.uses.extend((name, MAPPED if self.melt and self.melt.get("map") else OPEN) for name in self.melted)
        self.ranges = ranges
        fixed = (r.constant for c in ("instrument", "system", "subgroup", "label") if (r := self.rule(c)) is not None)
        self.label += next((f" {word}" for word in fixed if word is not None), "")
        self._check_instruments()

    @property
    def uses(self) -> list[tuple[str, str]]:
        """Raw columns and how their content gets in."""
        return self.scope.uses

    def _rules(self) -> list[Rule]:
        columns = dict(self.given["columns"])
        for name in [*columns, *([self.melt["value"]] if self.melt else [])]:
            if name not in self.contract.columns:
                known = list(self.contract.columns)
                raise ConfigError(
                    problem(
                        self.place, f"{self.table} has no column {name!r}; it has {', '.join(known)}.{did_you_mean(name, known)}"
                    )
                )
        person = columns.get("person_id")
        rules = [build(self.scope, self.table, name, rule, person) for name, rule in columns.items()]
        if self.melt:
            name = self.melt["value"]
            if name in columns:
                raise ConfigError(problem(f"{self.place}, column {name}", "is filled by the melt too; allowed: one of the two."))
            decimal = str(self.raw.source["decimal"])
            rule = Rule(name, self.contract.columns[name], without("cell", self.melt["missing"], decimal), f"t_{name}", decimal)
            if self.melt.get("map"):
                apply_map(rule, self.melt["map"], f"{self.place}, melt")
            rules.append(rule)
        filled = {r.column for r in rules}
        lacking = [c for c, column in self.contract.columns.items() if column.required and c not in filled]
        if lacking:
            raise ConfigError(problem(self.place, f"column {lacking[0]!r} is required; filled are {', '.join(filled)}."))
        return rules

    def rule(self, column: str) -> Rule | None:
        """Return the rule that fills a canonical column, if one does."""
        return next((r for r in self.rules if r.column == column), None)

    def _check_instruments(self) -> None:
        rule = self.rule("instrument")
        if rule is None or self.table != "items":
            return
        for name in rule.words:
            if name not in self.ranges:
                hint = "each instrument of the items is a file config/instruments/<name>.yaml."
                known = ", ".join(self.ranges) or "none"
                what = f"no answer range is known for instrument {name!r}; known: {known}.{did_you_mean(name, self.ranges)}"
                raise ConfigError(problem(f"{self.place}, column instrument", what, hint=hint))

    # --- the view -------------------------------------------------------------------------------------------------

    def create(self, engine: Engine) -> None:
        """Create the view with texts and typed values."""
        cells = [self.raw.columns[name] for name in self.melted]
        base = ["row", *(f"{c} AS k{c}" for c in self._carried), *cells, *self.scope.windows]
        picked = f"SELECT * FROM (SELECT {', '.join(base)} FROM {self.raw.relation}) WHERE {self._where()}"
        self.picked = picked
        if self.melt:
            values = ", ".join(
                "(" + ", ".join(text(v) for v in (cell, name, *(g[i] for g in self.scope.groups.values()))) + ")"
                for i, (cell, name) in enumerate(zip(cells, self.melted, strict=True))
            )
            names = ", ".join(["source", "source_name", *(f"g_{i}" for i in range(len(self.scope.groups)))])
            rows = (
                f"SELECT * FROM (SELECT * FROM ({picked}) UNPIVOT INCLUDE NULLS (cell FOR source IN ({', '.join(cells)}))) "
                f"JOIN (VALUES {values}) AS m({names}) USING (source)"
            )
        else:
            rows = f"SELECT *, NULL AS source_name FROM ({picked})"
        texts = ", ".join(f"{r.text} AS t_{r.column}" for r in self.rules)
        faults = ", ".join(sql for r in self.rules for _, sql in r.date_faults)
        texted = f"SELECT row, source_name, {texts}{', ' + faults if faults else ''} FROM ({rows})"
        typed = ", ".join(f"{self._typed(r)} AS {self._name(r)}" for r in self.rules)
        inner = f"SELECT *, {typed} FROM ({texted})"
        if self._ranged:
            low, high = self._limits()
            inner = f"SELECT *, CASE WHEN v_value BETWEEN {low} AND {high} THEN v_value END AS value FROM ({inner})"
        engine.run(f"CREATE VIEW {self.view} AS {inner}", place=self.raw.file)

    @property
    def _ranged(self) -> bool:
        return self.table == "items"

    def _name(self, rule: Rule) -> str:
        return "v_value" if self._ranged and rule.column == "value" else quoted(rule.column)

    def _where(self) -> str:
        decimal = str(self.raw.source["decimal"])

        def tests(picker: str) -> list[str]:
            return [equals(f"k{self.raw.columns[n]}", v, decimal=decimal) for n, v in self.given[picker].items()]

        return " AND ".join(["TRUE", *tests("where"), *(f"NOT {t}" for t in tests("where_not"))])

    @property
    def _picks(self) -> bool:
        return bool(self.given["where"] or self.given["where_not"])

    def _typed(self, rule: Rule) -> str:
        kind = rule.contract.kind
        if kind == "word":
            return rule.value
        if kind == "yes_no":
            return f"yes_no_of({rule.value})"
        read = number(rule.value, rule.decimal)
        return f"whole_of({read})" if kind == "whole" else read

    def _limits(self) -> tuple[str, str]:
        """Return SQL for the lowest and highest answer of the row's instrument."""
        rule = self.rule("instrument")
        if rule is not None and rule.constant is not None:
            low, high = self.ranges[rule.constant]
            return repr(float(low)), repr(float(high))
        cases = [" ".join(f"WHEN {text(k)} THEN {float(v[i])!r}" for k, v in self.ranges.items()) for i in (0, 1)]
        return f"CASE instrument {cases[0]} END", f"CASE instrument {cases[1]} END"

    # --- the checks -----------------------------------------------------------------------------------------------

    def _checks(self) -> Iterator[Check]:
        for filled in self.rules:
            yield from self._rule_checks(filled, self._cell_place(filled))
        if self._ranged:
            rule = self.rule("instrument")
            if rule is not None and not rule.words:
                known = f"instrument IS NOT NULL AND instrument NOT IN ({', '.join(text(k) for k in self.ranges) or 'NULL'})"
                hint = "map the raw names to the keys of config/instruments."
                yield Check(self._cell_place(rule), known, f"no known instrument; known: {', '.join(self.ranges)}", hint)
            if self.raw.source["out_of_range"] == "refuse":
                low, high = self._limits()
                what = "answers outside the instrument's range"
                if rule is not None and rule.constant is not None:
                    what += f" {self.ranges[rule.constant][0]:g} to {self.ranges[rule.constant][1]:g}"
                hint = "name missing codes under 'missing', or set 'out_of_range: set missing' for the file."
                yield Check(self._cell_place(self.rule("value")), f"v_value NOT BETWEEN {low} AND {high}", what, hint, "value")

    def _rule_checks(self, rule: Rule, place: str) -> Iterator[Check]:
        column, contract = rule.column, rule.contract
        t, value = f"t_{column}", self._name(rule)
        for name, fault in rule.date_faults:
            yield Check(
                f"{self.raw.file}, column {name!r}", fault, "no date in the declared format", "set 'format' of weeks_since."
            )
        if rule.unknown != "FALSE":
            hint = "name the value in the map (or in 'missing'), or correct the file."
            yield Check(
                place, rule.unknown, f"a category that the map does not name; it names {', '.join(rule.allowed)}", hint, column
            )
        if contract.kind != "word" and not rule.date_faults:
            read = f"({value} IS NULL AND {rule.value} IS NOT NULL)"
            yield Check(place, read, f"not {_KIND_WORDS[contract.kind]}", self._number_hint(rule), column)
        for sign, limit in (("<", contract.low), (">", contract.high)):
            if limit is not None:
                word = "below" if sign == "<" else "above"
                yield Check(
                    place, f"{value} {sign} {limit!r}", f"{word} {limit:g}", "correct the file, or name it in 'missing'.", column
                )
        if contract.allowed:
            allowed = ", ".join(text(a) for a in contract.allowed)
            what = f"not one of {', '.join(contract.allowed)}"
            yield Check(place, f"{value} NOT IN ({allowed})", what, "give a 'map' to these words.", column)
        if contract.required and not (self.melt and self.melt["value"] == column):
            hint = f"{contract.meaning} is required in every row; pick rows with 'where', or complete the file."
            yield Check(place, f"{t} IS NULL", f"no {column}", hint, column)

    def _number_hint(self, rule: Rule) -> str:
        return (
            "name missing codes under 'missing', give a 'map', or correct the cells."
            if rule.contract.kind != "yes_no"
            else "give a 'map'."
        )

    def _cell_place(self, rule: Rule | None) -> str:
        if rule is None or not rule.raw_columns:
            return f"{self.raw.file}, {self.table}.{rule.column if rule else ''}"
        return f"{self.raw.file}, column {', '.join(repr(c) for c in rule.raw_columns)} ({self.table}.{rule.column})"

    def check(self, engine: Engine) -> list[str]:
        """Return one line for each way in which rows of the specification break the rules or the contract."""
        if self._picks and not engine.count(f"SELECT count(*) FROM {self.view}", place=self.raw.file):
            names = ", ".join(repr(n) for n in (*self.given["where"], *self.given["where_not"]))
            return [problem(self.place, f"no row is left by 'where' ({names}).", hint="check the values and their spelling.")]
        checks, counted = list(self._checks()), self._counted()
        parts = [*(f"count_if({c.condition})" for c in checks), *counted.values()]
        found = engine.counts(f"SELECT {', '.join(parts)} FROM {self.view}", place=self.raw.file)
        self._counts = dict(zip(counted, map(int, found[len(checks) :]), strict=True))
        lines = [self._line(engine, c) for c, n in zip(checks, found, strict=False) if n]
        return [*lines, *self._ambiguous(engine)]

    def _line(self, engine: Engine, check: Check) -> str:
        query = f"SELECT * FROM {self.view}"
        place, hint = check.place, check.hint
        if self.melt and check.column == self.melt["value"]:
            found = engine.rows(f"SELECT DISTINCT source_name FROM {self.view} WHERE {check.condition} ORDER BY ALL LIMIT 6")
            names = ", ".join(repr(r[0]) for r in found[:5]) + (" and others" if len(found) > 5 else "")
            place = f"{self.raw.file}, column {names} ({self.table}.{check.column})"
        if check.what.endswith("number"):
            marks = {".": "'[-+]?[0-9]+,[0-9]+'", ",": "'[-+]?[0-9]+[.][0-9]+'"}
            decimal = str(self.raw.source["decimal"])
            other = f"{check.condition} AND regexp_full_match(t_{check.column}, {marks[decimal]})"
            if engine.count(f"SELECT count_if({other}) FROM {self.view}"):
                hint = f"the numbers are written with a decimal {'comma' if decimal == '.' else 'point'}: set "
                hint += "'decimal: \",\"' for the file." if decimal == "." else "'decimal: \".\"' for the file."
        return problem(place, f"{check.what}, in {first_rows(engine, query, check.condition)}.", hint=hint)

    def _ambiguous(self, engine: Engine) -> Iterator[str]:
        """Tell of composite ids that two different combinations share, because a part itself holds a dash."""
        for rule in self.rules:
            free = [p for p in rule.parts if not p.startswith(("'", "CAST("))]
            if rule.column in ID_SPACES and len(free) > 1:
                base = sorted({f"{c[1:]} AS {c}" for c in free if c.startswith("k")})
                if len(base) < len(set(free)):
                    continue  # groups of the pattern are words of the configuration
                joined = " || '-' || ".join(rule.parts)
                columns = f"SELECT {', '.join(base)} FROM {self.raw.relation}"
                tuples = f"SELECT DISTINCT {', '.join(free)}, {joined} AS id FROM ({columns})"
                n, distinct = engine.counts(f"SELECT count(id), count(DISTINCT id) FROM ({tuples})")
                if n != distinct:
                    hint = "put a fixed word ('=word') between the parts, or correct the ids."
                    yield problem(self._cell_place(rule), f"{n - distinct} composite ids stand for two people each.", hint=hint)

    # --- the rows -------------------------------------------------------------------------------------------------

    def insert(self, engine: Engine, codes: Codes, flow: Flow, number_: int) -> None:
        """Put the rows into the canonical table, ids re-coded, and count what stays out."""
        self._count(engine, flow)
        for rule in self.rules:
            if rule.column in ID_SPACES:
                codes.add(self._ids(rule), ID_SPACES[rule.column])
        columns = [quoted(r.column) for r in self.rules]
        kept = f"SELECT row, {', '.join(columns)} FROM {self.view} WHERE {self._keep()}"
        if self.given["distinct"]:
            kept = f"SELECT min(row) AS row, {', '.join(columns)} FROM ({kept}) GROUP BY {', '.join(columns)}"
        joins, values = [], []
        for i, rule in enumerate(self.rules):
            if rule.column in ID_SPACES:
                joins.append(f"LEFT JOIN codes_{ID_SPACES[rule.column]} AS j{i} ON j{i}.id = s.{quoted(rule.column)}")
                values.append(f"j{i}.code AS {quoted(rule.column)}")
            else:
                values.append(f"s.{quoted(rule.column)}")
        coded = f"SELECT {number_} AS _spec, s.row AS _row, {', '.join(values)} FROM ({kept}) AS s {' '.join(joins)}"
        if self.given["distinct"]:
            same = " AND ".join(f"o.{c} IS NOT DISTINCT FROM n.{c}" for c in columns)
            others = " AND ".join(f"o.{quoted(c)} IS NULL" for c in self.contract.columns if quoted(c) not in columns)
            condition = f"{same} AND {others}" if others else same
            coded = f"SELECT n.* FROM ({coded}) AS n WHERE NOT EXISTS (SELECT 1 FROM canonical_{self.table} AS o WHERE {condition})"
        already = engine.count(f"SELECT count(*) FROM canonical_{self.table}")
        engine.run(f"INSERT INTO canonical_{self.table} BY NAME {coded}", place=self.raw.file)
        after = engine.count(f"SELECT count(*) FROM canonical_{self.table}") - already
        if self.given["distinct"]:
            flow.add(f"{self.label}: distinct", self._counts["kept"], after, "rows that say the same again")

    def _ids(self, rule: Rule) -> str:
        """Return a query of the ids a rule gives: from the rows before they are melted, unless the melt makes them."""
        if rule.grouped or rule.allowed:
            return f"SELECT {quoted(rule.column)} FROM {self.view}"
        return f"SELECT {rule.text} FROM ({self.picked})"

    def _counted(self) -> dict[str, str]:
        """Return what is counted while the rows are checked, for the flow: name to SQL."""
        counts = {"rows": "count(*)", "kept": f"count_if({self._keep()})"}
        if self.melt:
            counts["filled"] = f"count(t_{self.melt['value']})"
        if self._ranged:
            counts |= {"answers": "count(v_value)", "in range": "count(value)"}
        if self.rule("person_id") and self._keep() != "TRUE":
            counts["people"] = f"count(DISTINCT person_id) FILTER ({self._keep()})"
        return counts

    def _keep(self) -> str:
        return f"{quoted(self.melt['value'])} IS NOT NULL" if self.melt and not self.melt["keep_missing"] else "TRUE"

    def _count(self, engine: Engine, flow: Flow) -> None:
        """Record what the row picks, empty cells and answers out of range take away."""
        if self._picks:
            total = engine.count(f"SELECT count(*) FROM {self.raw.relation}")
            picked = engine.count(f"SELECT count(*) FROM ({self.picked})")
            names = ", ".join((*self.given["where"], *self.given["where_not"]))
            flow.add(f"{self.label}: where", total, picked, f"rows not picked by {names}")
        n = self._counts
        if self.melt:
            reason = "empty cells and missing codes" + (" (kept, as missing)" if self.melt["keep_missing"] else "")
            flow.add(f"{self.label}: cells", n["rows"], n["filled"], reason, unit="cells")
        if self._ranged:
            flow.add(f"{self.label}: range", n["answers"], n["in range"], "answers outside the range, set missing", unit="answers")
        person = self.rule("person_id")
        if person is not None:
            named = engine.count(f"SELECT count(DISTINCT id) FROM ({self._ids(person)}) AS q(id)")
            kept = n.get("people", named)
            flow.add(f"{self.label}: people", named, kept, "people without any row", unit="people")

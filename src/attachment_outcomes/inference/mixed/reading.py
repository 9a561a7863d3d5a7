"""One pass over the data, a chunk of whole people at a time: a table in memory, or a Parquet file that need not fit into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference import design
from attachment_outcomes.inference.mixed.moments import Moments, Recipe, merge_moments, person_moments

ROWS = 500_000  # in a chunk: small beside the memory of any machine, large beside the cost of starting one
PLACE = "mixed model"
CONSTANT = "Intercept"
RESERVED = ("intercept", "residual")  # names of variances
Slopes = Sequence[str] | Mapping[str, Sequence[str]]


def moments_of(
    formula: str,
    data: pd.DataFrame | str | Path,
    *,
    groups: str | Sequence[str],
    slopes: Slopes = (),
    levels: Mapping[str, Sequence[Any]] | None = None,
    rows_at_a_time: int = ROWS,
) -> Moments:
    """Return what a mixed model needs of the data, in one pass.

    Parameters
    ----------
    formula
        Outcome and fixed effects over the data's columns.
    data
        A table, or the path of a Parquet file (or of a folder of them), which is read a chunk at a time.
    groups
        The column that says whose row it is, or several for nested levels, lowest first: ``("person_id", "therapist_id")``.
    slopes
        Columns with a random slope at the lowest level, or by group: ``{"person_id": ["weeks"], "therapist_id": ["weeks"]}``.
    levels
        Levels of the categorical predictors, in order. Needed for parts that are merged later and may lack a level.
    rows_at_a_time
        Rows of a chunk.

    Raises
    ------
    StatisticsError
        If a column is absent, without values, infinite or not a number where one is needed; a person's rows lie under two
        therapists; a categorical predictor has more than 500 levels; or the formula's columns depend on all the data (``scale``,
        splines) and these are in a file.
    """
    if isinstance(data, str):
        data = Path(data)
    if rows_at_a_time < 1:
        raise StatisticsError(problem(PLACE, f"rows_at_a_time is {rows_at_a_time}; at least 1 is needed."))
    recipe, columns, source, further = _prepared(formula, data, groups, slopes, levels)
    parts = []
    for chunk in source.chunks(len(source) if recipe.whole else rows_at_a_time):
        values = _values(recipe, columns, chunk, further)
        parts.append(_person_moments(recipe, chunk.groups, values))
    merged = merge_moments(parts)
    return Moments(
        recipe=recipe, labels=merged.labels, n=merged.n, mean=merged.mean, scatter=merged.scatter,
        n_excluded=source.n_excluded, spec=columns,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of a table that a model uses, each person's beside each other.

    ``moments``; ``values`` (columns, rows) the outcome last; ``starts`` the first row of each person; ``order`` the data's rows in
    this order.
    """

    moments: Moments
    values: NDArray[np.float64]
    starts: NDArray[np.intp]
    order: NDArray[np.intp]


def rows_of(formula: str, data: pd.DataFrame, *, groups: str | Sequence[str], slopes: Slopes = ()) -> Rows:
    """Return a table's rows as matrices, beside its moments.

    Raises
    ------
    StatisticsError
        As :func:`moments_of`; also if a row has a missing value.
    """
    recipe, columns, source, further = _prepared(formula, data, groups, slopes, None)
    if source.n_excluded:
        hint = "leave these rows out of the data and of what goes with them."
        raise StatisticsError(problem(PLACE, f"{source.n_excluded} rows have a missing value.", hint=hint))
    (chunk,) = source.chunks(len(source))
    values = _values(recipe, columns, chunk, further)
    starts = run_starts(chunk.groups[0].codes)
    order = source.order if isinstance(source, _Table) and source.order is not None else np.arange(values.shape[1])
    return Rows(_person_moments(recipe, chunk.groups, values), values, starts, order)


def _prepared(
    formula: str,
    data: pd.DataFrame | Path,
    groups: str | Sequence[str],
    slopes: Slopes,
    levels: Mapping[str, Sequence[Any]] | None,
) -> tuple[Recipe, design.Columns, _Table | _File, list[str]]:
    """Return the model's recipe, how its columns are made, where they come from, and the further columns of random slopes."""
    names = [groups] if isinstance(groups, str) else list(groups or ())
    if not names:
        raise StatisticsError(problem(PLACE, "name at least one group, e.g. groups='person_id'."))
    if len(set(names)) < len(names):
        raise StatisticsError(problem(PLACE, "a group is named twice."))
    by_level = _slopes(slopes, names)
    parsed = design.parse(formula)
    both = [name for name in parsed.wanted if name in names]
    if both:
        hint = "give the formula a column of its own."
        raise StatisticsError(problem(PLACE, f"{both[0]!r} is a group and in the formula.", hint=hint))
    if not isinstance(data, pd.DataFrame | Path):
        raise StatisticsError(problem(PLACE, f"data is a table or the path of a Parquet file, not {type(data).__name__}."))
    extra = list(dict.fromkeys(name for level in by_level for name in level))
    for name in extra:
        if name == parsed.outcome or name in RESERVED or name in names:
            hint = "rename it." if name in RESERVED else "a slope is of a predictor."
            raise StatisticsError(problem(PLACE, f"the random slope's column cannot be {name!r}.", hint=hint))
    columns = list(dict.fromkeys([*parsed.wanted, *extra, *names]))
    source: _Table | _File = (
        _Table(formula, data, columns, names) if isinstance(data, pd.DataFrame) else _File(data, columns, names)
    )
    if parsed.outcome in columns and not source.is_number(parsed.outcome):
        raise StatisticsError(
            problem("model", f"the outcome {parsed.outcome!r} is not one numeric column.", hint="code it as a number.")
        )
    known = dict(levels) if levels is not None else {}
    design.check_columns(known, parsed.wanted)
    known |= source.categories([c for c in dict.fromkeys([*parsed.wanted, *extra]) if c not in known])
    unknown = [c for c in extra if c in known]
    if unknown:
        raise StatisticsError(problem(PLACE, f"the random slope's column {unknown[0]!r} is not numeric."))
    numeric = tuple(c for c in parsed.wanted if c not in known)
    key = tuple((name, tuple(values)) for name, values in sorted(known.items()))
    spec = design.columns_of(formula, key, numeric)
    whole = design.stateful(spec, known)
    if whole:
        if isinstance(source, _File):
            hint = "make such columns (centred, scaled, splines, C() of a number) before, and name them in the formula."
            what = "a column of the formula depends on all the data, which are read in parts."
            raise StatisticsError(problem(PLACE, what, hint=hint))
        spec = replace(design.build_design(formula, pd.DataFrame(source.values)).spec, by_row=spec.by_row)
    recipe = replace(_recipe(formula, parsed.outcome, names, by_level, spec, known, numeric), whole=whole)
    return recipe, spec, source, [c for c in extra if c not in recipe.fixed]


def _values(recipe: Recipe, columns: design.Columns, chunk: Chunk, further: list[str]) -> NDArray[np.float64]:
    """Return a chunk's columns as (columns, rows), the outcome last."""
    y, x = design.matrices(columns, design.as_categories(chunk.values, recipe.levels))
    kept = [i for i, at in enumerate(recipe.fixed_at) if at >= 0]
    return np.vstack([x.T[kept], *(np.asarray(chunk.values[c], dtype=float)[None] for c in further), y[None]])


def _slopes(slopes: Slopes, groups: list[str]) -> tuple[tuple[str, ...], ...]:
    if isinstance(slopes, str):
        raise StatisticsError(problem(PLACE, f"slopes is a list of columns: slopes=[{slopes!r}]."))
    given = slopes if isinstance(slopes, Mapping) else {groups[0]: slopes}
    for name in given:
        if name not in groups:
            raise StatisticsError(problem(PLACE, f"slopes are named for {name!r}, which is no group.{did_you_mean(name, groups)}"))
    found = tuple(tuple(given.get(name, ())) for name in groups)
    if any(len(set(level)) < len(level) for level in found):
        raise StatisticsError(problem(PLACE, "a random slope is named twice."))
    return found


def _recipe(
    formula: str,
    outcome: str,
    groups: list[str],
    slopes: tuple[tuple[str, ...], ...],
    spec: design.Columns,
    levels: Mapping[str, Sequence[Any]],
    numeric: tuple[str, ...],
) -> Recipe:
    fixed = spec.names
    if not fixed:
        raise StatisticsError(problem(PLACE, f"{formula!r} has no fixed effect.", hint="'score ~ 1' has the mean."))
    varying = [name for name in fixed if name != CONSTANT]
    extra = [name for name in dict.fromkeys(s for level in slopes for s in level) if name not in varying]
    place = {name: i for i, name in enumerate(varying)}
    return Recipe(
        formula=formula, outcome=outcome, groups=tuple(groups), slopes=slopes, columns=(*varying, *extra, outcome), fixed=fixed,
        fixed_at=tuple(place.get(name, -1) for name in fixed), levels={k: list(v) for k, v in levels.items()}, numeric=numeric,
    )  # fmt: skip


def _person_moments(recipe: Recipe, groups: list[Group], values: NDArray[np.float64]) -> Moments:
    starts = run_starts(groups[0].codes)
    n, mean, scatter = person_moments(values, starts)
    for name, group in zip(recipe.groups[1:], groups[1:], strict=True):
        # A change of therapist within a person's rows starts a run that no person starts.
        broken = np.setdiff1d(run_starts(group.codes), starts, assume_unique=True)
        if len(broken):
            people = len(np.unique(np.searchsorted(starts, broken, side="right")))
            raise StatisticsError(
                problem(
                    PLACE,
                    f"{people} of {recipe.groups[0]!r} have rows under more than one {name!r}, so the groups are not nested.",
                    hint="make the treatment (person with one therapist) the lowest group. Crossed random effects are not fitted "
                    "here; statsmodels' MixedLM takes them as variance components (vc_formula).",
                )
            )
    labels = tuple(group.labels(starts) for group in groups)
    return Moments(recipe=recipe, labels=labels, n=n, mean=mean, scatter=scatter, n_excluded=0)


def run_starts(codes: NDArray[Any]) -> NDArray[np.intp]:
    """Return the rows at which a run of equal codes starts."""
    return np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))


@dataclass(frozen=True, slots=True)
class Group:
    """A level's labels, row by row: numbers as they are, other labels as codes into ``names``."""

    codes: NDArray[Any]
    names: pd.Index | None

    def labels(self, rows: NDArray[np.intp]) -> pd.Index:
        """Return the labels of some rows."""
        return pd.Index(self.codes[rows]) if self.names is None else self.names.take(self.codes[rows])

    def part(self, rows: slice | NDArray[np.intp]) -> Group:
        """Return the group of some rows."""
        return Group(self.codes[rows], self.names)


def group_of(labels: pd.Series) -> Group:
    """Return a column of labels as a group."""
    if isinstance(labels.dtype, np.dtype) and labels.dtype.kind in "iuf":
        return Group(labels.to_numpy(), None)
    codes, names = pd.factorize(labels)
    return Group(codes, pd.Index(names))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some whole persons' rows: numbers as arrays, other columns as series, and the groups, lowest first."""

    values: dict[str, Any]
    groups: list[Group]


@dataclass(slots=True, init=False)
class _Table:
    """Complete rows of a frame, each person's beside each other."""

    values: dict[str, Any]
    groups: list[Group]
    n: int
    n_excluded: int
    order: NDArray[np.intp] | None

    def __init__(self, formula: str, data: pd.DataFrame, columns: list[str], groups: list[str]) -> None:
        design.check_columns(columns, data.columns)
        used = design.complete_rows(formula, data, extra=columns, as_is=groups)
        if not used.n:
            raise StatisticsError(problem(PLACE, "no row has a value in every column used."))
        self.n, self.n_excluded, self.order = used.n, used.n_excluded, None
        self.groups = [group_of(used.values[name]) for name in groups]
        self.values = {name: column for name, column in used.values.items() if name not in groups}
        person = self.groups[0].codes
        if pd.Series(person[run_starts(person)]).duplicated().any():
            self.order = order = np.argsort(pd.factorize(person)[0], kind="stable")
            self.groups = [group.part(order) for group in self.groups]
            self.values = {name: _taken(column, order) for name, column in self.values.items()}

    def __len__(self) -> int:
        return self.n

    def is_number(self, name: str) -> bool:
        return isinstance(self.values[name], np.ndarray)

    def categories(self, names: list[str]) -> dict[str, list[Any]]:
        return design.categories(self.values, names)

    def chunks(self, size: int) -> Iterator[Chunk]:
        if self.n <= size:
            yield Chunk(self.values, self.groups)
            return
        starts = run_starts(self.groups[0].codes)
        cuts = np.unique(starts[np.searchsorted(starts, np.arange(0, self.n, size))[:-1]])
        for first, last in zip(cuts, [*cuts[1:], self.n], strict=True):
            rows = slice(first, last)
            yield Chunk({k: _taken(c, rows) for k, c in self.values.items()}, [g.part(rows) for g in self.groups])


def _taken(column: Any, rows: slice | NDArray[np.intp]) -> Any:
    return column[rows] if isinstance(column, np.ndarray) else column.iloc[rows]


@dataclass(slots=True, init=False)
class _File:
    """Complete rows of a Parquet file, each person's beside each other, a chunk at a time."""

    connection: Any
    columns: list[str]
    groups: list[str]
    kinds: dict[str, str]
    total: int
    n_excluded: int

    def __init__(self, path: Path, columns: list[str], groups: list[str]) -> None:
        if not path.exists():
            raise StatisticsError(problem(PLACE, f"no file or folder {path.name!r}."))
        pattern = path / "**/*.parquet" if path.is_dir() else path
        if path.is_dir() and not any(path.rglob("*.parquet")):
            raise StatisticsError(problem(PLACE, f"the folder {path.name!r} has no Parquet files."))
        try:
            self._open(pattern, columns, groups)
        except duckdb.Error:  # its text may hold cells
            hint = "each file must be Parquet with the same columns, of the same kinds."
            raise StatisticsError(problem(PLACE, f"cannot read {path.name!r}.", hint=hint)) from None

    def _open(self, pattern: Path, columns: list[str], groups: list[str]) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("SET threads = 2; SET memory_limit = '1GB'")
        self.connection.execute(
            f"CREATE VIEW everything AS SELECT * FROM read_parquet('{str(pattern).replace(chr(39), chr(39) * 2)}')"
        )
        self.kinds = {row[0]: str(row[1]) for row in self.connection.execute("DESCRIBE everything").fetchall()}
        design.check_columns(columns, self.kinds)
        self.columns, self.groups = columns, groups
        known = [f"{_quoted(c)} IS NOT NULL" + (f" AND NOT isnan({_quoted(c)})" if self._real(c) else "") for c in columns]
        chosen = ", ".join(_quoted(c) for c in columns)
        self.connection.execute(f"CREATE VIEW complete AS SELECT {chosen} FROM everything WHERE {' AND '.join(known)}")
        counts = ["count(*)", *(f"count(*) FILTER ({k})" for k in known)]
        total, *present = self.connection.execute(f"SELECT {', '.join(counts)} FROM everything").fetchall()[0]
        for column, n in zip(columns, present, strict=True):
            if not n:
                raise StatisticsError(problem("model", f"column {column!r} has no values.", hint="leave it out of the model."))
        infinite = [f"count(*) FILTER (isinf({_quoted(c)}))" if self._real(c) else "0" for c in columns]
        self.total, *bad = self.connection.execute(f"SELECT count(*), {', '.join(infinite)} FROM complete").fetchall()[0]
        for column, n in zip(columns, bad, strict=True):
            if n:
                hint = "look for a division by zero where it was made."
                raise StatisticsError(problem("model", f"column {column!r} has {n} infinite values.", hint=hint))
        if not self.total:
            raise StatisticsError(problem(PLACE, "no row has a value in every column used."))
        self.n_excluded = total - self.total

    def _real(self, column: str) -> bool:
        return self.kinds[column] in ("FLOAT", "DOUBLE")

    def __len__(self) -> int:
        return self.total

    def is_number(self, name: str) -> bool:
        return not self.kinds[name].startswith(("VARCHAR", "ENUM"))

    def categories(self, names: list[str]) -> dict[str, list[Any]]:
        found = {}
        for name in names:
            if self.kinds[name].startswith(("VARCHAR", "ENUM")):
                query = f"SELECT DISTINCT {_quoted(name)}::VARCHAR AS level FROM complete ORDER BY 1 LIMIT {design.MOST_LEVELS + 1}"
                found[name] = [row[0] for row in self.connection.execute(query).fetchall()]
                design.check_levels(name, len(found[name]))
        return found

    def _contiguous(self) -> bool:
        """Tell whether each person's rows already lie beside each other in the file."""
        heads, last = [], None
        for batch in self.connection.sql(f"SELECT {_quoted(self.groups[0])} AS who FROM complete").to_arrow_reader(ROWS):
            who = group_of(pa.Table.from_batches([batch]).to_pandas()["who"])
            found = who.labels(run_starts(who.codes))
            heads.append(found[1:] if last is not None and found[0] == last else found)
            last = who.labels(np.array([-1]))[0]
        return not heads[0].append(heads[1:]).has_duplicates

    def chunks(self, size: int) -> Iterator[Chunk]:
        # All columns, so that a person's rows come in one order however many threads read.
        keys = [self.groups[0], *(c for c in self.columns if c != self.groups[0])]
        order = "" if self._contiguous() else f" ORDER BY {', '.join(_quoted(k) for k in keys)}"
        rest: pd.DataFrame | None = None
        for batch in self.connection.sql(f"SELECT * FROM complete{order}").to_arrow_reader(size):
            rows = pa.Table.from_batches([batch]).to_pandas()
            rows = rows if rest is None else pd.concat([rest, rows], ignore_index=True)
            cut = int(run_starts(group_of(rows[self.groups[0]]).codes)[-1])
            rest = rows.iloc[cut:]  # the last person's rows may go on in the next batch
            if cut:
                yield self._chunk(rows.iloc[:cut])
        if rest is not None:
            yield self._chunk(rest)

    def _chunk(self, rows: pd.DataFrame) -> Chunk:
        used = design.complete_rows("", rows, extra=self.columns, as_is=self.groups)
        values = {name: column for name, column in used.values.items() if name not in self.groups}
        return Chunk(values, [group_of(used.values[name]) for name in self.groups])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

"""Which rows does a model use, what are its matrices, and are its predictors told apart?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd
from formulaic import Formula, model_matrix
from formulaic.errors import FormulaicError
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem

Numbers = NDArray[np.float64]
MOST_LEVELS = 500  # of a categorical predictor; more are people or therapists, who belong among the groups
TIED = 1e-7  # length of what is left of a predictor, as a share of it, below which the others determine it (as in R's lm)


@dataclass(frozen=True)
class CompleteRows:
    """The rows that a model uses, by column (numbers as arrays, other columns as series), and how many it could not."""

    values: dict[str, Any]
    n: int
    n_excluded: int

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The same as a table."""
        return pd.DataFrame(self.values)


@dataclass(frozen=True, slots=True)
class Columns:
    """How a formula makes its matrices: the engine's ``spec``, the fixed effects' ``names``, and, where every column is a
    numeric column of the data or a product of such, which (``plain``): those need no engine, which small fits feel. ``by_row``
    tells whether a row's values are the same among any other rows.
    """

    spec: Any
    names: tuple[str, ...]
    plain: tuple[tuple[str, ...], ...] | None
    outcome: str | None
    numeric: frozenset[str]
    by_row: bool = True


@dataclass(frozen=True, slots=True)
class Design:
    """Outcome and fixed effects as matrices.

    ``y`` (n,) the outcome; ``x`` (n, p) the fixed effects' columns, named by ``names``; ``rows`` the (n) rows used, in the
    order of the data; ``n_excluded`` how many had a missing value; ``spec`` makes
    ``x`` for other rows (:func:`design_of`).
    """

    y: Numbers
    x: Numbers
    names: list[str]
    rows: pd.DataFrame
    n_excluded: int
    spec: Columns


def complete_rows(formula: str, data: pd.DataFrame, *, extra: Sequence[str] = (), as_is: Sequence[str] = ()) -> CompleteRows:
    """Return the rows that have every column the formula names, and the extra ones, in types that formula engines know.

    Parameters
    ----------
    formula
        Model formula.
    data
        Any columns.
    extra
        Columns used beside the formula (clusters, random slopes).
    as_is
        Columns that are not made numeric (labels).

    Raises
    ------
    StatisticsError
        If an extra column is missing, a column has no value at all, or a number is infinite.
    """
    absent = [c for c in extra if c not in data.columns]
    if absent:
        raise StatisticsError(problem("model", f"no column {absent[0]!r}.{did_you_mean(absent[0], data.columns)}"))
    words = {*_names(formula), *extra}
    columns = [c for c in data.columns if c in words]
    check_columns(dict.fromkeys(columns), columns)
    complete = np.ones(len(data), dtype=bool)
    kept: dict[str, Any] = {}
    for column in columns:  # the formula engine wants plain numpy numbers, not nullable ones
        values: Any = data[column]
        if column not in as_is and pd.api.types.is_numeric_dtype(values):
            values = values.to_numpy(dtype=float, na_value=np.nan)
            known = ~np.isnan(values)
        else:
            known = values.notna().to_numpy()
        if len(data) and not known.any():
            raise StatisticsError(problem("model", f"column {column!r} has no values.", hint="leave it out of the model."))
        complete &= known
        kept[column] = values
    if not complete.all():
        kept = {column: values[complete] for column, values in kept.items()}
    for column, values in kept.items():
        if isinstance(values, np.ndarray):
            infinite = len(values) - int(np.isfinite(values).sum())
            if infinite:
                hint = "look for a division by zero where it was made."
                raise StatisticsError(problem("model", f"column {column!r} has {infinite} infinite values.", hint=hint))
        else:
            if isinstance(values.dtype, pd.CategoricalDtype):
                values = values.cat.remove_unused_categories()
            kept[column] = values.reset_index(drop=True)
    n = int(complete.sum())
    return CompleteRows(kept, n, len(data) - n)


def _names(formula: str) -> list[str]:
    """Return the identifiers in a formula, quoted column names (``Q("a b")`` or backticks) included."""
    return re.findall(r"[A-Za-z_]\w*|(?<=[\"'`])[^\"'`]+(?=[\"'`])", formula)


def _columns(spec: Any, numeric: Iterable[str]) -> Columns:
    known = set(numeric)

    def looked_up(term: Any) -> tuple[str, ...] | None:
        factors = [(f.expr, f.eval_method.value) for f in term.factors]
        if factors == [("1", "literal")]:
            return ()
        return tuple(e for e, _ in factors) if all(how == "lookup" and e in known for e, how in factors) else None

    names = tuple(spec.rhs.column_names)
    terms = [looked_up(term) for term in spec.rhs.formula]
    same_order = names == tuple("Intercept" if t == () else ":".join(t or ("",)) for t in terms)
    (outcome,) = [looked_up(term) for term in spec.lhs.formula]
    plain = tuple(t for t in terms if t is not None) if same_order and None not in terms else None
    return Columns(spec, names, plain, outcome[0] if outcome and len(outcome) == 1 else None, frozenset(known))


@dataclass(frozen=True, slots=True)
class Parsed:
    """A formula as read: ``formula`` for the engine, ``wanted`` the columns it needs, ``outcome`` what is left of ``~``."""

    formula: Any
    wanted: list[str]
    outcome: str


@lru_cache(maxsize=128)
def parse(formula: str) -> Parsed:
    """Read a formula with one outcome, e.g. ``"score ~ weeks * arm"``.

    Raises
    ------
    StatisticsError
        If it cannot be read or has not one outcome.
    """
    if "|" in formula:
        hint = "name the groups and slopes as arguments: groups=, slopes=."
        raise StatisticsError(problem("model", f"the formula {formula!r} has a random effect in it.", hint=hint))
    try:
        parsed = Formula(formula)
        one_outcome = hasattr(parsed, "lhs") and len(parsed.lhs) == 1
        wanted = sorted({str(v) for v in parsed.required_variables} | set(_called(parsed))) if one_outcome else []
    except (FormulaicError, SyntaxError) as error:
        raise StatisticsError(
            problem("model", f"cannot read the formula {formula!r}.", hint="e.g. 'score ~ weeks * arm'.")
        ) from error
    if not one_outcome:
        hint = "e.g. 'score ~ weeks * arm'."
        raise StatisticsError(problem("model", f"the formula {formula!r} needs one outcome left of '~'.", hint=hint))
    return Parsed(parsed, wanted, str(parsed.lhs[0]))


def _called(parsed: Any) -> Iterator[str]:
    """Yield the names inside function calls: the engine does not count those of its own functions (``scale(weeks)``)."""
    factors = {f.expr for term in parsed.rhs for f in term.factors if f.eval_method.value == "python"}
    for expression in factors:
        try:
            tree = ast.parse(expression, mode="eval")
        except SyntaxError:  # quoted names, which the engine counts
            continue
        calls = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        owners = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        yield from (
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in calls and id(node) not in owners
        )


def check_columns(names: Iterable[str], columns: Iterable[str]) -> None:
    """Raise a StatisticsError for the first name that is no column."""
    present = list(columns)
    for name in names:
        if present.count(name) > 1:
            raise StatisticsError(
                problem("model", f"{present.count(name)} columns are named {name!r}.", hint="rename one of them.")
            )
        if name not in present:
            raise StatisticsError(problem("model", f"no column {name!r}.{did_you_mean(name, present)}"))


def check_levels(name: str, n: int) -> None:
    """Raise a StatisticsError if a categorical predictor has too many levels to be a fixed effect."""
    if n > MOST_LEVELS:
        hint = "name it among the groups, or make it a number."
        raise StatisticsError(
            problem("model", f"{name!r} has {n} levels, more than {MOST_LEVELS}, so it is no fixed effect.", hint=hint)
        )


@lru_cache(maxsize=128)
def columns_of(formula: str, levels: tuple[tuple[str, tuple[Any, ...]], ...], numeric: tuple[str, ...]) -> Columns:
    """Return how a formula makes its matrices, from the levels of its categorical columns and the names of its numeric ones.

    No data are needed, so that parts of a data set get the same columns; :func:`stateful` says where that is not so.

    Raises
    ------
    StatisticsError
        If the columns cannot be made.
    """
    length = max([4, *(len(v) for _, v in levels)])
    made = {name: pd.Categorical([v[i % len(v)] for i in range(length)], categories=list(v)) for name, v in levels}
    frame = pd.DataFrame({**made, **{name: np.linspace(1.0, 2.0, length) for name in numeric}})
    spec = _matrices(parse(formula).formula, frame, formula).model_spec
    return replace(_columns(spec, numeric), by_row=_by_row(spec, frame))


def _by_row(spec: Any, frame: pd.DataFrame) -> bool:
    """Tell whether each row's values stay what they are without the first row and in the other order."""
    whole, part = (_matrices(spec, rows, str(spec.rhs.formula)) for rows in (frame, frame.iloc[:0:-1]))
    return all(
        np.array_equal(getattr(whole, side).to_numpy(dtype=float)[:0:-1], getattr(part, side).to_numpy(dtype=float), equal_nan=True)
        for side in ("lhs", "rhs")
    )


def stateful(columns: Columns, levels: Mapping[str, Sequence[Any]]) -> bool:
    """Tell whether a formula's columns depend on all the data.

    So do ``center``, ``scale``, ``poly``, splines, ``C`` of a number, and whatever else gives a row another value among other
    rows (``x - x.mean()``, ``x.rank()``), which is tried out.
    """
    known = [list(v) for v in levels.values()]
    spec = columns.spec
    found = [state.get("categories") for _, state in spec.rhs.encoder_state.values()]
    unknown = any(c is not None and list(c) not in known for c in found)
    return bool(unknown or spec.lhs.transform_state or spec.rhs.transform_state or not columns.by_row)


def _matrices(parsed: Any, rows: pd.DataFrame, formula: str) -> Any:
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused by name
            return model_matrix(parsed, rows, na_action="ignore")
    except (FormulaicError, TypeError, ValueError, NameError, AttributeError):
        hint = "functions need numbers, and must be known (np.log, C, scale, poly, bs)."
        # The engine's text may hold cells.
        raise StatisticsError(problem("model", f"cannot make the columns of {formula!r}.", hint=hint)) from None


def matrices(columns: Columns, rows: pd.DataFrame | Mapping[str, Any]) -> tuple[Numbers, Numbers]:
    """Return outcome (n,) and fixed effects (n, p) of complete rows.

    Raises
    ------
    StatisticsError
        If the outcome is not one numeric column, or a function in the formula makes missing or infinite values.
    """
    if columns.plain is not None and columns.outcome is not None:
        y = np.asarray(rows[columns.outcome], dtype=float)
        found = np.ones((len(y), len(columns.plain)))
        for j, factors in enumerate(columns.plain):
            for name in factors:
                found[:, j] *= np.asarray(rows[name], dtype=float)
        return y, found
    both = _matrices(columns.spec, pd.DataFrame(rows), str(columns.spec.rhs.formula))
    y, x = both.lhs.to_numpy(dtype=float), both.rhs.to_numpy(dtype=float)
    if y.shape[1] != 1:
        raise StatisticsError(problem("model", "the outcome is not one numeric column.", hint="code it as a number."))
    bad = ~(np.isfinite(y[:, 0]) & np.isfinite(x).all(axis=1))
    if bad.any():
        hint = "e.g. the logarithm of a negative number."
        raise StatisticsError(
            problem("model", f"the formula makes missing or infinite values in {int(bad.sum())} rows.", hint=hint)
        )
    return y[:, 0], x


def categories(rows: pd.DataFrame | Mapping[str, Any], names: Iterable[str]) -> dict[str, list[Any]]:
    """Return the levels, in order, of those columns that are not numeric."""
    found: dict[str, list[Any]] = {}
    for name in names:
        column = rows[name]
        if isinstance(column, np.ndarray):
            continue
        if isinstance(column.dtype, pd.CategoricalDtype):
            found[name] = list(column.cat.categories)
        elif not pd.api.types.is_numeric_dtype(column):
            try:
                check_levels(name, column.nunique())
                found[name] = sorted(column.unique())
            except TypeError as error:
                hint = "make it all numbers or all text."
                raise StatisticsError(
                    problem("model", f"column {name!r} mixes numbers, text or other things.", hint=hint)
                ) from error
        else:
            continue
        check_levels(name, len(found[name]))
    return found


def as_categories(rows: Mapping[str, Any], levels: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return the columns with the named ones as categoricals of the given levels.

    Raises
    ------
    StatisticsError
        If a row has a level that is not given.
    """
    found = dict(rows)
    for name, known in levels.items():
        values = np.asarray(rows[name], dtype=object)
        unknown = set(values) - set(known)
        if unknown:
            hint = "name all levels in levels=."
            raise StatisticsError(
                problem("model", f"{name!r} has {len(unknown)} levels that are not among the given ones.", hint=hint)
            )
        found[name] = pd.Categorical(rows[name], categories=list(known))
    return found


def build_design(formula: str, data: pd.DataFrame, *, extra: Sequence[str] = (), as_is: Sequence[str] = ()) -> Design:
    """Return the matrices of a formula, e.g. ``"score ~ weeks * arm"``, over the complete rows of ``data``.

    Parameters
    ----------
    formula
        Outcome and fixed effects, in Wilkinson's notation.
    data
        One row an observation.
    extra, as_is
        As in :func:`complete_rows`.

    Raises
    ------
    StatisticsError
        If the formula cannot be read, names an absent column, has not one outcome, no row is complete, or a categorical
        predictor has more than 500 levels.
    """
    parsed = parse(formula)
    check_columns([*parsed.wanted, *extra], data.columns)
    used = complete_rows(formula, data, extra=extra, as_is=as_is)
    if not used.n:
        raise StatisticsError(problem("model", "no row has a value in every column used."))
    known = categories(used.rows, parsed.wanted)
    spec = _matrices(parsed.formula, used.rows, formula).model_spec
    columns = _columns(spec, [name for name in parsed.wanted if name not in known])
    y, x = matrices(columns, used.rows)
    return Design(y, x, list(columns.names), used.rows, used.n_excluded, columns)


def design_of(columns: Columns, new: pd.DataFrame) -> Numbers:
    """Return the fixed effects' columns for other rows, which need the predictors only.

    Raises
    ------
    StatisticsError
        If a predictor is absent or missing, or has a level that the model does not know.
    """
    spec = columns.spec
    wanted = sorted(str(v) for v in spec.rhs.required_variables)
    if not wanted:
        return np.ones((len(new), len(spec.rhs.column_names)))
    check_columns(wanted, new.columns)
    used = complete_rows(" + ".join(f"`{name}`" for name in wanted), new)
    if used.n_excluded:
        raise StatisticsError(problem("prediction", f"{used.n_excluded} rows have a missing predictor."))
    for factor, (_, state) in spec.rhs.encoder_state.items():
        known = state.get("categories")
        if known is not None and factor in used.rows and not set(used.rows[factor].unique()) <= set(known):
            raise StatisticsError(problem("prediction", f"{factor!r} has a level that the model does not know."))
    if not columns.by_row:
        hint = "make such columns before, and name them in the formula."
        raise StatisticsError(problem("prediction", "a column of the formula depends on the other rows.", hint=hint))
    numbers = [name for name in wanted if not isinstance(used.values[name], np.ndarray) and name in columns.numeric]
    if numbers:
        raise StatisticsError(problem("prediction", f"column {numbers[0]!r} is not numeric, as it was in the data."))
    matrix = _matrices(spec.rhs, used.rows, str(spec.rhs.formula)).to_numpy(dtype=float)
    if not np.isfinite(matrix).all():
        raise StatisticsError(problem("prediction", "the formula makes missing or infinite values."))
    return np.asarray(matrix, dtype=float)


def identified(design: Numbers) -> bool:
    """Tell whether no column of a design matrix is determined by the others, whatever the predictors' units."""
    lengths = np.linalg.norm(design, axis=0)
    rank = int(np.linalg.matrix_rank(design / np.where(lengths > 0, lengths, 1)))
    return rank == int(design.shape[1])


def tied_columns(cross: Numbers, names: Sequence[str]) -> list[str]:
    """Return the names of the columns that those before them determine.

    Parameters
    ----------
    cross : (p, p)
        Cross products X'X of the columns.
    names : (p,)
        Their names.
    """
    length = np.sqrt(np.diag(cross))
    unit = np.where(length > 0, length, 1.0)
    scaled = cross / np.outer(unit, unit)
    kept: list[int] = []
    tied = []
    for j, name in enumerate(names):
        rest = scaled[j, j]
        if kept:
            rest -= float(scaled[j, kept] @ np.linalg.solve(scaled[np.ix_(kept, kept)], scaled[kept, j]))
        if length[j] == 0 or rest < TIED:
            tied.append(name)
        else:
            kept.append(j)
    return tied

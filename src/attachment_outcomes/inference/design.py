"""Which rows does a model use, what are its matrices, and are its predictors told apart?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class CompleteRows:
    """The rows that a model uses, and how many it could not."""

    rows: pd.DataFrame
    n_excluded: int


@dataclass(frozen=True, slots=True)
class Design:
    """Outcome and fixed effects as matrices.

    ``y`` (n,) the outcome; ``x`` (n, p) the fixed effects' columns, named by ``names``; ``rows`` the (n) rows used, in the
    order of the data; ``n_excluded`` how many had a missing value; ``spec`` makes ``x`` for other rows (:func:`design_of`).
    """

    y: Numbers
    x: Numbers
    names: list[str]
    rows: pd.DataFrame
    n_excluded: int
    spec: Any


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
    known = data[columns].notna()
    for column in columns:
        if len(data) and not known[column].any():
            raise StatisticsError(problem("model", f"column {column!r} has no values.", hint="leave it out of the model."))
    complete = known.all(axis=1)
    rows = data[columns] if complete.all() else data.loc[complete, columns]
    changes: dict[str, Any] = {}
    for column in columns:  # the formula engine wants plain numpy numbers, not nullable ones
        values = rows[column]
        if column not in as_is and pd.api.types.is_numeric_dtype(values):
            changes[column] = values.to_numpy(dtype=float)
            infinite = ~np.isfinite(changes[column])
            if infinite.any():
                where = f"column {column!r} has {int(infinite.sum())} infinite values"
                raise StatisticsError(problem("model", f"{where}.", hint="look for a division by zero where it was made."))
        elif isinstance(values.dtype, pd.CategoricalDtype):
            changes[column] = values.cat.remove_unused_categories().reset_index(drop=True)
    rows = rows.reset_index(drop=True).assign(**changes)
    return CompleteRows(rows, len(data) - len(rows))


def _names(formula: str) -> list[str]:
    """Return the identifiers in a formula, quoted column names (``Q("a b")`` or backticks) included."""
    return re.findall(r"[A-Za-z_]\w*|(?<=[\"'`])[^\"'`]+(?=[\"'`])", formula)


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
        If the formula cannot be read, names an absent column, has no outcome of one column, no row is complete, or a
        categorical predictor has more than 500 levels.
    """
    try:
        parsed = Formula(formula)
        wanted = sorted(parsed.required_variables)
    except (FormulaicError, SyntaxError) as error:
        raise StatisticsError(
            problem("model", f"cannot read the formula {formula!r}.", hint="e.g. 'score ~ weeks * arm'.")
        ) from error
    if not hasattr(parsed, "lhs") or len(parsed.lhs) != 1:
        raise StatisticsError(problem("model", f"the formula {formula!r} needs one outcome left of '~'."))
    for name in wanted:
        if name not in data.columns:
            raise StatisticsError(problem("model", f"no column {name!r}.{did_you_mean(name, data.columns)}"))
    used = complete_rows(formula, data, extra=extra, as_is=as_is)
    if not len(used.rows):
        raise StatisticsError(problem("model", "no row has a value in every column used."))
    for name in wanted:
        column = used.rows[name]
        if not pd.api.types.is_numeric_dtype(column) and column.nunique() > MOST_LEVELS:
            raise StatisticsError(
                problem(
                    "model",
                    f"{name!r} has {column.nunique()} levels, more than {MOST_LEVELS}, so it is no fixed effect.",
                    hint="name it among the groups, or make it a number.",
                )
            )
    try:
        both = model_matrix(parsed, used.rows)
    except FormulaicError as error:
        hint = "text needs no function, and functions need numbers."
        raise StatisticsError(problem("model", f"cannot make the columns of {formula!r}.", hint=hint)) from error
    outcome = both.lhs.to_numpy(dtype=float)
    if outcome.shape[1] != 1:
        raise StatisticsError(problem("model", "the outcome is not one numeric column.", hint="code it as a number."))
    x = both.rhs.to_numpy(dtype=float)
    return Design(outcome[:, 0], x, list(both.rhs.columns), used.rows, used.n_excluded, both.rhs.model_spec)


def design_of(spec: Any, new: pd.DataFrame) -> Numbers:
    """Return the fixed effects' columns for other rows, which need the predictors only.

    Raises
    ------
    StatisticsError
        If a predictor is absent or missing, or has a level that the model does not know.
    """
    for name in sorted(spec.required_variables):
        if name not in new.columns:
            raise StatisticsError(problem("prediction", f"no column {name!r}.{did_you_mean(name, new.columns)}"))
    formula = " + ".join(f"`{name}`" for name in spec.required_variables)
    used = complete_rows(formula, new)
    if used.n_excluded:
        raise StatisticsError(problem("prediction", f"{used.n_excluded} rows have a missing predictor."))
    if not spec.required_variables:
        return np.ones((len(new), len(spec.column_names)))
    matrix = spec.get_model_matrix(used.rows).to_numpy(dtype=float)
    if np.isnan(matrix).any() or len(matrix) != len(new):
        raise StatisticsError(problem("prediction", "a predictor has a level that the model does not know."))
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
    scaled = cross / np.where(length > 0, np.outer(length, length), 1.0)
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

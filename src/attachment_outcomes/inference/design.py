"""Which rows does a model use, and are its predictors told apart?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem


@dataclass(frozen=True, slots=True)
class CompleteRows:
    """The rows that a model uses, and how many it could not."""

    rows: pd.DataFrame
    n_excluded: int


def complete_rows(formula: str, data: pd.DataFrame, *, extra: Sequence[str] = (), as_is: str | None = None) -> CompleteRows:
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
        A column that is not made numeric (labels).

    Raises
    ------
    StatisticsError
        If an extra column is missing.
    """
    absent = [c for c in extra if c not in data.columns]
    if absent:
        raise StatisticsError(problem("model", f"no column {absent[0]!r}.{did_you_mean(absent[0], data.columns)}"))
    words = {*_names(formula), *extra}
    columns = [c for c in data.columns if c in words]
    rows = data.loc[data[columns].notna().all(axis=1), columns].reset_index(drop=True)
    for column in columns:  # the formula engine wants plain numpy numbers, not nullable ones
        if column != as_is and pd.api.types.is_numeric_dtype(rows[column]):
            rows[column] = rows[column].astype(float)
        elif isinstance(rows[column].dtype, pd.CategoricalDtype):
            rows[column] = rows[column].cat.remove_unused_categories()
    return CompleteRows(rows, len(data) - len(rows))


def _names(formula: str) -> list[str]:
    """Return the identifiers in a formula; quoted column names (``Q("a b")``) included."""
    return re.findall(r"[A-Za-z_]\w*|(?<=[\"'])[^\"']+(?=[\"'])", formula)


def identified(design: NDArray[np.float64]) -> bool:
    """Tell whether no column of a design matrix is determined by the others, whatever the predictors' units."""
    lengths = np.linalg.norm(design, axis=0)
    rank = int(np.linalg.matrix_rank(design / np.where(lengths > 0, lengths, 1)))
    return rank == int(design.shape[1])

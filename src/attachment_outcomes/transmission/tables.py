"""Tables of parents' by children's classes, one a family, and what leaving families out tells.

Rows are the parent's classes and columns the child's, in corresponding order, so that the diagonal holds the pairs that
correspond. In a table of two classes the secure one is first.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.jackknife import jackknife

CLUSTERED = "cluster jackknife"

Table = npt.NDArray[np.int64]
Contrast = Callable[[Table], float]
Scale = Callable[[float], float]


def class_tables(
    rows: pd.Series, columns: pd.Series, *, row_classes: list[str], column_classes: list[str], groups: npt.ArrayLike
) -> Table:
    """Return one classes x classes table for each group (numbered from 0) of aligned labels; the labels must be classes."""
    row = np.asarray(pd.Categorical(rows, categories=row_classes).codes)
    column = np.asarray(pd.Categorical(columns, categories=column_classes).codes)
    group = np.asarray(groups, dtype=np.int64)
    out = np.zeros((int(group.max()) + 1 if len(group) else 1, len(row_classes), len(column_classes)), dtype=np.int64)
    np.add.at(out, (group, row, column), 1)
    return out


def diagonal_share(table: Table) -> float:
    """Return the share of pairs on the diagonal."""
    return float(np.trace(table) / table.sum())


def cluster_interval(plain: Interval, tables: Table, measure: Contrast, *, scale: Scale, back: Scale, ci_level: float) -> Interval:
    """Return the interval of a quantity of the summed table by leaving out one of the (G, K, K) tables at a time."""
    if math.isnan(plain.estimate):
        return plain
    # Most families have one pair, so only few different tables are ever left out.
    different, which = np.unique(tables.reshape(len(tables), -1), axis=0, return_inverse=True)
    whole = tables.sum(axis=0)
    rest = [whole - d.reshape(whole.shape) for d in different]
    values = np.array([measure(t) if t.sum() else math.nan for t in rest])
    found = jackknife(plain.estimate, values[which.ravel()], scale=scale, back=back, ci_level=ci_level)
    notes = [plain.note] if plain.note and "interval" not in plain.note else []
    return Interval(plain.estimate, found.std_error, found.ci_low, found.ci_high, "; ".join(filter(None, [*notes, found.note])))

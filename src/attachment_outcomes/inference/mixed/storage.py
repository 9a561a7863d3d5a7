"""Moments as files: what one site's pass found, for another machine to merge and fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.files import atomic
from attachment_outcomes.inference.mixed.moments import Moments, Recipe

KEY = b"attachment_outcomes.moments"


def save_moments(moments: Moments, path: str | Path) -> None:
    """Write to a Parquet file, a row a person with the labels of all groups, so keep it where the data may be."""
    table = pa.table(
        {
            **{f"group_{i}": pa.array(label) for i, label in enumerate(moments.labels)},
            "n": moments.n,
            **{f"mean_{i}": row for i, row in enumerate(moments.mean)},
            **{f"scatter_{i}": row for i, row in enumerate(moments.scatter)},
        }
    )
    r = moments.recipe
    told = {
        "formula": r.formula, "outcome": r.outcome, "groups": r.groups, "slopes": r.slopes, "columns": r.columns,
        "fixed": r.fixed, "fixed_at": r.fixed_at, "levels": r.levels, "numeric": r.numeric, "whole": r.whole,
        "n_excluded": moments.n_excluded, "n_passes": moments.n_passes,
    }  # fmt: skip
    table = table.replace_schema_metadata({KEY: json.dumps(told).encode()})
    atomic(path, lambda target: pq.write_table(table, target))


def load_moments(path: str | Path) -> Moments:
    """Read what :func:`save_moments` wrote.

    Raises
    ------
    StatisticsError
        If the file holds no moments.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid):
        raise StatisticsError(
            problem(Path(path).name, "cannot be read as moments.", hint="make them with save_moments().")
        ) from None
    if KEY not in (table.schema.metadata or {}):
        raise StatisticsError(problem(Path(path).name, "holds no moments of a mixed model.", hint="make them with moments_of()."))
    told = json.loads(table.schema.metadata[KEY])
    n_excluded, n_passes = told.pop("n_excluded"), told.pop("n_passes")
    told = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
    told["slopes"] = tuple(tuple(s) for s in told["slopes"])

    def rows(kind: str) -> NDArray[np.float64]:
        names = [c for c in table.column_names if c.startswith(kind)]
        return np.array([table[c].to_numpy() for c in names]).reshape(len(names), table.num_rows)

    labels = tuple(pd.Index(table[c].to_pandas()) for c in table.column_names if c.startswith("group_"))
    return Moments(
        recipe=Recipe(**told), labels=labels, n=table["n"].to_numpy(), mean=rows("mean_"), scatter=rows("scatter_"),
        n_excluded=n_excluded, n_passes=n_passes,
    )  # fmt: skip

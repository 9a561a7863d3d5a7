"""Finding estimates by the names they are known under."""

from __future__ import annotations

from typing import Any

import pandas as pd

from attachment_outcomes.inference.estimate import select
from attachment_outcomes.present.words import level_text, with_interval

Row = dict[str, Any]


def records(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a frame, each as column to value."""
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def rows_of(estimates: pd.DataFrame, **wanted: object) -> list[Row]:
    """Return the rows that match, in the table's order."""
    return records(select(estimates, **wanted))


def one(estimates: pd.DataFrame, **wanted: object) -> Row | None:
    """Return the only row that matches, the primary one if several do, or None."""
    found = rows_of(estimates, **wanted)
    primary = [row for row in found if row["primary"]]
    return next(iter(primary or found), None)


def told(estimates: pd.DataFrame, name: str, settings: dict[str, Any], **wanted: object) -> str:
    """Return ``name estimate [95 % CI low, high]`` of the row that matches, or an empty string if there is none."""
    row = one(estimates, **wanted)
    if row is None:
        return ""
    text = with_interval(row)
    return f"{name} {text}".replace("[", f"[{level_text(settings)} CI ", 1)


def primary_definition(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the primary definition."""
    return frame[frame["primary"].fillna(False).astype(bool)]

"""What goes wrong in a real export: answers left out, whole questionnaires left blank, a row twice, an impossible answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from attachment_outcomes.errors import DataError


def leave_out(
    frame: pd.DataFrame, columns: Sequence[str], rng: np.random.Generator, *, answers: float, blank: float
) -> pd.DataFrame:
    """Return the frame with a share of single answers, and of whole rows of these columns, left out."""
    names = list(columns)
    shape = (len(frame), len(names))
    gone = (rng.random(shape) < answers) | (rng.random((len(frame), 1)) < blank)
    out = frame.copy()
    out[names] = out[names].astype("Int64").mask(gone)
    return out


def repeat_rows(frame: pd.DataFrame, rng: np.random.Generator, *, rows: int) -> pd.DataFrame:
    """Return the frame with ``rows`` random rows standing twice, one after the other."""
    if rows > len(frame):
        raise DataError(f"dirt: {rows} rows to repeat, but the table has {len(frame)}")
    twice = np.sort(np.argsort(rng.random(len(frame)), kind="stable")[:rows])
    at = np.sort(np.concatenate([np.arange(len(frame)), twice]), kind="stable")
    return frame.iloc[at].reset_index(drop=True)


def impossible_answers(
    frame: pd.DataFrame, columns: Sequence[str], rng: np.random.Generator, *, cells: int, value: int
) -> pd.DataFrame:
    """Return the frame with ``cells`` answers replaced by a value outside the response range."""
    out = frame.copy()
    answered = np.argwhere(out[list(columns)].notna().to_numpy())
    for row, column in answered[np.argsort(rng.random(len(answered)), kind="stable")[:cells]]:
        out.loc[out.index[row], columns[column]] = value
    return out

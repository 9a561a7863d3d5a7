"""The one record: every analysis returns rows of this table, and everything downstream reads only them.

Vocabulary
----------
analysis    the room's question, e.g. ``reliable_change``
estimand    the quantity, e.g. ``share`` or ``kappa``
outcome     what it is about, e.g. ``core10.total`` or ``AAI-SSP``
group       the part of the data it belongs to, e.g. a category, a style, a sample
definition  which of several definitions was used, e.g. ``JT cutoff c``; one is ``primary``
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError

NOT_TESTABLE = "not testable"
CI_LEVEL = 0.95

_SORT = ["study", "analysis", "outcome", "definition", "group", "estimand", "method"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One estimate with its interval, its denominators and how it was made.

    Missing numbers are NaN and missing words are empty strings, so that the table has one type a column.
    ``n`` is the number of units the estimate rests on (people, sessions, dyads: ``unit_n`` names them in ``note``
    where it is not people); ``n_clusters`` the number of independent clusters the interval allows for.
    ``unit`` is the unit of the estimate (``proportion``, ``score points``, ``kappa``, ``r`` …) and ``direction``
    says how to read its sign (``higher is better``, ``lower is better`` or empty).
    """

    analysis: str
    estimand: str
    estimate: float
    method: str
    study: str = ""
    outcome: str = ""
    group: str = ""
    definition: str = ""
    primary: bool = True
    std_error: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    ci_level: float = CI_LEVEL
    p_value: float = math.nan
    n: float = math.nan
    n_clusters: float = math.nan
    unit: str = ""
    direction: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if self.ci_low > self.ci_high:
            raise StatisticsError(f"{self.analysis}/{self.estimand}: interval [{self.ci_low}, {self.ci_high}] is upside down")
        if not 0 < self.ci_level < 1:
            raise StatisticsError(f"{self.analysis}/{self.estimand}: ci_level {self.ci_level} is not between 0 and 1")


COLUMNS = [
    "study", "analysis", "estimand", "outcome", "group", "definition", "primary", "estimate", "std_error", "ci_low",
    "ci_high", "ci_level", "p_value", "n", "n_clusters", "unit", "direction", "method", "note",
]  # fmt: skip
_WORDS = [f.name for f in fields(Estimate) if f.type == "str"]
_NUMBERS = [f.name for f in fields(Estimate) if f.type == "float"]


def not_testable(analysis: str, reason: str, *, study: str = "", outcome: str = "") -> Estimate:
    """Return the row that says, by name, what the data cannot answer and what is missing."""
    return Estimate(
        analysis=analysis, estimand=NOT_TESTABLE, estimate=math.nan, method=NOT_TESTABLE, study=study, outcome=outcome,
        primary=False, note=reason,
    )  # fmt: skip


def estimates_frame(rows: Iterable[Estimate], *, study: str | None = None) -> pd.DataFrame:
    """Return the rows as a table with fixed columns, types and order.

    Raises
    ------
    StatisticsError
        If two rows answer the same question by the same definition and method.
    """
    frame = pd.DataFrame([asdict(r) for r in rows], columns=COLUMNS)
    if study is not None:
        frame["study"] = study
    return tidy_estimates(frame)


def tidy_estimates(frame: pd.DataFrame) -> pd.DataFrame:
    """Return an estimates table with its fixed columns, types and order, refusing doubles."""
    frame = frame[COLUMNS].copy()
    for column in _WORDS:
        frame[column] = frame[column].fillna("").astype("str")
    for column in _NUMBERS:
        frame[column] = frame[column].astype(np.float64)
    frame["primary"] = frame["primary"].astype(bool)
    doubled = frame.duplicated(_SORT)
    if doubled.any():
        first = frame.loc[doubled, _SORT].iloc[0]
        raise StatisticsError("two estimates answer one question: " + ", ".join(f"{k}={v}" for k, v in first.items() if v))
    return frame.sort_values(_SORT, kind="stable").reset_index(drop=True)


def read_estimates(path: str) -> pd.DataFrame:
    """Read an ``estimates.csv`` or ``.parquet`` with its fixed types."""
    if str(path).endswith(".parquet"):
        return tidy_estimates(pd.read_parquet(path))
    return tidy_estimates(pd.read_csv(path, keep_default_na=False, na_values={c: [""] for c in _NUMBERS}))


def select(frame: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """Return the rows whose columns equal the wanted values, e.g. ``select(est, analysis="growth", primary=True)``."""
    keep = np.ones(len(frame), dtype=bool)
    for column, value in wanted.items():
        keep &= (frame[column] == value).to_numpy()
    return frame[keep]

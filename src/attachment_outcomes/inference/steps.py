"""What a step of the workflow is made of: analyses that each give a part, and how their parts become one result.

Vocabulary
----------
analysis    one question: the names it answers under, its tables, and what runs it
part        what one analysis gives: its estimates and its tables
step        a rule of the workflow: several analyses on the same data
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import pandas as pd

from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import NOT_TESTABLE, Estimate, not_testable

Data = TypeVar("Data")


@dataclass(frozen=True)
class Part:
    """What one analysis gives."""

    estimates: list[Estimate]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Analysis(Generic[Data]):
    """One analysis of a step: the names it answers under, its tables with their columns' types, and what runs it."""

    names: tuple[str, ...]
    tables: Mapping[str, Mapping[str, str]]
    run: Callable[[Data], Part]

    def silent(self, reason: str) -> Part:
        """Return what stands where the analysis cannot be run: the reason under every name, and no tables."""
        return Part([not_testable(name, reason) for name in self.names])


@dataclass(frozen=True, slots=True)
class StepResult:
    """Tables by name, estimates and exclusions of one step, in the forms that are written."""

    tables: dict[str, pd.DataFrame]
    estimates: list[Estimate]
    flow: Flow


def gather(analyses: Sequence[Analysis[Data]], parts: Iterable[Part], flow: Flow) -> StepResult:
    """Return the parts of the analyses, in the same order, as one result; every table is there, if only with its columns."""
    tables: dict[str, pd.DataFrame] = {}
    rows: list[Estimate] = []
    for analysis, part in zip(analyses, parts, strict=True):
        rows += part.estimates
        tables |= {name: typed_table(part.tables.get(name, []), columns) for name, columns in analysis.tables.items()}
    return StepResult(tables, reasons_joined(rows), flow)


def reasons_joined(rows: Iterable[Estimate]) -> list[Estimate]:
    """Join into one row what is not testable about one thing for several reasons."""
    joined: dict[tuple[object, ...], Estimate] = {}
    for row in rows:
        of = (row.analysis, row.outcome, row.definition, row.group) if row.estimand == NOT_TESTABLE else (id(row),)
        before = joined.get(of)
        if before is None:
            joined[of] = row
        elif row.note not in before.note.split("; "):
            joined[of] = replace(before, note=f"{before.note}; {row.note}")
    return list(joined.values())


def typed_table(rows: pd.DataFrame | Sequence[Mapping[str, object]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows as a table with fixed columns and types, also when there are none.

    Parameters
    ----------
    rows
        A frame, or a mapping a row.
    columns
        Column to its type: ``str``, ``float64``, ``int64``, ``Int64``, ``bool`` or ``boolean``.

    Raises
    ------
    KeyError
        If a column is missing from rows that are there.
    """
    if not len(rows):
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    return pd.DataFrame(rows)[list(columns)].astype(dict(columns)).reset_index(drop=True)


def stacked(parts: Iterable[pd.DataFrame], columns: Mapping[str, str], order: Sequence[str] = ()) -> pd.DataFrame:
    """Return several tables as one, sorted by ``order`` (stable)."""
    filled = [p for p in parts if len(p)]
    whole = typed_table(pd.concat(filled, ignore_index=True) if filled else [], columns)
    return whole.sort_values(list(order), kind="stable", ignore_index=True) if order else whole

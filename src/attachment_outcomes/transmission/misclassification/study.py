"""What transmission would be seen if nobody were misclassified?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import ConfigError, StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.agreement import Numbers
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.steps import Part, stacked
from attachment_outcomes.measures.codes import CLASSES, classes
from attachment_outcomes.measures.targets import CODES, about_the_other, first_classes
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.misclassification.correction import ANALYSIS, estimates_of, sensitivity
from attachment_outcomes.transmission.misclassification.reliability import PLACE, Reliability, reliabilities

CELLS = {
    "system": "str",
    "way": "str",
    "parent_class": "str",
    "child_class": "str",
    "n": "int64",
    "observed": "float64",
    "corrected": "float64",
}
SENSITIVITY = {
    "system": "str",
    "way": "str",
    "parent_kappa": "float64",
    "child_kappa": "float64",
    "kappa": "float64",
    "agreement": "float64",
    "possible": "bool",
}
TABLES: Mapping[str, Mapping[str, str]] = {"corrected_tables": CELLS, "corrected_sensitivity": SENSITIVITY}
GRID = np.array([0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])  # retest kappas, from a doubtful one to none misread
PEOPLE = {"parent": "parents' classes", "child": "children's classes"}
NOTHING_GIVEN = "the study does not say how reliable its classifications are (transmission.misclassification)"


@dataclass(frozen=True)
class _Read:
    """The pairs read in one way: a row of cells a pair with both classes, its family, and the classes' names."""

    way: str
    cells: Numbers
    families: npt.NDArray[np.int64]
    parents: list[str]
    children: list[str]

    @property
    def table(self) -> Numbers:
        size = len(self.parents)
        return np.asarray(self.cells.sum(axis=0).reshape(size, size), dtype=float)


def analyse(data: TransmissionData) -> Part:
    """Correct the class tables in every way for which the study says how reliable both classifications are.

    The table of sensitivity needs no reliability and is made in every way.

    Raises
    ------
    ConfigError
        If the reliabilities given are not possible, or are of a way that the study does not ask for.
    StatisticsError
        If no pair has classes in any way.
    """
    settings = data.settings
    systems = {side: str(settings[f"{side}_system"]) for side in ("parent", "child")}
    given = settings.get("misclassification")
    reliable = {
        side: reliabilities(
            given[side] if given else [], side=side, classes={way: len(names) for way, names in CLASSES[systems[side]].items()}
        )
        for side in systems
    }
    _asked_for(reliable, settings["ways"])
    outcome = "-".join(systems.values())
    codes = {side: _codes(data, side, system) for side, system in systems.items()}
    estimates: list[Estimate] = []
    read: list[_Read] = []
    for way in settings["ways"]:
        try:
            read.append(_read(codes, data.pairs, way, systems))
        except StatisticsError as error:
            estimates.append(replace(not_testable(ANALYSIS, str(error), outcome=outcome), definition=way))
    shown = [_rows(outcome, r, sensitivity(r.table, GRID)) for r in read]
    tables = {"corrected_sensitivity": stacked(shown, SENSITIVITY)}
    if given is None:
        return Part([not_testable(ANALYSIS, NOTHING_GIVEN)], tables)
    cells = []
    draws, few = _drawn(data, read)
    note = "; ".join(filter(None, [few, data.unchecked_cutoffs]))
    for r, drawn in zip(read, draws, strict=True):
        missing = [side for side in systems if r.way not in reliable[side]]
        if missing:
            reason = f"the reliability of {' and '.join(PEOPLE[side] for side in missing)} is not given in this way"
            estimates.append(replace(not_testable(ANALYSIS, reason, outcome=outcome), definition=r.way))
            continue
        try:
            pair = reliable["parent"][r.way], reliable["child"][r.way]
            rows, corrected = _corrected(data, r, drawn, pair, outcome=outcome, note=note)
        except StatisticsError as error:
            estimates.append(replace(not_testable(ANALYSIS, str(error), outcome=outcome), definition=r.way))
            continue
        estimates += rows
        cells.append(_cell_rows(outcome, r, corrected))
    return Part(estimates, tables | {"corrected_tables": stacked(cells, CELLS)})


def _asked_for(reliable: Mapping[str, Mapping[str, Reliability]], ways: Sequence[str]) -> None:
    """Refuse a reliability of a way that is not read: nobody would see that it is not used."""
    for side, found in reliable.items():
        for way in found:
            if way not in ways:
                what = f"is none of transmission.ways; allowed: {'; '.join(ways)}.{did_you_mean(way, ways)}"
                raise ConfigError(problem(f"{PLACE}.{side}, {way}", what))


def _codes(data: TransmissionData, side: str, system: str) -> pd.DataFrame:
    """Return the codes of one side of all pairs; who has none is counted by the concordance."""
    table = data.pairs
    other = "child" if side == "parent" else "parent"
    return about_the_other(table[side], table[other], first_classes(data.classifications, system))[CODES]


def _read(codes: Mapping[str, pd.DataFrame], pairs: pd.DataFrame, way: str, systems: Mapping[str, str]) -> _Read:
    """Read the classes of all pairs in one way."""
    found = {side: classes(codes[side], system=system, way=way)[0] for side, system in systems.items()}
    both = (found["parent"].notna() & found["child"].notna()).to_numpy(dtype=bool)
    if not both.any():
        raise StatisticsError("no pair has both classes")
    parents, children = (CLASSES[systems[side]][way] for side in ("parent", "child"))
    row = np.asarray(pd.Categorical(found["parent"][both], categories=parents).codes, dtype=np.int64)
    column = np.asarray(pd.Categorical(found["child"][both], categories=children).codes, dtype=np.int64)
    cells = np.eye(len(parents) * len(children))[row * len(children) + column]
    return _Read(way, cells, pairs["cluster"].to_numpy(dtype=np.int64)[both], parents, children)


def _drawn(data: TransmissionData, read: list[_Read]) -> tuple[list[Numbers], str]:
    """Return the tables of every way in the same draws of families, and what is to be said of the draws."""
    if not read:
        return [], ""
    widths = [r.cells.shape[1] for r in read]
    ends = np.cumsum(widths)
    values = np.zeros((sum(len(r.cells) for r in read), int(ends[-1])))
    row = 0
    for r, end, width in zip(read, ends, widths, strict=True):
        values[row : row + len(r.cells), end - width : end] = r.cells
        row += len(r.cells)
    found = data.resampled(lambda sums: sums, values, families=np.concatenate([r.families for r in read]))
    draws = [
        found.draws[:, end - width : end].reshape(-1, len(r.parents), len(r.children))
        for r, end, width in zip(read, ends, widths, strict=True)
    ]
    return draws, found.note


def _corrected(
    data: TransmissionData, read: _Read, drawn: Numbers, pair: tuple[Reliability, Reliability], *, outcome: str, note: str
) -> tuple[list[Estimate], Numbers]:
    return estimates_of(
        read.table, drawn, parent=pair[0], child=pair[1], rng=data.rng("misclassification", read.way),
        n_clusters=len(np.unique(read.families)), outcome=outcome, way=read.way, primary=read.way == data.settings["ways"][0],
        ci_level=data.ci_level, note=note,
    )  # fmt: skip


def _rows(outcome: str, read: _Read, rows: list[dict[str, float | bool]]) -> pd.DataFrame:
    return pd.DataFrame(rows).assign(system=outcome, way=read.way)


def _cell_rows(outcome: str, read: _Read, corrected: Numbers) -> pd.DataFrame:
    table = read.table
    return pd.DataFrame(
        {
            "system": outcome,
            "way": read.way,
            "parent_class": np.repeat(read.parents, len(read.children)),
            "child_class": np.tile(read.children, len(read.parents)),
            "n": table.ravel().astype(np.int64),
            "observed": (table / table.sum()).ravel(),
            "corrected": corrected.ravel(),
        }
    )

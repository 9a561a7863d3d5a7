"""What do the class tables of several samples say, one by one and summed?

Rows of a table are parents (or the earlier time), columns their children (or the later time). In a system of two
classes the secure one is named last.

Vocabulary
----------
sample          one table of counts of one group of people; samples of a cluster share people or authors
stated kappa    the kappa that the sample's authors printed
extracted kappa the kappa that those give who took the table out of the publication, e.g. in a meta-analysis' workbook
summed table    all tables added up; large samples dominate, and differences between samples are hidden
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attachment_outcomes.errors import DataError, problem, rows_text
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference import agreement
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.jackknife import from_logit, logit
from attachment_outcomes.inference.steps import typed_table
from attachment_outcomes.transmission.tables import CLUSTERED, Table, cluster_interval, diagonal_share

STATISTICS = {
    "sample_id": "str",
    "label": "str",
    "cluster": "str",
    "system": "str",
    "n": "int64",
    "agreement": "float64",
    "chance": "float64",
    "kappa": "float64",
    "kappa_se": "float64",
    "kappa_ci_low": "float64",
    "kappa_ci_high": "float64",
    "stated_kappa": "float64",
    "differs": "bool",
    "note": "str",
}
DIFFERS = 0.005  # kappas are printed with two decimals, so a larger distance is no rounding
RECALLED = "recalled, not checked in its source"
SECURE_LABELS = ("S", "secure", "B", "F")  # taken for the secure class where no order of classes is given


@dataclass(frozen=True)
class Sample:
    """One sample's table of counts in one system."""

    sample_id: str
    label: str
    cluster: str
    system: str
    table: Table
    stated_kappa: float
    extracted_kappa: float
    recalled: bool

    @property
    def n(self) -> int:
        """People in the table."""
        return int(self.table.sum())


def _long(table: pd.DataFrame) -> pd.DataFrame:
    """Return the canonical columns, from canonical rows or from a plain frame of counts (column n)."""
    if {"measure", "value"} <= set(table.columns):
        out = table.copy()
    else:
        needed = ["sample_id", "row_class", "col_class", "n"]
        missing = [c for c in needed if c not in table.columns]
        if missing:
            raise DataError(
                problem(
                    "samples",
                    f"no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}.",
                    hint=f"needs {', '.join(needed)}.",
                )
            )
        out = table.rename(columns={"n": "value"}).assign(measure="count")
    for column, value in (("system", "all"), ("label", pd.NA), ("cluster", pd.NA), ("standing", "stored")):
        if column not in out:
            out[column] = value
    return out.reset_index(drop=True)


def _secure_last(found: Sequence[str]) -> list[str]:
    """Return classes in order of appearance; of two, a class known as secure is put last."""
    return sorted(found, key=lambda c: c in SECURE_LABELS) if len(found) == 2 else list(found)


def read_samples(
    table: pd.DataFrame, *, systems: Mapping[str, Sequence[str]] | None = None, flow: Flow | None = None
) -> list[Sample]:
    """Return the class tables of samples, sorted by system and sample.

    Parameters
    ----------
    table : DataFrame
        Canonical ``samples`` rows (measure ``count`` for cells, ``kappa`` for a stated and ``kappa_extracted`` for an extracted
        kappa; others are not used), or
        a long frame with the columns sample_id, row_class, col_class, n and, if there are any, system, label, cluster.
        A cell that is not listed counts 0; a sample with a listed cell without a count is left out and counted.
    systems : mapping, optional
        System to its classes in order (two classes: the secure one last). Other systems are left out and counted.
        Without it all systems are used, with the classes in order of appearance.
    flow : Flow, optional
        Takes the counts of what is left out.

    Raises
    ------
    DataError
        If a class is not the system's, a cell is listed twice, or a count is negative or fractional.
    """
    rows = _long(table)
    cells = rows[rows["measure"] == "count"]
    known = cells["system"].isin(list(systems)) if systems is not None else pd.Series(True, index=cells.index)
    line = flow or Flow()
    all_samples = len(cells[["system", "sample_id"]].drop_duplicates())
    cells = cells[known]
    in_systems = len(cells[["system", "sample_id"]].drop_duplicates())
    line.add("class tables of samples", all_samples, in_systems, "a system that the study does not name", unit="tables")

    _refuse(cells, cells.duplicated(["system", "sample_id", "row_class", "col_class"]), "a cell listed twice")
    values = pd.to_numeric(cells["value"]).astype("float64")
    _refuse(cells, (values < 0) | ((values % 1).fillna(0) != 0), "a negative or fractional count")
    stated, extracted = (
        rows[rows["measure"] == m].set_index(["system", "sample_id"])["value"] for m in ("kappa", "kappa_extracted")
    )
    out: list[Sample] = []
    incomplete = 0
    for system, of_system in cells.groupby("system", sort=True):
        names = list(systems[str(system)]) if systems is not None else None
        if names is None:
            names = _secure_last(list(pd.unique(of_system[["row_class", "col_class"]].to_numpy().ravel())))
        position = {name: i for i, name in enumerate(names)}
        unknown = ~(of_system["row_class"].isin(names) & of_system["col_class"].isin(names))
        _refuse(of_system, unknown, f"a class that {system} does not have", allowed=", ".join(map(str, names)))
        for sample_id, part in of_system.groupby("sample_id", sort=True):
            counts = np.full((len(names), len(names)), 0.0)
            np.add.at(
                counts,
                (part["row_class"].map(position).to_numpy(dtype=int), part["col_class"].map(position).to_numpy(dtype=int)),
                part["value"].to_numpy(dtype="float64"),
            )
            if np.isnan(counts).any() or counts.sum() == 0:
                incomplete += 1
                continue
            first = part.iloc[0]
            given, taken = (said.get((system, sample_id), math.nan) for said in (stated, extracted))
            out.append(
                Sample(
                    str(sample_id),
                    str(sample_id) if pd.isna(first["label"]) else str(first["label"]),
                    str(sample_id) if pd.isna(first["cluster"]) else str(first["cluster"]),
                    str(system),
                    counts.astype(np.int64),
                    float(given) if pd.notna(given) else math.nan,
                    float(taken) if pd.notna(taken) else math.nan,
                    bool((part["standing"] == "recalled").any()),
                )
            )
    line.add("complete class tables", in_systems, len(out), "a cell without a count, or nobody in the table", unit="tables")
    return out


def _refuse(frame: pd.DataFrame, wrong: pd.Series, what: str, *, allowed: str = "") -> None:
    if wrong.any():
        rows = (np.flatnonzero(wrong.to_numpy(dtype=bool))).tolist()
        numbers = [int(frame.index[r]) + 1 for r in rows]
        text = f"{what} in {rows_text(numbers)}" + (f"; allowed: {allowed}." if allowed else ".")
        raise DataError(problem("samples", text, hint="check the file's columns and classes in the study's YAML."))


def named(samples: Sequence[Sample]) -> list[str]:
    """Return one name a sample, unique within its system: the label, with the sample's id where labels repeat."""
    seen = pd.Series([(s.system, s.label) for s in samples], dtype=object)
    repeated = seen.duplicated(keep=False)
    return [f"{s.label} [{s.sample_id}]" if again else s.label for s, again in zip(samples, repeated, strict=True)]


def sample_results(samples: Sequence[Sample], *, ci_level: float = CI_LEVEL) -> tuple[list[Estimate], pd.DataFrame]:
    """Estimate kappa in each sample and agreement and kappa of the summed table of each system.

    Returns
    -------
    estimates : list of Estimate
        ``sample_kappa`` (one a sample, Fleiss–Cohen–Everitt interval; a stated kappa more than 0.005 from that of the
        counts is told in ``note``) and ``pooled_table`` (agreement and kappa of the summed table; interval by leaving
        out one cluster of samples at a time, so that it allows for differences between samples).
    statistics : DataFrame
        One row a sample: ``STATISTICS``.
    """
    estimates: list[Estimate] = []
    lines = []
    for sample, name in zip(samples, named(samples), strict=True):
        k = agreement.kappa(sample.table, ci_level=ci_level)
        said = {"stated kappa": sample.stated_kappa, "kappa stated by those who extracted the table": sample.extracted_kappa}
        apart = "; ".join(
            f"{who} {value:.3f} differs from the counts' {k.kappa:.3f}"
            for who, value in said.items()
            if abs(k.kappa - value) > DIFFERS  # False if either is missing
        )
        differs = apart != ""
        note = "; ".join(filter(None, [apart, k.note, RECALLED if sample.recalled else ""]))
        lines.append(
            [
                sample.sample_id, sample.label, sample.cluster, sample.system, sample.n, k.agreement, k.chance, k.kappa,
                k.std_error, k.ci_low, k.ci_high, sample.stated_kappa, differs, note,
            ]
        )  # fmt: skip
        estimates.append(
            Estimate(
                analysis="sample_kappa", estimand="kappa", outcome=sample.system, group=name, estimate=k.kappa,
                std_error=k.std_error, ci_low=k.ci_low, ci_high=k.ci_high, ci_level=ci_level, p_value=k.p_value, n=sample.n,
                n_clusters=sample.n, unit="kappa", method="Fleiss-Cohen-Everitt", note=note,
            )
        )  # fmt: skip
    for system in sorted({s.system for s in samples}):
        estimates += _summed([s for s in samples if s.system == system], system, ci_level)
    return estimates, typed_table([dict(zip(STATISTICS, line, strict=True)) for line in lines], STATISTICS)


def _summed(samples: Sequence[Sample], system: str, ci_level: float) -> list[Estimate]:
    checked = [s for s in samples if not s.recalled]
    if not checked:
        return [not_testable("pooled_table", f"all tables are {RECALLED}", outcome=system)]
    codes, clusters = pd.factorize(np.array([s.cluster for s in checked], dtype=object))
    tables = np.zeros((len(clusters), *checked[0].table.shape), dtype=np.int64)
    np.add.at(tables, codes, np.array([s.table for s in checked]))
    whole = tables.sum(axis=0)
    share = agreement.observed_agreement(whole, ci_level=ci_level)
    k = agreement.kappa(whole, ci_level=ci_level)
    kappa = agreement.Interval(k.kappa, k.std_error, k.ci_low, k.ci_high, k.note)
    methods = {"agreement": "Wilson", "kappa": "Fleiss-Cohen-Everitt"}
    if len(tables) > 1:
        share = cluster_interval(share, tables, diagonal_share, scale=logit, back=from_logit, ci_level=ci_level)
        kappa = cluster_interval(kappa, tables, lambda t: agreement.kappa(t).kappa, scale=float, back=float, ci_level=ci_level)
        methods = dict.fromkeys(methods, CLUSTERED)
    left_out = len(samples) - len(checked)
    note = f"summed over {len(checked)} tables" + (f"; {left_out} {RECALLED}, left out" if left_out else "")
    return [
        Estimate(
            analysis="pooled_table", estimand=estimand, outcome=system, estimate=found.estimate, std_error=found.std_error,
            ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level, n=int(whole.sum()), n_clusters=len(tables),
            unit="proportion" if estimand == "agreement" else "kappa", method=methods[estimand],
            note="; ".join(filter(None, [found.note, note])),
        )
        for estimand, found in (("agreement", share), ("kappa", kappa))
    ]  # fmt: skip

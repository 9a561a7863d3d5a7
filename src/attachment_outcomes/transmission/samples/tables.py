"""What do the class tables of several samples say, one by one and summed?

Rows of a table are parents (or the earlier time), columns their children (or the later time). In a system of two
classes the secure one is named last.

Vocabulary
----------
sample          one table of counts of one group of people; samples of a cluster share people or authors
own             the study's own families as one sample
stated kappa    the kappa that the sample's authors printed
extracted kappa the kappa that those give who took the table out of the publication, e.g. in a meta-analysis' workbook
reported        a sample that gives no table, only r, d, a proportion (share on the diagonal) or kappa, with its n
summed table    all tables added up; large samples dominate, and differences between samples are hidden
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConfigError, DataError, problem, rows_text
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference import agreement
from attachment_outcomes.inference.agreement import Interval, critical
from attachment_outcomes.inference.association import as_units, kappa_interval
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.jackknife import from_logit, logit
from attachment_outcomes.inference.steps import typed_table
from attachment_outcomes.transmission.samples.contrasts import kappas
from attachment_outcomes.transmission.table_estimates import KAPPA, method_of
from attachment_outcomes.transmission.tables import CLUSTERED, Table, cluster_interval, diagonal_share

STATISTICS = {
    "sample_id": "str",
    "label": "str",
    "cluster": "str",
    "system": "str",
    "own": "bool",
    "n": "int64",
    "agreement": "float64",
    "chance": "float64",
    "kappa": "float64",
    "kappa_se": "float64",
    "kappa_ci_low": "float64",
    "kappa_ci_high": "float64",
    "stated_kappa": "float64",
    "extracted_kappa": "float64",
    "differs": "bool",
    "note": "str",
    "smallest": "Int64",
}
DATA_ERRORS = "data_errors"
DIFFERS = 0.005  # kappas are printed with two decimals, so a larger distance is no rounding
RECALLED = "recalled, not checked in its source"
SECURE_WORDS = ("s", "secure", "b", "f", "autonomous", "secure-autonomous")  # of two classes the secure one, in any case
ORGANISED_WORDS = ("o", "organised", "organized")
REPORTED = ("r", "d", "proportion", "kappa")
SINGLE = "kappa is 0 whatever the other reading says, because one reading has a single class: no interval"
NUMBERS = ("value", "n", "ci_low", "ci_high")
ABSENT: Mapping[str, Any] = {
    "system": "all", "label": pd.NA, "cluster": pd.NA, "standing": "stored", **dict.fromkeys(NUMBERS, math.nan),
}  # of columns that a frame may go without  # fmt: skip
ONE_CLASS = "kappa is not defined: all units are in one class"
ALL_AGREE = "the interval has no length because all units agree"


@dataclass(frozen=True)
class Sample:
    """One sample's table of counts in one system. ``families``: the tables (G, K, K) of the study's own families."""

    sample_id: str
    label: str
    cluster: str
    system: str
    table: Table
    stated_kappa: float = math.nan
    extracted_kappa: float = math.nan
    recalled: bool = False
    families: Table | None = None

    @property
    def n(self) -> int:
        """People in the table."""
        return int(self.table.sum())

    @property
    def own(self) -> bool:
        """Whether these are the study's own families."""
        return self.families is not None

    @property
    def smallest(self) -> float:
        """Smallest cell of the study's own table that is not empty, for the protection of small counts; NaN of published ones."""
        return float(self.table[self.table > 0].min()) if self.own else math.nan

    @property
    def clustered(self) -> bool:
        """Whether a family has several pairs, so that pairs are not independent."""
        return self.families is not None and len(self.families) < self.n


@dataclass(frozen=True)
class Reported:
    """One number of a sample that gives no table: ``REPORTED``; limits of its 95 % interval where they were printed."""

    sample_id: str
    label: str
    cluster: str
    system: str
    measure: str
    value: float
    n: float
    ci_low: float
    ci_high: float
    recalled: bool


def _long(table: pd.DataFrame) -> pd.DataFrame:
    """Return the canonical columns, from canonical rows or from a plain frame of counts (column n)."""
    canonical = {"measure", "value"} <= set(table.columns)
    needed = ["sample_id", "row_class", "col_class", *([] if canonical else ["n"])]
    missing = [c for c in needed if c not in table.columns]
    if missing:
        raise DataError(
            problem(
                "samples",
                f"no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}.",
                hint=f"needs {', '.join(needed)}.",
            )
        )
    out = table.copy()
    if not canonical:
        out = table.rename(columns={"n": "value"}).assign(measure="count")
    for column, value in ABSENT.items():
        if column not in out:
            out[column] = value
    out = out.reset_index(drop=True)
    _refuse(out, out["sample_id"].isna(), "no sample_id")
    for column in NUMBERS:
        number = pd.to_numeric(out[column], errors="coerce").astype("float64")
        _refuse(
            out, number.isna() & out[column].notna(), f"a {column if column != 'value' else 'count or value'} that is no number"
        )
        out[column] = number
    return out


def is_secure(name: object) -> bool:
    """Return whether a class is known as the secure one of two."""
    return str(name).casefold() in SECURE_WORDS


def _classes(cells: pd.DataFrame) -> list[str]:
    """Return the classes of cells in order of appearance; of two, a class known as secure (or organised) is put last."""
    found = list(pd.unique(cells[["row_class", "col_class"]].to_numpy().ravel()))
    known = [*SECURE_WORDS, *ORGANISED_WORDS]
    return sorted(found, key=lambda c: str(c).casefold() in known) if len(found) == 2 else found


def check_secure_known(table: pd.DataFrame) -> None:
    """Refuse a table of two classes where it cannot be told which one is the secure one.

    Raises
    ------
    ConfigError
        If neither or both are known as secure.
    """
    rows = _long(table)
    found = _classes(rows[rows["measure"] == "count"])
    if len(found) == 2 and sum(map(is_secure, found)) != 1:
        which = "neither" if not any(map(is_secure, found)) else "both"
        names = " and ".join(repr(str(c)) for c in found)
        what = f"of {names} {which} {'is' if which == 'neither' else 'are'} known as secure."
        raise ConfigError(problem("classes", what, hint="name the classes in order, the secure one last."))


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
        Without it all systems are used, with the classes in order of appearance; of two, one known as secure is last.
    flow : Flow, optional
        Takes the counts of what is left out.

    Raises
    ------
    DataError
        If a column is not there, a row has no sample, a cell no class or one that is not the system's, a cell is listed twice, or
        a count is no number, negative or fractional.
    """
    rows = _long(table)
    cells = rows[rows["measure"] == "count"]
    _refuse(cells, cells[["row_class", "col_class"]].isna().any(axis=1), "a cell without a class")
    known = cells["system"].isin(list(systems)) if systems is not None else pd.Series(True, index=cells.index)
    line = flow or Flow()
    all_samples = len(cells[["system", "sample_id"]].drop_duplicates())
    cells = cells[known]
    in_systems = len(cells[["system", "sample_id"]].drop_duplicates())
    line.add("class tables of samples", all_samples, in_systems, "a system that the study does not name", unit="tables")

    _refuse(cells, cells.duplicated(["system", "sample_id", "row_class", "col_class"]), "a cell listed twice")
    values = cells["value"]
    _refuse(cells, (values < 0) | ((values % 1).fillna(0) != 0), "a negative or fractional count")
    stated, extracted = (
        rows[rows["measure"] == m].set_index(["system", "sample_id"])["value"].to_dict() for m in ("kappa", "kappa_extracted")
    )
    out: list[Sample] = []
    for system, of_system in cells.groupby("system", sort=True):
        names = list(systems[str(system)]) if systems is not None else None
        if names is None:
            names = _classes(of_system)
        position = {name: i for i, name in enumerate(names)}
        unknown = ~(of_system["row_class"].isin(names) & of_system["col_class"].isin(names))
        _refuse(of_system, unknown, f"a class that {system} does not have", allowed=", ".join(map(str, names)))
        codes, ids = pd.factorize(of_system["sample_id"], sort=True)
        counts = np.zeros((len(ids), len(names), len(names)))
        row, column = (of_system[c].map(position).to_numpy(dtype=int) for c in ("row_class", "col_class"))
        np.add.at(counts, (codes, row, column), of_system["value"].to_numpy(dtype="float64"))
        whole = np.isfinite(counts).all(axis=(1, 2)) & (counts.sum(axis=(1, 2)) > 0)
        first = of_system.drop_duplicates("sample_id").set_index("sample_id").loc[ids]
        recalled = np.bincount(codes, weights=(of_system["standing"] == "recalled").to_numpy(), minlength=len(ids)) > 0
        named_as = zip(ids, first["label"], first["cluster"], strict=True)
        for i, (sample_id, label, cluster) in enumerate(named_as):
            if whole[i]:
                given, taken = (said.get((system, sample_id), math.nan) for said in (stated, extracted))
                out.append(
                    Sample(
                        str(sample_id), _word(label, sample_id), _word(cluster, sample_id), str(system), counts[i].astype(np.int64),
                        _number(given), _number(taken), bool(recalled[i]),
                    )
                )  # fmt: skip
    line.add("complete class tables", in_systems, len(out), "a cell without a count, or nobody in the table", unit="tables")
    return out


def read_reported(table: pd.DataFrame, samples: Sequence[Sample], *, systems: Mapping[str, Sequence[str]]) -> list[Reported]:
    """Return the numbers of samples that give no table of counts in one of the systems, sorted by system and sample.

    Parameters
    ----------
    table : DataFrame
        Canonical ``samples`` rows; of the measures r, d, proportion (share on the diagonal) and kappa.
    samples : sequence of Sample
        What :func:`read_samples` found: a sample with a table in a system needs no number there.
    systems : mapping
        The systems that are used.
    """
    rows = _long(table)
    rows = rows[rows["measure"].isin(REPORTED) & rows["system"].isin(list(systems)) & rows["value"].notna()]
    there = {(s.system, s.sample_id) for s in samples}
    return [
        Reported(
            str(r["sample_id"]), _word(r["label"], r["sample_id"]), _word(r["cluster"], r["sample_id"]), str(r["system"]),
            str(r["measure"]), float(r["value"]), _number(r["n"]), _number(r["ci_low"]), _number(r["ci_high"]),
            r["standing"] == "recalled",
        )
        for r in rows.sort_values(["system", "sample_id", "measure"], kind="stable").to_dict("records")
        if (r["system"], r["sample_id"]) not in there
    ]  # fmt: skip


def _word(found: object, otherwise: object) -> str:
    return str(otherwise if pd.isna(found) else found)  # type: ignore[call-overload]


def _number(found: object) -> float:
    return math.nan if pd.isna(found) else float(found)  # type: ignore[call-overload, arg-type]


def _refuse(frame: pd.DataFrame, wrong: pd.Series, what: str, *, allowed: str = "") -> None:
    if wrong.any():
        rows = (np.flatnonzero(wrong.to_numpy(dtype=bool))).tolist()
        numbers = [int(frame.index[r]) + 1 for r in rows]
        text = f"{what} in {rows_text(numbers)}" + (f"; allowed: {allowed}." if allowed else ".")
        raise DataError(problem("samples", text, hint="check the file's columns and classes in the study's YAML."))


def named(samples: Sequence[Sample | Reported]) -> list[str]:
    """Return one name a sample, unique within its system: the label, with the sample's id where labels repeat."""
    seen = pd.Series([(s.system, s.label) for s in samples], dtype=object)
    repeated = seen.duplicated(keep=False)
    return [f"{s.label} [{s.sample_id}]" if again else s.label for s, again in zip(samples, repeated, strict=True)]


def sample_results(samples: Sequence[Sample], *, ci_level: float = CI_LEVEL) -> tuple[list[Estimate], pd.DataFrame]:
    """Estimate kappa in each sample and agreement and kappa of the summed table of each system.

    Returns
    -------
    estimates : list of Estimate
        ``sample_kappa`` (one a sample, Fleiss–Cohen–Everitt interval, of the study's own families that of the concordance,
        :func:`~attachment_outcomes.inference.association.kappa_interval`; a stated kappa more than 0.005 from that of the
        counts is told in ``note``), ``data_errors`` (how many tables have a stated kappa that their own counts do not give, of
        those with one) and ``pooled_table`` (agreement and kappa of the summed table; interval by leaving out one cluster of
        samples at a time, so that it allows for differences between samples).
    statistics : DataFrame
        One row a sample: ``STATISTICS``.
    """
    estimates: list[Estimate] = []
    lines: list[list[object]] = []
    names = named(samples)
    systems = sorted({s.system for s in samples})
    for system in systems:
        chosen = [(s, name) for s, name in zip(samples, names, strict=True) if s.system == system]
        for row, line in _each(chosen, ci_level):
            estimates.append(row)
            lines.append(line)
    statistics = typed_table([dict(zip(STATISTICS, line, strict=True)) for line in lines], STATISTICS)
    estimates += data_errors(statistics)
    for system in systems:
        estimates += _summed([s for s in samples if s.system == system], system, ci_level)
    return estimates, statistics


def _each(samples: Sequence[tuple[Sample, str]], ci_level: float) -> list[tuple[Estimate, list[object]]]:
    """Return the kappa of each table of one system, as an estimate and as a line of ``STATISTICS``."""
    found = kappas(np.array([s.table for s, _ in samples]))
    z = critical(ci_level)
    out: list[tuple[Estimate, list[object]]] = []
    for i, (sample, name) in enumerate(samples):
        k, error = float(found.kappa[i]), float(found.std_error[i])
        interval = Interval(k, error, k - z * error, k + z * error)
        method, groups, p_value = "Fleiss-Cohen-Everitt", sample.n, float(found.p_value[i])
        plain = (ONE_CLASS if math.isnan(k) else SINGLE) if found.single[i] else ALL_AGREE if found.agreement[i] == 1 else ""
        if sample.families is not None:
            # These pairs' kappa is told in the concordance too: it has the same limits there.
            units = as_units(sample.families)
            interval, plain = kappa_interval(units, ci_level=ci_level), ""
            method, groups = method_of(units, KAPPA), units.count
            p_value = math.nan if units.clustered else p_value
        apart = _apart(sample, k)
        note = "; ".join(filter(None, [apart, plain, interval.note, RECALLED if sample.recalled else ""]))
        estimate = Estimate(
            analysis="sample_kappa", estimand="kappa", outcome=sample.system, group=name, estimate=k,
            std_error=interval.std_error, ci_low=interval.ci_low, ci_high=interval.ci_high, ci_level=ci_level, p_value=p_value,
            n=sample.n, n_clusters=groups, unit="kappa", method=method, note=note,
        )  # fmt: skip
        line = [
            sample.sample_id, sample.label, sample.cluster, sample.system, sample.own, sample.n, float(found.agreement[i]),
            float(found.chance[i]), k, interval.std_error, interval.ci_low, interval.ci_high, sample.stated_kappa,
            sample.extracted_kappa, apart != "", note, sample.smallest,
        ]  # fmt: skip
        out.append((estimate, line))
    return out


def _kappa(table: Table) -> float:
    return float(kappas(table[None]).kappa[0])


def _apart(sample: Sample, kappa: float) -> str:
    """Return which stated kappas are not that of the counts, in words."""
    said = {"stated kappa": sample.stated_kappa, "kappa stated by those who extracted the table": sample.extracted_kappa}
    return "; ".join(
        f"{who} {value:.3f} differs from the counts' {kappa:.3f}"
        for who, value in said.items()
        if abs(kappa - value) > DIFFERS  # False if either is missing
    )


def data_errors(statistics: pd.DataFrame) -> list[Estimate]:
    """Return how many tables have a kappa stated that is not that of their own counts: by who stated it, and in all.

    No row where none is stated. ``note`` names the tables.
    """
    said = {"either": ["stated_kappa", "extracted_kappa"], "printed": ["stated_kappa"], "extracted": ["extracted_kappa"]}
    out = []
    for definition, columns in said.items():
        given = statistics[columns].notna().any(axis=1)
        apart = statistics[columns].sub(statistics["kappa"], axis=0).abs().gt(DIFFERS).any(axis=1)
        if given.any():
            wrong = statistics[apart]
            out.append(
                Estimate(
                    analysis=DATA_ERRORS, estimand="tables_that_differ", definition=definition, primary=definition == "either",
                    estimate=float(len(wrong)), n=int(given.sum()), unit="tables", direction="lower is better",
                    method=f"stated kappa more than {DIFFERS:g} from that of the counts",
                    note="; ".join(["of tables with a stated kappa", *(wrong["label"] + " (" + wrong["system"] + ")")]),
                )
            )  # fmt: skip
    return out


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
        kappa = cluster_interval(kappa, tables, _kappa, scale=float, back=float, ci_level=ci_level)
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

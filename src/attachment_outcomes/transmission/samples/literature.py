"""What did others find? The study's own value, and what is pooled over samples, beside each published result, in its metric.

Published results are never part of an estimate. What stands in one row answers the same kind of question, not the same question:
the interviews, ages and risks of the samples behind them differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.inference import association
from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.estimate import Estimate
from attachment_outcomes.inference.proportions import proportion
from attachment_outcomes.measures.codes import TWO_WAY_DISORGANISED, TWO_WAY_FORCED, TWO_WAY_UNRESOLVED, classes
from attachment_outcomes.measures.targets import about_the_other, first_classes
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.samples.own import family_tables, way_of
from attachment_outcomes.transmission.tables import Table

LITERATURE = {
    "key": "str", "label": "str", "about": "str", "metric": "str", "value": "float64", "ci_low": "float64", "ci_high": "float64",
    "k": "Int64", "n": "Int64", "as_r": "float64", "own": "float64", "own_low": "float64", "own_high": "float64",
    "own_n": "Int64", "own_smallest": "Int64", "own_as": "str", "pooled": "float64", "pooled_low": "float64",
    "pooled_high": "float64",
    "pooled_k": "Int64", "pooled_as": "str", "standing": "str", "verified": "bool", "where": "str", "citation": "str",
    "note": "str",
}  # fmt: skip
POOLED_NAMES = {("agreement", "proportion"): "agreement", ("agreement", "kappa"): "kappa"}


class Beside(NamedTuple):
    """A value that is set beside a published one, and how it was read."""

    interval: Interval
    n: float
    read_as: str
    smallest: float = math.nan


def r_from_d(d: float) -> float:
    """Return the correlation of a standardised difference between two groups of one size, d / sqrt(d² + 4)."""
    return d / math.sqrt(d**2 + 4)


def d_from_r(r: float) -> float:
    """Return the standardised difference of a correlation, 2 r / sqrt(1 − r²)."""
    return 2 * r / math.sqrt(1 - r**2) if abs(r) < 1 else r * math.inf


def literature(data: TransmissionData, pooled: Sequence[Estimate], *, system: Sequence[str] | None) -> pd.DataFrame:
    """Return each published result with the study's own value and the pooled one in the same metric: ``LITERATURE``.

    Parameters
    ----------
    data : TransmissionData
        ``published`` holds the results; those without a metric are of other questions and are left out.
    pooled : sequence of Estimate
        What pooling gave, of tables of transmission.
    system : sequence of str, optional
        The classes of the pooled system, the secure one last.

    Returns
    -------
    DataFrame
        A row a published result, none where the study has neither families nor pooled samples to set beside. ``as_r`` reads a d
        as r = d / sqrt(d² + 4). ``own_n`` counts pairs, of a share procedures; ``own_smallest`` is the smallest
        count behind the own value.
    """
    own = _Own(data)
    way = None if system is None else way_of(system, data.settings["ways"])
    rows = []
    for result in data.published:
        if "metric" not in result:
            continue
        mine, theirs = own.beside(result), _pooled(pooled, result, way)
        line: dict[str, object] = {name: result.get(name, "" if kind == "str" else None) for name, kind in LITERATURE.items()}
        for name, found in (("own", mine), ("pooled", theirs)):
            line |= {name: math.nan, f"{name}_low": math.nan, f"{name}_high": math.nan, f"{name}_as": ""}
            if found is not None:
                i = found.interval
                line |= {name: i.estimate, f"{name}_low": i.ci_low, f"{name}_high": i.ci_high, f"{name}_as": found.read_as}
        line |= {"own_n": mine.n if mine else None, "pooled_k": theirs.n if theirs else None}
        line["own_smallest"] = mine.smallest if mine else None
        line["as_r"] = {"r": result["value"], "d": r_from_d(result["value"])}.get(result["metric"], math.nan)
        rows.append(line)
    if not any(row["own_as"] or row["pooled_as"] for row in rows):
        return pd.DataFrame(columns=list(LITERATURE))
    return pd.DataFrame(rows)


class _Own:
    """The study's own values, each read once."""

    def __init__(self, data: TransmissionData) -> None:
        self.data = data
        self.tables = cache(lambda way: family_tables(data, way))

    def beside(self, result: Mapping[str, Any]) -> Beside | None:
        """Return the study's own value in a published result's metric, None where it has none."""
        about, metric, way = str(result["about"]), str(result["metric"]), str(result.get("way", ""))
        two = next((w for w in self.data.settings["ways"] if w in (TWO_WAY_UNRESOLVED, TWO_WAY_FORCED)), TWO_WAY_UNRESOLVED)
        if about == "share":
            return self._share(str(result["system"]), way, str(result["class"]))
        if about in ("secure", "unresolved") and metric in ("r", "d"):
            return self._read(TWO_WAY_DISORGANISED if about == "unresolved" else two, metric)
        if about == "agreement" and metric in ("proportion", "kappa"):
            return self._read(two if way.startswith("2-way") else way, metric)
        return None

    def _read(self, way: str, metric: str) -> Beside | None:
        tables: Table | None = self.tables(way)
        if tables is None:
            return None
        found = _of_tables(tables, metric, self.data.ci_level)
        if math.isnan(found.estimate):
            return None
        whole = tables.sum(axis=0)
        parts = np.array([np.trace(whole), whole.sum() - np.trace(whole)]) if metric == "proportion" else whole.ravel()
        return Beside(found, float(whole.sum()), way, _smallest(parts))

    def _share(self, system: str, way: str, name: str) -> Beside | None:
        """Return the share of a class among the study's procedures, as published; those of one family are one cluster.

        A child seen with both parents was classified twice, and counts twice; one classified about nobody in particular, once.
        """
        if system != self.data.settings["child_system"] or not len(self.data.tables["relations"]):
            return None
        table = self.data.pairs
        first = first_classes(self.data.classifications, system)
        codes = about_the_other(table["child"], table["parent"], first)
        found = codes["found"].to_numpy(dtype=bool)
        if not found.any():
            return None
        labels, _ = classes(codes[found].reset_index(drop=True), system=system, way=way)
        specific = set(zip(first["person_id"], first["about_person_id"], strict=True))
        about = [p if (c, p) in specific else "" for c, p in zip(table["child"], table["parent"], strict=True)]
        people = table.assign(about=about).loc[found, ["child", "about", "cluster"]].reset_index(drop=True).assign(label=labels)
        people = people[people["label"].notna()].drop_duplicates(["child", "about"])
        if people.empty:
            return None
        many = people["cluster"].duplicated().any()
        clusters = people["cluster"].to_numpy() if many else None
        share = proportion((people["label"] == name).to_numpy(), clusters=clusters, ci_level=self.data.ci_level)
        having = int((people["label"] == name).sum())
        counts = np.array([having, len(people) - having])
        interval = Interval(share.estimate, share.std_error, share.ci_low, share.ci_high)
        return Beside(interval, float(share.n), way, _smallest(counts))


def _smallest(counts: npt.NDArray[np.int64]) -> float:
    """Return the smallest count that is not 0."""
    return float(counts[counts > 0].min())


def _of_tables(tables: Table, metric: str, ci_level: float) -> Interval:
    """Return agreement, kappa, phi, or phi as d, of families' tables, with the intervals of :mod:`..table_estimates`."""
    units = association.as_units(tables)
    if metric == "proportion":
        return association.share(units, having=np.eye(tables.shape[1], dtype=bool), ci_level=ci_level)
    if metric == "kappa":
        return association.kappa_interval(units, ci_level=ci_level)
    phi = association.phi_interval(units, ci_level=ci_level)
    return phi if metric == "r" else _as_d(phi)


def _as_d(r: Interval) -> Interval:
    value, low, high = (d_from_r(v) for v in (r.estimate, r.ci_low, r.ci_high))
    return Interval(value, math.nan, low, high)


def _pooled(rows: Sequence[Estimate], result: Mapping[str, Any], way: str | None) -> Beside | None:
    """Return the primary pooled value in a published result's metric, where the pooled system is read in the same way."""
    about, metric = str(result["about"]), str(result["metric"])
    if way is None or (about == "unresolved") != (way == TWO_WAY_DISORGANISED):
        return None
    if about == "agreement" and not str(result.get("way", "")).startswith("2-way"):
        return None
    name = "phi" if about in ("secure", "unresolved") and metric in ("r", "d") else POOLED_NAMES.get((about, metric))
    found = next((r for r in rows if r.estimand == name and r.primary), None)
    if found is None:
        return None
    interval = Interval(found.estimate, found.std_error, found.ci_low, found.ci_high)
    return Beside(_as_d(interval) if metric == "d" else interval, found.n_clusters, found.method)

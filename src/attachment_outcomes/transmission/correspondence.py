"""How often does a child's attachment class correspond to the parent's, and how far beyond chance?

Vocabulary
----------
correspondence  the pair lies on the diagonal: Ds–A, F–B, E–C, U–D, or secure–secure and insecure–insecure
way             how classes are read (four, three or two of them); see :mod:`attachment_outcomes.measures.codes`
interrupted     the parent is insecure and the child secure
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import DataError, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.agreement import adjusted_residuals, expected
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.proportions import cluster_codes
from attachment_outcomes.inference.steps import Part, stacked, typed_table
from attachment_outcomes.measures.codes import CLASSES, classes
from attachment_outcomes.measures.targets import CODES, about_the_other, first_classes
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.relations import pairs
from attachment_outcomes.transmission.tables import ANALYSIS, class_tables, table_estimates

CELLS = {"system": "str", "way": "str", "parent_class": "str", "child_class": "str", "n": "int64"}
RESIDUALS = {**CELLS, "expected": "float64", "residual": "float64"}
TABLES: Mapping[str, Mapping[str, str]] = {"concordance": CELLS, "residuals": RESIDUALS}


def analyse(data: TransmissionData) -> Part:
    """Compare the classes of parents and children in every way that the settings name."""
    settings = data.settings
    estimates, cells, residuals = between_generations(
        data.tables["relations"],
        data.tables["classifications"],
        parent_system=settings["parent_system"],
        child_system=settings["child_system"],
        ways=settings["ways"],
        flow=data.flow,
        ci_level=data.ci_level,
        rng=data.rng("exact test"),
    )
    return Part(estimates, {"concordance": cells, "residuals": residuals})


Codes = Sequence[object] | npt.NDArray[Any] | pd.Series | pd.DataFrame


def concordance(
    parent: Codes,
    child: Codes,
    *,
    way: str,
    parent_system: str = "AAI",
    child_system: str = "SSP",
    clusters: Sequence[object] | None = None,
    primary: bool = True,
    ci_level: float = CI_LEVEL,
    rng: np.random.Generator | None = None,
) -> list[Estimate]:
    """Estimate how a child's class corresponds to the parent's, read in one way.

    Parameters
    ----------
    parent, child : (n,) sequences of codes, or DataFrames
        One entry a pair, in the coding system's own codes (``F2``, ``U/F``, ``B``, or the plain words secure and
        insecure), or frames with the columns ``primary`` and, where there are any, ``secondary`` and ``forced``.
        Pairs in which either has no class in this way are left out and counted in ``note``.
    way : {"4-way", "3-way", "2-way, unresolved insecure", "2-way, forced", "2-way, disorganised"}
        How classes are read.
    parent_system, child_system : {"AAI", "SSP"}
        Coding systems.
    clusters : (n,) sequence, optional
        What pairs share (a family). If a cluster holds more than one pair, all intervals are from the jackknife over
        clusters with t on G − 1 degrees of freedom; otherwise Wilson (shares), Fleiss–Cohen–Everitt (kappa), the
        large-sample error of phi on Fisher's z, Woolf (odds ratio), Newcombe (risk difference) and Katz (risk ratio).
    primary : bool
        Marks the rows as the primary definition.
    ci_level : float
        Confidence level of the intervals.
    rng : numpy Generator, optional
        For an exact test of a table larger than 2 x 2 with an expected count below 5.

    Returns
    -------
    list of Estimate
        analysis ``concordance``, outcome ``<parent_system>-<child_system>``, definition ``way``: agreement,
        chance_agreement, kappa, and cramers_v with the p value of independence (chi-square, or Fisher's exact test if an
        expected count is below 5). In the two-class ways also phi; odds_ratio, risk_difference and risk_ratio of the
        child's *insecurity*, insecure against secure parents; and interrupted, the share of insecure parents whose child
        is secure. ``n`` is the number of pairs (of pairs with an insecure parent for interrupted).

    Raises
    ------
    DataError
        If the two differ in length, or a code is not the system's.

    References
    ----------
    van IJzendoorn, M. H. (1995). Psychological Bulletin, 117, 387-403.

    Examples
    --------
    >>> rows = concordance(["F", "Ds", "F", "E"], ["B", "A", "A", "C"], way="3-way")
    >>> {r.estimand: r.estimate for r in rows}["agreement"]
    0.75
    """
    first, second = _frame(parent, "parent"), _frame(child, "child")
    n = len(first)
    if n != len(second):
        raise DataError(problem("concordance", f"{n} parents but {len(second)} children; they must be pairs."))
    rows, _ = classes(first, system=parent_system, way=way)
    columns, _ = classes(second, system=child_system, way=way)
    used = (rows.notna() & columns.notna()).to_numpy(dtype=bool)
    groups = np.arange(n) if clusters is None else cluster_codes(clusters, n=n, missing="refuse")
    note = ""
    if not used.all():
        without_parent = int(rows.isna().sum())
        note = f"{n - int(used.sum())} of {n} pairs left out: {without_parent} without a parent's class, "
        note += f"{n - int(used.sum()) - without_parent} more without a child's"
    tables = class_tables(
        rows[used], columns[used], row_classes=CLASSES[parent_system][way], column_classes=CLASSES[child_system][way],
        groups=groups[used],
    )  # fmt: skip
    return table_estimates(
        tables, outcome=f"{parent_system}-{child_system}", way=way, primary=primary, ci_level=ci_level, note=note, rng=rng
    )


def _frame(codes: Codes, name: str) -> pd.DataFrame:
    if isinstance(codes, pd.DataFrame):
        if "primary" not in codes:
            raise DataError(problem(name, f"has no column 'primary'; it has {', '.join(map(str, codes.columns))}."))
        return codes.reset_index(drop=True)
    return pd.DataFrame({"primary": pd.Series(list(codes), dtype="str")})


def between_generations(
    relations: pd.DataFrame,
    classifications: pd.DataFrame,
    *,
    parent_system: str = "AAI",
    child_system: str = "SSP",
    ways: Sequence[str],
    flow: Flow,
    ci_level: float = CI_LEVEL,
    rng: np.random.Generator | None = None,
) -> tuple[list[Estimate], pd.DataFrame, pd.DataFrame]:
    """Estimate the correspondence between parents and children of a study in each of several ways.

    Parameters
    ----------
    relations, classifications : DataFrame
        Canonical tables. Of each person the first classification in the system counts; a child's classification about
        the parent of the pair (``about_person_id``) goes before one about nobody in particular.
    parent_system, child_system : {"AAI", "SSP"}
        Coding systems.
    ways : sequence of str
        Ways to read the classes; the first is primary.
    flow : Flow
        Takes the pairs left out, with reasons, one line a step and way.
    ci_level, rng
        As for :func:`concordance`.

    Returns
    -------
    estimates : list of Estimate
        Rows of :func:`concordance` for each way; pairs linked through people or families are one cluster.
    concordance, residuals : DataFrame
        Counts of every cell, and with expected counts and adjusted standardised residuals.

    Raises
    ------
    DataError
        If relations run in a loop, or a person's first classification is ambiguous.
    """
    system = f"{parent_system}-{child_system}"
    table = pairs(relations, flow=flow)
    parent = about_the_other(table["parent"], table["child"], first_classes(classifications, parent_system))
    child = about_the_other(table["child"], table["parent"], first_classes(classifications, child_system))
    with_parent = parent["found"].to_numpy(dtype=bool)
    with_both = with_parent & child["found"].to_numpy(dtype=bool)
    flow.add(f"parent classified ({parent_system})", len(table), int(with_parent.sum()), "parent not classified", unit="pairs")
    flow.add(
        f"child classified ({child_system})", int(with_parent.sum()), int(with_both.sum()), "child not classified", unit="pairs"
    )
    if not with_both.any():
        reason = f"no parent–child pair has both a parent's {parent_system} and a child's {child_system} classification"
        return (
            [not_testable(ANALYSIS, reason, outcome=system)],
            typed_table([], CELLS),
            typed_table([], RESIDUALS),
        )

    parent, child, cluster = parent[with_both], child[with_both], table["cluster"].to_numpy()[with_both]
    estimates: list[Estimate] = []
    cells: list[pd.DataFrame] = []
    for way in ways:
        rows, _ = _counted(parent, parent_system, way, f"parent's class, {way}", flow)
        columns, used = _counted(child[rows.notna()], child_system, way, f"child's class, {way}", flow)
        names, column_names = CLASSES[parent_system][way], CLASSES[child_system][way]
        kept = columns.index[used]
        groups = np.unique(cluster[child.index.get_indexer(kept)], return_inverse=True)[1]
        tables = class_tables(rows[kept], columns[kept], row_classes=names, column_classes=column_names, groups=groups)
        # Counts of pairs left out go to the flow only: a note is not suppressed where a small count would be.
        note = "pairs without a class are left out and counted in the flow" if len(kept) < len(table) else ""
        estimates += table_estimates(tables, outcome=system, way=way, primary=way == ways[0], ci_level=ci_level, note=note, rng=rng)
        cells.append(_cell_rows(tables.sum(axis=0), system, way, names, column_names))
    return estimates, stacked(cells, CELLS), stacked(cells, RESIDUALS)


def _counted(frame: pd.DataFrame, system: str, way: str, step: str, flow: Flow) -> tuple[pd.Series, npt.NDArray[np.bool_]]:
    """Read the classes, and record each reason for which a pair has none."""
    labels, excluded = classes(frame[CODES], system=system, way=way)
    left = len(frame)
    for reason, n in excluded.items():
        flow.add(step, left, left - n, reason, unit="pairs")
        left -= n
    return labels, labels.notna().to_numpy(dtype=bool)


def _cell_rows(table: npt.NDArray[np.int64], system: str, way: str, rows: list[str], columns: list[str]) -> pd.DataFrame:
    full = table.sum() > 0
    nothing = np.full(table.shape, np.nan)
    return pd.DataFrame(
        {
            "system": system,
            "way": way,
            "parent_class": np.repeat(rows, len(columns)),
            "child_class": np.tile(columns, len(rows)),
            "n": table.ravel(),
            "expected": (expected(table) if full else nothing).ravel(),
            "residual": (adjusted_residuals(table) if full else nothing).ravel(),
        }
    )

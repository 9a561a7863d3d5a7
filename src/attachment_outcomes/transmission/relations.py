"""Who is whose parent, and which pairs belong together?

Vocabulary
----------
pair     one parent and one child; a child with two parents is in two pairs, a parent with two children too
cluster  all pairs linked through a shared person or family; pairs of one cluster are not independent
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from attachment_outcomes.errors import DataError, problem, rows_text
from attachment_outcomes.flow import Flow

KINDS = ("parent_child", "parent_child_adoptive")
COLUMNS = ["parent", "child", "kind", "family_id", "generation", "label", "cluster"]


def pairs(relations: pd.DataFrame, *, flow: Flow | None = None) -> pd.DataFrame:
    """Return the parent–child pairs of a relations table with the cluster each belongs to.

    Parameters
    ----------
    relations : DataFrame
        Canonical ``relations``: person_a (parent), person_b (child), kind, family_id, generation, label.
    flow : Flow, optional
        Takes the count of relations of other kinds.

    Returns
    -------
    DataFrame
        One row a pair: parent, child, kind, family_id, generation, label, cluster (whole number).

    Raises
    ------
    DataError
        If somebody is their own parent, a pair is given twice, or generations run in a loop.
    """
    kept = relations[relations["kind"].isin(KINDS)]
    if flow is not None:
        flow.add("parent–child pairs", len(relations), len(kept), "another kind of relation", unit="relations")
    rows = (np.flatnonzero(relations["kind"].isin(KINDS)) + 1).tolist()
    own = (kept["person_a"] == kept["person_b"]).to_numpy()
    if own.any():
        raise DataError(
            problem(
                "relations",
                f"a person is their own parent in {rows_text([r for r, bad in zip(rows, own, strict=True) if bad])}.",
                hint="check the columns mapped to person_a and person_b.",
            )
        )
    doubled = kept.duplicated(["person_a", "person_b"]).to_numpy()
    if doubled.any():
        raise DataError(
            problem(
                "relations",
                f"a parent and child are paired twice in {rows_text([r for r, bad in zip(rows, doubled, strict=True) if bad])}.",
                hint="a pair is either parent_child or parent_child_adoptive.",
            )
        )
    out = kept.rename(columns={"person_a": "parent", "person_b": "child"}).reset_index(drop=True)
    _refuse_loops(out, rows)
    out["cluster"] = _clusters(out)
    return out.reindex(columns=COLUMNS)


def _refuse_loops(table: pd.DataFrame, rows: list[int]) -> None:
    """Take away, again and again, everybody who is no parent of anybody left; what remains runs in a loop."""
    codes, people = pd.factorize(pd.concat([table["parent"], table["child"]]))
    parents, children, at = codes[: len(table)], codes[len(table) :], np.asarray(rows)
    while len(parents):
        is_parent = np.zeros(len(people), dtype=bool)
        is_parent[parents] = True
        goes_on = is_parent[children]
        if goes_on.all():
            raise DataError(
                problem(
                    "relations",
                    f"generations run in a loop through {int(is_parent.sum())} people, in {rows_text(at.tolist())}: somebody is "
                    "their own ancestor.",
                    hint="person_a is the parent and person_b the child in every row.",
                )
            )
        parents, children, at = parents[goes_on], children[goes_on], at[goes_on]


def _clusters(table: pd.DataFrame) -> np.ndarray:
    """Return the connected component of each pair in the graph of people and families."""
    family = table["family_id"] if "family_id" in table else pd.Series(pd.NA, index=table.index)
    codes, _ = pd.factorize(pd.concat([table["parent"], table["child"]]))
    n = len(table)
    parents, children = codes[:n], codes[n:]
    groups, _ = pd.factorize(family)  # missing is -1 and links nobody
    first = int(codes.max()) + 1 if n else 0
    linked = groups >= 0
    start = np.concatenate([parents, parents[linked]])
    end = np.concatenate([children, groups[linked] + first])
    size = first + (int(groups.max()) + 1 if linked.any() else 0)
    if size == 0:
        return np.empty(0, dtype=np.int64)
    _, component = connected_components(coo_array((np.ones(len(start)), (start, end)), shape=(size, size)), directed=False)
    label, _ = pd.factorize(component[parents])
    return np.asarray(label, dtype=np.int64)

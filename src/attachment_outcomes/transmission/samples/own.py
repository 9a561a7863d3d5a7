"""The study's own families as one sample among others, and their values beside published ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attachment_outcomes.measures.codes import CLASSES, TWO_WAY_DISORGANISED, TWO_WAY_FORCED, TWO_WAY_UNRESOLVED, classes
from attachment_outcomes.measures.targets import about_the_other, first_classes
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.samples.tables import ORGANISED_WORDS, Sample, is_secure
from attachment_outcomes.transmission.tables import Table, class_tables

OWN = "this study"


def way_of(names: Sequence[str], ways: Sequence[str]) -> str | None:
    """Return the way in which the study's own classes are read like a system's two, told by its last class; None if none is.

    Where the system is of secure and insecure, the first of the study's two ways to read them holds.
    """
    if len(names) != 2:
        return None
    if is_secure(names[-1]):
        return next((w for w in ways if w in (TWO_WAY_UNRESOLVED, TWO_WAY_FORCED)), None)
    return TWO_WAY_DISORGANISED if names[-1].casefold() in ORGANISED_WORDS else None


def family_tables(data: TransmissionData, way: str) -> Table | None:
    """Return the class tables (G, K, K) of the study's own families, read in one way; None where no pair has both classes.

    Classes are in the order of the coding system: of two the secure (organised) one first.
    """
    systems = str(data.settings["parent_system"]), str(data.settings["child_system"])
    rows, columns = (CLASSES.get(system, {}).get(way) for system in systems)
    table = data.pairs if len(data.tables["relations"]) else None
    if table is None or rows is None or columns is None:
        return None
    parent = about_the_other(table["parent"], table["child"], first_classes(data.classifications, systems[0]))
    child = about_the_other(table["child"], table["parent"], first_classes(data.classifications, systems[1]))
    found = parent["found"].to_numpy(dtype=bool) & child["found"].to_numpy(dtype=bool)
    if not found.any():
        return None
    first, _ = classes(parent[found].reset_index(drop=True), system=systems[0], way=way)
    second, _ = classes(child[found].reset_index(drop=True), system=systems[1], way=way)
    both = (first.notna() & second.notna()).to_numpy(dtype=bool)
    data.count(f"own pairs, {way}", len(table), int(both.sum()), "parent or child without a class in this way", unit="pairs")
    if not both.any():
        return None
    _, groups = np.unique(table["cluster"].to_numpy()[found][both], return_inverse=True)
    return class_tables(first[both], second[both], row_classes=rows, column_classes=columns, groups=groups)


def own_sample(data: TransmissionData, system: str, names: Sequence[str]) -> Sample | None:
    """Return the study's own families as a sample of a two-class system; None where their classes cannot be read so."""
    way = way_of(names, data.settings["ways"])
    tables = None if way is None else family_tables(data, way)
    if tables is None:
        return None
    turned = tables[:, ::-1, ::-1]  # of two classes the secure one is last among samples
    return Sample(OWN, f"This study ({way})", OWN, system, turned.sum(axis=0), families=turned)

"""Who is whose grandparent, and what are the three classes of a chain?

Vocabulary
----------
chain         a grandparent, that person's child, and a child of theirs; a child with several grandparents is in several chains
older pair    grandparent and parent
younger pair  parent and child
way           how classes are read, see :mod:`attachment_outcomes.measures.codes`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.measures.codes import CLASSES, classes, unreadable
from attachment_outcomes.measures.targets import CODES, about_the_other, first_classes
from attachment_outcomes.transmission.data import TransmissionData

Codes = npt.NDArray[np.int64]
WHO = ("grandparent", "parent", "child")
SYSTEM_OF = (0, 1, 1, 2)  # of both members of older, then of younger pairs: whose system it is


@dataclass(frozen=True)
class Read:
    """Pairs or chains with every class read in one way: codes (n, people) from 0, and the family of each."""

    codes: Codes
    families: Codes

    @cached_property
    def n_families(self) -> int:
        """Number of families."""
        return len(np.unique(self.families))


@dataclass(frozen=True)
class Generations:
    """The chains, older and younger pairs of a study, with the codes of everybody in them.

    A chain is an older pair and a younger one, so that everybody in it is read once, in these. ``people`` are their codes, and
    whether there are any: both members of older pairs, both of younger ones. ``rows`` tell where the members of chains, older
    and younger pairs stand: which of ``people``, and which of their rows.
    """

    systems: tuple[str, str, str]
    people: tuple[pd.DataFrame, ...]
    rows: Mapping[str, tuple[tuple[int, Codes], ...]]
    families: Mapping[str, Codes]
    _read: dict[tuple[int, str], Codes] = field(default_factory=dict)

    def read(self, data: TransmissionData, kind: str, way: str) -> Read:
        """Read all classes of a kind (``chains``, ``older``, ``younger``) in one way; who has none is left out and counted.

        Raises
        ------
        StatisticsError
            If the way means nothing in one of the systems, or they have not the same number of classes in it.
        DataError
            If a code is not the system's.
        """
        place = {"chains": (0, 1, 2), "older": (0, 1), "younger": (1, 2)}[kind]
        names = [class_names(self.systems[i], way) for i in place]
        if len({len(n) for n in names}) > 1:
            raise StatisticsError(f"{way}: the coding systems have different numbers of classes")
        used = np.ones(len(self.families[kind]), dtype=bool)
        found: list[Codes] = []
        for i, (member, where) in zip(place, self.rows[kind], strict=True):
            codes = self._codes(member, way)[where]
            left = used & (codes >= 0)
            step = f"{KINDS[kind]}, {way}"
            data.count(step, int(used.sum()), int(left.sum()), f"no class of the {WHO[i]} ({self.systems[i]})", unit=UNITS[kind])
            used, found = left, [*found, codes]
        return Read(np.column_stack(found)[used], self.families[kind][used])

    def _codes(self, member: int, way: str) -> Codes:
        """Return the classes of a member of all pairs, from 0, and -1 for none."""
        if (member, way) not in self._read:
            frame, system = self.people[member], self.systems[SYSTEM_OF[member]]
            found = np.full(len(frame), -1, dtype=np.int64)
            there = frame["found"].to_numpy(dtype=bool)
            labels, _ = classes(frame.loc[there, CODES], system=system, way=way)
            found[there] = pd.Categorical(labels, categories=class_names(system, way)).codes
            self._read[member, way] = found
        return self._read[member, way]


KINDS = {"chains": "three generations", "older": "grandparents and parents", "younger": "parents and children"}
UNITS = {"chains": "chains", "older": "pairs", "younger": "pairs"}


def class_names(system: str, way: str) -> list[str]:
    """Return the classes of a system read in one way.

    Raises
    ------
    StatisticsError
        If the way means nothing in that system.
    """
    if why := unreadable(system, way):
        raise StatisticsError(why)
    return list(CLASSES[system][way])


def secure_place(system: str, way: str) -> int:
    """Return the place of the secure class; of the organised one where a way does not tell secure from insecure."""
    names = class_names(system, way)
    return next((i for i, name in enumerate(names) if name in ("secure", "F", "B")), 0)


def find_generations(data: TransmissionData, settings: Mapping[str, Any]) -> Generations:
    """Find chains and pairs, and everybody's codes.

    The younger pairs are those that the study compares (``transmission.labels``); a grandparent may stand in any parent–child
    relation. A chain whose grandparent is also given as a parent of the child (a grandparent who adopted the child, or a
    mistake) is no chain of three generations: it is left out and counted.

    Raises
    ------
    DataError
        If somebody is their own parent, a pair is given twice, generations run in a loop, or a first classification is ambiguous.
    """
    systems = (settings["grandparent_system"], data.settings["parent_system"], data.settings["child_system"])
    whole, younger = data.relations, data.pairs
    older = whole[whole["child"].isin(younger["parent"])].reset_index(drop=True)
    chains = chain_table(whole, younger)
    with_elder = int(younger["parent"].isin(older["child"]).sum())
    data.count("three generations", len(younger), with_elder, "no grandparent in the relations", unit="pairs")
    both = set(zip(whole["parent"], whole["child"], strict=True))
    twice = np.array([pair in both for pair in zip(chains["grandparent"], chains["child"], strict=True)], dtype=bool)
    data.count(
        "three generations",
        len(chains),
        int((~twice).sum()),
        "the grandparent is also given as a parent of the child",
        unit="chains",
    )
    chains = chains[~twice].reset_index(drop=True)
    rows = data.classifications
    first = {system: first_classes(rows, system) for system in set(systems)}

    def of(table: pd.DataFrame, who: str, other: str, place: int) -> pd.DataFrame:
        return about_the_other(table[who], table[other], first[systems[place]])

    people = (
        of(older, "parent", "child", 0),
        of(older, "child", "parent", 1),
        of(younger, "parent", "child", 1),
        of(younger, "child", "parent", 2),
    )
    above = _places(older, chains[["grandparent", "parent"]])
    below = _places(younger, chains[["parent", "child"]])
    everyone = {"older": np.arange(len(older)), "younger": np.arange(len(younger))}
    rows_of = {
        "chains": ((0, above), (2, below), (3, below)),
        "older": ((0, everyone["older"]), (1, everyone["older"])),
        "younger": ((2, everyone["younger"]), (3, everyone["younger"])),
    }
    tables = {"chains": chains, "older": older, "younger": younger}
    families = {kind: table["cluster"].to_numpy(dtype=np.int64) for kind, table in tables.items()}
    return Generations(systems, people, rows_of, families)


def _places(pairs: pd.DataFrame, wanted: pd.DataFrame) -> Codes:
    """Return the rows of ``pairs`` that hold each wanted parent and child."""
    there = {pair: row for row, pair in enumerate(zip(pairs["parent"], pairs["child"], strict=True))}
    return np.array([there[pair] for pair in zip(*(wanted[c] for c in wanted), strict=True)], dtype=np.int64)


def chain_table(relations: pd.DataFrame, younger: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the chains of a table of pairs: grandparent, parent, child, cluster; a row a chain.

    Parameters
    ----------
    relations : DataFrame
        Pairs as of :func:`attachment_outcomes.transmission.relations.pairs`: parent, child, cluster.
    younger : DataFrame, optional
        The pairs whose child ends a chain; all of them by default.
    """
    below = relations if younger is None else younger
    above = relations[["parent", "child"]].rename(columns={"parent": "grandparent", "child": "parent"})
    found = below[["parent", "child", "cluster"]].merge(above, on="parent", how="inner")
    ordered = found[["grandparent", "parent", "child", "cluster"]].sort_values(["grandparent", "parent", "child"], kind="stable")
    return ordered.reset_index(drop=True)

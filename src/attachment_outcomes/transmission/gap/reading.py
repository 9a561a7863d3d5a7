"""What does a study know of each pair's parent, mediators and child?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.errors import ConfigError, problem
from attachment_outcomes.measures.codes import CLASSES, ORGANISED, SECURE, SYSTEMS, classes
from attachment_outcomes.measures.targets import about_the_other, dimension, first_classes
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.gap.paths import CHILD, PARENT

Numbers = NDArray[np.float64]
STEP = "transmission gap"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs with everything: attachment of both, mediators by name, family numbers, and what the ends are called."""

    parent: Numbers
    mediators: dict[str, Numbers]
    child: Numbers
    families: NDArray[np.int64]
    outcome: str

    @property
    def smallest(self) -> int | None:
        """Smallest cell, that is not empty, of parents by children where both are of two values; None where either has more."""
        first, second = (np.unique(end, return_inverse=True) for end in (self.parent, self.child))
        if len(self.parent) == 0 or max(len(first[0]), len(second[0])) > 2:
            return None
        cells = np.bincount(2 * first[1] + second[1])
        return int(cells[cells > 0].min())


def complete_pairs(data: TransmissionData, settings: Mapping[str, Any]) -> Pairs:
    """Return the pairs with everything that ``transmission.gap`` names; the others are counted by what they lack first.

    A score or class about the other member of the pair goes before one about nobody in particular.

    Raises
    ------
    ConfigError
        If two mediators cannot be told apart.
    DataError
        If a class or score is ambiguous.
    """
    table = data.labelled(settings["labels"], step=f"{STEP}: relations") if settings.get("labels") else data.pairs
    columns = {
        f"parent without {_what(data, settings, PARENT)}": _end(data, settings, table, PARENT),
        f"child without {_what(data, settings, CHILD)}": _end(data, settings, table, CHILD),
    }
    mediators = mediator_names(settings)
    for name, given in mediators.items():
        columns[f"parent without {name}"] = _score(data, given, table, PARENT)
    kept = np.ones(len(table), dtype=bool)
    for reason, values in columns.items():
        has = kept & ~np.isnan(values)
        data.count(STEP, int(kept.sum()), int(has.sum()), reason, unit="pairs")
        kept = has
    parent, child, *rest = (values[kept] for values in columns.values())
    return Pairs(
        parent,
        dict(zip(mediators, rest, strict=True)),
        child,
        table["cluster"].to_numpy(dtype=np.int64)[kept],
        f"{end_name(data.settings, settings, PARENT)} and {end_name(data.settings, settings, CHILD)}",
    )


def mediator_names(settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return each mediator under its name: its score, with rater and wave where one score comes twice.

    Raises
    ------
    ConfigError
        If two mediators are the same score of the same rater at the same wave.
    """
    scores = [str(m["score"]) for m in settings["mediators"]]
    names = [
        s if scores.count(s) == 1 else f"{s} ({m.get('rater', 'self')}, wave {m.get('wave', 'first')})"
        for s, m in zip(scores, settings["mediators"], strict=True)
    ]
    if len(set(names)) < len(names):
        raise ConfigError(
            problem("transmission.gap.mediators", "a score is named twice.", hint="give each another score, rater or wave.")
        )
    return dict(zip(names, settings["mediators"], strict=True))


def reliabilities(settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the reliabilities that are given, by variable."""
    ends = {side: settings[side] for side in (PARENT, CHILD) if settings.get(side)}
    return {name: given["reliability"] for name, given in {**ends, **mediator_names(settings)}.items() if given.get("reliability")}


def end_name(shared: Mapping[str, Any], settings: Mapping[str, Any], side: str) -> str:
    """Return what a parent's or child's attachment is called: its score, or the coding system."""
    return str(settings[side]["score"] if settings.get(side) else shared[f"{side}_system"])


def secure_word(data: TransmissionData, settings: Mapping[str, Any]) -> str:
    """Return what a child whose class counts as 1 is called: secure, or organised where the way asks for that."""
    return ORGANISED if ORGANISED in CLASSES[str(data.settings[f"{CHILD}_system"])][settings["way"]] else SECURE


def _what(data: TransmissionData, settings: Mapping[str, Any], side: str) -> str:
    name = end_name(data.settings, settings, side)
    return name if settings.get(side) else f"a class ({name}, {settings['way']})"


def _end(data: TransmissionData, settings: Mapping[str, Any], table: pd.DataFrame, side: str) -> Numbers:
    """Return one end of each pair: its score, or 1 for secure (organised) and 0 for another class; NaN where there is none."""
    if settings.get(side):
        return _score(data, settings[side], table, side)
    system = str(data.settings[f"{side}_system"])
    found = about_the_other(*_sides(table, side), first_classes(data.classifications, system))
    labels, _ = classes(found, system=system, way=settings["way"])
    secure = labels.isin([SECURE, ORGANISED, SYSTEMS[system].secure]).to_numpy(dtype=np.float64)
    return np.where(labels.isna(), np.nan, secure)


def _score(data: TransmissionData, given: Mapping[str, Any], table: pd.DataFrame, side: str) -> Numbers:
    named = {key: value for key, value in given.items() if key != "reliability"}
    found = about_the_other(*_sides(table, side), dimension(data.tables["scores"], **named))
    return found["score"].to_numpy(dtype=np.float64)


def _sides(table: pd.DataFrame, side: str) -> tuple[pd.Series, pd.Series]:
    return (table[PARENT], table[CHILD]) if side == PARENT else (table[CHILD], table[PARENT])

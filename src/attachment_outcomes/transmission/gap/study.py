"""Does transmission run through what parents do with their children, and how much does that leave unexplained?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from attachment_outcomes.errors import ConfigError, StatisticsError, problem
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.steps import Part, stacked, typed_table
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.gap.estimation import Gap, gap_from_correlations, transmission_gap
from attachment_outcomes.transmission.gap.intervals import ANALYSIS, path_table
from attachment_outcomes.transmission.gap.natural import DEFINITION, natural_effects
from attachment_outcomes.transmission.gap.reading import Pairs, complete_pairs, end_name, reliabilities, secure_word

PATHS = {
    "outcome": "str",
    "definition": "str",
    "primary": "bool",
    "from": "str",
    "to": "str",
    "estimate": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "ci_level": "float64",
    "smallest": "Int64",
}
SENSITIVITY = {
    "outcome": "str",
    "kind": "str",
    "mediator": "str",
    "value": "float64",
    "estimand": "str",
    "estimate": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
}
TABLES: Mapping[str, Mapping[str, str]] = {"gap_paths": PATHS, "gap_sensitivity": SENSITIVITY}
RECALLED = "recalled, not checked in their source"


def analyse(data: TransmissionData) -> Part:
    """Estimate the paths of the study's own families, and those of the published correlations that it names.

    Raises
    ------
    StatisticsError
        If the study names neither mediators nor correlations.
    """
    settings = data.settings.get("gap") or {}
    if not settings.get("mediators") and not settings.get("correlations"):
        raise StatisticsError("the study names no mediators (transmission.gap)")
    own, smallest = _own(data, settings) if settings.get("mediators") else (None, None)
    found = [] if own is None else [own]
    found += [_published(data, given) for given in settings.get("correlations") or []]
    rows = [row for gap in found for row in gap.estimates]
    sensitivity = stacked([gap.sensitivity for gap in found], SENSITIVITY)
    paths = [{**path, "smallest": None} for path in path_table(rows)]
    for path in paths[: len(path_table(own.estimates)) if own else 0]:
        path["smallest"] = smallest
    return Part(rows, {"gap_paths": typed_table(paths, PATHS), "gap_sensitivity": sensitivity})


def _own(data: TransmissionData, settings: Mapping[str, Any]) -> tuple[Gap, int | None]:
    """Return what the study's own pairs say, or why they cannot, and the smallest cell of their table of classes."""
    outcome = " and ".join(end_name(data.settings, settings, side) for side in ("parent", "child"))
    try:
        pairs = complete_pairs(data, settings)
        found = transmission_gap(
            pairs.parent,
            pairs.mediators,
            pairs.child,
            families=pairs.families,
            reliabilities=reliabilities(settings),
            outcome=pairs.outcome,
            rng=data.rng("transmission gap"),
            ci_level=data.ci_level,
            bootstrap=lambda statistic, values: data.resampled(statistic, values, families=pairs.families),
        )
    except StatisticsError as error:
        return Gap([not_testable(ANALYSIS, str(error), outcome=outcome)]), None
    if not settings.get("child"):
        found = replace(found, estimates=[*found.estimates, *_natural(data, pairs, secure_word(data, settings))])
    return found, pairs.smallest


def _natural(data: TransmissionData, pairs: Pairs, having: str) -> list[Estimate]:
    """Return the parts as differences of chances, where the child's attachment is a class, or why there are none."""
    try:
        return natural_effects(
            pairs.parent,
            np.column_stack(list(pairs.mediators.values())),
            pairs.child,
            families=pairs.families,
            outcome=pairs.outcome,
            rng=data.rng("transmission gap", "natural effects"),
            ci_level=data.ci_level,
            having=having,
        )
    except StatisticsError as error:
        return [replace(not_testable(ANALYSIS, str(error), outcome=pairs.outcome), definition=DEFINITION)]


def _published(data: TransmissionData, given: Mapping[str, Any]) -> Gap:
    """Return what published correlations say; they are never the primary ones.

    Raises
    ------
    ConfigError
        If a correlation has one limit only.
    """
    names = list(given["variables"])
    shape = (len(names), len(names))
    r, n, low, high = (np.full(shape, np.nan) for _ in range(4))
    try:
        for pair in given["pairs"]:
            unknown = [v for v in pair["of"] if v not in names]
            if unknown or len(set(pair["of"])) < 2:
                raise StatisticsError("a correlation is of a variable that 'variables' does not name, or of one with itself")
            i, j = (names.index(v) for v in pair["of"])
            if ("ci_low" in pair) != ("ci_high" in pair):
                what = f"{' and '.join(pair['of'])}: found one limit only."
                raise ConfigError(problem(f"transmission.gap.correlations, {given['name']}", what, hint="give both, or neither."))
            if not np.isnan(r[i, j]):
                raise StatisticsError("a correlation is given twice")
            for table, key in ((r, "r"), (n, "n"), (low, "ci_low"), (high, "ci_high")):
                table[i, j] = table[j, i] = pair.get(key, np.nan)
        apart = n[np.triu_indices(len(names), 1)]
        one_sample = not np.isnan(apart).any() and np.ptp(apart) == 0 and np.isnan(low).all() and np.isnan(high).all()
        found = gap_from_correlations(
            r,
            names=tuple(names[1:-1]),
            n=int(apart[0]) if one_sample else n,
            limits=None if one_sample else (low, high),
            outcome=str(given["name"]),
            note="; ".join([given["source"], *([] if given["verified"] else [RECALLED])]),
            rng=data.rng("transmission gap", str(given["name"])),
            ci_level=data.ci_level,
        )
    except StatisticsError as error:
        return Gap([not_testable(ANALYSIS, str(error), outcome=str(given["name"]))])
    return found

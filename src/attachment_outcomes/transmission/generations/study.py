"""What is passed on over three generations? The chains of a study, in every way to read the classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.proportions import proportion
from attachment_outcomes.inference.resampling import Replicates
from attachment_outcomes.inference.steps import Part, stacked
from attachment_outcomes.measures.codes import CLASSES
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.generations.chains import Generations, class_names, find_generations, secure_place
from attachment_outcomes.transmission.generations.resampled import Layout, family_cells
from attachment_outcomes.transmission.generations.rows import ANALYSIS, Drawn, Way, chain_rows, projection_rows, projection_table
from attachment_outcomes.transmission.misclassification.reliability import Reliability, reliabilities

CHAINS = {"way": "str", "grandparent_class": "str", "parent_class": "str", "child_class": "str", "n": "int64"}
TRANSITIONS = {
    "way": "str", "step": "str", "from_class": "str", "to_class": "str", "n": "int64", "share": "float64", "ci_low": "float64",
    "ci_high": "float64",
}  # fmt: skip
PROJECTION = {
    "way": "str", "corrected": "bool", "start_class": "str", "generation": "int64", "share": "float64", "ci_low": "float64",
    "ci_high": "float64",
}  # fmt: skip
TABLES: Mapping[str, Mapping[str, str]] = {
    "generation_chains": CHAINS,
    "generation_transitions": TRANSITIONS,
    "generation_projection": PROJECTION,
}
STEPS = ("grandparent to parent", "parent to child")
PUBLISHED = "chain"
UNTESTED = "the joint table is not known, so that nothing can be tested with it"


def analyse(data: TransmissionData) -> Part:
    """Count chains, test whether they are first-order, with and without error, and project security, in every way of the settings.

    Raises
    ------
    StatisticsError
        If the study asks for no chains of generations, or no pair has both classes.
    DataError
        If relations run in a loop, or classes break their contract.
    """
    settings = data.settings.get("generations")
    if not settings:
        raise StatisticsError("the study asks for no chains of generations (transmission.generations)")
    found = find_generations(data, settings)
    outcome = "-".join(found.systems)
    estimates: list[Estimate] = []
    ways: list[Way] = []
    offset = 0
    for way in settings["ways"]:
        try:
            one = _read(data, found, way, primary=way == settings["ways"][0], offset=offset, ahead=int(settings["ahead"]))
        except StatisticsError as error:
            estimates.append(replace(not_testable(ANALYSIS, str(error), outcome=outcome), definition=way))
            continue
        ways.append(one)
        offset += sum(one.layout.widths)
    drawn = _drawn(data, ways)
    ways, draws = [w for w, _ in drawn], [d for _, d in drawn]
    for way, replicates in drawn:
        estimates += chain_rows(way, replicates, data=data, outcome=outcome)
        estimates += projection_rows(way, replicates, data=data, outcome=outcome)
    estimates += _published(data, outcome)
    return Part(
        estimates,
        {
            "generation_chains": stacked([_chain_table(w) for w in ways], CHAINS),
            "generation_transitions": stacked([_transition_table(w, data.ci_level) for w in ways], TRANSITIONS),
            "generation_projection": stacked(
                [projection_table(w, r, ci_level=data.ci_level) for w, r in zip(ways, draws, strict=True)], PROJECTION
            ),
        },
    )


def _read(data: TransmissionData, found: Generations, way: str, *, primary: bool, offset: int, ahead: int) -> Way:
    """Read chains and pairs in one way."""
    chains, older, younger = (found.read(data, kind, way) for kind in ("chains", "older", "younger"))
    if not len(younger.codes) and not len(older.codes):
        raise StatisticsError("no parent–child pair has both classes")
    names = tuple(class_names(system, way) for system in found.systems)
    errors, why = _errors(data.settings, found.systems, way)
    layout = Layout(way, len(names[0]), secure_place(found.systems[1], way), ahead, offset, errors)
    return Way(way, primary, names, layout, chains, older, younger, why)


def _errors(
    settings: Mapping[str, Any], systems: tuple[str, str, str], way: str
) -> tuple[tuple[Reliability, Reliability, Reliability] | None, str]:
    """Return how reliable the classes of grandparents, parents and children are in one way; or None, and why nobody knows."""
    given = settings.get("misclassification")
    if not given:
        return None, "how often the classifications err is not given (transmission.misclassification)"
    if systems[0] != systems[1]:
        return None, "how often the classifications err is not given for the grandparents' system"
    found = []
    for side, system in (("parent", systems[1]), ("child", systems[2])):
        classes = {way: len(names) for way, names in CLASSES[system].items()}
        found.append(reliabilities(given[side], side=side, classes=classes).get(way))
    of_parent, of_child = found
    if of_parent is None or of_child is None:
        return None, "how often the classifications err is not given for this way (transmission.misclassification)"
    try:
        for reliability in (of_parent, of_child):
            reliability.matrices(np.full((1, classes[way]), 1 / classes[way]))
    except StatisticsError as error:
        return None, f"nothing can be corrected ({error})"
    return (of_parent, of_parent, of_child), ""


def _drawn(data: TransmissionData, ways: list[Way]) -> list[tuple[Way, Drawn]]:
    """Draw whole families once for all ways; return, a way each, where every statistic stands among the replicates."""
    if not ways:
        return []
    parts = [(w.chains, w.older, w.younger) for w in ways]
    cells = family_cells([w.layout for w in ways], [[p.codes for p in part] for part in parts])
    families = np.concatenate([p.families for part in parts for p in part])
    if (many := len(np.unique(families))) < 2:
        return [(w, {}) for w in ways]
    sums = data.resampled(lambda s: s, cells, families=families)
    out: list[tuple[Way, Drawn]] = []
    for way in ways:
        try:
            values = _values(way.layout, sums, data)
        except StatisticsError as error:  # a correction that does not settle leaves what needs none
            way = replace(way, layout=replace(way.layout, errors=None), why=f"nothing could be corrected ({error})")
            values = _values(way.layout, sums, data)
        labels = way.layout.labels()
        nothing = np.full(len(labels), np.nan)
        found = Replicates(
            estimates=values[0], draws=values[1], acceleration=nothing, error=nothing, errors=np.empty((len(values[1]), 0)),
            n_clusters=many, note=sums.note,
        )  # fmt: skip
        out.append((way, {label: (found, i) for i, label in enumerate(labels)}))
    return out


def _values(layout: Layout, sums: Replicates, data: TransmissionData) -> tuple[np.ndarray, np.ndarray]:
    """Return a way's statistics for the families themselves and for every draw of them."""
    return layout.statistics(sums.estimates[None])[0], layout.statistics(sums.draws, rng=data.rng("retests", layout.way))


def _chain_table(way: Way) -> pd.DataFrame:
    k = way.layout.classes
    counts = way.table
    g, p, c = (axis.ravel() for axis in np.indices((k, k, k)))
    names = [np.array(n) for n in way.names]
    return pd.DataFrame(
        {"way": way.way, "grandparent_class": names[0][g], "parent_class": names[1][p], "child_class": names[2][c],
         "n": counts.ravel()}
    )  # fmt: skip


def _transition_table(way: Way, ci_level: float) -> pd.DataFrame:
    """Return the transitions of both steps; where families give several pairs, Wilson's interval at their effective number."""
    rows = []
    for step, part, (above, below) in zip(STEPS, (way.older, way.younger), ((0, 1), (1, 2)), strict=True):
        for i in range(way.layout.classes):
            of = part.codes[:, 0] == i
            to, families = part.codes[of, 1], part.families[of]
            several = families if len(np.unique(families)) < len(families) else None
            for j in range(way.layout.classes):
                found = proportion(to == j, clusters=several, ci_level=ci_level) if len(to) else None
                limits = (found.estimate, found.ci_low, found.ci_high) if found else (np.nan,) * 3
                rows.append((way.way, step, way.names[above][i], way.names[below][j], int((to == j).sum()), *limits))
    return pd.DataFrame(rows, columns=list(TRANSITIONS))


def _published(data: TransmissionData, outcome: str) -> list[Estimate]:
    """Return what publications report of three generations, to be read beside the study's own."""
    rows = []
    for result in data.published:
        if result.get("about") != PUBLISHED or result.get("value") is None:
            continue
        read = f"read in its {result['where']}" if result.get("where") else str(result["standing"])
        parts = [str(result.get("note", "")).rstrip("."), result["citation"].rstrip("."), read, UNTESTED]
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand="published", outcome=outcome, group=str(result["label"]), definition=str(result["key"]),
                primary=False, estimate=float(result["value"]), ci_level=data.ci_level, n=float(result.get("n") or np.nan),
                unit="proportion", method="published",
                note="; ".join(filter(None, parts)),
            )
        )  # fmt: skip
    return rows

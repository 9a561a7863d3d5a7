"""Are transmissions interrupted, and more often with treatment? All that the settings ask for, from a study's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import Estimate
from attachment_outcomes.inference.steps import Part, typed_table
from attachment_outcomes.measures.codes import INSECURE, SECURE
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.interruption.comparison import interrupted_transmission
from attachment_outcomes.transmission.interruption.functioning import UNCHANGED, functioning_change
from attachment_outcomes.transmission.interruption.people import cells, treated_pairs, untreated_pairs
from attachment_outcomes.transmission.interruption.rows import Shared, of_share, share_of
from attachment_outcomes.transmission.interruption.unchanged import STAYED, unchanged_class
from attachment_outcomes.transmission.samples.tables import read_samples

CELLS = {"arm": "str", "parent_before": "str", "parent_after": "str", "child_class": "str", "n": "int64"}
TABLES: Mapping[str, Mapping[str, str]] = {"interruption_cells": CELLS}
UNTREATED, EARLIER = "families without treatment, parent insecure", "earlier samples, parent insecure"


def analyse(data: TransmissionData) -> Part:
    """Compare the arms that the settings name.

    Raises
    ------
    ConfigError
        If an arm is not in the data, or the way has more than two classes.
    DataError
        If a parent is in both arms, a class is ambiguous, or a table of earlier samples breaks its contract (``read_samples``).
    StatisticsError
        If the study names no arms, or nobody in them has a class.
    """
    settings: Mapping[str, Any] | None = data.settings.get("interruption")
    if not settings:
        raise StatisticsError("the study names no arms (transmission.interruption)")
    outcome = f"{data.settings['parent_system']}-{data.settings['child_system']}"
    shared = Shared(outcome, settings["way"], settings["randomised"], data.ci_level)
    said: dict[str, Any] = {"outcome": outcome, "definition": settings["way"], "ci_level": data.ci_level}
    pairs = treated_pairs(data, settings)
    untreated = untreated_pairs(data, settings)
    estimates = interrupted_transmission(pairs, randomised=settings["randomised"], **said)
    estimates += _context(
        untreated, shared, UNTREATED, "of the same study; not compared, since they were not in the treatment's arms"
    )
    estimates += _earlier(data, shared)
    if settings.get("after") is None:
        estimates.append(shared.silent("class unchanged: the settings name no wave after treatment", group=STAYED))
    else:
        share = float((untreated["before"] == SECURE).mean()) if (pairs["before"] == INSECURE).all() and len(untreated) else None
        estimates += unchanged_class(
            pairs, retest=_retest(data, settings["way"]), share_secure=share, randomised=settings["randomised"], **said
        )
    estimates += _functioning(pairs, settings, shared, said)
    return Part(estimates, {"interruption_cells": typed_table(cells(pairs), CELLS)})


def _functioning(pairs: pd.DataFrame, settings: Mapping[str, Any], shared: Shared, said: dict[str, Any]) -> list[Estimate]:
    asked = settings.get("functioning")
    if not asked or settings.get("after") is None:
        lacks = "transmission.interruption.functioning" if not asked else "transmission.interruption.after"
        return [shared.silent(f"reflective functioning: the settings do not name it ({lacks})", group=UNCHANGED)]
    known = asked.get("reliability")
    try:
        return functioning_change(pairs, reliability=float(known["value"]) if known else None, **said)
    except StatisticsError as error:
        return [shared.silent(str(error), group=UNCHANGED)]


def _retest(data: TransmissionData, way: str) -> Mapping[str, Any] | None:
    """Return what the settings say of the agreement of the parents' classes with themselves."""
    known = (data.settings.get("misclassification") or {}).get("parent") or []
    return next((k for k in known if k["way"] == way), None)


def _context(pairs: pd.DataFrame, shared: Shared, group: str, note: str) -> list[Estimate]:
    """Return the share of secure children of insecure parents elsewhere, to be set beside the comparison arm's."""
    own = pairs[pairs["before"] == INSECURE]
    if own.empty:
        return []
    clusters = own["cluster"] if own["cluster"].duplicated().any() else None
    found = share_of(own["child"] == SECURE, clusters, shared.ci_level)
    return [shared.row("child_secure", found, group=group, notes=[note], **of_share(found))]


def _earlier(data: TransmissionData, shared: Shared) -> list[Estimate]:
    """Return that share in the class tables of earlier samples, in their clusters; whole tables only, and none that is recalled."""
    settings = data.settings.get("samples") or {}
    system = settings.get("pool")
    if not system or settings.get("meaning", "transmission") != "transmission":
        return []
    classes = settings["systems"].get(system) or []
    if len(classes) != 2:
        return []
    # What is left out, and why, is counted where the samples themselves are read.
    samples = [s for s in read_samples(data.tables["samples"], systems={system: classes}) if not s.recalled]
    if not samples:
        return []
    # The first row is of insecure parents, its columns are insecure and secure children.
    counts = np.array([s.table[0] for s in samples])
    cluster = np.repeat([s.cluster for s in samples], counts.sum(axis=1))
    child = np.repeat(np.tile([INSECURE, SECURE], len(samples)), counts.ravel())
    note = "class tables of earlier samples, added up, in their clusters; none with a count that is recalled"
    return _context(pd.DataFrame({"before": INSECURE, "child": child, "cluster": cluster}), shared, EARLIER, note)

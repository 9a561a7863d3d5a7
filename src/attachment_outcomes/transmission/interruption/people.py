"""Whose parent was treated, and how secure were parent and child before and after?

Vocabulary
----------
before, after   the parent's class at the waves that the settings name; the child's class is that of ``child_wave``
treated, comparison  the arms that the settings name; untreated are families of the study in which the parent has no arm
secure          F and B (or the word secure), read in the way that the settings name; everything else is insecure
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConfigError, DataError, StatisticsError, did_you_mean, problem
from attachment_outcomes.measures.codes import INSECURE, SECURE, TWO_WAY_FORCED, TWO_WAY_UNRESOLVED, classes
from attachment_outcomes.measures.targets import CODES, about_the_other, dimension, first_classes
from attachment_outcomes.transmission.data import TransmissionData

TREATED, COMPARISON = "treated", "comparison"
ARMS = (TREATED, COMPARISON)
WAYS = (TWO_WAY_UNRESOLVED, TWO_WAY_FORCED)
COLUMNS = ["arm", "before", "after", "child", "cluster", "functioning_before", "functioning_after"]
UNIT = "pairs"
UNKNOWN = "not known"


def treated_pairs(data: TransmissionData, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return the pairs whose parent is in an arm, with what is known of them; who is left out is counted.

    Returns
    -------
    DataFrame
        ``COLUMNS``: arm, before, after and child (secure, insecure or missing), cluster (family, from 0), and the parent's
        reflective functioning at both waves (missing unless the settings name it). Pairs without a class before are left out;
        those without a child's class are kept, since their number matters.

    Raises
    ------
    ConfigError
        If the way has more than the two classes, or an arm is named twice or not in the data.
    DataError
        If a parent is in both arms, or has two classes at a wave.
    StatisticsError
        If no pair has an arm and a class before.
    """
    if settings["way"] not in WAYS:
        what = f"found {settings['way']!r}; allowed: {'; '.join(WAYS)}."
        raise ConfigError(problem("transmission.interruption.way", what, hint="interruption asks for secure and insecure only."))
    labels = settings.get("labels") or data.settings.get("labels") or ()
    table = data.labelled(labels, step="interruption: pairs of the treatment")
    arm = _arms(data.tables["treatments"], settings).reindex(table["parent"]).to_numpy()
    with_arm = pd.notna(arm)
    data.count("interruption: parent in an arm", len(table), int(with_arm.sum()), "the parent is in neither arm", unit=UNIT)
    kept = table[with_arm].reset_index(drop=True)
    found = _read(data, kept, settings).assign(arm=arm[with_arm], cluster=kept["cluster"].to_numpy())
    known = found["before"].notna()
    data.count("interruption: parent's class before", len(found), int(known.sum()), "no class of the parent before", unit=UNIT)
    found = found[known].reset_index(drop=True)[COLUMNS]
    if found.empty:
        raise StatisticsError("no parent in an arm has a class before treatment")
    seen = int(found["child"].notna().sum())
    data.count("interruption: child's class", len(found), seen, "no class of the child", unit=UNIT)
    return found


def untreated_pairs(data: TransmissionData, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return before (the parent's first class), child (first class) and cluster of the study's pairs whose parent has no arm."""
    arms = data.tables["treatments"].dropna(subset="arm")["person_id"]
    table = data.pairs[~data.pairs["parent"].isin(arms)].reset_index(drop=True)
    parent = _secure(first_classes(data.classifications, data.settings["parent_system"]), "parent", table, data, settings)
    child = _secure(first_classes(data.classifications, data.settings["child_system"]), "child", table, data, settings)
    return pd.DataFrame({"before": parent, "child": child, "cluster": table["cluster"].to_numpy()}).dropna(ignore_index=True)


def _arms(treatments: pd.DataFrame, settings: Mapping[str, Any]) -> pd.Series:
    """Return treated or comparison by person."""
    place = "transmission.interruption"
    named = {str(a): part for part in ARMS for a in settings[part]}
    if len(named) < len(settings[TREATED]) + len(settings[COMPARISON]):
        raise ConfigError(problem(place, "names an arm twice.", hint="an arm is either treated or comparison."))
    there = treatments["arm"].dropna().unique().tolist()
    for arm in named:
        if there and arm not in there:
            what = f"names the arm {arm!r}, which the treatments table does not have.{did_you_mean(arm, there)}"
            raise ConfigError(problem(place, what, hint=f"arms there: {', '.join(sorted(there))}."))
    rows = treatments.assign(part=treatments["arm"].map(named)).dropna(subset="part").drop_duplicates(["person_id", "part"])
    both = int(rows["person_id"].duplicated().sum())
    if both:
        what = f"{both} people are both in a treated and in a comparison arm."
        raise DataError(problem("treatments.arm", what, hint="allot each to one arm, or leave one of their treatments out."))
    return rows.set_index("person_id")["part"]


def _read(data: TransmissionData, table: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return classes and reflective functioning of the pairs at the waves named."""
    parents, children = data.settings["parent_system"], data.settings["child_system"]
    every = data.classifications
    waves = {"before": settings["before"], "after": settings.get("after")}
    out: dict[str, Any] = {}
    for when, wave in waves.items():
        own = every[(every["wave"] == wave).fillna(False)] if wave is not None else every[:0]
        out[when] = _secure(first_classes(own, parents), "parent", table, data, settings)
    out["child"] = _secure(_at(every, children, settings["child_wave"], settings["before"]), "child", table, data, settings)
    asked = settings.get("functioning")
    for when, wave in waves.items():
        out[f"functioning_{when}"] = np.full(len(table), np.nan)
        if asked and wave is not None:
            score = {k: v for k, v in asked.items() if k in ("score", "rater", "mean_over_targets")}
            values = about_the_other(table["parent"], table["child"], dimension(data.tables["scores"], **score, wave=wave))
            out[f"functioning_{when}"] = values["score"].to_numpy(dtype=float)
    return pd.DataFrame(out)


def _at(every: pd.DataFrame, system: str, wave: int | str, before: int) -> pd.DataFrame:
    """Return each person's one classification at a wave, or the first or last that there is.

    Where anybody was seen after the wave before treatment, the last one must be of after it: a child who was lost is not known,
    and not what it was before.
    """
    if wave == "first":
        return first_classes(every, system)
    rows = every[(every["system"] == system) & every[CODES].notna().any(axis=1)]
    if wave != "last":
        return first_classes(rows[(rows["wave"] == wave).fillna(False)], system)
    later = (rows["wave"] > before).fillna(False)
    if later.any():
        rows = rows[later | rows["wave"].isna()]
    last = rows.groupby(["person_id", "about_person_id"], dropna=False, sort=False)["wave"].transform("max")
    return first_classes(rows[((rows["wave"] == last) | last.isna()).fillna(False)], system)


def _secure(
    found: pd.DataFrame, member: str, table: pd.DataFrame, data: TransmissionData, settings: Mapping[str, Any]
) -> pd.Series:
    """Return secure, insecure or missing for one member of each pair."""
    person, other = (table[c] for c in (("parent", "child") if member == "parent" else ("child", "parent")))
    own = about_the_other(person, other, found)
    labels, _ = classes(own[CODES], system=data.settings[f"{member}_system"], way=settings["way"])
    return labels.reset_index(drop=True)


def cells(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return how many pairs there are of each arm, parent's class before and after, and child's class (arm … n).

    Every combination is there, also those of nobody, so that suppression sees whole tables.
    """
    known = [SECURE, INSECURE]
    levels = {"arm": list(ARMS), "before": known, "after": [*known, UNKNOWN], "child": [*known, UNKNOWN]}
    index = pd.MultiIndex.from_product(list(levels.values()), names=list(levels))
    counted = pairs[list(levels)].fillna(UNKNOWN).value_counts().reindex(index, fill_value=0)
    named = {"before": "parent_before", "after": "parent_after", "child": "child_class"}
    return counted.rename("n").reset_index().rename(columns=named)

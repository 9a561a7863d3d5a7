"""Parents and children, three generations, and earlier samples: attachment classes with a true strength of transmission.

With equal shares of classes in both generations, a child has the parent's class with probability ``kappa`` and any
class by its share otherwise. Agreement is then chance agreement + kappa (1 - chance agreement), so Cohen's kappa is
the strength itself, and the same rule links grandparents and parents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.simulate.clients import Truth
from attachment_outcomes.simulate.draws import Flags, Floats, Whole, correlated, normals, order, pick

AVOIDANT, SECURE, AMBIVALENT, DISORGANISED = range(4)
CLASS_NAMES = ("avoidant", "secure", "ambivalent", "disorganised")
AAI_CODES = ("Ds", "F", "E", "U")
SSP_CODES = ("A", "B", "C", "D")
SUBCLASSES = {"Ds": 3, "F": 5, "E": 2, "A": 2, "B": 4, "C": 2}  # of each organised class that the simulation uses
SENSITIVITY_RANGE = (1.0, 7.0)
FUNCTIONING_RANGE = (-1.0, 9.0)
MOTHERS = 0.85  # share of parents who are mothers
NOT_CODEABLE = 3  # children whose Strange Situation could not be coded
TWO_CLASSES = ("insecure", "secure")
EARLIEST, LATEST = 1988, 2018  # years of the earlier samples
MOTHER_SAMPLES = 2 / 3  # share of the earlier samples that saw mothers
REVISED = 2005  # first year of the revised coding system (made up)


def transmit(parent: Whole, rng: np.random.Generator, *, shares: Floats, kappa: float | Floats) -> Whole:
    """Return the other generation's classes: the same class with probability kappa, else any class by its share."""
    copies = rng.random(len(parent)) < kappa
    return np.where(copies, parent, pick(rng.random(len(parent)), shares))


def _organised_behind(own: Whole, model: Whole, rng: np.random.Generator, *, shares: Floats, kappa: float) -> Whole:
    """Return the organised class beside U or D; it is transmitted like the others. Organised people keep their own."""
    behind = transmit(model, rng, shares=shares[:DISORGANISED], kappa=kappa)
    return np.where(own == DISORGANISED, behind, own)


def write_codes(own: Whole, behind: Whole, codes: tuple[str, ...], truth: Truth, rng: np.random.Generator) -> pd.DataFrame:
    """Return primary, secondary and forced codes as coders write them."""
    families, n = truth["families"], len(own)
    names = np.array(codes)
    unresolved = own == DISORGANISED
    sub = np.array([SUBCLASSES.get(c, 1) for c in codes])[own]
    number = 1 + np.floor(rng.random(n) * sub).astype(int)
    primary = np.where(unresolved, names[own], np.char.add(names[own], number.astype(str)))
    primary = np.where(unresolved & (rng.random(n) < families["cannot_classify_share"]), "CC", primary)
    known = rng.random(n) >= families["no_secondary_share"]
    beside = np.where(unresolved & known, names[behind], "")
    return pd.DataFrame({"primary": primary, "secondary": beside, "forced": np.where(unresolved, beside, names[own])})


def _score(settings: Mapping[str, float], parent: Flags, child: Flags, noise: Floats, limits: tuple[float, float]) -> Floats:
    """Return a rating in half points, from the security of both and standard normal noise."""
    mean = settings["mean"] + settings["secure_parent"] * parent + settings["secure_child"] * child
    return np.asarray(np.clip(np.round((mean + settings["sd"] * noise) * 2) / 2, *limits), dtype=np.float64)


def make_families(truth: Truth, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Return ``families`` (a row a parent-child pair) and ``classifications`` (a row a coded person).

    Sensitivity and reflective functioning are drawn given both generations' security. That leaves kappa as it is and
    gives the joint distribution in which part of the transmission runs through them.
    """
    settings = truth["families"]
    shares = np.array([settings["classes"][c] for c in CLASS_NAMES])
    dyads, siblings, grandparents = settings["dyads"], settings["siblings"], settings["grandparents"]
    parents = dyads - siblings
    of = np.concatenate([np.arange(parents), np.arange(siblings)])  # the first families have a second child
    kappa = settings["kappa"]

    parent = pick(rng.random(parents), shares)
    parent_behind = np.where(parent == DISORGANISED, pick(rng.random(parents), shares[:DISORGANISED]), parent)
    child = transmit(parent[of], rng, shares=shares, kappa=kappa)
    child_behind = _organised_behind(child, parent_behind[of], rng, shares=shares, kappa=kappa)
    elder_of = np.arange(parents - grandparents, parents)  # the last families have a grandparent: no siblings among them
    elder = transmit(parent[elder_of], rng, shares=shares, kappa=kappa)
    elder_behind = _organised_behind(elder, parent_behind[elder_of], rng, shares=shares, kappa=kappa)

    mother = rng.random(parents) < MOTHERS
    secure_parent, secure_child = parent[of] == SECURE, child == SECURE
    sensitivity = _score(settings["sensitivity"], secure_parent, secure_child, normals(rng, dyads), SENSITIVITY_RANGE)
    reflective = settings["reflective_functioning"]
    noise = normals(rng, parents)
    functioning = _score(reflective, parent == SECURE, child[:parents] == SECURE, noise, FUNCTIONING_RANGE)
    elder_noise = correlated(noise[elder_of], reflective["between_generations"], normals(rng, grandparents))
    elder_functioning = _score(reflective, elder == SECURE, parent[elder_of] == SECURE, elder_noise, FUNCTIONING_RANGE)

    ids = {
        "family": np.array([f"F{i + 1:03d}" for i in range(parents)]),
        "parent": np.array([f"P{i + 1:03d}" for i in range(parents)]),
        "child": np.array([f"K{i + 1:03d}" for i in range(dyads)]),
        "elder": np.array([f"G{i + 1:03d}" for i in range(grandparents)]),
    }
    pairs = pd.DataFrame(
        {
            "family_id": ids["family"][of],
            "generation": 2,
            "relation": np.where(mother[of], "mother-child", "father-child"),
            "parent_id": ids["parent"][of],
            "child_id": ids["child"],
            "sensitivity": sensitivity,
        }
    )
    elders = pd.DataFrame(
        {
            "family_id": ids["family"][elder_of],
            "generation": 1,
            "relation": "grandmother-parent",
            "parent_id": ids["elder"],
            "child_id": ids["parent"][elder_of],
            "sensitivity": np.nan,
        }
    )
    coherence, elder_coherence = (
        np.clip(np.rint(np.where(own == SECURE, 6.0, 3.5) + normals(rng, len(own))), 1, 9) for own in (parent, elder)
    )
    coded = [
        _coded(ids["parent"], "parent", "AAI", write_codes(parent, parent_behind, AAI_CODES, truth, rng), coherence, functioning),
        _coded(
            ids["elder"],
            "parent",
            "AAI",
            write_codes(elder, elder_behind, AAI_CODES, truth, rng),
            elder_coherence,
            elder_functioning,
        ),
        _coded(ids["child"], "child", "SSP", write_codes(child, child_behind, SSP_CODES, truth, rng)),
    ]
    # The last children coded are without siblings, so that what is lost is plain to count.
    coded[2].loc[parents - NOT_CODEABLE : parents - 1, ["primary", "secondary", "forced"]] = ""
    classified = pd.concat(coded, ignore_index=True)
    return {"families": pd.concat([pairs, elders], ignore_index=True), "classifications": classified}


def _coded(
    ids: np.ndarray[Any, Any],
    role: str,
    system: str,
    codes: pd.DataFrame,
    coherence: Floats | float = np.nan,
    functioning: Floats | float = np.nan,
) -> pd.DataFrame:
    frame = pd.DataFrame({"person_id": ids, "role": role, "system": system})
    frame = pd.concat([frame, codes], axis=1)
    frame["coherence"] = pd.Series(coherence, index=frame.index).astype("Int64")
    frame["reflective_functioning"] = functioning
    return frame


def make_sample_traits(truth: Truth, rng: np.random.Generator) -> pd.DataFrame:
    """Return what is told of the earlier samples, a row a sample: year, risk, relation, child_age (months) and coding.

    The number of samples at high risk is that of the truth, rounded; which they are, and the rest, is drawn.
    """
    settings = truth["samples"]
    number = settings["samples"]
    rank = order(rng, number)
    years = np.sort(EARLIEST + np.floor((LATEST + 1 - EARLIEST) * rng.random(number)).astype(int))
    return pd.DataFrame(
        {
            "sample_id": [f"S{s + 1:02d}" for s in range(number)],
            "year": years,
            "risk": np.where(rank < round(settings["high_risk_share"] * number), "high", "low"),
            "relation": np.where(order(rng, number) < round(MOTHER_SAMPLES * number), "mother", "father"),
            "child_age": 12 + np.floor(7 * rng.random(number)).astype(int),
            "coding": np.where(years < REVISED, "original", "revised"),
        }
    )


def risk_shift(truth: Truth, traits: pd.DataFrame) -> Floats:
    """Return how far the kappa of each sample lies from the mean of all because of its risk; these add up to 0."""
    high = (traits["risk"] == "high").to_numpy(dtype=np.float64)
    return np.asarray(truth["samples"]["high_risk_kappa"] * (high - high.mean()), dtype=np.float64)


def make_samples(truth: Truth, rng: np.random.Generator, *, shift: Floats | float = 0.0) -> pd.DataFrame:
    """Return class-by-class counts of simulated earlier samples.

    Their true kappa differs by ``tau`` between samples, beside what is known to shift it.
    """
    settings = truth["samples"]
    number = settings["samples"]
    shares = np.array([truth["families"]["classes"][c] for c in CLASS_NAMES])
    kappas = np.clip(settings["kappa"] + shift + settings["tau"] * normals(rng, number), 0.0, 0.95)
    sizes = np.rint(settings["smallest"] + (settings["largest"] - settings["smallest"]) * rng.random(number)).astype(int)
    rows = []
    for s in range(number):
        parent = pick(rng.random(sizes[s]), shares)
        child = transmit(parent, rng, shares=shares, kappa=float(kappas[s]))
        table = np.zeros((4, 4), dtype=int)
        np.add.at(table, (parent, child), 1)
        secure = np.arange(4) == SECURE
        two = np.array([[table[np.ix_(a, b)].sum() for b in (~secure, secure)] for a in (~secure, secure)])
        for system, names, counts in (("AAI-SSP 2-way", TWO_CLASSES, two), ("AAI-SSP 4-way", CLASS_NAMES, table)):
            for i, j in np.ndindex(counts.shape):
                rows.append((f"S{s + 1:02d}", f"Sample {s + 1}", system, names[i], names[j], int(counts[i, j]), int(sizes[s])))
    return pd.DataFrame(rows, columns=["sample_id", "label", "table", "parent_class", "child_class", "count", "n"])

"""A trial of therapy for parents: attachment classes before and after, reflective functioning, and the children's security.

Half of the parents are allotted to therapy at random. Whether a child is secure is drawn with a probability that adds up: of
insecure parents a level, and points for therapy, for a parent who became secure, and for each point of true gain in
reflective functioning; of secure parents a level and the points for the gain. The gain of secure parents is the same in both
arms, so that therapy makes no difference to their children.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.simulate.clients import Truth
from attachment_outcomes.simulate.draws import Flags, Floats, Whole, normals, order, pick
from attachment_outcomes.simulate.families import (
    AAI_CODES,
    CLASS_NAMES,
    DISORGANISED,
    FUNCTIONING_RANGE,
    SECURE,
    SSP_CODES,
    write_codes,
)

THERAPY, USUAL_CARE = "attachment-focused therapy", "usual care"
PROBABILITY_RANGE = (0.02, 0.98)
CODE_COLUMNS = ["primary", "secondary", "forced"]


def child_secure_share(truth: Truth, *, therapy: bool, secure_before: bool = False) -> float:
    """Return the probability that the child of a parent is secure, by arm and the parent's security before."""
    settings = truth["trial"]
    child, gain = settings["child_secure"], settings["reflective_functioning"]["gain"]
    if secure_before:
        return float(child["secure_parent"] + child["per_point"] * gain["secure"])
    arm = "therapy" if therapy else "usual_care"
    became = settings["becomes_secure"][arm] * child["became_secure"]
    return float(child["insecure_parent"] + therapy * child["therapy"] + became + child["per_point"] * gain[arm])


def make_trial(truth: Truth, rng: np.random.Generator) -> pd.DataFrame:
    """Return the trial as exported: a row a parent, with one child each."""
    settings = truth["trial"]
    n = settings["parents"]
    shares = np.array([settings["classes"][c] for c in CLASS_NAMES])
    therapy = order(rng, n) < n // 2
    before = pick(rng.random(n), shares)
    behind = np.where(before == DISORGANISED, pick(rng.random(n), shares[:DISORGANISED]), before)
    after = _second_interview(settings, before, therapy, shares, rng)
    gain = _gain(settings, before, therapy, normals(rng, n))
    child = _child(settings, before, after, therapy, gain, rng)
    child_behind = np.where(child == DISORGANISED, pick(rng.random(n), shares[:DISORGANISED]), child)

    functioning = settings["reflective_functioning"]
    own = functioning["mean"] + functioning["secure_parent"] * (before == SECURE) + functioning["sd"] * normals(rng, n)
    first, second = (_rated(x, functioning["error_sd"], normals(rng, n)) for x in (own, own + gain))
    # Who has no organised class behind before has the one it goes back to as the organised class behind after.
    after_behind = np.where(after == DISORGANISED, behind, after)
    interviews = {
        when: write_codes(now, beside, AAI_CODES, truth, rng)
        for when, now, beside in (("before", before, behind), ("after", after, after_behind))
    }
    situation = write_codes(child, child_behind, SSP_CODES, truth, rng)
    missed, unseen = rng.random((2, n)) < np.array([[settings["missed_interview_share"]], [settings["missed_child_share"]]])
    interviews["after"].loc[missed, CODE_COLUMNS] = ""
    situation.loc[unseen, CODE_COLUMNS] = ""
    return pd.DataFrame(
        {
            "parent_id": [f"TP{i + 1:03d}" for i in range(n)],
            "child_id": [f"TK{i + 1:03d}" for i in range(n)],
            "arm": np.where(therapy, THERAPY, USUAL_CARE),
            **{f"before_{c}": interviews["before"][c] for c in CODE_COLUMNS},
            "before_functioning": first,
            **{f"after_{c}": interviews["after"][c] for c in CODE_COLUMNS},
            "after_functioning": pd.Series(second).mask(missed),
            **{f"child_{c}": situation[c] for c in CODE_COLUMNS},
        }
    )


def _second_interview(settings: Any, before: Whole, therapy: Flags, shares: Floats, rng: np.random.Generator) -> Whole:
    """Return the classes at the second interview: some become secure, a few no longer are, the others keep their class."""
    becomes = np.where(therapy, settings["becomes_secure"]["therapy"], settings["becomes_secure"]["usual_care"])
    turns = rng.random(len(before)) < np.where(before == SECURE, 1 - settings["stays_secure"], becomes)
    elsewhere = pick(rng.random(len(before)), np.where(np.arange(len(shares)) == SECURE, 0.0, shares))
    return np.where(turns, np.where(before == SECURE, elsewhere, SECURE), before)


def _gain(settings: Any, before: Whole, therapy: Flags, noise: Floats) -> Floats:
    """Return the true gain in reflective functioning."""
    functioning = settings["reflective_functioning"]
    gain = functioning["gain"]
    mean = np.where(before == SECURE, gain["secure"], np.where(therapy, gain["therapy"], gain["usual_care"]))
    return np.asarray(mean + functioning["gain_sd"] * noise, dtype=np.float64)


def _child(settings: Any, before: Whole, after: Whole, therapy: Flags, gain: Floats, rng: np.random.Generator) -> Whole:
    """Return the children's classes; an insecure child has a class by the shares of the insecure ones."""
    points = settings["child_secure"]
    of_insecure = points["insecure_parent"] + points["therapy"] * therapy + points["became_secure"] * (after == SECURE)
    chance = np.where(before == SECURE, points["secure_parent"], of_insecure) + points["per_point"] * gain
    secure = rng.random(len(before)) < np.clip(chance, *PROBABILITY_RANGE)
    shares = [settings["classes"][c] * (c != CLASS_NAMES[SECURE]) for c in CLASS_NAMES]
    return np.where(secure, SECURE, pick(rng.random(len(before)), shares))


def _rated(true: Floats, error_sd: float, noise: Floats) -> Floats:
    """Return a rating in half points of true reflective functioning."""
    return np.asarray(np.clip(np.round((true + error_sd * noise) * 2) / 2, *FUNCTIONING_RANGE), dtype=np.float64)

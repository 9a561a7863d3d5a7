"""Couples before and after couple therapy: satisfaction of both partners, and each partner's own attachment."""

from __future__ import annotations

import numpy as np
import pandas as pd

from attachment_outcomes.simulate.answers import ECR_R_ANXIETY, ECR_R_AVOIDANCE, answer_items, item_names, noise_for
from attachment_outcomes.simulate.clients import Truth
from attachment_outcomes.simulate.draws import correlated, normals, pick

OCCASIONS = ("start", "end")
END_WEEKS = (18, 20, 22, 24)
DAS_RANGE = (0, 151)


def make_couples(truth: Truth, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Return ``couples`` (a row a couple) and ``partners`` (a row a partner and occasion).

    Satisfaction is the Dyadic Adjustment Scale's total, exported as a score: true score plus an error whose variance
    is true variance x (1 - reliability) / reliability. Both the start and the change correlate between partners.
    """
    settings = truth["couples"]
    n, satisfaction = settings["couples"], settings["satisfaction"]
    ids = np.array([f"CP{i + 1:03d}" for i in range(n)])
    weeks = np.array(END_WEEKS)[pick(rng.random(n), np.ones(len(END_WEEKS)))]
    lost = rng.random(n) < settings["lost_share"]
    error_sd = satisfaction["sd"] * np.sqrt((1 - satisfaction["reliability"]) / satisfaction["reliability"])
    shared_start, shared_change = normals(rng, n), normals(rng, n)
    tie = np.sqrt(settings["correlation"])  # two partners who both correlate sqrt(r) with what they share correlate r
    frames = []
    for letter in "AB":
        start = satisfaction["mean"] + satisfaction["sd"] * correlated(shared_start, tie, normals(rng, n))
        change = satisfaction["change"] + satisfaction["change_sd"] * correlated(shared_change, tie, normals(rng, n))
        true = {name: settings[name]["mean"] + settings[name]["sd"] * normals(rng, n) for name in ("anxiety", "avoidance")}
        moved = {name: settings[name]["change"] + settings[name]["change_sd"] * normals(rng, n) for name in true}
        for occasion, name in enumerate(OCCASIONS):
            total = start + occasion * change + error_sd * normals(rng, n)
            frame = pd.DataFrame(
                {
                    "couple_id": ids,
                    "partner_id": np.char.add(ids, letter),
                    "occasion": name,
                    "week": occasion * weeks,
                    "das_total": np.clip(np.rint(total), *DAS_RANGE).astype(int),
                }
            )
            for scale, form, first in (("anxiety", ECR_R_ANXIETY, 1), ("avoidance", ECR_R_AVOIDANCE, 19)):
                noise = noise_for(
                    truth["attachment"][scale]["reliability"], mean=settings[scale]["mean"], sd=settings[scale]["sd"], form=form
                )
                answers = answer_items(true[scale] + occasion * moved[scale], rng.random((n, form.items)), form=form, noise=noise)
                frame = pd.concat([frame, pd.DataFrame(answers, columns=item_names("ecr", first, form))], axis=1)
            frames.append(frame if occasion == 0 else frame[~lost])
    partners = pd.concat(frames, ignore_index=True)
    rank = partners["occasion"].map({name: i for i, name in enumerate(OCCASIONS)})
    partners = partners.assign(rank=rank).sort_values(["partner_id", "rank"], kind="stable").drop(columns="rank")
    couples = pd.DataFrame({"couple_id": ids, "partner_a": np.char.add(ids, "A"), "partner_b": np.char.add(ids, "B")})
    return {"couples": couples, "partners": partners.reset_index(drop=True)}

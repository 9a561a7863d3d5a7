"""How long does the whole analysis of transmission take, with the bootstrap of families and with many samples?"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.config import validated
from attachment_outcomes.measures.styles import no_styles
from attachment_outcomes.simulate.bench.tasks import Task
from attachment_outcomes.simulate.families import make_families, make_samples
from attachment_outcomes.study.contracts import TABLES, empty, typed
from attachment_outcomes.transmission.data import READS
from attachment_outcomes.transmission.stage import SAMPLES, TRANSMISSION, run_step

FAMILIES, REPLICATES, MANY_SAMPLES = 5_000, 10_000, 500
TRUTH: dict[str, Any] = {
    "families": {
        "classes": {"avoidant": 0.18, "secure": 0.52, "ambivalent": 0.10, "disorganised": 0.20},
        "kappa": 0.35,
        "cannot_classify_share": 0.08,
        "no_secondary_share": 0.06,
        "sensitivity": {"mean": 3.7, "sd": 1.1, "secure_parent": 0.5, "secure_child": 0.7},
        "reflective_functioning": {"mean": 3.8, "sd": 1.3, "secure_parent": 1.4, "secure_child": 0.3, "between_generations": 0.4},
    },
    "samples": {"smallest": 30, "largest": 120, "kappa": 0.35, "tau": 0.1},
}
RETEST = {"of": "test-retest", "kappa": 0.72, "n": 80, "source": "made up", "verified": False}
RATED = {"rater": "observer", "wave": "first"}


def settings() -> dict[str, Any]:
    """Return a transmission block that asks for everything."""
    ways = ["4-way", "3-way", "2-way, unresolved insecure", "2-way, forced", "2-way, disorganised"]
    known = [{"way": way, **RETEST} for way in ways]
    block = {
        "continuous": [
            {"label": "all", "parent": {"score": "rf.aai", **RATED}, "child": {"score": "rf.aai", **RATED}},
        ],
        "misclassification": {"parent": known, "child": known},
        "gap": {"mediators": [{"score": "rf.aai", **RATED}, {"score": "eas.sensitivity", **RATED}]},
        "generations": {},
        "interruption": {"treated": ["therapy"], "comparison": ["usual care"]},
        "samples": {
            "systems": {
                "AAI-SSP 2-way": ["insecure", "secure"],
                "AAI-SSP 4-way": ["avoidant", "secure", "ambivalent", "disorganised"],
            },
            "pool": "AAI-SSP 2-way",
        },
    }
    source = {"file": "none.csv", "tables": [{"table": "people", "columns": {"person_id": "id"}}]}
    study = {"name": "bench", "title": "Bench", "source": {"citation": "made", "licence": "none"}, "folder": "none"}
    found: dict[str, Any] = validated({**study, "sources": [source], "transmission": block}, "study", "bench")["transmission"]
    return found


def families_of(count: int) -> dict[str, pd.DataFrame]:
    """Return the tables of so many families: a fifth with siblings, three in ten with grandparents, every other parent treated."""
    siblings, elders = count // 5, 3 * count // 10
    truth = {"families": {**TRUTH["families"], "dyads": count + siblings, "siblings": siblings, "grandparents": elders}}
    made = make_families(truth, np.random.default_rng(1))
    pairs, coded = made["families"], made["classifications"]
    tables = {name: empty(name) if name in TABLES else no_styles() for name in READS}
    named = {"parent_id": "person_a", "child_id": "person_b", "relation": "label"}
    relations = pairs.drop(columns="sensitivity").rename(columns=named).assign(kind="parent_child")
    tables["relations"] = typed(relations, "relations")
    classes = coded.drop(columns=["role", "reflective_functioning"]).replace("", None)
    tables["classifications"] = typed(classes.assign(wave=0), "classifications")
    functioning = coded.dropna(subset="reflective_functioning").rename(columns={"reflective_functioning": "score"})
    seen = pairs.dropna(subset="sensitivity").rename(
        columns={"parent_id": "person_id", "child_id": "about_person_id", "sensitivity": "score"}
    )
    scores = [
        functioning[["person_id", "score"]].assign(instrument="rf", scale="aai"),
        seen[["person_id", "about_person_id", "score"]].assign(instrument="eas", scale="sensitivity"),
    ]
    tables["scores"] = typed(pd.concat(scores, ignore_index=True).assign(wave=0, rater="observer"), "scores")
    parents = pairs.loc[pairs["generation"] == 2, "parent_id"].drop_duplicates()
    arms = np.where(np.arange(len(parents)) % 2 == 0, "therapy", "usual care")
    tables["treatments"] = typed(pd.DataFrame({"person_id": parents.to_numpy(), "treatment_id": "1", "arm": arms}), "treatments")
    return tables


def samples_of(count: int) -> dict[str, pd.DataFrame]:
    """Return the class tables of so many samples."""
    truth = {"families": TRUTH["families"], "samples": {**TRUTH["samples"], "samples": count}}
    cells = make_samples(truth, np.random.default_rng(1))
    named = {"table": "system", "parent_class": "row_class", "child_class": "col_class", "count": "value"}
    tables = {name: empty(name) if name in TABLES else no_styles() for name in READS}
    tables["samples"] = typed(cells.rename(columns=named).assign(measure="count", standing="stored"), "samples")
    return tables


def families(count: int, replicates: int) -> int:
    """Analyse so many families with so many replicates; return how many estimates there were."""
    return len(run_step(TRANSMISSION, families_of(count), settings=settings(), instruments={}, replicates=replicates).estimates)


def samples(count: int) -> int:
    """Pool so many samples; return how many estimates there were."""
    return len(run_step(SAMPLES, samples_of(count), settings=settings(), instruments={}).estimates)


TASKS = {
    "families": Task(
        "The whole analysis of 5,000 families with 10,000 draws of the bootstrap",
        partial(families, FAMILIES, REPLICATES),
        10.0,
        3_000.0,
    ),
    "samples": Task("Class tables of 500 samples pooled in every way", partial(samples, MANY_SAMPLES), 10.0, 2_000.0),
}

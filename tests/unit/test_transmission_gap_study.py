"""The transmission gap of a study: who is counted, what is refused, and what the example holds."""

from __future__ import annotations

import json
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import read_yaml, validated
from attachment_outcomes.errors import ConfigError, StatisticsError
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.measures.codes import classes
from attachment_outcomes.measures.styles import no_styles
from attachment_outcomes.simulate.draws import part_generator
from attachment_outcomes.simulate.families import make_families
from attachment_outcomes.study.contracts import TABLES as CONTRACTS
from attachment_outcomes.study.contracts import empty, typed
from attachment_outcomes.transmission.data import READS, TransmissionData
from attachment_outcomes.transmission.gap.estimation import gap_from_correlations, transmission_gap
from attachment_outcomes.transmission.gap.paths import Model
from attachment_outcomes.transmission.gap.reading import mediator_names
from attachment_outcomes.transmission.gap.study import TABLES, analyse

STUDY = {"name": "x", "title": "A study", "source": {"citation": "c", "licence": "l"}, "folder": "x"}
WAY = "2-way, unresolved insecure"
FUNCTIONING, SENSITIVITY = {"score": "rf.aai", "rater": "observer"}, {"score": "eas.sensitivity", "rater": "observer"}
OF_1995 = {
    "name": "recalled",
    "variables": ["parent", "sensitivity", "child"],
    "pairs": [
        {"of": ["parent", "child"], "r": 0.47, "n": 661},
        {"of": ["sensitivity", "parent"], "r": 0.34, "n": 389},
        {"of": ["sensitivity", "child"], "r": 0.32, "ci_low": 0.2, "ci_high": 0.43},
    ],
    "source": "somebody",
    "verified": False,
}
# Of the example's truth, from two million pairs: they do not depend on its seed.
TRUE_INDIRECT, TRUE_GAP = 0.130, 0.219


def block(gap, **more):
    source = {"file": "f.csv", "tables": [{"table": "people", "columns": {"person_id": "id"}}]}
    return validated({**STUDY, "sources": [source], "transmission": {"gap": gap, **more}}, "study", "x.yaml")["transmission"]


def study(gap, tables=(), **more):
    filled = {name: empty(name) if name in CONTRACTS else no_styles() for name in READS} | dict(tables)
    return TransmissionData(filled, block(gap, **more), replicates=199, seed=1)


@pytest.fixture(scope="module")
def truth(root):
    return read_yaml(root / "data" / "example" / "truth.yaml")


def canonical(made):
    """Return made-up families as the canonical tables of the example."""
    families, coded = made["families"], made["classifications"].replace("", None)
    relations = families.rename(columns={"parent_id": "person_a", "child_id": "person_b", "relation": "label"})
    seen = families[families["sensitivity"].notna()].rename(
        columns={"parent_id": "person_id", "child_id": "about_person_id", "sensitivity": "score"}
    )
    told = coded[coded["reflective_functioning"].notna()].rename(columns={"reflective_functioning": "score"})
    scores = pd.concat(
        [
            seen.assign(instrument="eas", scale="sensitivity")[["person_id", "about_person_id", "instrument", "scale", "score"]],
            told.assign(instrument="rf", scale="aai")[["person_id", "instrument", "scale", "score"]],
        ]
    ).assign(rater="observer", wave=0)
    return {
        "relations": typed(
            relations.assign(kind="parent_child")[["person_a", "person_b", "kind", "family_id", "label"]], "relations"
        ),
        "classifications": typed(
            coded[["person_id", "system", "primary", "secondary", "forced"]].assign(wave=0), "classifications"
        ),
        "scores": typed(scores, "scores"),
    }


@pytest.fixture(scope="module")
def example(truth):
    return canonical(make_families(truth, part_generator(truth["seed"], "families")))


@pytest.fixture(scope="module")
def found(example):
    data = study(
        {"labels": ["mother-child", "father-child"], "mediators": [FUNCTIONING, SENSITIVITY], "correlations": [OF_1995]}, example
    )
    return data, analyse(data)


def row(rows, **wanted):
    kept = [r for r in rows if all(getattr(r, k) == v for k, v in wanted.items())]
    assert len(kept) == 1
    return kept[0]


def test_the_typed_truth_is_that_of_many_families(truth):
    large = deepcopy(truth)
    large["families"] |= {"dyads": 60_000, "siblings": 10_000, "grandparents": 10}
    made = make_families(large, np.random.default_rng(1))
    pairs, coded = made["families"], made["classifications"].replace("", None).set_index("person_id")
    pairs = pairs[pairs["generation"] == 2]
    ends = []
    for side, system in (("parent_id", "AAI"), ("child_id", "SSP")):
        labels, _ = classes(coded[coded["system"] == system], system=system, way=WAY)
        ends.append(pairs[side].map((labels == "secure").astype(float).where(labels.notna())))
    functioning = pairs["parent_id"].map(coded.loc[coded["system"] == "AAI", "reflective_functioning"])
    values = pd.concat([ends[0], functioning, pairs["sensitivity"], ends[1]], axis=1).dropna()
    model = Model(("functioning", "sensitivity"))
    quantities = dict(zip(model.quantities, model.values(np.corrcoef(values.to_numpy(dtype=float).T)), strict=True))
    told = {q.estimand: v for q, v in quantities.items() if not q.group}
    # About four standard errors of 60,000 pairs.
    assert told["indirect_total"] == pytest.approx(TRUE_INDIRECT, abs=0.01)
    assert told["gap"] == pytest.approx(TRUE_GAP, abs=0.017)


def test_the_intervals_of_the_example_hold_the_truth(found):
    _, part = found
    for estimand, value in (("indirect_total", TRUE_INDIRECT), ("gap", TRUE_GAP)):
        estimate = row(part.estimates, estimand=estimand, primary=True)
        assert estimate.ci_low < value < estimate.ci_high
    assert row(part.estimates, estimand="indirect_total", primary=True).ci_low > 0


def test_everybody_left_out_is_counted(found, example):
    data, part = found
    flow = data.flow.frame()
    steps = flow[flow["step"] == "transmission gap"]
    total = row(part.estimates, estimand="total", primary=True)
    assert steps["n_in"].iloc[0] == int((example["relations"]["label"] != "grandmother-parent").sum())
    assert steps["n_out"].iloc[-1] == total.n
    assert (steps["n_out"].to_numpy()[:-1] == steps["n_in"].to_numpy()[1:]).all()
    assert set(steps["reason"]) == {
        f"parent without a class (AAI, {WAY})", f"child without a class (SSP, {WAY})", "parent without rf.aai",
        "parent without eas.sensitivity",
    }  # fmt: skip
    assert total.n_clusters < total.n  # siblings


def test_tables_hold_paths_and_curves_of_both(found):
    _, part = found
    assert set(part.tables) == set(TABLES)
    for name, columns in TABLES.items():
        assert part.tables[name].dtypes.astype(str).to_dict() == dict(columns)
    paths = part.tables["gap_paths"]
    assert set(paths["outcome"]) == {"AAI and SSP", "recalled"}
    assert set(paths.loc[paths["primary"], "definition"]) == {"parallel"}
    estimates_frame(part.estimates, study="x")


def test_published_correlations_stand_beside_and_are_never_primary(found):
    _, part = found
    rows = [r for r in part.estimates if r.outcome == "recalled"]
    assert not any(r.primary for r in rows)
    gap = row(rows, estimand="gap", definition="product of correlations")
    assert gap.estimate == pytest.approx(0.3612)
    assert gap.ci_low < 0.3612 < gap.ci_high
    assert gap.note == "somebody; recalled, not checked in their source"


def test_published_correlations_with_one_n_are_of_one_sample():
    pairs = [{**{k: v for k, v in p.items() if k in ("of", "r")}, "n": 300} for p in OF_1995["pairs"]]
    one = analyse(study({"correlations": [{**OF_1995, "pairs": pairs}]})).estimates
    assert row(one, estimand="gap", definition="parallel").n == 300
    pairs[0]["n"] = 301
    apart = analyse(study({"correlations": [{**OF_1995, "pairs": pairs}]})).estimates
    assert np.isnan(row(apart, estimand="gap", definition="parallel").n)


@pytest.mark.parametrize(
    ("pairs", "what"),
    [
        ([*OF_1995["pairs"][:2], {"of": ["child", "parent"], "r": 0.47}], "given twice"),
        ([*OF_1995["pairs"][:2], {"of": ["child", "warmth"], "r": 0.3}], "'variables' does not name"),
        ([*OF_1995["pairs"][:2], {"of": ["child", "sensitivity"], "r": -0.9}], "impossible together"),
    ],
)
def test_published_correlations_that_cannot_be_are_told_and_stop_nothing(pairs, what):
    rows = analyse(study({"correlations": [{**OF_1995, "pairs": pairs}, {**OF_1995, "name": "other"}]})).estimates
    refused = row(rows, outcome="recalled")
    assert refused.estimand == NOT_TESTABLE
    assert what in refused.note
    assert any(r.outcome == "other" and r.estimand == "gap" for r in rows)


def test_scores_may_stand_for_classes_and_one_about_the_child_goes_first(example):
    relations = example["relations"][example["relations"]["label"] != "grandmother-parent"].reset_index(drop=True)
    rng = np.random.default_rng(7)
    rows = [("p", None, "a.x"), ("p", "c", "m.s"), ("p", None, "m.s"), ("c", "p", "b.y")]
    values = {name: rng.standard_normal(len(relations)) for name in ("a.x", "b.y", "about", "general")}
    values["b.y"] += values["about"]
    parts = []
    for who, about, score in rows:
        person, other = ("person_a", "person_b") if who == "p" else ("person_b", "person_a")
        name = score if score != "m.s" else "about" if about else "general"
        part = pd.DataFrame({"person_id": relations[person], "about_person_id": relations[other] if about else None})
        instrument, scale = score.split(".")
        parts.append(part.assign(instrument=instrument, scale=scale, rater="self", wave=0, score=values[name]))
    scores = pd.concat(parts).drop_duplicates(["person_id", "about_person_id", "instrument"])
    gap = {"parent": {"score": "a.x"}, "child": {"score": "b.y"}, "mediators": [{"score": "m.s"}]}
    part = analyse(study(gap, {"relations": relations, "scores": typed(scores, "scores")}))
    path = row(part.estimates, estimand="path", group="m.s → child", primary=True)
    assert path.outcome == "a.x and b.y"
    assert path.estimate > 0.5  # the score about the child is in it, the one about nobody is not


def test_what_cannot_be_estimated_is_told(example):
    with pytest.raises(StatisticsError, match="names no mediators"):
        analyse(study({"labels": ["mother-child"]}))
    nobody = analyse(study({"labels": ["grandmother-parent"], "mediators": [SENSITIVITY]}, example)).estimates
    assert [r.estimand for r in nobody] == [NOT_TESTABLE]
    assert "fewer than 10 pairs" in nobody[0].note
    with pytest.raises(ConfigError, match="label 'aunt', which no relation has"):
        analyse(study({"labels": ["aunt"], "mediators": [SENSITIVITY]}, example))
    first, *rest = OF_1995["pairs"]
    with pytest.raises(ConfigError, match="one limit only"):
        analyse(study({"correlations": [{**OF_1995, "pairs": [{**first, "ci_low": 0.4}, *rest]}]}))


def test_organised_children_are_not_called_secure(example):
    gap = {"labels": ["mother-child", "father-child"], "mediators": [SENSITIVITY]}
    for way, word in ((WAY, "secure"), ("2-way, disorganised", "organised")):
        natural = [r for r in analyse(study({**gap, "way": way}, example)).estimates if r.definition == "natural effects"]
        assert {r.note for r in natural} == {f"difference in chances that the child is {word}"}
    with pytest.raises(ConfigError, match="named twice"):
        analyse(study({"mediators": [SENSITIVITY, SENSITIVITY]}, example))
    twice = block({"mediators": [SENSITIVITY, {**SENSITIVITY, "wave": 1}]})["gap"]
    assert list(mediator_names(twice)) == ["eas.sensitivity (observer, wave first)", "eas.sensitivity (observer, wave 1)"]


def test_parents_of_ismair_2025_security_functioning_and_sensitivity(shared_data):
    # No child's class is in these data; the chain ends at sensitivity, which shows the same computation on real ratings.
    folder = shared_data / "ismair2025_couple_aai"
    raw = pd.read_csv(folder / "data-one-and-one.csv", sep=None, engine="python")
    reference = json.loads((folder / "reference.json").read_text(encoding="utf-8"))["pearson"]
    names = ["V_Bindung", "V_RF_PDI", "V_Sensitivity"]
    places = [reference["vars"].index(name) for name in names]
    r = np.array(reference["r"])[np.ix_(places, places)]
    ours = transmission_gap(raw[names[0]], raw[[names[1]]], raw[names[2]], rng=np.random.default_rng(1), replicates=499).estimates
    theirs = gap_from_correlations(r, n=40, names=(names[1],), rng=np.random.default_rng(1)).estimates
    for estimand in ("total", "indirect_total", "gap", "share_unexplained"):
        one = row(ours, estimand=estimand, definition="parallel", primary=True)
        other = row(theirs, estimand=estimand, definition="parallel")
        assert one.estimate == pytest.approx(other.estimate, abs=1e-9)
        assert one.n == other.n == 40
    # By hand, from the published correlations .340, .550 and .634.
    b = (0.63399690722 - 0.54982827436 * 0.33954172289) / (1 - 0.54982827436**2)
    indirect = row(ours, estimand="indirect_total", definition="parallel", primary=True)
    assert indirect.estimate == pytest.approx(0.54982827436 * b, abs=1e-9)
    assert indirect.ci_low > 0.1  # fathers' functioning carries it here, with both kinds of interval
    assert row(theirs, estimand="indirect_total", definition="parallel").ci_low > 0.1

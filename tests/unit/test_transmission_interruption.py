"""Interruption of transmission from a study's tables: who is compared, what is counted, what is refused, what stands beside it."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import validated
from attachment_outcomes.errors import ConfigError, DataError, StatisticsError
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.inference.steps import reasons_joined
from attachment_outcomes.measures.styles import no_styles
from attachment_outcomes.study.contracts import TABLES, empty, typed
from attachment_outcomes.transmission.data import READS, TransmissionData
from attachment_outcomes.transmission.interruption import functioning_change, interrupted_transmission, unchanged_class
from attachment_outcomes.transmission.interruption.study import analyse
from attachment_outcomes.transmission.stage import TRANSMISSION, run_step

OWN = [a for a in TRANSMISSION if a.names == ("interruption",)]
THERAPY, CARE = "therapy", "usual care"
# arm, parent before, parent after, child, how often
GROUPS = [
    (THERAPY, "Ds1", "F2", "B3", 6), (THERAPY, "Ds1", "Ds1", "B1", 4), (THERAPY, "E2", "E1", "A1", 5),
    (THERAPY, "U/F", "U/F", "D", 5),
    (THERAPY, "F3", "F3", "B2", 4), (THERAPY, "F3", "F3", "A1", 2), (CARE, "Ds2", "Ds2", "A2", 9), (CARE, "E1", "F1", "B2", 2),
    (CARE, "E1", "E1", "B2", 3), (CARE, "U/Ds", "U/Ds", "D", 4), (CARE, "F2", "F2", "B4", 5), (CARE, "F2", "E1", "C1", 1),
    (THERAPY, "Ds3", None, None, 2), (CARE, "Ds3", "Ds3", None, 1), (CARE, None, "F1", "B1", 2), ("waiting", "Ds1", "Ds1", "B1", 3),
]  # fmt: skip
RATED = {"score": "rf.aai", "rater": "observer"}
BLOCK = {
    "labels": ["mother-child"],
    "misclassification": {
        "parent": [
            {"way": "2-way, forced", "of": "coders", "kappa": 0.9, "source": "made up", "verified": True},
            {"way": "2-way, unresolved insecure", "of": "test-retest", "kappa": 0.6, "source": "made up", "verified": False},
        ],
        "child": [{"way": "2-way, unresolved insecure", "of": "coders", "kappa": 0.9, "source": "made up", "verified": True}],
    },
    "interruption": {
        "labels": ["trial"], "treated": [THERAPY], "comparison": [CARE], "after": 1, "randomised": True,
        "functioning": {**RATED, "reliability": {"value": 0.8, "source": "made up", "verified": False}},
    },
    "samples": {"systems": {"two": ["insecure", "secure"]}, "pool": "two"},
}  # fmt: skip


def settings(**changes):
    source = {"file": "f.csv", "tables": [{"table": "people", "columns": {"person_id": "id"}}]}
    study = {
        "name": "x",
        "title": "Made up",
        "source": {"citation": "made", "licence": "none"},
        "folder": "none",
        "sources": [source],
    }
    block = {**BLOCK, "interruption": {**BLOCK["interruption"], **changes}}
    if changes.get("after", 1) is None:
        del block["interruption"]["after"]
    return validated({**study, "transmission": block}, "study", "x.yaml")["transmission"]


def study_tables():
    rows = [g[:4] for g in GROUPS for _ in range(g[4])]
    n = len(rows)
    parents, children = [f"p{i:02d}" for i in range(n)], [f"c{i:02d}" for i in range(n)]
    plain = [f"q{i}" for i in range(8)], [f"d{i}" for i in range(8)]
    coded = [(p, 0, "AAI", r[1]) for p, r in zip(parents, rows, strict=True) if r[1]]
    coded += [(p, 1, "AAI", r[2]) for p, r in zip(parents, rows, strict=True) if r[2]]
    coded += [(c, 0, "SSP", "A1") for c in children]  # before treatment: never the last one, also of those lost
    coded += [(c, 1, "SSP", r[3]) for c, r in zip(children, rows, strict=True) if r[3]]
    coded += [(p, 0, "AAI", "Ds1" if i < 6 else "F1") for i, p in enumerate(plain[0])]
    coded += [(c, 0, "SSP", "B1" if i % 3 == 0 else "A1") for i, c in enumerate(plain[1])]
    rng = np.random.default_rng(3)
    scores = [(p, w, 3 + w + round(float(rng.random()) * 4) / 2) for p in parents for w in (0, 1)]
    tables = {name: empty(name) if name in TABLES else no_styles() for name in READS}
    relations = pd.DataFrame({"person_a": [*parents, *plain[0]], "person_b": [*children, *plain[1]], "kind": "parent_child"})
    tables["relations"] = typed(relations.assign(label=["trial"] * n + ["mother-child"] * 8), "relations")
    tables["classifications"] = typed(pd.DataFrame(coded, columns=["person_id", "wave", "system", "primary"]), "classifications")
    rated = pd.DataFrame(scores, columns=["person_id", "wave", "score"]).assign(instrument="rf", scale="aai", rater="observer")
    tables["scores"] = typed(rated, "scores")
    arms = pd.DataFrame({"person_id": parents, "treatment_id": "1", "arm": [r[0] for r in rows]})
    tables["treatments"] = typed(arms, "treatments")
    cells = [("S1", a, b, x, "stored") for (a, b), x in zip(((a, b) for a in "is" for b in "is"), (20, 10, 8, 22), strict=True)]
    cells += [("S2", a, b, 50, "recalled") for a in "is" for b in "is"]
    words = {"i": "insecure", "s": "secure"}
    sample = pd.DataFrame(cells, columns=["sample_id", "row_class", "col_class", "value", "standing"])
    sample = sample.replace({"row_class": words, "col_class": words}).assign(system="two", measure="count")
    tables["samples"] = typed(sample, "samples")
    return tables


def run(tables=None, **changes):
    data = TransmissionData(tables or study_tables(), settings(**changes), {})
    part = analyse(data)
    return data, part, estimates_frame(reasons_joined(part.estimates))


@cache
def plain():
    """Return what the settings give as they are."""
    return run()


def value(frame, estimand, group="", column="estimate"):
    (found,) = frame.loc[(frame["estimand"] == estimand) & (frame["group"] == group), column]
    return found


def test_shares_are_those_of_the_last_class_of_the_child_by_arm_and_class_before():
    _, part, found = plain()
    assert value(found, "child_secure", "treated, parent insecure") == pytest.approx(10 / 20)
    assert value(found, "child_secure", "comparison, parent insecure") == pytest.approx(5 / 18)
    assert "without effect" in value(found, "child_secure", "comparison, parent insecure", "note")
    assert value(found, "child_secure", "treated, parent secure") == pytest.approx(4 / 6)
    assert value(found, "interaction_risk_difference") == pytest.approx(10 / 20 - 5 / 18 - (4 / 6 - 5 / 6))
    assert found.loc[found["primary"], "estimand"].tolist() == ["interaction_risk_difference", "functioning_change"]
    assert value(found, "fraction_interrupted") == pytest.approx((10 / 20 - 5 / 18) / (13 / 18))
    assert set(found["definition"]) == {"2-way, unresolved insecure"}
    cells = part.tables["interruption_cells"]
    assert cells["n"].sum() == 53
    assert len(cells) == 2 * 2 * 3 * 3
    assert cells.query("arm == 'treated' and parent_before == 'insecure' and child_class == 'not known'")["n"].sum() == 2


def test_everybody_left_out_is_counted():
    data, _, _ = plain()
    lines = {step: (n_in, n_out) for step, n_in, n_out, *_ in data.flow.lines if step.startswith("interruption")}
    assert lines == {
        "interruption: pairs of the treatment": (66, 58),
        "interruption: parent in an arm": (58, 55),
        "interruption: parent's class before": (55, 53),
        "interruption: child's class": (53, 50),
    }


def test_children_not_seen_are_counted_by_arm_and_bound_the_difference():
    _, _, found = plain()
    assert value(found, "child_not_seen", "treated") == pytest.approx(2 / 28)
    assert value(found, "child_secure_difference_lowest", "parent insecure") == pytest.approx(10 / 22 - 6 / 19)
    assert value(found, "child_secure_difference_highest", "parent insecure") == pytest.approx(12 / 22 - 5 / 19)


def test_the_classes_after_tell_stayed_from_became_and_error_from_change():
    _, _, found = plain()
    assert value(found, "became_secure", "treated") == pytest.approx(6 / 20)
    assert value(found, "child_secure", "treated, parent stayed insecure") == pytest.approx(4 / 14)
    assert value(found, "child_secure", "comparison, parent became secure") == 1
    assert "formed after treatment" in value(found, "child_secure_difference", "parent stayed insecure", "note")
    # Of 53 parents 12 were secure before; the kappa is that of this way.
    assert value(found, "became_secure_by_error") == pytest.approx(12 / 53 * 0.4)
    assert "not checked in its source" in value(found, "became_secure_by_error", column="note")


def test_what_stands_beside_is_untreated_families_and_counts_that_were_read():
    _, _, found = plain()
    assert value(found, "child_secure", "families without treatment, parent insecure") == pytest.approx(2 / 6)
    assert value(found, "child_secure", "earlier samples, parent insecure") == pytest.approx(10 / 30)


def test_a_difference_is_an_association_unless_arms_were_allotted():
    _, _, allotted = plain()
    _, _, chosen = run(randomised=False)
    for estimand, group in (("child_secure_difference", "parent insecure"), ("interaction_risk_difference", "")):
        assert "allotted at random" in value(allotted, estimand, group, "note")
        assert "association" in value(chosen, estimand, group, "note")
    assert not allotted["estimand"].str.contains("effect").any()


def test_ways_differ_in_what_unresolved_parents_are():
    tables = study_tables()
    coded = tables["classifications"]
    # D alone has no forced class; give the children one.
    tables["classifications"] = coded.assign(forced=coded["primary"].map({"D": "A"}))
    _, part, _ = run(tables, way="2-way, forced")
    cells = part.tables["interruption_cells"]
    assert cells.query("arm == 'treated' and parent_before == 'secure'")["n"].sum() == 6 + 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"way": "4-way"}, r"transmission.interruption.way: found '4-way'; allowed: 2-way, unresolved insecure; 2-way, forced"),
        ({"treated": ["terapy"]}, "names the arm 'terapy', which the treatments table does not have. Did you mean 'therapy'"),
        ({"treated": [THERAPY, CARE]}, "names an arm twice"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        run(**changes)


def test_a_parent_in_both_arms_is_refused_without_an_id():
    tables = study_tables()
    again = tables["treatments"][:1].assign(treatment_id="2", arm=CARE)
    tables["treatments"] = typed(pd.concat([tables["treatments"], again], ignore_index=True), "treatments")
    with pytest.raises(DataError, match="1 people are both in a treated and in a comparison arm") as error:
        run(tables)
    assert "p00" not in str(error.value)


def test_two_classes_at_the_wave_are_refused():
    tables = study_tables()
    coded = tables["classifications"]
    again = coded[(coded["system"] == "AAI") & (coded["wave"] == 1)][:1].assign(coder="other")
    tables["classifications"] = typed(pd.concat([coded, again], ignore_index=True), "classifications")
    with pytest.raises(DataError, match="two first classifications"):
        run(tables)


def test_without_arms_settings_or_classes_the_reason_stands_in_the_table():
    tables = study_tables()
    for change, reason in (
        (lambda s: {k: v for k, v in s.items() if k != "interruption"}, "names no arms"),
        (
            lambda s: {**s, "interruption": {**s["interruption"], "labels": ["mother-child"]}},
            "no parent in an arm has a class before",
        ),
    ):
        step = run_step(OWN, tables, settings=change(settings()), instruments={}, replicates=199)
        rows = [r for r in step.estimates if r.analysis == "interruption"]
        assert [r.estimand for r in rows] == ["not testable"]
        assert reason in rows[0].note
        assert step.tables["interruption_cells"].empty


def test_without_a_wave_after_the_rest_stands():
    _, part, found = run(after=None)
    reasons = found.loc[found["estimand"] == "not testable", "note"].tolist()
    assert any("no wave after treatment" in r for r in reasons)
    assert value(found, "child_secure", "treated, parent insecure") == pytest.approx(10 / 20)
    assert set(part.tables["interruption_cells"].query("n > 0")["parent_after"]) == {"not known"}


def frame(*cells):
    """Pairs of (arm, before, after, child, how often)."""
    rows = [c[:4] for c in cells for _ in range(c[4])]
    return pd.DataFrame(rows, columns=["arm", "before", "after", "child"])


def estimates(rows):
    return estimates_frame(reasons_joined(rows))


def test_only_insecure_parents_leave_the_interaction_untold_and_the_rest_told():
    pairs = frame(("treated", "insecure", None, "secure", 8), ("comparison", "insecure", None, "insecure", 9))
    found = estimates(interrupted_transmission(pairs))
    assert "needs secure parents in both arms" in value(found, "not testable", "interaction_risk_difference", "note")
    assert value(found, "child_secure_difference", "parent insecure") == 1
    assert value(found, "fraction_interrupted") == 1


def test_where_no_arm_transmits_there_is_nothing_to_interrupt():
    pairs = frame(("treated", "insecure", None, "secure", 8), ("comparison", "insecure", None, "secure", 9))
    found = estimates(interrupted_transmission(pairs))
    assert math.isnan(value(found, "fraction_interrupted"))
    assert "not defined" in value(found, "fraction_interrupted", column="note")
    assert math.isnan(value(found, "number_needed_to_treat"))
    assert "no number is enough" in value(found, "number_needed_to_treat", column="note")


def test_one_arm_only_is_a_reason():
    found = estimates(interrupted_transmission(frame(("treated", "insecure", None, "secure", 8))))
    assert "no insecure parent with a classified child in one of the arms" in found["note"].str.cat()
    assert not (found["estimand"] == "fraction_interrupted").any()


def test_clusters_of_one_change_nothing_and_shared_families_widen():
    cells = [(a, b, None, c, k) for (a, b, c), k in zip(
        [(a, b, c) for a in ("treated", "comparison") for b in ("insecure", "secure") for c in ("secure", "insecure")],
        (12, 8, 10, 6, 8, 14, 8, 6), strict=True)]  # fmt: skip
    pairs = frame(*cells)
    alone = estimates(interrupted_transmission(pairs))
    pd.testing.assert_frame_equal(alone, estimates(interrupted_transmission(pairs.assign(cluster=np.arange(len(pairs))))))
    alike = estimates(interrupted_transmission(pairs.assign(cluster=np.arange(len(pairs)) // 2)))
    both = [f.loc[f["estimand"] == "interaction_risk_difference"].iloc[0] for f in (alone, alike)]
    assert both[0]["estimate"] == pytest.approx(both[1]["estimate"])
    assert both[1]["ci_high"] - both[1]["ci_low"] > both[0]["ci_high"] - both[0]["ci_low"]
    assert "families" in value(alike, "child_secure", "treated, parent insecure", "method")
    assert "CR2" in value(alike, "interaction_odds_ratio", column="method")


def test_words_and_columns_that_are_wrong_are_refused():
    pairs = frame(("treated", "insecure", "secure", "secure", 3))
    with pytest.raises(DataError, match="has no column 'child'"):
        interrupted_transmission(pairs.drop(columns="child"))
    with pytest.raises(DataError, match=r"pairs\.arm: holds another word than treated, comparison"):
        interrupted_transmission(pairs.assign(arm="therapy"))


def test_error_alone_needs_an_agreement_and_somebody_secure():
    pairs = frame(("treated", "insecure", "secure", "secure", 3), ("comparison", "insecure", "insecure", "insecure", 3))
    assert "needs the agreement" in estimates(unchanged_class(pairs))["note"].str.cat()
    assert "no secure parent" in estimates(unchanged_class(pairs, retest={"kappa": 0.7}))["note"].str.cat()
    given = estimates(unchanged_class(pairs, retest={"kappa": 0.7}, share_secure=0.5))
    assert value(given, "became_secure_by_error") == pytest.approx(0.15)
    lost = unchanged_class(pairs.assign(after=None), retest={"kappa": 0.7})
    assert "no insecure parent has a class after" in estimates(lost)["note"].str.cat()


def changed(n=40, seed=1):
    rng = np.random.default_rng(seed)
    first, change = 3 + rng.random(n), rng.random(n) * 3
    child = np.where(rng.random(n) < 0.15 + 0.2 * change, "secure", "insecure")
    pairs = pd.DataFrame({"arm": "treated", "before": "insecure", "after": "insecure", "child": child})
    return pairs.assign(functioning_before=first, functioning_after=first + change)


def test_only_parents_whose_class_is_the_same_count_for_the_change_in_functioning():
    pairs = changed()
    other = pairs.assign(after="secure", child="secure", functioning_after=0.0)
    alone, both = (estimates(functioning_change(p)) for p in (pairs, pd.concat([pairs, other], ignore_index=True)))
    pd.testing.assert_frame_equal(alone, both)
    group = "parent's class unchanged"
    assert value(alone, "functioning_change", group) > 0
    assert "regression to the mean" in value(alone, "functioning_change", group, "note")


def test_separation_is_told_and_a_penalised_odds_ratio_given():
    pairs = changed()
    pairs["child"] = np.where(pairs["functioning_after"] - pairs["functioning_before"] > 1.5, "secure", "insecure")
    found = estimates(functioning_change(pairs))
    odds = found[found["estimand"] == "functioning_change_odds_ratio"].iloc[0]
    assert "separate" in odds["note"]
    assert 1 < odds["estimate"] < math.inf


def test_the_reliability_of_a_change_by_hand():
    pairs = changed()
    group = "parent's class unchanged"
    found = estimates(functioning_change(pairs, reliability=0.8))
    first, second = pairs["functioning_before"].var(), pairs["functioning_after"].var()
    change = (pairs["functioning_after"] - pairs["functioning_before"]).var()
    assert value(found, "functioning_change_reliability", group) == pytest.approx(1 - 0.2 * (first + second) / change)
    with pytest.raises(StatisticsError, match="allowed: above 0 to 1"):
        functioning_change(pairs, reliability=1.2)


def test_too_few_or_nobody_changed_is_a_reason():
    with pytest.raises(StatisticsError, match="fewer than 20 pairs"):
        functioning_change(changed(19))
    with pytest.raises(StatisticsError, match="by the same in everybody"):
        functioning_change(changed().assign(functioning_before=1.0, functioning_after=2.0))

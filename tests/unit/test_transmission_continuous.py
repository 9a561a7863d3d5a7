"""Correlations of dimensions between generations."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import DataError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.measures.targets import dimension
from attachment_outcomes.study.contracts import typed
from attachment_outcomes.transmission.continuous import PAIRS, correlations


def relations(rows):
    return typed(
        pd.DataFrame(rows, columns=["person_a", "person_b", "family_id", "label"]).assign(kind="parent_child"), "relations"
    )


def scores(rows):
    """Rows of person, about, wave, score name, rater, score."""
    frame = pd.DataFrame(rows, columns=["person_id", "about_person_id", "wave", "name", "rater", "score"])
    split = frame.pop("name").str.split(".", expand=True)
    return typed(frame.assign(instrument=split[0], scale=split[1]), "scores")


def test_families_of_cook_2000(shared_data):
    folder = shared_data / "cook2000_family"
    raw = pd.read_csv(folder / "cook2000_four_person.csv")
    family = raw["family.id"].astype(str)
    values = {
        "p": family + raw["actor.id"],
        "a": family + raw["partner.id"],
        "w": 0,
        "n": "aas.anxiety",
        "r": "self",
        "s": raw["anx"],
    }
    table = scores(pd.DataFrame(values).to_numpy().tolist())
    names = {"m-c": "mother_older", "m-y": "mother_younger", "f-c": "father_older", "f-y": "father_younger"}
    pairs = relations([(f"{f}{n[0]}", f"{f}{n[2]}", f, n) for f in family.unique() for n in names])
    side = {"score": "aas.anxiety", "mean_over_targets": True}
    rows, shown = correlations(
        pairs, table, settings=[{"label": n, "parent": side, "child": side} for n in [*names, "all"]], flow=Flow()
    )
    expected = json.loads((folder / "reference.json").read_text(encoding="utf-8"))["transmission"]
    for row in rows[:4]:
        r = expected[names[row.group]]
        assert (row.estimate, row.p_value, row.n) == pytest.approx((r["r"], r["p"], r["n"]), abs=1e-9)
        assert [row.ci_low, row.ci_high] == pytest.approx(r["ci"], abs=1e-9)
    assert (rows[4].n, rows[4].n_clusters, rows[4].method) == (832, 208, "Pearson, cluster jackknife of Fisher z")
    assert list(shown.columns) == list(PAIRS)
    assert len(shown) == 2 * 832


def test_families_of_ferreira_2023(shared_data):
    folder = shared_data / "ferreira2023_parent_child"
    raw = pd.read_csv(folder / "main_data.csv")
    rows, pairs = [], []
    for i, family in raw.iterrows():
        for who, label in (("m", "mother-child"), ("f", "father-child")):
            rows.append((f"{who}{i}", None, 0, "ecr.insecurity", "self", family[f"{who}_sec_t1"]))
            rows.append((f"c{i}", f"{who}{i}", 0, "prq.attachment", "parent", family[f"{who}c_att_t1"]))
            pairs.append((f"{who}{i}", f"c{i}", f"family {i}", label))
    settings = [
        {"label": label, "parent": {"score": "ecr.insecurity"}, "child": {"score": "prq.attachment", "rater": "parent", "wave": 0}}
        for label in ("mother-child", "father-child")
    ]
    flow = Flow()
    found, _ = correlations(relations(pairs), scores(rows), settings=settings, flow=flow)
    expected = json.loads((folder / "reference.json").read_text(encoding="utf-8"))["transmission"]
    for row, r in zip(found, expected[:2], strict=True):
        assert (row.estimate, row.p_value, row.n) == pytest.approx((r["r"], r["p"], r["n"]), abs=1e-7)
        assert [row.ci_low, row.ci_high] == pytest.approx(r["ci"], abs=1e-7)
    assert flow.frame()["n_in"].iloc[0] == 215


def test_a_score_about_the_other_goes_before_one_about_nobody():
    pairs = relations([("m", "c", "f", "x"), ("d", "c", "f", "x")])
    values = [("m", None, 0, "i.s", "self", 1.0), ("d", None, 0, "i.s", "self", 2.0)]
    values += [("c", "m", 0, "i.t", "self", 5.0), ("c", None, 0, "i.t", "self", 7.0), ("c", "q", 0, "i.t", "self", 9.0)]
    setting = [{"label": "all", "parent": {"score": "i.s"}, "child": {"score": "i.t"}}]
    rows, shown = correlations(pairs, scores(values), settings=setting, flow=Flow())
    assert shown[["parent", "child"]].to_numpy().tolist() == [[1.0, 5.0], [2.0, 7.0]]
    assert "fewer than 4" in rows[0].note


def test_occasions_and_means_over_targets():
    rows = [("p", "a", 0, "i.s", "self", np.nan), ("p", "a", 1, "i.s", "self", 3.0), ("p", "b", 1, "i.s", "self", 5.0)]
    rows += [("p", "a", 2, "i.s", "self", 6.0), ("p", None, 1, "i.s", "mother", 9.0)]
    table = scores(rows)
    assert dimension(table, score="i.s", wave="first")["score"].tolist() == [3.0, 5.0]
    assert sorted(dimension(table, score="i.s", wave="last")["score"]) == [5.0, 6.0]
    assert dimension(table, score="i.s", wave=2)["score"].tolist() == [6.0]
    assert dimension(table, score="i.s", mean_over_targets=True)["score"].tolist() == [4.0]
    assert dimension(table, score="i.s", rater="mother")["score"].tolist() == [9.0]
    assert dimension(table, score="i.x").empty


def test_sessions_stand_in_for_waves():
    table = scores([("p", None, None, "i.s", "self", 2.0), ("p", None, None, "i.s", "self", 8.0)])
    table["session_number"] = pd.array([1, 2], dtype="Int64")
    assert dimension(table, score="i.s")["score"].tolist() == [2.0]
    assert dimension(table, score="i.s", wave="last")["score"].tolist() == [8.0]


def test_two_scores_at_one_occasion_are_refused():
    table = scores([("p", None, 0, "i.s", "self", 2.0), ("p", None, 0, "i.s", "self", 8.0)])
    with pytest.raises(DataError, match="1 people have two scores about the same person"):
        dimension(table, score="i.s")


def test_what_is_not_there_is_told():
    pairs = relations([("m", "c", "f", "x")])
    settings = [{"label": label, "parent": {"score": "i.s"}, "child": {"score": "i.t"}} for label in ("y", "z", "x")]
    rows, shown = correlations(pairs, scores([("m", None, 0, "i.s", "self", 1.0)]), settings=settings, flow=Flow())
    assert [r.estimand for r in rows] == [NOT_TESTABLE] * 3
    assert "label 'y'" in rows[0].note
    assert rows[2].note == "no pair has both scores"
    assert shown.empty
    estimates_frame(rows)

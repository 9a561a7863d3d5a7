"""What a study's relations and classes give over three generations: chains, rows, tables, reasons, and bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import load_published
from attachment_outcomes.errors import ConfigError, DataError, StatisticsError
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.generations import study
from attachment_outcomes.transmission.generations.chains import chain_table, find_generations
from attachment_outcomes.transmission.stage import TRANSMISSION, run_step

TWO, FOUR = "2-way, unresolved insecure", "4-way"
CLASSES = (("Ds", "F", "E", "U"), ("A", "B", "C", "D"))
SHARES = (0.19, 0.5, 0.11, 0.2)
RELATIONS = ["person_a", "person_b", "label"]


def retest(way: str, kappa: float) -> dict[str, object]:
    return {"way": way, "kappa": kappa, "of": "test-retest", "source": "made up", "verified": False}


def tables(relations: list[tuple[str, str, str]], classes: list[tuple[str, str, str]], kinds: list[str] | None = None):
    rows = pd.DataFrame(relations, columns=RELATIONS)
    rows["kind"] = kinds or "parent_child"
    rows["family_id"] = pd.Series([None] * len(rows), dtype="str")
    rows["generation"] = 1
    coded = pd.DataFrame(classes, columns=["person_id", "system", "primary"])
    for column in ("about_person_id", "secondary", "forced"):
        coded[column] = pd.Series([None] * len(coded), dtype="str")
    coded["wave"] = pd.Series([0] * len(coded), dtype="Int64")
    empty = pd.DataFrame()
    return {"relations": rows, "classifications": coded, "scores": empty, "styles": empty, "treatments": empty, "samples": empty,
            "sample_traits": empty}  # fmt: skip


def families(n: int = 120, *, elders: bool = True, siblings: int = 0, stays: float = 0.45, seed: int = 1):
    rng = np.random.default_rng(seed)
    relations, coded = [], []

    def next_class(own: int) -> int:
        return own if rng.random() < stays else int(rng.choice(4, p=SHARES))

    for f in range(n):
        elder = int(rng.choice(4, p=SHARES))
        parent = next_class(elder)
        coded.append((f"P{f}", "AAI", CLASSES[0][parent]))
        if elders:
            relations.append((f"G{f}", f"P{f}", "grandmother-parent"))
            coded.append((f"G{f}", "AAI", CLASSES[0][elder]))
        for s in range(1 + (f < siblings)):
            relations.append((f"P{f}", f"K{f}.{s}", "mother-child"))
            coded.append((f"K{f}.{s}", "SSP", CLASSES[1][next_class(parent)]))
    return tables(relations, coded)


def data(content, *, ways=(TWO,), errors=True, replicates=199, **more) -> TransmissionData:
    settings = {
        "parent_system": "AAI", "child_system": "SSP", "labels": [],
        "generations": {"grandparent_system": "AAI", "ways": list(ways), "ahead": 3},
    }  # fmt: skip
    if errors:
        settings["misclassification"] = {"parent": [retest(w, 0.63) for w in ways], "child": [retest(w, 0.7) for w in ways]}
    return TransmissionData(content, {**settings, **more}, replicates=replicates, seed=5)


def rows(part, **wanted):
    return [r for r in part.estimates if all(getattr(r, k) == v for k, v in wanted.items())]


def test_a_study_gives_agreement_tests_and_projections_with_and_without_error() -> None:
    made = data(families())
    part = study.analyse(made)
    frame = estimates_frame(part.estimates)
    assert set(frame["analysis"]) == {"three_generations"}
    assert set(frame["outcome"]) == {"AAI-AAI-SSP"}
    chains = part.tables["generation_chains"]
    assert chains["n"].sum() == 120
    of = {(r.estimand, r.group, r.method.split(",")[0]): r for r in part.estimates}
    # By hand from the table.
    counts = chains["n"].to_numpy().reshape(2, 2, 2)
    agreement = of["agreement", "grandparent and child", "Wilson interval"]
    assert agreement.estimate == pytest.approx((counts[0, :, 0].sum() + counts[1, :, 1].sum()) / 120)
    persists = of["persists", "secure", "Wilson interval"]
    assert persists.estimate == pytest.approx(counts[0, 0, 0] / counts[0].sum())
    assert persists.n == counts[0].sum()
    markov = of["markov", "", "X²"]
    assert markov.primary
    assert markov.method == "X², shuffles within strata"
    assert 0 < markov.p_value <= 1
    assert not of["markov", "", "G²"].primary
    given = of[
        "markov_given_error", "corrected for error", "chain of true classes read with known error; 999 data sets from the fit"
    ]
    assert "at 5 %" in given.note
    left = rows(part, estimand="conditional_kappa_by_error")[0]
    assert left.estimate > 0
    assert "test-retest kappa 0.63, not checked in its source" in left.note
    beyond = rows(part, estimand="conditional_kappa_beyond_error")[0]
    assert beyond.estimate == pytest.approx(rows(part, estimand="conditional_kappa")[0].estimate - left.estimate)
    plain, corrected = (rows(part, estimand="difference_left", group=g)[0] for g in ("", "corrected for error"))
    assert plain.ci_low < plain.estimate < plain.ci_high
    assert corrected.estimate > plain.estimate
    odds = rows(part, estimand="common_odds_ratio")
    assert [r.primary for r in odds] == [True, False]
    projected = part.tables["generation_projection"]
    assert list(projected["start_class"].unique()) == ["all", "secure", "insecure"]
    one = projected[(projected["generation"] == 3) & (projected["start_class"] == "secure") & ~projected["corrected"]]
    assert one["share"].item() == pytest.approx(rows(part, estimand="secure_line", group="generation 3")[0].estimate)
    moves = part.tables["generation_transitions"]
    assert moves.groupby(["step", "from_class"])["share"].sum().to_numpy() == pytest.approx(1)
    assert moves["n"].sum() == 240


def test_the_same_seed_gives_the_same_rows() -> None:
    one, two = (estimates_frame(study.analyse(data(families())).estimates) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_families_with_several_chains_count_as_one() -> None:
    part = study.analyse(data(families(siblings=60), ways=(TWO, FOUR), replicates=99))
    markov = rows(part, estimand="markov", definition=TWO)
    assert [r.method for r in markov] == ["X², signs of families"]
    assert (markov[0].n, markov[0].n_clusters) == (180, 120)
    agreement = rows(part, estimand="agreement", definition=FOUR)[0]
    assert agreement.method == "Wilson interval on the effective n of families"
    given = rows(part, estimand="markov_given_error", definition=TWO)[0]
    assert given.n == 120
    assert "one chain a family" in given.note
    assert not rows(part, estimand="common_odds_ratio", definition=FOUR)
    # 120 families are enough for the degrees of freedom of four classes, 40 are not.
    assert rows(part, estimand="markov", definition=FOUR)[0].method == "X², signs of families"
    few = rows(study.analyse(data(families(40, siblings=20), ways=(FOUR,), errors=False)), estimand="markov")[0]
    assert (few.method, few.n) == ("X², shuffles within strata, one unit a family", 40)


def test_both_lines_of_a_child_are_chains_of_one_family() -> None:
    content = tables(
        [("G1", "M", "x"), ("G2", "M", "x"), ("G3", "F", "x"), ("M", "K", "x"), ("F", "K", "x")],
        [(p, "AAI", "F2") for p in ("G1", "G2", "G3", "M", "F")] + [("K", "SSP", "B3")],
    )
    made = data(content)
    found = find_generations(made, made.settings["generations"])
    assert len(found.families["chains"]) == 3
    assert set(found.families["chains"]) == {0}
    assert len(found.families["older"]) == 3
    assert len(found.families["younger"]) == 5  # the parents with their child, and G1 to G3 with theirs
    # One family cannot be drawn again: no interval, but nothing breaks.
    part = study.analyse(made)
    assert rows(part, estimand="all_alike")[0].estimate == 1


def test_labels_choose_the_younger_pairs_and_any_relation_may_hold_the_grandparent() -> None:
    made = data(families(30), labels=["mother-child"])
    found = find_generations(made, made.settings["generations"])
    assert {kind: len(f) for kind, f in found.families.items()} == {"chains": 30, "older": 30, "younger": 30}
    # Grandmothers with parents are no pairs whose child has a Strange Situation.
    part = study.analyse(data(families(30), labels=["grandmother-parent"]))
    assert [r.note for r in part.estimates] == ["no parent–child pair has both classes"]


def test_without_chains_pairs_are_projected_and_what_is_untested_is_said() -> None:
    part = study.analyse(data(families(elders=False), errors=False))
    reasons = [r.note for r in part.estimates if r.estimand == NOT_TESTABLE]
    assert reasons == ["no chain of grandparent, parent and child has all three classes: whether it is first-order is untested"]
    line = rows(part, estimand="secure_line", group="generation 2")[0]
    assert line.ci_low < line.estimate < line.ci_high
    assert "first-order is untested" in line.note
    assert part.tables["generation_chains"]["n"].sum() == 0


def test_without_retests_the_trap_is_named() -> None:
    part = study.analyse(data(families(60), errors=False))
    (row,) = rows(part, estimand=NOT_TESTABLE)
    assert "error in the parent's class may stand for an influence of grandparents" in row.note
    other = data(families(60), generations={"grandparent_system": "styles", "ways": [TWO], "ahead": 2})
    notes = [r.note for r in study.analyse(other).estimates if r.estimand == NOT_TESTABLE]
    assert any("no chain" in n for n in notes)


def test_a_way_without_meaning_is_not_testable_and_the_others_stay() -> None:
    made = data(families(60), ways=(TWO, FOUR), errors=False, child_system="AQS")
    part = study.analyse(made)
    notes = {r.definition: r.note for r in part.estimates if r.estimand == NOT_TESTABLE}
    assert "has no meaning" in notes[FOUR]
    with pytest.raises(StatisticsError, match="asks for no chains"):
        study.analyse(data(families(5), generations=None))


def test_loops_own_grandparents_and_parents_who_are_grandparents() -> None:
    coded = [(p, "AAI", "F2") for p in ("A", "B")] + [("C", "SSP", "B3")]
    for relations in ([("A", "B", "x"), ("B", "C", "x"), ("C", "A", "x")], [("A", "B", "x"), ("B", "A", "x")]):
        with pytest.raises(DataError, match="loop"):
            study.analyse(data(tables(relations, coded)))
    with pytest.raises(DataError, match="own parent"):
        study.analyse(data(tables([("A", "A", "x")], coded)))
    # A grandparent who adopted the child: no chain of three generations, and counted.
    adopted = tables([("A", "B", "x"), ("B", "C", "x"), ("A", "C", "x")], coded, ["parent_child"] * 2 + ["parent_child_adoptive"])
    made = data(adopted)
    found = find_generations(made, made.settings["generations"])
    assert len(found.families["chains"]) == 0
    flow = made.flow.frame()
    line = flow[flow["reason"] == "the grandparent is also given as a parent of the child"]
    assert (line["n_in"].item(), line["n_out"].item()) == (1, 0)


def test_everybody_left_out_is_counted() -> None:
    content = families(40)
    coded = content["classifications"]
    content["classifications"] = coded[~coded["person_id"].isin(["G1", "P2", "K3.0"])].reset_index(drop=True)
    made = data(content)
    part = study.analyse(made)
    flow = made.flow.frame()
    lost = flow[flow["step"] == f"three generations, {TWO}"]
    assert (lost["n_in"] - lost["n_out"]).tolist() == [1, 1, 1]
    assert part.tables["generation_chains"]["n"].sum() == 37


def test_bad_codes_and_reliabilities_stop_the_run() -> None:
    content = families(20)
    content["classifications"].loc[0, "primary"] = "X9"
    with pytest.raises(DataError, match="code that the AAI does not have"):
        study.analyse(data(content))
    bad = {"parent": [retest(TWO, 0.6), retest(TWO, 0.6)], "child": [retest(TWO, 0.6)]}
    with pytest.raises(ConfigError, match="twice"):
        study.analyse(data(families(20), misclassification=bad))


def test_errors_that_cannot_be_undone_leave_the_rest() -> None:
    blind = {**retest(TWO, 0.6), "kappa": None, "errors": [[0.5, 0.5], [0.5, 0.5]]}
    part = study.analyse(data(families(40), misclassification={"parent": [blind], "child": [retest(TWO, 0.6)]}))
    (row,) = rows(part, estimand=NOT_TESTABLE)
    assert "do not tell some classes apart" in row.note
    assert rows(part, estimand="difference_left")[0].estimate > 0


def test_published_results_stand_beside_and_test_nothing() -> None:
    made = data(families(30))
    part = study.analyse(
        TransmissionData(made.tables, made.settings, published=load_published("transmission")["results"], replicates=99)
    )
    found = {r.definition: r for r in rows(part, estimand="published")}
    assert set(found) == {"benoit_parker1994_grandmother_3way", "benoit_parker1994_grandmother_4way", "hautamaki2010_chain"}
    row = found["hautamaki2010_chain"]
    assert (row.estimate, row.n, row.primary) == (0.47, 32, False)
    assert "read in its abstract" in row.note
    assert "nothing can be tested" in row.note


def test_the_step_runs_it_and_says_why_not() -> None:
    content = families(40)
    content["relations"] = content["relations"].iloc[:0]
    block = data(content).settings
    three = [a for a in TRANSMISSION if a.names == ("three_generations",)]
    result = run_step(three, content, settings=block, instruments={}, replicates=99)
    assert [e.estimand for e in result.estimates] == [NOT_TESTABLE]
    assert set(result.tables) == set(study.TABLES)


def test_chains_are_in_a_fixed_order() -> None:
    pairs = pd.DataFrame({"parent": ["b", "a", "b"], "child": ["d", "b", "c"], "cluster": [0, 0, 0]})
    found = chain_table(pairs)
    assert found[["grandparent", "parent", "child"]].to_numpy().tolist() == [["a", "b", "c"], ["a", "b", "d"]]
    assert chain_table(pairs.iloc[:0]).empty

"""Scoring by hand: long and wide answers, proration, refusals, targets, and what is counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import load_instrument
from attachment_outcomes.errors import DataError
from attachment_outcomes.flow import Flow
from attachment_outcomes.measures import score
from attachment_outcomes.measures.assembly import all_scores, item_matrices
from attachment_outcomes.measures.instruments import read_instrument, read_instruments
from attachment_outcomes.measures.scoring import SCORES
from attachment_outcomes.study.contracts import empty, typed

NAN = float("nan")


def long(rows: list[dict[str, object]], instrument: str) -> pd.DataFrame:
    return typed(pd.DataFrame([{"instrument": instrument, "rater": "self", "wave": 0, **r} for r in rows]), "items")


def answers(person: str, values: dict[int, float], instrument: str, **more: object) -> pd.DataFrame:
    return long([{"person_id": person, "item": str(i), "value": v, **more} for i, v in values.items()], instrument)


PHQ = {1: 3, 2: 3, 3: 2, 4: 2, 5: 1, 6: 1, 7: 0, 8: 0, 9: 2}  # sum 14


def test_long_answers_give_canonical_scores() -> None:
    found = score(answers("p1", PHQ, "phq9"), instrument="phq9")
    assert list(found.columns) == SCORES
    assert typed(found, "scores").equals(found[list(typed(found, "scores").columns)])
    row = found.iloc[0]
    assert (row["person_id"], row["wave"], row["instrument"], row["scale"], row["rater"]) == ("p1", 0, "phq9", "total", "self")
    assert (row["score"], row["n_items"], row["n_answered"], row["prorated"]) == (14, 9, 9, False)


def test_a_long_frame_needs_only_person_item_and_value() -> None:
    found = score(pd.DataFrame({"person_id": ["a"] * 9, "item": range(1, 10), "value": [1] * 9}), instrument="phq9")
    assert found["score"].tolist() == [9]
    assert found["rater"].tolist() == ["self"]


def test_wide_answers_keep_the_index_and_say_what_was_prorated() -> None:
    frame = pd.DataFrame({f"Q{i}": [1.0, 2.0] for i in range(1, 8)} | {"Q8": [1.0, NAN], "Q9": [1.0, NAN]}, index=["x", "y"])
    found = score(frame, instrument="phq9")
    assert found.index.tolist() == ["x", "y"]
    assert found["total"].tolist() == [9, 18]  # 14 / 7 x 9
    assert found["total_n_answered"].tolist() == [9, 7]
    assert found["total_prorated"].tolist() == [False, True]
    assert np.isnan(score(frame, instrument="phq9", complete_only=True)["total"].iloc[1])


def test_wide_columns_can_be_named() -> None:
    frame = pd.DataFrame({letter: [2] for letter in "abcdefg"})
    assert score(frame, instrument="gad7", columns=dict(zip(range(1, 8), "abcdefg", strict=True)))["total"].tolist() == [14]


def test_rows_may_come_in_any_order_and_waves_stay_apart() -> None:
    rows = pd.concat(
        [answers("p1", PHQ, "phq9", wave=1), answers("p1", dict.fromkeys(range(1, 10), 0), "phq9"), answers("p2", PHQ, "phq9")]
    )
    found = score(rows.sample(frac=1, random_state=1), instrument="phq9").set_index(["person_id", "wave"])["score"]
    assert found.to_dict() == {("p1", 0): 0, ("p1", 1): 14, ("p2", 0): 14}


def test_items_with_leading_zeros_are_the_same_items() -> None:
    rows = answers("p", PHQ, "phq9")
    assert score(rows.assign(item="0" + rows["item"]), instrument="phq9")["score"].tolist() == [14]


def test_a_row_without_an_answer_and_an_absent_row_are_both_unanswered() -> None:
    rows = answers("p", {**PHQ, 1: NAN}, "phq9")
    others = answers("q", PHQ, "phq9")
    kept = score(pd.concat([rows, others]), instrument="phq9")
    dropped = score(pd.concat([rows[rows["value"].notna()], others]), instrument="phq9")
    assert kept["score"].tolist() == dropped["score"].tolist() == [11 / 8 * 9, 14]


def test_every_prorated_and_refused_score_is_counted() -> None:
    people = [PHQ, {**PHQ, 1: NAN}, {**PHQ, 1: NAN, 2: NAN, 3: NAN}, dict.fromkeys(PHQ, NAN)]
    flow = Flow()
    found = score(pd.concat([answers(f"p{n}", a, "phq9") for n, a in enumerate(people)]), instrument="phq9", flow=flow)
    assert found["score"].isna().tolist() == [False, False, True, True]
    assert flow.lines == [
        ("phq9.total: answered", 4, 3, "no item answered", "questionnaires"),
        ("phq9.total: scored", 3, 2, "more than 2 of 9 items unanswered", "questionnaires"),
        ("phq9.total: prorated", 2, 2, "1 of them made from fewer than all items", "questionnaires"),
    ]


RS = {1: 6, 2: 7, 3: 6, 4: 5, 5: 2, 6: 2, 7: 3, 8: 4, 9: 5}  # avoidance 2, anxiety 4


def test_ecr_rs_global_is_the_mean_over_targets() -> None:
    mother, father = (
        answers("p", RS, "ecr_rs", about_person_id="m"),
        answers("p", {**RS, 7: 6, 8: 6, 9: 6}, "ecr_rs", about_person_id="f"),
    )
    not_asked = answers("p", dict.fromkeys(RS, NAN), "ecr_rs", about_person_id="x")
    flow = Flow()
    found = score(pd.concat([mother, father, not_asked]), instrument="ecr_rs", flow=flow)
    overall = found[found["scale"] == "global_anxiety"].iloc[0]
    assert (overall["score"], overall["n_items"], overall["n_answered"]) == (5, 2, 2)  # (4 + 6) / 2; the third was not asked about
    assert pd.isna(overall["about_person_id"])
    assert found.loc[found["scale"] == "global_avoidance", "score"].tolist() == [2]
    assert (
        "ecr_rs.global_anxiety: targets asked about",
        3,
        2,
        "no item answered about this person",
        "questionnaires",
    ) in flow.lines


def test_ecr_rs_global_is_refused_when_a_target_has_no_score() -> None:
    rows = pd.concat([answers("p", RS, "ecr_rs", about_person_id="m"), answers("p", {**RS, 9: NAN}, "ecr_rs", about_person_id="f")])
    found = score(rows, instrument="ecr_rs").set_index("scale")["score"]
    assert np.isnan(found["global_anxiety"])
    assert found["global_avoidance"] == 2


def test_ecr_rs_given_once_about_people_in_general() -> None:
    found = score(answers("p", RS, "ecr_rs"), instrument="ecr_rs").set_index("scale")["score"]
    assert found.to_dict() == {"avoidance": 2, "anxiety": 4, "global_avoidance": 2, "global_anxiety": 4}


def test_a_study_with_other_answers_reverses_on_its_own_range() -> None:
    five_point = read_instrument("ecr", override={"range": [1, 5], "reason": "web form"})
    found = score(pd.DataFrame({i: [2.0] for i in range(1, 37)}), instrument=five_point)
    assert found["anxiety"].iloc[0] == pytest.approx((17 * 2 + 4) / 18)  # item 22 reversed: 6 - 2


def test_answers_outside_the_range_are_refused_by_column_and_row_without_their_content() -> None:
    frame = pd.DataFrame({f"Q{i}": [1, 2, 3] for i in range(1, 10)}).assign(Q4=[1, 77, 2])
    with pytest.raises(DataError, match="phq9, column 'Q4': answers outside 0 to 3 in row 2") as caught:
        score(frame, instrument="phq9")
    assert "77" not in str(caught.value)
    with pytest.raises(DataError, match="phq9, value: answers outside 0 to 3 in row 4"):
        score(answers("p", {**PHQ, 4: 77}, "phq9"), instrument="phq9")


def test_words_among_answers_are_refused_without_their_content() -> None:
    frame = pd.DataFrame({f"Q{i}": ["1", "2"] for i in range(1, 10)}).assign(Q2=["1", "often"])
    with pytest.raises(DataError, match="column 'Q2': cells that are not numbers in row 2") as caught:
        score(frame, instrument="phq9")
    assert "often" not in str(caught.value)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"Q1": [1], "age": [40]}), "column 'age' has no item number of its own"),
        (pd.DataFrame({"Q1": [1], "P1": [1]}), "column 'P1' has no item number of its own"),
        (pd.DataFrame({f"Q{i}": [1] for i in range(1, 11)}), "no item for column 'Q10'; items are 1 to 9"),
        (pd.DataFrame({f"Q{i}": [1] for i in range(1, 9)}), "phq9.total: nobody answered item 9"),
    ],
)
def test_columns_that_are_not_the_items_are_refused(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        score(frame, instrument="phq9")


def test_an_item_of_another_instrument_is_refused() -> None:
    with pytest.raises(DataError, match="an item that the instrument does not have in row 10; items are 1 to 9"):
        score(answers("p", {**PHQ, 10: 1}, "phq9"), instrument="phq9")


def test_items_that_no_scale_uses_are_let_be() -> None:
    given = dict.fromkeys((1, 4, 6, 8, 10, 2, 3, 5, 9, 12, 7), 4.0)
    found = score(answers("p", given, "erep"), instrument="erep").set_index("scale")["score"]
    assert found.to_dict() == {"anxiety": 4, "avoidance": 4}


def test_an_answer_given_twice_is_refused() -> None:
    rows = answers("p", PHQ, "phq9")
    with pytest.raises(DataError, match="phq9 items: 1 answers stand twice"):
        score(pd.concat([rows, rows.iloc[[0]]]), instrument="phq9")


def test_an_answer_without_a_value_in_the_recoding_is_refused() -> None:
    with pytest.raises(DataError, match="rfq8, item 1: 1 answers have no value in the key; allowed: 1, 2, 3, 4, 5, 6, 7"):
        score(pd.DataFrame({i: [2.5 if i == 1 else 1] for i in range(1, 9)}), instrument="rfq8")


def test_a_scale_whose_items_were_not_given_is_counted_and_left_out() -> None:
    flow = Flow()
    found = score(answers("p", dict.fromkeys(range(2, 37, 2), 3), "ecr"), instrument="ecr", flow=flow)
    assert found["scale"].tolist() == ["anxiety"]
    assert ("ecr.avoidance: given", 1, 0, "none of the scale's items is in the data", "questionnaires") in flow.lines


FORMS = read_instruments({"phq9": load_instrument("phq9"), "das": load_instrument("das"), "gad7": load_instrument("gad7")})


def imported(rows: list[dict[str, object]]) -> pd.DataFrame:
    return typed(pd.DataFrame([{"rater": "self", "wave": 0, **r} for r in rows]), "scores")


def test_imported_and_scored_stand_in_one_table() -> None:
    flow = Flow()
    items = pd.concat([answers("p", PHQ, "phq9"), answers("p", dict.fromkeys(range(1, 8), 1), "gad7")])
    given = imported([{"person_id": "p", "instrument": "das", "scale": "total", "score": 97.5}])
    found = all_scores(item_matrices(items, FORMS), given, FORMS, flow=flow)
    assert found.set_index("instrument")["score"].to_dict() == {"phq9": 14, "gad7": 7, "das": 97.5}
    assert ("imported scores", 1, 1, "empty in the source", "scores") in flow.lines


def test_the_same_score_imported_and_made_from_items_is_refused() -> None:
    given = imported([{"person_id": "p", "instrument": "phq9", "scale": "total", "score": 14}])
    with pytest.raises(DataError, match=r"1 scores of phq9.total are both imported \(row 1\) and made from items"):
        all_scores(item_matrices(answers("p", PHQ, "phq9"), FORMS), given, FORMS, flow=Flow())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"instrument": "dass", "scale": "total", "score": 1},
            "scores.instrument: an instrument that the study's YAML does not name",
        ),
        ({"instrument": "das", "scale": "total", "score": 152}, "scores of das.total: outside 0 to 151 in row 1"),
    ],
)
def test_imported_scores_are_checked(row: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        all_scores({}, imported([{"person_id": "p", **row}]), FORMS, flow=Flow())


def test_no_items_and_no_scores_give_an_empty_table() -> None:
    found = all_scores(item_matrices(empty("items"), FORMS), empty("scores"), FORMS, flow=Flow())
    assert len(found) == 0
    assert list(found.columns) == SCORES

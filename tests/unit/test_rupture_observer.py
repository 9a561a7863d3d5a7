"""Codings are checked and brought to sessions; what observers see is counted, and set beside what others say."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import load_coding_system, load_criteria
from attachment_outcomes.errors import ConfigError, DataError
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.inference.steps import typed_table
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.observer import read_codes, read_codings, session_ratings
from attachment_outcomes.rupture.observer.coders import code_table
from attachment_outcomes.rupture.observer.codings import counted, filled_sessions
from attachment_outcomes.rupture.observer.occurrence import Seen, observed_sessions, occurrence
from attachment_outcomes.rupture.observer.others import beside_others, leaving
from attachment_outcomes.rupture.observer.study import TABLES, analyse
from attachment_outcomes.study.contracts import empty, typed

SYSTEM = read_codes(load_coding_system("3rs"))
SECRET = "Zaphod"


def codings(*rows, columns="person_id session_number segment channel coder code value"):
    return pd.DataFrame(rows, columns=columns.split())


# --- the coding system ----------------------------------------------------------------------------------------------------


def test_the_3rs_has_its_families_and_ratings():
    counts = [c for c in SYSTEM.codes.values() if c.kind == "count"]
    sizes = {f: sum(c.family == f for c in counts) for f in SYSTEM.families}
    assert sizes == {"withdrawal": 7, "confrontation": 7, "strategies": 10}
    assert list(SYSTEM.ratings) == ["withdrawal", "confrontation", "resolution", "contribution"]
    assert SYSTEM.ruptures == ("withdrawal", "confrontation")
    assert (SYSTEM.codes["W1_significance"].low, SYSTEM.codes["W1_significance"].high) == (1, 5)
    assert [(p["about"], p["value"], p["n"]) for p in SYSTEM.published] == [
        ("confrontation", 0.74, 42), ("resolution", 0.67, 42), ("contribution", 0.61, 42)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["codes"].update(X1={"family": "withdrawl", "title": "x"}), "no family 'withdrawl'.*withdrawal"),
        (lambda c: c["codes"].update(resolution={"family": "strategies", "title": "x"}), "name of a rating"),
        (lambda c: c["published"][0].update(about="confrontations"), "no rating 'confrontations'.*'confrontation'"),
    ],
)
def test_a_coding_system_that_contradicts_itself_is_refused(change, says):
    content = deepcopy(load_coding_system("3rs"))
    change(content)
    with pytest.raises(ConfigError, match=says):
        read_codes(content)


# --- codings --------------------------------------------------------------------------------------------------------------

GOOD = ("p", 1, 1, "client", "A", "W1", 2)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("p", 1, 1, "client", "A", SECRET, 2), "a code that 3rs does not have in row 2"),
        (("p", 1, 1, "client", "A", "W2", SECRET), "a value is not a number in row 2"),
        (("p", 1, 1, "client", "A", "W2", np.inf), "a value is not a number in row 2"),
        (("p", 1, 1, "client", "A", "W2", -1), "outside the range of its code in row 2"),
        (("p", 1, None, "client", "A", "W2_significance", 6), "outside the range of its code in row 2"),
        (("p", 1, None, "client", "A", "withdrawal", 0), "outside the range of its code in row 2"),
        (("p", 1, 1, "client", "A", "W2", 1.5), "a count is not a whole number in row 2"),
        (("p", 1, 1, None, "A", "withdrawal", 2), "a rating or significance stands in a segment in row 2"),
        (("p", 1, 2, "client", "A", "R1", 1), "a channel that its code does not have in row 2"),
        (("p", 1, 2, SECRET, "A", "W2", 1), "a channel that its code does not have in row 2"),
        (("p", 1, 1, None, "A", "W1", 1), "a coder coded the same twice in rows 1, 2"),
        (("p", 1, None, "client", "A", "W1", 1), "in segments and in the whole session too in rows 1, 2"),
        (("p", 1, 1, "client", None, "W2", 1), "no coder in row 2"),
        (("p", 1, SECRET, "client", "A", "W2", 1), "a segment is not a whole number from 1 in row 2"),
        (("p", 1, -1, "client", "A", "W2", 1), "a segment is not a whole number from 1 in row 2"),
        (("p", 1, 0, "client", "A", "W2", 1), "a segment is not a whole number from 1 in row 2"),
        (("p", 1, 1.5, "client", "A", "W2", 1), "a segment is not a whole number from 1 in row 2"),
        (("p", 1, np.inf, "client", "A", "W2", 1), "a segment is not a whole number from 1 in row 2"),
        ((None, 1, 1, "client", "A", "W2", 1), "no person_id in row 2"),
        (("p", None, 1, "client", "A", "W2", 1), "no session_number in row 2"),
    ],
)
def test_codings_that_cannot_be_are_refused_without_their_content(row, says):
    with pytest.raises(DataError, match=says) as caught:
        read_codings(codings(GOOD, row), SYSTEM)
    assert SECRET not in str(caught.value)
    assert "Hint:" in str(caught.value)


def test_a_coding_needs_its_columns():
    with pytest.raises(DataError, match="no column 'coder'"):
        read_codings(codings(GOOD).drop(columns="coder"), SYSTEM)


def test_codings_know_what_they_are_about_and_empty_ones_are_left_out():
    found = read_codings(
        codings(
            GOOD,
            ("p", 1, 2, None, "A", "W1", 0),  # an empty channel is the client's
            ("p", 1, 1, "therapist", "A", "C1", 1),
            ("p", 1, 1, None, "A", "R1", 1),
            ("p", 1, None, None, "A", "resolution", 3),
            ("p", 1, None, "therapist", "A", "contribution", 2),
            ("p", 1, 1, "client", "A", "W3", None),
        ),
        SYSTEM,
    )
    assert list(zip(found["code"], found["segment"], found["about"], found["kind"], strict=True)) == [
        ("contribution", 0, "contribution", "rating"), ("resolution", 0, "resolution", "rating"),
        ("W1", 1, "withdrawal", "count"), ("C1", 1, "confrontation by the therapist", "count"), ("R1", 1, "strategies", "count"),
        ("W1", 2, "withdrawal", "count"),
    ]  # fmt: skip


def test_what_a_coder_did_not_write_down_was_not_seen():
    # A counted to segment 3 and codes both families somewhere; B codes withdrawal only.
    found = counted(
        read_codings(
            codings(
                GOOD,
                ("p", 1, 3, "client", "A", "W2", 1),
                ("p", 1, 1, "client", "B", "W1", 1),
                ("p", 2, 1, "client", "A", "C1", 1),
                ("p", 3, None, None, "A", "withdrawal", 3),
            ),
            SYSTEM,
        )
    )
    table = {tuple(k): v for *k, v in found[["session_number", "about", "coder", "segment", "value"]].itertuples(index=False)}
    assert table == {
        (1, "withdrawal", "A", 1): 2, (1, "withdrawal", "A", 2): 0, (1, "withdrawal", "A", 3): 1,
        (1, "withdrawal", "B", 1): 1, (1, "withdrawal", "B", 2): 0, (1, "withdrawal", "B", 3): 0,
        (1, "confrontation", "A", 1): 0, (1, "confrontation", "A", 2): 0, (1, "confrontation", "A", 3): 0,
        (2, "withdrawal", "A", 1): 0, (2, "confrontation", "A", 1): 1,
    }  # fmt: skip


def test_session_ratings_are_means_over_coders_and_fall_back_on_significance():
    found = session_ratings(
        read_codings(
            codings(
                # Session 1: both rate withdrawal. B rates no confrontation and its weightiest marker is 4: mean of 2 and 4.
                ("p", 1, None, None, "A", "withdrawal", 2),
                ("p", 1, None, None, "B", "withdrawal", 3),
                ("p", 1, None, None, "A", "confrontation", 2),
                ("p", 1, 1, "client", "B", "C1", 1),
                ("p", 1, 1, "client", "B", "C2", 1),
                ("p", 1, None, "client", "B", "C1_significance", 1),
                ("p", 1, None, "client", "B", "C2_significance", 4),
                # Session 2: A counts no withdrawal (1, the lowest), and confrontation that nobody rates (missing).
                ("p", 2, 1, "client", "A", "W1", 0),
                ("p", 2, 1, "client", "A", "C1", 1),
                # Session 3: the therapist's own markers are not the client's.
                ("p", 3, 1, "therapist", "A", "W1", 1),
                ("p", 3, None, "therapist", "A", "W1_significance", 5),
                ("p", 3, None, None, "A", "resolution", 4),
            ),
            SYSTEM,
        ),
        SYSTEM,
    ).set_index("session_number")
    nan = np.nan
    expected = [[2.5, 3, nan, nan, 2], [1, nan, nan, nan, 1], [nan, nan, 4, nan, 1]]
    columns = ["withdrawal", "confrontation", "resolution", "contribution", "n_coders"]
    np.testing.assert_array_equal(found[columns].astype(float).to_numpy(), expected)


def session_table(**columns):
    return typed(pd.DataFrame({"person_id": "p", "treatment_id": "1", **columns}), "sessions")


def test_sessions_keep_their_own_ratings_and_take_others_from_codings():
    sessions = session_table(session_number=[1, 2, 3], withdrawal=[4.0, None, None], alliance=[3.0, 4.0, 5.0])
    rated = pd.DataFrame(
        {"person_id": "p", "treatment_id": "1", "session_number": [1, 2, 7], "withdrawal": [1.0, 2.0, 5.0], "resolution": [3.0] * 3}
    )
    found = filled_sessions(sessions, rated)
    assert list(found.columns) == list(sessions.columns)
    assert found["withdrawal"].tolist()[:2] == [4, 2]
    assert found[["session_number", "withdrawal"]].astype(float).values.tolist()[3] == [7, 5]
    assert found["resolution"].tolist()[:2] == [3, 3]
    assert found["alliance"].tolist()[:3] == [3, 4, 5]
    assert filled_sessions(sessions, rated.iloc[:0]) is sessions


def test_thirds_are_of_the_treatments_sessions():
    sessions = session_table(session_number=range(1, 11), withdrawal=[1.0] * 9 + [np.nan])
    nothing = pd.DataFrame(columns=["person_id", "treatment_id", "session_number"])
    # Of ten sessions 1-4 are in the first third ((s - 1) * 3 // 10), 5-7 in the middle, 8-10 in the last; the tenth was not rated.
    assert observed_sessions(sessions, nothing)["third"].tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2]


# --- what is seen ---------------------------------------------------------------------------------------------------------


def seen_of(frame, **more):
    fixed = {"rupture_from": 3, "resolved_from": 3, "early": 6, **more}
    both = pd.DataFrame({"treatment_id": "1", "third": 0, "resolution": np.nan, **frame})
    return Seen(both, **fixed)


def value(rows, outcome, estimand, group=""):
    found = [r for r in rows if (r.outcome, r.estimand, r.group) == (outcome, estimand, group)]
    assert len(found) == 1, (outcome, estimand, group)
    return found[0]


def test_shares_and_patterns_by_hand():
    # Client a: withdrawal in 1 and 2, both in 3; b: confrontation in 1; c: nothing. 2 x 3 + ... = 9 sessions.
    seen = seen_of(
        {
            "person_id": list("aaabbbccc"), "session_number": [1, 2, 3] * 3,
            "withdrawal": [3, 4, 5, 1, 2, 2, 1, 1, 1], "confrontation": [1, 2, 3, 4, 1, 1, 2, 2, 1],
            "resolution": [4, 1, 2, 5, 1, 1, 1, 1, 1], "third": [0, 1, 2] * 3,
        }
    )  # fmt: skip
    rows = occurrence(seen)
    assert value(rows, "withdrawal", "share_of_sessions").estimate == pytest.approx(3 / 9)
    assert value(rows, "confrontation", "share_of_sessions").estimate == pytest.approx(2 / 9)
    assert value(rows, "both", "share_of_sessions").estimate == pytest.approx(1 / 9)
    assert value(rows, "any rupture", "share_of_sessions").estimate == pytest.approx(4 / 9)
    assert value(rows, "any rupture", "confrontation_minus_withdrawal").estimate == pytest.approx(-1 / 9)
    assert value(rows, "withdrawal", "mean_rating").estimate == pytest.approx(20 / 9)
    clients = {r.group: r.estimate for r in rows if r.estimand == "share_of_clients"}
    assert clients == pytest.approx({"neither": 1 / 3, "withdrawal only": 0, "confrontation only": 1 / 3, "both": 1 / 3})
    few = [r for r in rows if r.estimand == NOT_TESTABLE and r.outcome == "resolution" and "any rupture" in r.definition]
    assert len(few) == 1
    assert few[0].note == "4 rated sessions with any rupture; at least 5 are needed"


def test_resolution_is_of_sessions_with_a_rupture():
    n = 12
    seen = seen_of(
        {
            "person_id": [f"c{i % 6}" for i in range(2 * n)], "session_number": [1] * 2 * n,
            "withdrawal": [4] * n + [1] * n, "confrontation": [1] * 2 * n, "resolution": [3] * 6 + [1] * 6 + [5] * n,
        }
    )  # fmt: skip
    rows = occurrence(seen)
    assert value(rows, "resolution", "share_resolved", "any rupture").estimate == 0.5  # the quiet sessions' fives do not count
    assert value(rows, "resolution", "mean_resolution", "withdrawal only").estimate == 2.0


def test_directions_of_disagreement_by_hand():
    # 20 sessions of 10 clients. The observer sees a rupture in 8; the client says so in 5 of these and in 1 of the others.
    said = [True] * 5 + [False] * 3 + [True] + [False] * 11
    frame = pd.DataFrame({"person_id": [f"c{i % 10}" for i in range(20)], "session_number": np.arange(20) // 10 + 1})
    seen = seen_of({**frame, "withdrawal": [5] * 8 + [1] * 12, "confrontation": [1] * 20})
    other = frame.assign(treatment_id="1", rupture=pd.array(said, dtype="boolean"))
    rows = list(beside_others(seen, {"the client's report": other}))
    of = {r.estimand: r.estimate for r in rows if r.outcome == "any rupture"}
    # Agreement 16/20; chance .4 x .3 + .6 x .7 = .54; kappa (.8 - .54) / .46.
    assert of == pytest.approx(
        {"kappa": 0.26 / 0.46, "agreement": 0.8, "observer_only": 0.15, "other_only": 0.05, "observer_minus_other": 0.1}
    )
    # Each client has two sessions, with differences 0 and 0, or 1 and 0, or -1 and 0: totals 1, 1, 1, -1 and six times 0.
    # Variance 10/9 x sum((total - .2)^2) / 400 = 10/9 x 3.6 / 400 = .01: t = .1 / .1 on 9 df.
    assert value(rows, "any rupture", "observer_minus_other", "the client's report").p_value == pytest.approx(0.34344, abs=1e-5)
    quiet = [r for r in rows if r.outcome == "confrontation"]
    assert [r.estimand for r in quiet if r.estimand == NOT_TESTABLE] == [NOT_TESTABLE]  # nobody ever confronts: no kappa
    assert next(r for r in quiet if r.estimand == "agreement").estimate == pytest.approx(14 / 20)


def test_a_missing_report_is_no_report_of_quiet():
    frame = pd.DataFrame({"person_id": [f"c{i}" for i in range(20)], "session_number": 1})
    seen = seen_of({**frame, "withdrawal": [5] * 10 + [1] * 10, "confrontation": [1] * 20})
    other = frame.assign(treatment_id="1", rupture=pd.array([None] * 8 + [True] * 2 + [False] * 10, dtype="boolean"))
    rows = list(beside_others(seen, {"x": other}))
    assert {r.n for r in rows if r.outcome == "any rupture"} == {12}
    assert next(r for r in rows if r.outcome == "any rupture" and r.estimand == "agreement").estimate == 1


def test_leaving_is_told_beside_what_was_published_and_counts_early_sessions_only():
    n = 24
    people = [f"c{i:02d}" for i in range(n)]
    frame = pd.DataFrame({"person_id": people * 2, "session_number": [2] * n + [9] * n})
    early = [3.0, 5.0] * 6 + [1.0, 3.0] * 6  # the first twelve drop out
    seen = seen_of({**frame, "withdrawal": [1.0] * 2 * n, "confrontation": early + [5.0] * n})
    treatments = typed(
        pd.DataFrame({"person_id": people, "treatment_id": "1", "end_reason": ["dropped out"] * 12 + ["completed"] * 12}),
        "treatments",
    )
    rows = list(leaving(seen, treatments, SYSTEM.ratings, SYSTEM.published))
    found = value(rows, "confrontation", "d_dropping_out")
    assert found.estimate == pytest.approx(2 / np.sqrt(24 / 22))  # means 4 and 2, SD of each root(12/11)
    assert "association" in found.note
    published = value(rows, "confrontation", "published_d_dropping_out")
    assert (published.estimate, published.n, published.primary) == (0.74, 42, False)
    assert "without a sign" in published.note
    assert "nobody differs" in next(r.note for r in rows if r.outcome == "withdrawal" and r.estimand == NOT_TESTABLE)


# --- the whole ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coded():
    """Eighty sessions of 20 clients, coded by two coders in three segments each."""
    rng = np.random.default_rng(7)
    rows = []
    for client in range(20):
        for session in range(1, 5):
            level = int(rng.integers(0, 4))
            for coder in ("A", "B"):
                for segment in (1, 2, 3):
                    for code in ("W1", "W2", "C1", "R1"):
                        rows.append((f"c{client:02d}", session, segment, None, coder, code, int(rng.poisson(level / 3))))
                for rating in SYSTEM.ratings:
                    score = int(np.clip(1 + level + rng.integers(-1, 2), 1, 5))
                    rows.append((f"c{client:02d}", session, None, None, coder, rating, score))
    return codings(*rows).assign(treatment_id="1")


def data_of(observations, sessions, **settings):
    tables = {name: empty(name) for name in ("scores", "treatments")}
    tables |= {"sessions": sessions, "observations": observations}
    block = {"alliance": "alliance", "criteria": ["control_chart"], **settings}
    return RuptureData(tables, block, load_criteria("rupture"), {}, coding=load_coding_system("3rs"))


@pytest.fixture(scope="module")
def sessions():
    rng = np.random.default_rng(8)
    people = np.repeat([f"c{i:02d}" for i in range(20)], 10)
    frame = {"person_id": people, "session_number": list(range(1, 11)) * 20, "alliance": rng.normal(4, 0.4, 200).round(2)}
    return session_table(**frame, rupture_reported=rng.random(200) < 0.2)


def test_a_study_gives_rows_of_every_question_and_its_table(coded, sessions):
    data = data_of(typed(coded, "observations"), sessions)
    part = analyse(data)
    frame = estimates_frame(part.estimates)
    assert set(frame["analysis"]) == {"observer_ratings"}
    assert {"icc_single_agreement", "icc_average_consistency", "kappa", "pabak", "share_of_sessions", "share_of_clients",
            "share_resolved", "observer_only", "published_d_dropping_out"} <= set(frame["estimand"])  # fmt: skip
    table = typed_table(part.tables["observer_codes"], TABLES["observer_codes"])
    assert table["code"].tolist() == ["C1", "R1", "W1", "W2"]
    assert table["n_sessions"].tolist() == [80] * 4
    steps = {line[0]: (line[1], line[2]) for line in data.flow.lines}
    assert steps["observer: sessions coded by two"] == (80, 80)
    assert steps["observer: rated sessions"] == (200, 80)
    assert set(frame.loc[frame["estimand"] == "observer_only", "group"]) == {"the client's report", "Control chart"}


def test_one_question_has_one_primary_answer_and_of_coders_it_is_about_ratings(coded, sessions):
    found = estimates_frame(analyse(data_of(typed(coded, "observations"), sessions)).estimates)
    primary = found[found["primary"]]
    assert not primary.duplicated(["analysis", "estimand", "outcome", "group"]).any()
    assert set(primary.loc[primary["estimand"].str.startswith("icc"), "definition"]) == {"rating of the session"}


def test_the_criterion_that_reads_the_observer_is_not_set_beside_the_observer(coded, sessions):
    rated = session_ratings(read_codings(coded, SYSTEM), SYSTEM)
    data = data_of(typed(coded, "observations"), filled_sessions(sessions, rated), criteria=["observer_withdrawal"])
    groups = {r.group for r in analyse(data).estimates if r.estimand == "observer_only"}
    assert groups == {"the client's report"}


def test_without_observers_there_is_one_row_that_says_so(sessions):
    part = analyse(data_of(empty("observations"), sessions))
    assert [(r.estimand, r.note) for r in part.estimates] == [(NOT_TESTABLE, "no session was coded or rated by an observer")]


def test_ratings_without_coders_are_used_and_the_coders_are_not_testable(sessions):
    rated = sessions.assign(withdrawal=np.tile([1.0, 4.0], 100), confrontation=1.0)
    rows = analyse(data_of(empty("observations"), rated)).estimates
    assert next(r for r in rows if r.definition == "coders").note == "nobody says who coded: no codings by coder"
    assert value(rows, "withdrawal", "share_of_sessions").estimate == 0.5


def test_one_coder_alone_has_no_agreement_and_the_rest_is_answered(coded, sessions):
    rows = analyse(data_of(typed(coded[coded["coder"] == "A"], "observations"), sessions)).estimates
    silent = [r for r in rows if r.estimand == NOT_TESTABLE and "coded by two coders or more" in r.note]
    assert {r.outcome for r in silent} == {*SYSTEM.ratings, "strategies"}
    assert value(rows, "withdrawal", "share_of_sessions").n == 80


def test_the_table_of_codes_by_hand():
    rows = [("p", s, 1, None, c, "W1", int(s < 4)) for s in range(1, 9) for c in "AB"]
    rows += [("p", s, 1, None, "A", "W2", int(s == 8)) for s in range(1, 9)]  # B writes only W1 down
    rows += [("p", 8, None, None, "A", "W2_significance", 5)]
    table = code_table(read_codings(codings(*rows), SYSTEM), SYSTEM).set_index("code")
    assert table.loc["W1", ["n_sessions", "n_seen", "n_targets", "agreement", "kappa"]].tolist() == [8, 3, 8, 1, 1]
    assert table.loc["W2", ["n_seen", "agreement", "mean_significance"]].tolist() == [1, 7 / 8, 5]
    assert "always says the same" in table.loc["W2", "note"]


def test_another_coding_system_has_its_own_families_and_ratings(sessions):
    system = {
        "name": "own", "title": "Own", "families": {"strain": {"title": "Strain", "rupture": True, "channels": ["client"]}},
        "codes": {"S1": {"family": "strain", "title": "Strains"}}, "ratings": {"warmth": {"title": "Warmth", "range": [0, 10]}},
    }  # fmt: skip
    rows = [(f"c{i:02d}", 1, 1, None, coder, "S1", (i + (coder == "B" and i % 5 == 0)) % 3) for i in range(20) for coder in "AB"]
    rows += [(f"c{i:02d}", 1, None, None, coder, "warmth", i % 7 + (coder == "B" and i % 3)) for i in range(20) for coder in "AB"]
    found = typed(codings(*rows).assign(treatment_id="1"), "observations")
    tables = {name: empty(name) for name in ("scores", "treatments")} | {"sessions": sessions, "observations": found}
    block = {"alliance": "alliance", "criteria": ["control_chart"]}
    part = analyse(RuptureData(tables, block, load_criteria("rupture"), {}, coding=system))
    assert {r.outcome for r in part.estimates if r.estimand == "icc_single_agreement"} == {"strain", "warmth"}
    assert {r.outcome for r in part.estimates if r.estimand == "kappa"} == {"strain"}
    assert "no session has a rating of withdrawal" in {r.note for r in part.estimates}
    assert part.tables["observer_codes"]["code"].tolist() == ["S1"]

"""Landmarks, states known after each session, and leaving by state: series worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import DataError
from attachment_outcomes.rupture import read_series
from attachment_outcomes.rupture.criteria import as_criteria
from attachment_outcomes.rupture.effects.landmark import groups_at, landmark_contrasts, up_to
from attachment_outcomes.rupture.effects.leaving import leaving_odds
from attachment_outcomes.rupture.effects.states import running_states

DROP = "attachment_outcomes.rupture.rules:within_person_drop"
(CRITERION,) = as_criteria({"drop": {"rule": DROP, "settings": {"k": 1.0}, "episode": {"window": 3, "min_sessions": 4}}})
# 5 is the usual level, 3 a rupture: without noise every fall is one SD or more, and every return is full.
COURSES = {
    "calm": [5, 5, 5, 5, 5, 5, 5, 5],
    "mended": [5, 5, 3, 5, 5, 5, 5, 5],
    "late": [5, 5, 5, 5, 5, 5, 3, 5],
    "broken": [5, 5, 3, 3, 3, 3, 3, 3],
    "both": [5, 3, 5, 5, 3, 3, 3, 3],
    "left": [5, 5, 5, 5],
    "fell": [5, 5, 5, 5, 3],
}


def series(courses):
    rows = [(name, t + 1, float(x)) for name, xs in courses.items() for t, x in enumerate(xs)]
    return read_series(pd.DataFrame(rows, columns=["person_id", "session_number", "wai"]), score="wai")


def states_at(session):
    found = groups_at(series(COURSES), CRITERION, session)
    return dict(zip(found.clients["client"], found.clients["state"], strict=True)), found


def test_groups_at_a_landmark_are_what_was_known_by_then():
    at_6, found = states_at(6)
    # broken: onset 3, sessions 4 to 6 without a return, so unrepaired at 6. both: onset 5, only session 6 followed: open.
    assert at_6 == {"calm": "none", "mended": "repaired", "late": "none", "broken": "unrepaired", "both": "censored"}
    assert found.gone == 2  # left and fell
    assert found.note() == (
        "landmark at session 6: fewer than 5 had left before, fewer than 5 in a rupture still open, 0 with too few ratings by then"
    )
    assert states_at(8)[0] == {
        "calm": "none",
        "mended": "repaired",
        "late": "repaired",
        "broken": "unrepaired",
        "both": "unrepaired",
    }
    assert set(states_at(3)[0].values()) == {""}  # three ratings are fewer than the criterion needs


def test_a_landmark_sees_no_later_rating():
    """Whatever comes after the landmark, the groups at it stay."""
    other = {name: xs[:6] + [1.0, 9.0, 1.0][: max(0, len(xs) - 6)] for name, xs in COURSES.items()}
    first, second = (groups_at(series(c), CRITERION, 6).clients for c in (COURSES, other))
    assert first["state"].tolist() == second["state"].tolist()


def test_a_missing_rating_at_the_landmark_is_no_departure():
    courses = pd.DataFrame(
        [("a", t, 5.0 if t != 6 else np.nan) for t in range(1, 9)], columns=["person_id", "session_number", "wai"]
    )
    found = groups_at(read_series(courses, score="wai"), CRITERION, 6)
    assert found.gone == 0
    assert found.clients["state"].tolist() == ["none"]


def test_cutting_series_keeps_clients_and_order():
    whole = series(COURSES)
    cut = up_to(whole, 4)
    assert cut.lengths.tolist() == [4] * 7
    assert cut.values.tolist() == [x for name in sorted(COURSES) for x in COURSES[name][:4]]
    some = up_to(whole, 4, np.array([True, False] * 3 + [True]))
    assert some.clients["client"].tolist() == sorted(COURSES)[::2]


def test_landmark_contrasts_compare_those_in_treatment_and_name_the_rest():
    """Five copies of each course: none 10 (calm, late), repaired 5, unrepaired 5; ends without noise, so that values are exact."""
    many = {f"{name}{i}": xs for name, xs in COURSES.items() for i in range(5)}
    found = groups_at(series(many), CRITERION, 6)
    points = {"calm": 10, "late": 10, "mended": 8, "broken": 13, "both": 50, "left": 90, "fell": 90}
    ends = pd.DataFrame({"pre": range(35), "post": [points[c[:-1]] + 0.5 * i for i, c in enumerate(many)]}, index=list(many))
    rows = landmark_contrasts(found, ends, outcome="core10.total", definition="drop", min_group=5)
    values = {r.estimand: r.estimate for r in rows}
    assert values == pytest.approx({"repaired_minus_none": -2, "unrepaired_minus_none": 3, "repaired_minus_unrepaired": -5})
    assert {(r.analysis, r.group, r.n, r.unit) for r in rows} == {("repair_timing", "landmark session 6", 20, "score points")}
    assert all("10 had left before, 5 in a rupture still open" in r.note and "association, not effect" in r.note for r in rows)
    # With six wanted in a group, two are too small; the row says why, with the sizes.
    (row,) = landmark_contrasts(found, ends, outcome="core10.total", definition="drop", min_group=6)
    assert row.estimand == "not testable"
    assert "none 10, repaired 5, unrepaired 5; at least 6 in each" in row.note
    assert row.group == "landmark session 6"


def test_two_groups_are_compared_where_the_third_is_too_small():
    many = {f"{name}{i}": COURSES[name] for name, n in (("calm", 12), ("mended", 12), ("broken", 3)) for i in range(n)}
    found = groups_at(series(many), CRITERION, 6)
    ends = pd.DataFrame({"pre": np.arange(27.0), "post": [(-1.0 if c.startswith("m") else 0.0) for c in many]}, index=list(many))
    (row,) = landmark_contrasts(found, ends, outcome="core10.total")
    assert (row.estimand, row.n) == ("repaired_minus_none", 24)
    assert row.estimate == pytest.approx(-1)
    assert "unrepaired (fewer than 5) too few to be compared" in row.note


def test_states_after_each_session_by_hand():
    rows = running_states(series(COURSES), CRITERION)
    names = sorted(COURSES)
    course = {names[i]: part["state"].tolist() for i, part in rows.groupby("series")}
    assert course == {
        "calm": ["none"] * 5,
        "mended": ["after repair"] * 5,
        "late": ["none"] * 3 + ["in rupture", "after repair"],
        "broken": ["in rupture"] * 2 + ["unrepaired"] * 3,
        "both": ["after repair"] + ["in rupture"] * 3 + ["unrepaired"],  # sessions 5, 6, 7 within the window of 3
        "left": ["none"],
        "fell": ["none", "in rupture"],
    }
    last = rows[rows["last"]].set_index("series")["session_number"].to_dict()
    assert {names[i]: t for i, t in last.items()} == {name: len(xs) for name, xs in COURSES.items()}
    assert rows["session_number"].min() == 4  # the criterion's fewest ratings
    assert running_states(series(COURSES), CRITERION, last=5)["session_number"].max() == 5
    assert running_states(series({"a": [5, 5]}), CRITERION).empty


def person_sessions(rng, n=400, *, odds=0.0):
    """Client-sessions with a known log odds ratio of leaving while in a rupture."""
    rows = []
    for i in range(n):
        onset, back = 6 + i % 8, 6 + i % 8 + 3
        for t in range(4, 20):
            state = "none" if i % 2 or t < onset else "in rupture" if t < back else "after repair"
            left = rng.random() < 1 / (1 + np.exp(2.7 - odds * (state == "in rupture")))
            rows.append((f"c{i}", f"t{i % 16}", t, state, 20.0 + i % 7, float(left)))
            if left:
                break
    return pd.DataFrame(rows, columns=["client", "therapist_id", "session_number", "state", "pre", "left"])


def test_leaving_finds_the_planted_odds_and_says_what_cannot_be_told():
    rows = leaving_odds(person_sessions(np.random.default_rng(4), 1200, odds=1.0), adjust=["pre"], definition="drop", primary=True)
    by = {r.group: r for r in rows}
    assert by["in rupture"].ci_low < np.e < by["in rupture"].ci_high
    assert by["in rupture"].p_value < 0.001
    assert by["after repair"].ci_low < 1 < by["after repair"].ci_high
    assert by["in rupture"].n_clusters == 16
    assert (by["in rupture"].unit, by["in rupture"].outcome) == ("odds ratio", "ending early")
    assert "clusters are therapists" in by["in rupture"].note
    # Nobody is ever unrepaired here: that state has its own row.
    assert by["leaving, unrepaired"].estimand == "not testable"
    assert "unrepaired 0 of 0" in by["leaving, unrepaired"].note
    alone = leaving_odds(person_sessions(np.random.default_rng(4)).assign(therapist_id=None))
    assert "clusters are clients" in alone[-1].note


@pytest.mark.parametrize("clients", [lambda s: s.str[1:].astype("int64"), lambda s: s.astype("category")])
@pytest.mark.parametrize("therapists", [lambda s: s.str[1:].astype("Int64"), lambda s: s.astype("category"), lambda s: s])
def test_leaving_takes_clients_and_therapists_of_any_type(clients, therapists):
    """Therapists of every twentieth client are unknown: each of these clients is a cluster of their own."""
    rows = person_sessions(np.random.default_rng(4), odds=1.0)
    unknown = rows["client"].str[1:].astype(int) % 20 == 3
    rows["therapist_id"] = rows["therapist_id"].astype("str").where(~unknown)
    expected = leaving_odds(rows)
    found = leaving_odds(rows.assign(client=clients(rows["client"]), therapist_id=therapists(rows["therapist_id"])))
    assert [(r.group, r.estimate, r.std_error) for r in found if r.unit] == [
        (r.group, r.estimate, r.std_error) for r in expected if r.unit
    ]
    at_risk = rows[rows["state"] != "unrepaired"]
    assert found[-1].n_clusters == at_risk["therapist_id"].nunique() + at_risk.loc[unknown, "client"].nunique() == 16 + 20


@pytest.mark.parametrize("column", ["pre", "left", "session_number"])
def test_leaving_tells_the_row_of_a_word_and_not_the_word(column):
    rows = person_sessions(np.random.default_rng(4), 60).astype({column: object})
    rows.loc[3, column] = "Mrs Smith"
    with pytest.raises(DataError, match=f"leaving, column {column}: no number in row 4") as told:
        leaving_odds(rows, adjust=["pre"])
    assert "Smith" not in str(told.value)


def test_few_who_left_from_a_state_are_not_told_as_a_number():
    rows = person_sessions(np.random.default_rng(5), 60)
    rows["state"], rows["left"] = "none", 0.0
    rows.loc[:2, ["state", "left"]] = ["unrepaired", 1.0]
    (row,) = leaving_odds(rows)
    assert "unrepaired fewer than 5 of fewer than 5" in row.note


def test_leaving_without_enough_who_left_is_not_testable():
    rows = person_sessions(np.random.default_rng(5), 60).assign(left=0.0)
    (row,) = leaving_odds(rows)
    assert (row.estimand, row.group) == ("not testable", "leaving")
    assert "fewer than 5 left or stayed without a rupture" in row.note

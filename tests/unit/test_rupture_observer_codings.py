"""Codings are placed in treatments, so that nobody counts twice; and what criteria cannot read of sessions is counted."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import load_coding_system, load_criteria
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.observer import read_codes, read_codings, session_ratings
from attachment_outcomes.rupture.observer.codings import filled_sessions, largest_significance, observe
from attachment_outcomes.rupture.observer.study import analyse
from attachment_outcomes.study.contracts import empty, typed

SYSTEM = read_codes(load_coding_system("3rs"))


def codings(*rows, columns="person_id session_number segment channel coder code value"):
    return pd.DataFrame(rows, columns=columns.split())


def session_table(**columns):
    return typed(pd.DataFrame({"person_id": "p", "treatment_id": "1", **columns}), "sessions")


def test_what_nobody_saw_is_rated_with_the_lowest_that_the_system_has():
    content = deepcopy(load_coding_system("3rs"))
    content["ratings"]["withdrawal"]["range"] = [0, 4]
    del content["ratings"]["confrontation"]
    content["significance"] = [2, 6]
    content["published"] = []
    system = read_codes(content)
    coded = read_codings(codings(("p", 1, 1, "client", "A", "W1", 0), ("p", 1, 1, "client", "A", "C1", 0)), system)
    assert session_ratings(coded, system)["withdrawal"].tolist() == [0]
    # Without a rating of its own the family has the lowest weight of its markers.
    assert largest_significance(coded, "confrontation", system)["value"].tolist() == [2]


def placed_codings(coded, sessions, *treatments):
    table = pd.DataFrame(treatments, columns=["person_id", "treatment_id"])
    return observe(codings(*coded), SYSTEM, sessions=sessions, treatments=typed(table, "treatments"))


def rated_in(person, session, rating):
    return (person, session, None, None, "A", "withdrawal", rating)


def test_codings_without_a_treatment_belong_to_the_only_one_that_the_client_has():
    sessions = typed(
        pd.DataFrame({"person_id": list("pqqrs"), "treatment_id": ["1", "1", "2", None, "1"], "session_number": [1, 1, 1, 1, 9]}),
        "sessions",
    )
    rows = [rated_in("p", 1, 4), rated_in("q", 1, 3), rated_in("r", 1, 2), rated_in("s", 1, 5), rated_in("t", 1, 1)]
    # p has one treatment; q two, so that nobody knows which; r's own session names none; s has one, t one without sessions.
    found = placed_codings(rows, sessions, ("r", "1"), ("s", "1"), ("t", "7"))
    assert len(found.codings) == 5
    assert found.placed["person_id"].tolist() == list("prst")
    assert found.placed["treatment_id"].fillna("").tolist() == ["1", "", "1", "7"]
    filled = filled_sessions(sessions, found.rated)
    table = filled[["person_id", "treatment_id", "session_number", "withdrawal"]].astype(object)
    assert table.where(table.notna(), None).to_numpy().tolist() == [
        ["p", "1", 1, 4], ["q", "1", 1, None], ["q", "2", 1, None], ["r", None, 1, 2], ["s", "1", 9, None],
        ["s", "1", 1, 5], ["t", "7", 1, 1],
    ]  # fmt: skip


def test_a_coding_that_names_its_treatment_keeps_it():
    sessions = session_table(session_number=[1])
    given = codings(rated_in("p", 1, 4), rated_in("p", 2, 3)).assign(treatment_id=["2", None])
    found = observe(given, SYSTEM, sessions=sessions, treatments=empty("treatments"))
    assert found.placed["treatment_id"].tolist() == ["1", "2"]


@pytest.fixture(scope="module")
def coded():
    """Four sessions of each of 20 clients, rated by two coders; no treatment is named."""
    rng = np.random.default_rng(7)
    people, numbers = [f"c{i:02d}" for i in range(20)], range(1, 5)
    return codings(
        *(
            (p, n, None, None, coder, r, int(rng.integers(1, 6)))
            for p in people
            for n in numbers
            for coder in "AB"
            for r in SYSTEM.ratings
        )
    )


@pytest.fixture(scope="module")
def sessions():
    rng = np.random.default_rng(8)
    people = np.repeat([f"c{i:02d}" for i in range(20)], 10)
    return session_table(person_id=people, session_number=list(range(1, 11)) * 20, alliance=rng.normal(4, 0.4, 200).round(2))


def data_of(observations, sessions, *criteria):
    tables = {name: empty(name) for name in ("scores", "treatments")}
    tables |= {"sessions": sessions, "observations": typed(observations, "observations")}
    block = {"alliance": "alliance", "criteria": list(criteria)}
    return RuptureData(tables, block, load_criteria("rupture"), {}, coding=load_coding_system("3rs"))


def test_clients_are_counted_once_where_codings_name_no_treatment(coded, sessions):
    sessions = pd.concat([sessions, sessions[sessions["person_id"] == "c00"].assign(treatment_id="2")], ignore_index=True)
    data = data_of(coded, sessions, "observer_withdrawal")
    assert len(data.sessions) == len(sessions)
    assert data.clients[0].groupby("client").size().value_counts().to_dict() == {1: 19, 2: 1}
    rows = analyse(data).estimates
    assert next(r for r in rows if (r.outcome, r.estimand) == ("withdrawal", "share_of_sessions")).n == 76  # c00 has two treatments
    assert next(r for r in rows if r.estimand == "icc_single_agreement" and r.outcome == "withdrawal").n == 80
    steps = {line[0]: (line[1], line[2]) for line in data.flow.lines}
    assert steps["observer: codings placed"] == (80 * 8, 76 * 8)


def test_sessions_that_a_criterion_cannot_read_are_counted(coded, sessions):
    data = data_of(coded, sessions, "observer_withdrawal", "observer_confrontation")
    assert len(data.detections) == 2
    steps = {line[0]: (line[1], line[2]) for line in data.flow.lines}
    assert steps["rupture: sessions read by observer_withdrawal"] == (200, 80)
    assert steps["rupture: sessions read by observer_confrontation"] == (200, 80)

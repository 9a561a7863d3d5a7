"""The same criterion on the client's and on the therapist's ratings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.rupture.aligned import CLIENT, EPISODE, LEVELS, ONSET
from attachment_outcomes.rupture.criteria import Criterion, detect
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.raters import (
    NO_RATINGS,
    RATERS,
    TABLES,
    Ratings,
    analyse,
    both_rated,
    compare_raters,
    congruence,
    level_difference,
)
from attachment_outcomes.rupture.rules import Signal
from attachment_outcomes.rupture.series import read_series

RTOL = 1e-10
RTOL_SLOPE = 1e-6  # R's slopes are differences of two correlations


def below(series, *, score):
    """A rupture is a rating below a fixed score, repaired at it."""
    low = series.values < score
    begins = low.copy()
    begins[1:] &= ~low[:-1]
    begins &= series.rank > 0
    line = np.full(len(low), float(score))
    return Signal(begins, line, line, series.values, line, line, np.ones(len(series.lengths), dtype=bool))


def rated(courses):
    frame = pd.concat(
        pd.DataFrame({"person_id": p, "session_number": range(1, len(c) + 1), "wai": np.asarray(c, dtype=float)})
        for p, c in courses.items()
    )
    return read_series(frame, score="wai")


def compared(client, therapist):
    criterion = Criterion("x", below, settings={"score": 3})
    return compare_raters(detect(rated(client), criterion), detect(rated(therapist), criterion), outcome="wai")


CLIENT_SIDE = {"a": [5, 5, 1, 1, 5, 5], "b": [5, 5, 5, 5, 5, 5], "c": [5, 1, 5, 5, 5, 5], "d": [5, 5, 5, 5, 1, 5]}
THERAPIST_SIDE = {"a": [4, 4, 4, 2, 4, 4], "b": [4, 4, 2, 4, 4, 4], "c": [4, 4, 4, 4, 4, 4], "e": [4, 4, 4, 4, 2, 4]}


def test_directions_of_disagreement_by_hand():
    rows, lines = compared(CLIENT_SIDE, THERAPIST_SIDE)
    by = {(r.estimand, r.group): r for r in rows}
    # Three pairs (a, b, c) of five judged sessions. Client: a3, a4, c2. Therapist: a4, b3.
    shares = {who: by["share", f"{EPISODE}: {who}"].estimate for who in ("both", "client only", "therapist only")}
    assert shares == {"both": pytest.approx(1 / 15), "client only": pytest.approx(2 / 15), "therapist only": pytest.approx(1 / 15)}
    assert by["share_by_rater", f"{EPISODE}: client"].estimate == pytest.approx(3 / 15)
    assert by["share_by_rater", f"{EPISODE}: therapist"].estimate == pytest.approx(2 / 15)
    difference = by["therapist_minus_client", EPISODE]
    assert difference.estimate == pytest.approx(-1 / 15)
    # Sums by person of (therapist - client) + 5/15: a -1 + 1/3, b 1 + 1/3, c -1 + 1/3; SE = sqrt(3/2 * (4/9 + 16/9 + 4/9)) / 15.
    assert difference.std_error == pytest.approx(np.sqrt(3 / 2 * (4 + 16 + 4) / 9) / 15)
    assert (difference.n, difference.n_clusters) == (15, 3)
    # Onsets: client a3, c2; therapist a4, b3; those of a are one session apart.
    onsets = {w: by["share", f"{ONSET}: {w}"].estimate * 15 for w in ("both", "client only", "therapist only")}
    assert onsets == {"both": pytest.approx(1), "client only": pytest.approx(1), "therapist only": pytest.approx(1)}
    clients = {w: by["share", f"{CLIENT}: {w}"].estimate * 3 for w in ("both", "client only", "therapist only")}
    assert clients == {"both": pytest.approx(1), "client only": pytest.approx(1), "therapist only": pytest.approx(1)}
    assert [(line["level"], line["n_both"], line["n_client_only"], line["n_therapist_only"]) for line in lines] == [
        (EPISODE, 1, 2, 1), (ONSET, 1, 1, 1), (CLIENT, 1, 1, 1),
    ]  # fmt: skip
    assert {line["n_pairs"] for line in lines} == {3}


def test_exchanging_the_raters_turns_the_difference_round_and_keeps_kappa():
    there, back = (
        {(r.estimand, r.group): r.estimate for r in compared(*sides)[0]}
        for sides in ((CLIENT_SIDE, THERAPIST_SIDE), (THERAPIST_SIDE, CLIENT_SIDE))
    )
    for level in LEVELS:
        assert there["therapist_minus_client", level] == pytest.approx(-back["therapist_minus_client", level])
        assert there["share", f"{level}: client only"] == pytest.approx(back["share", f"{level}: therapist only"])
    assert there["kappa", EPISODE] == pytest.approx(back["kappa", EPISODE])


def test_notes_hold_no_count_and_no_index_that_gives_a_cell_back():
    for row in compared(CLIENT_SIDE, THERAPIST_SIDE)[0]:
        assert " of " not in row.note.replace("G - 1", "")
        assert "PABAK" not in row.note
        assert "agreement 0" not in row.note


def test_raters_without_a_common_treatment_are_told():
    (row,), lines = compared({"a": CLIENT_SIDE["a"]}, {"b": THERAPIST_SIDE["b"]})
    assert (row.estimand, row.definition, row.note) == (NOT_TESTABLE, "x", "no treatment is assessable by both raters")
    assert lines == []


def test_level_difference_and_congruence_match_r():
    reference = load_reference("rupture_agreement")
    person = np.array(reference["id"]) - 1
    ratings = Ratings(np.array(reference["alliance"]), np.array(reference["therapist"]), person, np.arange(person.max() + 1))
    level, together = level_difference(ratings), congruence(ratings)
    reference["level"].check({k: getattr(level, k) for k in ("estimate", "std_error")}, rel=RTOL)
    reference["congruence"].check({"estimate": together.estimate}, rel=RTOL)
    reference["congruence"].check({k: getattr(together, k) for k in ("std_error", "ci_low", "ci_high")}, rel=RTOL_SLOPE)


def test_congruence_by_hand_leaves_out_pairs_of_two_sessions():
    # a: deviations -1, 0, 1 and -1, 0, 1; b: -1, 0, 1 and 1, 0, -1 times 0.5; c has two sessions only.
    client = np.array([1, 2, 3, 4, 5, 6, 1, 9], dtype=float)
    therapist = np.array([2, 3, 4, 3.5, 3, 2.5, 1, 2])
    ratings = Ratings(client, therapist, np.array([0, 0, 0, 1, 1, 1, 2, 2]), np.arange(3))
    # Products: 2 - 1 = 1; squares: 4 and 2 + 0.5.
    assert congruence(ratings).estimate == pytest.approx(1 / np.sqrt(4 * 2.5))
    assert congruence(ratings).n == 6
    with pytest.raises(StatisticsError, match="3 sessions"):
        congruence(Ratings(client[6:], therapist[6:], np.array([0, 0]), np.arange(1)))
    with pytest.raises(StatisticsError, match="never varies"):
        congruence(Ratings(client[:3], np.ones(3), np.zeros(3, dtype=np.int64), np.arange(1)))


def test_ratings_are_matched_by_session():
    one = read_series(pd.DataFrame({"person_id": "a", "session_number": [1, 2, 4], "wai": [1.0, 2, 4]}), score="wai")
    two = read_series(pd.DataFrame({"person_id": "a", "session_number": [2, 3, 4], "wai": [5.0, 6, 7]}), score="wai")
    ratings = both_rated(one, two)
    assert (ratings.client.tolist(), ratings.therapist.tolist()) == ([2, 4], [5, 7])
    with pytest.raises(StatisticsError, match="1 clusters"):
        level_difference(ratings)


def study(**settings):
    rows = []
    rng = np.random.default_rng(4)
    for p in range(30):
        client = np.clip(np.round(4 + rng.normal(0, 0.3, 10) - 2.5 * (np.arange(10) == 3 + p % 5) * (p % 2 == 0), 1), 1, 5)
        therapist = np.clip(np.round(0.5 * client + 2 + rng.normal(0, 0.2, 10), 1), 1, 5)
        rows += [
            {
                "person_id": f"p{p:02d}", "treatment_id": "1", "session_number": s + 1, "alliance": client[s],
                "alliance_therapist": therapist[s], "reported": float(client[s] < 2),
                "reported_therapist": float(therapist[s] < 2.6),
            }
            for s in range(10)
        ]  # fmt: skip
    sessions = pd.DataFrame(rows).astype({"session_number": "Int64"})
    kinds = {"person_id": "str", "instrument": "str", "scale": "str", "rater": "str", "wave": "Int64", "session_number": "Int64"}
    scores = pd.DataFrame({c: pd.Series(dtype=t) for c, t in {**kinds, "score": "float64"}.items()})
    treatments = sessions[["person_id", "treatment_id"]].drop_duplicates().assign(therapist_id=None)
    rule = f"{__name__}:below"
    presets = {
        "low": {"rule": rule, "settings": {"score": 2.5}},
        "report": {"rule": rule, "settings": {"score": 0.5}, "reads": ["reported"]},
        "report_therapist": {"rule": rule, "settings": {"score": 0.5}, "reads": ["reported_therapist"]},
    }
    block = {"alliance": "alliance", "criteria": list(presets), **settings}
    return RuptureData({"sessions": sessions, "scores": scores, "treatments": treatments}, block, presets, {})


def test_a_therapists_scale_that_changes_form_is_counted_as_that():
    data = study(therapist_alliance="alliance_therapist")
    sessions = data.tables["sessions"]
    one = sessions["person_id"] == sessions["person_id"].iloc[0]
    sessions.loc[one & (sessions["session_number"] > sessions["session_number"].min() + 4), "alliance_therapist"] *= 12
    analyse(data)
    flow = data.flow.frame().set_index("step")
    assert (flow["n_in"] - flow["n_out"])["rupture: one form of the therapist's scale"] == 1
    assert (flow["n_in"] - flow["n_out"])["rupture: sessions rated by the therapist"] == 0


def test_a_study_compares_ratings_and_reports():
    part = analyse(study(therapist_alliance="alliance_therapist"))
    assert list(part.tables["rupture_raters"].columns) == list(TABLES["rupture_raters"])
    # The reports of therapists are the other side of a pair, and no pair of their own.
    assert set(part.tables["rupture_raters"]["criterion"]) == {"low", "report"}
    assert len(estimates_frame(part.estimates)) == len(part.estimates)
    rows = {r.estimand: r for r in part.estimates if r.definition == "alliance and alliance_therapist"}
    assert 0.5 < rows["congruence"].estimate < 1
    # The therapist rates at half the client's distance from 4: the same on average where there is no dip.
    assert rows["level_difference"].note.endswith("client minus therapist")
    assert {r.primary for r in part.estimates if r.definition == "low" and r.estimand != NOT_TESTABLE} == {True}
    primary = estimates_frame(r for r in part.estimates if r.primary)
    assert not primary.duplicated(["analysis", "estimand", "outcome", "group"]).any()


def test_without_therapists_ratings_reports_are_still_compared():
    part = analyse(study())
    assert part.estimates[0].note == NO_RATINGS
    assert part.estimates[0].analysis == RATERS
    assert set(part.tables["rupture_raters"]["criterion"]) == {"report"}

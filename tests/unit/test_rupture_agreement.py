"""Verdicts side by side, kappa of pairs and of all criteria, and what the step tells of them."""

from __future__ import annotations

import math
import re
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr
from tests.references import load_reference

from attachment_outcomes.inference.clustered_agreement import clustered_kappa
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.rupture.agreement import AGREEMENT, TABLES, analyse, fleiss_kappa, pair_agreement
from attachment_outcomes.rupture.aligned import CLIENT, EPISODE, LEVELS, ONSET, align
from attachment_outcomes.rupture.criteria import Criterion, detect
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.noise import autocorrelation
from attachment_outcomes.rupture.rules import Signal
from attachment_outcomes.rupture.series import read_series
from attachment_outcomes.simulate.rupture_scenarios.agreement import agreement_found, both_above, two_raters, uneventful

RTOL = 1e-10  # closed formulas in double precision
RTOL_SLOPE = 1e-6  # R's slopes are differences of two kappas


def below(series, *, score):
    """A rupture is a rating below a fixed score, repaired at it."""
    low = series.values < score
    begins = low.copy()
    begins[1:] &= ~low[:-1]
    begins &= series.rank > 0
    line = np.full(len(low), float(score))
    return Signal(begins, line, line, series.values, line, line, np.ones(len(series.lengths), dtype=bool))


def series_of(courses):
    frame = pd.concat(
        pd.DataFrame({"person_id": person, "session_number": list(course), "wai": list(course.values())})
        for person, course in courses.items()
    )
    return read_series(frame, score="wai")


def numbered(*scores):
    return dict(enumerate(scores, start=1))


def found(courses, score, name="x", reads=()):
    return detect(series_of(courses), Criterion(name, below, settings={"score": score}, reads=reads))


def test_cells_and_kappa_of_one_client_by_hand():
    course = {"a": numbered(5, 5, 2.5, 2.5, 5, 1.5, 5, 5)}
    # Below 3: sessions 3, 4 and 6. Below 2: session 6. Session 1 has nothing to fall from, so that 7 sessions are judged.
    verdicts = align([found(course, 3), found(course, 2)])
    assert verdicts.cells(0, 1, EPISODE).tolist() == [[1, 2, 0, 4]]
    # Onsets in 3 and 6, and in 6.
    assert verdicts.cells(0, 1, ONSET).tolist() == [[1, 1, 0, 5]]
    assert verdicts.cells(0, 1, CLIENT).tolist() == [[1, 0, 0, 0]]
    kappa = pair_agreement(verdicts.cells(0, 1, EPISODE))
    # Agreement 5/7, by chance (3 * 1 + 4 * 6) / 49 = 27/49: kappa = (35 - 27) / (49 - 27).
    assert kappa.kappa == pytest.approx(8 / 22)
    assert (kappa.agreement, kappa.pabak) == (pytest.approx(5 / 7), pytest.approx(3 / 7))
    assert (kappa.prevalence_index, kappa.bias_index) == (pytest.approx(-3 / 7), pytest.approx(2 / 7))
    assert math.isnan(kappa.ci_low)  # one person says nothing of how persons differ


def test_sessions_are_matched_by_their_number_and_judged_by_both_only():
    first = found({"a": numbered(5, 5, 1, 5, 5, 5), "b": numbered(5, 5, 5, 5)}, 3)
    # The second rater has no session 2, does not know b, and c is known to this one only.
    second = found({"a": {1: 5, 3: 1, 4: 1, 5: 5, 6: 5}, "c": numbered(5, 5, 1, 5)}, 3)
    verdicts = align([first, second])
    assert verdicts.units["client"].tolist() == ["a", "b", "c"]
    # a: sessions 3 to 6 are judged by both; both in 3, the second alone in 4.
    assert verdicts.cells(0, 1, EPISODE).tolist() == [[1, 0, 1, 2], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert verdicts.cells(0, 1, CLIENT).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_treatments_of_a_person_are_units_of_one_cluster():
    frame = pd.DataFrame({"person_id": "a", "treatment_id": np.repeat(["1", "2"], 4), "session_number": [1, 2, 3, 4] * 2})
    both = [detect(read_series(frame.assign(wai=w), score="wai"), Criterion("x", below, settings={"score": 3})) for w in (
        [5, 5, 1, 5, 5, 5, 5, 5], [5, 5, 1, 5, 5, 1, 5, 5])]  # fmt: skip
    assert align(both).cells(0, 1, CLIENT).tolist() == [[1, 0, 1, 0]]


@pytest.mark.parametrize(
    ("one", "two", "pairs"),
    [
        ([3], [3], 1),
        ([3], [4], 1),
        ([3], [2], 1),
        ([3], [5], 0),
        ([3, 5], [4], 1),  # one onset is matched once
        ([3, 5], [4, 6], 2),  # 3 with 4, 5 with 6
        ([3, 5, 7], [4, 6], 2),
        ([3, 9], [4, 8], 2),
        ([3], [], 0),
    ],
)
def test_onsets_within_one_session_are_paired_once(one, two, pairs):
    def course(onsets):
        return {"a": {s: 1 if s in onsets else 5 for s in range(1, 12)}}

    cells = align([found(course(one), 3), found(course(two), 3)]).cells(0, 1, ONSET)
    assert cells.tolist() == [[pairs, len(one) - pairs, len(two) - pairs, 10 - len(one) - len(two) + pairs]]


def test_a_report_judges_the_first_session_too_and_a_repair_in_the_session_stays_a_rupture():
    course = {"a": numbered(5, 5, 1, 5, 5)}
    assert align([found(course, 3), found(course, 3)]).cells(0, 1, EPISODE).sum() == 4
    report = found(course, 3, reads=("rupture_reported",))
    assert align([report, report]).cells(0, 1, EPISODE).sum() == 5


@pytest.fixture(scope="module")
def reference():
    return load_reference("rupture_agreement")


def by_person(a, b, person):
    cell = (1 - a) * 2 + (1 - b)
    return np.bincount(person * 4 + cell, minlength=4 * (person.max() + 1)).reshape(-1, 4).astype(float)


def test_kappa_of_pairs_matches_r(reference):
    votes, person = np.array(reference["votes"]), np.array(reference["id"]) - 1
    assert len(reference["pairs"]) == 6
    for case in reference["pairs"]:
        a, b = votes[:, case["first"]], votes[:, case["second"]]
        ours = pair_agreement(by_person(a, b, person))
        case.check(
            {k: getattr(ours, k) for k in ("kappa", "agreement", "pabak", "prevalence_index", "bias_index")}, rel=RTOL, abs=1e-14
        )
        case.check({"psych_kappa": ours.kappa}, rel=RTOL)
        case.check({k: getattr(ours, k) for k in ("std_error", "ci_low", "ci_high")}, rel=RTOL_SLOPE)
        # With every session a person of its own it is Fleiss, Cohen and Everitt's, times the root of n / (n - 1).
        n = len(a)
        alone = pair_agreement(by_person(a, b, np.arange(n)))
        case.check({"psych_se": alone.std_error * math.sqrt((n - 1) / n)}, rel=RTOL)
        same = clustered_kappa(1 - a, 1 - b, 2, person)
        assert (ours.kappa, ours.std_error) == (pytest.approx(same.estimate, rel=RTOL), pytest.approx(same.std_error, rel=RTOL))


def test_fleiss_kappa_matches_r(reference):
    votes, person = np.array(reference["votes"]), np.array(reference["id"])
    ours = fleiss_kappa(votes.sum(axis=1).astype(float), 4, person)
    reference["fleiss"].check({"kappa": ours.kappa}, rel=RTOL)
    reference["fleiss"].check({k: getattr(ours, k) for k in ("std_error", "ci_low", "ci_high")}, rel=RTOL_SLOPE)


def test_fleiss_kappa_of_a_textbook_table():
    # Fleiss (1971) by hand for 2 raters, 4 sessions, votes 2, 2, 0, 1: observed 3/4, p = 5/8, chance 34/64; (48 - 34) / (64 - 34).
    assert fleiss_kappa(np.array([2.0, 2, 0, 1]), 2).kappa == pytest.approx(14 / 30)


def test_kappa_is_not_defined_where_a_criterion_says_the_same_of_everything():
    never = pair_agreement(np.array([[0.0, 3, 0, 4], [0, 1, 0, 6]]))
    assert math.isnan(never.kappa)
    assert "the same of everything" in never.note
    assert never.pabak == pytest.approx(2 * 10 / 14 - 1)
    assert pair_agreement(np.zeros((3, 4))).note == "nothing is judged by both"
    assert "the same of everything" in fleiss_kappa(np.array([3.0, 3.0]), 3).note
    assert "two criteria" in fleiss_kappa(np.array([1.0]), 1).note


def test_few_persons_are_told():
    assert "few persons (3)" in pair_agreement(np.array([[2.0, 1, 1, 4]] * 3)).note


def study(courses, criteria, **settings):
    """Return a study of these courses, its criteria thresholds by name."""
    rows = [
        {"person_id": p, "treatment_id": "1", "session_number": s, "alliance": float(v)}
        for p, c in courses.items()
        for s, v in c.items()
    ]
    sessions = pd.DataFrame(rows).astype({"session_number": "Int64"})
    scores = pd.DataFrame(
        {c: pd.Series(dtype=t) for c, t in (
            ("person_id", "str"), ("instrument", "str"), ("scale", "str"), ("rater", "str"), ("wave", "Int64"),
            ("session_number", "Int64"), ("score", "float64"),
        )}
    )  # fmt: skip
    treatments = sessions[["person_id", "treatment_id"]].drop_duplicates().assign(therapist_id=None)
    presets = {name: {"rule": f"{__name__}:below", "settings": {"score": score}} for name, score in criteria.items()}
    block = {"alliance": "alliance", "criteria": list(criteria), **settings}
    return RuptureData({"sessions": sessions, "scores": scores, "treatments": treatments}, block, presets, {})


def people(n=24):
    """Return courses in which sessions 3 and 4 are low in every second, and session 6 very low in every third person."""
    return {
        f"p{i:02d}": {s: 5 - 2.5 * (s in (3, 4) and i % 2 == 0) - 3.5 * (s == 6 and i % 3 == 0) for s in range(1, 9)}
        for i in range(n)
    }


def test_a_study_has_every_pair_at_every_level():
    part = analyse(study(people(), {"three": 3, "two": 2, "four": 4}))
    table = part.tables["rupture_agreement"]
    assert list(table.columns) == list(TABLES["rupture_agreement"])
    assert len(table) == 3 * len(LEVELS)
    assert set(table["level"]) == set(LEVELS)
    assert table["primary"].sum() == 2 * len(LEVELS)
    # 24 people, 7 sessions each; "three" and "four" say the same, "two" only knows session 6 (8 people of 24).
    sessions = table[table["level"] == EPISODE].set_index(["criterion_a", "criterion_b"])
    assert sessions.loc[("three", "four"), "kappa"] == pytest.approx(1)
    pair = sessions.loc[("three", "two")]
    assert (pair["n"], pair["n_both"], pair["n_a_only"], pair["n_b_only"]) == (168, 8, 24, 0)
    rows = {(r.estimand, r.group, r.definition): r for r in part.estimates}
    assert len(estimates_frame(part.estimates)) == len(rows)
    kappa = rows["kappa", EPISODE, "three and two"]
    assert (kappa.analysis, kappa.primary, kappa.n, kappa.n_clusters) == (AGREEMENT, False, 168, 24)
    median = rows["median_kappa", EPISODE, "3 pairs of criteria"]
    assert median.estimate == pytest.approx(np.median(sessions["kappa"]))
    assert median.primary
    together = rows["fleiss_kappa", EPISODE, "all criteria of the rated alliance"]
    assert together.ci_low < together.estimate < together.ci_high


def test_notes_hold_no_number_that_gives_a_cell_of_a_pair_back():
    for row in analyse(study(people(), {"three": 3, "two": 2, "four": 4})).estimates:
        assert not re.search(r"\d\.\d|agreement \.|PABAK|prevalence index|lowest", row.note), row.note


def test_one_question_has_one_primary_answer():
    frame = estimates_frame(analyse(study(people(), {"three": 3, "two": 2, "four": 4})).estimates)
    primary = frame[frame["primary"]]
    assert len(primary)
    assert not primary.duplicated(["analysis", "estimand", "outcome", "group"]).any()


def test_what_has_no_kappa_is_told_by_pair():
    part = analyse(study(people(), {"three": 3, "never": 0}))
    rows = [r for r in part.estimates if r.estimand == NOT_TESTABLE]
    assert {r.definition for r in rows} >= {"three and never"}
    assert all("the same of everything" in r.note for r in rows if r.definition == "three and never")


def test_one_criterion_has_nobody_to_agree_with():
    (row,) = analyse(study(people(), {"three": 3})).estimates
    assert (row.estimand, row.note) == (NOT_TESTABLE, "1 criteria could be applied; agreement takes two")


def test_level_names_are_those_of_the_pairs():
    part = analyse(study(people(), {"a": 3, "b": 2, "c": 4, "d": 2.6}))
    names = {r.definition for r in part.estimates if r.estimand == "kappa"}
    assert names == {f"a and {b}" for b in "bcd"}
    table = part.tables["rupture_agreement"]
    assert set(zip(table["criterion_a"], table["criterion_b"], strict=True)) == set(combinations("abcd", 2))


@pytest.mark.parametrize("r", [-0.6, 0.0, 0.3, 0.9])
def test_the_truth_of_two_raters_is_that_of_two_normal_numbers(r):
    # Sheppard (1899) at the medians; and, whatever the thresholds, the product of the shares where nothing goes together.
    assert both_above(0.0, 0.0, r) == pytest.approx(0.25 + math.asin(r) / (2 * math.pi), abs=1e-10)
    assert both_above(1.2, 0.4, 0.0) == pytest.approx(ndtr(-1.2) * ndtr(-0.4), abs=1e-10)
    assert both_above(1.2, 0.4, r) == pytest.approx(both_above(0.4, 1.2, r), abs=1e-10)


def test_made_up_raters_have_the_kappa_that_they_say():
    fixed = {"clients": 4000, "fewest": 6, "most": 18, "prevalence": 0.3, "second": 0.2, "correlation": 0.7, "icc": 0.3}
    data, truth = two_raters(np.random.default_rng(3), **fixed)
    found = {f.target: f for f in agreement_found(data, methods=["by person"])}
    for target, value in truth.items():
        assert found[target].estimate == pytest.approx(value, abs=4 * found[target].std_error)


def test_uneventful_series_have_the_autocorrelation_that_they_say():
    fixed = {"clients": 3000, "fewest": 10, "most": 20, "missing": 0.0, "mean": 3.8, "sd": 0.5}
    data, truth = uneventful(np.random.default_rng(3), rho=0.4, sds="varied", **fixed)
    assert autocorrelation(data) == pytest.approx(0.4, abs=0.03)
    assert truth == {"share": 0.0, "rate": 0.0, "repaired": 0.0}
    assert data.lengths.min() >= 10
    assert data.lengths.max() <= 20


def test_a_table_of_counts_does_as_an_array_does():
    cells = np.array([[3, 1, 0, 6], [2, 0, 1, 7], [1, 1, 1, 5], [0, 0, 0, 0]])
    assert pair_agreement(pd.DataFrame(cells, index=list("abcd"))) == pair_agreement(cells)
    assert pair_agreement(cells).n_people == 3

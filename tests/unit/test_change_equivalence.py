"""Equivalence with a norm and between groups against R, Holm's control over outcomes, and what a study is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.change.equivalence import (
    ADJUSTED,
    NO_CHANGE,
    NORM,
    SECURITY,
    TABLES,
    UNADJUSTED,
    Asked,
    adjusted_families,
    analyse,
    group_equivalence,
    norm_equivalence,
    verdict,
)
from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.errors import ConfigError, StatisticsError
from attachment_outcomes.inference.equivalence import Equivalence, estimate_equivalence
from attachment_outcomes.inference.estimate import estimates_frame

R_DIGITS = 1e-9
PEOPLE = 90


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("specification")


@pytest.fixture(scope="module")
def toy(reference: Reference) -> pd.DataFrame:
    return reference.frame("data")


def told(found: Equivalence) -> dict:
    return {
        "estimate": found.estimate, "std_error": found.std_error, "df": found.df, "p_low": found.p_low, "p_high": found.p_high,
        "p_difference": found.p_difference, "ci": [found.ci_low, found.ci_high],
    }  # fmt: skip


@pytest.mark.parametrize(("case", "n", "by_therapist"), [("fixed", None, False), ("welch", 40, False), ("clustered", 40, True)])
def test_a_mean_beside_a_norm_agrees_with_r(reference, toy, case, n, by_therapist):
    norm = reference["functional"]
    found = norm_equivalence(
        toy["w2"], mean=norm["mean"], sd=norm["sd"], n=n, low=-2.5, high=2.5, clusters=toy["therapist"] if by_therapist else None
    )
    reference["norm"][case].check(told(found), rel=R_DIGITS)
    assert found.p_low == pytest.approx(reference["norm"]["fixed"]["p_low_t_test"], rel=R_DIGITS) or n is not None
    assert ("not known" in found.note) == (n is None)


def test_a_norm_of_few_people_makes_the_test_less_sure(toy):
    errors = [norm_equivalence(toy["w2"], mean=8, sd=5, n=n, low=-9, high=9).std_error for n in (None, 1000, 20)]
    assert errors == sorted(errors)
    assert errors[0] < errors[2]


@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("by_therapist", [False, True])
def test_two_groups_in_pooled_sds_agree_with_r(reference, toy, adjusted, by_therapist):
    found = group_equivalence(
        toy["w2"], toy["earned"].to_numpy(dtype=bool), baseline=toy["w0"] if adjusted else None,
        clusters=toy["therapist"] if by_therapist else None,
    )  # fmt: skip
    case = ("adjusted" if adjusted else "unadjusted") + ("_therapists" if by_therapist else "")
    reference["groups"][case].check(told(found), rel=R_DIGITS)


def test_the_verdict_never_says_that_there_is_no_difference():
    assert [verdict(p, q) for p, q in ((0.01, 0.6), (0.6, 0.01), (0.01, 0.01), (0.6, 0.6))] == [
        "equivalent", "different", "different, but within bounds", "neither shown",
    ]  # fmt: skip


def asked(estimate: float, std_error: float, *, question: str = NORM, outcome: str = "x.y", definition: str = "") -> Asked:
    found = replace(estimate_equivalence(estimate, std_error, low=-0.3, high=0.3), n=100)
    return Asked(question, outcome, definition, True, found, "SD units", "", "fixed")


def test_holm_controls_the_family_and_can_take_a_verdict_back():
    alone = adjusted_families([asked(0.0, 0.18)], ci_level=0.95)[0]
    assert (alone["verdict"], alone["family_size"]) == ("equivalent", 1)  # one-sided p = .048 by hand: Phi(-0.3/0.18)
    assert alone["p_equivalence"] == pytest.approx(0.04779, abs=1e-5)
    three = adjusted_families([asked(0.0, 0.18, outcome=f"x.{i}") for i in range(3)], ci_level=0.95)
    assert {r["verdict"] for r in three} == {"neither shown"}
    assert [r["p_equivalence_holm"] for r in three] == pytest.approx([3 * alone["p_equivalence"]] * 3)
    apart = adjusted_families([asked(0.0, 0.18), asked(0.0, 0.18, question=NO_CHANGE)], ci_level=0.95)
    assert {r["family_size"] for r in apart} == {1}


def test_both_limits_are_of_their_own_level():
    row = adjusted_families([asked(0.1, 0.1)], ci_level=0.95)[0]
    assert (row["tost_high"] - 0.1, row["ci_high"] - 0.1) == pytest.approx((0.16449, 0.19600), abs=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sd": 0.0}, "SD above 0"), ({"mean": np.nan}, "a mean"), ({"n": 1}, "more than one person"),
        ({"low": 3, "high": 2}, "the lower first"), ({"scores": [1.0, np.nan]}, "1 person with a score at the end"),
        ({"scores": [2.0, 2.0, 2.0]}, "nobody differs"), ({"clusters": ["a", "a", "a"]}, "at least two are needed"),
    ],
)  # fmt: skip
def test_what_cannot_be_set_beside_a_norm_is_refused(change, message):
    given = {"scores": [1.0, 2.0, 4.0], "mean": 2.0, "sd": 1.0, "low": -1, "high": 1, **change}
    with pytest.raises(StatisticsError, match=message):
        norm_equivalence(given.pop("scores"), **given)


def test_groups_that_cannot_be_compared_are_refused():
    with pytest.raises(StatisticsError, match="groups of 1 and 3"):
        group_equivalence([1.0, 2, 3, 4], [True, False, False, False])
    with pytest.raises(StatisticsError, match="nobody differs within the groups"):
        group_equivalence([1.0, 1, 2, 2], [True, True, False, False])
    with pytest.raises(StatisticsError, match="the baseline does not vary, or is that of the groups"):
        group_equivalence([1.0, 2, 3, 5], [True, True, False, False], baseline=[1.0, 1, 0, 0])
    with pytest.raises(StatisticsError, match="differ in length"):
        group_equivalence([1.0, 2], [True])


INSTRUMENT = {
    "core10": {
        "scales": {
            "total": {
                "title": "Distress", "direction": "higher is worse", "range": [0, 40], "reliability": [],
                "norms": [{"population": "functional", "mean": 5.0, "sd": 5.0, "n": 500, "verified": True}],
            }
        }
    },
    "ecr_r": {
        "scales": {
            s: {"title": s, "direction": "higher is worse", "range": [1, 7], "reliability": [], "norms": []}
            for s in ("anxiety", "avoidance")
        }
    },
}  # fmt: skip


def study(earned: int = 30, **settings) -> ChangeData:
    """90 clients of 9 therapists seen twice: 30 secure throughout, ``earned`` who became secure, the others never."""
    rng = np.random.default_rng(7)
    ids = [f"p{i:03d}" for i in range(PEOPLE)]
    first = ["secure" if i < 30 else "fearful" for i in range(PEOPLE)]
    last = ["secure" if i < 30 + earned else "fearful" for i in range(PEOPLE)]
    styles, scores = [], []
    for wave, words in ((0, first), (1, last)):
        for i, person in enumerate(ids):
            value = 20 + 5 * rng.standard_normal() - 8 * wave
            styles.append(
                {"person_id": person, "wave": wave, "session_number": None, "rater": "self", "name": "ecr_r midpoint",
                 "primary": True, "anxiety": 3.0, "avoidance": 3.0, "style": words[i]}
            )  # fmt: skip
            scores += [
                {
                    "person_id": person,
                    "wave": wave,
                    "session_number": None,
                    "instrument": k,
                    "scale": s,
                    "rater": "self",
                    "score": v,
                }
                for k, s, v in (("core10", "total", value), ("ecr_r", "anxiety", 3 + rng.standard_normal()))
            ]
    people = pd.DataFrame({"person_id": ids, "role": "client"})
    treatments = pd.DataFrame(
        {"person_id": ids, "treatment_id": "1", "therapist_id": [f"t{i % 9}" for i in range(PEOPLE)], "start_week": 0.0}
    )
    block = {"outcomes": [{"score": "core10.total"}, {"score": "ecr_r.anxiety"}], "equivalence": settings}
    empty = pd.DataFrame()
    return ChangeData(
        scores=pd.DataFrame(scores), styles=pd.DataFrame(styles), waves=empty, people=people, treatments=treatments, sessions=empty,
        classifications=empty, answers=empty, settings=block, instruments=INSTRUMENT,
    )  # fmt: skip


def test_a_study_is_told_three_questions_with_their_margins():
    part = analyse(study(margins={"core10.total": 3.0}))
    table = part.tables["equivalence"]
    assert {c: str(t) for c, t in table.dtypes.items()} == TABLES["equivalence"]
    rows = table.set_index(["question", "outcome", "definition"])
    norm = rows.loc[(NORM, "core10.total", "")]
    assert (norm["high"], norm["n"], norm["n_clusters"], norm["margin_source"]) == (3.0, 90, 9, "given by the study")
    assert norm["verdict"] == "different"
    assert rows.loc[(SECURITY, "core10.total", UNADJUSTED), ["first_n", "second_n"]].tolist() == [30, 30]
    assert rows.loc[(SECURITY, "core10.total", UNADJUSTED), "primary"]
    assert not rows.loc[(SECURITY, "core10.total", ADJUSTED), "primary"]
    assert "ecr_r.anxiety" not in table.loc[table["question"] == SECURITY, "outcome"].tolist()  # the classes are made of it
    frame = estimates_frame(part.estimates)
    refused = frame[frame["estimand"] == "not testable"]
    assert set(refused["outcome"]) == {"ecr_r.anxiety"}
    assert refused["note"].str.contains("no smallest difference that matters").all()
    shown = frame.set_index(["estimand", "outcome", "definition"]).loc[("earned_minus_continuous", "core10.total", UNADJUSTED)]
    assert str(shown["note"]).startswith(("equivalent;", "neither shown;", "different"))


def test_without_a_margin_half_an_sd_of_the_norm_is_taken_and_told():
    table = analyse(study()).tables["equivalence"].set_index(["question", "outcome"])
    assert table.loc[(NO_CHANGE, "core10.total"), "high"] == 2.5
    assert "0.5 SD of the norm" in table.loc[(NO_CHANGE, "core10.total"), "margin_source"]


def test_small_groups_and_the_scores_that_make_the_classes_are_told():
    few = estimates_frame(analyse(study(earned=6)).estimates)
    assert few["note"].str.contains("6 earned and 30 continuously secure people with core10.total at the end; each group").any()
    named = analyse(study(security={"outcomes": ["ecr_r.anxiety"]})).tables["equivalence"]
    assert named.loc[named["question"] == SECURITY, "note"].str.contains("both groups are selected by it").all()


def test_no_styles_and_one_wave_are_told_not_raised():
    data = study()
    without = estimates_frame(analyse(replace(data, styles=data.styles.iloc[:0])).estimates)
    assert without["note"].str.contains("no style classification").any()
    once = replace(data, scores=data.scores[data.scores["wave"] == 0], _kept={})
    frame = estimates_frame(analyse(once).estimates)
    assert (frame["estimand"] == "not testable").all()
    assert frame["note"].str.contains("0 people with").any()


def test_the_order_of_rows_changes_nothing():
    data = study(margins={"core10.total": 3.0})
    turned = replace(data, scores=data.scores[::-1], styles=data.styles[::-1], treatments=data.treatments[::-1], _kept={})
    pd.testing.assert_frame_equal(analyse(data).tables["equivalence"], analyse(turned).tables["equivalence"], rtol=1e-12)


def test_a_margin_of_no_outcome_is_refused():
    with pytest.raises(ConfigError, match=r"no outcome 'core10.totl'.*Did you mean 'core10.total'"):
        analyse(study(margins={"core10.totl": 3.0}))

"""Recovery of couples, and what it leaves insecure."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.dyads.couples import baseline_and_end, couple_means, couple_scores, couple_table
from attachment_outcomes.dyads.recovery import MISSING_VARIANT
from attachment_outcomes.dyads.stage import analyse_dyads
from attachment_outcomes.errors import ConfigError, DataError
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.inference.individual_change.definitions import reliability_of
from attachment_outcomes.study.contracts import empty, typed

R_DIGITS = 1e-10
STYLE_COLUMNS = ["person_id", "wave", "session_number", "rater", "name", "primary", "anxiety", "avoidance", "style"]
SATISFACTION = {
    "direction": "higher is better",
    "reliability": [{"value": 0.9, "kind": "alpha", "verified": False}],
    "norms": [{"population": "functional", "mean": 114.8, "sd": 17.8, "verified": False}],
    "cutoffs": [{"value": 100, "inclusive": False, "verified": False}],
}
INSTRUMENTS = {"das": {"scales": {"total": SATISFACTION, "other": {"direction": "neutral"}}}}
SETTINGS = {"satisfaction": "das.total", "scores": []}


def couples(*rows):
    frame = pd.DataFrame([[*r, *[None] * (4 - len(r))] for r in rows], columns=["person_a", "person_b", "family_id", "label"])
    return typed(frame.assign(kind="couple"), "relations")


def scores(rows):
    frame = pd.DataFrame(rows, columns=["person_id", "wave", "score"])
    return typed(frame.assign(instrument="das", scale="total", rater="self"), "scores")


def styles(rows):
    frame = pd.DataFrame(rows, columns=["person_id", "wave", "style"])
    return frame.assign(rater="self", primary=True).reindex(columns=STYLE_COLUMNS)


def tables(relations, values, style=()):
    return {
        "relations": relations,
        "scores": scores(values),
        "classifications": empty("classifications"),
        "styles": styles(list(style)),
    }


def analyse(given_tables, *, change=None, settings=None):
    return analyse_dyads(given_tables, settings=SETTINGS if settings is None else settings, change=change, instruments=INSTRUMENTS)


def found(out, estimand, *, primary=True):
    rows = [r for r in out.estimates if r.estimand == estimand and r.primary == primary]
    assert len(rows) == 1
    return rows[0]


@pytest.fixture(scope="module")
def reference():
    return load_reference("dyads_reference")


@pytest.fixture(scope="module")
def made_up(reference):
    k = len(reference["a1"])
    values = [(f"{who}{i}", wave, reference[f"{who}{wave + 1}"][i]) for i in range(k) for who in "ab" for wave in (0, 1)]
    return tables(couples(*((f"a{i}", f"b{i}", f"c{i:02d}") for i in range(k))), values)


def test_recovery_agrees_with_r(reference, made_up):
    change = {
        "outcomes": [
            {"score": "das.total", "rater": "self", "definitions": [{"name": "c", "cutoff": "c"}, {"name": "b", "cutoff": "b"}]}
        ]
    }
    out = analyse(made_up, change=change)
    first = out.couples[out.couples["primary"]]
    np.testing.assert_allclose(first["statistic"], reference["rci"], atol=R_DIGITS)
    recovered, improved = found(out, "recovered"), found(out, "reliably_improved")
    assert (recovered.n, recovered.estimate * recovered.n) == pytest.approx((reference["n_distressed"], reference["n_recovered"]))
    assert [recovered.ci_low, recovered.ci_high] == pytest.approx(reference["recovered_ci"], abs=R_DIGITS)
    assert (improved.n, improved.estimate * improved.n) == pytest.approx((36, reference["n_improved"]))
    assert [improved.ci_low, improved.ci_high] == pytest.approx(reference["improved_ci"], abs=R_DIGITS)
    assert len(out.couples) == 72
    estimates_frame(out.estimates, study="x")


def test_partner_correlation_agrees_with_r(reference, made_up):
    out = analyse(made_up, settings={**SETTINGS, "scores": ["das.total"]})
    r = found(out, "correlation")
    assert (r.estimate, r.p_value, r.n) == pytest.approx((reference["partner_r"], reference["partner_p"], 36), abs=R_DIGITS)
    assert [r.ci_low, r.ci_high] == pytest.approx(reference["partner_ci"], abs=R_DIGITS)


def small():
    """Return five couples by hand: means 80→120, 80→84, 90→60, 110→130, 85→missing (a partner left)."""
    before = {"a": (70, 90), "b": (80, 80), "c": (95, 85), "d": (110, 110), "e": (80, 90)}
    after = {"a": (120, 120), "b": (84, 84), "c": (60, 60), "d": (130, 130), "e": (130, None)}
    values = [(f"{c}{i}", wave, s) for wave, at in ((0, before), (3, after)) for c, pair in at.items() for i, s in enumerate(pair)]
    return couples(*((f"{c}0", f"{c}1", c) for c in before)), values


def test_categories_by_hand():
    # SD of 80, 80, 90, 110 is 14.14; with r .9 the standard error of a difference is 6.32, and 12.4 points are reliable.
    out = analyse(tables(*small()))
    told = out.couples.set_index("couple_id")
    assert told["category"].fillna("").tolist() == ["recovered", "unchanged", "deteriorated", "improved", ""]
    assert told["clinical_at_baseline"].to_dict() == {"a": True, "b": True, "c": True, "d": False, "e": True}
    assert told["crossed"].isna().tolist() == [False, False, False, False, True]
    assert not told["crossed"].any()
    assert told.loc["a", "statistic"] == pytest.approx(40 / (math.sqrt(200) * math.sqrt(0.2)))
    assert (found(out, "recovered").estimate, found(out, "recovered").n) == (1 / 3, 3)
    assert (found(out, "reliably_improved").estimate, found(out, "reliably_improved").n) == (2 / 4, 4)
    assert (found(out, "recovered", primary=False).estimate, found(out, "recovered", primary=False).n) == (1 / 4, 4)
    assert found(out, "reliably_improved", primary=False).estimate == 2 / 5
    assert MISSING_VARIANT in found(out, "recovered", primary=False).definition
    flow = out.flow.frame()
    assert flow.loc[flow["reason"] == "no later occasion with both partners' scores", ["n_in", "n_out"]].to_numpy().tolist() == [
        [5, 4]
    ]


def test_recovered_couples_with_an_insecure_partner():
    relations, values = small()
    values += [(f"b{i}", 4, 130) for i in range(2)]  # now couple b recovers too
    style = [("a0", 3, "secure"), ("a1", 0, "secure"), ("a1", 3, "dismissing"), ("b0", 3, "secure"), ("b1", 3, "boundary")]
    settings = {**SETTINGS, "individual": "styles"}
    out = analyse(tables(relations, values, style), settings=settings)
    row = found(out, "recovered_still_insecure")
    assert (row.estimate, row.n) == (1.0, 1)
    flow = out.flow.frame()
    assert flow.loc[flow["step"] == "recovered couples with both styles", ["n_in", "n_out"]].to_numpy().tolist() == [[2, 1]]
    nobody = analyse(tables(relations, values), settings=settings)
    assert any(r.analysis == "couple_individual" and "styles at the end" in r.note for r in nobody.estimates)


def test_the_first_and_last_occasion_are_those_of_both_partners():
    relations = couples(["a", "b"])
    values = [("a", 0, 80), ("a", 1, 84), ("b", 1, 90), ("a", 2, 100), ("b", 2, 110), ("b", 3, 120)]
    pairs = couple_table(relations)
    means = couple_means(couple_scores(pairs, scores(values), score="das.total"))
    assert means["mean"].tolist() == [87, 105]
    assert baseline_and_end(pairs, means)[["pre", "post"]].to_numpy().tolist() == [[87, 105]]
    assert baseline_and_end(pairs, means, baseline=2)[["pre"]].to_numpy().tolist() == [[105]]
    assert math.isnan(baseline_and_end(pairs, means, baseline=2)["post"].iloc[0])
    assert pairs["couple_id"].tolist() == ["a+b"]


def test_scores_about_the_partner_go_before_others():
    values = scores([("a", 0, 1.0), ("a", 0, 2.0), ("a", 0, 3.0), ("b", 0, 7.0), ("b", 0, 9.0)])
    values["about_person_id"] = pd.array(["b", None, "q", None, "q"], dtype="str")
    both = couple_scores(couple_table(couples(["a", "b"])), values, score="das.total")
    assert both[["score_a", "score_b"]].to_numpy().tolist() == [[1.0, 7.0]]
    assert (
        len(
            couple_scores(
                couple_table(couples(["a", "b"])), values.assign(wave=pd.array([None] * 5, dtype="Int64")), score="das.total"
            )
        )
        == 1
    )


def test_what_cannot_be_told_is_a_row():
    relations, values = small()
    none = analyse_dyads(tables(relations, values), settings=None, change=None, instruments={})
    assert [r.analysis for r in none.estimates] == [
        "couple_recovery",
        "couple_individual",
        "couple_concordance",
        "couple_correlation",
    ]
    lonely = analyse(tables(empty("relations"), values))
    assert {r.note for r in lonely.estimates} == {"the relations table holds no couple"}
    few = analyse(tables(relations, values[:2]))
    assert "0 couples have both" in few.estimates[0].note
    neutral = analyse(tables(relations, values), settings={**SETTINGS, "satisfaction": "das.other"})
    assert all(r.estimand == NOT_TESTABLE for r in neutral.estimates)
    flat = analyse(tables(relations, [(p, w, 90) for p, w, _ in values]))
    assert "scored alike at baseline" in flat.estimates[0].note
    uncut = analyse(
        tables(relations, values), change={"outcomes": [{"score": "das.total", "definitions": [{"name": "n", "cutoff": "none"}]}]}
    )
    assert [r.note for r in uncut.estimates if r.estimand == NOT_TESTABLE and r.definition == "n"] == [
        "recovered: the definition has no cutoff"
    ]
    for out in (none, lonely, few, neutral, flat, uncut):
        estimates_frame(out.estimates, study="x")


@pytest.mark.parametrize(
    ("relations", "message"),
    [
        (couples(["a", "a"]), r"their own partner in row 1\."),
        (couples(["a", "b"], ["b", "a"]), r"two couples in rows 1, 2\."),
        (couples(["a", "b"], ["c", "d"], ["a", "e"]), r"two couples in rows 1, 3\."),
    ],
)
def test_impossible_couples_are_refused(relations, message):
    with pytest.raises(DataError, match=message):
        couple_table(relations)


def test_bad_input_is_refused():
    relations, values = small()
    with pytest.raises(DataError, match="hold more than one value"):
        couple_scores(couple_table(relations), scores([("a0", 0, 1), ("a0", 0, 2)]), score="das.total")
    for name, message in (("dass.total", "no instrument 'dass'"), ("das.totl", "Did you mean 'total'")):
        with pytest.raises(ConfigError, match=message):
            analyse(tables(relations, values), settings={**SETTINGS, "satisfaction": name})


def test_definitions_are_those_of_people_on_couple_means():
    """SD of 80, 80, 90, 110 is 14.14 and their mean 90; c = (17.8 * 90 + 14.14 * 114.8) / (17.8 + 14.14) = 100.98."""
    definitions = [{}, {"cutoff": "instrument"}, {"name": "reference", "sd": "reference", "reliability": 0.8, "verified": True}]
    out = analyse(tables(*small()), change={"outcomes": [{"score": "das.total", "definitions": definitions}]})
    assert out.couples["definition"].drop_duplicates().tolist() == ["JT cutoff c", "JT cutoff instrument", "reference"]
    assert out.couples.groupby("definition")["primary"].first().to_dict() == {
        "JT cutoff c": True, "JT cutoff instrument": False, "reference": False,
    }  # fmt: skip
    assert set(out.couples["method"]) == {"JT"}
    told = out.couples.set_index(["definition", "couple_id"])["statistic"]
    assert told["reference", "a"] == pytest.approx(40 / (17.8 * math.sqrt(0.4)))
    first, second = (
        next(r.note for r in out.estimates if r.estimand == "recovered" and r.definition == name)
        for name in ("JT cutoff c", "reference")
    )
    assert first.startswith("n counts couples")
    assert "reliability 0.9 (alpha of the instrument, recalled, not checked)" in first
    assert "SD 14.1 of this sample at baseline" in first
    assert "cutoff c from this sample at baseline and functional norm of the instrument, recalled, not checked" in first
    assert "reliability 0.8 (given)" in second
    assert "SD 17.8 of the functional norm of the instrument, recalled, not checked" in second


def test_a_reliability_of_unknown_kind_says_so():
    scale = {**SATISFACTION, "reliability": [{"value": 0.9, "kind": "not told", "verified": True}]}
    assert reliability_of({}, scale) == (0.9, "reliability 0.9 (of the instrument, kind not told)")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"name": "x", "method": "HA"}, "assessed by JT only, not by HA"),
        ({"name": "x", "cutoff": "a", "clinical": {"mean": 200, "sd": 5}}, "not on the better side"),
    ],
)
def test_a_definition_that_cannot_be_used_is_a_row_by_name(given, reason):
    out = analyse(tables(*small()), change={"outcomes": [{"score": "das.total", "definitions": [given]}]})
    rows = [r for r in out.estimates if r.analysis == "couple_recovery"]
    assert [(r.estimand, r.definition) for r in rows] == [(NOT_TESTABLE, "x")]
    assert reason in rows[0].note
    assert out.couples.empty

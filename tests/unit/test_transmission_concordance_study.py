"""Classes from coders, scores and styles, and the concordance step of a study: what is compared, refused, or not testable."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from attachment_outcomes.errors import ConfigError, DataError, StatisticsError
from attachment_outcomes.inference.estimate import NOT_TESTABLE
from attachment_outcomes.inference.steps import Analysis
from attachment_outcomes.measures.codes import CLASSES, WAYS, classes, read_class, unreadable
from attachment_outcomes.measures.styles import COLUMNS as STYLE_COLUMNS
from attachment_outcomes.study.contracts import empty, typed
from attachment_outcomes.transmission import concordance, correspondence
from attachment_outcomes.transmission.classified import COLUMNS, all_classifications
from attachment_outcomes.transmission.data import READS, TransmissionData
from attachment_outcomes.transmission.stage import run_step

FOUR, THREE, UNRESOLVED, FORCED, DISORGANISED = WAYS
SETTINGS = {"parent_system": "AAI", "child_system": "SSP", "ways": WAYS, "labels": []}
STEP = (Analysis(("concordance",), correspondence.TABLES, correspondence.analyse),)
CUTOFF = {"system": "AQS", "score": "aqs.security", "rater": "observer", "wave": "first", "secure_from": 0.3}


def relations(*rows):
    columns = ["person_a", "person_b", "kind", "family_id", "generation", "label"]
    return typed(pd.DataFrame([[*r, *[None] * (6 - len(r))] for r in rows], columns=columns), "relations")


def classifications(*rows):
    columns = ["person_id", "about_person_id", "wave", "system", "primary", "secondary", "forced", "coder"]
    return typed(pd.DataFrame([[*r, *[None] * (8 - len(r))] for r in rows], columns=columns), "classifications")


def scores(*rows):
    columns = ["person_id", "about_person_id", "wave", "instrument", "scale", "rater", "score"]
    table = pd.DataFrame(rows, columns=columns).assign(session_number=pd.NA)
    return table.astype({"person_id": "str", "about_person_id": "str", "wave": "Int64", "session_number": "Int64", "score": float})


def styles(*rows):
    """Person, wave, session, name, primary, style."""
    table = pd.DataFrame(rows, columns=["person_id", "wave", "session_number", "name", "primary", "style"])
    return table.assign(rater="self", anxiety=1.0, avoidance=1.0)[STYLE_COLUMNS].astype(
        {"wave": "Int64", "session_number": "Int64", "style": "str"}
    )


def run(*, settings=None, **tables):
    filled = {name: tables.get(name, empty("relations" if name == "relations" else "classifications")) for name in READS}
    return run_step(STEP, filled, settings=SETTINGS | (settings or {}), instruments={})


PAIRS = relations(["m1", "c1", "parent_child"], ["m2", "c2", "parent_child"], ["m3", "c3", "parent_child"])
CODES = classifications(
    ["m1", None, 0, "AAI", "F"], ["m2", None, 0, "AAI", "Ds"], ["m3", None, 0, "AAI", "U/F"],
    ["c1", None, 1, "SSP", "B"], ["c2", None, 1, "SSP", "A"], ["c3", None, 1, "SSP", "D/B"],
)  # fmt: skip


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("secure", ("secure", "secure", "secure", "secure")),
        ("Dismissing", ("dismissing", "dismissing", "insecure", "insecure")),
        ("preoccupied", ("preoccupied", "preoccupied", "insecure", "insecure")),
        ("fearful", ("fearful", None, "insecure", "insecure")),
        ("boundary", (None, None, None, None)),
        ("insecure", (None, None, "insecure", "insecure")),
    ],
)
def test_a_style_is_read_in_its_four_ways(code, expected):
    assert tuple(read_class(code, system="styles", way=way) for way in WAYS[:4]) == expected


def test_styles_without_a_class_are_counted_by_reason():
    frame = pd.DataFrame({"primary": ["fearful", "boundary", None, "insecure", "secure"]})
    labels, excluded = classes(frame, system="styles", way=THREE)
    assert labels.fillna("-").tolist() == ["-", "-", "-", "-", "secure"]
    assert excluded == {
        "no class given": 1,
        "on the boundary of two styles": 1,
        "only secure or insecure given, not the class": 1,
        "fearful, which is none of three classes": 1,
    }


def test_the_q_set_tells_secure_from_insecure_only():
    assert [read_class("secure", system="AQS", way=way) for way in (UNRESOLVED, FORCED)] == ["secure", "secure"]
    for way in (FOUR, THREE, DISORGANISED):
        with pytest.raises(StatisticsError, match=f"AQS tells secure from insecure only.*the {way} reading"):
            read_class("secure", system="AQS", way=way)
    with pytest.raises(StatisticsError, match="does not say who is unresolved"):
        read_class("fearful", system="styles", way=DISORGANISED)
    assert all(bool(unreadable(s, w)) == (w not in CLASSES[s]) for s in CLASSES for w in WAYS)


@pytest.mark.parametrize(("system", "code"), [("AQS", "B"), ("AQS", "fearful"), ("styles", "Ds"), ("styles", "anxious")])
def test_words_that_are_not_the_systems_are_refused_without_naming_them(system, code):
    with pytest.raises(DataError, match=f"a code that {system} does not have in row 1; allowed: secure") as caught:
        read_class(code, system=system, way=FORCED)
    assert code not in str(caught.value).replace("allowed: secure, preoccupied, dismissing, fearful", "")


def test_a_system_without_secondary_classes_refuses_them():
    with pytest.raises(DataError, match="secondary: a class that styles does not have in row 2"):
        classes(pd.DataFrame({"primary": ["secure"] * 2, "secondary": [None, "secure"]}), system="styles", way=FORCED)


def test_security_from_a_score_is_secure_at_the_point():
    table = scores(
        ["a", None, 1, "aqs", "security", "observer", 0.30], ["b", None, 1, "aqs", "security", "observer", 0.2999],
        ["c", None, 2, "aqs", "security", "observer", 0.9], ["c", None, 1, "aqs", "security", "observer", -0.1],
        ["d", None, 1, "aqs", "security", "mother", 0.9], ["e", None, 1, "aqs", "security", "observer", math.nan],
    )  # fmt: skip
    found = all_classifications(empty("classifications"), table, styles(), cutoffs=[CUTOFF])
    assert dict(zip(found["person_id"], found["primary"], strict=True)) == {"a": "secure", "b": "insecure", "c": "insecure"}
    assert set(found["system"]) == {"AQS"}
    assert list(found.columns) == COLUMNS


def test_styles_of_the_primary_rule_and_the_first_session_count():
    table = styles(
        ["m", 1, 2, "midpoint", True, "secure"], ["m", 1, 1, "midpoint", True, "fearful"], ["m", 1, 1, "norm", False, "secure"]
    )
    none = empty("classifications"), scores()
    assert all_classifications(*none, table)["primary"].tolist() == ["fearful"]
    assert all_classifications(*none, table, style="norm")["primary"].tolist() == ["secure"]
    with pytest.raises(ConfigError, match=r"found 'norms'; allowed: midpoint, norm.*Did you mean 'norm'"):
        all_classifications(*none, table, style="norms")


def test_two_sources_of_one_systems_classes_are_refused():
    coded = classifications(["c", None, 1, "AQS", "secure"])
    with pytest.raises(DataError, match=r"classes of AQS, which transmission.security_cutoffs gives too"):
        all_classifications(coded, scores(), styles(), cutoffs=[CUTOFF])
    with pytest.raises(DataError, match=r"classes of styles, which measures.styles gives too"):
        all_classifications(classifications(["c", None, 1, "styles", "secure"]), scores(), styles(["c", 1, 1, "x", True, "secure"]))
    with pytest.raises(ConfigError, match="AQS has two cutoffs"):
        all_classifications(empty("classifications"), scores(), styles(), cutoffs=[CUTOFF, CUTOFF])


def test_a_study_of_styles_and_q_set():
    kept = styles(["m1", 0, 1, "s", True, "secure"], ["m2", 0, 1, "s", True, "dismissing"], ["m3", 0, 1, "s", True, "boundary"])
    seen = scores(*([f"c{i}", None, 1, "aqs", "security", "observer", x] for i, x in ((1, 0.5), (2, 0.1), (3, 0.4))))
    part = run(
        relations=PAIRS, styles=kept, scores=seen,
        settings={"parent_system": "styles", "child_system": "AQS", "security_cutoffs": [CUTOFF]},
    )  # fmt: skip
    rows = {e.definition: e for e in part.estimates if e.estimand == "agreement"}
    assert {w: (e.estimate, e.n) for w, e in rows.items()} == {UNRESOLVED: (1.0, 2), FORCED: (1.0, 2)}
    untold = {e.definition: e.note for e in part.estimates if e.estimand == NOT_TESTABLE}
    assert set(untold) == {FOUR, THREE, DISORGANISED}
    assert "AQS tells secure from insecure only" in untold[FOUR]
    assert "does not say who is unresolved" in untold[DISORGANISED]
    lines = part.flow.frame().set_index(["step", "reason"])
    assert lines.loc[(f"parent's class, {FORCED}", "on the boundary of two styles"), ["n_in", "n_out"]].tolist() == [3, 2]


def test_fearful_beside_unresolved_is_told_as_doubtful():
    rows = concordance(["fearful", "secure"], ["D", "B"], way=FOUR, parent_system="styles")
    assert all("no true match" in e.note for e in rows if e.estimand != "row_share")
    assert next(e for e in rows if e.estimand == "agreement").estimate == 1
    rows = concordance(["fearful", "secure"], ["D", "B"], way=FORCED, parent_system="styles")
    assert not any("no true match" in e.note for e in rows)


def test_a_study_through_its_step():
    part = run(relations=PAIRS, classifications=CODES)
    assert set(part.tables) == {"concordance", "residuals", "loglinear"}
    agreement = {e.definition: e.estimate for e in part.estimates if e.estimand == "agreement"}
    assert agreement == dict.fromkeys(WAYS, 1.0)
    assert part.tables["loglinear"]["n"].unique().tolist() == [3]
    assert set(part.tables["loglinear"]["model"]) == {"independence", "quasi-independence", "symmetry", "quasi-symmetry"}


def test_shares_of_a_row_are_beside_the_counts_and_not_among_the_estimates():
    part = run(relations=PAIRS, classifications=CODES)
    cells = part.tables["concordance"].set_index(["way", "parent_class", "child_class"])
    assert cells.loc[(FORCED, "secure", "secure"), ["n", "share"]].tolist() == [2, 1.0]
    assert cells.loc[(FORCED, "secure", "secure"), "ci_low"] == pytest.approx(0.3424, abs=5e-5)  # Wilson, 2 of 2
    assert "row_share" not in {e.estimand for e in part.estimates}


def test_labels_choose_the_pairs():
    table = relations(["m1", "c1", "parent_child", "f", 1, "mother-child"], ["d1", "c1", "parent_child", "f", 1, "father-child"])
    codes = classifications(["m1", None, 0, "AAI", "F"], ["d1", None, 0, "AAI", "Ds"], ["c1", None, 1, "SSP", "B"])
    part = run(relations=table, classifications=codes, settings={"labels": ["mother-child"]})
    assert {e.estimate for e in part.estimates if e.estimand == "agreement" and e.definition == FOUR} == {1.0}
    lines = part.flow.frame().set_index(["step", "reason"])
    assert lines.loc[("pairs compared", "a relation other than mother-child"), ["n_in", "n_out"]].tolist() == [2, 1]
    with pytest.raises(ConfigError, match="label 'grandmother-child', which no relation has"):
        run(relations=table, classifications=codes, settings={"labels": ["grandmother-child"]})


def test_a_child_of_two_families_is_one_cluster():
    table = relations(["m", "c", "parent_child", "f1"], ["d", "c", "parent_child", "f2"], ["x", "y", "parent_child", "f2"])
    data = TransmissionData(dict.fromkeys(READS, empty("classifications")) | {"relations": table}, SETTINGS)
    assert data.pairs["cluster"].tolist() == [0, 0, 0]


CHILDREN = (["c1", None, 1, "SSP", "B"], ["c2", None, 1, "SSP", "A"], ["c3", None, 1, "SSP", "D/B"])
TWICE = (["m1", None, 0, "AAI", "F", None, None, "k1"], ["m1", None, 0, "AAI", "E", None, None, "k2"])


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"relations": relations(["a", "a", "parent_child"])}, "their own parent in row 1"),
        ({"relations": relations(["a", "b", "parent_child"], ["b", "a", "parent_child"])}, "loop through 2 people"),
        ({"relations": relations(["a", "b", "parent_child"], ["a", "b", "parent_child"])}, "paired twice in row 2"),
        ({"classifications": classifications(["m1", None, 0, "AAI", "Q7"], *CHILDREN)}, "a code that the AAI"),
        ({"classifications": classifications(*TWICE, *CHILDREN)}, "1 people have two first classifications in AAI"),
    ],
)
def test_bad_input_stops_the_step_with_its_reason(tables, message):
    with pytest.raises(DataError, match=message) as caught:
        run(**({"relations": PAIRS, "classifications": CODES} | tables))
    assert "Q7" not in str(caught.value)


def test_a_bad_code_is_told_by_its_row_of_the_table_and_not_of_the_pairs():
    several = (["x1", None, 0, "AAI", "F"], ["x2", None, 0, "SSP", "B"], ["m3", None, 0, "AAI", "Q7"], *CHILDREN)
    with pytest.raises(DataError, match=r"classifications.primary: a code that the AAI .* in row 3;"):
        run(relations=PAIRS, classifications=classifications(*several, ["m2", None, 0, "AAI", "F"]))
    parents = (["m1", None, 0, "AAI", "F"], ["m2", None, 0, "AAI", "Ds"])
    with pytest.raises(DataError, match=r"classifications.primary: a code that the SSP .* in row 4;"):
        run(relations=PAIRS, classifications=classifications(*parents, CHILDREN[0], ["c2", None, 1, "SSP", "Q7"]))


def test_the_public_function_refuses_the_same_codes():
    with pytest.raises(DataError, match="a code that the SSP"):
        concordance(["F"], ["Q7"], way=FOUR)


def test_zero_margins_in_a_study_are_told():
    codes = classifications(
        ["m1", None, 0, "AAI", "F"], ["m2", None, 0, "AAI", "F"], ["m3", None, 0, "AAI", "F"],
        ["c1", None, 1, "SSP", "B"], ["c2", None, 1, "SSP", "A"], ["c3", None, 1, "SSP", "B"],
    )  # fmt: skip
    part = run(relations=PAIRS, classifications=codes, settings={"ways": [FORCED]})
    rows = {e.estimand: e for e in part.estimates if not e.group}
    assert rows["kappa"].estimate == 0
    assert "single class" in rows["kappa"].note
    assert all(e.note for e in part.estimates if math.isnan(e.estimate))
    assert math.isnan(rows["interrupted"].estimate)

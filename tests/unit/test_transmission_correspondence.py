"""Correspondence of classes between generations."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import ConfigError, DataError, StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import NOT_TESTABLE
from attachment_outcomes.measures.codes import WAYS
from attachment_outcomes.study.contracts import empty, typed
from attachment_outcomes.transmission import concordance
from attachment_outcomes.transmission.correspondence import between_generations
from attachment_outcomes.transmission.relations import pairs
from attachment_outcomes.transmission.table_estimates import table_estimates

UNRESOLVED, FORCED, DISORGANISED = "2-way, unresolved insecure", "2-way, forced", "2-way, disorganised"


def lists(cells):
    """Return parents and children, one entry a pair, from (parent, child, n) cells."""
    return [p for p, _, n in cells for _ in range(n)], [c for _, c, n in cells for _ in range(n)]


def read(part):
    return part.estimates, *(part.tables[name] for name in ("concordance", "residuals", "loglinear"))


def by_name(rows):
    return {r.estimand: r for r in rows}


def relations(*rows):
    columns = ["person_a", "person_b", "kind", "family_id", "generation", "label"]
    return typed(pd.DataFrame([[*r, *[None] * (6 - len(r))] for r in rows], columns=columns), "relations")


def classifications(*rows):
    columns = ["person_id", "about_person_id", "wave", "system", "primary", "secondary", "forced", "coder"]
    return typed(pd.DataFrame([[*r, *[None] * (8 - len(r))] for r in rows], columns=columns), "classifications")


def test_the_published_table_of_1995():
    # Cells that give the published 75 % and kappa .49 of 661 pairs (van IJzendoorn, 1995).
    parent, child = lists([("F", "B", 304), ("F", "A", 67), ("Ds", "B", 98), ("E", "A", 192)])
    found = by_name(concordance(parent, child, way=FORCED))
    told = {k: round(found[k].estimate, 3) for k in ("agreement", "kappa", "phi", "odds_ratio")}
    assert told == {"agreement": 0.75, "kappa": 0.487, "phi": 0.489, "odds_ratio": 8.889}
    # By hand: insecure child of an insecure parent 192/290, of a secure one 67/371.
    assert found["risk_difference"].estimate == pytest.approx(192 / 290 - 67 / 371)
    assert found["risk_ratio"].estimate == pytest.approx((192 / 290) / (67 / 371))
    assert (found["interrupted"].estimate, found["interrupted"].n) == (98 / 290, 290)
    assert found["agreement"].n == 661
    assert found["cramers_v"].p_value < 1e-30
    assert all(r.unit and r.method and r.definition == FORCED and r.outcome == "AAI-SSP" for r in found.values())


def test_the_four_ways_of_the_same_codes_by_hand():
    parent = ["F2", "U/F", "U/Ds", "Ds1", "E", "CC"]
    child = ["B3", "D/B", "D/A", "A", "B", "D"]
    found = {way: by_name(concordance(parent, child, way=way)) for way in WAYS}
    assert {w: (f["agreement"].estimate, f["agreement"].n) for w, f in found.items()} == {
        "4-way": (5 / 6, 6),  # E–B alone is off the diagonal
        "3-way": (4 / 5, 5),  # CC and D have no organised class beside them
        UNRESOLVED: (5 / 6, 6),
        FORCED: (4 / 5, 5),
        DISORGANISED: (6 / 6, 6),
    }
    assert (found["3-way"]["kappa"].n, found["4-way"]["kappa"].n) == (5, 6)
    assert found["3-way"]["kappa"].note == "pairs without a class of both are left out"  # a small number would not be hidden
    assert "phi" not in found["4-way"]


def test_codes_may_come_as_frames_with_forced_classes():
    parent = pd.DataFrame({"primary": ["U", "U"], "forced": ["F", "Ds"]})
    child = pd.DataFrame({"primary": ["D", "D"], "secondary": ["B", "B"]})
    assert by_name(concordance(parent, child, way="3-way"))["agreement"].estimate == 0.5


def test_siblings_widen_the_interval_and_change_no_estimate():
    parent, child = lists([("F", "B", 30), ("F", "A", 10), ("Ds", "B", 9), ("Ds", "A", 21)])
    once = by_name(concordance(parent, child, way=FORCED, clusters=range(70)))
    plain = by_name(concordance(parent, child, way=FORCED))
    twice = by_name(concordance(parent * 2, child * 2, way=FORCED, clusters=[*range(70), *range(70)]))
    naive = by_name(concordance(parent * 2, child * 2, way=FORCED))
    assert once == plain
    for name in ("agreement", "kappa", "phi", "odds_ratio", "risk_difference", "risk_ratio", "interrupted"):
        assert twice[name].estimate == pytest.approx(plain[name].estimate)
        assert "effective n of families" in twice[name].method
        assert twice[name].n_clusters == 70
        assert twice[name].ci_high - twice[name].ci_low > 1.2 * (naive[name].ci_high - naive[name].ci_low)
        # The same 70 families, twice: as sure as 70 pairs, but for t on 69 degrees of freedom.
        assert twice[name].ci_high - twice[name].ci_low == pytest.approx(plain[name].ci_high - plain[name].ci_low, rel=0.08)
    assert math.isnan(twice["kappa"].p_value)
    assert "families" not in plain["kappa"].method


def test_the_design_effect_of_agreement_by_hand():
    # Three families of 2 pairs with 2, 1 and 0 of them on the diagonal: deviations 1, 0, −1, so that the variance of the share is
    # 3/2 · 2/36 = 1/12, twice that of six independent pairs, 1/24.
    found = by_name(
        concordance(["F", "F", "F", "Ds", "Ds", "F"], ["B", "B", "B", "B", "B", "A"], way=FORCED, clusters=list("aabbcc"))
    )
    assert found["agreement"].estimate == 0.5
    assert found["agreement"].std_error == pytest.approx(math.sqrt(1 / 12))
    assert "few families" in found["agreement"].note


def of_families(*tables):
    """Rows and log-linear models of one table a family."""
    rows, models = table_estimates(np.array(tables), outcome="AAI-SSP", way=FORCED, rng=np.random.default_rng(1))
    return {(e.estimand, e.group): e for e in rows}, models


def test_an_odds_ratio_of_hardly_any_families_has_no_interval():
    # Its limits would be 6e-23 and 4e21.
    found = of_families([[1, 0], [0, 1]], [[0, 2], [1, 0]])[0][("logistic_odds_ratio", "")]
    assert found.estimate == pytest.approx(0.5)
    assert all(map(math.isnan, (found.ci_low, found.ci_high, found.std_error, found.p_value)))
    assert found.note == "no interval: fewer than 4 degrees of freedom, because few families tell of the odds ratio"


@pytest.mark.parametrize(
    ("tables", "note"),
    [
        (([[3, 1], [2, 4]],), "there is only one family, or one decides"),
        (([[3, 1], [0, 0]], [[0, 0], [2, 4]]), "there is only one family, or one decides"),
        (([[3, 0], [2, 0]], [[1, 0], [2, 0]]), "a row or column is empty"),
    ],
)
def test_an_odds_ratio_that_is_not_there_says_why_without_counts(tables, note):
    found = of_families(*tables)[0][("logistic_odds_ratio", "")]
    assert math.isnan(found.estimate)
    assert note in found.note
    assert not any(c.isdigit() for c in found.note)


def test_models_of_families_have_one_reason_for_no_p_value():
    rows, models = of_families(*[[[2, 0], [0, 1]], [[1, 1], [0, 1]], [[0, 1], [1, 1]]] * 3)
    assert {m.note for m in models} == {"no p value: pairs of a family are not independent"}
    assert {m.method for m in models} == {"maximum likelihood"}
    assert rows[("lack_of_fit", "independence")].note == "1 df; no p value: pairs of a family are not independent"
    assert not math.isnan(rows[("bic", "independence")].estimate)


def test_a_way_without_pairs_is_told_not_left_out():
    rows = concordance(["secure", "insecure"], ["secure", "secure"], way="4-way")
    assert [r.estimand for r in rows] == [NOT_TESTABLE]
    assert rows[0].note == "no pair has both classes; pairs without a class of both are left out"


def test_zero_margins_give_notes_not_errors():
    found = by_name(concordance(["F", "F", "Ds"], ["B", "B", "B"], way=FORCED))
    assert found["kappa"].estimate == 0
    assert "single class" in found["kappa"].note
    for name in ("phi", "odds_ratio", "risk_ratio"):
        assert math.isnan(found[name].estimate)
        assert "empty" in found[name].note


@pytest.mark.parametrize(
    ("parent", "child", "settings", "error", "message"),
    [
        (["F", "X"], ["B", "B"], {}, DataError, "row 2"),
        (["F"], ["B", "B"], {}, DataError, "1 parents but 2 children"),
        (["F"], ["B"], {"way": "5-way"}, ConfigError, "Did you mean"),
        (["F"], ["B"], {"child_system": "SPP"}, ConfigError, "Did you mean 'SSP'"),
        (["F", "F"], ["B", "B"], {"clusters": ["a"]}, StatisticsError, "clusters"),
        (pd.DataFrame({"class": ["F"]}), ["B"], {}, DataError, "no column 'primary'"),
    ],
)
def test_bad_input_is_refused(parent, child, settings, error, message):
    with pytest.raises(error, match=message):
        concordance(parent, child, **{"way": "4-way", **settings})


def study():
    """Return two families: one mother with two children, a father with one, and a pair without classes."""
    table = relations(
        ["m1", "c1", "parent_child", "f1"],
        ["m1", "c2", "parent_child", "f1"],
        ["d2", "c3", "parent_child", "f2"],
        ["m3", "c4", "parent_child_adoptive", "f3"],
        ["m3", "t1", "therapist_client"],
    )
    codes = classifications(
        ["m1", None, 0, "AAI", "F"],
        ["m1", None, 1, "AAI", "Ds"],
        ["d2", None, 0, "AAI", "U"],
        ["c1", None, 1, "SSP", "B"],
        ["c2", None, 1, "SSP", "A"],
        ["c3", "d2", 1, "SSP", "D"],
        ["c3", "m9", 1, "SSP", "B"],
        ["m3", None, 0, "AAI", "E"],
    )
    return table, codes


def test_a_study_from_its_tables():
    flow = Flow()
    rows, cells, residuals, fits = read(between_generations(*study(), ways=WAYS, flow=flow))
    four = {r.estimand: r for r in rows if r.definition == "4-way"}
    assert (four["agreement"].estimate, four["agreement"].n, four["agreement"].n_clusters) == (2 / 3, 3, 2)
    assert four["agreement"].primary
    assert not any(r.primary for r in rows if r.definition != "4-way")
    counted = cells[cells["way"] == "4-way"].set_index(["parent_class", "child_class"])["n"]
    # The first classification of the mother (F) counts, and of the child's two the one about this parent (D).
    assert counted[("F", "B")] == counted[("F", "A")] == counted[("U", "D")] == 1
    assert counted.sum() == 3
    assert len(cells) == len(residuals) == 16 + 9 + 4 + 4 + 4
    assert len(fits) == 4 + 4 + 2 + 2 + 2
    lines = flow.frame().set_index(["step", "reason"])
    assert lines.loc[("parent–child pairs", "another kind of relation"), "n_out"] == 4
    assert lines.loc[("child classified (SSP)", "child not classified"), ["n_in", "n_out"]].tolist() == [4, 3]
    assert lines.loc[("parent's class, 3-way", "no organised class beside the unresolved or disorganised one"), "n_out"] == 2


def test_no_pair_with_both_classes_is_one_row():
    flow = Flow()
    table, _ = study()
    part = between_generations(table, empty("classifications"), ways=WAYS, flow=flow)
    rows = part.estimates
    assert [r.estimand for r in rows] == [NOT_TESTABLE]
    assert "no parent–child pair has both" in rows[0].note
    assert not part.tables


def test_generations_of_three():
    table = relations(["g", "m", "parent_child", "f", 1], ["m", "c", "parent_child", "f", 2])
    codes = classifications(["g", None, 0, "AAI", "F"], ["m", None, 0, "AAI", "F"], ["c", None, 0, "SSP", "B"])
    assert pairs(table)["cluster"].tolist() == [0, 0]
    for child_system, n in (("AAI", 1), ("SSP", 1)):
        part = between_generations(table, codes, child_system=child_system, ways=[FORCED], flow=Flow())
        assert by_name(part.estimates)["agreement"].n == n


def test_people_link_pairs_where_no_family_is_named():
    table = relations(
        ["m", "a", "parent_child"], ["d", "a", "parent_child"], ["d", "b", "parent_child"], ["x", "y", "parent_child"]
    )
    assert pairs(table)["cluster"].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["a", "a", "parent_child"]], r"their own parent in row 1\."),
        ([["a", "b", "parent_child"], ["b", "c", "parent_child"], ["c", "a", "parent_child"]], "loop through 3 people"),
        ([["z", "a", "parent_child"], ["a", "b", "parent_child"], ["b", "a", "parent_child"]], "own ancestor"),
        ([["a", "b", "couple"], ["a", "c", "parent_child"], ["a", "c", "parent_child_adoptive"]], r"paired twice in row 3\."),
    ],
)
def test_impossible_families_are_refused(rows, message):
    with pytest.raises(DataError, match=message):
        pairs(relations(*rows))


def test_two_first_classifications_are_refused():
    table = relations(["m", "c", "parent_child"])
    two = classifications(["m", None, 0, "AAI", "F", None, None, "k1"], ["m", None, 0, "AAI", "Ds", None, None, "k2"])
    with pytest.raises(DataError, match=r"1 people have two first classifications in AAI.*Hint: keep one coder"):
        between_generations(table, two, ways=WAYS, flow=Flow())


def test_messages_hold_no_ids_and_no_codes():
    table = relations(["secret-id", "c", "parent_child"])
    with pytest.raises(DataError) as refusal:
        between_generations(
            table, classifications(["secret-id", None, 0, "AAI", "Zz9"], ["c", None, 0, "SSP", "B"]), ways=WAYS, flow=Flow()
        )
    assert "secret-id" not in str(refusal.value)
    assert "Zz9" not in str(refusal.value)

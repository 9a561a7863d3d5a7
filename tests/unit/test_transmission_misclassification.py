"""Transmission without misclassification: errors, corrected tables, the study's analysis."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.errors import ConfigError, StatisticsError
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.inference.misclassification import (
    as_errors,
    drawn_errors,
    errors_from_retest,
    fullest_diagonal,
    inverted,
    margin_preserving_errors,
    most_likely,
    retest_kappa_error,
    seen_through,
)
from attachment_outcomes.study.contracts import empty, typed
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.misclassification import Reliability, corrected_transmission
from attachment_outcomes.transmission.misclassification.correction import sensitivity
from attachment_outcomes.transmission.misclassification.quantities import agreement, kappa, odds_ratio, phi
from attachment_outcomes.transmission.misclassification.reliability import reliabilities
from attachment_outcomes.transmission.misclassification.study import GRID, TABLES, analyse

EXACT = 1e-10  # formulas
ITERATED = 1e-6  # nlminb stops there
REFERENCE = load_reference("misclassification")
TWO = [[304, 67], [98, 192]]
FOUR = [[62, 29, 14, 11], [24, 210, 14, 39], [3, 9, 10, 6], [19, 26, 10, 62]]


def rng():
    return np.random.default_rng(7)


def rows_of(table, parent, child, **options):
    rows, shares = corrected_transmission(table, parent=parent, child=child, rng=rng(), replicates=199, **options)
    return {(row.group, row.estimand): row for row in rows}, shares


@pytest.mark.parametrize("name", list(REFERENCE["tables"]))
def test_tables_without_error_are_those_of_r(name):
    r = REFERENCE["tables"][name]
    counts = np.array(r["counts"], dtype=float)
    p, a, b = counts / counts.sum(), np.array(r["parent_errors"]), np.array(r["child_errors"])
    table, boundary = most_likely(p[None], a[None], b[None])
    full = seen_through(fullest_diagonal(table[0]), a, b)
    assert bool(boundary[0]) == (inverted(p, a, b).min() < 0) == (name in ("boundary_two", "boundary_three", "given"))
    r.check({"inverted": inverted(p, a, b), "kappa": kappa(inverted(p, a, b))}, abs=EXACT)
    mine = {"possible": table[0], "possible_kappa": kappa(table)[0]}
    r.check(mine | {"ceiling_agreement": agreement(full), "ceiling_kappa": kappa(full)}, abs=ITERATED)


def test_the_errors_behind_a_retest_table_are_its_root():
    r = REFERENCE["retest"]
    r.check({"root": errors_from_retest(r["counts"])}, abs=EXACT)


def test_the_error_of_a_retest_kappa_is_that_of_fleiss_cohen_and_everitt():
    r = REFERENCE["retest_kappa_error"]
    r.check({"std_error": retest_kappa_error(r["kappa"], r["margins"], r["n"])}, abs=EXACT)


def test_a_retest_of_margin_preserving_errors_has_that_kappa_and_those_margins():
    margins = np.array([0.2, 0.5, 0.3])
    errors = margin_preserving_errors(0.63, margins)
    twice = errors.T @ np.diag(margins) @ errors
    assert twice.sum(axis=1) == pytest.approx(margins, abs=EXACT)
    assert kappa(twice) == pytest.approx(0.63, abs=EXACT)
    # The table of such a retest, as large as one likes, gives the same errors back.
    assert errors_from_retest(np.round(twice * 10**9)) == pytest.approx(errors, abs=1e-8)


def test_spearmans_rule_holds_for_classes_whatever_the_margins():
    found, _ = rows_of(TWO, Reliability(kappa=0.8), Reliability(kappa=0.7))
    seen = found["observed", "kappa"].estimate
    assert seen == pytest.approx(0.487, abs=5e-4)
    assert found["corrected", "kappa"].estimate == pytest.approx(seen / math.sqrt(0.8 * 0.7), abs=EXACT)
    assert found["corrected", "chance_agreement"].estimate == pytest.approx(
        found["observed", "chance_agreement"].estimate, abs=EXACT
    )


def test_a_table_worked_by_hand():
    # Sensitivity and specificity .9: .9 * .9 * .4 + 2 * .9 * .1 * .1 + .1 * .1 * .4 = .346 are seen alike in each way.
    errors = [[0.9, 0.1], [0.1, 0.9]]
    found, shares = rows_of([[346, 154], [154, 346]], Reliability(errors=errors), Reliability(errors=errors))
    assert shares == pytest.approx(np.array([[0.4, 0.1], [0.1, 0.4]]), abs=EXACT)
    assert found["corrected", "agreement"].estimate == pytest.approx(0.8, abs=EXACT)
    assert found["corrected, possible table", "odds_ratio"].estimate == pytest.approx(16, abs=1e-8)
    assert found["corrected, possible table", "interrupted"].estimate == pytest.approx(0.2, abs=EXACT)
    assert found["corrected, possible table", "phi"].estimate == pytest.approx(0.6, abs=EXACT)
    # Perfect transmission would be seen as .9² + .1² = .82.
    assert found["ceiling", "agreement"].estimate == pytest.approx(0.82, abs=EXACT)
    assert found["corrected", "explained_by_error"].estimate == pytest.approx(1 - 0.2 / 0.308, abs=EXACT)
    assert found["ceiling", "expected_from_error"].estimate == pytest.approx(0.18 / 0.308, abs=EXACT)


def test_without_error_nothing_is_corrected():
    found, shares = rows_of(FOUR, Reliability(kappa=1), Reliability(kappa=1, n=50))
    for estimand in ("agreement", "kappa"):
        rows = [found[group, estimand] for group in ("observed", "corrected")]
        assert len({(row.estimate, row.ci_low, row.ci_high) for row in rows}) == 1
    assert shares == pytest.approx(np.array(FOUR) / 548, abs=EXACT)


def test_an_uncertain_reliability_makes_the_interval_wider_and_is_told():
    known, _ = rows_of(FOUR, Reliability(kappa=0.63), Reliability(kappa=0.7))
    uncertain, _ = rows_of(FOUR, Reliability(kappa=0.63, n=83, verified=False), Reliability(kappa=0.7, n=40, of="coders"))
    first, second = (rows["corrected", "kappa"] for rows in (known, uncertain))
    assert second.ci_high - second.ci_low > 1.3 * (first.ci_high - first.ci_low)
    assert first.estimate == second.estimate
    assert "reliability of parents and children as if known" in first.note
    assert "families drawn" in first.method
    assert "families and reliability drawn" in second.method
    assert "parents: test-retest kappa 0.63, not checked in its source; children: coders kappa 0.70" in second.note
    assert "coders' error only" in second.note
    assert "true change" in second.note
    assert "independent" in second.note


def test_a_retest_table_is_drawn_again():
    retest = [[40, 4, 1, 3], [5, 70, 3, 6], [1, 4, 12, 2], [3, 5, 2, 30]]
    found, _ = rows_of(FOUR, Reliability(table=retest), Reliability(kappa=0.9))
    assert found["corrected", "kappa"].estimate > found["observed", "kappa"].estimate
    assert "families and reliability drawn" in found["corrected", "kappa"].method
    draws = drawn_errors(retest, rng=rng(), draws=50)
    assert draws.sum(axis=2) == pytest.approx(np.ones((50, 4)), abs=EXACT)
    assert np.ptp(draws[:, 0, 0]) > 0.02


def test_more_transmission_than_the_retest_allows_is_told_and_not_clipped():
    found, shares = rows_of(TWO, Reliability(kappa=0.4), Reliability(kappa=0.5))
    row = found["corrected", "kappa"]
    assert row.estimate > 1
    assert "above the ceiling" in row.note
    assert "a share below 0" in row.note
    assert shares.min() == 0
    assert found["corrected, possible table", "kappa"].estimate <= 1
    odds = found["corrected, possible table", "odds_ratio"]
    assert math.isnan(odds.estimate)
    assert "a share is 0" in odds.note


def test_an_odds_ratio_may_have_no_upper_limit():
    found, _ = rows_of([[46, 4], [4, 26]], Reliability(kappa=0.85), Reliability(kappa=0.85))
    odds = found["corrected, possible table", "odds_ratio"]
    assert odds.estimate > odds.ci_low > 20
    assert odds.ci_high == math.inf
    assert math.isnan(odds.std_error)


def test_families_are_drawn_as_a_whole():
    one = np.array([[[1, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [1, 0]], [[0, 0], [0, 1]]])
    tables = np.concatenate([one[[0] * 30], one[[3] * 25], one[[1] * 8], one[[2] * 7]])
    single, _ = rows_of(tables, Reliability(kappa=0.9), Reliability(kappa=0.9))
    twice, _ = rows_of(tables * 2, Reliability(kappa=0.9), Reliability(kappa=0.9))
    first, second = single["corrected", "kappa"], twice["corrected", "kappa"]
    assert (second.n, second.n_clusters) == (140, 70)
    assert (first.ci_low, first.ci_high) == pytest.approx((second.ci_low, second.ci_high), abs=1e-9)


def test_the_corrected_p_value_is_that_of_its_interval():
    strong, _ = rows_of(TWO, Reliability(kappa=0.8), Reliability(kappa=0.8))
    none, _ = rows_of([[25, 25], [25, 25]], Reliability(kappa=0.8), Reliability(kappa=0.8))
    assert strong["corrected", "kappa"].p_value == pytest.approx(2 / 200)
    assert none["corrected", "kappa"].p_value > 0.5


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([[10, 0, 0], [0, 10, 0], [0, 0, 0]], "never seen"),
        ([[1, 9], [9, 1]], "against each other"),
        ([[20, 10, 0], [10, 0, 10], [0, 10, 20]], "against each other"),
        ([[30, 18, 0], [18, 30, 18], [0, 18, 30]], "no two classifications"),
    ],
)
def test_retest_tables_that_no_errors_explain_are_refused(table, reason):
    with pytest.raises(StatisticsError, match=reason):
        errors_from_retest(table)


def test_impossible_reliabilities_are_refused():
    good = Reliability(kappa=0.8)
    for bad, reason in (
        (Reliability(), "exactly one"),
        (Reliability(kappa=0.8, errors=[[1, 0], [0, 1]]), "exactly one"),
        (Reliability(kappa=0.0), "above 0"),
        (Reliability(errors=[[0.5, 0.5], [0.5, 0.5]]), "tell some classes apart"),
        (Reliability(table=[[9, 1, 0], [1, 9, 1], [0, 1, 9]]), "3 classes; allowed: the 2"),
    ):
        with pytest.raises(StatisticsError, match=reason):
            corrected_transmission(TWO, parent=bad, child=good, rng=rng())
    for table, reason in (([1, 2], "shape"), ([[1.5, 2], [3, 4]], "fractional"), ([[0, 0], [0, 0]], "no pair")):
        with pytest.raises(StatisticsError, match=reason):
            corrected_transmission(table, parent=good, child=good, rng=rng())
    assert as_errors([[0.67, 0.33], [0.335, 0.66]], classes=2).sum(axis=1).tolist() == [1, 1]
    with pytest.raises(StatisticsError, match="sum to 1"):
        as_errors([[0.6, 0.3], [0.3, 0.7]], classes=2)


ENTRY = {"way": "3-way", "of": "coders", "source": "made up", "verified": False}


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([{**ENTRY, "kappa": 0.7}, {**ENTRY, "kappa": 0.8}], "is there twice"),
        ([ENTRY], "found nothing; allowed: exactly one"),
        ([{**ENTRY, "kappa": 0.7, "table": [[1]]}], "found kappa, table"),
        ([{**ENTRY, "table": [[9, 1], [1, 9]]}], "table must have 3 rows of 3"),
        ([{**ENTRY, "errors": [[0.9, 0.1, 0.1], [0, 1, 0], [0, 0, 1]]}], "sum to 1"),
        ([{**ENTRY, "errors": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "n": 9}], "n belongs to kappa"),
        ([{**ENTRY, "way": "2-way", "kappa": 0.7}], "no way to read this system"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(entries, reason):
    with pytest.raises(ConfigError, match=reason) as refused:
        reliabilities(entries, side="parent", classes={"3-way": 3})
    assert "transmission.misclassification.parent" in str(refused.value)


def test_the_table_of_sensitivity_is_spearmans_rule_over_a_grid():
    rows = pd.DataFrame(sensitivity(np.array(TWO, dtype=float), GRID))
    assert len(rows) == len(GRID) ** 2
    at = rows.set_index(["parent_kappa", "child_kappa"])
    assert at.loc[(1.0, 1.0), "agreement"] == pytest.approx(496 / 661, abs=EXACT)
    assert at.loc[(0.8, 0.5), "kappa"] == pytest.approx(at.loc[(1.0, 1.0), "kappa"] / math.sqrt(0.4), abs=EXACT)
    assert at.loc[(0.8, 0.5), "kappa"] == at.loc[(0.5, 0.8), "kappa"]
    assert not at.loc[(0.4, 0.4), "possible"]
    assert at.loc[(0.9, 0.9), "possible"]


def test_odds_without_a_discordant_pair_are_endless_and_empty_rows_undefined():
    assert odds_ratio(np.array([[0.5, 0.0], [0.1, 0.4]])) == math.inf
    assert math.isnan(phi(np.array([[0.5, 0.5], [0.0, 0.0]])))
    assert math.isnan(kappa(np.array([[1.0, 0.0], [0.0, 0.0]])))


def study(settings, *, pairs=60):
    """Parents F, Ds, E, U in turn; three of four children correspond; every third family has two children."""
    child_of = {"F": "B", "Ds": "A", "E": "C", "U/F": "D/B"}
    people, codes = [], []
    for i in range(pairs):
        parent = list(child_of)[i % 4]
        children = 2 if i % 3 == 0 else 1
        codes.append((f"p{i}", "AAI", parent))
        for c in range(children):
            people.append((f"p{i}", f"c{i}{c}", "parent_child", f"f{i}"))
            codes.append((f"c{i}{c}", "SSP", child_of[parent] if (i + c) % 4 else "B"))
    relations = typed(pd.DataFrame(people, columns=["person_a", "person_b", "kind", "family_id"]), "relations")
    found = typed(pd.DataFrame(codes, columns=["person_id", "system", "primary"]).assign(wave=0), "classifications")
    whole = {"parent_system": "AAI", "child_system": "SSP", "ways": ["4-way", "3-way", "2-way, forced"], "labels": [], **settings}
    tables = {"relations": relations, "classifications": found, "scores": empty("scores"), "styles": pd.DataFrame()}
    return TransmissionData(tables, whole, replicates=199, seed=3)


def test_a_study_is_corrected_in_the_ways_whose_reliability_is_given():
    entry = {"of": "test-retest", "source": "made up", "verified": False}
    given = {
        "parent": [{**entry, "way": "4-way", "kappa": 0.8, "n": 60}, {**entry, "way": "3-way", "kappa": 0.7}],
        "child": [
            {**entry, "way": "4-way", "kappa": 0.8},
            {**entry, "way": "3-way", "table": [[10, 20, 1], [20, 9, 20], [1, 20, 10]]},
        ],
    }
    part = analyse(study({"misclassification": given}))
    frame = estimates_frame(part.estimates)
    assert set(frame["analysis"]) == {"transmission_corrected"}
    silent = frame[frame["estimand"] == NOT_TESTABLE].set_index("definition")["note"]
    assert "parents' classes and children's classes is not given" in silent["2-way, forced"]
    assert "against each other" in silent["3-way"]
    four = frame[(frame["definition"] == "4-way") & (frame["group"] == "corrected") & (frame["estimand"] == "kappa")].iloc[0]
    assert (four["n"], four["n_clusters"], four["outcome"], four["primary"]) == (80, 60, "AAI-SSP", True)
    assert four["ci_low"] < four["estimate"] < four["ci_high"]
    cells = part.tables["corrected_tables"]
    assert list(cells.columns) == list(TABLES["corrected_tables"])
    assert len(cells) == 16
    assert cells[["observed", "corrected"]].sum().tolist() == pytest.approx([1, 1], abs=1e-8)
    assert set(part.tables["corrected_sensitivity"]["way"]) == {"4-way", "3-way", "2-way, forced"}


def test_without_reliabilities_only_the_table_of_sensitivity_is_made():
    part = analyse(study({}))
    assert [row.estimand for row in part.estimates] == [NOT_TESTABLE]
    assert "transmission.misclassification" in part.estimates[0].note
    assert len(part.tables["corrected_sensitivity"]) == 3 * len(GRID) ** 2


def test_two_runs_are_the_same():
    entry = {"way": "2-way, forced", "of": "coders", "kappa": 0.8, "n": 40, "source": "made up", "verified": True}
    first, second = (analyse(study({"misclassification": {"parent": [entry], "child": [entry]}})) for _ in range(2))
    pd.testing.assert_frame_equal(estimates_frame(first.estimates), estimates_frame(second.estimates))

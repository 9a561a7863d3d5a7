"""Transmission without misclassification where data or reliabilities say little: the ceiling, no interval, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.test_transmission_misclassification import study

from attachment_outcomes.errors import ConfigError, StatisticsError
from attachment_outcomes.inference.misclassification import margin_preserving_errors, seen_through
from attachment_outcomes.transmission.misclassification import Reliability, corrected_transmission
from attachment_outcomes.transmission.misclassification.quantities import CEILING, agreement, all_quantities
from attachment_outcomes.transmission.misclassification.study import analyse

EXACT = 1e-12
GOOD = Reliability(kappa=0.8)
THREE = [[20, 10, 2], [10, 20, 3], [3, 2, 6]]


def rows_of(table, parent=GOOD, child=GOOD, replicates=199):
    rows, _ = corrected_transmission(table, parent=parent, child=child, rng=np.random.default_rng(1), replicates=replicates)
    return {(row.group, row.estimand): row for row in rows}


def no_interval(row):
    return math.isnan(row.ci_low) and math.isnan(row.ci_high) and math.isnan(row.p_value)


@pytest.mark.parametrize("n", [60, 200])
def test_the_ceiling_of_samples_is_that_of_the_truth_on_average(n):
    margins, kappa_true, retest = np.array([0.55, 0.45]), 0.7, 0.8
    true = kappa_true * np.diag(margins) + (1 - kappa_true) * np.outer(margins, margins)
    errors = margin_preserving_errors(retest, margins)
    shares = np.random.default_rng(2).multinomial(n, seen_through(true, errors, errors).ravel(), size=2000).reshape(-1, 2, 2) / n
    given = Reliability(kappa=retest)
    known = given.matrices(shares.sum(axis=2)), given.matrices(shares.sum(axis=1))
    found, _, _ = all_quantities(shares, *known, parent=given, child=given, gap=1e-3)
    ceiling = agreement(seen_through(np.diag(margins), errors, errors))
    assert ceiling == pytest.approx(0.901, abs=EXACT)
    expected = (1 - ceiling) / (1 - agreement(seen_through(true, errors, errors)))
    assert expected == pytest.approx(0.0990 / 0.2178, abs=1e-3)
    assert found[CEILING, "agreement"].mean() == pytest.approx(ceiling, abs=0.003)
    assert found[CEILING, "kappa"] == pytest.approx(np.full(2000, retest), abs=EXACT)
    # A ratio: its mean is a little higher, its median is not.
    assert np.median(found[CEILING, "expected_from_error"]) == pytest.approx(expected, abs=0.015)


def test_without_error_nothing_is_expected_from_error_whatever_the_margins():
    perfect = Reliability(kappa=1)
    for table in ([[20, 15], [0, 15]], [[20, 10], [0, 0]]):
        found = rows_of(table, perfect, perfect)
        assert found["ceiling", "agreement"].estimate == 1
        assert found["ceiling", "expected_from_error"].estimate == 0


def test_a_ceiling_of_known_reliabilities_has_no_spread():
    found = rows_of([[30, 10], [12, 28]], Reliability(kappa=0.8), Reliability(kappa=0.45))
    row = found["ceiling", "kappa"]
    assert row.estimate == pytest.approx(0.6, abs=EXACT)
    assert no_interval(row)
    assert "follows from the reliabilities alone" in row.note
    drawn = rows_of([[30, 10], [12, 28]], Reliability(kappa=0.8, n=60), Reliability(kappa=0.45))["ceiling", "kappa"]
    assert drawn.ci_low < 0.6 < drawn.ci_high


def test_a_ceiling_takes_chances_of_error_as_given_to_the_parents_classes():
    parent, child = [[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.3], [0.1, 0.9]]
    table = np.array([[420, 180], [130, 270]])
    found = rows_of(table, Reliability(errors=parent), Reliability(errors=child))
    true = np.linalg.solve(np.transpose(parent), table.sum(axis=1) / 1000)
    seen = np.transpose(parent) @ np.diag(true) @ np.array(child)
    assert found["ceiling", "agreement"].estimate == pytest.approx(np.trace(seen), abs=EXACT)


def test_where_all_pairs_correspond_there_is_neither_interval_nor_p():
    found = rows_of([[20, 0], [0, 20]])
    for group in ("observed", "corrected", "corrected, possible table"):
        assert no_interval(found[group, "kappa"])
        assert "all pairs correspond" in found[group, "agreement"].note
    assert found["corrected", "kappa"].estimate == pytest.approx(1.25)


def test_there_is_no_p_value_without_an_interval_or_from_few_families():
    assert no_interval(rows_of([[1, 0], [0, 1]], Reliability(kappa=0.9), Reliability(kappa=0.9))["corrected", "kappa"])
    few = rows_of([[4, 1], [1, 3]])["corrected", "kappa"]
    assert few.ci_low < few.ci_high
    assert math.isnan(few.p_value)
    assert "no p value" in few.note
    assert rows_of([[4, 2], [1, 3]])["corrected", "kappa"].p_value > 0


@pytest.mark.parametrize("child", [GOOD, Reliability(kappa=0.8, n=40)])
def test_of_a_single_class_kappa_is_nought_without_an_interval(child):
    found = rows_of([[20, 10], [0, 0]], child, child)
    for group in ("observed", "corrected", "corrected, possible table"):
        row = found[group, "kappa"]
        assert str(row.estimate) == "0.0"
        assert no_interval(row)
        assert "a single class" in row.note


def test_what_is_seen_does_not_depend_on_the_retest():
    retest = Reliability(table=[[8, 0, 0], [0, 8, 0], [0, 0, 2]])
    found, plain = rows_of(THREE, retest, GOOD), rows_of(THREE)
    assert "replicates are not defined" in found["corrected", "agreement"].note
    for estimand in ("agreement", "kappa"):
        one, other = (rows["observed", estimand] for rows in (found, plain))
        assert one.ci_low < one.estimate < one.ci_high
        assert (one.ci_low, one.ci_high, one.note) == (other.ci_low, other.ci_high, other.note)


@pytest.mark.parametrize(("kappa", "n"), [(0.01, 4), (0.02, 10)])
def test_a_retest_that_does_not_differ_from_chance_sets_no_limit(kappa, n):
    found = rows_of([[20, 5], [5, 20]], Reliability(kappa=kappa, n=n), Reliability(kappa=0.7, n=83), replicates=2000)
    assert no_interval(found["corrected", "kappa"])
    assert "does not differ from 0" in found["corrected", "kappa"].note
    assert math.isfinite(found["observed", "kappa"].ci_low)


@pytest.mark.parametrize(
    ("table", "parent", "reason"),
    [
        ([[20, 5], [5]], GOOD, "counts are not numbers"),
        ([[20, 5], [5, "some"]], GOOD, "counts are not numbers"),
        ([[20, 5], [5, 20]], Reliability(table=[[10, 0], [0]]), "counts are not numbers"),
        ([[20, 5], [5, 20]], Reliability(errors=[[1], [0, 1]]), "are not numbers"),
        ([[20, 5], [5, 20]], Reliability(kappa=0.9, n=0), "found n = 0"),
        ([[20, 5], [5, 20]], Reliability(kappa=1e-9), "so near 0"),
    ],
)
def test_what_is_no_table_is_refused_in_words(table, parent, reason):
    with pytest.raises(StatisticsError, match=reason):
        rows_of(table, parent)


def test_a_reliability_of_a_way_that_is_not_read_is_refused():
    entry = {"of": "coders", "kappa": 0.8, "source": "made up", "verified": True}
    given = {"parent": [{**entry, "way": "2-way, disorganised"}], "child": [{**entry, "way": "3-way"}]}
    with pytest.raises(ConfigError, match="2-way, disorganised: is none of transmission"):
        analyse(study({"misclassification": given}))

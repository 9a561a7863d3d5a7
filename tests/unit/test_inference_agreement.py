"""Agreement of two classifications against R (vcd, metafor, base) and published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.references import load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference import agreement, two_by_two

R_DIGITS = 1e-10  # the reference stores 14 digits; what is left is the order of sums
PUBLISHED = [[304, 67], [98, 192]]  # cells that give the published 75 %, kappa .49 of 661 pairs (van IJzendoorn, 1995)
VISION = [[1520, 266, 124, 66], [234, 1512, 432, 78], [117, 362, 1772, 205], [36, 82, 179, 492]]


@pytest.fixture(scope="module")
def reference():
    return load_reference("agreement_reference")


@pytest.mark.parametrize("name", ["visual_acuity", "sexual_fun", "four_way", "small", "partners"])
def test_square_tables_agree_with_r(reference, name):
    r = reference["square"][name]
    k = agreement.kappa(r["table"])
    assert (k.kappa, k.std_error, k.agreement, k.n) == pytest.approx((r["kappa"], r["ase"], r["agreement"], r["n"]), abs=R_DIGITS)
    assert (k.ci_low, k.ci_high) == pytest.approx(r["ci"], abs=R_DIGITS)
    share = agreement.observed_agreement(r["table"])
    assert (share.ci_low, share.ci_high) == pytest.approx(r["agreement_ci"], abs=R_DIGITS)
    test = agreement.chi_square(r["table"])
    assert (test.statistic, test.df) == pytest.approx((r["chi_square"], r["chi_df"]), rel=R_DIGITS)
    assert test.p_value == pytest.approx(r["chi_p"], rel=1e-8, abs=1e-300)
    np.testing.assert_allclose(agreement.adjusted_residuals(r["table"]), r["residuals"], atol=R_DIGITS)
    np.testing.assert_allclose(agreement.expected(r["table"]), r["expected"], rtol=R_DIGITS)
    assert agreement.cramers_v(r["table"]) == pytest.approx(r["cramers_v"], abs=R_DIGITS)
    symmetry = agreement.bowker(r["table"])
    assert (symmetry.statistic, symmetry.df, symmetry.p_value) == pytest.approx(
        (r["bowker"], r["bowker_df"], r["bowker_p"]), rel=1e-9
    )


@pytest.mark.parametrize("name", ["published", "partners", "one_zero"])
def test_two_by_two_contrasts_agree_with_r(reference, name):
    r = reference["two"][name]
    phi = two_by_two.phi(r["table"])
    assert (phi.estimate, phi.std_error**2) == pytest.approx((r["phi"], r["phi_variance"]), abs=R_DIGITS)
    odds = two_by_two.odds_ratio(r["table"])
    assert (math.log(odds.estimate), odds.std_error**2) == pytest.approx(
        (r["log_odds_ratio"], r["log_odds_ratio_variance"]), abs=R_DIGITS
    )
    assert bool(odds.note) == (name == "one_zero")
    assert agreement.mcnemar_exact(r["table"]).p_value == pytest.approx(r["mcnemar_exact_p"], abs=R_DIGITS)
    risk = two_by_two.risk_ratio(r["table"])
    assert (math.log(risk.estimate), risk.std_error**2) == pytest.approx(
        (r["log_risk_ratio"], r["log_risk_ratio_variance"]), abs=R_DIGITS
    )


def test_wilson_agrees_with_prop_test(reference):
    for case in reference["wilson"]:
        found = agreement.wilson(case["x"], case["n"], ci_level=case["level"])
        assert (found.ci_low, found.ci_high) == pytest.approx(case["ci"], abs=R_DIGITS)


def test_the_published_table_of_1995():
    k = agreement.kappa(PUBLISHED)
    assert (k.n, round(k.agreement, 4), round(k.kappa, 3)) == (661, 0.7504, 0.487)
    assert round(two_by_two.phi(PUBLISHED).estimate, 3) == 0.489
    assert round(agreement.chi_square(PUBLISHED).statistic, 2) == 158.34
    odds = two_by_two.odds_ratio(PUBLISHED)
    assert (round(odds.estimate, 2), round(odds.std_error, 3)) == (8.89, 0.183)


def test_stuart_maxwell_of_stuarts_vision_data():
    # Stuart (1955): 11.96 on 3 df for the unaided vision of 7,477 women.
    found = agreement.stuart_maxwell(VISION)
    assert (round(found.statistic, 3), found.df, round(found.p_value, 4)) == (11.957, 3, 0.0075)


def test_stuart_maxwell_of_two_classes_is_mcnemar_and_bowker():
    table = [[20, 5], [12, 9]]
    assert agreement.stuart_maxwell(table).statistic == pytest.approx(49 / 17)
    assert agreement.bowker(table).statistic == pytest.approx(49 / 17)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [([[56, 14], [48, 32]], 0.0524, 0.3339), ([[9, 1], [3, 7]], 0.1705, 0.8090), ([[5, 51], [0, 29]], -0.0381, 0.1926)],
)
def test_newcombes_own_examples(table, low, high):
    # Newcombe (1998), Statistics in Medicine, 17, 873-890, Table II, method 10.
    found = two_by_two.risk_difference(table)
    assert (round(found.ci_low, 4), round(found.ci_high, 4)) == (low, high)


def test_fleiss_null_standard_error():
    # The example of Fleiss (1981, chapter 13), two raters of 100 patients: kappa .68, standard error .076 under no agreement.
    k = agreement.kappa([[75, 1, 4], [5, 4, 1], [0, 0, 10]])
    assert (round(k.kappa, 2), round(k.std_error_null, 3)) == (0.68, 0.076)


def test_kappa_of_one_class_is_undefined_and_says_so():
    k = agreement.kappa([[0, 0], [0, 12]])
    assert math.isnan(k.kappa)
    assert "one class" in k.note
    assert (k.agreement, k.chance) == (1.0, 1.0)


def test_kappa_where_one_reading_has_a_single_class_has_no_interval():
    k = agreement.kappa([[8, 4], [0, 0]])
    assert k.kappa == 0
    assert math.isnan(k.std_error)
    assert "single class" in k.note


def test_perfect_agreement():
    k = agreement.kappa([[5, 0], [0, 7]])
    assert (k.kappa, k.std_error) == (1.0, 0.0)
    assert "no length" in k.note
    assert two_by_two.phi([[5, 0], [0, 7]]).estimate == 1.0
    assert two_by_two.phi([[0, 5], [7, 0]]).estimate == -1.0


def test_empty_margins():
    assert math.isnan(two_by_two.odds_ratio([[3, 4], [0, 0]]).estimate)
    assert math.isnan(two_by_two.risk_ratio([[3, 0], [4, 0]]).estimate)
    assert math.isnan(two_by_two.risk_difference([[3, 0], [0, 0]]).estimate)
    assert math.isnan(two_by_two.phi([[3, 0], [4, 0]]).estimate)
    assert math.isnan(agreement.chi_square([[3, 4], [0, 0]]).statistic)
    assert np.isnan(agreement.adjusted_residuals([[3, 4], [0, 0]])).all()


def test_classes_nobody_has_are_left_out():
    full = agreement.stuart_maxwell([[5, 0, 2], [0, 0, 0], [6, 0, 9]])
    small = agreement.stuart_maxwell([[5, 2], [6, 9]])
    assert (full.statistic, full.df) == (small.statistic, small.df)
    assert "1 empty classes left out" in full.note
    assert agreement.bowker([[5, 0, 2], [0, 0, 0], [6, 0, 9]]).df == 1
    assert agreement.chi_square([[5, 0, 2], [6, 0, 9]]).df == 1


def test_classes_that_exchange_nobody_make_the_test_undefined():
    found = agreement.stuart_maxwell([[5, 1, 0], [2, 5, 0], [0, 0, 4]])
    assert math.isnan(found.statistic)
    assert "exchange nobody" in found.note
    assert math.isnan(agreement.bowker([[5, 0], [0, 4]]).statistic)
    assert agreement.mcnemar_exact([[5, 0], [0, 4]]).p_value == 1.0


def test_small_expected_counts_take_the_exact_test(reference):
    two = agreement.independence([[7, 2], [6, 25]])
    assert two.p_value == pytest.approx(reference["square"]["partners"]["fisher_p"], abs=R_DIGITS)
    small = reference["square"]["small"]
    drawn = agreement.independence(small["table"], rng=np.random.default_rng(1))
    # Binomial error of 9,999 draws at this p is below .003.
    assert drawn.p_value == pytest.approx(small["fisher_p"], abs=0.006)
    assert "approximate" in agreement.independence(small["table"]).note
    assert agreement.independence(VISION).note == ""


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[1, 2, 3], [4, 5, 6]], "square"),
        ([[3]], "at least 2 x 2"),
        ([1, 2], "shape"),
        ([[1, -2], [3, 4]], "negative"),
        ([[1, 2.5], [3, 4]], "fractional"),
        ([[1, math.nan], [3, 4]], "missing"),
        ([["a", "b"], ["c", "d"]], "whole numbers"),
        ([[0, 0], [0, 0]], "empty"),
    ],
)
def test_what_is_no_table_of_counts_is_refused(table, message):
    with pytest.raises(StatisticsError, match=message):
        agreement.kappa(table)


def test_other_refusals():
    with pytest.raises(StatisticsError, match="ci_level"):
        agreement.wilson(3, 9, ci_level=95)
    with pytest.raises(StatisticsError, match="share"):
        agreement.wilson(10, 9)
    with pytest.raises(StatisticsError, match="2 x 2"):
        agreement.mcnemar_exact(VISION)
    with pytest.raises(StatisticsError, match="2 x 2"):
        two_by_two.phi(VISION)


def test_crosstab_counts_pairs_and_refuses_unknown_classes():
    table = agreement.crosstab(["a", "b", "b"], ["a", "a", "b"], ["a", "b"])
    assert table.tolist() == [[1, 0], [1, 1]]
    with pytest.raises(StatisticsError, match=r"row 2; allowed: a, b"):
        agreement.crosstab(["a", "c"], ["a", "b"], ["a", "b"])
    with pytest.raises(StatisticsError, match="missing or unknown class in row 1"):
        agreement.crosstab([None], ["a"], ["a", "b"])
    with pytest.raises(StatisticsError, match="pairs"):
        agreement.crosstab(["a"], [], ["a"])


def test_kappa_intervals_cover_the_truth():
    # 400 tables of 120 pairs from cells with a known kappa; 95 % intervals cover it in 95 % ± 3 SE (.033) of them.
    cells = np.array([[0.20, 0.06, 0.04], [0.05, 0.35, 0.05], [0.03, 0.07, 0.15]])
    chance = cells.sum(axis=0) @ cells.sum(axis=1)
    truth = (np.trace(cells) - chance) / (1 - chance)
    rng = np.random.default_rng(20)
    found = [agreement.kappa(rng.multinomial(120, cells.ravel()).reshape(3, 3)) for _ in range(400)]
    covered = np.mean([k.ci_low <= truth <= k.ci_high for k in found])
    assert 0.95 - 0.033 <= covered <= 0.95 + 0.033

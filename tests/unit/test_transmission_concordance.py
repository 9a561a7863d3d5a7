"""Association of classes against R, published tables and hand-worked cases; nothing undefined without its reason."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.errors import ConfigError, StatisticsError
from attachment_outcomes.inference import agreement, association, contingency, two_by_two
from attachment_outcomes.inference.loglinear import MODELS, loglinear
from attachment_outcomes.inference.robust_logistic import logistic_fit
from attachment_outcomes.transmission import concordance
from attachment_outcomes.transmission.table_estimates import row_shares, table_estimates

R_DIGITS = 1e-10
FITTED_DIGITS = 1e-6  # glm stops at a relative change of the deviance of 1e-12, which leaves fitted counts less exact


@pytest.fixture(scope="module")
def reference():
    return load_reference("concordance")


def tables_of(reference):
    """The recalled tables are fixtures: their statistics are known, their cells were not read in a source."""
    return {**reference["recalled"], **reference["ways"]}


NAMES = ["two_way", "four_way", "4-way", "3-way", "2-way, unresolved insecure", "2-way, forced", "2-way, disorganised"]


@pytest.mark.parametrize("name", NAMES)
def test_association_of_tables_agrees_with_r(reference, name):
    r = tables_of(reference)[name]
    table, k = np.array(r["table"]), agreement.kappa(r["table"])
    kappa, test = association.kappa_interval(table), agreement.chi_square(table)
    r.check(
        {
            "n": k.n,
            "agreement": k.agreement,
            "kappa": k.kappa,
            "ase": k.std_error,
            "psych_kappa": kappa.estimate,
            "chi_square": test.statistic,
            "p_value": test.p_value,
            "residuals": agreement.adjusted_residuals(table),
            "cramers_v": association.cramers_v(table).estimate,
            "cramers_v_corrected": association.cramers_v_corrected(table),
            "lambda": association.lambda_coefficient(table).estimate,
            "uncertainty": association.uncertainty_coefficient(table).estimate,
            "bowker": agreement.bowker(table).statistic,
        },
        abs=R_DIGITS,
        rel=R_DIGITS,
    )
    assert kappa.std_error == pytest.approx(k.std_error, rel=R_DIGITS)


@pytest.mark.parametrize("name", NAMES)
def test_loglinear_models_agree_with_r(reference, name):
    r = tables_of(reference)[name]
    for model, expected in r["models"].items():
        found = loglinear(r["table"], model)
        expected.check({key: getattr(found, key) for key in ("df", "g2", "x2", "p_value", "bic")}, abs=1e-8)
        expected.check({"fitted": found.fitted}, abs=FITTED_DIGITS)


def test_the_fixture_of_two_classes_gives_the_known_statistics():
    # Design's fixture of recalled cells: 75.04 %, kappa .487, phi .489, chi-square 158.34, odds ratio 8.89 with error .183.
    table = [[304, 67], [98, 192]]
    found = association.kappa_interval(table), association.phi_interval(table), association.odds_ratio(table)
    assert [round(f.estimate, 3) for f in found] == [0.487, 0.489, 8.889]
    assert round(found[2].std_error, 3) == 0.183
    assert round(agreement.chi_square(table).statistic, 2) == 158.34
    assert round(float(contingency.agreement(table)), 4) == 0.7504


def test_the_study_of_codes_gives_the_tables_that_r_counted(reference):
    for way, r in reference["ways"].items():
        rows = {e.estimand: e for e in concordance(reference["parents"], reference["children"], way=way) if not e.group}
        assert rows["kappa"].estimate == pytest.approx(r["kappa"], abs=R_DIGITS)
        assert rows["kappa"].std_error == pytest.approx(r["ase"], abs=R_DIGITS)
        assert rows["agreement"].n == r["n"]
        shares = [
            e.estimate for e in concordance(reference["parents"], reference["children"], way=way) if e.estimand == "row_share"
        ]
        assert shares == pytest.approx(np.ravel(r["row_shares"]), abs=R_DIGITS)


def test_logistic_regression_of_families_agrees_with_clubsandwich(reference):
    r = reference["clustered"]
    design = np.column_stack([np.ones(len(r["parent"])), r["parent"]]).astype(float)
    fit = logistic_fit(design, np.array(r["child"], dtype=float), np.array(r["family"]) - 1)
    error, df = fit.error(np.array([0.0, 1.0]))
    r.check({"log_odds_ratio": fit.coefficients[1], "std_error": error, "df": df}, rel=1e-8)
    words = ["secure", "insecure"]
    rows = concordance([words[x] for x in r["parent"]], [words[x] for x in r["child"]], way="2-way, forced", clusters=r["family"])
    row = next(e for e in rows if e.estimand == "logistic_odds_ratio")
    assert math.log(row.estimate) == pytest.approx(r["log_odds_ratio"], rel=1e-8)
    assert row.p_value == pytest.approx(r["p_value"], rel=1e-7)


def test_koopmans_limits_agree_with_brute_force(reference):
    for r in reference["koopman"]:
        table = [[r["x1"], r["n1"] - r["x1"]], [r["x2"], r["n2"] - r["x2"]]]
        found = two_by_two.risk_ratio_score(table)
        r.check({"ci": [found.ci_low, found.ci_high]}, rel=1e-5)


def test_published_tables_agree_with_their_reference(shared_data):
    folder = shared_data / "published_tables"
    reference = json.loads((folder / "reference.json").read_text(encoding="utf-8"))
    cells = pd.read_csv(folder / "concordance_tables.csv")
    assert set(reference) == set(cells["table_id"])
    for name, part in cells.groupby("table_id", sort=False):
        table, r = part["n"].to_numpy().reshape(2, 2), reference[name]
        found = association.kappa_interval(table)
        assert (found.estimate, int(table.sum())) == pytest.approx((r["kappa"], r["n"]), abs=1e-9)
        assert float(contingency.agreement(table)) == pytest.approx(r["agreement"], abs=1e-9)
        exact = agreement.mcnemar_exact(table)
        assert exact.p_value == pytest.approx(r["mcnemar_exact_p"], rel=1e-9)
        assert agreement.bowker(table).statistic == pytest.approx(r["mcnemar_chisq"], abs=1e-9)
        assert agreement.bowker(table).p_value == pytest.approx(r["mcnemar_p"], rel=1e-7)
        if r["phi"] is None:  # one reading has a single class: no association is defined, and R's error is rounding of 0
            assert math.isnan(found.ci_low)
            assert math.isnan(association.phi_interval(table).estimate)
            assert math.isnan(association.cramers_v(table).estimate)
            continue
        assert found.std_error == pytest.approx(r["kappa_ase"], abs=1e-9)
        assert association.phi_interval(table).estimate == pytest.approx(r["phi"], abs=1e-9)
        assert association.cramers_v(table).estimate == pytest.approx(r["cramers_v"], abs=1e-9)
        assert agreement.adjusted_residuals(table) == pytest.approx(np.array(r["adj_residuals"]), abs=1e-8)
        assert agreement.chi_square(table).statistic == pytest.approx(r["chisq"], abs=1e-8)


def test_summed_tables_of_opie_agree_with_their_reference(shared_data):
    folder = shared_data / "opie2021_child_attachment_stability"
    for r in json.loads((folder / "reference_pooled_tables.json").read_text(encoding="utf-8")).values():
        table = np.array(r["table"])
        assert association.kappa_interval(table).estimate == pytest.approx(r["kappa"][0], abs=R_DIGITS)
        assert float(contingency.agreement(table)) == pytest.approx(r["agreement"][0], abs=R_DIGITS)
        assert agreement.adjusted_residuals(table) == pytest.approx(np.array(r["adj_residuals"]), abs=1e-9)
        for name, test in (("bowker", agreement.bowker), ("stuart_maxwell", agreement.stuart_maxwell)):
            found = test(table)
            assert (found.statistic, found.df, found.p_value) == pytest.approx(tuple(r[name]), rel=1e-9)
        assert 100 * table / table.sum(axis=1, keepdims=True) == pytest.approx(np.array(r["row_percent"]), abs=1e-9)


def test_pabak_and_its_indices_by_hand():
    # Byrt, Bishop and Carlin's quantities: 40 + 30 of 100 agree; (40 − 30)/100 and (20 − 10)/100.
    rows = {e.estimand: e for e in concordance(*spread([[40, 20], [10, 30]]), way="2-way, forced")}
    told = [round(rows[name].estimate, 10) for name in ("pabak", "prevalence_index", "bias_index")]
    assert told == [0.4, 0.1, 0.1]
    # PABAK is 2 · agreement − 1, and so are its limits.
    assert rows["pabak"].ci_low == pytest.approx(2 * rows["agreement"].ci_low - 1)


def spread(table):
    words = [("secure", "secure"), ("secure", "insecure"), ("insecure", "secure"), ("insecure", "insecure")]
    pairs = [w for w, n in zip(words, np.ravel(table), strict=True) for _ in range(n)]
    return [p for p, _ in pairs], [c for _, c in pairs]


def test_uncertainty_and_lambda_by_hand():
    # Knowing the row tells the column: nothing is left. Columns that are alike in every row: nothing is gained.
    assert association.uncertainty_coefficient([[5, 0], [0, 5]]).estimate == pytest.approx(1)
    assert association.uncertainty_coefficient([[5, 5], [5, 5]]).estimate == pytest.approx(0, abs=1e-12)
    # Guessing by row errs 20 + 10 of 100 times, without it 50 of 100 times.
    assert association.lambda_coefficient([[40, 20], [10, 30]]).estimate == pytest.approx((50 - 30) / 50)


def test_an_interval_where_all_pairs_agree_has_length():
    for function in (association.kappa_interval, association.phi_interval, association.cramers_v):
        found = function([[5, 0], [0, 7]])
        assert found.estimate == pytest.approx(1)
        assert found.ci_low < 0.9
        assert found.ci_high == pytest.approx(1)


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ([[5, 0], [4, 0]], {"phi", "odds_ratio", "risk_ratio", "cramers_v", "cramers_v_corrected", "uncertainty_coefficient"}),
        ([[5, 4], [0, 0]], {"phi", "odds_ratio", "risk_difference", "risk_ratio", "cramers_v", "interrupted", "row_share"}),
        ([[6, 0], [0, 0]], {"kappa", "phi", "odds_ratio", "lambda", "bowker", "stuart_maxwell", "lack_of_fit", "bic"}),
    ],
)
def test_what_a_table_does_not_define_says_why(table, names):
    rows = concordance(*spread(table), way="2-way, forced")
    undefined = {e.estimand for e in rows if math.isnan(e.estimate)}
    assert names <= undefined
    assert all(e.note for e in rows if math.isnan(e.estimate))


def test_sparse_tables_get_simulated_p_values_that_repeat():
    table = [[9, 1, 1], [2, 8, 1], [1, 3, 4]]
    for model in MODELS:
        one, same, plain = (loglinear(table, model, rng=rng) for rng in (np.random.default_rng(5), np.random.default_rng(5), None))
        assert one.p_value == same.p_value
        assert one.method.startswith("999 tables")
        assert "approximate" in plain.note
        assert abs(one.p_value - plain.p_value) < 0.15


def test_models_that_fit_every_table_say_so():
    found = loglinear([[4, 2], [1, 3]], "quasi-symmetry")
    assert (found.df, found.note) == (0, "not defined: with the cells that are filled the model fits every table")
    assert math.isnan(found.p_value)


def test_classes_that_nobody_has_take_their_degrees_of_freedom():
    # A fourth class that nobody has: the three others are tested as if there were three.
    table = np.zeros((4, 4), dtype=int)
    table[:3, :3] = [[60, 9, 5], [12, 70, 8], [6, 15, 30]]
    for model in MODELS:
        wide, narrow = loglinear(table, model), loglinear(table[:3, :3], model)
        assert (wide.df, wide.g2) == (narrow.df, pytest.approx(narrow.g2, rel=1e-9)), model


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[1, 2, 3], [4, 5, 6]], r"shape \(2, 3\); allowed: a square table"),
        ([[1, -1], [2, 3]], "negative or fractional"),
        ([[0.5, 1], [1, 2]], "negative or fractional"),
        ([[0, 0], [0, 0]], "is empty"),
        ([[[1, 0], [0, 1]], [[-1, 0], [0, 3]]], "negative or fractional"),
    ],
)
def test_tables_that_are_none_are_refused(table, message):
    for function in (association.kappa_interval, association.cramers_v, association.uncertainty_coefficient):
        with pytest.raises(StatisticsError, match=message):
            function(table)


def test_contrasts_of_larger_tables_and_unknown_models_are_refused():
    with pytest.raises(StatisticsError, match="2 x 2"):
        association.phi_interval(np.eye(3, dtype=int))
    with pytest.raises(ConfigError, match="Did you mean 'symmetry'"):
        loglinear(np.eye(3, dtype=int), "symetry")


def test_one_family_alone_gives_estimates_without_intervals():
    rows = {e.estimand: e for e in concordance(["F", "F", "Ds", "F"], ["B", "B", "A", "A"], way="2-way, forced", clusters=[1] * 4)}
    for name in ("kappa", "phi", "cramers_v", "odds_ratio", "risk_difference", "uncertainty_coefficient"):
        assert not math.isnan(rows[name].estimate)
        assert math.isnan(rows[name].ci_low)
        assert "fewer than 2 families" in rows[name].note


def test_five_thousand_families_take_less_than_a_second():
    rng = np.random.default_rng(1)
    start = time.process_time()
    for k in (4, 3, 2, 2, 2):
        tables = np.zeros((5000, k, k), dtype=np.int64)
        np.add.at(tables, (np.repeat(np.arange(5000), 4), rng.integers(0, k, 20_000), rng.integers(0, k, 20_000)), 1)
        table_estimates(tables, outcome="AAI-SSP", way="a way", rng=rng)
        row_shares(tables)
    assert time.process_time() - start < 1.0  # processor time: about 0.2 s

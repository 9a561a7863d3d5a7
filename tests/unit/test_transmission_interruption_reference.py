"""Interruption of transmission against R (validation/interruption.R), printed tables, and values worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.errors import DataError, StatisticsError
from attachment_outcomes.inference.agreement import Interval, wilson
from attachment_outcomes.inference.prevented_fraction import number_needed, prevented_fraction, ratio, ratio_of_odds_ratios
from attachment_outcomes.inference.robust_logistic import logistic_fit
from attachment_outcomes.transmission.interruption import (
    apparent_change,
    arms_of_tables,
    functioning_change,
    interrupted_transmission,
)

RTOL = 1e-9  # the same closed formulas in double precision
FIELDS = ("estimate", "std_error", "ci_low", "ci_high")
CELLS = [("treated", "insecure"), ("comparison", "insecure"), ("treated", "secure"), ("comparison", "secure")]


@pytest.fixture(scope="module")
def reference():
    return load_reference("interruption")


def of_counts(secure, n):
    rows = []
    for (arm, before), x, size in zip(CELLS, secure, n, strict=True):
        rows += [(arm, before, "secure")] * x + [(arm, before, "insecure")] * (size - x)
    return pd.DataFrame(rows, columns=["arm", "before", "child"])


def pick(rows, estimand, group=""):
    (found,) = [r for r in rows if r.estimand == estimand and r.group == group]
    return found


def numbers(row, fields=FIELDS):
    return {field: getattr(row, field) for field in fields}


@pytest.mark.parametrize("which", ["trial", "none"])
def test_shares_and_their_contrasts_match_r(reference, which):
    told = reference["counts"][which]
    rows = interrupted_transmission(of_counts(told["secure"], told["n"]))
    limits = ("estimate", "ci_low", "ci_high")
    for i, (arm, before) in enumerate(CELLS):
        row = pick(rows, "child_secure", f"{arm}, parent {before}")
        assert [getattr(row, f) for f in limits] == pytest.approx([told["shares"][f][i] for f in limits], rel=1e-9)
        assert row.n == told["n"][i]
    told["difference_insecure"].check(numbers(pick(rows, "child_secure_difference", "parent insecure"), limits), rel=RTOL)
    told["difference_secure"].check(numbers(pick(rows, "child_secure_difference", "parent secure"), limits), rel=RTOL)
    for estimand in ("interaction_risk_difference", "fraction_interrupted"):
        told[estimand].check(numbers(pick(rows, estimand), limits), rel=1e-8, abs=1e-12)
    told["interaction_odds_ratio"].check(numbers(pick(rows, "interaction_odds_ratio")), rel=1e-8)
    needed = pick(rows, "number_needed_to_treat")
    assert needed.estimate == pytest.approx(told["number_needed"]["estimate"])
    if which == "trial":
        assert (needed.ci_low, needed.ci_high) == pytest.approx((told["number_needed"]["of_high"], told["number_needed"]["of_low"]))
    else:
        assert math.isnan(needed.ci_low)
        benefit, harm = told["number_needed"]["of_high"], -told["number_needed"]["of_low"]
        assert f"{benefit:.1f} to benefit through infinity (no difference) to {harm:.1f} to harm" in needed.note


def people(reference):
    frame = reference.frame("data")
    words = {1: "treated", 0: "comparison"}
    secure = {1: "secure", 0: "insecure"}
    return pd.DataFrame(
        {
            "arm": frame["arm"].map(words),
            "before": (1 - frame["insecure"]).map(secure),
            "after": (1 - frame["insecure"]).map(secure),
            "child": frame["child"].map(secure),
            "cluster": frame["family"],
            "functioning_before": frame["before"].astype(float),
            "functioning_after": frame["before"] + frame["change"],
        }
    )


def test_families_of_several_pairs_have_the_cr2_of_club_sandwich(reference):
    rows = interrupted_transmission(people(reference))
    for name, estimand, group in (
        ("interaction", "interaction_risk_difference", ""),
        ("insecure", "child_secure_difference", "parent insecure"),
        ("secure", "child_secure_difference", "parent secure"),
    ):
        row = pick(rows, estimand, group)
        reference["linear_cr2"][name].check(numbers(row), rel=RTOL)
        reference["linear_cr2"][name].check({"p_value": row.p_value}, rel=1e-7)
        assert "CR2" in row.method
    odds = pick(rows, "interaction_odds_ratio")
    ours = {"estimate": math.log(odds.estimate), "std_error": odds.std_error, "p_value": odds.p_value}
    ours |= {"ci_low": math.log(odds.ci_low), "ci_high": math.log(odds.ci_high)}
    for of in ("logistic_cr2", "logistic_club_sandwich"):
        reference[of].check(ours, rel=1e-7)


def test_change_in_reflective_functioning_matches_r(reference):
    pairs = people(reference)
    alone = functioning_change(pairs.drop(columns="cluster"))
    reference["functioning_hc3"].check(numbers(pick(alone, "functioning_change_per_point", "parent's class unchanged")), rel=RTOL)
    per_sd = pick(alone, "functioning_change", "parent's class unchanged")
    assert per_sd.primary
    assert per_sd.estimate == pytest.approx(reference["functioning_hc3"]["estimate"] * reference["sd_change"])
    clustered = pick(functioning_change(pairs), "functioning_change_per_point", "parent's class unchanged")
    reference["functioning_cr2"].check(numbers(clustered), rel=RTOL)
    odds = pick(alone, "functioning_change_odds_ratio", "parent's class unchanged")
    sd = reference["sd_change"]
    ours = {"estimate": math.log(odds.estimate) / sd, "std_error": odds.std_error / sd, "p_value": odds.p_value}
    reference["functioning_logistic_hc3"].check(ours, rel=1e-7)


def test_separated_outcomes_have_firths_estimate(reference):
    few = reference.frame("few")
    columns = [np.ones(len(few)), few["arm"], few["insecure"]]
    interaction = few["arm"] * few["insecure"]
    saturated = logistic_fit(np.column_stack([*columns, interaction]), few["child"].to_numpy(dtype=float))
    with_x = logistic_fit(np.column_stack([*columns, few["x"], interaction]), few["child"].to_numpy(dtype=float))
    for found, told in ((saturated, reference["firth_saturated"]), (with_x, reference["firth_covariate"])):
        assert found.penalised
        assert found.coefficients == pytest.approx(told["coefficients"], abs=2e-5)
        assert np.sqrt(np.diag(found.covariance)) == pytest.approx(told["std_errors"], abs=2e-5)


def test_half_in_every_cell_is_firths_estimate_of_the_saturated_model(reference):
    few = reference.frame("few")
    pairs = pd.DataFrame(
        {
            "arm": few["arm"].map({1: "treated", 0: "comparison"}),
            "before": few["insecure"].map({1: "insecure", 0: "secure"}),
            "child": few["child"].map({1: "secure", 0: "insecure"}),
        }
    )
    row = pick(interrupted_transmission(pairs), "interaction_odds_ratio")
    assert math.log(row.estimate) == pytest.approx(reference["firth_saturated"]["coefficients"][3], abs=2e-5)
    assert "Firth" in row.note
    # Its error counts the halves as people, so that it is a little smaller than that of the penalised fit.
    assert 0.9 < row.std_error / reference["firth_saturated"]["std_errors"][3] < 1


def test_a_difference_of_shares_is_newcombes():
    # Newcombe (1998), Table II, method 10: 56/70 against 48/80 gives .2000 [.0524, .3339].
    rows = interrupted_transmission(of_counts([56, 48, 0, 0], [70, 80, 0, 0]))
    row = pick(rows, "child_secure_difference", "parent insecure")
    assert [row.estimate, row.ci_low, row.ci_high] == pytest.approx([0.2, 0.0524, 0.3339], abs=5e-5)


def test_the_fraction_interrupted_and_the_number_needed_by_hand():
    # 30 of 50 and 20 of 50: 1 - .4/.6 = 1/3 of the transmissions; one more secure child for 1/.2 = 5 parents.
    rows = interrupted_transmission(of_counts([30, 20, 0, 0], [50, 50, 0, 0]))
    assert pick(rows, "fraction_interrupted").estimate == pytest.approx(1 / 3)
    assert pick(rows, "number_needed_to_treat").estimate == pytest.approx(5)


def test_a_number_needed_runs_through_infinity_where_no_difference_is_possible():
    # Altman (1998): the interval of 1/d for d in [-.05, .25] is 4 to infinity to benefit, and 20 to infinity to harm.
    found = number_needed(Interval(0.1, math.nan, -0.05, 0.25))
    assert (found.estimate, found.benefit_from, found.harm_from) == pytest.approx((10, 4, 20))
    assert found.through_infinity
    assert found.words == "the interval runs from 4.0 to benefit through infinity (no difference) to 20.0 to harm"
    harm = number_needed(Interval(-0.2, math.nan, -0.4, -0.1))
    assert (harm.estimate, harm.ci_low, harm.ci_high, harm.words) == (-5, pytest.approx(-10), -2.5, "")
    assert number_needed(Interval(0.0, math.nan, -0.1, 0.1)).estimate == math.inf


def test_ratios_at_the_edges():
    nobody, all_of_them, half = wilson(0, 20), wilson(20, 20), wilson(10, 20)
    assert ratio(nobody, half).ci_low == 0
    assert ratio(half, wilson(1, 20)).ci_high < math.inf
    assert math.isnan(ratio(half, nobody).estimate)
    assert "nobody has the bad end" in prevented_fraction(half, all_of_them).note
    everything = prevented_fraction(all_of_them, half)
    assert (everything.estimate, everything.ci_high) == (1, 1)
    # Without treatment all but one are secure, so that the transmissions to be interrupted may be next to none.
    assert prevented_fraction(half, wilson(19, 20)).ci_low < -1


def test_an_interaction_without_a_group_is_not_defined_and_a_wrong_shape_refused():
    assert "a group is empty" in ratio_of_odds_ratios([[[3, 2], [0, 0]], [[1, 2], [3, 4]]]).note
    with pytest.raises(StatisticsError, match=r"found shape \(2, 2\)"):
        ratio_of_odds_ratios([[1, 2], [3, 4]])
    with pytest.raises(StatisticsError, match="counts from 0"):
        ratio_of_odds_ratios([[[-1, 2], [1, 1]], [[1, 2], [3, 4]]])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # Shares .4 and .6 and kappa .7: .4 x .3 and .6 x .3.
        ({"kappa": 0.7}, (0.12, 0.18)),
        ({"table": [[30, 10], [6, 54]]}, (0.1, 0.25)),
        # True share (.4 - .1)/(.8 - .1) = 3/7: insecure twice or once follows from .2 and .9.
        ({"errors": [[0.8, 0.2], [0.1, 0.9]]}, ((3 / 7 * 0.16 + 4 / 7 * 0.09) / 0.6, (3 / 7 * 0.16 + 4 / 7 * 0.09) / 0.4)),
    ],
)
def test_apparent_change_by_hand(given, expected):
    assert apparent_change(0.4, **given) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "one of kappa, table and errors"),
        ({"kappa": 0.5, "table": [[1, 1], [1, 1]]}, "one of kappa, table and errors"),
        ({"table": [[0, 0], [1, 1]]}, "nobody's row empty"),
        ({"errors": [[0.2, 0.8], [0.5, 0.5]]}, "truly secure are secure more often"),
    ],
)
def test_apparent_change_refuses(given, message):
    with pytest.raises(StatisticsError, match=message):
        apparent_change(0.4, **given)


# Hoffman et al. (2006): 52 of 65 insecure before, 23 of them secure after. Cicchetti et al. (2006), community standard: 1 of 54.
PRINTED = pd.DataFrame(
    [
        ("COS", "insecure", "secure", 23, "stored"),
        ("COS", "insecure", "insecure", 29, "stored"),
        ("CS", "insecure", "secure", 1, "stored"),
        ("CS", "insecure", "insecure", 53, "stored"),
        ("IPP", "insecure", "secure", 16, "recalled"),
        ("IPP", "insecure", "insecure", 11, "recalled"),
        ("none", "secure", "secure", 5, "stored"),
    ],
    columns=["arm", "before", "after", "n", "standing"],
)


def test_printed_tables_are_compared_and_recalled_ones_are_not_verified():
    rows = arms_of_tables(PRINTED, comparison="CS")
    shares = [r for r in rows if r.estimand == "became_secure" and r.group == "COS"]
    assert [r.estimate for r in shares] == pytest.approx([23 / 52] * 2)
    # R: prop.test(23, 52, correct = FALSE) and binom.test(23, 52).
    assert [(r.ci_low, r.ci_high) for r in shares] == [
        pytest.approx((0.315950568, 0.576602382), abs=1e-8),
        pytest.approx((0.304695625, 0.586724439), abs=1e-8),
    ]
    difference = pick(rows, "became_secure_difference", "IPP against CS")
    assert difference.estimate == pytest.approx(16 / 27 - 1 / 54)
    assert "not verified" in difference.note
    assert "not verified" not in pick(rows, "became_secure_difference", "COS against CS").note
    assert pick(rows, "number_needed_to_treat", "COS against CS").estimate == pytest.approx(1 / (23 / 52 - 1 / 54))
    assert [r.group for r in rows if r.estimand == "not testable"] == ["none"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="n"), "has no column 'n'"),
        (lambda t: t.assign(before="B"), "another word than secure and insecure"),
        (lambda t: pd.concat([t, t[:1]]), "1 cells are given twice"),
        (lambda t: t.assign(n=1.5), "whole numbers from 0"),
        (lambda t: t.assign(arm="x" + t["arm"]), "found 'CS'; allowed: xCOS, xCS, xIPP, xnone"),
    ],
)
def test_printed_tables_that_are_wrong_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        arms_of_tables(change(PRINTED), comparison="CS")


def test_the_published_tables_give_the_counts_that_were_read(shared_data):
    table = pd.read_csv(shared_data / "published_tables" / "concordance_tables.csv")
    cells = table[table.iloc[:, 0].str.startswith(("hoffman2006", "cicchetti2006"))]
    name, before, after, n, standing = (cells.columns[i] for i in range(5))
    frame = pd.DataFrame(
        {
            "arm": cells[name],
            "before": cells[before].str.removesuffix("_pre"),
            "after": cells[after].str.removesuffix("_post"),
            "n": cells[n],
            "standing": np.where(cells[standing].str.contains("memory"), "recalled", "stored"),
        }
    )
    rows = arms_of_tables(frame, comparison="cicchetti2006_CS")
    shares = {
        r.group: (r.estimate, "not verified" in r.note) for r in rows if r.estimand == "became_secure" and r.method == "Wilson"
    }
    assert shares["hoffman2006_circle_of_security"] == (pytest.approx(0.442, abs=5e-4), False)
    assert shares["cicchetti2006_CS"] == (pytest.approx(1 / 54), False)
    assert shares["cicchetti2006_IPP"][1]
    assert shares["cicchetti2006_PPI"] == (pytest.approx(12 / 22), True)

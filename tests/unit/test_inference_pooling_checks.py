"""Small studies, influence, pooling in order and Galbraith's points against metafor."""

from __future__ import annotations

import math
from time import process_time

import numpy as np
import pytest
from tests.references import load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.pooling.effects import fisher_z
from attachment_outcomes.inference.pooling.influence import cumulative, influence_measures, leave_one_out
from attachment_outcomes.inference.pooling.radial import galbraith
from attachment_outcomes.inference.pooling.random_effects import pool
from attachment_outcomes.inference.pooling.small_studies import egger, rank_correlation, trim_and_fill

R_DIGITS = 1e-9  # metafor's scoring was run to a threshold of 1e-14
MOST_SECONDS = 0.3  # for 100 samples left out in turn: 0.04 s on an idle core


@pytest.fixture(params=["molloy2014", "raudenbush1985"])
def case(request):
    return load_reference("pooling_reference")["shapes"][request.param]


def _told(found):
    return {"estimate": found.estimate, "statistic": found.statistic, "p": found.p_value}


def test_egger_agrees_with_metafor(case):
    y, v = case["y"], case["v"]
    for key, settings in (("egger", {}), ("egger_weighted", {"model": "weighted"})):
        found = egger(y, v, **settings)
        limit = {"limit": found.limit, "limit_low": found.limit_low, "limit_high": found.limit_high}
        case[key].check(_told(found) | limit, rel=R_DIGITS, abs=R_DIGITS)
    by_size = egger(y, v, predictor=1 / np.sqrt(case["n"]))
    case["egger_n"].check(_told(by_size), rel=R_DIGITS, abs=R_DIGITS)
    assert math.isnan(by_size.limit)


def test_weighted_model_is_eggers_own_regression(case):
    # Egger's: y/se on 1/se by least squares; its intercept is the slope on se of the weighted model.
    y, se = np.array(case["y"]), np.sqrt(case["v"])
    intercept = np.linalg.lstsq(np.column_stack([np.ones(len(y)), 1 / se]), y / se, rcond=None)[0][0]
    assert egger(y, se**2, model="weighted").estimate == pytest.approx(intercept, rel=1e-9)


def test_rank_correlation_agrees_with_metafor(case):
    found = rank_correlation(case["y"], case["v"])
    case["rank"].check({"tau": found.estimate, "p": found.p_value}, rel=R_DIGITS)


def test_rank_correlation_of_many_samples_with_ties_agrees_with_metafor():
    case = load_reference("pooling_reference")["many_ranks"]
    y, v = fisher_z(case["r"], case["n"])
    found = rank_correlation(y, v)
    case.check({"tau": found.estimate, "p": found.p_value}, rel=R_DIGITS)
    assert found.method == "rank correlation, normal"


def test_exact_rank_correlation_of_four():
    # By hand: variances rise and standardised effects fall, so tau = -1; 2 of 24 orders are as extreme.
    found = rank_correlation([0.9, 0.5, 0.1, -0.9], [0.01, 0.02, 0.03, 0.04])
    assert (found.estimate, found.p_value) == pytest.approx((-1, 2 / 24))
    assert "fewer than 10 samples" in found.note


def test_trim_and_fill_agrees_with_metafor(case):
    for key, reference in case["fill"].items():
        side = key.removeprefix("EE_")
        found = trim_and_fill(case["y"], case["v"], side=side, method="EE" if key.startswith("EE") else "REML")
        reference.check(
            {"k0": found.k0, "estimate": found.pooled.estimate, "std_error": found.pooled.std_error, "tau2": found.pooled.tau2},
            rel=R_DIGITS, abs=R_DIGITS,
        )  # fmt: skip
        assert len(found.filled_effects) == found.k0
    assert trim_and_fill(case["y"], case["v"]).side == case["fill_auto"]["REML"]


def test_mirrored_samples_fill_the_other_side():
    # Four small samples far above, none below: their mirror images about the trimmed mean are filled in on the left.
    y = [0.10, 0.12, 0.08, 0.11, 0.09, 0.50, 0.60, 0.70, 0.80]
    v = [0.001, 0.0011, 0.0012, 0.0013, 0.0014, 0.05, 0.06, 0.07, 0.08]
    left, right = trim_and_fill(y, v, method="EE"), trim_and_fill(np.negative(y), v, method="EE")
    assert (left.side, right.side) == ("left", "right")
    assert left.k0 == right.k0 > 0
    assert (left.filled_effects < 0.1).all()
    assert left.pooled.estimate < pool(y, v, method="EE").estimate
    np.testing.assert_allclose(left.filled_effects, -right.filled_effects)


def test_leave_one_out_agrees_with_metafor(case):
    case["leave_one_out"].check(leave_one_out(case["y"], case["v"]).to_dict("list"), rel=R_DIGITS, abs=R_DIGITS)


def test_influence_agrees_with_metafor(case):
    found = influence_measures(case["y"], case["v"])
    case["influence"].check(found.to_dict("list"), rel=R_DIGITS, abs=R_DIGITS)


def test_cumulative_adds_samples_of_a_year_together(case):
    y, v = case["y"], case["v"]
    year = np.arange(len(y)) // 2
    found = cumulative(y, v, year, interval="hartung-knapp")
    assert found["k"].to_list()[:3] == [2, 4, 6]
    for row in found.itertuples():
        whole = pool(y[: row.k], v[: row.k], interval="hartung-knapp")
        assert (row.estimate, row.ci_low, row.ci_high, row.tau2, row.i2, row.q) == pytest.approx(
            (whole.estimate, whole.ci_low, whole.ci_high, whole.tau2, whole.i2, whole.q), rel=1e-9, abs=1e-12
        )
    # Within a year the order does not matter; over years it does.
    swapped = [i + 1 - 2 * (i % 2) if i + 1 - 2 * (i % 2) < len(y) else i for i in range(len(y))]
    again = cumulative(np.array(y)[swapped], np.array(v)[swapped], year, interval="hartung-knapp")
    np.testing.assert_allclose(again, found, rtol=1e-9, atol=1e-12)


def test_cumulative_begins_with_one_sample():
    found = cumulative([0.2, 0.4, 0.3], [0.04, 0.04, 0.04], [2001, 2003, 2002])
    assert found["order"].to_list() == [2001, 2002, 2003]
    assert found["estimate"].to_list() == pytest.approx([0.2, 0.25, 0.3])
    assert found["std_error"].iloc[0] == pytest.approx(0.2)
    assert found[["tau2", "i2", "q_p"]].iloc[0].isna().all()
    with pytest.raises(StatisticsError, match="one number a sample"):
        cumulative([0.2, 0.4], [0.04, 0.04], [2001, math.nan])


def test_leaving_out_each_of_a_hundred_is_quick():
    rng = np.random.default_rng(2)
    y, v = rng.normal(size=100), rng.uniform(0.01, 0.3, 100)
    start = process_time()
    leave_one_out(y, v)
    assert process_time() - start < MOST_SECONDS


def test_galbraith_points_by_hand():
    found = galbraith([0.3, -0.2], [0.04, 0.25])
    assert found["precision"].to_list() == pytest.approx([5, 2])
    assert found["standardised"].to_list() == pytest.approx([1.5, -0.4])
    assert galbraith([0.3], [0.04], tau2=0.05)["precision"].to_list() == pytest.approx([1 / 0.3])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: egger([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]), "found 3 samples; allowed: 4 or more"),
        (lambda: egger([0.1, 0.2, 0.3, 0.1], [0.1] * 4), "'standard error' is the same"),
        (lambda: egger([0.1, 0.2, 0.3, 0.1], [0.1] * 4, model="weighted"), "'standard error' is the same"),
        (lambda: egger([0.1, 0.2, 0.3, 0.1], [0.1, 0.2, 0.3, 0.4], model="weigthed"), "Did you mean 'weighted'"),
        (lambda: egger([0.1, 0.2, 0.3, 0.1], [0.1, 0.2, 0.3, 0.4], predictor=[1, 2, 3]), "3 rows"),
        (lambda: rank_correlation([0.1, 0.2, 0.3], [0.1] * 3), "same variance"),
        (lambda: rank_correlation([0.1, 0.2], [0.1, 0.2]), "3 or more"),
        (lambda: trim_and_fill([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], side="rigth"), "Did you mean 'right'"),
        (lambda: leave_one_out([0.1, 0.2], [0.1, 0.2]), "3 or more"),
        (lambda: leave_one_out([0.1, 0.2, 0.4], [0.1, 0.2, 0.1], interval="t"), "allowed: z, hartung-knapp"),
        (lambda: influence_measures([0.1, math.nan, 0.4], [0.1, 0.2, 0.1]), "missing effect"),
        (lambda: galbraith([0.1], [0.1], tau2=-1), "not 0 or more"),
        (lambda: galbraith([0.1], [0]), "not above 0"),
    ],
)
def test_what_cannot_be_told_is_refused(call, message):
    with pytest.raises(StatisticsError, match=message):
        call()

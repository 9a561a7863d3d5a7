"""Random-effects pooling against metafor."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.meta_analysis import combine_effects
from tests.references import load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.pooling.effects import fisher_z, logit_proportion
from attachment_outcomes.inference.pooling.influence import leave_one_out
from attachment_outcomes.inference.pooling.moderators import meta_regression
from attachment_outcomes.inference.pooling.nested import pool_nested
from attachment_outcomes.inference.pooling.random_effects import pool
from attachment_outcomes.inference.pooling.tau2 import METHODS

R_DIGITS = 1e-9  # metafor's scoring was run to a threshold of 1e-14, stored with 14 digits


@pytest.fixture(scope="module")
def reference(root):
    return json.loads((root / "tests/reference/pooling_reference.json").read_text(encoding="utf-8"))


def _told(p):
    return {
        "k": p.k, "estimate": p.estimate, "std_error": p.std_error, "ci": [p.ci_low, p.ci_high], "p": p.p_value, "tau2": p.tau2,
        "i2": p.i2, "h2": p.h2, "q": p.q, "q_p": p.q_p, "prediction": [p.prediction_low, p.prediction_high],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["molloy2014", "raudenbush1985", "logits"])
@pytest.mark.parametrize("method", ["REML", "DL", "EE", "hartung_knapp"])
def test_pooling_agrees_with_metafor(reference, name, method):
    case = reference["cases"][name]
    knapp = method == "hartung_knapp"
    found = pool(case["y"], case["v"], method="REML" if knapp else method, interval="hartung-knapp" if knapp else "z")
    expected = case[method]
    for key, value in _told(found).items():
        if key == "prediction" and method == "EE":
            continue  # metafor gives none for equal effects; ours is the interval of the mean
        assert value == pytest.approx(expected[key], rel=R_DIGITS, abs=R_DIGITS), key
    if method in ("REML", "DL"):
        assert found.tau2_se == pytest.approx(expected["tau2_se"], rel=R_DIGITS)


@pytest.mark.parametrize("name", ["molloy2014", "raudenbush1985", "logits"])
@pytest.mark.parametrize("method", ["ML", "PM", "HE", "SJ", "EB"])
def test_every_estimator_of_tau2_agrees_with_metafor(name, method):
    case = load_reference("pooling_reference")["cases"][name]
    found = pool(case["y"], case["v"], method=method)
    case["others"][method].check(_told(found) | {"tau2_se": found.tau2_se}, rel=R_DIGITS, abs=R_DIGITS)


@pytest.mark.parametrize("name", ["molloy2014", "raudenbush1985", "logits"])
def test_q_profile_interval_agrees_with_metafor(name):
    case = load_reference("pooling_reference")["cases"][name]
    found = pool(case["y"], case["v"])
    case.check({"tau2_interval": [found.tau2_low, found.tau2_high]}, rel=R_DIGITS, abs=R_DIGITS)


@pytest.mark.parametrize("name", ["molloy2014", "raudenbush1985"])
def test_statsmodels_agrees_where_it_has_the_quantity(name):
    case = load_reference("pooling_reference")["cases"][name]
    y, v = np.array(case["y"]), np.array(case["v"])
    for ours, theirs in (("DL", "dl"), ("PM", "pm")):
        their = combine_effects(y, v, method_re=theirs)
        found = pool(y, v, method=ours)
        assert (found.tau2, found.estimate) == pytest.approx((their.tau2, their.mean_effect_re), rel=1e-5, abs=1e-9)
        knapp = pool(y, v, method=ours, interval="hartung-knapp")
        assert knapp.std_error == pytest.approx(their.sd_eff_w_re_hksj, rel=1e-5)
    assert pool(y, v, method="EE").std_error == pytest.approx(their.sd_eff_w_fe, rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_two_alike_samples_have_no_tau2(method):
    found = pool([0.300, 0.301], [0.02, 0.03], method=method)
    # Sidik and Jonkman's estimate is above 0 wherever effects are not identical.
    assert (found.tau2 == 0) == (method != "SJ")
    assert found.tau2 < 1e-6
    if method != "EE":
        assert (found.tau2_low, found.tau2_high) == (0, 0)  # more alike than 97.5 % of pairs would be
    assert math.isfinite(found.tau2_se) == (method != "EE")


@pytest.mark.parametrize("name", ["molloy2014", "raudenbush1985", "logits"])
def test_cluster_robust_interval_agrees_with_metafor(reference, name):
    case = reference["cases"][name]
    found = pool(case["y"], case["v"], clusters=case["clusters"])
    assert found.std_error == pytest.approx(case["robust"]["std_error"], rel=R_DIGITS)
    assert [found.ci_low, found.ci_high] == pytest.approx(case["robust"]["ci"], rel=R_DIGITS)
    assert found.p_value == pytest.approx(case["robust"]["p"], rel=1e-8)
    assert found.n_clusters == len(set(case["clusters"]))


@pytest.mark.parametrize("name", ["alike", "apart"])
def test_modified_hartung_knapp_and_higgins_prediction_agree_with_metafor(name):
    case = load_reference("inference_reference")["pooling"][name]
    found = pool(case["y"], case["v"], interval="hartung-knapp-modified", prediction="higgins")
    plain = pool(case["y"], case["v"], prediction="higgins")
    case.check(
        {
            "std_error": found.std_error, "ci": [found.ci_low, found.ci_high], "p": found.p_value,
            "prediction": [plain.prediction_low, plain.prediction_high],
            "prediction_adhoc": [found.prediction_low, found.prediction_high],
        }, rel=R_DIGITS,
    )  # fmt: skip
    unmodified = pool(case["y"], case["v"], interval="hartung-knapp")
    assert (unmodified.std_error < plain.std_error) == (name == "alike")
    assert found.method == "random effects (REML) Hartung-Knapp, modified"


def test_tau2_is_found_where_scoring_swings():
    case = load_reference("inference_reference")["pooling"]["swinging"]
    assert "did not converge" in case["plain"]
    found = pool(case["y"], case["v"])
    case.check({"tau2": found.tau2, "estimate": found.estimate, "std_error": found.std_error}, rel=R_DIGITS)


def test_two_samples_have_no_higgins_interval():
    found = pool([0.1, 0.4], [0.01, 0.02], prediction="higgins")
    assert math.isnan(found.prediction_low)
    assert "no prediction interval" in found.note


def test_effects_agree_with_escalc(reference):
    z = reference["fisher_z"]
    np.testing.assert_allclose(np.stack(fisher_z(z["r"], z["n"])), [z["y"], z["v"]], atol=1e-13)
    p = reference["logit"]
    np.testing.assert_allclose(np.stack(logit_proportion(p["x"], p["n"])), [p["y"], p["v"]], atol=1e-12)


def test_equal_effects_have_no_tau2():
    found = pool([0.3, 0.3, 0.3], [0.01, 0.02, 0.05])
    assert (found.estimate, found.tau2, found.i2, found.q) == pytest.approx((0.3, 0, 0, 0), abs=1e-12)


def test_two_samples_by_hand():
    # Equal variances 1 and effects 0 and 4: Q = 8, DL tau2 = (8 - 1) / 1 = 7, REML tau2 = s2 - 1 = 7.
    for method in ("DL", "REML"):
        found = pool([0, 4], [1, 1], method=method)
        assert (found.estimate, found.q, found.tau2, found.i2) == pytest.approx((2, 8, 7, 7 / 8))
        assert found.std_error == pytest.approx(2.0)


def test_one_sample_tells_nothing_about_differences():
    found = pool([0.4], [0.04])
    assert (found.estimate, found.std_error) == pytest.approx((0.4, 0.2))
    assert math.isnan(found.tau2)
    assert math.isnan(found.prediction_low)
    assert "one sample" in found.note


def test_effects_that_do_not_exist_are_missing():
    z, v = fisher_z([0.5, 1.0, math.nan, 0.2], [20, 20, 20, 3])
    assert np.isnan(z).tolist() == [False, True, True, True]
    assert np.isnan(v).tolist() == [False, True, True, True]
    y, _ = logit_proportion([0, 0, 5], [4, 0, 5])
    assert y[0] == pytest.approx(math.log(0.5 / 4.5))
    assert math.isnan(y[1])
    assert y[2] == pytest.approx(math.log(5.5 / 0.5))


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (([0.1, 0.2], [0.1]), {}, "same length"),
        (([], []), {}, "1 or more"),
        (([0.1, math.nan], [0.1, 0.1]), {}, "missing effect"),
        (([0.1, 0.2], [0.1, 0]), {}, "not above 0"),
        (([0.1, 0.2], [0.1, 0.1]), {"method": "REMl"}, "Did you mean 'REML'"),
        (([0.1, 0.2], [0.1, 0.1]), {"interval": "t"}, "allowed: z, hartung-knapp"),
        (([0.1, 0.2], [0.1, 0.1]), {"prediction": "higins"}, "Did you mean 'higgins'"),
        (([0.1, 0.2], [0.1, 0.1]), {"clusters": ["a"]}, "one a sample"),
        (([0.1, 0.2], [0.1, 0.1]), {"clusters": ["a", None]}, "none missing"),
        (([0.1, 0.2], [0.1, 0.1]), {"clusters": ["a", "a"]}, "2 or more"),
        (([0.1, 0.2], [0.1, 0.1]), {"ci_level": 1}, "ci_level"),
    ],
)
def test_bad_input_is_refused(arguments, settings, message):
    with pytest.raises(StatisticsError, match=message):
        pool(*arguments, **settings)


def test_impossible_effects_are_refused():
    with pytest.raises(StatisticsError, match="outside"):
        fisher_z([1.2], [20])
    with pytest.raises(StatisticsError, match="above n"):
        logit_proportion([6], [5])


def test_equal_effects_have_no_p_value_where_only_rounding_is_left():
    y, v, clusters = [0.3] * 4, [0.1, 0.2, 0.1, 0.3], [1, 1, 2, 2]
    for interval in ("CR2", "CR1"):
        found = pool_nested(y, v, clusters, interval=interval)
        assert (found.std_error, found.ci_low, found.ci_high) == (0, pytest.approx(0.3), pytest.approx(0.3))
        assert math.isnan(found.p_value)
        assert "no length because all effects are equal" in found.note
    left = leave_one_out(y, v, interval="hartung-knapp")
    assert left["std_error"].eq(0).all()
    assert left["p_value"].isna().all()
    assert leave_one_out(y, v)["p_value"].notna().all()
    exact = meta_regression([0.1, 0.2, 0.3, 0.4, 0.5], [0.1] * 5, pd.DataFrame({"year": [1990.0, 1991, 1992, 1993, 1994]}))
    assert exact.coefficients["p_value"].isna().all()
    assert math.isnan(exact.qm_p)
    assert "fit all effects exactly" in exact.note
    for interval in ("hartung-knapp", "z"):
        assert ("no length" in pool([0.3] * 3, [0.1, 0.2, 0.7], interval=interval).note) == (interval != "z")


def test_an_interval_shorter_than_the_normal_one_says_so_and_one_sample_has_the_normal_one():
    y, v = [0.30, 0.31, 0.30, 0.31, 0.30], [0.1] * 5
    short = pool(y, v, interval="hartung-knapp")
    assert short.ci_high - short.ci_low < pool(y, v).ci_high - pool(y, v).ci_low
    assert "shorter than the normal interval" in short.note
    assert pool(y, v).note == pool(y, v, interval="hartung-knapp-modified").note == ""
    assert pool([0.1, 0.5, 0.9], [0.01] * 3, interval="hartung-knapp").note == ""
    assert pool([0.3], [0.1], interval="hartung-knapp").method == "one sample, normal"

"""Meta-regression, three levels and counts against metafor, clubSandwich and lme4."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, norm
from tests.references import load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.pooling.binomial import pool_proportions
from attachment_outcomes.inference.pooling.moderators import meta_regression
from attachment_outcomes.inference.pooling.nested import pool_nested
from attachment_outcomes.inference.pooling.random_effects import pool

R_DIGITS = 1e-9  # metafor's scoring was run to a threshold of 1e-14
SEARCHED = 3e-8  # rma.mv searches without derivatives, and over the logarithm of a variance that is 0
GLMER = 2e-7  # glmer searches without derivatives; its error is from differences
METAFOR_GLMM = 2e-5  # rma.glmm stops there
INTERPOLATED = 5e-5  # lme4 interpolates its profile


@pytest.fixture(scope="module")
def reference():
    return load_reference("pooling_reference")


# ---------------------------------------------------------------- moderators


def _regression(found):
    table = found.coefficients
    columns = {"estimate": "estimate", "std_error": "std_error", "ci_low": "ci_low", "ci_high": "ci_high", "p": "p_value"}
    told = {name: table[column].to_list() for name, column in columns.items()}
    same = ("tau2", "tau2_se", "i2", "qe", "qe_p", "qm", "qm_p")
    return told | {name: getattr(found, name) for name in same}


@pytest.mark.parametrize("name", ["molloy2014", "raudenbush1985"])
@pytest.mark.parametrize("kind", ["z", "knha", "ML", "DL", "PM", "HE", "SJ"])
def test_meta_regression_agrees_with_metafor(reference, name, kind):
    case = reference["regressions"][name]
    settings = {"method": "REML" if kind in ("z", "knha") else kind, "interval": "hartung-knapp" if kind == "knha" else "z"}
    found = meta_regression(case["y"], case["v"], pd.DataFrame(case["design"]), **settings)
    told = _regression(found)
    if pool(case["y"], case["v"], method=settings["method"]).tau2 > 0:
        told["r2"] = found.r2
    case[kind].check(told, rel=R_DIGITS, abs=R_DIGITS)


@pytest.mark.parametrize("name", ["molloy2014", "raudenbush1985"])
def test_meta_regression_with_clusters_agrees_with_club_sandwich(reference, name):
    case = reference["regressions"][name]
    found = meta_regression(case["y"], case["v"], pd.DataFrame(case["design"]), clusters=case["clusters"])
    table = found.coefficients
    told = {"std_error": table["std_error"].to_list(), "df": table["df"].to_list(), "p": table["p_value"].to_list()}
    case["CR2"].check(told, rel=1e-7, abs=R_DIGITS)
    case.check({"tau2_interval": [found.tau2_low, found.tau2_high]}, rel=R_DIGITS, abs=R_DIGITS)
    assert found.n_clusters == len(set(case["clusters"]))
    assert math.isnan(found.qm) == (len(table) > 2)


def test_a_moderator_of_two_levels_gives_each_levels_own_mean_with_equal_effects():
    # By hand: with tau2 = 0 the intercept is the weighted mean of one level, and the slope the difference of both.
    y, v, level = [0.1, 0.3, 0.6, 0.8, 0.7], [0.01, 0.01, 0.02, 0.01, 0.01], [0, 0, 1, 1, 1]
    found = meta_regression(y, v, pd.DataFrame({"risk": level}), method="EE", interval="z").coefficients
    second = (0.6 / 0.02 + 0.8 / 0.01 + 0.7 / 0.01) / 250
    assert found["estimate"].to_list() == pytest.approx([0.2, second - 0.2])
    assert found["std_error"].to_list() == pytest.approx([math.sqrt(1 / 200), math.sqrt(1 / 200 + 1 / 250)])


def test_years_cost_no_digits():
    rng = np.random.default_rng(4)
    year, y, v = np.arange(1990.0, 2015), rng.normal(size=25), rng.uniform(0.01, 0.1, 25)
    near, far = (meta_regression(y, v, pd.DataFrame({"year": x})) for x in (year - 2000, year))
    assert far.tau2 == pytest.approx(near.tau2, rel=1e-9)
    assert far.coefficients.loc[1, "estimate"] == pytest.approx(near.coefficients.loc[1, "estimate"], rel=1e-9)
    at_2000 = far.coefficients.loc[0, "estimate"] + 2000 * far.coefficients.loc[1, "estimate"]
    assert at_2000 == pytest.approx(near.coefficients.loc[0, "estimate"], rel=1e-8)


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({"age": [1, 2, 3, 4, math.nan]}, "missing values in 'age'"),
        ({"age": [2, 2, 2, 2, 2]}, "'age' is the same in all samples"),
        ({"age": [1, 2, 3, 4, 6], "double": [2, 4, 6, 8, 12]}, "determine 'double'"),
        ({"age": [1, 2, 3, 4, 6], "risk": [0, 1, 0, 0, 1], "year": [1, 5, 2, 2, 9]}, "5 samples for 4 coefficients"),
        ({"age": ["young", "old", "old", "old", "old"]}, "found words"),
        ({"age": [1, 2, 3]}, "3 rows and 1 columns; allowed: 5 rows"),
    ],
)
def test_moderators_that_cannot_be_told_are_refused(design, message):
    with pytest.raises(StatisticsError, match=message):
        meta_regression([0.1, 0.4, 0.2, 0.6, 0.3], [0.02] * 5, pd.DataFrame(design))


def test_regression_settings_that_are_not_known_are_refused():
    design = pd.DataFrame({"age": [1, 2, 3, 4, 6]})
    with pytest.raises(StatisticsError, match="Did you mean 'hartung-knapp'"):
        meta_regression([0.1, 0.4, 0.2, 0.6, 0.3], [0.02] * 5, design, interval="hartung-knap")
    with pytest.raises(StatisticsError, match="found 3 for 2 coefficients"):
        meta_regression([0.1, 0.4, 0.2, 0.6, 0.3], [0.02] * 5, design, clusters=list("aabbc"))


# ---------------------------------------------------------------- three levels


@pytest.mark.parametrize("name", ["assink2016", "moderator", "no_between", "no_within"])
def test_three_levels_agree_with_metafor_and_club_sandwich(reference, name):
    case = reference["nested"][name]
    design = pd.DataFrame(case["design"]) if case["design"] else None
    found = {i: pool_nested(case["y"], case["v"], case["clusters"], design=design, interval=i) for i in ("z", "t", "CR1", "CR2")}
    plain, table = found["z"], {i: f.coefficients for i, f in found.items()}
    told = {
        "sigma2": [plain.tau2_between, plain.tau2_within], "estimate": table["z"]["estimate"].to_list(),
        "std_error": table["z"]["std_error"].to_list(), "q": plain.q, "q_p": plain.q_p, "loglik": plain.loglik,
    }  # fmt: skip
    case.check(told, rel=SEARCHED, abs=SEARCHED)
    for kind in ("CR1", "CR2"):
        robust = {"std_error": table[kind]["std_error"].to_list(), "p": table[kind]["p_value"].to_list()}
        if kind == "CR2":
            robust["df"] = table[kind]["df"].to_list()
        case[kind].check(robust, rel=SEARCHED, abs=SEARCHED)
    if design is None:
        limits = found["t"]
        case.check({"prediction": [limits.prediction_low, limits.prediction_high], "ddf": limits.df}, abs=SEARCHED)
    assert plain.converged
    assert (plain.tau2_between == 0) == (name == "no_between")
    assert (plain.tau2_within == 0) == (name == "no_within")


def test_without_differences_within_clusters_of_one_size_the_mean_is_that_of_clusters():
    # By hand: clusters of two samples with the same variance 0.02 each are one sample of variance 0.01.
    y, v = [0.1, 0.1, 0.5, 0.5, 0.9, 0.9], [0.02] * 6
    found = pool_nested(y, v, list("aabbcc"), interval="t")
    assert found.tau2_within == 0
    assert found.tau2_between == pytest.approx(0.16 - 0.01)
    assert (found.estimate, found.std_error, found.df) == pytest.approx((0.5, math.sqrt(0.16 / 3), 2))
    assert found.i2_between + found.i2_within == pytest.approx(0.15 / (0.15 + 0.02))


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (([0.1, 0.2, 0.4], [0.1] * 3, ["a", "b", "c"]), {}, "each has one sample"),
        (([0.1, 0.2, 0.4], [0.1] * 3, ["a", "a", "a"]), {}, "more clusters than coefficients"),
        (([0.1, 0.2, 0.4], [0.1] * 3, ["a", "a", None]), {}, "none missing"),
        (([0.1, 0.2], [0.1] * 2, ["a", "a"]), {}, "3 or more"),
        (([0.1, 0.2, 0.4], [0.1] * 3, ["a", "a", "b"]), {"interval": "CR3"}, "Did you mean 'CR"),
        (([0.1, math.nan, 0.4], [0.1] * 3, ["a", "a", "b"]), {}, "missing effect"),
    ],
)
def test_clusters_that_cannot_be_pooled_are_refused(arguments, settings, message):
    with pytest.raises(StatisticsError, match=message):
        pool_nested(*arguments, **settings)


# ---------------------------------------------------------------- counts


@pytest.mark.parametrize("name", ["mixed", "rare", "common"])
def test_counts_agree_with_lme4_and_metafor(reference, name):
    case = reference["counts"][name]
    found = pool_proportions(case["x"], case["n"])
    told = {"estimate": found.estimate, "std_error": found.std_error, "tau2": found.tau2}
    case.check(told | {"loglik": found.loglik, "lr": found.lr, "q": found.q}, rel=GLMER, abs=GLMER)
    case["metafor"].check(told | {"i2": found.i2, "q": found.q, "q_p": found.q_p}, rel=METAFOR_GLMM, abs=METAFOR_GLMM)
    profile = pool_proportions(case["x"], case["n"], interval="profile")
    case.check({"profile": [profile.ci_low, profile.ci_high]}, abs=INTERPOLATED)
    case.check({"profile_sd": [math.sqrt(profile.tau2_low), math.sqrt(profile.tau2_high)]}, abs=INTERPOLATED)
    assert found.lr_p == pytest.approx(chi2.sf(found.lr, 1) / 2)


def test_alike_samples_are_one_sample():
    # By hand: 9 of 30 whatever their samples, so the log odds have the error of one sample of 30.
    found = pool_proportions([3, 3, 3], [10, 10, 10], interval="z")
    assert (found.tau2, found.lr, found.lr_p, found.q) == pytest.approx((0, 0, 1, 0), abs=1e-12)
    assert found.estimate == pytest.approx(math.log(9 / 21))
    assert found.std_error == pytest.approx(math.sqrt(1 / 9 + 1 / 21))
    assert found.share == pytest.approx(found.mean_share)


def test_one_sample_has_its_own_likelihood_interval():
    found = pool_proportions([3], [10], interval="profile")
    z2 = norm.ppf(0.975) ** 2

    def fall(share: float) -> float:
        return 2 * (3 * math.log(0.3 / share) + 7 * math.log(0.7 / (1 - share)))

    assert [fall(found.share_low), fall(found.share_high)] == pytest.approx([z2, z2], abs=1e-6)
    assert found.share_low < 0.3 < found.share_high
    assert math.isnan(found.tau2)
    assert math.isnan(found.prediction_low)
    assert "one sample" in found.note


def test_empty_samples_count_without_a_correction():
    with_empty = pool_proportions([0, 2, 3, 0], [20, 40, 35, 15])
    assert with_empty.share == pytest.approx(5 / 110, abs=0.01)
    more = pool_proportions([0, 2, 3, 0, 0], [20, 40, 35, 15, 60])
    assert more.share < with_empty.share


def test_a_profile_that_does_not_fall_has_no_limit_on_that_side():
    # Six samples without an event: a lower mean with a larger spread is nearly as likely, for ever.
    found = pool_proportions([0, 0, 6, 2, 0, 0, 0, 0], [22, 38, 58, 19, 16, 43, 15, 20], interval="profile")
    assert (found.ci_low, found.share_low, found.tau2_high) == (-math.inf, 0, math.inf)
    assert found.estimate < found.ci_high < -2
    assert 0.03 < found.mean_share < 0.04  # 8 of 231 people


def test_clusters_of_one_sample_give_the_sandwich_and_pairs_another():
    x, n = [2, 5, 9, 4, 11, 3], [20, 24, 31, 18, 30, 22]
    alone = pool_proportions(x, n, clusters=list("abcdef"))
    pairs = pool_proportions(x, n, clusters=list("aabbcc"))
    assert (alone.n_clusters, alone.df, pairs.n_clusters, pairs.df) == (6, 5, 3, 2)
    assert alone.estimate == pairs.estimate
    assert alone.std_error != pairs.std_error
    assert "CR1" in pairs.method


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (([0, 0], [10, 12]), {}, "no finite estimate"),
        (([10, 12], [10, 12]), {}, "no finite estimate"),
        (([0, 12], [10, 12]), {}, "variance is infinite"),
        (([11, 2], [10, 12]), {}, "above n"),
        (([-1, 2], [10, 12]), {}, "below 0"),
        (([0.5, 2], [10, 12]), {}, "not whole"),
        (([math.nan, 2], [10, 12]), {}, "missing"),
        (([0, 2], [0, 12]), {}, "n of 0"),
        (([1, 2, 3], [10, 12]), {}, "same length"),
        (([1, 2], [10, 12]), {"interval": "profil"}, "Did you mean 'profile'"),
        (([1, 2], [10, 12]), {"interval": "profile", "clusters": ["a", "b"]}, "samples as independent"),
        (([1, 2], [10, 12]), {"clusters": ["a", "a"]}, "2 or more"),
    ],
)
def test_counts_that_cannot_be_pooled_are_refused(arguments, settings, message):
    with pytest.raises(StatisticsError, match=message):
        pool_proportions(*arguments, **settings)

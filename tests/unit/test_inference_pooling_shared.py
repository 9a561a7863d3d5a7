"""Pooling against the stored metafor results of the public data sets, every entry of them.

metafor's default stops scoring when tau2 moves by less than 1e-5, so its stored digits end at about 1e-6. `scored` does the same
scoring: stopped where metafor stops it gives the stored numbers, stopped at 1e-14 it gives ours.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from attachment_outcomes.inference.pooling.effects import fisher_z, logit_proportion
from attachment_outcomes.inference.pooling.influence import leave_one_out
from attachment_outcomes.inference.pooling.moderators import meta_regression
from attachment_outcomes.inference.pooling.nested import pool_nested
from attachment_outcomes.inference.pooling.random_effects import pool
from attachment_outcomes.inference.pooling.small_studies import egger, rank_correlation, trim_and_fill
from attachment_outcomes.inference.two_by_two import phi

STORED = 1e-6  # the digits wanted
EXACT = 1e-9  # where nothing is iterated, or scoring is stopped where metafor stops
# Of stored values that metafor's stopping leaves off by more than 1e-6; `scored` shows for each that the stopping is why.
STOPPED = {"b": 4e-6, "se": 4e-6, "tau2": 4e-6, "ci": 4e-6, "pi": 2e-5, "I2": 3e-3}


def scored(y, v, method, x=None, threshold=1e-5):
    """Return tau2 by Fisher scoring from Hedges' estimate (0 for EB's own equation too), as metafor."""
    x = np.ones((len(y), 1)) if x is None else x
    k, p = x.shape
    flat = np.eye(k) - x @ np.linalg.pinv(x)
    tau2 = max(0.0, (y @ flat @ y - np.trace(flat @ np.diag(v))) / (k - p))
    change = math.inf
    while change > threshold:
        w = np.diag(1 / (v + tau2))
        hat = w - w @ x @ np.linalg.inv(x.T @ w @ x) @ x.T @ w
        move = {
            "REML": lambda hat=hat: (y @ hat @ hat @ y - np.trace(hat)) / np.trace(hat @ hat),
            "ML": lambda hat=hat, w=w: (y @ hat @ hat @ y - np.trace(w)) / np.trace(w @ w),
            "EB": lambda hat=hat, w=w: (y @ hat @ y * k / (k - p) - k) / np.trace(w),
        }[method]()
        while tau2 + move < 0:
            move /= 2
        tau2, change = tau2 + move, abs(move)
    return tau2


def weighted_mean(y, v, tau2, x=None):
    """Return coefficients and standard errors at a tau2."""
    x = np.ones((len(y), 1)) if x is None else x
    w = 1 / (v + tau2)
    inverse = np.linalg.inv(x.T @ (w[:, None] * x))
    return inverse @ x.T @ (w * y), np.sqrt(np.diag(inverse))


@pytest.fixture(scope="module")
def stored(shared_data):
    return json.loads((shared_data / "meta_analysis" / "reference.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def molloy(shared_data):
    table = pd.read_csv(shared_data / "meta_analysis" / "dat_molloy2014.csv")
    return (*fisher_z(table["ri"], table["ni"]), table)


def _told(found):
    return {
        "k": found.k, "b": found.estimate, "se": found.std_error, "z": found.estimate / found.std_error, "p": found.p_value,
        "ci": [found.ci_low, found.ci_high], "tau2": found.tau2, "se_tau2": found.tau2_se, "I2": 100 * found.i2, "H2": found.h2,
        "Q": found.q, "Qp": found.q_p, "pi": [found.prediction_low, found.prediction_high], "pred": found.estimate,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["ZCOR_FE", "ZCOR_DL", "ZCOR_SJ", "ZCOR_HE"])
def test_estimators_without_iteration_equal_every_stored_value(stored, molloy, name):
    y, v, _ = molloy
    method = name.removeprefix("ZCOR_")
    ours = _told(pool(y, v, method="EE" if method == "FE" else method))
    for key, value in stored[f"molloy2014_{name}"].items():
        if value != {}:  # what metafor does not tell
            assert ours[key] == pytest.approx(value, rel=EXACT, abs=EXACT), key


@pytest.mark.parametrize("name", ["ZCOR_REML", "ZCOR_ML", "ZCOR_EB", "ZCOR_PM", "knha"])
def test_iterated_estimators_equal_the_stored_values_to_where_metafor_stops(stored, molloy, name):
    y, v, _ = molloy
    method = "REML" if name == "knha" else name.removeprefix("ZCOR_")
    found = pool(y, v, method=method, interval="hartung-knapp" if name == "knha" else "z")
    ours, reference = _told(found), stored[f"molloy2014_{name}"]
    for key in ("k", "Q", "Qp"):
        assert ours[key] == pytest.approx(reference[key], rel=EXACT), key
    for key, allowed in STOPPED.items():
        assert ours[key] == pytest.approx(reference[key], abs=allowed), key
    for key in ("se_tau2", "p"):
        assert ours[key] == pytest.approx(reference[key], abs=STOPPED["se"]), key
    if method != "PM":  # metafor seeks PM's root by bisection to 1e-4
        tau2 = scored(y, v, method)
        beta, error = weighted_mean(y, v, tau2)
        if name == "knha":
            error = error * math.sqrt(float(((y - beta) ** 2 / (v + tau2)).sum()) / (len(y) - 1))
        assert (tau2, beta[0], error[0]) == pytest.approx([reference[c] for c in ("tau2", "b", "se")], abs=EXACT)
        assert scored(y, v, method, threshold=1e-15) == pytest.approx(found.tau2, abs=1e-13)


def test_small_studies_equal_the_stored_values(stored, molloy):
    y, v, _ = molloy
    begg = rank_correlation(y, v)
    assert (begg.estimate, begg.p_value) == pytest.approx(
        (stored["molloy2014_begg"]["tau"], stored["molloy2014_begg"]["p"]), abs=EXACT
    )
    x = np.column_stack([np.ones(len(y)), np.sqrt(v)])
    beta, error = weighted_mean(y, v, scored(y, v, "REML", x), x)
    assert beta[1] / error[1] == pytest.approx(stored["molloy2014_egger"]["z"], abs=EXACT)
    beta, error = weighted_mean(y, v, scored(y, v, "REML", x, 1e-15), x)
    ours = egger(y, v)
    assert ours.statistic == pytest.approx(beta[1] / error[1], abs=1e-11)
    assert ours.p_value == pytest.approx(stored["molloy2014_egger"]["p"], abs=1e-4)

    found, reference = trim_and_fill(y, v), stored["molloy2014_trimfill"]
    assert found.k0 == reference["k0"]
    full, spread = np.append(y, found.filled_effects), np.append(v, found.filled_variances)
    beta, error = weighted_mean(full, spread, scored(full, spread, "REML"))
    # The centre by which samples are mirrored moves by 1e-7 too.
    assert (beta[0], error[0]) == pytest.approx((reference["b"], reference["se"]), abs=STORED)
    assert (found.pooled.estimate, found.pooled.std_error) == pytest.approx((reference["b"], reference["se"]), abs=STOPPED["se"])


def test_meta_regression_equals_the_stored_values(stored, molloy):
    y, v, table = molloy
    reference = stored["molloy2014_metareg"]
    found = meta_regression(y, v, table[["meanage", "quality"]], interval="z")
    x = np.column_stack([np.ones(len(y)), table["meanage"], table["quality"]])
    beta, error = weighted_mean(y, v, scored(y, v, "REML", x), x)
    assert beta == pytest.approx(list(reference["b"].values()), abs=EXACT)
    assert error == pytest.approx(reference["se"], abs=EXACT)
    beta, error = weighted_mean(y, v, scored(y, v, "REML", x, 1e-15), x)
    assert found.coefficients["estimate"].to_numpy() == pytest.approx(beta, abs=1e-11)
    assert found.coefficients["std_error"].to_numpy() == pytest.approx(error, abs=1e-11)
    assert (found.qm, found.qm_p, found.r2) == pytest.approx((reference["QM"], reference["QMp"], reference["R2"]), abs=3e-4)


def test_leave_one_out_equals_the_stored_values(stored, molloy):
    y, v, _ = molloy
    ours = leave_one_out(y, v)
    for i, reference in enumerate(stored["molloy2014_loo"]):
        rest, spread = np.delete(y, i), np.delete(v, i)
        tau2 = scored(rest, spread, "REML")
        beta, error = weighted_mean(rest, spread, tau2)
        assert (beta[0], error[0], tau2) == pytest.approx([reference[c] for c in ("estimate", "se", "tau2")], abs=EXACT)
        tau2 = scored(rest, spread, "REML", threshold=1e-15)
        beta, error = weighted_mean(rest, spread, tau2)
        assert ours.loc[i, ["estimate", "std_error", "tau2"]].to_numpy(dtype=float) == pytest.approx(
            [beta[0], error[0], tau2], abs=1e-12
        )
        assert 100 * ours.loc[i, "i2"] == pytest.approx(reference["I2"], abs=0.03)


def test_three_levels_equal_the_stored_values(stored, shared_data):
    table = pd.read_csv(shared_data / "meta_analysis" / "dat_assink2016.csv")
    found = pool_nested(table["yi"], table["vi"], table["study"], interval="t")
    reference = stored["assink2016_3level"]
    assert (found.estimate, found.std_error, found.tau2_between, found.tau2_within) == pytest.approx(
        (reference["b"], reference["se"], *reference["sigma2"]), abs=STORED
    )
    assert found.q == pytest.approx(reference["QE"], abs=STORED)
    robust, reference = pool_nested(table["yi"], table["vi"], table["study"], interval="CR1"), stored["assink2016_CR1"]
    assert (robust.estimate, robust.std_error, robust.df, robust.p_value) == pytest.approx(
        (reference["b"], reference["se"], reference["df"], reference["p"]), abs=STORED
    )
    assert robust.estimate / robust.std_error == pytest.approx(reference["t"], abs=STORED)


def test_trials_of_depression_equal_the_stored_values(stored, shared_data):
    table = pd.read_csv(shared_data / "meta_analysis" / "metapsy_depressionPsyCtr.csv")
    control = table["condition_arm2"].isin(["cau", "wl", "other ctr"]) & ~table["condition_arm1"].isin(["cau", "wl", "other ctr"])
    table = table[control & np.isfinite(table[".g"]) & np.isfinite(table[".g_se"])]
    reference = stored["metapsy_depressionPsyCtr"]
    y, v = table[".g"].to_numpy(), table[".g_se"].to_numpy() ** 2
    assert (len(y), table["study"].nunique()) == (reference["k"], reference["n_studies"])
    dl = pool(y, v, method="DL")
    assert [dl.estimate, dl.std_error, dl.tau2] == pytest.approx([reference["DL"][c] for c in ("b", "se", "tau2")], abs=EXACT)
    knapp, reml = pool(y, v, interval="hartung-knapp"), reference["REML_KNHA"]
    assert [knapp.estimate, knapp.std_error] == pytest.approx([reml["b"], reml["se"]], abs=STORED)
    assert [knapp.ci_low, knapp.ci_high] == pytest.approx(reml["ci"], abs=STORED)
    assert scored(y, v, "REML") == pytest.approx(reml["tau2"], abs=EXACT)
    assert knapp.tau2 == pytest.approx(scored(y, v, "REML", threshold=1e-15), abs=1e-12)
    assert knapp.q == pytest.approx(reml["Q"], abs=STORED)
    assert knapp.i2 == pytest.approx(reml["I2"] / 100, abs=STOPPED["I2"] / 100)
    found, three = pool_nested(y, v, table["study"], interval="t"), reference["three_level"]
    assert (found.estimate, found.std_error, found.tau2_between, found.tau2_within) == pytest.approx(
        (three["b"], three["se"], *three["sigma2"]), abs=STORED
    )
    robust, cr1 = pool_nested(y, v, table["study"], interval="CR1"), reference["CR1"]
    assert (robust.estimate, robust.std_error, robust.df) == pytest.approx((cr1["b"], cr1["se"], cr1["df"]), abs=STORED)


@pytest.fixture(scope="module")
def stability(shared_data):
    """Secure and insecure children who are secure later, the 2 x 2 tables, and each sample's study."""
    folder = shared_data / "opie2021_child_attachment_stability"
    table = pd.read_csv(folder / "transitions_long.csv")
    table = table[table["system"] == "secure/insecure"]
    cells = table.pivot_table(index=["row_id", "study_id"], columns=["from_class", "to_class"], values="n", aggfunc="sum")
    reference = json.loads((folder / "reference_meta.json").read_text(encoding="utf-8"))
    tables = np.stack([[cells["S", "S"], cells["S", "IS"]], [cells["IS", "S"], cells["IS", "IS"]]]).astype(float)
    return np.moveaxis(tables, -1, 0), cells.index.get_level_values("study_id").to_numpy(), reference


@pytest.mark.parametrize(("name", "row"), [("stay_secure", 0), ("insecure_to_secure", 1)])
def test_stability_of_attachment_equals_the_stored_values(stability, name, row):
    tables, study, reference = stability
    reference = reference[name]
    y, v = logit_proportion(tables[:, row, 0], tables[:, row].sum(axis=1))
    usable = np.isfinite(y)
    y, v, study = y[usable], v[usable], study[usable]
    found = pool(y, v)
    assert (found.k, found.q) == (reference["k"], pytest.approx(reference["Q"], abs=STORED))
    assert found.q_p == pytest.approx(reference["QEp"], rel=1e-8)
    tau2 = scored(y, v, "REML")
    beta, error = weighted_mean(y, v, tau2)
    assert (tau2, beta[0], error[0]) == pytest.approx((reference["tau2"], reference["b"], reference["se"]), abs=EXACT)
    assert found.tau2 == pytest.approx(scored(y, v, "REML", threshold=1e-15), abs=1e-12)
    ours = expit([found.estimate, found.ci_low, found.ci_high, found.prediction_low, found.prediction_high])
    assert ours == pytest.approx([reference["pooled"], *reference["ci"], *reference["pi"]], abs=5e-6)
    dl = pool(y, v, method="DL")
    assert [dl.estimate, dl.std_error, dl.tau2] == pytest.approx([reference["DL"][c] for c in ("b", "se", "tau2")], abs=EXACT)
    three, nested = reference["three_level_CR1"], pool_nested(y, v, study, interval="CR1")
    assert (nested.estimate, nested.std_error, nested.df) == pytest.approx((three["b"], three["se"], three["df"]), abs=STORED)
    # metafor seeks variances by their logarithms and stops short of a variance of 0.
    assert (nested.tau2_between, nested.tau2_within) == pytest.approx(three["sigma2"], abs=STORED)


def test_stability_as_a_correlation_equals_the_stored_values(stability):
    tables, _, reference = stability
    reference = reference["phi_fisher_z"]
    whole = (tables.sum(axis=1) > 0).all(axis=1) & (tables.sum(axis=2) > 0).all(axis=1)
    y, v = fisher_z([phi(t).estimate for t in tables[whole]], tables[whole].sum(axis=(1, 2)))
    y, v = y[np.isfinite(y)], v[np.isfinite(y)]
    found = pool(y, v)
    assert (found.k, found.q) == (reference["k"], pytest.approx(reference["Q"], abs=STORED))
    assert scored(y, v, "REML") == pytest.approx(reference["tau2"], abs=EXACT)
    assert np.tanh([found.estimate, found.ci_low, found.ci_high]) == pytest.approx([reference["r"], *reference["ci"]], abs=4e-6)
    assert (found.estimate, found.std_error) == pytest.approx((reference["z"], reference["se"]), abs=4e-6)
    assert egger(y, v).p_value == pytest.approx(reference["egger"]["p"], abs=1e-4)
    assert trim_and_fill(y, v).k0 == reference["trimfill_k0"]

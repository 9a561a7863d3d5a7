"""Weights by the probability of being seen, against stacked equations in R, a bootstrap, and sums by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.weighting import BALANCE_COLUMNS, balance, seen_weights, weighted_mean


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("missing")["weights"]


@pytest.fixture(scope="module")
def people(reference) -> pd.DataFrame:
    return reference.frame("people")


def rows_of(people: pd.DataFrame) -> dict[str, np.ndarray]:
    """The two steps of the reference: an intercept for each, x, z, and of the second step the score in the middle."""
    n = len(people)
    x, z = people["x"].to_numpy(), people["z"].to_numpy()
    second = np.flatnonzero(people["first"] == 1)
    one = np.column_stack([np.ones(n), np.zeros(n), x, z, np.zeros(n)])
    two = np.column_stack([np.zeros(n), np.ones(n), x, z, people["middle"]])[second]
    stays = np.concatenate([people["first"], people["second"].to_numpy()[second]])
    return {"design": np.vstack([one, two]), "stays": stays, "person": np.concatenate([np.arange(n), second])}


def test_weights_and_their_mean_agree_with_r(reference, people):
    found = seen_weights(**rows_of(people), truncate=1)
    mean = weighted_mean(people["outcome"], found)
    by_therapist = weighted_mean(people["outcome"], found, clusters=people["therapist"])
    ours = {
        "gamma": found.coefficients, "weight_sum": found.weights.sum(), "effective_n": found.effective_n,
        "mean": mean.estimate, "se": mean.std_error, "se_therapist": by_therapist.std_error,
    }  # fmt: skip
    reference.check(ours, rel=1e-7)
    assert mean.n == (people["second"] == 1).sum()
    assert by_therapist.n_clusters == 24


def test_the_error_is_that_of_a_bootstrap_and_not_the_naive_one(reference, people):
    """2,000 bootstrap samples know a standard error to 1.6 %; taking the weights as known is off by a tenth."""
    mean = weighted_mean(people["outcome"], seen_weights(**rows_of(people), truncate=1))
    assert mean.std_error == pytest.approx(reference["bootstrap_se"], rel=0.05)
    assert reference["naive_se"] > 1.08 * mean.std_error


def test_truncated_weights_agree_with_r(reference, people):
    found = seen_weights(**rows_of(people), truncate=0.95)
    mean = weighted_mean(people["outcome"], found)
    ours = {"bound": found.bound, "n": found.n_truncated, "mean": mean.estimate, "se": mean.std_error}
    reference["truncated"].check(ours, rel=1e-7)


def test_balance_is_told_before_and_after(reference, people):
    found = seen_weights(**rows_of(people), truncate=1)
    table = balance(people[["x", "z"]], ["x", "z"], found)
    assert list(table.columns) == BALANCE_COLUMNS
    row = table.set_index("predictor").loc["x"]
    reference["balance"].check({"before": row["difference_before"], "after": row["difference_after"]}, rel=1e-7)


def test_by_hand_with_one_category():
    """Of 10 with a 0 half are seen, of 10 with a 1 all but two: each seen one stands for 2, or for 1.25, of their kind."""
    kind = np.repeat([0.0, 1.0], 10)
    stays = np.array([1] * 5 + [0] * 5 + [1] * 8 + [0] * 2, dtype=float)
    value = np.where(kind == 0, 4.0, 9.0)
    found = seen_weights(np.column_stack([np.ones(20), kind]), stays)
    assert found.weights[0] == pytest.approx(2 * 13 / 20)
    assert found.weights[10] == pytest.approx(1.25 * 13 / 20)
    assert found.weights[9] == 0
    assert weighted_mean(value, found).estimate == pytest.approx(6.5)  # of everybody, where those seen have 7.08
    assert found.effective_n == pytest.approx((5 * 2 + 8 * 1.25) ** 2 / (5 * 4 + 8 * 1.25**2))


def test_a_share_has_an_interval_within_its_bounds():
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, 60)
    stays = (rng.random(60) < 0.8).astype(float)
    event = (rng.random(60) < 0.04).astype(float)
    event[np.flatnonzero(stays)[0]] = 1.0
    found = seen_weights(np.column_stack([np.ones(60), x]), stays)
    plain, logit = (weighted_mean(event, found, scale=scale) for scale in ("identity", "logit"))
    assert logit.estimate == plain.estimate
    assert plain.ci_low < 0 < logit.ci_low < logit.estimate < logit.ci_high < 1
    assert math.isnan(logit.p_value)


ONE = np.ones((40, 1))
HALF = np.tile([0.0, 1.0], 20)
RARE = np.column_stack([np.ones(800), np.r_[np.ones(200), np.zeros(600)]])


@pytest.mark.parametrize(
    ("design", "stays", "options", "message"),
    [
        (ONE, np.ones(40), {}, "everybody stays"),
        (ONE, np.zeros(40), {}, "nobody stays"),
        (np.column_stack([np.ones(40), HALF]), HALF, {}, "without error"),
        (np.column_stack([np.ones(40), np.ones(40)]), HALF, {}, "determine one another"),
        (RARE, np.r_[1.0, np.zeros(199), np.ones(550), np.zeros(50)], {}, "positivity"),
        (ONE, HALF, {"least_probability": 0.6}, r"0\.5, below 0\.6 \(positivity\)"),
        (ONE, HALF, {"truncate": 0.2}, "found truncate 0.2"),
        (ONE, HALF * 2, {}, "neither 0 nor 1"),
        (ONE * np.nan, HALF, {}, "a predictor is missing"),
        (ONE, HALF, {"person": np.repeat(np.arange(20), 2)}, "rows after leaving"),
        (ONE, HALF, {"person": np.arange(1, 41)}, "no row"),
        (ONE, HALF[:3], {}, "a row for each step"),
    ],
)
def test_what_cannot_be_weighted_is_refused(design, stays, options, message):
    with pytest.raises(StatisticsError, match=message):
        seen_weights(design, stays, **options)


def test_what_cannot_be_averaged_is_refused():
    found = seen_weights(ONE, HALF)
    with pytest.raises(StatisticsError, match="has no value"):
        weighted_mean(np.full(40, np.nan), found)
    with pytest.raises(StatisticsError, match="values for 40 people"):
        weighted_mean([1.0], found)
    with pytest.raises(StatisticsError, match="neither 0 nor 1"):
        weighted_mean(np.arange(40.0), found, scale="logit")
    with pytest.raises(StatisticsError, match="shape"):
        balance(ONE, ["a", "b"], found)

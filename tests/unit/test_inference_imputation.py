"""Rubin's rules against mice, mitools and mitml, on five imputations of mice's nhanes."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.imputation import (
    COMBINED_COLUMNS,
    combine_estimates,
    combine_imputations,
    combined_covariance,
    joint_test,
)

R_DIGITS = 1e-9


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("inference_reference")["imputation"]


@pytest.fixture(scope="module")
def fits(reference) -> list[pd.DataFrame]:
    errors = np.sqrt(np.diagonal(np.array(reference["covariances"]), axis1=1, axis2=2))
    return [
        pd.DataFrame({"term": reference["terms"], "estimate": q, "std_error": e})
        for q, e in zip(reference["estimates"], errors, strict=True)
    ]


@pytest.mark.parametrize("name", ["pooled", "pooled_large"])
def test_a_model_agrees_with_mice(reference, fits, name):
    df_complete = reference["df_complete"] if name == "pooled" else math.inf
    found = combine_estimates(fits, df_complete=df_complete)
    assert list(found.columns) == COMBINED_COLUMNS
    assert found["term"].tolist() == reference["terms"]
    names = {"std_error": "std_error", "estimate": "estimate", "df": "df", "p": "p_value", "low": "ci_low", "high": "ci_high"}
    names |= {"within": "within", "between": "between", "increase": "relative_increase", "missing": "fraction_missing"}
    reference[name].check({theirs: found[ours] for theirs, ours in names.items()}, rel=R_DIGITS)


def test_one_quantity_agrees_with_pool_scalar(reference):
    case = reference["scalar"]
    found = combine_imputations(case["q"], case["u"], df_complete=58)
    case.check(
        {
            "qbar": found.estimate,
            "t": found.std_error**2,
            "df": found.df,
            "r": found.relative_increase,
            "fmi": found.fraction_missing,
        },
        rel=R_DIGITS,
    )
    assert found.imputations == 3


def test_the_covariance_agrees_with_mitools(reference):
    mean, covariance = combined_covariance(reference["estimates"], reference["covariances"])
    reference.check({"covariance": covariance}, rel=R_DIGITS)
    reference["pooled"].check({"estimate": mean}, rel=R_DIGITS)


@pytest.mark.parametrize(
    ("name", "m", "df_complete"), [("joint", 5, math.inf), ("joint_complete", 5, 21), ("joint_two", 3, math.inf)]
)
def test_a_joint_test_agrees_with_mitml(reference, name, m, df_complete):
    q, u = np.array(reference["estimates"])[:m, 2:], np.array(reference["covariances"])[:m, 2:, 2:]
    found = joint_test(q, u, df_complete=df_complete)
    ours = [found.statistic, found.df, found.df_error, found.p_value, found.relative_increase]
    reference.check({name: ours}, rel=R_DIGITS)
    assert found.note == ""


def test_one_parameter_has_rubins_own_degrees_of_freedom(reference):
    """For k (m - 1) of 4 or less mitml has the approximation of Li et al., which for one parameter is Rubin's own."""
    q, u = np.array(reference["estimates"])[:, 3:], np.array(reference["covariances"])[:, 3:, 3:]
    found, alone = joint_test(q, u), combine_imputations(q[:, 0], u[:, 0, 0])
    reference.check({"single": [found.statistic, 1, found.df_error, found.p_value, found.relative_increase]}, rel=R_DIGITS)
    assert (found.df_error, found.p_value) == pytest.approx((alone.df, alone.p_value))


def test_imputations_that_agree_lose_nothing():
    found = combine_imputations([2.0, 2.0, 2.0], [0.25, 0.25, 0.25], df_complete=30)
    assert (found.std_error, found.between, found.relative_increase) == (0.5, 0, 0)
    assert found.df == pytest.approx(30 * 31 / 33)  # what Barnard and Rubin take if nothing is missing
    assert math.isinf(combine_imputations([2.0, 2.0], [0.25, 0.25]).df)
    joint = joint_test([[1.0, 2.0]] * 3, [np.eye(2)] * 3)
    assert (joint.statistic, joint.relative_increase) == (2.5, 0)
    assert joint.p_value == pytest.approx(math.exp(-2.5))  # chi-square of 5 on 2


def test_two_imputations_by_hand():
    # Means 3 and 1, B = 2 / 1 = 2, T = 1 + 1.5 * 2 = 4, lambda = 3/4, Rubin's df = 1 / (9/16).
    found = combine_imputations([1.0, 3.0], [1.0, 1.0])
    assert (found.estimate, found.std_error, found.between, found.relative_increase) == (2, 2, 2, 3)
    assert found.df == pytest.approx(16 / 9)


def test_too_few_imputations_for_reiters_degrees_of_freedom_are_said():
    q = np.array([[1.0, 2.0], [1.5, 2.2]])
    found = joint_test(q, [np.eye(2)] * 2, df_complete=40)
    assert found.df_error == joint_test(q, [np.eye(2)] * 2).df_error
    assert "do not allow for the size of the sample" in found.note


def test_the_null_may_be_another_value():
    q, u = [[1.0, 2.0], [1.2, 2.4], [0.9, 2.1]], [np.eye(2) * 0.1] * 3
    moved = joint_test(np.array(q) - [1, 2], u)
    found = joint_test(q, u, null=[1, 2])
    assert (found.statistic, found.p_value, found.df_error) == pytest.approx((moved.statistic, moved.p_value, moved.df_error))


@pytest.mark.parametrize(
    ("estimates", "variances", "settings", "message"),
    [
        ([1.0], [1.0], {}, "at least two"),
        ([1.0, 2.0], [1.0], {}, "one estimate and one variance"),
        ([1.0, math.nan], [1.0, 1.0], {}, "an estimate is missing"),
        ([1.0, 2.0], [1.0, 0.0], {}, "not above 0"),
        ([1.0, 2.0], [1.0, 1.0], {"df_complete": 0}, "complete-data degrees"),
        ([1.0, 2.0], [1.0, 1.0], {"ci_level": 2}, "ci_level"),
    ],
)
def test_bad_input_is_refused(estimates, variances, settings, message):
    with pytest.raises(StatisticsError, match=message):
        combine_imputations(estimates, variances, **settings)


def test_fits_that_do_not_match_are_refused(fits):
    with pytest.raises(StatisticsError, match="same terms"):
        combine_estimates([fits[0], fits[1].iloc[:2]])
    with pytest.raises(StatisticsError, match="same terms"):
        combine_estimates([pd.concat([fits[0]] * 2)] * 2)
    with pytest.raises(StatisticsError, match="1 imputations"):
        combine_estimates(fits[:1])
    with pytest.raises(StatisticsError, match=r"allowed: \(m, p\) estimates"):
        joint_test([[1.0, 2.0]] * 3, [np.eye(3)] * 3)
    with pytest.raises(StatisticsError, match="determine each other"):
        joint_test([[1.0, 2.0]] * 3, [np.ones((2, 2))] * 3)
    with pytest.raises(StatisticsError, match="variance is not above 0"):
        combined_covariance([[1.0], [2.0]], [[[0.0]], [[1.0]]])


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda word: combine_imputations([1.0, word], [1.0, 1.0]), "estimates"),
        (lambda word: combine_imputations([1.0, 2.0], [1.0, word]), "variances"),
        (lambda word: combined_covariance([[1.0], [2.0]], [[[1.0]], [[word]]]), "covariances"),
        (lambda word: joint_test([[1.0], [2.0]], [[[1.0]], [[1.0]]], null=word), "null values"),
        (lambda word: combine_estimates([pd.DataFrame({"term": ["a"], "estimate": [word], "std_error": [1.0]})] * 2), "estimates"),
    ],
)
def test_words_for_numbers_are_refused_without_telling_them(call, what):
    with pytest.raises(StatisticsError, match=f"imputations: {what}.* are not numbers") as told:
        call("Anna Smith")
    assert "Anna" not in str(told.value)

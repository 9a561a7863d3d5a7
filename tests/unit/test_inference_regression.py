"""Contrasts of regression coefficients against R, and what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference import linear_contrasts, logistic_contrasts

R_DIGITS = 1e-9  # least squares: the same closed form
ITERATED = 1e-6  # logistic regression: two iterative fits
CONTRAST = "group[T.repaired] - group[T.unrepaired]"


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("change_reference")["regression"]


@pytest.fixture
def data(reference: Reference) -> pd.DataFrame:
    return pd.DataFrame(reference["data"])


@pytest.mark.parametrize(
    ("name", "function", "outcome", "cluster", "tolerance"),
    [
        ("hc3", linear_contrasts, "y", None, R_DIGITS),
        ("cr1", linear_contrasts, "y", "cluster", R_DIGITS),
        ("logistic_hc0", logistic_contrasts, "good", None, ITERATED),
        ("logistic_cr1", logistic_contrasts, "good", "cluster", ITERATED),
    ],
)
def test_contrast_matches_r(name, function, outcome, cluster, tolerance, data: pd.DataFrame, reference: Reference) -> None:
    found = function(f"{outcome} ~ x + group", data, contrasts={"difference": CONTRAST}, cluster=cluster)["difference"]
    ours = {"estimate": found.estimate, "std_error": found.std_error, "ci": (found.ci_low, found.ci_high), "p": found.p_value}
    reference[name].check(ours, abs=tolerance)
    assert found.n == 60
    assert np.isnan(found.n_clusters) if cluster is None else found.n_clusters == 12


def test_weights_and_words_are_the_same_contrast(data: pd.DataFrame) -> None:
    found = linear_contrasts("y ~ x + group", data, contrasts={"words": CONTRAST, "weights": [0, 1, -1, 0]})
    assert found["words"].estimate == pytest.approx(found["weights"].estimate, abs=1e-12)
    assert found["words"].std_error == pytest.approx(found["weights"].std_error, abs=1e-12)


def test_rows_with_missing_values_are_left_out_and_counted(data: pd.DataFrame) -> None:
    holed = data.assign(unused=np.nan)
    holed.loc[[0, 5], "x"] = np.nan
    holed["cluster"] = holed["cluster"].astype("Int64")
    holed.loc[7, "cluster"] = pd.NA
    found = linear_contrasts("y ~ x + group", holed, contrasts={"d": CONTRAST}, cluster="cluster")["d"]
    assert (found.n, found.n_excluded) == (57, 3)


def test_few_clusters_are_said(data: pd.DataFrame) -> None:
    few = data.assign(cluster=data["cluster"] % 4)
    assert "few clusters (4)" in linear_contrasts("y ~ x", few, contrasts={"x": "x"}, cluster="cluster")["x"].note
    assert linear_contrasts("y ~ x", data, contrasts={"x": "x"}, cluster="cluster")["x"].note == ""


def test_nullable_and_categorical_columns_are_read(data: pd.DataFrame) -> None:
    other = data.assign(
        x=data["x"].astype("Float64"), group=pd.Categorical(data["group"], ["none", "repaired", "unrepaired", "empty"])
    )
    plain = linear_contrasts("y ~ x + group", data, contrasts={"d": CONTRAST})["d"]
    assert linear_contrasts("y ~ x + group", other, contrasts={"d": CONTRAST})["d"].estimate == pytest.approx(plain.estimate)


@pytest.mark.parametrize(
    ("formula", "contrast", "cluster", "change", "match"),
    [
        ("y ~ x", "z", None, {}, "cannot be read; coefficients: Intercept, x"),
        ("y ~ x", "x = 0", None, {}, "without '='"),
        ("y ~ x", [1.0], None, {}, "a weight for each"),
        ("y ~ x + twice", "x", None, {"twice": lambda d: 2 * d["x"]}, "determine one another"),
        ("y ~ x", "x", "therapist", {}, "no column 'therapist'"),
        ("y ~ x", "x", "cluster", {"cluster": 1}, "1 clusters"),
        ("y ~ x + alone", "x", None, {"alone": lambda d: (d.index == 3) * 1.0}, "at least two members"),
    ],
)
def test_what_is_not_defined_is_refused(formula, contrast, cluster, change, match, data: pd.DataFrame) -> None:
    with pytest.raises(StatisticsError, match=match):
        linear_contrasts(formula, data.assign(**change), contrasts={"c": contrast}, cluster=cluster)


def test_too_few_rows_are_refused(data: pd.DataFrame) -> None:
    with pytest.raises(StatisticsError, match="2 complete rows for 2 coefficients"):
        linear_contrasts("y ~ x", data.head(2), contrasts={"x": "x"})


def test_logistic_refuses_one_outcome_and_separation(data: pd.DataFrame) -> None:
    with pytest.raises(StatisticsError, match="both 0 and 1"):
        logistic_contrasts("good ~ x", data.assign(good=1.0), contrasts={"x": "x"})
    with pytest.raises(StatisticsError, match="separate"):
        logistic_contrasts("good ~ x", data.assign(good=(data["x"] > 0) * 1.0), contrasts={"x": "x"})

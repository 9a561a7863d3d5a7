"""Mixed models against lme4, and what they say when the data cannot tell."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import ConvergenceWarning, StatisticsError
from attachment_outcomes.inference import mixed_model

# Two optimisers of one flat surface: the log likelihood agrees to 1e-6, the fixed effects to 1e-5 and variances, which the
# likelihood hardly moves with, to 1e-4 of their size.
LOGLIK, FIXED, VARIANCE = 1e-6, 1e-5, 1e-4


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("change_reference")["mixed"]


@pytest.fixture(scope="module")
def data(reference: Reference) -> pd.DataFrame:
    return pd.DataFrame(reference["data"])


def lme4_order(variances: dict[str, float], slope: str | None) -> list[float]:
    if slope is None:
        return [variances["intercept"], variances["residual"]]
    return [variances["intercept"], variances[slope], variances[f"intercept:{slope}"], variances["residual"]]


@pytest.mark.parametrize(
    ("name", "formula", "slopes", "reml"),
    [
        ("slope_reml", "value ~ week * arm", ["week"], True),
        ("slope_ml", "value ~ week * arm", ["week"], False),
        ("intercept_reml", "value ~ week", [], True),
    ],
)
def test_fit_matches_lme4(name, formula, slopes, reml, data: pd.DataFrame, reference: Reference) -> None:
    fit = mixed_model(formula, data, groups="id", slopes=slopes, reml=reml)
    ref = reference[name]
    rename = {"(Intercept)": "Intercept", "armb": "arm[T.b]", "week:armb": "week:arm[T.b]"}
    terms = [rename.get(t, t) for t in ref["terms"]]
    mine = fit.estimates.set_index("term").loc[terms]
    ref.check({"fixed": mine["estimate"], "se": mine["std_error"]}, rel=FIXED)
    ref.check({"variances": lme4_order(fit.variances, slopes[0] if slopes else None)}, rel=VARIANCE)
    ref.check({"loglik": fit.loglik, "df": fit.df}, abs=LOGLIK)
    ref.check({"random": fit.random_effects}, abs=1e-3)
    assert fit.converged
    assert fit.note == ""


def test_a_variance_of_zero_is_found_and_said(data: pd.DataFrame, reference: Reference) -> None:
    ref = reference["singular_reml"]
    with pytest.warns(ConvergenceWarning, match="singular"):
        fit = mixed_model("flat ~ week", data, groups="id")
    assert fit.singular
    assert fit.converged
    assert "singular" in fit.note
    ref.check({"fixed": fit.estimates["estimate"], "se": fit.estimates["std_error"]}, rel=FIXED)
    assert fit.variances["intercept"] == pytest.approx(0, abs=1e-6)
    ref.check({"loglik": fit.loglik}, abs=LOGLIK)


@pytest.fixture(scope="module")
def sessions(shared_data: Path) -> pd.DataFrame:
    """Sum of the nine symptoms a session; the 34 sessions with an unanswered symptom have none (5,483 of 5,517 remain)."""
    table = pd.read_csv(shared_data / "schramm2017_sessions/data.csv", sep=";")
    items = [
        "mood",
        "concentration",
        "self_worth",
        "suicidal_ideation",
        "tiredness",
        "sleep",
        "pleasure",
        "psychomotor",
        "appetite",
    ]
    return table.assign(total=table[items].sum(axis=1, skipna=False), id=table["PatID.x"], arm=table["Group.x"].astype("str"))


def test_session_growth_matches_lme4(sessions: pd.DataFrame, shared_data: Path) -> None:
    ref = json.loads((shared_data / "schramm2017_sessions/reference.json").read_text())["growth_lmer_REML"]
    start = time.process_time()
    fit = mixed_model("total ~ sessionN * arm", sessions, groups="id", slopes=["sessionN"])
    assert time.process_time() - start < 3.0
    assert (fit.n, fit.n_excluded, fit.n_groups) == (5483, 34, 256)
    mine = fit.estimates.set_index("term").loc[["Intercept", "sessionN", "arm[T.2]", "sessionN:arm[T.2]"]]
    np.testing.assert_allclose(mine["estimate"], list(ref["fixed"].values()), rtol=FIXED)
    np.testing.assert_allclose(mine["std_error"], list(ref["se"].values()), rtol=FIXED)
    np.testing.assert_allclose(lme4_order(fit.variances, "sessionN"), [v["vcov"] for v in ref["vc"]], rtol=VARIANCE)
    assert fit.loglik == pytest.approx(ref["logLik"], abs=LOGLIK)
    assert fit.loglik == pytest.approx(-10271.222, abs=5e-4)


def test_intraclass_correlation_of_the_sessions(sessions: pd.DataFrame, shared_data: Path) -> None:
    ref = json.loads((shared_data / "schramm2017_sessions/reference.json").read_text())["icc"]
    variances = mixed_model("total ~ 1", sessions, groups="id").variances
    assert variances["intercept"] / (variances["intercept"] + variances["residual"]) == pytest.approx(ref, abs=1e-4)


def test_symptoms_given_those_of_the_session_before_match_lme4(sessions: pd.DataFrame, shared_data: Path) -> None:
    """The session before is the row before, also across a missed session; own means stand beside deviations from them."""
    ref = json.loads((shared_data / "schramm2017_sessions/reference.json").read_text())["lagged_within_between"]
    rows = sessions.sort_values(["id", "sessionN"])
    rows["pm"] = rows.groupby("id")["total"].transform("mean")
    rows["lag_w"] = rows.groupby("id")["total"].shift() - rows["pm"]
    # The person's own mean is among the predictors, so nothing is left to differ between persons.
    with pytest.warns(ConvergenceWarning, match="singular"):
        fit = mixed_model("total ~ lag_w + pm + sessionN", rows, groups="id")
    assert fit.n == ref["n"]
    mine = fit.estimates.set_index("term").loc[["Intercept", *list(ref["fixed"])[1:]]]
    np.testing.assert_allclose(mine["estimate"], list(ref["fixed"].values()), rtol=FIXED)
    np.testing.assert_allclose(mine["std_error"], list(ref["se"].values()), rtol=FIXED)


def test_prediction_is_the_line_with_its_band(data: pd.DataFrame) -> None:
    fit = mixed_model("value ~ week", data, groups="id", slopes=["week"])
    band = fit.predict(pd.DataFrame({"week": [0.0, 26.0]}))
    a, b = fit.estimates["estimate"]
    assert band["predicted"].tolist() == pytest.approx([a, a + 26 * b])
    assert band["std_error"].iloc[0] == pytest.approx(fit.estimates["std_error"].iloc[0])
    estimate, std_error, low, high, _ = fit.combination([1.0, 26.0])
    assert (estimate, std_error) == pytest.approx(tuple(band.loc[1, ["predicted", "std_error"]]))
    assert (low, high) == pytest.approx(tuple(band.loc[1, ["ci_low", "ci_high"]]))


def test_units_of_time_do_not_change_the_fit(data: pd.DataFrame) -> None:
    weeks = mixed_model("value ~ week", data, groups="id", slopes=["week"])
    years = mixed_model("value ~ year", data.assign(year=data["week"] / 52), groups="id", slopes=["year"])
    assert years.estimates["estimate"].iloc[1] == pytest.approx(52 * weeks.estimates["estimate"].iloc[1], rel=1e-5)
    assert years.variances["year"] == pytest.approx(52**2 * weeks.variances["week"], rel=1e-4)


def test_few_groups_are_said(data: pd.DataFrame) -> None:
    assert "few id (8)" in mixed_model("value ~ week", data[data["id"] <= 8], groups="id").note


@pytest.mark.parametrize(
    ("change", "arguments", "match"),
    [
        ({"id": 1}, {}, "at least two are needed"),
        ({"id": lambda d: d.index}, {}, "cannot tell 1 random effects"),
        ({"twice": lambda d: 2 * d["week"]}, {"formula": "value ~ week + twice"}, "determine one another"),
        ({"still": 3.0}, {"slopes": ["still"]}, "constant"),
        ({}, {"slopes": ["weeks"]}, "Did you mean 'week'"),
        ({"value": 2.0}, {}, "does not vary"),
        ({"value": lambda d: 2.0 + 0.5 * d["week"]}, {}, "exactly"),
    ],
)
def test_what_cannot_be_estimated_is_refused(change: dict, arguments: dict, match: str, data: pd.DataFrame) -> None:
    formula = arguments.pop("formula", "value ~ week")
    with pytest.raises(StatisticsError, match=match):
        mixed_model(formula, data.assign(**change), groups="id", **arguments)

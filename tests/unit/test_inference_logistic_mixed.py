"""Logistic mixed models against lme4's glmer, brute-force integration, and what they say when the data cannot tell."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.integrate import quad
from scipy.stats import norm

from attachment_outcomes.errors import ConvergenceWarning, StatisticsError
from attachment_outcomes.inference.logistic_mixed import LogisticFit, logistic_mixed_model
from attachment_outcomes.inference.logistic_mixed.likelihood import evaluate
from attachment_outcomes.inference.logistic_mixed.nested import Nest, make_nest

# Both sides are at their optimum of the same function: what differs is rounding and, in R, differences of the deviance, which
# leave standard errors the fewest digits.
FIXED, SD, STD_ERROR, LOGLIK = 1e-7, 1e-8, 1e-5, 1e-8
# glmer itself, tightened: its last iteration's weights are one step old, and its standard errors are from simple differences.
GLMER_FIXED, GLMER_SD, GLMER_STD_ERROR, GLMER_LOGLIK, GLMER_MODES = 2e-5, 2e-5, 2e-4, 1e-5, 2e-5

PEOPLE, THERAPISTS, SITES = "person_id", "therapist_id", "site_id"
FORMULA = "repaired ~ week + arm"


@pytest.fixture(scope="module")
def reference(root: Path) -> dict:
    return json.loads((root / "tests/reference/logistic_mixed.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def data(reference: dict) -> pd.DataFrame:
    return pd.DataFrame(reference["data"])


@pytest.fixture(scope="module")
def cbpp(reference: dict) -> pd.DataFrame:
    """One row an animal."""
    herds = pd.DataFrame(reference["cbpp"]["data"])
    animals = herds.loc[herds.index.repeat(herds["size"])]
    ill = np.concatenate([[1] * i + [0] * (n - i) for i, n in zip(herds["incidence"], herds["size"], strict=True)])
    return animals[["herd", "period"]].reset_index(drop=True).assign(ill=ill)


@pytest.fixture(scope="module")
def two_levels(data: pd.DataFrame) -> LogisticFit:
    return logistic_mixed_model(FORMULA, data, groups=(PEOPLE, THERAPISTS))


def standard_deviations(fit: LogisticFit) -> list[float]:
    return [math.sqrt(v) for v in fit.variances.values()]


def nest_of(data: pd.DataFrame, outcome: str, columns: list[str]) -> Nest:
    complete = data.dropna()
    x = np.column_stack([np.ones(len(complete)), complete["week"], complete["arm"] == "b"])
    codes = [pd.factorize(complete[c])[0] for c in columns]
    return make_nest(complete[outcome].to_numpy(dtype=float), x, codes)[0]


def at_zero(nest: Nest) -> list[np.ndarray]:
    return [np.zeros(len(starts)) for starts in nest.starts]


CASES = [
    ("one_level", FORMULA, PEOPLE, 1),
    ("one_level_points9", FORMULA, PEOPLE, 9),
    ("two_levels", FORMULA, (PEOPLE, THERAPISTS), 1),
    ("three_levels", FORMULA, (PEOPLE, THERAPISTS, SITES), 1),
]


@pytest.mark.parametrize(("name", "formula", "groups", "points"), CASES)
def test_fit_is_the_optimum_of_the_approximation_as_r_writes_it_out(name, formula, groups, points, data, reference) -> None:
    ref = reference[name]
    fit = logistic_mixed_model(formula, data, groups=groups, quadrature=points)
    assert fit.estimates["term"].tolist() == ["Intercept", "week", "arm[T.b]"]
    np.testing.assert_allclose(fit.estimates["estimate"], ref["fixed"], rtol=FIXED)
    np.testing.assert_allclose(fit.estimates["std_error"], ref["se"], rtol=STD_ERROR)
    np.testing.assert_allclose(standard_deviations(fit), ref["sd"], atol=SD)
    assert fit.loglik == pytest.approx(ref["loglik"], abs=LOGLIK)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.sd_covariance))[: len(fit.groups)], ref["sd_se"], rtol=STD_ERROR)
    assert fit.converged
    assert not fit.singular


@pytest.mark.parametrize(("name", "formula", "groups", "points"), CASES)
def test_fit_matches_what_glmer_says(name, formula, groups, points, data, reference) -> None:
    ref = reference[name]["glmer"]
    fit = logistic_mixed_model(formula, data, groups=groups, quadrature=points)
    np.testing.assert_allclose(fit.estimates["estimate"], ref["fixed"], rtol=GLMER_FIXED)
    np.testing.assert_allclose(fit.estimates["std_error"], ref["se"], rtol=GLMER_STD_ERROR)
    np.testing.assert_allclose(standard_deviations(fit), ref["sd"], atol=GLMER_SD)
    assert fit.loglik == pytest.approx(ref["loglik"], abs=GLMER_LOGLIK)
    for group in fit.groups:
        modes = fit.modes(group)
        assert modes.columns.tolist() == [group, "term", "estimate", "std_error"]
        theirs = reference[name]["modes"][group]
        mine = modes.set_index(modes[group].astype(str)).loc[theirs["unit"]]
        np.testing.assert_allclose(mine["estimate"], theirs["estimate"], atol=GLMER_MODES)
        np.testing.assert_allclose(mine["std_error"], theirs["se"], atol=GLMER_MODES)


@pytest.mark.parametrize(("name", "points"), [("laplace", 1), ("points9", 9)])
def test_cbpp_matches_glmer(name, points, cbpp, reference) -> None:
    ref = reference["cbpp"][name]
    fit = logistic_mixed_model("ill ~ period", cbpp, groups="herd", quadrature=points)
    np.testing.assert_allclose(fit.estimates["estimate"], ref["fixed"], rtol=FIXED)
    np.testing.assert_allclose(fit.estimates["std_error"], ref["se"], rtol=STD_ERROR)
    np.testing.assert_allclose(standard_deviations(fit), ref["sd"], atol=SD)
    assert fit.loglik == pytest.approx(ref["loglik"], abs=LOGLIK)


def test_cbpp_is_as_lme4s_help_page_prints_it(cbpp, reference) -> None:
    """AIC 194.1, deviance 184.1, herd variance 0.41 and sd 0.64; fixed effects −1.398, −0.992, −1.128, −1.580 (±.001)."""
    herds = reference["cbpp"]["data"]
    coefficients = sum(math.log(math.comb(n, k)) for n, k in zip(herds["size"], herds["incidence"], strict=True))
    fit = logistic_mixed_model("ill ~ period", cbpp, groups="herd")
    deviance = -2 * (fit.loglik + coefficients)  # the page fits counts, we fit animals
    assert deviance == pytest.approx(184.1, abs=0.05)
    assert deviance + 2 * fit.df == pytest.approx(194.1, abs=0.05)
    assert fit.variances["intercept"] == pytest.approx(0.41, abs=0.005)
    np.testing.assert_allclose(fit.estimates["estimate"], [-1.398, -0.992, -1.128, -1.580], atol=1e-3)


def test_a_variance_of_zero_is_found_and_said(data, reference) -> None:
    ref = reference["boundary"]
    assert ref["sd"][1] == 0
    with pytest.warns(ConvergenceWarning, match="singular fit: the variance between 'therapist_id' is estimated as zero"):
        fit = logistic_mixed_model("alone ~ week", data, groups=(PEOPLE, THERAPISTS))
    assert fit.singular
    assert fit.converged
    assert fit.note.startswith("singular fit")
    assert fit.variances["therapist_id: intercept"] == 0
    assert (fit.modes(THERAPISTS)[["estimate", "std_error"]] == 0).all(axis=None)
    np.testing.assert_allclose(fit.estimates["estimate"], ref["fixed"], rtol=FIXED)
    np.testing.assert_allclose(fit.estimates["std_error"], ref["se"], rtol=STD_ERROR)
    assert fit.loglik == pytest.approx(ref["loglik"], abs=LOGLIK)
    without = logistic_mixed_model("alone ~ week", data, groups=PEOPLE)
    assert fit.loglik == pytest.approx(without.loglik, abs=LOGLIK)
    assert fit.df == without.df + 1


def test_quadrature_of_two_levels_is_the_integral(data, reference) -> None:
    ref = reference["exact"]
    nest = nest_of(data, "repaired", [PEOPLE, THERAPISTS])
    sd, beta = np.array(ref["at"][:2]), np.array(ref["at"][2:])
    errors = [abs(evaluate(nest, sd, beta, at_zero(nest), k).value - ref["loglik_there"]) for k in (1, 5, 11, 21)]
    assert errors[0] > 1  # Laplace
    assert errors[1] < 0.05
    assert errors[2] < 1e-4
    assert errors[3] < LOGLIK


@pytest.mark.parametrize(("points", "fixed", "sd"), [(7, 1e-4, 1e-3), (15, 1e-6, 1e-6)])
def test_quadrature_of_two_levels_finds_the_maximum_of_the_exact_likelihood(points, fixed, sd, data, reference) -> None:
    ref = reference["exact"]
    fit = logistic_mixed_model(FORMULA, data, groups=(PEOPLE, THERAPISTS), quadrature=points)
    np.testing.assert_allclose(fit.estimates["estimate"], ref["fixed"], rtol=fixed)
    np.testing.assert_allclose(fit.estimates["std_error"], ref["se"], rtol=max(fixed, STD_ERROR))
    np.testing.assert_allclose(standard_deviations(fit), ref["sd"], atol=sd)


@pytest.mark.parametrize(
    ("columns", "points"),
    [
        ([PEOPLE], 1),
        ([PEOPLE], 5),
        ([PEOPLE, THERAPISTS], 1),
        ([PEOPLE, THERAPISTS], 5),
        ([PEOPLE, THERAPISTS, SITES], 1),
    ],
)
def test_gradient_is_that_of_the_approximation(columns, points, data) -> None:
    nest = nest_of(data, "repaired", columns)
    k, step = len(columns), 1e-5
    at = np.array([*[0.9, 0.6, 0.3][:k], 0.5, 0.2, -0.4])

    def value(parameters):
        return evaluate(nest, parameters[:k], parameters[k:], at_zero(nest), points)

    differences = [(value(at + e).value - value(at - e).value) / (2 * step) for e in step * np.eye(len(at))]
    np.testing.assert_allclose(value(at).gradient, differences, rtol=1e-6, atol=1e-6)


def test_gradient_at_a_standard_deviation_of_zero_is_zero(data) -> None:
    nest = nest_of(data, "repaired", [PEOPLE, THERAPISTS])
    for points in (1, 3):
        found = evaluate(nest, np.array([0.9, 0.0]), np.array([0.5, 0.2, -0.4]), at_zero(nest), points)
        assert found.gradient[1] == pytest.approx(0, abs=1e-12)


def test_what_the_fit_tells(two_levels: LogisticFit, data: pd.DataFrame) -> None:
    fit = two_levels
    assert list(fit.variances) == ["intercept", "therapist_id: intercept"]
    assert (fit.n, fit.n_excluded, fit.n_groups, fit.n_clusters) == (len(data) - 3, 3, 120, 24)
    assert fit.df == 5
    assert fit.quadrature == 1
    assert "few groups (24)" in fit.note
    row = fit.estimates.iloc[1]
    z = norm.ppf(0.975)
    assert row["odds_ratio"] == pytest.approx(math.exp(row["estimate"]))
    assert row["odds_ratio_low"] == pytest.approx(math.exp(row["estimate"] - z * row["std_error"]))
    assert row["odds_ratio_high"] == pytest.approx(math.exp(row["estimate"] + z * row["std_error"]))
    assert row["p_value"] == pytest.approx(2 * norm.sf(row["estimate"] / row["std_error"]))
    assert fit.combination([0, 1, 0]) == pytest.approx(tuple(row[["estimate", "std_error", "ci_low", "ci_high", "p_value"]]))


def test_work_is_bounded(two_levels: LogisticFit) -> None:
    """Evaluations of likelihood and gradient, the second derivatives included: the search has to stay a quasi-Newton one."""
    assert two_levels.n_evaluations <= 30


def test_shares_are_on_the_latent_scale(two_levels: LogisticFit) -> None:
    shares = two_levels.variance_shares.set_index("group")
    person, therapist = two_levels.variances.values()
    total = person + therapist + 3.289868133696453  # π²/3
    assert shares.loc[THERAPISTS, "share"] == pytest.approx(therapist / total)
    assert shares.loc[THERAPISTS, "intraclass"] == pytest.approx(therapist / total)
    assert shares.loc[PEOPLE, "share"] == pytest.approx(person / total)
    assert shares.loc[PEOPLE, "intraclass"] == pytest.approx((person + therapist) / total)
    assert shares["share"].sum() == pytest.approx(1)


def test_probabilities_of_a_typical_unit_and_of_the_population(two_levels: LogisticFit) -> None:
    new = pd.DataFrame({"week": [0.0, 8.0], "arm": ["a", "b"]}, index=["x", "y"])
    found = two_levels.predict(new)
    estimate, _, low, high, _ = two_levels.combination([1, 8, 1])
    assert found.loc["y", "predicted"] == pytest.approx(1 / (1 + math.exp(-estimate)))
    assert found.loc["y", "ci_low"] == pytest.approx(1 / (1 + math.exp(-low)))
    assert found.loc["y", "ci_high"] == pytest.approx(1 / (1 + math.exp(-high)))
    spread = math.sqrt(sum(two_levels.variances.values()))
    average, _ = quad(lambda z: norm.pdf(z) / (1 + math.exp(-estimate - spread * z)), -10, 10, epsabs=1e-12)
    assert found.loc["y", "population"] == pytest.approx(average, abs=1e-10)
    assert found.loc["y", "population_ci_low"] < average < found.loc["y", "population_ci_high"]


def test_the_populations_interval_allows_for_the_variances(two_levels: LogisticFit) -> None:
    """Standard error by the delta method with derivatives taken as differences of integrals."""
    new = pd.DataFrame({"week": [8.0], "arm": ["b"]})
    at = np.append(standard_deviations(two_levels), two_levels.estimates["estimate"])

    def average(parameters):
        eta, spread = parameters[2:] @ [1, 8, 1], math.hypot(*parameters[:2])
        return quad(lambda z: norm.pdf(z) / (1 + math.exp(-eta - spread * z)), -10, 10, epsabs=1e-13)[0]

    slopes = np.array([(average(at + e) - average(at - e)) / 2e-4 for e in 1e-4 * np.eye(5)])
    std_error = math.sqrt(slopes @ two_levels.sd_covariance @ slopes)
    assert two_levels.predict(new)["population_std_error"].item() == pytest.approx(std_error, rel=1e-6)


def test_true_and_false_are_an_outcome(data: pd.DataFrame, two_levels: LogisticFit) -> None:
    fit = logistic_mixed_model(FORMULA, data.assign(repaired=data["repaired"] == 1), groups=(PEOPLE, THERAPISTS))
    pd.testing.assert_frame_equal(fit.estimates, two_levels.estimates)


def test_a_rough_approximation_is_said(data: pd.DataFrame) -> None:
    rough = logistic_mixed_model(FORMULA, data, groups=PEOPLE)
    assert "Laplace's approximation is rough here: quadrature=7 would move the sd of 'person_id'" in rough.note
    assert "rough" not in logistic_mixed_model(FORMULA, data, groups=PEOPLE, quadrature=9).note


@pytest.fixture
def small() -> pd.DataFrame:
    """40 people with 3 sessions each, under 8 therapists, made without chance."""
    person = np.repeat(np.arange(40), 3)
    week = np.tile(np.arange(3.0), 40)
    outcome = ((person * 7 + week * 5) % 11 < 5 + person % 3).astype(int)
    return pd.DataFrame({"y": outcome, "week": week, "person_id": person, "therapist_id": person % 8, "site_id": person % 2})


def test_separation_is_refused_and_named(small: pd.DataFrame) -> None:
    rare = small.assign(arm=np.where(small["person_id"] < 4, "rare", "a"))
    rare.loc[rare["arm"] == "rare", "y"] = 1
    with pytest.raises(StatisticsError, match=r"'arm\[T.rare\]' have values at which the outcome never varies \(quasi-complete"):
        logistic_mixed_model("y ~ week + arm", rare, groups="person_id")
    told = small.assign(score=small["y"] * 2 + small["week"] / 4)
    with pytest.raises(StatisticsError, match=r"'score' tell 0 from 1 without error \(complete separation\)"):
        logistic_mixed_model("y ~ score", told, groups="person_id")


def test_a_strong_predictor_is_not_called_separation(small: pd.DataFrame) -> None:
    """A log odds beyond ±12 makes the fit look for separation, and there is none: a row on each side lies on the other.

    The therapists' variance is zero, so statsmodels' ordinary logistic regression says what the estimates are.
    """
    score = small["y"] * 2 - 1.0
    yes, no = small["y"].idxmax(), small["y"].idxmin()
    score[[yes, no]] = -score[[yes, no]]
    score.iloc[-1] = 8 * score.iloc[-1]
    told = small.assign(score=score)
    with pytest.warns(ConvergenceWarning, match="singular"):
        fit = logistic_mixed_model("y ~ score", told, groups="therapist_id")
    ordinary = sm.Logit(told["y"], sm.add_constant(told["score"])).fit(disp=0)
    assert abs(fit.combination([1, score.iloc[-1]])[0]) > 12
    np.testing.assert_allclose(fit.estimates["estimate"], ordinary.params, rtol=1e-6)
    np.testing.assert_allclose(fit.estimates["std_error"], ordinary.bse, rtol=1e-5)


def test_a_variance_without_bound_is_refused(small: pd.DataFrame) -> None:
    fixed = small.assign(y=small["person_id"] % 2)
    with pytest.raises(StatisticsError, match="the outcome never varies within a 'person_id'"):
        logistic_mixed_model("y ~ week", fixed, groups="person_id")
    with pytest.raises(StatisticsError, match="'person_id' grows beyond 30 log odds: nearly all have only 0s or only 1s"):
        logistic_mixed_model("y ~ 1", hardly_varying(small, 1), groups="person_id")


def hardly_varying(small: pd.DataFrame, people: int) -> pd.DataFrame:
    """Every second person always has the outcome, the others never; the first few differ once."""
    varying = (small["person_id"] < people) & (small["week"] == 0)
    return small.assign(y=(small["person_id"] % 2).where(~varying, 1 - small["person_id"] % 2))


def test_a_huge_variance_is_said(small: pd.DataFrame) -> None:
    with pytest.warns(ConvergenceWarning, match="the sd of 'person_id' is 15 log odds: nearly all have only 0s or only 1s"):
        fit = logistic_mixed_model("y ~ 1", hardly_varying(small, 4), groups="person_id", quadrature=5)
    assert "it may be infinite" in fit.note


def test_a_search_without_an_end_is_said(small: pd.DataFrame) -> None:
    with pytest.warns(ConvergenceWarning, match="the search did not converge"):
        fit = logistic_mixed_model("y ~ 1", hardly_varying(small, 2), groups="person_id", quadrature=5)
    assert not fit.converged


def test_a_flat_likelihood_is_refused() -> None:
    """Thirteen rows of five therapists, nearly all fitted without error."""
    rows = pd.DataFrame(
        {
            "y": [0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1],
            "x": [-18.12, -24.97, 8.17, -186.65, 50.14, -0.74, -35.27, 22.14, 1.85, 5.26, 5.69, -34.46, 11.39],
            "z": [1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1],
            "therapist_id": [0, 0, 1, 1, 1, 2, 3, 4, 4, 4, 2, 2, 2],
        }
    )
    with pytest.raises(StatisticsError, match="the likelihood is flat: nearly all fitted probabilities are 0 or 1"):
        logistic_mixed_model("y ~ x + z", rows, groups="therapist_id", quadrature=7)


def test_an_odds_ratio_too_large_to_write_is_infinite(data: pd.DataFrame, two_levels: LogisticFit) -> None:
    fit = logistic_mixed_model("repaired ~ ages + arm", data.assign(ages=data["week"] / 1e5), groups=(PEOPLE, THERAPISTS))
    assert fit.estimates["odds_ratio"][1] == math.inf
    assert fit.estimates["estimate"][1] == pytest.approx(1e5 * two_levels.estimates["estimate"][1], rel=1e-6)


@pytest.mark.parametrize(
    ("change", "arguments", "match"),
    [
        ({"y": lambda d: d["y"] + 1}, {}, "values other than 0 and 1"),
        ({"y": lambda d: d["y"].map({0: "no", 1: "yes"})}, {}, "not one numeric column"),
        ({"y": 1}, {}, "does not vary: all 120 rows have 1"),
        ({"person_id": 1}, {"groups": "person_id"}, "'person_id' has 1 group; at least two"),
        ({"person_id": lambda d: d.index}, {"groups": "person_id"}, "each 'person_id' has one observation"),
        ({"therapist_id": lambda d: d["person_id"]}, {}, "each 'therapist_id' has one person_id"),
        ({"therapist_id": lambda d: d["week"] % 2}, {}, "40 of 40 'person_id' are under more than one 'therapist_id'"),
        ({"twice": lambda d: 2 * d["week"] + 1}, {"formula": "y ~ week + twice"}, "the other fixed effects determine 'twice'"),
        ({"week": np.nan}, {}, "column 'week' has no values"),
        ({"therapist_id": None}, {}, "column 'therapist_id' has no values"),
        ({"week": lambda d: d["week"].replace(2, np.inf)}, {}, "column 'week' has 40 infinite values"),
        ({}, {"formula": "y ~ weeks"}, "Did you mean 'week'"),
        ({}, {"formula": "y ~ week + (1 | person_id)"}, "random intercepts are told by groups"),
        ({}, {"formula": "y ~ 0"}, "no fixed effect"),
        ({}, {"groups": ("person", "therapist_id")}, "Did you mean 'person_id'"),
        ({}, {"groups": ()}, "one to 3 different columns"),
        ({}, {"groups": ("person_id", "person_id")}, "one to 3 different columns"),
        ({}, {"groups": ("week", "person_id", "therapist_id", "site_id")}, "one to 3 different columns"),
        ({}, {"quadrature": 8}, "odd number of points, not 8"),
        ({}, {"quadrature": True}, "odd number of points, not True"),
        ({}, {"quadrature": 0}, "odd number of points, not 0"),
        ({}, {"quadrature": 7, "groups": ("person_id", "therapist_id", "site_id")}, "at most 2 levels, not 3"),
        ({}, {"ci_level": 95}, "between 0 and 1, not 95"),
    ],
)
def test_what_cannot_be_estimated_is_refused(change, arguments, match, small: pd.DataFrame) -> None:
    call = {"formula": "y ~ week", "groups": ("person_id", "therapist_id")} | arguments
    with pytest.raises(StatisticsError, match=match):
        logistic_mixed_model(call.pop("formula"), small.assign(**change), **call)


def test_unknown_groups_have_no_modes(two_levels: LogisticFit) -> None:
    with pytest.raises(StatisticsError, match="Did you mean 'therapist_id'"):
        two_levels.modes("therapist")


@pytest.mark.parametrize(("sessions", "laplace"), [(2, 0.7), (4, 0.9), (8, 0.96)])
def test_laplace_is_biased_as_the_docs_say_and_quadrature_is_not(sessions: int, laplace: float) -> None:
    """One large simulation each: the sd's own standard error is 0.02 to 0.05."""
    rng = np.random.default_rng(sessions)
    person = np.repeat(np.arange(6000), sessions)
    y = rng.random(len(person)) < 1 / (1 + np.exp(0.5 - rng.normal(size=6000)[person]))
    rows = pd.DataFrame({"y": y, "person_id": person})
    assert standard_deviations(logistic_mixed_model("y ~ 1", rows, groups=PEOPLE))[0] == pytest.approx(laplace, abs=0.06)
    exact = logistic_mixed_model("y ~ 1", rows, groups=PEOPLE, quadrature=7)
    assert standard_deviations(exact)[0] == pytest.approx(1, abs=0.1)


def test_docs_show_the_reference_datas_numbers(reference: dict, root: Path) -> None:
    text = (root / "docs/methods/logistic-mixed-models.md").read_text(encoding="utf-8")
    laplace, exact = reference["two_levels"], reference["exact"]
    rows = ["sd between clients", "sd between therapists", "week", "arm b"]
    for label, a, b in zip(rows, [*laplace["sd"], *laplace["fixed"][1:]], [*exact["sd"], *exact["fixed"][1:]], strict=True):
        assert f"| {label} | {a:.3f} | {b:.3f} |" in text

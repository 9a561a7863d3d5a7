"""Linear mixed models against lme4 at its true optimum, lmerTest, pbkrtest and CR2 by dense matrices (validation/mixed.R)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import ConvergenceWarning
from attachment_outcomes.inference import compare, mixed_model
from attachment_outcomes.inference.mixed import MixedFit

REFERENCE = load_reference("mixed_reference")
FITS: dict[str, Reference] = REFERENCE["fits"]
FAR = "large"  # a mean of a million and a time of nine thousand: fewer digits are left
INNER = [name for name, fit in FITS.items() if not fit["singular"] and name != FAR]
EDGE = [name for name, fit in FITS.items() if fit["singular"]]

# Both optima are exact to about 1e-7 of the parameters; the log likelihood is flat there, so it agrees further.
FIXED, VARIANCE, LOGLIK = 1e-5, 1e-4, 1e-6
DF = 1e-3  # second derivatives by differences, on both sides
P_VALUE, TAIL = 1e-2, 1e-10  # of a p value, which a df off by 1e-3 moves by so much in a far tail; below TAIL all are alike


def having(key: str) -> list[str]:
    return [name for name in [*INNER, *EDGE] if key in FITS[name]]


@cache
def fit_of(name: str) -> MixedFit:
    case = FITS[name]
    slopes = {group: np.atleast_1d(columns).tolist() for group, columns in case.get("slopes", {}).items()}
    with warnings.catch_warnings():
        if case["singular"]:
            warnings.simplefilter("ignore", ConvergenceWarning)
        return mixed_model(
            case["formula"], REFERENCE["data"].frame(case["data"]),
            groups=np.atleast_1d(case["groups"]).tolist(), slopes=slopes, reml=case["reml"],
        )  # fmt: skip


def by_term(table: pd.DataFrame, column: str) -> dict[str, float]:
    return dict(zip(table["term"], table[column], strict=True))


def in_our_order(weights: Mapping[str, float], fit: MixedFit) -> list[float]:
    return [weights[term] for term in fit.estimates["term"]]


@pytest.mark.parametrize("name", INNER)
def test_estimates_match_lme4(name: str) -> None:
    case, fit = FITS[name], fit_of(name)
    case.check({"loglik": fit.loglik}, abs=LOGLIK)
    case.check({"fixed": by_term(fit.estimates, "estimate"), "std_error": by_term(fit.estimates, "std_error")}, rel=FIXED)
    case.check({"variances": fit.variances}, rel=VARIANCE)
    case.check({"n": fit.n, "n_parameters": fit.df})
    assert fit.converged
    assert not fit.singular


@pytest.mark.parametrize("name", INNER)
def test_covariance_of_the_fixed_effects_matches_lme4(name: str) -> None:
    case, fit = FITS[name], fit_of(name)
    place = [list(fit.estimates["term"]).index(term) for term in np.atleast_1d(case["terms"])]
    theirs = np.atleast_2d(case["covariance"])
    case.check({"covariance": fit.covariance[np.ix_(place, place)]}, abs=FIXED * np.abs(np.diag(theirs)).min(), rel=FIXED)


@pytest.mark.parametrize("name", [*INNER, *EDGE])
def test_satterthwaite_matches_lmertest(name: str) -> None:
    case, table = FITS[name], fit_of(name).estimates
    case.check({"df": by_term(table, "df")}, rel=DF)
    case.check({"p_value": by_term(table, "p_value")}, rel=P_VALUE, abs=TAIL)


@pytest.mark.parametrize("name", having("combination"))
def test_combinations_match_contest1d(name: str) -> None:
    case, fit = FITS[name]["combination"], fit_of(name)
    found = fit.combination(in_our_order(case["weights"], fit))
    case.check(dict(zip(("estimate", "std_error", "ci_low", "ci_high"), found, strict=False)), rel=1e-4)
    case.check({"p_value": found[4]}, rel=P_VALUE, abs=TAIL)


@pytest.mark.parametrize("name", having("predictions"))
def test_predictions_and_their_bands_match_lmertest(name: str) -> None:
    case = FITS[name]["predictions"]
    found = fit_of(name).predict(case.frame("new"))
    case.check({"predicted": found["predicted"], "std_error": found["std_error"]}, rel=FIXED)
    case.check({"ci_low": found["ci_low"], "ci_high": found["ci_high"]}, rel=1e-4)


@pytest.mark.parametrize("name", [n for n in having("predictions") if "known" in FITS[n]["predictions"]])
def test_predictions_of_known_persons_match_hendersons_equations(name: str) -> None:
    case = FITS[name]["predictions"]
    found = fit_of(name).predict(case.frame("new"), known=True)
    case["known"].check({"predicted": found["predicted"], "std_error": found["std_error"]}, rel=1e-4)


@pytest.mark.parametrize("name", having("modes"))
def test_modes_and_their_errors_match_ranef(name: str) -> None:
    fit = fit_of(name)
    assert set(FITS[name]["modes"]) == set(fit.groups)
    nothing = 1e-6 * FITS[name]["variances"]["residual"] ** 0.5
    for group, case in FITS[name]["modes"].items():
        theirs = FITS[name]["modes"].frame(group).set_index(["unit", "term"])
        ours = fit.modes(group).set_index([group, "term"]).rename_axis(["unit", "term"])
        assert set(ours.index) == set(theirs.index)
        ours = ours.loc[theirs.index]
        case.check({"estimate": ours["estimate"].to_numpy()}, abs=max(nothing, 1e-5 * theirs["estimate"].abs().max()), rel=1e-4)
        case.check({"std_error": ours["std_error"].to_numpy()}, rel=VARIANCE, abs=nothing)


@pytest.mark.parametrize("name", having("kenward_roger"))
def test_kenward_roger_matches_pbkrtest(name: str) -> None:
    case, table = FITS[name]["kenward_roger"], fit_of(name).kenward_roger()
    case.check({"std_error": by_term(table, "std_error"), "df": by_term(table, "df")}, rel=DF)
    case.check({"p_value": by_term(table, "p_value")}, rel=P_VALUE, abs=TAIL)


@pytest.mark.parametrize("name", having("robust"))
def test_cr2_matches_dense_bell_mccaffrey(name: str) -> None:
    case, table = FITS[name]["robust"], fit_of(name).robust()
    case.check({"std_error": by_term(table, "std_error")}, rel=1e-4)
    case.check({"df": by_term(table, "df")}, rel=DF)


@pytest.mark.parametrize("name", ["sleepstudy_reml", "balanced_reml", "balanced_two_levels", "few_therapists"])
def test_cr2_matches_clubsandwich_where_both_adjustments_are_one(name: str) -> None:
    case, table = FITS[name]["robust"]["clubSandwich"], fit_of(name).robust()
    case.check({"std_error": by_term(table, "std_error"), "df": by_term(table, "df")}, rel=1e-4)


def test_cr2_of_least_squares_matches_clubsandwich() -> None:
    """With every variance at zero the model is least squares, for which clubSandwich has Bell & McCaffrey's own."""
    case, table = REFERENCE["least_squares"], fit_of("edge_nothing").robust()
    case.check({column: by_term(table, column) for column in ("std_error", "df")}, rel=1e-6)
    case.check({"fixed": by_term(table, "estimate")}, rel=1e-9)


@pytest.mark.parametrize("name", EDGE)
def test_optima_on_the_boundary_are_those_of_lme4(name: str) -> None:
    case, fit = FITS[name], fit_of(name)
    case.check({"loglik": fit.loglik}, abs=LOGLIK)
    case.check({"fixed": by_term(fit.estimates, "estimate"), "std_error": by_term(fit.estimates, "std_error")}, rel=FIXED)
    case.check({"variances": fit.variances}, rel=VARIANCE, abs=1e-6 * case["variances"]["residual"])
    case.check({"n_parameters": fit.df})
    assert fit.singular
    assert fit.converged
    assert "singular" in fit.note


def test_a_large_mean_and_a_far_origin_lose_no_digits_that_matter() -> None:
    case, fit = FITS[FAR], fit_of(FAR)
    assert fit.converged
    case.check({"loglik": fit.loglik}, abs=LOGLIK)
    case.check({"fixed": by_term(fit.estimates, "estimate"), "std_error": by_term(fit.estimates, "std_error")}, rel=FIXED)
    case.check({"variances": fit.variances}, rel=VARIANCE)


@pytest.mark.parametrize("name", list(REFERENCE["ratios"]))
def test_likelihood_ratios_match_anova(name: str) -> None:
    case = REFERENCE["ratios"][name]
    found = compare(fit_of(case["smaller"]), fit_of(case["larger"]))
    case.check({"statistic": found.statistic, "df": found.df}, abs=2 * LOGLIK)
    case.check({"p_value": found.p_value, "p_boundary": found.p_boundary}, rel=1e-5)


@pytest.mark.parametrize("name", ["unbalanced", "sessions"])
def test_rows_without_an_outcome_or_predictor_are_left_out_and_counted(name: str) -> None:
    data, fit = REFERENCE["data"].frame(name), fit_of(f"{name}_reml")
    complete = data.dropna()
    assert fit.n_excluded == len(data) - len(complete) > 0
    assert (fit.n_groups, fit.n_clusters) == (complete["client"].nunique(), complete["therapist"].nunique())


def test_sleepstudy_as_printed_by_bates_2015() -> None:
    """Bates et al. (2015), section 1.3 and summary(fm1): printed digits."""
    fit = fit_of("sleepstudy_reml")
    assert fit.estimates["estimate"].round(3).tolist() == [251.405, 10.467]
    assert fit.estimates["std_error"].round(3).tolist() == [6.825, 1.546]
    shares = fit.variance_shares
    assert shares["sd"].round(3).tolist() == [24.740, 5.922, 25.592]
    assert round(shares["correlation"].iloc[1], 2) == 0.07
    assert round(-2 * fit.loglik, 1) == 1743.6

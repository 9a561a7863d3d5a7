"""Repair and outcome against R (validation/repair.R) and against published E-values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.rupture import repair_effect
from attachment_outcomes.rupture.effects.contrasts import PAIRS, fitted, one_contrast
from attachment_outcomes.rupture.effects.leaving import leaving_odds
from attachment_outcomes.rupture.effects.partial import d_from_r, partial_correlation
from attachment_outcomes.rupture.effects.standardisation import standardised_means
from attachment_outcomes.rupture.effects.unmeasured import RISK_RATIO_PER_SD, e_value, e_value_of_risk_ratio

RTOL = 1e-9  # the same closed formulas in double precision
RTOL_P = 1e-7  # tails of t from two different routines
RTOL_FIT = 1e-6  # two optimisers of one likelihood
FIELDS = ("estimate", "std_error", "ci_low", "ci_high")


@pytest.fixture(scope="module")
def repair():
    return load_reference("repair")


@pytest.mark.parametrize(
    ("reference", "cluster", "method", "units"),
    [("hc3", None, "HC3", 120), ("cr2", "therapist_id", "CR2", 15), ("cr2_few", "few", "CR2", 6)],
)
def test_contrasts_match_r(repair, reference, cluster, method, units):
    rows = repair_effect(repair.frame("data"), outcome="core10.total", higher_is_better=False, cluster=cluster)
    assert {r.estimand for r in rows} == set(repair[reference])
    for row in rows:
        expected = repair[reference][row.estimand]
        expected.check({field: getattr(row, field) for field in FIELDS}, rel=RTOL)
        expected.check({"p_value": row.p_value}, rel=RTOL_P)
        assert method in row.method
        assert (row.n, row.n_clusters) == (120, units)


def test_contrasts_within_therapists_match_a_coefficient_for_each_in_r(repair):
    rows, found = fitted(repair.frame("data"), adjust=["pre", "n_sessions"], cluster="therapist_id", within=True)
    for name in PAIRS:
        ours = one_contrast(rows, found, name, ci_level=0.95)
        repair["cr2_within"][name].check({field: getattr(ours, field) for field in (*FIELDS, "df")}, rel=1e-8)


@pytest.mark.parametrize(("reference", "cluster"), [("standardised_hc3", None), ("standardised_cr2", "therapist_id")])
def test_standardised_means_match_r(repair, reference, cluster):
    rows = standardised_means(repair.frame("data"), outcome="core10.total", cluster=cluster)
    assert len(rows) == 6
    for row in rows:
        expected = repair[reference][row.group or row.estimand]
        expected.check({field: getattr(row, field) for field in FIELDS}, rel=RTOL)
        if row.estimand == "standardised_mean":
            assert np.isnan(row.p_value)  # whether a mean score is 0 is not asked
        else:
            expected.check({"p_value": row.p_value}, abs=1e-12, rel=RTOL_P)


@pytest.mark.parametrize(("reference", "clustered"), [("partial_plain", False), ("partial_clustered", True)])
def test_partial_correlations_match_r(repair, reference, clustered):
    data = repair.frame("data")
    codes = pd.factorize(data["therapist_id"])[0] if clustered else None
    x, y = data["share"].to_numpy(), data["improvement"].to_numpy()
    found = partial_correlation(x, y, data[["pre", "n_sessions"]].to_numpy(dtype=float), codes=codes)
    repair[reference].check({f: getattr(found, f) for f in ("r", "std_error", "ci_low", "ci_high")}, rel=1e-8)
    repair[reference].check({"p_value": found.p_value}, rel=RTOL_P)


def test_leaving_by_state_matches_r(repair):
    rows = leaving_odds(repair.frame("sessions"), adjust=["pre"])
    assert {r.group for r in rows} == set(repair["leaving"])
    for row in rows:
        repair["leaving"][row.group].check({field: getattr(row, field) for field in (*FIELDS, "p_value")}, rel=RTOL_FIT)
        assert row.n == 1825
        assert row.n_clusters == 20


@pytest.mark.parametrize(("ratio", "expected"), [(10.73, 20.94777), (8.02, 15.52336), (3.9, 7.263034), (1 / 3.9, 7.263034)])
def test_e_values_are_the_published_ones(ratio, expected):
    """Smoking and lung cancer, and infant feeding: VanderWeele & Ding (2017), digits as the R package EValue prints them."""
    assert e_value_of_risk_ratio(ratio) == pytest.approx(expected, abs=5e-6)
    assert e_value(np.log(ratio) / RISK_RATIO_PER_SD) == pytest.approx(expected, abs=5e-6)


def test_published_pairs_of_r_and_d_fit_the_formula():
    """Flückiger et al. (2018) print d = .579 beside r = .278; Eubanks et al. (2018) d = .22 beside r = .11."""
    assert d_from_r(0.278) == pytest.approx(0.579, abs=5e-4)
    assert d_from_r(0.11) == pytest.approx(0.22, abs=5e-3)
    # Beside r = .29 they print d = .62. Of an r that is printed as .29 only those from .294 on give it.
    assert round(d_from_r(0.29), 3) == 0.606
    assert round(d_from_r(0.2945), 2) == 0.62

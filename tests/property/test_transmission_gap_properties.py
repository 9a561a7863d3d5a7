"""What holds of mediation of transmission whatever the data are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachment_outcomes.transmission.gap.correlations import (
    correlations_of_sums,
    cross_products,
    full,
    olkin_siotani,
    robust_covariance,
    standardised,
    upper,
)
from attachment_outcomes.transmission.gap.paths import ARROW, PARALLEL, SERIAL, Model, possible
from attachment_outcomes.transmission.gap.sensitivity import corrected_for_unreliability, rho_at_zero, under_confounding

EXACT = 1e-9


@st.composite
def samples(draw, least=1, most=3):
    """Rows of parent (a class), mediators and child, related at random."""
    mediators = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(30, 80))
    x = np.arange(n) % 2
    rows = [x.astype(float)]
    for _ in range(mediators + 1):
        rows.append(sum(rng.uniform(-0.8, 0.8) * (r - r.mean()) / r.std() for r in rows) + rng.standard_normal(n))
    return np.column_stack(rows)


def matrix_of(values):
    return np.corrcoef(values.T)


def model_of(values):
    return Model(tuple(f"m{j}" for j in range(1, values.shape[1] - 1)))


def by_name(values):
    model = model_of(values)
    return {tuple(q): v for q, v in zip(model.quantities, model.values(matrix_of(values)), strict=True)}


@given(samples())
def test_the_total_is_the_gap_and_all_indirect_paths(values):
    found = by_name(values)
    indirect = [v for (d, e, _), v in found.items() if (d, e) == (PARALLEL, "indirect")]
    direct = found[PARALLEL, "path", "parent → child"]
    assert found[PARALLEL, "total", ""] == pytest.approx(direct + sum(indirect), abs=EXACT)
    assert found[PARALLEL, "gap", ""] == pytest.approx(direct, abs=EXACT)
    chains = [v for (d, e, _), v in found.items() if (d, e) == (SERIAL, "indirect")]
    if chains:
        assert len(chains) == 2 ** (values.shape[1] - 2) - 1
        assert sum(chains) == pytest.approx(sum(indirect), abs=EXACT)


@given(samples(least=2), st.randoms(use_true_random=False))
def test_the_order_of_mediators_does_not_matter_where_they_are_parallel(values, random):
    order = list(range(1, values.shape[1] - 1))
    random.shuffle(order)
    one, other = by_name(values), by_name(values[:, [0, *order, values.shape[1] - 1]])
    renamed = {f"m{new}": f"m{old}" for new, old in enumerate(order, start=1)}
    for (definition, estimand, group), value in other.items():
        if definition == PARALLEL:
            back = ARROW.join(renamed.get(part, part) for part in group.split(ARROW))
            assert one[definition, estimand, back] == pytest.approx(value, abs=EXACT)


@given(samples(), st.floats(0.01, 100), st.floats(-50, 50))
def test_units_do_not_matter_and_a_turned_mediator_turns_its_paths_only(values, scale, shift):
    moved = values.copy()
    moved[:, 1] = shift - scale * moved[:, 1]
    one, other = by_name(values), by_name(moved)
    for key, value in one.items():
        turned = key[1] == "path" and "m1" in key[2].split(ARROW)
        assert other[key] == pytest.approx(-value if turned else value, abs=1e-7)


@given(samples())
def test_correlations_from_sums_do_not_depend_on_how_rows_are_summed(values):
    products = cross_products(standardised(values))
    halves = products[::2].sum(axis=0) + products[1::2].sum(axis=0)
    assert correlations_of_sums(halves[None])[0] == pytest.approx(upper(matrix_of(values)), abs=EXACT)
    assert full(upper(matrix_of(values))) == pytest.approx(matrix_of(values), abs=EXACT)


@given(samples())
def test_families_of_one_are_no_families(values):
    plain = robust_covariance(values)
    alone = robust_covariance(values, [f"family {i}" for i in range(len(values))])
    assert alone[1] == pytest.approx(plain[1], abs=1e-12)
    assert alone[2] == plain[2] == len(values)


@given(samples())
def test_covariances_of_correlations_are_covariances(values):
    for covariance in (robust_covariance(values)[1], olkin_siotani(matrix_of(values))):
        assert covariance == pytest.approx(covariance.T, abs=1e-12)
        assert np.linalg.eigvalsh(covariance)[0] > -1e-9
    r = upper(matrix_of(values))
    assert np.diag(olkin_siotani(matrix_of(values))) == pytest.approx((1 - r**2) ** 2, abs=EXACT)


@given(samples(), st.floats(0.3, 1))
def test_reliability(values, reliability):
    matrix = matrix_of(values)
    assert corrected_for_unreliability(matrix, np.ones(len(matrix))) == pytest.approx(matrix, abs=EXACT)
    shares = np.ones(len(matrix))
    shares[1] = reliability
    corrected = corrected_for_unreliability(matrix, shares)
    if np.isfinite(corrected).all():
        model = model_of(values)
        one, other = model.values(matrix), model.values(corrected)
        total = [q.estimand for q in model.quantities].index("total")
        assert other[total] == pytest.approx(one[total], abs=EXACT)  # error in a mediator moves the parts, not the whole
        assert (np.linalg.eigvalsh(corrected) > 0).all()
    else:
        assert np.isnan(possible(corrected)).all()


@given(samples(), st.floats(-0.95, 0.95))
def test_an_unmeasured_cause_of_no_strength_changes_nothing(values, rho):
    zero = rho_at_zero(matrix_of(values))
    assert (np.abs(zero) < 1).all()
    assert under_confounding(np.ones(len(zero)), zero, 0.0) == pytest.approx(np.ones(len(zero)))
    assert under_confounding(np.ones(len(zero)), zero, zero) == pytest.approx(np.zeros(len(zero)), abs=1e-9)
    lower, higher = (under_confounding(1.0, zero[0], at) for at in sorted((rho, -rho)))
    assert (lower - higher) * np.sign(zero[0]) >= 0  # the stronger the supposed cause, the less is left

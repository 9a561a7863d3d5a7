"""What holds for the association of any class table: bounds, turning round, families, and nothing undefined without a reason."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attachment_outcomes.inference import association, contingency
from attachment_outcomes.inference.loglinear import MODELS, QUASI_SYMMETRY, SYMMETRY, loglinear
from attachment_outcomes.transmission.table_estimates import table_estimates

BOUNDS = {
    association.kappa_interval: (-1, 1),
    association.cramers_v: (0, 1),
    association.uncertainty_coefficient: (0, 1),
}
WHOLE = {"rel": 1e-9, "abs": 1e-9}


def tables(k: int = 3, most: int = 25):
    return arrays(np.int64, (k, k), elements=st.integers(0, most)).filter(lambda t: t.sum() > 0)


def stacks(k: int = 2, most: int = 3):
    return arrays(np.int64, st.tuples(st.integers(2, 12), st.just(k), st.just(k)), elements=st.integers(0, most)).filter(
        lambda t: t.sum() > 0
    )


@given(st.one_of(tables(2), tables(3), tables(4), stacks(2), stacks(3)))
def test_intervals_hold_the_estimate_and_stay_in_range(table):
    for function, (least, most) in BOUNDS.items():
        found = function(table)
        if math.isnan(found.ci_low):
            assert found.note
            continue
        assert least - 1e-9 <= found.ci_low <= found.estimate <= found.ci_high <= most + 1e-9


@given(stacks(2, 4))
def test_families_never_make_an_interval_shorter_than_independent_pairs(stack):
    for function in (association.kappa_interval, association.phi_interval):
        apart, together = function(stack.sum(axis=0)), function(stack)
        if not math.isnan(together.ci_low):
            assert together.ci_high - together.ci_low >= apart.ci_high - apart.ci_low - 1e-9


@settings(max_examples=30)
@given(tables(3), st.permutations(range(3)))
def test_association_does_not_depend_on_the_order_of_classes(table, order):
    moved = table[np.ix_(order, order)]
    for function in BOUNDS:
        one, other = function(table), function(moved)
        assert (one.estimate, one.ci_low, one.ci_high) == pytest.approx(
            (other.estimate, other.ci_low, other.ci_high), nan_ok=True, rel=1e-6, abs=1e-6
        )


@given(arrays(np.int64, (2, 2), elements=st.integers(1, 50)))
def test_the_score_interval_of_the_risk_ratio_turns_round(table):
    one, other = association.risk_ratio(table), association.risk_ratio(table[::-1])
    assert one.estimate * other.estimate == pytest.approx(1)
    assert one.ci_low * other.ci_high == pytest.approx(1, rel=1e-6)
    assert one.ci_low <= one.estimate <= one.ci_high


@settings(max_examples=25)
@given(tables(4, 60))
def test_models_fit_their_margins_and_are_nested(table):
    found = {model: loglinear(table, model) for model in MODELS}
    n = table.sum()
    for model in MODELS:
        fit = found[model].fitted
        assert fit.sum() == pytest.approx(n, rel=1e-6)
        if model != SYMMETRY:
            assert fit.sum(axis=1) == pytest.approx(table.sum(axis=1), rel=1e-3, abs=1e-3 * n)
    assert found[SYMMETRY].fitted == pytest.approx(found[SYMMETRY].fitted.T)
    if found[QUASI_SYMMETRY].df and found[SYMMETRY].df:
        assert found[QUASI_SYMMETRY].g2 <= found[SYMMETRY].g2 + 1e-3


@given(tables(3))
def test_many_tables_at_once_are_as_one_at_a_time(table):
    stack = np.stack([table, table + 1, table.T])
    for function in (contingency.kappa, contingency.phi_square, contingency.uncertainty, contingency.reduction_of_error):
        assert function(stack) == pytest.approx([float(function(t)) for t in stack], nan_ok=True, **WHOLE)


@settings(max_examples=15)
@given(st.one_of(stacks(2, 2), stacks(3, 1)))
def test_nothing_is_undefined_without_a_reason(stack):
    rows, models = table_estimates(stack, outcome="x", way="y")
    assert all(e.note for e in rows if math.isnan(e.estimate))
    without_interval = {"chance_agreement", "prevalence_index", "bias_index", "cramers_v_corrected", "bowker", "stuart_maxwell"}
    for row in rows:
        if math.isnan(row.ci_low) and row.estimand not in without_interval | {"lack_of_fit", "bic"}:
            assert row.note, row.estimand
    assert all(m.note for m in models if math.isnan(m.p_value))

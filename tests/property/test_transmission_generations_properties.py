"""What must hold of chains of three generations, whatever the table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attachment_outcomes.transmission.generations import markov, odds, projection

sizes = st.integers(2, 4)


@st.composite
def chains(draw, k=None, least=0, most=25):
    size = draw(sizes) if k is None else k
    table = draw(arrays(np.int64, (size, size, size), elements=st.integers(least, most)))
    assume(table.sum() > 0)
    return table


def same(a: float, b: float, tolerance: float = 1e-8) -> bool:
    return (math.isnan(a) and math.isnan(b)) or a == pytest.approx(b, rel=tolerance, abs=tolerance)


@given(chains(), st.randoms(use_true_random=False))
def test_names_and_order_of_classes_do_not_matter(table, random):
    order = list(range(len(table)))
    random.shuffle(order)
    one = markov.conditional_independence(np.moveaxis(table, 1, 0))
    moved = markov.conditional_independence(np.moveaxis(table[np.ix_(order, order, order)], 1, 0))
    for name in ("df", "g2", "x2", "cmh", "cmh_df", "kappa", "smallest_expected"):
        assert same(getattr(one, name), getattr(moved, name), 1e-6), name


@given(chains())
def test_a_first_order_chain_reads_the_same_backwards(table):
    there = markov.conditional_independence(np.moveaxis(table, 1, 0))
    back = markov.conditional_independence(np.moveaxis(table.transpose(2, 1, 0), 1, 0))
    for name in ("df", "g2", "x2", "cmh", "kappa"):
        assert same(getattr(there, name), getattr(back, name), 1e-6), name


@given(chains())
def test_twice_the_people_double_what_is_seen_and_leave_strength_and_projections(table):
    one, two = (markov.conditional_independence(np.moveaxis(m * table, 1, 0)) for m in (1, 2))
    assert same(two.g2, 2 * one.g2)
    assert same(two.x2, 2 * one.x2)
    assert same(two.kappa, one.kappa)
    pairs = table.sum(axis=0)
    assert projection.transitions(2 * pairs) == pytest.approx(projection.transitions(pairs), nan_ok=True)


@given(chains(least=1))
def test_the_product_of_the_two_tables_is_the_fitted_first_order_chain(table):
    fitted = np.moveaxis(markov.fitted(np.moveaxis(table, 1, 0)), 0, 1)
    assert projection.product_table(table) == pytest.approx(fitted.sum(axis=1) / table.sum())
    assert float(markov.conditional_kappa(np.moveaxis(fitted, 1, 0))) == pytest.approx(0, abs=1e-9)


@given(chains(least=1), st.integers(1, 6))
def test_shares_sum_to_one_in_every_generation_and_tend_to_what_stays_as_it_is(table, ahead):
    matrix = projection.transitions(table.sum(axis=0))
    start = table.sum(axis=(0, 2)) / table.sum()
    assert projection.project(start, matrix, ahead).sum(axis=1) == pytest.approx(1)
    assert projection.powers(matrix, ahead).sum(axis=2) == pytest.approx(1)
    end = projection.long_run(start, matrix)
    assert end == pytest.approx(end @ matrix, abs=1e-8)
    # The mean of the eigenvalues but the first, which is 1.
    values = np.linalg.eigvals(matrix)
    assert float(projection.difference_left(matrix)) == pytest.approx((values.sum().real - 1) / (len(matrix) - 1))


@given(chains(k=2, least=1))
def test_odds_ratios_turn_round_with_the_classes_and_have_the_estimate_inside(table):
    strata = np.moveaxis(table, 1, 0)
    turned = strata[:, ::-1]
    for function in (odds.mantel_haenszel, odds.exact_common_odds):
        one, other = function(strata), function(turned)
        assert one.odds_ratio == pytest.approx(1 / other.odds_ratio, rel=1e-6)
        assert one.ci_low == pytest.approx(1 / other.ci_high, rel=1e-6)
        assert one.p_value == pytest.approx(other.p_value, abs=1e-7)
        assert one.ci_low < one.odds_ratio < one.ci_high
    found = markov.conditional_independence(strata)
    assert found.cmh == pytest.approx(odds.mantel_haenszel(strata).statistic)

"""What must not change, whatever the table: names and order of classes, order of samples, who is called first."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attachment_outcomes.inference import agreement, two_by_two
from attachment_outcomes.inference.pooling.random_effects import pool
from attachment_outcomes.measures.codes import TWO_WAY_FORCED
from attachment_outcomes.transmission import concordance, pool_samples

EXACT = {"rel": 1e-9, "abs": 1e-9}


def tables(k: int = 3, most: int = 40):
    return arrays(np.int64, (k, k), elements=st.integers(0, most)).filter(lambda t: t.sum() > 0)


def same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or a == pytest.approx(b, **EXACT)


@given(tables(4), st.permutations(range(4)))
def test_kappa_does_not_depend_on_the_order_of_classes(table, order):
    k, moved = agreement.kappa(table), agreement.kappa(table[np.ix_(order, order)])
    assert same(k.kappa, moved.kappa)
    assert same(k.std_error, moved.std_error)
    for test in (agreement.bowker, agreement.chi_square):
        assert same(test(table).statistic, test(table[np.ix_(order, order)]).statistic)
    one, other = agreement.stuart_maxwell(table), agreement.stuart_maxwell(table[np.ix_(order, order)])
    # Nearly singular tables may be told apart from singular ones in one order only.
    assert (
        math.isnan(one.statistic)
        or math.isnan(other.statistic)
        or one.statistic == pytest.approx(other.statistic, rel=1e-6, abs=1e-6)
    )


@given(tables())
def test_kappa_does_not_depend_on_who_is_called_first(table):
    k, turned = agreement.kappa(table), agreement.kappa(table.T)
    assert same(k.kappa, turned.kappa)
    assert same(k.std_error, turned.std_error)
    assert same(agreement.bowker(table).statistic, agreement.bowker(table.T).statistic)


@given(tables())
def test_kappa_is_never_above_agreement_and_has_the_sign_of_the_excess(table):
    k = agreement.kappa(table)
    assume(not math.isnan(k.kappa))
    assert k.kappa <= k.agreement + 1e-12
    assert -1 - 1e-12 <= k.kappa <= 1
    assert (k.kappa > 1e-12) == (k.agreement - k.chance > 1e-12 * (1 - k.chance))


@given(tables(2), st.integers(2, 5))
def test_more_of_the_same_people_change_the_error_only(table, times):
    k, more = agreement.kappa(table), agreement.kappa(table * times)
    assert same(k.kappa, more.kappa)
    assert same(k.std_error / math.sqrt(times), more.std_error)


@given(arrays(np.int64, (2, 2), elements=st.integers(1, 60)))
def test_contrasts_turn_round_with_the_table(table):
    odds, turned = two_by_two.odds_ratio(table), two_by_two.odds_ratio(table[::-1])
    assert odds.estimate * turned.estimate == pytest.approx(1)
    assert odds.ci_low * turned.ci_high == pytest.approx(1)
    difference, back = two_by_two.risk_difference(table), two_by_two.risk_difference(table[::-1])
    assert (difference.ci_low, difference.ci_high) == pytest.approx((-back.ci_high, -back.ci_low))
    phi = two_by_two.phi(table)
    assert phi.estimate**2 * table.sum() == pytest.approx(agreement.chi_square(table).statistic, **EXACT)
    assert -1 <= phi.ci_low <= phi.estimate <= phi.ci_high <= 1
    for found in (odds, difference, two_by_two.risk_ratio(table)):
        assert found.ci_low <= found.estimate <= found.ci_high


@given(st.integers(1, 200), st.data())
def test_wilson_stays_inside_and_turns_round(n, data):
    x = data.draw(st.integers(0, n))
    found, rest = agreement.wilson(x, n), agreement.wilson(n - x, n)
    assert 0 <= found.ci_low <= found.estimate <= found.ci_high <= 1
    assert found.ci_low == pytest.approx(1 - rest.ci_high, **EXACT)


samples = st.lists(st.tuples(st.floats(-2, 2), st.floats(0.01, 1)), min_size=2, max_size=12)


@given(samples, st.randoms(use_true_random=False))
def test_pooling_does_not_depend_on_the_order_of_samples(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    for method in ("REML", "DL"):
        one, other = pool(*zip(*pairs, strict=True), method=method), pool(*zip(*shuffled, strict=True), method=method)
        assert (one.estimate, one.std_error, one.tau2) == pytest.approx(
            (other.estimate, other.std_error, other.tau2), rel=1e-6, abs=1e-8
        )


@given(samples, st.floats(-3, 3))
def test_pooling_moves_with_a_shift_and_stays_between_the_samples(pairs, shift):
    y, v = (np.array(x) for x in zip(*pairs, strict=True))
    one, moved = pool(y, v), pool(y + shift, v)
    assert moved.estimate == pytest.approx(one.estimate + shift, rel=1e-6, abs=1e-6)
    assert moved.tau2 == pytest.approx(one.tau2, rel=1e-5, abs=1e-7)
    assert y.min() - 1e-9 <= one.estimate <= y.max() + 1e-9
    assert one.prediction_low <= one.ci_low
    assert one.prediction_high >= one.ci_high
    assert 0 <= one.i2 <= 1


@given(st.floats(-2, 2), st.lists(st.floats(0.01, 1), min_size=2, max_size=10))
def test_identical_effects_have_no_tau2(effect, variances):
    found = pool([effect] * len(variances), variances)
    assert (found.estimate, found.tau2) == pytest.approx((effect, 0), abs=1e-9)


@settings(max_examples=20)
@given(tables(2, 12))
def test_one_pair_a_family_is_as_if_there_were_no_families(table):
    parent = np.repeat(["F", "F", "Ds", "Ds"], table.ravel())
    child = np.repeat(["B", "A", "B", "A"], table.ravel())
    plain = concordance(parent, child, way=TWO_WAY_FORCED)
    assert [r.estimate for r in concordance(parent, child, way=TWO_WAY_FORCED, clusters=range(len(parent)))] == pytest.approx(
        [r.estimate for r in plain], nan_ok=True
    )
    shares = {r.estimand: r for r in plain}
    assert shares["agreement"].estimate == pytest.approx(np.trace(table) / table.sum())


@settings(max_examples=12)
@given(st.lists(tables(2, 30), min_size=1, max_size=4))
def test_pooled_shares_lie_inside_zero_and_one(found):
    rows = [
        {"sample_id": str(s), "row_class": ["IS", "S"][i], "col_class": ["IS", "S"][j], "n": int(t[i, j])}
        for s, t in enumerate(found)
        for i in range(2)
        for j in range(2)
    ]
    for measure in ("stays_secure", "becomes_secure", "agreement"):
        for row in pool_samples(pd.DataFrame(rows), measure=measure, classes=["IS", "S"]):
            if row.unit == "proportion" and not math.isnan(row.estimate):
                assert 0 <= row.estimate <= 1

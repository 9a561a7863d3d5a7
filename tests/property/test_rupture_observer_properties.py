"""What must hold of any coders: agreement does not depend on names, order or units, and what nobody compared changes nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attachment_outcomes.config import load_coding_system
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.measures import intraclass_correlations
from attachment_outcomes.rupture.observer import coder_icc, coder_kappa, read_codes, read_codings, session_ratings
from attachment_outcomes.rupture.observer.codings import counted

SYSTEM = read_codes(load_coding_system("3rs"))
SEEDS = st.integers(0, 2**32 - 1)


def tables(low, high):
    shapes = st.tuples(st.integers(6, 20), st.integers(2, 4))
    return shapes.flatmap(lambda shape: arrays(np.int64, shape, elements=st.integers(low, high)))


def long(table):
    rows, columns = np.indices(table.shape).reshape(2, -1)
    return table.ravel(), rows, columns, rows // 2


def icc(values, rows, columns, clusters):
    try:
        return coder_icc(np.asarray(values, dtype=float), rows, columns, clusters)
    except StatisticsError:
        return {}


def same(first, second):
    assert set(first) == set(second)
    for name, one in first.items():
        for field in ("estimate", "ci_low", "ci_high"):
            assert getattr(one.single, field) == pytest.approx(getattr(second[name].single, field), abs=1e-8, nan_ok=True)


@settings(max_examples=60)
@given(table=tables(1, 5), seed=SEEDS)
def test_order_and_names_do_not_matter(table, seed):
    values, rows, columns, clusters = long(table)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(values))
    names, people = rng.permutation(table.shape[1]) + 7, rng.permutation(table.shape[0])
    again = (values[order], people[rows][order], names[columns][order], clusters[order])
    same(icc(values, rows, columns, clusters), icc(*again))
    try:
        first = coder_kappa(values > 2, rows, columns, clusters)
        other = coder_kappa(again[0] > 2, *again[1:])
    except StatisticsError:
        return
    assert first.value == pytest.approx(other.value, abs=1e-10, nan_ok=True)
    assert first.agreement.estimate == pytest.approx(other.agreement.estimate)


@settings(max_examples=60)
@given(table=tables(0, 6), shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
def test_an_icc_does_not_depend_on_the_unit(table, shift, scale):
    same(icc(*long(table)), icc(table.ravel() * scale + shift, *long(table)[1:]))


@settings(max_examples=60)
@given(table=tables(0, 6))
def test_an_icc_is_that_of_mcgraw_and_wong(table):
    found = icc(*long(table))
    try:
        theirs = intraclass_correlations(table)
    except StatisticsError:
        return
    for name, form in (("agreement", "A"), ("consistency", "C")):
        if found:
            assert found[name].single.estimate == pytest.approx(theirs[f"ICC({form},1)"].icc, abs=1e-9)


@settings(max_examples=60)
@given(table=tables(0, 6), bias=st.integers(1, 4))
def test_a_coder_who_sees_more_everywhere_is_as_consistent_and_may_agree_less(table, bias):
    before = icc(*long(table))
    moved = table.copy()
    moved[:, 0] += bias + int(np.ptp(table.mean(axis=0))) + 10  # beyond any difference that was there
    after = icc(*long(moved))
    if before and after and before["consistency"].single.estimate > 0:
        assert after["consistency"].single.estimate == pytest.approx(before["consistency"].single.estimate, abs=1e-9)
        assert after["agreement"].single.estimate < before["agreement"].single.estimate + 1e-9


@settings(max_examples=60)
@given(table=tables(0, 1))
def test_agreement_lies_between_0_and_1_and_kappa_not_above_1(table):
    found = coder_kappa(table.ravel() > 0, *long(table)[1:])
    assert 0 <= found.agreement.ci_low <= found.agreement.estimate <= found.agreement.ci_high <= 1
    assert -1 <= found.pabak.estimate <= 1
    assert np.isnan(found.value) or -1 <= found.value <= 1 + 1e-12


CODES = st.sampled_from(["W1", "W2", "C1", "R3"])
ROW = st.tuples(st.integers(1, 4), st.integers(1, 5), st.sampled_from("AB"), CODES, st.integers(0, 3))
ROWS = st.lists(ROW, min_size=1, max_size=40, unique_by=lambda row: row[:4])


@settings(max_examples=60)
@given(rows=ROWS, seed=SEEDS)
def test_filling_in_zeros_adds_no_count_and_the_order_of_rows_does_not_matter(rows, seed):
    frame = pd.DataFrame(rows, columns=["session_number", "segment", "coder", "code", "value"]).assign(person_id="p")
    codings = read_codings(frame, SYSTEM)
    filled = counted(codings)
    assert filled["value"].sum() == frame["value"].sum()
    assert not filled.duplicated(["session_number", "segment", "coder", "about"]).any()
    shuffled = read_codings(frame.sample(frac=1, random_state=seed % 2**32), SYSTEM)
    pd.testing.assert_frame_equal(counted(shuffled), filled)
    pd.testing.assert_frame_equal(session_ratings(shuffled, SYSTEM), session_ratings(codings, SYSTEM))

"""What holds for any class tables and any errors: corrections undo errors, and stay among the possible tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attachment_outcomes.inference.misclassification import (
    errors_from_retest,
    fullest_diagonal,
    inverted,
    margin_preserving_errors,
    most_likely,
    seen_through,
)
from attachment_outcomes.transmission.misclassification.quantities import agreement, chance, kappa

CLOSE = 1e-9
seeds, sizes, kappas = st.integers(0, 2**32 - 1), st.integers(2, 4), st.floats(0.3, 1.0)
quick = settings(max_examples=40)


def tables(seed, size, n=20):
    t = np.random.default_rng(seed).gamma(0.7, size=(n, size, size)) + 1e-4
    return t / t.sum(axis=(1, 2), keepdims=True)


def errors(seed, size, n=20):
    """Error matrices that are right more often than not."""
    e = np.random.default_rng(seed).dirichlet(np.ones(size), size=(n, size))
    return 0.6 * np.eye(size) + 0.4 * e


@quick
@given(seeds, sizes)
def test_what_is_seen_through_errors_is_found_again(seed, size):
    t, a, b = tables(seed, size), errors(seed + 1, size), errors(seed + 2, size)
    seen = seen_through(t, a, b)
    assert seen.sum(axis=(1, 2)) == pytest.approx(np.ones(20), abs=CLOSE)
    found, boundary = most_likely(seen, a, b)
    assert not boundary.any()
    assert found == pytest.approx(t, abs=1e-7)


@quick
@given(seeds, sizes, kappas, kappas)
def test_margin_preserving_errors_keep_margins_and_shrink_kappa_by_the_root(seed, size, first, second):
    t = tables(seed, size)
    a = margin_preserving_errors(np.full(20, first), t.sum(axis=2))
    b = margin_preserving_errors(np.full(20, second), t.sum(axis=1))
    seen = seen_through(t, a, b)
    assert seen.sum(axis=2) == pytest.approx(t.sum(axis=2), abs=CLOSE)
    assert seen.sum(axis=1) == pytest.approx(t.sum(axis=1), abs=CLOSE)
    assert kappa(seen) == pytest.approx(kappa(t) * np.sqrt(first * second), abs=1e-7)
    assert kappa(inverted(seen, a, b)) == pytest.approx(kappa(t), abs=1e-6)


@quick
@given(seeds, sizes)
def test_the_most_likely_table_is_possible_and_no_other_is_more_likely(seed, size):
    seen, a, b = tables(seed, size), errors(seed + 1, size), errors(seed + 2, size)
    found, boundary = most_likely(seen, a, b)
    assert (found >= 0).all()
    assert found.sum(axis=(1, 2)) == pytest.approx(np.ones(20), abs=1e-6)
    assert ((inverted(seen, a, b) < -1e-12).any(axis=(1, 2)) == boundary).all()

    def likelihood(t):
        return (seen * np.log(seen_through(t, a, b))).sum(axis=(1, 2))

    best = likelihood(found)
    for other in (tables(seed + 3, size), fullest_diagonal(seen), seen):
        for share in (1.0, 0.1, 0.001):
            assert (likelihood((1 - share) * found + share * other) <= best + 1e-8).all()


@quick
@given(seeds, sizes)
def test_the_fullest_diagonal_keeps_margins_and_no_table_corresponds_more(seed, size):
    t = tables(seed, size)
    full = fullest_diagonal(t)
    assert full.sum(axis=2) == pytest.approx(t.sum(axis=2), abs=CLOSE)
    assert full.sum(axis=1) == pytest.approx(t.sum(axis=1), abs=CLOSE)
    assert (full >= 0).all()
    assert (agreement(full) >= agreement(t) - CLOSE).all()
    assert chance(full) == pytest.approx(chance(t), abs=CLOSE)


@quick
@given(seeds, sizes, st.permutations(range(4)))
def test_the_order_of_the_classes_does_not_matter(seed, size, order):
    order = [i for i in order if i < size]
    seen, a, b = tables(seed, size, 5), errors(seed + 1, size, 5), errors(seed + 2, size, 5)
    turned = np.ix_(range(5), order, order)
    assert inverted(seen, a, b)[turned] == pytest.approx(inverted(seen[turned], a[turned], b[turned]), abs=1e-8)


@quick
@given(seeds, sizes)
def test_the_root_of_a_retest_explains_it(seed, size):
    generator = np.random.default_rng(seed)
    margins = generator.dirichlet(5 * np.ones(size))
    # Reversible errors: a symmetric flow between classes, over the margins.
    flow = generator.random((size, size)) * 0.05 * margins.min()
    flow = (flow + flow.T) * (1 - np.eye(size))
    true = flow / margins[:, None]
    true += np.diag(1 - true.sum(axis=1))
    retest = np.round(true.T @ np.diag(margins) @ true * 10**12)
    assert errors_from_retest(retest) == pytest.approx(true, abs=1e-7)

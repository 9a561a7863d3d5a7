"""Survival estimates: what must hold for any data."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from attachment_outcomes.inference.survival import cumulative_incidence, kaplan_meier, log_rank, restricted_mean, turnbull

PEOPLE = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 2), st.integers(0, 3)), min_size=4, max_size=40
)  # time, cause, therapist


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40))
def test_without_censoring_kaplan_meier_is_the_empirical_share(times: list[int]) -> None:
    t = np.array(times, dtype=float)
    found = kaplan_meier(t, np.ones(len(t)))
    np.testing.assert_allclose(found.estimate, [(t > u).mean() for u in found.time], atol=1e-12)
    if t.max() > 0:
        np.testing.assert_allclose(restricted_mean(t, np.ones(len(t)), horizon=t.max()).estimate, t.mean(), rtol=1e-12)


@given(PEOPLE)
def test_incidences_and_kaplan_meier_sum_to_one(people: list[tuple[int, int, int]]) -> None:
    t, c, _ = np.array(people).T
    one, two = cumulative_incidence(t, c, causes=2)
    np.testing.assert_allclose(one.estimate + two.estimate + kaplan_meier(t, c > 0).estimate, 1, atol=1e-12)
    for curve in (one, two):
        assert (np.diff(curve.estimate) >= 0).all()
        assert ((curve.ci_low <= curve.estimate + 1e-12) & (curve.estimate <= curve.ci_high + 1e-12)).all()


@given(PEOPLE)
def test_without_a_competing_event_the_incidence_is_one_minus_kaplan_meier(people: list[tuple[int, int, int]]) -> None:
    t, c, _ = np.array(people).T
    (one,) = cumulative_incidence(t, c == 1, causes=1)
    np.testing.assert_allclose(one.estimate, 1 - kaplan_meier(t, c == 1).estimate, atol=1e-12)


@given(PEOPLE, st.randoms(use_true_random=False))
def test_order_and_unit_of_time_do_not_matter(people: list[tuple[int, int, int]], random: object) -> None:
    shuffled = list(people)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for clustered in (False, True):
        found = []
        for rows, scale in ((people, 1.0), (shuffled, 7.0)):
            t, c, g = np.array(rows).T
            if clustered and len(set(g)) < 2:
                return
            found.append(cumulative_incidence(t * scale, c, causes=2, clusters=g if clustered else None)[0])
        np.testing.assert_allclose(found[0].estimate, found[1].estimate, atol=1e-13)
        np.testing.assert_allclose(found[0].std_error, found[1].std_error, atol=1e-10)


@given(PEOPLE)
def test_everybody_twice_changes_no_curve_but_its_error(people: list[tuple[int, int, int]]) -> None:
    t, c, _ = np.array(people).T
    once, twice = cumulative_incidence(t, c, causes=2)[0], cumulative_incidence(np.tile(t, 2), np.tile(c, 2), causes=2)[0]
    np.testing.assert_allclose(once.estimate, twice.estimate, atol=1e-13)
    np.testing.assert_allclose(once.std_error, twice.std_error * np.sqrt(2), atol=1e-10)
    # Twice the same person as a cluster is one person: the clustered error is that of half as many, but for G/(G - 1).
    clustered = cumulative_incidence(np.tile(t, 2), np.tile(c, 2), causes=2, clusters=np.tile(np.arange(len(t)), 2))[0]
    factor = np.sqrt(len(t) / (len(t) - 1))
    np.testing.assert_allclose(clustered.std_error, once.std_error * factor, atol=1e-10)


@given(st.lists(st.tuples(st.integers(0, 15), st.booleans()), min_size=2, max_size=30))
def test_turnbull_of_exact_times_is_kaplan_meier(people: list[tuple[int, bool]]) -> None:
    t = np.array([p[0] for p in people], dtype=float)
    event = np.array([p[1] for p in people])
    found, curve = turnbull(t, np.where(event, t, np.inf)), kaplan_meier(t, event)
    assert found.converged
    np.testing.assert_allclose(found.at(curve.time)["low"], 1 - curve.estimate, atol=1e-6)


INTERVALS = st.lists(
    st.tuples(st.integers(0, 10), st.integers(0, 6) | st.none()), min_size=1, max_size=30
)  # left, and how long the interval is (none: never seen)


@given(INTERVALS)
def test_turnbull_meets_its_conditions(intervals: list[tuple[int, int | None]]) -> None:
    """The conditions worked out anew: no innermost interval deserves more than n, and those with mass deserve n."""
    left = np.array([a for a, _ in intervals], dtype=float)
    right = np.array([np.inf if w is None else a + w for a, w in intervals], dtype=float)
    found = turnbull(left, right)
    exact = found.left == found.right
    begins = (left[:, None] < found.left) | ((left[:, None] == found.left) & (~exact | (left == right)[:, None]))
    inside = begins & (found.right <= right[:, None])
    deserved = (inside / (inside @ found.mass)[:, None]).sum(axis=0)
    assert deserved.max() <= len(left) + 1e-6
    assert abs(found.mass @ deserved - len(left)) < 1e-9
    assert abs(found.mass.sum() - 1) < 1e-12


@given(INTERVALS)
def test_weights_are_repeated_people(intervals: list[tuple[int, int | None]]) -> None:
    left = np.array([a for a, _ in intervals], dtype=float)
    right = np.array([np.inf if w is None else a + w for a, w in intervals], dtype=float)
    whole = turnbull(np.repeat(left, 3), np.repeat(right, 3))
    weighted = turnbull(left, right, weights=np.full(len(left), 3.0))
    assert abs(whole.log_likelihood - weighted.log_likelihood) < 1e-8


@given(PEOPLE)
def test_log_rank_does_not_depend_on_which_group_is_first(people: list[tuple[int, int, int]]) -> None:
    t, c, g = np.array(people).T
    if len(set(g)) < 2 or not (c == 1).any():
        return
    one, two = log_rank(t, c == 1, g), log_rank(t, c == 1, 3 - g)
    assert abs(one.statistic - two.statistic) < 1e-8
    np.testing.assert_allclose(one.observed.sum(), one.expected.sum(), atol=1e-9)

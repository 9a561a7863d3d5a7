"""Survival, sudden gains and times of improvement: what must hold for any data."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from attachment_outcomes.change.gain_criteria import Rule, find_gains
from attachment_outcomes.change.improvement import improvement_times
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


SERIES = st.lists(
    st.lists(st.integers(0, 40) | st.none(), min_size=7, max_size=7), min_size=1, max_size=8
)  # people by seven sessions, some scores missing


def scores(series: list[list[int | None]]) -> np.ndarray:
    return np.array([[np.nan if v is None else v for v in row] for row in series], dtype=float)


@given(SERIES, st.sampled_from(["published", "student", None]), st.booleans())
def test_sudden_gains_under_shift_scale_and_direction(series: list[list[int | None]], third: str | None, first: bool) -> None:
    x = scores(series)
    rule = Rule(cutoff=4, third=third, first_session=first)  # type: ignore[arg-type]
    found = find_gains(x, rule)
    assert not (found.gain & found.loss).any()
    assert not ((found.gain | found.loss) & ~found.available).any()
    moved = find_gains(2 * x + 8, Rule(cutoff=8, third=third, first_session=first), minimum=8)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.gain, moved.gain)
    np.testing.assert_array_equal(found.loss, moved.loss)
    level = Rule(cutoff=4, percent=None, third=third, first_session=first)  # type: ignore[arg-type]
    one, other = find_gains(x, level), find_gains(x, level, higher_is_better=True)
    np.testing.assert_array_equal(one.gain, other.loss)
    np.testing.assert_array_equal(one.loss, other.gain)


@given(SERIES)
def test_more_criteria_never_find_more_gains(series: list[list[int | None]]) -> None:
    x = scores(series)
    all_three, first_two = find_gains(x, Rule(cutoff=4)).gain, find_gains(x, Rule(cutoff=4, third=None)).gain
    assert not (all_three & ~first_two).any()
    assert not (all_three & ~find_gains(x, Rule(cutoff=4, third="student")).gain).any()


@given(SERIES)
def test_confirmed_improvement_is_never_before_the_first(series: list[list[int | None]]) -> None:
    rows = [(i, t, v < 20) for i, row in enumerate(series) for t, v in enumerate(row) if v is not None]
    if not rows:
        return
    frame = pd.DataFrame(rows, columns=["person_id", "time", "improved"])
    confirmed, once = improvement_times(frame), improvement_times(frame, confirmed=False)
    assert (confirmed.person == once.person).all()
    assert (confirmed.right >= once.right).all()
    assert (confirmed.left <= confirmed.right).all()
    assert set(np.flatnonzero(confirmed.cause == 1)) <= set(np.flatnonzero(once.cause == 1))

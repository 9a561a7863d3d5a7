"""What must hold of styles, crossing and weights whatever the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attachment_outcomes.change.security import (
    crossed_reliably,
    earned_security,
    probability_of_reliable_crossing,
    probability_of_staying,
    probability_without_change,
    quadrant,
    weighted_share,
)
from attachment_outcomes.change.security.expectation import reliable_distance
from attachment_outcomes.inference.half_planes import inside, region_probability
from attachment_outcomes.measures.styles import FISHER, MIDPOINT, Split, style_certainty, style_regions

SPLITS = st.sampled_from([Split(FISHER), Split(MIDPOINT, 4, 3.5)])
SCORES = st.lists(st.tuples(st.floats(1, 7), st.floats(1, 7)), min_size=4, max_size=12)
RELIABILITY = st.tuples(st.floats(0.55, 0.97), st.floats(0.55, 0.97))
CORRELATION = st.floats(-0.45, 0.45)


@settings(deadline=None, max_examples=40)
@given(scores=SCORES, split=SPLITS, correlation=CORRELATION, spread=st.floats(0.05, 2))
def test_probabilities_of_all_styles_sum_to_one(
    scores: list[tuple[float, float]], split: Split, correlation: float, spread: float
) -> None:
    covariance = spread * np.array([[1.0, correlation], [correlation, 0.8]])
    total = sum(region_probability(np.array(scores), covariance, region) for region in style_regions(split).values())
    np.testing.assert_allclose(total, 1, atol=1e-9)


@settings(deadline=None, max_examples=10)
@given(scores=SCORES, reliability=RELIABILITY, correlation=CORRELATION, split=SPLITS)
def test_stricter_definitions_are_never_more_likely(
    scores: list[tuple[float, float]], reliability: tuple[float, float], correlation: float, split: Split
) -> None:
    """Both dimensions <= every side <= any side <= crossing; staying <= crossing."""
    x, region = np.array(scores), style_regions(split)["secure"]
    x = x[~inside(x, region)]
    if not len(x):
        return
    mean, covariance = np.array([3.8, 3.4]), np.array([[1.1, correlation], [correlation, 0.9]])
    distance = reliable_distance(region, covariance, reliability)
    shared = (x, mean, covariance, reliability, region)
    chances = {w: probability_of_reliable_crossing(*shared, distance, which=w) for w in ("crossed", "any", "both")}
    crossing, staying = probability_without_change(*shared), probability_of_staying(*shared)
    assert (chances["crossed"] <= chances["any"] + 1e-6).all()
    assert (chances["any"] <= crossing + 1e-6).all()
    assert (chances["both"] <= crossing + 1e-6).all()
    assert (staying <= crossing + 2e-5).all()


@settings(deadline=None, max_examples=40)
@given(scores=SCORES, reliability=RELIABILITY, shift=st.floats(-20, 20), scale=st.floats(0.1, 10))
def test_shift_and_scale_of_the_scores_change_nothing(
    scores: list[tuple[float, float]], reliability: tuple[float, float], shift: float, scale: float
) -> None:
    x, mean, covariance = np.array(scores), np.array([3.8, 3.4]), np.array([[1.1, 0.3], [0.3, 0.9]])
    there = probability_without_change(x, mean, covariance, reliability, quadrant(4, 3.5))
    cut = quadrant(scale * 4 + shift, scale * 3.5 + shift)
    moved = probability_without_change(scale * x + shift, scale * mean + shift, scale**2 * covariance, reliability, cut)
    np.testing.assert_allclose(moved, there, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(scores=SCORES, split=SPLITS, sem=st.floats(0.05, 1))
def test_a_second_error_makes_another_style_likelier_where_misclassification_is_rare(
    scores: list[tuple[float, float]], split: Split, sem: float
) -> None:
    x = np.array(scores)
    found = style_certainty(x[:, 0], x[:, 1], split=split, sem_anxiety=sem, sem_avoidance=sem)
    rare = (found["misclassified"] < 0.2).to_numpy()
    assert (found.loc[rare, "other_style_at_retest"] >= found.loc[rare, "misclassified"] - 1e-9).all()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_bounds_hold_the_weighted_share_and_order_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (60, 2))
    seen, reached = rng.random(60) < 0.75, rng.random(60) < 0.4
    if seen.all() or not seen.any():
        return
    found = weighted_share(reached, seen, x)
    assert 0 <= found.estimate <= 1
    assert found.effective <= found.n_seen + 1e-9
    mixed = rng.permutation(60)
    again = weighted_share(reached[mixed], seen[mixed], x[mixed])
    assert again.estimate == pytest.approx(found.estimate, rel=1e-9)
    np.testing.assert_allclose(again.influence, found.influence[mixed], atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_reliable_crossing_is_crossing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.uniform(1, 7, (50, 2)), rng.uniform(1, 7, (50, 2))
    region, distance = quadrant(4, 4), np.array([0.7, 0.5, 0.7, 0.5])
    for which in ("crossed", "any", "both"):
        assert not (crossed_reliably(before, after, region, distance, which=which) & ~inside(after, region)).any()
    rows = earned_security(
        np.where(inside(before, region), "secure", "no"), np.where(inside(after, region), "secure", "no"), scores=before,
        end_scores=after, reliability=(0.8, 0.8), region=region, definition="crossing with reliable change",
    )  # fmt: skip
    assert all(0 <= r.estimate <= 1 for r in rows if r.estimand in ("earned_security", "expected_without_change"))

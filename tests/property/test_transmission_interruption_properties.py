"""What must hold of interruption whatever the counts: arms swapped, classes renamed, nothing between the arms."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from attachment_outcomes.inference.agreement import wilson
from attachment_outcomes.inference.prevented_fraction import combination, number_needed, prevented_fraction, ratio
from attachment_outcomes.transmission.interruption import apparent_change, functioning_change, interrupted_transmission

CELLS = [(a, b, c) for a in ("treated", "comparison") for b in ("insecure", "secure") for c in ("secure", "insecure")]
counts = st.lists(st.integers(1, 25), min_size=8, max_size=8)
OTHER = {"treated": "comparison", "comparison": "treated", "secure": "insecure", "insecure": "secure"}


def pairs(numbers, families=1):
    rows = [cell for cell, k in zip(CELLS, numbers, strict=True) for _ in range(k)]
    frame = pd.DataFrame(rows, columns=["arm", "before", "child"])
    return frame.assign(cluster=np.arange(len(frame)) // families)


def told(frame):
    """Return the estimates by estimand and group; what cannot be told is not among them."""
    return {(r.estimand, r.group): r for r in interrupted_transmission(frame) if r.estimand != "not testable"}


INTERACTION, INSECURE = ("interaction_risk_difference", ""), ("child_secure_difference", "parent insecure")
ODDS, FRACTION, NEEDED = ("interaction_odds_ratio", ""), ("fraction_interrupted", ""), ("number_needed_to_treat", "")


@settings(max_examples=20, deadline=None)
@given(counts, st.sampled_from([1, 2]))
def test_swapping_the_arms_turns_every_difference_round(numbers, families):
    frame = pairs(numbers, families)
    one, other = told(frame), told(frame.assign(arm=frame["arm"].map(OTHER)))
    # Where families decide a coefficient alone there are no differences, whatever the arms are called.
    assert (INTERACTION in one) == (INTERACTION in other)
    for key in {INTERACTION, INSECURE} & set(one):
        assert math.isclose(one[key].estimate, -other[key].estimate, abs_tol=1e-9)
        assert math.isclose(one[key].ci_low, -other[key].ci_high, abs_tol=1e-7)
    if ODDS in one:
        assert math.isclose(math.log(one[ODDS].estimate), -math.log(other[ODDS].estimate), abs_tol=1e-7)
        assert math.isclose(math.log(one[ODDS].ci_low), -math.log(other[ODDS].ci_high), abs_tol=1e-6)


@settings(max_examples=15, deadline=None)
@given(counts)
def test_calling_insecure_secure_in_parents_and_children_keeps_the_interaction(numbers):
    # Both the groups and the end change their names, so that the sign is turned twice.
    frame = pairs(numbers)
    renamed = frame.assign(before=frame["before"].map(OTHER), child=frame["child"].map(OTHER))
    one, other = (told(f)[INTERACTION] for f in (frame, renamed))
    assert math.isclose(one.estimate, other.estimate, abs_tol=1e-12)
    assert math.isclose(one.ci_low, other.ci_low, abs_tol=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 25), min_size=4, max_size=4), st.integers(1, 3))
def test_arms_that_are_alike_give_nothing(numbers, times):
    frame = pairs([*(k * times for k in numbers), *numbers])
    found = told(frame)
    assert abs(found[INTERACTION].estimate) < 1e-9
    assert math.isclose(found[ODDS].estimate, 1, rel_tol=1e-9)
    assert abs(found[FRACTION].estimate) < 1e-9
    assert math.isnan(found[NEEDED].ci_low)
    assert "infinity" in found[NEEDED].note


@settings(max_examples=15, deadline=None)
@given(counts, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(numbers, random):
    frame = pairs(numbers, 2)
    order = list(range(len(frame)))
    random.shuffle(order)
    one, other = told(frame), told(frame.iloc[order])
    assert list(one) == list(other)
    for key, row in one.items():
        for field in ("estimate", "ci_low", "ci_high"):
            np.testing.assert_allclose(getattr(row, field), getattr(other[key], field), rtol=1e-6, atol=1e-9)


limits = st.integers(1, 40).flatmap(lambda n: st.integers(0, n).map(lambda x: wilson(x, n)))


@given(limits, limits)
def test_limits_hold_the_estimate_and_agree_on_whether_there_is_a_difference(first, second):
    difference, found = combination([1, -1], [first, second]), ratio(first, second)
    assert difference.ci_low <= difference.estimate <= difference.ci_high
    assert difference.ci_low >= -1
    assert difference.ci_high <= 1
    if not math.isnan(found.estimate):
        assert found.ci_low <= found.estimate <= found.ci_high
        # (θ1 - R θ2) at R = 1 is the difference: both intervals hold no difference, or neither does.
        for edge, at_one in ((difference.ci_low, found.ci_low - 1), (-difference.ci_high, 1 - found.ci_high)):
            assert abs(edge) < 1e-9 or abs(at_one) < 1e-9 or (edge > 0) == (at_one > 0)


@given(limits, limits)
def test_the_fraction_never_exceeds_all_and_the_number_needed_is_the_differences(first, second):
    found = prevented_fraction(first, second)
    assert math.isnan(found.estimate) or (found.estimate <= 1 and found.ci_high <= 1 + 1e-12)
    difference = combination([1, -1], [first, second])
    needed = number_needed(difference)
    assert needed.through_infinity == (difference.ci_low <= 0 <= difference.ci_high)
    if not needed.through_infinity:
        assert needed.ci_low <= needed.estimate <= needed.ci_high


@given(st.floats(0.05, 0.95), st.floats(0.01, 1.0))
def test_apparent_change_leaves_the_shares_of_classes_as_they_are(share, kappa):
    becomes, ceases = apparent_change(share, kappa=kappa)
    assert 0 <= becomes <= 1
    assert math.isclose((1 - share) * becomes, share * ceases, abs_tol=1e-12)
    agreement = 1 - (1 - share) * becomes - share * ceases
    chance = share**2 + (1 - share) ** 2
    assert math.isclose((agreement - chance) / (1 - chance), kappa, rel_tol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(-3, 3), st.floats(0.2, 4))
def test_another_zero_and_unit_of_functioning_change_only_what_has_points(seed, shift, scale):
    rng = np.random.default_rng(seed)
    n = 40
    first, change = rng.random(n), rng.random(n)
    child = np.where(rng.random(n) < 0.5, "secure", "insecure")
    child[:2] = ["secure", "insecure"]
    frame = pd.DataFrame({"arm": "treated", "before": "insecure", "after": "insecure", "child": child})
    one, other = (
        {r.estimand: r for r in functioning_change(frame.assign(functioning_before=a, functioning_after=b))}
        for a, b in ((first, first + change), (shift + scale * first, shift + scale * (first + change)))
    )
    for estimand, factor in (
        ("functioning_change", 1.0),
        ("functioning_change_per_point", scale),
        ("functioning_change_odds_ratio", 1.0),
    ):
        assert math.isclose(one[estimand].estimate, factor * other[estimand].estimate, rel_tol=1e-5, abs_tol=1e-8)

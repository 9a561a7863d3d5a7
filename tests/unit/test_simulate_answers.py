"""Simulated answers have the true score, the spread and the reliability that were asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.simulate.answers import (
    CORE10,
    ECR_R_ANXIETY,
    ECR_R_AVOIDANCE,
    WAI_SR,
    Form,
    Noise,
    answer_items,
    keyed_mean,
    noise_for,
)
from attachment_outcomes.simulate.draws import normals, part_generator, pick


def one_item(uniforms, *, true, form, noise):
    return answer_items(np.full(len(uniforms), true), np.array(uniforms)[:, None], form=form, noise=noise)[:, 0].tolist()


def test_without_over_dispersion_an_answer_is_binomial():
    # Binomial(4, 1/2): cumulative 1/16, 5/16, 11/16, 15/16.
    steps = np.array([1, 5, 11, 15]) / 16
    answers = one_item([*(steps - 1e-9), *(steps + 1e-9)], true=2.0, form=Form(1, 0, 4), noise=Noise())
    assert answers == [0, 1, 2, 3, 1, 2, 3, 4]


def test_over_dispersion_is_that_of_a_polya_urn():
    # Beta-binomial(2; 1/2, 1/2), intra-class correlation 1/2: probabilities 3/8, 2/8, 3/8, worked by hand.
    steps = np.array([3 / 8, 5 / 8])
    answers = one_item([*(steps - 1e-9), *(steps + 1e-9)], true=1.0, form=Form(1, 0, 2), noise=Noise(spread=0.5))
    assert answers == [0, 1, 1, 2]


def test_the_least_spread_is_on_the_two_neighbouring_numbers():
    answers = one_item([0.1, 0.699, 0.701, 0.999], true=3.3, form=Form(1, 1, 7), noise=Noise(neighbours=1.0))
    assert answers == [3, 3, 4, 4]


def test_reverse_keyed_items_are_answered_the_other_way_round():
    form = Form(2, 1, 7, (2,))
    answers = answer_items(np.array([1.0, 7.0]), np.full((2, 2), 0.5), form=form, noise=Noise())
    assert answers.tolist() == [[1, 7], [7, 1]]
    assert keyed_mean(answers, form).tolist() == [1.0, 7.0]


@pytest.mark.parametrize("form", [CORE10, ECR_R_ANXIETY, ECR_R_AVOIDANCE, WAI_SR])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.97])
def test_the_mean_answer_is_the_true_score_even_near_the_ends(form, share):
    true = form.low + share * (form.high - form.low)
    people = 4000
    answers = answer_items(
        np.full(people, true), np.random.default_rng(1).random((people, form.items)), form=form, noise=Noise(spread=0.1)
    )
    mean = keyed_mean(answers, form)
    assert abs(mean.mean() - true) < 4 * mean.std() / np.sqrt(people)  # four standard errors


@pytest.mark.parametrize(
    ("form", "reliability", "mean", "sd"),
    [(ECR_R_ANXIETY, 0.92, 4.1, 1.1), (CORE10, 0.88, 2.0, 0.6), (WAI_SR, 0.92, 3.9, 0.5), (CORE10, 0.70, 2.0, 0.6)],
)
def test_coefficient_alpha_is_the_reliability_asked_for(form, reliability, mean, sd):
    rng = part_generator(7, "alpha")
    people = 20_000
    true = np.clip(mean + sd * normals(rng, people), form.low, form.high)
    noise = noise_for(reliability, mean=mean, sd=sd, form=form)
    answers = answer_items(true, rng.random((people, form.items)), form=form, noise=noise).astype(float)
    for item in form.reverse:
        answers[:, item - 1] = form.low + form.high - answers[:, item - 1]
    items, k = answers.var(axis=0, ddof=1).sum(), form.items
    alpha = k / (k - 1) * (1 - items / answers.sum(axis=1).var(ddof=1))
    # Floors, ceilings and items of unequal difficulty move alpha by less than this.
    assert alpha == pytest.approx(reliability, abs=0.01)


@pytest.mark.parametrize(
    ("reliability", "sd", "message"),
    [(0.995, 0.6, "too high"), (0.001, 1.2, "too low"), (1.0, 0.6, "not between 0 and 1"), (0.0, 0.6, "not between 0 and 1")],
)
def test_an_impossible_reliability_is_refused(reliability, sd, message):
    with pytest.raises(StatisticsError, match=message):
        noise_for(reliability, mean=2.0, sd=sd, form=CORE10)


@given(
    low=st.integers(0, 1),
    top=st.integers(1, 10),
    share=st.floats(0, 1),
    more=st.floats(0, 1),
    uniform=st.floats(0, 1, exclude_max=True),
    noise=st.one_of(st.floats(0, 0.9).map(lambda s: Noise(spread=s)), st.floats(0, 1).map(lambda s: Noise(neighbours=s))),
)
def test_answers_stay_in_range_and_never_fall_when_the_true_score_rises(low, top, share, more, uniform, noise):
    form = Form(1, low, low + top)
    lower, higher = sorted([share, more])
    answers = [one_item([uniform], true=low + s * top, form=form, noise=noise)[0] for s in (lower, higher)]
    assert low <= answers[0] <= low + top
    if higher - lower > 1e-6:  # closer ones differ by rounding only
        assert answers[0] <= answers[1]


def test_draws_repeat_and_parts_are_independent():
    assert part_generator(1, "a").random(3).tolist() == part_generator(1, "a").random(3).tolist()
    assert part_generator(1, "a").random() != part_generator(1, "b").random()
    assert pick(np.array([0.0, 0.24, 0.26, 0.999]), [1, 1, 2]).tolist() == [0, 0, 1, 2]

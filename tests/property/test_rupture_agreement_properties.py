"""What holds for any verdicts, ratings and noise."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attachment_outcomes.inference.clustered_agreement import kappa_of
from attachment_outcomes.rupture.agreement import fleiss_kappa, pair_agreement
from attachment_outcomes.rupture.aligned import CLIENT, EPISODE, LEVELS, ONSET, align
from attachment_outcomes.rupture.criteria import as_criteria, detect
from attachment_outcomes.rupture.noise import Scale, found_on_noise, noise_rows, scale_of
from attachment_outcomes.rupture.raters import Ratings, congruence
from attachment_outcomes.rupture.series import read_series
from attachment_outcomes.rupture.shapes import trends
from attachment_outcomes.rupture.summary import client_summary, inside_episodes

DROP = "attachment_outcomes.rupture.rules:within_person_drop"
CHART = "attachment_outcomes.rupture.rules:control_chart"
CRITERIA = {
    "drop": {"rule": DROP, "settings": {"k": 1.0}},
    "chart": {"rule": CHART, "settings": {"multiplier": 1.5}},
    "two": {"rule": DROP, "settings": {"k": 1.5, "tolerance": 0.0}},
}
few = settings(max_examples=15, deadline=None)
counts = st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=2, max_size=12)
rating = st.one_of(st.integers(4, 28).map(lambda q: q / 4), st.just(float("nan")))
cohort = st.lists(st.lists(st.tuples(rating, st.integers(1, 2)), min_size=0, max_size=20), min_size=1, max_size=6)


def frame(courses):
    rows = [
        (f"p{i}", int(n), score)
        for i, steps in enumerate(courses)
        for (score, _), n in zip(steps, np.cumsum([1, *(gap for _, gap in steps[:-1])]), strict=False)
    ]
    return pd.DataFrame(rows, columns=["person_id", "session_number", "wai"]).astype({"wai": float, "session_number": "int64"})


def verdicts_of(courses, order=("drop", "chart", "two")):
    series = read_series(frame(courses), score="wai")
    found = {c.name: detect(series, c) for c in as_criteria(CRITERIA)}
    return align([found[name] for name in order]), [found[name] for name in order]


@given(counts)
def test_kappa_is_symmetric_bounded_and_that_of_the_sums(cells):
    own = np.array(cells, dtype=float)
    assume(own.sum() > 0)
    one, two = pair_agreement(own), pair_agreement(own[:, [0, 2, 1, 3]])
    assert one.agreement == two.agreement
    assert one.bias_index == pytest.approx(-two.bias_index)
    assert one.pabak == pytest.approx(2 * one.agreement - 1)
    if math.isnan(one.kappa):
        assert one.note
        return
    assert one.kappa == pytest.approx(two.kappa)
    assert one.kappa == pytest.approx(kappa_of(own.sum(axis=0).reshape(2, 2) / own.sum()))
    if one.n_people == 1:
        assert math.isnan(one.ci_low)
        return
    assert -1 <= one.ci_low <= one.kappa + 1e-12
    assert one.kappa - 1e-12 <= one.ci_high <= 1


@given(counts)
def test_twice_the_sessions_of_the_same_people_make_kappa_no_surer(cells):
    own = np.array(cells, dtype=float)
    assume(min(own[:, :2].sum(), own[:, 2:].sum(), own[:, [0, 2]].sum(), own[:, [1, 3]].sum()) > 0)
    one, twice, more = pair_agreement(own), pair_agreement(2 * own), pair_agreement(np.concatenate([own, own]))
    assert twice.kappa == pytest.approx(one.kappa)
    assert twice.std_error == pytest.approx(one.std_error)
    # As many people again do: the variance is half, but for G / (G - 1).
    g = int((own.sum(axis=1) > 0).sum())
    assume(g > 1)
    assert more.std_error == pytest.approx(one.std_error * math.sqrt((2 * g) / (2 * g - 1) * (g - 1) / g / 2))


@given(counts)
def test_two_criteria_have_the_fleiss_kappa_of_scotts_pi(cells):
    own = np.array(cells, dtype=float).sum(axis=0)
    assume(own.sum() > 0)
    votes = np.repeat([2.0, 1, 1, 0], own.astype(int))
    found = fleiss_kappa(votes, 2)
    if math.isnan(found.kappa):
        return
    # Scott's pi is Cohen's kappa of the table made symmetric.
    even = (own[1] + own[2]) / 2
    assert found.kappa == pytest.approx(kappa_of(np.array([[own[0], even], [even, own[3]]]) / own.sum()))


@few
@given(cohort)
def test_counts_add_up_whatever_the_series(courses):
    verdicts, found = verdicts_of(courses)
    for level in LEVELS:
        cells = verdicts.cells(0, 1, level)
        assert (cells >= 0).all()
        turned = verdicts.cells(1, 0, level)
        assert (cells == turned[:, [0, 2, 1, 3]]).all()
        same = verdicts.cells(0, 0, level)
        assert same[:, 1:3].sum() == 0
    judged = sum(max(int(n) - 1, 0) for n in found[0].series.lengths[found[0].signal.assessable])
    assert verdicts.cells(0, 0, EPISODE).sum() == judged
    assert verdicts.cells(0, 0, CLIENT).sum() == found[0].assessable.sum()
    assert verdicts.cells(0, 0, ONSET)[:, 0].sum() == len(found[0].episodes.onset)


@few
@given(cohort, st.randoms())
def test_the_order_of_criteria_and_people_does_not_matter(courses, random):
    shuffled = courses.copy()
    random.shuffle(shuffled)
    one, _ = verdicts_of(courses)
    two, _ = verdicts_of(shuffled, order=("two", "chart", "drop"))
    for level in LEVELS:
        assert one.cells(0, 2, level).sum(axis=0).tolist() == two.cells(2, 0, level).sum(axis=0).tolist()


@few
@given(st.integers(0, 10_000), st.floats(0.2, 5), st.floats(-20, 20), st.sampled_from(["drop", "chart"]))
def test_what_noise_shows_does_not_hang_on_unit_or_zero_of_the_ratings(seed, factor, shift, name):
    rng = np.random.default_rng(seed)
    values = rng.normal(4, 1, (6, 12))
    criterion = next(c for c in as_criteria(CRITERIA) if c.name == name)

    def rows(x):
        table = pd.DataFrame(
            {"person_id": np.repeat(np.arange(6), 12), "session_number": np.tile(np.arange(12), 6), "wai": x.ravel()}
        )
        noise = found_on_noise(read_series(table, score="wai"), criterion, rng=np.random.default_rng(1), replicates=5)
        return [r.estimate for r in noise_rows(noise, name)]

    assert rows(values) == pytest.approx(rows(shift + factor * values), nan_ok=True)


@given(st.lists(st.integers(0, 40), min_size=2, max_size=30), st.sampled_from([0.1, 0.25, 1.0, 1 / 12]))
def test_the_step_of_a_scale_is_found_and_rounding_stays_on_it(places, step):
    values = 1 + step * np.array(places, dtype=float)
    scale = scale_of(values, 1.0, 1 + 40 * step)
    assume(scale.step > 0)
    multiple = scale.step / step
    assert multiple == pytest.approx(round(multiple))
    assert scale.rounded(values) == pytest.approx(values)
    free = scale.rounded(np.linspace(-5, 60, 41))
    assert (free >= 1).all()
    assert (free <= 1 + 40 * step).all()


def test_a_scale_without_a_step_only_has_ends():
    assert scale_of(np.array([1.0, 1.1234567, 2.3]), 1, 5) == Scale(1, 5)
    assert Scale(1, 5).words == "held within 1 to 5"
    assert Scale(1, 5, 0.25).words == "held within 1 to 5 and rounded to steps of 0.25"
    assert Scale(1, 5).rounded(np.array([0.2, 1.234, 7])).tolist() == [1, 1.234, 5]


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-5, 5))
def test_congruence_does_not_hang_on_the_units_of_the_raters(seed, factor, shift):
    rng = np.random.default_rng(seed)
    pair = np.repeat(np.arange(6), 5)
    one, two = rng.normal(size=30), rng.normal(size=30)
    there = congruence(Ratings(one, two, pair, np.arange(6)))
    back = congruence(Ratings(shift + factor * two, one, pair, np.arange(6)))
    assert there.estimate == pytest.approx(back.estimate)
    assert (there.ci_low, there.ci_high) == (pytest.approx(back.ci_low), pytest.approx(back.ci_high))


@few
@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-50, 50))
def test_trends_turn_with_the_ratings_and_not_with_their_zero(seed, factor, shift):
    rng = np.random.default_rng(seed)
    sessions = np.cumsum(rng.integers(1, 3, (5, 9)), axis=1)
    table = pd.DataFrame({"person_id": np.repeat(np.arange(5), 9), "session_number": sessions.ravel(), "wai": rng.normal(size=45)})
    one = trends(read_series(table, score="wai"))
    two = trends(read_series(table.assign(wai=shift - factor * table["wai"]), score="wai"))
    assert two.slope == pytest.approx(-factor * one.slope)
    assert two.curvature == pytest.approx(-factor * one.curvature, rel=1e-5, abs=1e-9)
    assert two.slope_p == pytest.approx(one.slope_p, rel=1e-5)
    assert two.curvature_p == pytest.approx(one.curvature_p, rel=1e-4)
    assert (one.turns_inside == two.turns_inside).all()


@few
@given(cohort)
def test_time_in_rupture_is_the_share_of_sessions_inside_an_episode(courses):
    series = read_series(frame(courses), score="wai")
    report = frame(courses).assign(reported=lambda f: (f["wai"] < 3).astype(float), resolution=lambda f: f["wai"])
    reads = ("reported", "resolution")
    rule = "attachment_outcomes.rupture.rules:reported_rupture"
    settings_ = {"at_least": 1, "resolution": "resolution", "resolved_at": 2.5}
    psq = as_criteria({"psq": {"rule": rule, "settings": settings_, "reads": list(reads), "episode": {"min_sessions": 1}}})[0]
    own = read_series(report, score="reported", channels=("resolution",), report=True)
    cases = [*((series, detect(series, c)) for c in as_criteria(CRITERIA)), (own, detect(own, psq))]
    for of, found in cases:
        flags = inside_episodes(found)
        expected = np.full(len(of.lengths), np.nan)
        expected[found.kept] = found.series.total(flags) / np.maximum(found.series.lengths, 1)
        expected[~found.assessable] = np.nan
        assert client_summary(of, found)["time_in_rupture"].to_numpy() == pytest.approx(expected, nan_ok=True)

"""Shapes of whole courses: each by hand, against R, and beside noise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference
from tests.unit.test_rupture_agreement import study

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.rupture.criteria import as_criteria, detect
from attachment_outcomes.rupture.series import read_series
from attachment_outcomes.rupture.shapes import (
    ADJUSTED,
    EACH,
    FALLING,
    INVERTED,
    LINEAR,
    LOCAL,
    NONE,
    RISING,
    SHAPES,
    STEVENS,
    TABLES,
    U,
    analyse,
    client_shapes,
    trends,
)

RTOL = 1e-8  # lm solves by QR, ours by sums of powers
DROP = {"rule": "attachment_outcomes.rupture.rules:within_person_drop", "settings": {"k": 2.0}}
WIGGLE = [0.1, -0.1, 0.05, -0.05, 0.1, -0.1, 0.05, -0.05, 0.1, -0.1]
TIME = np.arange(10)
COURSES = {
    RISING: 2 + 0.2 * TIME + WIGGLE,
    FALLING: 4 - 0.2 * TIME + WIGGLE,
    U: 2 + 0.1 * (TIME - 4.5) ** 2 + WIGGLE,
    INVERTED: 4 - 0.1 * (TIME - 4.5) ** 2 + WIGGLE,
    NONE: 3 + 0.1 * np.sin(2 * np.pi * TIME / 5),  # no fall of 2 SD from one session to the next
    LOCAL: np.array([4, 4.1, 4, 2, 4.1, 4, 4.1, 4, 4.1, 4]),
}


def shapes_of(courses, rule=EACH):
    frame = pd.concat(pd.DataFrame({"person_id": p, "session_number": range(1, len(c) + 1), "wai": c}) for p, c in courses.items())
    series = read_series(frame, score="wai")
    return client_shapes(series, detect(series, as_criteria({"x": DROP})[0]), rule=rule).set_index("client")


@pytest.mark.parametrize("name", SHAPES)
def test_a_series_made_for_a_shape_has_that_shape_alone(name):
    found = shapes_of(COURSES).loc[name]
    assert [shape for shape in SHAPES if found[shape]] == [name]


def test_shapes_are_not_exclusive():
    course = 2 + 0.25 * TIME + WIGGLE
    course[5] -= 2  # a dip in a rise
    found = shapes_of({"a": course}).loc["a"]
    assert found[LOCAL]
    assert found[RISING]
    assert not found[NONE]


def test_a_curve_that_turns_after_the_end_is_no_u():
    found = shapes_of({"a": 4 - 0.2 * TIME + 0.009 * TIME**2 + 0.1 * np.array(WIGGLE)}).loc["a"]  # turns at session 12
    assert found[FALLING]
    assert not found[U]


def test_too_few_ratings_have_no_shape_and_a_flat_series_has_none():
    found = shapes_of({"short": [1.0, 2, 3, 4], "flat": [3.0] * 8, "five": [1.0, 2.1, 2.9, 4, 5.1]})
    assert found.loc["short"].isna().all() or found.loc["short", SHAPES[0]] is pd.NA
    assert found.loc["flat", NONE]
    assert found.loc["five", RISING]


def test_adjusting_over_clients_takes_back_what_one_in_twenty_shows():
    rng = np.random.default_rng(2)
    courses = {f"p{i:03d}": rng.normal(3, 0.5, 12) for i in range(200)}
    each, adjusted = (shapes_of(courses, rule)[[RISING, FALLING]].to_numpy(dtype=bool).any(axis=1) for rule in (EACH, ADJUSTED))
    assert 0.02 <= each.mean() <= 0.09  # .05, three binomial errors either way
    assert adjusted.sum() <= 1
    assert not (adjusted & ~each).any()
    clear = {**courses, "rise": 2 + 0.3 * np.arange(12) + 0.05 * rng.normal(size=12)}
    assert shapes_of(clear, ADJUSTED).loc["rise", RISING]


def test_terms_and_p_values_match_r():
    reference = load_reference("rupture_agreement")
    frame = pd.DataFrame({"person_id": reference["id"], "session_number": reference["session"], "wai": reference["score"]})
    found = trends(read_series(frame, score="wai"))
    names = ("slope", "slope_p", "curvature", "curvature_p")
    reference["shapes"].check({name: getattr(found, name) for name in names}, rel=RTOL, abs=1e-11)
    reference["shapes"].check({"inside": found.turns_inside.astype(float)})


def noisy(n=40, seed=3):
    rng = np.random.default_rng(seed)
    return {f"p{i:02d}": {s: float(v) for s, v in enumerate(rng.normal(4, 0.5, 12), start=1)} for i in range(n)}


def test_a_study_tells_shares_beside_noise_and_published_ones():
    part = analyse(study(noisy(), {"three": 3.2}))
    table = part.tables["rupture_shapes"]
    assert list(table.columns) == list(TABLES["rupture_shapes"])
    assert len(table) == 2 * (len(SHAPES) + 1)
    assert len(estimates_frame(part.estimates)) == len(part.estimates)
    rows = {(r.estimand, r.definition, r.group): r for r in part.estimates}
    for shape in (*SHAPES, LINEAR):
        share, noise = rows["share", EACH, shape], rows["expected_on_noise", EACH, shape]
        above = rows["share_above_noise", EACH, shape]
        assert above.estimate == pytest.approx(share.estimate - noise.estimate)
        assert above.ci_low <= above.estimate <= above.ci_high
        assert share.n == 40
    assert rows["share", EACH, LINEAR].primary
    assert not rows["share", ADJUSTED, LINEAR].primary
    published = {r.group: r.estimate for r in part.estimates if r.definition.startswith("published")}
    assert published == STEVENS
    # Noise is white here: a slope is significant in 5 %, its own estimate of the autocorrelation may move that a little.
    assert rows["expected_on_noise", EACH, LINEAR].estimate == pytest.approx(0.05, abs=0.035)
    assert rows["expected_on_noise", ADJUSTED, LINEAR].estimate < 0.01


def test_short_series_have_no_shape_and_say_so():
    (row,) = analyse(study({f"p{i}": dict.fromkeys(range(1, 5), 5.0) for i in range(3)}, {"three": 3})).estimates
    assert row.estimand == NOT_TESTABLE
    assert "fewer than 5 rated sessions" in row.note


def test_shapes_need_a_criterion_of_ratings():
    data = study(noisy(3), {"three": 3})
    data.criteria["three"]["reads"] = ["alliance"]
    with pytest.raises(StatisticsError, match="reads reports"):
        analyse(data)

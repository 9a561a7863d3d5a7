"""Prevalence of a study beside noise: which rows there are, for ratings, for a bounded scale and for reports."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.test_rupture_agreement import study

from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.rupture.detection import BOUNDED, NOISE, TABLES, analyse

NOISY = {"expected_on_noise", "noise_rate_per_session", "noise_share_repaired", "share_above_noise", "rate_above_noise"}


def courses(n=30, seed=8):
    rng = np.random.default_rng(seed)
    return {f"p{i:02d}": {s: round(float(v), 1) for s, v in enumerate(rng.normal(3.5, 0.6, 12).clip(1, 5), 1)} for i in range(n)}


def rows_of(part, **wanted):
    return [r for r in part.estimates if all(getattr(r, k) == v for k, v in wanted.items())]


def test_ratings_without_a_known_range_have_one_kind_of_noise():
    part = analyse(study(courses(), {"three": 3}))
    assert {r.group for r in part.estimates if r.estimand in NOISY} == {""}
    assert {r.estimand for r in part.estimates} >= NOISY
    assert all(list(part.tables[name].columns) for name in TABLES)
    by = {(r.estimand, r.group): r.estimate for r in part.estimates}
    assert by["share_above_noise", ""] == pytest.approx(by["share_with_rupture", ""] - by["expected_on_noise", ""])
    assert by["rate_above_noise", ""] == pytest.approx(by["rate_per_session", ""] - by["noise_rate_per_session", ""])
    assert by["repaired_above_noise", ""] == pytest.approx(by["share_repaired", ""] - by["noise_share_repaired", ""])


def test_a_known_range_adds_noise_that_is_held_within_it():
    part = analyse(study(courses(), {"three": 3}, range=[1, 5]))
    bounded = rows_of(part, group=BOUNDED)
    assert {r.estimand for r in bounded} >= NOISY
    assert all(not r.primary for r in bounded)
    assert all("held within 1 to 5 and rounded to steps of 0.1" in r.note for r in bounded if r.estimand in NOISY)
    assert len(estimates_frame(part.estimates)) == len(part.estimates)
    free = {r.estimand: r for r in part.estimates if r.estimand in NOISY and not r.group}
    assert free["expected_on_noise"].primary


def test_reports_have_no_noise_and_say_so():
    data = study(courses(), {"three": 3, "report": 3})
    data.criteria["report"]["reads"] = ["alliance"]
    part = analyse(data)
    (row,) = rows_of(part, definition="report", estimand=NOT_TESTABLE)
    assert (row.group, row.note.startswith("pure noise has no reports")) == (NOISE, True)
    assert not [r for r in part.estimates if r.definition == "report" and r.estimand in NOISY]


def test_the_noise_of_a_study_repeats_with_its_seed():
    one, two = (analyse(study(courses(), {"three": 3})).estimates for _ in range(2))
    assert one == two

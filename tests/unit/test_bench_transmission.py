"""The bench of transmission: the same families and samples every time, and every analysis takes part."""

from __future__ import annotations

import pandas as pd

from attachment_outcomes.inference.estimate import NOT_TESTABLE
from attachment_outcomes.simulate.bench.transmission import families_of, samples_of, settings
from attachment_outcomes.transmission.stage import SAMPLES, TRANSMISSION, run_step


def test_the_tables_are_the_same_every_time_and_as_they_are_described():
    first, second = families_of(200), families_of(200)
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, second[name])
    relations = first["relations"]
    assert (relations["generation"] == 2).sum() == 240
    assert (relations["generation"] == 1).sum() == 60
    assert first["treatments"]["arm"].value_counts().tolist() == [100, 100]
    assert samples_of(7)["samples"]["sample_id"].nunique() == 7


def test_every_analysis_of_families_and_of_samples_answers():
    for step, tables in ((TRANSMISSION, families_of(200)), (SAMPLES, samples_of(12))):
        found = run_step(step, tables, settings=settings(), instruments={}, replicates=200)
        answered = {e.analysis for e in found.estimates if e.estimand != NOT_TESTABLE}
        assert {name for analysis in step for name in analysis.names} <= answered

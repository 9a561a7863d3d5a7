"""Correlations corrected for unreliability."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.disattenuation import disattenuated
from attachment_outcomes.study.contracts import empty, typed
from attachment_outcomes.transmission.continuous import analyse
from attachment_outcomes.transmission.data import TransmissionData

SE, LIMITS = 0.1, (math.tanh(math.atanh(0.31) - 0.196), math.tanh(math.atanh(0.31) + 0.196))


def test_the_corrected_correlation_is_that_of_psych():
    r = load_reference("misclassification")["disattenuated"]
    found = disattenuated(r["r"], SE, LIMITS, reliabilities=(r["first"], r["second"]), rng=np.random.default_rng(1))
    r.check({"corrected": found.estimate}, abs=1e-11)
    assert (found.ci_low, found.ci_high) == pytest.approx([v / math.sqrt(0.71 * 0.84) for v in LIMITS], abs=1e-12)


def test_an_uncertain_reliability_widens_the_interval_as_a_bootstrap_of_both_samples_does():
    generator = np.random.default_rng(5)
    n, retested, reliability = 200, 60, 0.7
    true = generator.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], n)
    seen = np.sqrt(reliability) * true + np.sqrt(1 - reliability) * generator.standard_normal((n, 2))
    twice = np.sqrt(reliability) * generator.standard_normal((retested, 1)) + np.sqrt(0.3) * generator.standard_normal(
        (retested, 2)
    )
    r, rel = np.corrcoef(seen.T)[0, 1], np.corrcoef(twice.T)[0, 1]
    error = 1 / math.sqrt(n - 3)
    limits = tuple(math.tanh(math.atanh(r) + s * 1.96 * error) for s in (-1, 1))
    known = disattenuated(r, error, limits, reliabilities=(rel, 1.0), rng=generator)
    found = disattenuated(r, error, limits, reliabilities=(rel, 1.0), n=(retested, None), rng=generator)
    draws = []
    for _ in range(4000):
        a, b = seen[generator.integers(0, n, n)], twice[generator.integers(0, retested, retested)]
        draws.append(np.corrcoef(a.T)[0, 1] / math.sqrt(np.corrcoef(b.T)[0, 1]))
    low, high = np.quantile(draws, [0.025, 0.975])
    # A bootstrap of 60 retests knows their spread to a tenth.
    assert found.ci_high - found.ci_low == pytest.approx(high - low, rel=0.1)
    assert found.ci_high - found.ci_low > known.ci_high - known.ci_low


def test_beyond_one_is_told_and_not_clipped():
    found = disattenuated(0.6, SE, (0.4, 0.75), reliabilities=(0.5, 0.5), rng=np.random.default_rng(1))
    assert found.estimate == pytest.approx(1.2)
    assert found.ci_high == pytest.approx(1.5)
    assert "beyond 1" in found.note


def test_reliabilities_that_cannot_be_are_refused():
    for value in (0.0, 1.2, -0.3, math.nan):
        with pytest.raises(StatisticsError, match="above 0 and up to 1"):
            disattenuated(0.3, SE, LIMITS, reliabilities=(value, 0.9), rng=np.random.default_rng(1))
    with pytest.raises(StatisticsError, match="at least 4"):
        disattenuated(0.3, SE, LIMITS, reliabilities=(0.9, 0.9), n=(3, None), rng=np.random.default_rng(1))


def study(parent, child, *, siblings):
    generator = np.random.default_rng(2)
    rows, pairs = [], []
    for i in range(40):
        x = generator.standard_normal()
        rows.append((f"p{i}", 0, "i", "s", "self", x))
        for c in range(2 if siblings else 1):
            rows.append((f"c{i}{c}", 0, "i", "t", "self", 0.6 * x + 0.8 * generator.standard_normal()))
            pairs.append((f"p{i}", f"c{i}{c}", "parent_child", f"f{i}", "mother-child"))
    scores = typed(pd.DataFrame(rows, columns=["person_id", "wave", "instrument", "scale", "rater", "score"]), "scores")
    relations = typed(pd.DataFrame(pairs, columns=["person_a", "person_b", "kind", "family_id", "label"]), "relations")
    asked = [{"label": "all", "parent": {"score": "i.s", **parent}, "child": {"score": "i.t", **child}}]
    tables = {"relations": relations, "scores": scores, "classifications": empty("classifications")}
    return analyse(TransmissionData(tables, {"continuous": asked}, seed=1))


RELIABLE = {"reliability": {"value": 0.8, "n": 50, "source": "made up", "verified": False}}


@pytest.mark.parametrize("siblings", [False, True])
def test_a_study_has_both_rows_and_clusters_stay(siblings):
    seen, corrected = study(RELIABLE, {}, siblings=siblings).estimates
    assert (seen.estimand, corrected.estimand) == ("correlation", "correlation_corrected")
    assert corrected.estimate == pytest.approx(seen.estimate / math.sqrt(0.8), abs=1e-12)
    assert ("jackknife" in corrected.method) == siblings
    assert corrected.ci_high - corrected.ci_low > (seen.ci_high - seen.ci_low) / math.sqrt(0.8) * 0.99
    assert "the child's score is taken as free of error" in corrected.note
    assert "parent's reliability 0.8, not checked in its source" in corrected.note
    assert not corrected.primary


def test_without_a_reliability_the_rows_are_as_before():
    (row,) = study({}, {}, siblings=False).estimates
    assert row.estimand == "correlation"
    assert row.n == 40

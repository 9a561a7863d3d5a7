"""What must hold of pooled class tables whatever their counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attachment_outcomes.transmission.samples.effects import MEASURES, read_effects
from attachment_outcomes.transmission.samples.pooled import pooled_rows
from attachment_outcomes.transmission.samples.tables import Sample

CELL = st.integers(1, 40)
TABLES = st.lists(st.lists(CELL, min_size=4, max_size=4), min_size=2, max_size=8)
NAMES = ["kappa", "agreement", "phi", "odds_ratio", "secure_given_secure", "secure_given_insecure"]


def named(cells: list[list[int]]) -> list[Sample]:
    return [Sample(str(i), str(i), str(i), "two", np.array(c).reshape(2, 2)) for i, c in enumerate(cells)]


def primary(samples: list[Sample], name: str) -> list[float]:
    rows = pooled_rows(read_effects(samples, [], MEASURES[name]), "two")
    found = next(r for r in rows if r.estimand == name and r.primary)
    return [found.estimate, found.ci_low, found.ci_high]


@settings(max_examples=15)
@given(cells=TABLES, name=st.sampled_from(NAMES))
def test_the_order_of_samples_changes_nothing_and_the_pooled_value_lies_among_them(cells: list[list[int]], name: str) -> None:
    samples = named(cells)
    found = primary(samples, name)
    assert primary(samples[::-1], name) == pytest.approx(found, rel=1e-7, abs=1e-9)
    effects = read_effects(samples, [], MEASURES[name])
    each = effects.measure.back(effects.rows["effect"].to_numpy())
    assert each.min() - 1e-9 <= found[0] <= each.max() + 1e-9
    assert found[1] <= found[0] <= found[2]


@settings(max_examples=15)
@given(cells=TABLES)
def test_turning_both_classes_round_changes_no_contrast_and_turning_one_turns_its_sign(cells: list[list[int]]) -> None:
    tables = np.array(cells).reshape(-1, 2, 2)
    for name in ("kappa", "agreement", "phi", "odds_ratio"):
        read = MEASURES[name].read
        assert read(tables[:, ::-1, ::-1])[0] == pytest.approx(read(tables)[0], abs=1e-12)
    for name in ("phi", "odds_ratio", "agreement"):
        read = MEASURES[name].read
        assert read(tables[:, :, ::-1])[0] == pytest.approx(-read(tables)[0], abs=1e-12)


@settings(max_examples=15)
@given(cell=st.lists(CELL, min_size=4, max_size=4), times=st.integers(2, 6), name=st.sampled_from(NAMES))
def test_equal_samples_pool_to_what_each_says_without_variance_between(cell: list[int], times: int, name: str) -> None:
    rows = {r.estimand: r for r in pooled_rows(read_effects(named([cell] * times), [], MEASURES[name]), "two", interval="z")[:1]}
    each = read_effects(named([cell]), [], MEASURES[name])
    assert rows[name].estimate == pytest.approx(float(each.measure.back(each.rows["effect"].iloc[0])), rel=1e-9)
    assert "tau2 = 0" in rows[name].note

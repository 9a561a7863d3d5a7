"""Natural effects: differences of chances through mediators, against glm and numerical integration."""

from __future__ import annotations

import numpy as np
import pytest
from tests.references import load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.transmission.gap.natural import fitted, natural_effects, parts

REFERENCE = load_reference("gap")
MEDIATORS = ["functioning", "sensitivity"]


def rows_of(table, **more):
    return natural_effects(table["parent"], table[MEDIATORS], table["child"], rng=np.random.default_rng(1), **more)


def test_the_parts_are_those_of_glm_and_integration():
    table = REFERENCE.frame("data")
    rows = rows_of(table)
    estimates_frame(rows, study="x")
    REFERENCE["natural"].check({r.estimand: r.estimate for r in rows}, abs=1e-8)
    total, indirect, direct = (r.estimate for r in rows)
    assert total == pytest.approx(indirect + direct, abs=1e-14)
    assert all(r.ci_low < r.estimate < r.ci_high and not r.primary for r in rows)


def test_every_pair_adds_what_leaving_it_out_takes_away():
    table = REFERENCE.frame("data")
    x, m, y = (table[c].to_numpy(dtype=float) for c in ("parent", MEDIATORS, "child"))
    whole = fitted(x, m, y)
    for i in (0, 17, 90):
        rest = np.arange(len(x)) != i
        change = whole.values - fitted(x[rest], m[rest], y[rest]).values
        # To first order; the second is about 1/n of it.
        assert change == pytest.approx(whole.influence[i], rel=0.12, abs=1e-3)


def test_a_mediator_without_a_path_to_the_child_carries_nothing():
    values = np.array([[0.2, 0.7, 0.0, -0.1, 0.5, 1.0]])
    total, indirect, direct = parts(values, 1, 0.0, 1.0)[0]
    assert indirect == 0
    assert total == direct == pytest.approx(1 / (1 + np.exp(-0.9)) - 1 / (1 + np.exp(-0.2)))


def test_units_of_mediators_do_not_matter():
    table = REFERENCE.frame("data")
    moved = table.assign(functioning=10 - 3 * table["functioning"])
    assert [r.estimate for r in rows_of(moved)] == pytest.approx([r.estimate for r in rows_of(table)], abs=1e-9)


def test_siblings_widen_the_interval():
    table = REFERENCE.frame("data")
    twice = table.loc[table.index.repeat(2)].reset_index(drop=True)
    alone, families = rows_of(twice), rows_of(twice, families=np.arange(len(twice)) // 2)
    assert families[0].std_error == pytest.approx(alone[0].std_error * np.sqrt(2), rel=0.03)
    assert families[0].n_clusters == len(table)


def test_a_score_of_the_parent_is_compared_an_sd_apart():
    table = REFERENCE.frame("data")
    rng = np.random.default_rng(4)
    score = table["parent"] + rng.standard_normal(len(table))
    rows = natural_effects(score, table[MEDIATORS], table["child"], rng=rng)
    more = natural_effects(10 * score, table[MEDIATORS], table["child"], rng=rng)
    assert [r.estimate for r in rows] == pytest.approx([r.estimate for r in more], abs=1e-9)


def test_what_has_no_logistic_model_is_refused():
    table = REFERENCE.frame("data")
    with pytest.raises(StatisticsError, match="of a child's class"):
        rows_of(table.assign(child=table["functioning"]))
    with pytest.raises(StatisticsError, match="does not vary"):
        rows_of(table.assign(child=1.0))
    apart = table.assign(child=(table["functioning"] > table["functioning"].median()).astype(float))
    with pytest.raises(StatisticsError, match="without error"):
        rows_of(apart)


def test_what_is_no_table_of_pairs_is_refused():
    table = REFERENCE.frame("data")
    x, m, y = (table[c].to_numpy(dtype=float) for c in ("parent", MEDIATORS, "child"))
    gone = np.where(np.arange(len(y)) == 3, np.nan, m[:, 0])

    def found(*values, **more):
        return natural_effects(*values, rng=np.random.default_rng(1), **more)

    for values, reason in (
        ((x, np.ones(len(x)), y), "does not vary"),
        ((np.ones(len(x)), m, y), "does not vary"),
        ((x, gone, y), "a value is missing"),
        ((x, m[:-1], y), "lists of one length"),
        ((x, m[None], y), "mediators have shape"),
        ((x, np.full(len(x), "much"), y), "not numbers"),
        ((x[:9], m[:9], y[:9]), "fewer than 10"),
    ):
        with pytest.raises(StatisticsError, match=reason):
            found(*values)
    with pytest.raises(StatisticsError, match="one family"):
        found(x, m, y, families=np.zeros(len(x)))
    flat, column = found(x, m[:, 0], y), found(x, m[:, :1], y)
    assert [r.estimate for r in flat] == [r.estimate for r in column]

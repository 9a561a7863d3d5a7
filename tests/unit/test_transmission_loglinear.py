"""Log-linear models of sparse tables: cells that their sums force to 0, and what is tested then."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import linprog

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference import agreement, association, loglinear
from attachment_outcomes.inference.loglinear import EXACT, FITS, MODELS, QUASI_INDEPENDENCE, QUASI_SYMMETRY, SATURATED, fillable


def sums(table, model):
    """Return the sums that a model fits, a row each, of each cell of a table."""
    k = len(table)
    cells = np.eye(k * k).reshape(-1, k, k)
    rows, columns = cells.sum(axis=2), cells.sum(axis=1)
    opposite = (cells + cells.transpose(0, 2, 1)).reshape(-1, k * k)
    diagonal = np.diagonal(cells, axis1=1, axis2=2)
    return np.column_stack(
        dict(zip(MODELS, ([rows, columns], [rows, columns, diagonal], [opposite], [rows, columns, opposite]), strict=True))[model]
    ).T


def largest(table, model):
    """Return the most that each cell can hold in a table (of fractions too) of the same sums."""
    array = np.asarray(table, dtype=float)
    design = sums(array, model)
    found = [linprog(-cell, A_eq=design, b_eq=design @ array.ravel(), bounds=(0, None)).fun for cell in np.eye(array.size)]
    return -np.reshape(found, array.shape)


@pytest.mark.parametrize("model", MODELS)
def test_cells_forced_to_zero_are_those_of_a_linear_programme(model):
    rng = np.random.default_rng(3)
    forced = 0
    for _ in range(12):
        k = int(rng.integers(3, 5))
        table = rng.multinomial(int(rng.integers(4, 40)), rng.dirichlet(np.full(k * k, 0.4))).reshape(k, k)
        found = fillable(table, model)
        assert (found == (largest(table, model) > 1e-7)).all(), table.tolist()
        forced += int((~found).sum())
    assert forced > 0


def test_a_table_whose_sums_leave_no_other_is_fitted_exactly():
    # Off the diagonal the first column holds one pair, the third three, and the second row four: it holds them all.
    table = [[6, 1, 0], [1, 9, 3], [0, 1, 4]]
    for rng in (None, np.random.default_rng(0)):
        found = loglinear.loglinear(table, QUASI_INDEPENDENCE, rng=rng)
        assert (found.df, found.note) == (0, SATURATED)
        assert found.fitted == pytest.approx(np.array(table), abs=1e-9)
        assert math.isnan(found.p_value)
        assert math.isnan(found.bic)
    assert loglinear.loglinear([[1, 0, 0], [2, 0, 0], [1, 1, 1]], QUASI_SYMMETRY).df == 0


@pytest.mark.parametrize("model", [QUASI_INDEPENDENCE, QUASI_SYMMETRY])
def test_sparse_fits_settle_and_have_the_sums_of_their_table(model):
    rng = np.random.default_rng(4)
    tables = rng.multinomial(30, rng.dirichlet(np.full(16, 0.4), size=300)).reshape(-1, 4, 4).astype(float)
    filled = fillable(tables, model)
    fits, settled = FITS[model](tables, filled, EXACT)
    assert settled.all()
    assert ((fits > 0) == filled).all()
    design = sums(tables[0], model)
    assert np.abs((fits - tables).reshape(-1, 16) @ design.T).max() < 1e-8


def test_a_fit_that_has_not_settled_is_told(monkeypatch):
    monkeypatch.setattr(loglinear, "ROUNDS", 2)
    found = loglinear.loglinear([[20, 4, 1], [3, 30, 9], [8, 2, 11]], QUASI_INDEPENDENCE)
    assert found.note == "not defined: the fit has not settled"
    assert math.isnan(found.p_value)
    assert math.isnan(found.bic)
    assert found.df == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[20, 5], [5]], "rows of different lengths"),
        ([["a", "b"], ["c", "d"]], "cells; allowed: whole numbers"),
        ([[None, 1], [2, 3]], "cells; allowed: whole numbers"),
        ([[[1, 0], [0, 1]], [[1, 0]]], "rows of different lengths"),
        ([[["a", "b"], ["c", "d"]]], "cells; allowed: whole numbers|shape"),
    ],
)
def test_ragged_tables_and_words_are_refused_without_the_words(table, message):
    doors = (
        agreement.kappa, agreement.independence, agreement.expected, association.kappa_interval, association.odds_ratio,
        association.cramers_v, lambda t: loglinear.loglinear(t, QUASI_SYMMETRY),
    )  # fmt: skip
    for door in doors:
        with pytest.raises(StatisticsError, match=message) as refused:
            door(table)
        assert "'a'" not in str(refused.value)

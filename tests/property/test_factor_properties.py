"""What must hold of factor models whatever the data."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attachment_outcomes.change.latent_change import latent_change
from attachment_outcomes.inference.factor.fit import _value, fit_structure
from attachment_outcomes.inference.factor.moments import moments_of
from attachment_outcomes.measures.invariance import LEVELS, longitudinal_model
from attachment_outcomes.measures.omega import omega_total, one_factor
from attachment_outcomes.measures.stability import intraclass_correlations

SEEDS = st.integers(0, 10_000)


def made(seed: int, *, missing: float = 0.0, n: int = 90, k: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    factor = rng.multivariate_normal([0, -0.5], [[1, 0.6], [0.6, 1.2]], size=n)
    own = rng.normal(size=(n, k)) * 0.4
    out = np.hstack([factor[:, [t]] * rng.uniform(0.8, 1.2, k) + own + rng.normal(size=(n, k)) * 0.6 for t in (0, 1)])
    out[rng.random(out.shape) < missing] = np.nan
    return out


@given(SEEDS, st.sampled_from(LEVELS))
@settings(max_examples=15, deadline=None)
def test_the_gradient_is_the_slope_of_the_likelihood(seed: int, level: str) -> None:
    moments, model = moments_of(made(seed, missing=0.1)), longitudinal_model(3, level)
    rng = np.random.default_rng(seed)
    at = np.array([1.0 if "uniq" in p or p == "variance" else 0.2 * rng.random() for p in model.parameters])
    slope = _value(model, moments, at)[1]
    for k in range(len(at)):
        step = np.zeros(len(at))
        step[k] = 1e-5
        by_difference = (_value(model, moments, at + step)[0] - _value(model, moments, at - step)[0]) / 2e-5
        assert slope[k] == pytest.approx(by_difference, abs=1e-4, rel=1e-5)


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_stricter_levels_never_fit_better_and_no_step_from_the_optimum_gains(seed: int) -> None:
    moments = moments_of(made(seed, missing=0.05))
    fits = [fit_structure(longitudinal_model(3, level), moments) for level in LEVELS]
    chi = [f.chi_square for f in fits]
    assert all(a <= b + 1e-6 for a, b in pairwise(chi))
    rng = np.random.default_rng(seed)
    best = fits[2]
    for _ in range(5):
        off = best.parameters + 1e-3 * rng.normal(size=len(best.parameters))
        assert _value(best.structure, moments, off)[0] >= -2 * best.loglik - 1e-7


@given(SEEDS, st.floats(0.01, 100), st.floats(-1000, 1000))
@settings(max_examples=10, deadline=None)
def test_shift_and_scale_move_points_only(seed: int, scale: float, shift: float) -> None:
    answers = made(seed, missing=0.05, n=150)
    plain = latent_change(answers[:, :3], answers[:, 3:])
    moved = latent_change(scale * answers[:, :3] + shift, scale * answers[:, 3:] + shift)
    assert moved.mean.estimate == pytest.approx(scale * plain.mean.estimate, rel=1e-4, abs=1e-5 * scale)
    assert moved.reliability.estimate == pytest.approx(plain.reliability.estimate, abs=1e-4)
    assert moved.slope.std_error == pytest.approx(plain.slope.std_error, rel=1e-3)
    assert moved.fit.chi_square == pytest.approx(plain.fit.chi_square, abs=1e-4)


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_people_and_items_have_no_order(seed: int) -> None:
    answers = made(seed, missing=0.1)
    rng = np.random.default_rng(seed)
    rows, items = rng.permutation(len(answers)), rng.permutation(6)
    plain, again = omega_total(answers), omega_total(answers[rows])
    assert (plain.omega, plain.std_error) == (again.omega, again.std_error)
    assert omega_total(answers[:, items]).omega == pytest.approx(plain.omega, abs=1e-5)


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_items_turned_round_leave_the_fit_as_it_was(seed: int) -> None:
    answers = made(seed)
    sign = np.array([1, -1, 1, 1, -1, 1])
    one, two = (fit_structure(one_factor(6), values) for values in (answers, answers * sign))
    assert one.chi_square == pytest.approx(two.chi_square, abs=1e-5)


@given(SEEDS, st.floats(0.1, 10), st.floats(-50, 50))
@settings(max_examples=20, deadline=None)
def test_icc_does_not_know_units_and_lies_in_its_interval(seed: int, scale: float, shift: float) -> None:
    ratings = np.random.default_rng(seed).normal(size=(12, 1)) + np.random.default_rng(seed + 1).normal(size=(12, 2))
    plain, moved = intraclass_correlations(ratings), intraclass_correlations(scale * ratings + shift)
    for name, found in plain.items():
        assert moved[name].icc == pytest.approx(found.icc, abs=1e-6)
        if name.endswith(",1)"):
            assert found.ci_low <= found.icc <= found.ci_high

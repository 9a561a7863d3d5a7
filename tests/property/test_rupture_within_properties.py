"""What holds for slopes within clients whatever the ratings are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attachment_outcomes.rupture.within import fixed_effects, orthogonal_instruments
from attachment_outcomes.rupture.within.regression import backward, forward, within

lengths = st.lists(st.integers(1, 9), min_size=2, max_size=8)
seeds = st.integers(0, 2**32 - 1)


def units(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def panel(seed: int) -> dict[str, np.ndarray]:
    """Return a balanced panel: 200 clients, 8 pairs of sessions each."""
    rng = np.random.default_rng(seed)
    n, t = 200, 8
    level = rng.normal(size=n)
    y, x = np.empty((n, t + 1)), rng.normal(size=(n, t))
    y[:, 0] = level + rng.normal(size=n)
    for k in range(t):
        y[:, k + 1] = 0.4 * y[:, k] - 0.3 * x[:, k] + level + rng.normal(size=n)
    unit = np.repeat(np.arange(n), t)
    return {
        "unit": unit, "session": np.tile(np.arange(t), n), "cluster": unit // 4, "x": x.ravel(), "now": y[:, :-1].ravel(),
        "then": y[:, 1:].ravel(),
    }  # fmt: skip


def by_instruments(d: dict[str, np.ndarray], *, shift: float = 0.0, scale: float = 1.0):
    now, then = (scale * d[k] + shift for k in ("now", "then"))
    return orthogonal_instruments(
        then, np.column_stack([d["x"], now]), d["session"][:, None].astype(float), unit=d["unit"], cluster=d["cluster"],
        session=d["session"],
    )  # fmt: skip


@given(lengths, seeds)
def test_deviations_are_what_a_plain_loop_gives(sizes, seed):
    unit = units(sizes)
    values = np.random.default_rng(seed).normal(size=len(unit)) + 1e6
    ahead, back, own = forward(values, unit), backward(values, unit), within(values, unit)
    for i in range(len(unit)):
        mine = np.flatnonzero(unit == unit[i])
        later, earlier = mine[mine > i], mine[mine < i]
        m = len(later)
        assert own[i] == pytest.approx(values[i] - values[mine].mean(), abs=1e-8)
        assert ahead[i] == pytest.approx(np.sqrt(m / (m + 1)) * (values[i] - values[later].mean()) if m else 0, abs=1e-8)
        assert back[i] == pytest.approx(values[i] - values[earlier].mean() if len(earlier) else 0, abs=1e-8)


@given(lengths, seeds, st.booleans())
def test_forward_deviations_keep_the_sum_of_squares_within_units(sizes, seed, own_trends):
    """They are an orthogonal rotation of what is left of a unit's mean, or line, so independent errors stay independent."""
    unit, rng = units(sizes), np.random.default_rng(seed)
    session = np.cumsum(rng.integers(1, 4, len(unit))).astype(float)
    values = rng.normal(size=(len(unit), 2))
    ahead = forward(values, unit, session if own_trends else None)
    left = values.copy()
    for i in range(len(sizes)):
        of = unit == i
        on = np.column_stack([np.ones(of.sum()), session[of]])[:, : 2 if own_trends else 1]
        left[of] -= on @ np.linalg.lstsq(on, values[of], rcond=None)[0]
    np.testing.assert_allclose(ahead.T @ ahead, left.T @ left, atol=1e-7)


@settings(max_examples=20)
@given(seeds, st.floats(-50, 50), st.floats(0.1, 20))
def test_slopes_do_not_depend_on_where_and_how_a_score_is_counted(seed, shift, scale):
    d = panel(seed)
    plain = by_instruments(d)
    moved = by_instruments(d, shift=shift, scale=scale)
    assert moved.beta[0] == pytest.approx(scale * plain.beta[0], rel=1e-6, abs=1e-9)
    assert moved.beta[1] == pytest.approx(plain.beta[1], rel=1e-6, abs=1e-9)
    assert moved.slope(0, 0.95)[1] == pytest.approx(scale * plain.slope(0, 0.95)[1], rel=1e-6)
    assert moved.strength == pytest.approx(plain.strength, rel=1e-6)


@settings(max_examples=20)
@given(seeds)
def test_what_is_constant_in_a_client_changes_nothing_within(seed):
    d = panel(seed)
    own = 7 * np.random.default_rng(seed + 1).normal(size=200)[d["unit"]]
    x = np.column_stack([d["x"], d["now"]])
    plain = fixed_effects(d["then"], x, unit=d["unit"], cluster=d["cluster"])
    moved = fixed_effects(d["then"] + own, x + own[:, None], unit=d["unit"], cluster=d["cluster"])
    np.testing.assert_allclose(moved.beta, plain.beta, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(moved.robust.covariance, plain.robust.covariance, rtol=1e-6, atol=1e-12)


@settings(max_examples=20)
@given(seeds)
def test_numbers_of_clusters_do_not_matter_but_who_shares_one_does(seed):
    d = panel(seed)
    x = np.column_stack([d["x"], d["now"]])
    plain = fixed_effects(d["then"], x, unit=d["unit"], cluster=d["cluster"])
    renamed = fixed_effects(d["then"], x, unit=d["unit"], cluster=1000 - 3 * d["cluster"])
    np.testing.assert_allclose(renamed.robust.covariance, plain.robust.covariance, rtol=1e-9)
    assert (renamed.n_clusters, plain.n_clusters) == (50, 50)

"""A stand-in that is turned round keeps its range, its distances and its order, the other way round."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachment_outcomes.errors import DataError
from attachment_outcomes.rupture.inputs import Rating

ENDS = st.tuples(st.integers(-50, 50), st.integers(1, 100)).map(lambda e: (float(e[0]), float(e[0] + e[1])))
SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def frame(low: float, high: float, shares: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"rating": [low + s * (high - low) for s in shares]})


@given(ENDS, SHARES)
def test_turning_round_keeps_range_and_distances_and_reverses_the_order(ends, shares):
    low, high = ends
    given_ratings = frame(low, high, shares)
    turned = Rating("x", low, high, turned=True, stand_in="something else").read(given_ratings)["rating"].to_numpy()
    before = given_ratings["rating"].to_numpy()
    assert np.allclose(np.diff(turned), -np.diff(before))
    assert turned.min() >= low - 1e-6
    assert turned.max() <= high + 1e-6
    again = Rating("x", low, high, turned=True, stand_in="something else").read(
        pd.DataFrame({"rating": np.clip(turned, low, high)})
    )
    assert np.allclose(again["rating"], before)


@given(ENDS, SHARES, st.integers(0, 29), st.sampled_from([-1.0, 2.0]))
def test_one_rating_outside_is_enough_to_refuse_and_its_row_is_named(ends, shares, where, share):
    low, high = ends
    where %= len(shares)
    shares = [*shares[:where], share, *shares[where + 1 :]]
    with pytest.raises(DataError, match=rf"in row {where + 1}\."):
        Rating("x", low, high).read(frame(low, high, shares))

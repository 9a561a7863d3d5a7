"""Specification curves and equivalence under shifts, scales, mirrors and orders of the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attachment_outcomes.change.equivalence import group_equivalence, norm_equivalence
from attachment_outcomes.change.specification.curve import specification_table
from attachment_outcomes.inference.specification_summary import variance_shares

HANDLINGS = ["complete pairs", "last value carried forward", "best case", "worst case"]
NUMBERS = ["estimate", "std_error", "ci_low", "ci_high", "n"]
seeds = st.integers(0, 10_000)


def scale(*, higher: bool = False, shift: float = 0.0, times: float = 1.0) -> dict:
    low, high = sorted((shift, 40 * times + shift))
    return {
        "direction": "higher is better" if higher else "higher is worse", "range": [low, high],
        "reliability": [{"value": 0.85, "kind": "alpha", "verified": True}],
        "norms": [{"population": "functional", "mean": 6 * times + shift, "sd": 4 * abs(times), "verified": True}],
        "cutoffs": [{"value": 11.3 * times + shift, "inclusive": False, "verified": True}],
    }  # fmt: skip


def long_of(seed: int, n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = 18 + 5 * rng.standard_normal((n, 1)) - np.array([0, 3, 5]) + 4 * rng.standard_normal((n, 3))
    values[rng.random((n, 3)) < [0, 0.15, 0.25]] = np.nan
    wide = pd.DataFrame(values, columns=[0, 1, 2]).assign(person_id=[f"p{i:02d}" for i in range(n)])
    return wide.melt("person_id", var_name="occasion", value_name="value").dropna().astype({"occasion": "int64"})


def table(long: pd.DataFrame, form: dict) -> pd.DataFrame:
    owners = pd.Series([f"t{int(p[1:]) % 7}" for p in sorted(set(long["person_id"]))], index=sorted(set(long["person_id"])))
    return specification_table(
        long, scale=form, definitions=[{"reliability": 0.8, "cutoff": "c"}], therapists=owners, handlings=HANDLINGS,
        rules=["JT", "GLN", "EN"],
    )  # fmt: skip


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    assert one["refused"].tolist() == other["refused"].tolist()
    np.testing.assert_allclose(one[NUMBERS].to_numpy(), other[NUMBERS].to_numpy(), rtol=1e-7, atol=1e-9)


@settings(max_examples=5, deadline=None)
@given(seeds, st.floats(-50, 50), st.floats(0.2, 20))
def test_the_unit_of_the_score_changes_nothing(seed, shift, times):
    long = long_of(seed)
    moved = long.assign(value=long["value"] * times + shift)
    same(table(long, scale()), table(moved, scale(shift=shift, times=times)))


@settings(max_examples=5, deadline=None)
@given(seeds)
def test_a_mirrored_scale_changes_nothing(seed):
    long = long_of(seed)
    same(table(long, scale()), table(long.assign(value=-long["value"]), scale(higher=True, times=-1.0)))


@settings(max_examples=5, deadline=None)
@given(seeds, seeds)
def test_the_order_of_rows_changes_nothing(seed, order):
    long = long_of(seed)
    same(table(long, scale()), table(long.sample(frac=1, random_state=order), scale()))


@settings(max_examples=6, deadline=None)
@given(seeds)
def test_shares_lie_in_their_intervals_and_bounds_hold_them(seed):
    found = table(long_of(seed), scale())
    shares = found[(found["estimand"] != "standardised_improvement") & (found["refused"] == "")]
    assert ((shares["ci_low"] <= shares["estimate"] + 1e-12) & (shares["estimate"] <= shares["ci_high"] + 1e-12)).all()
    assert shares["estimate"].between(0, 1).all()
    wide = shares.pivot_table(
        index=["estimand", "rule", "reliability_source", "cutoff", "occasions", "clusters"], columns="handling", values="estimate"
    )
    assert (wide["worst case"] <= wide["last value carried forward"] + 1e-12).all()
    assert (wide["last value carried forward"] <= wide["best case"] + 1e-12).all()
    pair = shares.pivot_table(
        index=["rule", "reliability_source", "cutoff", "occasions", "handling", "clusters", "estimand"], values="estimate"
    )
    improved = pair.xs("reliably_improved", level="estimand").droplevel("cutoff")["estimate"]
    recovered = pair.xs("recovered", level="estimand")["estimate"]
    assert (recovered <= improved.reindex(recovered.index.droplevel("cutoff")).to_numpy() + 1e-12).all()


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_variance_shares_are_shares_and_do_not_depend_on_the_order_of_choices(seed):
    rng = np.random.default_rng(seed)
    choices = pd.DataFrame(rng.integers(0, 3, size=(60, 4)).astype(str), columns=list("abcd"))
    y = rng.standard_normal(60)
    found = variance_shares(y, choices)
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) >= -1e-9
    turned = variance_shares(3 * y - 7, choices[list("dbca")])
    assert turned == pytest.approx(found, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(-20, 20), st.floats(0.1, 10))
def test_groups_change_sides_and_units_without_a_change_of_evidence(seed, shift, times):
    rng = np.random.default_rng(seed)
    y, x, first, owner = rng.standard_normal(50), rng.standard_normal(50), rng.random(50) < 0.4, rng.integers(0, 9, 50)
    first[:2], first[2:4] = True, False
    one = group_equivalence(y, first, baseline=x, clusters=owner)
    other = group_equivalence(y * times + shift, ~first, baseline=x * 3 - 1, clusters=owner)
    assert other.estimate == pytest.approx(-one.estimate, abs=1e-9)
    assert (other.p_value, other.p_difference) == pytest.approx((one.p_value, one.p_difference), rel=1e-6, abs=1e-12)
    norm = norm_equivalence(y, mean=0.2, sd=1, n=60, low=-0.5, high=0.5)
    moved = norm_equivalence(y * times + shift, mean=0.2 * times + shift, sd=times, n=60, low=-0.5 * times, high=0.5 * times)
    assert moved.p_value == pytest.approx(norm.p_value, rel=1e-6)

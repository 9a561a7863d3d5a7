"""Specification curves of repair and therapists' rates under shifts, scales, mirrors and orders of the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attachment_outcomes.config import load_criteria
from attachment_outcomes.inference.funnel import exact_limits, exact_overdispersion, exact_tail
from attachment_outcomes.rupture.criteria import as_criteria, detect
from attachment_outcomes.rupture.effects.landmark import groups_at
from attachment_outcomes.rupture.series import read_series
from attachment_outcomes.rupture.specification.curve import Compared, specification_table
from attachment_outcomes.rupture.specification.designs import build
from attachment_outcomes.rupture.specification.readings import OWN, Reading, readings
from attachment_outcomes.rupture.specification.reshuffle import exchange_of, reshuffle_curve, strata_of
from attachment_outcomes.rupture.summary import GROUPS

seeds = st.integers(0, 10_000)
NUMBERS = ["estimate", "std_error", "ci_low", "ci_high"]


def people(seed: int, n: int = 120) -> dict:
    rng = np.random.default_rng(seed)
    sessions = rng.integers(5, 25, n).astype(float)
    return {
        "pre": 20 + 4 * rng.standard_normal(n), "sessions": sessions, "therapist": (np.arange(n) % 9).astype(np.int64),
        "groups": rng.integers(-1, 3, (3, n)), "post": 10 + 0.1 * sessions + 3 * rng.standard_normal(n),
    }  # fmt: skip


def table(d: dict, *, higher: bool = False, order: np.ndarray | None = None):
    order = np.arange(len(d["post"])) if order is None else order
    compared = Compared(
        outcome=d["post"][order], covariates={"pre": d["pre"][order], "n_sessions": d["sessions"][order]},
        therapist=d["therapist"][order],
    )  # fmt: skip
    read = [
        (Reading(criterion=str(i), window=3, min_sessions=OWN, landmark=0, group=g[order].astype(np.int64), primary=True), compared)
        for i, g in enumerate(d["groups"])
    ]
    return specification_table(read, higher_is_better=higher)


@settings(max_examples=10, deadline=None)
@given(seeds, st.floats(-50, 50), st.floats(0.1, 20))
def test_the_unit_of_the_outcome_changes_nothing_but_the_unit(seed: int, shift: float, times: float) -> None:
    d = people(seed)
    one, other = table(d).table, table({**d, "post": shift + times * d["post"]}).table
    np.testing.assert_allclose(times * one[NUMBERS].to_numpy(), other[NUMBERS].to_numpy(), rtol=1e-7, atol=1e-8 * times)
    np.testing.assert_allclose(one["p_value"], other["p_value"], rtol=1e-6)
    assert one["primary"].sum() == 3


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_a_mirrored_outcome_with_the_other_direction_is_the_same_question(seed: int) -> None:
    d = people(seed)
    one, other = table(d).table, table({**d, "post": -d["post"]}, higher=True).table
    np.testing.assert_allclose(one[NUMBERS].to_numpy(), other[NUMBERS].to_numpy(), rtol=1e-9, atol=1e-10)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_the_order_of_people_changes_nothing(seed: int) -> None:
    d = people(seed)
    order = np.random.default_rng(seed).permutation(len(d["post"]))
    one, other = table(d).table, table(d, order=order).table
    np.testing.assert_allclose(one[NUMBERS].to_numpy(), other[NUMBERS].to_numpy(), rtol=1e-7, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_every_estimate_lies_within_its_interval_and_a_refused_one_has_none(seed: int) -> None:
    d = people(seed, n=60)
    found = table(d).table
    kept = found[found["refused"] == ""]
    assert (kept["ci_low"] <= kept["estimate"]).all()
    assert (kept["estimate"] <= kept["ci_high"]).all()
    assert (kept["n"] == kept["n_none"] + kept["n_repaired"] + kept["n_unrepaired"]).all()
    assert found.loc[found["refused"] != "", "estimate"].isna().all()


@settings(max_examples=8, deadline=None)
@given(seeds)
def test_p_values_of_the_exchange_are_proper_and_an_effect_makes_them_small(seed: int) -> None:
    d = people(seed)
    group = np.where(d["groups"][0] < 0, 0, d["groups"][0]).astype(np.int64)
    covariates = np.column_stack([d["pre"], d["sessions"]])
    p = []
    for effect in (0.0, 6.0):
        post = d["post"] - effect * (group == 1)
        design, _ = build(post, group, covariates, d["therapist"], within=False, higher_is_better=False, ci_level=0.95)
        exchange = exchange_of(post, [covariates], d["sessions"], d["therapist"])
        found = reshuffle_curve([design], [0], [(0, 0)], exchange, rng=np.random.default_rng(seed), permutations=99)[0]
        for value in (found.p_median, found.p_share, found.p_combined):
            assert 0.01 <= value <= 1
        p.append(found.p_median)
    assert p[1] <= p[0]
    assert p[1] < 0.05


@given(st.lists(st.one_of(st.integers(1, 200), st.none()), min_size=1, max_size=120))
def test_strata_keep_the_order_of_sessions(sessions: list[int | None]) -> None:
    values = np.array([np.nan if s is None else s for s in sessions], dtype=float)
    strata = strata_of(values)
    known = np.isfinite(values)
    order = np.argsort(values[known], kind="stable")
    assert (np.diff(strata[known][order]) >= 0).all()
    assert not set(strata[known]) & set(strata[~known])
    for value in np.unique(values[known]):
        assert len(set(strata[values == value])) == 1


@given(st.integers(1, 400), st.floats(0.05, 0.95), st.sampled_from([0.95, 0.998]), st.floats(0, 0.2))
def test_exact_limits_enclose_the_target_and_widen_with_what_is_between_units(
    n: int, p0: float, level: float, share: float
) -> None:
    between = share * p0 * (1 - p0)
    low, high = exact_limits([n], target=p0, level=level)
    wide_low, wide_high = exact_limits([n], target=p0, level=level, between=between)
    assert 0 <= low[0] <= p0 + 1 / n
    assert p0 - 1 / n <= high[0] <= 1
    assert wide_low[0] <= low[0] + 1 / n
    assert wide_high[0] >= high[0] - 1 / n
    # A count beyond the line by a whole event is unlikely on the tail too.
    out = np.arange(n + 1)[np.arange(n + 1) / n > high[0] + 1 / n]
    assert (exact_tail(out, np.full(len(out), n), target=p0) <= 1 - level + 1e-9).all()


def test_limits_do_not_jump_where_next_to_nothing_lies_between_units() -> None:
    plain = np.array(exact_limits([24, 400], target=0.5, level=0.95))
    for share in (2e-16, 1e-9, 1e-8, 2e-8, 1e-6):
        near = np.array(exact_limits([24, 400], target=0.5, level=0.95, between=share * 0.25))
        np.testing.assert_allclose(near, plain, atol=2e-3)


@given(st.integers(2, 50), st.floats(0.1, 0.9))
def test_exact_overdispersion_is_1_on_average_over_what_chance_brings(n: int, p0: float) -> None:
    from scipy.stats import binom

    counts = np.arange(n + 1)
    each = [exact_overdispersion([k, k], [n, n], target=p0).phi for k in counts]
    assert binom.pmf(counts, n, p0) @ each == pytest.approx(1.0, rel=1e-9)


LANDMARKS = tuple(range(3, 19))


@settings(max_examples=10, deadline=None)
@given(seeds, st.sampled_from([name for name, preset in load_criteria("rupture").items() if not preset.get("reads")]))
def test_groups_at_every_landmark_are_the_study_s_for_every_criterion(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 20, 60)
    who = np.repeat(np.arange(60), lengths)
    dips = 3 * (rng.random(len(who)) < 0.15)
    sessions = pd.DataFrame(
        {
            "person_id": [f"p{i:02d}" for i in who], "treatment_id": "1",
            "session_number": np.concatenate([np.arange(1, n + 1) for n in lengths]),
            "rating": 6 + 0.5 * rng.standard_normal(len(who)) - dips,
        }
    )  # fmt: skip
    series, criterion = read_series(sessions, score="rating"), as_criteria({name: load_criteria("rupture")[name]})[0]
    names = [f"p{i:02d}" for i in range(60)]
    for reading in readings(
        detect(series, criterion), series.clients, names, windows=(), min_sessions=(), landmarks=LANDMARKS
    ):  # fmt: skip
        if reading.landmark:
            groups = groups_at(series, criterion, reading.landmark).clients.set_index("client")["group"].reindex(names)
            assert reading.group.tolist() == groups.map({g: i for i, g in enumerate(GROUPS)}).fillna(-1).astype(int).tolist()

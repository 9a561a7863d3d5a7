"""What must hold for reliable change and the engines behind it, whatever the scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attachment_outcomes.change import categorise, choose_cutoff, cutoffs, reliable_change
from attachment_outcomes.change.occasions import pairs
from attachment_outcomes.inference import paired_change, proportion
from attachment_outcomes.inference.individual_change.significance import Cutoff

METHODS = ["JT", "GLN", "EN", "NK", "HA"]
WHOLE = st.integers(0, 60).map(float)  # whole scores: shifting and scaling them is exact in floating point


def scores(n: int = 12) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, n, elements=WHOLE)


PAIRS = st.tuples(scores(), scores())
RELIABILITY = st.floats(0.5, 0.98)
FEWER = settings(max_examples=25)  # each example runs five methods on pandas frames twice


def run(pre: np.ndarray, post: np.ndarray, reliability: float, **more: object) -> pd.DataFrame:
    return reliable_change(pre, post, reliability=reliability, methods=METHODS, **more)


@FEWER
@given(PAIRS, RELIABILITY, st.integers(-40, 40), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_shift_and_scale_change_nothing(both: tuple, reliability: float, shift: int, scale: float) -> None:
    pre, post = both
    assume(min(pre.std(), post.std()) > 0.5)
    a, b = run(pre, post, reliability), run(pre * scale + shift, post * scale + shift, reliability)
    np.testing.assert_allclose(a["statistic"], b["statistic"], rtol=1e-6, atol=1e-6)


@FEWER
@given(PAIRS, RELIABILITY)
def test_mirrored_scale_mirrors_the_categories(both: tuple, reliability: float) -> None:
    pre, post = both
    assume(min(pre.std(), post.std()) > 0.5)
    up = run(pre, post, reliability, higher_is_better=True)
    down = run(-pre, -post, reliability, higher_is_better=False)
    np.testing.assert_allclose(up["statistic"], -down["statistic"], atol=1e-9)
    close = np.abs(np.abs(up["statistic"]) - 1.96) < 1e-6
    one, other = (r["category"].astype("str").fillna("missing") for r in (up, down))
    assert (one == other)[~close].all()


@FEWER
@given(PAIRS, RELIABILITY)
def test_the_other_direction_swaps_improved_and_deteriorated(both: tuple, reliability: float) -> None:
    pre, post = both
    assume(min(pre.std(), post.std()) > 0.5)
    up = run(pre, post, reliability, higher_is_better=True)["category"].astype("str").fillna("missing")
    down = run(pre, post, reliability, higher_is_better=False)["category"].astype("str").fillna("missing")
    swap = {"improved": "deteriorated", "deteriorated": "improved"}
    assert [swap.get(c, c) for c in up] == down.tolist()


@FEWER
@given(PAIRS, RELIABILITY, st.permutations(range(12)))
def test_order_of_people_does_not_matter(both: tuple, reliability: float, order: list[int]) -> None:
    pre, post = both
    assume(min(pre.std(), post.std()) > 0.5)
    a = run(pre, post, reliability)
    b = run(pre[order], post[order], reliability)
    for method in METHODS:
        x = a.loc[a["method"] == method, "statistic"].to_numpy()[order]
        np.testing.assert_allclose(x, b.loc[b["method"] == method, "statistic"], atol=1e-7)


@FEWER
@given(PAIRS, RELIABILITY, st.integers(0, 11))
def test_someone_without_an_end_score_changes_nobody_else(both: tuple, reliability: float, who: int) -> None:
    pre, post = both
    kept = np.delete(pre, who)
    assume(min(kept.std(), np.delete(post, who).std()) > 0.5)
    missing = post.copy()
    missing[who] = np.nan
    a = run(pre, missing, reliability)
    b = run(kept, np.delete(post, who), reliability)
    np.testing.assert_allclose(a.loc[a["person_id"] != who, "statistic"], b["statistic"], atol=1e-9)
    assert a.loc[a["person_id"] == who, "category"].isna().all()


@given(PAIRS, RELIABILITY, RELIABILITY)
def test_a_more_reliable_scale_never_finds_fewer_changed(both: tuple, one: float, other: float) -> None:
    pre, post = both
    assume(pre.std() > 0.5)
    low, high = sorted((one, other))
    few, many = (reliable_change(pre, post, reliability=r, methods="JT")["category"] != "unchanged" for r in (low, high))
    assert (many | ~few).all()


@given(st.floats(0, 100), st.floats(0.5, 30), st.floats(0.5, 30), st.floats(0.1, 60), st.booleans())
def test_cutoff_c_lies_between_the_means_as_many_sds_from_both(mean: float, s1: float, s0: float, gap: float, higher: bool) -> None:
    functional = mean + gap if higher else mean - gap
    found = cutoffs(clinical=(mean, s1), functional=(functional, s0), higher_is_better=higher)
    assert abs(found["c"] - mean) / s1 == pytest.approx(abs(found["c"] - functional) / s0, rel=1e-6, abs=1e-9)
    assert min(mean, functional) <= found["c"] <= max(mean, functional)
    assert choose_cutoff(clinical=(mean, s1), functional=(functional, s0), higher_is_better=higher).kind in "bc"


@given(PAIRS, RELIABILITY, WHOLE, st.booleans(), st.booleans())
def test_categories_follow_their_definitions(both: tuple, reliability: float, value: float, inclusive: bool, higher: bool) -> None:
    pre, post = both
    assume(pre.std() > 0.5)
    r = reliable_change(pre, post, reliability=reliability, methods="JT", higher_is_better=higher)
    cutoff = Cutoff("instrument", value, inclusive)
    found = categorise(pre, post, r["category"], cutoff=cutoff, higher_is_better=higher)
    clinical = found["clinical_at_baseline"].to_numpy(dtype=bool)
    plain = r["category"].astype("str").to_numpy()
    category = found["category"].astype("str").to_numpy()
    crossed = found["crossed"].to_numpy(dtype=bool)
    assert clinical[(category == "recovered") | crossed].all()
    assert (category[crossed] == "unchanged").all()
    assert not clinical[category == "harmed"].any()
    assert (plain[np.isin(category, ["recovered", "improved"])] == "improved").all()
    assert (plain[np.isin(category, ["deteriorated", "harmed"])] == "deteriorated").all()
    assert (plain[category == "unchanged"] == "unchanged").all()


@given(st.lists(st.booleans(), min_size=4, max_size=40), st.integers(2, 6))
def test_intervals_hold_the_share_and_clusters_never_narrow_them(events: list[bool], k: int) -> None:
    plain = proportion(events)
    clustered = proportion(events, clusters=[i % k for i in range(len(events))])
    assert 0 <= clustered.ci_low <= plain.estimate <= clustered.ci_high <= 1
    assert clustered.ci_high - clustered.ci_low >= plain.ci_high - plain.ci_low - 1e-12


@given(PAIRS, st.integers(-30, 30))
def test_standardised_change_has_no_unit(both: tuple, shift: int) -> None:
    pre, post = both
    assume(pre.std() > 0.5)
    _, a = paired_change(pre, post)
    _, b = paired_change(2 * pre + shift, 2 * post + shift)
    assert (a.estimate, a.std_error) == pytest.approx((b.estimate, b.std_error), abs=1e-9)


OCCASIONS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), WHOLE), max_size=30, unique_by=lambda t: t[:2])


@FEWER
@given(OCCASIONS, st.one_of(st.just("first"), st.integers(0, 5)), st.one_of(st.just("last"), st.integers(0, 5)))
def test_pairs_are_ordered_and_hold_everybody(rows: list, baseline: object, end: object) -> None:
    long = pd.DataFrame(rows, columns=["person_id", "occasion", "value"]).astype({"value": float})
    long = long.astype({"person_id": "str", "occasion": "int64"}).sort_values(["person_id", "occasion"], ignore_index=True)
    found = pairs(long, baseline=baseline, end=end)
    assert found["person_id"].is_unique
    assert set(found["person_id"]) == set(long["person_id"])
    both = found.dropna()
    assert (both["post_at"] > both["pre_at"]).all()
    if baseline == "first":
        assert found["pre"].notna().all()

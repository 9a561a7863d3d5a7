"""What must hold for every rule of individual change, whatever the scores."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attachment_outcomes.inference.individual_change.categories import ChangeCategories, change_categories
from attachment_outcomes.inference.individual_change.controls import regression_norm, retest_norm
from attachment_outcomes.inference.individual_change.groups import GROUP_CATEGORIES, group_change
from attachment_outcomes.inference.individual_change.methods import METHODS, expected_improved, threshold
from attachment_outcomes.inference.individual_change.norms import person_norms
from attachment_outcomes.inference.individual_change.reliable import reliable_change, setting_from
from attachment_outcomes.inference.individual_change.significance import CATEGORIES, Cutoff, end_tested

N = 12
WHOLE = st.integers(0, 60).map(float)
SCORES = arrays(np.float64, N, elements=WHOLE)
RELIABILITY = st.floats(0.5, 0.98)
CONTROL = np.array([[28, 33, 21, 37, 30, 25, 19, 34.0], [27, 30, 24, 35, 31, 22, 20, 35.0]])
POINTS = {"control_post_mean": 28.0, "control_post_sd": 6.0, "mid": 5.0, "criterion": 6.0}
FEWER = settings(max_examples=30)
TWO_SCORES = [name for name, m in METHODS.items() if "slopes" not in m.needs]


def known(shift: float = 0.0, scale: float = 1.0) -> dict[str, Any]:
    """What all the rules need, in the units of ``scale * x + shift``."""
    before, after = CONTROL * scale + shift
    retest = retest_norm(before, after)
    length = abs(scale)
    return {
        "control_post_mean": POINTS["control_post_mean"] * scale + shift, "control_post_sd": POINTS["control_post_sd"] * length,
        "mid": POINTS["mid"] * length, "criterion": POINTS["criterion"] * length, "regression": regression_norm(before, after),
        "icc": retest.icc_consistency, "retest_sd": retest.sd, "ms_error": retest.ms_error,
    }  # fmt: skip


def statistics(pre: np.ndarray, post: np.ndarray, reliability: float, **more: Any) -> dict[str, np.ndarray]:
    frame = reliable_change(pre, post, reliability=reliability, methods=TWO_SCORES, **more)
    return {str(name): part["statistic"].to_numpy() for name, part in frame.groupby("method", observed=True)}


def categories(pre: np.ndarray, post: np.ndarray, reliability: float, cutoff: float | None, **more: Any) -> ChangeCategories:
    given_cutoff = None if cutoff is None else Cutoff("c", cutoff)
    return change_categories(pre, post, cutoff=given_cutoff, reliability=reliability, methods=TWO_SCORES, **more)


def usable(pre: np.ndarray, post: np.ndarray) -> None:
    assume(min(pre.std(), post.std(), (post - pre).std()) > 0.5)


@FEWER
@given(SCORES, SCORES, RELIABILITY, st.integers(-40, 40), st.sampled_from([0.25, 2.0, 4.0]))
def test_shift_and_scale_change_nothing(pre: np.ndarray, post: np.ndarray, reliability: float, shift: int, scale: float) -> None:
    usable(pre, post)
    one = statistics(pre, post, reliability, **known())
    other = statistics(pre * scale + shift, post * scale + shift, reliability, **known(shift, scale))
    for name, rule in METHODS.items():
        if name in one:
            unit = scale if rule.points is not None else 1.0
            np.testing.assert_allclose(one[name] * unit, other[name], rtol=1e-6, atol=1e-6, err_msg=name)


@FEWER
@given(SCORES, SCORES, RELIABILITY, st.integers(5, 55))
def test_a_mirrored_scale_mirrors_everything(pre: np.ndarray, post: np.ndarray, reliability: float, cutoff: int) -> None:
    """Scores, norms and direction turned round: the same people in the same categories, but where a rule is at its limit."""
    usable(pre, post)
    one, other = statistics(pre, post, reliability, **known()), statistics(-pre, -post, reliability, **known(scale=-1))
    down = categories(pre, post, reliability, cutoff + 0.5, higher_is_better=False, **known())
    up = categories(-pre, -post, reliability, -cutoff - 0.5, higher_is_better=True, **known(scale=-1))
    for name in TWO_SCORES:
        np.testing.assert_allclose(one[name], -other[name], rtol=1e-7, atol=1e-7, err_msg=name)
        clear = np.abs(np.abs(one[name]) - threshold(name, down.setting)) > 1e-6
        first, second = (c.categories[name].cat.codes.to_numpy() for c in (down, up))
        assert (first == second)[clear].all(), name


@FEWER
@given(SCORES, SCORES, RELIABILITY, st.permutations(range(N)))
def test_order_of_people_does_not_matter(pre: np.ndarray, post: np.ndarray, reliability: float, order: list[int]) -> None:
    usable(pre, post)
    one, other = statistics(pre, post, reliability, **known()), statistics(pre[order], post[order], reliability, **known())
    for name in TWO_SCORES:
        np.testing.assert_allclose(one[name][order], other[name], rtol=1e-6, atol=1e-6, err_msg=name)


@FEWER
@given(SCORES, SCORES, RELIABILITY, st.integers(0, 60), st.booleans(), st.integers(0, N - 1), st.booleans())
def test_categories_are_exclusive_exhaustive_and_nobody_recovers_who_was_not_clinical(
    pre: np.ndarray, post: np.ndarray, reliability: float, cutoff: int, higher: bool, gone: int, end_test: bool
) -> None:
    post = post.copy()
    post[gone] = np.nan
    seen = np.arange(N) != gone
    usable(pre[seen], post[seen])
    setting = setting_from(pre, post, reliability=reliability, **known())
    at = Cutoff("c_true", float(cutoff))
    if end_test:
        assume(setting.sd_post > setting.se_measurement)
        at = end_tested(at, setting, higher_is_better=higher)
    found = change_categories(pre, post, cutoff=at, higher_is_better=higher, methods=TWO_SCORES, setting=setting)
    plain = change_categories(pre, post, higher_is_better=higher, methods=TWO_SCORES, setting=setting)
    was_clinical = pre > cutoff if not higher else pre < cutoff
    was_functional = pre < cutoff if not higher else pre > cutoff
    merge = {"recovered": "improved", "harmed": "deteriorated"}
    for name in TWO_SCORES:
        words, without = found.categories[name].astype(object), plain.categories[name].astype(object)
        if without.isna().all():  # HA is not defined for these scores
            assert words.isna().all()
            continue
        assert words.isna().tolist() == (~seen).tolist()
        assert words[seen].isin(CATEGORIES).all()
        assert [merge.get(w, w) for w in words[seen]] == without[seen].tolist()
        assert was_clinical[words.eq("recovered").to_numpy()].all()
        assert was_functional[words.eq("harmed").to_numpy()].all()
        crossed = found.crossed[name].to_numpy()
        assert words[crossed].eq("unchanged").all()
        assert was_clinical[crossed].all()
    shares = found.shares()
    there = shares["n"] > 0
    np.testing.assert_allclose(shares.loc[there, CATEGORIES].sum(axis=1), 1)
    assert (shares["n"] + shares["n_missing"] == N).all()


@FEWER
@given(SCORES, SCORES, st.lists(RELIABILITY, min_size=3, max_size=3, unique=True))
def test_a_more_reliable_score_shows_more_change(pre: np.ndarray, post: np.ndarray, reliabilities: list[float]) -> None:
    """By JT, one SEM and both SEMs, whose error shrinks, everybody who changed before changed still."""
    usable(pre, post)
    names = ["JT", "one SEM", "two-SEM"]
    found = [
        change_categories(pre, post, reliability=r, methods=names).categories.ne("unchanged").to_numpy()
        for r in sorted(reliabilities)
    ]
    for less, more in pairwise(found):
        assert (more >= less).all()


@FEWER
@given(SCORES, SCORES, RELIABILITY)
def test_the_compact_categories_are_those_of_the_long_table(pre: np.ndarray, post: np.ndarray, reliability: float) -> None:
    usable(pre, post)
    long = reliable_change(pre, post, reliability=reliability, methods=TWO_SCORES, **known())
    compact = categories(pre, post, reliability, None, **known()).categories
    for name in TWO_SCORES:
        one = long.loc[long["method"] == name, "category"].astype(object).fillna("none").tolist()
        assert one == compact[name].astype(object).fillna("none").tolist(), name


@given(st.floats(0.55, 0.98), st.floats(0, 20), st.floats(0.1, 10))
def test_the_expected_share_rises_with_true_change(reliability: float, less: float, more: float) -> None:
    setting = setting_from([20.0, 31, 18, 26], [17.0, 25, 19, 11], reliability=reliability, sd=6.0, **known())
    for name in TWO_SCORES:
        one, other = (expected_improved(name, setting, change=c) for c in (less, less + more))
        assert np.isnan(one) == (name == "HA")
        assert np.isnan(one) or other >= one


@FEWER
@given(SCORES, SCORES, st.floats(0.5, 20), st.booleans())
def test_a_group_is_in_one_category_and_not_beyond_a_larger_mid(
    pre: np.ndarray, post: np.ndarray, mid: float, higher: bool
) -> None:
    usable(pre, post)
    order = [GROUP_CATEGORIES.index(group_change(pre, post, mid=m, higher_is_better=higher).category) for m in (mid, 2 * mid)]
    assert order[1] <= order[0]


@FEWER
@given(arrays(np.float64, N, elements=st.floats(18, 89.99)), st.lists(st.integers(20, 85), min_size=1, max_size=5, unique=True))
def test_bands_that_meet_leave_nobody_out(age: np.ndarray, cuts: list[int]) -> None:
    edges = [18, *sorted(cuts), 90]
    table = [{"mean": float(low), "sd": 1.0, "strata": {"age": [low, high]}} for low, high in pairwise(edges)]
    found = person_norms(pd.DataFrame({"age": age}), table)
    assert found.n_missing == 0
    low = np.array([n.mean for n in found.norms])[found.position]
    assert (low <= age).all()

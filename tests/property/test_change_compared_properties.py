"""What must hold when rules are compared, whatever the scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attachment_outcomes.inference.individual_change.agreement import (
    NO_RULE,
    OTHER,
    rule_agreement,
    rule_codes,
    rule_patterns,
    sensitivity_to_mid,
    sensitivity_to_reliability,
)
from attachment_outcomes.inference.individual_change.bootstrap import Population, bootstrap_change
from attachment_outcomes.inference.individual_change.minimal_change import anchor_roc
from attachment_outcomes.inference.individual_change.reliable import setting_from
from attachment_outcomes.inference.individual_change.significance import Cutoff

NAMES = ["a", "b", "c"]
CODES = st.integers(5, 40).flatmap(lambda n: arrays(np.int8, (n, 3), elements=st.integers(-1, 2)))
SCORES = arrays(np.float64, 16, elements=st.integers(0, 40).map(float))
FEWER = settings(max_examples=20)  # each example draws again, or fits several curves
METHODS = ["JT", "GLN", "EN", "NK"]


@given(CODES, st.sampled_from(["none", "linear"]))
def test_kappa_is_at_most_one_and_needs_no_order_of_rules_or_people(codes: np.ndarray, weights: str) -> None:
    found = rule_agreement(codes, NAMES, weights=weights)
    assert (found["kappa"].dropna() <= 1 + 1e-12).all()
    turned = rule_agreement(codes[::-1, ::-1], NAMES[::-1], weights=weights)
    key = turned.assign(pair=[" ".join(sorted(p)) for p in zip(turned["rule_a"], turned["rule_b"], strict=True)]).set_index("pair")
    for row in found.itertuples(index=False):
        other = key.loc[f"{row.rule_a} {row.rule_b}"]
        np.testing.assert_allclose(
            [row.kappa, row.ci_low, row.ci_high, row.agreement, row.n],
            other[["kappa", "ci_low", "ci_high", "agreement", "n"]].astype(float), atol=1e-12,
        )  # fmt: skip


@given(CODES)
def test_renaming_categories_changes_no_unweighted_kappa(codes: np.ndarray) -> None:
    renamed = np.where(codes < 0, -1, (codes + 1) % 3)
    columns = ["kappa", "agreement", "n"]
    np.testing.assert_allclose(rule_agreement(codes, NAMES)[columns], rule_agreement(renamed, NAMES)[columns], atol=1e-12)


@given(CODES, st.integers(0, 12), st.integers(1, 8))
def test_patterns_count_everybody_once_and_show_no_few(codes: np.ndarray, least: int, most: int) -> None:
    told = rule_patterns(codes, NAMES, least=least, most=most)
    assert told["n"].sum() == len(codes)
    if len(told) > 1:
        assert (told["n"] >= least).all()
    assert len(told) <= most + 1
    known = {NO_RULE, OTHER, "a", "b", "c", "a + b", "a + c", "b + c", "a + b + c"}
    assert set(told["pattern"]) <= known
    assert told["pattern"].is_unique


@FEWER
@given(SCORES, SCORES, st.floats(0.5, 0.95))
def test_more_reliability_or_a_lower_bar_never_lowers_the_shares(pre: np.ndarray, post: np.ndarray, reliability: float) -> None:
    assume(pre.std() > 1)
    assume(post.std() > 1)
    setting = setting_from(pre, post, reliability=reliability)
    kwargs = {"setting": setting, "higher_is_better": True, "cutoff": Cutoff("c", 20.0)}
    rising = sensitivity_to_reliability(pre, post, values=[0.55, 0.7, 0.85, 0.97], **kwargs)
    falling = sensitivity_to_mid(pre, post, values=[1, 3, 7, 15], **kwargs)
    for table, sign in ((rising, 1), (falling, -1)):
        for _, part in table.groupby("estimand"):
            assert (sign * np.diff(part["share"]) >= 0).all()
            assert part["share"].between(0, 1).all()
        wide = table.pivot(index="value", columns="estimand", values="share")
        assert (wide["recovered"] <= wide["improved"]).all()
        assert (wide["improved"] + wide["deteriorated"] <= 1 + 1e-12).all()


@FEWER
@given(SCORES, SCORES, st.integers(0, 2**31))
def test_a_mirrored_scale_mirrors_the_bootstrap(pre: np.ndarray, post: np.ndarray, seed: int) -> None:
    assume(pre.std() > 2)
    assume(post.std() > 2)
    down = setting_from(pre, post, reliability=0.85)
    up = setting_from(-pre, -post, reliability=0.85)
    kwargs = {"methods": METHODS, "cutoff": "a", "replicates": 19}
    one = bootstrap_change(
        pre, post, setting=down, functional=Population(mean=-60, sd=4), rng=np.random.default_rng(seed), **kwargs
    )
    two = bootstrap_change(
        -pre,
        -post,
        setting=up,
        functional=Population(mean=60, sd=4),
        higher_is_better=True,
        rng=np.random.default_rng(seed),
        **kwargs,
    )
    sign = np.where(one.table["estimand"] == "cutoff", -1.0, 1.0)
    np.testing.assert_allclose(one.replicates.draws, sign * two.replicates.draws, atol=1e-6)


@FEWER
@given(SCORES, SCORES, st.integers(0, 2**31))
def test_shares_of_every_replicate_sum_to_one(pre: np.ndarray, post: np.ndarray, seed: int) -> None:
    assume(pre.std() > 2)
    assume(post.std() > 2)
    found = bootstrap_change(
        pre, post, setting=setting_from(pre, post, reliability=0.85), methods=METHODS, cutoff=Cutoff("x", 12.0), replicates=19,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    for method in METHODS:
        own = ((found.table["estimand"] == "share") & (found.table["method"] == method)).to_numpy()
        np.testing.assert_allclose(found.replicates.draws[:, own].sum(axis=1), 1, atol=1e-12)
    ordered = found.table[found.table["ci_low"].notna()]
    assert (ordered["ci_low"] <= ordered["ci_high"]).all()


@given(
    arrays(np.float64, 24, elements=st.integers(-15, 15).map(float)), arrays(np.bool_, 24), st.sampled_from([0.5, 2.0, 4.0]),
    st.integers(-20, 20),
)  # fmt: skip
def test_mids_move_with_the_scale_and_areas_do_not(change: np.ndarray, improved: np.ndarray, scale: float, shift: int) -> None:
    assume(5 <= improved.sum() <= 19)
    assume(np.ptp(change) > 0)
    found, moved = anchor_roc(change, improved), anchor_roc(change * scale + shift, improved)
    for name in ("youden", "corner"):
        np.testing.assert_allclose(getattr(moved, name), getattr(found, name) * scale + shift, atol=1e-9)
    for name in ("auc", "auc_error", "correlation", "sensitivity", "specificity"):
        np.testing.assert_allclose(getattr(moved, name), getattr(found, name), atol=1e-9)
    assert 0 <= found.auc <= 1
    turned = anchor_roc(-change, improved)
    np.testing.assert_allclose(turned.auc, 1 - found.auc, atol=1e-12)


@given(SCORES, SCORES)
def test_codes_do_not_depend_on_who_stands_where(pre: np.ndarray, post: np.ndarray) -> None:
    assume(pre.std() > 1)
    setting = setting_from(pre, post, reliability=0.85)
    order = np.random.default_rng(1).permutation(len(pre))
    kwargs = {"setting": setting, "names": METHODS, "higher_is_better": False}
    whole = rule_codes(pre, post, **kwargs)
    assert (rule_codes(pd.Series(pre[order]), pd.Series(post[order]), **kwargs) == whole[order]).all()

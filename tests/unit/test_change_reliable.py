"""Reliable change against published numbers, against R, and at its edges."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from tests.references import Reference, load_reference

from attachment_outcomes.change import METHODS, percentage_change, reliable_change
from attachment_outcomes.config import schema
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.individual_change.methods import expected_improved
from attachment_outcomes.inference.individual_change.reliable import setting_from

R_DIGITS = 1e-9  # the R files print 15 digits of numbers around 1
NAMES = ["JT", "GLN", "HLL", "EN", "NK", "HA"]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("change_reference")["reliable"]


@pytest.fixture(scope="module")
def das(shared_data: Path) -> pd.DataFrame:
    table = pd.read_csv(shared_data / "jacobson1989/jacobson_1989.csv")
    return table.pivot(index="subject", columns="time", values="das")


def counts(frame: pd.DataFrame) -> tuple[int, int, int]:
    found = frame["category"].value_counts()
    return tuple(int(found[c]) for c in ("improved", "unchanged", "deteriorated"))


def test_jacobson_truax_1991_example() -> None:
    """M1 = 40, S1 = 7.5, r = .80: Sdiff = 4.74, and 32.5 to 47.5 gives 3.16."""
    r = reliable_change([32.5], [47.5], reliability=0.80, sd=7.5, higher_is_better=True, methods="JT").iloc[0]
    assert r["statistic"] == pytest.approx(3.162, abs=5e-4)
    assert r["category"] == "improved"
    assert r["sd_source"] == "given"
    setting = setting_from([32.5], [47.5], reliability=0.80, sd=7.5)
    assert (setting.se_measurement, setting.s_diff) == pytest.approx((3.354, 4.743), abs=5e-4)


def test_change_at_the_limit_is_not_reliable() -> None:
    """Strictly beyond z: 1.959964 times Sdiff is unchanged, one step of the float further is improved."""
    setting = setting_from([0.0], [1.0], reliability=0.80, sd=7.5)
    z = norm.ppf(0.975)
    at = z * setting.s_diff
    below, above = at * (1 - 1e-12), at * (1 + 1e-12)
    r = reliable_change([0, 0, 0, 0], [below, above, -below, -above], reliability=0.80, sd=7.5, higher_is_better=True, methods="JT")
    assert r["category"].tolist() == ["unchanged", "improved", "unchanged", "deteriorated"]


@pytest.mark.parametrize("method", [*NAMES, "NK post SD"])
def test_each_method_matches_its_formula_in_r(method: str, reference: Reference) -> None:
    r = reliable_change(
        reference["pre"], reference["post"], reliability=reference["reliability"], methods=method,
        reliability_post=reference["reliability_post"], control_post_mean=reference["control_post_mean"],
    )  # fmt: skip
    reference.check({method: r["statistic"]}, abs=R_DIGITS)


@pytest.mark.parametrize("method", NAMES)
def test_persons_match_clinicalsignificance(method: str, das: pd.DataFrame, shared_data: Path) -> None:
    """30 couples on the DAS, r = .80; the package uses the treated sample's own end mean for HLL, so that must be allowed."""
    r = reliable_change(
        das["pre"], das["post"], reliability=0.80, higher_is_better=True, methods=method, allow_treated_post_mean=True
    ).set_index("person_id")
    ref = pd.read_csv(shared_data / f"jacobson1989/ref_jacobson_das_distribution_{method}.csv").set_index("id")
    np.testing.assert_allclose(r["statistic"], ref["rci"].loc[r.index], atol=R_DIGITS)
    assert r["category"].astype("str").str.title().tolist() == ref["category"].loc[r.index].tolist()


def test_das_shares_at_reliability_80(das: pd.DataFrame) -> None:
    r = reliable_change(das["pre"], das["post"], reliability=0.80, higher_is_better=True, methods="JT")
    assert counts(r) == (16, 13, 1)
    assert r["sd"].iloc[0] == pytest.approx(11.826, abs=5e-4)
    assert r["sd_source"].iloc[0] == "this sample at baseline"


@pytest.mark.parametrize(
    ("method", "first"),
    [
        ("JT", (1.1220, 8.6306, 0.0863)),
        ("GLN", (1.3477, 8.7397, 0.4184)),
        ("EN", (1.8479, 11.9833, 0.5737)),
        ("NK", (1.3872, 8.9960, 0.4307)),
        ("HA", (1.4221, 8.4567, 0.4518)),
    ],
)
def test_das_statistics_at_reliability_88(method: str, first: tuple[float, ...], das: pd.DataFrame) -> None:
    r = reliable_change(das["pre"], das["post"], reliability=0.88, higher_is_better=True, methods=method)
    assert r["statistic"].head(3).tolist() == pytest.approx(first, abs=5e-5)


def test_the_pre_post_correlation_is_not_the_reliability_and_sqrt2_is_there(das: pd.DataFrame) -> None:
    """Errors of other programs: r12 = .52 in place of r would give 4.30 for the second couple; without sqrt(2), 12.2."""
    second = reliable_change(das["pre"], das["post"], reliability=0.88, higher_is_better=True, methods="JT")["statistic"].iloc[1]
    assert second == pytest.approx(8.6306, abs=5e-5)


def test_hll_refuses_the_treated_samples_own_end_mean(das: pd.DataFrame) -> None:
    with pytest.raises(StatisticsError, match=r"control_post_mean.*treatment's effect"):
        reliable_change(das["pre"], das["post"], reliability=0.8, methods="HLL")
    everything = reliable_change(das["pre"], das["post"], reliability=0.8)
    assert everything["method"].unique().tolist() == ["JT", "GLN", "EN", "NK", "HA", "CM", "two-SEM", "half SD", "one SEM"]
    given = reliable_change(das["pre"], das["post"], reliability=0.8, control_post_mean=82.0)
    assert "HLL" in given["method"].unique()


def test_a_study_may_ask_for_no_method_that_is_not_there() -> None:
    assert set(schema("study")["$defs"]["change_definition"]["properties"]["method"]["enum"]) <= set(METHODS)


def test_recalled_formulas_are_used_only_by_name() -> None:
    assert not METHODS["NK post SD"].verified
    assert "NK post SD" not in reliable_change([1, 2, 4], [2, 2, 3], reliability=0.8)["method"].unique()


def test_published_criterion_counts_from_its_value_on() -> None:
    """PHQ-9 in the English service: a change of 6 or more is reliable."""
    r = reliable_change([20, 20, 20, 5], [14, 15, 26, 5], reliability=0.88, sd=5, methods="criterion", criterion=6)
    assert r["category"].tolist() == ["improved", "unchanged", "deteriorated", "unchanged"]


def test_missing_scores_stay_missing() -> None:
    r = reliable_change([10.0, np.nan, 12.0, 15.0], [5.0, 3.0, np.nan, 14.0], reliability=0.9)
    missing = r[r["person_id"].isin([1, 2])]
    assert missing["statistic"].isna().all()
    assert missing["category"].isna().all()
    assert r[r["person_id"].isin([0, 3])]["category"].notna().all()


def test_nullable_and_integer_series_keep_their_index() -> None:
    pre = pd.Series([10, 20, None], index=["a", "b", "c"], dtype="Int64")
    post = pd.Series([9.0, 5.0, 4.0], index=["a", "b", "c"])
    r = reliable_change(pre, post, reliability=0.9, methods="JT")
    assert r["person_id"].tolist() == ["a", "b", "c"]
    assert r["category"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"reliability": 1.0}, "reliability: found 1.0"),
        ({"reliability": 0.0}, "reliability"),
        ({"reliability": float("nan")}, "reliability"),
        ({"reliability": 0.8, "sd": 0.0}, "sd: found 0"),
        ({"reliability": 0.8, "sd": -1.0}, "sd"),
        ({"reliability": 0.8, "sd": float("nan")}, "sd"),
        ({"reliability": 0.8, "methods": "J T"}, "Did you mean 'JT'"),
        ({"reliability": 0.8, "alpha": 0.0}, "alpha"),
        ({"reliability": 0.8, "criterion": -2}, "criterion"),
        ({"reliability": 0.8, "reliability_post": 1.2}, "reliability_post"),
        ({"reliability": 0.8, "methods": "criterion"}, "needs criterion"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict, match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        reliable_change([1.0, 2.0, 4.0], [2.0, 2.0, 3.0], **arguments)


@pytest.mark.parametrize(
    ("pre", "post", "match"),
    [
        ([1.0], [2.0], "1 people with both scores"),
        ([np.nan, 1.0], [1.0, 2.0], "1 people with both scores"),
        ([3.0, 3.0, 3.0], [1.0, 2.0, 3.0], "scored alike"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], "2 scores before but 3 after"),
    ],
)
def test_too_little_data_is_refused(pre: list, post: list, match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        reliable_change(pre, post, reliability=0.8)


def test_series_of_different_people_are_refused() -> None:
    with pytest.raises(StatisticsError, match="align"):
        reliable_change(pd.Series([1.0, 2.0], index=["a", "b"]), pd.Series([1.0, 2.0], index=["b", "a"]), reliability=0.8)


def test_ha_is_undefined_where_differences_vary_less_than_error() -> None:
    r = reliable_change([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.1], reliability=0.5, methods="HA")
    assert r["statistic"].isna().all()


@pytest.mark.parametrize("method", ["JT", "GLN", "EN", "NK"])
def test_share_improved_when_nobody_changed_is_the_expected_one(method: str) -> None:
    """True scores N(0, r), errors N(0, 1 − r) at both occasions; 200,000 people, so 3.5 standard errors are 0.0015 or less."""
    rng = np.random.default_rng(20261121)
    n, r = 200_000, 0.8
    true = rng.normal(size=n) * np.sqrt(r)
    x1, x2 = (true + rng.normal(size=n) * np.sqrt(1 - r) for _ in range(2))
    found = (reliable_change(x1, x2, reliability=r, sd=1.0, mean_pre=0.0, methods=method)["category"] == "improved").mean()
    expected = expected_improved(method, setting_from(x1, x2, reliability=r, sd=1.0, mean_pre=0.0))
    assert found == pytest.approx(expected, abs=3.5 * np.sqrt(expected * (1 - expected) / n))
    if method in ("JT", "GLN"):
        assert expected == pytest.approx(0.025)


def test_a_million_people_by_five_methods_take_two_seconds() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(20, 6, 1_000_000)
    y = x + rng.normal(size=1_000_000)
    start = time.process_time()
    assert len(reliable_change(x, y, reliability=0.9, methods=["JT", "GLN", "EN", "NK", "HA"])) == 5_000_000
    assert time.process_time() - start < 2.0


def test_percentage_from_the_minimum_is_undefined_and_never_improved() -> None:
    """Another program calls a baseline of 0 improved whatever happened."""
    for higher in (True, False):
        r = percentage_change([0, 0, 10, 10, 10], [0, 5, 5, 6, 15], minimum=0, higher_is_better=higher)
        assert r["statistic"].isna().tolist() == [True, True, False, False, False]
        better, worse = ("deteriorated", "improved") if higher else ("improved", "deteriorated")
        assert r["category"].tolist()[2:] == [better, "unchanged", worse]
        assert r["category"].isna().tolist() == [True, True, False, False, False]


def test_percentage_uses_the_scales_own_minimum() -> None:
    """On a scale from 1 to 7, from 5 to 3 is half of what was possible."""
    assert percentage_change([5.0], [3.0], minimum=1)["statistic"].item() == pytest.approx(-0.5)
    with pytest.raises(StatisticsError, match="below the minimum"):
        percentage_change([0.5], [3.0], minimum=1)
    with pytest.raises(StatisticsError, match="share"):
        percentage_change([5.0], [3.0], minimum=1, share=0)

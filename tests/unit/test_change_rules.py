"""The further rules of individual change: against R, by hand, and where they are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.individual_change.categories import change_categories
from attachment_outcomes.inference.individual_change.controls import regression_norm, retest_norm, smallest_detectable_change
from attachment_outcomes.inference.individual_change.groups import group_change, hageman_arrindell_shares
from attachment_outcomes.inference.individual_change.methods import METHODS, RegressionNorm, expected_improved, threshold
from attachment_outcomes.inference.individual_change.norms import person_cutoffs, person_norms, same_form
from attachment_outcomes.inference.individual_change.reliable import reliable_change, setting_from, usable_methods
from attachment_outcomes.inference.individual_change.significance import (
    CATEGORIES,
    Cutoff,
    Norm,
    PersonCutoffs,
    categorise,
    choose_cutoff,
    end_tested,
)
from attachment_outcomes.inference.individual_change.slopes import person_slopes, slopes_for

R_DIGITS = 1e-9  # the R file has 12 significant digits of numbers around 1
DAS_NORM = (114.8, 17.8)
SLOPES_DIGITS = 1e-5  # lme4 ends a little short of the optimum: 1.5e-6 were seen
WRONG = [
    ([1.0, np.inf, 2.0], "infinite numbers .row 2"),
    (["1", "2", "3"], "kind str"),
    ([True, False, True], "kind boolean"),
    (pd.Series([True, False, True]), "kind bool"),
    (pd.Series([1, 2, 3], dtype="category"), "allowed: numbers"),
    (pd.to_datetime(["2020-01-01"] * 3), "kind datetime64"),
    ([[1.0], [2.0], [3.0]], "2 dimensions"),
    ([1.0, 2.0], "3 scores before but 2 after"),
]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("change_rules")


@pytest.fixture(scope="module")
def rules(reference: Reference) -> Reference:
    return reference["rules"]


@pytest.fixture(scope="module")
def das(shared_data: Path) -> pd.DataFrame:
    table = pd.read_csv(shared_data / "jacobson1989/jacobson_1989.csv")
    return table.pivot(index="subject", columns="time", values="das")


def change(rules: Reference, method: str, **more: object) -> pd.DataFrame:
    return reliable_change(
        rules["pre"], rules["post"], reliability=rules["reliability"], reliability_post=rules["reliability_post"],
        methods=method, **more,
    )  # fmt: skip


# ---- Against R and published numbers.


@pytest.mark.parametrize("method", ["CM", "SRB", "two-SEM", "two-SEM control", "SDC ICC", "SDC MS"])
def test_each_rule_matches_its_formula_in_r(method: str, rules: Reference) -> None:
    retest = retest_norm(rules["control_pre"], rules["control_post"])
    found = change(
        rules, method, regression=regression_norm(rules["control_pre"], rules["control_post"]),
        control_post_sd=float(np.std(rules["control_post"], ddof=1)), icc=retest.icc_agreement, retest_sd=retest.sd,
        ms_error=retest.ms_error,
    )  # fmt: skip
    rules.check({method: found["statistic"]}, abs=R_DIGITS)


def test_norms_of_a_control_sample_match_lm_and_psych(rules: Reference) -> None:
    line = regression_norm(rules["control_pre"], rules["control_post"])
    retest = retest_norm(rules["control_pre"], rules["control_post"])
    detectable = smallest_detectable_change(ms_error=retest.ms_error, n=12)
    rules.check(
        {
            "intercept": line.intercept, "slope": line.slope, "see": line.see, "icc_agreement": retest.icc_agreement,
            "icc_consistency": retest.icc_consistency, "ms_error": retest.ms_error, "retest_sd": retest.sd,
            "sdc": detectable.sdc, "sdc_group": detectable.sdc_group,
        },
        abs=R_DIGITS,
    )  # fmt: skip
    assert (line.n, retest.n) == (14, 14)


def test_detectable_change_by_icc_is_that_by_its_formula() -> None:
    """SD 10, ICC .84: SEM = 10·.4 = 4, SDC = 1.96·1.414·4 = 11.09; of 25 people a fifth of it."""
    found = smallest_detectable_change(icc=0.84, sd=10, n=25)
    assert (found.sem, found.sdc, found.sdc_group) == pytest.approx((4.0, 11.0872, 2.21744), abs=5e-5)
    assert np.isnan(smallest_detectable_change(icc=0.84, sd=10).sdc_group)


def test_hageman_arrindell_matches_r(reference: Reference) -> None:
    rules, expected = reference["rules"], reference["hageman"]
    setting = setting_from(rules["pre"], rules["post"], reliability=rules["reliability"])
    clinical = Norm(float(np.mean(rules["pre"])), float(np.std(rules["pre"], ddof=1)))
    cutoff = {
        kind: choose_cutoff(
            kind, clinical=clinical, functional=tuple(expected["functional"]), se_measurement=setting.se_measurement,
            higher_is_better=False,
        )
        for kind in ("a_true", "b_true", "c_true")
    }  # fmt: skip
    expected.check({kind: c.value for kind, c in cutoff.items()}, abs=R_DIGITS)
    shares = hageman_arrindell_shares(setting, cutoff["c_true"], higher_is_better=False)
    expected.check({"changed": shares.changed, "functional_share": shares.functional}, abs=R_DIGITS)
    tested = end_tested(cutoff["c_true"], setting, higher_is_better=False)
    cs, z = np.asarray(expected["cs_individual"]), norm.ppf(0.95)
    assert tested.functional_at_end(rules["post"], higher_is_better=False).tolist() == (-cs > z).tolist()
    assert tested.clinical_at_end(rules["post"], higher_is_better=False).tolist() == (-cs < -z).tolist()
    assert (-cs > z).any()
    assert (np.abs(cs) < z).any()


def test_das_by_hageman_arrindell_with_their_cutoff(das: pd.DataFrame) -> None:
    """r = .88: cutoff on true scores 94.5511; 10 recovered, 10 improved, 9 unchanged, 1 worse, as the R package has it."""
    setting = setting_from(das["pre"], das["post"], reliability=0.88)
    cutoff = choose_cutoff(
        "c_true", clinical=(setting.mean_pre, setting.sd_pre), functional=DAS_NORM, se_measurement=setting.se_measurement,
        higher_is_better=True,
    )  # fmt: skip
    assert cutoff.value == pytest.approx(94.5511, abs=5e-5)
    tested = end_tested(cutoff, setting, higher_is_better=True)
    found = change_categories(das["pre"], das["post"], cutoff=tested, higher_is_better=True, methods="HA", setting=setting)
    n = found.categories["HA"].value_counts()
    assert (n["recovered"], n["improved"], n["unchanged"], n["deteriorated"] + n["harmed"]) == (10, 10, 9, 1)


@pytest.mark.parametrize("method", ["JT", "GLN", "HLL", "EN", "NK", "HA"])
def test_compact_categories_are_those_of_clinicalsignificance(method: str, das: pd.DataFrame, shared_data: Path) -> None:
    ref = pd.read_csv(shared_data / f"jacobson1989/ref_jacobson_das_distribution_{method}.csv").set_index("id")
    found = change_categories(
        das["pre"], das["post"], higher_is_better=True, methods=method, reliability=0.8, allow_treated_post_mean=True
    ).categories[method]
    assert found.astype("str").str.title().tolist() == ref["category"].loc[found.index].tolist()


def test_compact_categories_with_cutoff_c_are_those_of_clinicalsignificance(das: pd.DataFrame, shared_data: Path) -> None:
    ref = pd.read_csv(shared_data / "jacobson1989/ref_jacobson_das_combined_JT_c.csv").set_index("id")
    cutoff = choose_cutoff("c", clinical=(das["pre"].mean(), das["pre"].std()), functional=DAS_NORM, higher_is_better=True)
    found = change_categories(das["pre"], das["post"], cutoff=cutoff, higher_is_better=True, methods="JT", reliability=0.88)
    assert found.categories["JT"].astype("str").str.title().tolist() == ref["category"].loc[das.index].tolist()
    shares = found.shares().iloc[0]
    assert (shares["n"], shares["n_missing"]) == (30, 0)
    assert (shares[CATEGORIES] * 30).round(9).tolist() == [14, 5, 10, 1, 0]
    assert shares["crossed"] * 30 == pytest.approx(2)


def test_group_interval_is_the_paired_t_interval(reference: Reference) -> None:
    rules = reference["rules"]
    found = group_change(rules["pre"], rules["post"], mid=3)
    reference.check({"interval": [found.ci_low, found.ci_high]}, abs=R_DIGITS)


def test_slopes_match_lme4_and_hendersons_equations(reference: Reference) -> None:
    expected = reference["slopes"]
    found = person_slopes(expected.frame("rows"), person="person", time="week", value="score")
    expected.check({c: found[c] for c in ("slope", "deviation")}, abs=SLOPES_DIGITS)
    expected.check({c: found[c] for c in ("std_error", "deviation_std_error")}, rel=1e-5)
    assert (found["std_error"].to_numpy() < np.asarray(expected["sum_of_variances"])).all()


# ---- By hand.


def test_cm_has_true_change_in_its_denominator() -> None:
    """Changes −2, 0, −10, −12, −6 have SD √(116/4 − ...) by hand: mean −6, squares 16+36+16+36+0 = 104, /4 = 26, √26 = 5.099."""
    pre, post = np.array([20.0, 21, 22, 23, 24]), np.array([18.0, 21, 12, 11, 18])
    found = reliable_change(pre, post, methods="CM")
    assert found["statistic"].tolist() == pytest.approx([-0.39223, 0.0, -1.96116, -2.35339, -1.17670], abs=5e-6)
    setting = setting_from(pre, post, reliability=0.9)
    assert expected_improved("CM", setting) == pytest.approx(norm.cdf(-norm.ppf(0.975) * np.sqrt(26) / np.sqrt(2 * 0.1 * 2.5)))
    assert np.isnan(reliable_change([1.0, 2, 3], [3.0, 4, 5], methods="CM")["statistic"]).all()


def test_srb_by_hand_needs_no_reliability_and_works_for_one_person() -> None:
    """Control line 4 + .75 x, error 2: from 20, 19 is expected; 15 is two errors below, 23 two above."""
    line = RegressionNorm(intercept=4, slope=0.75, see=2)
    for post, statistic, category in ((15, -2.0, "improved"), (23, 2.0, "deteriorated"), (16, -1.5, "unchanged")):
        found = reliable_change([20], [post], regression=line, methods="SRB")
        assert found["statistic"].item() == pytest.approx(statistic)
        assert found["category"].item() == category


def test_two_sems_by_hand() -> None:
    """SD 5, r .84: SEM 2; end SD 10, r .91: SEM 3; √13 = 3.606; from 20 to 10."""
    more = {"reliability": 0.84, "sd": 5, "reliability_post": 0.91, "control_post_sd": 10}
    found = reliable_change([20], [10], methods="two-SEM control", **more)
    assert found["statistic"].item() == pytest.approx(-10 / 13**0.5)


@pytest.mark.parametrize(
    ("method", "points", "more"),
    [("MID", 5.0, {"mid": 5}), ("criterion", 6.0, {"criterion": 6}), ("half SD", 4.0, {}), ("one SEM", 3.2, {})],
)
def test_rules_in_points_count_from_their_value_on(method: str, points: float, more: dict) -> None:
    """SD 8, r .84: half is 4, the standard error of measurement 3.2."""
    setting = setting_from([20.0], [10.0], reliability=0.84, sd=8, **more)
    at = threshold(method, setting)
    assert at == pytest.approx(points)
    pre = np.zeros(4)
    found = reliable_change(pre, [-at, -at + 1e-9, at, at - 1e-9], reliability=0.84, sd=8, methods=method, **more)
    assert found["category"].tolist() == ["improved", "unchanged", "deteriorated", "unchanged"]
    assert expected_improved(method, setting) == pytest.approx(norm.cdf(-points / (8 * np.sqrt(0.32))))


def test_power_of_jt_by_hand() -> None:
    """A true change of 1.96 errors of the difference is found in half of the people."""
    setting = setting_from([20.0], [10.0], reliability=0.84, sd=8)
    assert expected_improved("JT", setting, change=norm.ppf(0.975) * setting.s_diff) == pytest.approx(0.5)
    assert expected_improved("JT", setting) == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("changes", "category"),
    [
        ([-9, 8, -2, 4, -1], "not significant"), ([-2.1, -1.9, -2, -2.05, -1.95], "significant, below the MID"),
        ([-3, -1, -4, -6, -1], "interval holds the MID"), ([-8, -8.2, -7.8, -8, -8.1], "beyond the MID"),
        ([8, 8.2, 7.8, 8, 8.1], "significantly worse"),
    ],
)  # fmt: skip
def test_group_categories_by_hand(changes: list[float], category: str) -> None:
    pre = np.array([20.0, 25, 22, 30, 28])
    assert group_change(pre, pre + changes, mid=3).category == category
    assert group_change(-pre, -pre - changes, mid=3, higher_is_better=True).category == category


def test_the_slope_says_who_changed_and_the_deviation_who_changed_more_than_others() -> None:
    """Everybody improves by about one point a week: all have a slope, few deviate from it."""
    rng = np.random.default_rng(4)
    week = np.tile(np.arange(8.0), 40)
    who = np.repeat(np.arange(40), 8)
    own = rng.normal(-1, 0.25, 40)[who]
    rows = pd.DataFrame({"person_id": who, "time": week, "value": rng.normal(30, 4, 40)[who] + own * week + rng.normal(0, 1, 320)})
    table = person_slopes(rows)
    ends = {w: rows[rows["time"] == w].set_index("person_id")["value"] for w in (0, 7)}
    slopes = slopes_for(ends[0].index, table)
    found = change_categories(ends[0], ends[7], methods=["HLM", "HLM deviation"], slopes=slopes).shares().set_index("method")
    assert found.loc["HLM", "improved"] == 1.0
    assert found.loc["HLM deviation", "improved"] < 0.3


def test_people_seen_twice_have_no_slope_and_order_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    who = np.repeat(np.arange(30), 4)
    rows = pd.DataFrame({"person_id": who, "time": np.tile([0, 4, 8, 12.0], 30)})
    rows["value"] = rng.normal(20, 4, 30)[who] + rng.normal(-0.3, 0.4, 30)[who] * rows["time"] + rng.normal(0, 2, 120)
    rows = rows.drop(index=[2, 3])  # person 0 keeps two
    table = person_slopes(rows).set_index("person_id")
    assert table["slope"].isna().tolist() == [True] + [False] * 29
    assert table.loc[0, "n"] == 2
    again = person_slopes(rows.sample(frac=1, random_state=1)).set_index("person_id")
    pd.testing.assert_frame_equal(table, again)
    there = slopes_for(pd.Index([3, 99]), table.reset_index())
    assert np.isnan(there.slope).tolist() == [False, True]


def test_ha_moves_from_the_samples_own_mean_also_where_a_population_mean_is_given(rules: Reference) -> None:
    """The given mean is for the rules of regression; HA weighs this sample's own mean change."""
    own, given = (change(rules, "HA", **more)["statistic"] for more in ({}, {"mean_pre": 12.0}))
    assert own.tolist() == given.tolist()
    assert change(rules, "GLN")["statistic"].tolist() != change(rules, "GLN", mean_pre=12.0)["statistic"].tolist()


# ---- Norms by stratum.


PEOPLE = pd.DataFrame({"age": [20.0, 45.0, 29.99, 30.0, np.nan], "gender": ["w", "m", "w", "w", "m"]})
TABLE = [
    {"mean": 8, "sd": 4, "strata": {"age": [18, 30], "gender": "w"}},
    {"mean": 6, "sd": 3, "strata": {"age": [18, 30], "gender": "m"}},
    {"mean": 5, "sd": 3, "strata": {"age": [30, None]}},
]


def test_each_person_has_the_norm_of_their_stratum() -> None:
    """A band begins with its first value and ends before its second; without an age the stratum is not known."""
    found = person_norms(PEOPLE, TABLE)
    assert found.position.tolist() == [0, 2, 0, 2, -1]
    assert found.n_missing == 1


def test_cutoffs_by_person_and_missing_strata_have_no_category() -> None:
    cutoff = person_cutoffs("c", clinical=(20, 4), functional=person_norms(PEOPLE, TABLE), higher_is_better=False)
    assert cutoff.values.tolist() == pytest.approx([14, 80 / 7, 14, 80 / 7, np.nan], nan_ok=True)  # (4·5 + 3·20)/7 = 80/7
    found = categorise([13.0] * 5, [12.0, 11.0, 12.0, 11.0, 11.0], ["unchanged"] * 5, cutoff=cutoff, higher_is_better=False)
    assert found["category"].isna().tolist() == [False] * 4 + [True]
    assert found["crossed"].tolist()[:4] == [False, True, False, True]
    assert found["clinical_at_baseline"].isna().tolist() == [False] * 4 + [True]
    compact = change_categories([13.0] * 5, [12.0, 11.0, 12.0, 11.0, 11.0], cutoff=cutoff, methods="JT", reliability=0.8, sd=4)
    assert compact.shares().loc[0, ["n", "n_missing"]].tolist() == [4, 1]
    assert compact.shares().loc[0, "crossed"] == pytest.approx(0.5)


def test_auto_is_decided_stratum_by_stratum() -> None:
    """Clinical 20 (4): a = 12. Functional 8 (4): b = 16, they overlap, c. Functional 5 (3): b = 11, they do not, b."""
    cutoff = person_cutoffs(clinical=(20, 4), functional=person_norms(PEOPLE, TABLE), higher_is_better=False)
    assert cutoff.values[:2].tolist() == [14.0, 11.0]
    assert cutoff.kind == "b and c"


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ([TABLE[0], TABLE[1]], r"2 people fall into no stratum \(rows 2, 4\)"),
        ([*TABLE, {"mean": 5, "sd": 3, "strata": {"age": [0, 25]}}], r"1 people fall into two strata \(row 1\)"),
        ([{"mean": 8, "sd": 4, "strata": {"sex": "w"}}], "'sex', a column that is not there"),
        ([{"mean": 8, "sd": 4, "strata": {"gender": [1, 2]}}], "bands of 'gender', which is no number"),
        ([{"mean": 8, "sd": 4, "strata": {"age": [1, 2, 3]}}], "3 ends"),
        ([{"mean": 8, "sd": 4, "strata": {"age": [30, 18]}}], "upwards"),
        ([{"mean": 8, "sd": 0, "strata": {}}], "SD 0"),
        ([], "empty"),
        ([{"mean": 8, "sd": 4, "strata": {}, "form": "34 items"}], "form '34 items'; the form in use is '10 items'"),
        ([{"mean": 8, "sd": 4, "strata": {}, "range": [0, 136]}], "from 0 to 136; the scale in use goes from 0 to 40"),
        ([{"mean": 68, "sd": 4, "strata": {}}], "mean 68 is no possible score"),
    ],
)
def test_impossible_norms_are_refused(table: list, match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        person_norms(PEOPLE, table, form="10 items", possible=[0, 40])


def test_a_norm_of_the_same_form_is_let_pass() -> None:
    same_form({"mean": 8, "form": "10 items", "range": [0, 40]}, form="10 items", possible=[0, 40])
    assert person_norms(PEOPLE, TABLE, form="10 items", possible=[0, 40]).n_missing == 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"clinical": (20, 4), "functional": (8, 4)}, "neither norm is by person"),
        ({"kind": "instrument", "functional": person_norms(PEOPLE, TABLE)}, "does not rest on norms"),
        ({"functional": person_norms(PEOPLE, TABLE), "clinical": person_norms(PEOPLE[:2], TABLE)}, "different numbers"),
        ({"kind": "c", "clinical": (4, 2), "functional": person_norms(PEOPLE, TABLE)}, "better side"),
    ],
)
def test_impossible_cutoffs_by_person_are_refused(arguments: dict, match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        person_cutoffs(**arguments, higher_is_better=False)


# ---- Refusals.


@pytest.mark.parametrize(("wrong", "match"), WRONG)
def test_scores_that_are_none_are_refused(wrong: object, match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        reliable_change([1.0, 2.0, 4.0], wrong, reliability=0.8)


def test_people_twice_in_the_index_are_refused() -> None:
    twice = pd.Series([1.0, 2.0, 4.0], index=["a", "b", "a"])
    with pytest.raises(StatisticsError, match="pre has 1 people twice"):
        reliable_change(twice, twice, reliability=0.8)


@pytest.mark.parametrize(
    ("pre", "post", "arguments", "match"),
    [
        ([1.0, 2.0], [np.nan, np.nan], {}, "none of 2 people has a score before and after; one wave alone"),
        ([np.nan], [np.nan], {"sd": 3}, "none of 1 people"),
        ([], [], {"sd": 3}, "none of 0 people"),
        ([0.1] * 6, [1.0, 2, 3, 4, 5, 6], {}, "scored alike"),
    ],
)
def test_one_wave_and_no_variance_are_refused(pre: list, post: list, arguments: dict, match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        reliable_change(pre, post, reliability=0.8, **arguments)
    with pytest.raises(StatisticsError, match=match):
        change_categories(pre, post, reliability=0.8, **arguments)


@pytest.mark.parametrize("direction", ["lower", 1, None, "higher is better"])
def test_a_direction_that_is_no_truth_value_is_refused(direction: object) -> None:
    for refusing in (
        lambda: reliable_change([1.0, 2, 4], [2.0, 2, 3], reliability=0.8, higher_is_better=direction),
        lambda: change_categories([1.0, 2, 4], [2.0, 2, 3], reliability=0.8, higher_is_better=direction),
        lambda: choose_cutoff("a", clinical=(20, 4), higher_is_better=direction),
        lambda: group_change([1.0, 2, 4], [2.0, 2, 3], mid=1, higher_is_better=direction),
    ):
        with pytest.raises(StatisticsError, match="allowed: True or False"):
            refusing()


def test_norms_that_contradict_the_direction_are_refused() -> None:
    with pytest.raises(StatisticsError, match="better side"):
        choose_cutoff("c_true", clinical=(20, 4), functional=(8, 4), se_measurement=1, higher_is_better=True)
    with pytest.raises(StatisticsError, match="functional mean 8 lies in the clinical range"):
        choose_cutoff("instrument", functional=(8, 4), instrument=(11, True), higher_is_better=True)


@pytest.mark.parametrize(
    ("kind", "more", "match"),
    [
        ("c_true", {}, "needs the standard error of measurement"),
        ("c_true", {"se_measurement": 4}, "not between 0 and the norm's SD 4"),
        ("b_true", {"se_measurement": 1, "functional": None}, "a functional norm"),
        ("instrument", {"instrument": (float("nan"), True)}, "finite"),
        ("a", {"clinical": (float("nan"), 3)}, "finite"),
    ],
)
def test_impossible_cutoffs_are_refused(kind: str, more: dict, match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        choose_cutoff(kind, **{"clinical": (20, 4), "functional": (8, 4), "higher_is_better": False, **more})


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"reliability": "0.8"}, "reliability: found '0.8'; allowed: a number"),
        ({"reliability": True}, "reliability: found True"),
        ({"reliability": float("nan")}, "reliability: found nan"),
        ({"reliability": 0.8, "mid": -1}, "mid: found -1"),
        ({"reliability": 0.8, "mid": float("inf")}, "mid: found inf"),
        ({"reliability": 0.8, "r12": 1.2}, "r12: found 1.2"),
        ({"reliability": 0.8, "mean_pre": float("inf")}, "mean_pre: found inf"),
        ({"reliability": 0.8, "icc": 1.0}, "icc: found 1.0"),
        ({"reliability": 0.8, "regression": RegressionNorm(intercept=1, slope=1, see=0)}, "regression see: found 0"),
        ({"reliability": 0.8, "control_post_sd": 0}, "control_post_sd"),
    ],
)
def test_impossible_numbers_are_refused(arguments: dict, match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        reliable_change([1.0, 2.0, 4.0], [2.0, 2.0, 3.0], **arguments)


@pytest.mark.parametrize(
    ("method", "match"),
    [
        ("JT", "needs reliability.*never the pre-post correlation"),
        ("SRB", "needs regression.*regression_norm"),
        ("two-SEM control", "needs reliability, reliability_post, control_post_sd"),
        ("SDC ICC", "needs icc, retest_sd.*did not change"),
        ("SDC MS", "needs ms_error"),
        ("MID", "needs mid.*anchor"),
        ("HLM", "needs slopes.*at least three"),
        ("HLM deviation", "needs slopes"),
    ],
)
def test_a_rule_by_name_without_what_it_needs_is_refused(method: str, match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        reliable_change([1.0, 2.0, 4.0], [2.0, 2.0, 3.0], methods=method)


def test_all_are_those_whose_needs_are_met() -> None:
    pre, post = [1.0, 2.0, 4.0], [2.0, 2.0, 3.0]
    assert usable_methods("all", setting_from(pre, post)) == ["CM", "half SD"]
    full = setting_from(
        pre, post, reliability=0.8, control_post_mean=2, control_post_sd=1, icc=0.8, retest_sd=1, ms_error=1, mid=1, criterion=1,
        regression=RegressionNorm(intercept=0, slope=1, see=1),
    )  # fmt: skip
    assert set(METHODS) - set(usable_methods("all", full)) == {"NK post SD", "HLM", "HLM deviation"}
    with pytest.raises(StatisticsError, match="found none"):
        usable_methods([], full)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "either icc and sd, or ms_error"),
        ({"icc": 0.8}, "either icc and sd"),
        ({"icc": 0.8, "sd": 2, "ms_error": 1}, "either icc and sd"),
        ({"icc": 1.2, "sd": 2}, "ICC 1.2"),
        ({"ms_error": -1}, "mean square of -1"),
        ({"ms_error": 1, "n": 0}, "n = 0"),
        ({"ms_error": 1, "alpha": 1}, "alpha"),
    ],
)
def test_impossible_detectable_changes_are_refused(arguments: dict, match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        smallest_detectable_change(**arguments)


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        ([1.0, 2.0], [1.0, 3.0], "2 people with both scores; at least 3"),
        ([2.0, 2.0, 2.0], [1.0, 3.0, 4.0], "alike at the first"),
        ([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], "no error can be told"),
    ],
)
def test_control_samples_that_tell_nothing_are_refused(first: list, second: list, match: str) -> None:
    for norm_of in (regression_norm, retest_norm):
        with pytest.raises(StatisticsError, match=match):
            norm_of(first, second)


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ({"person_id": [1, 1, 2, 2], "time": [0, 1, 0, 1], "value": [1.0, 2, 3, 4]}, "nobody of 2 people has 3 occasions"),
        ({"person_id": [1, 1, 1], "time": [0, 0, 1], "value": [1.0, 2, 3]}, "1 rows are a second score"),
        ({"person_id": [1, 1, 1], "time": [0, 1, 2], "value": ["a", "b", "c"]}, "allowed: numbers"),
        ({"person_id": [1, 1, 1], "times": [0, 1, 2], "value": [1.0, 2, 3]}, "no column 'time'. Did you mean 'times'"),
    ],
)
def test_slopes_of_too_few_occasions_are_refused(rows: dict, match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        person_slopes(pd.DataFrame(rows))


def test_words_that_are_no_category_and_cutoffs_of_other_people_are_refused() -> None:
    with pytest.raises(StatisticsError, match="1 other words"):
        categorise([1.0], [2.0], ["Improved"], cutoff=None, higher_is_better=True)
    with pytest.raises(StatisticsError, match="1 scores, 2 end scores"):
        categorise([1.0], [2.0, 3.0], ["improved"], cutoff=None, higher_is_better=True)
    with pytest.raises(StatisticsError, match="3 cutoffs for 1 people"):
        categorise([1.0], [2.0], ["improved"], cutoff=PersonCutoffs("c", np.ones(3)), higher_is_better=True)


def test_the_end_score_cannot_be_tested_where_ends_vary_no_more_than_error() -> None:
    setting = setting_from([10.0, 20, 30, 40], [20.0, 20.1, 19.9, 20], reliability=0.8)
    with pytest.raises(StatisticsError, match="no larger than the standard error"):
        end_tested(Cutoff("c_true", 15.0), setting, higher_is_better=False)
    with pytest.raises(StatisticsError, match=r"(differences|end scores) vary less"):
        hageman_arrindell_shares(setting, Cutoff("c_true", 15.0), higher_is_better=False)
    with pytest.raises(StatisticsError, match="needs the reliability"):
        hageman_arrindell_shares(setting_from([1.0], [2.0], sd=3), Cutoff("c_true", 15.0), higher_is_better=False)
    with pytest.raises(StatisticsError, match="needs mean and SD"):
        end_tested(Cutoff("c_true", 15.0), setting_from([1.0], [2.0], sd=3, reliability=0.8), higher_is_better=False)


@pytest.mark.parametrize("mid", [0, -1, float("nan"), True, "3"])
def test_a_group_needs_a_mid_in_points(mid: object) -> None:
    with pytest.raises(StatisticsError, match="found a MID"):
        group_change([1.0, 2, 4], [2.0, 2, 3], mid=mid)


# ---- Speed.

SPEED = """
import pathlib, time
import numpy as np
from attachment_outcomes.inference.individual_change.categories import change_categories
from attachment_outcomes.inference.individual_change.methods import RegressionNorm
from attachment_outcomes.inference.individual_change.significance import choose_cutoff
rng = np.random.default_rng(1)
n = {n}
pre = rng.normal(20, 6, n)
post = pre - 3 + rng.normal(0, 4, n)
start = time.process_time()
cutoff = choose_cutoff("c", clinical=(20, 6), functional=(8, 5), higher_is_better=False)
found = change_categories(
    pre, post, cutoff=cutoff, reliability=.9, control_post_mean=19, control_post_sd=6, icc=.8, retest_sd=6, ms_error=7, mid=5,
    criterion=6, regression=RegressionNorm(intercept=2, slope=.9, see=3))
found.shares()
seconds = time.process_time() - start
# Of this process alone: ru_maxrss keeps what the process had that started it.
status = pathlib.Path("/proc/self/status")
peak = int(status.read_text().partition("VmHWM:")[2].split()[0]) if status.exists() else 0
print(len(found.categories.columns), seconds, peak / 1024**2)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is told by Linux")
def test_a_hundred_thousand_people_by_all_rules_take_a_second_and_little_memory() -> None:
    """A tenth of what is promised for a million (10 s, 2 GB); the bound is generous: 0.1 s and 0.13 GB were seen."""
    run = subprocess.run([sys.executable, "-c", SPEED.format(n=100_000)], capture_output=True, text=True, check=True)
    methods, seconds, gigabytes = (float(x) for x in run.stdout.split())
    assert methods == len(METHODS) - 3  # NK post SD by name only; HLM needs more than two occasions
    assert seconds < 1.0
    assert gigabytes < 0.7


def numbered(sd: float, *, seed: int = 8) -> pd.DataFrame:
    """Twenty people p1 to p20, whose order as text is another, five times each."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(20), 5)
    rows = pd.DataFrame({"person_id": [f"p{i + 1}" for i in who], "time": np.tile(np.arange(5.0), 20)})
    rows["value"] = rng.normal(20, 4, 20)[who] + rng.normal(0, sd, 20)[who] * rows["time"] + rng.normal(0, 1, 100)
    return rows


def test_a_table_of_slopes_is_joined_on_the_person() -> None:
    rows = numbered(3.0)
    table, ids = person_slopes(rows), rows["person_id"].unique()
    pre, post = (rows[rows["time"] == t].set_index("person_id")["value"] for t in (0, 4))
    joined = reliable_change(pre, post, methods="HLM", slopes=table).set_index("person_id")
    own = table.set_index("person_id")
    assert joined["statistic"].to_dict() == pytest.approx((own["slope"] / own["std_error"]).to_dict())
    by_hand = reliable_change(pre.to_numpy(), post.to_numpy(), methods="HLM", slopes=slopes_for(pd.Index(ids), table))
    assert by_hand["statistic"].tolist() == joined["statistic"].tolist()
    categories = change_categories(pre, post, methods="HLM", slopes=table).categories["HLM"]
    assert categories.tolist() == joined["category"].tolist()
    for scores in ((pre.to_numpy(), post.to_numpy()), (pre.reset_index(drop=True), post.reset_index(drop=True))):
        for rule in (reliable_change, change_categories):
            with pytest.raises(StatisticsError, match=r"holds no ids.*slopes_for"):
                rule(*scores, methods="HLM", slopes=table)
    with pytest.raises(StatisticsError, match="nobody of 20 people"):
        reliable_change(pre.rename(str.upper), post.rename(str.upper), methods="HLM", slopes=table)
    with pytest.raises(StatisticsError, match="no column 'deviation'"):
        reliable_change(pre, post, methods="HLM", slopes=table.drop(columns="deviation"))
    with pytest.raises(StatisticsError, match=r"needs slopes.*slopes_for"):
        reliable_change(pre, post, methods="HLM")


@pytest.mark.filterwarnings("ignore::attachment_outcomes.errors.ConvergenceWarning")
def test_where_slopes_do_not_differ_nobody_has_one() -> None:
    """Everybody changes by the same two points a time: no small number that stands for zero makes a z."""
    none = 0
    for seed in range(12):
        rows = numbered(0.0, seed=seed)
        table = person_slopes(rows.assign(value=rows["value"] - 2 * rows["time"]))
        assert table["slope"].isna().all() or table["deviation"].abs().max() > 1e-3
        none += bool(table["slope"].isna().all())
    assert none >= 4
    assert person_slopes(numbered(3.0))["slope"].notna().all()


def test_what_change_categories_cannot_use_is_refused() -> None:
    pre, post = [20.0, 25, 22, 30], [10.0, 24, 23, 15]
    setting = setting_from(pre, post, reliability=0.8)
    for wrong, match in (
        ({"cutoff": 22.0, "reliability": 0.8}, "cutoff of kind float.*choose_cutoff"),
        ({"relability": 0.8}, "no argument 'relability'.*reliability"),
        ({"setting": setting, "reliability": 0.8}, "a setting and reliability; allowed: either"),
        ({"setting": 3}, "setting of kind int"),
    ):
        with pytest.raises(StatisticsError, match=match):
            change_categories(pre, post, **wrong)  # type: ignore[arg-type]
    with pytest.raises(StatisticsError, match="everybody scored alike"):
        reliable_change([1e15, 1e15, 1e15 + 1], [1.0, 2.0, 3.0], reliability=0.8)


def test_what_norms_and_cutoffs_cannot_be_is_refused() -> None:
    for entry, match in (
        ({"sd": 3}, "has no mean"),
        ({"mean": 5, "sd": "3"}, "sd of kind str"),
        ({"mean": 5, "sd": 3, "strata": {"gender": ["w", "m"]}}, "a row of its own"),
        ({"mean": 5, "sd": 3, "stratum": {}}, "the key 'stratum'"),
    ):
        with pytest.raises(StatisticsError, match=match):
            person_norms(PEOPLE, [entry])
    with pytest.raises(StatisticsError, match="found nan; allowed: a finite number"):
        Cutoff("c", np.nan)
    with pytest.raises(StatisticsError, match="NoneType and NoneType"):
        hageman_arrindell_shares(None, None, higher_is_better=True)  # type: ignore[arg-type]


def test_series_of_other_people_are_refused() -> None:
    pre, post = (pd.Series([20.0, 25, 22, 30], index=list(order)) for order in ("abcd", "dcba"))
    with pytest.raises(StatisticsError, match="pre and post have different indexes"):
        categorise(pre, post, ["unchanged"] * 4, cutoff=None, higher_is_better=False)
    with pytest.raises(StatisticsError, match="pre and clusters have different indexes"):
        group_change(pre, post.to_numpy(), mid=3, clusters=post)

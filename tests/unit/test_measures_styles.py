"""Styles from two dimensions: quadrants and classification functions by hand, certainty against R."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.config import load_instrument
from attachment_outcomes.errors import ConfigError, DataError, StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import Estimate
from attachment_outcomes.inference.half_planes import inside
from attachment_outcomes.measures.instruments import Instrument, Scale, read_instruments, split_score
from attachment_outcomes.measures.styles import (
    COLUMNS,
    FISHER,
    MIDPOINT,
    NORM_MEAN,
    Split,
    attachment_styles,
    classify,
    find_split,
    rotated_dimensions,
    style_certainty,
    style_estimates,
    style_regions,
)
from attachment_outcomes.study.contracts import typed

R_TOLERANCE = 1e-12  # both call an error function good to the last bits; R prints 15 digits
REGISTRY = {k: load_instrument(k) for k in ("ecr", "ecr_r", "ecr_rs", "aas")}


def sides(key: str, override: dict[str, object] | None = None) -> dict[str, tuple[Instrument, Scale]]:
    forms = read_instruments({key: REGISTRY[key]}, {key: override} if override else None)
    return {s: split_score(f"{key}.{s}", forms) for s in ("anxiety", "avoidance")}


def test_quadrants_of_the_midpoint_and_ties() -> None:
    anxiety = np.array([2, 6, 2, 6, 4, 2, np.nan, 2])
    avoidance = np.array([2, 2, 6, 6, 2, 4, 2, np.nan])
    found = attachment_styles(anxiety, avoidance, split=Split(MIDPOINT, 4, 4))
    assert found.tolist() == ["secure", "preoccupied", "dismissing", "fearful", "boundary", "boundary", None, None]


def test_fisher_functions_by_hand() -> None:
    # (anxiety, avoidance): each value of the four functions was worked out by hand; at (6, 2) they are 27.88 secure, 31.18
    # fearful, 37.65 preoccupied, 22.14 dismissing; at (2, 6) 19.15, 27.42, 14.51, 31.84; at (6, 6) 41.04, 60.13, 53.35, 51.60;
    # at (1, 1) -2.77, -16.94, -14.82, -9.92. Copies with the dimensions swapped call the first dismissing.
    found = attachment_styles([6, 2, 6, 1, np.nan], [2, 6, 6, 1, 1], split=Split(FISHER))
    assert found.tolist() == ["preoccupied", "dismissing", "fearful", "secure", None]


def test_midpoint_follows_the_range_in_use() -> None:
    assert find_split(MIDPOINT, **sides("ecr")) == Split(MIDPOINT, 4, 4)
    assert find_split(MIDPOINT, **sides("ecr", {"range": [1, 5]})) == Split(MIDPOINT, 3, 3)


def test_norm_mean_is_the_functional_norm_and_only_for_its_own_range() -> None:
    assert find_split(NORM_MEAN, **sides("ecr_r"), registry=REGISTRY) == Split(NORM_MEAN, 3.56, 2.92)
    with pytest.raises(ConfigError, match=r"ecr.anxiety, rule 'norm mean': the instrument has no functional norm"):
        find_split(NORM_MEAN, **sides("ecr"), registry=REGISTRY)
    with pytest.raises(ConfigError, match=r"its own range of answers, to which the norm does not apply"):
        find_split(NORM_MEAN, **sides("ecr_r", {"range": [1, 5]}), registry=REGISTRY)


@pytest.mark.parametrize(("key", "override"), [("ecr_r", None), ("ecr", {"range": [1, 5]})])
def test_fisher_functions_are_refused_for_other_instruments_and_ranges(key: str, override: dict[str, object] | None) -> None:
    with pytest.raises(
        ConfigError, match=rf"styles of {key}.anxiety, rule 'fisher functions'.*ecr.anxiety with answers from 1 to 7"
    ):
        find_split(FISHER, **sides(key, override))
    assert find_split(FISHER, **sides("ecr")).rule == FISHER


def test_a_scale_without_a_direction_gives_no_styles() -> None:
    forms = read_instruments({"aas": REGISTRY["aas"]})
    anxiety, dependency = (split_score(f"aas.{s}", forms) for s in ("anxiety", "dependency"))
    with pytest.raises(ConfigError, match=r"aas.dependency: its direction is 'neutral'; styles need 'higher is worse'"):
        find_split(MIDPOINT, anxiety=anxiety, avoidance=dependency)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"found 'mean'; allowed: midpoint, norm mean, fisher functions"):
        find_split("mean", **sides("ecr"))


@pytest.mark.parametrize("rule", ["median", "sample median", "median split"])
def test_a_samples_median_is_refused_with_the_reason(rule: str) -> None:
    with pytest.raises(ConfigError, match=rf"found '{rule}'; a sample's median moves with the sample.*allowed: midpoint"):
        find_split(rule, **sides("ecr"))


def scores(rows: list[tuple[str, int, str, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["person_id", "wave", "scale", "score"]).assign(instrument="ecr_r", rater="self")
    return typed(frame, "scores")


SETTINGS = [
    {"anxiety": "ecr_r.anxiety", "avoidance": "ecr_r.avoidance", "rule": "midpoint"},
    {"anxiety": "ecr_r.anxiety", "avoidance": "ecr_r.avoidance", "rule": "norm mean"},
]
FORMS = read_instruments({"ecr_r": REGISTRY["ecr_r"], "ecr_rs": REGISTRY["ecr_rs"]})


def test_the_styles_table_has_a_row_a_person_occasion_and_rule_and_counts_the_rest() -> None:
    given = scores(
        [
            ("a", 0, "anxiety", 3.8),
            ("a", 0, "avoidance", 3.0),
            ("b", 0, "anxiety", 4),
            ("b", 0, "avoidance", 2),
            ("c", 1, "anxiety", 2),
        ]
    )
    flow = Flow()
    found = classify(given, SETTINGS, FORMS, flow=flow, registry=REGISTRY)
    assert list(found.columns) == COLUMNS
    shown = {
        (p, n): (s, first)
        for p, n, s, first in found[["person_id", "name", "style", "primary"]].fillna("-").itertuples(index=False)
    }
    assert shown == {
        ("a", "ecr_r midpoint"): ("secure", True),
        ("b", "ecr_r midpoint"): ("boundary", True),
        ("c", "ecr_r midpoint"): ("-", True),
        ("a", "ecr_r norm mean"): ("fearful", False),
        ("b", "ecr_r norm mean"): ("preoccupied", False),
        ("c", "ecr_r norm mean"): ("-", False),
    }
    assert flow.lines[0] == ("styles, ecr_r midpoint: both dimensions", 3, 2, "anxiety or avoidance has no score", "occasions")
    assert flow.lines[1][1:3] == (2, 1)


def test_no_settings_give_an_empty_table_with_types() -> None:
    found = classify(scores([]), [], FORMS, flow=Flow())
    assert (len(found), list(found.columns), str(found["wave"].dtype)) == (0, COLUMNS, "Int64")


def test_two_classifications_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"two classifications would be called 'ecr_r midpoint'"):
        classify(scores([]), [SETTINGS[0], SETTINGS[0]], FORMS, flow=Flow())


def test_scores_about_several_people_give_no_style() -> None:
    given = scores([("a", 0, "anxiety", 3)] * 2).assign(instrument="ecr_rs", about_person_id=["m", "f"])
    setting = {"anxiety": "ecr_rs.anxiety", "avoidance": "ecr_rs.avoidance"}
    with pytest.raises(DataError, match=r"several scores at one occasion.*Hint: use the scale that averages over targets"):
        classify(typed(given, "scores"), [setting], FORMS, flow=Flow())


def test_certainty_matches_r() -> None:
    for case in load_reference("measures_alpha")["certainty"]:
        found = style_certainty(
            [case["anxiety"]],
            [case["avoidance"]],
            split=Split(MIDPOINT, 4, 4),
            sem_anxiety=case["sem_anxiety"],
            sem_avoidance=case["sem_avoidance"],
        ).iloc[0]
        case.check(found[["secure", "preoccupied", "dismissing", "fearful"]], abs=R_TOLERANCE)


def test_a_person_half_a_sem_from_one_cut_is_misclassified_by_that_tail() -> None:
    # Phi(-0.5) = .308538 (normal table); the other dimension is six SEM from its cut.
    found = style_certainty([4.2], [1.6], split=Split(MIDPOINT, 4, 4), sem_anxiety=0.4, sem_avoidance=0.4)
    assert found["misclassified"].iloc[0] == pytest.approx(0.308538, abs=1e-6)


def test_certainty_at_a_cut_missing_scores_and_impossible_errors() -> None:
    found = style_certainty([4, np.nan], [2, 2], split=Split(MIDPOINT, 4, 4), sem_anxiety=0.4, sem_avoidance=0.4)
    assert found["misclassified"].isna().all()
    assert found["secure"].isna().tolist() == [False, True]
    with pytest.raises(StatisticsError, match=r"must be above 0"):
        style_certainty([1], [1], split=Split(MIDPOINT, 4, 4), sem_anxiety=0, sem_avoidance=1)
    with pytest.raises(StatisticsError, match=r"has no cuts"):
        style_certainty([1], [1], split=Split(MIDPOINT), sem_anxiety=1, sem_avoidance=1)
    with pytest.raises(StatisticsError, match=r"correlation of errors must be between"):
        style_certainty([1], [1], split=Split(MIDPOINT, 4, 4), sem_anxiety=1, sem_avoidance=1, error_correlation=1)
    with pytest.raises(StatisticsError, match=r"a reference mean needs reliabilities"):
        style_certainty([1], [1], split=Split(MIDPOINT, 4, 4), sem_anxiety=1, sem_avoidance=1, reference_mean=(3, 3))


def test_certainty_of_all_rules_matches_r() -> None:
    """R: pmvnorm over quadrants and, for the classification functions, over the three differences of functions."""
    for case in load_reference("security")["certainty"]:
        cuts = {"fisher functions": Split(FISHER), "midpoint": Split(MIDPOINT, 4, 4)}[case["rule"]]
        kelley = {"reference_mean": tuple(case["mean"]), "reliability": tuple(case["reliability"])} if case["kelley"] else {}
        found = style_certainty(
            [case["anxiety"]], [case["avoidance"]], split=cuts, sem_anxiety=case["sem"][0], sem_avoidance=case["sem"][1],
            error_correlation=case["error_correlation"], **kelley,
        ).iloc[0]  # fmt: skip
        case.check(found[["secure", "preoccupied", "dismissing", "fearful", "misclassified", "other_style_at_retest"]], abs=1e-8)


def test_another_style_at_retest_is_likelier_than_misclassification_and_counts_match() -> None:
    """200,000 draws (standard error 0.001): true scores around the observed one, and a second measurement of them."""
    rng = np.random.default_rng(8)
    true = np.array([4.3, 3.0]) + rng.normal(0, 0.5, (200_000, 2))
    again = true + rng.normal(0, 0.5, (200_000, 2))
    found = style_certainty([4.3], [3.0], split=Split(MIDPOINT, 4, 4), sem_anxiety=0.5, sem_avoidance=0.5).iloc[0]
    for name, x in (("misclassified", true), ("other_style_at_retest", again)):
        assert found[name] == pytest.approx(((x[:, 0] <= 4) | (x[:, 1] >= 4)).mean(), abs=0.005)


def test_kelleys_estimate_pulls_across_the_cut() -> None:
    """Observed 4.1, mean 2, r .8: the estimate is 3.68, error sqrt(.8) * .5 = .4472; P(high) = Phi(-.7155) = .2371."""
    found = style_certainty(
        [4.1], [1.0], split=Split(MIDPOINT, 4, 4), sem_anxiety=0.5, sem_avoidance=0.5, reference_mean=(2, 2), reliability=(0.8, 0.8)
    ).iloc[0]
    assert found["misclassified"] == pytest.approx(1 - 0.23714, abs=1e-4)
    assert found["secure"] > 0.76


def test_regions_of_every_rule_give_the_styles_themselves() -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(1, 7, (2000, 2))
    for split in (Split(FISHER), Split(MIDPOINT, 4, 3.5)):
        style = attachment_styles(x[:, 0], x[:, 1], split=split)
        for name, region in style_regions(split).items():
            assert (inside(x, region) == (style == name)).all()


def test_the_share_misclassified_is_told_for_the_functions_too() -> None:
    setting = {"anxiety": "ecr.anxiety", "avoidance": "ecr.avoidance", "rule": "fisher functions"}
    forms = read_instruments({"ecr": REGISTRY["ecr"]})
    given = scores([("a", 0, "anxiety", 3), ("a", 0, "avoidance", 3)]).assign(instrument="ecr")
    styles = classify(given, [setting], forms, flow=Flow())
    sems = [
        Estimate(analysis="reliability", estimand="standard_error_of_measurement", estimate=0.4, method="x", outcome=f"ecr.{s}",
                 group="wave 0")
        for s in ("anxiety", "avoidance")
    ]  # fmt: skip
    rows = style_estimates(styles, [setting], forms, sems)
    assert [r.estimand for r in rows] == ["expected_misclassified", "expected_other_style_at_retest"]
    assert 0 < rows[0].estimate < rows[1].estimate < 1


def test_rotated_dimensions_by_hand() -> None:
    found = rotated_dimensions([5, 2, np.nan], [1, 3, 3], anxiety_reference=(3, 1), avoidance_reference=(3, 2))
    # z anxiety 2 and -1; z avoidance -1 and 0
    assert found["security"].tolist()[:2] == pytest.approx([-1 / math.sqrt(2), 1 / math.sqrt(2)])
    assert found["hyperactivation"].tolist()[:2] == pytest.approx([3 / math.sqrt(2), -1 / math.sqrt(2)])
    assert found.iloc[2].isna().all()
    with pytest.raises(StatisticsError, match=r"reference SDs must be above 0"):
        rotated_dimensions([1], [1], anxiety_reference=(3, 0), avoidance_reference=(3, 1))


def test_without_items_the_share_misclassified_is_not_testable() -> None:
    given = scores([("a", 0, "anxiety", 3), ("a", 0, "avoidance", 3)])
    found = classify(given, SETTINGS[:1], FORMS, flow=Flow())
    rows = style_estimates(found, SETTINGS[:1], FORMS, [])
    assert [(r.analysis, r.estimand, r.note) for r in rows] == [
        ("styles", "not testable", "ecr_r midpoint: share misclassified by measurement error: the items were not given")
    ]

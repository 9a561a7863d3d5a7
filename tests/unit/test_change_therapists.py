"""Therapists' shares: intervals against dense matrices and analysis of variance, deviations by rank, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway
from tests.references import load_reference

from attachment_outcomes.change.growth.curve import growth_curve
from attachment_outcomes.change.growth.therapist_rows import therapist_effects
from attachment_outcomes.change.therapists import CATERPILLAR, caterpillar, variance_ratio
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.flow import Flow

REFERENCE = load_reference("growth")


def growth_data() -> tuple[pd.DataFrame, pd.Series]:
    table = REFERENCE.frame("data")
    data = pd.DataFrame(
        {
            "person_id": table["client"].astype("str"), "occasion": table["wave"], "time": table["time"].astype(float),
            "value": table["value"], "therapist": table["therapist"].map("t{:02d}".format),
        }
    )  # fmt: skip
    return data, data.drop_duplicates("person_id").set_index("person_id")["therapist"]


@pytest.mark.parametrize(
    ("name", "column", "beside", "unit"), [("level", 0, 1, 1.0), ("slope", 1, 0, 100.0), ("level_alone", 0, None, 1.0)]
)
def test_interval_with_people_below_is_that_of_dense_matrices(name: str, column: int, beside: int | None, unit: float) -> None:
    """R has time in tens of weeks, so its ratio of slopes' variance is a hundred times ours."""
    data, _ = growth_data()
    design = np.column_stack([np.ones(len(data)), data["time"]])
    found = variance_ratio(
        data["value"], design, data["therapist"], column=column, beside=beside, people=data["person_id"], slopes=(0, 1),
        relative=np.array(REFERENCE["relative"]),
    )  # fmt: skip
    ours = {
        "r": found.df[0],
        "f": found.df[1],
        "statistic": found.statistic,
        "low": found.ci_low * unit,
        "high": found.ci_high * unit,
    }
    REFERENCE["ratios"][name].check(ours, rel=1e-6)
    REFERENCE["ratios"][name].check({"p": found.p_value}, rel=1e-5)


def test_interval_of_the_end_score_is_that_of_dense_matrices() -> None:
    ends = REFERENCE.frame("ends")
    found = variance_ratio(ends["value_post"], np.column_stack([np.ones(len(ends)), ends["value_pre"]]), ends["therapist"])
    ours = {
        "r": found.df[0],
        "f": found.df[1],
        "statistic": found.statistic,
        "p": found.p_value,
        "low": found.ci_low,
        "high": found.ci_high,
    }
    REFERENCE["ratios"]["end_score"].check(ours, rel=1e-6)


def test_test_of_no_difference_is_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(2)
    therapist = np.repeat(np.arange(9), [3, 8, 5, 1, 7, 4, 6, 2, 9])
    y = rng.normal(100, 15, len(therapist))
    theirs = f_oneway(*[y[therapist == j] for j in range(9)])
    found = variance_ratio(y, np.ones((len(y), 1)), therapist)
    assert (found.statistic, found.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)


def test_less_difference_than_chance_gives_zero_to_zero() -> None:
    ends = REFERENCE.frame("ends")
    y = (np.arange(1, len(ends) + 1) * 17) % 23
    found = variance_ratio(y, np.ones((len(y), 1)), ends["therapist"])
    REFERENCE["ratios"]["none"].check({"low": found.ci_low, "high": found.ci_high, "p": found.p_value}, rel=1e-6)
    assert found.share(1.0) == (0.0, 0.0)


def test_two_therapists_by_hand() -> None:
    """Scores 0, 2 and 4, 6: Q(0) − Q(∞) = 16, Q(∞) = 4, so F = 16/(4/2) = 8 and F(γ) = 8/(1 + 2γ) with 1 and 2 df."""
    found = variance_ratio([0, 2, 4, 6], np.ones((4, 1)), ["a", "a", "b", "b"])
    assert found.statistic == pytest.approx(8.0)
    assert found.df == (1, 2)
    t = 0.025 / np.sqrt(2 * 0.5125 * 0.4875)  # the 51.25 % point of t with 2 df; its square is the lower 2.5 % point of F
    assert (found.ci_low, found.ci_high) == (0.0, pytest.approx((8 / t**2 - 1) / 2, rel=1e-9))


@pytest.mark.parametrize(
    ("values", "therapists", "message"),
    [
        ([1.0, np.nan, 2, 3], ["a", "a", "b", "b"], "without missing values"),
        ([1.0, 2, 3, 4], ["a", "a", "a", "a"], "1 therapists and 4 rows"),
        ([1.0, 2, 3, 4], ["a", "b", "c", "d"], "4 therapists and 4 rows"),
        ([1.0, 2, 3, 4], ["a", "a", "b", None], "no label"),
    ],
)
def test_what_has_no_interval_is_refused(values: list[float], therapists: list[str | None], message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        variance_ratio(values, np.ones((4, 1)), therapists)


def test_caterpillar_holds_lme4s_modes_by_rank() -> None:
    data, therapists = growth_data()
    course = growth_curve(data, outcome="x", time_unit="week", end=52, shape="linear", therapists=therapists).course
    assert course is not None
    clients = course.rows.drop_duplicates("person_id")["therapist_id"].value_counts()
    table, left_out = caterpillar(course.fit, clients, outcome="x", terms={"intercept": "intercept", "time": "slope"}, fewest=1)
    assert left_out == 0
    for name in ("intercept", "slope"):
        part = table[table["estimand"] == name]
        order = np.argsort(REFERENCE["modes"][name])
        half = (part["ci_high"] - part["ci_low"]) / 2 / 1.959963985
        np.testing.assert_allclose(part["estimate"], np.array(REFERENCE["modes"][name])[order], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(half, np.array(REFERENCE["modes"][f"{name}_se"])[order], rtol=1e-4)
        assert part["rank"].tolist() == list(range(1, 15))


def test_therapists_with_few_clients_are_left_out_counted_and_nobody_is_named() -> None:
    """Fewer than five clients: therapists 7 and 14, of four."""
    data, therapists = growth_data()
    course = growth_curve(data, outcome="x", time_unit="week", end=52, therapists=therapists).course
    assert course is not None
    ends = REFERENCE.frame("ends")
    pairs = pd.DataFrame({"person_id": ends["client"].astype("str"), "pre": ends["value_pre"], "post": ends["value_post"]})
    flow = Flow()
    rows, table = therapist_effects(course, pairs, therapists, outcome="x", fewest=5, flow=flow)
    sizes = therapists.value_counts()
    (line,) = flow.lines
    assert line[1:3] == (14, int((sizes >= 5).sum()))
    assert table.columns.tolist() == list(CATERPILLAR)
    assert table["n_clients"].min() >= 5
    assert not table.map(lambda v: str(v).startswith(("t0", "t1", "known"))).to_numpy().any()
    of = {r.estimand: r for r in rows if not r.group}
    assert set(of) == {"share_intercept", "share_slope", "share_end_adjusted"}
    assert of["share_end_adjusted"].estimate == pytest.approx(REFERENCE["share_end_adjusted"], rel=1e-5)
    assert of["share_end_adjusted"].p_value == pytest.approx(REFERENCE["ratios"]["end_score"]["p"], rel=1e-6)
    for row in of.values():
        assert 0 < row.ci_low < row.estimate < row.ci_high < 1
        assert "association" in row.note
        assert "4 to 10 clients a therapist" in row.note or row.estimand == "share_end_adjusted"
    tests = {r.group: r for r in rows if r.estimand == "likelihood_ratio"}
    assert set(tests) == {"intercept", "slope"}
    assert tests["intercept"].p_value < 0.001


def test_without_a_therapist_level_it_is_not_testable() -> None:
    data, _ = growth_data()
    course = growth_curve(data, outcome="x", time_unit="week", end=52).course
    assert course is not None
    rows, table = therapist_effects(course, pd.DataFrame(), None, outcome="x", fewest=5, flow=Flow())
    assert [r.estimand for r in rows] == ["not testable"]
    assert table.empty


def test_few_therapists_are_said() -> None:
    data, therapists = growth_data()
    few = data[data["therapist"].isin(["t01", "t02", "t03", "t04"])]
    course = growth_curve(few, outcome="x", time_unit="week", end=52, therapists=therapists).course
    assert course is not None
    assert not course.fitted.structure.therapist_slope
    pairs = pd.DataFrame({"person_id": therapists.index[:2], "pre": [1.0, 2.0], "post": [2.0, 1.0]})
    rows, _ = therapist_effects(course, pairs, therapists, outcome="x", fewest=5, flow=Flow())
    level = next(r for r in rows if r.estimand == "share_intercept")
    assert "fewer than 10 therapists: rough" in level.note
    assert level.n_clusters == 4
    end = next(r for r in rows if r.estimand == "share_end_adjusted")
    assert np.isnan(end.estimate)
    assert "two therapists" in end.note

"""Growth curves: estimands, horizon, and what is said when there is too little."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from tests.references import load_reference

from attachment_outcomes.change.growth.analysis import criteria
from attachment_outcomes.change.growth.comparison import compare_courses
from attachment_outcomes.change.growth.curve import Growth, growth_curve
from attachment_outcomes.change.growth.effect_size import feingold_d
from attachment_outcomes.change.growth.fitting import likelihood_ratio
from attachment_outcomes.change.growth.shapes import SHAPES, make_shape, treatment_ends
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import Estimate
from attachment_outcomes.inference.mixed.model import mixed_model


def course(n: int, weeks: list[float], *, slope: float, seed: int = 3, spread: float = 0.02) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n), len(weeks))
    time_ = np.tile(weeks, n)
    value = 20 + rng.normal(0, 3, n)[person] + (slope + rng.normal(0, spread, n)[person]) * time_ + rng.normal(0, 2, len(person))
    return pd.DataFrame({"person_id": person.astype(str), "occasion": np.tile(range(len(weeks)), n), "time": time_, "value": value})


def at_occasions(curve: pd.DataFrame) -> pd.DataFrame:
    """The rows of a curve with observed means; those between them make it smooth."""
    return curve[(curve["n_observed"] > 0).to_numpy()].reset_index(drop=True)


def by_estimand(found: Growth) -> dict[str, Estimate]:
    return {r.estimand: r for r in found.estimates}


REFERENCE = load_reference("growth")


def reference_data() -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """R's data, the therapists and the ends of treatment by person."""
    table = REFERENCE.frame("data")
    data = pd.DataFrame(
        {
            "person_id": table["client"].astype("str"), "occasion": table["wave"], "time": table["time"].astype(float),
            "value": table["value"], "therapist": "t" + table["therapist"].astype("str"), "end": table["end"].astype(float),
            "arm": np.where(table["arm"] == 1, "second", "first"),
        }
    )  # fmt: skip
    people = data.drop_duplicates("person_id").set_index("person_id")
    return data, people["therapist"], people["end"]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_with_therapists_matches_lme4(shape: str) -> None:
    """Change, interval with Satterthwaite's df, curve, SDs and criteria; the likelihood's top is flat, so variances to 1e-4."""
    data, therapists, ends = reference_data()
    found = growth_curve(
        data, outcome="x", time_unit="week", end=52, shape=shape, therapists=therapists, treatment_end=ends, primary=False
    )
    assert found.course is not None
    rows, ref = by_estimand(found), REFERENCE["shapes"][shape]
    change = rows["change_to_end"]
    ours = {"estimate": change.estimate, "se": change.std_error, "low": change.ci_low, "high": change.ci_high}
    ref["change"].check(ours, rel=1e-4)
    ref["change"].check({"p": change.p_value}, rel=2e-3)
    curve = at_occasions(found.curve)
    ref.check({"predicted": curve["predicted"].tolist(), "predicted_low": curve["ci_low"].tolist()}, rel=1e-4)
    shares = found.course.fit.variance_shares.set_index(["group", "term"])["sd"]
    spread = {f"{p}sd_{t}": shares[g, k] for p, g in (("", "person_id"), ("therapist_", "therapist_id"))
              for t, k in (("intercept", "intercept"), ("slope", found.course.shape.slope))}  # fmt: skip
    ref.check(spread, rel=1e-4)
    assert rows["sd_slope"].estimate == spread["sd_slope"]
    ml = found.course.fitted.by_maximum_likelihood()
    ref.check(criteria(ml.loglik, ml.df, ml.n), rel=1e-7)
    assert change.n_clusters == 14
    assert not found.curve["primary"].any()


def test_two_arms_match_lme4() -> None:
    data, therapists, _ = reference_data()
    found = growth_curve(data, outcome="x", time_unit="week", end=52, shape="linear", therapists=therapists)
    assert found.course is not None
    arm = data.drop_duplicates("person_id").set_index("person_id")["arm"]
    rows, n = compare_courses(found.course, arm, name="arm", outcome="x", time_unit="week")
    assert n == data["person_id"].nunique()
    ref = REFERENCE["arms"]
    for estimand, group, name in (
        ("change_difference", "second - first", "difference"), ("change_to_end", "first", "of_first"),
        ("change_to_end", "second", "of_second"),
    ):  # fmt: skip
        (row,) = (r for r in rows if (r.estimand, r.group) == (estimand, group))
        ours = {"estimate": row.estimate, "se": row.std_error, "low": row.ci_low, "high": row.ci_high}
        ref[name].check(ours, rel=1e-4)
        assert "association" in row.note
    (slope,) = (r for r in rows if r.estimand == "slope_difference")
    (d,) = (r for r in rows if r.estimand == "feingold_d")
    assert slope.estimate * 52 == pytest.approx(ref["difference"]["estimate"], rel=1e-4)
    assert d.estimate == pytest.approx(ref["difference"]["estimate"] / ref["sd"], rel=1e-4)
    assert d.p_value == pytest.approx(slope.p_value)


def test_feingolds_published_example() -> None:
    """Table 1 of Feingold (2009): slopes differ by 1 over 3 units of time, the SD before is 1.15 (p. 47), so d is 3/1.15."""
    control = ["3557", "4466", "4578", "5668", "5678", "5777", "5688", "6679", "689T", "7789"]
    treated = ["3579", "479E", "468E", "579T", "569E", "57TT", "588E", "679C", "69ED", "78TC"]
    digits = {"T": 10, "E": 11, "C": 12, "D": 13}
    scores = np.array([[digits.get(c) or int(c) for c in row] for row in control + treated], dtype=float)
    person = np.repeat([str(i) for i in range(20)], 4)
    data = pd.DataFrame(
        {"person_id": person, "occasion": np.tile(range(4), 20), "time": np.tile(np.arange(4.0), 20), "value": scores.ravel()}
    )
    arm = pd.Series(["control"] * 10 + ["treated"] * 10, index=[str(i) for i in range(20)])
    found = growth_curve(data, outcome="x", time_unit="wave", end=3, shape="linear")
    assert found.course is not None
    rows, _ = compare_courses(found.course, arm, name="arm", outcome="x", time_unit="wave")
    of = {r.estimand: r for r in rows if " - " in r.group}
    assert of["slope_difference"].estimate == pytest.approx(1.0)
    assert of["feingold_d"].estimate == pytest.approx(3 / 1.154701, rel=1e-6)
    assert "raw SD 1.155" in of["feingold_d"].note


def test_feingold_interval_with_the_sd_known_and_estimated() -> None:
    """Change −6 (SE 0.5), scores 0, 2, 4: SD 2, so d = −3. Var(log S) = mean of u² times 3/2 over 3, u = (1/4, −1/2, 1/4)."""
    known = feingold_d(-6, 0.5, [0, 2, 4], df=40, sd_estimated=False)
    assert (known.estimate, known.std_error, known.df) == (-3.0, 0.25, 40)
    assert known.ci_high - known.estimate == pytest.approx(student.ppf(0.975, 40) * 0.25)
    both = feingold_d(-6, 0.5, [0, 2, 4, np.nan], df=40)
    assert both.std_error == pytest.approx(np.sqrt(0.25**2 + 9 * 0.0625))
    assert both.p_value == known.p_value
    assert both.n == 3


@pytest.mark.parametrize(
    ("baseline", "groups", "message"), [([1.0], None, "two baseline scores"), ([2, 2, 2], None, "nobody differs"),
                                        ([1, 2, 3], ["a", "a", "b"], "two baseline scores"), (["x", "y"], None, "not numbers")]
)  # fmt: skip
def test_feingolds_d_refuses(baseline: list[float], groups: list[str] | None, message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        feingold_d(1, 0.1, baseline, groups=groups)


@pytest.mark.parametrize(
    ("shape", "occasions", "knots", "message"),
    [
        ("cubic", [0, 1, 2], None, "no shape 'cubic'"),
        ("log", [-1, 0, 2], None, "starts at time 0"),
        ("quadratic", [0, 1], None, "three occasions"),
        ("piecewise", [0, 1, 2], None, "needs the end of treatment"),
        ("piecewise", [0, 1, 2], 5.0, "before and after the end of treatment, found 3 and 0"),
        ("piecewise", [0, 1, 2], -1.0, "before and after the end of treatment, found 0 and 3"),
    ],
)
def test_a_shape_that_the_data_cannot_show_is_refused(
    shape: str, occasions: list[float], knots: float | None, message: str
) -> None:
    at = None if knots is None else np.full(len(occasions), knots)
    with pytest.raises(StatisticsError, match=message):
        make_shape(shape, occasions, times=occasions, knots=at)


def test_piecewise_gives_both_slopes() -> None:
    """−0.3 a week to each person's own end, then +0.1."""
    data = course(300, [0, 4, 8, 16, 26, 52], slope=0.0, spread=0.0)
    end = pd.Series(10.0 + np.arange(300) % 3 * 5, index=[str(i) for i in range(300)])
    k = data["person_id"].map(end)
    data["value"] += -0.3 * np.minimum(data["time"], k) + 0.1 * np.maximum(data["time"] - k, 0)
    rows = by_estimand(growth_curve(data, outcome="x", time_unit="week", end=52, shape="piecewise", treatment_end=end))
    assert rows["slope_during"].estimate == pytest.approx(-0.3, abs=4 * rows["slope_during"].std_error)
    assert rows["slope_after"].estimate == pytest.approx(0.1, abs=4 * rows["slope_after"].std_error)
    assert rows["change_to_end"].estimate == pytest.approx(15 * -0.3 + 37 * 0.1, abs=4 * rows["change_to_end"].std_error)


def test_when_treatment_ended() -> None:
    """Sessions to week 9 and 5 (the last one missed), gaps of 4; nobody knows of c."""
    people = pd.Series(["a", "b", "c", "a"])
    sessions = pd.DataFrame(
        {"person_id": ["a", "a", "b", "b", "b"], "session_number": [1, 2, 1, 2, 3], "week": [1.0, 9.0, 1.0, 5.0, 9.0],
         "attended": pd.array([True, None, True, True, False], dtype="boolean")}
    )  # fmt: skip
    treatments = pd.DataFrame(
        {"person_id": ["a", "b"], "treatment_id": "1", "start_week": [2.0, None], "planned_sessions": pd.array([10, 12], "Int64")}
    )
    tables = {"treatments": treatments, "sessions": sessions}
    own, told = treatment_ends("own", people, unit="week", **tables)
    assert own is not None
    assert own.to_dict() == {"a": 9.0, "b": 5.0, "c": 7.0}
    assert "1 person whose end is unknown" in told
    sessions_own, _ = treatment_ends("own", people, unit="session", **tables)
    assert sessions_own is not None
    assert sessions_own.to_dict() == {"a": 2.0, "b": 2.0, "c": 2.0}
    planned, _ = treatment_ends("planned", people, unit="week", **tables)
    assert planned is not None
    assert planned.to_dict() == {"a": 42.0, "b": 48.0, "c": 45.0}
    for_all, _ = treatment_ends(16, people, unit="week", **tables)
    assert for_all is not None
    assert set(for_all) == {16.0}
    assert treatment_ends("own", people, unit="wave", **tables)[0] is None


def test_unknown_therapists_are_counted_and_kept() -> None:
    data, therapists, _ = reference_data()
    therapists = therapists.where(np.arange(len(therapists)) % 10 > 0)
    found = growth_curve(data, outcome="x", time_unit="week", end=52, therapists=therapists)
    change = by_estimand(found)["change_to_end"]
    assert change.n == len(therapists)
    assert f"{therapists.isna().sum()} people of unknown therapist" in change.note
    lone = pd.Series([f"t{i}" for i in range(len(therapists))], index=therapists.index)
    alone = growth_curve(data, outcome="x", time_unit="week", end=52, therapists=lone)
    assert "taken as independent of their therapists" in alone.estimates[0].note


def test_groups_that_are_too_small_are_not_compared() -> None:
    data, _, _ = reference_data()
    found = growth_curve(data, outcome="x", time_unit="week", end=52, shape="linear")
    assert found.course is not None
    groups = pd.Series("a", index=data["person_id"].unique())
    groups.iloc[0] = "b"
    (row,), n = compare_courses(found.course, groups, name="modality", outcome="x", time_unit="week", fewest=5)
    assert (row.estimand, n) == ("not testable", 0)
    assert "fewer than two groups of 5" in row.note


def test_ten_thousand_people_with_therapists_take_seconds() -> None:
    """10,000 people with five waves at times of their own, 400 therapists."""
    rng = np.random.default_rng(1)
    data = course(10_000, [0, 8, 16, 26, 52], slope=-0.1, spread=0.05)
    data["time"] += rng.uniform(0, 2, len(data)) * (data["occasion"] > 0)
    who = np.arange(10_000)
    therapists = pd.Series([f"t{i % 400}" for i in who], index=who.astype(str))
    data["value"] += rng.normal(0, 1, 400)[data["person_id"].astype(int) % 400]
    start = time.process_time()
    found = growth_curve(data, outcome="x", time_unit="week", end=52, therapists=therapists)
    assert time.process_time() - start < 4.0
    assert found.course is not None


def test_estimands_of_a_known_course() -> None:
    """Slope −0.08 a week to week 52: the change to the end is −4.16; within 4 standard errors."""
    start = time.process_time()
    found = growth_curve(course(600, [0, 13, 26, 39, 52], slope=-0.08), outcome="core10.total", time_unit="week", end=52.0)
    assert time.process_time() - start < 3.0
    rows = {r.estimand: r for r in found.estimates}
    assert set(rows) == {"slope", "intercept", "change_to_end", "feingold_d", "sd_intercept", "sd_slope"}
    for estimand, truth in (("slope", -0.08), ("change_to_end", -4.16), ("intercept", 20.0)):
        assert abs(rows[estimand].estimate - truth) < 4 * rows[estimand].std_error
    assert rows["sd_intercept"].estimate == pytest.approx(3, rel=0.1)
    assert rows["sd_slope"].estimate == pytest.approx(0.02, rel=0.25)
    assert rows["slope"].unit == "score points per week"
    assert rows["slope"].n == 600
    assert rows["change_to_end"].estimate == pytest.approx(52 * rows["slope"].estimate)
    assert rows["slope"].p_value == pytest.approx(rows["change_to_end"].p_value)


def test_curve_has_a_row_an_occasion_with_its_band() -> None:
    data = course(50, [0, 10, 20], slope=-0.1)
    whole = growth_curve(data, outcome="x", time_unit="week", end=20).curve
    assert whole["observed_mean"].isna().sum() == len(whole) - 3
    assert (whole["ci_low"] < whole["predicted"]).all()
    curve = at_occasions(whole)
    assert curve["time"].tolist() == [0, 10, 20]
    assert curve["n_observed"].tolist() == [50, 50, 50]
    assert curve["observed_mean"].tolist() == pytest.approx(data.groupby("occasion")["value"].mean().tolist())
    assert (curve["ci_low"] < curve["predicted"]).all()
    assert (curve["predicted"] < curve["ci_high"]).all()


def test_curve_matches_lme4_with_a_natural_spline() -> None:
    """The same spline in another basis (R's ns): equal predictions, standard errors and change."""
    reference = load_reference("change_reference")
    table, ref = pd.DataFrame(reference["mixed"]["data"]), reference["growth"]
    data = table.assign(person_id=table["id"].astype("str"), occasion=table["week"] // 13, time=table["week"].astype(float))
    found = growth_curve(data, outcome="x", time_unit="week", end=65.0)
    curve = at_occasions(found.curve)
    np.testing.assert_allclose(curve["predicted"], ref["predicted"], rtol=1e-5)
    half = (curve["ci_high"] - curve["ci_low"]) / 2
    np.testing.assert_allclose(half, student.ppf(0.975, ref["df"]) * np.array(ref["se"]), rtol=1e-4)
    (change,) = (r for r in found.estimates if r.estimand == "change_to_end")
    assert (change.ci_high - change.estimate) / change.std_error == pytest.approx(student.ppf(0.975, ref["change_df"]), rel=1e-4)
    assert (change.estimate, change.std_error) == pytest.approx((ref["change_to_end"], ref["change_to_end_se"]), rel=1e-4)


def test_a_course_that_flattens_is_not_forced_onto_a_line() -> None:
    """−7 (1 − exp(−week/12)): a straight line would miss the change to week 52, −6.91, by more than a point."""
    data = course(500, [0, 8, 16, 26, 52], slope=0.0)
    data["value"] += -7 * (1 - np.exp(-data["time"] / 12))
    (change,) = (r for r in growth_curve(data, outcome="x", time_unit="week", end=52).estimates if r.estimand == "change_to_end")
    assert change.estimate == pytest.approx(-6.91, abs=3 * change.std_error)
    assert change.std_error < 0.15


def test_session_course_follows_the_observed_means(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "schramm2017_sessions/data.csv", sep=";")
    items = [
        "mood",
        "concentration",
        "self_worth",
        "suicidal_ideation",
        "tiredness",
        "sleep",
        "pleasure",
        "psychomotor",
        "appetite",
    ]
    data = pd.DataFrame(
        {
            "person_id": table["PatID.x"].astype("str"), "occasion": table["sessionN"], "time": table["sessionN"].astype(float),
            "value": table[items].sum(axis=1, skipna=False),
        }
    )  # fmt: skip
    start = time.process_time()
    found = growth_curve(data, outcome="x", time_unit="session", end=27.0)
    assert time.process_time() - start < 3.0
    ref = json.loads((shared_data / "schramm2017_sessions/reference.json").read_text())
    means = {m["session"]: m for m in ref["mean_by_session"]}
    curve = at_occasions(found.curve)
    assert curve["observed_mean"].tolist() == pytest.approx([means[s]["mean"] for s in sorted(means)])
    assert curve["n_observed"].tolist() == [means[s]["n"] for s in sorted(means)]
    assert (curve["predicted"] - curve["observed_mean"]).abs().max() < 0.45


def test_two_occasions_have_no_random_slope_and_say_so() -> None:
    found = growth_curve(course(60, [0, 20], slope=-0.1), outcome="x", time_unit="week", end=20)
    assert {r.estimand for r in found.estimates} == {"slope", "intercept", "change_to_end", "feingold_d", "sd_intercept"}
    assert all("slopes are taken as equal" in r.note for r in found.estimates)


def test_a_slope_that_the_data_do_not_show_is_left_out_and_said() -> None:
    """Nobody's slope differs: the singular fit gives way to one without random slopes that fits as well."""
    found = growth_curve(course(60, [0, 10, 20, 30], slope=-0.1, spread=0.0, seed=6), outcome="x", time_unit="week", end=30)
    assert found.course is not None
    assert not found.course.fitted.structure.person_slope
    assert all("random slope by person left out" in r.note for r in found.estimates)
    assert "sd_slope" not in {r.estimand for r in found.estimates}


def test_a_singular_fit_is_in_every_rows_note() -> None:
    data = course(60, [0, 10, 20, 30], slope=-0.1)
    rng = np.random.default_rng(7)
    flat = data.assign(value=20 - 0.1 * data["time"] + rng.normal(size=len(data)))
    found = growth_curve(flat, outcome="x", time_unit="week", end=30)
    assert found.fit is not None
    assert found.fit.singular
    assert all("singular" in r.note for r in found.estimates)


def test_a_likelihood_that_is_short_by_what_a_search_may_be_is_no_gain() -> None:
    """Searches towards a variance of zero end millionths short of the model without it: not a reason to give no answer."""
    data = course(40, [0, 1, 2, 3], slope=-0.1)
    one = mixed_model("value ~ time", data, groups="person_id", reml=False)
    two = replace(one, loglik=one.loglik - 1e-6, df=one.df + 2)
    test = likelihood_ratio(one, two)
    assert (test.statistic, test.df, test.p_boundary) == (0.0, 2, 1.0)
    assert likelihood_ratio(one, replace(two, df=one.df + 1)).p_boundary == 0.5
    with pytest.raises(StatisticsError, match="fits worse"):
        likelihood_ratio(one, replace(two, loglik=one.loglik - 1))


def test_one_occasion_or_one_person_is_not_testable() -> None:
    data = course(30, [0.0], slope=0)
    (row,) = growth_curve(data, outcome="x", time_unit="week", end=0).estimates
    assert row.estimand == "not testable"
    assert "two occasions" in row.note
    (row,) = growth_curve(course(1, [0, 1, 2, 3], slope=0), outcome="x", time_unit="week", end=3).estimates
    assert row.estimand == "not testable"


def test_an_end_that_was_never_reached_is_named() -> None:
    found = growth_curve(course(30, [0, 1, 2], slope=0), outcome="x", time_unit="week", end=float("nan"))
    assert [r.note for r in found.estimates if r.estimand == "not testable"] == [
        "change to the end: the end is not after the first occasion"
    ]


def test_measurements_that_cannot_be_are_refused() -> None:
    data = course(30, [0.0, 1.0, 2.0], slope=0)
    people = data["person_id"].unique()
    doubled = data.assign(time=data["time"].replace(2.0, 1.0))
    refused: list[tuple[str, pd.DataFrame, dict[str, pd.Series]]] = [
        ("no column 'occasion'", data.rename(columns={"occasion": "wave"}), {}),
        ("value", data.assign(value="high"), {}),
        ("1 row is a second score of a person at one occasion", pd.concat([data, data.iloc[[0]]]), {}),
        ("30 rows are a second score of a person at one time", doubled, {}),
        ("therapists: known of nobody who was measured", data, {"therapists": pd.Series(["a", "b"])}),
        ("therapists: 1 person is listed again", data, {"therapists": pd.Series("a", index=[*people, people[0]])}),
        ("treatment_end: 1 person is listed again", data, {"treatment_end": pd.Series(1.0, index=[*people, people[0]])}),
    ]
    for message, rows, more in refused:
        with pytest.raises(StatisticsError, match=message):
            growth_curve(rows, outcome="x", time_unit="week", end=2, **more)  # type: ignore[arg-type]


def test_a_reference_that_is_no_group_is_named() -> None:
    data, _, _ = reference_data()
    found = growth_curve(data, outcome="x", time_unit="week", end=52, shape="linear")
    assert found.course is not None
    groups = data.drop_duplicates("person_id").set_index("person_id")["arm"]
    (row,), n = compare_courses(found.course, groups, name="arm", outcome="x", time_unit="week", reference="third")
    assert (row.estimand, n) == ("not testable", 0)
    assert "'third' is no group of 2 people or more; those are first, second" in row.note


def test_a_d_without_an_sd_to_divide_by_is_told() -> None:
    people, slopes = np.repeat(np.arange(12), 3), np.repeat(np.linspace(-2, -1, 12), 3)
    time = np.tile([0.0, 1.0, 2.0], 12)
    wobble = np.tile([0.0, 0.3, -0.2], 12) * np.where(people % 2, 1.0, -1.0)
    rows = pd.DataFrame({"person_id": people, "occasion": time.astype(int), "time": time, "value": 20 + slopes * time + wobble})
    found = growth_curve(rows, outcome="x", time_unit="week", end=2.0).estimates
    assert "feingold_d" not in {r.estimand for r in found}
    (told,) = [r for r in found if r.group == "feingold_d"]
    assert told.estimand == "not testable"
    assert "Feingold's d: " in told.note

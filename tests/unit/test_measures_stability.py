from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import ConfigError, StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.measures.instruments import read_instrument
from attachment_outcomes.measures.stability import intraclass_correlations, mean_squares, retest, stability_estimates
from attachment_outcomes.study.contracts import typed

ORDER = ["ICC(1,1)", "ICC(A,1)", "ICC(C,1)", "ICC(1,k)", "ICC(A,k)", "ICC(C,k)"]  # psych: ICC1, ICC2, ICC3, ICC1k, ICC2k, ICC3k
R_TOLERANCE = 1e-8
FORMS = {"s": read_instrument({"name": "s", "range": [0, 40], "scales": {"total": {"direction": "higher is worse", "items": [1]}}})}
SETTING = {"score": "s.total", "first": 0, "second": 1, "reason": "waiting list"}


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("measurement")


@pytest.mark.parametrize("case", ["shrout_fleiss", "retest", "retest_90"])
def test_icc_and_their_intervals_match_psych(reference: Reference, case: str) -> None:
    theirs = reference["icc"][case]
    found = intraclass_correlations(np.array(theirs["ratings"]), ci_level=theirs["level"])
    rows = [found[name] for name in ORDER]
    theirs.check(
        {
            "icc": [r.icc for r in rows], "low": [r.ci_low for r in rows], "high": [r.ci_high for r in rows],
            "f": [r.f for r in rows], "df1": [r.df1 for r in rows], "df2": [r.df2 for r in rows], "p": [r.p_value for r in rows],
        },
        abs=R_TOLERANCE,
    )  # fmt: skip


def test_icc_of_shrout_and_fleiss_as_printed(reference: Reference) -> None:
    found = intraclass_correlations(np.array(reference["icc"]["shrout_fleiss"]["ratings"]))
    assert [round(found[name].icc, 2) for name in ORDER] == [0.17, 0.29, 0.71, 0.44, 0.62, 0.91]  # Shrout & Fleiss (1979), table 4


def test_icc_equals_pingouin_and_leaves_out_the_same_people(reference: Reference) -> None:
    pingouin = pytest.importorskip("pingouin")
    ratings = np.array(reference["icc"]["retest"]["ratings"], dtype=float)
    ratings[3, 1] = math.nan
    long = pd.DataFrame(ratings, columns=["a", "b"]).reset_index().melt("index")
    theirs = pingouin.intraclass_corr(long, targets="index", raters="variable", ratings="value", nan_policy="omit").set_index(
        "Type"
    )
    found = intraclass_correlations(ratings)
    for name in ORDER:
        assert found[name].icc == pytest.approx(theirs.loc[name, "ICC"], abs=1e-9)


def test_retest_matches_r(reference: Reference) -> None:
    ratings = np.array(reference["icc"]["retest"]["ratings"], dtype=float)
    found = retest(ratings[:, 0], ratings[:, 1])
    reference["retest"].check(
        {"r": found.correlation.r, "r_low": found.correlation.ci_low, "r_high": found.correlation.ci_high}, abs=R_TOLERANCE
    )
    people, occasions, error = reference["retest"]["mean_squares"]
    ms = mean_squares(ratings)
    assert (ms.people, ms.occasions, ms.error) == pytest.approx((people, occasions, error), rel=1e-9)
    assert found.sem_consistency == pytest.approx(math.sqrt(error), rel=1e-9)
    icc = reference["icc"]["retest"]["icc"][1]
    assert found.sem_icc == pytest.approx(reference["retest"]["sd"] * math.sqrt(1 - icc), rel=1e-8)


def test_retest_by_hand() -> None:
    # Differences 0, 2, 0, 2: mean 1, sum of squares around it 4. Error 4/2/3 = 2/3, occasions 4 * 2 * .25 = 2, so the occasions'
    # variance is (2 - 2/3)/4 = 1/3 and the agreement SEM sqrt(1/3 + 2/3) = 1; SDC 1.96 sqrt 2 = 2.772.
    found = retest(np.array([1.0, 2, 3, 4, math.nan]), np.array([1.0, 4, 3, 6, 5]))
    assert (found.n, found.n_excluded, found.mean_change) == (4, 1, 1.0)
    assert found.sem_agreement == pytest.approx(1.0)
    assert found.sem_consistency == pytest.approx(math.sqrt(2 / 3))
    assert found.sdc == pytest.approx(2.7718, abs=1e-4)
    assert found.sdc_group == pytest.approx(1.3859, abs=1e-4)


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        (np.ones((5, 2)), "do not differ"),
        (np.column_stack([np.arange(5.0), np.arange(5.0)]), "agree perfectly"),
        (np.ones((5, 1)), "two columns or more"),
        (np.full((5, 2), np.inf), "finite scores"),
        (np.array([[1.0, 2.0], [math.nan, 1.0]]), "two people or more with every score; found 1"),
    ],
)
def test_icc_that_is_not_defined_is_refused(ratings: np.ndarray, message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        intraclass_correlations(ratings)


def test_retest_of_too_few_is_refused() -> None:
    with pytest.raises(StatisticsError, match="3 people with both scores; at least 4"):
        retest(np.array([1.0, 2, 3]), np.array([1.0, 3, 2]))


def scores(reference: Reference) -> pd.DataFrame:
    ratings = np.array(reference["icc"]["retest"]["ratings"], dtype=float)
    rows = [(f"p{i:02d}", wave, value) for i, pair in enumerate(ratings) for wave, value in enumerate(pair)]
    frame = pd.DataFrame(rows, columns=["person_id", "wave", "score"]).assign(instrument="s", scale="total", rater="self")
    return typed(frame, "scores")


def test_no_stable_interval_no_retest(reference: Reference) -> None:
    rows = stability_estimates(scores(reference), [], FORMS, flow=Flow())
    assert [r.estimand for r in rows] == ["not testable"]
    assert "marks no stable interval" in rows[0].note


def test_a_stable_interval_needs_a_reason_and_an_order(reference: Reference) -> None:
    for wrong in ({"reason": " "}, {"second": 0}):
        with pytest.raises(ConfigError, match=r"measures\.stability, s\.total"):
            stability_estimates(scores(reference), [{**SETTING, **wrong}], FORMS, flow=Flow())


def test_people_in_treatment_are_not_retest(reference: Reference) -> None:
    flow = Flow()
    treatments = pd.DataFrame({"person_id": ["p00", "p01", "p02"], "start_week": [0.0, 9.0, math.nan]})
    waves = pd.DataFrame(
        {"person_id": [f"p{i:02d}" for i in range(30)] * 2, "wave": [0] * 30 + [1] * 30, "weeks": [0.0] * 30 + [4.0] * 30}
    )
    rows = stability_estimates(scores(reference), [SETTING], FORMS, flow=flow, waves=waves, treatments=treatments)
    # p00 is treated from week 0; p01 starts after the second wave; of p02 nobody knows.
    assert {r.n for r in rows} == {28}
    assert flow.lines == [("stability, s.total: stable from wave 0 to 1", 30, 28, "treated in between", "people")]
    everybody = pd.DataFrame({"person_id": [f"p{i:02d}" for i in range(30)], "start_week": 0.0})
    refused = stability_estimates(scores(reference), [SETTING], FORMS, flow=Flow(), waves=waves, treatments=everybody)
    assert [r.estimand for r in refused] == ["not testable"]
    assert "30 people were in treatment in between" in refused[0].note


def test_rows_of_a_stable_interval(reference: Reference) -> None:
    frame = estimates_frame(stability_estimates(scores(reference), [SETTING], FORMS, flow=Flow()))
    found = frame.set_index(["estimand", "definition"])["estimate"]
    assert found["icc", "agreement"] == pytest.approx(reference["icc"]["retest"]["icc"][1], abs=R_TOLERANCE)
    assert found["icc", "consistency"] == pytest.approx(reference["icc"]["retest"]["icc"][2], abs=R_TOLERANCE)
    assert frame["note"].str.contains("stable by the study's word: waiting list; treatment not checked").all()
    both = pd.concat([scores(reference), scores(reference)])
    with pytest.raises(StatisticsError, match="several scores at one wave"):
        stability_estimates(both, [SETTING], FORMS, flow=Flow())

"""Reliability against R's psych and pingouin, on a typed data set; descriptives by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.config import load_instrument
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.measures.assembly import item_matrices
from attachment_outcomes.measures.descriptives import describe_scores
from attachment_outcomes.measures.instruments import read_instrument, read_instruments
from attachment_outcomes.measures.reliability import cronbach_alpha, reliability_estimates, standard_error_of_measurement
from attachment_outcomes.measures.scoring import keyed_answers
from attachment_outcomes.study.contracts import typed

R_TOLERANCE = 1e-9  # F quantiles of R and scipy agree to about 1e-12; R prints 15 digits
INSTRUMENT = {
    "name": "six",
    "title": "Six items",
    "range": [1, 7],
    "scales": {
        "total": {
            "title": "T",
            "direction": "higher is worse",
            "items": [1, 2, 3, 4, 5, 6],
            "reverse": [3, 6],
            "score": "mean",
            "max_missing": 1,
        }
    },
}


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("measures_alpha")


def answers(reference: Reference) -> np.ndarray:
    return np.array([[math.nan if v is None else v for v in row] for row in reference["answers"]], dtype=float)


def keyed(reference: Reference) -> np.ndarray:
    form = read_instrument(INSTRUMENT)
    return keyed_answers(answers(reference), form.scales["total"], form)


def test_alpha_and_its_interval_match_psych(reference: Reference) -> None:
    found = cronbach_alpha(keyed(reference))
    assert (found.n, found.k) == (reference["n"], 6)
    assert found.alpha == pytest.approx(reference["alpha"], abs=R_TOLERANCE)
    assert (found.ci_low, found.ci_high) == pytest.approx(
        (reference["psych_interval"]["low"], reference["psych_interval"]["high"]), abs=R_TOLERANCE
    )
    for case in reference["f_intervals"]:
        again = cronbach_alpha(keyed(reference), ci_level=case["level"])
        assert (again.ci_low, again.ci_high) == pytest.approx((case["low"], case["high"]), abs=R_TOLERANCE)


def test_alpha_equals_pingouin_on_complete_answers(reference: Reference) -> None:
    pingouin = pytest.importorskip("pingouin")
    complete = pd.DataFrame(keyed(reference)).dropna()
    alpha, interval = pingouin.cronbach_alpha(data=complete)
    found = cronbach_alpha(complete)
    assert found.alpha == pytest.approx(alpha, abs=1e-12)
    assert [found.ci_low, found.ci_high] == pytest.approx(interval, abs=5e-4)  # pingouin rounds to three digits


def test_alpha_by_hand() -> None:
    # Items (1, 2, 3) and (2, 2, 5): variances 1 and 3, sums 3, 4, 8 with variance 7; alpha = 2 (1 - 4/7) = 6/7.
    assert cronbach_alpha(np.array([[1.0, 2], [2, 2], [3, 5]])).alpha == pytest.approx(6 / 7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((5, 1)), "needs two items or more"),
        (np.array([[1.0, 2], [2, 3], [math.nan, 1]]), "2 complete questionnaires; at least 3 are needed"),
        (np.ones((5, 3)), "the sum of the items does not vary"),
        (np.empty((0, 3)), "0 complete questionnaires"),
    ],
)
def test_alpha_that_is_not_defined_is_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        cronbach_alpha(values)


def test_standard_error_of_measurement() -> None:
    assert standard_error_of_measurement(7.5, 0.80) == pytest.approx(3.354, abs=5e-4)  # Jacobson & Truax (1991)
    with pytest.raises(StatisticsError):
        standard_error_of_measurement(1, 1.2)
    with pytest.raises(StatisticsError):
        standard_error_of_measurement(math.nan, 0.5)


def long(reference: Reference, **more: object) -> pd.DataFrame:
    wide = pd.DataFrame(answers(reference), columns=[str(i) for i in range(1, 7)])
    wide["person_id"] = [f"p{i}" for i in range(len(wide))]
    rows = wide.melt("person_id", var_name="item").assign(instrument="six", rater="self", **more)
    return typed(rows, "items")


FORMS = {"six": read_instrument(INSTRUMENT)}


def test_estimates_rest_on_the_first_occasion_of_each_rater(reference: Reference) -> None:
    later = long(reference, wave=3).assign(value=1.0)
    mother = long(reference, wave=2).assign(rater="mother")
    rows = reliability_estimates(item_matrices(pd.concat([later, long(reference, wave=1), mother]), FORMS), FORMS)
    found = {(r.estimand, r.group): r for r in rows}
    assert set(found) == {(e, g) for e in ("cronbach_alpha", "standard_error_of_measurement") for g in ("wave 1", "wave 2, mother")}
    alpha = found[("cronbach_alpha", "wave 1")]
    assert (alpha.outcome, alpha.n, alpha.n_clusters, alpha.unit) == ("six.total", 10, 10, "alpha")
    assert alpha.estimate == pytest.approx(reference["alpha"], abs=R_TOLERANCE)
    sem = found[("standard_error_of_measurement", "wave 1")]
    assert sem.estimate == pytest.approx(reference["sem"], abs=R_TOLERANCE)
    assert (sem.unit, sem.direction) == ("score points", "lower is better")
    estimates_frame(rows)


def test_alpha_that_cannot_be_estimated_is_said_not_left_out(reference: Reference) -> None:
    few = long(reference, wave=0)
    few = few[few["person_id"].isin(["p0", "p1"])]
    rows = reliability_estimates(item_matrices(few, FORMS), FORMS)
    assert [(r.estimand, r.outcome, r.note) for r in rows] == [
        ("not testable", "six.total", "wave 0: Cronbach's alpha: 2 complete questionnaires; at least 3 are needed")
    ]
    assert reliability_estimates({}, FORMS)[0].estimand == "not testable"


def test_several_questionnaires_of_one_person_are_told(reference: Reference) -> None:
    both = pd.concat([long(reference, about_person_id="m"), long(reference, about_person_id="f")])
    alpha = reliability_estimates(item_matrices(both, FORMS), FORMS)[0]
    assert (alpha.n, alpha.n_clusters) == (20, 10)
    assert "20 questionnaires of 10 people" in alpha.note


def test_the_total_of_parts_has_an_alpha_over_all_items() -> None:
    forms = read_instruments({"oq45": load_instrument("oq45")})
    level = np.random.default_rng(1).integers(0, 5, size=30)
    rows = [
        (f"p{p}", str(i), 4 - v if i in forms["oq45"].scales["social_role"].reverse else v)
        for p, v in enumerate(level)
        for i in range(1, 46)
    ]
    items = typed(pd.DataFrame(rows, columns=["person_id", "item", "value"]).assign(instrument="oq45", rater="self"), "items")
    found = {(r.outcome, r.estimand): r for r in reliability_estimates(item_matrices(items, forms), forms)}
    assert found[("oq45.total", "cronbach_alpha")].note.startswith("45 items")
    assert found[("oq45.social_role", "cronbach_alpha")].estimate == pytest.approx(1)  # every keyed answer of a person is the same


def test_descriptives_by_hand() -> None:
    rows = [
        ("a", 0, "self", 2),
        ("b", 0, "self", 4),
        ("c", 0, "self", 9),
        ("d", 0, "self", None),
        ("a", 1, "self", 5),
        ("a", 0, "mother", 1),
    ]
    frame = pd.DataFrame(rows, columns=["person_id", "wave", "rater", "score"]).assign(instrument="six", scale="total")
    found = {(r.estimand, r.group): r for r in describe_scores(typed(frame, "scores"), FORMS)}
    mean = found[("mean", "wave 0")]
    # 2, 4 and 9: mean 5, SD sqrt(13), t(2) = 4.302653: 5 +- 4.302653 sqrt(13 / 3)
    assert (mean.estimate, mean.n, mean.n_clusters, mean.direction) == (5, 3, 3, "lower is better")
    assert (mean.ci_low, mean.ci_high) == pytest.approx((5 - 8.956686, 5 + 8.956686), abs=1e-5)
    assert found[("sd", "wave 0")].estimate == pytest.approx(math.sqrt(13))
    assert math.isnan(found[("sd", "wave 1")].estimate)
    assert found[("mean", "wave 0, mother")].n == 1
    assert describe_scores(typed(frame.iloc[:0], "scores"), FORMS)[0].estimand == "not testable"
    estimates_frame(found.values())

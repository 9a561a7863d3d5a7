from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.change.latent_change import TABLES, LatentChange, analyse, change_model, latent_change
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.present.drawing import NothingToDraw
from attachment_outcomes.present.figures.latent_change import draw
from attachment_outcomes.study.contracts import typed

ESTIMATE = 2e-5  # lavaan's search stops there
ERROR = 2e-4  # second derivatives by differences, there and here
INSTRUMENT = {
    "name": "four",
    "range": [1, 7],
    "scales": {
        "total": {
            "title": "Four",
            "direction": "higher is worse",
            "items": [1, 2, 3, 4],
            "reverse": [2],
            "score": "mean",
            "max_missing": 1,
        }
    },
}


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("latent_change")


def waves(reference: Reference, name: str) -> tuple[np.ndarray, np.ndarray]:
    rows = [[math.nan if v is None else v for v in row] for row in reference[name]]
    answers = np.array(rows, dtype=float)
    return answers[:, :4], answers[:, 4:]


def told(found: LatentChange) -> dict[str, float]:
    return {
        "mean": found.mean_in_sds.estimate, "slope": found.slope.estimate, "variance_in_sds": found.variance_in_sds.estimate,
        "mean_points": found.mean.estimate, "sd_points": found.sd.estimate, "correlation": found.correlation.estimate,
        "reliability": found.reliability.estimate, "error": found.error_variance,
    }  # fmt: skip


def errors(found: LatentChange) -> dict[str, float]:
    return {
        "mean": found.mean_in_sds.std_error, "slope": found.slope.std_error, "variance_in_sds": found.variance_in_sds.std_error,
        "mean_points": found.mean.std_error, "sd_points": found.sd.std_error, "correlation": found.correlation.std_error,
        "reliability": found.reliability.std_error,
    }  # fmt: skip


@pytest.mark.parametrize(("case", "data"), [("robust", "complete"), ("incomplete_robust", "incomplete")])
def test_estimates_and_robust_errors_are_lavaans(reference: Reference, case: str, data: str) -> None:
    found = latent_change(*waves(reference, data))
    reference[case]["estimate"].check(told(found), abs=ESTIMATE)
    reference[case]["se"].check(errors(found), rel=ERROR)
    fit = found.fit
    reference[case]["fit"].check(
        {"chi_square": fit.chi_square, "df": fit.df, "cfi": fit.cfi, "rmsea": fit.rmsea, "loglik": found.model.loglik}, abs=5e-6
    )


@pytest.mark.parametrize(("case", "data"), [("clustered", "complete"), ("incomplete_clustered", "incomplete")])
def test_errors_that_allow_for_therapists_are_lavaans(reference: Reference, case: str, data: str) -> None:
    found = latent_change(*waves(reference, data), clusters=reference["therapist"])
    reference[case]["se"].check(errors(found), rel=ERROR)
    assert found.n_clusters == 20
    half = found.mean.ci_high - found.mean.estimate
    assert half / found.mean.std_error == pytest.approx(2.093024, abs=1e-6)  # t on 19 degrees of freedom


def test_parameters_and_errors_of_normal_answers_are_lavaans(reference: Reference) -> None:
    model = latent_change(*waves(reference, "complete")).model
    error = pd.Series(np.sqrt(np.diag(model.covariance_of_estimates())), index=model.estimates.index)
    reference["normal"]["se"].check({"mean": error["mean"], "slope": error["covariance"]}, rel=1e-5)
    observed = latent_change(*waves(reference, "incomplete")).model
    error = pd.Series(np.sqrt(np.diag(observed.covariance_of_estimates())), index=observed.estimates.index)
    reference["incomplete_normal"]["se"].check({"mean": error["mean"], "slope": error["covariance"]}, rel=ERROR)


def test_observed_variance_of_change_is_split_into_true_and_error(reference: Reference) -> None:
    first, second = waves(reference, "complete")
    found = latent_change(first, second)
    observed = float((second - first).mean(axis=1).var())
    # The model restricts covariances, so its variance of observed change is near the sample's, not equal to it.
    assert found.true_variance + found.error_variance == pytest.approx(observed, rel=0.05)
    assert found.reliability.estimate == pytest.approx(found.true_variance / (found.true_variance + found.error_variance))
    # Error of measurement makes the observed slope on the baseline too steep.
    assert found.observed_slope < found.slope.estimate
    assert found.mean.estimate == pytest.approx(float((second - first).mean()), abs=0.05)


def test_points_scale_the_score_and_nothing_else(reference: Reference) -> None:
    first, second = waves(reference, "complete")
    mean, total = latent_change(first, second), latent_change(first, second, points=[1.0] * 4)
    assert total.mean.estimate == pytest.approx(4 * mean.mean.estimate)
    assert total.true_variance == pytest.approx(16 * mean.true_variance)
    assert total.slope.estimate == mean.slope.estimate
    assert total.reliability.estimate == pytest.approx(mean.reliability.estimate)


def test_a_change_of_meaning_is_noticed(reference: Reference) -> None:
    first, second = waves(reference, "complete")
    assert latent_change(first, second).same_meaning
    assert not latent_change(first, second + np.array([2.5, 0, 0, 0])).same_meaning


def test_what_the_model_cannot_answer_is_refused(reference: Reference) -> None:
    first, second = waves(reference, "complete")
    with pytest.raises(StatisticsError, match="19 people answered at both waves; the model has 23 parameters"):
        latent_change(first[:19], second[:19])
    with pytest.raises(StatisticsError, match="3 items or more"):
        change_model(2)
    with pytest.raises(StatisticsError, match="the same people and items are needed twice"):
        latent_change(first, second[:, :3])
    with pytest.raises(StatisticsError, match="two clusters or more"):
        latent_change(first, second, clusters=["one"] * len(first))
    # Items that go together more across waves than within one ask for a negative variance of change.
    rng = np.random.default_rng(2)
    apart = [noise - 0.8 * noise.mean(axis=1, keepdims=True) for noise in rng.normal(size=(2, 200, 4)) * 1.5]
    same = rng.normal(size=(200, 1)) * 1.5
    with pytest.raises(StatisticsError, match="has no proper solution: a variance is not above 0"):
        latent_change(same + apart[0], same + apart[1])


def data_of(reference: Reference, *, items: bool = True, **settings: object) -> ChangeData:
    first, second = waves(reference, "incomplete")
    ids = [f"p{i:03d}" for i in range(len(first))]
    frames = []
    for wave, block in enumerate((first, second)):
        wide = pd.DataFrame(block, columns=["1", "2", "3", "4"])
        wide["2"] = 8 - wide["2"]  # as answered: the item is worded the other way round
        frames.append(wide.assign(person_id=ids, wave=wave))
    long = pd.concat(frames).melt(["person_id", "wave"], var_name="item").assign(instrument="four", rater="self")
    treatments = pd.DataFrame({"person_id": ids, "treatment_id": "1", "therapist_id": [f"t{t}" for t in reference["therapist"]]})
    return ChangeData(
        scores=typed(pd.DataFrame(), "scores"), styles=pd.DataFrame(), waves=typed(pd.DataFrame(), "waves"),
        people=typed(pd.DataFrame({"person_id": ids, "role": "client"}), "people"), treatments=typed(treatments, "treatments"),
        sessions=typed(pd.DataFrame(), "sessions"), classifications=typed(pd.DataFrame(), "classifications"),
        answers=typed(long if items else long.iloc[:0], "items"),
        settings={"outcomes": [{"score": "four.total"}], "occasions": "wave", **settings}, instruments={"four": INSTRUMENT},
    )  # fmt: skip


def test_analysis_keys_the_items_and_allows_for_therapists(reference: Reference) -> None:
    data = data_of(reference)
    part = analyse(data)
    frame = estimates_frame(part.estimates).set_index("estimand")
    reference["incomplete_clustered"]["estimate"].check(
        {"mean_points": frame.loc["latent_mean_change", "estimate"], "reliability": frame.loc["reliability_of_change", "estimate"]},
        abs=ESTIMATE,
    )
    assert (frame.loc["latent_mean_change", "n_clusters"], frame.loc["latent_mean_change", "direction"]) == (20, "lower is better")
    line = part.tables["latent_change"].iloc[0]
    assert list(part.tables["latent_change"].columns) == list(TABLES["latent_change"])
    assert line["n_both"] < line["n"] == 200
    assert line["true_variance"] + line["error_variance"] == pytest.approx(line["observed_change_sd"] ** 2)
    assert any("latent change, four.total" in row[0] for row in data.flow.lines)
    drawing = draw({"latent_change": part.tables["latent_change"], "estimates": estimates_frame(part.estimates)}, {})
    assert "mean latent change" in drawing.caption
    assert "no person is shown" in drawing.caption


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"items": False}, "the items were not given"),
        ({"occasions": "session"}, "ordered by session"),
        ({"end": 5}, "0 people answered at both waves"),
    ],
)
def test_what_cannot_be_answered_is_a_row(reference: Reference, settings: dict[str, object], reason: str) -> None:
    part = analyse(data_of(reference, **settings))  # type: ignore[arg-type]
    assert [(r.estimand, r.outcome) for r in part.estimates] == [("not testable", "four.total")]
    assert reason in part.estimates[0].note
    assert part.tables["latent_change"].empty
    with pytest.raises(NothingToDraw, match="at two waves"):
        draw({"latent_change": part.tables["latent_change"], "estimates": estimates_frame(part.estimates)}, {})

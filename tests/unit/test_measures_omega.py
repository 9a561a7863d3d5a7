from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.inference.factor.fit import fit_structure
from attachment_outcomes.measures.assembly import item_matrices
from attachment_outcomes.measures.instruments import read_instrument
from attachment_outcomes.measures.omega import _omega, omega_estimates, omega_total, one_factor
from attachment_outcomes.measures.reliability import cronbach_alpha
from attachment_outcomes.study.contracts import typed


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("measurement")


def table(rows: list[list[float | None]]) -> np.ndarray:
    return np.array([[math.nan if v is None else v for v in row] for row in rows], dtype=float)[:, :4]


@pytest.mark.parametrize(("case", "name"), [("complete", "answers"), ("incomplete", "incomplete")])
def test_omega_and_its_robust_error_are_lavaans(reference: Reference, case: str, name: str) -> None:
    found = omega_total(table(reference[name]))
    theirs = reference["omega"][f"{case}_robust"]
    theirs.check({"omega": found.omega, "cfi": found.cfi, "rmsea": found.rmsea}, abs=1e-6)
    theirs.check({"se": found.std_error}, rel=1e-4)  # second derivatives by differences, there and here


@pytest.mark.parametrize(("case", "name"), [("complete", "answers"), ("incomplete", "incomplete")])
def test_errors_of_normal_answers_are_lavaans(reference: Reference, case: str, name: str) -> None:
    fit = fit_structure(one_factor(4), table(reference[name]))
    _, error = fit.derived(_omega, fit.covariance_of_estimates())["omega"]
    reference["omega"][case].check({"se": error}, rel=1e-5)


def test_omega_of_standardised_answers_is_psychs(reference: Reference) -> None:
    answers = table(reference["answers"])
    found = omega_total((answers - answers.mean(axis=0)) / answers.std(axis=0, ddof=1))
    assert found.omega == pytest.approx(reference["psych_omega"], abs=1e-4)  # psych's search stops earlier


def test_omega_is_alpha_where_items_are_equally_loaded() -> None:
    # Covariances all 1, variances 2: three tau-equivalent items with alpha 3/2 (1 - 6/12) = 0.75.
    half = np.linalg.cholesky(np.eye(3) + 1)
    noise = np.random.default_rng(8).normal(size=(200, 3))
    noise -= noise.mean(axis=0)
    white = noise @ np.linalg.inv(np.linalg.cholesky(noise.T @ noise / 200)).T
    answers = white @ half.T
    assert omega_total(answers).omega == pytest.approx(0.75, abs=1e-7)
    assert cronbach_alpha(answers).alpha == pytest.approx(0.75, abs=1e-9)


def test_omega_interval_lies_around_it_and_widens_with_the_level(reference: Reference) -> None:
    narrow, wide = (omega_total(table(reference["answers"]), ci_level=level) for level in (0.8, 0.99))
    assert wide.ci_low < narrow.ci_low < narrow.omega < narrow.ci_high < wide.ci_high < 1


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (np.random.default_rng(1).normal(size=(20, 2)), "omega needs 3 items or more"),
        (np.random.default_rng(1).normal(size=(3, 3)), "more people than variables"),
        (np.ones((30, 4)), "does not vary"),
        (np.repeat(np.arange(30.0)[:, None], 4, axis=1), "singular"),
    ],
)
def test_omega_that_is_not_defined_is_refused(answers: np.ndarray, message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        omega_total(answers)


def test_estimates_of_omega_say_how_well_one_factor_fits(reference: Reference) -> None:
    form = read_instrument(
        {"name": "four", "range": [1, 5], "scales": {
            "total": {"direction": "higher is worse", "items": [1, 2, 3, 4]},
            "pair": {"direction": "higher is worse", "items": [1, 2]},
        }}
    )  # fmt: skip
    wide = pd.DataFrame(table(reference["incomplete"]), columns=["1", "2", "3", "4"])
    wide["person_id"] = [f"p{i}" for i in range(len(wide))]
    rows = typed(wide.melt("person_id", var_name="item").assign(instrument="four", rater="self", wave=0), "items")
    found = omega_estimates(item_matrices(rows, {"four": form}), {"four": form})
    assert [(r.outcome, r.estimand, r.group) for r in found] == [("four.total", "omega_total", "wave 0")]
    reference["omega"]["incomplete_robust"].check({"omega": found[0].estimate}, abs=1e-6)
    assert "one factor: CFI" in found[0].note
    few = rows[rows["person_id"].isin(["p0", "p1", "p2"])]
    refused = omega_estimates(item_matrices(few, {"four": form}), {"four": form})
    assert refused[0].estimand == "not testable"
    estimates_frame(found)

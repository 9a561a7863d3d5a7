"""Growth as a study asks for it: shapes, groups, therapists, and what is refused or not testable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.change.growth.analysis import TABLES, analyse
from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.errors import ConfigError
from attachment_outcomes.inference.estimate import estimates_frame, select

WEEKS = [0.0, 8, 16, 26, 52]
INSTRUMENT = {"title": "X", "scales": {"total": {"title": "X", "direction": "higher is worse", "items": ["1"]}}}


def study(growth: object = True, *, therapists: int = 8, clients: int = 96, waves: int = 5, seed: int = 4) -> ChangeData:
    """Made-up clients whose scores fall by 6 over a year, most of it early; modality does nothing."""
    rng = np.random.default_rng(seed)
    who = np.arange(clients)
    person, wave = np.repeat(who, waves), np.tile(np.arange(waves), clients)
    ids = pd.Series([f"p{i:03d}" for i in who])
    week = np.array(WEEKS)[wave]
    of = who % max(therapists, 1)
    level = rng.normal(0, 4, clients) + rng.normal(0, 2.5, max(therapists, 1))[of]
    slope = rng.normal(0, 0.08, clients) + rng.normal(0, 0.06, max(therapists, 1))[of]
    score = 20 - 6 * (1 - np.exp(-week / 10)) + level[person] + slope[person] * week + rng.normal(0, 1.5, len(person))
    scores = pd.DataFrame(
        {
            "person_id": ids[person].to_numpy(), "wave": pd.array(wave, dtype="Int64"), "instrument": "x", "scale": "total",
            "session_number": pd.array([None] * len(person), dtype="Int64"), "rater": "self", "score": score,
        }
    )  # fmt: skip
    treatments = pd.DataFrame(
        {
            "person_id": ids, "treatment_id": "1", "therapist_id": [f"t{i}" for i in of] if therapists else None,
            "modality": np.where(who // 2 % 2, "a", "b"), "arm": None, "start_week": 0.0,
            "planned_sessions": pd.array([16] * clients, dtype="Int64"),
        }
    )  # fmt: skip
    sessions = pd.DataFrame(
        {
            "person_id": np.repeat(ids, 2), "treatment_id": "1", "session_number": np.tile([1, 16], clients),
            "week": np.tile([0.0, 18.0], clients), "attended": pd.array([True] * 2 * clients, dtype="boolean"),
        }
    )  # fmt: skip
    people = pd.DataFrame({"person_id": ids, "role": "client", "subgroup": None, "gender": None, "age_band": None, "site_id": None})
    none = pd.DataFrame()
    settings: dict[str, Any] = {"outcomes": [{"score": "x.total"}], "growth": growth}
    return ChangeData(
        scores=scores, styles=none, waves=scores[["person_id", "wave"]].assign(weeks=week), people=people, treatments=treatments,
        sessions=sessions, classifications=none, answers=none, settings=settings, instruments={"x": INSTRUMENT},
    )  # fmt: skip


def test_every_table_has_its_columns_and_types() -> None:
    for data in (study(), study(False), study(therapists=0)):
        part = analyse(data)
        assert set(part.tables) == set(TABLES)
        for name, columns in TABLES.items():
            assert {c: str(t) for c, t in part.tables[name].dtypes.items()} == columns
        estimates_frame(part.estimates)  # refuses two rows that answer one question


def test_the_primary_shape_is_the_one_named_and_the_others_stand_beside_it() -> None:
    part = analyse(study({"shape": "log", "sensitivity": ["linear", "spline"]}))
    rows = estimates_frame(part.estimates)
    main = select(rows, analysis="growth")
    assert set(main["definition"]) == {"log"}
    assert main["primary"].all()
    beside = select(rows, analysis="growth_shape", estimand="aic")
    assert dict(zip(beside["definition"], beside["primary"], strict=True)) == {"log": True, "linear": False, "spline": False}
    fit = beside.set_index("definition")["estimate"]
    assert fit["spline"] < fit["linear"]  # the course flattens
    curve = part.tables["growth"]
    assert curve.groupby("shape")["primary"].all().to_dict() == {"log": True, "linear": False, "spline": False}
    (change,) = select(rows, analysis="growth", estimand="change_to_end")["estimate"]
    assert change == pytest.approx(-6, abs=3.5)
    assert set(select(rows, analysis="growth_shape", estimand="change_to_end")["definition"]) == {"linear", "spline"}


def test_groups_and_therapists_are_told_and_counted() -> None:
    data = study({"compare": "modality", "reference": "b"})
    part = analyse(data)
    rows = estimates_frame(part.estimates)
    (pair,) = select(rows, analysis="growth_comparison", estimand="feingold_d")["group"]
    assert pair == "a - b"
    shares = select(rows, analysis="therapist_effect").set_index("estimand")
    assert shares.loc["share_intercept", "n_clusters"] == 8
    assert shares.loc["share_intercept", "ci_low"] < 2.5**2 / (2.5**2 + 16 + 2.25) < shares.loc["share_intercept", "ci_high"]
    deviations = part.tables["therapists"]
    assert set(deviations["estimand"]) <= {"intercept", "slope", "end score, adjusted"}
    assert deviations["n_clients"].eq(12).all()
    steps = data.flow.frame().set_index("step")
    assert steps.loc["growth, x.total: therapists shown", ["n_in", "n_out"]].tolist() == [8, 8]
    assert steps.loc["growth, x.total: compared by modality", ["n_in", "n_out"]].tolist() == [96, 96]


def test_few_clients_a_therapist_hide_all_of_them() -> None:
    data = study({"fewest_clients": 13})
    part = analyse(data)
    assert part.tables["therapists"].empty
    assert data.flow.frame().set_index("step").loc["growth, x.total: therapists shown", "n_out"] == 0


def test_two_occasions_give_a_line_and_name_the_shapes_that_are_not_testable() -> None:
    rows = estimates_frame(analyse(study(waves=2)).estimates)
    missing = select(rows, analysis="growth_shape", estimand="not testable").set_index("definition")["note"]
    assert set(missing.index) == {"quadratic", "piecewise"}
    assert missing.str.contains("three occasions").all()
    assert len(select(rows, analysis="growth", estimand="change_to_end")) == 1


def test_one_occasion_is_not_testable() -> None:
    (row,) = analyse(study(waves=1)).estimates
    assert (row.analysis, row.estimand) == ("growth", "not testable")


def test_no_growth_asked_for_is_said() -> None:
    (row,) = analyse(study(False)).estimates
    assert "asks for no growth" in row.note


def test_without_therapists_their_share_is_not_testable() -> None:
    rows = [r for r in analyse(study(therapists=0)).estimates if r.analysis == "therapist_effect"]
    assert [r.estimand for r in rows] == ["not testable"]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"shape": "quadratisch"}, "no shape 'quadratisch'.*Did you mean 'quadratic'"),
        ({"sensitivity": ["lineal"]}, "no shape 'lineal'"),
        ({"compare": "modalty"}, "no column 'modalty'.*Did you mean 'modality'"),
    ],
)
def test_unknown_words_are_refused(block: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        analyse(study(block))


def test_results_do_not_depend_on_the_order_of_rows() -> None:
    data = study({"compare": "modality"})
    one = estimates_frame(analyse(data).estimates)
    shuffled = {
        name: getattr(data, name).sample(frac=1, random_state=1) for name in ("scores", "waves", "people", "treatments", "sessions")
    }
    other = ChangeData(
        **shuffled, styles=data.styles, classifications=data.classifications, answers=data.answers, settings=data.settings,
        instruments=data.instruments,
    )  # fmt: skip
    two = estimates_frame(analyse(other).estimates)
    pd.testing.assert_frame_equal(one, two)

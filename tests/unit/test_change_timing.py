"""Time to improvement and dose-response: hand-worked people, known truth, and what cannot be answered."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.change import dose, timing
from attachment_outcomes.change.improvement import Times, improvement_times
from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import estimates_frame


def occasions(*people: tuple[str, list[float], list[int]]) -> pd.DataFrame:
    rows = [(p, t, bool(i)) for p, times, improved in people for t, i in zip(times, improved, strict=True)]
    return pd.DataFrame(rows, columns=["person_id", "time", "improved"])


PEOPLE = occasions(
    ("confirmed", [0, 8, 16, 26], [0, 0, 1, 1]),
    ("lapsed", [0, 8, 16, 26], [0, 1, 0, 0]),
    ("late", [0, 8, 16], [0, 0, 1]),
    ("missed a visit", [0, 16, 26], [0, 1, 1]),
    ("never", [0, 8, 16, 26], [0, 0, 0, 0]),
    ("once more", [0, 8, 16, 26, 52], [0, 1, 0, 1, 1]),
    ("start only", [0], [0]),
)


def table(times: Times) -> pd.DataFrame:
    return pd.DataFrame({"left": times.left, "right": times.right, "time": times.time, "cause": times.cause}, index=times.person)


def test_confirmed_improvement_by_hand() -> None:
    """The first of two improved occasions in a row; all others are followed to the last occasion that another one follows."""
    times = improvement_times(PEOPLE)
    found = table(times)
    assert found.loc["confirmed"].tolist() == [8, 16, 16, 1]
    assert found.loc["lapsed"].tolist() == [16, math.inf, 16, 0]
    assert found.loc["late"].tolist() == [8, math.inf, 8, 0]
    assert found.loc["missed a visit"].tolist() == [0, 16, 16, 1]
    assert found.loc["never"].tolist() == [16, math.inf, 16, 0]
    assert found.loc["once more"].tolist() == [16, 26, 26, 1]
    assert found.loc["start only"].tolist() == [0, math.inf, 0, 0]
    assert times.unseen == 1


def test_a_late_improvement_may_count() -> None:
    found = table(improvement_times(PEOPLE, late="count"))
    assert found.loc["late"].tolist() == [8, 16, 16, 1]
    assert found.loc["never"].tolist() == [26, math.inf, 26, 0]
    once = table(improvement_times(PEOPLE, confirmed=False))
    assert once.loc["lapsed"].tolist() == [0, 8, 8, 1]
    assert once.loc["never"].tolist() == [26, math.inf, 26, 0]


def test_who_leaves_left_at_the_last_session_or_measurement() -> None:
    gone = {"late": 20.0, "start only": 3.0, "confirmed": 26.0, "never": 5.0, "lapsed": 90.0}
    found = table(improvement_times(PEOPLE, left_at=gone))
    assert found.loc["late"].tolist() == [8, math.inf, 20, 2]
    assert found.loc["start only"].tolist() == [0, math.inf, 3, 2]
    assert found.loc["confirmed", "cause"] == 1
    assert found.loc["never"].tolist() == [16, math.inf, 26, 2]
    assert found.loc["lapsed", ["time", "cause"]].tolist() == [26, 0]  # long after anybody could be seen to improve


def test_columns_that_are_not_what_they_should_be_are_refused() -> None:
    refused: list[tuple[str, pd.DataFrame]] = [
        ("no column 'improved'", PEOPLE.drop(columns="improved")),
        ("not true or false throughout", PEOPLE.assign(improved="no")),
        ("not true or false throughout", PEOPLE.assign(improved=PEOPLE["improved"].astype(object).where(PEOPLE.index > 0))),
        ("1 occasion lacks a time or a person", PEOPLE.assign(time=PEOPLE["time"].where(PEOPLE.index > 0))),
    ]
    for message, rows in refused:
        with pytest.raises(StatisticsError, match=message):
            improvement_times(rows)
    for message, gone in (
        ("left_at gives no times by person", [1.0, 2.0]),
        ("left_at lists a person twice", pd.Series([1.0, 2.0], index=["late", "late"])),
        ("left_at names nobody who was measured", {"somebody else": 3.0}),
    ):
        with pytest.raises(StatisticsError, match=message):
            improvement_times(PEOPLE, left_at=gone)  # type: ignore[arg-type]
    assert (table(improvement_times(PEOPLE, left_at={}))["cause"] != 2).all()


def test_order_of_rows_does_not_matter() -> None:
    shuffled = PEOPLE.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(table(improvement_times(shuffled)), table(improvement_times(PEOPLE)))


def test_who_can_be_confirmed_does_not_depend_on_the_last_score() -> None:
    """Taking out late improvers alone biases: of people seen at 8 and 16 with an even chance each time, half improve by 8."""
    rng = np.random.default_rng(1)
    n = 3000
    improves = np.cumsum(rng.random((n, 3)) < 0.5, axis=1) > 0  # once improved, always
    visits = np.where(rng.random(n) < 0.5, 2, 3)  # half leave the study after the second visit, whoever they are
    rows = occasions(*[(f"p{i}", [0, 8, 16, 24][: v + 1], [0, *improves[i, :v].astype(int)]) for i, v in enumerate(visits)])
    times = improvement_times(rows)
    from attachment_outcomes.inference.survival import kaplan_meier

    curve = kaplan_meier(times.time, times.cause == 1).at([8, 16])
    assert (1 - curve["estimate"]).tolist() == pytest.approx([0.5, 0.75], abs=0.025)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: improvement_times(PEOPLE, late="drop"), "allowed: censor, count"),
        (lambda: improvement_times(PEOPLE.iloc[:0]), "nobody has a baseline"),
        (lambda: improvement_times(pd.concat([PEOPLE, PEOPLE])), "two occasions at one time"),
    ],
)
def test_refusals(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StatisticsError, match=message):
        call()


def test_doses_count_the_sessions_attended_by_then() -> None:
    rows = pd.DataFrame({"person_id": ["a", "a", "a", "b"], "at": [0.0, 3.0, 9.0, 5.0]})
    attended = pd.DataFrame({"person_id": ["a", "a", "a", "c"], "at": [1.0, 3.0, 4.0, 1.0]})
    assert dose.doses_at(rows, attended).tolist() == [0, 2, 3, 0]


def test_dose_times_by_hand() -> None:
    """Improvement after the last session belongs to no dose."""
    rows = occasions(
        ("in treatment", [0, 8, 16, 26], [0, 0, 1, 1]), ("after", [0, 8, 16, 26], [0, 0, 1, 1]), ("never", [0, 8, 16], [0, 0, 0])
    ).assign(dose=[0, 6, 12, 12, 0, 8, 8, 8, 0, 7, 15])
    found = dose.dose_times(rows).set_index("person_id")
    assert found.loc["in treatment"].tolist() == [6, 12]
    assert found.loc["after"].tolist() == [8, math.inf]
    assert found.loc["never"].tolist() == [7, math.inf]
    assert dose.bands([1, 4, 5, 8, 9]).tolist() == [0, 0, 1, 1, 2]


NOTHING: dict[str, list] = {"reliability": [], "norms": [], "cutoffs": [], "reliable_change": []}
INSTRUMENT = {"mood": {"scales": {"total": {"direction": "higher is worse", "range": [0, 40], **NOTHING}}}}
WEEKS = [0, 8, 16, 26, 52]


def study(n: int = 240, *, seed: int = 5, settings: dict | None = None, weeks: bool = True) -> ChangeData:
    """Half of the people improve by 15 points at a time of their own (mean 14 weeks); one in six leaves after week 8."""
    rng = np.random.default_rng(seed)
    change_at = np.where(rng.random(n) < 0.5, rng.exponential(14, n), np.inf)
    style = np.where(np.arange(n) % 2 == 0, "secure", "fearful")
    left = np.arange(n) % 6 == 0
    person = [f"p{i:03d}" for i in range(n)]
    rows, seen = [], []
    for i in range(n):
        for wave, week in enumerate(WEEKS):
            if left[i] and wave > 1:
                break
            jitter = 0.0 if wave == 0 else float(rng.integers(0, 5))
            rows.append((person[i], wave, 25 - 15 * (week + jitter >= change_at[i]) + rng.normal(0, 1)))
            seen.append((person[i], wave, week + jitter if weeks else np.nan))
    settings = settings or {}
    scores = pd.DataFrame(rows, columns=["person_id", "wave", "score"]).assign(instrument="mood", scale="total", rater="self")
    waves = pd.DataFrame(seen, columns=["person_id", "wave", "weeks"])
    treatments = pd.DataFrame(
        {
            "person_id": person, "treatment_id": "1", "therapist_id": [f"t{i % 20:02d}" for i in range(n)], "start_week": 0.0,
            "planned_sessions": 16.0, "end_reason": np.where(left, "dropped out", "completed"),
        }
    )  # fmt: skip
    many = np.where(left, 9, 12 + np.arange(n) % 8)
    sessions = pd.DataFrame(
        {
            "person_id": np.repeat(person, many), "treatment_id": "1", "attended": True,
            "session_number": np.concatenate([np.arange(1, k + 1) for k in many]),
        }
    )  # fmt: skip
    sessions = sessions.assign(week=sessions["session_number"].astype(float))
    styles = pd.DataFrame(
        {"person_id": person, "wave": 0, "session_number": np.nan, "rater": "self", "name": "x", "primary": True, "style": style}
    )
    people = pd.DataFrame({"person_id": person, "role": "client"})
    definition = {"name": "reliable", "reliability": 0.9, "cutoff": "none", "sd": "reference", "clinical": {"mean": 25, "sd": 6}}
    return ChangeData(
        scores=scores, styles=styles, waves=waves, people=people, treatments=treatments, sessions=sessions,
        classifications=pd.DataFrame(), answers=pd.DataFrame(), instruments=INSTRUMENT, seed=1,
        settings={"outcomes": [{"score": "mood.total", "definitions": [definition]}], "timing": {"replicates": 99}, **settings},
    )  # fmt: skip


@pytest.fixture(scope="module")
def part() -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    found = timing.analyse(study())
    return estimates_frame(found.estimates), found.tables


def value(
    rows: pd.DataFrame, estimand: str, *, definition: str = "reliable, confirmed", group: str = "", method: str = ""
) -> pd.Series:
    keep = (rows["estimand"] == estimand) & (rows["definition"] == definition) & (rows["group"] == group)
    found = rows[keep & rows["method"].str.startswith(method)]
    assert len(found) == 1, (estimand, method)
    return found.iloc[0]


def test_the_shares_that_were_put_in_come_out(part: tuple[pd.DataFrame, dict]) -> None:
    """Half improve, 1 - exp(-26/14) = .84 of them by week 26: .42, and .49 by week 52; one in six leaves around week 9."""
    rows, _ = part
    km = value(rows, "improved_by_horizon", method="Kaplan-Meier")
    assert km["estimate"] == pytest.approx(0.42, abs=0.08)
    assert "nobody could be seen to improve after week 2" in km["note"]
    assert value(rows, "improved_by_horizon", definition="reliable, once", method="Kaplan-Meier")["estimate"] == pytest.approx(
        0.49, abs=0.08
    )
    first = value(rows, "improved_by_horizon", method="Aalen-Johansen")
    assert first["primary"]
    assert first["estimate"] < km["estimate"]
    assert first["n_clusters"] == 20
    assert first["ci_low"] < first["estimate"] < first["ci_high"]
    assert value(rows, "improved_by_horizon", method="Turnbull")["estimate"] == pytest.approx(km["estimate"], abs=0.03)
    # Who leaves after week 8 has no second occasion that could confirm anything.
    assert value(rows, "left_by_horizon")["estimate"] == pytest.approx(1 / 6)
    mean = value(rows, "restricted_mean_time")
    assert 15 < mean["estimate"] < 26
    assert len(rows[rows["primary"] & (rows["estimand"] == "improved_by_horizon") & (rows["group"] == "")]) == 1


def test_styles_do_not_differ_where_they_do_not(part: tuple[pd.DataFrame, dict]) -> None:
    rows, _ = part
    fearful = value(rows, "restricted_mean_difference", group="fearful")
    secure = value(rows, "restricted_mean_difference", group="secure")
    assert fearful["estimate"] == pytest.approx(-secure["estimate"])
    assert fearful["ci_low"] < 0 < fearful["ci_high"]
    assert value(rows, "log_rank")["p_value"] > 0.01


def test_the_curves(part: tuple[pd.DataFrame, dict]) -> None:
    curves = part[1]["improvement_curves"]
    assert list(curves) == list(timing.TABLES["improvement_curves"])
    own = curves[(curves["definition"] == "reliable, confirmed") & (curves["group"] == "")]
    assert set(own["method"]) == {timing.KM, timing.TURNBULL, timing.INCIDENCE, timing.LEFT}
    for _, curve in own.groupby("method"):
        assert curve["time"].is_monotonic_increasing
        assert curve["estimate"].is_monotonic_increasing
        assert curve["n_at_risk"].is_monotonic_decreasing
    assert set(curves["group"]) == {"", "secure", "fearful"}
    assert set(curves["unit"]) == {"week"}


def test_nobody_is_dropped_silently() -> None:
    data = study(60)
    timing.analyse(data)
    flow = data.flow.frame()
    assert flow["step"].str.contains("timing, mood.total, confirmed").any()
    assert flow["step"].str.contains("style at baseline").any()


def test_results_repeat_and_do_not_depend_on_the_order_of_rows() -> None:
    data = study(60)
    mixed = study(60)
    mixed = ChangeData(
        **{
            **{k: getattr(mixed, k) for k in ("classifications", "answers", "settings", "instruments", "seed")},
            **{
                k: getattr(mixed, k).sample(frac=1, random_state=1).reset_index(drop=True)
                for k in ("scores", "styles", "waves", "people", "treatments", "sessions")
            },
        }
    )
    one, two = (estimates_frame(timing.analyse(d).estimates) for d in (data, mixed))
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timing": {"do": False}}, "asks for no time to improvement"),
        ({"outcomes": [{"score": "mood.total"}]}, "no reliability"),
        ({"outcomes": [{"score": "mood.other"}]}, "no scale"),
    ],
)
def test_what_cannot_be_answered_is_a_row(settings: dict, message: str) -> None:
    found = timing.analyse(study(20, settings=settings))
    assert [r.estimand for r in found.estimates] == ["not testable"]
    assert message in found.estimates[0].note
    assert len(found.tables["improvement_curves"]) == 0


def test_where_all_improve_there_is_no_interval() -> None:
    data = study(40)
    scores = data.scores.assign(score=np.where(data.scores["wave"] == 0, 25.0, 5.0))
    kept = {k: getattr(data, k) for k in data.__dataclass_fields__ if not k.startswith("_")}
    rows = estimates_frame(timing.analyse(ChangeData(**{**kept, "scores": scores})).estimates)
    found = value(rows, "improved_by_horizon", definition="reliable, once", method="Aalen-Johansen")
    assert found["estimate"] == pytest.approx(1)
    assert math.isnan(found["ci_low"])
    assert found["note"].startswith("all of those followed, so there is no interval")


def test_without_weeks_waves_are_the_time() -> None:
    found = timing.analyse(study(60, weeks=False))
    assert set(found.tables["improvement_curves"]["unit"]) == {"wave"}


def test_dose_response_names_the_selection() -> None:
    data = study()
    found = dose.analyse(data)
    rows = estimates_frame(found.estimates)
    assert rows["note"].str.contains("not the effect of a session more").all()
    assert set(rows["estimand"]) >= {"improved_by_sessions", "rate_per_doubling", "change_per_doubling", "improved_per_doubling"}
    by_sessions = rows[rows["estimand"] == "improved_by_sessions"].set_index("group")["estimate"]
    assert by_sessions["8 sessions"] < by_sessions["16 sessions"] < 0.6
    curves = found.tables["dose_response"]
    assert list(curves) == list(dose.TABLES["dose_response"])
    assert set(curves["measure"]) >= {dose.CUMULATIVE, dose.SHARE, dose.CHANGE, dose.RATE}


def test_a_rate_that_falls_with_the_total_is_found() -> None:
    """Everybody changes by 6 points whatever the total: the rate is 6/total, and the change does not depend on it."""
    data = study(200)
    start = data.scores["wave"] == 0
    scores = data.scores.assign(score=np.where(start, 25.0, 19.0) + np.arange(len(data.scores)) % 2)
    data = ChangeData(**{**{k: getattr(data, k) for k in data.__dataclass_fields__ if not k.startswith("_")}, "scores": scores})
    rows = estimates_frame(dose.analyse(data).estimates).set_index("estimand")
    assert rows.loc["rate_per_doubling", "ci_high"] < 0
    low, high = rows.loc["change_per_doubling", ["ci_low", "ci_high"]]
    assert low < 0 < high
    assert rows.loc["rate_per_doubling", "primary"]


def test_dose_response_without_sessions_is_not_testable() -> None:
    data = study(40)
    data = ChangeData(
        **{**{k: getattr(data, k) for k in data.__dataclass_fields__ if not k.startswith("_")}, "sessions": data.sessions.iloc[:0]}
    )
    found = dose.analyse(data)
    assert [r.estimand for r in found.estimates] == ["not testable"]
    assert "no sessions with the time" in found.estimates[0].note

"""Slopes within clients: R's values, hand-worked pairs and deviations, refusals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.rupture.series import read_series
from attachment_outcomes.rupture.within import fixed_effects, next_session, orthogonal_instruments, residual_autocorrelation
from attachment_outcomes.rupture.within.lagged import questions, unadjusted, usable
from attachment_outcomes.rupture.within.moderation import moderated_by_attachment, moderated_by_break
from attachment_outcomes.rupture.within.panel import Panel, pairs_of, panel_of
from attachment_outcomes.rupture.within.regression import backward, forward, within

FIELDS = ["estimate", "std_error", "ci_low", "ci_high", "p_value"]


def made_panel(rows: pd.DataFrame) -> Panel:
    """Return the panel of ``client, session, alliance, symptoms, therapist`` and, if there, ``gap``."""
    named = rows.rename(columns={"client": "person_id", "session": "session_number", "gap": "gap_weeks"}).assign(treatment_id="1")
    alliance, symptoms = (read_series(named, score=score) for score in ("alliance", "symptoms"))
    therapist = named.drop_duplicates("person_id").set_index("person_id")["therapist"]
    return panel_of(alliance, symptoms, named, alliance.clients["client"].map(therapist))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("rupture_within")


@pytest.fixture(scope="module")
def panel(reference: Reference) -> Panel:
    return made_panel(reference.frame("data"))


def columns(panel: Panel) -> tuple:
    question = questions(panel, alliance="alliance", symptoms="symptoms")[0]
    pairs = usable(panel, question, 1, own=True)
    return question, pairs, np.column_stack([panel.alliance[pairs.now], panel.symptoms[pairs.now]])


def slopes(fit, k=4):
    return pd.DataFrame([fit.slope(j, 0.95) for j in range(k)], columns=FIELDS)


def test_least_squares_within_clients_agree_with_plm_and_clubsandwich(panel: Panel, reference: Reference) -> None:
    _, pairs, x = columns(panel)
    assert len(pairs.now) == reference["n_pairs"]
    fit = fixed_effects(panel.symptoms[pairs.then], np.column_stack([x, pairs.time]), unit=pairs.unit, cluster=pairs.cluster)
    reference["fixed_effects"].check(slopes(fit).to_dict("list"), rel=1e-9)


def test_instruments_agree_with_the_loop_over_sessions(panel: Panel, reference: Reference) -> None:
    _, pairs, x = columns(panel)
    fit = orthogonal_instruments(
        panel.symptoms[pairs.then], x, pairs.time, unit=pairs.unit, cluster=pairs.cluster, session=panel.session[pairs.now]
    )
    reference["instruments"].check(slopes(fit).to_dict("list"), rel=1e-8)
    reference.check({"strength": fit.strength, "n_instruments": fit.n}, rel=1e-8)
    assert fit.warning == "weak instruments (Cragg-Donald 4.4): up to about 23% of Nickell bias may remain"


def test_within_and_between_parts_agree_with_lmertest(panel: Panel, reference: Reference) -> None:
    question, pairs, _ = columns(panel)
    rows = {(r.estimand, r.method): r for r in unadjusted(pairs, question)}
    for i, name in enumerate(("within_next_session", "between_clients")):
        row = rows[name, "mixed model (REML), Satterthwaite"]
        theirs = {key: reference["unadjusted"][key][i] for key in FIELDS}
        found = {key: getattr(row, key) for key in FIELDS}
        assert found == pytest.approx(theirs, rel=2e-4)
        robust = rows[name, "mixed model (REML), CR2"]
        assert robust.estimate == row.estimate
        # clubSandwich adjusts in another metric, up to 2.5 % apart (validation/README.md).
        assert robust.std_error == pytest.approx(reference["unadjusted_cr2"][i], rel=0.025)
    assert rows["slope_sd", "mixed model (REML)"].estimate == pytest.approx(reference["unadjusted_sd"], rel=1e-3)


def test_every_direction_and_lag_is_told(panel: Panel) -> None:
    question = questions(panel, alliance="wai_sr.total", symptoms="symptoms")
    rows = [r for q in question for r in next_session(panel, q)]
    primary = [(r.outcome, r.estimand, r.definition, r.direction) for r in rows if r.primary]
    assert primary == [
        ("symptoms", "within_next_session", "adjusted, instruments", "lower is better"),
        ("wai_sr.total", "within_next_session", "adjusted, instruments", "higher is better"),
    ]
    assert [r.group for r in rows if r.estimand == "within_lag"] == ["0", "1", "2", "3"] * 2
    assert all("not effect" in r.note for r in rows if r.unit == "points per point" and r.estimand != "not testable")
    keys = [(r.outcome, r.estimand, r.definition, r.group, r.method) for r in rows]
    assert len(set(keys)) == len(keys)


def test_only_adjacent_sessions_pair() -> None:
    rows = pd.DataFrame(
        {
            "client": ["a"] * 4 + ["b"] * 3, "session": [1, 2, 4, 5, 1, 2, 4], "therapist": "t",
            "alliance": [1.0, 2, 3, np.nan, 4, 5, 6], "symptoms": [9.0, 8, 7, 6, np.nan, 4, 3],
        }
    )  # fmt: skip
    panel = made_panel(rows)
    assert panel.session.tolist() == [1, 2, 4, 5, 1, 2, 4]  # session 5 of a stays: its symptoms are rated
    found = pairs_of(panel, 1)
    assert list(zip(found.now, found.then, strict=True)) == [(0, 1), (2, 3), (4, 5)]
    assert panel.later(3).tolist() == [2, 3, -1, -1, 6, -1, -1]  # a: 1 to 4 and 2 to 5; b: 1 to 4
    assert panel.later(-1).tolist() == [-1, 0, -1, 2, -1, 4, -1]
    question = questions(panel, alliance="alliance", symptoms="symptoms")[0]
    # Of b, session 1 has no symptoms of its own, so with these held constant it has no pair; a has two.
    assert usable(panel, question, 1, own=True).now.tolist() == [0, 2]


def test_deviations_by_hand() -> None:
    """Unit 0 has 1, 4, 10; unit 1 has 5 alone."""
    values, unit = np.array([1.0, 4, 10, 5]), np.array([0, 0, 0, 1])
    assert within(values, unit).tolist() == [-4, -1, 5, 0]
    # 1 - (4 + 10)/2 = -6 times sqrt(2/3); 4 - 10 = -6 times sqrt(1/2); nothing later.
    assert forward(values, unit) == pytest.approx([-6 * math.sqrt(2 / 3), -6 * math.sqrt(1 / 2), 0, 0])
    assert backward(values, unit) == pytest.approx([0, 3, 7.5, 0])  # 4 - 1; 10 - (1 + 4)/2


def test_weeks_between_sessions_are_derived_where_they_are_missing() -> None:
    rows = pd.DataFrame(
        {
            "client": "a", "session": [1, 2, 3, 5], "therapist": "t", "alliance": 1.0, "symptoms": 2.0,
            "gap": [np.nan, np.nan, 9.0, np.nan], "week": [0.0, 3, 4, 8],
        }
    )  # fmt: skip
    # Session 2: week 3 - 0. Session 3: as given. Session 5 does not follow 4, so the weeks since the session before are not known.
    np.testing.assert_array_equal(made_panel(rows).gap, [np.nan, 3, 9, np.nan])


def test_therapists_are_clusters_where_ten_are_known(panel: Panel) -> None:
    assert panel.clustered_by == "therapists"
    assert len(np.unique(panel.cluster)) == 12
    few = replace(panel, units=panel.units.assign(therapist_id=panel.units["therapist_id"].where(panel.person < 45)))
    assert few.clustered_by == "clients"
    assert (few.cluster == few.person).all()
    some = replace(panel, units=panel.units.assign(therapist_id=panel.units["therapist_id"].where(panel.person < 52)))
    assert len(np.unique(some.cluster)) == 11 + 8  # 11 therapists of the first 52 clients, and 8 clients of their own


def test_too_few_clients_are_refused_in_words(reference: Reference) -> None:
    data = reference.frame("data")
    small = made_panel(data[data["client"] < "c15"])
    with pytest.raises(StatisticsError, match=r"14 clients have two pairs of adjacent sessions .* at least 20"):
        next_session(small, questions(small, alliance="alliance", symptoms="symptoms")[0])


def test_a_rating_that_never_changes_is_not_testable(panel: Panel) -> None:
    flat = replace(panel, alliance=np.ones(len(panel.unit)))
    rows = next_session(flat, questions(flat, alliance="alliance", symptoms="symptoms")[0])
    assert {r.estimand for r in rows} == {"not testable"}
    assert sum("is there a rating that never changes?" in r.note for r in rows) == 7  # three definitions and four lags
    assert len({r.definition for r in rows}) == len(rows) == 8


def test_own_trends_are_taken_out_and_slopes_stay() -> None:
    """Any straight line of a client's own in the outcome leaves the estimates as they are, and they find the truth."""
    rng = np.random.default_rng(2)
    n, t = 300, 14
    x, y = rng.normal(size=(n, t)), np.empty((n, t + 1))
    lines = rng.normal(size=n)[:, None] + 0.3 * rng.normal(size=n)[:, None] * np.arange(t)
    y[:, 0] = 3 * rng.normal(size=n)
    for k in range(t):
        y[:, k + 1] = 0.4 * y[:, k] - 0.3 * x[:, k] + lines[:, k] + rng.normal(size=n)
    unit, session = np.repeat(np.arange(n), t), np.tile(np.arange(t), n)
    predictors, time = np.column_stack([x.ravel(), y[:, :-1].ravel()]), np.column_stack([session, np.log(session + 2.0)])

    def fit(then: np.ndarray, *, own_trends: bool) -> np.ndarray:
        return orthogonal_instruments(
            then, predictors, time.astype(float), unit=unit, cluster=unit, session=session, own_trends=own_trends
        ).beta

    found = fit(y[:, 1:].ravel(), own_trends=True)
    assert found[:2] == pytest.approx([-0.3, 0.4], abs=0.07)
    assert len(found) == 3  # the two and the bend of the course: the straight line of time went with the clients' own
    more = y[:, 1:].ravel() + np.repeat(rng.normal(size=n), t) * session
    np.testing.assert_allclose(fit(more, own_trends=True), found, rtol=1e-6)
    assert fit(y[:, 1:].ravel(), own_trends=False)[1] > 0.6  # without them the trends look like carry-over


def test_deviations_from_a_line_by_hand() -> None:
    """1, 4, 10, 12 at sessions 1, 2, 4, 5. The line through the later three of the first: mean 26/3 at session 11/3, slope
    Σ(s - 11/3)(v - 26/3) / Σ(s - 11/3)² = (7.7778 + 0.4444 + 4.4444) / (2.7778 + 0.1111 + 1.7778) = 2.7143.
    """
    values, unit, session = np.array([1.0, 4, 10, 12]), np.zeros(4, dtype=int), np.array([1.0, 2, 4, 5])
    slope, sxx, away = 12.66666667 / 4.66666667, 4.66666667, 1 - 11 / 3
    first = (1 - (26 / 3 + slope * away)) / math.sqrt(1 + 1 / 3 + away**2 / sxx)
    # The second: the line through 10 at 4 and 12 at 5 gives 6 at session 2; (2 - 4.5)² / 0.5 = 12.5.
    second = (4 - 6) / math.sqrt(1 + 1 / 2 + 12.5)
    assert forward(values, unit, session) == pytest.approx([first, second, 0, 0], rel=1e-6)
    # Backward: 10 beside the line through 1 and 4 (10 at session 4) is 0; 12 beside the line through 1, 4, 10.
    steep = (1 - 7 / 3) * (1 - 5) + (2 - 7 / 3) * (4 - 5) + (4 - 7 / 3) * (10 - 5)
    last = 12 - (5 + steep / (16 / 9 + 1 / 9 + 25 / 9) * (5 - 7 / 3))
    assert backward(values, unit, session) == pytest.approx([0, 0, 0, last], abs=1e-6)


def test_moderation_is_told_or_not_testable_with_the_reason(panel: Panel) -> None:
    question = questions(panel, alliance="alliance", symptoms="symptoms")[0]
    z = np.column_stack([np.linspace(-1.5, 1.5, 60), np.tile([-1.0, 1.0], 30)])
    rows = moderated_by_attachment(panel, question, z)
    assert [r.estimand for r in rows] in (["within_at_mean", "within_by_anxiety", "within_by_avoidance"], ["not testable"])
    (row,) = moderated_by_break(panel, question, weeks=50)
    assert (row.estimand, row.definition) == ("not testable", "moderation by breaks")
    assert "0 pairs of sessions span a break of 50 weeks or more; at least 20" in row.note


def test_autocorrelation_of_errors_is_found_in_short_series() -> None:
    """AR(1) errors with .4 about levels of their own, 300 clients with 6 to 12 sessions."""
    rng = np.random.default_rng(5)
    lengths = rng.integers(6, 13, 300)
    unit = np.repeat(np.arange(300), lengths)
    session = np.concatenate([np.arange(k) for k in lengths])
    error = rng.normal(size=len(unit))
    for i in range(1, len(error)):
        if unit[i] == unit[i - 1]:
            error[i] = 0.4 * error[i - 1] + math.sqrt(1 - 0.16) * error[i]
    found = residual_autocorrelation(
        error + 3 * rng.normal(size=300)[unit], unit=unit, session=session, cluster=unit, ci_level=0.95
    )
    assert found.ci_low < 0.4 < found.ci_high
    assert found.ci_high - found.ci_low < 0.15
    fresh = residual_autocorrelation(rng.normal(size=len(unit)), unit=unit, session=session, cluster=unit, ci_level=0.95)
    assert fresh.ci_low < 0 < fresh.ci_high

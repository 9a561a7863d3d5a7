"""Hand-worked series for run rules, screened ranges, drops beyond error, shifts of the level and reports."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import ConfigError
from attachment_outcomes.rupture import detect_ruptures, read_series
from attachment_outcomes.rupture.criteria import Criterion, as_criteria, detect, episodes_frame, series_for
from attachment_outcomes.rupture.noise import simulate_noise
from attachment_outcomes.rupture.rules import control_chart, level_shift, reliable_drop, reported_rupture, tune_limits
from attachment_outcomes.rupture.series import Series
from attachment_outcomes.rupture.summary import client_summary


def ratings(*scores, sessions=None, person="a"):
    numbers = range(1, len(scores) + 1) if sessions is None else sessions
    return pd.DataFrame({"person_id": person, "session_number": list(numbers), "wai": [float(s) for s in scores]})


def read(*scores, sessions=None):
    return read_series(ratings(*scores, sessions=sessions), score="wai")


def begins(series, **settings):
    return series.sessions[control_chart(series, **settings).begins].tolist()


# ---- run rules -------------------------------------------------------------------------------------------------------------

# Mean 74 / 15 = 4.933; moving ranges 13 times 0.2 less one, twice 0.4: 12 * 0.2 + 2 * 0.4 = 3.2, mean 3.2 / 14 = 0.2286.
# Limit 4.933 - 0.608 = 4.325, two thirds of the way 4.528: nothing lies below either. Sessions 8 to 14 lie below the mean.
STEP = (5.2, 5.0, 5.2, 5.0, 5.2, 5.0, 5.2, 4.8, 4.6, 4.8, 4.6, 4.8, 4.6, 4.8, 5.2)


def test_the_last_of_seven_sessions_below_the_centre_begins_a_rupture():
    series = read(*STEP)
    assert begins(series, signals=["run"]) == [14]
    assert begins(series, signals=["run"], run=6) == [13]  # and not again at 14: the stretch is the same
    assert begins(series, signals=["run"], run=8) == []
    assert begins(series, signals=["limit", "two_of_three"]) == []


def test_a_missing_session_breaks_a_run():
    sessions = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16]  # between the third and the fourth of the seven
    assert begins(read(*STEP, sessions=sessions), signals=["run"]) == []
    assert begins(read(*STEP, sessions=sessions), signals=["run"], max_gap=2) == [15]


def test_a_series_that_starts_with_a_run_has_not_fallen():
    assert begins(read(*STEP[7:14], *STEP[:7], 5.2), signals=["run"]) == []


# Sum 58.6 over 13 sessions, mean 4.508; moving ranges 0.2 * 7 + 1.2 + 0.2 + 1.4 + 0.4 + 0.2 = 4.8, mean 0.4;
# limit 4.508 - 1.064 = 3.444, two thirds of the way 3.798: 3.6 and 3.7 lie between the two.
NEAR = (4.6, 4.8, 4.6, 4.8, 4.6, 4.8, 4.6, 4.8, 3.6, 3.7, 5.1, 4.6, 4.8)


def test_two_of_three_sessions_near_the_limit_begin_a_rupture():
    series = read(*NEAR)
    center = sum(NEAR) / 13
    width = np.abs(np.diff(NEAR)).mean()
    assert center - 2.66 * width < 3.6 < 3.7 < center - 2.66 * width * 2 / 3
    assert begins(series) == []
    assert begins(series, signals=["two_of_three"]) == [10]


@pytest.mark.parametrize(
    ("order", "sessions", "expected"),
    [
        pytest.param((3.6, 4.6, 3.7), None, [11], id="one session between them"),
        pytest.param((3.6, 4.6, 4.6, 3.7), None, [], id="two sessions between them"),
        pytest.param((3.6, 3.7), [*range(1, 10), *range(11, 30)], [], id="a missing session between them"),
    ],
)
def test_two_of_three_are_three_adjacent_sessions(order, sessions, expected):
    scores = [*NEAR[:8], *order, 4.6, 4.8, 4.6, 4.8]
    assert (
        begins(read(*scores, sessions=None if sessions is None else sessions[: len(scores)]), signals=["two_of_three"]) == expected
    )


def test_a_score_below_the_limit_needs_no_second_one():
    # Mean 118 / 12, mean range 20 / 11: limit 4.997 (worked in test_rupture_episodes.py).
    assert begins(read(10, 10, 11, 10, 11, 10, 11, 10, 4, 10, 11, 10), signals=["limit", "two_of_three", "run"]) == [9]


# ---- screened ranges -------------------------------------------------------------------------------------------------------


def test_screening_leaves_out_the_ranges_of_the_dip_itself():
    # 8 sessions, a dip at 5: ranges 0.2 five times and 2.4, 2.2 once each: 5.6 / 7 = 0.8; 3.267 * 0.8 = 2.61, nothing left out.
    short = read(5, 5.2, 5, 5.2, 2.8, 5, 5.2, 5)
    plain, screened = (control_chart(short, screen=s) for s in (None, 3.267))
    np.testing.assert_allclose(screened.limit, plain.limit)
    # Asked for 2.5 mean ranges (2.0), both are left out: the mean of the others is 0.2, the limit 37.4 / 8 - 0.532 = 4.143.
    np.testing.assert_allclose(control_chart(short, screen=2.5).limit, 38.4 / 8 - 2.66 * 0.2)
    assert begins(short) == []
    assert begins(short, screen=2.5) == [5]


def test_ranges_are_screened_once():
    # Ranges 0 four times, 1, 1, 10, 10 over eight: mean 2.75, limit 8.98: the tens go; then 2 / 6. The ones stay.
    series = read(5, 5, 5, 5, 5, 6, 5, 15, 5)
    np.testing.assert_allclose(control_chart(series, screen=3.267).limit, np.mean([5, 5, 5, 5, 5, 6, 5, 15, 5]) - 2.66 * 2 / 6)


def test_screening_never_takes_away_the_only_range_there_is():
    # A step of 2 among 19 ranges: mean 0.105, limit 4 - 0.28 = 3.72. Without the step nothing would vary.
    step = read(*[5] * 10, *[3] * 10)
    assert begins(step) == begins(step, screen=3.267) == [11]


# ---- drops beyond measurement error ----------------------------------------------------------------------------------------


def test_reliable_drop_by_hand():
    # First ratings 4 and 6: SD sqrt(2) = 1.4142; reliability .9: SEM 1.4142 * sqrt(.1) = 0.4472; 1.96 * sqrt(2) * SEM = 1.2396.
    frame = pd.concat([ratings(4, 4, 3.4, 2.7, 3.5, 3.6), ratings(6, 6, 4.7, 5, 5, 5, person="b")])
    preset = {"rule": "attachment_outcomes.rupture.rules:reliable_drop", "settings": {"reliability": 0.9, "relative_to": "decline"}}
    rows = detect_ruptures(frame, score="wai", criteria={"x": preset})
    # a slides 1.3 by session 4 and is back within one SEM (at or above 3.553) at session 6; b falls 1.3 at once, to 4.7.
    assert rows[["client", "onset", "recovered_at", "outcome", "pattern"]].astype(object).fillna(0).to_numpy().tolist() == [
        ["a", 4, 6, "repaired", "stepwise fall and return"],
        ["b", 3, 0, "unrepaired", "open"],
    ]
    at_once = detect_ruptures(frame, score="wai", criteria={"x": {**preset, "settings": {"reliability": 0.9}}})
    assert at_once["client"].tolist() == ["b"]


def test_reliable_drop_takes_the_error_or_the_sd_from_the_settings():
    series = read(5, 5, 4, 5)  # a drop of exactly 1
    assert reliable_drop(series, sem=1 / (1.96 * math.sqrt(2))).begins.tolist() == [False, False, True, False]
    assert not reliable_drop(series, sem=1.001 / (1.96 * math.sqrt(2))).begins.any()
    assert reliable_drop(series, reliability=0.91, sd=1.0).begins.any()  # 1.96 * sqrt(2) * .3 = 0.83
    assert not reliable_drop(series, reliability=0.75, sd=1.0).begins.any()  # 1.39


def test_reliable_drop_says_when_the_sample_gives_no_sd():
    signal = reliable_drop(read(5, 5, 1, 5), reliability=0.9)
    assert not signal.begins.any()
    assert signal.assessable.tolist() == [False]


# ---- shifts of the level ---------------------------------------------------------------------------------------------------

# Ranges 0.2 nine times, 1.2 and 0.8: 3.8 / 11 = 0.3455; sigma 0.3455 / 1.1284 = 0.3061; a cut costs 2 * 0.0937 * log 12 = 0.4658.
# One level: sum of squares 2.787. Levels 5.1, 4.1, 5.1 in fours: 12 * 0.1^2 = 0.12, with two cuts 1.052. Own SD 0.5033.
SHIFT = (5, 5.2, 5, 5.2, 4, 4.2, 4, 4.2, 5, 5.2, 5, 5.2)


def test_a_shift_of_the_level_and_back_by_hand():
    signal = level_shift(read(*SHIFT))
    np.testing.assert_allclose(signal.center, np.repeat([5.1, 4.1, 5.1], 4))
    assert np.flatnonzero(signal.begins).tolist() == [4]
    np.testing.assert_allclose(signal.limit[:4], 5.1 - math.sqrt(2.786666667 / 11))
    found = episodes_frame([detect(read(*SHIFT), Criterion("x", level_shift, late_repair=True))])
    assert found[["onset", "nadir", "recovered_at", "length", "duration"]].to_numpy().tolist() == [[5, 5, 9, 4, 4]]
    assert found[["pattern", "outcome"]].to_numpy().tolist() == [["plateau", "repaired"]]
    assert found["depth"].tolist() == [pytest.approx(1.1)]  # from the mean 5.1 to the lowest score, 4


def test_a_level_begins_with_a_session_that_is_nearer_to_it():
    # The last two sessions are a segment of mean 3.5, but the first of them, 5, is as high as ever: no level begins there.
    course = (5, 5.1, 5, 5.1, 5, 5.1, 5, 5.1, 5, 2)
    assert level_shift(read(*course)).center[-1] == pytest.approx(3.5)
    assert not level_shift(read(*course)).begins.any()
    assert np.flatnonzero(level_shift(read(*course, 2.1)).begins).tolist() == [9]


def test_a_dearer_cut_or_a_larger_fall_finds_no_shift():
    series = read(*SHIFT)
    # Two cuts gain 2.787 - 0.12 = 2.667: they are worth it up to 1.333 each, a penalty of 2 * 1.333 / 0.4658 = 5.725.
    assert level_shift(series, penalty=5.7).begins.any()
    assert not level_shift(series, penalty=5.75).begins.any()
    # The fall of 1.0 is 1.987 own SDs.
    assert level_shift(series, k=1.98).begins.any()
    assert not level_shift(series, k=1.99).begins.any()


def test_one_low_session_is_a_dip_and_no_other_level():
    assert not level_shift(read(5, 5.2, 5, 5.2, 2, 5.2, 5, 5.2, 5, 5.2)).begins.any()


def test_a_rise_of_the_level_and_a_fall_across_a_missing_session_are_no_rupture():
    assert not level_shift(read(4, 4.2, 4, 4.2, 5, 5.2, 5, 5.2)).begins.any()
    assert level_shift(read(5, 5.2, 5, 5.2, 4, 4.2, 4, 4.2)).begins.any()
    assert not level_shift(read(5, 5.2, 5, 5.2, 4, 4.2, 4, 4.2, sessions=[1, 2, 3, 4, 6, 7, 8, 9])).begins.any()


def test_series_of_many_lengths_are_cut_as_each_alone():
    rng = np.random.default_rng(5)
    lengths = [0, 1, 3, 4, 7, 7, 12, 12, 12, 20]
    courses = [np.round(rng.normal(4, 0.5, n) - 1.5 * (np.arange(n) > n / 2), 1) for n in lengths]
    frame = pd.concat([ratings(*c, person=f"p{i}") for i, c in enumerate(courses) if len(c)])
    together = level_shift(read_series(frame, score="wai")).center
    alone = [level_shift(read(*c)).center for c in courses if len(c)]
    np.testing.assert_allclose(together, np.concatenate(alone))


# ---- reports ---------------------------------------------------------------------------------------------------------------


def reports(*sessions, numbers=None):
    """Return the sessions table of one client: (said yes, intensity, resolution) a session, None for unanswered."""
    table = pd.DataFrame(sessions, columns=["rupture_reported", "rupture_intensity", "rupture_resolution"])
    table["rupture_reported"] = table["rupture_reported"].astype("boolean")
    table = table.astype({"rupture_intensity": float, "rupture_resolution": float})
    return table.assign(person_id="a", session_number=numbers or range(1, len(table) + 1))


def psq(*sessions, **keywords):
    rows = detect_ruptures(reports(*sessions, **keywords), score="", criteria="psq")
    columns = ["onset", "recovered_at", "depth", "length", "duration", "pattern", "outcome"]
    return [tuple(None if pd.isna(v) else v for v in row) for row in rows[columns].itertuples(index=False)]


NO, UNRESOLVED, RESOLVED = (False, None, None), (True, 4, 2), (True, 3, 3)


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        pytest.param((NO, NO, NO), [], id="nothing reported"),
        pytest.param((NO, RESOLVED, NO, NO), [(2, 2, 3, 0, 1, "same session", "repaired")], id="resolved in the session"),
        pytest.param((NO, UNRESOLVED, RESOLVED, NO), [(2, 3, 4, 1, 1, "later session", "repaired")], id="resolved in the next"),
        pytest.param((UNRESOLVED, NO, NO, RESOLVED), [(1, 4, 4, 3, 3, "later session", "repaired")], id="at the end of the window"),
        pytest.param(
            (UNRESOLVED, NO, NO, NO, RESOLVED),
            [(1, None, 4, 4, 4, "open", "unrepaired"), (5, 5, 3, 0, 1, "same session", "repaired")],
            id="after the window it is another rupture",
        ),
        pytest.param((NO, UNRESOLVED, NO, NO, NO), [(2, None, 4, 4, 4, "open", "unrepaired")], id="never resolved"),
        pytest.param((NO, NO, UNRESOLVED, NO, NO), [(3, None, 4, 3, 3, "open", "censored")], id="the series ends in the window"),
        pytest.param((NO, NO, NO, UNRESOLVED), [(4, None, 4, 1, 1, "open", "censored")], id="in the last session"),
        pytest.param((NO, NO, NO, RESOLVED), [(4, 4, 3, 0, 1, "same session", "repaired")], id="resolved in the last session"),
        pytest.param(
            (RESOLVED, RESOLVED, NO),
            [(1, 1, 3, 0, 1, "same session", "repaired"), (2, 2, 3, 0, 1, "same session", "repaired")],
            id="each resolved report is a rupture of its own",
        ),
        pytest.param((UNRESOLVED, (True, 5, 1), NO, NO), [(1, None, 5, 4, 4, "open", "unrepaired")], id="reports merge"),
        pytest.param((NO, (False, 2, None), NO, NO, NO), [(2, None, 2, 4, 4, "open", "unrepaired")], id="tension not so called"),
        pytest.param((NO, (False, 1, None), NO, NO, NO), [], id="no tension to speak of"),
        pytest.param((NO, (True, None, 3), NO), [(2, 2, 1, 0, 1, "same session", "repaired")], id="without an intensity"),
        pytest.param((NO, (None, 4, 4), NO, NO), [(2, 2, 4, 0, 1, "same session", "repaired")], id="judged by the intensity"),
        pytest.param((NO, (None, 1, 4), NO, NO), [], id="an intensity too low, and no yes"),
        pytest.param(
            (NO, (True, 4, None), (None, None, 3), NO), [(2, 3, 4, 1, 1, "later session", "repaired")], id="a resolution alone"
        ),
        pytest.param((NO, (None, None, 5), NO, NO), [], id="a resolution of nothing"),
        pytest.param(
            ((True, 4, None), (None, None, 2), NO, NO), [(1, None, 4, 4, 4, "open", "unrepaired")], id="too little of a resolution"
        ),
    ],
)  # fmt: skip
def test_each_course_of_a_reported_rupture(sessions, expected):
    assert psq(*sessions) == expected


def test_the_window_of_a_report_counts_answered_sessions_and_its_length_session_numbers():
    assert psq(NO, UNRESOLVED, (None, None, None), NO, RESOLVED) == [(2, 5, 4, 3, 2, "later session", "repaired")]
    assert psq(NO, UNRESOLVED, RESOLVED, numbers=[1, 2, 9]) == [(2, 9, 4, 7, 1, "later session", "repaired")]


def test_nobody_is_called_free_of_ruptures_by_resolutions_alone():
    table = reports((None, None, 3), (None, None, 3), (None, None, 3))
    found = detect(series_for(as_criteria("psq")[0], table, score=""), as_criteria("psq")[0])
    assert found.assessable.tolist() == [False]
    assert client_summary(found.series, found)["n_ruptures"].isna().all()


def test_client_and_therapist_are_kept_apart():
    table = reports(NO, RESOLVED, NO, NO)
    therapist = reports(NO, NO, NO, UNRESOLVED).filter(like="rupture").add_suffix("_therapist")
    rows = detect_ruptures(table.join(therapist), score="", criteria=["psq", "psq_therapist"])
    assert rows[["criterion", "onset", "outcome"]].to_numpy().tolist() == [
        ["psq", 2, "repaired"],
        ["psq_therapist", 4, "censored"],
    ]


def test_observed_withdrawal_and_confrontation_are_kept_apart():
    table = pd.DataFrame(
        {
            "person_id": "a", "session_number": range(1, 7), "withdrawal": [1, 3, 1, 2.9, 1, 1.0],
            "confrontation": [1, 1, 1, 1, 4, None], "resolution": [None, 3, None, 5, 2, None],
        }
    )  # fmt: skip
    rows = detect_ruptures(table, score="", criteria=["observer_withdrawal", "observer_confrontation"])
    assert rows[["criterion", "onset", "depth", "outcome"]].to_numpy().tolist() == [
        ["observer_withdrawal", 2, 3.0, "repaired"],
        ["observer_confrontation", 5, 4.0, "censored"],  # session 6 was not coded
    ]


def test_without_a_channel_of_resolution_nothing_is_seen_to_be_repaired():
    criterion = Criterion("x", reported_rupture, settings={"at_least": 3.0}, min_sessions=1, reads=("withdrawal",))
    table = ratings(4, 1, 1, 1).rename(columns={"wai": "withdrawal"})
    found = detect(series_for(criterion, table, score=""), criterion)
    assert episodes_frame([found])["outcome"].tolist() == ["unrepaired"]


# ---- settings --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "settings", "message"),
    [
        (control_chart, {"signals": ["two_of_tree"]}, "Did you mean 'two_of_three'"),
        (control_chart, {"signals": []}, "setting signals"),
        (control_chart, {"run": 1}, "setting run"),
        (control_chart, {"screen": 0.5}, "setting screen"),
        (control_chart, {"max_gap": 0}, "setting max_gap"),
        (reliable_drop, {}, "give either reliability or sem"),
        (reliable_drop, {"reliability": 0.9, "sem": 1.0}, "give either reliability or sem"),
        (reliable_drop, {"reliability": 1.0}, "setting reliability"),
        (reliable_drop, {"reliability": 0.9, "sd": 0.0}, "setting sd"),
        (reliable_drop, {"sem": 0.0}, "setting sem"),
        (reliable_drop, {"sem": 1.0, "z": 0.0}, "setting z"),
        (reliable_drop, {"sem": 1.0, "tolerance": 3.0}, "setting tolerance"),
        (level_shift, {"k": 0.0}, "setting k"),
        (level_shift, {"penalty": 0.0}, "setting penalty"),
        (level_shift, {"min_segment": 1}, "setting min_segment"),
        (level_shift, {"tolerance": 1.0}, "setting tolerance"),
        (reported_rupture, {"at_least": 0.0}, "setting at_least"),
        (reported_rupture, {"intensity": "rupture_intensty"}, "reads no column 'rupture_intensty'"),
    ],
)
def test_impossible_settings_are_refused(rule, settings, message):
    with pytest.raises(ConfigError, match=message):
        rule(read(5, 5, 4, 5), **settings)


# ---- tuned limits ----------------------------------------------------------------------------------------------------------


def calm(length, clients):
    sessions = np.tile(np.arange(1, length + 1), clients)
    values = np.random.default_rng(2).standard_normal(length * clients)
    names = pd.DataFrame({"client": [f"c{i}" for i in range(clients)], "treatment_id": None})
    return Series(values, sessions, np.arange(clients + 1) * length, names)


def test_tuned_limits_give_the_false_alarms_asked_for():
    noise = simulate_noise(calm(30, 2000), 0.0, 1, np.random.default_rng(1))
    for rate in (0.05, 0.01):
        multiplier = tune_limits(noise, false_alarms=rate)
        signal = control_chart(noise, multiplier=multiplier)
        assert (noise.values < signal.limit).mean() == pytest.approx(rate, abs=2e-4)


def test_the_tuned_preset_has_the_limits_that_its_note_says():
    # 60,000 sessions: the standard error of the quantile is sqrt(.01 * .99 / 60000) / density(.026) of a normal, 0.017 ranges.
    (preset,) = as_criteria("control_chart_lipner2022")
    assert preset.settings["multiplier"] == pytest.approx(tune_limits(calm(30, 2000), false_alarms=0.01), abs=0.05)


def test_limits_of_three_sd_give_one_false_alarm_in_740_sessions_of_long_series():
    # P(z < -3) = .00135; the mean range of 200 sessions is close to that of the normal distribution.
    assert tune_limits(calm(200, 1000), false_alarms=0.00135) == pytest.approx(2.66, abs=0.06)


def test_no_series_gives_no_limits():
    assert tune_limits(calm(1, 3), false_alarms=0.01) == math.inf
    with pytest.raises(ConfigError, match="setting false_alarms"):
        tune_limits(calm(8, 3), false_alarms=0.5)

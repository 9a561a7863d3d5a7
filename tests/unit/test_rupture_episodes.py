"""Hand-worked series for each rule and each transition of the state machine."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import ConfigError
from attachment_outcomes.rupture import detect_ruptures, read_series
from attachment_outcomes.rupture.criteria import as_criteria, detect
from attachment_outcomes.rupture.rules import control_chart, within_person_drop
from attachment_outcomes.rupture.summary import client_summary, session_series

DROP = {"rule": "attachment_outcomes.rupture.rules:within_person_drop", "settings": {"k": 1.0}}
CHART = {"rule": "attachment_outcomes.rupture.rules:control_chart"}


def ratings(*scores, sessions=None, person="a"):
    numbers = range(1, len(scores) + 1) if sessions is None else sessions
    return pd.DataFrame({"person_id": person, "session_number": list(numbers), "wai": list(scores)})


def found(frame, preset=DROP, *, episode=None, **settings):
    changed = {**preset, "settings": {**preset.get("settings", {}), **settings}, "episode": episode or {}}
    rows = detect_ruptures(frame, score="wai", criteria={"test": changed})
    columns = ["onset", "nadir", "recovered_at", "depth", "length", "outcome"]
    return [tuple(None if pd.isna(v) else v for v in row) for row in rows[columns].itertuples(index=False)]


# Own SD of 5,5,5,3,5,5,5,5 is sqrt(3.5 / 7) = 0.707; level 5, repaired from 5 - 0.25 * 0.707 = 4.82.
@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param((5, 5, 5, 3, 5, 5, 5, 5), (4, 4, 5, 2.0, 1, "repaired"), id="repaired at the next session"),
        pytest.param((5, 5, 5, 3, 3, 3, 5, 5), (4, 4, 7, 2.0, 3, "repaired"), id="repaired at the last session of the window"),
        pytest.param((5, 5, 5, 3, 3, 3, 3, 5), (4, 4, 8, 2.0, 4, "unrepaired"), id="returned after the window"),
        pytest.param((5, 5, 5, 3, 3, 3, 3, 3), (4, 4, None, 2.0, 5, "unrepaired"), id="never returned"),
        pytest.param((5, 5, 5, 5, 3, 3, 3, 3), (5, 5, None, 2.0, 4, "unrepaired"), id="exactly the window followed"),
        pytest.param((5, 5, 5, 5, 5, 3, 3, 3), (6, 6, None, 2.0, 3, "censored"), id="one session short of the window"),
        pytest.param((5, 5, 5, 5, 5, 5, 5, 3), (8, 8, None, 2.0, 1, "censored"), id="in the last session"),
        pytest.param((5, 5, 5, 3, 2, 5, 5, 5), (4, 5, 6, 3.0, 2, "repaired"), id="nadir after the onset"),
        pytest.param((6, 6, 6, 4, 5, 3, 6, 6), (4, 6, 7, 3.0, 3, "repaired"), id="a second drop before the return merges"),
    ],
)  # fmt: skip
def test_each_transition_of_the_state_machine(scores, expected):
    assert found(ratings(*scores)) == [expected]


def test_a_new_rupture_after_the_return_is_a_new_episode():
    assert [(e[0], e[2]) for e in found(ratings(6, 6, 4, 6, 6, 4, 6, 6))] == [(3, 4), (6, 7)]


def test_a_return_after_the_window_is_repair_if_the_criterion_says_so():
    late = found(ratings(5, 5, 5, 3, 3, 3, 3, 5), episode={"late_repair": True})
    assert late == [(4, 4, 8, 2.0, 4, "repaired")]
    short = found(ratings(5, 5, 5, 3, 3, 5, 5, 5), episode={"window": 1})
    assert short == [(4, 4, 6, 2.0, 2, "unrepaired")]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(ratings(3, 5, 5, 5, 5, 5, 5, 5), id="a low first session has not fallen"),
        pytest.param(ratings(4, 4, 4, 4, 4, 4), id="zero variance"),
        pytest.param(ratings(5.1, 5.1, 5.1, 5.1, 5.1), id="zero variance, inexact numbers"),
        pytest.param(ratings(5, 5, 1), id="fewer than four sessions"),
        pytest.param(ratings(5, 5, 5, 3, 3, 3, 3, sessions=[1, 2, 3, 5, 6, 7, 8]), id="drop across a missing session number"),
        pytest.param(ratings(5, 5, 5, np.nan, 3, 3, 3, 3), id="drop across a session without a rating"),
        pytest.param(ratings(1, 2, 3, 4, 5, 6), id="only rises"),
    ],
)
@pytest.mark.parametrize("preset", [DROP, CHART])
def test_no_rupture(frame, preset):
    assert found(frame, preset) == []


def test_a_gap_may_be_bridged_if_the_criterion_says_so():
    frame = ratings(5, 5, 5, 3, 3, 3, 3, sessions=[1, 2, 3, 5, 6, 7, 8])
    assert found(frame, max_gap=2) == [(5, 5, None, 2.0, 4, "unrepaired")]


def test_a_missing_session_inside_an_episode_does_not_end_it():
    # Session 5 has no rating: the window counts rated sessions, the length counts session numbers.
    assert found(ratings(5, 5, 5, 3, np.nan, 3, 3, 5, 5)) == [(4, 4, 8, 2.0, 4, "repaired")]


def test_a_drop_of_exactly_k_sd_counts_and_a_larger_k_does_not():
    frame = ratings(5, 5, 5, 3, 5, 5, 5, 5)  # SD = sqrt(0.5), drop 2 = 2 sqrt(2) SD
    assert len(found(frame, k=2 * np.sqrt(2))) == 1
    assert found(frame, k=2.83) == []


def test_a_slow_slide_is_found_only_against_the_start_of_the_decline():
    frame = ratings(6, 6, 6, 5.4, 4.8, 4.2, 6, 6)  # SD 0.699; steps of 0.6, the second reaches 1.2
    assert found(frame) == []
    slide = found(frame, relative_to="decline")
    assert [e[:3] for e in slide] == [(5, 6, 7)]
    assert slide[0][3] == pytest.approx(1.8)


def test_sample_and_stricter_sd_protect_steady_clients():
    # SDs 0.7071 (a) and 0.0707 (b), mean 0.389: b's dip of 0.2 is 2.8 own SDs but half a sample SD.
    frame = pd.concat([ratings(5, 5, 5, 3, 5, 5, 5, 5), ratings(5, 5, 5, 4.8, 5, 5, 5, 5, person="b")])
    clients = {
        sd: detect_ruptures(frame, score="wai", criteria={"x": {**DROP, "settings": {"sd": sd}}})["client"].tolist()
        for sd in ("person", "sample", "stricter")
    }
    assert clients == {"person": ["a", "b"], "sample": ["a"], "stricter": ["a"]}


# Mean 118 / 12 = 9.8333; moving ranges 0,1,1,1,1,1,1,6,6,1,1 sum to 20, mean 1.8182; limit 9.8333 - 2.66 * 1.8182 = 4.9970.
CHARTED = (10, 10, 11, 10, 11, 10, 11, 10, 4, 10, 11, 10)


def test_control_chart_by_hand():
    (episode,) = found(ratings(*CHARTED), CHART)
    assert episode == (9, 9, 10, pytest.approx(9.833333333 - 4), 1, "repaired")
    signal = control_chart(read_series(ratings(*CHARTED), score="wai"))
    np.testing.assert_allclose(signal.limit, 118 / 12 - 2.66 * 20 / 11)


def test_a_score_on_the_control_limit_is_no_signal():
    multiplier = (118 / 12 - 4) / (20 / 11)
    assert found(ratings(*CHARTED), CHART, multiplier=multiplier) == []
    assert len(found(ratings(*CHARTED), CHART, multiplier=multiplier - 1e-6)) == 1


def test_control_chart_repair_at_the_centre_or_at_the_limit():
    # Mean 9.5, mean range 19 / 11, limit 4.905: 6 is above the limit but below the centre.
    frame = ratings(10, 10, 11, 10, 11, 10, 11, 10, 4, 6, 10, 11)
    assert [e[2] for e in found(frame, CHART)] == [11]
    assert [e[2] for e in found(frame, CHART, repair_at="limit")] == [10]


def test_a_series_that_starts_below_its_limit_has_not_fallen():
    low_start = ratings(1, 1, 10, 10.5, 10, 10.5, 10, 10.5, 10, 10.5, 10, 10.5)
    signal = control_chart(read_series(low_start, score="wai"))
    assert (low_start["wai"].to_numpy()[:2] < signal.limit[:2]).all()
    assert not signal.begins.any()


def test_baseline_limits_come_from_the_first_sessions_and_spare_them():
    # Baseline 5,6,5,6: mean 5.5, mean range 1, limit 2.84.
    frame = ratings(5, 6, 5, 6, 5, 2, 6, 6)
    assert [e[:3] for e in found(frame, CHART, baseline=4)] == [(6, 6, 7)]
    assert found(ratings(5, 6, 1, 6, 5, 6, 6), CHART, baseline=4) == []


def test_detrending_flips_a_steady_decline_and_a_dip_in_a_rise():
    decline = ratings(*np.arange(10, 4, -0.5))
    # Mean 7.25, mean range 0.5, limit 5.92: 5.5 at session 10 is below.
    assert [e[0] for e in found(decline, CHART)] == [10]
    assert found(decline, CHART, detrend=True) == []
    rise = ratings(1, 2, 3, 4, 5, 6, 7, 8, 6, 10, 11, 12)
    assert found(rise, CHART) == []
    assert [e[0] for e in found(rise, CHART, detrend=True)] == [9]


def test_fewer_than_two_moving_ranges_are_not_assessable():
    frame = ratings(5, 5, 5, 1, sessions=[1, 2, 5, 9])
    series = read_series(frame, score="wai")
    detection = detect(series, as_criteria({"chart": CHART})[0])
    assert not detection.assessable.any()
    assert found(frame, CHART) == []


def test_treatments_of_one_client_are_series_of_their_own():
    frame = pd.concat([ratings(5, 5, 5, 3, 5, 5).assign(treatment_id=t) for t in ("t2", "t1")])
    rows = detect_ruptures(frame, score="wai", criteria={"x": DROP})
    assert rows[["client", "treatment_id", "onset"]].to_numpy().tolist() == [["a", "t1", 4], ["a", "t2", 4]]
    some = frame.assign(treatment_id=frame["treatment_id"].replace("t2", None))
    assert detect_ruptures(some, score="wai", criteria={"x": DROP})["treatment_id"].isna().sum() == 1


def test_groups_of_clients_by_hand():
    series = {
        "censored": (5, 5, 5, 5, 5, 5, 5, 3),
        "none": (5, 5, 5, 5, 5, 5, 5, 5),
        "repaired": (5, 5, 5, 3, 5, 5, 5, 5),
        "repaired, then censored": (5, 5, 5, 3, 5, 5, 5, 3),
        "repaired, then unrepaired": (6, 4, 6, 6, 3, 3, 3, 3),
        "short": (5, 5, 3),
        "unrated": (np.nan, np.nan),
        "unrepaired": (5, 5, 5, 3, 3, 3, 3, 3),
    }
    read = read_series(pd.concat(ratings(*s, person=p) for p, s in series.items()), score="wai")
    clients = client_summary(read, detect(read, as_criteria({"x": DROP})[0])).set_index("client")
    assert clients["group"].dropna().to_dict() == {
        "none": "none", "repaired": "repaired", "repaired, then censored": "repaired",
        "repaired, then unrepaired": "unrepaired", "unrepaired": "unrepaired",
    }  # fmt: skip
    assert clients["n_ruptures"].isna().to_dict() == {p: p in ("short", "unrated") for p in series}
    assert clients.loc["repaired, then censored", ["n_sessions", "n_ruptures", "n_repaired", "rate"]].tolist() == [8, 2, 1, 0.25]
    assert clients.loc["censored", "n_ruptures"] == 1
    assert clients.loc["unrated", "n_sessions"] == 0
    assert np.isnan(clients.loc["short", "rate"])


def test_series_table_marks_the_episode_and_draws_the_limit():
    series = read_series(pd.concat([ratings(*CHARTED), ratings(5, 5, person="b")]), score="wai")
    table = session_series(series, detect(series, as_criteria({"chart": CHART})[0]))
    a, b = table[table["client"] == "a"], table[table["client"] == "b"]
    assert a.loc[a["in_episode"], "session_number"].tolist() == [9]
    assert a["score"].tolist() == list(CHARTED)
    np.testing.assert_allclose(a["center"], 118 / 12)
    np.testing.assert_allclose(a["lower_limit"], 118 / 12 - 2.66 * 20 / 11)
    assert b["center"].isna().all()
    assert not b["in_episode"].any()


def test_order_of_criteria_is_the_order_asked_for():
    rows = detect_ruptures(ratings(*CHARTED), score="wai", criteria=["within_person_drop", "control_chart"])
    assert rows["criterion"].tolist() == ["within_person_drop", "control_chart"]


def test_no_sessions_give_an_empty_table_with_its_types():
    empty = detect_ruptures(ratings().astype({"wai": float}), score="wai", criteria="control_chart")
    assert len(empty) == 0
    assert empty.dtypes.astype(str).to_dict() == detect_ruptures(ratings(*CHARTED), score="wai").dtypes.astype(str).to_dict()


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ("control_chrt", "Did you mean 'control_chart'"),
        ({"x": {**DROP, "settings": {"tolerence": 0.1}}}, "unknown key 'tolerence'.*Did you mean 'tolerance'"),
        ({"x": {**DROP, "settings": {"sd": "persn"}}}, "setting sd"),
        ({"x": {**DROP, "settings": {"k": 0}}}, "setting k"),
        ({"x": {**DROP, "settings": {"tolerance": 1.0}}}, "setting tolerance"),
        ({"x": {**CHART, "settings": {"baseline": 2}}}, "setting baseline"),
        ({"x": {**CHART, "settings": {"baseline": 4, "detrend": True}}}, "detrend"),
        ({"x": {**CHART, "settings": {"repair_at": "mean"}}}, "setting repair_at"),
        ({"x": {**CHART, "episode": {"window": 0}}}, "setting window"),
        ({"x": {**CHART, "episode": {"windw": 2}}}, "unknown key 'windw'"),
        ({"x": {**CHART, "uses": "whole serie"}}, "key uses.*Did you mean 'whole series'"),
    ],
)
def test_impossible_criteria_are_refused(criteria, message):
    with pytest.raises(ConfigError, match=message):
        detect_ruptures(ratings(*CHARTED), score="wai", criteria=criteria)


def test_window_and_min_sessions_can_be_replaced():
    frame = ratings(5, 5, 5, 3, 3, 5, 5, 5)
    keywords = {"score": "wai", "criteria": {"x": DROP}}
    assert detect_ruptures(frame, window=1, **keywords)["outcome"].tolist() == ["unrepaired"]
    assert detect_ruptures(frame, min_sessions=9, **keywords).empty


def test_rules_can_be_called_alone():
    signal = within_person_drop(read_series(ratings(5, 5, 5, 3, 5, 5, 5, 5), score="wai"))
    assert np.flatnonzero(signal.begins).tolist() == [3]
    assert signal.level[3] == 5
    assert np.isnan(signal.limit[0])

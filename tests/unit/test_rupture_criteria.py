"""Every preset on a series worked by hand, what each uses, the pattern of an episode, and who cannot show a rupture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import load_criteria
from attachment_outcomes.errors import DataError
from attachment_outcomes.rupture import detect_ruptures, read_series
from attachment_outcomes.rupture.criteria import USES, as_criteria, detect
from attachment_outcomes.rupture.episodes import PATTERNS

REPORTS = {"observer_confrontation", "observer_withdrawal", "psq", "psq_therapist"}
PRESETS = [
    "control_chart", "control_chart_baseline", "control_chart_detrended", "control_chart_lipner2022", "control_chart_runs",
    "gumz2012_1sd", "gumz2012_2sd", "mclaughlin2014", "observer_confrontation", "observer_withdrawal", "partition", "psq",
    "psq_therapist", "reliable_drop", "stiles2004", "strauss2006", "within_person_drop",
]  # fmt: skip


def ratings(*scores, sessions=None, person="a"):
    numbers = range(1, len(scores) + 1) if sessions is None else sessions
    return pd.DataFrame({"person_id": person, "session_number": list(numbers), "wai": [float(s) for s in scores]})


def found(frame, criterion, *columns):
    rows = detect_ruptures(frame, score="wai", criteria=criterion)
    return [tuple(None if pd.isna(v) else v for v in row) for row in rows[list(columns)].itertuples(index=False)]


def course(frame, criterion):
    return found(frame, criterion, "onset", "nadir", "recovered_at", "pattern", "outcome")


def test_the_presets_are_these_and_each_names_its_standing():
    presets = load_criteria("rupture")
    assert list(presets) == PRESETS
    assert {name for name, preset in presets.items() if preset.get("reads")} == REPORTS
    for criterion in as_criteria("all"):
        assert criterion.uses in USES
        preset = presets[criterion.name]
        assert preset["citation"]
        assert criterion.verified or any(word in preset["note"] for word in ("recalled", "Recalled", "Not checked", "Not read"))


# Dips worked in test_rupture_episodes.py and test_rupture_rules.py where no working stands here.
CHARTED = (10, 10, 11, 10, 11, 10, 11, 10, 4, 10, 11, 10)
SLIDE = (6, 6, 6, 5.4, 4.8, 4.2, 6, 6)  # SD 0.699; the slide reaches 1.2 = 1.72 SD at session 5, 1.8 = 2.58 SD at session 6
STEP = (5.2, 5.0, 5.2, 5.0, 5.2, 5.0, 5.2, 4.8, 4.6, 4.8, 4.6, 4.8, 4.6, 4.8, 5.2)
SHIFT = (5, 5.2, 5, 5.2, 4, 4.2, 4, 4.2, 5, 5.2, 5, 5.2)
# Dips of d in a series of 8 are sqrt(8) = 2.83 own SDs deep, in one of 4 exactly 2; here twice 2 among 6: SD 1.033, 1.94 SD.
TWO_DIPS = (5, 3, 5, 3, 5, 5)


@pytest.mark.parametrize(
    ("criterion", "scores", "expected"),
    [
        ("within_person_drop", (5, 5, 5, 3, 5, 5), [(4, 4, 5, "V", "repaired")]),
        ("within_person_drop", (5, 4, 5, 4, 5), [(2, 2, 3, "V", "repaired"), (4, 4, 5, "V", "repaired")]),
        ("stiles2004", (5, 3, 5, 5), [(2, 2, 3, "V", "repaired")]),
        ("stiles2004", TWO_DIPS, []),
        ("stiles2004", (5, 5, 5, 3, 4.9, 4.9, 4.9, 4.9), [(4, 4, None, "open", "unrepaired")]),  # .1 short of a full return
        ("strauss2006", (5, 5, 5, 3, 4.9, 4.9, 4.9, 4.9), [(4, 4, 5, "V", "repaired")]),  # SD .71: from 4.82 on
        ("strauss2006", (5, 5, 5, 3, 3, 3, 3, 5), [(4, 4, 8, "plateau", "repaired")]),  # however late
        ("strauss2006", (5, 5, 5, 5, 3, 3), [(5, 5, None, "open", "censored")]),
        ("mclaughlin2014", (5, 5, 5, 5, 3, 3), [(5, 5, None, "open", "unrepaired")]),  # one session followed
        ("mclaughlin2014", (5, 5, 5, 5, 5, 3), [(6, 6, None, "open", "censored")]),
        ("gumz2012_1sd", SLIDE, [(5, 6, 7, "stepwise fall", "repaired")]),
        ("gumz2012_2sd", SLIDE, [(6, 6, 7, "stepwise fall", "repaired")]),
        ("gumz2012_2sd", TWO_DIPS, []),
        ("control_chart", CHARTED, [(9, 9, 10, "stepwise fall", "repaired")]),
        ("control_chart", CHARTED[:7], []),  # fewer than eight sessions
        # Mean 10.042, mean range 15 / 11: limits 6.41 with 2.66, 7.27 with 2.03; the dip is 6.5.
        ("control_chart", (*CHARTED[:8], 6.5, *CHARTED[9:]), []),
        ("control_chart_lipner2022", (*CHARTED[:8], 6.5, *CHARTED[9:]), [(9, 9, 11, "stepwise fall and return", "repaired")]),
        ("control_chart_detrended", (1, 2, 3, 4, 5, 6, 7, 8, 6, 10, 11, 12), [(9, 9, 10, "V", "repaired")]),
        ("control_chart_detrended", tuple(np.arange(10, 4, -0.5)), []),
        # Sessions 1 to 6: mean 5.5, ranges 1: limit 2.84.
        ("control_chart_baseline", (5, 6, 5, 6, 5, 6, 5, 2, 6, 6), [(8, 8, 9, "stepwise fall", "repaired")]),
        ("control_chart_baseline", (5, 6, 5, 6, 5, 2, 5, 6, 6, 6), []),
        ("control_chart_runs", STEP, [(14, 14, 15, "V", "repaired")]),
        ("control_chart", STEP, []),
        # Clients that start at 4 and 6: SEM .447; falls of 1.24 and more.
        ("reliable_drop", (4, 4, 2.7, 3.5, 3.6, 4), [(3, 3, 5, "stepwise return", "repaired")]),
        ("reliable_drop", (4, 4, 2.8, 3.5, 3.6, 4), []),
        ("partition", SHIFT, [(5, 5, 9, "plateau", "repaired")]),
        ("partition", CHARTED, []),
    ],
)  # fmt: skip
def test_each_preset_by_hand(criterion, scores, expected):
    frame = ratings(*scores)
    if criterion == "reliable_drop":
        frame = pd.concat([frame, ratings(6, 6, 6, 6, person="b")])
    assert course(frame, criterion) == expected


# From 8 down by at least 2 and back: the own SD is below 2 in each, so the onset is the first score 2 or more below the last.
@pytest.mark.parametrize(
    ("scores", "pattern", "duration"),
    [
        pytest.param((8, 8, 4, 8, 8, 8), "V", 1, id="V"),
        pytest.param((8, 8, 7, 3, 8, 8, 8), "stepwise fall", 1, id="two steps down"),
        pytest.param((8, 8, 4, 3, 8, 8, 8), "stepwise fall", 2, id="further down after the onset"),
        pytest.param((8, 8, 4, 6, 8, 8, 8), "stepwise return", 2, id="two steps back"),
        pytest.param((8, 8, 7, 3, 6, 8, 8), "stepwise fall and return", 2, id="two steps either way"),
        pytest.param((8, 8, 4, 4, 8, 8, 8), "plateau", 2, id="two sessions at the bottom"),
        pytest.param((8, 8, 4, 5, 3, 8, 8, 8), "irregular", 3, id="up and down on the way"),
        pytest.param((8, 8, 3, 6, 5, 8, 8, 8), "irregular", 3, id="down again on the way back"),
        pytest.param((8, 8, 8, 4, 4, 4, 4), "open", 4, id="no return"),
    ],
)
def test_each_pattern_by_hand(scores, pattern, duration):
    assert found(ratings(*scores), "within_person_drop", "pattern", "duration") == [(pattern, duration)]
    assert pattern in PATTERNS


def test_the_way_down_is_followed_to_where_the_decline_began_but_not_across_a_missing_session():
    scores = (8, 8, 7, 3, 8, 8, 8)
    assert found(ratings(*scores), "within_person_drop", "onset", "pattern") == [(4, "stepwise fall")]
    assert found(ratings(*scores, sessions=[1, 2, 4, 5, 6, 7, 8]), "within_person_drop", "onset", "pattern") == [(5, "V")]


# ---- what a session is judged by -------------------------------------------------------------------------------------------


def test_a_later_session_changes_an_earlier_finding_of_rules_that_use_the_whole_series():
    # Alone, the dip of 1 at session 4 is 2 own SDs (4 sessions); a later collapse raises the SD and hides it.
    first = (5, 5, 4, 5)
    assert [e[0] for e in found(ratings(*first), "within_person_drop", "onset")] == [3]
    assert found(ratings(*first, 1, 1, 1, 9, 9, 9), "within_person_drop", "onset") == [(5,)]
    assert as_criteria("within_person_drop")[0].uses == "whole series"


def test_what_each_preset_uses():
    uses = {c.name: c.uses for c in as_criteria("all")}
    assert {name for name, use in uses.items() if use == "earlier sessions"} == REPORTS | {"reliable_drop"}
    assert {name for name, use in uses.items() if use == "baseline"} == {"control_chart_baseline"}


# ---- what a criterion reads ------------------------------------------------------------------------------------------------


def test_all_presets_are_those_whose_columns_are_there_and_one_named_must_have_its_own():
    frame = ratings(*CHARTED)
    assert not set(detect_ruptures(frame, score="wai")["criterion"]) & REPORTS
    observed = frame.assign(withdrawal=[1] * 11 + [4], confrontation=1, resolution=np.nan)
    assert set(detect_ruptures(observed, score="wai")["criterion"]) & REPORTS == {"observer_withdrawal"}
    with pytest.raises(DataError, match="no column 'rupture_reported'"):
        detect_ruptures(frame, score="wai", criteria="psq")


def test_a_preset_that_is_written_by_hand_may_read_columns_too():
    preset = {
        "rule": "attachment_outcomes.rupture.rules:reported_rupture", "settings": {"at_least": 4}, "reads": ["strain"],
        "uses": "earlier sessions", "episode": {"min_sessions": 1},
    }  # fmt: skip
    frame = ratings(1, 5, 1, 1, 1).rename(columns={"wai": "strain"})
    assert detect_ruptures(frame, score="", criteria={"strain": preset})["onset"].tolist() == [2]


# ---- floor and ceiling -----------------------------------------------------------------------------------------------------


def unable(criterion, *scores, lowest=1.0):
    frame = pd.concat([ratings(*scores), ratings(5, 5, person="short")])
    return detect(read_series(frame, score="wai", scale=(1, 7)), as_criteria(criterion)[0]).unable(lowest).tolist()


def test_a_client_at_the_floor_is_told_apart_from_one_without_ruptures():
    # Mean 1.5, ranges 1: the limit is -1.16.
    assert unable("control_chart", 1, 2, 1, 2, 1, 2, 1, 2) == [True, False]
    assert unable("control_chart", 6, 7, 6, 7, 6, 7, 6, 7) == [False, False]
    # SD .535: a drop from 2 leads to 1.465, and at 2 SD to .93.
    assert unable("within_person_drop", 1, 2, 1, 2, 1, 2, 1, 2) == [False, False]
    assert unable("stiles2004", 1, 2, 1, 2, 1, 2, 1, 2) == [True, False]


def test_a_drop_that_just_reaches_the_floor_is_possible_and_a_score_on_a_chart_limit_is_none():
    # 3,1,3,3: SD 1, two of them below 3 is 1, the lowest score.
    assert unable("stiles2004", 3, 1, 3, 3) == [False, False]
    assert unable("stiles2004", 3, 1, 3, 3, lowest=1.01) == [True, False]
    # Limit of a chart: mean 1.5 - 2.66: a scale from there on shows nothing.
    series = read_series(ratings(1, 2, 1, 2, 1, 2, 1, 2), score="wai")
    found = detect(series, as_criteria("control_chart")[0])
    assert found.unable(1.5 - 2.66).tolist() == [True]
    assert found.unable(1.5 - 2.67).tolist() == [False]


def test_reports_have_no_floor():
    frame = ratings(1, 1, 1, 1).rename(columns={"wai": "withdrawal"}).assign(resolution=np.nan)
    series = read_series(frame, score="withdrawal", channels=["resolution"], report=True)
    assert detect(series, as_criteria("observer_withdrawal")[0]).unable(5.0).tolist() == [False]


def test_ties_at_the_ceiling_are_no_drop_and_the_ceiling_can_be_returned_to():
    assert found(ratings(7, 7, 7, 7, 6, 7, 7, 7), "stiles2004", "onset", "recovered_at") == [(5, 6)]
    assert found(ratings(7, 7, 7, 7, 7, 7, 7, 6), "stiles2004", "onset", "outcome") == [(8, "censored")]

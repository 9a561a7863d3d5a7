"""What read_series refuses, leaves out and counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import DataError
from attachment_outcomes.rupture import detect_ruptures, read_series
from attachment_outcomes.rupture.criteria import as_criteria, detect


def ratings(*scores, sessions=None, person="a"):
    numbers = range(1, len(scores) + 1) if sessions is None else sessions
    return pd.DataFrame({"person_id": person, "session_number": list(numbers), "wai": list(scores)})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (ratings(5, 5, 5, sessions=[1, 2, 2]), "session_number occurs twice for one client in row 3"),
        (ratings(5, "five", 5, "six"), "wai is not a number in rows 2, 4"),
        (ratings(5, np.inf, 5), "wai is not a number in row 2"),
        (ratings(5, -np.inf, 5), "wai is not a number in row 2"),
        (ratings(5, 5, sessions=[1, 1.5]), "session_number is not a whole number in row 2"),
        (ratings(5, 5, sessions=[None, 1]), "session_number is not a whole number in row 1"),
        (ratings(5, 5, sessions=[1, np.inf]), "session_number is not a whole number in row 2"),
        (ratings(5, 5, sessions=[1, 1e300]), "session_number is not a whole number in row 2"),
        (ratings(5, 5, sessions=["one", 2]), "session_number is not a whole number in row 1"),
        (ratings(5, 5, person=None), "person_id is missing in rows 1, 2"),
        (ratings(True, False), "wai holds yes/no answers"),
        (ratings(5, 5).drop(columns="session_number"), "no column 'session_number'"),
        (ratings(5, 5).drop(columns="wai"), "no column 'wai'"),
    ],
)
def test_unusable_ratings_are_refused_by_row_never_by_content(frame, message):
    with pytest.raises(DataError, match=message) as error:
        detect_ruptures(frame, score="wai", criteria="control_chart")
    assert "five" not in str(error.value)


@pytest.mark.parametrize(("score", "row"), [(0.9, 2), (5.1, 2)])
def test_a_rating_outside_the_scale_is_refused_by_row(score, row):
    assert len(read_series(ratings(1, 5, 3), score="wai", scale=(1, 5)).values) == 3
    with pytest.raises(DataError, match=f"wai lies outside its range, 1 to 5, in row {row}"):
        read_series(ratings(5, score, 5), score="wai", scale=(1, 5))


def test_equal_session_numbers_of_two_treatments_are_no_duplicates():
    frame = pd.concat([ratings(5, 5).assign(treatment_id=t) for t in ("t1", "t2")])
    assert read_series(frame, score="wai").lengths.tolist() == [2, 2]


def test_session_numbers_as_large_as_dates_are_sorted_all_the_same():
    frame = pd.concat([ratings(3, 5, sessions=[2**52, 1], person=p) for p in ("a", "b", "c")])
    series = read_series(frame, score="wai")
    assert series.values.tolist() == [5, 3] * 3
    assert series.sessions.tolist() == [1, 2**52] * 3


# The later ratings are all twice the highest of the earlier ones or more, or an eighth of the lowest or less; three on either side.
@pytest.mark.parametrize(
    ("scores", "changed"),
    [
        pytest.param((4.1, 4.5, 3.9, 49, 54, 47), True, id="means, then sums"),
        pytest.param((49, 54, 47, 4.1, 4.5, 3.9, 4.0), True, id="sums, then means"),
        pytest.param((4, 4, 3, 8, 8.5, 9), True, id="twice the highest"),
        pytest.param((4, 4, 3, 7.9, 8.5, 9), False, id="not quite twice the highest"),
        pytest.param((9, 8, 8.5, 1, 0.9, 1), True, id="an eighth of the lowest"),
        pytest.param((9, 8, 8.5, 1, 1.1, 1), False, id="not quite an eighth of the lowest"),
        pytest.param((7, 7, 7, 1, 1, 1), False, id="from the top to the bottom of seven points"),
        pytest.param((4, 4, 49, 54, 47), False, id="two ratings before"),
        pytest.param((4, 4, 4, 4, 49, 54), False, id="two ratings after"),
        pytest.param((4, 4, 4, 49, 54, 47, 4), False, id="back in the first form"),
        pytest.param((0, 0, 0, 4, 5, 4), False, id="a scale with a nought has no factor"),
        pytest.param((2, 2.5, 3.5, 5, 6, 6.5, 7), False, id="a steady rise"),
        pytest.param((4, 4, 4, np.nan, 49, 54, 47), True, id="a missing rating between them"),
    ],
)
def test_a_scale_that_changes_form_midway_is_counted_out(scores, changed):
    frame = pd.concat([ratings(*scores), ratings(5, 5, 1, 5, 5, 5, person="b"), ratings(np.nan, person="c")])
    series = read_series(frame, score="wai")
    assert series.n_changed == int(changed)
    assert series.n_missing == 1 + int(np.isnan(scores).sum())
    assert series.clients["client"].tolist() == ["a", "b", "c"]  # nobody is lost from the count
    assert series.lengths.tolist() == [0 if changed else int(np.isfinite(scores).sum()), 6, 0]
    assert not detect(series, as_criteria("within_person_drop")[0]).assessable[0] or not changed


def test_the_form_is_not_in_doubt_where_the_range_is_known():
    risen = ratings(2, 2, 2, 6, 6, 6)
    assert read_series(risen, score="wai").n_changed == 1
    assert read_series(risen, score="wai", scale=(1, 7)).n_changed == 0


def test_ruptures_are_not_looked_for_in_silence_where_the_form_changes():
    frame = ratings(2, 2, 2, 6, 6, 6, 3, 3, 3)
    with pytest.warns(UserWarning, match="change form midway in 1 series, which are left out"):
        assert detect_ruptures(frame.iloc[:6], score="wai", criteria="stiles2004").empty
    assert len(detect_ruptures(frame, score="wai", criteria="within_person_drop", scale=(1, 7))) == 1


def test_running_extremes_start_anew_with_each_client():
    frame = pd.concat([ratings(*s, person=p) for p, s in {"a": (9, 9, 9), "b": (4, 4, 4, 9, 9, 9), "c": (2, 2, 2, 2)}.items()])
    assert read_series(frame, score="wai").lengths.tolist() == [3, 0, 4]


@pytest.mark.parametrize("criterion", ["within_person_drop", "control_chart", "partition", "reliable_drop"])
@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(ratings(5), id="a single session"),
        pytest.param(ratings(*[np.nan] * 10), id="all missing"),
        pytest.param(ratings(*[5.0] * 12), id="constant"),
        pytest.param(ratings(*[5.1] * 12), id="constant, inexact"),
    ],
)
def test_series_without_a_course_show_no_rupture_and_raise_nothing(frame, criterion):
    series = read_series(frame, score="wai")
    found = detect(series, as_criteria(criterion)[0])
    assert len(found.episodes.onset) == 0
    assert len(series.clients) == 1
    enough = len(series.values) == 12 and criterion != "reliable_drop"  # whose SD comes from two clients or more
    assert found.assessable.tolist() == [enough]


def test_channels_stand_beside_the_first_column():
    frame = ratings(1, np.nan, 0).assign(
        felt=[4, 5, np.nan], said=pd.array([True, None, False], dtype="boolean"), person_id=["b", "a", "a"]
    )
    series = read_series(frame, score="wai", channels=["felt", "said"])
    assert series.values.tolist() == [0, 1]
    assert series.n_missing == 1
    np.testing.assert_array_equal(series.channels["felt"], [np.nan, 4])
    np.testing.assert_array_equal(series.channels["said"], [0, 1])
    kept = series.select(np.array([False, True]))
    assert {name: x.tolist() for name, x in kept.channels.items()} == {"felt": [4], "said": [1]}
    with pytest.raises(DataError, match="no column 'intensity'"):
        read_series(frame, score="wai", channels=["intensity"])
    with pytest.raises(DataError, match="felt is not a number in row 1"):
        read_series(frame.assign(felt=["much", 1, 2]), score="wai", channels=["felt"])


def test_a_session_is_reported_where_any_column_is_known():
    # Session 1 has a yes only, 2 an intensity only, 3 nothing, 4 a resolution only.
    nan = np.nan
    frame = ratings(1, nan, nan, nan).assign(felt=[nan, 5, nan, nan], solved=[nan, nan, nan, 2])
    series = read_series(frame, score="wai", channels=["felt", "solved"], report=True)
    assert (series.sessions.tolist(), series.n_missing) == ([1, 2, 4], 1)
    np.testing.assert_array_equal(series.values, [1, nan, nan])
    np.testing.assert_array_equal(series.channels["felt"], [nan, 5, nan])
    np.testing.assert_array_equal(series.channels["solved"], [nan, nan, 2])
    rating = read_series(frame, score="wai", channels=["felt", "solved"])
    assert (rating.sessions.tolist(), rating.n_missing) == ([1], 3)


def test_what_several_criteria_share_is_made_once():
    series = read_series(ratings(5, 5.2, 5, 5.1, 4), score="wai")
    assert series.at_least(4)[0] is series.at_least(4)[0]
    assert series.mean_range() is series.mean_range()
    assert series.adjacent(2) is not series.adjacent(1)

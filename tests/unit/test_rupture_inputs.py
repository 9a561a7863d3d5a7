"""What is read as the alliance: its range, its direction, other forms of it, and what only stands in for it."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from attachment_outcomes.errors import ConfigError, DataError
from attachment_outcomes.inference.estimate import not_testable
from attachment_outcomes.rupture import read_series
from attachment_outcomes.rupture.inputs import labelled, other_forms, rating_of

INSTRUMENTS = {
    "wai_sr": {"title": "WAI-SR", "family": "alliance", "scales": {"total": {"direction": "higher is better", "range": [1, 5]}}},
    "srs": {"title": "SRS", "family": "alliance", "scales": {"total": {"direction": "higher is better", "range": [0, 40]}}},
    "ors": {"title": "ORS", "family": "functioning", "scales": {"total": {"direction": "higher is better", "range": [0, 40]}}},
    "dep9": {"title": "DEP-9", "family": "symptoms", "scales": {"total": {"direction": "higher is worse", "range": [0, 9]}}},
    "open": {"title": "open", "family": "symptoms", "scales": {"total": {"direction": "higher is worse"}}},
}
WHAT = "number of depressive symptoms"


def rows(*ratings: object) -> pd.DataFrame:
    return pd.DataFrame({"person_id": "a", "session_number": range(len(ratings)), "rating": list(ratings)})


def test_a_stand_in_where_higher_is_worse_is_turned_round_within_its_range():
    rating = rating_of({"alliance": "dep9.total", "stand_in": WHAT}, INSTRUMENTS)
    # 0 to 9 symptoms: 9 is the worst and becomes 0, 2 becomes 0 + 9 - 2 = 7.
    assert rating.turned
    assert rating.read(rows(9.0, 2.0, 0.0))["rating"].tolist() == [0.0, 7.0, 9.0]
    assert (rating.low, rating.high) == (0.0, 9.0)


def test_a_rating_of_the_alliance_is_read_as_it_is_and_says_nothing_more():
    rating = rating_of({"alliance": "wai_sr.total"}, INSTRUMENTS)
    given = rows(1.0, 5.0, None)
    assert rating.read(given) is given
    assert (rating.turned, rating.note) == (False, "")


def test_a_stand_in_where_higher_is_better_is_not_turned():
    rating = rating_of({"alliance": "ors.total", "stand_in": "functioning in the week"}, INSTRUMENTS)
    assert rating.read(rows(3.0))["rating"].tolist() == [3.0]
    assert "in its place: functioning in the week, and" in rating.note


def test_every_row_of_a_stand_in_says_what_it_is():
    rows = [not_testable("a", "too few"), replace(not_testable("a", ""), outcome="b")]
    made = labelled(rows, rating_of({"alliance": "dep9.total", "stand_in": WHAT}, INSTRUMENTS))
    words = (
        f"no rating of the alliance; in its place: {WHAT}, turned round within 0 to 9, "
        "and a rupture is a turn for the worse in that"
    )
    assert [r.note for r in made] == [f"{words}; too few", words]
    plain = rating_of({"alliance": "wai_sr.total"}, INSTRUMENTS)
    assert [r.note for r in labelled(rows, plain)] == ["too few", ""]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alliance": "dep9.total"}, "higher where the alliance is worse"),
        ({"alliance": "symptoms"}, "higher where the alliance is worse"),
        ({"alliance": "ors.total"}, "no rating of the alliance"),
        ({"alliance": "security"}, "no rating of the alliance"),
        ({"alliance": "open.total", "stand_in": WHAT}, "its range is not known"),
        ({"alliance": "symptoms", "stand_in": WHAT}, "its range is not known"),
        ({"alliance": "wai_sr.total", "range": [1, 7]}, "has the range"),
        ({"alliance": "alliance", "range": [7, 1]}, "lowest and the highest"),
        ({"alliance": "dep9.total", "stand_in": WHAT, "outcome": "dep9.total"}, "the series that ruptures are found in"),
        ({"alliance": "dep9.total", "stand_in": WHAT, "symptoms": "dep9.total"}, "the series that ruptures are found in"),
    ],
)
def test_what_cannot_be_read_as_the_alliance_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        rating_of(settings, INSTRUMENTS)


def test_the_range_of_a_column_is_the_studys_and_that_of_a_score_may_be_repeated():
    assert rating_of({"alliance": "alliance", "range": [1, 7]}, {}).high == 7.0
    assert rating_of({"alliance": "wai_sr.total", "range": [1.0, 5.0]}, INSTRUMENTS).low == 1.0
    assert rating_of({"alliance": "symptoms", "stand_in": WHAT, "range": [0, 10]}, {}).turned
    assert rating_of({"alliance": "alliance"}, {}).low is None


def test_ratings_outside_the_range_are_refused_by_row_without_their_content():
    rating = rating_of({"alliance": "alliance", "range": [1, 5]}, {})
    with pytest.raises(DataError, match=r"outside 1 to 5 in rows 2, 4\.") as caught:
        rating.read(rows(3.0, 77.0, None, 0.5))
    assert "77" not in str(caught.value)


def test_a_mean_that_rounding_puts_beside_the_end_is_inside():
    rating = rating_of({"alliance": "alliance", "range": [1, 5]}, {})
    assert len(rating.read(rows(5.0 + 1e-12, 1.0 - 1e-12))) == 2


def test_an_infinite_rating_is_outside_the_range():
    with pytest.raises(DataError, match="row 2"):
        rating_of({"alliance": "alliance", "range": [1, 5]}, {}).read(rows(3.0, float("inf")))


def test_a_word_among_ratings_that_are_turned_is_still_refused_by_the_series():
    made = rating_of({"alliance": "dep9.total", "stand_in": WHAT}, INSTRUMENTS).read(rows(2.0, "many", None))
    assert made["rating"].tolist()[0] == 7.0
    with pytest.raises(DataError, match="not a number in row 2"):
        read_series(made, score="rating")


def test_sessions_that_are_rated_with_another_form_only_are_counted():
    def score(person: str, session: int, instrument: str, rater: str = "self", value: float | None = 3.0) -> dict[str, object]:
        return {
            "person_id": person,
            "session_number": session,
            "instrument": instrument,
            "scale": "total",
            "rater": rater,
            "score": value,
        }

    scores = pd.DataFrame(
        [
            score("a", 1, "wai_sr"), score("a", 1, "srs"),  # both: the own form is there
            score("a", 2, "srs"),  # counted
            score("b", 1, "srs"), score("b", 2, "srs", value=None),  # counted; nothing rated
            score("b", 3, "dep9"), score("b", 4, "srs", rater="therapist"),  # no alliance; another rater
        ]
    )  # fmt: skip
    found = other_forms(scores, alliance="wai_sr.total", rater="self", instruments=INSTRUMENTS)
    assert found == (2, ["SRS"])
    assert other_forms(scores, alliance="alliance", rater="self", instruments=INSTRUMENTS) == (0, [])
    none = scores[scores["instrument"] == "wai_sr"]
    assert other_forms(none, alliance="wai_sr.total", rater="self", instruments=INSTRUMENTS) == (0, [])

"""A figure of a stand-in says so in the picture and its text; others stay as they are."""

from __future__ import annotations

import pandas as pd
import pytest

from attachment_outcomes.present.drawing import Drawing, svg_text
from attachment_outcomes.present.stand_in import labelled, series_axis, series_word, warning
from attachment_outcomes.present.style import look, new_figure

WHAT = "the number of depressive symptoms at each session"
SCALES = {
    "dep9.total": {"title": "Number of symptoms", "instrument": "Nine symptoms", "direction": "higher is worse", "range": [0, 9]},
    "wai_sr.total": {"title": "Total", "instrument": "WAI-SR", "direction": "higher is better", "range": [1, 5]},
}
STAND_IN = {"rupture": {"alliance": "dep9.total", "stand_in": WHAT}, "scales": SCALES}
RATED = {"rupture": {"alliance": "wai_sr.total"}, "scales": SCALES}


@pytest.fixture
def drawing() -> Drawing:
    with look():
        figure = new_figure(3.0)
        figure.subplots().plot([1, 2], [3, 4])
    return Drawing(figure, pd.DataFrame({"x": [1]}), "Caption.", "Alt.")


def test_the_warning_stands_in_the_picture_and_its_text(drawing):
    made = labelled(drawing, "rupture_prevalence", STAND_IN)
    told = f"No alliance was rated; in its place: {WHAT}, and a rupture is a turn for the worse in that."
    assert made.alt == f"{told} Alt."
    assert " ".join(made.figure.get_suptitle().split()) == told
    assert svg_text(made).count("No alliance was rated") >= 1


def test_a_title_that_is_there_stays(drawing):
    drawing.figure.suptitle("Own title")
    assert labelled(drawing, "alliance_series", STAND_IN).figure.get_suptitle().endswith("\nOwn title")


def test_other_figures_and_studies_with_ratings_stay_as_they_are(drawing):
    assert labelled(drawing, "growth", STAND_IN) is drawing
    assert labelled(drawing, "rupture_prevalence", RATED) is drawing
    assert labelled(drawing, "rupture_prevalence", {}) is drawing
    assert drawing.figure.get_suptitle() == ""


def test_the_axis_says_what_is_drawn_and_that_it_was_turned_round():
    assert series_axis(STAND_IN).endswith("\n(turned round; higher = better)")
    assert series_axis(RATED).endswith("\n(score points; higher = better)")
    better = {"rupture": {"alliance": "wai_sr.total", "stand_in": WHAT}, "scales": SCALES}
    assert series_axis(better).endswith("\n(stand-in; higher = better)")
    column = {"rupture": {"alliance": "symptoms", "stand_in": WHAT}, "scales": SCALES}
    assert series_axis(column).startswith("The number of depressive\nsymptoms at each session\n")
    assert "turned round" in series_axis(column)
    security = {"rupture": {"alliance": "security", "stand_in": "how secure the client feels"}, "scales": SCALES}
    assert "turned round" not in series_axis(security)
    assert series_axis({"rupture": {"alliance": "alliance"}, "scales": {}}) == "Alliance\n(score points; higher = better)"


def test_legends_and_sentences_follow():
    assert series_word(STAND_IN) == "stand-in for the alliance"
    assert series_word(RATED) == "alliance"
    assert warning(RATED) == ""

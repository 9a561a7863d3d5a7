"""The figure of what observers code: what it plots, what it says, and what it leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.inference.estimate import read_estimates
from attachment_outcomes.inference.steps import typed_table
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.figures.observer_ratings import draw
from attachment_outcomes.rupture.observer.study import TABLES

FOLDER = Path(__file__).resolve().parents[1] / "pages" / "rupture"
SETTINGS = {"ci_level": 0.95}


@pytest.fixture
def tables():
    codes = typed_table(
        pd.read_csv(FOLDER / "observer_codes.csv", keep_default_na=True).fillna({"note": ""}), TABLES["observer_codes"]
    )
    return {"estimates": read_estimates(str(FOLDER / "estimates_observer.csv")), "observer_codes": codes}


def titles(drawing):
    return [ax.get_title(loc="left") for ax in drawing.figure.axes]


def test_it_plots_the_estimates_and_the_codes_and_says_so(tables):
    drawing = draw(tables, SETTINGS)
    assert titles(drawing) == ["Do coders agree?", "When are they seen?", "Who else tells of it?", "What is seen?"]
    data = drawing.data
    assert data["panel"].value_counts().to_dict() == {"codes": 24, "coders": 10, "others": 9, "course": 6}
    estimates = tables["estimates"]
    own = estimates[(estimates["outcome"] == "withdrawal") & (estimates["definition"] == "seen in a segment")]
    kappa = own.loc[own["estimand"] == "kappa", "estimate"].item()
    plotted = data[(data["panel"] == "coders") & (data["outcome"] == "withdrawal") & (data["estimand"] == "kappa")]
    assert plotted["estimate"].item() == kappa
    assert f"withdrawal (kappa) {kappa:.2f}".replace("0.", ".") in drawing.caption
    assert "observer only" in drawing.caption
    assert "16 % of 90" in drawing.caption
    assert svg_text(drawing) == svg_text(draw(tables, SETTINGS))


def test_without_coders_it_draws_what_is_left(tables):
    estimates = tables["estimates"]
    kept = estimates[~estimates["estimand"].str.startswith("icc") & (estimates["definition"] != "seen in a segment")]
    drawing = draw({"estimates": kept, "observer_codes": tables["observer_codes"].iloc[:0]}, SETTINGS)
    assert titles(drawing) == ["When are they seen?", "Who else tells of it?"]


def test_what_is_suppressed_is_not_drawn(tables):
    codes = tables["observer_codes"]
    codes.loc[codes["about"] == "confrontation", "share"] = np.nan
    estimates = tables["estimates"]
    estimates.loc[estimates["estimand"] == "share_of_sessions", "estimate"] = np.nan
    drawing = draw(tables, SETTINGS)
    assert titles(drawing) == ["Do coders agree?", "Who else tells of it?", "What is seen?"]
    assert (drawing.data["panel"] == "codes").sum() == 17


def test_it_is_refused_where_there_is_nothing(tables):
    with pytest.raises(NothingToDraw, match="nothing that observers coded"):
        draw({**tables, "estimates": tables["estimates"].iloc[:0]}, SETTINGS)

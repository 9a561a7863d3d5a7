"""The mosaic and the table of correspondence, of all ways to read the classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.measures.codes import WAYS
from attachment_outcomes.present.figures.transmission_mosaic import draw
from attachment_outcomes.present.tables.concordance import build
from attachment_outcomes.study.contracts import typed
from attachment_outcomes.transmission.correspondence import between_generations

SETTINGS = {"name": "made_up", "title": "Made up", "ci_level": 0.95, "threshold": 5}


@pytest.fixture(scope="module")
def tables():
    codes = load_reference("concordance")
    parents, children = codes["parents"], codes["children"]
    n = len(parents)
    people = [f"p{i}" for i in range(n)], [f"c{i}" for i in range(n)]
    empty = dict.fromkeys(["family_id", "generation", "label"])
    relations = pd.DataFrame({"person_a": people[0], "person_b": people[1], "kind": "parent_child", **empty})
    classified = pd.DataFrame(
        {"person_id": [*people[0], *people[1]], "wave": 0, "system": ["AAI"] * n + ["SSP"] * n, "primary": [*parents, *children]}
        | dict.fromkeys(["about_person_id", "secondary", "forced", "coder"])
    )
    part = between_generations(
        typed(relations, "relations"), typed(classified, "classifications"), ways=WAYS, flow=Flow(), rng=np.random.default_rng(1)
    )
    return dict(part.tables) | {"estimates": estimates_frame(part.estimates, study="made_up")}


def test_the_primary_way_is_large_and_the_others_small(tables):
    drawing = draw(tables, SETTINGS)
    large, *small = drawing.figure.axes
    assert [t.get_text() for t in large.texts].count("35 (5.0)") == 1
    assert [ax.get_xlabel().replace("\n", " ") for ax in small] == WAYS[1:]
    assert "AAI-SSP, 4-way; n = 120 pairs" in drawing.caption
    assert "Below: the other ways" in drawing.caption
    assert len(drawing.data) == 16 + 9 + 4 + 4 + 4
    alone = draw(tables | {"residuals": tables["residuals"][tables["residuals"]["way"] == WAYS[3]]}, SETTINGS)
    assert len(alone.figure.axes) == 1
    assert "Below" not in alone.caption


def test_small_counts_are_hidden_in_large_and_small_panels(tables):
    residuals = tables["residuals"].astype({"n": float})
    residuals.loc[residuals["n"] < 5, ["n", "expected", "residual"]] = np.nan
    drawing = draw(tables | {"residuals": residuals}, SETTINGS)
    assert sum(t.get_text() == "suppressed" for t in drawing.figure.axes[0].texts) == 8
    assert "n = at least 97 pairs" in drawing.caption
    legend = [t.get_text() for t in drawing.figure.legends[0].get_texts()]
    assert any(t.startswith("suppressed: a small count") for t in legend)


def test_the_table_has_the_primary_way_in_full_and_the_others_in_short(tables):
    frame = build(tables, SETTINGS).frame
    full = frame[frame["group"] == "AAI-SSP, 4-way (primary)"]["quantity"].tolist()
    short = frame[frame["group"] == "AAI-SSP, 2-way, disorganised"]["quantity"].tolist()
    assert {"Quasi-symmetry, lack of fit X²", "Bowker's test of symmetry, chi-square", "Kappa"} <= set(full)
    assert "Child organised, parent unresolved" in short
    assert not any("lack of fit" in name for name in short)
    assert frame.loc[frame["quantity"] == "Kappa", "estimate"].iloc[0] == ".41"

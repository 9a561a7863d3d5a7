"""What the figures of repair and time and of repair in the literature show and say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.inference.estimate import read_estimates
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.figures import repair_forest, repair_timing, rupture_outcome

PAGES = Path(__file__).parents[1] / "pages" / "rupture"
SETTINGS: dict[str, Any] = {
    "ci_level": 0.95,
    "rupture": {"outcome": "core10.total", "criteria": ["control_chart", "within_person_drop"]},
    "scales": {"core10.total": {"title": "Total", "instrument": "CORE-10", "direction": "higher is worse", "range": [0, 40]}},
}


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    estimates = pd.read_csv(PAGES / "estimates_effects.csv").assign(study="")
    words = dict.fromkeys(("outcome", "group", "definition", "unit", "direction", "note"), "")
    return {
        "estimates": estimates.fillna(words),
        "rupture_states": pd.read_csv(PAGES / "rupture_states.csv"),
        "repair_literature": pd.read_csv(PAGES / "repair_literature.csv"),
    }


def test_made_up_estimates_can_be_read_as_any(tmp_path: Path) -> None:
    file = tmp_path / "estimates.csv"
    pd.read_csv(PAGES / "estimates_effects.csv").assign(study="").to_csv(file, index=False)
    assert set(read_estimates(str(file))["analysis"]) == {"rupture_outcome", "repair_timing", "repair_literature"}


def test_whole_treatments_and_landmarks_stand_in_one_panel_in_order(tables: dict[str, pd.DataFrame]) -> None:
    drawing = repair_timing.draw(tables, SETTINGS)
    above, states, leaving = drawing.figure.axes
    ticks = [t.get_text().replace("\n", " ") for t in above.get_yticklabels()]
    assert ticks == [
        "whole treatment", "whole treatment, adjusted for sessions", "landmark session 8", "landmark session 12",
        "landmark session 16",
    ]  # fmt: skip
    assert [t.get_text() for t in above.texts] == ["too few in the groups"]
    assert above.get_xlabel() == "Difference in score points (higher = worse)"
    assert "landmark session 16: repaired − none −0.10 [−1.62, 1.42]" in drawing.caption
    assert "Too few clients in the groups: landmark session 8" in drawing.caption
    assert "in rupture against none 3.72 [1.79, 7.73]" in drawing.caption
    assert "Associations, not effects" in drawing.caption
    assert [t.get_text() for t in leaving.get_yticklabels()] == ["in rupture\nagainst none", "after repair\nagainst none"]
    heights = np.array([bar.get_height() for bar in states.patches]).reshape(4, -1)
    assert heights.sum(axis=0) == pytest.approx(1)
    assert svg_text(repair_timing.draw(tables, SETTINGS)) == svg_text(drawing)


def test_what_is_suppressed_or_absent_leaves_the_rest(tables: dict[str, pd.DataFrame]) -> None:
    few = tables["rupture_states"].assign(n=tables["rupture_states"]["n"].where(tables["rupture_states"]["n"] >= 20))
    assert len(repair_timing.draw({**tables, "rupture_states": few}, SETTINGS).figure.axes) == 3
    none = tables["estimates"][tables["estimates"]["estimand"] != "leaving_odds_ratio"]
    alone = repair_timing.draw({"estimates": none, "rupture_states": few.iloc[:0]}, SETTINGS)
    assert len(alone.figure.axes) == 1
    assert "Odds ratios" not in alone.caption
    with pytest.raises(NothingToDraw, match="no contrast between rupture groups could be estimated"):
        repair_timing.draw({"estimates": none.iloc[:0], "rupture_states": few}, SETTINGS)


def test_the_forest_keeps_own_and_published_apart_and_names_their_standing(tables: dict[str, pd.DataFrame]) -> None:
    drawing = repair_forest.draw(tables, SETTINGS)
    ticks = [t.get_text() for t in drawing.figure.axes[0].get_yticklabels()]
    assert ticks[0] == "share of ruptures repaired, control chart (primary)"
    assert ticks[-4:] == [
        "Rupture resolution and outcome (Eubanks et al., 2018)",
        "Training in rupture resolution and outcome (Eubanks et al., 2018)",
        "Rupture–repair episodes and outcome (Safran et al., 2011)",
        "Alliance and outcome (Flückiger et al., 2018)",
    ]
    assert "repaired against unrepaired, within person drop" not in ticks
    words = [t.get_text() for t in drawing.figure.axes[0].texts]
    assert ".29 [.10, .47]; n = 1\u202f314, k = 11" in words
    assert ".28 [.26, .30]; k = 295" in words
    assert "Recalled" not in drawing.caption
    assert "pooled with nothing" in drawing.caption
    rows = tables["repair_literature"]
    doubtful = rows.assign(standing=rows["standing"].mask(rows["key"] == "safran2011", "recalled"))
    drawing = repair_forest.draw({"repair_literature": doubtful}, SETTINGS)
    assert "Recalled and not checked in their source: Rupture–repair episodes and outcome (Safran et al., 2011)" in drawing.caption
    suppressed = rows.assign(n=rows["n"].mask(rows["source"] == "this study"))
    assert any(
        "n not shown" in t.get_text() for t in repair_forest.draw({"repair_literature": suppressed}, SETTINGS).figure.axes[0].texts
    )
    with pytest.raises(NothingToDraw, match="no correlation of repair and outcome here"):
        repair_forest.draw({"repair_literature": rows[rows["source"] == "published"]}, SETTINGS)


def test_outcomes_by_group_show_standardised_means_and_say_what_would_explain_them_away(tables: dict[str, pd.DataFrame]) -> None:
    rng = np.random.default_rng(1)
    clients = pd.DataFrame(
        {"group": ["none", "repaired", "unrepaired"] * 20, "pre": 20.0, "post": rng.normal(12, 5, 60), "n_sessions": 9}
    )
    drawing = rupture_outcome.draw({"rupture_outcomes": clients, "estimates": tables["estimates"]}, SETTINGS)
    assert "Diamonds: means if all clients were like those of the group, other things as they are: none 13.40" in drawing.caption
    assert "by risk ratios of 2.30 each (E-value; of the limit nearer to none 1.22)" in drawing.caption
    plain = tables["estimates"].iloc[:0]
    assert "Diamonds" not in rupture_outcome.draw({"rupture_outcomes": clients, "estimates": plain}, SETTINGS).caption

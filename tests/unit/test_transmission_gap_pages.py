"""What the figure and the table of the transmission gap show and say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from attachment_outcomes.inference.estimate import read_estimates
from attachment_outcomes.present.drawing import Drawing, NothingToDraw, svg_text
from attachment_outcomes.present.figures import transmission_gap as figure
from attachment_outcomes.present.tables import gap as table
from attachment_outcomes.transmission.gap.study import TABLES

PAGES = Path(__file__).parents[1] / "pages" / "transmission"
SETTINGS: dict[str, Any] = {
    "ci_level": 0.95,
    "scales": {
        "rf.aai": {
            "title": "Reflective functioning, Adult Attachment Interview",
            "instrument": "Reflective Functioning Scale (RFS)",
            "direction": "higher is better",
            "range": [-1, 9],
        },
        "eas.sensitivity": {
            "title": "Sensitivity",
            "instrument": "Emotional Availability Scales, sensitivity (EAS)",
            "direction": "higher is better",
            "range": [1, 7],
        },
    },
}
PUBLISHED = "Smith (2001)"


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    made = {name: pd.read_csv(PAGES / f"{name}.csv").astype(dict(columns)) for name, columns in TABLES.items()}
    return {"estimates": read_estimates(str(PAGES / "estimates_gap.csv")), **made}


def only(tables: dict[str, pd.DataFrame], outcome: str) -> dict[str, pd.DataFrame]:
    return {name: frame[frame["outcome"] == outcome] for name, frame in tables.items()}


def words(drawing: Drawing) -> list[str]:
    return [t.get_text().replace("\n", " ") for ax in drawing.figure.axes for t in ax.texts]


def test_the_diagram_has_a_box_a_variable_and_an_interval_a_path(tables: dict[str, pd.DataFrame]) -> None:
    drawing = figure.draw(tables, SETTINGS)
    told = words(drawing)
    assert {"Parent secure (AAI)", "Child secure (SSP)", "Reflective functioning", "Sensitivity"} <= set(told)
    assert ".49 [.39, .58]" in told
    assert ".12 [−.03, .27] the gap" in told
    assert len(drawing.data) == 5
    assert "gap (direct) .12 [−.03, .27]" in drawing.caption
    assert "38.1 % [−16.4, 68.0] of the total" in drawing.caption
    assert "correlate by .31 would leave nothing indirect" in drawing.caption
    assert "Associations, not effects" in drawing.caption
    assert "Parent secure (AAI) to Sensitivity .40" in drawing.alt
    bars = drawing.figure.axes[1]
    assert [t.get_text().replace("\n", " ") for t in bars.get_yticklabels()][::-1] == [
        "total", "through reflective functioning", "through sensitivity", "all indirect", "gap (direct)",
    ]  # fmt: skip
    assert svg_text(figure.draw(tables, SETTINGS)) == svg_text(drawing)


def test_only_a_path_whose_interval_holds_0_is_dashed(tables: dict[str, pd.DataFrame]) -> None:
    arrows = [p for p in figure.draw(tables, SETTINGS).figure.axes[0].patches if type(p).__name__ == "FancyArrowPatch"]
    assert [p.get_linestyle() for p in arrows].count("-") == 4
    assert len(arrows) == 5
    alone = figure.draw(only(tables, PUBLISHED), SETTINGS).figure.axes[0].patches
    assert {p.get_linestyle() for p in alone if type(p).__name__ == "FancyArrowPatch"} == {"-"}


def test_published_correlations_alone_are_named_and_drawn_without_curves(tables: dict[str, pd.DataFrame]) -> None:
    drawing = figure.draw(only(tables, PUBLISHED), SETTINGS)
    assert len(drawing.figure.axes) == 2
    assert drawing.caption.startswith("Smith (2001): from correlations alone. The total correlation")
    assert "Recalled and not checked in their source" in drawing.caption
    assert drawing.figure.axes[1].get_xlabel().endswith("(no intervals)")


def test_nothing_is_drawn_without_paths(tables: dict[str, pd.DataFrame]) -> None:
    with pytest.raises(NothingToDraw, match="no path was estimated"):
        figure.draw({**tables, "gap_paths": tables["gap_paths"].iloc[:0]}, SETTINGS)


def test_the_number_of_pairs_may_be_suppressed(tables: dict[str, pd.DataFrame]) -> None:
    hidden = {**tables, "estimates": tables["estimates"].assign(n=float("nan"))}
    assert "pairs." not in figure.draw(hidden, SETTINGS).caption.split("The total")[0]


def test_the_table_has_the_primary_definition_first_and_the_published_last(tables: dict[str, pd.DataFrame]) -> None:
    frame = table.build({"estimates": tables["estimates"]}, SETTINGS).frame
    groups = list(dict.fromkeys(frame["group"]))
    assert groups[:4] == ["Parallel (primary)", "Parallel", "Parallel, Monte-Carlo", "Parallel, joint significance"]
    assert groups[-1] == "Smith (2001), correlations alone: product of correlations"
    first = frame[frame["group"] == groups[0]].set_index("quantity")["estimate"]
    assert first[["Total", "Sum of indirect paths", "Gap", "Share unexplained"]].tolist() == [".30", ".19", ".12", "38.1 %"]
    serial = frame[frame["group"] == "Serial"].set_index("quantity")["estimate"]
    assert serial["Through Reflective functioning → Sensitivity"] == ".00"

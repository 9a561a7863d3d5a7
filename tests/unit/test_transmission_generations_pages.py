"""What the figure and the table of three generations show and say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from attachment_outcomes.inference.estimate import NOT_TESTABLE, read_estimates
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.figures import generation_flow
from attachment_outcomes.present.tables import generations

PAGES = Path(__file__).parents[1] / "pages" / "transmission"
SETTINGS: dict[str, Any] = {"ci_level": 0.95}


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    read = {
        name: pd.read_csv(PAGES / f"{name}.csv")
        for name in ("generation_chains", "generation_transitions", "generation_projection")
    }
    return {**read, "estimates": read_estimates(str(PAGES / "estimates_generations.csv"))}


def words(ax: Any) -> list[str]:
    return [t.get_text() for t in ax.texts]


def test_the_flow_has_every_chain_and_the_projection_below_it(tables: dict[str, pd.DataFrame]) -> None:
    drawing = generation_flow.draw(tables, SETTINGS)
    flow, projection = drawing.figure.axes
    assert "secure\n51 (51 %)" in words(flow)
    assert "22 (22 %)" in words(flow)
    assert words(flow)[-3:] == ["Grandparents", "Parents", "Children"]
    bars, bands = 6, 2 * 8
    assert len(flow.patches) == bars + bands
    assert projection.get_ylabel() == "Projected share secure (%)"
    names = [t.get_text() for t in projection.get_legend().get_texts()]
    assert names[:2] == ["everybody", "everybody, corrected for error"]
    first = projection.get_lines()[2].get_ydata()
    assert list(first) == pytest.approx(
        tables["generation_projection"].query("way == '2-way, unresolved insecure' and not corrected and start_class == 'secure'")[
            "share"
        ]
    )
    assert drawing.caption.startswith("2-way, unresolved insecure; n = 100 chains.")
    assert "kappa .04 [95 % CI −.17, .24]" in drawing.caption
    assert "p = .790" in drawing.caption
    assert "Error in the classes alone would leave .10; the test that allows for it: p = " in drawing.caption
    assert set(drawing.data["what"]) == {"chains", "projection"}
    assert svg_text(generation_flow.draw(tables, SETTINGS)) == svg_text(drawing)


def test_suppressed_chains_are_one_grey_band(tables: dict[str, pd.DataFrame]) -> None:
    chains = tables["generation_chains"]
    few = chains.assign(n=chains["n"].astype(float).where((chains["n"] >= 8) | (chains["n"] == 0)))
    drawing = generation_flow.draw({**tables, "generation_chains": few}, SETTINGS)
    flow = drawing.figure.axes[0]
    assert "secure\n≥ 46" in words(flow)
    assert "suppressed, classes not told: 16 (16 %)" in words(flow)
    assert "n = 100 chains. 3 kinds of chains are suppressed as small counts; in grey, 16 chains" in drawing.caption
    # The bars of a column and the grey band are as high as all chains.
    heights = [p.get_height() for p in flow.patches if isinstance(p, Rectangle)]
    assert sum(heights) == pytest.approx(3 * 0.84 + 0.16)


def test_chains_without_those_that_change_give_way_to_each_step(tables: dict[str, pd.DataFrame]) -> None:
    chains = tables["generation_chains"]
    few = chains.assign(n=chains["n"].astype(float).where(chains["grandparent_class"] == chains["parent_class"]))
    drawing = generation_flow.draw({**tables, "generation_chains": few}, SETTINGS)
    flow, _ = drawing.figure.axes
    bars, bands = 2 * 4, 2 * 4
    assert len(flow.patches) == bars + bands
    assert "grandparent to parent, 90 pairs" in words(flow)
    assert "28 (28 %)" in words(flow)
    assert "Each step is drawn by itself, not the chains: all chains in which grandparent and parent differ" in drawing.caption
    every = generation_flow.draw({**tables, "generation_chains": chains.assign(n=float("nan"))}, SETTINGS)
    assert len(every.figure.axes) == 2
    assert "all kinds of chains are suppressed" in every.caption


def test_a_flow_of_which_no_step_can_be_shown_is_left_out(tables: dict[str, pd.DataFrame]) -> None:
    chains, steps = tables["generation_chains"], tables["generation_transitions"]
    few = chains.assign(n=chains["n"].astype(float).where(chains["grandparent_class"] == chains["parent_class"]))
    tables = {**tables, "generation_transitions": steps.assign(n=steps["n"].astype(float).where(steps["n"] >= 16))}
    drawing = generation_flow.draw({**tables, "generation_chains": few}, SETTINGS)
    assert len(drawing.figure.axes) == 1
    assert "The flow is not drawn: all chains in which grandparent and parent differ are suppressed" in drawing.caption
    some = chains.assign(n=chains["n"].astype(float).where(chains["n"] >= 8))
    estimates = tables["estimates"].assign(n=float("nan"))
    untold = generation_flow.draw({**tables, "generation_chains": some, "estimates": estimates}, SETTINGS)
    assert len(untold.figure.axes) == 1
    assert "how many is not told" in untold.caption
    with pytest.raises(NothingToDraw, match="the flow is not drawn"):
        generation_flow.draw(
            {**tables, "generation_chains": few, "generation_projection": tables["generation_projection"].iloc[:0]}, SETTINGS
        )


def test_what_is_not_there_leaves_the_rest(tables: dict[str, pd.DataFrame]) -> None:
    none = tables["generation_projection"].iloc[:0]
    assert len(generation_flow.draw({**tables, "generation_projection": none}, SETTINGS).figure.axes) == 1
    empty = tables["generation_chains"].assign(n=0)
    alone = generation_flow.draw({**tables, "generation_chains": empty}, SETTINGS)
    assert len(alone.figure.axes) == 1
    assert "no chain" in alone.caption
    with pytest.raises(NothingToDraw, match="no chain of three generations"):
        generation_flow.draw({**tables, "generation_chains": empty, "generation_projection": none}, SETTINGS)


def test_three_classes_have_their_own_marks(tables: dict[str, pd.DataFrame]) -> None:
    three = {name: t[t["way"] == "3-way"] if "way" in t else t for name, t in tables.items()}
    projection = generation_flow.draw(three, SETTINGS).figure.axes[1]
    lines = [(line.get_label(), line.get_color(), line.get_marker()) for line in projection.get_lines()]
    assert len({(c, m) for _, c, m in lines}) == 4
    assert any(label == "lines that begin Ds" for label, *_ in lines)
    # Too many intervals to be read: those of the secure line and of everybody are drawn, and the caption says so.
    drawing = generation_flow.draw(three, SETTINGS)
    assert "Intervals of lines that begin Ds, E are not drawn" in drawing.caption
    assert "not drawn" not in generation_flow.draw(tables, SETTINGS).caption


def test_what_cannot_be_tested_is_told_below_the_table(tables: dict[str, pd.DataFrame]) -> None:
    first = tables["estimates"].iloc[:1]
    refused = first.assign(analysis="three_generations", estimand=NOT_TESTABLE, definition="a way", note="above the ceiling")
    estimates = pd.concat([tables["estimates"], refused], ignore_index=True)
    assert "A way: above the ceiling" in generations.build({**tables, "estimates": estimates}, SETTINGS).html


def test_the_table_puts_the_primary_way_first_and_names_what_error_leaves(tables: dict[str, pd.DataFrame]) -> None:
    table = generations.build(tables, SETTINGS)
    groups = list(dict.fromkeys(table.frame["group"]))
    assert groups[0] == "2-way, unresolved insecure (primary): Alike"
    assert groups[3] == "3-way: Alike"
    quantities = table.frame.set_index("quantity")
    assert quantities.loc["All three alike", "estimate"].iloc[0] == "49.0 %"
    assert "Of it, what error in the classes alone would leave" in quantities.index
    assert "The same, exact" not in quantities.index  # families with siblings
    assert "A secure line is secure in generation 2" in quantities.index
    assert "2-way, unresolved insecure: 100 chains; 3-way: 52 chains" in table.html
    empty = generations.build({**tables, "estimates": tables["estimates"].iloc[:0]}, SETTINGS)
    assert "No chains of three generations" in empty.html

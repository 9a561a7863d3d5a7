"""Every figure: it shows its data, says so in words, repeats to the byte, and refuses an empty table."""

from __future__ import annotations

import importlib
import re
import runpy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.files import write_table
from attachment_outcomes.plan import FIGURES
from attachment_outcomes.present.drawing import Drawing, NothingToDraw, not_drawn, save, svg_text


def module_of(name: str) -> Any:
    return importlib.import_module(f"attachment_outcomes.present.figures.{name}")


def names_of_figures() -> list[str]:
    folder = Path(importlib.import_module("attachment_outcomes.present.figures").__file__ or "").parent
    return sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__")


NAMES = names_of_figures()


MADE_UP = runpy.run_path(str(Path(__file__).parents[1] / "pages" / "made_up.py"))
SETTINGS: dict[str, Any] = MADE_UP["SETTINGS"]


@pytest.fixture(scope="module")
def made_up() -> dict[str, pd.DataFrame]:
    return MADE_UP["made_up_tables"]()


def drawn(name: str, tables: dict[str, pd.DataFrame], settings: dict[str, Any] = SETTINGS) -> Drawing:
    module = module_of(name)
    return module.draw({need: tables[need].copy() for need in module.NEEDS}, settings)


@pytest.fixture(scope="module")
def gallery(made_up: dict[str, pd.DataFrame]) -> dict[str, tuple[Drawing, str]]:
    """Return each figure, drawn once, with its SVG: drawing is what takes the time."""
    drawings = {name: drawn(name, made_up) for name in NAMES}
    return {name: (drawing, svg_text(drawing)) for name, drawing in drawings.items()}


def saved(drawing: Drawing, folder: Path) -> dict[str, bytes]:
    save(drawing, folder / "figure", caption=folder / "caption.txt")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_figure_of_the_plan_has_a_module_that_needs_what_the_plan_gives() -> None:
    assert set(FIGURES) <= set(NAMES)
    for name, item in FIGURES.items():
        assert set(module_of(name).NEEDS) == set(item.needs), name


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_repeats_to_the_byte_and_tells_what_it_shows(
    name: str, gallery: dict[str, tuple[Drawing, str]], made_up: dict[str, pd.DataFrame]
) -> None:
    first, svg = gallery[name]
    again = drawn(name, made_up)
    assert svg_text(again) == svg
    assert (again.caption, again.alt) == (first.caption, first.alt)
    assert re.search(r'<svg role="img" aria-label="[^"]{40,}"', svg)
    assert "<script" not in svg
    assert not re.search(r"\bnan\b", first.caption + first.alt, flags=re.IGNORECASE)
    assert first.caption.endswith(".")


@pytest.mark.parametrize("name", ["transmission_scatter", "rupture_prevalence"])
def test_every_format_repeats_to_the_byte(name: str, made_up: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    first, again = (saved(drawn(name, made_up), tmp_path / word) for word in ("first", "again"))
    assert list(first) == ["caption.txt", "figure.csv", "figure.pdf", "figure.png", "figure.svg"]
    assert [name for name in first if first[name] != again[name]] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_csv_is_what_is_plotted(name: str, gallery: dict[str, tuple[Drawing, str]], tmp_path: Path) -> None:
    data = gallery[name][0].data
    write_table(data, tmp_path / "figure.csv")
    read = pd.read_csv(tmp_path / "figure.csv")
    assert list(read.columns) == list(data.columns)
    assert len(read) == len(data) > 0
    for column in data.select_dtypes("number"):
        assert np.allclose(read[column].astype(float), data[column].astype(float), rtol=1e-10, equal_nan=True)
    assert not {"person_id", "client", "unit_id", "therapist_id"} & set(read.columns)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("style_flow", "claims_overview")])
def test_axes_carry_a_quantity_and_its_unit_or_direction(name: str, gallery: dict[str, tuple[Drawing, str]]) -> None:
    axes = [ax for ax in gallery[name][0].figure.axes if ax.axison]
    words = " ".join(f"{ax.get_xlabel()} {ax.get_ylabel()}" for ax in axes)
    assert re.search(r"score points|%|[Kk]appa|Correlation|alpha|class|Session number|CFI", words), words
    assert all(ax.get_xlabel() or ax.get_ylabel() for ax in axes)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_table_is_refused_by_name(name: str, made_up: dict[str, pd.DataFrame]) -> None:
    empty = {table: frame.iloc[0:0] for table, frame in made_up.items()}
    with pytest.raises(NothingToDraw, match=r"^(\w+): "):
        drawn(name, empty)


@pytest.mark.parametrize("name", NAMES)
def test_no_tick_labels_of_a_figure_overlap(name: str, gallery: dict[str, tuple[Drawing, str]]) -> None:
    figure = gallery[name][0].figure
    for ax in [a for a in figure.axes if a.axison]:
        for axis in (ax.xaxis, ax.yaxis):
            boxes = [t.get_window_extent() for t in axis.get_ticklabels() if t.get_visible() and t.get_text()]
            inside = [b for b in boxes if b.width > 0]
            order = sorted(inside, key=lambda b: b.x0 if axis is ax.xaxis else b.y0)
            for a, b in pairwise(order):
                gap = b.x0 - a.x1 if axis is ax.xaxis else b.y0 - a.y1
                assert gap > -1.0, f"{name}: tick labels overlap by {-gap:.1f} pixels"


def test_captions_print_the_estimates_with_their_intervals(gallery: dict[str, tuple[Drawing, str]]) -> None:
    assert "recovered 35.0 % [31.0, 39.0]" in gallery["jacobson"][0].caption
    assert "repaired − none −1.20 [−2.80, 0.40], p = .012" in gallery["rupture_outcome"][0].caption
    assert "kappa .42 [95 % CI .37, .47]" in gallery["transmission_mosaic"][0].caption
    assert "prediction interval [.22, .66]" in gallery["forest"][0].caption
    assert "slope −0.12" in gallery["growth"][0].caption
    assert "People with the outcome at both occasions 82.0 %" in gallery["completeness"][0].caption
    assert "6 supported, 6 contradicted, 6 inconclusive, 6 not testable" in gallery["claims_overview"][0].caption


def test_suppressed_cells_are_named_and_never_guessed(made_up: dict[str, pd.DataFrame]) -> None:
    moves = made_up["transitions"].copy()
    moves.loc[[1, 3], "n"] = np.nan
    flow = drawn("style_flow", made_up | {"transitions": moves})
    assert "2 moves are suppressed" in flow.caption
    assert any("≥ 34" in text.get_text() for text in flow.figure.axes[0].texts)
    cells = made_up["residuals"].copy()
    cells.loc[[8, 10], ["n", "expected", "residual"]] = np.nan
    mosaic = drawn("transmission_mosaic", made_up | {"residuals": cells})
    assert "n = at least 535 pairs" in mosaic.caption
    assert sum(text.get_text() == "suppressed" for text in mosaic.figure.axes[0].texts) == 2
    funnel = made_up["funnel"].copy()
    funnel.loc[funnel.index[:4], ["events", "proportion"]] = np.nan
    assert "points with small counts are suppressed" in drawn("audit_funnel", made_up | {"funnel": funnel}).caption


def test_a_rate_whose_units_are_mostly_suppressed_is_not_drawn(made_up: dict[str, pd.DataFrame]) -> None:
    funnel = made_up["funnel"].copy()
    recovery = funnel.index[funnel["rate"] == "recovery"]
    funnel.loc[recovery[:20], ["events", "proportion"]] = np.nan
    drawing = drawn("audit_funnel", made_up | {"funnel": funnel})
    assert "Not drawn, as the counts of most units are suppressed or zero: recovery" in drawing.caption
    assert set(drawing.data["rate"]) == {"dropout"}


def test_units_below_the_threshold_are_not_plotted(made_up: dict[str, pd.DataFrame]) -> None:
    data = drawn("audit_funnel", made_up, SETTINGS | {"threshold": 20}).data
    assert data["n"].min() >= 20
    assert "unit_id" not in data


def test_a_small_rupture_group_is_named_but_not_shown(made_up: dict[str, pd.DataFrame]) -> None:
    rows = made_up["rupture_outcomes"]
    few = pd.concat([rows[rows["group"] != "unrepaired"], rows[rows["group"] == "unrepaired"].head(3)])
    drawing = drawn("rupture_outcome", made_up | {"rupture_outcomes": few})
    assert "Groups too small to be shown: unrepaired" in drawing.caption
    assert "unrepaired" not in set(drawing.data["group"])


def test_many_people_are_shown_as_a_density_without_small_bins(made_up: dict[str, pd.DataFrame]) -> None:
    drawing = drawn("attachment_space", made_up | {"styles": MADE_UP["styles"](3000)})
    assert list(drawing.data.columns) == ["avoidance", "anxiety", "n"]
    assert drawing.data["n"].min() >= SETTINGS["threshold"]


def test_the_series_shown_is_that_of_the_client_with_most_ruptures(made_up: dict[str, pd.DataFrame]) -> None:
    data = drawn("alliance_series", made_up).data
    assert data["score"].min() == 2.9, "client c1, not the calm one"


def test_a_reason_stands_where_nothing_can_be_drawn(tmp_path: Path) -> None:
    made = saved(not_drawn("growth: no growth model was fitted"), tmp_path)
    assert "no growth model was fitted" in made["caption.txt"].decode()
    assert b"%PDF" in made["figure.pdf"][:8]
    assert 'aria-label="No figure: growth: no growth model was fitted"' in svg_text(not_drawn("growth: no growth model was fitted"))

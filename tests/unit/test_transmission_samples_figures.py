"""Figures and tables of samples, drawn from made-up tables and from what suppression leaves of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.inference.estimate import read_estimates
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.figures import forest, galbraith, sample_influence
from attachment_outcomes.present.tables import samples as samples_table
from attachment_outcomes.present.tables import transmission_literature

MADE_UP = Path(__file__).resolve().parents[1] / "pages" / "transmission"
SETTINGS = {"ci_level": 0.95, "threshold": 5, "transmission": {"samples": {"order": "year"}}}
NUMBERS = ["n", "estimate", "ci_low", "ci_high", "effect", "std_error", "precision", "standardised"]


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    names = ("sample_effects", "sample_influence", "sample_statistics", "transmission_literature")
    found = {name: pd.read_csv(MADE_UP / f"{name}.csv") for name in names}
    return found | {"estimates": read_estimates(str(MADE_UP / "estimates_samples.csv"))}


def own_suppressed(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    effects = tables["sample_effects"].copy()
    effects.loc[effects["own"], [*NUMBERS, "weight"]] = np.nan
    return {**tables, "sample_effects": effects}


def test_the_forest_is_sorted_and_marks_own_and_miscounted_samples(tables: dict[str, pd.DataFrame]) -> None:
    drawing = forest.draw(tables, SETTINGS)
    ax = drawing.figure.axes[0]
    ticks = [t.get_text() for t in ax.get_yticklabels()]
    assert ticks[0] == "Author1 & Coauthor1 (1990) (n = 25)"
    assert ticks[-3:] == ["pooled, random effects", "pooled, samples in clusters", "all tables summed"]
    assert drawing.data["estimate"].is_monotonic_decreasing
    bold = [t.get_text() for t in ax.get_yticklabels() if t.get_fontweight() == "bold"]
    assert bold[0] == "This study (2-way, unresolved insecure) (n = 60)"
    assert drawing.data.loc[drawing.data["differs"], "sample_id"].tolist() == ["s04"]
    assert "own counts (1)" in drawing.caption
    row = tables["estimates"].query("analysis == 'pooled_samples' and estimand == 'kappa' and primary").iloc[0]
    assert f"{row['estimate']:.2f}"[1:] in drawing.caption
    assert "prediction interval [" in drawing.caption
    assert ax.get_xlabel() == "kappa (0 = chance, 1 = all agree)"
    assert drawing.data["weight"].sum() == pytest.approx(1, abs=1e-3)
    assert svg_text(forest.draw(tables, SETTINGS)) == svg_text(drawing)


def test_a_forest_of_67_samples_keeps_its_labels_apart(tables: dict[str, pd.DataFrame]) -> None:
    rows = tables["sample_effects"].query("primary and not own")
    many = pd.concat([rows.assign(sample_id=rows["sample_id"] + f"_{i}", label=rows["label"] + f" {i}") for i in range(6)]).head(67)
    figure = forest.draw({**tables, "sample_effects": many.assign(weight=1 / 67)}, SETTINGS).figure
    figure.draw_without_rendering()
    boxes = sorted((t.get_window_extent() for t in figure.axes[0].get_yticklabels()), key=lambda b: b.y0)
    assert len(boxes) == 67 + 3
    assert all(b.y0 >= a.y1 - 0.5 for a, b in pairwise(boxes))


def test_other_measures_have_their_own_axes(tables: dict[str, pd.DataFrame]) -> None:
    for measure, label, log in (("agreement", "pairs that correspond (%)", False), ("odds_ratio", "odds ratio of", True)):
        effects = tables["sample_effects"].assign(primary=tables["sample_effects"]["measure"] == measure)
        ax = forest.draw({**tables, "sample_effects": effects}, SETTINGS).figure.axes[0]
        assert ax.get_xlabel().startswith(label)
        assert (ax.get_xscale() == "log") is log


def test_a_suppressed_own_sample_is_named_and_leaves_the_rest(tables: dict[str, pd.DataFrame]) -> None:
    hidden = own_suppressed(tables)
    drawing = forest.draw(hidden, SETTINGS)
    assert "suppressed" in [t.get_text() for t in drawing.figure.axes[0].texts]
    assert "1 suppressed because of small counts" in drawing.caption
    assert "n = at least" in drawing.caption
    radial = galbraith.draw(hidden, SETTINGS)
    assert "12 samples" in radial.caption
    assert "1 suppressed because of small counts" in radial.caption
    nobody = hidden["sample_effects"].assign(estimate=np.nan, effect=np.nan)
    for figure in (forest, galbraith):
        with pytest.raises(NothingToDraw, match="sample_effects"):
            figure.draw({**hidden, "sample_effects": nobody}, SETTINGS)


def test_the_galbraith_plot_names_the_samples_outside_its_band(tables: dict[str, pd.DataFrame]) -> None:
    drawing = galbraith.draw(tables, SETTINGS)
    off = drawing.data.loc[drawing.data["off"].abs() > 2, "label"]
    assert 0 < len(off) < len(drawing.data)
    named = {t.get_text() for t in drawing.figure.axes[0].texts}
    assert named == set(off)
    assert all(name in drawing.caption for name in off)
    pooled = tables["estimates"].query("analysis == 'pooled_samples' and estimand == 'kappa' and primary")["estimate"].iloc[0]
    line = drawing.figure.axes[0].lines[1]
    x, y = line.get_data()
    assert y[1] / x[1] == pytest.approx(pooled, rel=1e-3)
    few = tables["sample_effects"].query("primary").head(2)
    with pytest.raises(NothingToDraw, match="fewer than 3 samples"):
        galbraith.draw({**tables, "sample_effects": few}, SETTINGS)


def test_influence_has_two_panels_where_samples_have_an_order(tables: dict[str, pd.DataFrame]) -> None:
    drawing = sample_influence.draw(tables, SETTINGS)
    left, right = drawing.figure.axes
    assert [left.get_title(loc="left"), right.get_title(loc="left")] == ["Without the sample", "All samples up to the year"]
    assert len(left.get_yticklabels()) == 13
    assert right.get_yticklabels()[0].get_text() == "1988 (k = 1)"
    assert "In order of year: 1988" in drawing.caption
    rows = tables["sample_influence"]
    alone = sample_influence.draw({**tables, "sample_influence": rows[rows["kind"] == "without"]}, SETTINGS)
    assert len(alone.figure.axes) == 1
    assert "In order of" not in alone.caption
    with pytest.raises(NothingToDraw, match="fewer than 3 pooled samples"):
        sample_influence.draw({**tables, "sample_influence": rows.iloc[:0]}, SETTINGS)


def test_the_table_of_samples_has_a_section_for_each_question(tables: dict[str, pd.DataFrame]) -> None:
    frame = samples_table.build(tables, SETTINGS).frame
    headings = list(dict.fromkeys(frame["system"]))
    assert headings == [
        "secure/insecure", "Stated kappas against counts", "secure/insecure, pooled", "secure/insecure, all tables summed",
        "secure/insecure, what goes with differences", "secure/insecure, influence and small samples",
    ]  # fmt: skip
    marked = frame[(frame["system"] == "secure/insecure") & (frame["remark"] == "stated kappa differs")]
    assert marked["sample"].tolist() == ["Author4 & Coauthor4 (1996)"]
    assert frame["sample"].str.contains("Kappa, three levels, CR2").any()


def test_the_table_of_the_literature_tells_standing_and_hides_small_counts(tables: dict[str, pd.DataFrame]) -> None:
    built = transmission_literature.build(tables, SETTINGS)
    rows = built.frame.set_index("published")
    secure = rows.loc["Secure with secure (van IJzendoorn, 1995)"]
    assert secure["value"] == "d = 1.06"
    assert secure["remark"].startswith("r = .47, derived")
    assert secure["this study [95 % CI]"].startswith("d = ")
    assert "not in its source" in rows.loc["Infants secure (van IJzendoorn and Kroonenberg, 1988)", "remark"]
    noted = tables["transmission_literature"].assign(note="Rounded.", verified=False, standing="stored", metric="r")
    assert set(transmission_literature.build({"transmission_literature": noted}, SETTINGS).frame["remark"]) == {
        "Rounded; read in another document, not in its source"
    }
    few = tables["transmission_literature"].assign(own=np.nan, own_low=np.nan, own_high=np.nan, own_n=np.nan)
    hidden = transmission_literature.build({"transmission_literature": few}, SETTINGS).frame.set_index("published")
    assert hidden.loc["Secure with secure (van IJzendoorn, 1995)", "this study [95 % CI]"] == "suppressed"
    doubtful = tables["transmission_literature"].assign(standing="recalled")
    told = transmission_literature.build({"transmission_literature": doubtful}, SETTINGS).frame
    assert told["remark"].str.contains("recalled, not checked").all()
    none = transmission_literature.build({"transmission_literature": few.iloc[:0]}, SETTINGS)
    assert "nothing to set beside" in none.html

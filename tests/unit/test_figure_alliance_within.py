"""The figure of sessions within clients: what it shows, says and refuses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from attachment_outcomes.inference.estimate import read_estimates
from attachment_outcomes.present.drawing import NothingToDraw
from attachment_outcomes.present.figures.alliance_within import NEEDS, draw

PAGES = Path(__file__).parents[1] / "pages" / "rupture"
WAI = {"title": "Total", "instrument": "WAI-SR", "direction": "higher is better"}
SETTINGS = {"ci_level": 0.95, "scales": {"wai_sr.total": WAI}}


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    bins = pd.read_csv(PAGES / "alliance_within_bins.csv")
    return dict(zip(NEEDS, (bins, read_estimates(str(PAGES / "estimates_within.csv"))), strict=True))


def test_both_directions_are_drawn_with_every_slope_and_tenth(tables: dict[str, pd.DataFrame]) -> None:
    drawing = draw(tables, SETTINGS)
    assert [ax.get_title(loc="left") for ax in drawing.figure.axes[:2]] == ["WAI-SR before Symptoms", "Symptoms before WAI-SR"]
    slopes = drawing.data[drawing.data["panel"] == "slopes"]
    adjusted = "estimand == 'within_next_session' and definition != 'unadjusted'"
    expected = tables["estimates"].query(f"estimand == 'within_lag' or ({adjusted})")
    assert sorted(slopes["estimate"]) == sorted(expected["estimate"])
    assert (drawing.data["panel"] == "means").sum() == 20
    own = tables["estimates"].query("outcome == 'symptoms' and primary and estimand == 'within_next_session'")
    assert own["definition"].tolist() == ["adjusted, own trends"]
    told = f"{own['estimate'].iloc[0]:.2f}".replace("-", "−")
    assert f"WAI-SR before symptoms: {told} [" in drawing.caption
    assert "Associations within clients, not effects." in drawing.caption


def test_correlated_errors_and_missing_slopes_are_told(tables: dict[str, pd.DataFrame]) -> None:
    rows = tables["estimates"]
    assert draw(tables, SETTINGS).caption.count("and a straight trend of each client") == 2
    slope = rows["estimand"] == "within_next_session"
    rows["primary"] = slope & (rows["definition"] == "adjusted, instruments")
    assert draw(tables, SETTINGS).caption.count("so read it with caution") == 0
    serial = (rows["estimand"] == "residual_autocorrelation") & (rows["definition"] == "adjusted, instruments")
    rows.loc[serial, ["estimate", "ci_low", "ci_high"]] = [0.3, 0.25, 0.35]
    assert draw(tables, SETTINGS).caption.count("so read it with caution") == 2
    tables["estimates"] = rows[~rows["primary"]]
    assert draw(tables, SETTINGS).caption.count("no slope given the session's own score can be had") == 2


def test_without_pairs_nothing_is_drawn(tables: dict[str, pd.DataFrame]) -> None:
    with pytest.raises(NothingToDraw, match="no ratings of alliance and symptoms"):
        draw({**tables, "alliance_within_bins": tables["alliance_within_bins"].iloc[:0]}, SETTINGS)

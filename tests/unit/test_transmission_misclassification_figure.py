"""The figure of agreement as seen and without error: what it shows and says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.inference.estimate import estimates_frame, not_testable, read_estimates
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.figures import corrected_agreement

PAGES = Path(__file__).parents[1] / "pages" / "transmission"
SETTINGS: dict[str, Any] = {"ci_level": 0.95}


@pytest.fixture
def estimates() -> pd.DataFrame:
    return read_estimates(str(PAGES / "estimates_misclassification.csv"))


def test_every_way_has_its_row_the_primary_one_first(estimates: pd.DataFrame) -> None:
    drawing = corrected_agreement.draw({"estimates": estimates}, SETTINGS)
    agreement, kappa = drawing.figure.axes
    ways = [t.get_text().replace("\n", " ") for t in agreement.get_yticklabels()]
    assert ways == ["4-way", "3-way", "2-way, unresolved insecure", "2-way, forced", "2-way, disorganised"]
    rows = estimates.set_index(["definition", "group", "estimand"])
    marks = [line for line in agreement.lines if line.get_marker() in ("o", "s", "|", "x")]
    assert [line.get_xdata()[0] for line in marks[:4]] == [
        rows.loc[("4-way", group, estimand), "estimate"]
        for group, estimand in (
            ("observed", "agreement"), ("corrected", "agreement"), ("ceiling", "agreement"), ("observed", "chance_agreement")
        )
    ]  # fmt: skip
    assert len(marks) == 4 * 5
    # Three intervals a way, that of the ceiling too.
    assert sum(len(lines.get_segments()) for lines in agreement.collections) == 3 * 5
    assert {line.get_marker() for line in kappa.lines if len(line.get_xdata()) == 1} == {"o", "s", "|", ">"}
    assert kappa.get_xlim()[1] == corrected_agreement.MOST


def test_the_caption_names_every_number_and_what_is_doubtful(estimates: pd.DataFrame) -> None:
    caption = corrected_agreement.draw({"estimates": estimates}, SETTINGS).caption
    assert "4-way: agreement 62.3 % [56.5, 68.1] as seen, 76.1 % [65.9, 90.8] without error, about 76.6 % [" in caption
    assert "to be seen if transmission were perfect" in caption
    assert "at most" not in caption
    assert "kappa .43 [.35, .51] as seen" in caption
    assert "above the ceiling" not in caption
    assert "taken to be independent" in caption
    above = estimates.assign(note=estimates["note"] + "; what is seen is above the ceiling")
    assert "more reliable here than was given: 4-way; 3-way" in corrected_agreement.draw({"estimates": above}, SETTINGS).caption


def test_suppressed_numbers_are_named_and_nothing_stands_in_for_them(estimates: pd.DataFrame) -> None:
    few = estimates["definition"] == "2-way, disorganised"
    estimates.loc[few, ["estimate", "std_error", "ci_low", "ci_high"]] = np.nan
    estimates.loc[few, "note"] = "suppressed: a count below 5 could be read from it"
    drawing = corrected_agreement.draw({"estimates": estimates}, SETTINGS)
    for ax in drawing.figure.axes:
        assert [t.get_text() for t in ax.texts] == ["suppressed", "suppressed"]
    assert "Small counts are suppressed" in drawing.caption
    assert "nan" not in drawing.caption
    svg_text(drawing)


def test_ways_without_a_correction_are_told(estimates: pd.DataFrame) -> None:
    silent = not_testable("transmission_corrected", "the reliability of parents' classes is not given in this way")
    told = estimates_frame([silent]).assign(definition="3-way")
    kept = pd.concat([estimates[estimates["definition"] != "3-way"], told], ignore_index=True)
    drawing = corrected_agreement.draw({"estimates": kept}, SETTINGS)
    assert "Not corrected: 3-way (the reliability of parents' classes is not given in this way)" in drawing.caption
    assert len(drawing.figure.axes[0].get_yticklabels()) == 4
    with pytest.raises(NothingToDraw, match="could be corrected"):
        corrected_agreement.draw({"estimates": told}, SETTINGS)

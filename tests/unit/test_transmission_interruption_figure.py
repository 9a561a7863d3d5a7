"""What the figure of interruption shows and says, also where counts are suppressed or groups are absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.inference.estimate import estimates_frame, read_estimates
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.figures import interruption
from attachment_outcomes.present.tables import arms as interruption_table
from attachment_outcomes.release.disclosure import suppress_estimates
from attachment_outcomes.transmission.interruption import interrupted_transmission, unchanged_class

PAGES = Path(__file__).parents[1] / "pages" / "transmission"
SETTINGS = {"ci_level": 0.95}


@pytest.fixture
def estimates() -> pd.DataFrame:
    return read_estimates(str(PAGES / "estimates_interruption.csv"))


def told(ax) -> list[str]:
    return [t.get_text() for t in ax.texts]


def test_arms_stand_in_blocks_with_the_share_that_no_effect_would_give(estimates: pd.DataFrame) -> None:
    drawing = interruption.draw({"estimates": estimates}, SETTINGS)
    (ax,) = drawing.figure.axes
    assert [t.get_text().replace("\n", " ") for t in ax.get_yticklabels()] == [
        "Parent insecure before", "– and insecure after", "– and secure after", "Parent secure before",
        "Families without treatment, parent insecure", "Earlier samples, parent insecure",
    ]  # fmt: skip
    assert "55 % [40, 68]; 44" in told(ax)
    dashed = [c for c in ax.collections if c.get_linestyle()[0][1] is not None]
    assert [float(c.get_segments()[0][0][0]) for c in dashed] == [pytest.approx(0.3333)]
    assert "Number needed to treat 4.7 [2.5, 355.1]" in drawing.caption
    assert "Arms were allotted at random" in drawing.caption
    assert "suppressed" not in drawing.caption
    assert "Parent insecure before and secure after, treated: 70 %" in drawing.alt
    assert len(drawing.data) == 10


def test_what_is_suppressed_is_named_and_nothing_stands_in_its_place(estimates: pd.DataFrame) -> None:
    released = suppress_estimates(estimates, threshold=5)
    hidden = int(released.loc[released["estimand"] == "child_secure", "estimate"].isna().sum())
    assert 2 <= hidden < 10  # the small ones, and the other part of an arm that would give them back
    drawing = interruption.draw({"estimates": released}, SETTINGS)
    (ax,) = drawing.figure.axes
    assert told(ax).count("suppressed") == hidden
    assert "Small counts are suppressed" in drawing.caption
    assert len(ax.lines) == 10 - hidden + 1  # the marks and the line above what stands beside
    svg_text(drawing)


def test_without_the_comparisons_share_there_is_no_expectation(estimates: pd.DataFrame) -> None:
    numbers = ["estimate", "std_error", "ci_low", "ci_high"]
    hidden = estimates.copy()
    hidden.loc[hidden["group"] == "comparison, parent insecure", numbers] = np.nan
    drawing = interruption.draw({"estimates": hidden}, SETTINGS)
    legend = [t.get_text() for t in drawing.figure.legends[0].get_texts()]
    assert legend == ["treated", "comparison", "beside, not compared"]


def test_an_association_is_called_one_and_infinity_told(estimates: pd.DataFrame) -> None:
    chosen = estimates.copy()
    chosen["note"] = chosen["note"].str.replace("arms were allotted at random", "an association: arms were not allotted at random")
    needed = chosen["estimand"] == "number_needed_to_treat"
    words = "the interval runs from 2.5 to benefit through infinity (no difference) to 9.0 to harm; an association: so"
    chosen.loc[needed, ["ci_low", "ci_high"]] = np.nan
    chosen.loc[needed, "note"] = words
    caption = interruption.draw({"estimates": chosen}, SETTINGS).caption
    assert "Associations: arms were not allotted at random" in caption
    assert "through infinity (no difference) to 9.0 to harm" in caption


def test_a_study_of_insecure_parents_with_no_second_interview_has_one_block(estimates: pd.DataFrame) -> None:
    few = estimates[estimates["group"].isin(["treated, parent insecure", "comparison, parent insecure", "parent insecure"])]
    drawing = interruption.draw({"estimates": few}, SETTINGS)
    assert [t.get_text() for t in drawing.figure.axes[0].get_yticklabels()] == ["Parent insecure before"]
    assert "formed after treatment" not in drawing.caption


def test_without_arms_there_is_nothing_to_draw(estimates: pd.DataFrame) -> None:
    with pytest.raises(NothingToDraw, match="no arms"):
        interruption.draw({"estimates": estimates[estimates["estimand"] != "child_secure"]}, SETTINGS)


def test_the_table_stands_under_five_headings_with_what_it_cannot_tell(estimates: pd.DataFrame) -> None:
    table = interruption_table.build({"estimates": estimates}, SETTINGS)
    assert list(dict.fromkeys(table.frame["group"])) == interruption_table.HEADINGS
    assert len(table.frame) == len(estimates)
    text = table.html
    assert "allotted at random" in text
    assert "Not told" not in text
    reason = estimates.iloc[[0]].assign(estimand="not testable", note="odds ratio: too few pairs", estimate=np.nan)
    told_too = interruption_table.build({"estimates": pd.concat([estimates, reason])}, SETTINGS)
    assert "Not told: odds ratio: too few pairs" in told_too.html
    nothing = interruption_table.build({"estimates": estimates[:0]}, SETTINGS)
    assert "No arms with classified parents" in nothing.html


@pytest.mark.parametrize("randomised", [True, False])
def test_arms_are_called_allotted_only_where_they_were_also_with_a_second_interview(randomised: bool) -> None:
    """The warning on groups by the class after also speaks of arms allotted at random, in every study."""
    rng = np.random.default_rng(0)
    words = ["secure", "insecure"]
    classes = {column: rng.choice(words, 80) for column in ("before", "after", "child")}
    pairs = pd.DataFrame({"arm": ["treated", "comparison"] * 40, **classes})
    rows = interrupted_transmission(pairs, randomised=randomised) + unchanged_class(pairs, randomised=randomised)
    found = estimates_frame(rows).assign(study="made_up")
    table, caption = (
        interruption_table.build({"estimates": found}, SETTINGS).html,
        interruption.draw({"estimates": found}, SETTINGS).caption,
    )
    for text in (table, caption):
        assert ("Arms were allotted at random" in text) == randomised
        assert ("arms were not allotted at random" in text) == (not randomised)

"""The figures of rules compared and the table of minimal differences: what they show, say, and refuse."""

from __future__ import annotations

import runpy
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.change.rules_compared import TABLES, no_tables
from attachment_outcomes.inference.estimate import Estimate, estimates_frame
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.figures import rule_agreement, rule_sensitivity
from attachment_outcomes.present.tables import minimal_change

MADE_UP = runpy.run_path(str(Path(__file__).parents[1] / "pages" / "made_up.py"))
SETTINGS: dict[str, Any] = MADE_UP["SETTINGS"]
RULES = ["JT", "GLN", "EN", "half SD"]


def made() -> dict[str, pd.DataFrame]:
    """Return tables of two outcomes with numbers that can be told apart."""
    pairs, patterns, curves = [], [], []
    for outcome, shift in (("core10.total", 0.0), ("ecr_r.anxiety", -0.1)):
        for k, (a, b) in enumerate(combinations(RULES, 2)):
            kappa = 0.91 - 0.1 * k + shift
            pairs.append((outcome, a, b, kappa, kappa - 0.05, kappa + 0.05, kappa + 0.02, 0.95, 120))
        for direction, sets in (
            ("improved", [("no rule", 60), ("JT + GLN + EN + half SD", 30), ("EN + half SD", 20), ("other", 10)]),
            ("deteriorated", [("no rule", 105), ("other", 15)]),
        ):
            patterns += [(outcome, direction, pattern, n) for pattern, n in sets]
        for parameter, rule, values, used in (
            ("reliability", "JT", [0.6, 0.8, 0.88, 0.98], 0.88),
            ("least change that counts", "MID", [1.0, 4.0, 6.0, 9.0], 6.0),
        ):
            for value in values:
                for estimand, share in (("improved", 0.5), ("recovered", 0.3), ("deteriorated", 0.1)):
                    row = (outcome, parameter, rule, value, estimand, share, share - 0.05, share + 0.05, 0.025, value == used, 120)
                    curves.append(row)
    rows = {"rule_agreement": pairs, "rule_patterns": patterns, "rule_sensitivity": curves}
    return {name: pd.DataFrame(rows[name], columns=list(TABLES[name])).astype(TABLES[name]) for name in TABLES}


@pytest.mark.parametrize("module", [rule_agreement, rule_sensitivity])
def test_a_figure_repeats_to_the_byte_and_refuses_an_empty_table(module: Any) -> None:
    one, two = (svg_text(module.draw(made(), SETTINGS)) for _ in range(2))
    assert one == two
    with pytest.raises(NothingToDraw, match=module.NEEDS[0]):
        module.draw(no_tables(), SETTINGS)


def test_agreement_shows_the_primary_outcome_and_tells_the_others() -> None:
    drawing = rule_agreement.draw(made(), SETTINGS)
    assert set(drawing.data["outcome"]) == {"core10.total"}
    assert len(drawing.data) == 6 + 6
    assert "lowest between EN and half SD .41 [95 % CI .36, .46]" in drawing.caption
    assert "highest between JT and GLN .91 [95 % CI .86, .96]" in drawing.caption
    assert "The median kappa is .66" in drawing.caption
    assert "ECR-R: Attachment anxiety .56" in drawing.caption
    texts = [t.get_text() for ax in drawing.figure.axes for t in ax.texts]
    assert texts.count(".91") == 1
    assert "other sets, pooled" in texts
    # EN and half SD call 50 people improved, JT and GLN 30.
    assert [t.get_text() for t in drawing.figure.axes[3].get_yticklabels()] == ["EN", "half SD", "JT", "GLN"]


def test_agreement_without_defined_kappa_or_with_suppressed_sets_says_so() -> None:
    tables = made()
    tables["rule_agreement"].loc[0, ["kappa", "ci_low", "ci_high"]] = np.nan
    tables["rule_patterns"]["n"] = tables["rule_patterns"]["n"].astype(float)
    tables["rule_patterns"].loc[2, "n"] = np.nan
    drawing = rule_agreement.draw(tables, SETTINGS)
    assert "1 sets are suppressed as small counts" in drawing.caption
    assert "–" in [t.get_text() for ax in drawing.figure.axes for t in ax.texts]
    assert "highest between JT and EN .81" in drawing.caption


def test_agreement_is_drawn_without_any_set() -> None:
    tables = made()
    tables["rule_patterns"] = tables["rule_patterns"].iloc[:0]
    assert len(rule_agreement.draw(tables, SETTINGS).data) == 6


def test_sensitivity_marks_the_value_in_use_and_prints_its_share() -> None:
    drawing = rule_sensitivity.draw(made(), SETTINGS)
    assert "50.0 % [95 % CI 45.0, 55.0] at the .88 in use, 2.5 % expected without change" in drawing.caption
    assert "improved 50 % at least change that counts 1.00 points and 50 % at 9.00 points" in drawing.caption
    assert len(drawing.data) == 48
    panels = [ax for ax in drawing.figure.axes if ax.axison]
    assert [ax.get_xlabel() for ax in panels] == [*rule_sensitivity.AXES.values()] * 2
    upright = [line for line in panels[0].lines if list(line.get_xdata()) == [0.88, 0.88]]
    assert len(upright) == 1


def test_sensitivity_without_a_value_in_use_has_no_mark() -> None:
    tables = made()
    tables["rule_sensitivity"]["in_use"] = False
    drawing = rule_sensitivity.draw(tables, SETTINGS)
    assert "in use" not in drawing.caption.replace("the value in use", "")
    names = [t.get_text() for legend in drawing.figure.legends for t in legend.get_texts()]
    assert "value in use" not in names


def rows(eligible: bool) -> pd.DataFrame:
    shared = {"analysis": "minimal_change", "outcome": "ecr_r.anxiety", "method": "made up", "n": 120.0}
    anchor = {"definition": "core10.total changed towards better by 6 or beyond", **shared}
    worth = f"anchor {'eligible' if eligible else 'not eligible'}: AUC 0.75, correlation 0.40"
    return estimates_frame(
        [
            Estimate(estimand="roc_youden", estimate=0.55, ci_low=0.3, ci_high=0.8, unit="score points", note=worth, **anchor),
            Estimate(estimand="auc", estimate=0.75, unit="area", note=worth, **anchor),
            Estimate(estimand="half_sd", estimate=0.6, unit="score points", definition="distribution", **shared),
        ]
    )


@pytest.mark.parametrize("eligible", [True, False])
def test_the_table_of_mids_says_whether_the_anchor_is_worth_using(eligible: bool) -> None:
    table = minimal_change.build({"estimates": rows(eligible)}, SETTINGS)
    assert table.frame["quantity"].tolist() == ["ROC, Youden's point", "Area under the ROC curve", "Half an SD before treatment"]
    head = table.frame["group"].iloc[0]
    assert head.startswith("ECR-R: Attachment anxiety, by anchor: CORE-10 changed towards better by 6 or beyond")
    assert ("anchor not eligible" in head) is not eligible
    assert table.frame["estimate"].iloc[0] == "0.55 points"
    assert "No minimal important difference" in minimal_change.build({"estimates": rows(True).iloc[:0]}, SETTINGS).html

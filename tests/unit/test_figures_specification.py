"""What the figures and tables of specification curves and of equivalence show and say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.change.equivalence import TABLES, Asked, adjusted_families
from attachment_outcomes.change.specification.curve import COLUMNS
from attachment_outcomes.inference.equivalence import estimate_equivalence
from attachment_outcomes.inference.estimate import Estimate, estimates_frame
from attachment_outcomes.inference.steps import typed_table
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.figures import equivalence, specification_curve
from attachment_outcomes.present.tables import equivalence_tests as equivalence_table
from attachment_outcomes.present.tables import specifications as specifications_table

SETTINGS: dict[str, Any] = {
    "change": {"outcomes": [{"score": "core10.total"}]},
    "scales": {"core10.total": {"title": "Total", "instrument": "CORE-10", "direction": "higher is worse", "range": [0, 40]}},
}


def specifications(rules: int = 3) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for i in range(rules):
        for j, handling in enumerate(("complete pairs", "last value carried forward", "best case")):
            for way in ("therapists", "independent"):
                p = 0.3 + 0.1 * i - 0.02 * j
                standing = ("defensible", "discredited", "bound")[j]
                rows.append(
                    {"outcome": "core10.total", "estimand": "recovered", "rule": f"R{i}", "reliability_source": "study",
                     "reliability": 0.9, "cutoff": "c", "cutoff_value": 12.0, "occasions": "first to last", "handling": handling,
                     "standing": standing, "clusters": way, "primary": i == j == 0 and way == "therapists", "estimate": p,
                     "std_error": 0.02, "ci_low": p - 0.04, "ci_high": p + 0.04, "expected": 0.01, "n": 100.0 + j,
                     "n_clusters": 12.0, "refused": "", "note": ""}
                )  # fmt: skip
    gone = {**rows[0], "rule": "HLL", "estimate": np.nan, "ci_low": np.nan, "ci_high": np.nan, "n": np.nan, "primary": False}
    return typed_table([*rows, {**gone, "refused": "method HLL: needs control_post_mean. Hint: give it."}], COLUMNS)


def estimates() -> pd.DataFrame:
    keys: dict[str, Any] = {"analysis": "specification_curve", "outcome": "core10.total", "group": "recovered", "method": "made up"}
    numbers = {"median": 0.39, "first_quartile": 0.33, "third_quartile": 0.45, "lowest": 0.28, "highest": 0.5,
               "share_beyond_expected": 0.5}  # fmt: skip
    rows = [Estimate(estimand=k, estimate=v, unit="proportion", n=100, **keys) for k, v in numbers.items()]
    rows.append(Estimate(estimand="n_specifications", estimate=6, unit="specifications", n=100, **keys))
    shares = {"rule": 0.9, "handling": 0.08, "combinations": 0.02}
    rows += [Estimate(estimand="variance_share", definition=k, estimate=v, unit="proportion", **keys) for k, v in shares.items()]
    return estimates_frame(rows)


def equivalences() -> pd.DataFrame:
    points: tuple[str, str, str] = ("score points", "", "given")
    asked = [
        Asked("end and norm", "core10.total", "", True, estimate_equivalence(5.0, 0.3, low=-1, high=1), *points),
        Asked("no relevant change", "core10.total", "", True, estimate_equivalence(0.1, 0.2, low=-1, high=1), *points),
        Asked("earned and continuously secure", "core10.total", "unadjusted", True,
              estimate_equivalence(0.2, 0.12, low=-0.3, high=0.3), "SD units", "", "fixed", (40.0, 60.0)),
    ]  # fmt: skip
    rows = [{**r, "n": 100.0} for r in adjusted_families(asked, ci_level=0.95)]
    return typed_table(rows, TABLES["equivalence"])


def test_the_curve_shows_each_estimate_once_and_marks_the_primary_one():
    drawing = specification_curve.draw({"specifications": specifications(), "estimates": estimates()}, SETTINGS)
    assert len(drawing.data) == 6  # three rules, two handlings; no bounds, one kind of interval
    assert drawing.data["estimate"].is_monotonic_increasing
    assert drawing.data["primary"].sum() == 1
    assert (
        "Recovered: 6 specifications, median 39.0 % (middle half 33.0 % to 45.0 %, all 28.0 % to 50.0 %), primary 30.0 %"
        in drawing.caption
    )
    assert "50 % of intervals beyond what no true change would give" in drawing.caption
    assert "most of the spread goes with the rule (90 % of the variance)" in drawing.caption
    assert "1 combination is not possible" in drawing.caption
    upper, lower = drawing.figure.axes
    assert upper.get_title(loc="left") == "Recovered: 6 specifications"
    ticks = [t.get_text() for t in lower.get_yticklabels()]
    assert ticks == ["R0", "R1", "R2", "last value carried forward *", "complete pairs"]  # only what varies


def test_the_curve_repeats_and_is_refused_without_rows():
    tables = {"specifications": specifications(), "estimates": estimates()}
    assert svg_text(specification_curve.draw(tables, SETTINGS)) == svg_text(specification_curve.draw(tables, SETTINGS))
    with pytest.raises(NothingToDraw, match="specifications: no specification could be estimated"):
        specification_curve.draw({**tables, "specifications": specifications().iloc[:0]}, SETTINGS)


def test_a_thousand_specifications_can_be_drawn():
    many = [specifications(25).assign(cutoff=c, occasions=f"first to wave {w}") for c in "abcd" for w in range(1, 6)]
    drawing = specification_curve.draw({"specifications": pd.concat(many, ignore_index=True), "estimates": estimates()}, SETTINGS)
    assert len(drawing.data) == 1000


def test_equivalence_is_told_in_words_and_never_as_no_difference():
    drawing = equivalence.draw({"equivalence": equivalences()}, SETTINGS)
    assert "End mean − norm, CORE-10: 5.00 points [4.41, 5.59], different (equivalence p = 1.000)" in drawing.caption
    assert "Earned − continuously secure, CORE-10, unadjusted: 0.20 SD [−0.04, 0.44], neither shown" in drawing.caption
    assert "0.10 points [−0.29, 0.49], equivalent" in drawing.caption
    assert "the data cannot tell, not that there is no difference" in drawing.caption
    words = " ".join(t.get_text() for t in drawing.figure.axes[0].texts)
    assert "neither shown, n = 40 and 60" in words
    assert "bounds ±0.30" in words
    with pytest.raises(NothingToDraw, match="equivalence: no equivalence could be tested"):
        equivalence.draw({"equivalence": equivalences().iloc[:0]}, SETTINGS)


def test_the_tables_print_what_the_analyses_found():
    shown = equivalence_table.build({"equivalence": equivalences()}, SETTINGS).frame
    assert list(shown.columns) == [
        "question", "outcome", "n", "estimate", "bounds", "90 % CI", "95 % CI", "p, equivalence", "p, difference", "verdict",
    ]  # fmt: skip
    assert shown["verdict"].tolist() == ["neither shown", "different", "equivalent"]
    assert equivalence_table.build({"equivalence": equivalences().iloc[:0]}, SETTINGS).frame.empty
    found = specifications_table.build({"specifications": specifications(), "estimates": estimates()}, SETTINGS)
    assert found.frame.loc[0, ["median", "range", "moves most"]].tolist() == ["39.0 %", "28.0 % to 50.0 %", "rule (90 %)"]
    assert "1 combination: method HLL: needs control_post_mean." in found.html
    empty = {"specifications": specifications().iloc[:0], "estimates": estimates().iloc[:0]}
    assert specifications_table.build(empty, SETTINGS).frame.empty

"""The figures and the table of missing data: what they plot, what they say, and what is suppressed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.change.missing import TABLES
from attachment_outcomes.inference.estimate import Estimate, estimates_frame
from attachment_outcomes.inference.steps import typed_table
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.figures import missingness, tipping_point
from attachment_outcomes.present.tables import missing

OUTCOME = "core10.total"
SETTINGS: dict[str, Any] = {
    "ci_level": 0.95,
    "change": {"occasions": "wave"},
    "scales": {OUTCOME: {"instrument": "CORE-10", "title": "total", "direction": "higher is worse"}},
}


def made_up_missing() -> dict[str, pd.DataFrame]:
    counts = typed_table(
        [
            {"outcome": OUTCOME, "occasion": t, "n_expected": 60, "n_seen": s, "n_dropout": d, "n_intermittent": i, "n_later": 0,
             "n_never": 0}
            for t, s, d, i in ((0, 60, 0, 0), (1, 50, 4, 6), (2, 44, 16, 0))
        ],
        TABLES["missingness"],
    )  # fmt: skip
    rows = []
    for pattern, slope, tip, n in (("all missing", 0.4, 6.25, 16), ("ended early", 0.2, np.nan, 8)):
        for delta in (-2.0, 0.0, 4.0, 8.0):
            value = -4 + slope * delta
            rows.append(
                {"outcome": OUTCOME, "pattern": pattern, "estimand": "mean_change", "delta": delta, "delta_sd": delta / 5,
                 "estimate": value, "ci_low": value - 1.5, "ci_high": value + 1.5, "null": 0.0, "reached": value + 1.5 >= 0,
                 "tipping": tip, "n": 60, "shifted_n": n, "unit": "score points"}
            )  # fmt: skip
    shared = {"analysis": "missing_data", "outcome": OUTCOME, "n": 60}
    estimates = [
        Estimate(estimand="seen_at_end", estimate=0.733, ci_low=0.61, ci_high=0.83, method="x", unit="proportion", **shared),
        *(
            Estimate(estimand="mean_change", group=group, estimate=value, ci_low=value - 1, ci_high=value + 1, method="x",
                     unit="score points", **shared)
            for group, value in (("inverse-probability weights", -4.2), ("complete cases", -4.5), ("multiple imputation", -4.0))
        ),
        Estimate(analysis="growth", estimand="change_to_end", outcome=OUTCOME, estimate=-4.1, ci_low=-5, ci_high=-3, n=60,
                 method="REML"),
    ]  # fmt: skip
    return {
        "missingness": counts, "tipping_point": typed_table(rows, TABLES["tipping_point"]), "estimates": estimates_frame(estimates)
    }  # fmt: skip


def test_missingness_shows_and_tells_its_counts():
    tables = made_up_missing()
    found = missingness.draw(tables, SETTINGS)
    assert "44 of 60 expected were seen at the end" in found.caption
    assert "73.3 % [95 % CI 61.0, 83.0]" in found.caption
    heights = [bar.get_height() for bar in found.figure.axes[0].containers[0]]
    assert heights == pytest.approx([100, 100 * 50 / 60, 100 * 44 / 60])
    assert svg_text(found) == svg_text(missingness.draw(tables, SETTINGS))


def test_suppressed_counts_are_left_out_and_told():
    tables = made_up_missing()
    tables["missingness"]["n_dropout"] = tables["missingness"]["n_dropout"].astype("float64")
    tables["missingness"].loc[1, "n_dropout"] = np.nan
    assert "1 counts are suppressed" in missingness.draw(tables, SETTINGS).caption
    tables["missingness"]["n_seen"] = np.nan
    with pytest.raises(NothingToDraw, match="every count is suppressed"):
        missingness.draw(tables, SETTINGS)


def test_tipping_point_is_marked_where_there_is_one():
    found = tipping_point.draw(made_up_missing(), SETTINGS)
    assert "all missing (n = 16 of 60) tips at 6.25 points" in found.caption
    assert "ended early (n = 8 of 60) no tipping point within the scale's range" in found.caption
    ax = found.figure.axes[0]
    marks = [line for line in ax.lines if line.get_marker() == "D"]
    assert [m.get_xydata().tolist() for m in marks] == [[[6.25, 0.0]]]
    assert "higher = worse" in ax.get_xlabel()
    assert len(found.data) == 8


def test_empty_tables_are_refused():
    tables = {name: table.iloc[:0] for name, table in made_up_missing().items()}
    with pytest.raises(NothingToDraw, match="two occasions"):
        missingness.draw(tables, SETTINGS)
    with pytest.raises(NothingToDraw, match="nobody who began"):
        tipping_point.draw(tables, SETTINGS)
    assert missing.build(tables, SETTINGS).frame.empty


def test_the_table_orders_handlings_and_takes_the_growth_model_beside():
    frame = missing.build(made_up_missing(), SETTINGS).frame
    assert frame["quantity"].tolist() == ["Complete cases", "Multiple imputation", "Inverse-probability weights", "Mixed model"]
    assert frame["estimate"].tolist() == ["−4.50 points", "−4.00 points", "−4.20 points", "−4.10 points"]

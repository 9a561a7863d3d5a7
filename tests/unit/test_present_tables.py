"""Words and numbers as printed, and the tables."""

from __future__ import annotations

import math
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachment_outcomes.inference.estimate import Estimate, estimates_frame, not_testable
from attachment_outcomes.plan import FIGURES, TABLES
from attachment_outcomes.present.lookup import one, told
from attachment_outcomes.present.style import spread_points
from attachment_outcomes.present.tables import BUILDERS
from attachment_outcomes.present.tabulate import Table
from attachment_outcomes.present.words import (
    count,
    instrument_title,
    number,
    outcome_title,
    p_value,
    percent,
    score_axis,
    score_title,
    sentence,
    short_title,
    with_interval,
)
from attachment_outcomes.registry import resolve

MADE_UP = runpy.run_path(str(Path(__file__).parents[1] / "pages" / "made_up.py"))
SETTINGS: dict[str, Any] = MADE_UP["SETTINGS"]


@pytest.fixture(scope="module")
def made_up() -> dict[str, pd.DataFrame]:
    return MADE_UP["made_up_tables"]()


def built(name: str, tables: dict[str, pd.DataFrame]) -> Table:
    return resolve(BUILDERS[name])(tables, SETTINGS)


def test_numbers_follow_the_leading_zero_rule() -> None:
    assert number(-0.314, bounded=True) == "−.31"
    assert number(1.0, bounded=True) == "1.00"
    assert number(-0.314) == "−0.31"
    assert number(-0.001) == "0.00", "no minus before zero"
    assert number(math.nan) == "—"


def test_p_is_exact_to_three_decimals_and_below_that_said_so() -> None:
    assert p_value(0.0124) == "p = .012"
    assert p_value(0.0004) == "p < .001"
    assert p_value(1.0) == "p = 1.000"


def test_counts_and_percentages() -> None:
    assert count(12345) == "12\u202f345"
    assert count(math.nan) == "suppressed"
    assert percent(0.4321, 1) == "43.2 %"


def test_an_estimate_is_printed_in_its_own_unit() -> None:
    row = {"estimate": 0.456, "ci_low": 0.4, "ci_high": 0.5, "unit": "proportion", "note": ""}
    assert with_interval(row) == "45.6 % [40.0, 50.0]"
    assert with_interval(row | {"unit": "kappa"}) == ".46 [.40, .50]"
    assert with_interval(row | {"unit": "score points"}) == "0.46 [0.40, 0.50]"
    slope = {"estimate": -0.0123, "ci_low": -0.02, "ci_high": -0.005, "unit": "points per week", "note": ""}
    assert with_interval(slope) == "−0.012 [−0.020, −0.005]"
    hidden = row | {"estimate": math.nan, "note": "suppressed: a count below 5 could be read from it"}
    assert with_interval(hidden) == "suppressed"


def test_scores_have_short_names_a_unit_and_a_direction() -> None:
    assert score_title("core10.total", SETTINGS) == "CORE-10"
    assert score_title("ecr_r.anxiety", SETTINGS) == "ECR-R: Attachment anxiety"
    assert score_title("unknown.scale_a", SETTINGS) == "unknown.scale a"
    assert outcome_title("ecr_r.anxiety and ecr_r.anxiety", SETTINGS) == "ECR-R: Attachment anxiety"
    assert short_title("Working Alliance Inventory - Short Revised (WAI-SR)") == "WAI-SR"
    assert instrument_title("wai_sr (therapist)", SETTINGS) == "WAI-SR (therapist)"
    assert score_axis("core10.total", SETTINGS, occasion="After") == "After (score points; higher = worse)"


def test_sentences_end_once() -> None:
    assert sentence("one", "", "two.") == "One. Two."


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60))
def test_points_are_spread_without_chance_and_within_their_width(values: list[float]) -> None:
    offsets = spread_points(values, width=0.3)
    assert np.array_equal(offsets, spread_points(values, width=0.3))
    assert (np.abs(offsets) <= 0.3).all()


def test_the_primary_of_several_rows_is_looked_up() -> None:
    rows = [
        Estimate(analysis="a", estimand="e", estimate=v, method="m", definition=str(v), primary=v == 2.0, unit="score points")
        for v in (1.0, 2.0)
    ]
    frame = estimates_frame(rows, study="s")
    found = one(frame, analysis="a")
    assert found is not None
    assert found["estimate"] == 2.0
    assert one(frame, analysis="b") is None
    assert told(frame, "e", SETTINGS, analysis="b") == ""


def test_every_table_of_the_plan_can_be_built() -> None:
    assert set(TABLES) <= set(BUILDERS)
    for name, item in TABLES.items():
        assert set(resolve(BUILDERS[name].replace(":build", ":NEEDS"))) <= set(item.needs), name


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_a_table_repeats_to_the_byte_and_needs_nothing_else(name: str, made_up: dict[str, pd.DataFrame]) -> None:
    first, again = built(name, made_up), built(name, made_up)
    assert first.html == again.html
    assert first.html.startswith("<!DOCTYPE html>")
    assert '<html lang="en">' in first.html
    assert re.search(r"<title>[^<]+</title>", first.html)
    assert "default-src 'none'" in first.html
    for forbidden in ("<script", "http://", "https://", "src=", "@import", "None<", ">nan<", ">NaN<"):
        assert forbidden not in first.html.replace('lang="en"', ""), forbidden


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_a_table_without_rows_says_so(name: str, made_up: dict[str, pd.DataFrame]) -> None:
    empty = {table: frame.iloc[0:0] for table, frame in made_up.items()}
    table = built(name, empty)
    assert table.frame.empty
    assert re.search(r"<h1>[^<]+</h1>\s*<p>[^<]{10,}</p>", table.html)


def test_reliable_change_is_printed_with_the_primary_definition_first(made_up: dict[str, pd.DataFrame]) -> None:
    frame = built("reliable_change", made_up).frame
    assert frame["group"].iloc[0] == "CORE-10, JT c (primary)"
    first = frame.iloc[0]
    assert first[["quantity", "n", "estimate", "95 % CI"]].tolist() == ["Recovered", "120", "35.0 %", "[31.0, 39.0]"]
    assert "p" not in frame, "a column that is empty throughout is left out"


def test_contrasts_carry_their_exact_p(made_up: dict[str, pd.DataFrame]) -> None:
    frame = built("repair_outcome", made_up).frame.set_index("quantity")
    row = frame.loc["CORE-10: repaired − none"].iloc[0]
    assert row[["estimate", "95 % CI", "p"]].tolist() == ["−1.20 points", "[−2.80, 0.40]", ".012"]


def test_transitions_hide_what_is_suppressed(made_up: dict[str, pd.DataFrame]) -> None:
    moves = made_up["transitions"].copy()
    moves.loc[[1, 3], "n"] = np.nan
    frame = built("transitions", made_up | {"transitions": moves}).frame.set_index("first occasion")
    assert frame.loc["secure"].tolist() == ["30 / 70 %", "suppressed / 10 %", "4 / 10 %", "suppressed / 10 %", "suppressed"]
    assert frame.loc["fearful", "secure"] == "8 (22 %) / 10 %"


def test_samples_are_in_natural_order_with_the_pooled_values_last(made_up: dict[str, pd.DataFrame]) -> None:
    frame = built("samples", made_up).frame
    assert frame["sample"].iloc[1].startswith("Author1 ")
    assert frame["sample"].iloc[2].startswith("Author2 ")
    headings = frame["system"].drop_duplicates().tolist()
    assert headings[0] == "secure/insecure"
    assert "secure/insecure, all tables summed" in headings[1:]
    assert (frame["remark"] == "stated kappa differs").sum() == 1


def test_a_benchmark_is_marked_as_not_verified(made_up: dict[str, pd.DataFrame]) -> None:
    table = built("audit", made_up)
    assert "Benchmark: A national target (not verified)" in table.frame["quantity"].tolist()


def test_the_ledger_says_what_is_missing(made_up: dict[str, pd.DataFrame]) -> None:
    frame = built("claims", made_up).frame
    missing = frame.loc[frame["verdict"] == "not testable", "what is missing, or to be kept in mind"]
    assert (missing == "a couple satisfaction scale at two or more waves, with couple ids").all()


def test_what_cannot_be_answered_is_listed_with_its_reason() -> None:
    rows = [not_testable("growth", "fewer than three occasions", outcome="core10.total")]
    frame = built("not_testable", {"estimates": estimates_frame(rows, study="s")}).frame
    assert frame.to_numpy().tolist() == [["Growth", "CORE-10", "Fewer than three occasions"]]


def test_the_flow_keeps_steps_that_excluded_nobody(made_up: dict[str, pd.DataFrame]) -> None:
    frame = built("flow", made_up).frame
    assert frame["left"].tolist() == ["0", "2", "suppressed"]


def test_descriptives_show_the_first_and_the_last_of_many_sessions() -> None:
    rows = []
    for session in range(1, 13):
        for estimand, value in (("mean", 3.0 + session / 10), ("sd", 0.5)):
            rows.append(
                Estimate(
                    analysis="descriptives",
                    estimand=estimand,
                    outcome="wai_sr.total",
                    group=f"session {session}",
                    estimate=value,
                    method="m",
                    n=50,
                    unit="score points",
                )
            )
    frame = built("measures", {"estimates": estimates_frame(rows, study="s")}).frame
    assert frame["occasion"].tolist() == ["session 1", "session 12"]
    assert frame["M"].tolist() == ["3.10", "4.20"]


def test_no_table_has_the_name_of_a_figure() -> None:
    """The plan looks both up in one place."""
    assert not set(TABLES) & set(FIGURES)

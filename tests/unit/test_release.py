"""Suppression of small counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import Estimate, estimates_frame
from attachment_outcomes.release.disclosure import blank_like, suppress, suppress_estimates, suppress_flow


def _cross(cells: list[list[int]]) -> pd.DataFrame:
    return pd.DataFrame([{"row": f"r{i}", "col": f"c{j}", "n": n} for i, line in enumerate(cells) for j, n in enumerate(line)])


def _shown(cells: list[list[int]], threshold: int = 5) -> np.ndarray:
    table = suppress(_cross(cells), counts=["n"], threshold=threshold, margins=["row", "col"])
    return table["n"].to_numpy().reshape(len(cells), -1)


def test_a_small_cell_and_enough_others_to_hide_it_are_suppressed():
    # 3 is small; 20 in its row, 30 in its column, and 40 where those two meet, would each give one away.
    np.testing.assert_array_equal(_shown([[3, 20], [30, 40]]), np.full((2, 2), np.nan))


def test_nothing_is_hidden_where_nothing_is_small():
    np.testing.assert_array_equal(_shown([[5, 20], [30, 0]]), [[5, 20], [30, 0]])
    np.testing.assert_array_equal(_shown([[3, 20], [30, 40]], threshold=0), [[3, 20], [30, 40]])


@given(st.lists(st.lists(st.integers(0, 30), min_size=4, max_size=4), min_size=3, max_size=5), st.integers(2, 11))
def test_no_row_or_column_has_exactly_one_hidden_cell(cells, threshold):
    shown = _shown(cells, threshold)
    hidden = np.isnan(shown)
    true = np.array(cells)
    assert hidden[(true >= 1) & (true < threshold)].all()
    for axis in (0, 1):
        assert not (hidden.sum(axis=axis) == 1).any()
    np.testing.assert_array_equal(shown[~hidden], true[~hidden])


def test_what_is_computed_from_a_hidden_count_is_hidden_too():
    table = suppress(pd.DataFrame({"n": [3, 50], "share": [0.06, 0.94]}), counts=["n"], threshold=5, derived=["share"])
    assert table["share"].isna().tolist() == [True, False]


def test_negative_counts_and_thresholds_are_refused():
    with pytest.raises(StatisticsError, match="negative counts"):
        suppress(pd.DataFrame({"n": [-1]}), counts=["n"], threshold=5)
    with pytest.raises(StatisticsError, match="threshold"):
        suppress(pd.DataFrame({"n": [1]}), counts=["n"], threshold=-1)


def _share(group: str, value: float, n: float = 100, estimand: str = "share") -> Estimate:
    return Estimate(
        analysis="a", estimand=estimand, estimate=value, ci_low=0, ci_high=1, n=n, group=group, unit="proportion", method="m"
    )


def test_a_proportion_that_gives_a_small_count_away_is_hidden_with_a_second_one():
    shown = suppress_estimates(
        estimates_frame([_share("recovered", 0.60), _share("improved", 0.27), _share("unchanged", 0.10), _share("harmed", 0.03)]),
        threshold=5,
    ).set_index("group")
    assert shown["estimate"].isna().to_dict() == {"recovered": False, "improved": False, "unchanged": True, "harmed": True}
    assert shown.loc["harmed", "note"].startswith("suppressed")
    assert shown.loc[["harmed", "unchanged"], ["ci_low", "ci_high", "std_error", "p_value"]].isna().all(axis=None)


def test_a_proportion_near_one_and_an_estimate_on_few_people_are_hidden():
    rows = [_share("x", 0.98, estimand="rate"), _share("y", 0.5, n=3, estimand="rate"), _share("z", 0.5, estimand="rate")]
    shown = suppress_estimates(estimates_frame(rows), threshold=5).set_index("group")
    assert shown["estimate"].isna().to_dict() == {"x": True, "y": True, "z": False}
    assert shown["n"].isna().to_dict() == {"x": False, "y": True, "z": False}


def test_a_sum_is_hidden_where_it_gives_a_hidden_share_away():
    def change(estimand: str, value: float, group: str = "", analysis: str = "reliable_change") -> Estimate:
        return replace(_share(group, value, estimand=estimand), analysis=analysis, outcome="o", definition="d")

    shares = {"recovered": 0.57, "improved": 0.03, "unchanged": 0.20, "deteriorated": 0.10, "harmed": 0.10}
    rows = [change("share", value, group) for group, value in shares.items()]
    rows += [
        change("reliably_improved", 0.60),
        change("reliably_deteriorated", 0.20),
        change("reliable_improvement", 0.60, "", "audit"),
    ]
    shown = suppress_estimates(estimates_frame(rows), threshold=5)
    hidden = shown[shown["estimate"].isna()]
    assert {"improved"} < set(hidden["group"])
    assert {"reliably_improved", "reliable_improvement"} <= set(hidden["estimand"])


def test_the_ledger_hides_what_the_estimates_hide():
    released = suppress_estimates(estimates_frame([_share("x", 0.98, estimand="rate")]), threshold=5)
    claims = pd.DataFrame(
        {"claim": ["C01", "C02"], "analysis": ["a", "b"], "estimand": "rate", "outcome": "", "group": ["x", "x"], "definition": ""}
        | {"estimate": [0.98, 0.5], "ci_low": 0.1, "ci_high": 0.9}
    )
    assert blank_like(claims, released)["estimate"].isna().tolist() == [True, False]


def test_a_flow_step_that_loses_few_people_hides_them_wherever_they_stand():
    flow = pd.DataFrame(
        [("a", 100, 98, "r", "people"), ("b", 98, 60, "r", "people"), ("c", 98, 97, "r", "rows")],
        columns=["step", "n_in", "n_out", "reason", "unit"],
    )
    shown = suppress_flow(flow, threshold=5)
    assert shown["n_out"].isna().tolist() == [True, False, False]
    assert shown["n_in"].isna().tolist() == [False, True, False]

"""Suppression of small counts."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

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


def _cells(both: int, first: int, second: int, n: int, **more: object) -> list[Estimate]:
    """Return what is told of a cross table of two raters: its cells, the raters' totals, their difference and kappa."""
    base = replace(_share("", 0, n), analysis="rupture_raters", outcome="o", definition="d", **more)  # type: ignore[arg-type]
    shares = {"both": both, "client only": first, "therapist only": second}
    totals = {"client": both + first, "therapist": both + second}
    rows = [replace(base, group=f"{base.group}: {who}", estimate=k / n) for who, k in shares.items()]
    rows += [replace(base, estimand="share_by_rater", group=f"{base.group}: {who}", estimate=k / n) for who, k in totals.items()]
    rows.append(replace(base, estimand="therapist_minus_client", estimate=(second - first) / n))
    return [*rows, replace(base, estimand="kappa", estimate=0.3, unit="kappa")]


def test_of_a_cross_table_with_a_small_cell_nothing_is_shown_and_of_another_level_all():
    rows = [*_cells(3, 17, 20, 120, group="clients"), *_cells(30, 40, 50, 900, group="sessions")]
    shown = suppress_estimates(estimates_frame(rows), threshold=5)
    level = shown["group"].str.split(": ").str[0]
    # 3 = 20 of the client less 17 of the client only; kappa and the difference give it back too.
    assert shown.loc[level == "clients", "estimate"].isna().all()
    assert shown.loc[level == "sessions", "estimate"].notna().all()


def test_a_difference_of_raters_is_no_small_count():
    shown = suppress_estimates(estimates_frame(_cells(30, 40, 42, 900, group="sessions")), threshold=5)
    assert shown["estimate"].notna().all()


@pytest.fixture(scope="module")
def release() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "release.py"))


def _agreement(**cells: list[int]) -> pd.DataFrame:
    found = pd.DataFrame({"level": "sessions", "criterion_a": "a", "criterion_b": [*"bcd"], "n": 100, "n_people": 50, **cells})
    return found.assign(**dict.fromkeys(("kappa", "std_error", "ci_low", "ci_high", "agreement", "pabak"), 0.5)).assign(
        prevalence_index=0.1, bias_index=0.1
    )


def test_kappa_is_hidden_where_a_cell_is_small_even_the_one_that_no_column_holds(release):
    # With b both is 3; with c 60 + 20 + 17 leave 3 of 100 to neither; with d no cell is small.
    table = _agreement(n_both=[3, 60, 30], n_a_only=[20, 20, 20], n_b_only=[20, 17, 20])
    raters = pd.DataFrame(columns=["criterion", "level", "n", "n_both", "n_client_only", "n_therapist_only"])
    raters = raters.astype({"criterion": "str", "level": "str"})
    crossed = release["small_crosses"](table, raters, threshold=5)
    assert crossed["definition"].tolist() == ["a and b", "a and c"]
    rows = [
        Estimate(
            analysis="rupture_agreement",
            estimand="kappa",
            estimate=0.4,
            n=100,
            group="sessions",
            definition=f"a and {b}",
            method="m",
        )
        for b in "bcd"
    ]
    shown = suppress_estimates(estimates_frame(rows), threshold=5, crossed=crossed).set_index("definition")
    assert shown["estimate"].isna().to_dict() == {"a and b": True, "a and c": True, "a and d": False}
    assert shown.loc["a and b", "note"].startswith("suppressed")
    released = suppress(table, threshold=5, **release["COUNTS"]["rupture_agreement"])
    told = ["n_both", "n_a_only", "n_b_only", "kappa", "agreement", "pabak"]
    assert released[told].isna().all(axis=1).tolist() == [True, True, False]
    assert released[told].isna().any(axis=1).tolist() == [True, True, False]


def _shapes(counts: dict[str, int], n: int = 516) -> pd.DataFrame:
    table = pd.DataFrame({"shape": counts.keys(), "rule": "each", "n": counts.values(), "n_clients": n})
    return table.assign(share=table["n"] / n, ci_low=0.0, ci_high=1.0)


def test_shares_of_shapes_are_of_all_clients(release):
    table = _shapes({"rising": 43, "falling": 43, "linear": 86, "U": 3, "none": 514})
    shown = suppress(table, threshold=5, **release["COUNTS"]["rupture_shapes"]).set_index("shape")
    assert shown.loc["rising", ["n", "share"]].tolist() == [43, 43 / 516]
    assert shown[["n", "share"]].isna().all(axis=1).to_dict() == {
        "rising": False, "falling": False, "linear": False, "U": True, "none": True
    }  # fmt: skip


@pytest.mark.parametrize(("rising", "falling", "hidden"), [(40, 3, True), (2, 40, True), (40, 40, False), (300, 214, True)])
def test_linear_courses_are_the_sum_of_rising_and_falling_ones(release, rising, falling, hidden):
    counts = {"rising": rising, "falling": falling, "linear": rising + falling, "U": 20}
    shown = suppress(_shapes(counts), threshold=5, **release["COUNTS"]["rupture_shapes"]).set_index("shape")
    assert shown["share"].isna().to_dict() == {"rising": hidden, "falling": hidden, "linear": hidden, "U": False}
    rows = [replace(_share(name, k / 516, 516), analysis="rupture_shapes") for name, k in counts.items()]
    rows += [
        replace(_share(name, k / 516 - 0.1, 516, "share_above_noise"), analysis="rupture_shapes") for name, k in counts.items()
    ]
    estimates = suppress_estimates(estimates_frame(rows), threshold=5)
    for _, own in estimates.groupby("estimand"):
        assert own.set_index("group")["estimate"].isna().to_dict() == shown["share"].isna().to_dict()


def test_what_a_share_is_above_noise_is_hidden_with_the_share_and_noise_is_not():
    def row(estimand: str, value: float, definition: str, group: str = "") -> Estimate:
        return replace(_share(group, value, estimand=estimand), analysis="rupture_prevalence", definition=definition)

    rows = []
    for definition, share in (("rare", 0.03), ("often", 0.40)):
        rows += [row("share_with_rupture", share, definition), row("share_repaired", share, definition)]
        for group in ("", "within the scale"):
            # 2 % of 100 in noise is no count of people.
            rows += [row("expected_on_noise", 0.02, definition, group), row("share_above_noise", share - 0.02, definition, group)]
            rows += [row("repaired_above_noise", share - 0.02, definition, group)]
    shown = suppress_estimates(estimates_frame(rows), threshold=5)
    hidden = shown["estimate"].isna()
    assert not hidden[shown["estimand"] == "expected_on_noise"].any()
    assert not hidden[shown["definition"] == "often"].any()
    assert hidden[(shown["definition"] == "rare") & (shown["estimand"] != "expected_on_noise")].all()


@pytest.mark.parametrize("estimand", ["therapist_share", "variance_share", "share_above", "share_below", "expected_low"])
def test_what_a_model_or_a_curve_says_is_no_count_of_people(estimand):
    shown = suppress_estimates(estimates_frame([_share("", 0.02, estimand=estimand)]), threshold=5)
    assert shown["estimate"].tolist() == [0.02]
    assert shown["note"].tolist() == [""]


def test_a_third_of_the_clients_is_not_to_be_had_from_all_less_the_others(release):
    thirds = ["lowest third", "middle third", "highest third"]
    table = pd.DataFrame(
        [("wai", "", "all", "break", 63, 43)]
        + [("wai", "anxiety", t, "break", n, k) for t, n, k in zip(thirds, (30, 30, 3), (20, 20, 3), strict=True)]
        + [("wai", "anxiety", t, "ordinary", 90, 30) for t in thirds],
        columns=["outcome", "dimension", "third", "across", "n_changes", "n_clients"],
    ).assign(mean_change=0.1, std_error=0.1)
    shown = suppress(table, threshold=5, **release["COUNTS"]["session_breaks"])
    own = shown[(shown["dimension"] == "anxiety") & (shown["across"] == "break")]
    for column in ("n_changes", "n_clients", "mean_change"):
        assert own[column].isna().sum() >= 2
    assert np.isnan(own.iloc[2]["n_clients"])
    assert shown[shown["across"] == "ordinary"].notna().all(axis=None)
    assert shown.iloc[0]["n_clients"] == 43

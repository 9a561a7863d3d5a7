"""Cutoffs and categories of clinically significant change."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.change import categorise, choose_cutoff, cutoffs, reliable_change
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.individual_change.definitions import changes, resolve_all
from attachment_outcomes.inference.individual_change.significance import CATEGORIES, Cutoff

DAS_NORM = (114.8, 17.8)


@pytest.fixture(scope="module")
def das(shared_data: Path) -> pd.DataFrame:
    table = pd.read_csv(shared_data / "jacobson1989/jacobson_1989.csv")
    return table.pivot(index="subject", columns="time", values="das")


def test_jacobson_truax_1991_cutoffs() -> None:
    assert cutoffs(clinical=(40, 7.5), functional=(60, 7.5), higher_is_better=True) == {"a": 55.0, "b": 45.0, "c": 50.0}


def test_cutoffs_of_a_scale_where_lower_is_better() -> None:
    """Mirrored: clinical 20 (5), functional 8 (4); a = 10, b = 16, c = (4·20 + 5·8)/9 = 13.333."""
    found = cutoffs(clinical=(20, 5), functional=(8, 4), higher_is_better=False)
    assert found == pytest.approx({"a": 10.0, "b": 16.0, "c": 40 / 3})


def test_cutoff_b_uses_the_functional_sd() -> None:
    """Another program takes the clinical SD, which would give 114.8 − 2·11.8 = 91.2."""
    assert cutoffs(clinical=(81.6, 11.8), functional=DAS_NORM, higher_is_better=True)["b"] == pytest.approx(79.2)


def test_auto_takes_c_if_ranges_overlap_b_if_not_and_a_without_norms() -> None:
    up = {"higher_is_better": True}
    assert choose_cutoff(clinical=(40, 7.5), functional=(60, 7.5), **up).kind == "c"
    assert choose_cutoff(clinical=(40, 2), functional=(60, 2), **up).kind == "b"
    assert choose_cutoff(clinical=(60, 2), functional=(40, 2), higher_is_better=False).kind == "b"
    assert choose_cutoff(clinical=(40, 7.5), **up).kind == "a"
    assert choose_cutoff(functional=(60, 7.5), **up).kind == "b"
    assert choose_cutoff(clinical=(40, 7.5), instrument=(50, True), **up) == Cutoff("instrument", 50.0, True)
    assert choose_cutoff(functional=(5, 2), instrument=(10, True), higher_is_better=False) == Cutoff("instrument", 10.0, True)
    assert choose_cutoff(**up) is None
    assert choose_cutoff("none", clinical=(40, 7.5), functional=(60, 7.5), **up) is None


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"kind": "c", "clinical": (40, 7.5)}, "a functional norm"),
        ({"kind": "instrument"}, "no published cutoff"),
        ({"kind": "d"}, "allowed: auto"),
        ({"kind": "c", "clinical": (60, 7.5), "functional": (40, 7.5)}, "better side"),
        ({"kind": "a", "clinical": (60, 0)}, "SD 0"),
    ],
)
def test_impossible_cutoffs_are_refused(arguments: dict, match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        choose_cutoff(**arguments, higher_is_better=True)


@pytest.mark.parametrize(
    ("method", "kind", "expected"),
    [
        ("JT", "c", (14, 5, 10, 1)),
        ("GLN", "c", (14, 5, 9, 2)),
        ("HLL", "c", (7, 0, 15, 8)),
        ("EN", "c", (15, 6, 7, 2)),
        ("NK", "c", (14, 5, 9, 2)),
        ("JT", "a", (10, 9, 10, 1)),
    ],
)
def test_das_categories_match_clinicalsignificance(method: str, kind: str, expected: tuple[int, ...], das: pd.DataFrame) -> None:
    """r = .88, Spanier's norm."""
    sample = (das["pre"].mean(), das["pre"].std())
    cutoff = choose_cutoff(kind, clinical=sample, functional=DAS_NORM, higher_is_better=True)
    if kind == "c":
        assert cutoff.value == pytest.approx(94.8424, abs=5e-5)
    r = reliable_change(
        das["pre"], das["post"], reliability=0.88, higher_is_better=True, methods=method, allow_treated_post_mean=True
    )
    found = categorise(das["pre"], das["post"], r["category"], cutoff=cutoff, higher_is_better=True)["category"].value_counts()
    assert (found["recovered"], found["improved"], found["unchanged"], found["deteriorated"] + found["harmed"]) == expected


def test_das_persons_match_clinicalsignificance(das: pd.DataFrame, shared_data: Path) -> None:
    ref = pd.read_csv(shared_data / "jacobson1989/ref_jacobson_das_combined_JT_c.csv").set_index("id")
    sample = (das["pre"].mean(), das["pre"].std())
    cutoff = choose_cutoff("c", clinical=sample, functional=DAS_NORM, higher_is_better=True)
    r = reliable_change(das["pre"], das["post"], reliability=0.88, higher_is_better=True, methods="JT")
    found = categorise(das["pre"], das["post"], r["category"], cutoff=cutoff, higher_is_better=True)["category"].astype("str")
    assert found.str.title().tolist() == ref["category"].loc[das.index].tolist()


@pytest.mark.parametrize(("value", "expected"), [(94.8424, (14, 5, 10, 1)), (96.5, (13, 6, 10, 1))])
def test_two_das_couples_cross_without_reliable_change(value: float, expected: tuple[int, ...], das: pd.DataFrame) -> None:
    """Cutoff c, and the 96.5 of the paper: 10 are unchanged, of whom 2 left the distressed range."""
    r = reliable_change(das["pre"], das["post"], reliability=0.88, higher_is_better=True, methods="JT")
    found = categorise(das["pre"], das["post"], r["category"], cutoff=Cutoff("c", value), higher_is_better=True)
    n = found["category"].value_counts()
    assert tuple(n[c] for c in ("recovered", "improved", "unchanged", "deteriorated")) == expected
    crossed = found["crossed"].to_numpy(dtype=bool)
    assert crossed.sum() == 2
    assert (found["category"][crossed] == "unchanged").all()


def told(cutoff: Cutoff, rows: list[tuple[float, float, str]], higher: bool) -> pd.DataFrame:
    pre, post, reliable = zip(*rows, strict=True)
    return categorise(pre, post, list(reliable), cutoff=cutoff, higher_is_better=higher)


def by_hand(cutoff: Cutoff, rows: list[tuple[float, float, str]], higher: bool) -> list[str]:
    return told(cutoff, rows, higher)["category"].tolist()


def test_every_category_by_hand() -> None:
    rows = [
        (20, 5, "improved"), (20, 14, "improved"), (8, 2, "improved"), (12, 9, "unchanged"), (9, 12, "unchanged"),
        (12, 20, "deteriorated"), (8, 20, "deteriorated"), (20, 20, "unchanged"),
    ]  # fmt: skip
    assert by_hand(Cutoff("c", 10.0), rows, higher=False) == [
        "recovered", "improved", "improved", "unchanged", "unchanged", "deteriorated", "harmed", "unchanged",
    ]  # fmt: skip
    assert np.flatnonzero(told(Cutoff("c", 10.0), rows, higher=False)["crossed"]).tolist() == [3]


def test_nobody_recovers_who_was_not_clinical_at_baseline() -> None:
    assert by_hand(Cutoff("c", 10.0), [(9, 1, "improved"), (10, 1, "improved")], higher=False) == ["improved", "improved"]


def test_a_score_at_the_cutoff_is_neither_unless_the_cutoff_is_inclusive() -> None:
    rows = [(10, 1, "improved"), (20, 10, "improved"), (10, 20, "deteriorated"), (3, 10, "deteriorated")]
    assert by_hand(Cutoff("c", 10.0), rows, higher=False) == ["improved", "improved", "deteriorated", "deteriorated"]
    assert by_hand(Cutoff("instrument", 10.0, inclusive=True), rows, higher=False) == [
        "recovered", "improved", "deteriorated", "harmed",
    ]  # fmt: skip
    small = [(10, 9, "unchanged"), (11, 10, "unchanged"), (11, 9, "unchanged")]
    assert told(Cutoff("c", 10.0), small, higher=False)["crossed"].tolist() == [False, False, True]
    assert told(Cutoff("instrument", 10.0, inclusive=True), small, higher=False)["crossed"].tolist() == [True, False, True]


def test_missing_scores_have_no_category_and_no_baseline_class() -> None:
    found = categorise([np.nan, 20, 5], [5, np.nan, np.nan], [None, None, None], cutoff=Cutoff("c", 10.0), higher_is_better=False)
    assert found["category"].isna().all()
    assert found["clinical_at_baseline"].isna().tolist() == [True, False, False]
    assert found["clinical_at_baseline"].tolist()[1:] == [True, False]
    assert found["crossed"].isna().all()
    plain = categorise([20.0], [5.0], ["improved"], cutoff=None, higher_is_better=False)
    assert plain["category"].tolist() == ["improved"]
    assert plain["clinical_at_baseline"].isna().all()
    assert plain["crossed"].isna().all()


def test_categories_are_the_five_of_the_results_table() -> None:
    assert CATEGORIES == ["recovered", "improved", "unchanged", "deteriorated", "harmed"]


# ---- Definitions as a study's file gives them.

SCALE = {"direction": "higher is worse", "range": [0, 40], "reliability": [{"value": 0.9, "kind": "alpha", "verified": True}]}
PRE, POST = [31.0, 25, 18, 40, 22, 29], [20.0, 24, 19, 22, 10, 30]


def defined(entry: dict, scale: dict = SCALE) -> tuple[list, list]:
    return resolve_all([entry], scale, PRE, POST, score="core.total")


@pytest.mark.parametrize(
    ("method", "more", "told"),
    [
        ("HLL", {"control": {"post_mean": 26}}, "control sample (given, not checked)"),
        ("SRB", {"control": {"intercept": 4, "slope": 0.75, "see": 3}, "verified": True}, "control sample (given)"),
        ("two-SEM control", {"control": {"post_sd": 6}}, "control sample (given, not checked)"),
        ("SDC ICC", {"retest": {"icc": 0.8, "sd": 6}}, "retest sample (given, not checked)"),
        ("SDC MS", {"retest": {"ms_error": 7}}, "retest sample (given, not checked)"),
        ("MID", {"mid": 5}, "MID 5 (given, not checked)"),
    ],
)
def test_a_definition_brings_what_its_method_needs(method: str, more: dict, told: str) -> None:
    (ready,), refused = defined({"method": method, **more})
    assert not refused
    assert told in ready.notes
    by_hand = {"HLL": {"control_post_mean": 26}, "two-SEM control": {"control_post_sd": 6}, "MID": {"mid": 5}}
    if method in by_hand:
        expected = reliable_change(PRE, POST, reliability=0.9, methods=method, **by_hand[method])["statistic"]
        assert changes(ready, PRE, POST)["statistic"].tolist() == expected.tolist()
    assert not defined({"method": method})[0]


@pytest.mark.parametrize(
    ("entry", "scale", "match"),
    [
        ({"functional": {"mean": 68, "sd": 10}}, SCALE, "mean 68 is no possible score"),
        ({"functional": {"mean": 8, "sd": 4, "range": [0, 136]}}, SCALE, "another form"),
        ({"functional": {"mean": 8, "sd": 4, "form": "34 items"}}, {**SCALE, "form": "10 items"}, "form '34 items'"),
        ({"method": "SRB", "control": {"slope": 1}}, SCALE, "intercept, slope and see, or none"),
        ({"method": "SRB", "control": {"intercept": 4, "slope": 0.75, "see": 0}}, SCALE, "see: found 0"),
        ({"cutoff": "c_true", "functional": {"mean": 8, "sd": 1}}, SCALE, "not between 0 and the norm's SD"),
        ({"method": "HLM"}, SCALE, "needs slopes"),
        ({"method": "JT"}, {"direction": "higher is worse"}, "no reliability"),
    ],
)
def test_definitions_that_cannot_be_are_refused(entry: dict, scale: dict, match: str) -> None:
    ready, refused = defined(entry, scale)
    assert not ready
    assert re.search(match, refused[0][1])


def test_a_definition_may_take_the_cutoff_on_true_scores_and_a_mid_needs_no_reliability() -> None:
    """SD 7.714, r .9: SE 2.439; true SDs 7.318 and √(36 − 5.95) = 5.482; c = (5.482·27.5 + 7.318·8)/12.80 = 16.351.

    Of the MID, 10 points from 22 recover: cutoff a is 27.5 − 2·7.71 = 12.1.
    """
    (ready,), _ = defined({"cutoff": "c_true", "functional": {"mean": 8, "sd": 6}})
    assert (ready.cutoff.kind, ready.cutoff.value) == ("c_true", pytest.approx(16.352, abs=2e-3))
    (free,), _ = defined({"method": "MID", "mid": 5}, {"direction": "higher is worse"})
    assert changes(free, PRE, POST)["category"].tolist() == [
        "improved", "unchanged", "unchanged", "improved", "recovered", "unchanged",
    ]  # fmt: skip

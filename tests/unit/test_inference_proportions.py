"""Shares and their intervals, with and without clusters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference import proportion
from attachment_outcomes.inference.proportions import cluster_codes

R_DIGITS = 1e-9


@pytest.fixture(scope="module")
def reference(root: Path) -> dict:
    return json.loads((root / "tests/reference/change_reference.json").read_text())["effects"]


def test_wilson_interval_matches_r(reference: dict) -> None:
    found = proportion(reference["event"])
    assert found.estimate == 0.5
    assert (found.ci_low, found.ci_high) == pytest.approx(reference["share_ci"], abs=R_DIGITS)
    assert np.isnan(found.n_clusters)
    assert found.method == "Wilson interval"


def test_cluster_interval_matches_r(reference: dict) -> None:
    found = proportion(reference["event"], clusters=reference["therapist"])
    assert found.design_effect == pytest.approx(reference["design_effect"], abs=R_DIGITS)
    assert (found.ci_low, found.ci_high) == pytest.approx(reference["share_cluster_ci"], abs=R_DIGITS)
    assert found.n_clusters == 4
    assert "effective n" in found.method
    assert "few clusters" in found.note


@pytest.mark.parametrize("event", [0, 1])
def test_all_alike_keeps_the_plain_interval_and_says_so(event: int) -> None:
    found = proportion([event] * 8, clusters=[1, 1, 2, 2, 3, 3, 4, 4])
    assert (found.ci_low == 0.0) if event == 0 else (found.ci_high == 1.0)
    assert "cannot allow for clusters" in found.note
    assert found.method == "Wilson interval"


def test_one_cluster_is_said() -> None:
    assert "one cluster only" in proportion([0, 1, 1], clusters=["a"] * 3).note


def test_missing_events_and_empty_groups_are_refused() -> None:
    with pytest.raises(StatisticsError, match="neither true nor false"):
        proportion([1.0, np.nan])
    with pytest.raises(StatisticsError, match="events are words"):
        proportion(["yes", "no"])
    with pytest.raises(StatisticsError, match="at least one"):
        proportion([])
    with pytest.raises(StatisticsError, match="2 cluster labels"):
        proportion([1, 0, 1], clusters=["a", "b"])


def test_missing_clusters_stand_alone_or_stop() -> None:
    labels = ["b", None, "a", "b", np.nan]
    assert cluster_codes(labels).tolist() == [1, 2, 0, 1, 3]
    with pytest.raises(StatisticsError, match="2 of 5 units have no label"):
        cluster_codes(labels, missing="refuse")
    with pytest.raises(StatisticsError, match="found 5 labels for 4 units"):
        cluster_codes(labels, n=4)


def test_clustered_intervals_cover_where_plain_ones_do_not() -> None:
    """20 therapists with 15 clients each, logits spread with SD 0.8; 300 samples: 95 % less 3 standard errors is 0.912."""
    rng = np.random.default_rng(11)
    logits = rng.normal(0, 0.8, 1_000_000) - 0.5
    truth = float((1 / (1 + np.exp(-logits))).mean())
    plain = clustered = 0
    labels = np.repeat(np.arange(20), 15)
    for _ in range(300):
        p = 1 / (1 + np.exp(-(rng.normal(0, 0.8, 20) - 0.5)))
        y = rng.random(300) < p[labels]
        a, b = proportion(y), proportion(y, clusters=labels)
        plain += a.ci_low <= truth <= a.ci_high
        clustered += b.ci_low <= truth <= b.ci_high
    assert clustered / 300 >= 0.912
    assert plain / 300 < 0.90


@pytest.mark.parametrize(
    "labels",
    [
        ["b", "a", "c", "b"],
        [2, 1, 10, 2],
        ["b", 10, "c", "b"],
        [("b", 1), ("a", 2), ("c", 0), ("b", 1)],
        pd.Categorical(["b", "a", "c", "b"], categories=["c", "b", "a"]),
    ],
    ids=["words", "numbers", "mixed", "pairs", "categories"],
)
def test_clusters_are_numbered_by_their_labels(labels) -> None:
    assert cluster_codes(pd.Series(labels)).tolist() == [1, 0, 2, 1]


def test_no_labels_give_no_clusters() -> None:
    assert cluster_codes([None, None]).tolist() == [0, 1]
    assert cluster_codes([]).tolist() == []

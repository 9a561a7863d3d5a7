"""The how-to works as written, and the limits that the methods page states are the code's."""

from __future__ import annotations

import re

import pandas as pd
import pytest
import yaml

from attachment_outcomes.config import load_criteria, validated
from attachment_outcomes.rupture import detect_ruptures
from attachment_outcomes.rupture.criteria import as_criteria
from attachment_outcomes.rupture.episodes import PATTERNS

DROP = "attachment_outcomes.rupture.rules:within_person_drop"


def blocks(root, language):
    text = (root / "docs/add-a-rupture-rule.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_python_of_the_how_to_runs_and_finds_what_it_says(root):
    names = {}
    for block in blocks(root, "python"):
        exec(block, names)
    episode = names["episodes"].iloc[0]
    assert len(names["episodes"]) == 1
    assert episode[["onset", "nadir", "recovered_at", "outcome"]].tolist() == [3, 4, 5, "repaired"]
    assert len(names["published"]) == 1


def test_the_preset_of_the_how_to_is_valid_and_runs(root):
    preset = validated(yaml.safe_load(blocks(root, "yaml")[0]), "criterion", "drop_one_and_a_half.yaml")
    ratings = pd.DataFrame({"person_id": "a", "session_number": range(1, 9), "wai": [5, 5.2, 5.1, 2, 5.2, 5, 5.1, 5]})
    assert detect_ruptures(ratings, score="wai", criteria={preset["name"]: preset})["onset"].tolist() == [4]


def test_the_methods_page_names_every_preset(root):
    text = (root / "docs/methods/rupture.md").read_text(encoding="utf-8")
    assert [name for name in load_criteria("rupture") if f"`{name}`" not in text] == []


@pytest.mark.parametrize(("dip", "least"), [("middle", 8), ("last", 5)])
def test_a_single_dip_shows_on_a_control_chart_from_the_length_stated(dip, least):
    found = {}
    for n in range(4, 12):
        scores = [5.0] * n
        scores[n // 2 if dip == "middle" else -1] = 1.0
        ratings = pd.DataFrame({"person_id": "a", "session_number": range(1, n + 1), "wai": scores})
        found[n] = len(detect_ruptures(ratings, score="wai", criteria="control_chart", min_sessions=4))
    assert found == {n: int(n >= least) for n in range(4, 12)}


def test_the_methods_page_says_of_every_preset_and_pattern_what_the_code_does(root):
    text = (root / "docs/methods/rupture.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")]
    uses = {name: row[2] for row in rows if len(row) == 4 for name in re.findall(r"`(\w+)`", row[0])}
    assert uses == {criterion.name: criterion.uses for criterion in as_criteria("all")}
    assert [pattern for row in rows if len(row) == 3 for pattern in re.findall(r"`([\w ]+)`", row[0])][: len(PATTERNS)] == list(
        PATTERNS
    )


@pytest.mark.parametrize("n", [4, 9, 25])
def test_a_dip_in_a_flat_series_is_as_deep_in_own_sd_as_the_page_says(n):
    scores = [5.0] * n
    scores[1] = 4.9
    ratings = pd.DataFrame({"person_id": "a", "session_number": range(1, n + 1), "wai": scores})
    found = {
        k: len(detect_ruptures(ratings, score="wai", criteria={"x": {"rule": DROP, "settings": {"k": k}}}))
        for k in (n**0.5, n**0.5 + 1e-6)
    }
    assert list(found.values()) == [1, 0]


def test_the_control_charts_take_only_series_in_which_a_single_dip_can_show():
    assert [load_criteria("rupture")[n]["episode"]["min_sessions"] for n in ("control_chart", "control_chart_detrended")] == [8, 9]

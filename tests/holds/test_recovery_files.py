"""The committed results of the recovery studies: each belongs to its study, keeps its limits, and can be had again."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from attachment_outcomes.config import read_yaml, schema
from attachment_outcomes.files import read_table
from attachment_outcomes.simulate.recovery.limits import disagreements
from attachment_outcomes.simulate.recovery.measures import MEASURES, first_findings
from attachment_outcomes.simulate.recovery.repetitions import run_study
from attachment_outcomes.simulate.recovery.study import RecoveryStudy, read_study

FOLDER = Path(__file__).resolve().parents[2] / "validation" / "recovery"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
KINDS = {"yaml", "json", "csv", "svg", "png"}
SAME = 1e-6  # relative: what an optimiser's last steps may differ by on another processor
LEVEL, LARGEST_ERROR = 0.95, 0.0115  # a coverage at its level is known to that: 360 repetitions; most studies have 1,000 and .007


def study_of(name: str) -> RecoveryStudy:
    return read_study(read_yaml(FOLDER / f"{name}.yaml"), f"{name}.yaml")


def told(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def test_every_study_has_its_results_and_every_result_its_study() -> None:
    files = {(path.stem, path.suffix[1:]) for path in FOLDER.iterdir()}
    assert files == {(name, kind) for name in NAMES for kind in KINDS}
    assert len(NAMES) >= 5


@pytest.mark.parametrize("name", NAMES)
def test_results_are_of_the_study_as_it_stands(name: str) -> None:
    study, content = study_of(name), told(name)
    assert name == study.name == content["study"]
    assert (content["seed"], content["repetitions"]) == (study.seed, study.repetitions)
    assert content["cells"] == study.cells
    assert content["methods"] == study.methods
    assert set(content["versions"]) == {"python", "numpy", "pandas", "scipy"}
    assert content["title"] == study.title
    results = read_table(FOLDER / f"{name}.csv")
    assert set(results["measure"]) <= set(MEASURES)
    assert set(results["method"]) == set(study.methods)
    found = results[list(study.grid)].drop_duplicates().to_dict("records")
    assert found == study.cells
    assert results.loc[results["measure"] == "converged", "n"].eq(study.repetitions).all()
    counted = {(json.dumps(f["cell"]), f["target"], f["method"]) for f in content["failures"]}
    failed = results[(results["measure"] == "converged") & (results["value"] < 1)]
    assert len(failed) == len(counted)


@pytest.mark.parametrize("name", NAMES)
def test_results_keep_the_limits_of_their_study(name: str) -> None:
    study, results = study_of(name), read_table(FOLDER / f"{name}.csv")
    assert disagreements(results, study) == []
    coverage = results[results["measure"] == "coverage"]
    assert ((LEVEL * (1 - LEVEL) / coverage["n"]) ** 0.5 <= LARGEST_ERROR).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_first_repetitions_come_out_again(name: str) -> None:
    study, content = study_of(name), told(name)
    first = content["first"]
    assert {f["repetition"] for f in first} == {0, 1, 2}
    cell = {json.dumps(c, sort_keys=True): 0 for c in study.cells}
    for row in first:
        cell[json.dumps(row["cell"], sort_keys=True)] += 1
    assert all(cell.values()), "a cell without its first repetitions"
    again = first_findings(run_study(study, repetitions=3), study, 3)
    assert len(again) == len(first)
    off = [f"{new}, committed {old}" for new, old in zip(again, first, strict=True) if not _same(new, old)]
    assert off == [], f"python3 run.py validate {name} makes the results again"


def _same(new: dict[str, Any], old: dict[str, Any]) -> bool:
    if [new[k] for k in ("cell", "repetition", "method", "target")] != [old[k] for k in ("cell", "repetition", "method", "target")]:
        return False
    for key in ("estimate", "std_error", "ci_low", "ci_high", "p_value"):
        one, two = new[key], old[key]
        if (one is None) != (two is None):
            return False
        if one is not None and not math.isclose(one, two, rel_tol=SAME, abs_tol=SAME):
            return False
    return True


def test_the_comparison_sees_a_small_change() -> None:
    old = {"cell": {"a": 1}, "repetition": 0, "method": "m", "target": "t", "estimate": 1.0}
    old |= dict.fromkeys(("std_error", "ci_low", "ci_high", "p_value"))
    assert _same(dict(old), old)
    assert not _same({**old, "estimate": 1.0 + 5e-6}, old)
    assert not _same({**old, "std_error": 0.0}, old)
    assert not _same({**old, "target": "u"}, old)


def test_every_key_of_a_study_is_described() -> None:
    top = schema("recovery")
    for part in (top, top["properties"]["estimators"]["items"], top["properties"]["figure"], top["$defs"]["limit"]):
        assert part["additionalProperties"] is False
        assert all(inner.get("description") for inner in part["properties"].values())


def test_the_coverages_in_the_documentation_are_those_of_the_files(root: Path) -> None:
    text = (root / "docs" / "methods" / "recovery.md").read_text(encoding="utf-8")
    printed = re.findall(r"^\| `(\w+)` \| (.+?) \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    expected = []
    for name in NAMES:
        results = read_table(FOLDER / f"{name}.csv")
        coverage = results[results["measure"] == "coverage"].groupby("method", sort=False)["value"].agg(["min", "max"])
        expected += [(name, method, f"{100 * low:.1f}", f"{100 * high:.1f}") for method, low, high in coverage.itertuples()]
    assert sorted(printed) == sorted(expected)
    assert set(NAMES) <= set(re.findall(r"`(\w+)`", text))


def test_no_result_holds_a_value_without_a_number() -> None:
    for name in NAMES:
        results = pd.read_csv(FOLDER / f"{name}.csv")
        assert results[["value", "mc_error", "n"]].notna().all().all(), name

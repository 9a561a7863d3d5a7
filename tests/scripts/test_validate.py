"""The script of the recovery studies: it keeps blocks, starts anew when code changes, and says what is stale."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from attachment_outcomes.errors import ConfigError
from attachment_outcomes.simulate.recovery.repetitions import Block

STUDY = {
    "name": "small", "title": "A small study", "aim": "To see that it runs.", "seed": 3, "repetitions": 6, "block": 2,
    "scenario": "attachment_outcomes.simulate.scenarios:clustered_events", "grid": {"therapists": [5, 8]},
    "fixed": {"icc": 0.1, "share": 0.4, "fewest": 3, "most": 6},
    "estimators": [
        {
            "function": "attachment_outcomes.simulate.recovery.estimators:share", "options": {"by_therapist": True},
            "methods": "Wilson",
        },
    ],
    "limits": [{"measure": "coverage", "within": [0, 1]}], "figure": {"x": "therapists", "columns": ["bias", "coverage"]},
}  # fmt: skip
FILES = ["small.csv", "small.json", "small.png", "small.svg"]


@pytest.fixture(scope="module")
def script(root: Path) -> dict[str, Any]:
    return runpy.run_path(str(root / "scripts" / "validate.py"), run_name="validate")


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "schemas").symlink_to(root / "workflow" / "schemas", target_is_directory=True)
    monkeypatch.setenv("ATTACHMENT_OUTCOMES_ROOT", str(tmp_path))
    write(tmp_path)
    return tmp_path


def write(project: Path, **changes: Any) -> None:
    folder = project / "validation" / "recovery"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.yaml").write_text(yaml.safe_dump({**STUDY, **changes}), encoding="utf-8")


def made(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".yaml"}


def test_a_full_run_writes_the_committed_files_the_same_each_time(script: dict[str, Any], project: Path) -> None:
    assert script["main"](["small", "--cores", "1"]) == 0
    first = made(project / "validation" / "recovery")
    assert list(first) == FILES
    assert script["main"](["--cores", "1"]) == 0
    assert made(project / "validation" / "recovery") == first
    told = json.loads(first["small.json"])
    assert {f["repetition"] for f in told["first"]} == {0, 1, 2}
    assert "seconds" not in first["small.json"].decode()
    assert script["main"](["--check"]) == 0


def test_a_short_run_leaves_the_committed_files_alone(script: dict[str, Any], project: Path) -> None:
    assert script["main"](["small", "--repetitions", "3", "--cores", "1"]) == 0
    assert made(project / "validation" / "recovery") == {}
    assert set(FILES) <= {p.name for p in (project / "results" / "validation" / "small").iterdir()}
    script["main"](["small", "--repetitions", "3", "--cores", "1", "--out", str(project / "else" / "where")])
    assert sorted(p.name for p in (project / "else" / "where").iterdir()) == FILES


def test_a_longer_run_uses_the_blocks_of_a_shorter_one(
    script: dict[str, Any], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script["main"](["small", "--repetitions", "4", "--cores", "1"])
    script["main"](["small", "--cores", "1"])
    assert "6 of 6 blocks, 4 kept from before, done" in capsys.readouterr().err


def test_blocks_of_other_code_are_cleared_away(script: dict[str, Any], project: Path) -> None:
    blocks = project / "results" / "validation" / "small" / "blocks"
    script["main"](["small", "--cores", "1"])
    (old,) = blocks.iterdir()
    write(project, seed=4)
    script["main"](["small", "--cores", "1"])
    (new,) = blocks.iterdir()
    assert new != old
    kept = script["Folder"](script["read_study"](STUDY | {"seed": 4}, "small.yaml"), blocks)
    assert kept.get(Block(1, 2, 4))["cell"].tolist() == [1, 1]
    assert kept.get(Block(1, 2, 5)) is None


def test_what_is_stale_is_named(script: dict[str, Any], project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script["main"](["small", "--cores", "1"])
    for change, said in (
        ({"seed": 4}, "seed, code of scenario or estimators"),
        ({"repetitions": 8}, "number of repetitions"),
        ({"grid": {"therapists": [5]}}, "grid"),
        ({"fixed": {"icc": 0.2, "share": 0.4, "fewest": 3, "most": 6}}, "code of scenario or estimators"),
    ):
        write(project, **change)
        capsys.readouterr()
        assert script["main"](["--check"]) == 1
        assert capsys.readouterr().out == f"small: stale, as these changed: {said}\n"


def test_results_that_are_absent_or_of_other_measures_are_stale(
    script: dict[str, Any], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script["main"](["--check"]) == 1
    assert "small: no results yet (json, csv, svg, png)" in capsys.readouterr().out
    script["main"](["small", "--cores", "1"])
    path = project / "validation" / "recovery" / "small.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**told, "code": {**told["code"], "measures": "old"}}), encoding="utf-8")
    capsys.readouterr()
    script["main"](["--check"])
    assert "stale, as these changed: code of the measures" in capsys.readouterr().out


def test_a_result_beyond_its_limits_is_said_and_makes_the_run_fail(
    script: dict[str, Any], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project, limits=[{"measure": "bias", "within": [5, 6]}])
    assert script["main"](["small", "--cores", "1"]) == 1
    assert "small: therapists 5, share, Wilson: bias" in capsys.readouterr().out


def test_studies_are_listed_and_wrong_calls_answered(
    script: dict[str, Any], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script["main"](["--list"]) == 0
    assert capsys.readouterr().out == "small: A small study (2 cells of 6 repetitions)\n"
    with pytest.raises(ConfigError, match=r"no study 'smal'\. Did you mean 'small'\?"):
        script["main"](["smal"])
    with pytest.raises(SystemExit):
        script["main"](["small", "--cores", "0"])
    assert "--cores takes a number from 1" in capsys.readouterr().err


def test_progress_is_told_in_lines_with_an_end(script: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    progress = script["Progress"]("small")
    for done in range(1, 5):
        progress(done, 4, False)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("small: 1 of 4 blocks, about ")
    assert last == "small: 4 of 4 blocks, done"
    assert isinstance(pd.Timestamp(first.rsplit(" ", 1)[1]), pd.Timestamp)

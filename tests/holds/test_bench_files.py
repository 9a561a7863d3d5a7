"""The timings of mixed models and of ruptures, their figure and the page about them say the same."""

from __future__ import annotations

import html
import json
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import pytest

from attachment_outcomes.config import load_criteria
from attachment_outcomes.present.drawing import svg_text
from attachment_outcomes.present.validation.bench import draw
from attachment_outcomes.present.validation.bench_ruptures import with_table
from attachment_outcomes.present.validation.bench_tables import BEGIN, END, with_tables
from attachment_outcomes.simulate.bench import ruptures as rupture_bench
from attachment_outcomes.simulate.bench.goals import goals
from attachment_outcomes.simulate.bench.models import OURS, rows
from attachment_outcomes.simulate.bench.tasks import met

REPAIR = "run `python3 run.py bench models`"


@pytest.fixture
def stem(root: Path) -> Path:
    return root / "validation" / "bench" / "models"


@pytest.fixture
def record(stem: Path) -> dict[str, Any] | None:
    path = stem.with_suffix(".json")
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def test_the_page_has_the_numbers_of_the_file_and_none_without_it(root: Path, record: dict[str, Any] | None) -> None:
    page = (root / "docs" / "methods" / "speed.md").read_text(encoding="utf-8")
    if record is None:
        assert page.partition(BEGIN)[2].partition(END)[0].strip() == "", REPAIR
    else:
        assert with_tables(page, record) == page, REPAIR


def test_the_figure_is_drawn_from_the_file(stem: Path, record: dict[str, Any] | None) -> None:
    assert stem.with_suffix(".svg").is_file() == stem.with_suffix(".png").is_file() == (record is not None), REPAIR
    if record is not None:
        drawing, there = draw(record), stem.with_suffix(".svg").read_text(encoding="utf-8")
        assert f'aria-label="{html.escape(drawing.alt, quote=False)}"' in there, REPAIR
        assert stem.with_suffix(".png").read_bytes().count(drawing.alt.encode("latin-1", "ignore")[:60]), REPAIR
        if record["packages"]["matplotlib"] == metadata.version("matplotlib"):  # others may place a glyph elsewhere
            assert svg_text(drawing) == there, REPAIR


def test_every_row_was_measured_and_the_goals_follow_from_the_timings(record: dict[str, Any] | None) -> None:
    if record is None:
        return
    assert [row["row"] for row in record["rows"]] == [row.key for row in rows()], REPAIR
    measured = {row["row"]: row["results"] for row in record["rows"]}
    assert all("seconds" in of[OURS] for of in measured.values())
    assert goals(measured, list(rows())) == record["goals"], REPAIR


@pytest.mark.parametrize("name", ["change", "transmission"])
def test_tasks_were_measured_and_the_goals_follow_from_it(root: Path, name: str) -> None:
    tasks = import_module(f"attachment_outcomes.simulate.bench.{name}").TASKS
    record = json.loads((root / "validation" / "bench" / f"{name}.json").read_text(encoding="utf-8"))["measured"]
    assert record.keys() == tasks.keys(), f"run `python3 run.py bench {name}`"
    for key, task in tasks.items():
        told = record[key]
        assert (told["goal_seconds"], told["goal_mb"]) == (task.seconds, task.megabytes)
        assert told["met"] == met(task, told["seconds"], told["peak_mb"])


def test_the_page_has_the_numbers_of_ruptures_and_the_goals_follow_from_them(root: Path) -> None:
    repair = "run `python3 run.py bench ruptures`"
    record = json.loads((root / "validation" / "bench" / "ruptures.json").read_text(encoding="utf-8"))
    assert [m["sessions"] for m in record["measured"]] == list(rupture_bench.SIZES), repair
    for measured in record["measured"]:
        assert measured["criteria"].keys() == load_criteria("rupture").keys(), repair
    assert rupture_bench.goals(record["measured"]) == record["goals"], repair
    page = (root / "docs" / "methods" / "speed.md").read_text(encoding="utf-8")
    assert with_table(page, record) == page, repair

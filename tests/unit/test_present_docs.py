"""The how-to for figures works as written, and the numbers that the audit's methods page states are the data's."""

from __future__ import annotations

import csv
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from attachment_outcomes.present.drawing import NothingToDraw, svg_text


def blocks(root: Path, language: str) -> list[str]:
    text = (root / "docs" / "add-a-figure.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_figure_of_the_how_to_is_drawn_with_its_numbers(root: Path) -> None:
    made_up = runpy.run_path(str(root / "tests" / "pages" / "made_up.py"))
    tables, names = made_up["made_up_tables"](), dict[str, Any]()
    exec(blocks(root, "python")[0], names)
    drawing = names["draw"]({need: tables[need] for need in names["NEEDS"]}, made_up["SETTINGS"])
    assert "CORE-10 −5.20 [−6.30, −4.10], n = 120" in drawing.caption
    assert drawing.data["outcome"].tolist() == ["core10.total", "ecr_r.anxiety"]
    assert "aria-label" in svg_text(drawing)
    with pytest.raises(NothingToDraw, match="estimates: no change was assessed"):
        names["draw"]({"estimates": tables["estimates"].iloc[0:0]}, made_up["SETTINGS"])


def test_the_caption_of_the_how_to_renders(root: Path) -> None:
    caption = next(b for b in blocks(root, "text") if "What it shows" in b)
    text = Environment().from_string(caption).render(live="CORE-10 −5.20", told={"ci_level": 0.95})
    assert "intervals at 95 %." in text
    assert text.rstrip().endswith("CORE-10 −5.20")


def test_the_numbers_of_the_methods_page_are_those_of_the_published_counts(root: Path, shared_data: Path) -> None:
    text = (root / "docs" / "methods" / "audit.md").read_text(encoding="utf-8")
    with (shared_data / "nhs_talking_therapies" / "england_totals_by_year.csv").open(newline="") as handle:
        last = list(csv.DictReader(handle))[-1]
    recovered, finished, without = (int(last[f"{k}_count"]) for k in ("recovery", "finished_course_treatment", "not_at_caseness"))
    assert f"{recovered:,} / ({finished:,} − {without:,}) = {100 * recovered / (finished - without):.3f} %" in " ".join(
        text.split()
    )
    assert f"({100 * recovered / int(last['at_caseness_count']):.3f} %)" in text

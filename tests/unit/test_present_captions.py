"""Captions of the report: each item has one, and it prints live values as clean text."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined

from attachment_outcomes.plan import FIGURES, TABLES, figure_caption

LIVE = "ecr_r midpoint, criterion_; n = 12 * 3; kappa .42 [.37, .47]"
TOLD = {"threshold": 5, "ci_level": 0.95, "change": None}


def published(text: str) -> str:
    """Return the caption as HTML; warnings of the markup are errors here, since they would be printed into the report."""
    return str(publish_parts(text, writer_name="html", settings_overrides={"halt_level": 2, "report_level": 2})["body"])


def rendered(root: Path, name: str, **wildcards: Any) -> str:
    source = (root / "workflow" / "report" / f"{name}.rst").read_text(encoding="utf-8")
    given = {
        "config": {"studies": ["example", "opie2021"]},
        "params": SimpleNamespace(settings=SimpleNamespace(**TOLD), threshold=5),
        "wildcards": SimpleNamespace(study="example", **wildcards),
    }
    return published(Environment(undefined=StrictUndefined).from_string(source).render(snakemake=SimpleNamespace(**given)))


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_each_figure_says_what_it_shows_how_to_read_it_and_its_numbers(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.txt").write_text(LIVE + "\n", encoding="utf-8")
    page = published(figure_caption(str(tmp_path), name, TOLD))
    for part in ("What it shows.", "How to read it.", "Definitions.", "These data."):
        assert f"<strong>{part}</strong>" in page
    assert LIVE in page


def test_every_figure_has_words_and_no_words_lack_a_figure(root: Path) -> None:
    words = {p.stem for p in (root / "workflow" / "report" / "figures").glob("*.rst")}
    modules = {p.stem for p in (root / "src" / "attachment_outcomes" / "present" / "figures").glob("*.py")} - {"__init__"}
    assert words == modules
    assert set(FIGURES) <= modules


@pytest.mark.parametrize("name", sorted(TABLES))
def test_each_table_has_its_own_words(root: Path, name: str) -> None:
    assert "Counts from 1 to 4" in rendered(root, "table", table=name)


@pytest.mark.parametrize("name", ["audit", "estimates", "manifest", "workflow"])
def test_the_other_items_have_captions(root: Path, name: str) -> None:
    assert len(rendered(root, name)) > 200

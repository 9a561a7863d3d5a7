"""Captions of the report: each item has one, and it prints live values as clean text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined

from attachment_outcomes.plan import FIGURES, TABLES

LIVE = "ecr_r midpoint, criterion_; n = 12 * 3; kappa .42 [.37, .47]"


def rendered(root: Path, name: str, **more: Any) -> str:
    source = (root / "workflow" / "report" / f"{name}.rst").read_text(encoding="utf-8")
    live: Callable[[str], str] = lambda path: LIVE + "\n"  # noqa: E731
    settings = SimpleNamespace(threshold=5, ci_level=0.95, change=None)
    given = {
        "config": {"live": live, "studies": ["example", "opie2021"]},
        "output": SimpleNamespace(caption="x.txt"),
        "params": SimpleNamespace(settings=settings, threshold=5),
        "wildcards": SimpleNamespace(study="example", **more),
    }
    text = Environment(undefined=StrictUndefined).from_string(source).render(snakemake=SimpleNamespace(**given))
    # Warnings of the markup are errors here, since they would be printed into the report.
    return str(publish_parts(text, writer_name="html", settings_overrides={"halt_level": 2, "report_level": 2})["body"])


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_each_figure_says_what_it_shows_how_to_read_it_and_its_numbers(root: Path, name: str) -> None:
    page = rendered(root, name)
    for part in ("What it shows.", "How to read it.", "Definitions.", "These data."):
        assert f"<strong>{part}</strong>" in page
    assert LIVE in page


@pytest.mark.parametrize("name", sorted(TABLES))
def test_each_table_has_its_own_words(root: Path, name: str) -> None:
    assert "Counts from 1 to 4" in rendered(root, "table", table=name)


@pytest.mark.parametrize("name", ["audit", "estimates", "manifest", "workflow"])
def test_the_other_items_have_captions(root: Path, name: str) -> None:
    assert len(rendered(root, name)) > 200

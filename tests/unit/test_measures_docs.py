"""The recipe for a new instrument is one that works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from attachment_outcomes.config import validated
from attachment_outcomes.measures import score
from attachment_outcomes.measures.instruments import read_instrument


def blocks(root: Path, language: str) -> list[str]:
    text = (root / "docs" / "add-an-instrument.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def instrument(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = validated(yaml.safe_load(blocks(root, "yaml")[0]), "instrument", "docs/add-an-instrument.md")
    return content


def test_the_recipes_instrument_scores_its_examples(instrument: dict[str, Any]) -> None:
    for example in instrument["examples"]:
        found = score(pd.DataFrame([{i: example["answers"].get(i) for i in range(1, 6)}], dtype=float), instrument=instrument)[
            "total"
        ].iloc[0]
        expected = example["scores"]["total"]
        assert pd.isna(found) if expected is None else found == pytest.approx(expected)


def test_the_recipes_study_form_is_accepted(root: Path, instrument: dict[str, Any]) -> None:
    override = validated_study_form(root)
    form = read_instrument(instrument, override=override)
    assert (form.low, form.high, form.scales["total"].items, form.scales["total"].max_missing) == (1, 5, (1, 2, 3), 0)


def validated_study_form(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(blocks(root, "yaml")[1])["instruments"]["felt_security"]
    return content


def test_the_recipes_notebook_line_names_a_public_function(root: Path) -> None:
    assert "from attachment_outcomes.measures import score" in blocks(root, "python")[0]

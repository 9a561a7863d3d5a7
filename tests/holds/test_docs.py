"""The reference pages are what the schemas and contracts make of them."""

from __future__ import annotations

from attachment_outcomes.config import SCHEMAS, schema
from attachment_outcomes.present.pages.reference import configuration_guide, data_dictionary


def test_reference_pages_are_in_step(root):
    for name, text in {
        "configuration.md": configuration_guide({s: schema(s) for s in SCHEMAS}),
        "data-dictionary.md": data_dictionary(),
    }.items():
        assert (root / "docs" / name).read_text(encoding="utf-8") == text, f"docs/{name} is out of step: run `python3 run.py docs`"

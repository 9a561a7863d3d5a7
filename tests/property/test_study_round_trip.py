"""Whatever a wide table holds, its long form holds the same; and ids stay apart and stay the same."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attachment_outcomes.config import validated
from attachment_outcomes.study.contracts import TABLES
from attachment_outcomes.study.identity import code_of
from attachment_outcomes.study.intake import ingest

KEY = b"property" * 4
# Ids as people write them: letters of any script, digits, quotes, separators; no blanks at the ends, which are trimmed.
LETTERS = st.characters(whitelist_categories=("L", "N", "P", "S"), blacklist_characters="\ufeff")
IDS = st.lists(st.text(LETTERS, min_size=1, max_size=12), min_size=1, max_size=12, unique=True)
ANSWERS = st.one_of(st.none(), st.integers(0, 3), st.floats(0, 3, allow_nan=False).map(lambda x: round(x, 6)))


def read(folder: Path, rows: list[list[Any]], tables: list[dict[str, Any]], *, threads: int = 2) -> dict[str, pd.DataFrame]:
    path = folder / "wide.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows(rows)
    study = validated(
        {
            "name": "clinic", "title": "A clinic", "folder": "raw", "source": {"citation": "x", "licence": "y"},
            "sources": [{"file": "wide.csv", "tables": tables}],
        },
        "study",
        "clinic.yaml",
    )  # fmt: skip
    with ingest(study, [path], key=KEY, ranges={"phq9": (0, 3)}, threads=threads) as intake:
        return {t: pd.DataFrame(intake.session.rows(f"SELECT * FROM canonical_{t}")) for t in TABLES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wide")


@settings(max_examples=15)
@given(ids=IDS, data=st.data())
def test_wide_to_long_and_back(folder: Path, ids: list[str], data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 4))
    cells = [data.draw(st.lists(ANSWERS, min_size=width, max_size=width)) for _ in ids]
    header = ["id", *(f"q{i}" for i in range(1, width + 1))]
    table = {
        "table": "items", "melt": {"columns": "q(?P<item>[0-9]+)", "value": "value", "keep_missing": True},
        "columns": {"person_id": "id", "item": "item", "instrument": {"value": "phq9"}, "rater": {"value": "self"}},
    }  # fmt: skip
    long = read(folder, [header, *([i, *row] for i, row in zip(ids, cells, strict=True))], [table])["items"]
    long.columns = ["_spec", "_row", *TABLES["items"].columns]
    back = {(p, i): (None if pd.isna(v) else v) for p, i, v in zip(long["person_id"], long["item"], long["value"], strict=True)}
    assert back == {
        (code_of(person, key=KEY), str(i)): (None if v is None else float(v))
        for person, row in zip(ids, cells, strict=True)
        for i, v in enumerate(row, start=1)
    }


@settings(max_examples=15)
@given(ids=IDS, data=st.data())
def test_ids_are_recoded_consistently_and_injectively(folder: Path, ids: list[str], data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), min_size=1, max_size=20, unique=True))
    tables = [
        {"table": "relations", "columns": {"person_a": "a", "person_b": "b", "kind": {"value": "couple"}}},
        {"table": "people", "distinct": True, "columns": {"person_id": "a", "role": {"value": "partner"}}},
        {"table": "people", "distinct": True, "columns": {"person_id": "b", "role": {"value": "partner"}}},
    ]
    found = read(folder, [["a", "b"], *map(list, pairs)], tables)
    relations, people = found["relations"], found["people"]
    coded = {(a, b) for a, b in zip(relations[2], relations[3], strict=True)}
    assert coded == {(code_of(a, key=KEY), code_of(b, key=KEY)) for a, b in pairs}
    named = {person for pair in pairs for person in pair}
    assert len(people) == len(set(people[2])) == len(named)

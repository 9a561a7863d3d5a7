"""The gate: what identifies people stops the run; what only looks like it does not."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from attachment_outcomes.config import validated
from attachment_outcomes.errors import DataError
from attachment_outcomes.flow import Flow
from attachment_outcomes.study import gate as gate_
from attachment_outcomes.study.engine import engine
from attachment_outcomes.study.intake import ingest
from attachment_outcomes.study.patterns import suspected_by_name, words_of
from attachment_outcomes.study.readers import load

NAMES = ["Anna Schmidt", "Jean-Luc Picard", "Beverly Crusher", "Will Riker", "Déanna Troi", "Tasha Yar", "Miles O’Brien"]
TEXTS = [
    "she told her mother about the quarrel and then they talked for a long while",
    "nothing to report",
    "came late again because the bus did not come and was rather upset about that",
]


@pytest.fixture
def gate(tmp_path: Path) -> Callable[..., str]:
    """Return the message with which a column of cells is stopped, or an empty string."""

    def run(column: str, cells: list[str], *, mapped: bool = False, dictionary: str | None = None, **source: Any) -> str:
        rows = "".join(f"{i},{f'{cell!s}' if ',' not in cell else chr(34) + cell + chr(34)}\n" for i, cell in enumerate(cells, 1))
        (tmp_path / "data.csv").write_text(f"id,{column}\n{rows}", encoding="utf-8")
        if dictionary is not None:
            (tmp_path / "dictionary.csv").write_text(dictionary, encoding="utf-8")
            source["dictionary"] = "dictionary.csv"
        rule = {"from": column, "map": {c: "x" for c in set(cells) if c}} if mapped else column
        tables = [{"table": "people", "columns": {"person_id": "id", "role": {"value": "client"}, "subgroup": rule}}]
        study = validated(
            {
                "name": "clinic", "title": "A clinic", "folder": "raw", "source": {"citation": "x", "licence": "y"},
                "sources": [{"file": "data.csv", "tables": tables, **source}],
            },
            "study",
            "clinic.yaml",
        )  # fmt: skip
        try:
            with ingest(study, [tmp_path / "data.csv"], key=b"k" * 32, ranges={}):
                return ""
        except DataError as error:
            message = str(error)
            assert not any(c in message for c in cells if len(c) > 3)
            return message

    return run


IDENTIFYING = [
    ("seen", ["2020-01-31", "2021-12-01", ""], "dates (2 cells)"),
    ("seen", ["31.01.2020", "1/12/2021"], "dates (2 cells)"),
    ("seen", ["01/31/20", "12/01/21"], "dates (2 cells)"),
    ("seen", ["2020-01-31 14:30:00", "2021-12-01T09:00"], "dates (2 cells)"),
    ("seen", ["20200131", "20211201"], "dates (2 cells)"),
    ("seen", ["31 January 2020", "Dec 1, 2021"], "dates"),
    ("seen", ["5", "7", "9", "moved on 12.3.2020"], "dates (1 cell)"),
    ("born", ["1980-03", "1975-11"], "dates (2 cells)"),
    ("date_of_birth", ["1980", "1975"], "dates (2 cells)"),
    ("contact", ["a.b@example.org", "no"], "e-mail addresses (1 cell)"),
    ("contact", ["+49 30 1234567", "none"], "telephone numbers (1 cell)"),
    ("contact", ["(555) 123-4567", "030 / 123456"], "telephone numbers"),
    ("contact", ["01712345678", "01709876543"], "telephone numbers (2 cells)"),
    ("phone", ["3364812635", "5233183616"], "telephone numbers (2 cells)"),
    ("born", ["1950", "1969"], "dates (2 cells)"),
    ("therapist", ["Anna", "Bernd", "Clara", "Anna"], "person names (4 cells)"),
    ("last_name", ["Picard", "Riker"], "person names (2 cells)"),
    ("vorname", ["anna", "will"], "person names (2 cells)"),
    ("who", NAMES, "person names (7 cells)"),
    ("who", ["Picard, Jean-Luc", "Riker, Will", "Troi, Deanna"], "person names (3 cells)"),
    ("who", [f"Frau {n.split()[1]}" for n in NAMES], "person names (7 cells)"),
    ("remarks", ["was late", "2", ""], "free text (1 cell)"),
    ("what", TEXTS, "free text (2 cells)"),
    ("what", [f"came with {w} to it" for w in "abcdefghijkl"], "free text (12 cells)"),
    ("home", ["SW1A 1AA", "M1 1AE"], "postcodes (2 cells)"),
    ("plz", ["10115", "80331"], "places (2 cells)"),
    ("ip_address", ["10", "11"], "places (2 cells)"),
    ("host", ["192.168.0.1", "10.0.0.7"], "internet addresses (2 cells)"),
    ("nhs_number", ["1234567890", "1234567891"], "personal numbers (2 cells)"),
]  # fmt: skip
ORDINARY = [
    ("score", ["1", "2.5", "3.54545454545455", "-1", "0", "1e3", "0.00123456789"]),
    ("income", ["20000", "12345678", "99999999"]),
    ("arm", ["CBT", "waitlist", "CBT", "treatment as usual"]),
    ("arm", ["Cognitive Therapy", "Supportive Therapy", "Interpersonal Therapy", "Waiting List"]),
    ("class", ["F1", "Ds2", "U/F", "D/A", "E3"]),
    ("religion", ["None", "Christian", "Muslim", "Jewish", "Other"]),
    ("country", ["New Zealand", "Germany", "South Africa"]),
    ("period", ["2017-18", "2018-19", "2024-25"]),
    ("grade", ["1.1", "24.1", "12.2"]),
    ("event_name", ["intake_arm_1", "followup_arm_1"]),
    ("age_band", ["25-34", "35-44", "65+"]),
    ("education", ["High School", "University Degree", "Primary School"]),
    ("update_count", ["1", "2"]),
    ("notes_taken", ["1", "0"]),
    ("version", ["1.2.3", "1.2.4"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[gate_.Finding | None]:
    """What the gate finds in one file whose columns are the cases, in their order."""
    cases = [(c[0], c[1]) for c in (*IDENTIFYING, *ORDINARY)]
    path = tmp_path_factory.mktemp("gate") / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow([name for name, _ in cases])
        writer.writerows(zip_longest(*(cells for _, cells in cases), fillvalue=""))
    given = {"name": "clinic", "title": "A clinic", "folder": "raw", "source": {"citation": "x", "licence": "y"}}
    source = {"file": "data.csv", "duplicate_columns": "number", "tables": [{"table": "people", "columns": {"person_id": "id"}}]}
    study = validated({**given, "sources": [source]}, "study", "clinic.yaml")
    with engine() as session:
        raw = load(session, study["sources"][0], path, "raw_0", Flow())
        found = {f.column: f for f in gate_.inspect(session, [(raw, list(raw.columns), {})])[0]}
        return [found.get(column) for column in raw.columns]


@pytest.mark.parametrize("case", range(len(IDENTIFYING)), ids=lambda i: f"{IDENTIFYING[i][0]}: {IDENTIFYING[i][2]}")
def test_identifying_columns_are_found(findings: list[gate_.Finding | None], case: int) -> None:
    finding = findings[case]
    assert finding is not None
    cells = "cell" if finding.cells == 1 else "cells"
    assert f"{finding.kind} ({finding.cells} {cells})".startswith(IDENTIFYING[case][2])


@pytest.mark.parametrize("case", range(len(ORDINARY)), ids=lambda i: ORDINARY[i][0])
def test_ordinary_columns_pass(findings: list[gate_.Finding | None], case: int) -> None:
    assert findings[len(IDENTIFYING) + case] is None


@pytest.mark.parametrize(("column", "cells", "kind"), [IDENTIFYING[0], IDENTIFYING[9], IDENTIFYING[16]])
def test_identifying_columns_stop_the_run(gate: Callable[..., str], column: str, cells: list[str], kind: str) -> None:
    message = gate(column, cells)
    assert f"data.csv: column '{column}': {kind}" in message
    assert "nothing was written" in message
    assert "Hint: for each column" in message
    assert "'weeks_since'" in message


def test_all_offending_columns_are_told_at_once(gate: Callable[..., str], tmp_path: Path) -> None:
    header = "id,born,mail,what\n1,1980-01-01,a@b.org,x\n"
    (tmp_path / "all.csv").write_text(header, encoding="utf-8")
    columns = {"person_id": "id", "role": {"value": "client"}, "subgroup": "born", "gender": "mail", "age_band": "what"}
    study = validated(
        {
            "name": "clinic", "title": "A clinic", "folder": "raw", "source": {"citation": "x", "licence": "y"},
            "sources": [{"file": "all.csv", "tables": [{"table": "people", "columns": columns}]}],
        },
        "study",
        "clinic.yaml",
    )  # fmt: skip
    with (
        pytest.raises(DataError, match="2 columns may identify people") as caught,
        ingest(study, [tmp_path / "all.csv"], key=b"k", ranges={}),
    ):
        pass
    assert "column 'born': dates (1 cell)" in str(caught.value)
    assert "column 'mail': e-mail addresses (1 cell)" in str(caught.value)


def test_a_reason_clears_a_column(gate: Callable[..., str]) -> None:
    assert "person names" in gate("label", NAMES)
    assert gate("label", NAMES, not_identifying={"label": "characters of a television series"}) == ""


def test_a_map_that_names_every_category_clears_a_column(gate: Callable[..., str]) -> None:
    assert gate("who", NAMES, mapped=True) == ""


def test_identifier_of_the_data_dictionary_stops_the_run(gate: Callable[..., str]) -> None:
    dictionary = (
        '"Variable / Field Name","Form Name","Field Type","Text Validation Type OR Show Slider Number",Identifier?\n'
        "id,f,text,,y\ngroup,f,text,,y\n"
    )
    message = gate("group", ["1", "2", ""], dictionary=dictionary)
    assert "column 'group': flagged as identifier in the data dictionary (2 cells)" in message
    assert "column 'id'" not in message  # ids are re-coded


@pytest.mark.parametrize(
    ("field", "kind"), [("text,date_dmy", "dates"), ("notes,", "free text"), ("text,email", "e-mail addresses")]
)
def test_field_types_of_the_data_dictionary_count_too(gate: Callable[..., str], field: str, kind: str) -> None:
    dictionary = f"field_name,field_type,text_validation_type_or_show_slider_number,identifier\ngroup,{field},\n"
    assert f"column 'group': {kind}" in gate("group", ["1", "2"], dictionary=dictionary)


def test_something_else_than_a_data_dictionary_is_refused(gate: Callable[..., str]) -> None:
    assert "has no column 'Variable / Field Name'" in gate("group", ["1"], dictionary="a,b\n1,2\n")


def test_real_redcap_export_is_stopped(shared_data: Path) -> None:
    folder = shared_data / "redcap_exports" / "clinical-trial-1"
    header = (folder / "data.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    free = [c for c in header if c != "record_id"]
    columns = {"person_id": "record_id", "role": {"value": "client"}, "subgroup": {"join": free}}
    source = {"file": "data.csv", "dictionary": "dictionary.csv", "tables": [{"table": "people", "columns": columns}]}
    given = {"name": "trial", "title": "A REDCap trial", "folder": "redcap", "source": {"citation": "x", "licence": "y"}}
    study = validated({**given, "sources": [source]}, "study", "trial.yaml")
    with pytest.raises(DataError) as caught, ingest(study, [folder / "data.csv"], key=b"k", ranges={}):
        pass
    stopped = {line.split("'")[1] for line in str(caught.value).splitlines()[1:-1]}
    assert stopped == {"name_last", "name_first", "address", "phone", "dob", "email"}


def test_nothing_of_a_cell_is_logged(gate: Callable[..., str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        gate("who", NAMES)
    assert not any(name in caplog.text for name in NAMES)


def test_column_names_are_read_word_by_word() -> None:
    assert words_of("dateOfBirth") == ["date", "of", "birth"]
    assert words_of("Straße_Nr") == ["straße", "nr"]
    assert suspected_by_name("firstName") == ("person names", "word")
    assert suspected_by_name("birth_order") is None
    assert suspected_by_name("redcap_event_name") is None
    assert suspected_by_name("update") is None

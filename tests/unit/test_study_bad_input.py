"""Every kind of bad input gives one message with place and hint, and never what stands in a cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attachment_outcomes.config import load_study, validated
from attachment_outcomes.errors import AttachmentOutcomesError, ConfigError, DataError
from attachment_outcomes.study.contracts import TABLES
from attachment_outcomes.study.intake import ingest

SOURCE = {"citation": "x", "licence": "y", "repository": "example.org/repo", "paths": ["a/data.csv"], "commit": "abc"}
SECRET = "Zaphod"  # stands in the offending cell; must never stand in a message
COLUMNS = {
    "person_id": "id",
    "wave": "wave",
    "instrument": {"value": "phq9"},
    "scale": {"value": "total"},
    "rater": {"value": "self"},
}
SCORES = {"table": "scores", "columns": {**COLUMNS, "score": "phq"}}
GOOD = "id,wave,phq\n1,0,12\n1,1,7\n2,0,15\n"


@pytest.fixture
def stop(tmp_path: Path) -> Callable[..., str]:
    """Run a study of one file that must stop, and return its message; nothing may be written."""

    def run(
        content: str | bytes | None, *, tables: list[dict[str, Any]] | None = None, name: str = "data.csv",
        kind: type[AttachmentOutcomesError] = DataError, others: dict[str, str] | None = None, **source: Any,
    ) -> str:  # fmt: skip
        folder, out = tmp_path / "raw", tmp_path / "out"
        folder.mkdir(exist_ok=True)
        for other, text in (others or {}).items():
            (folder / other).write_text(text, encoding="utf-8")
        if content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        study = validated(
            {
                "name": "clinic", "title": "A clinic", "folder": "raw",
                "source": SOURCE,
                "sources": [{"file": name, "tables": tables or [SCORES], **source}],
            },
            "study",
            "config/studies/clinic.yaml",
        )  # fmt: skip
        with (
            pytest.raises(kind) as caught,
            ingest(study, [folder / name], key=b"k" * 32, ranges={"phq9": (0, 3)}, near=out) as intake,
        ):
            intake.save({t: out / f"{t}.parquet" for t in TABLES}, out / "flow.parquet")
        message = str(caught.value)
        assert SECRET not in message
        assert not [p for p in out.glob("**/*") if p.is_file()] if out.exists() else True
        return message

    return run


def test_missing_file_says_where_it_can_be_had(stop: Callable[..., str]) -> None:
    message = stop(None)
    for part in ("data.csv: no such file", "folder 'raw'", "--data DIR", "example.org/repo", "a/data.csv", "commit abc"):
        assert part in message


def test_empty_file(stop: Callable[..., str]) -> None:
    assert "data.csv: the file is empty. Hint:" in stop("")


def test_wrong_checksum_tells_expected_and_found(stop: Callable[..., str]) -> None:
    message = stop(GOOD, sha256="0" * 64)
    assert "data.csv: is not the file" in message
    assert "expected SHA-256 " + "0" * 64 in message
    assert "found " in message
    assert "Hint: get the version" in message


def test_empty_table(stop: Callable[..., str]) -> None:
    assert stop("id,wave,phq\n").startswith("data.csv: has a header but no data. Hint:")


def test_rows_without_any_cell_are_an_empty_table_too(stop: Callable[..., str]) -> None:
    assert "has a header but no data" in stop("id,wave,phq\n,,\n , ,\n")


def test_wrong_delimiter_is_guessed_in_the_hint_only(stop: Callable[..., str]) -> None:
    message = stop(GOOD.replace(",", ";"))
    assert "one column only" in message
    assert 'delimiter: ";"' in message


def test_mixed_encodings_name_the_row(stop: Callable[..., str]) -> None:
    message = stop("id,wave,phq,x\n1,0,3,Müller\n".encode() + f"2,0,4,{SECRET} Jäger\n".encode("cp1252"))
    assert "data.csv: is not UTF-8 text in row 3." in message
    assert "encoding: cp1252" in message


@pytest.mark.parametrize("declared", ["latin-1", "cp1252"])
def test_utf8_declared_as_something_else_is_refused(stop: Callable[..., str], declared: str) -> None:
    message = stop(f"id,wave,phq,x\n1,0,3,{SECRET}ä\n", encoding=declared)
    assert f"is declared {declared} but is UTF-8 text. Hint: set 'encoding: utf-8'" in message


def test_cp1252_declared_as_latin_1_is_refused(stop: Callable[..., str]) -> None:
    assert "encoding: cp1252" in stop("id,wave,phq,x\n1,0,3,5 €\n".encode("cp1252"), encoding="latin-1")


def test_utf16_is_recognised(stop: Callable[..., str]) -> None:
    assert "encoding: utf-16" in stop(GOOD.encode("utf-16"))


def test_decimal_comma_where_a_point_was_declared(stop: Callable[..., str]) -> None:
    message = stop("id;wave;phq\n1;0;12,5\n2;0;3\n", delimiter=";")
    assert message == (
        "data.csv, column 'phq' (scores.score): not a number, in row 2. "
        "Hint: the numbers are written with a decimal comma: set 'decimal: \",\"' for the file."
    )


def test_decimal_point_where_a_comma_was_declared(stop: Callable[..., str]) -> None:
    assert "decimal point: set 'decimal: \".\"'" in stop("id;wave;phq\n1;0;12.5\n", delimiter=";", decimal=",")


def test_decimal_comma_in_a_comma_separated_file_is_a_ragged_row(stop: Callable[..., str]) -> None:
    message = stop("id,wave,phq\n1,0,12\n2,0,12,5\n")
    assert "the header has 3 cells, but another number is in row 3." in message
    assert "decimal comma" in message


def test_ragged_rows_are_all_named(stop: Callable[..., str]) -> None:
    rows = "".join(f"{i},0,{SECRET}\n" if i % 2 else f"{i},0\n" for i in range(2, 20))
    assert "rows 2, 4, 6, 8, 10 and 4 more" in stop("id,wave,phq\n" + rows)


def test_open_quotation_mark(stop: Callable[..., str]) -> None:
    assert "a quoted cell is broken in or after row" in stop(f'id,wave,phq\n1,0,3\n2,0,"{SECRET}\n3,0,4\n')


def test_duplicate_column_names(stop: Callable[..., str]) -> None:
    message = stop("id,wave,phq,wave\n1,0,3,0\n")
    assert "columns share a name: 'wave' (columns 2, 4)" in message
    assert "duplicate_columns: keep identical" in message


def test_duplicate_columns_that_differ_are_not_merged(stop: Callable[..., str]) -> None:
    message = stop(f"id,wave,phq,wave\n1,0,3,0\n2,0,3,{SECRET}\n", duplicate_columns="keep identical")
    assert "columns named 'wave' are not identical: they differ in row 3." in message


def test_wrong_column_name_suggests_the_right_one(stop: Callable[..., str]) -> None:
    message = stop(
        GOOD.replace("phq", "phq_total"),
        kind=ConfigError,
        tables=[{"table": "scores", "columns": {**COLUMNS, "score": "phq_totl"}}],
    )
    assert "config/studies/clinic.yaml, file data.csv, table scores, column score" in message
    assert "no column 'phq_totl'. Did you mean 'phq_total'?" in message


def test_wrong_canonical_column_suggests_the_right_one(stop: Callable[..., str]) -> None:
    message = stop(GOOD, kind=ConfigError, tables=[{"table": "scores", "columns": {**COLUMNS, "scor": "phq"}}])
    assert "scores has no column 'scor'" in message
    assert "Did you mean 'score'?" in message


def test_required_canonical_column_left_out(stop: Callable[..., str]) -> None:
    columns = {k: v for k, v in COLUMNS.items() if k != "rater"}
    assert "column 'rater' is required" in stop(
        GOOD, kind=ConfigError, tables=[{"table": "scores", "columns": {**columns, "score": "phq"}}]
    )


def test_unmapped_column_stops_the_run(stop: Callable[..., str]) -> None:
    message = stop("id,wave,phq,extra,more\n1,0,3,4,5\n", kind=ConfigError, drop=["mor*"])
    assert "columns that are neither used nor dropped: 'extra'." in message
    assert "'drop'" in message


def test_dropping_what_is_not_there(stop: Callable[..., str]) -> None:
    assert "drop: no column 'wav'. Did you mean 'wave'?" in stop(GOOD, kind=ConfigError, drop=["wav"])


def test_dropping_what_is_used(stop: Callable[..., str]) -> None:
    assert "column 'wave' is dropped and used" in stop(GOOD, kind=ConfigError, drop=["wave"])


def test_clearing_what_is_not_there(stop: Callable[..., str]) -> None:
    message = stop(GOOD, kind=ConfigError, not_identifying={"wavee": "it is a number"})
    assert "not_identifying: no column 'wavee'. Did you mean 'wave'?" in message


def test_unknown_category_names_rows_and_the_map(stop: Callable[..., str]) -> None:
    columns = {**COLUMNS, "wave": {"from": "wave", "map": {"pre": 0, "post": 1}}}
    message = stop(f"id,wave,phq\n1,pre,3\n1,{SECRET},4\n", tables=[{"table": "scores", "columns": {**columns, "score": "phq"}}])
    assert message == (
        "data.csv, column 'wave' (scores.wave): a category that the map does not name; it names pre, post, in row 3. "
        "Hint: name the value in the map (or in 'missing'), or correct the file."
    )


def test_yaml_yes_as_a_key_is_refused(stop: Callable[..., str]) -> None:
    columns = {**COLUMNS, "wave": {"from": "wave", "map": {True: 0, False: 1}}}
    message = stop(GOOD, kind=ConfigError, tables=[{"table": "scores", "columns": {**columns, "score": "phq"}}])
    assert "put yes, no, on and off in quotes" in message


def test_number_column_with_words(stop: Callable[..., str]) -> None:
    message = stop(f"id,wave,phq\n1,0,{SECRET}\n1,1,inf\n1,2,1_000\n1,3,5\n")
    assert message.startswith("data.csv, column 'phq' (scores.score): not a number, in rows 2, 3, 4. Hint:")


def test_half_a_wave_is_no_wave(stop: Callable[..., str]) -> None:
    assert "(scores.wave): not a whole number, in row 2" in stop("id,wave,phq\n1,0.5,3\n")


def test_negative_wave_breaks_the_contract(stop: Callable[..., str]) -> None:
    assert "(scores.wave): below 0, in row 3" in stop("id,wave,phq\n1,0,3\n1,-1,3\n")


def test_word_outside_the_contract(stop: Callable[..., str]) -> None:
    tables = [{"table": "people", "columns": {"person_id": "id", "role": "role"}}]
    message = stop(f"id,role\n1,client\n2,{SECRET}\n", tables=tables)
    assert "data.csv, column 'role' (people.role): not one of client, parent, child" in message
    assert "in row 3" in message


def test_missing_person_id(stop: Callable[..., str]) -> None:
    assert "data.csv, column 'id' (scores.person_id): no person_id, in row 3." in stop("id,wave,phq\n1,0,3\n,1,3\n")


def test_out_of_range_answer_is_refused_with_column_and_row(stop: Callable[..., str]) -> None:
    tables = [
        {
            "table": "items", "melt": {"columns": "phq_(?P<item>[0-9])", "value": "value"},
            "columns": {"person_id": "id", "instrument": {"value": "phq9"}, "rater": {"value": "self"}, "item": "item"},
        }
    ]  # fmt: skip
    message = stop("id,phq_1,phq_2\n1,0,3\n2,1,7\n", tables=tables)
    assert "data.csv, column 'phq_2' (items.value): answers outside the instrument's range 0 to 3, in row 3." in message
    assert "out_of_range: set missing" in message


def test_unknown_instrument_of_items(stop: Callable[..., str]) -> None:
    tables = [
        {
            "table": "items",
            "columns": {
                "person_id": "id",
                "instrument": {"value": "phq"},
                "rater": {"value": "self"},
                "item": "wave",
                "value": "phq",
            },
        }
    ]
    message = stop(GOOD, tables=tables, kind=ConfigError)
    assert "no answer range is known for instrument 'phq'; known: phq9. Did you mean 'phq9'?" in message


def test_duplicated_key_names_rows_and_what_differs(stop: Callable[..., str]) -> None:
    message = stop("id,wave,phq\n1,0,3\n2,0,3\n1,0,4\n")
    assert "scores: data.csv, rows 2, 4: rows share a key (person_id, about_person_id, wave," in message
    assert "they differ in score" in message
    assert "Hint: map the column that tells these rows apart" in message


def test_repeated_rows_are_refused_by_default(stop: Callable[..., str]) -> None:
    message = stop("id,wave,phq\n1,0,3\n2,0,3\n1,0,3\n")
    assert "repeats of an earlier row, identical in every column, in row 4." in message
    assert "duplicates: drop identical" in message


def test_where_that_leaves_nothing(stop: Callable[..., str]) -> None:
    assert "no row is left by 'where' ('wave')" in stop(GOOD, tables=[{**SCORES, "where": {"wave": [9]}}])


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("phq_(", "no regular expression"), ("phq_[0-9]", "no named group"), ("gad_(?P<item>[0-9])", "no column of data.csv matches")],
)
def test_melt_patterns_that_cannot_work(stop: Callable[..., str], pattern: str, words: str) -> None:
    tables = [
        {
            "table": "items",
            "melt": {"columns": pattern, "value": "value"},
            "columns": {"person_id": "id", "instrument": {"value": "phq9"}, "rater": {"value": "self"}, "item": "item"},
        }
    ]
    assert words in stop("id,phq_1\n1,3\n", tables=tables, kind=ConfigError)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"from": "id", "value": 1}, "gives from and value"),
        ({"missing": [9]}, "gives none of"),
        ({"value": 1, "missing": [9]}, "need 'from' or 'join'"),
    ],
)
def test_rules_that_say_two_things_or_nothing(stop: Callable[..., str], rule: dict[str, Any], words: str) -> None:
    assert words in stop(GOOD, tables=[{"table": "scores", "columns": {**COLUMNS, "score": rule}}], kind=ConfigError)


def test_composite_ids_that_mean_two_people(stop: Callable[..., str]) -> None:
    tables = [{"table": "people", "columns": {"person_id": {"join": ["a", "b"]}, "role": {"value": "client"}}}]
    assert "1 composite ids stand for two people each" in stop("a,b\n1-2,3\n1,2-3\n", tables=tables)


def test_date_in_another_format_is_refused(stop: Callable[..., str]) -> None:
    tables = [{"table": "waves", "columns": {"person_id": "id", "wave": "wave", "weeks": {"weeks_since": {"date": "day"}}}}]
    message = stop("id,wave,day\n1,0,2020-01-01\n1,1,08.01.2020\n", tables=tables)
    assert "data.csv, column 'day': no date in the declared format, in row 3." in message
    assert "2020" not in message


def test_weeks_go_into_columns_of_weeks_only(stop: Callable[..., str]) -> None:
    tables = [
        {
            "table": "people",
            "columns": {"person_id": "id", "role": {"value": "client"}, "subgroup": {"weeks_since": {"date": "day"}}},
        }
    ]
    assert "fills a column of weeks only" in stop("id,day\n1,2020-01-01\n", tables=tables, kind=ConfigError)


def test_workbook_that_is_none(stop: Callable[..., str]) -> None:
    assert "is not a readable .xlsx workbook" in stop(GOOD, name="data.xlsx")


def test_parquet_that_is_none(stop: Callable[..., str]) -> None:
    assert "data.parquet: could not be read" in stop(GOOD, name="data.parquet")


def test_unknown_ending(stop: Callable[..., str]) -> None:
    assert "ending '.sav' is of no known format" in stop(GOOD, name="data.sav")


def test_malformed_yaml_tells_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setenv("ATTACHMENT_OUTCOMES_ROOT", str(tmp_path))
    (tmp_path / "config" / "studies").mkdir(parents=True)
    (tmp_path / "workflow").symlink_to(root / "workflow")
    (tmp_path / "config" / "studies" / "clinic.yaml").write_text("name: clinic\ntitle: [unclosed\nsource:\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config/studies/clinic.yaml, line \d: is not valid YAML"):
        load_study("clinic")

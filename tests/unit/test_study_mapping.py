"""From raw cells to canonical rows: rules, melts, weeks, ids, and the flow of what stays out."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from attachment_outcomes.config import validated
from attachment_outcomes.errors import DataError
from attachment_outcomes.study.contracts import TABLES, read
from attachment_outcomes.study.identity import code_of
from attachment_outcomes.study.intake import ingest

KEY = b"k" * 32
PHQ = {"instrument": {"value": "phq9"}, "rater": {"value": "self"}}
Tables = tuple[dict[str, pd.DataFrame], pd.DataFrame]


@pytest.fixture
def take(tmp_path: Path) -> Callable[..., Tables]:
    """Ingest sources given as (file name, content, source) and return the tables and the flow."""

    def run(*sources: tuple[str, str | bytes | Callable[[Path], object], dict[str, Any]]) -> Tables:
        files, given = [], []
        for name, content, source in sources:
            path = tmp_path / name
            if callable(content):
                content(path)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
            files.append(path)
            given.append({"file": name, **source})
        study = {
            "name": "clinic",
            "title": "A clinic",
            "folder": "raw",
            "source": {"citation": "x", "licence": "y"},
            "sources": given,
        }
        with ingest(
            validated(study, "study", "clinic.yaml"), files, key=KEY, ranges={"phq9": (0, 3)}, near=tmp_path / "out"
        ) as intake:
            paths = {t: tmp_path / "out" / f"{t}.parquet" for t in TABLES}
            intake.save(paths, tmp_path / "out" / "flow.parquet")
            return {t: read(p, t) for t, p in paths.items()}, pd.read_parquet(tmp_path / "out" / "flow.parquet")

    return run


def code(identifier: str, space: str = "person") -> str:
    return code_of(identifier, key=KEY, space=space)


def waves(rule: Any) -> dict[str, Any]:
    return {"tables": [{"table": "waves", "columns": {"person_id": "id", "wave": "wave", "weeks": rule}}]}


def test_all_tables_exist_and_unfed_ones_are_empty(take: Callable[..., Tables]) -> None:
    tables, _ = take(("a.csv", "id,wave,weeks\n1,0,0\n", waves("weeks")))
    assert set(tables) == set(TABLES)
    assert {t: len(f) for t, f in tables.items() if len(f)} == {"waves": 1}


def test_melt_makes_a_row_an_answer_and_counts_what_is_missing(take: Callable[..., Tables]) -> None:
    source = {
        "tables": [
            {
                "table": "items", "melt": {"columns": "phq_(?P<item>[0-9])_t(?P<wave>[0-9])", "value": "value", "missing": [-99]},
                "columns": {"person_id": "id", "wave": "wave", "item": "item", **PHQ},
            }
        ]
    }  # fmt: skip
    tables, flow = take(("a.csv", "id,phq_1_t0,phq_2_t0,phq_1_t1\n1,0,3,-99\n2,,-99.0,\n", source))
    items = tables["items"].sort_values("item")
    assert items[["person_id", "wave", "item", "value"]].values.tolist() == [[code("1"), 0, "1", 0.0], [code("1"), 0, "2", 3.0]]
    lines = flow.set_index("step")
    assert lines.loc["a.csv → items phq9: cells", ["n_in", "n_out"]].tolist() == [6, 2]
    assert lines.loc["a.csv → items phq9: people", ["n_in", "n_out"]].tolist() == [2, 1]


def test_missing_answers_are_kept_where_the_study_says_so(take: Callable[..., Tables]) -> None:
    melt = {"columns": "q(?P<item>[0-9])", "value": "value", "keep_missing": True}
    source = {"tables": [{"table": "items", "melt": melt, "columns": {"person_id": "id", "item": "item", **PHQ}}]}
    items = take(("a.csv", "id,q1,q2\n1,2,\n", source))[0]["items"]
    assert items["value"].isna().tolist() == [False, True]


def test_out_of_range_answers_are_set_missing_and_counted(take: Callable[..., Tables]) -> None:
    melt = {"columns": "q(?P<item>[0-9])", "value": "value", "keep_missing": True}
    source = {
        "out_of_range": "set missing",
        "tables": [{"table": "items", "melt": melt, "columns": {"person_id": "id", "item": "item", **PHQ}}],
    }
    tables, flow = take(("a.csv", "id,q1,q2\n1,2,9\n2,0,3\n", source))
    assert tables["items"]["value"].isna().sum() == 1
    assert flow.set_index("step").loc["a.csv → items phq9: range", ["n_in", "n_out"]].tolist() == [4, 3]


def test_maps_turn_words_into_values_and_null_into_missing(take: Callable[..., Tables]) -> None:
    source = {
        "tables": [
            {
                "table": "sessions",
                "columns": {
                    "person_id": "id", "treatment_id": {"value": 1}, "session_number": "s",
                    "attended": {"from": "came", "map": {"ja": True, "nein": False, "?": None}},
                    "depth": {"from": "depth", "map": {1: 1.5, "hoch": 6}},
                },
            }
        ]
    }  # fmt: skip
    tables, _ = take(("a.csv", "id,s,came,depth\n1,1,ja,1.0\n1,2,nein,hoch\n1,3,?,\n", source))
    sessions = tables["sessions"]
    assert sessions["attended"].tolist() == [True, False, pd.NA]
    assert sessions["depth"].tolist()[:2] == [1.5, 6.0]
    assert math.isnan(sessions["depth"].iloc[2])
    assert sessions["treatment_id"].tolist() == ["1", "1", "1"]


def test_weeks_since_the_baseline_column(take: Callable[..., Tables]) -> None:
    source = waves({"weeks_since": {"date": "day", "baseline": "start", "format": "%d.%m.%Y"}})
    tables, _ = take(
        ("a.csv", "id,wave,day,start\n1,0,03.01.2020,01.01.2020\n1,1,15.01.2020,01.01.2020\n1,2,,01.01.2020\n", source)
    )
    assert tables["waves"]["weeks"].tolist()[:2] == pytest.approx([2 / 7, 2.0], abs=1e-12)
    assert tables["waves"]["weeks"].isna().tolist() == [False, False, True]


def test_weeks_since_the_persons_first_date_of_the_whole_file(take: Callable[..., Tables]) -> None:
    source = waves({"weeks_since": {"date": "day"}})
    source["tables"][0]["where"] = {"wave": [1]}
    tables, _ = take(("a.csv", "id,wave,day\n1,0,2020-01-01\n1,1,2020-03-11\n2,1,2021-05-05\n", source))
    weeks = dict(zip(tables["waves"]["person_id"], tables["waves"]["weeks"], strict=True))
    assert weeks == {code("1"): 10.0, code("2"): 0.0}


def test_rows_are_picked_and_left_out_and_counted(take: Callable[..., Tables]) -> None:
    source = waves("weeks")
    source["tables"][0] |= {"where": {"arm": ["a", "b"]}, "where_not": {"id": [3]}}
    tables, flow = take(("a.csv", "id,wave,weeks,arm\n1,0,0,a\n2,0,0,c\n3,0,0,b\n4,0,0,\n", source))
    assert tables["waves"]["person_id"].tolist() == [code("1")]
    line = flow.set_index("step").loc["a.csv → waves: where"]
    assert line[["n_in", "n_out"]].tolist() == [4, 1]
    assert line["reason"] == "rows not picked by arm, id"


def test_one_person_has_one_code_in_every_table_and_role(take: Callable[..., Tables]) -> None:
    sessions = {
        "tables": [
            {"table": "people", "distinct": True, "columns": {"person_id": "c", "role": {"value": "client"}, "site_id": "site"}},
            {"table": "people", "distinct": True, "columns": {"person_id": "t", "role": {"value": "therapist"}}},
            {
                "table": "treatments",
                "distinct": True,
                "columns": {"person_id": "c", "treatment_id": {"value": "1"}, "therapist_id": "t"},
            },
            {
                "table": "relations",
                "distinct": True,
                "columns": {"person_a": "t", "person_b": "c", "kind": {"value": "therapist_client"}},
            },
        ]
    }
    tables, flow = take(("a.csv", "c,t,s,site\n1,T1,1,1\n1,T1,2,1\n2,T1,1,1\n", {**sessions, "drop": ["s"]}))
    assert set(tables["people"]["person_id"]) == {code("1"), code("2"), code("T1")}
    assert set(tables["treatments"]["therapist_id"]) == {code("T1")}
    assert set(tables["relations"]["person_a"]) == {code("T1")}
    assert set(tables["people"]["site_id"].dropna()) == {code("1", "site")} != {code("1")}
    steps = flow[flow["step"] == "a.csv → people: distinct"]
    assert steps[["n_in", "n_out"]].values.tolist() == [[3, 2], [3, 1]]


def test_same_people_from_two_files_are_one(take: Callable[..., Tables]) -> None:
    people = {"tables": [{"table": "people", "distinct": True, "columns": {"person_id": "id", "role": {"value": "client"}}}]}
    tables, _ = take(("a.csv", "id\n1\n2\n", people), ("b.csv", "id\n2\n3\n", people))
    assert len(tables["people"]) == 3


def test_same_key_in_two_files_is_refused_with_both(take: Callable[..., Tables]) -> None:
    people = {"tables": [{"table": "people", "columns": {"person_id": "id", "role": {"value": "client"}}}]}
    with pytest.raises(DataError, match=r"people: a\.csv, row 3; b\.csv, row 2: rows share a key \(person_id\); they say the same"):
        take(("a.csv", "id\n1\n2\n", people), ("b.csv", "id\n2\n3\n", people))


def test_composite_ids_row_numbers_and_labels(take: Callable[..., Tables]) -> None:
    source = {
        "not_identifying": {"who": "authors of published studies"},
        "tables": [
            {"table": "people", "columns": {"person_id": {"join": ["#", "=m"]}, "role": {"value": "parent"}}},
            {
                "table": "samples",
                "columns": {
                    "sample_id": {"row_number": True}, "label": {"join": ["who", "year"]}, "system": {"value": "AAI"},
                    "measure": {"value": "kappa"}, "value": "kappa", "standing": {"value": "stored"},
                },
            },
        ],
    }  # fmt: skip
    tables, _ = take(("a.csv", "who,year,kappa\nMain,1985,0.5\nAinsworth,1978,0.4\n", source))
    assert set(tables["people"]["person_id"]) == {code("1-m"), code("2-m")}
    assert tables["samples"][["sample_id", "label", "value"]].values.tolist() == [
        ["1", "Main, 1985", 0.5],
        ["2", "Ainsworth, 1978", 0.4],
    ]


def test_repeated_rows_are_dropped_and_counted_or_kept(take: Callable[..., Tables]) -> None:
    text = "id,wave,weeks\n1,0,0\n1,0,0\n2,0,\n2,0,\n"
    tables, flow = take(("a.csv", text, {**waves("weeks"), "duplicates": "drop identical"}))
    assert len(tables["waves"]) == 2
    assert flow.set_index("step").loc["a.csv: repeats", ["n_in", "n_out"]].tolist() == [4, 2]
    people = {"table": "people", "columns": {"person_id": {"row_number": True}, "role": {"value": "respondent"}, "gender": "g"}}
    tables, _ = take(("b.csv", "g,x\nf,1\nf,1\n", {"duplicates": "keep", "drop": ["x"], "tables": [people]}))
    assert len(tables["people"]) == 2


def test_missing_codes_of_a_file_are_counted(take: Callable[..., Tables]) -> None:
    tables, flow = take(("a.csv", "id,wave,weeks\n1,0,NA\n2,0,-9\n3,0,4\n", {**waves("weeks"), "missing": ["NA", -9]}))
    assert tables["waves"]["weeks"].isna().sum() == 2
    assert flow.set_index("step").loc["a.csv: missing codes", ["n_in", "n_out"]].tolist() == [9, 7]


# --- how files are written -----------------------------------------------------------------------------------------


def weeks_of(tables: dict[str, pd.DataFrame]) -> dict[str, float]:
    return dict(zip(tables["waves"]["person_id"], tables["waves"]["weeks"], strict=True))


@pytest.mark.parametrize(
    ("content", "source"),
    [
        ("id,wave,weeks\nä,0,1.5\nb,0,2\n", {}),
        ("id,wave,weeks\r\nä,0,1.5\r\nb,0,2\r\n", {}),
        ("id,wave,weeks\r\nä,0,1.5\nb,0,2\r\n", {}),  # two kinds of line ends
        ("id,wave,weeks\rä,0,1.5\rb,0,2\r", {}),
        ("\ufeffid,wave,weeks\nä,0,1.5\n\nb,0,2\n\n\n", {}),  # byte order mark, blank lines
        ('"id","wave","weeks"\n"ä","0"," 1.5 "\n"b",0,2', {}),
        ("id,wave,weeks,\nä,0,1.5,\nb,0,2,\n", {}),  # a last column without name or cells
        ("id;wave;weeks\nä;0;1,5\nb;0;2\n", {"delimiter": ";", "decimal": ","}),
        ("id\twave\tweeks\nä\t0\t1.5\nb\t0\t2\n", {"format": "tsv"}),
        ("id,wave,weeks\nä,0,1.5\nb,0,2\n".encode("latin-1"), {"encoding": "latin-1"}),
        ("id,wave,weeks\nä,0,1.5\nb,0,2\n".encode("cp1252"), {"encoding": "cp1252"}),
        ("id,wave,weeks\nä,0,1.5\nb,0,2\n".encode("utf-16"), {"encoding": "utf-16"}),
    ],
)  # fmt: skip
def test_the_same_table_however_it_is_written(take: Callable[..., Tables], content: str | bytes, source: dict[str, Any]) -> None:
    tables, _ = take(("a.csv", content, {**waves("weeks"), **source}))
    assert weeks_of(tables) == {code("ä"): 1.5, code("b"): 2.0}


def test_parquet_with_its_own_types(take: Callable[..., Tables]) -> None:
    frame = pd.DataFrame(
        {"id": [1.0, 2.0], "wave": [0, 0], "weeks": [1.5, float("nan")], "day": pd.to_datetime(["2020-01-01", "2020-01-15"])}
    )
    tables, _ = take(("a.parquet", frame.to_parquet, {**waves("weeks"), "drop": ["day"]}))
    assert weeks_of(tables)[code("1")] == 1.5
    source = waves({"weeks_since": {"date": "day"}})
    tables, _ = take(("a.parquet", frame.to_parquet, {**source, "drop": ["weeks"]}))
    assert weeks_of(tables) == {code("1"): 0.0, code("2"): 0.0}


def test_rows_of_a_parquet_file_are_counted_from_one(take: Callable[..., Tables]) -> None:
    people = {"tables": [{"table": "people", "columns": {"person_id": {"row_number": True}, "role": "role"}}]}
    tables, _ = take(("a.parquet", pd.DataFrame({"role": ["child", "parent"]}).to_parquet, people))
    assert dict(zip(tables["people"]["person_id"], tables["people"]["role"], strict=True)) == {
        code("1"): "child",
        code("2"): "parent",
    }
    with pytest.raises(DataError, match=r"in row 2\."):
        take(("a.parquet", pd.DataFrame({"role": ["child", "uncle"]}).to_parquet, people))


def test_workbook_with_types_blank_rows_and_a_named_sheet(take: Callable[..., Tables]) -> None:
    def write(path: Path) -> None:
        book = openpyxl.Workbook()
        book.active.append(["nothing", "here"])
        sheet = book.create_sheet("visits")
        sheet.append(["id", "wave", "day", "share", None])
        sheet.append([1, 0, datetime(2020, 1, 1), 0.25])
        sheet.append([])
        sheet.append([1, 1.0, date(2020, 1, 8), 1])
        book.save(path)

    source = waves({"weeks_since": {"date": "day"}})
    tables, _ = take(("a.xlsx", write, {**source, "sheet": "visits", "drop": ["share"]}))
    assert tables["waves"][["wave", "weeks"]].values.tolist() == [[0, 0.0], [1, 1.0]]
    with pytest.raises(DataError, match=r"no sheet 'visit'\. Did you mean 'visits'"):
        take(("a.xlsx", write, {**source, "sheet": "visit", "drop": ["share"]}))


def test_row_numbers_of_a_workbook_are_those_of_the_sheet(take: Callable[..., Tables]) -> None:
    def write(path: Path) -> None:
        book = openpyxl.Workbook()
        for row in (["id", "wave", "weeks"], [1, 0, 0], [], ["2", 0, "x"]):
            book.active.append(row)
        book.save(path)

    with pytest.raises(DataError, match=r"not a number, in row 4\."):
        take(("a.xlsx", write, waves("weeks")))


def test_row_numbers_of_a_text_file_count_blank_lines(take: Callable[..., Tables]) -> None:
    with pytest.raises(DataError, match=r"not a number, in row 5\."):
        take(("a.csv", "id,wave,weeks\n\n1,0,0\n\n2,0,x\n", waves("weeks")))


def test_repeated_column_names_are_numbered_or_merged(take: Callable[..., Tables]) -> None:
    tables, _ = take(
        ("a.csv", "id,wave,weeks,weeks\n1,0,4,8\n", {**waves("weeks (2)"), "duplicate_columns": "number", "drop": ["weeks"]})
    )
    assert weeks_of(tables) == {code("1"): 8.0}
    tables, _ = take(("b.csv", "id,wave,weeks,weeks\n1,0,4,4\n", {**waves("weeks"), "duplicate_columns": "keep identical"}))
    assert weeks_of(tables) == {code("1"): 4.0}


def test_nameless_column_is_called_by_its_position(take: Callable[..., Tables]) -> None:
    tables, _ = take(
        (
            "a.csv",
            ",wave,weeks\n7,0,4\n",
            {"tables": [{"table": "waves", "columns": {"person_id": "column_1", "wave": "wave", "weeks": "weeks"}}]},
        )
    )
    assert weeks_of(tables) == {code("7"): 4.0}


RATED = {"person_id": "id", "session_number": "session"}


def one_table(table: str, **columns: Any) -> dict[str, Any]:
    return {"tables": [{"table": table, "columns": columns}]}


def test_ratings_of_one_session_from_several_files_are_one_row(take: Callable[..., Tables]) -> None:
    tables, flow = take(
        ("client.csv", "id,session,alliance\n1,1,4\n1,2,\n2,1,3.5\n", one_table("sessions", **RATED, alliance="alliance")),
        ("therapist.csv", "id,session,hers\n1,2,3\n1,1,5\n", one_table("sessions", **RATED, alliance_therapist="hers")),
        ("after.csv", "id,session,tension\n1,1,1\n3,1,0\n", one_table("sessions", **RATED, rupture_reported="tension")),
    )
    found = tables["sessions"].set_index(["person_id", "session_number"])
    assert len(found) == 4
    columns = ["alliance", "alliance_therapist", "rupture_reported"]
    assert [None if pd.isna(v) else v for v in found.loc[(code("1"), 1), columns]] == [4.0, 5.0, True]
    assert [None if pd.isna(v) else v for v in found.loc[(code("1"), 2), columns]] == [None, 3.0, None]
    assert [None if pd.isna(v) else v for v in found.loc[(code("3"), 1), columns]] == [None, None, False]
    step = flow[flow["step"] == "sessions: rows put together"]
    assert step[["n_in", "n_out"]].values.tolist() == [[7, 4]]  # 3 + 2 + 2 rows on sessions 1-1, 1-2, 2-1 and 3-1


def test_files_that_fill_the_same_column_are_not_put_together(take: Callable[..., Tables]) -> None:
    alliance = one_table("sessions", **RATED, alliance="a")
    other = one_table("sessions", **RATED, alliance_therapist="b")
    with pytest.raises(DataError, match=r"sessions: one\.csv, row 2; two\.csv, row 2: rows share a key .* they differ in alliance"):
        take(("one.csv", "id,session,a\n1,1,4\n", alliance), ("two.csv", "id,session,a\n1,1,5\n", alliance))
    with pytest.raises(DataError, match=r"sessions: two\.csv, rows 2, 3: rows share a key"):
        take(("one.csv", "id,session,a\n1,1,4\n", alliance), ("two.csv", "id,session,b\n1,1,5\n1,1,4\n", other))


CODINGS = {
    "tables": [
        {
            "table": "observations", "melt": {"columns": "(?P<code>[WC][0-9])", "value": "value"},
            "columns": {**RATED, "segment": "segment", "channel": "who", "coder": "coder", "code": "code"},
        }
    ],
}  # fmt: skip


def test_codings_are_a_row_a_code_and_coders_are_recoded_apart_from_people(take: Callable[..., Tables]) -> None:
    tables, _ = take(("3rs.csv", "id,session,segment,who,coder,W1,C1\n1,1,1,client,1,0,2\n1,1,,client,1,,1\n", CODINGS))
    found = tables["observations"]
    assert len(found) == 3  # the empty cell says nothing
    assert set(found["coder"]) == {code("1", "coder")} != {code("1")}
    assert found[["segment", "code", "value"]].fillna(0).values.tolist() == [[1, "C1", 2.0], [1, "W1", 0.0], [0, "C1", 1.0]]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("1,1,1,client,A,0,2\n1,1,1,client,A,,3\n", r"observations: 3rs\.csv, rows 2, 3: rows share a key .*they differ in value"),
        ("1,1,1,patient,A,0,2\n", r"column 'who' .*not one of client, therapist"),
        ("1,1,0,client,A,0,2\n", r"column 'segment' .*below 1"),
        ("1,1,1,client,A,0,-2\n", r"column 'C1' .*below 0"),
        ("1,1,1,client,,0,2\n", r"column 'coder' .*no coder"),
        ("1,,1,client,A,0,2\n", r"column 'session' .*no session_number"),
    ],
)
def test_codings_that_cannot_be_are_refused(take: Callable[..., Tables], rows: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        take(("3rs.csv", f"id,session,segment,who,coder,W1,C1\n{rows}", CODINGS))


@pytest.mark.parametrize("value", ["6", "0", "some"])
def test_a_report_after_the_session_has_its_range(take: Callable[..., Tables], value: str) -> None:
    with pytest.raises(DataError, match=r"column 'i' \(sessions\.rupture_intensity\).* in row 2"):
        take(("after.csv", f"id,session,i\n1,1,{value}\n", one_table("sessions", **RATED, rupture_intensity="i")))

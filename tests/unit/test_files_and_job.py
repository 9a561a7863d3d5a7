"""The ground floor: files written whole or not at all, jobs that tell one message, seeds, entry points, flow and words."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachment_outcomes.errors import ConfigError, DataError, StatisticsError, did_you_mean, problem, rows_text
from attachment_outcomes.files import atomic, read_json, read_table, sha256, write_json, write_table, write_text
from attachment_outcomes.flow import COLUMNS, Flow
from attachment_outcomes.job import Job, plain_job, run, seed
from attachment_outcomes.plan import prepare_jobs
from attachment_outcomes.registry import entry_points, resolve

FRAME = pd.DataFrame(
    {"name": pd.Series(["a", None, "ü"], dtype="str"), "x": [0.1 + 0.2, np.nan, -1.5], "n": pd.array([1, None, 3], dtype="Int64")}
)


def test_a_failed_write_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "table.csv"
    write_text("whole", target)

    def half(path: Path) -> None:
        path.write_text("ha", encoding="utf-8")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic(target, half)
    assert target.read_text(encoding="utf-8") == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    write_text("x", tmp_path / "x.txt")
    assert stat.S_IMODE((tmp_path / "x.txt").stat().st_mode) & 0o444 == 0o444


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_same_table_makes_the_same_bytes(tmp_path: Path, ending: str) -> None:
    write_table(FRAME, tmp_path / f"one.{ending}")
    write_table(FRAME.copy(), tmp_path / f"two.{ending}")
    assert sha256(tmp_path / f"one.{ending}") == sha256(tmp_path / f"two.{ending}")


def test_csv_has_unix_line_ends_and_twelve_digits(tmp_path: Path) -> None:
    write_table(FRAME, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == "name,x,n\na,0.3,1\n,,\nü,-1.5,3\n".encode()


def test_parquet_keeps_types_and_missing_values(tmp_path: Path) -> None:
    write_table(FRAME, tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), FRAME)


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.xls: tables are written as \.csv or \.parquet"):
        write_table(FRAME, tmp_path / "t.xls")
    assert list(tmp_path.iterdir()) == []


def test_json_is_sorted_and_readable(tmp_path: Path) -> None:
    write_json({"b": 1, "a": "ü"}, tmp_path / "j.json")
    assert (tmp_path / "j.json").read_bytes() == '{\n  "a": "ü",\n  "b": 1\n}\n'.encode()
    assert read_json(tmp_path / "j.json") == {"a": "ü", "b": 1}


def test_a_checksum_is_the_published_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_checksum_needs_no_table_library() -> None:
    code = "import sys; import attachment_outcomes.files; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Jobs


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Callable[..., SimpleNamespace]]:
    """Makes what the workflow engine hands to a script; puts logging back afterwards."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)

    def make(**given_params: object) -> SimpleNamespace:
        return SimpleNamespace(
            input=SimpleNamespace(), output=SimpleNamespace(out=str(tmp_path / "out")), params=SimpleNamespace(**given_params),
            wildcards={"study": "mine"}, rule="change", log=[str(tmp_path / "logs" / "mine" / "change.log")],
        )  # fmt: skip

    yield make
    for handler in root.handlers:
        if handler not in before[0]:
            handler.close()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.captureWarnings(False)


def log_of(snakemake: SimpleNamespace) -> str:
    logging.getLogger().handlers[-1].flush()
    return Path(snakemake.log[0]).read_text(encoding="utf-8")


def test_a_job_hands_over_its_parts_and_logs_what_it_decides(engine: Callable[..., SimpleNamespace]) -> None:
    seen: list[Job] = []

    def main(job: Job) -> None:
        logging.getLogger("attachment_outcomes.x").info("scored 412 of 430 visits")
        seen.append(job)

    snakemake = engine(seed=1)
    run(main, snakemake)
    assert seen[0].study == "mine"
    assert seen[0].rule == "change"
    assert log_of(snakemake) == "INFO scored 412 of 430 visits\n"


def test_a_mendable_problem_is_one_message_and_exit_code_1(engine: Callable[..., SimpleNamespace]) -> None:
    def main(job: Job) -> None:
        raise DataError("items.value: breaks greater_than_or_equal_to(0) in row 7")

    snakemake = engine()
    with pytest.raises(SystemExit) as ended:
        run(main, snakemake)
    assert ended.value.code == 1
    assert log_of(snakemake) == "ERROR items.value: breaks greater_than_or_equal_to(0) in row 7\n"


def test_an_unforeseen_error_never_repeats_a_cell(engine: Callable[..., SimpleNamespace]) -> None:
    def main(job: Job) -> None:
        float("Mrs Smith, 12 Elm Street")

    snakemake = engine()
    with pytest.raises(SystemExit) as ended:
        run(main, snakemake)
    assert ended.value.code == 1
    said = log_of(snakemake)
    assert "Smith" not in said
    assert said.startswith("ERROR unforeseen ValueError in test_files_and_job.py:")
    assert "in main. Hint: " in said


def test_warnings_go_to_the_log(engine: Callable[..., SimpleNamespace]) -> None:
    def main(job: Job) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("few people", UserWarning, stacklevel=1)

    snakemake = engine()
    run(main, snakemake)
    assert "WARNING" in log_of(snakemake)
    assert "few people" in log_of(snakemake)


def test_each_run_starts_its_log_anew(engine: Callable[..., SimpleNamespace]) -> None:
    for text in ("first", "second"):
        snakemake = engine()
        run(lambda job, text=text: logging.getLogger().info(text), snakemake)  # type: ignore[misc]
    assert log_of(snakemake) == "INFO second\n"


def test_seeds_depend_on_the_parts_and_on_nothing_else() -> None:
    # The first eight bytes of SHA-256 of "abc" (FIPS 180-2, appendix B.1), read as one number.
    assert seed("abc") == 0xBA7816BF8F01CFEA
    assert seed("a", "b") != seed("ab")
    assert seed(1, "change", "study=a") != seed(1, "change", "study=b")


def test_a_job_draws_the_same_numbers_whatever_other_studies_there_are() -> None:
    def draws(study: str, rule: str = "change", start: int = 1) -> list[float]:
        return list(plain_job(input={}, output={}, params={"seed": start}, study=study, rule=rule).rng.random(3))

    assert draws("a") == draws("a")
    assert len({tuple(d) for d in (draws("a"), draws("b"), draws("a", rule="rupture"), draws("a", start=2))}) == 4


def test_a_python_in_a_folder_with_a_space_is_started_by_its_bare_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/my project (2)/bin/python")
    for name in ("PATH", "PYTHONPATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "before")
    prepare_jobs("/my project (2)/src")
    assert sys.executable == "python"
    assert os.environ["PATH"].split(os.pathsep) == [str(Path("/my project (2)/bin")), "before"]
    assert os.environ["PYTHONPATH"].split(os.pathsep) == ["/my project (2)/src", "before"]
    assert os.environ["OMP_NUM_THREADS"] == "1"


# Entry points


def test_entry_points_load_a_module_on_first_use_only() -> None:
    getattr_, dir_ = entry_points("attachment_outcomes", {"rows_text": "errors"})
    assert getattr_("rows_text") is rows_text
    assert dir_() == ["rows_text"]
    with pytest.raises(
        AttributeError, match=r"module 'attachment_outcomes' has no attribute 'row_text'\. Did you mean 'rows_text'\?"
    ):
        getattr_("row_text")


def test_an_entry_point_may_name_a_module_of_another_room() -> None:
    getattr_, dir_ = entry_points("attachment_outcomes.change", {"rows_text": "attachment_outcomes.errors"})
    assert getattr_("rows_text") is rows_text
    assert dir_() == ["rows_text"]


def test_a_reference_resolves_to_its_object() -> None:
    assert resolve("attachment_outcomes.errors:rows_text") is rows_text


@pytest.mark.parametrize("reference", ["", "errors", "errors:", ":rows_text", ".errors:rows_text", "a b:c", "a:b:c"])
def test_a_malformed_reference_is_told(reference: str) -> None:
    with pytest.raises(ConfigError, match=r"is not of the form 'package\.module:name'"):
        resolve(reference)


def test_a_reference_to_nothing_is_told() -> None:
    with pytest.raises(ConfigError, match=r"no module 'attachment_outcomes\.nowhere'"):
        resolve("attachment_outcomes.nowhere:x")
    with pytest.raises(ConfigError, match=r"has no 'row_text'\. Did you mean 'rows_text'\?"):
        resolve("attachment_outcomes.errors:row_text")


# Flow and words


def test_flow_keeps_every_step_even_one_that_excludes_nobody() -> None:
    flow = Flow()
    flow.add("read", 10, 10, "nothing left out")
    flow.add("complete", 10, 7, "no end measure", unit="people")
    frame = flow.frame()
    assert list(frame.columns) == COLUMNS
    assert frame.to_numpy().tolist() == [
        ["read", 10, 10, "nothing left out", "rows"],
        ["complete", 10, 7, "no end measure", "people"],
    ]


def test_flow_refuses_rows_from_nowhere() -> None:
    with pytest.raises(DataError, match="step 'join' lets out 12 rows but only 10 came in"):
        Flow().add("join", 10, 12, "")


def test_an_empty_flow_has_its_columns() -> None:
    assert list(Flow().frame().columns) == COLUMNS


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=40))
def test_at_most_five_row_numbers_are_shown_and_the_rest_counted(rows: list[int]) -> None:
    text = rows_text(rows)
    assert text.startswith("row " if len(rows) == 1 else "rows ")
    shown = text.split(" and ")[0].removeprefix("rows ").removeprefix("row ").split(", ")
    more = int(text.split(" and ")[1].split()[0]) if " and " in text else 0
    assert len(shown) <= 5
    assert len(shown) + more == len(rows)


def test_messages_have_place_fault_and_hint() -> None:
    assert problem("a.csv", "is empty.", hint="export it again.") == "a.csv: is empty. Hint: export it again."
    assert problem("a.csv", "is empty.") == "a.csv: is empty."
    assert did_you_mean("anxeity", ["anxiety", "avoidance"]) == " Did you mean 'anxiety'?"
    assert did_you_mean("xyz", ["anxiety"]) == ""


def test_a_statistics_error_is_also_a_value_error() -> None:
    assert issubclass(StatisticsError, ValueError)

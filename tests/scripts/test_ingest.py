"""The step ingest: one job, all tables or none, the same bytes every time, and a large file in bounded memory."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pandas as pd
import pytest

from attachment_outcomes.config import validated
from attachment_outcomes.errors import ConfigError, DataError
from attachment_outcomes.job import Job, plain_job
from attachment_outcomes.study.contracts import TABLES, check_file, read
from attachment_outcomes.study.identity import code_of, open_key
from attachment_outcomes.study.intake import ingest, read_study

WAVES = {"table": "waves", "columns": {"person_id": "id", "wave": "wave", "weeks": "weeks"}}


@pytest.fixture(scope="module")
def script(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("script_ingest", root / "scripts" / "ingest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def configured(**changes: Any) -> dict[str, Any]:
    given = {"name": "clinic", "title": "A clinic", "folder": "raw", "source": {"citation": "x", "licence": "y"}}
    return validated({**given, "sources": [{"file": "a.csv", "tables": [WAVES]}], **changes}, "study", "clinic.yaml")


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    def make(text: str, *, key: Path | None = None, **changes: Any) -> Job:
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / "a.csv").write_text(text, encoding="utf-8")
        work = tmp_path / "results" / "clinic" / "steps"
        tables = {("answers" if t == "items" else t): str(work / "canonical" / f"{t}.parquet") for t in TABLES}
        return plain_job(
            input={"raw": [str(tmp_path / "raw" / "a.csv")]},
            output={**tables, "flow": str(work / "flow" / "ingest.parquet")},
            params={"study": configured(**changes), "ranges": {}, "id_key_file": str(key or tmp_path / ".secrets" / "id_key")},
            study="clinic",
            rule="ingest",
        )

    return make


def files(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_writes_every_table_and_the_flow(script: ModuleType, job: Callable[..., Job], tmp_path: Path) -> None:
    made = job("id,wave,weeks\n2,0,0\n1,1,8\n1,0,0\n")
    script.main(made)
    for table in TABLES:
        check_file(tmp_path / "results" / "clinic" / "steps" / "canonical" / f"{table}.parquet", table)
    waves = read(made.output.waves, "waves")
    assert waves["person_id"].is_monotonic_increasing
    assert len(waves) == 3
    flow = pd.read_parquet(made.output.flow)
    assert list(flow.columns) == ["step", "n_in", "n_out", "reason", "unit"]
    assert not list((tmp_path / "results").rglob(".*"))  # no scratch is left


def test_clinical_ids_are_coded_with_the_secret_key_and_public_ones_with_the_published(
    script: ModuleType, job: Callable[..., Job], tmp_path: Path
) -> None:
    text = "id,wave,weeks\n1,0,0\n"
    made = job(text)
    script.main(made)
    key = (tmp_path / ".secrets" / "id_key").read_bytes()
    assert read(made.output.waves, "waves")["person_id"].tolist() == [code_of("1", key=key)]
    script.main(job(text, open_data=True))
    assert read(made.output.waves, "waves")["person_id"].tolist() == [code_of("1", key=open_key("clinic"))]


def test_key_may_not_lie_among_the_results(script: ModuleType, job: Callable[..., Job], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="folder of results"):
        script.main(job("id,wave,weeks\n1,0,0\n", key=tmp_path / "results" / "key"))


def test_nothing_is_written_when_a_late_check_fails(script: ModuleType, job: Callable[..., Job], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="share a key"):
        script.main(job("id,wave,weeks\n1,0,0\n1,0,8\n"))
    assert files(tmp_path / "results") == {}


def test_old_results_stay_when_writing_fails(
    script: ModuleType, job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.main(job("id,wave,weeks\n1,0,0\n"))
    before = files(tmp_path / "results")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("attachment_outcomes.study.intake.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        script.main(job("id,wave,weeks\n1,0,0\n2,0,0\n"))
    assert files(tmp_path / "results") == before


def test_scratch_of_a_killed_run_is_removed(script: ModuleType, job: Callable[..., Job], tmp_path: Path) -> None:
    left = tmp_path / "results" / "clinic" / "steps" / "flow" / ".ingest-killed"
    left.mkdir(parents=True)
    (left / "spill").write_text("raw cells", encoding="utf-8")
    script.main(job("id,wave,weeks\n1,0,0\n"))
    assert not left.exists()


@pytest.mark.slow
def test_bytes_do_not_depend_on_threads_or_runs(tmp_path: Path) -> None:
    # Threads share the work in portions of 122,880 rows, so it takes several of them to see a difference.
    rows = "".join(f"{i % 5000},{i // 5000},{i % 7}\n" for i in range(300_000))
    (tmp_path / "a.csv").write_text(f"id,wave,weeks\n{rows}", encoding="utf-8")
    seen = set()
    for run, threads in enumerate((1, 2, 4, 2)):
        out = tmp_path / str(run)
        with ingest(configured(), [tmp_path / "a.csv"], key=b"k" * 32, ranges={}, threads=threads) as intake:
            intake.save({t: out / f"{t}.parquet" for t in TABLES}, out / "flow.parquet")
        seen.add(json.dumps(files(out)))
    assert len(seen) == 1


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is told by Linux")
def test_a_file_larger_than_its_memory_streams(tmp_path: Path, root: Path) -> None:
    # 1.2 million rows with long ids take 200 MB as text; the session gets 120 MB and spills what does not fit.
    rows = "SELECT 'patient-of-the-clinic-' || lpad((i // 12)::VARCHAR, 12, '0') AS id, i % 12 AS wave, i % 12 * 4 AS weeks"
    with duckdb.connect() as session:
        session.execute("SET enable_progress_bar = false")
        session.execute(f"COPY ({rows} FROM range(1200000) t(i)) TO '{tmp_path / 'a.csv'}' (HEADER)")
    code = f"""
import json, sys
from pathlib import Path
from attachment_outcomes.study import engine
engine.MEMORY = "120MB"
from attachment_outcomes.study.contracts import TABLES
from attachment_outcomes.study.intake import ingest
study = json.loads(sys.stdin.read())
out = Path({str(tmp_path / "out")!r})
with ingest(study, [{str(tmp_path / "a.csv")!r}], key=b"k" * 32, ranges={{}}, near=out) as intake:
    intake.save({{t: out / f"{{t}}.parquet" for t in TABLES}}, out / "flow.parquet")
# Of this process alone: what the system else tells as the peak keeps what the process had that started it.
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(configured()), capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(root / "src"), "PATH": ""},
    )  # fmt: skip
    assert int(done.stdout) < 600  # megabytes, of which the interpreter and its libraries take about 250
    flow = pd.read_parquet(tmp_path / "out" / "flow.parquet").set_index("step")
    assert flow.loc["a.csv → waves: people", ["n_in", "n_out"]].tolist() == [100_000, 100_000]
    check_file(tmp_path / "out" / "waves.parquet", "waves")


def test_a_notebook_reads_the_example(root: Path) -> None:
    tables, flow = read_study("example", root / "data")
    assert set(tables) == set(TABLES)
    assert len(tables["people"])
    assert set(tables["items"]["person_id"]) <= set(tables["people"]["person_id"])
    assert len(flow)


def test_a_notebook_needs_a_key_for_data_that_are_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attachment_outcomes.study.intake.load_study", lambda name: configured(open_data=False))
    with pytest.raises(ConfigError, match="id_key_file"):
        read_study("clinic")

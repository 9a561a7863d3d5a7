"""The bootstrap: what it sets up, when it leaves well alone, what it hands to Snakemake and what it says."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

SETTLED = 0.05  # seconds that a set-up with nothing to do may take


@pytest.fixture
def run(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """run.py as a module, in a project folder of its own (whose name has a space)."""
    spec = importlib.util.spec_from_file_location("run_py", root / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    project = tmp_path / "my project"
    (project / "config" / "studies").mkdir(parents=True)
    (project / "config" / "config.yaml").write_text("studies: [example]\n", encoding="utf-8")
    for name in ("example", "mine"):
        (project / "config" / "studies" / f"{name}.yaml").write_text(f"name: {name}\n", encoding="utf-8")
    (project / "requirements.lock").write_text(
        "numpy==1 \\\n    --hash=sha256:aa\n"
        "uv==2 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "wrapt==3 \\\n    --hash=sha256:dd\n",
        encoding="utf-8",
    )
    (project / "pyproject.toml").write_text((root / "pyproject.toml").read_text(encoding="utf-8"), encoding="utf-8")
    venv = project / ".venv"
    python = venv / "bin" / "python"
    for name, value in {
        "ROOT": project, "SOURCE": project / "src", "LOCK": project / "requirements.lock", "VENV": venv, "PYTHON": python,
        "STAMP": venv / "complete.json",
    }.items():  # fmt: skip
        monkeypatch.setattr(module, name, value)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.chdir(project)
    return module


class Calls:
    """Stands in for ``call``: remembers commands and answers each with an exit code."""

    def __init__(self, codes: dict[str, int] | None = None) -> None:
        self.commands: list[list[str]] = []
        self.codes = codes or {}

    def __call__(self, command: list[str], *, quiet: bool = False) -> tuple[int, str]:
        self.commands.append(command)
        line = " ".join(command)
        return next((code for part, code in self.codes.items() if part in line), 0), "said"

    def lines(self) -> list[str]:
        return [" ".join(c) for c in self.commands]


def finished_venv(run: ModuleType) -> None:
    run.PYTHON.parent.mkdir(parents=True)
    run.PYTHON.touch()
    run.STAMP.write_text(json.dumps(run.wanted()), encoding="utf-8")


# Set-up


def test_a_finished_setup_is_left_alone_at_once(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    finished_venv(run)
    calls = Calls()
    monkeypatch.setattr(run, "call", calls)
    started = time.perf_counter()
    assert run.set_up() == str(run.PYTHON)
    assert time.perf_counter() - started < SETTLED
    assert calls.commands == []


def test_a_setup_cut_short_is_made_again_from_nothing(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.VENV / "half").mkdir(parents=True)
    calls = Calls()
    monkeypatch.setattr(run, "call", calls)
    monkeypatch.setattr(run, "install", lambda: None)
    monkeypatch.setattr(run.Path, "write_text", lambda self, text, **_: None)
    run.set_up()
    assert not (run.VENV / "half").exists()
    assert calls.lines()[0].endswith(f"-m venv {run.VENV}")


def test_a_failed_install_is_never_taken_for_a_finished_one(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "call", Calls({"pip install": 1, " -q --retries": 1}))
    with pytest.raises(run.StoppedError, match="network connection"):
        run.set_up()
    assert not run.STAMP.exists()


def test_a_new_lock_is_installed_into_the_venv_that_is_there(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    finished_venv(run)
    run.LOCK.write_text(run.LOCK.read_text(encoding="utf-8") + "zipp==1 \\\n    --hash=sha256:ee\n", encoding="utf-8")
    seen = []
    monkeypatch.setattr(run, "install", lambda: seen.append(run.STAMP.exists()))
    packages = run.VENV / "lib"
    packages.mkdir()
    monkeypatch.setattr(run, "call", lambda command, quiet=False: (0, f"{packages}\n"))
    run.set_up()
    assert seen == [False]
    assert run.stamped() == run.wanted()
    assert (packages / "attachment_outcomes.pth").read_text(encoding="utf-8") == f"{Path('..', '..', 'src')}\n"


def test_another_python_needs_another_venv(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    finished_venv(run)
    run.STAMP.write_text(json.dumps({**run.wanted(), "python": "cpython 3.99 linux"}), encoding="utf-8")
    made = []
    monkeypatch.setattr(run, "make_venv", lambda: made.append(True))
    monkeypatch.setattr(run, "install", lambda: None)
    monkeypatch.setattr(run, "call", lambda command, quiet=False: (0, str(run.VENV)))
    run.set_up()
    assert made == [True]


def test_uv_is_installed_by_its_hashes_and_then_installs_the_lock(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    run.VENV.mkdir()
    calls = Calls()
    monkeypatch.setattr(run, "call", calls)
    run.install()
    assert (run.VENV / "uv.txt").read_text(encoding="utf-8") == "uv==2 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    first, second = calls.lines()
    assert "pip" in first
    assert "--require-hashes" in first
    assert "uv pip sync --require-hashes --compile-bytecode" in second


def test_pip_installs_the_lock_where_uv_cannot(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    run.VENV.mkdir()
    calls = Calls({"uv pip sync": 2})
    monkeypatch.setattr(run, "call", calls)
    run.install()
    assert calls.lines()[-1].endswith(f"--require-hashes -r {run.LOCK}")


@pytest.mark.parametrize("absent", ["venv", "ensurepip"])
def test_a_python_without_venv_is_told_what_to_install(run: ModuleType, monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == absent else real(name, *a))
    with pytest.raises(run.StoppedError, match="sudo apt install python3-venv"):
        run.make_venv()


def test_a_folder_that_cannot_be_written_to_is_told(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(run.Path, "mkdir", refuse)
    with pytest.raises(run.StoppedError, match=r"cannot write in the project's folder \(Permission denied\)"):
        run.set_up()


def test_an_active_conda_environment_with_everything_is_used(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_PREFIX", sys.prefix)
    monkeypatch.setattr(run, "call", Calls({"": 1}))
    assert run.set_up() == sys.executable
    assert not run.VENV.exists()


def test_a_conda_environment_that_lacks_something_is_not(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_PREFIX", sys.prefix)
    text = run.ROOT.joinpath("pyproject.toml").read_text(encoding="utf-8")
    text = text.replace('"duckdb>=', '"no-such-package>=').replace('"scipy>=', '"scipy>=99')
    run.ROOT.joinpath("pyproject.toml").write_text(text, encoding="utf-8")
    assert run.conda_lacks() == ["no-such-package", "scipy"]


def test_programs_get_the_packages_of_the_lock_kept_bytecode_and_one_thread(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONHOME", "elsewhere")
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    env = run.environment()
    assert "PYTHONDONTWRITEBYTECODE" not in env
    assert "PYTHONHOME" not in env
    assert env["PYTHONPATH"] == str(run.SOURCE)
    assert env["PATH"].split(os.pathsep)[0] == str(run.PYTHON.parent)
    assert (env["OMP_NUM_THREADS"], env["MKL_NUM_THREADS"]) == ("1", "3")


# Running studies


@pytest.fixture
def ready(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    finished_venv(run)
    monkeypatch.setattr(run, "call", Calls())
    return run


def results(run: ModuleType, name: str) -> Path:
    folder: Path = run.ROOT / "results" / name
    (folder / "figures").mkdir(parents=True)
    for file in ("manifest.json", "estimates.csv", "audit.html"):
        (folder / file).touch()
    return folder


def test_without_a_command_the_example_runs(ready: ModuleType) -> None:
    assert ready.main([]) == 0
    command = ready.call.commands[0]
    assert command[-1] == 'studies=["example"]'
    assert int(command[command.index("--cores") + 1]) >= 1


def test_studies_data_cores_and_other_arguments_reach_snakemake(ready: ModuleType) -> None:
    data = ready.ROOT / "my data: all"
    data.mkdir()
    ready.main(
        ["study", "mine", "example", "mine", "--data", "my data: all", "--cores", "3", "--until", "measure", "--config", "seed=4"]
    )
    command = ready.call.commands[0]
    assert command[command.index("--cores") + 1] == "3"
    assert command[command.index("--until") + 1] == "measure"
    assert command[command.index("--config") + 1 :] == ["seed=4", f'data_dir= "{data}" ', 'studies=["mine", "example"]']


def test_the_report_is_made_when_it_is_missing_or_old_and_not_otherwise(
    ready: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results(ready, "example")
    ready.main([])
    assert [("--report" in c) for c in ready.call.commands] == [False, True]
    (folder / "report.html").touch()
    ready.call.commands.clear()
    ready.main([])
    assert [("--report" in c) for c in ready.call.commands] == [False]
    os.utime(folder / "report.html", (1, 1))
    ready.call.commands.clear()
    ready.main([])
    assert [("--report" in c) for c in ready.call.commands] == [False, True]
    said = capsys.readouterr().out
    for file in ("report.html", "audit.html", "figures", "estimates.csv"):
        assert str(Path("results", "example", file)) in said
    assert "claims.csv" not in said


def test_a_dry_run_makes_no_report(ready: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    results(ready, "mine")
    ready.main(["study", "mine", "-n"])
    assert len(ready.call.commands) == 1
    assert "--quiet" not in ready.call.commands[0]
    assert capsys.readouterr().out == ""


def test_a_failure_ends_with_the_problems_of_this_run(ready: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = ready.ROOT / "logs" / "mine"
    logs.mkdir(parents=True)
    (logs / "old.log").write_text("ERROR of another day\n", encoding="utf-8")
    os.utime(logs / "old.log", (1, 1))
    (logs / "ingest.log").write_text("INFO read 3 rows\nERROR people.csv: two problems\n  row 3\nINFO done\n", encoding="utf-8")
    (logs / "change.log").write_text("ERROR scores: empty\n", encoding="utf-8")
    for log in ("ingest.log", "change.log"):
        os.utime(logs / log, (time.time() + 5,) * 2)
    results(ready, "mine")
    monkeypatch.setattr(ready, "call", Calls({"snakemake": 1}))
    with pytest.raises(ready.StoppedError) as stopped:
        ready.main(["study", "mine"])
    said = stopped.value.args[0].split("\n")
    assert said[:3] == ["scores: empty", "         people.csv: two problems", "           row 3"]
    assert "is of an earlier run" in said[3]
    assert not (ready.ROOT / "results" / "mine" / "manifest.json").exists()


def test_a_message_of_a_run_just_before_is_not_told_again(ready: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = ready.ROOT / "logs" / "mine"
    logs.mkdir(parents=True)
    (logs / "ingest.log").write_text("ERROR of the run before\n", encoding="utf-8")
    os.utime(logs / "ingest.log", (time.time() - 0.5,) * 2)
    monkeypatch.setattr(ready, "call", Calls({"snakemake": 1}))
    with pytest.raises(ready.StoppedError, match="see above"):
        ready.main(["study", "mine"])


def test_a_fault_of_the_configuration_is_told_without_its_trace(ready: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ready.ROOT / ".snakemake" / "log" / "now.snakemake.log"
    log.parent.mkdir(parents=True)
    log.write_text(
        'host: x\nConfigError in file "Snakefile", line 17:\nconfig/studies/mine.yaml, key a: wrong\n'
        'config/studies/mine.yaml, key b: wrong\n  File "Snakefile", line 17, in <module>\n  File "plan.py", line 3, in x\n',
        encoding="utf-8",
    )
    os.utime(log, (time.time() + 5,) * 2)
    monkeypatch.setattr(ready, "call", Calls({"snakemake": 1}))
    with pytest.raises(ready.StoppedError) as stopped:
        ready.main(["study", "mine"])
    assert [line.strip() for line in stopped.value.args[0].split("\n")] == [
        "config/studies/mine.yaml, key a: wrong",
        "config/studies/mine.yaml, key b: wrong",
    ]


def test_reports_are_made_again_on_request(ready: ModuleType) -> None:
    results(ready, "mine")
    assert ready.main(["report"]) == 0
    assert ready.call.commands[0][-1] == 'studies=["mine"]'
    with pytest.raises(ready.StoppedError, match=r"no results of example yet\. Run: python3 run\.py study example"):
        ready.main(["report", "example"])


# What is said


def spoken(root: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, str(root / "run.py"), *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_help_names_every_command(root: Path, run: ModuleType) -> None:
    code, said = spoken(root, "--help")
    assert code == 0
    with pytest.raises(run.StoppedError) as stopped:
        run.main(["nonsense"])
    for command in stopped.value.args[0].split("There are: ")[1].split(". See")[0].split(", "):
        assert f"python3 run.py {command}" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tset"], "Stopped: no command 'tset'. Did you mean 'test'?"),
        (["exmple"], "Did you mean 'study example'?"),
        (["study", "exmple"], "Stopped: no study 'exmple'. Did you mean 'example'? There are: "),
        (["study"], "the following arguments are required: NAME"),
        (["--cores", "0"], "Stopped: --cores takes a whole number from 1, or 'all', not '0'."),
        (["study", "example", "--data", "nowhere"], "Stopped: --data: there is no folder 'nowhere'."),
    ],
)
def test_a_command_that_makes_no_sense_is_answered_at_once(root: Path, arguments: list[str], said: str) -> None:
    code, text = spoken(root, *arguments)
    assert code == 2
    assert said in text
    assert "Traceback" not in text


def test_an_older_python_is_told_so(root: Path) -> None:
    code = "import sys; sys.version_info = (3, 8, 1); exec(compile(open(sys.argv[1]).read(), 'run.py', 'exec'))"
    done = subprocess.run([sys.executable, "-c", code, str(root / "run.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Stopped: this is Python 3.8; the project needs 3.11 or newer. ")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_ctrl_c_waits_for_the_program_to_clear_up(root: Path, tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    child.write_text(
        "import sys, time, pathlib\npathlib.Path(sys.argv[1], 'started').touch()\ntry:\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(0.5)\n    pathlib.Path(sys.argv[1], 'tidy').touch()\n",
        encoding="utf-8",
    )
    parent = tmp_path / "parent.py"
    parent.write_text(
        f"import importlib.util, signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"spec = importlib.util.spec_from_file_location('run_py', {str(root / 'run.py')!r})\n"
        "run = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(run)\n"
        f"try:\n    run.call([sys.executable, {str(child)!r}, {str(tmp_path)!r}])\nexcept KeyboardInterrupt:\n    sys.exit(130)\n",
        encoding="utf-8",
    )
    process = subprocess.Popen([sys.executable, str(parent)], start_new_session=True)
    for _ in range(200):
        if (tmp_path / "started").exists():
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    assert (tmp_path / "tidy").exists()

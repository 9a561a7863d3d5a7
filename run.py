#!/usr/bin/env python3
"""Set the project up and run it. Needs Python 3.11 or newer and nothing else.

  python3 run.py                       run the example study
  python3 run.py study NAME...         run studies of config/studies
                   --data DIR            folder that holds one folder a study with its raw files
                   --cores N             processes at a time (default: all cores)
                   anything else         goes to Snakemake, e.g. -n to see what would be done
  python3 run.py report [NAME...]      make report.html of finished studies again
  python3 run.py test [...]            run the tests; anything else goes to pytest
  python3 run.py check                 run the linters, the type checker and the lock checks
  python3 run.py docs                  make the reference pages of docs/ again; --check only compares
  python3 run.py example-data          make data/example again; --check only compares
  python3 run.py bench                 measure time and memory into validation/; --help says more
  python3 run.py validate [NAME...]    run the recovery studies of validation/recovery; --help says more

The first call makes .venv from requirements.lock (about a minute); later calls start at once. In an active conda
environment that has the packages of environment.yml, that environment is used and nothing is installed.
"""

import argparse
import difflib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 (the file is read by older Pythons too, to say this)
    newer = [name for name in ("python3.14", "python3.13", "python3.12", "python3.11") if shutil.which(name)]
    advice = f"Try: {newer[0]} run.py" if newer else "Install it from your system's packages or from python.org."
    sys.exit("Stopped: this is Python {}.{}; the project needs 3.11 or newer. {}".format(*sys.version_info[:2], advice))

ROOT = Path(__file__).resolve().parent
SOURCE = ROOT / "src"
LOCK = ROOT / "requirements.lock"
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "complete.json"  # written last, so that a set-up that was cut short is never taken for whole

# The jobs run beside each other; threads inside each would only compete.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# With one of these Snakemake looks or tidies up and makes no results, so there is nothing to report on.
NO_RESULTS = {
    "-n", "--dry-run", "--unlock", "--lint", "--list-rules", "--summary", "-S", "--dag", "--rulegraph", "--touch",
    "--list-untracked", "--delete-all-output", "--cleanup-metadata", "--report", "--archive", "--help", "-h", "--version",
}  # fmt: skip
TO_OPEN = {
    "report.html": "every figure and table, with how it was made",
    "audit.html": "the audit page for the service",
    "figures": "figures as SVG, PDF and PNG, each with its data",
    "tables": "tables as HTML and CSV",
    "estimates.csv": "every estimate with its interval and method",
    "claims.csv": "the verdict on each claim",
}
SECONDS_TO_STOP = 20
CLOCK_SLACK = 0.02  # seconds by which a file's time may lie before the clock's
BAD_CALL = 2  # exit code for a command that makes no sense


class StoppedError(Exception):
    """A problem that ends the run with one message; a second argument is the exit code."""


def say(message: str) -> None:
    """Print at once, so that our lines keep their place among those of the programs we start."""
    print(message, flush=True)


def call(command: list[str], *, quiet: bool = False) -> tuple[int, str]:
    """Run a program in the project's folder; return its exit code and, if ``quiet``, what it printed.

    On Ctrl-C the program gets the signal too and clears up after itself (Snakemake removes half-made files and its
    lock), so it is waited for and not killed.
    """
    out, errors = (subprocess.PIPE, subprocess.STDOUT) if quiet else (None, None)
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=out, stderr=errors, encoding="utf-8", errors="replace")
    try:
        text = process.communicate()[0] or ""
    except KeyboardInterrupt:
        try:
            process.wait(SECONDS_TO_STOP)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.terminate()
            process.wait()
        raise
    code = process.returncode
    return code if code >= 0 else 128 - code, text  # ended by a signal: as shells count it


def environment() -> dict[str, str]:
    """Return the environment of the programs we start: packages of the lock only, kept bytecode, one thread a job."""
    # Every job is a new process; if it could not keep bytecode, each would compile all that it imports again.
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "VIRTUAL_ENV")}
    path = os.pathsep.join([str(PYTHON.parent), env.get("PATH", "")])
    return {**dict.fromkeys(ONE_THREAD, "1"), **env, "PYTHONNOUSERSITE": "1", "PYTHONPATH": str(SOURCE), "PATH": path}


def wanted() -> dict[str, str]:
    """Return what a complete .venv was made from: the Python, the kind of system and the lock."""
    version = "{} {}.{}".format(sys.implementation.name, *sys.version_info[:2])
    return {"python": f"{version} {sys.platform}", "lock": hashlib.sha256(LOCK.read_bytes()).hexdigest()}


def stamped() -> dict[str, str]:
    """Return what .venv says it was made from; nothing if it is not complete."""
    try:
        found = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if PYTHON.exists() and isinstance(found, dict) else {}


def conda_lacks() -> list[str] | None:
    """Return the direct dependencies that the active conda environment lacks; None if this Python is not in one."""
    prefix = os.environ.get("CONDA_PREFIX")
    if not prefix or Path(prefix).resolve() != Path(sys.prefix).resolve():
        return None
    import tomllib
    from importlib import metadata

    lacks = []
    for requirement in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]:
        name, _, least = requirement.split(",")[0].partition(">=")
        try:
            found = [int(n) for n in re.findall(r"\d+", metadata.version(name))]
        except metadata.PackageNotFoundError:
            found = []
        if found < [int(n) for n in least.split(".")]:
            lacks.append(name)
    return lacks


def make_venv() -> None:
    """Make an empty .venv in place of whatever is there."""
    import importlib.util

    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        raise StoppedError(
            "this Python cannot make virtual environments: its modules venv and ensurepip are missing. On Debian and Ubuntu: "
            "sudo apt install python3-venv. Elsewhere: install the full Python of your system or of python.org."
        )
    if VENV.is_symlink() or VENV.is_file() or VENV.resolve() == Path(sys.prefix).resolve():
        raise StoppedError(".venv has to be made again. Start run.py with a Python outside it; if .venv is a link, move it away.")
    if VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir()
    code, text = call([sys.executable, "-m", "venv", str(VENV)], quiet=True)
    if code:
        raise StoppedError(f"could not make .venv:\n{text.strip()}")


def install() -> None:
    """Install the lock, checking every hash: by uv, which is fast, or by pip where uv cannot be had."""
    lock = LOCK.read_text(encoding="utf-8")
    only_uv = VENV / "uv.txt"
    only_uv.write_text("".join(re.findall(r"^uv==(?:.*\\\n)*.*\n", lock, re.MULTILINE)), encoding="utf-8")
    python = [str(PYTHON), "-m"]
    pip = [*python, "pip", "--disable-pip-version-check", "install", "-q", "--retries", "2", "--require-hashes", "-r"]
    if call([*pip, str(only_uv)], quiet=True)[0] == 0:
        uv = [*python, "uv", "pip", "sync", "--require-hashes", "--compile-bytecode", "--python", str(PYTHON)]
        if call([*uv, *([] if sys.stderr.isatty() else ["-q"]), str(LOCK)])[0] == 0:
            return
    say("uv could not install the packages; trying pip (slower).")
    if call([*pip, str(LOCK)])[0]:
        raise StoppedError(
            "the packages of requirements.lock could not be installed; the installer says why above. The first set-up needs a "
            "network connection (behind a proxy: set HTTPS_PROXY) and about 1 GB of space. Start again when they are there."
        )


def set_up() -> str:
    """Return a Python that has every package, after making .venv if it is missing or out of date."""
    lacks = conda_lacks()
    if lacks == []:
        say("Using the active conda environment; .venv is not needed.")
        return sys.executable
    if lacks:
        say(f"The active conda environment lacks {', '.join(lacks)} (see environment.yml); using .venv instead.")
    want, have = wanted(), stamped()
    if have == want:
        return str(PYTHON)
    say("Setting up .venv from requirements.lock (once; about a minute).")
    try:
        if have.get("python") == want["python"]:
            STAMP.unlink()
        else:
            make_venv()
        install()
        packages = call([str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], quiet=True)[1].strip()
        # A relative path, so that the project can be moved.
        Path(packages, "attachment_outcomes.pth").write_text(os.path.relpath(SOURCE, packages) + "\n", encoding="utf-8")
        call([str(PYTHON), "-m", "compileall", "-q", str(SOURCE)], quiet=True)
        STAMP.write_text(json.dumps(want), encoding="utf-8")
    except OSError as error:
        raise StoppedError(
            f"cannot write in the project's folder ({error.strerror}). Copy it to where you may write and have 1 GB of space."
        ) from error
    return str(PYTHON)


def studies() -> list[str]:
    """Return the names of the configured studies."""
    return sorted(p.stem for p in (ROOT / "config" / "studies").glob("*.yaml"))


def known(names: list[str]) -> list[str]:
    """Return the names without repeats, or stop at the first that is no study."""
    for name in names:
        if name not in studies():
            close = difflib.get_close_matches(name, studies(), n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            there = f"There are: {', '.join(studies()) or 'none'} (files config/studies/<name>.yaml)."
            raise StoppedError(f"no study {name!r}.{meant} {there}", BAD_CALL)
    return list(dict.fromkeys(names))


def parsed(arguments: list[str], *, names: str) -> tuple[argparse.Namespace, list[str]]:
    """Return our options, with the settings of the run as Snakemake's ``--config`` takes them, and all other arguments."""
    available = getattr(os, "sched_getaffinity", None)
    parser = argparse.ArgumentParser(prog="run.py", allow_abbrev=False, add_help=False)
    if names:
        parser.add_argument("names", nargs=names, metavar="NAME")
    parser.add_argument("--data", metavar="DIR")
    parser.add_argument("--cores", "-c", default=str(len(available(0)) if available else os.cpu_count() or 1), metavar="N")
    parser.add_argument("--config", "-C", nargs="*", action="extend", default=[])
    options, others = parser.parse_known_args(arguments)
    if options.cores != "all" and not (options.cores.isdigit() and int(options.cores)):
        raise StoppedError(f"--cores takes a whole number from 1, or 'all', not {options.cores!r}.", BAD_CALL)
    if options.data is not None:
        folder = Path(options.data).expanduser().resolve()
        if not folder.is_dir():
            raise StoppedError(f"--data: there is no folder {options.data!r}.", BAD_CALL)
        # Snakemake cuts quotes from both ends and reads the rest as YAML; between spaces our quotes survive.
        options.config.append(f"data_dir= {json.dumps(str(folder), ensure_ascii=False)} ")
    return options, others


def logged(folder: Path, pattern: str, since: float) -> list[str]:
    """Return the lines of what a pattern finds in a folder's logs written since a time."""
    texts = [p.read_text("utf-8", "replace") for p in sorted(folder.rglob("*.log")) if p.stat().st_mtime >= since]
    return [line for text in texts for found in re.findall(pattern, text, re.MULTILINE) for line in found.splitlines()]


def failed_jobs(name: str, since: float) -> list[str]:
    """Return the error messages that the jobs of a study have logged since a time."""
    return logged(ROOT / "logs" / name, r"^ERROR (.*(?:\n(?!(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) ).*)*)", since)


def problems(names: list[str], since: float) -> list[str]:
    """Return the error messages that the jobs of these studies have logged since a time, else those of Snakemake itself."""
    of_snakemake = r"^\w+(?:Error|Exception)\b.*:\n((?:(?!  File ).*\n?)+)"
    said = [line for name in names for line in failed_jobs(name, since)] or logged(ROOT / ".snakemake" / "log", of_snakemake, since)
    return [line for line in dict.fromkeys(said) if line.strip()]


def outdated(names: list[str], since: float) -> list[str]:
    """Take from the results of an earlier run that a failed one leaves behind what makes them look finished, and say so."""
    told = []
    for name in names:
        folder = ROOT / "results" / name
        ends = [path for path in (folder / "manifest.json", folder / "report.html") if path.exists()]
        if ends and failed_jobs(name, since):
            for path in ends:
                path.unlink()
            told.append(f"What is left in {shown(folder)} is of an earlier run; its report and manifest were taken away.")
    return told


def shown(path: Path) -> str:
    """Return a path as it is typed from where the user is."""
    try:
        return os.path.relpath(path)
    except ValueError:  # another drive on Windows
        return str(path)


def make_report(python: str, name: str, folder: Path, entries: list[str]) -> None:
    """Make a study's report."""
    target = folder / "report.html"
    say(f"Making {shown(target)}")
    code, text = call([python, "-m", "snakemake", "--report", str(target), "--config", *entries, f'studies=["{name}"]'], quiet=True)
    if code:
        raise StoppedError(f"the report of {name} could not be made:\n{text.strip()}")


def run_studies(arguments: list[str], *, named: bool) -> int:
    """Run studies, make their reports and say which files to open."""
    options, others = parsed(arguments, names="+" if named else "")
    names = known(options.names if named else ["example"])
    python = set_up()
    looks_only = not NO_RESULTS.isdisjoint(others)
    if not looks_only and {"--quiet", "-q", "--verbose", "--logger"}.isdisjoint(others):
        others += ["--logger", "rich"] if sys.stderr.isatty() else ["--quiet", "host", "reason", "rules"]
    started = time.time() - CLOCK_SLACK
    settings = ["--config", *options.config, f"studies={json.dumps(names)}"]
    code, _ = call([python, "-m", "snakemake", *others, "--cores", options.cores, *settings])
    if code:
        found = [] if looks_only else problems(names, started)
        earlier = [] if looks_only else outdated(names, started)
        raise StoppedError("\n         ".join([*(found or ["Snakemake reports a problem; see above."]), *earlier]))
    if looks_only:
        return 0
    results = ROOT / "results"
    for folder in (results / name for name in names if (results / name / "manifest.json").exists()):
        report, manifest = folder / "report.html", folder / "manifest.json"
        if not report.exists() or report.stat().st_mtime < manifest.stat().st_mtime:
            make_report(python, folder.name, folder, options.config)
        say(f"\nResults of {folder.name}:")
        there = {shown(folder / file): about for file, about in TO_OPEN.items() if (folder / file).exists()}
        for path, about in there.items():
            say(f"  {path:<{max(map(len, there))}}  {about}")
    return 0


def report(arguments: list[str]) -> int:
    """Make the reports of studies again: of those named, or of all that have results."""
    options, _ = parsed(arguments, names="*")
    results = ROOT / "results"
    done = [name for name in studies() if (results / name / "manifest.json").exists()]
    lacking = [name for name in known(options.names) if name not in done]
    if lacking or not done:
        name = (lacking or ["example"])[0]
        raise StoppedError(f"no results of {name} yet. Run: python3 run.py study {name}")
    python = set_up()
    for name in known(options.names) or done:
        make_report(python, name, results / name, options.config)
    return 0


def test(arguments: list[str]) -> int:
    """Run the tests, a file a worker and a worker a core."""
    return call([set_up(), "-m", "pytest", "-q", "-n", "logical", "--dist", "loadfile", *arguments])[0]


def check(_: list[str]) -> int:
    """Run every linter and checker, and say of each whether it is content."""
    python = set_up()
    files = [ROOT / "Snakefile", ROOT / "workflow" / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
    tools = {
        "snakemake --lint": [python, "-m", "snakemake", "--lint"],
        "ruff check": [python, "-m", "ruff", "check", "."],
        "ruff format": [python, "-m", "ruff", "format", "--check", "."],
        "mypy": [python, "-m", "mypy"],
        "snakefmt": [python, "-m", "snakefmt", "--check", *map(str, files)],
        "reference pages": [python, "scripts/docs.py", "--check"],
        "dependencies": [python, "-m", "pytest", "-q", "tests/holds/test_dependencies.py"],
    }
    codes = []
    for name, command in tools.items():
        code, text = call(command, quiet=True)
        codes.append(code)
        say(f"{name}: failed\n{text.rstrip()}" if code else f"{name}: ok")
    return int(any(codes))


def main(arguments: list[str]) -> int:
    """Run the command that the arguments name."""

    def script(file: str) -> Callable[[list[str]], int]:
        return lambda rest: call([set_up(), str(ROOT / file), *rest])[0]

    commands: dict[str, Callable[[list[str]], int]] = {
        "study": lambda rest: run_studies(rest, named=True),
        "report": report,
        "test": test,
        "check": check,
        "docs": script("scripts/docs.py"),
        "example-data": script("scripts/example_data.py"),
        "bench": script("scripts/bench.py"),
        "validate": script("scripts/validate.py"),
    }
    first = arguments[0] if arguments else ""
    if first in ("-h", "--help", "help"):
        say((__doc__ or "").strip())
        return 0
    if first in commands:
        return commands[first](arguments[1:])
    if first and not first.startswith("-"):
        close = difflib.get_close_matches(first, [*commands, *studies()], n=1)
        meant = f" Did you mean '{'' if close[0] in commands else 'study '}{close[0]}'?" if close else ""
        raise StoppedError(f"no command {first!r}.{meant} There are: {', '.join(commands)}. See: python3 run.py --help", BAD_CALL)
    return run_studies(arguments, named=False)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except StoppedError as problem:
        print(f"Stopped: {problem.args[0]}", file=sys.stderr)
        sys.exit(problem.args[1] if len(problem.args) > 1 else 1)
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C. What is finished is kept; the next run goes on from there.", file=sys.stderr)
        sys.exit(130)

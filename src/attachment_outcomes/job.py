"""The edge between the workflow and the library: one job, its log, its seed, its errors.

Scripts call :func:`run` with their ``main`` and the object the workflow engine gives them; they need nothing else of
the engine, so a test can run any script with a plain :class:`Job`.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from traceback import walk_tb
from types import SimpleNamespace
from typing import Any

import numpy as np

from attachment_outcomes.errors import AttachmentOutcomesError

_PACKAGE = Path(__file__).resolve().parent


def seed(*parts: object) -> int:
    """Return a seed that depends on the parts only, so that adding a study changes no other result."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:8], "big")


@dataclass(frozen=True)
class Job:
    """What a script works with: named inputs, outputs and parameters, its wildcards and its own random generator."""

    input: Any
    output: Any
    params: Any
    wildcards: Mapping[str, str] = field(default_factory=dict)
    rule: str = ""
    log: str | None = None

    @property
    def study(self) -> str:
        """Name of the study the job works on."""
        return str(self.wildcards["study"])

    @property
    def seed(self) -> int:
        """The job's own seed, which derives from the global seed, the rule and the wildcards."""
        return seed(self.params.seed, self.rule, *(f"{k}={v}" for k, v in sorted(self.wildcards.items())))

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator from the job's own seed."""
        return np.random.default_rng(self.seed)


def plain_job(
    *,
    input: Mapping[str, Any],
    output: Mapping[str, Any],
    params: Mapping[str, Any] | None = None,
    study: str = "test",
    rule: str = "test",
) -> Job:
    """Return a job without a workflow engine, for tests and notebooks."""
    return Job(SimpleNamespace(**input), SimpleNamespace(**output), SimpleNamespace(**(params or {})), {"study": study}, rule)


def run(main: Callable[[Job], None], snakemake: Any) -> None:
    """Run a script's ``main`` with its log; tell a mendable problem in one message, and anything else with its trace.

    The message goes to the log (which the engine shows) after ``ERROR``; the exit code is 1.
    """
    log = str(snakemake.log[0]) if snakemake.log else None
    if log:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
    handler: logging.Handler = logging.FileHandler(log, mode="w", encoding="utf-8") if log else logging.StreamHandler()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", handlers=[handler], force=True)
    logging.captureWarnings(True)
    job = Job(snakemake.input, snakemake.output, snakemake.params, dict(snakemake.wildcards.items()), str(snakemake.rule), log)
    try:
        main(job)
    except AttachmentOutcomesError as error:
        logging.error("%s", error)
        sys.exit(1)
    except Exception as error:
        # The message of an unforeseen error may quote a cell, so only its kind and place are kept.
        logging.error(
            "unforeseen %s in %s. Hint: run the step's function on its inputs to see more.", type(error).__name__, place(error)
        )
        sys.exit(1)


def place(error: BaseException) -> str:
    """Return ``file.py:line in function`` of the innermost frame in the library, else of the script's own."""
    frames = [(Path(frame.f_code.co_filename), line, frame.f_code.co_name) for frame, line in walk_tb(error.__traceback__)]
    inner = frames[1:] or frames  # the first is `run`
    own = [f for f in inner if f[0].is_relative_to(_PACKAGE)] or inner[:1]
    return f"{own[-1][0].name}:{own[-1][1]} in {own[-1][2]}" if own else "an unknown place"

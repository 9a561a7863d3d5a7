"""How are a study's repetitions run? Each from a seed of its own, in blocks that are kept, on as many cores as there are.

What a repetition finds depends on the study's seed, its cell and its number only: not on the number of cores, the order, the
other cells of the grid, or whether the run was stopped in between.
"""

from __future__ import annotations

import math
import os
import re
import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from attachment_outcomes.errors import (
    AttachmentOutcomesError,
    ConfigError,
    ConvergenceWarning,
    SmallSampleWarning,
    did_you_mean,
    problem,
)
from attachment_outcomes.registry import resolve
from attachment_outcomes.simulate.recovery.study import Estimator, Finding, RecoveryStudy, estimator_seed, generator

# What an estimator may say instead of an answer. Anything else is a fault of the code, and ends the run.
REFUSALS = (AttachmentOutcomesError, ArithmeticError, np.linalg.LinAlgError)
NOT_CONVERGED, NO_ESTIMATE, NOT_GIVEN = "did not converge", "no finite estimate", "target not given"
LONGEST_REASON = 120  # characters
NUMBERS = ["truth", "estimate", "std_error", "ci_low", "ci_high", "p_value"]
COLUMNS = ["cell", "repetition", "method", "target", *NUMBERS, "converged", "singular", "failure"]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Block(NamedTuple):
    """The repetitions ``start`` to ``stop`` (not included) of a cell, which is named by its place in the grid."""

    cell: int
    start: int
    stop: int


class Store(Protocol):
    """Where finished blocks are kept."""

    def get(self, block: Block) -> pd.DataFrame | None:
        """Return a kept block, or None."""

    def put(self, block: Block, rows: pd.DataFrame) -> None:
        """Keep a block."""


def blocks(study: RecoveryStudy, repetitions: int) -> list[Block]:
    """Return the blocks of a run, cell by cell in turn, so that a stopped run has some of each and its end can be told."""
    starts = range(0, repetitions, study.block)
    return [Block(c, s, min(s + study.block, repetitions)) for s in starts for c in range(len(study.cells))]


def run_study(
    study: RecoveryStudy,
    *,
    repetitions: int | None = None,
    cores: int = 1,
    store: Store | None = None,
    tell: Callable[[int, int, bool], None] = lambda done, of, kept: None,
) -> pd.DataFrame:
    """Run a study's repetitions.

    Parameters
    ----------
    study
        The study.
    repetitions
        Data sets a cell; the study's own number if not given. The first ones of a longer run are those of a shorter one.
    cores
        Processes at a time. With more than one, functions have to be named or importable.
    store
        Keeps finished blocks and gives back those of an earlier run.
    tell
        Called after each block with the number done, the number of all, and whether the block was kept from before.

    Returns
    -------
    DataFrame
        A row a cell (its place in the grid), repetition, method and target: truth, estimate, std_error, ci_low, ci_high,
        p_value, converged, singular, and ``failure``, the reason why there is no usable estimate (empty if there is one).
        Where an estimator gave nothing at all, the row has no target. Sorted by cell, repetition, method and target.

    Raises
    ------
    ConfigError
        If an estimator answers for a target or method that the study does not know.
    """
    todo = blocks(study, study.repetitions if repetitions is None else repetitions)
    found: dict[Block, pd.DataFrame] = {}
    for block in todo:
        kept = None if store is None else store.get(block)
        if kept is not None:
            found[block] = kept
            tell(len(found), len(todo), True)
    for block, rows in _made(study, [b for b in todo if b not in found], cores):
        if store is not None:
            store.put(block, rows)
        found[block] = rows
        tell(len(found), len(todo), False)
    return pd.concat([found[b] for b in sorted(found)], ignore_index=True)


def _made(study: RecoveryStudy, todo: list[Block], cores: int) -> Iterator[tuple[Block, pd.DataFrame]]:
    """Yield blocks as they are finished; when stopped, those under way too, which take seconds."""
    if cores == 1 or len(todo) < 2:
        yield from ((block, one_block(study, block)) for block in todo)
        return
    for name in THREADS:  # read by the processes when they start: threads inside each would only compete
        os.environ.setdefault(name, "1")
    # "spawn" is the one way of starting that is the same on every system and copies no threads.
    pool = ProcessPoolExecutor(min(cores, len(todo)), mp_context=get_context("spawn"), initializer=_deaf)
    running: dict[Future[pd.DataFrame], Block] = {pool.submit(one_block, study, block): block for block in todo}
    try:
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except KeyboardInterrupt:
        pool.shutdown(cancel_futures=True)
        yield from ((block, future.result()) for future, block in running.items() if not future.cancelled())
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _deaf() -> None:
    """Let Ctrl-C stop the first process alone, which ends the others in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def one_block(study: RecoveryStudy, block: Block) -> pd.DataFrame:
    """Return the rows of one block."""
    rows = [row for number in range(block.start, block.stop) for row in one_repetition(study, block.cell, number)]
    frame = pd.DataFrame.from_records(rows, columns=COLUMNS)
    return frame.astype({**dict.fromkeys(NUMBERS, float), **dict.fromkeys(("method", "target", "failure"), "str")})


def one_repetition(study: RecoveryStudy, cell: int, number: int) -> list[tuple[Any, ...]]:
    """Make one data set of a cell and return what every estimator finds in it, as rows of ``COLUMNS``."""
    parameters = study.cells[cell]
    try:
        sample = _function(study.scenario)(generator(study.seed, parameters, number), **parameters, **study.fixed)
        rows = []
        for estimator in study.estimators:
            if estimator.used_in(parameters):
                seed = estimator_seed(study.seed, parameters, number, next(iter(estimator.methods))) if estimator.seeded else None
                rows += [(cell, number, *row) for row in _answers(estimator, sample.data, sample.truth, seed)]
    except Exception as error:
        where = ", ".join(f"{k} {v}" for k, v in parameters.items())
        error.add_note(f"in study {study.name}, {where}, repetition {number}")
        raise
    return rows


def _function(function: Callable[..., Any] | str) -> Callable[..., Any]:
    found: Callable[..., Any] = resolve(function) if isinstance(function, str) else function
    return found


def _answers(estimator: Estimator, data: Any, truth: Any, seed: int | None) -> Iterator[tuple[Any, ...]]:
    """Yield a row a method and target, from ``method`` on; an estimator that refuses gives one row a method, without target."""
    own_names = tuple(estimator.methods.values())
    options = dict(estimator.options)
    if any(own_names):
        options["methods"] = own_names
    if seed is not None:
        options["seed"] = seed
    nothing = (math.nan,) * len(NUMBERS)
    try:
        # What these warn of is in the findings too: converged and singular.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", SmallSampleWarning)
            findings = list(_function(estimator.function)(data, **options))
    except REFUSALS as error:
        for name in estimator.methods:
            yield name, "", *nothing, False, False, reason(error)
        return
    names = {own: name for name, own in estimator.methods.items()}
    for finding in findings:
        for word, known, what in ((finding.method, names, "method"), (finding.target, truth, "target")):
            if word not in known:
                raise ConfigError(
                    problem(f"estimator of {', '.join(names.values())}", f"unknown {what} {word!r}.{did_you_mean(word, known)}")
                )
        yield names[finding.method], *_row(finding, float(truth[finding.target]))


def _row(finding: Finding, truth: float) -> tuple[Any, ...]:
    usable = "" if math.isfinite(finding.estimate) else NO_ESTIMATE
    failure = usable if finding.converged else NOT_CONVERGED
    numbers = (truth, finding.estimate, finding.std_error, finding.ci_low, finding.ci_high, finding.p_value)
    return finding.target, *numbers, bool(finding.converged), bool(finding.singular), failure


def reason(error: BaseException) -> str:
    """Return an error's message without its numbers, so that the same refusal counts as one reason."""
    text = re.sub(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?", "#", " ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"

"""What is a recovery study? A scenario whose truth is known, the estimators that are to find it, and a grid of situations.

Vocabulary
----------
scenario    a function of a random generator and parameters that makes one data set and says what is true of it
estimator   a function of a data set that returns findings; it may answer by several methods from one fit
target      a quantity that is estimated, e.g. ``slope``; its true value is the scenario's
cell        one combination of the grid's parameters, e.g. 30 clients
repetition  one data set of a cell, analysed by every estimator
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from attachment_outcomes.config import validated
from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.fingerprint import fingerprint
from attachment_outcomes.registry import resolve

Parameter = str | float | int | bool
Cell = Mapping[str, Parameter]

DEFAULT_BLOCK = 50  # repetitions that are kept together: seconds of work, so that a stop loses little
ONE_REPETITION = "attachment_outcomes.simulate.recovery.repetitions:one_repetition"
PERFORMANCE = "attachment_outcomes.simulate.recovery.measures:performance"
RESULT_COLUMNS = ("target", "method", "measure", "value", "mc_error", "n", "truth")  # after the grid's parameters
WORD = 4  # bytes of the words that a seed is made of


class Sample(NamedTuple):
    """A data set of a scenario, and the true value of each target."""

    data: Any
    truth: Mapping[str, float]


class Finding(NamedTuple):
    """What an estimator says of one target; NaN where it says nothing.

    ``p_value`` is of the test that the target is 0. ``method`` is needed only from an estimator with several methods.
    """

    target: str
    estimate: float
    std_error: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    p_value: float = math.nan
    converged: bool = True
    singular: bool = False
    method: str = ""


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """An estimator as a study uses it.

    ``function``  the estimator, or its name as ``package.module:name``; called with the data and the options
    ``methods``   the study's name of each method to the estimator's own name of it (``Finding.method``); with own names that
                  are not empty the estimator is called with these, as ``methods``
    ``where``     grid parameter to the values at which the estimator is used; elsewhere it is left out
    ``seeded``    whether it draws random numbers; it is then called with a ``seed`` of its own in each repetition
    """

    function: Callable[..., Iterable[Finding]] | str
    methods: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, Sequence[Parameter]] = field(default_factory=dict)
    seeded: bool = False

    def used_in(self, cell: Cell) -> bool:
        """Tell whether the estimator is used in a cell."""
        return within(cell, self.where)


@dataclass(frozen=True, kw_only=True)
class RecoveryStudy:
    """A study: ``scenario`` as a function or its name, ``grid`` parameter to values, ``fixed`` the parameters that do not vary.

    ``limits`` and ``expected_to_fail`` are as in the study's file; see :mod:`attachment_outcomes.simulate.recovery.limits`.
    """

    name: str
    seed: int
    repetitions: int
    scenario: Callable[..., Sample] | str
    grid: Mapping[str, Sequence[Parameter]]
    estimators: Sequence[Estimator]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    block: int = DEFAULT_BLOCK
    title: str = ""
    aim: str = ""
    limits: Sequence[Mapping[str, Any]] = ()
    expected_to_fail: Sequence[Mapping[str, Any]] = ()
    figure: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be run.

        Raises
        ------
        ConfigError
            If a method is named twice, a parameter is named as a column of the results, a condition names no parameter or
            value of the grid, or a function does not exist.
        """
        names = self.methods
        for parameter in self.grid:
            if parameter in RESULT_COLUMNS:
                raise ConfigError(problem(f"study {self.name}", f"{parameter!r} is a column of the results, so no parameter."))
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(problem(f"study {self.name}", f"two estimators have a method named {name!r}."))
        parts: list[Any] = [e.where for e in self.estimators]
        for entry in (*self.limits, *self.expected_to_fail):
            parts.append(entry.get("where", {}))
            for method in entry.get("methods", []):
                if method not in names:
                    raise ConfigError(problem(f"study {self.name}", f"no method {method!r}.{did_you_mean(method, names)}"))
        for where in parts:
            for parameter, values in where.items():
                if parameter not in self.grid:
                    meant = did_you_mean(parameter, self.grid)
                    raise ConfigError(problem(f"study {self.name}", f"{parameter!r} is no parameter of the grid.{meant}"))
                if not set(values) <= set(self.grid[parameter]):
                    allowed = ", ".join(map(str, self.grid[parameter]))
                    raise ConfigError(problem(f"study {self.name}, {parameter}", f"found {list(values)}; the grid has {allowed}."))
        for function in self.functions:
            if isinstance(function, str):
                resolve(function)

    @property
    def functions(self) -> list[Callable[..., Any] | str]:
        """The scenario and the estimators."""
        return [self.scenario, *(e.function for e in self.estimators)]

    @property
    def cells(self) -> list[dict[str, Parameter]]:
        """Every combination of the grid, the last parameter varying fastest."""
        return [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]

    @property
    def methods(self) -> list[str]:
        """The names of all methods, in order."""
        return [name for estimator in self.estimators for name in estimator.methods]

    @cached_property
    def code(self) -> dict[str, str]:
        """The fingerprints of what makes the repetitions and of what sums them up, when first asked for.

        That of the repetitions covers the seed, the settings, and the code that scenario and estimators reach; a function
        that is given as such counts by its name only. Grid, limits and figure do not count: a cell's repetitions do not
        depend on them.
        """
        named = [f for f in self.functions if isinstance(f, str)]
        settings = {
            "seed": self.seed,
            "fixed": dict(self.fixed),
            "estimators": [[_name(e.function), dict(e.methods), dict(e.options), dict(e.where), e.seeded] for e in self.estimators],
            "scenario": _name(self.scenario),
        }
        text = json.dumps(settings, sort_keys=True, default=str)
        made = hashlib.sha256(f"{fingerprint(ONE_REPETITION, *named)}\x1f{text}".encode()).hexdigest()[:16]
        return {"repetitions": made, "measures": fingerprint(PERFORMANCE)}


def _name(function: Callable[..., Any] | str) -> str:
    return function if isinstance(function, str) else f"{function.__module__}:{function.__qualname__}"


def within(cell: Cell, where: Mapping[str, Sequence[Parameter]]) -> bool:
    """Tell whether a cell has one of the wanted values of each parameter that is named."""
    return all(cell[parameter] in values for parameter, values in where.items())


def words(text: str) -> tuple[int, ...]:
    """Return a text as four 32-bit numbers, for a seed."""
    digest = hashlib.sha256(text.encode()).digest()[: 4 * WORD]
    return tuple(int.from_bytes(digest[i : i + WORD], "big") for i in range(0, len(digest), WORD))


def cell_words(cell: Cell) -> tuple[int, ...]:
    """Return what stands for a cell in a seed: made from its parameters, so that further cells change nothing."""
    return words(json.dumps(dict(cell), sort_keys=True))


def generator(study_seed: int, cell: Cell, repetition: int) -> np.random.Generator:
    """Return the generator of one repetition's data: of the study's seed, the cell and the number alone."""
    return np.random.default_rng(np.random.SeedSequence(study_seed, spawn_key=(*cell_words(cell), repetition)))


def estimator_seed(study_seed: int, cell: Cell, repetition: int, name: str) -> int:
    """Return the seed that an estimator which draws random numbers gets in one repetition."""
    sequence = np.random.SeedSequence(study_seed, spawn_key=(*cell_words(cell), repetition, *words(name)))
    return int(sequence.generate_state(1, np.uint64)[0])


def read_study(content: Mapping[str, Any], file: str) -> RecoveryStudy:
    """Return the study that a file ``validation/recovery/<name>.yaml`` describes.

    Parameters
    ----------
    content
        What the file holds.
    file
        Its name, for messages.

    Raises
    ------
    ConfigError
        If a key is unknown, missing or has a value that is not allowed, or the study cannot be run.
    """
    checked: dict[str, Any] = validated(content, "recovery", file)
    estimators = [
        Estimator(
            function=e["function"], methods=e["methods"] if isinstance(e["methods"], dict) else {e["methods"]: ""},
            options=e["options"], where=e["where"], seeded=e["seeded"],
        )
        for e in checked.pop("estimators")
    ]  # fmt: skip
    return RecoveryStudy(estimators=estimators, **checked)

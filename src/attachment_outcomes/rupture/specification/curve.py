"""Every defensible way to compare clients by rupture and repair: a row a specification, or why it cannot be had.

Vocabulary
----------
specification  one combination of criterion, window of repair, least number of sessions, time by which the group is known,
               adjustment, and whether clients are compared within therapists
improvement    the outcome in its better direction: above 0, the first-named group ended better
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.robust_ols import Contrast
from attachment_outcomes.inference.steps import typed_table
from attachment_outcomes.rupture.effects.comparison import MIN_GROUP
from attachment_outcomes.rupture.specification.designs import ESTIMANDS, UNKNOWN, Design, build
from attachment_outcomes.rupture.specification.readings import Reading

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]
ALL, WITHIN = "all clients", "within therapists"
COMPARISONS = (ALL, WITHIN)
SESSIONS = "n_sessions"
TITLES = {"pre": "start", SESSIONS: "sessions", "first_alliance": "first alliance"}
AFTER = "the number of sessions is decided after the landmark"
CHOICES = ("criterion", "window", "min_sessions", "exposure", "adjustment", "comparison")
COLUMNS = {
    "outcome": "str", "estimand": "str", "criterion": "str", "window": "str", "min_sessions": "str", "exposure": "str",
    "adjustment": "str", "comparison": "str", "primary": "bool", "estimate": "float64", "std_error": "float64", "ci_low": "float64",
    "ci_high": "float64", "p_value": "float64", "expected": "float64", "n": "Int64", "n_none": "Int64", "n_repaired": "Int64",
    "n_unrepaired": "Int64", "n_clusters": "Int64", "refused": "str",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What is known of the people of one criterion, all (people,): end score, covariates by name, number of the therapist.

    ``later`` gives for a landmark the end scores that lie after it; those of ``outcome`` where it says nothing.
    """

    outcome: Numbers
    covariates: Mapping[str, Numbers]
    therapist: Whole
    later: Mapping[int, Numbers] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """One regression with its contrasts, and the names of what it is adjusted for."""

    design: Design
    contrasts: Sequence[Contrast]
    adjust: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """``table`` of all specifications (``COLUMNS``), the ``fits`` behind it, and of each row of the table its fit (−1: none)."""

    table: pd.DataFrame
    fits: Sequence[Fitted]
    of_row: Whole


def specification_table(
    read: Iterable[tuple[Reading, Compared]],
    *,
    higher_is_better: bool,
    outcome: str = "",
    adjustments: Sequence[tuple[str, ...]] = (("pre", SESSIONS), ("pre",)),
    comparisons: Sequence[str] = COMPARISONS,
    estimands: Sequence[str] = ESTIMANDS,
    min_group: int = MIN_GROUP,
    ci_level: float = CI_LEVEL,
) -> Curve:
    """Estimate every specification.

    Parameters
    ----------
    read
        Readings with the people they are of. The first criterion with its own settings is the primary one.
    higher_is_better
        Direction of the outcome.
    outcome
        Its name.
    adjustments
        Sets of covariates, the primary one first. The number of sessions is refused at a landmark.
    comparisons
        ``all clients`` (primary, therapists as clusters) and ``within therapists`` (their levels taken out as well).
    estimands
        Which of ``repaired_minus_none``, ``repair_minus_avoidance`` and ``repaired_minus_unrepaired``.
    min_group, ci_level
        Fewest clients in each group; confidence level.

    Returns
    -------
    Curve
        Estimates in points of improvement. The primary row is the study's own contrast of its primary criterion, but for the sign
        where lower is better. What cannot be had has no estimate and says why under ``refused``.
    """
    cache: dict[tuple[Any, ...], Fitted | str] = {}
    fits: list[Fitted] = []
    places: dict[int, int] = {}
    rows: list[dict[str, Any]] = []
    of_row: list[int] = []
    first = None
    for reading, people in read:
        first = reading.criterion if first is None else first
        y = people.later.get(reading.landmark, people.outcome)
        for adjust in adjustments:
            for comparison in comparisons:
                key = (id(people), reading.landmark, adjust, comparison, sha256(reading.group.tobytes()).digest(), reading.refused)
                if key not in cache:
                    cache[key] = _fit(
                        reading, people, y, adjust, within=comparison == WITHIN, higher_is_better=higher_is_better,
                        min_group=min_group, ci_level=ci_level,
                    )  # fmt: skip
                found = cache[key]
                if isinstance(found, Fitted) and id(found) not in places:
                    places[id(found)] = len(fits)
                    fits.append(found)
                shared = {
                    "outcome": outcome, "criterion": reading.criterion, "window": str(reading.window),
                    "min_sessions": reading.min_sessions, "exposure": reading.exposure, "comparison": comparison,
                    "adjustment": ", ".join(TITLES.get(a, a) for a in adjust),
                    "primary": reading.primary and reading.criterion == first and adjust == adjustments[0] and comparison == ALL,
                }  # fmt: skip
                rows += [{**shared, "estimand": e, **_numbers(found, e)} for e in estimands]
                of_row += [places[id(found)] if isinstance(found, Fitted) else -1] * len(estimands)
    table = typed_table(rows, COLUMNS)
    order = np.argsort(table["estimand"].map({e: i for i, e in enumerate(ESTIMANDS)}).to_numpy(dtype=float), kind="stable")
    return Curve(
        table=table.iloc[order].reset_index(drop=True), fits=fits, of_row=np.asarray(of_row, dtype=np.int64)[order],
    )  # fmt: skip


def _fit(
    reading: Reading, people: Compared, outcome: Numbers, adjust: tuple[str, ...], *, within: bool, higher_is_better: bool,
    min_group: int, ci_level: float,
) -> Fitted | str:  # fmt: skip
    """Return the fit of one specification, or why there is none."""
    if reading.refused:
        return reading.refused
    if reading.landmark and SESSIONS in adjust:
        return AFTER
    if not (reading.group != UNKNOWN).any():
        return "no client has enough ratings for the criterion"
    covariates = np.column_stack([people.covariates[a] for a in adjust]) if adjust else np.empty((len(outcome), 0))
    try:
        design, contrasts = build(
            outcome, reading.group, covariates, people.therapist, within=within, higher_is_better=higher_is_better,
            ci_level=ci_level, min_group=min_group,
        )  # fmt: skip
    except StatisticsError as error:
        return str(error)
    return Fitted(design=design, contrasts=contrasts, adjust=adjust)


def _numbers(found: Fitted | str, estimand: str) -> dict[str, Any]:
    if isinstance(found, str):
        empty = dict.fromkeys(("estimate", "std_error", "ci_low", "ci_high", "p_value", "expected"), np.nan)
        return {**empty, **dict.fromkeys(("n", "n_none", "n_repaired", "n_unrepaired", "n_clusters")), "refused": found}
    one, design = found.contrasts[ESTIMANDS.index(estimand)], found.design
    none, repaired, unrepaired = design.sizes
    return {
        "estimate": one.estimate, "std_error": one.std_error, "ci_low": one.ci_low, "ci_high": one.ci_high, "p_value": one.p_value,
        "expected": np.nan, "n": len(design.rows), "n_none": none, "n_repaired": repaired, "n_unrepaired": unrepaired,
        "n_clusters": design.n_units, "refused": "",
    }  # fmt: skip

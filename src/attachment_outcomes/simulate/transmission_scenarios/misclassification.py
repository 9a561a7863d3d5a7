"""Pairs whose classes are misread with known chances: is the transmission behind them found?

Vocabulary
----------
people   those classified twice, from whom kappa is estimated; 0: the errors are known
halo     share of children who are given the class that corresponds to the one given to the parent, whatever they are
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.inference.agreement import kappa as kappa_of
from attachment_outcomes.inference.misclassification import fullest_diagonal, margin_preserving_errors
from attachment_outcomes.simulate.draws import Floats, Whole, pick
from attachment_outcomes.simulate.recovery.study import Finding, Sample
from attachment_outcomes.transmission.misclassification.correction import corrected_transmission
from attachment_outcomes.transmission.misclassification.quantities import CORRECTED, OBSERVED, POSSIBLE, agreement
from attachment_outcomes.transmission.misclassification.quantities import kappa as kappa_in
from attachment_outcomes.transmission.misclassification.reliability import Reliability

# About what is found of parents in their interview; children alike, or with fewer secure ones.
PARENTS = {2: [0.55, 0.45], 3: [0.25, 0.55, 0.20], 4: [0.20, 0.50, 0.12, 0.18]}
OTHERS = {2: [0.40, 0.60], 3: [0.40, 0.40, 0.20], 4: [0.30, 0.35, 0.10, 0.25]}
GROUPS = {"corrected": CORRECTED, "possible": POSSIBLE, "naive": OBSERVED}
DIGITS = 12
LEAST_KAPPA, MOST_KAPPA = 0.05, 0.99  # of a retest: outside nobody would correct, or need to


class Pairs(NamedTuple):
    """The table seen, and what is known of the reliability of parents' and children's classes."""

    table: Whole
    parent: Reliability
    child: Reliability


def misread(
    rng: np.random.Generator,
    *,
    families: int,
    classes: int,
    kappa: float,
    retest: float,
    people: int,
    children: str = "alike",
    halo: float = 0.0,
) -> Sample:
    r"""Parents and children of known true classes, each classified with errors that leave the shares of classes as they are.

    .. math:: T = k\,T^* + (1 - k)\,r c'

    with :math:`T^*` the fullest diagonal that the margins r and c allow and k the parameter ``kappa``. Targets: ``kappa`` and
    ``agreement`` of T.
    """
    rows = np.array(PARENTS[classes])
    columns = np.array(PARENTS[classes] if children == "alike" else OTHERS[classes])
    by_chance = np.outer(rows, columns)
    true = kappa * fullest_diagonal(by_chance) + (1 - kappa) * by_chance
    cell = pick(rng.random(families), true.ravel())
    parent, child = np.divmod(cell, classes)
    parent = _misread(rng, parent, retest, rows)
    child = _misread(rng, child, retest, columns)
    child = np.where(rng.random(families) < halo, parent, child)
    table = np.bincount(parent * classes + child, minlength=classes**2).reshape(classes, classes)
    known = [_retested(rng, retest, margins, people) for margins in (rows, columns)]
    return Sample(Pairs(table, *known), _truth(true))


def _truth(true: Floats) -> dict[str, float]:
    # Rounded, so that no kappa is not one of 1e-17, which would be a thing to find.
    return {"kappa": round(float(kappa_in(true)), DIGITS), "agreement": round(float(agreement(true)), DIGITS)}


def _misread(rng: np.random.Generator, true: Whole, retest: float, margins: Floats) -> Whole:
    """Return the classes given: the true one, or one drawn by how common each is."""
    right: NDArray[np.bool_] = rng.random(len(true)) < np.sqrt(retest)
    return np.asarray(np.where(right, true, pick(rng.random(len(true)), margins)), dtype=np.int64)


def _retested(rng: np.random.Generator, retest: float, margins: Floats, people: int) -> Reliability:
    if not people:
        return Reliability(kappa=retest)
    errors = margin_preserving_errors(retest, margins)
    twice = errors.T @ np.diag(margins) @ errors
    size = len(margins)
    table = np.bincount(pick(rng.random(people), twice.ravel()), minlength=size**2).reshape(size, size)
    return Reliability(kappa=float(np.clip(kappa_of(table).kappa, LEAST_KAPPA, MOST_KAPPA)), n=people)


def found(data: Pairs, *, methods: Mapping[str, str], seed: int, replicates: int = 199) -> Iterator[Finding]:
    """Correct the table; ``methods`` are ``corrected``, ``possible`` and ``naive``."""
    rows, _ = corrected_transmission(
        data.table, parent=data.parent, child=data.child, rng=np.random.default_rng(seed), replicates=replicates
    )
    for row in rows:
        for method in methods:
            if row.group == GROUPS[method] and row.estimand in ("kappa", "agreement"):
                yield Finding(
                    row.estimand, row.estimate, row.std_error, row.ci_low, row.ci_high, row.p_value, method=method
                )  # fmt: skip

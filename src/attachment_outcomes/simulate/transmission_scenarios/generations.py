"""Chains of grandparent, parent and child whose true order and transmission are known: do the tests and projections tell?

Vocabulary
----------
first-order    a child has the parent's class with probability STAYS and otherwise any class by its share
second-order   besides, a child has the grandparent's class with probability DIRECT, whatever the parent's
read           whether classes are seen as they are, or through errors with retest kappa RETEST
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.inference.misclassification import margin_preserving_errors
from attachment_outcomes.inference.resampling import cluster_bootstrap
from attachment_outcomes.simulate.draws import pick
from attachment_outcomes.simulate.recovery.study import Finding, Sample
from attachment_outcomes.transmission.generations.hidden import explained_by_error
from attachment_outcomes.transmission.generations.markov import (
    conditional_independence,
    conditional_kappa,
    family_conditional_independence,
)
from attachment_outcomes.transmission.generations.projection import difference_left, half_life, long_run, powers, project
from attachment_outcomes.transmission.generations.resampled import Layout, family_cells
from attachment_outcomes.transmission.misclassification.reliability import Reliability

Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]

SHARES = {2: (0.55, 0.45), 3: (0.24, 0.58, 0.18), 4: (0.19, 0.50, 0.11, 0.20)}
SECURE = {2: 0, 3: 1, 4: 1}
STAYS, DIRECT, RETEST = 0.45, 0.25, 0.64
FIRST, SECOND = "first-order", "second-order"
BEYOND = "grandparent beyond parent"
SIBLINGS, ALIKE = 0.3, 0.5  # families with a second child; how often that child is simply like the first
AHEAD = 4
TESTS = {
    "G2": "g2_p", "X2": "x2_p", "CMH": "cmh_p", "G2 exact": "g2_exact", "X2 exact": "x2_exact", "CMH exact": "cmh_exact",
    "kappa exact": "kappa_exact",
}  # fmt: skip


class Families(NamedTuple):
    """Codes of grandparent, parent and child of each chain, the family of each, and the number of classes."""

    codes: Codes
    families: Codes
    classes: int


def transition_matrix(classes: int) -> Numbers:
    """Return the true transition matrix; it leaves the shares of the classes as they are."""
    shares = np.array(SHARES[classes])
    return np.asarray(STAYS * np.eye(classes) + (1 - STAYS) * shares[None, :], dtype=np.float64)


def chains(rng: np.random.Generator, *, chains: int, classes: int, order: str, read: str) -> Sample:
    """Independent chains; the truth is the conditional kappa of grandparent and child given the parent, in the true classes."""
    shares = np.array(SHARES[classes])
    matrix = transition_matrix(classes)
    direct = DIRECT if order == SECOND else 0.0
    child = direct * np.eye(classes)[:, None, :] + (1 - direct) * matrix[None, :, :]
    joint = shares[:, None, None] * matrix[:, :, None] * child
    drawn = np.array(np.unravel_index(pick(rng.random(chains), joint.ravel()), joint.shape)).T
    codes = _read(drawn, classes, read, rng)
    truth = float(conditional_kappa(np.moveaxis(joint, 1, 0)))
    return Sample(Families(codes, np.arange(chains), classes), {BEYOND: truth if direct else 0.0})


def siblings(rng: np.random.Generator, *, families: int, classes: int, order: str) -> Sample:
    """Families in which the parent has three children, the later ones like the first more often than their parent makes them."""
    shares = np.array(SHARES[classes])
    matrix = transition_matrix(classes)
    elder = pick(rng.random(families), shares)
    parent = _next(elder, matrix, rng)
    rows = []
    first = np.empty(0, dtype=np.int64)
    for number in range(3):
        child = _next(parent, matrix, rng)
        if order == SECOND:
            child = np.where(rng.random(families) < DIRECT, elder, child)
        if number:
            child = np.where(rng.random(families) < ALIKE, first, child)
        else:
            first = child
        rows.append(np.column_stack([elder, parent, child]))
    return Sample(
        Families(np.concatenate(rows), np.tile(np.arange(families), 3), classes), {BEYOND: 0.0 if order == FIRST else DIRECT}
    )


def lines(rng: np.random.Generator, *, families: int, classes: int, read: str) -> Sample:
    """Families of a first-order chain, some with two children; the truth is what projections say of the true matrix."""
    shares = np.array(SHARES[classes])
    matrix = transition_matrix(classes)
    s = SECURE[classes]
    elder = pick(rng.random(families), shares)
    parent = _next(elder, matrix, rng)
    people = [np.column_stack([elder, parent, _next(parent, matrix, rng)])]
    more = np.flatnonzero(rng.random(families) < SIBLINGS)
    second = np.column_stack([elder[more], parent[more], _next(parent[more], matrix, rng)])
    whole = np.concatenate([*people, second])
    family = np.concatenate([np.arange(families), more])
    codes = _read(whole, classes, read, rng)
    # A person is read once, so that siblings share the classes read of parent and grandparent.
    codes[families:, :2] = codes[more, :2]
    left = difference_left(matrix)
    truth = {
        "secure in 4 generations": float(project(shares, matrix, AHEAD)[AHEAD, s]),
        "line after 1": float(matrix[s, s]),
        "line after 3": float(powers(matrix, 3)[3, s, s]),
        "long run": float(long_run(shares, matrix)[s]),
        "difference left": float(left),
        "half-life": float(half_life(left)),
        "conditional kappa": 0.0,
    }
    return Sample(Families(codes, family, classes), truth)


def order_tests(data: Families, *, methods: Sequence[str], draws: int, seed: int) -> Iterator[Finding]:
    """Test that the chain is first-order, classes taken as they are read; ``methods`` are names of TESTS."""
    found = conditional_independence(np.moveaxis(_table(data), 1, 0), rng=np.random.default_rng(seed), draws=draws)
    for method in methods:
        yield Finding(BEYOND, found.kappa, p_value=getattr(found, TESTS[method]), method=method)


def family_tests(data: Families, *, methods: Sequence[str], draws: int, seed: int) -> Iterator[Finding]:
    """Test that the chain is first-order by signs of families; ``methods`` are names of TESTS."""
    k = data.classes
    found = family_conditional_independence(
        data.codes[:, [1, 0, 2]], data.families, shape=(k, k, k), rng=np.random.default_rng(seed), draws=draws
    )
    for method in methods:
        yield Finding(BEYOND, found.kappa, p_value=getattr(found, TESTS[method]), method=method)


def error_tests(data: Families, *, methods: Sequence[str], draws: int, seed: int) -> Iterator[Finding]:
    """Test that the chain of true classes is first-order, given the errors; ``methods`` are ``G2`` and ``kappa``."""
    found = explained_by_error(_table(data), [Reliability(kappa=RETEST)] * 3, rng=np.random.default_rng(seed), draws=draws)
    tests = {"G2": found.p_value, "kappa": found.kappa_p}
    for method in methods:
        yield Finding(BEYOND, found.kappa - found.conditional_kappa, p_value=tests[method], method=method)


def projections(data: Families, *, methods: Sequence[str], corrected: bool, replicates: int, seed: int) -> Iterator[Finding]:
    """Project by the transition matrix, corrected for error or not, with percentile and BCa intervals of whole families."""
    errors = [Reliability(kappa=RETEST)] * 3 if corrected else None
    k, s = data.classes, SECURE[data.classes]
    layout = Layout("way", k, s, AHEAD, 0, errors)
    older, first = np.unique(np.column_stack([data.families, data.codes[:, :2]]), axis=0, return_index=True)
    cells = family_cells([layout], [[data.codes, older[:, 1:], data.codes[:, 1:]]])
    families = np.concatenate([data.families, data.families[first], data.families])
    found = cluster_bootstrap(layout.statistics, cells, rng=np.random.default_rng(seed), clusters=families, replicates=replicates)
    key = "corrected " if corrected else ""
    labels = layout.labels()
    where = {
        "secure in 4 generations": ("projected from all", f"{key}4"),
        "line after 1": (f"projected from {s}", f"{key}1"),
        "line after 3": (f"projected from {s}", f"{key}3"),
        "long run": ("long_run_secure", key.strip()),
        "difference left": ("difference_left", key.strip()),
        "half-life": ("half_life", key.strip()),
    }
    if not corrected:
        where["conditional kappa"] = ("conditional_kappa", "")
    for method in methods:
        for target, label in where.items():
            which = labels.index(label)
            if np.isfinite(found.estimates[which]) and np.isfinite(found.draws[:, which]).mean() > 0.9:
                one = found.interval(which, method=method, most_failed=0.1)  # type: ignore[arg-type]
                yield Finding(target, one.estimate, one.std_error, one.ci_low, one.ci_high, method=method)


def _table(data: Families) -> NDArray[np.int64]:
    k = data.classes
    table = np.zeros((k, k, k), dtype=np.int64)
    np.add.at(table, tuple(data.codes.T), 1)
    return table


def _next(parents: Codes, matrix: Numbers, rng: np.random.Generator) -> Codes:
    """Return a child's class for each parent's."""
    steps = np.cumsum(matrix, axis=1)[parents]
    return np.asarray(np.minimum((rng.random(len(parents))[:, None] >= steps).sum(axis=1), len(matrix) - 1), dtype=np.int64)


def _read(codes: Codes, classes: int, read: str, rng: np.random.Generator) -> Codes:
    """Return the classes as they are read."""
    if read != "with error":
        return codes
    errors = margin_preserving_errors(RETEST, np.array(SHARES[classes]))
    return np.column_stack([_next(column, errors, rng) for column in codes.T])

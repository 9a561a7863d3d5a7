"""People with two attachment dimensions, measured twice: does earned security, less what error alone gives, find the true change?

Vocabulary
----------
chosen   how people came into the study: ``all`` of a population; ``observed`` (screened: insecure by their observed score);
         ``true`` (a population of its own, whose true scores are higher); ``true cut`` (truly insecure, nobody else)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from attachment_outcomes.change.security.expectation import Reference
from attachment_outcomes.change.security.shares import COMPLETE, CROSSING, RELIABLE, earned_security
from attachment_outcomes.inference.estimate import Estimate
from attachment_outcomes.inference.half_planes import inside, quadrant, region_probability
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
MEAN, CUT = 3.5, 4.0  # of the reference population; where both dimensions are cut
CORRELATION = 0.3  # of the two dimensions' true scores
HIGHER = 0.5  # how much higher both dimensions are where people are a population of their own
NODES, REACH = 121, 6.0  # of the grid of true scores that the truth is summed over, in SDs
REGION = quadrant(CUT, CUT)
TRIES = 4  # people drawn for each one wanted where some are not chosen: about half are


class People(NamedTuple):
    """What is seen: scores at baseline and at the end (NaN where lost), therapists, and the reliability that is given."""

    before: Numbers
    after: Numbers
    therapist: NDArray[np.int64]
    reliability: float


def security(
    rng: np.random.Generator, *, people: int, reliability: float, chosen: str, change: float, lost: float, between: float,
    per_therapist: int,
) -> Sample:  # fmt: skip
    r"""People of therapists, whose scores have variance 1 in the reference population and do, or do not, truly fall by ``change``.

    .. math:: x_1 = \tau + e_1, \quad x_2 = \tau - change + e_2, \quad Var(\tau) = r, \quad Var(e) = 1 - r

    ``between`` is the share of the true scores' variance that lies between therapists (their clients start alike). Drop-out: a
    person is seen at the end with probability ``expit(1 + lost * (x_1 - 4))``, x the baseline anxiety; with ``lost`` 0 all are
    seen. Targets: ``crossing``, the share of the insecure who would be secure at the end if all were seen; ``excess``, that less
    what it would be without change; and without change ``excess, reliable``, 0, that of crossing with reliable change.
    """
    groups = int(np.ceil(people / per_therapist))
    mean = MEAN + (HIGHER if chosen == "true" else 0.0)
    root = np.linalg.cholesky(reliability * np.array([[1.0, CORRELATION], [CORRELATION, 1.0]]))
    many = people if chosen in ("all", "true") else people * TRIES
    therapist = np.arange(many) % groups
    own = normals(rng, groups, 2)[therapist] * np.sqrt(between) + normals(rng, many, 2) * np.sqrt(1 - between)
    true = mean + own @ root.T
    first, second = (np.sqrt(1 - reliability) * normals(rng, many, 2) for _ in range(2))
    before = true + first
    kept = np.arange(many)
    if many > people:
        kept = np.flatnonzero(~inside(before if chosen == "observed" else true, REGION))[:people]
    true, before, therapist = true[kept], before[kept], therapist[kept]
    after = true - change + second[kept]
    if lost:
        after[rng.random(len(kept)) >= expit(1 + lost * (before[:, 0] - CUT))] = np.nan
    with_change, without = (_truth(reliability, chosen, shift) for shift in (change, 0.0))
    truth = {"crossing": with_change, "excess": with_change - without}
    if change == 0:
        truth["excess, reliable"] = 0.0
    return Sample(People(before, after, therapist, reliability), truth)


_TRUTHS: dict[tuple[float, str, float], float] = {}


def _truth(reliability: float, chosen: str, change: float) -> float:
    """Return the share of those insecure at baseline who are secure at the end, summed over a fine grid of true scores."""
    key = (reliability, chosen, change)
    if key not in _TRUTHS:
        mean = MEAN + (HIGHER if chosen == "true" else 0.0)
        sd = np.sqrt(reliability)
        # The grid's lines lie around the cut, so that "truly insecure" is cut between points and not through them.
        step = 2 * REACH * sd / NODES
        axis = CUT + step * (np.arange(-NODES, NODES) + 0.5)
        points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        covariance = reliability * np.array([[1.0, CORRELATION], [CORRELATION, 1.0]])
        off = points - mean
        weight = np.exp(-0.5 * np.einsum("ij,jk,ik->i", off, np.linalg.inv(covariance), off))
        if chosen == "true cut":
            weight = weight * ~inside(points, REGION)
        error = (1 - reliability) * np.eye(2)
        insecure = 1 - region_probability(points, error, REGION)
        secure_later = region_probability(points - change, error, REGION)
        _TRUTHS[key] = float((weight * insecure * secure_later).sum() / (weight * insecure).sum())
    return _TRUTHS[key]


def _classes(x: Numbers) -> NDArray[np.object_]:
    found = np.where(inside(np.nan_to_num(x, nan=0.0), REGION), "secure", "insecure").astype(object)
    found[np.isnan(x).any(axis=1)] = None
    return found


def excess(data: People, *, population: str, dropout: str = COMPLETE) -> Iterator[Finding]:
    """Estimate crossing and its excess with the sample's ``own`` moments or those of the ``reference`` population."""
    rows = earned_security(**_given(data, population), definition=CROSSING, dropout=dropout)
    yield from _findings(rows, {"excess": "excess", "earned_security": "crossing"})


def strict(data: People, *, population: str) -> Iterator[Finding]:
    """Estimate the excess of crossing with reliable change."""
    rows = earned_security(**_given(data, population), end_scores=data.after, definition=RELIABLE)
    yield from _findings(rows, {"excess": "excess, reliable"})


def naive(data: People) -> Iterator[Finding]:
    """Take the share that crossed for the share that changed."""
    rows = earned_security(_classes(data.before), _classes(data.after), clusters=data.therapist)
    yield from _findings(rows, {"earned_security": "excess"})


def _given(data: People, population: str) -> dict[str, Any]:
    reference = None
    if population == "reference":
        both = data.reliability * CORRELATION
        reference = Reference(mean=(MEAN, MEAN), covariance=[[1.0, both], [both, 1.0]])
    return {
        "baseline": _classes(data.before), "end": _classes(data.after), "scores": data.before, "region": REGION,
        "reliability": (data.reliability, data.reliability), "clusters": data.therapist, "reference": reference,
    }  # fmt: skip


def _findings(rows: list[Estimate], targets: dict[str, str]) -> Iterator[Finding]:
    for row in rows:
        if row.estimand in targets:
            yield Finding(targets[row.estimand], row.estimate, row.std_error, row.ci_low, row.ci_high, row.p_value)

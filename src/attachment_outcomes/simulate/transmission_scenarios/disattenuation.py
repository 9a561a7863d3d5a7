"""Scores of parents and children measured with error: is the correlation behind them found?

Vocabulary
----------
people   those measured twice, from whom the reliability is estimated; 0: it is known
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from attachment_outcomes.inference.correlation import pearson
from attachment_outcomes.inference.disattenuation import disattenuated
from attachment_outcomes.simulate.draws import Floats, correlated, normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

TARGET = "correlation"
LEAST = 0.05  # a retest correlation below it is no reliability


class Scores(NamedTuple):
    """Scores of the pairs, their families, the two reliabilities, and from how many people these are."""

    parent: Floats
    child: Floats
    families: Floats
    reliabilities: tuple[float, float]
    people: int | None


def measured(
    rng: np.random.Generator, *, families: int, correlation: float, reliability: float, people: int, siblings: int
) -> Sample:
    r"""Scores with error of parents and of ``siblings`` children each.

    .. math:: y_c = \rho x + \sqrt{1 - \rho^2}\,(\sqrt{.3}\,f + \sqrt{.7}\,e_c)

    Children of a family share f; what is seen is :math:`\sqrt{r_{xx}}` times the true score plus error. Target: ``correlation``.
    """
    x = normals(rng, families)
    shared = normals(rng, families)
    own = np.sqrt(0.3) * shared[:, None] + np.sqrt(0.7) * normals(rng, families, siblings)
    y = correlation * x[:, None] + np.sqrt(1 - correlation**2) * own
    seen_x = correlated(x, math.sqrt(reliability), normals(rng, families))
    seen_y = correlated(y, math.sqrt(reliability), normals(rng, families, siblings))
    reliabilities = (reliability, reliability)
    if people:
        twice = [_retest(rng, reliability, people) for _ in range(2)]
        reliabilities = (twice[0], twice[1])
    family = np.repeat(np.arange(families), siblings).astype(float)
    data = Scores(np.repeat(seen_x, siblings), seen_y.ravel(), family, reliabilities, people or None)
    return Sample(data, {TARGET: correlation})


def _retest(rng: np.random.Generator, reliability: float, people: int) -> float:
    true = normals(rng, people)
    first, second = (correlated(true, math.sqrt(reliability), normals(rng, people)) for _ in range(2))
    return max(float(np.corrcoef(first, second)[0, 1]), LEAST)


def corrected(data: Scores, *, seed: int) -> Iterator[Finding]:
    """Correct the correlation, with the uncertainty of the reliabilities."""
    found = pearson(data.parent, data.child, clusters=data.families.tolist())
    after = disattenuated(
        found.r, found.std_error, (found.ci_low, found.ci_high), reliabilities=data.reliabilities,
        n=(data.people, data.people), rng=np.random.default_rng(seed),
    )  # fmt: skip
    yield Finding(TARGET, after.estimate, after.std_error, after.ci_low, after.ci_high, found.p_value)


def as_seen(data: Scores) -> Iterator[Finding]:
    """Take the correlation as it is."""
    found = pearson(data.parent, data.child, clusters=data.families.tolist())
    yield Finding(TARGET, found.r, found.std_error * (1 - found.r**2), found.ci_low, found.ci_high, found.p_value)


def as_if_known(data: Scores) -> Iterator[Finding]:
    """Correct the correlation as if the reliabilities were known."""
    found = pearson(data.parent, data.child, clusters=data.families.tolist())
    after = disattenuated(
        found.r, found.std_error, (found.ci_low, found.ci_high), reliabilities=data.reliabilities, rng=np.random.default_rng(0)
    )
    yield Finding(TARGET, after.estimate, after.std_error, after.ci_low, after.ci_high, found.p_value)

r"""Families in which the part of transmission that runs through mediators is known: is it found, with what kinds of error?

.. math::

    m_j = a z_x + e_j, \qquad y^* = c z_x + b(m_1 + m_2) + u, \qquad y = [y^* > 0]

with x the parent's security (a class) and :math:`z_x` the same standardised. The first mediator belongs to the parent and is the
same for siblings, the second is about each child; siblings also share part of u. Correlations with y have a closed form, since e
and u are normal given x, and the true paths follow from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from attachment_outcomes.inference.estimate import Estimate
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample
from attachment_outcomes.transmission.gap.correlations import full
from attachment_outcomes.transmission.gap.estimation import transmission_gap
from attachment_outcomes.transmission.gap.natural import natural_effects
from attachment_outcomes.transmission.gap.paths import PARALLEL, Model

Numbers = NDArray[np.float64]

SECURE_PARENTS = 0.55
TO_MEDIATOR, TO_CHILD, DIRECT = 0.4, 0.35, 0.4
MEDIATORS_ALIKE = 0.3  # correlation of the mediators' errors
SIBLINGS_ALIKE = 0.4  # share of u that siblings have in common
ABOUT_EACH = 0.5  # share of the second mediator's error that differs between siblings
THRESHOLD = -0.2
MORE_THAN_FAMILIES = 1.25  # pairs a family
DIGITS = 12
SHARE_FROM = 200  # pairs; with fewer, the interval of the total often holds 0, and a share has none
FIRST, SECOND = "functioning", "sensitivity"
TARGETS = ("indirect", "indirect_total", "gap", "share_unexplained", "total")


class Families(NamedTuple):
    """Pairs: parent, mediators by name, child, and the family of each."""

    parent: Numbers
    mediators: dict[str, Numbers]
    child: Numbers
    family: npt.NDArray[np.int64]


class Measured(NamedTuple):
    """Pairs with one mediator as it was measured, what is known of its reliability, and the true rho."""

    parent: Numbers
    mediator: Numbers
    child: Numbers
    known: dict[str, float]
    estimated: dict[str, float]
    rho: float


def pairs(rng: np.random.Generator, *, pairs: int, paths: str) -> Sample:
    """Pairs of a parent and a child, some of them siblings; ``paths`` says which paths there are: none, a, b or both."""
    a = TO_MEDIATOR if paths in ("a", "both") else 0.0
    b = TO_CHILD if paths in ("b", "both") else 0.0
    families = round(pairs / MORE_THAN_FAMILIES)
    of = np.concatenate([np.arange(families), np.arange(pairs - families)])
    secure = (rng.random(families) < SECURE_PARENTS).astype(np.float64)
    z = (secure - SECURE_PARENTS) / np.sqrt(SECURE_PARENTS * (1 - SECURE_PARENTS))
    scale = np.sqrt(1 - a**2)
    e1 = normals(rng, families)
    shared, own = normals(rng, families), normals(rng, pairs)
    rest = np.sqrt(1 - ABOUT_EACH - MEDIATORS_ALIKE**2)
    m1 = (a * z + scale * e1)[of]
    m2 = a * z[of] + scale * (MEDIATORS_ALIKE * e1[of] + rest * shared[of] + np.sqrt(ABOUT_EACH) * own)
    u = np.sqrt(SIBLINGS_ALIKE) * normals(rng, families)[of] + np.sqrt(1 - SIBLINGS_ALIKE) * normals(rng, pairs)
    child = (DIRECT * z[of] + b * (m1 + m2) + u > THRESHOLD).astype(np.float64)
    model = Model((FIRST, SECOND))
    values = dict(zip(model.quantities, model.values(full(_true_correlations(a, b))), strict=True))
    truth = {
        q.estimand: round(float(v), DIGITS)  # so that what is 0 by construction is 0
        for q, v in values.items()
        if q.definition == PARALLEL and q.estimand in TARGETS and q.group in ("", FIRST)
    }
    return Sample(Families(secure[of], {FIRST: m1, SECOND: m2}, child, of), truth)


def _true_correlations(a: float, b: float) -> Numbers:
    """Return the correlations of parent, both mediators and child's class, above the diagonal."""
    share = np.array([1 - SECURE_PARENTS, SECURE_PARENTS])
    z = (np.array([0.0, 1.0]) - SECURE_PARENTS) / np.sqrt(share.prod())
    variance = 1 - a**2
    spread = np.sqrt(2 * b**2 * variance * (1 + MEDIATORS_ALIKE) + 1)
    at = ((DIRECT + 2 * a * b) * z - THRESHOLD) / spread
    chance = norm.cdf(at)
    with_mediator = a * z * chance + b * variance * (1 + MEDIATORS_ALIKE) / spread * norm.pdf(at)
    overall = float(share @ chance)
    sd = np.sqrt(overall * (1 - overall))
    xy, my = float(share @ (z * chance)) / sd, float(share @ with_mediator) / sd
    between = a**2 + variance * MEDIATORS_ALIKE
    return np.array([a, a, xy, between, my, my])


def estimated(data: Families, *, methods: list[str], replicates: int, draws: int, seed: int) -> Iterator[Finding]:
    """Estimate the gap with families drawn as a whole; methods by their names among the estimates."""
    yield from _findings(data, data.family, methods, replicates, draws, seed)


def as_if_independent(data: Families, *, methods: list[str], replicates: int, draws: int, seed: int) -> Iterator[Finding]:
    """Estimate it as if siblings were strangers."""
    yield from _findings(data, np.arange(len(data.family)), methods, replicates, draws, seed)


def _findings(
    data: Families, families: npt.NDArray[np.int64], methods: list[str], replicates: int, draws: int, seed: int
) -> Iterator[Finding]:
    rows = transmission_gap(
        data.parent, data.mediators, data.child, families=families, rng=np.random.default_rng(seed), replicates=replicates,
        draws=draws, sensitivity=False,
    ).estimates  # fmt: skip
    for row in rows:
        wanted = row.definition == PARALLEL and row.estimand in TARGETS and row.group in ("", FIRST)
        if row.estimand == "share_unexplained" and (len(families) < SHARE_FROM or np.isnan(row.ci_low)):
            continue
        if wanted and row.method in methods:
            yield _finding(row, row.method)


def measured(rng: np.random.Generator, *, pairs: int, trouble: str, reliability: float, rho: float, retested: int) -> Sample:
    r"""One mediator that is measured with error (``unreliable``), or shares an unmeasured cause with the child (``confounded``).

    All variables are normal; the truth is that of the mediator without error, and of paths without the common cause. Reliability is
    also estimated, from ``retested`` people measured twice.
    """
    share = reliability if trouble == "unreliable" else 1.0
    error = rho if trouble == "confounded" else 0.0
    x, e, own = normals(rng, pairs), normals(rng, pairs), normals(rng, pairs)
    m = TO_MEDIATOR * x + np.sqrt(1 - TO_MEDIATOR**2) * e
    u = error * e + np.sqrt(1 - error**2) * own
    y = DIRECT * x + TO_CHILD * m + u
    # variance of y: that of its part from x, of its part from e, and of the rest
    from_e = TO_CHILD * np.sqrt(1 - TO_MEDIATOR**2) + error
    sd = float(np.sqrt((DIRECT + TO_CHILD * TO_MEDIATOR) ** 2 + from_e**2 + 1 - error**2))
    noise = np.sqrt(1 / share - 1)
    observed = m + noise * normals(rng, pairs)
    true_score, first, second = normals(rng, 3, retested)
    retest = float(np.corrcoef(true_score + noise * first, true_score + noise * second)[0, 1]) if share < 1 else 1.0
    truth = {"indirect_total": TO_MEDIATOR * TO_CHILD / sd, "gap": DIRECT / sd}
    known, estimate = {"value": share}, {"value": min(max(retest, 0.05), 1.0), "n": retested}
    return Sample(Measured(x, observed, y, known, estimate, error), truth)


def chances(rng: np.random.Generator, *, pairs: int, through: float) -> Sample:
    """Pairs whose child is secure by a logistic model, so that the natural effects follow by quadrature."""
    families = round(pairs / MORE_THAN_FAMILIES)
    of = np.concatenate([np.arange(families), np.arange(pairs - families)])
    secure = (rng.random(families) < SECURE_PARENTS).astype(np.float64)[of]
    e1, shared, own = normals(rng, families)[of], normals(rng, families)[of], normals(rng, pairs)
    rest = np.sqrt(1 - ABOUT_EACH - MEDIATORS_ALIKE**2)
    m1 = 0.8 * secure + e1
    m2 = 0.5 * secure + MEDIATORS_ALIKE * e1 + rest * shared + np.sqrt(ABOUT_EACH) * own
    index = -0.8 + 0.8 * secure + through * (m1 + m2)
    child = (rng.random(pairs) < expit(index)).astype(np.float64)
    # The sum of the mediators' errors has this variance, whoever the parent is.
    sd = through * np.sqrt(2 + 2 * MEDIATORS_ALIKE)
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)

    def mean(at: float, mediators_at: float) -> float:
        level = -0.8 + 0.8 * at + through * 1.3 * mediators_at
        return float(expit(level + sd * nodes) @ weights / weights.sum())

    direct, both, neither = mean(1, 0), mean(1, 1), mean(0, 0)
    truth = {"total": both - neither, "indirect_total": both - direct, "gap": direct - neither}
    return Sample(Families(secure, {FIRST: m1, SECOND: m2}, child, of), truth)


def natural(data: Families, *, seed: int) -> Iterator[Finding]:
    """Estimate the natural effects, with families as clusters."""
    rows = natural_effects(
        data.parent, np.column_stack(list(data.mediators.values())), data.child, families=data.family, draws=1999,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    for row in rows:
        yield _finding(row)


def plain(data: Measured, *, replicates: int, seed: int) -> Iterator[Finding]:
    """Take the mediator as it was measured and nothing as unmeasured."""
    yield from _primary(data, replicates, seed)


def with_reliability(data: Measured, *, estimated: bool, replicates: int, seed: int) -> Iterator[Finding]:
    """Correct for the mediator's reliability, as it is or as it was estimated."""
    given = {"mediator": data.estimated if estimated else data.known}
    rows = transmission_gap(
        data.parent, {"mediator": data.mediator}, data.child, rng=np.random.default_rng(seed), replicates=replicates, draws=200,
        reliabilities=given, sensitivity=False,
    ).estimates  # fmt: skip
    for row in rows:
        # Where too many drawn correlations are impossible there is no interval: the method has then not answered.
        if row.definition.endswith("unreliability") and row.estimand in ("indirect_total", "gap") and not np.isnan(row.ci_low):
            yield _finding(row)


def at_rho(data: Measured, *, replicates: int, seed: int) -> Iterator[Finding]:
    """Read the indirect path off the curve over rho, where rho is what it truly is."""
    curve = transmission_gap(
        data.parent, {"mediator": data.mediator}, data.child, rng=np.random.default_rng(seed), replicates=replicates, draws=200
    ).sensitivity
    point = curve[(curve["kind"] == "confounding") & (curve["value"] == data.rho)].iloc[0]
    yield Finding("indirect_total", point["estimate"], ci_low=point["ci_low"], ci_high=point["ci_high"])


def _primary(data: Measured, replicates: int, seed: int) -> Iterator[Finding]:
    rows = transmission_gap(
        data.parent, {"mediator": data.mediator}, data.child, rng=np.random.default_rng(seed), replicates=replicates, draws=200,
        sensitivity=False,
    ).estimates  # fmt: skip
    for row in rows:
        if row.primary and row.estimand in ("indirect_total", "gap"):
            yield _finding(row)


def _finding(row: Estimate, method: str = "") -> Finding:
    return Finding(row.estimand, row.estimate, row.std_error, row.ci_low, row.ci_high, row.p_value, method=method)

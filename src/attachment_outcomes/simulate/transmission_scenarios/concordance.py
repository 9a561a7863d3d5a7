"""Class tables whose association is known: of independent pairs, of families, and of log-linear models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from attachment_outcomes.inference import agreement, association, contingency, two_by_two
from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.loglinear import loglinear
from attachment_outcomes.inference.robust_logistic import logistic_fit
from attachment_outcomes.simulate.draws import normals, pick
from attachment_outcomes.simulate.recovery.study import Finding, Sample
from attachment_outcomes.simulate.rupture_scenarios.agreement import both_above

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]

REPORTED, LARGE_SAMPLE, ALONE = "as reported", "large-sample", "pairs independent"
# Shares of the parents' and of the children's classes.
MARGINS: dict[str, tuple[list[float], list[float]]] = {
    "two": ([0.6, 0.4], [0.55, 0.45]),
    "two, rare": ([0.8, 0.2], [0.72, 0.28]),
    "four": ([0.23, 0.55, 0.10, 0.12], [0.15, 0.52, 0.10, 0.23]),
}


@cache
def cells_of(margins: str, kappa: float) -> Numbers:
    """Return the shares of a table with these margins and this kappa: independent but for a common factor on the diagonal."""
    rows, columns = (np.array(m) for m in MARGINS[margins])

    def fitted(log_factor: float) -> Numbers:
        p: Numbers = np.outer(rows, columns) * (1 + np.expm1(log_factor) * np.eye(len(rows)))
        for _ in range(500):
            p = p * (rows / p.sum(axis=1))[:, None]
            p = p * (columns / p.sum(axis=0))
        return p

    return fitted(float(brentq(lambda x: float(contingency.kappa(fitted(x))) - kappa, -1, 12)))


def drawn(rng: np.random.Generator, shares: Numbers, n: int) -> Whole:
    """Draw a table of n pairs."""
    cells = pick(rng.random(n), shares.ravel())
    return np.bincount(cells, minlength=shares.size).reshape(shares.shape)


def truth_of(shares: Numbers) -> dict[str, float]:
    """Return what is true of a table of shares, by target."""
    square = float(contingency.phi_square(shares))
    out = {
        "agreement": float(contingency.agreement(shares)),
        "kappa": float(contingency.kappa(shares)),
        "cramers_v": math.sqrt(square / (len(shares) - 1)) if square > 1e-12 else 0.0,
        "uncertainty": max(float(contingency.uncertainty(shares)), 0.0) if square > 1e-12 else 0.0,
        "row_share": float(shares[0, 0] / shares[0].sum()),
    }
    if len(shares) == 2:
        turned = shares[::-1, ::-1]
        out |= {
            "phi": float(contingency.phi(shares)),
            "odds_ratio": float(contingency.log_odds_ratio(turned)),
            "risk_ratio": float(contingency.log_risk_ratio(turned)),
            "risk_difference": float(contingency.risk_difference(turned)),
        }
    return out


def pairs_of_classes(rng: np.random.Generator, *, classes: str, pairs: int, kappa: float) -> Sample:
    """Draw a table of independent pairs with unequal margins (``MARGINS``); ratios are told as logarithms."""
    shares = cells_of(classes, kappa)
    return Sample(drawn(rng, shares, pairs), truth_of(shares))


def families(rng: np.random.Generator, *, families: int, correlation: float) -> Sample:
    r"""Draw families of two parents and one to three children, each pair secure or insecure.

    .. math::

        \mathrm{Cor}(z_m, z_f) = .3, \quad z_c = \lambda(z_m + z_f) + \sqrt{1 - 2.6\lambda^2}\,(\sqrt{.4}\,u + \sqrt{.6}\,e_c)

    with λ such that a child's z correlates with either parent's by ``correlation``; u is the siblings'. Parents are insecure above
    the upper 45 %, children above the upper 40 %. Every pair has the same joint distribution, whose truth is told.
    """
    cuts = [float(-ndtri(x)) for x in (0.45, 0.40)]
    weight = correlation / 1.3
    own, shared = normals(rng, families, 2), normals(rng, families)
    parents = np.column_stack([own[:, 0], 0.3 * own[:, 0] + math.sqrt(0.91) * own[:, 1]])
    count = 1 + np.floor(3 * rng.random(families)).astype(np.int64)
    noise = normals(rng, families, 3)
    left = math.sqrt(1 - 2.6 * weight**2)
    child = weight * parents.sum(axis=1)[:, None] + left * (math.sqrt(0.4) * shared[:, None] + math.sqrt(0.6) * noise)
    there = np.arange(3) < count[:, None]
    tables = np.zeros((families, 2, 2), dtype=np.int64)
    for parent in range(2):
        row = (parents[:, parent] > cuts[0]).astype(np.int64)
        for c in range(3):
            column = (child[:, c] > cuts[1]).astype(np.int64)
            np.add.at(tables, (np.arange(families)[there[:, c]], row[there[:, c]], column[there[:, c]]), 1)
    both = both_above(cuts[0], cuts[1], correlation)
    shares = np.array([[1 - 0.45 - 0.40 + both, 0.40 - both], [0.45 - both, both]])
    return Sample(tables, truth_of(shares) | {"logistic": truth_of(shares)["odds_ratio"]})


def _logarithm(found: Interval) -> Interval:
    value, low, high = (
        math.log(x) if x > 0 else (-math.inf if x == 0 else x) for x in (found.estimate, found.ci_low, found.ci_high)
    )
    return Interval(value, found.std_error, low, high)


def associations(data: Whole, *, methods: Sequence[str]) -> Iterator[Finding]:
    """Estimate every association of a table, or of one a family, by each of several methods."""
    whole = data if data.ndim == 2 else data.sum(axis=0)
    for method in methods:
        found = _large_sample(whole) if method == LARGE_SAMPLE else _reported(whole if method == ALONE else data)
        for target, (function, argument) in found.items():
            if target == "logistic" and method != REPORTED:
                continue
            one = function(argument)
            if not math.isnan(one.ci_low):  # else not defined in this table: a class that nobody has
                yield Finding(target, one.estimate, one.std_error, one.ci_low, one.ci_high, method=method)


def _reported(tables: Whole) -> dict[str, tuple[Callable[[Any], Interval], Any]]:
    units = association.as_units(tables)
    k = units.whole.shape[0]
    first = np.arange(k * k).reshape(k, k)
    out: dict[str, tuple[Callable[[Any], Interval], Any]] = {
        "agreement": (lambda u: association.share(u, having=np.eye(k, dtype=bool)), units),
        "kappa": (association.kappa_interval, units),
        "cramers_v": (association.cramers_v, units),
        "uncertainty": (association.uncertainty_coefficient, units),
        "row_share": (lambda u: association.share(u, having=first == 0, among=first < k), units),
    }
    if k == 2:
        turned = association.Units(units.whole[::-1, ::-1], units.tables[:, ::-1, ::-1], units.times, units.clustered)
        out |= {
            "phi": (association.phi_interval, units),
            "odds_ratio": (lambda u: _logarithm(association.odds_ratio(u)), turned),
            "risk_ratio": (lambda u: _logarithm(association.risk_ratio(u)), turned),
            "risk_difference": (association.risk_difference, turned),
        }
    if units.clustered:
        out["logistic"] = (_logistic, tables)
    return out


def _large_sample(whole: Whole) -> dict[str, tuple[Callable[[Any], Interval], Any]]:
    def kappa(table: Whole) -> Interval:
        k = agreement.kappa(table)
        return Interval(k.kappa, k.std_error, k.ci_low, k.ci_high)

    out: dict[str, tuple[Callable[[Any], Interval], Any]] = {"kappa": (kappa, whole)}
    if len(whole) == 2:
        out |= {
            "phi": (two_by_two.phi, whole),
            "risk_ratio": (lambda t: _logarithm(two_by_two.risk_ratio(t)), whole[::-1, ::-1]),
        }
    return out


def _logistic(tables: Whole) -> Interval:
    """Return the log odds of a logistic regression with CR2 errors."""
    family, parent, child = (np.repeat(x, tables[np.nonzero(tables)]) for x in np.nonzero(tables))
    design = np.column_stack([np.ones(len(parent)), parent.astype(np.float64)])
    fit = logistic_fit(design, child.astype(np.float64), np.unique(family, return_inverse=True)[1])
    value = float(fit.coefficients[1])
    if fit.penalised:
        return Interval(math.nan, math.nan, math.nan, math.nan)
    error, df = fit.error(np.array([0.0, 1.0]))
    half = association.t_quantile(df, 0.95) * error
    return Interval(value, error, value - half, value + half)


def modelled(rng: np.random.Generator, *, model: str, pairs: int, classes: int) -> Sample:
    """Draw a table of pairs from a log-linear model of three or four classes; the target is its lack of fit, which is 0."""
    rows = np.array([0.25, 0.5, 0.25] if classes == 3 else [0.23, 0.5, 0.1, 0.17])
    columns = np.roll(rows, 1)
    distance = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes)))
    shares = {
        "independence": np.outer(rows, columns),
        "quasi-independence": np.outer(rows, columns) * (1 + 2 * np.eye(classes)),
        "symmetry": np.outer(rows, rows) * np.exp(-0.6 * distance),
        "quasi-symmetry": np.outer(rows, columns) * np.exp(-0.6 * distance),
    }[model]
    return Sample((model, drawn(rng, shares / shares.sum(), pairs)), {"lack_of_fit": 0.0})


def lack_of_fit(data: tuple[str, Whole], *, simulated: bool, seed: int = 0) -> Iterator[Finding]:
    """Test the model that holds, by chi-square alone or with simulation where the table is sparse."""
    model, table = data
    found = loglinear(table, model, rng=np.random.default_rng(seed) if simulated else None)
    yield Finding("lack_of_fit", found.x2 - found.df, p_value=found.p_value)

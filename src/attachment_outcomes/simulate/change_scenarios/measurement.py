"""Items answered at two occasions, of known reliability, meaning and change; and what the measurement estimators say of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import linregress

from attachment_outcomes.change.latent_change import latent_change
from attachment_outcomes.measures.invariance import SCALAR, invariance
from attachment_outcomes.measures.omega import omega_total
from attachment_outcomes.measures.reliability import cronbach_alpha
from attachment_outcomes.measures.stability import retest
from attachment_outcomes.simulate.draws import SMALLEST, normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
LATENT, BY_THERAPIST, OBSERVED = "latent", "latent by therapist", "observed"


def _errors(rng: np.random.Generator, shape: str, *size: int) -> Numbers:
    """Return numbers of mean 0 and variance 1: normal, or with the skewness 2 of waiting times."""
    if shape == "normal":
        return normals(rng, *size)
    return np.asarray(-np.log(np.maximum(rng.random(size), SMALLEST)) - 1, dtype=np.float64)


def reanswered(
    rng: np.random.Generator, *, people: int, items: int, weakest: float, strongest: float, uniqueness: float, shared: float,
    change: float, shift: float, shape: str,
) -> Sample:  # fmt: skip
    r"""Answers to items at two occasions, of which the first may be asked of the same people twice with nothing changed.

    .. math:: y_{ti} = \lambda_i\eta_t + u_i + e_{ti}, \quad \eta_2 = 0.7\eta_1 + c + \dots, \quad
       \mathrm{var}(u_i) = s\theta, \ \mathrm{var}(e_{ti}) = (1-s)\theta

    with factors of variance 1, loadings from ``weakest`` to ``strongest``, and unique parts drawn normal or with a skewness of 2
    (``shape``). From the first to the second occasion the first item's intercept moves by ``shift``: a change of meaning. The data
    are the answers at both occasions and a retest of the first, with new errors and an unchanged factor. Targets: ``alpha`` and
    ``omega`` of the first occasion, ``icc`` of the mean of the items in the retest, and ``called`` whether the scalar model is
    wrong (0 or 1).
    """
    loadings = np.linspace(weakest, strongest, items)
    factor = _errors(rng, shape, people)
    later = 0.7 * factor + change + math.sqrt(1 - 0.49) * normals(rng, people)
    own = math.sqrt(shared * uniqueness) * normals(rng, people, items)
    sd = math.sqrt((1 - shared) * uniqueness)
    first, second = (f[:, None] * loadings + own + sd * _errors(rng, shape, people, items) for f in (factor, later))
    second[:, 0] += shift
    fresh = factor[:, None] * loadings + math.sqrt(uniqueness) * normals(rng, 2, people, items)
    common, rest = float(loadings.sum()) ** 2, items * uniqueness
    total = common + rest
    alpha = items / (items - 1) * (1 - (float((loadings**2).sum()) + rest) / total)
    truth = {"alpha": alpha, "omega": common / total, "icc": common / total, "called": float(shift != 0)}
    return Sample((first, second, fresh.mean(axis=2)), truth)


def reliabilities(data: tuple[Numbers, Numbers, Numbers]) -> Iterator[Finding]:
    """Tell alpha and omega of the first occasion, and the retest's ICC."""
    first, _, again = data
    alpha, omega = cronbach_alpha(first), omega_total(first)
    yield Finding("alpha", alpha.alpha, ci_low=alpha.ci_low, ci_high=alpha.ci_high)
    yield Finding("omega", omega.omega, omega.std_error, omega.ci_low, omega.ci_high)
    icc = retest(again[0], again[1]).icc["ICC(A,1)"]
    yield Finding("icc", icc.icc, ci_low=icc.ci_low, ci_high=icc.ci_high)


def meaning(data: tuple[Numbers, Numbers, Numbers]) -> Iterator[Finding]:
    """Tell whether the rule calls equal intercepts wrong (1) or not (0), with the test of chi-square for it."""
    first, second, _ = data
    scalar = next(level for level in invariance(first, second).levels if level.name == SCALAR)
    yield Finding("called", float(scalar.holds is not True), p_value=scalar.delta_p_value)


def treated(
    rng: np.random.Generator, *, people: int, therapists: int, items: int, weakest: float, strongest: float, uniqueness: float,
    shared: float, mean: float, slope: float, sd_rest: float, sd_therapist: float, dropout: float, steepness: float,
) -> Sample:  # fmt: skip
    r"""Answers to items before and after therapy, of clients whose latent change depends on their baseline and their therapist.

    .. math:: \Delta = m + b\eta + t_j + r, \quad y_{1i} = \lambda_i\eta + u_i + e_{1i}, \quad
       y_{2i} = \lambda_i(\eta + \Delta) + u_i + e_{2i}

    A client has no second wave with probability ``expit(dropout + steepness z)``, z the first wave's mean answer in SDs: at random
    given what was seen. The data are both waves and the therapists. Targets, in points of the mean of the items: ``mean`` and
    ``sd`` of change, ``slope`` on the baseline, and ``reliability`` of observed change.
    """
    loadings = np.linspace(weakest, strongest, items)
    therapist = np.arange(people) % therapists
    factor = normals(rng, people)
    delta = mean + slope * factor + sd_therapist * normals(rng, therapists)[therapist] + sd_rest * normals(rng, people)
    own = math.sqrt(shared * uniqueness) * normals(rng, people, items)
    sd = math.sqrt((1 - shared) * uniqueness)
    first, second = (f[:, None] * loadings + own + sd * normals(rng, people, items) for f in (factor, factor + delta))
    score = first.mean(axis=1)
    worth = float(loadings.mean())
    z = score / math.sqrt(worth**2 + uniqueness / items)
    second[rng.random(people) < expit(dropout + steepness * z)] = np.nan
    variance = slope**2 + sd_therapist**2 + sd_rest**2
    error = 2 * (1 - shared) * uniqueness / items
    true = worth**2 * variance
    truth = {"mean": worth * mean, "sd": math.sqrt(true), "slope": slope, "reliability": true / (true + error)}
    return Sample((first, second, therapist), truth)


def changed(data: tuple[Numbers, Numbers, NDArray[np.int64]], *, methods: Sequence[str]) -> Iterator[Finding]:
    """Estimate latent change as if people were independent, or by therapist; and change of observed scores of complete pairs."""
    first, second, therapist = data
    for method in methods:
        if method == OBSERVED:
            yield from _observed(first, second)
            continue
        found = latent_change(first, second, clusters=therapist.tolist() if method == BY_THERAPIST else None)
        for target in ("mean", "sd", "slope", "reliability"):
            one = getattr(found, target)
            yield Finding(target, one.estimate, one.std_error, one.ci_low, one.ci_high, method=method)


def _observed(first: Numbers, second: Numbers) -> Iterator[Finding]:
    before, change = first.mean(axis=1), (second - first).mean(axis=1)
    seen = ~np.isnan(change)
    before, change = before[seen], change[seen]
    error = float(change.std(ddof=1)) / math.sqrt(len(change))
    yield Finding("mean", float(change.mean()), error, method=OBSERVED)
    yield Finding("sd", float(change.std(ddof=1)), method=OBSERVED)
    line = linregress(before, change)
    yield Finding("slope", float(line.slope), float(line.stderr), method=OBSERVED)

"""The library's estimators as recovery studies call them: from a scenario's data to findings by target."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from attachment_outcomes.inference.correlation import pearson
from attachment_outcomes.inference.logistic_mixed.fit import logistic_mixed_model
from attachment_outcomes.inference.mixed.model import MixedFit, coefficients, mixed_model
from attachment_outcomes.inference.mixed.reading import moments_of
from attachment_outcomes.inference.pooling.random_effects import pool
from attachment_outcomes.inference.pooling.tau2 import Method
from attachment_outcomes.inference.proportions import proportion, robust_variance
from attachment_outcomes.inference.resampling import cluster_bootstrap
from attachment_outcomes.simulate.recovery.study import Finding

Numbers = NDArray[np.float64]
Interval = Literal["percentile", "basic", "BCa", "studentised"]
REML = "REML"
COLUMNS = ["estimate", "std_error", "ci_low", "ci_high", "p_value"]


def pooled_means(data: tuple[Numbers, Numbers], *, method: Method, interval: Literal["z", "hartung-knapp"]) -> Iterator[Finding]:
    """Pool the related and the unrelated effects of :func:`~attachment_outcomes.simulate.scenarios.pooled_samples`."""
    effects, variances = data
    for column, target in enumerate(("related", "unrelated")):
        found = pool(effects[:, column], variances, method=method, interval=interval)
        converged = "did not converge" not in found.note
        yield Finding(
            target, found.estimate, found.std_error, found.ci_low, found.ci_high, found.p_value, converged, found.tau2 == 0
        )


def share(data: tuple[NDArray[np.bool_], NDArray[np.int64]], *, by_therapist: bool) -> Iterator[Finding]:
    """Estimate the share of events, with an interval that allows for therapists or one that takes clients as independent."""
    events, therapist = data
    found = proportion(events, clusters=therapist if by_therapist else None)
    yield Finding("share", found.estimate, found.std_error, found.ci_low, found.ci_high)


def mixed(
    data: pd.DataFrame,
    *,
    methods: Sequence[str],
    formula: str,
    groups: str | Sequence[str],
    slopes: Sequence[str] = (),
    fixed: Mapping[str, str] | None = None,
    variances: Mapping[str, str] | None = None,
    shares: Mapping[str, str] | None = None,
) -> Iterator[Finding]:
    """Fit a mixed model and tell its fixed effects by each of several methods.

    Parameters
    ----------
    data
        The observations.
    methods
        ``REML`` or ``ML``, a space, and ``normal`` (Wald z), ``Satterthwaite``, ``Kenward-Roger`` or ``CR2``. The data are read
        once, and fitted once by each likelihood.
    formula, groups, slopes
        As in :func:`~attachment_outcomes.inference.mixed.mixed_model`.
    fixed, variances, shares
        Term of the formula, name of a variance, and group whose share is wanted, each to the target it estimates. Variances
        and shares, which have no interval, are told by the first method of each likelihood only.
    """
    levels = groups if isinstance(groups, str) else tuple(groups)
    moments = moments_of(formula, data, groups=levels, slopes=slopes)
    fits: dict[str, MixedFit] = {}
    for method in methods:
        likelihood, _, interval = method.partition(" ")
        new = likelihood not in fits
        if new:
            fits[likelihood] = mixed_model(formula, moments, groups=levels, slopes=slopes, reml=likelihood == REML)
        fit = fits[likelihood]
        if fixed:
            table = _table(fit, interval)
            for term, numbers in zip(table["term"], table[COLUMNS].to_numpy(dtype=float), strict=True):
                if term in fixed:
                    estimate, std_error, low, high, p_value = map(float, numbers)
                    yield Finding(fixed[term], estimate, std_error, low, high, p_value, fit.converged, fit.singular, method)
        if new:
            told = {target: fit.variances[name] for name, target in (variances or {}).items()}
            told |= {target: fit.shares()[group] for group, target in (shares or {}).items()}
            for target, value in told.items():
                yield Finding(target, value, converged=fit.converged, singular=fit.singular, method=method)


def _table(fit: MixedFit, interval: str) -> pd.DataFrame:
    """Return the fixed effects with the standard errors, intervals and tests of a method."""
    if interval == "Kenward-Roger":
        return fit.kenward_roger()
    if interval == "CR2":
        return fit.robust()
    if interval == "Satterthwaite":
        return fit.estimates
    infinite = np.full(len(fit.estimates), np.inf)
    estimate, std_error = (fit.estimates[c].to_numpy(dtype=float) for c in ("estimate", "std_error"))
    return coefficients(estimate, std_error, infinite, list(fit.estimates["term"]), fit.ci_level)


def repair(data: pd.DataFrame, *, quadrature: int) -> Iterator[Finding]:
    """Fit a logistic mixed model to the ruptures of :func:`~attachment_outcomes.simulate.scenarios.repairs`."""
    fit = logistic_mixed_model(
        "repaired ~ tens + trained + office", data, groups=("person_id", "therapist_id"), quadrature=quadrature
    )
    targets = {"Intercept": "level", "tens": "week", "trained": "training", "office": "office"}
    for term, numbers in zip(fit.estimates["term"], fit.estimates[COLUMNS].to_numpy(dtype=float), strict=True):
        estimate, std_error, low, high, p_value = map(float, numbers)
        yield Finding(targets[str(term)], estimate, std_error, low, high, p_value, fit.converged, fit.singular)
    for name, target in (("intercept", "client sd"), ("therapist_id: intercept", "therapist sd")):
        yield Finding(target, math.sqrt(fit.variances[name]), converged=fit.converged, singular=fit.singular)


def resampled(
    data: tuple[Numbers, NDArray[np.int64]], *, methods: Sequence[Interval], replicates: int, seed: int
) -> Iterator[Finding]:
    """Bootstrap whole therapists for the mean and the correlation of a pair of scores, with intervals by several methods.

    ``methods`` are those of :meth:`~attachment_outcomes.inference.resampling.Replicates.interval`.
    """
    scores, therapist = data
    skewed, x, y = scores.T
    sums = np.column_stack([np.ones(len(x)), skewed, x, y, x * x, y * y, x * y])

    def statistic(s: Numbers) -> Numbers:
        n, *totals = s.T
        mean, mx, my, xx, yy, xy = (total / n for total in totals)
        return np.column_stack([mean, (xy - mx * my) / np.sqrt((xx - mx**2) * (yy - my**2))])

    found = cluster_bootstrap(statistic, sums, rng=np.random.default_rng(seed), clusters=therapist, replicates=replicates)
    for method in methods:
        for which, target in enumerate(("mean", "correlation")):
            one = found.interval(which, method=method)
            yield Finding(target, one.estimate, one.std_error, one.ci_low, one.ci_high, method=method)


def sandwich(data: tuple[Numbers, NDArray[np.int64]], *, by_therapist: bool) -> Iterator[Finding]:
    """Estimate the mean with a t interval of the (cluster-)robust error, and the correlation with Fisher's interval."""
    scores, therapist = data
    value = float(scores[:, 0].mean())
    variance, df = robust_variance(scores[:, 0] - value, therapist if by_therapist else None)
    half = float(student.ppf(0.975, df)) * math.sqrt(variance)
    yield Finding("mean", value, math.sqrt(variance), value - half, value + half)
    r = pearson(scores[:, 1], scores[:, 2], clusters=therapist.tolist() if by_therapist else None)
    yield Finding("correlation", r.r, ci_low=r.ci_low, ci_high=r.ci_high)

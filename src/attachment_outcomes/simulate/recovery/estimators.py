"""The library's estimators as recovery studies call them: from a scenario's data to findings by target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.inference.mixed.model import MixedFit, coefficients, mixed_model
from attachment_outcomes.inference.mixed.reading import moments_of
from attachment_outcomes.inference.pooling import pool
from attachment_outcomes.inference.proportions import proportion
from attachment_outcomes.simulate.recovery.study import Finding

Numbers = NDArray[np.float64]
REML = "REML"
COLUMNS = ["estimate", "std_error", "ci_low", "ci_high", "p_value"]


def pooled_means(
    data: tuple[Numbers, Numbers], *, method: Literal["REML", "DL", "EE"], interval: Literal["z", "hartung-knapp"]
) -> Iterator[Finding]:
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

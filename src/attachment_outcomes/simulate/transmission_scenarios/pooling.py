"""Samples whose effects are known, in clusters, as counts, with moderators, and with small ones left out: is pooling right?

Vocabulary
----------
overlap    correlation of the sampling errors of a cluster's samples, because the same people are in several
selection  published: samples with p < .05 in the expected direction always, others by chance
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binom, norm

from attachment_outcomes.inference.pooling.binomial import pool_proportions
from attachment_outcomes.inference.pooling.effects import logit_proportion
from attachment_outcomes.inference.pooling.moderators import meta_regression
from attachment_outcomes.inference.pooling.nested import pool_nested
from attachment_outcomes.inference.pooling.random_effects import pool
from attachment_outcomes.inference.pooling.small_studies import egger, rank_correlation, trim_and_fill
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]

BETWEEN, WITHIN, OVERLAP = 0.04, 0.02, 0.7  # variances of Fisher's z, and the correlation of sampling errors, where there are any
MOST_SAMPLES = 5  # of a cluster
SLOPE = 0.15  # difference in Fisher's z that a moderator makes
SD_LOGIT = 0.6
PUBLISHED = 0.2  # chance that a sample is published which shows nothing
CI_QUANTILE = float(norm.ppf(0.975))


class Nested(NamedTuple):
    """Effects, variances and clusters of samples."""

    effects: Numbers
    variances: Numbers
    clusters: Whole


def _sizes(rng: np.random.Generator, k: int, smallest: int, largest: int) -> Whole:
    """Return sizes between two, spread evenly on the logarithm, as those of samples are."""
    return np.floor(smallest * (largest / smallest) ** rng.random(k)).astype(np.int64)


def nested_samples(rng: np.random.Generator, *, clusters: int, differences: str, mean: float) -> Sample:
    r"""Make correlations (Fisher's z) of 1 to 5 samples of each cluster.

    .. math:: y_{gi} = \mu + b_g + u_{gi} + e_{gi}

    ``differences`` is none, between, within, both, or overlap (both, and sampling errors of a cluster correlated). Targets:
    ``mean``, ``between`` and ``within`` (variances).
    """
    of = np.repeat(np.arange(clusters), 1 + np.floor(MOST_SAMPLES * rng.random(clusters)).astype(np.int64))
    k = len(of)
    v = 1 / (_sizes(rng, k, 30, 200) - 3.0)
    between = BETWEEN if differences in ("between", "both", "overlap") else 0.0
    within = WITHIN if differences in ("within", "both", "overlap") else 0.0
    overlap = OVERLAP if differences == "overlap" else 0.0
    error = math.sqrt(overlap) * normals(rng, clusters)[of] + math.sqrt(1 - overlap) * normals(rng, k)
    y = mean + math.sqrt(between) * normals(rng, clusters)[of] + math.sqrt(within) * normals(rng, k) + np.sqrt(v) * error
    return Sample(Nested(y, v, of), {"mean": mean, "between": between, "within": within})


def three_levels(data: Nested, *, methods: Sequence[Literal["CR2", "t"]]) -> Iterator[Finding]:
    """Pool with both variances; the variances are told by the first method."""
    for method in methods:
        found = pool_nested(data.effects, data.variances, data.clusters, interval=method)
        yield Finding(
            "mean", found.estimate, found.std_error, found.ci_low, found.ci_high, converged=found.converged, method=method
        )
        if method == methods[0]:
            for target, value in (("between", found.tau2_between), ("within", found.tau2_within)):
                yield Finding(target, value, converged=found.converged, singular=value == 0, method=method)


def two_levels(data: Nested, *, by_cluster: bool) -> Iterator[Finding]:
    """Pool as if samples were unrelated, with a cluster-robust (CR1) or a Hartung–Knapp interval."""
    if by_cluster:
        found = pool(data.effects, data.variances, clusters=data.clusters)
    else:
        found = pool(data.effects, data.variances, interval="hartung-knapp")
    yield Finding("mean", found.estimate, found.std_error, found.ci_low, found.ci_high)


def counted_samples(rng: np.random.Generator, *, samples: int, share: float, sd: float, smallest: int, largest: int) -> Sample:
    r"""Count an event in samples whose log odds differ.

    .. math:: \operatorname{logit} p_i \sim N(\operatorname{logit} share, sd^2)

    Targets: ``log odds`` of the typical sample, and ``sd`` between samples.
    """
    n = _sizes(rng, samples, smallest, largest)
    p = expit(math.log(share / (1 - share)) + sd * normals(rng, samples))
    x = binom.ppf(np.clip(rng.random(samples), 1e-15, 1 - 1e-15), n, p)
    return Sample((x, n.astype(np.float64)), {"log odds": math.log(share / (1 - share)), "sd": sd})


def counts_pooled(data: tuple[Numbers, Numbers], *, methods: Sequence[Literal["t", "profile"]]) -> Iterator[Finding]:
    """Pool the counts by the binomial–normal model."""
    for method in methods:
        found = pool_proportions(*data, interval=method)
        yield Finding("log odds", found.estimate, found.std_error, found.ci_low, found.ci_high, method=method)
        if method == methods[0]:
            sd = math.sqrt(found.tau2)
            yield Finding(
                "sd", sd, math.nan, math.sqrt(found.tau2_low), math.sqrt(found.tau2_high), singular=sd == 0, method=method
            )


def logits_pooled(data: tuple[Numbers, Numbers]) -> Iterator[Finding]:
    """Pool log odds, 0.5 added to zero cells, with a Hartung–Knapp interval."""
    found = pool(*logit_proportion(*data), interval="hartung-knapp")
    yield Finding("log odds", found.estimate, found.std_error, found.ci_low, found.ci_high)
    limits = (math.sqrt(found.tau2_low), math.sqrt(found.tau2_high))
    yield Finding("sd", math.sqrt(found.tau2), math.nan, *limits, singular=found.tau2 == 0)


def moderated_samples(rng: np.random.Generator, *, samples: int, tau: float) -> Sample:
    r"""Make correlations (Fisher's z) of samples that differ by risk (a third are at risk), by age, and by chance.

    .. math:: y_i = 0.3 - 0.15\,risk_i + 0 \cdot age_i + u_i + e_i

    Targets: ``risk`` and ``age``, which makes no difference.
    """
    risk = np.arange(samples) % 3 == 0
    age = normals(rng, samples)
    v = 1 / (_sizes(rng, samples, 30, 200) - 3.0)
    y = 0.3 - SLOPE * risk + tau * normals(rng, samples) + np.sqrt(v) * normals(rng, samples)
    design = pd.DataFrame({"risk": risk.astype(np.float64), "age": age})
    return Sample((y, v, design), {"risk": -SLOPE, "age": 0.0})


def moderators(data: tuple[Numbers, Numbers, pd.DataFrame], *, interval: Literal["hartung-knapp", "z"]) -> Iterator[Finding]:
    """Regress the effects on both moderators."""
    found = meta_regression(*data, interval=interval)
    columns = ["estimate", "std_error", "ci_low", "ci_high", "p_value"]
    singular = found.tau2 == 0
    for term, numbers in zip(found.coefficients["term"], found.coefficients[columns].to_numpy(dtype=float), strict=True):
        if term != "Intercept":
            estimate, std_error, low, high, p_value = map(float, numbers)
            yield Finding(str(term), estimate, std_error, low, high, p_value, singular=singular)


class Funnel(NamedTuple):
    """Effects, variances and sizes of samples."""

    effects: Numbers
    variances: Numbers
    sizes: Numbers


def funnel(rng: np.random.Generator, *, samples: int, kind: str) -> Sample:
    """Make samples of 20 to 500 people in a funnel, which is symmetric in truth for all kinds but ``selected``.

    ``alike``: Fisher's z of .2, no differences. ``differing``: with an SD of .15 between samples. ``binary``: log odds of an event
    of 10 %, SD .3, whose errors depend on the effect. ``selected``: as alike, but samples that are not significant are published
    one time in five. Targets: ``slope`` (0 but for ``selected``, where no one number is true) and ``mean``.
    """
    if kind == "binary":
        n = _sizes(rng, samples, 20, 500)
        mean = math.log(0.1 / 0.9)
        p = expit(mean + 0.3 * normals(rng, samples))
        x = binom.ppf(np.clip(rng.random(samples), 1e-15, 1 - 1e-15), n, p)
        y, v = logit_proportion(x, n)
        return Sample(Funnel(y, v, n.astype(np.float64)), {"slope": 0.0, "mean": mean})
    mean, tau = 0.2, 0.15 if kind == "differing" else 0.0
    drawn = 12 * samples if kind == "selected" else samples
    n = _sizes(rng, drawn, 20, 500)
    v = 1 / (n - 3.0)
    y = mean + tau * normals(rng, drawn) + np.sqrt(v) * normals(rng, drawn)
    if kind == "selected":
        shown = (y / np.sqrt(v) > CI_QUANTILE) | (rng.random(drawn) < PUBLISHED)
        keep = np.flatnonzero(shown)[:samples]
        y, v, n = y[keep], v[keep], n[keep]
    # Selection turns the funnel by no one number: 1 stands for "there is a slope", so that rejecting counts as power.
    return Sample(Funnel(y, v, n.astype(np.float64)), {"slope": 1.0 if kind == "selected" else 0.0, "mean": mean})


def asymmetry(data: Funnel, *, methods: Sequence[str]) -> Iterator[Finding]:
    """Test for asymmetry by several tests."""
    y, v, n = data
    tests = {
        "egger": lambda: egger(y, v),
        "weighted": lambda: egger(y, v, model="weighted"),
        "size": lambda: egger(y, v, predictor=1 / np.sqrt(n)),
        "rank": lambda: rank_correlation(y, v),
    }
    for method in methods:
        found = tests[method]()
        yield Finding("slope", found.estimate, found.std_error, p_value=found.p_value, method=method)


def filled(data: Funnel, *, methods: Sequence[str]) -> Iterator[Finding]:
    """Pool as published, and with the samples that trim and fill adds."""
    y, v, _ = data
    for method in methods:
        found = pool(y, v) if method == "published" else trim_and_fill(y, v).pooled
        yield Finding("mean", found.estimate, found.std_error, found.ci_low, found.ci_high, method=method)

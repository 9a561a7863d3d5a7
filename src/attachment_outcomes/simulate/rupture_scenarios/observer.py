"""Sessions coded by several coders, of known agreement; and what the measures of agreement say of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from attachment_outcomes.measures.stability import intraclass_correlations
from attachment_outcomes.rupture.observer.reliability import ONE_WAY, coder_icc, coder_kappa
from attachment_outcomes.simulate.draws import SMALLEST, normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
CLUSTERED, INDEPENDENT = "clustered", "independent"


class Coded(NamedTuple):
    """Ratings of sessions by the same two coders, by pairs out of a pool, and what two coders saw in segments."""

    client: NDArray[np.int64]
    ratings: Numbers
    rotating: Numbers
    pair: NDArray[np.int64]
    seen: NDArray[np.bool_]


def _errors(rng: np.random.Generator, shape: str, *size: int) -> Numbers:
    """Return numbers of mean 0 and variance 1: normal, or with the skewness 2 of waiting times."""
    if shape == "normal":
        return normals(rng, *size)
    return np.asarray(-np.log(np.maximum(rng.random(size), SMALLEST)) - 1, dtype=np.float64)


def coded_sessions(
    rng: np.random.Generator, *, clients: int, sessions: int, segments: int, alike: float, shape: str, error: float, bias: float,
    pool: int, prevalence: float, sees: float, invents: float,
) -> Sample:  # fmt: skip
    r"""Sessions of clients that several coders rate, and segments in which two coders see something or not.

    .. math:: x_{gij} = \sqrt{a}\,u_g + \sqrt{1-a}\,s_{gi} + b_j + \epsilon e_{gij}

    with u, s and e of variance 1, normal or with a skewness of 2 (``shape``), and a (``alike``) the share of the sessions' variance
    that lies between clients. Two coders rate all sessions, with :math:`b = \pm` ``bias``; and pairs out of a ``pool`` rate them
    anew, each session by two at random, with b in equal steps from -bias to bias. In a segment something is there with a chance
    that is the same for all clients, or beta-distributed with an intraclass correlation of a/5; each coder sees it with ``sees``,
    and sees what is not there with ``invents``.

    Targets, of one coder: ``agreement`` :math:`1/(1 + 2b^2 + \epsilon^2)` with the variance of these two coders, ``consistency``
    :math:`1/(1 + \epsilon^2)`, ``one-way`` :math:`(1 - S^2/N)/(1 + \epsilon^2 + S^2(1 - 1/N))` with the variance :math:`S^2`
    (N - 1) of the pool of N; and ``kappa`` of the two coders.
    """
    client = np.repeat(np.arange(clients), sessions)
    n = len(client)
    level = math.sqrt(alike) * _errors(rng, shape, clients)[client] + math.sqrt(1 - alike) * _errors(rng, shape, n)
    ratings = level[:, None] + np.array([-bias, bias]) + error * _errors(rng, shape, n, 2)
    biases = np.linspace(-bias, bias, pool)
    pair = np.argsort(rng.random((n, pool)), axis=1, kind="stable")[:, :2]
    rotating = level[:, None] + biases[pair] + error * _errors(rng, shape, n, 2)
    chance = np.full(clients, prevalence)
    if alike > 0:
        concentration = 5 / alike - 1
        chance = betaincinv(prevalence * concentration, (1 - prevalence) * concentration, rng.random(clients))
    there = rng.random((n, segments)) < chance[client][:, None]
    seen = rng.random((n, segments, 2)) < np.where(there, sees, invents)[:, :, None]
    spread = float(biases.var(ddof=1))
    both, margin = (prevalence * sees**p + (1 - prevalence) * invents**p for p in (2, 1))
    agreed, by_chance = 1 - 2 * (margin - both), margin**2 + (1 - margin) ** 2
    truth = {
        "agreement": 1 / (1 + 2 * bias**2 + error**2),
        "consistency": 1 / (1 + error**2),
        "one-way": (1 - spread / pool) / (1 + error**2 + spread * (1 - 1 / pool)),
        "kappa": (agreed - by_chance) / (1 - by_chance),
    }
    return Sample(Coded(client, ratings, rotating, pair, seen), truth)


def coder_agreement(data: Coded, *, methods: Sequence[str]) -> Iterator[Finding]:
    """Tell ICC and kappa with intervals that allow for clients, or with those that take sessions and segments as independent."""
    n = len(data.client)
    target, two = np.repeat(np.arange(n), 2), np.tile([0, 1], n)
    segments = data.seen.shape[1]
    segment = np.repeat(np.arange(n * segments), 2)
    for method in methods:
        clustered = method == CLUSTERED
        if clustered:
            client = np.repeat(data.client, 2)
            found = coder_icc(data.ratings.ravel(), target, two, client)
            found |= coder_icc(data.rotating.ravel(), target, data.pair.ravel(), client)
            for name, icc in found.items():
                yield Finding(name, icc.single.estimate, ci_low=icc.single.ci_low, ci_high=icc.single.ci_high, method=method)
        else:
            for name, form, table in (("consistency", "C", data.ratings), (ONE_WAY, "1", data.rotating)):
                one = intraclass_correlations(table)[f"ICC({form},1)"]
                yield Finding(name, one.icc, ci_low=one.ci_low, ci_high=one.ci_high, method=method)
        of = np.repeat(data.client, 2 * segments) if clustered else segment
        kappa = coder_kappa(data.seen.ravel(), segment, np.tile([0, 1], n * segments), of).kappa
        if kappa is not None:
            yield Finding("kappa", kappa.estimate, kappa.std_error, kappa.ci_low, kappa.ci_high, method=method)

"""Data sets of known truth for recovery studies: one function a situation, from a generator and its parameters.

Every scenario draws uniform numbers only (see :mod:`attachment_outcomes.simulate.draws`), so that a seed gives the same data
on other systems, and returns the true value of each target beside the data.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import betaincinv, expit

from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Sample

Numbers = NDArray[np.float64]
LEAST_UNIFORM = 1e-12  # keeps quantiles off the ends of their range


def pooled_samples(rng: np.random.Generator, *, samples: int, tau: float, mean: float, smallest: int, largest: int) -> Sample:
    r"""Correlations of several samples on Fisher's z scale, one kind related on average by ``mean`` and one not related.

    .. math:: y_i \sim N(\mu + u_i, 1/(n_i - 3)), \quad u_i \sim N(0, \tau^2), \quad n_i \sim U(smallest, largest)

    The data are the effects (samples, 2) and their variances (samples,). Targets: ``related``, ``unrelated``.
    """
    n = np.floor(smallest + (largest + 1 - smallest) * rng.random(samples))
    variances = 1 / (n - 3)
    draws = normals(rng, 2, samples, 2)
    effects = np.array([mean, 0.0]) + tau * draws[0] + np.sqrt(variances)[:, None] * draws[1]
    return Sample((effects, variances), {"related": mean, "unrelated": 0.0})


def clustered_events(rng: np.random.Generator, *, therapists: int, icc: float, share: float, fewest: int, most: int) -> Sample:
    r"""Events (recovered or not) of the clients of therapists who differ in their rates.

    .. math:: p_j \sim Beta(a, b), \quad a/(a+b) = share, \quad 1/(a+b+1) = icc, \quad n_j \sim U(fewest, most)

    ``icc`` is the correlation of two clients of one therapist. The data are events and therapists. Target: ``share``.
    """
    n = np.floor(fewest + (most + 1 - fewest) * rng.random(therapists)).astype(np.int64)
    uniform = np.clip(rng.random(therapists), LEAST_UNIFORM, 1 - LEAST_UNIFORM)
    concentration = 1 / icc - 1 if icc > 0 else 0.0
    rates = betaincinv(share * concentration, (1 - share) * concentration, uniform) if icc > 0 else np.full(therapists, share)
    therapist = np.repeat(np.arange(therapists), n)
    events = rng.random(len(therapist)) < rates[therapist]
    return Sample((events, therapist), {"share": share})


def growth(
    rng: np.random.Generator,
    *,
    clients: int,
    waves: int,
    intercept: float,
    slope: float,
    sd_intercept: float,
    sd_slope: float,
    correlation: float,
    sd_residual: float,
    dropout: float,
    steepness: float,
) -> Sample:
    r"""Symptoms of clients over the waves, in two arms that do not differ, with drop-out that depends on the last score seen.

    .. math:: y_{it} = \beta_0 + u_{0i} + (\beta_1 + u_{1i})\, t + e_{it}, \quad t = 0, 1, \dots

    After each wave a client leaves with probability ``expit(dropout + steepness * z)``, z the score just seen in SDs of the
    first wave's scores around their mean: missing at random. Everybody has the first wave. Targets: the fixed effects
    ``intercept``, ``slope``, ``arm`` and ``slope by arm`` (the latter two 0), and the variances ``intercept variance``,
    ``slope variance``, ``covariance`` and ``residual variance``.
    """
    arm = np.arange(clients) % 2
    draws = normals(rng, 2, clients)
    u0 = sd_intercept * draws[0]
    u1 = sd_slope * (correlation * draws[0] + np.sqrt(1 - correlation**2) * draws[1])
    week = np.arange(waves, dtype=float)
    score = intercept + u0[:, None] + (slope + u1[:, None]) * week + sd_residual * normals(rng, clients, waves)
    z = (score - intercept) / np.hypot(sd_intercept, sd_residual)
    leaves = rng.random((clients, waves)) < expit(dropout + steepness * z)
    seen = np.cumsum(leaves, axis=1) - leaves == 0
    person, wave = np.nonzero(seen)
    data = pd.DataFrame({"person_id": person, "week": week[wave], "arm": arm[person].astype(float), "score": score[seen]})
    truth = {
        "intercept": intercept, "slope": slope, "arm": 0.0, "slope by arm": 0.0, "intercept variance": sd_intercept**2,
        "slope variance": sd_slope**2, "covariance": correlation * sd_intercept * sd_slope, "residual variance": sd_residual**2,
    }  # fmt: skip
    return Sample(data, truth)


def therapy(
    rng: np.random.Generator,
    *,
    therapists: int,
    therapist_share: float,
    client_share: float,
    variance: float,
    fewest: int,
    most: int,
    waves: int,
    intercept: float,
    slope: float,
    training: float,
    severity: float,
) -> Sample:
    r"""Scores of clients over the waves, clients within therapists, with predictors of both levels.

    .. math:: y_{jit} = \beta_0 + \beta_1 t + \beta_2\, trained_j + \beta_3\, office_j + \beta_4\, severity_{ji} + \beta_5\,
        noise_{ji} + w_j + u_{ji} + e_{jit}

    The variances of w, u and e are the shares ``therapist_share``, ``client_share`` and the rest of ``variance``. Two of five
    therapists are trained, every second has the better office (in an order of its own); severity and noise are standard
    normal. Targets: ``week``, ``training``, ``severity`` (the parameters), ``office`` and ``noise`` (0), ``therapist
    variance``, ``client variance``, ``residual variance`` and ``therapist share``.
    """
    per = np.floor(fewest + (most + 1 - fewest) * rng.random(therapists)).astype(np.int64)
    trained = (np.arange(therapists) % 5 < 2).astype(float)
    office = (np.argsort(rng.random(therapists), kind="stable") % 2).astype(float)
    therapist_of = np.repeat(np.arange(therapists), per)
    clients = len(therapist_of)
    of_client = normals(rng, 3, clients)
    residual_share = 1 - therapist_share - client_share
    level = (
        intercept
        + (training * trained + np.sqrt(therapist_share * variance) * normals(rng, therapists))[therapist_of]
        + severity * of_client[0]
        + np.sqrt(client_share * variance) * of_client[2]
    )
    week = np.arange(waves, dtype=float)
    score = level[:, None] + slope * week + np.sqrt(residual_share * variance) * normals(rng, clients, waves)
    client = np.repeat(np.arange(clients), waves)
    data = pd.DataFrame(
        {
            "person_id": client,
            "therapist_id": therapist_of[client],
            "week": np.tile(week, clients),
            "trained": trained[therapist_of][client],
            "office": office[therapist_of][client],
            "severity": of_client[0][client],
            "noise": of_client[1][client],
            "score": score.ravel(),
        }
    )
    truth = {
        "week": slope, "training": training, "severity": severity, "office": 0.0, "noise": 0.0,
        "therapist variance": therapist_share * variance, "client variance": client_share * variance,
        "residual variance": residual_share * variance, "therapist share": therapist_share,
    }  # fmt: skip
    return Sample(data, truth)


def repairs(
    rng: np.random.Generator,
    *,
    clients: int,
    per_therapist: int,
    fewest: int,
    most: int,
    level: float,
    week: float,
    trained: float,
    sd_client: float,
    sd_therapist: float,
) -> Sample:
    r"""Whether ruptures were repaired: several ruptures a client, clients of therapists, in log odds.

    .. math:: \mathrm{logit}\,P = \beta_0 + \beta_1 t/10 + \beta_2\,trained_j + \beta_3\,office_j + w_j + u_{ji}

    ``week`` is the coefficient of ten weeks; the weeks of a client's ruptures are drawn from 1 to 20. Two of five therapists are
    trained; ``office`` (every second, in an order of its own) does nothing. Targets: ``level``, ``week``, ``training``,
    ``office`` (0), ``client sd`` and ``therapist sd``.
    """
    therapists = clients // per_therapist
    therapist_of = np.arange(clients) % therapists
    trained_of = (np.arange(therapists) % 5 < 2).astype(float)
    office_of = (np.argsort(rng.random(therapists), kind="stable") % 2).astype(float)
    own = level + (trained * trained_of + sd_therapist * normals(rng, therapists))[therapist_of] + sd_client * normals(rng, clients)
    ruptures = np.floor(fewest + (most + 1 - fewest) * rng.random(clients)).astype(np.int64)
    client = np.repeat(np.arange(clients), ruptures)
    weeks = 1 + np.floor(20 * rng.random(len(client)))
    repaired = rng.random(len(client)) < expit(own[client] + week * weeks / 10)
    data = pd.DataFrame(
        {
            "person_id": client,
            "therapist_id": therapist_of[client],
            "tens": weeks / 10,
            "trained": trained_of[therapist_of][client],
            "office": office_of[therapist_of][client],
            "repaired": repaired.astype(float),
        }
    )
    truth = {
        "level": level, "week": week, "training": trained, "office": 0.0, "client sd": sd_client, "therapist sd": sd_therapist,
    }  # fmt: skip
    return Sample(data, truth)


def clustered_pairs(
    rng: np.random.Generator, *, therapists: int, icc: float, correlation: float, fewest: int, most: int, skew: float
) -> Sample:
    r"""Two scores of the clients of therapists, correlated alike between and within therapists; the first may be skewed.

    Standard normal scores of variance ``icc`` between therapists and 1 − ``icc`` within; the first is then
    :math:`(e^{sx} - 1)/s` with s ``skew`` (x itself where s is 0), so that its mean is not 0. The data are the two scores and
    the therapists. Targets: ``mean`` of the first, and ``correlation`` of the second with the normal score before the change.
    """
    n = np.floor(fewest + (most + 1 - fewest) * rng.random(therapists)).astype(np.int64)
    therapist = np.repeat(np.arange(therapists), n)
    between, within = normals(rng, 2, therapists), normals(rng, 2, len(therapist))
    own = np.sqrt(1 - correlation**2)
    first = np.sqrt(icc) * between[0][therapist] + np.sqrt(1 - icc) * within[0]
    other = np.sqrt(icc) * between[1][therapist] + np.sqrt(1 - icc) * within[1]
    skewed = np.expm1(skew * first) / skew if skew else first
    mean = (np.exp(skew**2 / 2) - 1) / skew if skew else 0.0
    data = (np.column_stack([skewed, first, correlation * first + own * other]), therapist)
    return Sample(data, {"mean": float(mean), "correlation": correlation})

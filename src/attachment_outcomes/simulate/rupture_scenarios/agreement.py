"""Two criteria (or raters) that agree as much as is known, and series in which nothing happens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import ndtr, ndtri

from attachment_outcomes.rupture.against_noise import above_noise
from attachment_outcomes.rupture.agreement import pair_agreement
from attachment_outcomes.rupture.criteria import as_criteria, detect
from attachment_outcomes.rupture.noise import found_on_noise
from attachment_outcomes.rupture.raters import Ratings, congruence, rater_difference
from attachment_outcomes.rupture.series import Series
from attachment_outcomes.rupture.summary import client_summary
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]
BY_PERSON, ALONE = "by person", "alone"


class Judged(NamedTuple):
    """What two raters feel of each session, what they call a rupture, and whose session it is."""

    first: Numbers
    second: Numbers
    one: NDArray[np.bool_]
    two: NDArray[np.bool_]
    person: Whole


def both_above(threshold: float, other: float, correlation: float) -> float:
    """Return the probability that two correlated standard normal numbers lie above their thresholds."""
    left = math.sqrt(1 - correlation**2)

    def given(z: float) -> float:
        return float(math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * ndtr((correlation * z - other) / left))

    return float(quad(given, threshold, 12, epsabs=1e-12, epsrel=1e-12)[0])


def two_raters(
    rng: np.random.Generator,
    *,
    clients: int,
    fewest: int,
    most: int,
    prevalence: float,
    second: float,
    correlation: float,
    icc: float,
) -> Sample:
    r"""Draw sessions that two raters judge, more alike within clients than between.

    .. math:: z_{rit} = \sqrt{icc}\,u_{ri} + \sqrt{1 - icc}\,e_{rit}, \quad \mathrm{Cor}(u_1, u_2) = \mathrm{Cor}(e_1, e_2) = \rho

    A rupture is z above the threshold that gives rater 1 the share ``prevalence``, rater 2 the share ``second``. Clients have
    ``fewest`` to ``most`` sessions. Targets: ``kappa``, from the probability that both lie above; ``difference`` of the shares;
    ``congruence``, the correlation within clients.
    """
    lengths = fewest + np.floor(rng.random(clients) * (most - fewest + 1)).astype(np.int64)
    person = np.repeat(np.arange(clients), lengths)
    mix = np.array([[1.0, 0.0], [correlation, math.sqrt(1 - correlation**2)]])
    level, noise = mix @ normals(rng, 2, clients), mix @ normals(rng, 2, len(person))
    z = math.sqrt(icc) * level[:, person] + math.sqrt(1 - icc) * noise
    limits = [float(-ndtri(prevalence)), float(-ndtri(second))]
    both = both_above(limits[0], limits[1], correlation)
    chance = prevalence * second + (1 - prevalence) * (1 - second)
    agreement = 1 - prevalence - second + 2 * both
    truth = {"kappa": (agreement - chance) / (1 - chance), "difference": second - prevalence, "congruence": correlation}
    return Sample(Judged(z[0], z[1], z[0] > limits[0], z[1] > limits[1], person), truth)


def agreement_found(data: Judged, *, methods: Sequence[str]) -> Iterator[Finding]:
    """Estimate kappa, difference and congruence with persons as clusters (``by person``) or every session by itself (``alone``)."""
    cell = (1 - data.one.astype(np.int64)) * 2 + (1 - data.two.astype(np.int64))
    for method in methods:
        of = data.person if method == BY_PERSON else np.arange(len(data.person))
        cells = np.bincount(of * 4 + cell, minlength=4 * (int(of.max()) + 1)).reshape(-1, 4).astype(np.float64)
        kappa, difference = pair_agreement(cells), rater_difference(cells)
        yield Finding("kappa", kappa.kappa, kappa.std_error, kappa.ci_low, kappa.ci_high, method=method)
        yield Finding(
            "difference", difference.estimate, difference.std_error, difference.ci_low, difference.ci_high, difference.p_value,
            method=method,
        )  # fmt: skip
        if method == BY_PERSON:
            r = congruence(Ratings(data.first, data.second, data.person, np.arange(int(data.person.max()) + 1)))
            yield Finding("congruence", r.estimate, r.std_error, r.ci_low, r.ci_high, r.p_value, method=method)


def uneventful(
    rng: np.random.Generator, *, clients: int, fewest: int, most: int, rho: float, sds: str, missing: float, mean: float, sd: float
) -> Sample:
    r"""Draw series in which nothing happens: a client's own mean and a stationary AR(1) around it, some sessions without rating.

    .. math:: x_{it} = \mu_i + s_i u_{it}, \quad u_{it} = \rho u_{i,t-1} + \sqrt{1 - \rho^2}\, e_{it}

    :math:`s_i` is ``sd`` for everybody (``sds: alike``), or half, once and one and a half times that (``varied``). Targets are what
    a criterion finds above noise, all 0: ``share``, ``rate``, ``repaired``.
    """
    lengths = fewest + np.floor(rng.random(clients) * (most - fewest + 1)).astype(np.int64)
    wave = normals(rng, clients, most)
    for t in range(1, most):
        wave[:, t] = rho * wave[:, t - 1] + math.sqrt(1 - rho**2) * wave[:, t]
    factor = 0.5 + 0.5 * np.floor(3 * rng.random(clients)) if sds == "varied" else np.ones(clients)
    values = mean + normals(rng, clients, 1) * sd + sd * factor[:, None] * wave
    seen = (np.arange(most) < lengths[:, None]) & (rng.random((clients, most)) >= missing)
    seen[:, 0] = True
    starts = np.concatenate([[0], np.cumsum(seen.sum(axis=1))]).astype(np.int64)
    who = pd.DataFrame({"client": [f"c{i:04d}" for i in range(clients)], "treatment_id": pd.Series([None] * clients, dtype="str")})
    return Sample(
        Series(values[seen], np.nonzero(seen)[1] + 1, starts, who), {"share": 0.0, "rate": 0.0, "repaired": 0.0}
    )  # fmt: skip


def found_above_noise(
    data: Series, *, methods: Sequence[str], repairs: Sequence[str], replicates: int, seed: int
) -> Iterator[Finding]:
    """Tell what each criterion (``methods`` are presets) finds above noise; of repairs those in ``repairs``, which find enough."""
    targets = {"share_above_noise": "share", "rate_above_noise": "rate", "repaired_above_noise": "repaired"}
    for criterion in as_criteria(list(methods)):
        clients = client_summary(data, detect(data, criterion))
        noise = found_on_noise(data, criterion, rng=np.random.default_rng(seed), replicates=replicates)
        for row in above_noise(clients, noise):
            if row.estimand not in targets or (targets[row.estimand] == "repaired" and criterion.name not in repairs):
                continue
            yield Finding(
                targets[row.estimand], row.estimate, row.std_error, row.ci_low, row.ci_high, row.p_value, method=criterion.name
            )  # fmt: skip

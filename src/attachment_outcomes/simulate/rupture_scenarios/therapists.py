"""Known truth for therapists' repair rates, and for curves of repair over criteria that agree in part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, ndtri
from scipy.stats import norm

from attachment_outcomes.inference.proportions import proportion
from attachment_outcomes.rupture.specification.curve import SESSIONS, Compared, specification_table
from attachment_outcomes.rupture.specification.designs import ESTIMANDS, REPAIR
from attachment_outcomes.rupture.specification.readings import OWN, Reading
from attachment_outcomes.rupture.specification.reshuffle import exchange_of, reshuffle_curve
from attachment_outcomes.rupture.therapist_repair import fit_repair
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]
GRID = np.linspace(-8.0, 8.0, 321)
DENSITY = norm.pdf(GRID) * (GRID[1] - GRID[0])
ADJUSTMENTS = (("pre", SESSIONS), ("pre",))


def therapist_repairs(
    rng: np.random.Generator,
    *,
    therapists: int,
    each: int,
    fewest: int,
    most: int,
    level: float,
    sd_client: float,
    sd_therapist: float,
) -> Sample:
    r"""Whether ruptures were repaired, of clients of therapists who differ in it or do not.

    .. math:: \mathrm{logit}\,P = level + w_j + u_{ji}

    Every client has ``fewest`` to ``most`` ruptures. Targets: ``therapist sd`` (log odds), and ``share``, that of all ruptures.
    """
    therapist = np.repeat(np.arange(therapists), each)
    own = level + sd_therapist * normals(rng, therapists)[therapist] + sd_client * normals(rng, len(therapist))
    ruptures = np.floor(fewest + (most + 1 - fewest) * rng.random(len(therapist))).astype(np.int64)
    client = np.repeat(np.arange(len(therapist)), ruptures)
    repaired = rng.random(len(client)) < expit(own[client])
    data = pd.DataFrame({"client": client, "therapist_id": therapist[client], "repaired": repaired.astype(float)})
    share = float(expit(level + np.hypot(sd_client, sd_therapist) * GRID) @ DENSITY)
    return Sample(data, {"therapist sd": sd_therapist, "share": share})


def repair_rates(data: pd.DataFrame) -> Iterator[Finding]:
    """Estimate how therapists differ, with the profile's limits and the test at the boundary, and the share of all."""
    model = fit_repair(data, ())
    sd = model.therapists
    yield Finding(
        "therapist sd", sd.estimate, ci_low=sd.ci_low, ci_high=sd.ci_high, p_value=sd.p_value, converged=model.fit.converged,
        singular=sd.estimate == 0,
    )  # fmt: skip
    share = proportion(data["repaired"], clusters=data["therapist_id"])
    yield Finding("share", share.estimate, share.std_error, share.ci_low, share.ci_high)


@dataclass(frozen=True)
class Clients:
    """Clients as several criteria see them: ``groups`` by criterion and window, (criteria, windows, n)."""

    outcome: Numbers
    pre: Numbers
    sessions: Numbers
    therapist: Whole
    groups: Whole


def repair_curve(
    rng: np.random.Generator,
    *,
    therapists: int,
    each: int,
    effect: float,
    icc_outcome: float,
    icc_repair: float,
    criteria: int,
    agreement: float,
    by_sessions: float,
) -> Sample:
    r"""Rupture groups by several criteria that agree in part, and an outcome that they go with or do not.

    .. math:: y = .5\,pre + b s - effect \cdot repaired + \sqrt{icc}\,w_j + \sqrt{1 - icc}\,e

    Lower is better. Of each client there is a truth (rupture: more often with more sessions s; repaired: with some therapists more
    than with others), and every criterion sees it through noise of its own: its latent variables correlate ``agreement`` with the
    true ones. A narrower window calls some repaired ruptures unrepaired. Sessions go with ruptures and with the outcome
    (``by_sessions`` SD an SD), therapists with repair and with the outcome, but apart. Targets: ``median``, ``significant share``
    and ``combined z`` of the curve of repaired minus none, in improvement; 0 without an effect.
    """
    therapist = np.repeat(np.arange(therapists), each)
    n = len(therapist)
    stay, start, fell, mended, error = normals(rng, 5, n)
    of_repair, of_outcome = normals(rng, 2, therapists)
    rupture = 0.5 * stay + np.sqrt(0.75) * fell
    repair = np.sqrt(icc_repair) * of_repair[therapist] + np.sqrt(1 - icc_repair) * mended
    noise = normals(rng, 2, criteria, n)
    sees = agreement * np.array([rupture, repair])[:, None] + np.sqrt(1 - agreement**2) * noise
    there, speed = sees[0] > ndtri(0.4), sees[1]
    groups = np.stack([np.where(there, np.where(speed > ndtri(cut), 1, 2), 0) for cut in (0.35, 0.5)], axis=1)
    repaired = (rupture > ndtri(0.4)) & (repair > ndtri(0.35))
    spread = np.sqrt(icc_outcome) * of_outcome[therapist] + np.sqrt(1 - icc_outcome) * error
    outcome = 0.5 * start + by_sessions * stay - effect * repaired + spread
    data = Clients(outcome, start, np.round(np.exp(2.6 + 0.4 * stay)), therapist, groups.astype(np.int64))
    return Sample(data, {"median": effect, "significant share": effect, "combined z": effect})


def exchanged(data: Clients, *, methods: Sequence[str], permutations: int, seed: int) -> Iterator[Finding]:
    """Test the curve of repaired minus none over criteria, windows and adjustments.

    ``methods``: ``therapist`` exchanges therapists' and clients' parts apart, ``client`` takes clients as independent, and
    ``smallest p`` asks no more than whether any specification is significant.
    """
    people = Compared(outcome=data.outcome, covariates={"pre": data.pre, SESSIONS: data.sessions}, therapist=data.therapist)
    read = [
        (Reading(criterion=str(i), window=3 - j, min_sessions=OWN, landmark=0, group=group), people)
        for i, windows in enumerate(data.groups)
        for j, group in enumerate(windows)
    ]
    curve = specification_table(
        read, higher_is_better=False, adjustments=ADJUSTMENTS, comparisons=["all clients"], estimands=[REPAIR]
    )  # fmt: skip
    pairs = [(int(f), ESTIMANDS.index(REPAIR)) for f in curve.of_row if f >= 0]
    exchange = exchange_of(
        data.outcome, [np.column_stack([data.pre, data.sessions]), data.pre[:, None]], data.sessions, data.therapist
    )  # fmt: skip
    for method in methods:
        if method == "smallest p":
            smallest = float(curve.table["p_value"].min())
            yield Finding("median", float(curve.table["estimate"].median()), p_value=smallest, method=method)
            continue
        found = reshuffle_curve(
            [f.design for f in curve.fits], [ADJUSTMENTS.index(f.adjust) for f in curve.fits], pairs, exchange,
            rng=np.random.default_rng(seed), permutations=permutations, by_therapist=method == "therapist",
        )[0]  # fmt: skip
        yield Finding("median", found.median, p_value=found.p_median, method=method)
        yield Finding("significant share", found.share_significant, p_value=found.p_share, method=method)
        yield Finding("combined z", found.combined_z, p_value=found.p_combined, method=method)

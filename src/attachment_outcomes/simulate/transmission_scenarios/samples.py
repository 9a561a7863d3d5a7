"""Class tables of many samples of known transmission: what pooling says of their mean, of a new sample, and of a trait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.polynomial.hermite_e import hermegauss

from attachment_outcomes.inference.pooling.random_effects import pool
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding
from attachment_outcomes.simulate.recovery.study import Sample as Drawn
from attachment_outcomes.transmission.samples.differences import JOINT, moderators
from attachment_outcomes.transmission.samples.effects import MEASURES, Effects, read_effects
from attachment_outcomes.transmission.samples.tables import Sample

Numbers = npt.NDArray[np.float64]
POOLED = ("kappa", "agreement", "phi", "odds_ratio")
SECURE = (0.4, 0.65)  # share of secure parents and children, evenly over samples
WIDEST = (-0.15, 0.85)  # kappas are held inside, where every cell keeps a chance
NODES = 60


def _cells(kappa: Numbers, secure: Numbers) -> Numbers:
    """Return the chances (…, 2, 2) of insecure and secure parents and children, both with one share of secure ones."""
    same = kappa * secure * (1 - secure)
    inside = np.stack([(1 - secure) ** 2 + same, secure * (1 - secure) - same], axis=-1)
    below = np.stack([secure * (1 - secure) - same, secure**2 + same], axis=-1)
    return np.stack([inside, below], axis=-2)


def _scaled(cells: Numbers, measure: str) -> Numbers:
    """Return the true value of a measure on the scale on which it is pooled."""
    a, b, c, d = cells[..., 0, 0], cells[..., 0, 1], cells[..., 1, 0], cells[..., 1, 1]
    secure = c + d
    if measure == "agreement":
        return np.asarray(np.log((a + d) / (b + c)))
    if measure == "odds_ratio":
        return np.asarray(np.log(a * d / (b * c)))
    kappa = (d - secure**2) / (secure * (1 - secure))
    return np.asarray(kappa if measure == "kappa" else np.arctanh(kappa))


@cache
def _truth(kappa: float, tau: float) -> dict[str, float]:
    """Return the mean of each measure over all samples there could be, on its scale, brought back."""
    z, weights = hermegauss(NODES)
    share = SECURE[0] + (SECURE[1] - SECURE[0]) * (np.arange(NODES) + 0.5) / NODES
    cells = _cells(np.clip(kappa + tau * z, *WIDEST)[:, None], share[None, :])
    return {m: float(MEASURES[m].back(np.average(_scaled(cells, m).mean(axis=1), weights=weights))) for m in POOLED}


def tables(rng: np.random.Generator, *, samples: int, tau: float, kappa: float, smallest: int, largest: int) -> Drawn:
    r"""Draw two-class tables of samples whose true kappas differ, and a trait that has nothing to do with them.

    .. math:: \kappa_i \sim N(\kappa, \tau^2), \quad n_i \sim U(smallest, largest), \quad P_i(secure) \sim U(.4, .65)

    The data are the samples' tables and the trait (0 or 1). Targets: the mean of each measure (``POOLED``), ``new kappa`` (the
    true kappa of one more sample) and ``trait`` (0).
    """
    n = np.floor(smallest + (largest + 1 - smallest) * rng.random(samples)).astype(np.int64)
    share = SECURE[0] + (SECURE[1] - SECURE[0]) * rng.random(samples)
    own = np.clip(kappa + tau * normals(rng, samples + 1), *WIDEST)
    steps = _cells(own[:-1], share).reshape(samples, 4).cumsum(axis=1)
    found = []
    for size, chances in zip(n, steps, strict=True):
        counts = np.bincount(np.minimum(np.searchsorted(chances, rng.random(size)), 3), minlength=4)
        found.append(counts.reshape(2, 2).astype(np.int64))
    trait = (rng.random(samples) < 0.5).astype(np.int64)
    drawn = [Sample(str(i), str(i), str(i), "two", table) for i, table in enumerate(found)]
    truth = {**_truth(kappa, tau), "new kappa": float(own[-1]), "trait": 0.0}
    return Drawn((drawn, trait), truth)


def _effects(data: tuple[list[Sample], npt.NDArray[np.int64]], measure: str) -> Effects:
    return read_effects(data[0], [], MEASURES[measure])


def pooled(
    data: tuple[list[Sample], npt.NDArray[np.int64]], *, methods: Sequence[Literal["z", "hartung-knapp", "hartung-knapp-modified"]]
) -> Iterator[Finding]:
    """Pool every measure of :func:`tables` with each interval; of kappa also the prediction interval."""
    for measure in POOLED:
        effects = _effects(data, measure)
        back, y, v = effects.measure.back, effects.rows["effect"].to_numpy(), effects.rows["variance"].to_numpy()
        for interval in methods:
            found = pool(y, v, interval=interval)
            middle, low, high = (float(back(x)) for x in (found.estimate, found.ci_low, found.ci_high))
            yield Finding(measure, middle, ci_low=low, ci_high=high, singular=found.tau2 == 0, method=interval)
            if measure == "kappa":
                ends = found.prediction_low, found.prediction_high
                yield Finding("new kappa", found.estimate, ci_low=ends[0], ci_high=ends[1], method=interval)


def trait(data: tuple[list[Sample], npt.NDArray[np.int64]], *, interval: Literal["z", "hartung-knapp"]) -> Iterator[Finding]:
    """Test the trait of :func:`tables` on kappa."""
    told = pd.DataFrame({"sample_id": [s.sample_id for s in data[0]], "trait": "t", "number": np.nan, "level": data[1].astype(str)})
    rows = moderators(_effects(data, "kappa"), told, ["t"], system="two", interval=interval)
    test = next((r for r in rows if r.definition == JOINT), None)
    contrast = next((r for r in rows if r.estimand == "kappa_contrast"), None)
    if test is not None and contrast is not None:
        sign = 1.0 if contrast.group.endswith("against 0") else -1.0
        low, high = sorted((sign * contrast.ci_low, sign * contrast.ci_high))
        yield Finding("trait", sign * contrast.estimate, contrast.std_error, low, high, test.p_value)

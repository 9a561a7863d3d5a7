"""Repeated scores of clients who leave by chance, by what was seen of them, or by what was not; and change by each handling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from attachment_outcomes.change.missing.delta import IMPROVED
from attachment_outcomes.change.missing.handling import (
    Event,
    Handled,
    Pooled,
    by_carrying_forward,
    by_complete_cases,
    by_imputation,
    by_weighting,
)
from attachment_outcomes.change.missing.panel import Panel
from attachment_outcomes.inference.multiple_imputation import impute
from attachment_outcomes.inference.weighting import LEAST_PROBABILITY, TRUNCATE
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
CHANCE, LAST, UNSEEN = "chance", "last score", "unseen score"


def leaving(
    rng: np.random.Generator, *, clients: int, waves: int, slope: float, sd_person: float, sd_residual: float, threshold: float,
    mechanism: str, dropout: float, steepness: float, gaps: float,
) -> Sample:  # fmt: skip
    r"""Scores that fall from wave to wave, of clients of whom some leave and some miss a wave in between.

    .. math:: y_{it} = 20 + b_i + \beta t + e_{it}, \quad P(\text{leaves before } t) = \mathrm{expit}(d + s z)

    with z the score's distance from its wave's mean in SDs: nothing (``chance``, s is then 0), the last score seen
    (``last score``: missing at random) or the score that is not seen any more (``unseen score``: not at random). A wave in between
    is missed with probability ``gaps``. The data are scores (clients, waves) and the threshold. Targets: ``change``, mean change
    from the first to the last wave of all; ``improved``, the share whose score falls by more than the threshold.
    """
    mean = 20 + slope * np.arange(waves)
    y = mean + sd_person * normals(rng, clients, 1) + sd_residual * normals(rng, clients, waves)
    z = (y - mean) / np.hypot(sd_person, sd_residual)
    last, gone = z[:, 0].copy(), np.zeros(clients, dtype=bool)
    scores = y.copy()
    for t in range(1, waves):
        by = {CHANCE: 0.0, LAST: last, UNSEEN: z[:, t]}[mechanism]
        gone |= rng.random(clients) < expit(dropout + steepness * by)
        missed = gone | (rng.random(clients) < (gaps if t < waves - 1 else 0.0))
        scores[missed, t] = np.nan
        last = np.where(missed, last, z[:, t])
    change = slope * (waves - 1)
    improved = float(norm.cdf((-threshold - change) / (np.sqrt(2) * sd_residual)))
    return Sample((scores, threshold), {"change": change, "improved": improved})


def handled(
    data: tuple[Numbers, float], *, methods: Sequence[str], imputations: int, iterations: int, seed: int, delta: float = 0.0
) -> Iterator[Finding]:
    """Estimate mean change and the share improved by each of several ways of handling what is missing.

    ``methods`` are ``complete``, ``carried``, ``imputed``, ``shifted`` (imputed ends moved by ``delta`` score points) and
    ``weighted``.
    """
    scores, threshold = data
    n, t = scores.shape
    panel = Panel(
        scores=scores, occasions=tuple(range(t)), covariates=np.empty((n, 0)), names=(), clusters=None,
        ended_early=np.isnan(scores[:, -1]),
    )  # fmt: skip

    def improved(pre: Numbers, post: Numbers, _: int) -> NDArray[np.bool_]:
        return np.asarray(pre - post > threshold)

    events: dict[str, Event] = {IMPROVED: improved}
    drawn = None
    for method in methods:
        if method in ("imputed", "shifted") and drawn is None:
            drawn = impute(scores, imputations=imputations, rng=np.random.default_rng(seed), iterations=iterations)
        if method == "shifted" and drawn is not None:
            pooled = Pooled(drawn, panel.missing_end, None)
            one, (share, _) = pooled.mean_change(delta), pooled.proportion(improved, delta)
            yield Finding("change", one.estimate, one.std_error, one.ci_low, one.ci_high, one.p_value, method=method)
            low, middle, high = (float(expit(v)) for v in (share.ci_low, share.estimate, share.ci_high))
            yield Finding("improved", middle, middle * (1 - middle) * share.std_error, low, high, method=method)
            continue
        found: list[Handled]
        if method == "imputed" and drawn is not None:
            found = by_imputation(panel, drawn, events)
        elif method == "weighted":
            found, _ = by_weighting(panel, events, truncate=TRUNCATE, least_probability=LEAST_PROBABILITY)
        else:
            found = {"complete": by_complete_cases, "carried": by_carrying_forward}[method](panel, events)
        for h in found:
            target = "improved" if h.event else "change"
            yield Finding(target, h.estimate, h.std_error, h.ci_low, h.ci_high, h.p_value, method=method)

r"""How much worse would those not seen have to be than the model expects, until the conclusion no longer holds?

Vocabulary
----------
delta          score points added to the imputed end scores; nothing else changes, so one set of imputations serves for all
pattern        whose: of all who are missing at the end, or only of those whose treatment ended early
tipping point  the smallest delta, against the conclusion, at which the interval reaches the null value
null value     of mean change 0; of the share improved what measurement error alone would call improved
reach          how far delta makes sense: until the imputed end scores lie, on average, at the end of the scale
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from attachment_outcomes.change.missing.handling import Event, Pooled
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.multiple_imputation import Imputations

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

MEAN, IMPROVED = "mean_change", "reliably_improved"
ALL, EARLY = "all missing", "ended early"
SCAN = 120  # steps at which the interval is looked at before bisection: a share moves in jumps
NO_RANGE = 3.0  # SDs of the baseline, where a scale has no range
CURVE_COLUMNS = [
    "pattern", "estimand", "delta", "delta_sd", "estimate", "ci_low", "ci_high", "null", "reached", "n", "shifted_n",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Tipping:
    """The tipping point of one estimand: ``delta`` in score points (NaN: none within ``reach``), and whose scores move."""

    pattern: str
    estimand: str
    delta: float
    reach: float
    null: float
    n_shifted: int
    note: str


def tipping_points(
    imputations: Imputations,
    patterns: Mapping[str, Flags],
    *,
    deltas: Sequence[float],
    spread: float,
    scale_range: tuple[float, float] | None,
    events: Mapping[str, tuple[Event, float]],
    clusters: pd.Series | None = None,
    ci_level: float = CI_LEVEL,
) -> tuple[pd.DataFrame, list[Tipping]]:
    """Return the estimates over a range of deltas, and the tipping points.

    Parameters
    ----------
    imputations
        Completed scores, drawn as missing at random.
    patterns
        Name to whose imputed end scores are shifted (n,); people with a score at the end are never moved.
    deltas
        Score points at which estimates are told; tipping points are found exactly, wherever they lie.
    spread
        SD at baseline, score points.
    scale_range
        Lowest and highest possible score; None if not known.
    events
        Name to the event and its share if nobody truly changed (NaN: no tipping point is asked for).
    clusters
        Therapist of each person.
    ci_level
        Confidence level.

    Returns
    -------
    DataFrame, and list of Tipping
        ``CURVE_COLUMNS``, by pattern and estimand in the order of delta: ``reached`` says whether the interval holds or has passed
        the null value; ``shifted_n`` are the people moved.

    References
    ----------
    Carpenter, J. R., & Kenward, M. G. (2013). Multiple imputation and its application. Wiley, chapter 10. Cro, S., et al. (2020).
    Statistics in Medicine, 39, 2815-2842.
    """
    rows: list[dict[str, object]] = []
    found = []
    for pattern, who in patterns.items():
        pooled = Pooled(imputations, who, clusters, ci_level=ci_level)
        n_shifted = int(pooled.shifted.sum())
        ends = pooled.post[:, pooled.shifted]
        centre = float(ends.mean()) if n_shifted else math.nan
        for estimand, null, at in _estimands(pooled, events):
            start = at(0.0)
            side = math.copysign(1.0, start[0] - null) if not math.isnan(null) else 1.0
            points, tip = sorted({0.0, *map(float, deltas)}), math.nan
            if n_shifted and not math.isnan(null):
                found.append(_tip(at, null, side, estimand, pattern, n_shifted, _reaches(centre, spread, scale_range)))
                tip = found[-1].delta
                if tip > max(points) or tip < min(points):
                    points = sorted({*points, tip})
            for delta in points if n_shifted else [0.0]:
                estimate, low, high = at(delta)
                reached = delta == tip or (not math.isnan(null) and (low <= null if side > 0 else high >= null))
                told = (pattern, estimand, delta, delta / spread, estimate, low, high, null, reached, pooled.n, n_shifted)
                rows.append(dict(zip(CURVE_COLUMNS, told, strict=True)))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS), found


At = Callable[[float], tuple[float, float, float]]


def _estimands(pooled: Pooled, events: Mapping[str, tuple[Event, float]]) -> list[tuple[str, float, At]]:
    def mean(delta: float) -> tuple[float, float, float]:
        found = pooled.mean_change(delta)
        return found.estimate, found.ci_low, found.ci_high

    def share_of(event: Event) -> At:
        def share(delta: float) -> tuple[float, float, float]:
            found, _ = pooled.proportion(event, delta)
            estimate, low, high = (float(expit(v)) for v in (found.estimate, found.ci_low, found.ci_high))
            return estimate, low, high

        return share

    return [(MEAN, 0.0, mean), *((name, null, share_of(event)) for name, (event, null) in events.items())]


def _reaches(centre: float, spread: float, scale_range: tuple[float, float] | None) -> tuple[float, float]:
    """Return how far the imputed scores can go down and up (both 0 or more)."""
    if scale_range is None:
        return NO_RANGE * spread, NO_RANGE * spread
    return max(centre - scale_range[0], 0.0), max(scale_range[1] - centre, 0.0)


def _tip(at: At, null: float, side: float, estimand: str, pattern: str, n: int, reaches: tuple[float, float]) -> Tipping:
    """Find the smallest shift, towards the null value, at which the interval reaches it: a scan, then bisection."""

    def beyond(delta: float) -> float:  # above 0 while the interval lies wholly on the side of the estimate
        _, low, high = at(delta)
        return low - null if side > 0 else null - high

    # Which way lowers the estimate's distance from the null value: for a mean the other way; for a share it is tried.
    way = -side if estimand == MEAN else _way(at, side, reaches)
    reach = reaches[0] if way < 0 else reaches[1]

    def told(delta: float, note: str) -> Tipping:
        return Tipping(pattern=pattern, estimand=estimand, delta=delta, reach=way * reach, null=null, n_shifted=n, note=note)

    if beyond(0.0) <= 0:
        return told(0.0, "the interval reaches the null value without any shift")
    grid = way * np.linspace(0, reach, SCAN + 1)
    before = 0.0
    for delta in grid[1:]:
        if beyond(float(delta)) <= 0:
            return told(float(brentq(beyond, before, float(delta), xtol=1e-10, rtol=1e-12)), "")
        before = float(delta)
    return told(math.nan, "no tipping point within the scale's range")


def _way(at: At, side: float, reaches: tuple[float, float]) -> float:
    down, up = at(-reaches[0])[0], at(reaches[1])[0]
    return -1.0 if side * down < side * up else 1.0

"""How many sudden gains would series show that have none? The people's own trends with noise like theirs, made anew."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

REPLICATES = 200
MOST_PEOPLE = 2_000  # a random part of larger data is simulated
LEAST_SCORES = 4  # a line takes two; with fewer than two more there is no telling the noise
BOUND = 0.95  # of the autocorrelation, beyond which short series cannot tell it from a trend


class Expected(NamedTuple):
    """Share of people with a gain and gains an interval that can be judged, each with its Monte-Carlo error."""

    share: float
    share_error: float
    rate: float
    rate_error: float
    rho: float
    people: int
    replicates: int


def expected_gains(
    values: Numbers, judge: Callable[[Numbers], tuple[Flags, Flags]], *, rng: np.random.Generator, minimum: float | None = None,
    maximum: float | None = None, replicates: int = REPLICATES,
) -> Expected | None:  # fmt: skip
    r"""Return what a rule finds in series without gains: :math:`x_t = a_i + b_i t + s_i u_t`, u a stationary AR(1).

    a, b are the person's own least-squares line, s the own SD of the residuals, and the autocorrelation :math:`\rho` is shared;
    both are corrected for the line that was taken out (see :func:`autocorrelation`). Missing scores stay missing; scores are
    rounded to whole numbers if the data are whole, and held within the scale.

    Parameters
    ----------
    values : (people, sessions) floats
        The observed series.
    judge
        From series to the intervals (people, sessions - 1) with a gain, and those that can be judged.
    rng
        Source of the draws.
    minimum, maximum
        Ends of the scale, if known.
    replicates
        Simulated studies.

    Returns
    -------
    Expected or None
        None if nobody has four scores.

    Notes
    -----
    Gains that really happened make the residuals larger and the lines steeper, so the expectation is, if anything, too high and the
    comparison careful. A drop that is a smooth curve (fast at first) is not in a straight line and shows as noise.
    """
    enough = (~np.isnan(values)).sum(axis=1) >= LEAST_SCORES
    if not enough.any():
        return None
    x = values[enough]
    if len(x) > MOST_PEOPLE:
        x = x[np.sort(rng.choice(len(x), MOST_PEOPLE, replace=False))]
    line, maker = detrended(x)
    rho, sd = autocorrelation(x, line, maker)
    steps = np.arange(x.shape[1])
    root = np.linalg.cholesky(correlations(rho, steps))
    seen = x[~np.isnan(x)]
    whole = bool((seen == np.round(seen)).all())
    shares, rates = np.empty(replicates), np.empty(replicates)
    for r in range(replicates):
        made = line + sd[:, None] * (rng.standard_normal(x.shape) @ root.T)
        made = np.round(made) if whole else made
        made = np.where(np.isnan(x), np.nan, np.clip(made, minimum, maximum))
        found, judged = judge(made)
        shares[r] = found.any(axis=1).sum() / max(judged.any(axis=1).sum(), 1)
        rates[r] = found.sum() / max(judged.sum(), 1)
    errors = [float(v.std(ddof=1) / math.sqrt(replicates)) for v in (shares, rates)]
    return Expected(float(shares.mean()), errors[0], float(rates.mean()), errors[1], rho, len(x), replicates)


def correlations(rho: float, steps: NDArray[np.int64]) -> Numbers:
    """Return the correlations of an AR(1) at these steps."""
    lag = np.abs(steps[:, None] - steps)
    return np.asarray(np.sign(rho) ** lag * abs(rho) ** lag if rho else (lag == 0).astype(float))


def detrended(x: Numbers) -> tuple[Numbers, Numbers]:
    """Return each person's least-squares line (people, sessions), and what makes scores residuals (people, sessions, sessions)."""
    seen = (~np.isnan(x)).astype(float)
    size = x.shape[1]
    t = np.arange(size, dtype=float)
    design = np.stack([np.ones(size), t - t.mean()], axis=1)
    weighted = seen[:, :, None] * design
    inverse = np.linalg.pinv(np.einsum("pti,ptj->pij", weighted, weighted), hermitian=True)
    beta = np.einsum("pij,ptj,pt->pi", inverse, weighted, np.nan_to_num(x))
    hat = np.einsum("pti,pij,psj->pts", weighted, inverse, weighted)
    return beta @ design.T, seen[:, :, None] * np.eye(size) - hat


def autocorrelation(x: Numbers, line: Numbers, maker: Numbers) -> tuple[float, Numbers]:
    r"""Return the lag-1 autocorrelation that all share, and each person's SD.

    With M the matrix that takes a line out and :math:`\Sigma(\rho)` the AR(1) correlations, residuals r have
    :math:`E\,r'r = s_i^2\,\mathrm{tr}(M\Sigma M)` and :math:`E \sum r_t r_{t+1} = s_i^2\,\mathrm{tr}(A M \Sigma M)`. The SDs come
    from the first, :math:`\rho` from the sum of the second over people, so neither suffers from the line having been fitted.
    """
    residual = np.nan_to_num(x - line)
    squares = (residual**2).sum(axis=1)
    observed = float((residual[:, 1:] * residual[:, :-1]).sum())
    steps = np.arange(x.shape[1])

    def parts(rho: float) -> tuple[Numbers, Numbers]:
        whole = maker @ correlations(rho, steps) @ maker
        return np.trace(whole, axis1=1, axis2=2), np.trace(whole[:, 1:, :-1], axis1=1, axis2=2)

    def gap(rho: float) -> float:
        own, adjacent = parts(rho)
        return float((squares / np.maximum(own, 1e-12) * adjacent).sum()) - observed

    if squares.sum() == 0:
        rho = 0.0
    elif gap(-BOUND) >= 0:
        rho = -BOUND
    else:
        rho = BOUND if gap(BOUND) <= 0 else float(brentq(gap, -BOUND, BOUND, xtol=1e-4))
    return rho, np.sqrt(squares / np.maximum(parts(rho)[0], 1e-12))

r"""How likely do two normal scores fall into a region that straight lines bound?

Vocabulary
----------
half-plane   where :math:`w_1 x_1 + w_2 x_2 + c > 0`
region       where all of several half-planes meet, e.g. below two cuts, or where one classification function beats the others
"""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from attachment_outcomes.errors import StatisticsError, problem

Numbers = NDArray[np.float64]
NODES = 128  # Gauss–Legendre nodes between two corners: any region's probability is then exact to 1e-9 (64 err by 5e-6 far out)
REACH = 8.0  # SDs beyond which the normal density adds nothing
AT_ONCE = 20_000  # means taken together, so that a million people need no more memory than these
FLAT = 1e-12  # of the steepest slope: a line that bounds the first coordinate alone
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(NODES)


def quadrant(first: float, second: float) -> Numbers:
    """Return the region below two cuts: secure is low on anxiety and on avoidance."""
    return np.array([[-1.0, 0.0, first], [0.0, -1.0, second]])


def inside(scores: ArrayLike, region: ArrayLike) -> NDArray[np.bool_]:
    """Tell whether each pair of scores lies in a region; a score on a line does not."""
    x, planes = np.asarray(scores, dtype=float), np.asarray(region, dtype=float)
    found: NDArray[np.bool_] = (x @ planes[:, :2].T + planes[:, 2] > 0).all(axis=1)
    return found


def region_probability(means: ArrayLike, covariance: ArrayLike, region: ArrayLike, *, offsets: ArrayLike | None = None) -> Numbers:
    """Return the probability that bivariate normal scores fall into a region, for each mean.

    Parameters
    ----------
    means : (n, 2) floats
        Mean of the two scores.
    covariance : (2, 2) floats
        Positive definite, the same for all.
    region : (k, 3) floats
        Half-planes, see the module.
    offsets : (n, k) floats, optional
        The constants c of each mean, in place of the region's; infinity where a line does not bind.

    Raises
    ------
    StatisticsError
        If shapes do not fit, or the covariance is not positive definite.

    Notes
    -----
    Deterministic: the second coordinate is integrated exactly, the first by Gauss–Legendre quadrature between the corners of the
    region, where the integrand is smooth.
    """
    m, planes, spread = (np.asarray(v, dtype=float) for v in (means, region, covariance))
    if m.ndim != 2 or m.shape[1] != 2 or planes.ndim != 2 or planes.shape[1] != 3 or spread.shape != (2, 2):
        raise StatisticsError(
            problem("region probability", f"shapes {m.shape}, {spread.shape}, {planes.shape}; allowed: (n, 2), (2, 2), (lines, 3).")
        )
    constants = np.broadcast_to(planes[:, 2], (len(m), len(planes))) if offsets is None else np.asarray(offsets, dtype=float)
    if constants.shape != (len(m), len(planes)):
        raise StatisticsError(
            problem("region probability", f"offsets have shape {constants.shape}; allowed: {(len(m), len(planes))}.")
        )
    try:
        root = np.linalg.cholesky(spread)
    except np.linalg.LinAlgError:
        raise StatisticsError(problem("region probability", "the covariance is not positive definite.")) from None
    slopes = planes[:, :2] @ root
    out = np.empty(len(m))
    for start in range(0, len(m), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        out[part] = _standard(slopes, m[part] @ planes[:, :2].T + constants[part])
    return np.clip(out, 0.0, 1.0)


def _standard(slopes: Numbers, constants: Numbers) -> Numbers:
    """Integrate independent standard normal coordinates over regions whose lines differ in their constants only."""
    n = len(constants)
    low, high = np.full(n, -REACH), np.full(n, REACH)
    flat = np.abs(slopes[:, 1]) <= FLAT * np.abs(slopes).max()
    for k in np.flatnonzero(flat).tolist():  # bounds on the first coordinate alone
        edge = -constants[:, k] / slopes[k, 0]
        if slopes[k, 0] > 0:
            low = np.maximum(low, edge)
        else:
            high = np.minimum(high, edge)
    high = np.maximum(high, low)
    bent = np.flatnonzero(~flat)
    tilt = -slopes[bent, 0] / slopes[bent, 1]  # each line as second = height + tilt * first
    height = -constants[:, bent] / slopes[bent, 1]
    above = slopes[bent, 1] > 0
    corners = [low, high]
    for a, b in combinations(range(len(bent)), 2):
        if abs(tilt[a] - tilt[b]) > FLAT:
            with np.errstate(invalid="ignore"):
                meet = (height[:, b] - height[:, a]) / (tilt[a] - tilt[b])
            corners.append(np.clip(np.where(np.isfinite(meet), meet, high), low, high))
    ends = np.sort(np.stack(corners), axis=0)
    total = np.zeros(n)
    for left, right in pairwise(ends):
        used = np.flatnonzero(right > left)
        if not len(used):
            continue
        half = (right[used] - left[used])[:, None] / 2
        first = (right[used] + left[used])[:, None] / 2 + half * _NODES
        bottom, top = np.full_like(first, -np.inf), np.full_like(first, np.inf)
        for k in range(len(bent)):
            edge = height[used][:, [k]] + tilt[k] * first
            if above[k]:
                bottom = np.maximum(bottom, edge)
            else:
                top = np.minimum(top, edge)
        within = np.clip(ndtr(top) - ndtr(bottom), 0.0, None)
        density = np.exp(-(first**2) / 2) / np.sqrt(2 * np.pi)
        total[used] += (within * density * _WEIGHTS).sum(axis=1) * half[:, 0]
    return total

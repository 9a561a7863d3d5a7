"""Do units differ by more than chance allows? Limits of a proportion that narrow with the unit's size, and overdispersion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import betabinom, binom, norm

from attachment_outcomes.errors import StatisticsError

LEVELS = {"95": 0.95, "998": 0.998}  # the two limits that funnel plots carry by custom (Spiegelhalter 2005)
WINSORISED = 0.10  # share of the z scores pulled in at each end before phi is taken (Spiegelhalter 2005)
LITTLE = 1e-8  # variance between units, as a share of that of a single event


@dataclass(frozen=True)
class Overdispersion:
    """How much units differ beyond chance: ``phi`` (1 = chance alone), ``tau2`` (variance between units, arcsine scale)."""

    phi: float
    tau2: float
    n_units: int


def funnel_limits(
    n: npt.ArrayLike, *, target: float, level: float, tau2: float = 0.0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    r"""Limits of a proportion around a target, on the variance-stabilising arcsine scale.

    .. math:: \sin^2\left(\arcsin\sqrt{p_0} \pm z \sqrt{\frac{1}{4n} + \tau^2}\right)

    Parameters
    ----------
    n : (k,) array of float
        Clients of each unit, above 0; NaN gives NaN.
    target : float
        :math:`p_0`, proportion between 0 and 1.
    level : float
        Level of the limits, e.g. 0.95 or 0.998.
    tau2 : float
        Variance between units on the arcsine scale, added where there is overdispersion; 0 gives the plain limits.

    Returns
    -------
    low, high : (k,) arrays
        Proportions. Where the angle leaves [0, pi/2] the limit is 0 or 1, since the sine would fold back.

    Raises
    ------
    StatisticsError
        If ``target`` is not a proportion, ``n`` is not above 0, ``level`` not in (0, 1) or ``tau2`` negative.

    References
    ----------
    .. [1] Spiegelhalter, D. J. (2005). Funnel plots for comparing institutional performance. Statistics in Medicine, 24,
       1185-1202. doi:10.1002/sim.1970. The arcsine form is that of the R package FunnelPlotR.
    """
    sizes = np.asarray(n, dtype=np.float64)
    if not 0 <= target <= 1:
        raise StatisticsError(f"funnel: target {target} is not a proportion between 0 and 1")
    if not 0 < level < 1:
        raise StatisticsError(f"funnel: level {level} is not between 0 and 1")
    if tau2 < 0:
        raise StatisticsError(f"funnel: variance between units {tau2} is negative")
    if (sizes <= 0).any():
        raise StatisticsError("funnel: a unit has no clients; limits are defined for n above 0")
    half = norm.ppf((1 + level) / 2) * np.sqrt(1 / (4 * sizes) + tau2)
    angle = np.arcsin(np.sqrt(target))
    return np.sin(np.clip(angle - half, 0, np.pi / 2)) ** 2, np.sin(np.clip(angle + half, 0, np.pi / 2)) ** 2


def overdispersion(events: npt.ArrayLike, n: npt.ArrayLike, *, target: float, winsorised: float = WINSORISED) -> Overdispersion:
    r"""Variation between units relative to chance.

    With :math:`z_i = 2\sqrt{n_i}(\arcsin\sqrt{p_i} - \arcsin\sqrt{p_0})`, pulled in to its 10th and 90th percentile,
    :math:`\phi = \sum z_i^2 / k`. If :math:`k\phi < k - 1`, :math:`\tau^2 = 0`, otherwise
    :math:`\tau^2 = (k\phi - (k-1)) / (\sum w_i - \sum w_i^2 / \sum w_i)` with :math:`w_i = 4 n_i`.

    Parameters
    ----------
    events, n : (k,) arrays of float
        Events and clients of each unit.
    target : float
        :math:`p_0`.
    winsorised : float
        Share pulled in at each end.

    Returns
    -------
    Overdispersion
        ``phi`` and ``tau2`` are NaN for fewer than two units.

    Raises
    ------
    StatisticsError
        If a unit has no clients, or events outside 0 to n.

    References
    ----------
    .. [1] Spiegelhalter, D. J. (2005). Handling over-dispersion of performance indicators. Quality and Safety in Health
       Care, 14, 347-351. doi:10.1136/qshc.2005.013755. Winsorising as in the R package FunnelPlotR.
    """
    count, size = np.asarray(events, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if (size <= 0).any() or (count < 0).any() or (count > size).any():
        raise StatisticsError("funnel: events must lie between 0 and the unit's number of clients, which is above 0")
    k = len(size)
    if k < 2:
        return Overdispersion(np.nan, np.nan, k)
    z = 2 * np.sqrt(size) * (np.arcsin(np.sqrt(count / size)) - np.arcsin(np.sqrt(target)))
    z = np.clip(z, *np.quantile(z, [winsorised, 1 - winsorised]))
    phi = float(np.mean(z**2))
    weight = 4 * size
    excess = k * phi - (k - 1)
    tau2 = excess / (weight.sum() - (weight**2).sum() / weight.sum()) if excess > 0 else 0.0
    return Overdispersion(phi, float(tau2), k)


def exact_limits(
    n: npt.ArrayLike, *, target: float, level: float, between: float = 0.0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    r"""Limits of a proportion of few events around a target, from the binomial distribution itself.

    For the tail probability q, r is the smallest count with :math:`P(R \le r) \ge q`, and the limit is interpolated between counts,

    .. math:: \frac1n\left[r - \frac{P(R \le r) - q}{P(R = r)}\right]

    It is 0 or 1 where no count is unlikely enough on that side. For a verdict on one unit take :func:`exact_tail`: between two
    counts the line is a matter of drawing.

    Parameters
    ----------
    n : (k,) array of int
        Cases of each unit, above 0.
    target : float
        Proportion between 0 and 1, neither of them.
    level : float
        Level of the limits, e.g. 0.95 or 0.998.
    between : float
        Variance of the units' own proportions: R is then beta-binomial with that variance between units.

    Returns
    -------
    low, high : (k,) arrays
        Proportions, within 0 and 1.

    Raises
    ------
    StatisticsError
        If ``target`` or ``level`` is not between 0 and 1, ``n`` is no whole number above 0, or ``between`` is negative or as large
        as proportions cannot vary.

    References
    ----------
    Spiegelhalter, D. J. (2005). Funnel plots for comparing institutional performance. Statistics in Medicine, 24, 1185-1202.
    """
    if not 0 < level < 1:
        raise StatisticsError(f"funnel: level {level} is not between 0 and 1")
    sizes = np.asarray(n, dtype=np.float64)
    counts = _counts(sizes, target, between)
    tail = (1 - level) / 2
    found = []
    for q in (tail, 1 - tail):
        r = counts.ppf(q)
        found.append(np.clip((r - (counts.cdf(r) - q) / counts.pmf(r)) / sizes, 0.0, 1.0))
    return np.where(counts.pmf(0) >= tail, 0.0, found[0]), np.where(counts.pmf(sizes) >= tail, 1.0, found[1])


def exact_tail(events: npt.ArrayLike, n: npt.ArrayLike, *, target: float, between: float = 0.0) -> npt.NDArray[np.float64]:
    """Return for each unit how likely a count as far out is by chance: twice the smaller tail, at most 1; see :func:`exact_limits`.

    Raises
    ------
    StatisticsError
        As :func:`exact_limits`.
    """
    count, sizes = np.asarray(events, dtype=np.float64), np.asarray(n, dtype=np.float64)
    counts = _counts(sizes, target, between)
    return np.asarray(np.minimum(2 * np.minimum(counts.cdf(count), counts.sf(count - 1)), 1.0), dtype=np.float64)


def _counts(sizes: npt.NDArray[np.float64], target: float, between: float) -> Any:
    """Return the distribution of counts by chance, or with a variance between units."""
    if not 0 < target < 1:
        raise StatisticsError(f"funnel: target {target} must lie between 0 and 1")
    if (sizes <= 0).any() or (sizes != np.floor(sizes)).any():
        raise StatisticsError("funnel: the numbers of cases must be whole and above 0")
    if not 0 <= between < target * (1 - target):
        raise StatisticsError(f"funnel: variance between units {between} is negative or too large for proportions")
    # So little between units changes nothing, and leaves the beta-binomial's gamma functions without digits.
    if between < LITTLE * target * (1 - target):
        return binom(sizes, target)
    weight = target * (1 - target) / between - 1
    return betabinom(sizes, target * weight, (1 - target) * weight)


def exact_overdispersion(events: npt.ArrayLike, n: npt.ArrayLike, *, target: float) -> Overdispersion:
    r"""Variation between units relative to chance, right for few events a unit.

    .. math:: z_i = \frac{p_i - p_0}{\sqrt{p_0(1-p_0)/n_i}}, \quad \phi = \frac1k\sum z_i^2, \quad
        \tau^2 = \max\Big(0, \frac{k\phi - (k-1)}{\sum w_i - \sum w_i^2/\sum w_i}\Big), \quad w_i = \frac{n_i}{p_0(1-p_0)}

    The expectation of :math:`z_i^2` is exactly 1 under chance alone whatever n; on the arcsine scale it is 1.5 to 1.8 with five
    events a unit. Nothing is winsorised. ``tau2`` is on the scale of proportions.

    Raises
    ------
    StatisticsError
        If a unit has no cases, events outside 0 to n, or the target is 0 or 1.
    """
    count, size = np.asarray(events, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if (size <= 0).any() or (count < 0).any() or (count > size).any():
        raise StatisticsError("funnel: events must lie between 0 and the unit's number of cases, which is above 0")
    if not 0 < target < 1:
        raise StatisticsError(f"funnel: target {target} must lie between 0 and 1")
    k = len(size)
    if k < 2:
        return Overdispersion(np.nan, np.nan, k)
    weight = size / (target * (1 - target))
    phi = float(np.mean(weight * (count / size - target) ** 2))
    excess = k * phi - (k - 1)
    tau2 = excess / (weight.sum() - (weight**2).sum() / weight.sum()) if excess > 0 else 0.0
    return Overdispersion(phi, float(tau2), k)

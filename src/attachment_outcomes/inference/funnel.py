"""Do units differ by more than chance allows? Limits of a proportion that narrow with the unit's size, and overdispersion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from attachment_outcomes.errors import StatisticsError

LEVELS = {"95": 0.95, "998": 0.998}  # the two limits that funnel plots carry by custom (Spiegelhalter 2005)
WINSORISED = 0.10  # share of the z scores pulled in at each end before phi is taken (Spiegelhalter 2005)


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

"""How wide must a chart's limits be for a wanted rate of false alarms? Limits tuned on series in which nothing happened."""

from __future__ import annotations

import numpy as np

from attachment_outcomes.rupture.rules.charts import MIN_RANGES, control_chart
from attachment_outcomes.rupture.rules.signal import check
from attachment_outcomes.rupture.series import Series


def tune_limits(noise: Series, *, false_alarms: float, detrend: bool = False, screen: float | None = None) -> float:
    r"""Return the multiplier with which a chart has the wanted share of sessions below its limit where nothing happened.

    .. math:: P\!\left(\frac{\bar{x} - x_t}{\overline{mR}} > m\right) = \alpha

    The share is of sessions, over all series that a chart can assess; m is the sample quantile.

    Parameters
    ----------
    noise : Series
        Series without ruptures and of the lengths in question, as
        :func:`attachment_outcomes.rupture.noise.simulate_noise` makes them.
    false_alarms : float
        :math:`\alpha`, share of sessions below the limit, above 0 and below one half.
    detrend, screen
        As in :func:`control_chart`.

    Returns
    -------
    float
        In mean moving ranges; 2.66 would be three SDs of a long series. Infinite if no series can be assessed.

    Raises
    ------
    ConfigError
        If the share is impossible.
    """
    check(0 < false_alarms < 0.5, "false_alarms", false_alarms, "above 0 and below .5")
    one = control_chart(noise, multiplier=1.0, detrend=detrend, screen=screen)
    known = np.repeat(one.assessable, noise.lengths) & (one.center > one.limit)
    below = (one.center - noise.values)[known] / (one.center - one.limit)[known]
    return float(np.quantile(below, 1 - false_alarms)) if below.size >= MIN_RANGES else float("inf")

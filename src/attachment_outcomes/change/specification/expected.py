r"""How many would be called recovered if nobody had truly changed?

Given a baseline score, the end score of somebody who did not change is, by classical test theory,

.. math:: x_2 \mid x_1 \sim N\big(M_1 + r_s(x_1 - M_1),\ S_1^2(1 - r_s^2)\big), \quad r_s = 1 - SE^2/S_1^2

with SE the rule's standard error of measurement and :math:`M_1, S_1` this sample's. The rule and the cutoff are applied to a grid
of end scores of equal probability at quantiles of the observed baselines, so that no draw is needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from attachment_outcomes.inference.individual_change.definitions import Definition
from attachment_outcomes.inference.individual_change.methods import expected_improved
from attachment_outcomes.inference.individual_change.reliable import statistic_and_code
from attachment_outcomes.inference.individual_change.significance import Cutoff

Numbers = NDArray[np.float64]
BASELINES, ENDS = 201, 400  # quantiles of the baselines, and end scores at each: shares are then right to about .001


def expected_shares(ready: Definition, pre: Numbers, cutoffs: list[Cutoff]) -> tuple[float, list[float]]:
    """Return the share called improved, and for each cutoff the share called recovered, if nobody truly changed.

    Parameters
    ----------
    ready
        The rule.
    pre : (n,) floats
        Baseline scores of the people with both scores, none missing.
    cutoffs
        Whose recovered are wanted.

    Returns
    -------
    float, list of float
        NaN where the rule's error rate is not known (HA, and rules that take true change into their denominator).
    """
    try:
        improved = float(expected_improved(ready.method, ready.setting))
    except (TypeError, ValueError):
        improved = np.nan
    setting = ready.setting
    error, spread = setting.se_measurement, float(pre.std(ddof=1))
    if not np.isfinite(improved) or not np.isfinite(error) or not 0 < error < spread or setting.slopes is not None:
        return improved, [np.nan] * len(cutoffs)
    r = 1 - error**2 / spread**2
    x1 = np.quantile(pre, (np.arange(BASELINES) + 0.5) / BASELINES)
    z = ndtri((np.arange(ENDS) + 0.5) / ENDS)
    ends = pre.mean() + r * (x1 - pre.mean())[:, None] + spread * np.sqrt(1 - r**2) * z
    starts = np.repeat(x1, ENDS)
    better = statistic_and_code(starts, ends.ravel(), ready.method, setting, ready.higher_is_better)[1] == 0
    found = []
    for cutoff in cutoffs:
        left = cutoff.clinical(starts, higher_is_better=ready.higher_is_better)
        arrived = cutoff.functional_at_end(ends.ravel(), higher_is_better=ready.higher_is_better)
        found.append(float((better & left & arrived).mean()))
    return improved, found

"""Do errors hang together from one session to the next, beyond the client's own level?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.jackknife import jackknife
from attachment_outcomes.rupture.noise import autocorrelation
from attachment_outcomes.rupture.series import Numbers, Series, Whole

PARTS = 25  # of the clients, left out one at a time


def residual_autocorrelation(residual: Numbers, *, unit: Whole, session: Whole, cluster: Whole, ci_level: float) -> Interval:
    """Return the correlation of the errors of adjacent sessions within units, corrected for the units' estimated levels.

    Parameters
    ----------
    residual : (n,)
        Outcome minus what the predictors say, with the unit's own level still in it; rows sorted by unit and session.
    unit, session, cluster : (n,) int
        Unit, session number (only adjacent ones count), and what counts as independent.
    ci_level : float
        Confidence level of the interval: jackknife over up to 25 sets of whole clusters, t.

    Notes
    -----
    Pooled products of adjacent deviations, set to what an AR(1) series of the same length would give
    (:func:`attachment_outcomes.rupture.noise.autocorrelation`).
    """
    _, group = np.unique(unit, return_inverse=True)
    starts = np.concatenate([[0], np.cumsum(np.bincount(group))]).astype(np.int64)
    series = Series(residual, session, starts, pd.DataFrame(index=range(len(starts) - 1)))
    _, rank = np.unique(cluster[starts[:-1]], return_inverse=True)
    parts = min(PARTS, int(rank.max()) + 1)
    without = [autocorrelation(series.select(rank % parts != k)) for k in range(parts)]
    return jackknife(autocorrelation(series), without, ci_level=ci_level)

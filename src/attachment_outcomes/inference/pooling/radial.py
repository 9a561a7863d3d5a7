"""Which samples lie off the pooled effect, for their precision? The points of a Galbraith (radial) plot."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.pooling.effects import checked


def galbraith(effects: npt.ArrayLike, variances: npt.ArrayLike, *, tau2: float = 0.0) -> pd.DataFrame:
    r"""Return each sample's precision and standardised effect.

    .. math:: x_i = (v_i + \tau^2)^{-1/2}, \quad z_i = y_i x_i

    A line through the origin with the pooled effect as its slope fits them; with tau2 = 0, about 95 % of points are within
    1.96 of it if all true effects are equal.

    Returns
    -------
    DataFrame
        ``effect``, ``precision`` (1 over the scale of the effects) and ``standardised``, in the order given.

    Raises
    ------
    StatisticsError
        If effects are missing, variances are not above 0, or tau2 is below 0.

    References
    ----------
    Galbraith, R. F. (1988). Statistics in Medicine, 7, 889-894.
    """
    y, v = checked(effects, variances)
    if not tau2 >= 0:
        raise StatisticsError(problem("tau2", "found a value that is not 0 or more."))
    precision = 1 / np.sqrt(v + tau2)
    return pd.DataFrame({"effect": y, "precision": precision, "standardised": y * precision})

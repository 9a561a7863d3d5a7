"""Do units (therapists, sites, services) differ by more than chance allows?

A funnel plot sets each unit's rate against the number of clients it rests on, with limits that narrow as that number
grows. It makes no ranking: units inside the limits do not differ by more than chance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from attachment_outcomes.inference.funnel import LEVELS, Overdispersion, funnel_limits, overdispersion

COLUMNS = [
    "unit",
    "unit_id",
    "label",
    "n",
    "events",
    "proportion",
    "low95",
    "high95",
    "low998",
    "high998",
    "target",
    "rate",
    "low95_adjusted",
    "high95_adjusted",
    "low998_adjusted",
    "high998_adjusted",
]


def funnel_table(units: pd.DataFrame, *, unit: str, rate: str, target: float | None = None) -> tuple[pd.DataFrame, Overdispersion]:
    """Return the funnel of one rate: each unit's proportion with the limits for its size.

    Parameters
    ----------
    units : pd.DataFrame
        ``unit_id, label, n, events``, one row a unit; ``n`` above 0.
    unit, rate : str
        What the units are, and which rate it is.
    target : float, optional
        Proportion the limits are drawn around; by default that of all units together.

    Returns
    -------
    frame, dispersion
        ``frame`` has the columns of ``COLUMNS``, sorted by ``unit_id``. The limits named ``_adjusted`` add the variance
        between units to that of chance; they are the plain limits where phi does not exceed 1.
    """
    frame = units.sort_values("unit_id", kind="stable").reset_index(drop=True)
    if frame.empty:
        return pd.DataFrame(columns=COLUMNS), Overdispersion(np.nan, np.nan, 0)
    centre = float(frame["events"].sum() / frame["n"].sum()) if target is None else target
    spread = overdispersion(frame["events"], frame["n"], target=centre)
    frame = frame.assign(unit=unit, rate=rate, proportion=frame["events"] / frame["n"], target=centre)
    for name, level in LEVELS.items():
        frame[f"low{name}"], frame[f"high{name}"] = funnel_limits(frame["n"], target=centre, level=level)
        between = spread.tau2 if np.isfinite(spread.tau2) else 0.0
        frame[f"low{name}_adjusted"], frame[f"high{name}_adjusted"] = funnel_limits(
            frame["n"], target=centre, level=level, tau2=between
        )
    return frame[COLUMNS], spread

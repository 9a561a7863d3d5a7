"""What do all specifications of change say together?

Vocabulary
----------
curve  the specifications of one estimand, of one outcome or of all
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from attachment_outcomes.change.specification.situation import BOUND
from attachment_outcomes.inference.specification_summary import spread

CHOICES = ("outcome", "rule", "reliability_source", "cutoff", "occasions", "handling")


def analyses(curve: pd.DataFrame) -> pd.DataFrame:
    """Return the specifications that a summary counts: each estimate once, whatever its interval allows for, and no bounds."""
    kept = curve[(curve["estimate"].notna() & (curve["standing"] != BOUND)).to_numpy(dtype=bool)]
    return kept[(kept["clusters"] == _preferred(curve)).to_numpy(dtype=bool)]


def _preferred(curve: pd.DataFrame) -> str:
    """Return whose intervals are the primary ones: those that allow for therapists, where there are such."""
    return str(max(curve["clusters"].unique(), key=lambda way: way != "independent"))


def summarise(curve: pd.DataFrame) -> dict[str, float]:
    """Sum up one curve.

    Parameters
    ----------
    curve
        Rows of one estimand from :func:`~attachment_outcomes.change.specification.specification_table`, of one outcome or several.

    Returns
    -------
    dict
        ``median, first_quartile, third_quartile, lowest, highest`` of the estimates; ``share_beyond_expected``: of the intervals,
        the share that lie wholly above what no true change would give (of those for which that is known);
        ``primary_rank``: the share of specifications whose estimate is below the primary one, ties half;
        ``bound_low, bound_high``: the lowest and highest estimate of a bound; ``n_specifications``, ``n_refused``: estimates that
        could be had, bounds left out, and combinations that could not; ``n``: the most people that a specification rests on.
        NaN where there is nothing to sum up.
    """
    kept = analyses(curve)
    own = curve["clusters"] == _preferred(curve) if len(curve) else np.zeros(0, dtype=bool)
    bounds = curve.loc[((curve["standing"] == BOUND) & own).to_numpy(dtype=bool), "estimate"]
    values = kept["estimate"].to_numpy(dtype=float)
    found = spread(values, kept["primary"])
    known = kept["expected"].notna().to_numpy(dtype=bool)
    beyond = float((kept["ci_low"] > kept["expected"]).to_numpy()[known].mean()) if known.any() else np.nan
    rank = found.pop("primary_rank")
    refused = curve["refused"] != ""
    return {
        **found, "share_beyond_expected": beyond, "primary_rank": rank, "bound_low": float(bounds.min()),
        "bound_high": float(bounds.max()), "n_specifications": float(len(values)),
        "n_refused": float((refused & own).sum()), "n": float(kept["n"].max()),
    }  # fmt: skip

"""How are the scores distributed at each occasion?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import t

from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.measures.instruments import Instrument
from attachment_outcomes.measures.occasions import group_name

ANALYSIS = "descriptives"


def describe_scores(scores: pd.DataFrame, instruments: Mapping[str, Instrument], *, ci_level: float = 0.95) -> list[Estimate]:
    """Return the mean (with its t interval) and the SD of every score at every occasion.

    ``group`` names the occasion, and the rater where it is not the person. ``n`` counts scores, ``n_clusters`` people: where a
    person has several scores at an occasion (about several people) the interval takes them as independent, and the note says so.

    Parameters
    ----------
    scores : DataFrame
        The canonical scores.
    instruments : mapping
        Instrument key to its form, for the direction of each scale.
    ci_level : float
        Confidence level.
    """
    made = scores[scores["score"].notna()]
    rows: list[Estimate] = []
    keys = ["instrument", "scale", "wave", "session_number", "rater"]
    for values, frame in made.groupby(keys, sort=True, dropna=False, observed=True):
        instrument, scale, wave, session, rater = str(values[0]), str(values[1]), *values[2:]
        rows += _describe(
            frame["score"].to_numpy(dtype=float),
            int(frame["person_id"].nunique()),
            outcome=f"{instrument}.{scale}",
            group=group_name(wave, session, str(rater)),
            direction=instruments[instrument].scale(scale).estimate_direction,
            ci_level=ci_level,
        )
    return rows or [not_testable(ANALYSIS, "no scores")]


def _describe(points: np.ndarray, people: int, *, outcome: str, group: str, direction: str, ci_level: float) -> list[Estimate]:
    n = len(points)
    mean = float(points.mean())
    sd = float(points.std(ddof=1)) if n > 1 else math.nan
    error = sd / math.sqrt(n)
    reach = float(t.ppf((1 + ci_level) / 2, n - 1)) * error if n > 1 else math.nan
    note = f"{n} scores of {people} people, taken as independent" if people < n else ""
    return [
        Estimate(
            analysis=ANALYSIS, estimand="mean", estimate=mean, method="mean, t interval", outcome=outcome, group=group,
            std_error=error, ci_low=mean - reach, ci_high=mean + reach, ci_level=ci_level, n=n, n_clusters=people,
            unit="score points", direction=direction, note=note,
        ),
        Estimate(
            analysis=ANALYSIS, estimand="sd", estimate=sd, method="SD, n - 1", outcome=outcome, group=group, ci_level=ci_level, n=n,
            n_clusters=people, unit="score points", note=note,
        ),
    ]  # fmt: skip

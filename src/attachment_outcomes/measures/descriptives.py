"""How are the scores distributed at each occasion?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import t

from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.measures.instruments import Instrument
from attachment_outcomes.measures.occasions import group_codes, group_name

ANALYSIS = "descriptives"
KEYS = ["instrument", "scale", "wave", "session_number", "rater"]


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
    made = scores[scores["score"].notna()].reset_index(drop=True)
    if made.empty:
        return [not_testable(ANALYSIS, "no scores")]
    group = group_codes(made, KEYS)
    first = made.loc[~pd.Series(group).duplicated().to_numpy(), KEYS]
    points, people = made["score"].to_numpy(dtype=float), pd.factorize(made["person_id"])[0]
    cuts = np.flatnonzero(np.diff(np.sort(group))) + 1
    members = np.split(np.argsort(group, kind="stable"), cuts)
    rows: list[Estimate] = []
    for key, mine in zip(first.itertuples(index=False), members, strict=True):
        rows += _describe(
            points[mine],
            len(np.unique(people[mine])),
            outcome=f"{key.instrument}.{key.scale}",
            group=group_name(key.wave, key.session_number, str(key.rater)),
            direction=instruments[str(key.instrument)].scale(str(key.scale)).estimate_direction,
            ci_level=ci_level,
        )
    return rows


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

"""Whose end is missing, and what is known of them: what a way of handling missing ends is given, and what it gives.

Vocabulary
----------
situation   the baseline–end pairs of one outcome with what else is known of the people
handled     the scores that are counted, with a weight for each person, and several sets of them where they were imputed
standing    ``defensible``; ``discredited`` (still seen, shown so that its distance can be seen); or ``bound``: no analysis, but how
            far the answer could move whatever the missing scores are, and therefore no part of any summary
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
DEFENSIBLE, DISCREDITED, BOUND = "defensible", "discredited", "bound"


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a handling may use.

    ``frame``   one row a person, sorted: ``person_id, pre, post, last``; ``last`` is the last value after the baseline and before
                the end (the baseline itself if there is none)
    ``long``    all values of the outcome: ``person_id, occasion, value``
    ``range``   lowest and highest possible score, or None
    ``rng``     a generator for what is random
    ``therapists`` by ``person_id``, or None
    """

    frame: pd.DataFrame
    long: pd.DataFrame
    higher_is_better: bool
    range: tuple[float, float] | None
    rng: np.random.Generator
    therapists: pd.Series | None = None


@dataclass(frozen=True, kw_only=True)
class Handled:
    """``pre, post`` (m, n): m is 1 unless scores were imputed; NaN in either leaves a person out; ``weights`` (n,) or None."""

    pre: Numbers
    post: Numbers
    weights: Numbers | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Handling:
    """A way of handling missing ends, and its standing; ``imputes`` tells whether it gives several sets of scores."""

    apply: Callable[[Situation], Handled]
    standing: str = DEFENSIBLE
    imputes: bool = False


def situation_of(
    long: pd.DataFrame,
    found: pd.DataFrame,
    *,
    higher_is_better: bool,
    range_: tuple[float, float] | None,
    rng: np.random.Generator,
    therapists: pd.Series | None = None,
) -> Situation:
    """Return the situation that one choice of baseline and end makes.

    Parameters
    ----------
    long
        ``person_id, occasion, value``, sorted.
    found
        Pairs of :func:`attachment_outcomes.change.occasions.pairs`; who has no baseline is left as missing.
    higher_is_better, range_, rng, therapists
        As in :class:`Situation`.
    """
    frame = found.sort_values("person_id", kind="stable").reset_index(drop=True)
    at = long.merge(frame[["person_id", "pre_at", "post_at"]], on="person_id", how="inner")
    after = (at["occasion"] >= at["pre_at"]).fillna(False).to_numpy(dtype=bool)
    before = (at["post_at"].isna() | (at["occasion"] < at["post_at"]).fillna(False)).to_numpy(dtype=bool)
    last = at[after & before].drop_duplicates("person_id", keep="last").set_index("person_id")["value"]
    frame = frame.assign(last=last.reindex(frame["person_id"]).to_numpy(dtype=float))
    return Situation(
        frame=frame, long=long, higher_is_better=higher_is_better, range=range_, rng=rng,
        therapists=therapists,
    )  # fmt: skip

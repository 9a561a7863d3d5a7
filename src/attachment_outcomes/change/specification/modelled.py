"""Handlings that model who is missing: multiple imputation, and weights by the inverse probability of being seen.

Both presume that scores are missing at random given what was seen of a person: the scores before. Their own analysis, with
sensitivity to that assumption, is elsewhere; here they are one choice among others.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.change.specification.situation import Handled, Situation
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.multiple_imputation import impute
from attachment_outcomes.inference.weighting import seen_weights

Numbers = NDArray[np.float64]
IMPUTATIONS = 10  # sets; enough for a curve, whose points need no third digit
MOST_OCCASIONS = 12  # sessions have no planned occasion that all were to be seen at
MOST_PEOPLE = 20_000  # above it chains take minutes
FEWEST_LAST = 10  # of the missing whose last score is not their baseline, for it to be a predictor


def imputed(situation: Situation) -> Handled:
    """Draw missing ends from the normal model of all planned occasions, with therapists where they are known.

    Where the end is the last value seen, somebody without one gets a draw of the last planned occasion.

    Raises
    ------
    StatisticsError
        If nobody's end is missing, occasions are no planned ones, or the model cannot be fitted.
    """
    pre, post = (situation.frame[c].to_numpy(dtype=float, na_value=np.nan) for c in ("pre", "post"))
    hole = np.isnan(post) & ~np.isnan(pre)
    if not hole.any():
        raise StatisticsError("nobody's end is missing")
    wide: pd.DataFrame = situation.long.pivot(index="person_id", columns="occasion", values="value")
    if wide.shape[1] > MOST_OCCASIONS or len(wide) > MOST_PEOPLE:
        limit = f"at most {MOST_OCCASIONS} planned ones of {MOST_PEOPLE} are imputed here"
        raise StatisticsError(f"{wide.shape[1]} occasions of {len(wide)} people; {limit}")
    wide = wide.reindex(situation.frame["person_id"].to_numpy())
    target = situation.frame["post_at"].dropna()
    end = int(target.iloc[0]) if len(target.unique()) == 1 else int(wide.columns.max())
    clusters = None if situation.therapists is None else situation.therapists.reindex(wide.index).reset_index(drop=True)
    found = impute(wide.to_numpy(dtype=float), imputations=IMPUTATIONS, rng=situation.rng, clusters=clusters)
    completed: Numbers = found.values
    drawn = completed.take(int(wide.columns.get_indexer(pd.Index([end]))[0]), axis=2)
    return Handled(pre=np.broadcast_to(pre, drawn.shape), post=np.where(hole, drawn, post), note=found.note)


def weighted(situation: Situation) -> Handled:
    """Weight who has both scores by the inverse of the probability of having an end, given the scores before.

    The weights count as fixed in the interval, which makes it rather too long than too short.

    Raises
    ------
    StatisticsError
        If nobody's end is missing, or the model of being seen cannot be fitted or leaves somebody nearly no chance.
    """
    pre, post, last = (situation.frame[c].to_numpy(dtype=float, na_value=np.nan) for c in ("pre", "post", "last"))
    there = ~np.isnan(pre)
    seen = ~np.isnan(post[there])
    if seen.all():
        raise StatisticsError("nobody's end is missing")
    columns = [np.ones(int(there.sum())), pre[there]]
    if (last[there] != pre[there])[~seen].sum() >= FEWEST_LAST:
        columns.append(last[there])
    design = np.column_stack([columns[0], *((c - c.mean()) / (c.std() or 1.0) for c in columns[1:])])
    found = seen_weights(design, seen.astype(float))
    weights = np.zeros(len(pre))
    weights[there] = found.weights
    return Handled(pre=pre[None, :], post=post[None, :], weights=weights)

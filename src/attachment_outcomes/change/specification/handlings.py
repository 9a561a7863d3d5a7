"""What is done about people whose end is missing? Ways of handling them, by name, so that others can be added.

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
from importlib import import_module

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError

Numbers = NDArray[np.float64]
COMPLETE, CARRIED, BEST, WORST = "complete pairs", "last value carried forward", "best case", "worst case"
IMPUTED, WEIGHTED = "multiple imputation", "inverse-probability weights"
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


def _scores(situation: Situation) -> tuple[Numbers, Numbers]:
    pre, post = (situation.frame[c].to_numpy(dtype=float, na_value=np.nan) for c in ("pre", "post"))
    return pre, post


def complete_pairs(situation: Situation) -> Handled:
    """Count who has both scores."""
    pre, post = _scores(situation)
    return Handled(pre=pre[None, :], post=post[None, :])


def carried_forward(situation: Situation) -> Handled:
    """Take the last value seen before the end as the end, the baseline if there is none: as if nobody changed after leaving."""
    pre, post = _scores(situation)
    last = situation.frame["last"].to_numpy(dtype=float, na_value=np.nan)
    return Handled(pre=pre[None, :], post=np.where(np.isnan(post), last, post)[None, :])


def _extreme(situation: Situation, better: bool) -> Handled:
    if situation.range is None:
        raise StatisticsError("the instrument gives no lowest and highest score")
    pre, post = _scores(situation)
    end = situation.range[int(situation.higher_is_better is better)]
    return Handled(pre=pre[None, :], post=np.where(np.isnan(post), end, post)[None, :])


def best_case(situation: Situation) -> Handled:
    """Take the best possible score of the scale for every missing end."""
    return _extreme(situation, True)


def worst_case(situation: Situation) -> Handled:
    """Take the worst possible score of the scale for every missing end."""
    return _extreme(situation, False)


def _imputed(situation: Situation) -> Handled:
    return import_module("attachment_outcomes.change.specification.modelled").imputed(situation)  # type: ignore[no-any-return]


def _weighted(situation: Situation) -> Handled:
    return import_module("attachment_outcomes.change.specification.modelled").weighted(situation)  # type: ignore[no-any-return]


HANDLINGS: dict[str, Handling] = {
    COMPLETE: Handling(apply=complete_pairs),
    IMPUTED: Handling(apply=_imputed, imputes=True),
    WEIGHTED: Handling(apply=_weighted),
    CARRIED: Handling(apply=carried_forward, standing=DISCREDITED),
    BEST: Handling(apply=best_case, standing=BOUND),
    WORST: Handling(apply=worst_case, standing=BOUND),
}


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

"""What is done about people whose end is missing? Ways of handling them, by name, so that others can be added."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.change.specification.modelled import imputed, weighted
from attachment_outcomes.change.specification.situation import BOUND, DISCREDITED, Handled, Handling, Situation
from attachment_outcomes.errors import StatisticsError

Numbers = NDArray[np.float64]
COMPLETE, CARRIED, BEST, WORST = "complete pairs", "last value carried forward", "best case", "worst case"
IMPUTED, WEIGHTED = "multiple imputation", "inverse-probability weights"


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


HANDLINGS: dict[str, Handling] = {
    COMPLETE: Handling(apply=complete_pairs),
    IMPUTED: Handling(apply=imputed, imputes=True),
    WEIGHTED: Handling(apply=weighted),
    CARRIED: Handling(apply=carried_forward, standing=DISCREDITED),
    BEST: Handling(apply=best_case, standing=BOUND),
    WORST: Handling(apply=worst_case, standing=BOUND),
}

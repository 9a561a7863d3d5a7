"""Did a person change by a given percentage of where they started (response: 50 percent)?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.individual_change.methods import CATEGORIES
from attachment_outcomes.inference.individual_change.reading import scores_of


def percentage_change(
    pre: ArrayLike, post: ArrayLike, *, share: float = 0.5, minimum: float, higher_is_better: bool = False
) -> pd.DataFrame:
    r"""Return each person's proportional change and category.

    .. math:: p = (x_2 - x_1) / (x_1 - \text{minimum})

    Improved if the change towards better is at least ``share``, deteriorated if that towards worse is.

    Parameters
    ----------
    pre, post : (n,) floats
        Score points; NaN gives NaN and a missing category.
    share
        Least proportional change that counts; 0.5 is the usual definition of response.
    minimum
        Lowest possible score: a percentage means nothing on a scale that does not start at 0.
    higher_is_better
        Direction of the scale.

    Returns
    -------
    DataFrame
        ``statistic`` (proportion, negative = the score fell) and ``category``. A person who starts at the minimum has
        neither: there is nothing to take a percentage of.

    Raises
    ------
    StatisticsError
        If ``share`` is not in (0, 1], the scores are not pairs of numbers of the same people, or a score lies below the minimum.
    """
    if not 0 < share <= 1:
        what = f"share is {share}; allowed: above 0, at most 1."
        raise StatisticsError(problem("percentage change", what, hint="50 percent are 0.5."))
    before, after = scores_of(pre, post, place="percentage change")
    x1, x2 = before - minimum, after - minimum
    if (x1 < 0).any() or (x2 < 0).any():
        raise StatisticsError(
            problem("percentage change", f"{int(((x1 < 0) | (x2 < 0)).sum())} people score below the minimum {minimum:g}.")
        )
    statistic = np.divide(x2 - x1, x1, out=np.full(len(x1), np.nan), where=x1 > 0)
    toward_better = statistic if higher_is_better else -statistic
    code = np.ones(len(x1), dtype=np.int8)
    code[toward_better >= share] = 0
    code[toward_better <= -share] = 2
    code[np.isnan(statistic)] = -1
    return pd.DataFrame(
        {"statistic": statistic, "category": pd.Categorical.from_codes(code, dtype=pd.CategoricalDtype(CATEGORIES))}
    )

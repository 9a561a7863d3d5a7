r"""Did the group change, and by enough to matter? Rules for the average, and shares of people without naming them.

Vocabulary
----------
MID     minimal important difference, score points, from an anchor
anchor  what people themselves call better; the group rule compares the interval of the mean change with the MID
shares  Hageman and Arrindell's group level: how many true scores went up, and how many end beyond the cutoff
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import ndtr

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.effects import paired_change
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.individual_change.methods import Setting, difference_reliability, mean_change, sd_of_differences
from attachment_outcomes.inference.individual_change.reading import direction_of, scores_of
from attachment_outcomes.inference.individual_change.significance import Cutoff
from attachment_outcomes.inference.pairing import same_people

NOT_SIGNIFICANT, BELOW, HOLDS, BEYOND, WORSE = GROUP_CATEGORIES = [
    "not significant", "significant, below the MID", "interval holds the MID", "beyond the MID", "significantly worse",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChange:
    """A group's mean change (score points, as scored) with its interval, and its category, one of ``GROUP_CATEGORIES``."""

    category: str
    estimate: float
    ci_low: float
    ci_high: float
    ci_level: float
    mid: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupShares:
    """Shares of people, from means and SDs: ``changed`` truly towards better; ``functional`` truly beyond the cutoff at the end."""

    changed: float
    functional: float
    reliability_of_difference: float
    reliability_post: float


def group_change(
    pre: ArrayLike,
    post: ArrayLike,
    *,
    mid: float,
    higher_is_better: bool = False,
    clusters: ArrayLike | pd.Series | None = None,
    ci_level: float = CI_LEVEL,
) -> GroupChange:
    """Return which of four things the interval of a group's mean change says about the MID; worsening is a fifth.

    ``not significant`` if the interval holds 0; else, towards better, ``significant, below the MID`` if it ends before the MID,
    ``interval holds the MID`` if the MID is in it (its ends belong to it), ``beyond the MID`` if it begins beyond; and
    ``significantly worse``.

    Parameters
    ----------
    pre, post : (n,) floats
        Score points; people without both are left out (``n`` counts who stayed).
    mid
        Minimal important difference, score points.
    higher_is_better
        Direction of the scale.
    clusters
        Therapist of each person; the interval is then robust to clustering.
    ci_level
        Confidence level.

    Raises
    ------
    StatisticsError
        If the MID is not positive, fewer than two people have both scores, or the scores are none.
    """
    if not (isinstance(mid, int | float | np.number) and not isinstance(mid, bool) and 0 < mid < np.inf):
        raise StatisticsError(problem("group change", f"found a MID of {mid}; allowed: a positive number of score points."))
    sign = 1.0 if direction_of(higher_is_better) else -1.0
    same_people("group change", pre=pre, post=post, clusters=clusters)
    x1, x2 = scores_of(pre, post, place="group change")
    found, _ = paired_change(x1, x2, clusters=clusters, ci_level=ci_level)
    low, high = sorted((sign * found.ci_low, sign * found.ci_high))
    if low <= 0 <= high:
        category = NOT_SIGNIFICANT
    elif high < 0:
        category = WORSE
    elif high < mid:
        category = BELOW
    else:
        category = BEYOND if low > mid else HOLDS
    return GroupChange(
        category=category, estimate=found.estimate, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level, mid=float(mid),
        n=found.n,
    )  # fmt: skip


def hageman_arrindell_shares(setting: Setting, cutoff: Cutoff, *, higher_is_better: bool) -> GroupShares:
    r"""Return the shares of people who truly changed for the better, and who truly end in the functional range.

    .. math:: \text{changed} = \Phi\Big(\frac{d(M_2 - M_1)}{S_D\sqrt{r_{dd}}}\Big), \quad
        \text{functional} = \Phi\Big(\frac{d(M_2 - cut)}{S_2\sqrt{r_2}}\Big), \quad r_2 = \frac{S_2^2 - SE^2}{S_2^2}

    with :math:`S_D` the SD of the differences. True scores are taken as normal; the shares are of a population, not of these
    people.

    Parameters
    ----------
    setting
        With means, SDs and pre–post correlation of the sample, from :func:`.reliable.setting_from`.
    cutoff
        On true scores (``c_true``).
    higher_is_better
        Direction of the scale.

    Raises
    ------
    StatisticsError
        If something is unknown, or differences or end scores vary no more than error.

    References
    ----------
    Hageman, W. J. J. M., & Arrindell, W. A. (1999). Behav. Res. Ther., 37, 1169-1193. The formulas are recalled, not checked.
    """
    place, sign = "shares by Hageman and Arrindell", 1.0 if direction_of(higher_is_better) else -1.0
    if not isinstance(setting, Setting) or not isinstance(cutoff, Cutoff):
        what = f"found {type(setting).__name__} and {type(cutoff).__name__}; allowed: a Setting and a Cutoff."
        raise StatisticsError(problem(place, what, hint="from setting_from and choose_cutoff."))
    m2, s2 = setting.mean_post, setting.sd_post
    if m2 is None or s2 is None or any(setting.lacks(n) for n in ("reliability", "sd", "mean_pre", "sd_pre", "r12")):
        raise StatisticsError(problem(place, "needs the reliability, and means, SDs and correlation of both occasions."))
    of_difference = difference_reliability(setting)
    of_end = 1 - setting.se_measurement**2 / s2**2
    if not of_difference > 0:
        raise StatisticsError(problem(place, "the differences vary less than measurement error alone would make them."))
    if not of_end > 0:
        raise StatisticsError(problem(place, "the end scores vary less than measurement error alone would make them."))
    changed = sign * mean_change(setting) / (sd_of_differences(setting) * np.sqrt(of_difference))
    functional = sign * (m2 - cutoff.value) / (s2 * np.sqrt(of_end))
    return GroupShares(
        changed=float(ndtr(changed)), functional=float(ndtr(functional)), reliability_of_difference=of_difference,
        reliability_post=of_end,
    )  # fmt: skip

"""Who was earned secure by the retrospective definition: secure now, with a childhood that the interview shows to be unloving?

Vocabulary
----------
earned        secure (F) in the Adult Attachment Interview, with low inferred loving experience
continuous    secure, without it
prospective   insecure when seen before, secure now: what the rest of this package counts

The two definitions are different questions about different people. Most retrospectively earned-secure adults, followed from
infancy, had not been insecure children (Roisman, Padrón, Sroufe & Egeland, 2002, Child Development, 73, 1204-1219), so that neither
may stand for the other.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from attachment_outcomes.errors import StatisticsError, problem

PLACE = "retrospective earned security"
INSECURE, EARNED, CONTINUOUS, SECURE_UNCLEAR = "insecure", "earned secure", "continuous secure", "secure, unclear"
GROUPS = [INSECURE, EARNED, CONTINUOUS, SECURE_UNCLEAR]

# Recalled, not checked (verified: false). Inferred loving experience has scales from 1 (not loving) to 9 (very loving). The strict
# rule asks for at most 2.5 with one parent and not above 5 with any; the broad one for less than 5 with both.
VERIFIED = False
RULES: dict[str, str] = {
    "strict": "at most 2.5 with at least one parent, and below 5 with the other",
    "broad": "below 5 with both parents",
}
LOWEST, HIGHEST = 1.0, 9.0
STRICT, MIDDLE = 2.5, 5.0


def retrospective_security(
    secure: ArrayLike, loving_mother: ArrayLike, loving_father: ArrayLike, *, rule: str = "strict"
) -> pd.Series:
    """Return each person's group: insecure, earned secure, continuous secure, or secure without being told which.

    Parameters
    ----------
    secure : (n,) booleans
        Whether the interview's class is F. Missing gives a missing group.
    loving_mother, loving_father : (n,) floats
        Inferred loving experience with each parent, 1 (not loving) to 9 (very loving). A missing one is not guessed: the group is
        ``secure, unclear`` where the other does not decide.
    rule : {"strict", "broad"}
        See ``RULES``. The thresholds are recalled and not checked against the coding manual (``VERIFIED``): check them before use.

    Returns
    -------
    (n,) Series of words
        One of ``GROUPS``, or missing.

    Raises
    ------
    StatisticsError
        If lengths differ, a rating is outside 1 to 9, or there is no such rule.

    References
    ----------
    Pearson, J. L., Cohn, D. A., Cowan, P. A., & Cowan, C. P. (1994). Development and Psychopathology, 6, 359-373 (the groups).
    Roisman et al. (2002), see the module (the strict rule). Both recalled.
    """
    if rule not in RULES:
        raise StatisticsError(problem(PLACE, f"found rule {rule!r}; allowed: {', '.join(RULES)}."))
    state = pd.Series(secure).reset_index(drop=True).astype("boolean")
    mother, father = (np.asarray(v, dtype=float) for v in (loving_mother, loving_father))
    if not len(state) == len(mother) == len(father):
        raise StatisticsError(problem(PLACE, f"{len(state)} classes, {len(mother)} and {len(father)} ratings; allowed: one each."))
    for rating in (mother, father):
        if ((rating < LOWEST) | (rating > HIGHEST)).any():
            raise StatisticsError(problem(PLACE, f"a rating is outside {LOWEST:g} to {HIGHEST:g}."))
    low, high = np.fmin(mother, father), np.fmax(mother, father)
    both = ~(np.isnan(mother) | np.isnan(father))
    one_high = high >= MIDDLE  # one parent decides that it was not unloving with both
    earned = both & (high < MIDDLE) & ((low <= STRICT) if rule == "strict" else True)
    group = np.select([earned, both | one_high], [EARNED, CONTINUOUS], default=SECURE_UNCLEAR).astype(object)
    group[~state.fillna(True).to_numpy(dtype=bool)] = INSECURE
    group[state.isna().to_numpy(dtype=bool)] = None
    return pd.Series(group, dtype="str", name="group")

r"""Are children secure although the parent's class is the same as before, and how many changes of class are error alone?

Vocabulary
----------
stayed insecure, became secure  insecure before, and insecure or secure after
apparent change                 another class at the second interview of somebody who has not changed
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.prevented_fraction import combination
from attachment_outcomes.inference.proportions import Proportion
from attachment_outcomes.measures.codes import INSECURE, SECURE
from attachment_outcomes.transmission.interruption.comparison import MOVER, checked
from attachment_outcomes.transmission.interruption.people import ARMS
from attachment_outcomes.transmission.interruption.rows import Shared, of_share, share_of

STAYED, BECAME = "parent stayed insecure", "parent became secure"
AFTER_TREATMENT = "groups are formed after treatment, so that their difference is no effect even where arms were allotted at random"
NO_ERROR = "apparent change: needs the agreement of the parents' interview with itself (transmission.misclassification)"


def unchanged_class(
    pairs: pd.DataFrame,
    *,
    retest: Mapping[str, Any] | None = None,
    share_secure: float | None = None,
    outcome: str = "AAI-SSP",
    definition: str = "",
    randomised: bool = False,
    ci_level: float = CI_LEVEL,
) -> list[Estimate]:
    r"""Tell apart children of insecure parents who became secure and of those who stayed insecure.

    Parameters
    ----------
    pairs : DataFrame
        As for :func:`.comparison.interrupted_transmission`, with ``after``: the parent's security after (secure, insecure or
        missing).
    retest : mapping, optional
        Agreement of the parents' classification with itself: one of kappa, table and errors, as in
        :func:`apparent_change`.
    share_secure : float, optional
        Share of secure classes among those who are classified; by default that of ``before``. Where only insecure parents were
        chosen it must be given.
    outcome, definition, randomised, ci_level
        As for :func:`.comparison.interrupted_transmission`.

    Returns
    -------
    list of Estimate
        analysis ``interruption``, of parents insecure before whose class after is known:

        - ``became_secure``, group ``<arm>``, and ``became_secure_difference``;
        - ``became_secure_by_error``: the share that would seem to have become secure if nobody changed, the same in both arms;
        - ``child_secure``, group ``<arm>, parent stayed insecure`` and ``<arm>, parent became secure``, and
          ``child_secure_difference`` of those who stayed insecure.

    Raises
    ------
    DataError
        If a column is absent or holds another word.
    """
    shared = Shared(outcome, definition, randomised, ci_level)
    rows_of = checked(pairs, classes=("after",))
    every = rows_of[(rows_of["before"] == INSECURE) & rows_of["after"].notna()]
    if every.empty:
        return [shared.silent("class unchanged: no insecure parent has a class after", group=STAYED)]
    clustered = bool(rows_of["cluster"].duplicated().any())
    became = {arm: _share(every[every["arm"] == arm], "after", clustered, ci_level) for arm in ARMS}
    rows = [_row(shared, "became_secure", found, arm) for arm, found in became.items() if found is not None]
    rows += _difference(shared, "became_secure_difference", became, "", shared.standing)
    rows += _by_error(shared, rows_of, retest, share_secure)
    for name, after in ((STAYED, INSECURE), (BECAME, SECURE)):
        own = every[(every["after"] == after) & every["child"].notna()]
        shares = {arm: _share(own[own["arm"] == arm], "child", clustered, ci_level) for arm in ARMS}
        rows += [_row(shared, "child_secure", found, f"{arm}, {name}") for arm, found in shares.items() if found is not None]
        if name == STAYED:
            rows += _difference(shared, "child_secure_difference", shares, name, AFTER_TREATMENT)
    return rows


def apparent_change(
    share_secure: float, *, kappa: float | None = None, table: Any = None, errors: Any = None
) -> tuple[float, float]:
    r"""Return how often somebody who has not changed is classified otherwise a second time, first insecure and first secure.

    Parameters
    ----------
    share_secure : float
        Share p of people who are classified secure.
    kappa : float, optional
        Of two classifications with the same shares. Then :math:`P(\text{secure} \mid \text{insecure}) = p(1-\kappa)` and
        :math:`P(\text{insecure} \mid \text{secure}) = (1-p)(1-\kappa)`.
    table : (2, 2) counts, optional
        First by second classification, secure first: the shares of its rows off the diagonal.
    errors : (2, 2), optional
        Chance of each class (columns) given the true class (rows), secure first, with errors independent between occasions. The
        share of truly secure people, :math:`\pi = (p - e_{IS})/(e_{SS} - e_{IS})`, is put between 0 and 1.

    Returns
    -------
    tuple of two floats
        Share of those first insecure who are then secure, and of those first secure who are then insecure.

    Raises
    ------
    StatisticsError
        If none or several of the three are given, a row of the table is empty, or errors tell nothing of the true class.

    References
    ----------
    Fleiss, J. L., Levin, B., & Paik, M. C. (2003). Statistical methods for rates and proportions (3rd ed.), chapter 18. Wiley.
    """
    if sum(x is not None for x in (kappa, table, errors)) != 1:
        raise StatisticsError(problem("apparent change", "give one of kappa, table and errors."))
    if kappa is not None:
        return share_secure * (1 - kappa), (1 - share_secure) * (1 - kappa)
    if table is not None:
        counts = np.asarray(table, dtype=np.float64)
        if counts.shape != (2, 2) or (counts.sum(axis=1) == 0).any():
            raise StatisticsError(problem("apparent change", "needs a table of two classes with nobody's row empty."))
        shares = counts / counts.sum(axis=1, keepdims=True)
        return float(shares[1, 0]), float(shares[0, 1])
    given = np.asarray(errors, dtype=np.float64)
    if given.shape != (2, 2) or given[0, 0] <= given[1, 0]:
        raise StatisticsError(problem("apparent change", "errors of two classes in which the truly secure are secure more often."))
    true = float(np.clip((share_secure - given[1, 0]) / (given[0, 0] - given[1, 0]), 0, 1))
    truly = np.array([true, 1 - true])
    first = truly @ given
    both = (truly[:, None, None] * given[:, :, None] * given[:, None, :]).sum(axis=0)
    return float(both[1, 0] / first[1]), float(both[0, 1] / first[0])


def _by_error(shared: Shared, pairs: pd.DataFrame, retest: Mapping[str, Any] | None, share_secure: float | None) -> list[Estimate]:
    share = float((pairs["before"] == SECURE).mean()) if share_secure is None else share_secure
    if retest is None or share == 0:
        return [shared.silent(NO_ERROR if retest is None else "apparent change: no secure parent to tell their share from")]
    given = {k: retest[k] for k in ("kappa", "table", "errors") if retest.get(k) is not None}
    try:
        expected, _ = apparent_change(share, **given)
    except StatisticsError as error:
        return [shared.silent(str(error))]
    checked_in_source = "" if retest.get("verified", True) else "agreement not checked in its source"
    # Not the share itself: with the number of parents it is a count of them, and notes are not suppressed.
    whose = "before treatment" if share_secure is None else "given"
    told = f"with the share of secure classes {whose}; {retest.get('of', 'agreement')}, taken as known"
    nan = float("nan")
    return [
        shared.row(
            "became_secure_by_error",
            Interval(expected, nan, nan, nan),
            direction="",
            n=float(len(pairs)) if share_secure is None else nan,
            method=f"agreement of two classifications ({', '.join(given)})",
            notes=["what error alone would give in either arm if nobody changed", told, checked_in_source],
        )
    ]


Shares = Mapping[str, Proportion | None]


def _share(own: pd.DataFrame, column: str, clustered: bool, ci_level: float) -> Proportion | None:
    if own.empty:
        return None
    return share_of(own[column] == SECURE, own["cluster"] if clustered else None, ci_level)


def _row(shared: Shared, estimand: str, found: Proportion, group: str) -> Estimate:
    return shared.row(estimand, found, group=group, **of_share(found))


def _difference(shared: Shared, estimand: str, shares: Shares, group: str, note: str) -> list[Estimate]:
    treated, comparison = (shares[arm] for arm in ARMS)
    if treated is None or comparison is None:
        return []
    found = combination([1, -1], [treated, comparison])
    n = float(treated.n + comparison.n)
    return [shared.row(estimand, found, group=group, n=n, method=f"difference of shares {MOVER}", notes=[note])]

"""What do printed class tables before and after say of a treatment, where nobody's own data are at hand?"""

from __future__ import annotations

import pandas as pd
from scipy.stats import beta

from attachment_outcomes.errors import DataError, did_you_mean, problem
from attachment_outcomes.inference.agreement import Interval, wilson
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.prevented_fraction import combination, number_needed, prevented_fraction
from attachment_outcomes.measures.codes import INSECURE, SECURE
from attachment_outcomes.transmission.interruption.comparison import MOVER, finite, number_needed_interval
from attachment_outcomes.transmission.interruption.rows import Shared

COLUMNS = ["arm", "before", "after", "n"]
RECALLED = "recalled"
UNVERIFIED = "not verified: counts recalled, at least in part, and not checked in their source"


def arms_of_tables(
    tables: pd.DataFrame, *, comparison: str, outcome: str = "", randomised: bool = False, ci_level: float = CI_LEVEL
) -> list[Estimate]:
    r"""Compare arms by how many who were insecure before are secure after, from counts.

    Parameters
    ----------
    tables : DataFrame
        One row a cell: ``arm`` (name), ``before`` and ``after`` (secure, insecure), ``n`` (count), and, where there is one,
        ``standing``: an arm with a ``recalled`` count is shown as not verified. Before and after are of the same people, or of
        parent and child.
    comparison : str
        The arm that the others are compared with.
    outcome
        What the classes are.
    randomised
        Whether arms were allotted at random; otherwise notes speak of an association.
    ci_level
        Confidence level of the intervals.

    Returns
    -------
    list of Estimate
        analysis ``interruption``, definition ``printed tables``. Of each arm ``became_secure`` (group its name), with Wilson's
        interval and, by another method, the exact one of Clopper and Pearson; of each but the comparison
        ``became_secure_difference`` (Newcombe), ``fraction_interrupted`` and ``number_needed_to_treat``. An arm with nobody
        insecure before is a row ``not testable``.

    Raises
    ------
    DataError
        If a column is absent, a word is another, a cell is given twice, a count is no whole number from 0, or there is no such arm.

    References
    ----------
    Newcombe, R. G. (1998). Statistics in Medicine, 17, 873-890. Clopper, C. J., & Pearson, E. S. (1934). Biometrika, 26, 404-413.
    """
    counts, arms = _checked(tables), list(dict.fromkeys(tables["arm"]))
    if comparison not in arms:
        what = f"found {comparison!r}; allowed: {', '.join(map(str, arms))}.{did_you_mean(comparison, arms)}"
        raise DataError(problem("comparison", what))
    shared = Shared(outcome, "printed tables", randomised, ci_level)
    doubtful = {a for a in arms if "standing" in tables and (tables.loc[tables["arm"] == a, "standing"] == RECALLED).any()}
    rows, shares = [], {}
    for arm in arms:
        secure, n = (
            counts.get((arm, INSECURE, SECURE), 0),
            sum(counts.get((arm, INSECURE, after), 0) for after in (SECURE, INSECURE)),
        )
        if n == 0:
            rows.append(shared.silent("nobody was insecure before", group=arm))
            continue
        shares[arm] = wilson(secure, n, ci_level=ci_level)
        note = UNVERIFIED if arm in doubtful else ""
        given = {"group": arm, "n": float(n), "notes": [note]}
        rows.append(shared.row("became_secure", shares[arm], method="Wilson", **given))
        rows.append(shared.row("became_secure", _exact(secure, n, ci_level), method="exact (Clopper and Pearson)", **given))
    for arm in arms:
        if arm == comparison or arm not in shares or comparison not in shares:
            continue
        note = UNVERIFIED if {arm, comparison} & doubtful else ""
        notes = [shared.standing, note]
        difference = combination([1, -1], [shares[arm], shares[comparison]])
        group = f"{arm} against {comparison}"
        rows += [
            shared.row("became_secure_difference", difference, group=group, method=f"difference of shares {MOVER}", notes=notes),
            shared.row(
                "fraction_interrupted",
                finite(prevented_fraction(shares[arm], shares[comparison])),
                group=group,
                method=f"ratio of shares {MOVER}",
                notes=notes,
            ),
            shared.row(
                "number_needed_to_treat",
                number_needed_interval(number_needed(difference)),
                group=group,
                unit="people",
                direction="",
                method=f"1 / difference of shares {MOVER}",
                notes=notes,
            ),
        ]
    return rows


def _checked(tables: pd.DataFrame) -> dict[tuple[str, str, str], int]:
    absent = [c for c in COLUMNS if c not in tables]
    if absent:
        raise DataError(problem("tables", f"has no column {absent[0]!r}; it has {', '.join(map(str, tables.columns))}."))
    for column in ("before", "after"):
        if not tables[column].isin([SECURE, INSECURE]).all():
            raise DataError(problem(f"tables.{column}", f"holds another word than {SECURE} and {INSECURE}."))
    doubled = tables.duplicated(["arm", "before", "after"])
    if doubled.any():
        raise DataError(problem("tables", f"{int(doubled.sum())} cells are given twice.", hint="one row an arm, before and after."))
    n = pd.to_numeric(tables["n"], errors="coerce")
    if not (n.ge(0) & n.mod(1).eq(0)).all():
        raise DataError(problem("tables.n", "holds something else than whole numbers from 0."))
    keys = zip(tables["arm"], tables["before"], tables["after"], strict=True)
    return {(str(a), str(b), str(c)): int(x) for (a, b, c), x in zip(keys, n, strict=True)}


def _exact(events: int, n: int, ci_level: float) -> Interval:
    tail = 0.5 - ci_level / 2
    low = float(beta.ppf(tail, events, n - events + 1)) if events else 0.0
    high = float(beta.ppf(1 - tail, events + 1, n - events)) if events < n else 1.0
    share = events / n
    return Interval(share, (share * (1 - share) / n) ** 0.5, low, high)

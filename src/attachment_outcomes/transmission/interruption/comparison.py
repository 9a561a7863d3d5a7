r"""Is insecurity passed on less often where the parent was treated, and less often than the same treatment changes security?

Vocabulary
----------
interruption           the parent is insecure before, and the child secure
no-effect expectation  the share of interruptions in the comparison arm: what treatment without effect would give
fraction interrupted   share of the comparison arm's transmissions that there are fewer with treatment, (p1 − p0)/(1 − p0)
interaction            the difference between the arms where the parent was insecure, less that where the parent was secure
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import DataError, StatisticsError, problem
from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.prevented_fraction import (
    NumberNeeded,
    combination,
    number_needed,
    prevented_fraction,
    ratio_of_odds_ratios,
)
from attachment_outcomes.inference.proportions import Proportion
from attachment_outcomes.inference.robust_ols import FEW_DF, Fit, contrast, fit
from attachment_outcomes.measures.codes import INSECURE, SECURE
from attachment_outcomes.transmission.interruption.people import ARMS, COMPARISON, TREATED
from attachment_outcomes.transmission.interruption.rows import Numbers, Shared, odds_ratio_rows, of_share, share_of

PRIMARY = "interaction_risk_difference"
MOVER = "from Wilson's limits (MOVER)"
NOT_IDENTIFIED = "difference of arms: so few families that one of them decides a coefficient, or only one family"
NO_SPREAD = "a group is all alike, where regression has no error: from the shares' own limits at the effective n of families"
NO_EFFECT = "what treatment without effect would give the treated"
Shares = dict[tuple[str, str], Proportion | None]


def interrupted_transmission(
    pairs: pd.DataFrame,
    *,
    outcome: str = "AAI-SSP",
    definition: str = "",
    randomised: bool = False,
    ci_level: float = CI_LEVEL,
) -> list[Estimate]:
    r"""Compare how often children are secure between treated and comparison parents, insecure and secure ones.

    Parameters
    ----------
    pairs : DataFrame
        One row a parent and child: ``arm`` (treated, comparison), ``before`` (the parent's security before) and ``child`` (each
        secure, insecure or missing), and, if there is one, ``cluster`` (what pairs share: a family). Rows without a class before
        are left out.
    outcome, definition
        What classes these are, and how they were read.
    randomised
        Whether arms were allotted at random. Only then is a difference more than an association; notes say so.
    ci_level
        Confidence level of the intervals.

    Returns
    -------
    list of Estimate
        analysis ``interruption``; all proportions are of secure children, differences are treated less comparison, and more is
        better.

        - ``child_secure``, group ``<arm>, parent <insecure or secure>``: share (Wilson). That of ``comparison, parent insecure``
          is what treatment without effect would give the treated.
        - ``child_secure_difference``, group ``parent <class>``: risk difference (Newcombe).
        - ``interaction_risk_difference`` (primary): the difference where the parent was insecure less that where the parent was
          secure (Newcombe, 2001); ``interaction_odds_ratio``: the ratio of the two odds ratios (logistic model; Woolf).
        - ``fraction_interrupted``: :math:`(p_1-p_0)/(1-p_0)` where the parent was insecure (Donner & Zou, 2012).
        - ``number_needed_to_treat``: insecure parents for one more secure child, 1/d. Where the interval runs through infinity,
          limits are missing and the note tells it.
        - ``child_not_seen``, group ``<arm>``: share of children without a class, and ``child_secure_difference_lowest`` and
          ``_highest``: the difference where the parent was insecure if those of one arm were all secure and those of the other
          all insecure.

        Where families hold several pairs, shares have Wilson's interval at the effective sample size, differences and interaction
        are those of a linear model with CR2 and Satterthwaite's degrees of freedom, and the odds ratio that of a logistic model
        with the same. Where a compared group is all alike, regression has no error there, and the interval is by MOVER from the
        shares' own limits (of one pair a family in that group). What cannot be told is a row ``not testable``.

    Raises
    ------
    DataError
        If a column is absent, or holds another word.

    References
    ----------
    Newcombe, R. G. (2001). Statistics in Medicine, 20, 2885-2893. Altman, D. G. (1998). BMJ, 317, 1309-1312.

    Examples
    --------
    >>> arms = ["treated"] * 4 + ["comparison"] * 4
    >>> seen = pd.DataFrame({"arm": arms, "before": "insecure", "child": ["secure", "insecure"] * 4})
    >>> [r.estimate for r in interrupted_transmission(seen) if r.estimand == "child_secure_difference"]
    [0.0]
    """
    pairs = checked(pairs)
    shared = Shared(outcome, definition, randomised, ci_level)
    seen = pairs[pairs["child"].notna()]
    clustered = bool(seen["cluster"].duplicated().any())
    shares = {(arm, before): _share(seen, arm, before, clustered, ci_level) for before in (INSECURE, SECURE) for arm in ARMS}
    rows = []
    for (arm, before), found in shares.items():
        if found is not None:
            notes = [NO_EFFECT] if (arm, before) == (COMPARISON, INSECURE) else []
            rows.append(shared.row("child_secure", found, group=f"{arm}, parent {before}", notes=notes, **of_share(found)))
    rows += _differences(seen, shares, shared, clustered)
    rows += _prevented(shares, shared, differences=rows)
    return rows + _not_seen(pairs, shared)


def checked(pairs: pd.DataFrame, *, classes: Sequence[str] = (), numbers: Sequence[str] = ()) -> pd.DataFrame:
    """Return the rows with an arm and a class before, with ``cluster`` as whole numbers (one a row where there is none).

    Parameters
    ----------
    pairs : DataFrame
        As for :func:`interrupted_transmission`.
    classes, numbers
        What else is needed: columns of classes, and of numbers (finite or missing).

    Raises
    ------
    DataError
        If a column is absent, holds another word, or is not numbers.
    """
    allowed = {"arm": ARMS, **dict.fromkeys(("before", "child", *classes), (SECURE, INSECURE))}
    for column in (*allowed, *numbers):
        if column not in pairs:
            raise DataError(problem("pairs", f"has no column {column!r}; it has {', '.join(map(str, pairs.columns))}."))
    for column, words in allowed.items():
        if not pairs[column].dropna().isin(words).all():
            raise DataError(problem(f"pairs.{column}", f"holds another word than {', '.join(words)}.", hint="map them first."))
    read = {column: pd.to_numeric(pairs[column], errors="coerce").astype("float64") for column in numbers}
    for column, values in read.items():
        if not np.isfinite(values[pairs[column].notna()]).all():
            what = "holds something else than finite numbers."
            raise DataError(problem(f"pairs.{column}", what, hint="leave empty what is missing."))
    kept = pairs.assign(**read)[pairs["arm"].notna() & pairs["before"].notna()].reset_index(drop=True)
    own = pd.factorize(kept["cluster"], use_na_sentinel=False)[0] if "cluster" in kept else np.arange(len(kept))
    # Plain words compare faster than pandas' own texts, and this is asked again and again.
    plain = {c: "object" for c in (*allowed, "after") if c in kept}
    return kept.astype(plain).assign(cluster=own)


def _share(seen: pd.DataFrame, arm: str, before: str, clustered: bool, ci_level: float) -> Proportion | None:
    own = seen[(seen["arm"] == arm) & (seen["before"] == before)]
    if own.empty:
        return None
    return share_of(own["child"] == SECURE, own["cluster"] if clustered else None, ci_level)


def _differences(seen: pd.DataFrame, shares: Shares, shared: Shared, clustered: bool) -> list[Estimate]:
    """Return the differences between arms by the parent's class before, and their difference."""
    there = [b for b in (INSECURE, SECURE) if all(shares[arm, b] is not None for arm in ARMS)]
    rows: list[Estimate] = []
    if INSECURE not in there:
        rows.append(shared.silent("no insecure parent with a classified child in one of the arms"))
    if SECURE not in there:
        rows.append(shared.silent("treatment by insecurity needs secure parents in both arms", group=PRIMARY))
    if not there:
        return rows
    by_class = {b: seen[seen["before"] == b] for b in there}
    n, families = {b: float(len(x)) for b, x in by_class.items()}, {b: float(x["cluster"].nunique()) for b, x in by_class.items()}
    whole, whole_families = float(sum(n.values())), float(seen.loc[seen["before"].isin(there), "cluster"].nunique())
    both = len(there) == 2
    if clustered:
        return rows + _regressions(seen[seen["before"].isin(there)], there, shares, shared)
    for b in there:
        found = combination([1, -1], [_of(shares, TREATED, b), _of(shares, COMPARISON, b)])
        rows.append(
            shared.row(
                "child_secure_difference",
                found,
                group=f"parent {b}",
                n=n[b],
                n_clusters=families[b],
                method=f"difference of shares {MOVER}",
                notes=[shared.standing],
            )
        )
    if both:
        four = [_of(shares, arm, b) for b in (INSECURE, SECURE) for arm in ARMS]
        counts = {"n": whole, "n_clusters": whole_families}
        additive = combination([1, -1, -1, 1], four)
        rows.append(
            shared.row(
                PRIMARY, additive, primary=True, method=f"difference of differences {MOVER}", notes=[shared.standing], **counts
            )
        )
        tables = [[[round(s.estimate * s.n), round((1 - s.estimate) * s.n)] for s in four[i : i + 2]] for i in (0, 2)]
        rows.append(
            shared.row(
                "interaction_odds_ratio",
                ratio_of_odds_ratios(tables, ci_level=shared.ci_level),
                unit="odds ratio",
                method="logistic, saturated (Woolf)",
                notes=[shared.standing],
                **counts,
            )
        )
    return rows


def _of(shares: Shares, arm: str, before: str) -> Proportion:
    found = shares[arm, before]
    assert found is not None
    return found


def _regressions(seen: pd.DataFrame, there: list[str], shares: Shares, shared: Shared) -> list[Estimate]:
    """Return the same of regressions that allow for families; by MOVER where a group is all alike."""
    treated = (seen["arm"] == TREATED).to_numpy(dtype=float)
    insecure = (seen["before"] == INSECURE).to_numpy(dtype=float)
    secure_child = np.asarray(seen["child"] == SECURE, dtype=np.float64)
    one = np.ones(len(seen))
    codes = pd.factorize(seen["cluster"])[0].astype(np.int64)
    design = np.column_stack([one, treated] if len(there) == 1 else [one, treated, insecure, treated * insecure])
    # Secure parents' difference, and what insecure ones' adds to it.
    size = design.shape[1]
    weights = {there[0]: np.eye(size)[1]} if size == 2 else {SECURE: np.eye(4)[1], INSECURE: np.eye(4)[1] + np.eye(4)[3]}
    counts = {"n": float(len(seen)), "n_clusters": float(codes.max() + 1)}
    try:
        found = fit(design, secure_child, codes, units="families")
    except StatisticsError:
        return [shared.silent(NOT_IDENTIFIED)]
    rows = []
    for name, w in [*((f"parent {b}", weights[b]) for b in there), *([("", np.eye(4)[3])] if size == 4 else [])]:
        compared = [_of(shares, arm, b) for b in there if name in ("", f"parent {b}") for arm in ARMS]
        ends, said = _contrast(found, w, compared, shared.ci_level)
        rows.append(
            shared.row(
                "child_secure_difference" if name else PRIMARY,
                ends,
                group=name,
                primary=not name,
                notes=[shared.standing],
                **said,
                **counts,
            )
        )
    if size == 4:
        rows += odds_ratio_rows(
            design, secure_child, codes, {"interaction_odds_ratio": np.eye(4)[3]}, shared, notes=[shared.standing], **counts
        )
    return rows


def _contrast(found: Fit, weights: Numbers, shares: Sequence[Proportion], ci_level: float) -> tuple[Interval, Mapping[str, Any]]:
    """Return a contrast of ``shares`` (treated and comparison, of insecure parents first) with its method and p value.

    Where a group is all alike, its residuals are 0 and add no error, and where all are, the interval has no length. As Wald's it
    collapses at 0 and 1; MOVER does not.
    """
    if any(s.estimate in (0.0, 1.0) for s in shares):
        ends = combination([1, -1, -1, 1][: len(shares)], shares)
        return replace(ends, note=NO_SPREAD), {"method": f"difference {MOVER}"}
    c = contrast(found, weights, ci_level=ci_level)
    few = f"the interval rests on {c.df:.1f} degrees of freedom: too few to be trusted" if c.df < FEW_DF else ""
    return Interval(c.estimate, c.std_error, c.ci_low, c.ci_high, few), {"method": found.method, "p_value": c.p_value}


def _prevented(shares: Shares, shared: Shared, *, differences: Sequence[Estimate]) -> list[Estimate]:
    """Return the share of transmissions interrupted, and the number needed to treat."""
    treated, comparison = (shares[arm, INSECURE] for arm in ARMS)
    if treated is None or comparison is None:
        return []
    counts = {"n": float(treated.n + comparison.n)}
    rows = [
        shared.row(
            "fraction_interrupted",
            finite(prevented_fraction(treated, comparison)),
            notes=[shared.standing],
            method=f"ratio of shares {MOVER}",
            **counts,
        )
    ]
    group = f"parent {INSECURE}"
    own = next((r for r in differences if r.estimand == "child_secure_difference" and r.group == group), None)
    if own is not None:
        ends = number_needed_interval(number_needed(Interval(own.estimate, own.std_error, own.ci_low, own.ci_high)))
        rows.append(
            shared.row(
                "number_needed_to_treat",
                ends,
                unit="parents",
                direction="",
                method=f"1 / difference; {own.method}",
                n_clusters=own.n_clusters,
                notes=[shared.standing],
                **counts,
            )
        )
    return rows


def finite(found: Interval) -> Interval:
    """Return an interval with a missing limit, and words, in place of an infinite one."""
    if not math.isinf(found.ci_low):
        return found
    return replace(
        found, ci_low=math.nan, note="there is no lower limit: nearly no transmission without treatment is not ruled out"
    )


def number_needed_interval(found: NumberNeeded) -> Interval:
    """Return a number needed to treat as an interval, with words where it runs through infinity or is one to harm."""
    if math.isinf(found.estimate):
        return Interval(math.nan, math.nan, math.nan, math.nan, f"no difference, so that no number is enough; {found.words}")
    harm = "negative: number needed to harm" if found.estimate < 0 else ""
    return Interval(found.estimate, math.nan, found.ci_low, found.ci_high, "; ".join(filter(None, [harm, found.words])))


def _not_seen(pairs: pd.DataFrame, shared: Shared) -> list[Estimate]:
    """Return the share of children without a class by arm, and what they could do to the difference; families as for shares."""
    clustered = bool(pairs["cluster"].duplicated().any())

    def share(events: pd.Series, own: pd.DataFrame) -> Proportion:
        return share_of(events, own["cluster"] if clustered else None, shared.ci_level)

    rows = []
    for arm in ARMS:
        own = pairs[pairs["arm"] == arm]
        if len(own):
            missing = share(own["child"].isna(), own)
            rows.append(shared.row("child_not_seen", missing, group=arm, direction="lower is better", **of_share(missing)))
    insecure = pairs[pairs["before"] == INSECURE]
    if insecure["arm"].nunique() < len(ARMS) or not insecure["child"].isna().any():
        return rows
    arms = [insecure[insecure["arm"] == arm] for arm in ARMS]
    for name, of_treated in (("lowest", INSECURE), ("highest", SECURE)):
        of_comparison = SECURE if of_treated == INSECURE else INSECURE
        shares = [
            share(own["child"].fillna(word) == SECURE, own) for own, word in zip(arms, (of_treated, of_comparison), strict=True)
        ]
        told = f"if children who were not seen were all {of_treated} with treatment and {of_comparison} without"
        rows.append(
            shared.row(
                f"child_secure_difference_{name}",
                combination([1, -1], shares),
                group=f"parent {INSECURE}",
                n=float(len(insecure)),
                n_clusters=float(insecure["cluster"].nunique()),
                method=f"bound; difference of shares {MOVER}",
                notes=[told, *dict.fromkeys(s.note for s in shares)],
            )
        )
    return rows

"""What does a table of parents' by children's classes say? The same quantities of many tables at once.

Every function takes shares (..., K, K), rows the parent's classes, and returns (...); NaN where a quantity is not defined. In a
table of two classes the secure (or organised) one is first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from attachment_outcomes.inference.agreement import Numbers
from attachment_outcomes.inference.misclassification import Flags, fullest_diagonal, inverted, most_likely, seen_through

Name = tuple[str, str]
OBSERVED, CORRECTED, POSSIBLE, CEILING = "observed", "corrected", "corrected, possible table", "ceiling"


def agreement(t: Numbers) -> Numbers:
    """Share on the diagonal."""
    return np.asarray(np.trace(t, axis1=-2, axis2=-1), dtype=float)


def chance(t: Numbers) -> Numbers:
    """Agreement of independent classes with the same margins."""
    return np.asarray((t.sum(axis=-1) * t.sum(axis=-2)).sum(axis=-1), dtype=float)


def kappa(t: Numbers) -> Numbers:
    """Cohen's kappa."""
    return _ratio(agreement(t) - chance(t), 1 - chance(t))


def phi(t: Numbers) -> Numbers:
    """Correlation of two dichotomies."""
    spread = np.clip(t.sum(axis=-1).prod(axis=-1) * t.sum(axis=-2).prod(axis=-1), 0, None)
    return _ratio(t[..., 0, 0] * t[..., 1, 1] - t[..., 0, 1] * t[..., 1, 0], np.sqrt(spread))


def odds_ratio(t: Numbers) -> Numbers:
    """Odds of the child's insecurity, insecure against secure parents; infinite where a discordant cell is empty."""
    same, other = t[..., 0, 0] * t[..., 1, 1], t[..., 0, 1] * t[..., 1, 0]
    return np.asarray(np.where((other <= 0) & (same > 0), np.inf, _ratio(same, other)), dtype=float)


def passed_on(t: Numbers) -> Numbers:
    """Share of secure parents whose child is secure."""
    return _ratio(t[..., 0, 0], t[..., 0, :].sum(axis=-1))


def interrupted(t: Numbers) -> Numbers:
    """Share of insecure parents whose child is secure."""
    return _ratio(t[..., 1, 0], t[..., 1, :].sum(axis=-1))


def _ratio(above: Numbers, below: Numbers) -> Numbers:
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below > 0)), dtype=float)


ANY_TABLE: Mapping[str, Callable[[Numbers], Numbers]] = {"agreement": agreement, "chance_agreement": chance, "kappa": kappa}
TWO_CLASSES: Mapping[str, Callable[[Numbers], Numbers]] = {
    "phi": phi,
    "odds_ratio": odds_ratio,
    "passed_on": passed_on,
    "interrupted": interrupted,
}


def all_quantities(
    shares: Numbers, parent_errors: Numbers, child_errors: Numbers, *, gap: float
) -> tuple[dict[Name, Numbers], Numbers, Flags]:
    """Return every quantity of tables seen (n, K, K) and of the tables behind them, by group and estimand.

    Returns
    -------
    quantities : dict
        ``(group, estimand)`` to (n,). Agreement, chance and kappa without error are of the inverted table, which has no bias;
        what needs a table without negative cells is of the most likely possible one.
    possible : (n, K, K)
        The most likely possible tables.
    boundary : (n,)
        Where the inverted table has a negative cell.
    """
    behind = inverted(shares, parent_errors, child_errors)
    possible, boundary = most_likely(shares, parent_errors, child_errors, gap=gap)
    ceiling = seen_through(fullest_diagonal(possible), parent_errors, child_errors)
    found = {(OBSERVED, name): of(shares) for name, of in ANY_TABLE.items()}
    found |= {(CORRECTED, name): of(behind) for name, of in ANY_TABLE.items()}
    found |= {(POSSIBLE, name): ANY_TABLE[name](possible) for name in ("agreement", "kappa")}
    found |= {(CEILING, name): ANY_TABLE[name](ceiling) for name in ("agreement", "kappa")}
    if shares.shape[-1] == 2:
        for name, of in TWO_CLASSES.items():
            found |= {(OBSERVED, name): of(shares), (POSSIBLE, name): of(possible)}
    apart = 1 - agreement(shares)
    found[CORRECTED, "explained_by_error"] = 1 - _ratio(1 - agreement(behind), apart)
    found[CEILING, "expected_from_error"] = _ratio(1 - agreement(ceiling), apart)
    return found, possible, boundary

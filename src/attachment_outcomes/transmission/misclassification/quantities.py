"""What does a table of parents' by children's classes say? The same quantities of many tables at once.

Every function takes shares (..., K, K), rows the parent's classes, and returns (...); NaN where a quantity is not defined. In a
table of two classes the secure (or organised) one is first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from attachment_outcomes.inference.agreement import Numbers
from attachment_outcomes.inference.misclassification import Flags, inverted, most_likely, seen_through

Name = tuple[str, str]
OBSERVED, CORRECTED, POSSIBLE, CEILING = "observed", "corrected", "corrected, possible table", "ceiling"
ROUNDING = 1e-12  # what chance may lack to 1 where everybody is in one class


class Errors(Protocol):
    """What is known of a classification's errors: how they are where classes are more or less common."""

    def at(self, errors: Numbers, margins: Numbers) -> Numbers:
        """Return the error matrices (n, K, K) as they would be with other shares of classes (n, K)."""


def agreement(t: Numbers) -> Numbers:
    """Share on the diagonal."""
    return np.asarray(np.trace(t, axis1=-2, axis2=-1), dtype=float)


def chance(t: Numbers) -> Numbers:
    """Agreement of independent classes with the same margins."""
    return np.asarray((t.sum(axis=-1) * t.sum(axis=-2)).sum(axis=-1), dtype=float)


def kappa(t: Numbers) -> Numbers:
    """Cohen's kappa."""
    left = 1 - chance(t)
    return _ratio(agreement(t) - chance(t), np.where(left > ROUNDING, left, 0.0))


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


def as_seen(shares: Numbers) -> dict[Name, Numbers]:
    """Return every quantity of tables seen (n, K, K), for which no reliability is needed."""
    of = {**ANY_TABLE, **(TWO_CLASSES if shares.shape[-1] == 2 else {})}
    return {(OBSERVED, name): quantity(shares) for name, quantity in of.items()}


def perfect(behind: Numbers, parent_errors: Numbers, child_errors: Numbers, *, parent: Errors, child: Errors) -> Numbers:
    r"""Return what would be seen if every child were in the parent's class: :math:`A' \operatorname{diag}(t) B`.

    t are the parents' shares of classes without error, which the children then have too. Unlike the fullest diagonal of two
    sampled margins, which never agree quite even where the true ones do, this is not too low on average.
    """
    margins = np.clip(behind.sum(axis=-1), 0, None)
    margins = margins / margins.sum(axis=-1, keepdims=True)
    table = margins[..., None] * np.eye(margins.shape[-1])
    return seen_through(table, parent.at(parent_errors, margins), child.at(child_errors, margins))


def all_quantities(
    shares: Numbers, parent_errors: Numbers, child_errors: Numbers, *, parent: Errors, child: Errors, gap: float
) -> tuple[dict[Name, Numbers], Numbers, Flags]:
    """Return every quantity of tables seen (n, K, K) and of the tables behind them, by group and estimand.

    Returns
    -------
    quantities : dict
        ``(group, estimand)`` to (n,). Agreement, chance and kappa without error are of the inverted table, which has no bias;
        what needs a table without negative cells is of the most likely possible one. The ceiling is that of :func:`perfect`.
    possible : (n, K, K)
        The most likely possible tables.
    boundary : (n,)
        Where the inverted table has a negative cell.
    """
    behind = inverted(shares, parent_errors, child_errors)
    possible, boundary = most_likely(shares, parent_errors, child_errors, gap=gap)
    ceiling = perfect(behind, parent_errors, child_errors, parent=parent, child=child)
    found = as_seen(shares)
    found |= {(CORRECTED, name): of(behind) for name, of in ANY_TABLE.items()}
    found |= {(POSSIBLE, name): ANY_TABLE[name](possible) for name in ("agreement", "kappa")}
    found |= {(CEILING, name): ANY_TABLE[name](ceiling) for name in ("agreement", "kappa")}
    if shares.shape[-1] == 2:
        found |= {(POSSIBLE, name): of(possible) for name, of in TWO_CLASSES.items()}
    apart = 1 - agreement(shares)
    found[CORRECTED, "explained_by_error"] = 1 - _ratio(1 - agreement(behind), apart)
    found[CEILING, "expected_from_error"] = _ratio(1 - agreement(ceiling), apart)
    return found, possible, boundary

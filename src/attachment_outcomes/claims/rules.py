"""Decision rules: from one estimate and its interval to a verdict, by a rule fixed beforehand.

Vocabulary
----------
supported     the whole interval lies where the claim says
contradicted  the whole interval lies where the claim says it does not
inconclusive  the interval covers both
not testable  the data, or the analyses there are, lack what the claim needs
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from attachment_outcomes.errors import ConfigError

SUPPORTED, CONTRADICTED, INCONCLUSIVE, NOT_TESTABLE = "supported", "contradicted", "inconclusive", "not testable"
VERDICTS = (SUPPORTED, CONTRADICTED, INCONCLUSIVE, NOT_TESTABLE)
HIGHER, LOWER = "higher is better", "lower is better"


def decide(low: float, high: float, *, rule: str, null: float = 0.0, bounds: Sequence[float] = (), direction: str = "") -> str:
    """Return the verdict of one rule on one interval.

    Parameters
    ----------
    low, high : float
        Limits of the interval. NaN in either is not testable.
    rule : {"above", "below", "improving", "inside", "descriptive"}
        ``above``: supported if ``low > null``, contradicted if ``high < null``; ``below`` the reverse. ``improving``:
        ``above`` or ``below`` by ``direction``. ``inside``: supported if the interval lies within ``bounds``,
        contradicted if wholly outside. ``descriptive``: reported, never decided.
    null : float
        Value of no effect.
    bounds : two floats
        Bounds that the claim quotes; an interval that touches a bound is inside.
    direction : {"higher is better", "lower is better"}
        Read by ``improving`` only.

    Raises
    ------
    ConfigError
        If the rule is unknown, or lacks its bounds or its direction.
    """
    if math.isnan(low) or math.isnan(high):
        return NOT_TESTABLE
    if rule == "descriptive":
        return INCONCLUSIVE
    if rule == "inside":
        if len(bounds) != 2:
            raise ConfigError("rule 'inside' needs two bounds")
        if bounds[0] <= low and high <= bounds[1]:
            return SUPPORTED
        return CONTRADICTED if high < bounds[0] or low > bounds[1] else INCONCLUSIVE
    if rule == "improving":
        if direction not in (HIGHER, LOWER):
            raise ConfigError(f"rule 'improving' needs an estimate with a direction, found {direction!r}")
        rule = "above" if direction == HIGHER else "below"
    if rule not in ("above", "below"):
        raise ConfigError(f"no decision rule {rule!r}; allowed: above, below, improving, inside, descriptive")
    above, below = low > null, high < null
    if rule == "below":
        above, below = below, above
    return SUPPORTED if above else CONTRADICTED if below else INCONCLUSIVE


def rule_text(test: Mapping[str, Any], level: float) -> str:
    """Return a rule in words, for the ledger."""
    interval = f"{level:.0%} interval"
    null = f"{test['null']:g}"
    if test["rule"] == "inside":
        low, high = test["bounds"]
        return f"{interval} inside [{low:g}, {high:g}]"
    return {
        "above": f"{interval} above {null}",
        "below": f"{interval} below {null}",
        "improving": f"{interval} beyond {null} in the improving direction",
        "above_estimate": f"{interval} above what no true change would give",
        "descriptive": "reported with its interval, not decided",
    }[test["rule"]]


def combine(verdicts: Sequence[str]) -> str:
    """Return one verdict for a claim with several rules: all must support it, any contradiction contradicts it."""
    for verdict in (NOT_TESTABLE, CONTRADICTED, INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    return SUPPORTED if verdicts else NOT_TESTABLE

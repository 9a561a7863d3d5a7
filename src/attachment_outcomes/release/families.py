"""Which estimates give back a small cell of a table of parents and children, of three generations, or of two arms?

Two-class tables have four cells, and agreement, kappa and an odds ratio with the number of pairs are enough to have them all.
Tables of three classes and more have more cells than there are estimates of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

# What is made from the same pairs of classes.
_OF_PAIRS = ("concordance", "transmission_corrected")
_CHAINS = "three_generations"
# What is made from three generations at once: with the tables of two of them, it gives the cells of the chain.
_OF_CHAINS = (
    "all_alike",
    "persists",
    "markov",
    "markov_same_direction",
    "conditional_kappa",
    "common_odds_ratio",
    "markov_given_error",
    "conditional_kappa_beyond_error",
)
_ARMS = "interruption"
# Of children of an arm's insecure parents: those whose parents' class changed and those whose did not.
_PARTS = ("parent stayed insecure", "parent became secure")
# Made of the shares of all four groups, of those of insecure parents, or of those whose class stayed.
_OF_ARMS = {
    "interaction_risk_difference": ("parent insecure", "parent secure"),
    "interaction_odds_ratio": ("parent insecure", "parent secure"),
    "fraction_interrupted": ("parent insecure",),
    "number_needed_to_treat": ("parent insecure",),
    "became_secure_difference": ("became_secure",),
}
PAIRS, CHAINS = "pairs", "chains"
TWO = 2


def small_tables(concordance: pd.DataFrame, transitions: pd.DataFrame, chains: pd.DataFrame, *, threshold: int) -> pd.DataFrame:
    """Return the two-class tables that have a cell of 1 to ``threshold - 1``: columns analysis, outcome, definition, of.

    Parameters
    ----------
    concordance, transitions, chains : DataFrame
        Counts ``n`` of the tables of those names, before anything is hidden.
    threshold : int
        Counts from 1 up to ``threshold - 1`` are small.
    """
    found = []

    def small(table: pd.DataFrame, by: Sequence[str], classes: str) -> list[tuple[str, ...]]:
        keys = []
        for key, part in table.groupby(list(by), sort=True):
            if part[classes].nunique() == TWO and part["n"].between(1, threshold - 1).any():
                keys.append(tuple(map(str, key)))
        return keys

    for system, way in small(concordance, ["system", "way"], "parent_class"):
        found += [(analysis, system, way, PAIRS) for analysis in _OF_PAIRS]
    found += [(_CHAINS, "", way, PAIRS) for way, _ in small(transitions, ["way", "step"], "from_class")]
    found += [(_CHAINS, "", way, CHAINS) for (way,) in small(chains, ["way"], "parent_class")]
    return pd.DataFrame(found, columns=["analysis", "outcome", "definition", "of"]).drop_duplicates(ignore_index=True)


def of_small_tables(estimates: pd.DataFrame, tables: pd.DataFrame | None) -> np.ndarray:
    """Return which estimates are made from one of the tables with a small cell."""
    found = np.zeros(len(estimates), dtype=bool)
    for analysis, outcome, definition, of in () if tables is None else tables.astype(object).to_numpy():
        own = estimates["analysis"].eq(analysis) & estimates["definition"].eq(definition)
        if outcome:
            own &= estimates["outcome"].eq(outcome)
        if of == CHAINS:
            own &= estimates["estimand"].isin(_OF_CHAINS)
        found |= own.to_numpy()
    return found


def of_hidden_arms(estimates: pd.DataFrame, hidden: np.ndarray) -> np.ndarray:
    """Return which estimates of arms give back a share of one of them that is hidden."""
    own = estimates["analysis"].eq(_ARMS).to_numpy()
    found = np.zeros(len(estimates), dtype=bool)
    for _, part in estimates[own].groupby(["study", "definition"], sort=False):
        secret = part[hidden[part.index]]
        shares = secret[secret["estimand"].eq("child_secure")]["group"]
        parts = [group.partition(", ") for group in shares]
        what = {of for _, _, of in parts}
        split = {arm for arm, _, of in parts if of in _PARTS}
        if split:
            what.add(_PARTS[0])
        if secret["estimand"].eq("became_secure").any():
            what.add("became_secure")
        group, estimand = part["group"], part["estimand"]
        telling = estimand.eq("child_secure") & group.isin([f"{a}, {w}" for a in split for w in _PARTS])
        telling |= estimand.str.startswith("child_secure_difference") & group.isin(what)
        telling |= pd.Series([bool(what & set(_OF_ARMS.get(e, ()))) for e in estimand], index=part.index, dtype=bool)
        found[part.index] = telling
    return found

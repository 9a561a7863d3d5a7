"""Which estimates give back a small cell of a table of parents and children, of three generations, or of two arms?

Counts are whole numbers, and a coefficient that is not is often that of one table only. Four cells are had from kappa, agreement
or an odds ratio and the number of pairs, nine from Cramér's V or from the exact standard error of kappa. Of [[12, 8, 2],
[9, 30, 7], [3, 14, 20]] with all but the diagonal hidden, 1,712,304 tables fit the counts shown, and two of them Cramér's V. Shares
within rows, kappa and its limits to two decimals leave 323, with 106 different pairs of the two small cells; the residuals of the
diagonal, rounded down, leave 24 tables and 11 pairs.

Of two classes with a small cell nothing is shown. Of more classes, agreement and kappa are shown to two decimals, and nothing that
tells margins or the fit of a model; nothing where the number of pairs that correspond gives a hidden cell back. Chains of
more classes have many times the cells, so that all that is said of them is shown, but to two decimals. The study's own
families as a sample among others: where their table has a small cell, neither their kappa is shown nor what is pooled with them,
from which the samples of others would be taken away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

# What is made from the same pairs of classes.
_OF_PAIRS = ("concordance", "transmission_corrected")
_CHAINS = "three_generations"
# What is made from three generations at once: with the tables of two of them, it gives the cells of the chain. (The kappa given the
# parent's class is made from tables of two generations alone.)
_OF_CHAINS = (
    "all_alike",
    "persists",
    "markov",
    "markov_same_direction",
    "common_odds_ratio",
    "markov_given_error",
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
MANY, MANY_CHAINS = "pairs of more classes", "generations of more classes"
OWN, ANY_WAY, NOT_SEEN, SECURE_PARENTS = "own sample", "any way", "children not seen", "secure parents"
TWO = 2
# Of a table of three classes and more with a hidden cell these are shown, to two decimals.
_ROUNDED = ("agreement", "chance_agreement", "kappa", "explained_by", "expected_from")
DECIMALS = 2
ROUNDING = 1e-6
_GAP = "transmission_gap"
_OF_SAMPLES = ("pooled_samples", "pooled_table", "sample_checks", "sample_moderators")
_OWN_KAPPA = "sample_kappa"
_OWN_NAME = "This study"
_BOUNDS = ("child_secure_difference_lowest", "child_secure_difference_highest")
# With the n of other rows, that of these is the number of children not seen.
WITHOUT_N = ("child_not_seen", *_BOUNDS)
COLUMNS = ["analysis", "outcome", "definition", "of"]


def small_tables(
    concordance: pd.DataFrame,
    transitions: pd.DataFrame,
    chains: pd.DataFrame,
    *,
    threshold: int,
    shown: pd.DataFrame | None = None,
    gap: pd.DataFrame | None = None,
    samples: pd.DataFrame | None = None,
    arms: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return what is made from tables that have a cell of 1 to ``threshold - 1``: columns analysis, outcome, definition, of.

    Parameters
    ----------
    concordance, transitions, chains : DataFrame
        Counts ``n`` of the tables of those names, before anything is hidden.
    threshold : int
        Counts from 1 up to ``threshold - 1`` are small.
    shown : DataFrame, optional
        The concordance after small counts are hidden: where the number of pairs that correspond would give a hidden cell back,
        that number is hidden too.
    gap, samples : DataFrame, optional
        Tables ``gap_paths`` and ``sample_statistics``, with the smallest cell of the study's own table (``smallest``).
    arms : DataFrame, optional
        Counts of the table ``interruption_cells``.
    """
    found: list[tuple[str, str, str, str]] = []

    def small(table: pd.DataFrame, by: Sequence[str]) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
        parts = ((tuple(map(str, key)), part) for key, part in table.groupby(list(by), sort=True))
        return [(key, part) for key, part in parts if part["n"].between(1, threshold - 1).any()]

    for (system, way), part in small(concordance, ["system", "way"]):
        two = part["parent_class"].nunique() == TWO
        if not two and shown is not None:
            seen = shown[shown["system"].eq(system)]
            hidden = seen.loc[seen["way"].eq(way), "n"].isna().to_numpy(dtype=bool)
            of_two = [other for _, other in seen.groupby("way") if other["parent_class"].nunique() == TWO]
            two = _solved(part, hidden, {n for other in of_two for n in _diagonal(other)}, threshold)
        found += [(analysis, system, way, PAIRS if two else MANY) for analysis in _OF_PAIRS]
    for table, by, classes, of in (
        (transitions, ["way", "step"], "from_class", PAIRS),
        (chains, ["way"], "parent_class", CHAINS),
    ):
        for key, part in small(table, by):
            found.append((_CHAINS, "", key[0], of if part[classes].nunique() == TWO else MANY_CHAINS))
    for own, column, of in ((gap, "outcome", ANY_WAY), (samples, "system", OWN)):
        if own is not None:
            few = own[own["smallest"].between(1, threshold - 1).fillna(value=False).astype(bool)]
            analyses = [_GAP] if of == ANY_WAY else [*_OF_SAMPLES, _OWN_KAPPA]
            found += [(analysis, str(name), "", of) for name in few[column].unique() for analysis in analyses]
    if arms is not None and len(arms):
        unseen = arms[arms["child_class"].eq("not known") & arms["parent_before"].eq("insecure")].groupby("arm")["n"].sum()
        if unseen.between(1, threshold - 1).any():
            found.append((_ARMS, "", "", NOT_SEEN))
        if arms.groupby("parent_before")["n"].sum().between(1, threshold - 1).any():
            found.append((_ARMS, "", "", SECURE_PARENTS))
    return pd.DataFrame(found, columns=COLUMNS).drop_duplicates(ignore_index=True)


def _diagonal(table: pd.DataFrame) -> list[float]:
    """Return the counts of pairs that correspond: classes of parents and of children come in the same order."""
    same = pd.factorize(table["parent_class"])[0] == pd.factorize(table["child_class"])[0]
    return [float(n) for n in table["n"].to_numpy(dtype=float)[same]]


def _solved(part: pd.DataFrame, unknown: np.ndarray, told: set[float], threshold: int) -> bool:
    """Return whether totals of rows, of columns and of the diagonal leave one value of a small cell.

    A cell of the diagonal is known too if a table of two classes, which is made from it, shows its count (``told``).
    """
    row, column = (pd.factorize(part[c])[0] for c in ("parent_class", "child_class"))
    n = part["n"].to_numpy(dtype=float)
    sums = [row == i for i in np.unique(row)] + [column == j for j in np.unique(column)] + [row == column]
    sums += [np.arange(len(n)) == cell for cell in np.flatnonzero((row == column) & np.isin(n, list(told)))]
    totals = np.array(sums, dtype=float)[:, unknown]
    known = np.diag(np.linalg.pinv(totals) @ totals) > 1 - ROUNDING
    small = (n[unknown] >= 1) & (n[unknown] < threshold)
    return bool((known & small).any())


def of_small_tables(estimates: pd.DataFrame, tables: pd.DataFrame | None) -> np.ndarray:
    """Return which estimates are hidden because they are made from one of the tables with a small cell."""
    found = np.zeros(len(estimates), dtype=bool)
    estimand = estimates["estimand"]
    for own, of in _made_from(estimates, tables):
        if of == CHAINS:
            own &= estimand.isin(_OF_CHAINS)
        elif of == MANY:
            own &= ~estimand.str.startswith(_ROUNDED)
        elif of == MANY_CHAINS:
            continue  # rounded only
        elif of == OWN:
            own &= estimates["analysis"].ne(_OWN_KAPPA) | estimates["group"].str.startswith(_OWN_NAME)
        elif of == NOT_SEEN:
            own &= estimand.isin(_BOUNDS)
        elif of == SECURE_PARENTS:
            own &= estimand.eq("became_secure_by_error")
        found |= own.to_numpy()
    return found


def of_many_classes(estimates: pd.DataFrame, tables: pd.DataFrame | None) -> np.ndarray:
    """Return which estimates are shown to two decimals: exact ones would give the cells of a table of several classes back."""
    found = np.zeros(len(estimates), dtype=bool)
    for own, of in _made_from(estimates, tables):
        if of in (MANY, MANY_CHAINS):
            found |= (own & (estimates["estimand"].str.startswith(_ROUNDED) | (of == MANY_CHAINS))).to_numpy()
    return found


def _made_from(estimates: pd.DataFrame, tables: pd.DataFrame | None) -> Iterator[tuple[pd.Series, str]]:
    """Return, for each table, which estimates are of its analysis, outcome and definition, and what the table is of."""
    for analysis, outcome, definition, of in () if tables is None else tables.astype(object).to_numpy():
        own = estimates["analysis"].eq(analysis)
        if definition:
            own &= estimates["definition"].eq(definition)
        if outcome:
            own &= estimates["outcome"].eq(outcome)
        yield own, of


def blank_beside(name: str, table: pd.DataFrame, tables: pd.DataFrame) -> pd.DataFrame:
    """Hide what a released table says of the tables with a small cell beside their counts.

    Parameters
    ----------
    name : str
        Name of the table: ``loglinear``, ``corrected_sensitivity``, ``corrected_tables``, ``residuals``, ``gap_paths``,
        ``gap_sensitivity``, ``sample_effects``, ``sample_influence`` or ``transmission_literature``; others stay as they are.
    table : DataFrame
        The table after its counts are hidden. It is not changed.
    tables : DataFrame
        Of :func:`small_tables`.

    Returns
    -------
    DataFrame
        Of two classes everything is hidden. Of more, kappa and agreement are shown to two decimals, residuals rounded down to
        whole numbers (a shade that begins at one stays what it is), and expected counts and fits of log-linear models not at all:
        from them the totals of rows and columns could be had. Influence and sensitivity lose their rows.
    """
    shown = table.copy()
    if name in _BESIDE_PAIRS:
        columns, rounded, cut = _BESIDE_PAIRS[name]
        keys = pd.MultiIndex.from_frame(table[["system", "way"]].astype(str))
        for of in (PAIRS, MANY):
            chosen = tables[tables["analysis"].eq(_OF_PAIRS[0]) & tables["of"].eq(of)]
            own = keys.isin(list(chosen[["outcome", "definition"]].itertuples(index=False, name=None)))
            kept = {*rounded, *cut} if of == MANY else set()
            for column in columns:
                if column not in kept:
                    shown[column] = shown[column].mask(own)
                else:
                    coarse = shown[column].round(DECIMALS) if column in rounded else np.floor(shown[column])
                    shown[column] = shown[column].mask(own, coarse)
    elif name == "generation_projection":
        for of in (PAIRS, MANY_CHAINS):
            here = table["way"].isin(tables.loc[tables["analysis"].eq(_CHAINS) & tables["of"].eq(of), "definition"])
            for column in _PROJECTED:
                shown[column] = shown[column].mask(here, np.nan if of == PAIRS else shown[column].round(DECIMALS))
    elif name in _BESIDE_OWN:
        analysis, column, columns = _BESIDE_OWN[name]
        outcomes = tables.loc[tables["analysis"].eq(analysis), "outcome"]
        there = table[column].isin(outcomes) if column else pd.Series(len(outcomes) > 0, index=table.index)
        for column in columns:
            shown[column] = shown[column].mask(there)
        if not columns:
            shown = shown[~there].reset_index(drop=True)
    return shown


# Table: what is hidden, and of that what is shown of more than two classes: to two decimals, or rounded down.
_BESIDE_PAIRS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "loglinear": (("g2", "x2", "p_value", "bic"), (), ()),
    "corrected_sensitivity": (("kappa", "agreement"), ("kappa", "agreement"), ()),
    "corrected_tables": (("corrected",), (), ()),
    "residuals": (("expected", "residual"), (), ("residual",)),
}
_PROJECTED = ("share", "ci_low", "ci_high")
_VALUES = ("estimate", "ci_low", "ci_high")
# Table: the analysis whose small tables it is made from, the column of their outcome (all rows without one), and the columns that
# are hidden; whole rows without any.
_BESIDE_OWN: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "gap_paths": (_GAP, "outcome", _VALUES),
    "gap_sensitivity": (_GAP, "outcome", ()),
    "sample_effects": (_OF_SAMPLES[0], "system", ("weight",)),
    "sample_influence": (_OF_SAMPLES[0], "system", ()),
    "transmission_literature": (_OF_SAMPLES[0], "", ("pooled", "pooled_low", "pooled_high")),
}


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
        if secret["estimand"].eq("child_not_seen").any():
            telling |= estimand.isin(_BOUNDS)
        telling |= pd.Series([bool(what & set(_OF_ARMS.get(e, ()))) for e in estimand], index=part.index, dtype=bool)
        found[part.index] = telling
    return found

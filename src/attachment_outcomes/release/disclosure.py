"""Small counts: what may be shown of a table so that nobody in it can be singled out.

Vocabulary
----------
primary suppression        a count from 1 to threshold - 1 is hidden
complementary suppression  a further count is hidden where the hidden one could be had by subtraction from a total

A hidden number is missing (NaN), never zero. Rounded is only what is told of tables of several classes (``families``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.release.families import DECIMALS, WITHOUT_N, of_hidden_arms, of_many_classes, of_small_tables

SUPPRESSED = "suppressed"
ROUNDED = "to two decimals, since exact numbers would give small counts back"
_NUMBERS = ["estimate", "std_error", "ci_low", "ci_high", "p_value"]
_SHOWN = ["estimate", "ci_low", "ci_high"]
_FAMILY = ["study", "analysis", "estimand", "outcome", "definition", "method"]
# The categories of a family are exclusive and their shares sum to one, so that one can be had from the others.
_SHARES = "share"
# Shapes of a course may stand together, and the cells of a cross table are hidden together: neither is such a family.
_NO_FAMILY = ("rupture_shapes", "rupture_raters")
# Proportions that are no count of people over n: what a model says, what noise shows, differences, shares of specifications. Some
# give a share back beside another row, and are hidden with it (``_BESIDE`` and the cross tables).
_NO_COUNTS = (
    "therapist_share",
    "expected_low",
    "expected_high",
    "variance_share",
    "share_below",
    "share_above",
    "expected_on_noise",
    "share_above_noise",
    "noise_share_repaired",
    "repaired_above_noise",
    "therapist_minus_client",
    "prevalence_index",
    "bias_index",
    "risk_difference",
    "lambda",
    "uncertainty_coefficient",
    "share_unexplained",
    "explained_by_error",
    "expected_from_error",
    "all_alike_if_markov",
    "agreement_if_markov",
    "agreement_beyond_markov",
    "projected_secure",
    "secure_line",
    "long_run_secure",
    "published",
    "child_secure_difference",
    "child_secure_difference_lowest",
    "child_secure_difference_highest",
    "interaction_risk_difference",
    "fraction_interrupted",
    "became_secure_difference",
    "became_secure_by_error",
)
# Ends of the names of shares of a variance between samples.
_OF_VARIANCE = ("_i2", "_r2")
# Groups of an analysis that are made by a model and are no shares of people.
_MODELLED = {"transmission_corrected": ("corrected", "corrected, possible table", "ceiling")}
# What gives a share back: with the noise shown beside it, or where therapists do not differ. Hidden where that share is.
_BESIDE = {
    ("rupture_prevalence", "share_above_noise"): "share_with_rupture",
    ("rupture_prevalence", "repaired_above_noise"): "share_repaired",
    ("rupture_shapes", "share_above_noise"): "share",
    ("therapist_repair", "expected_low"): "share_repaired",
    ("therapist_repair", "expected_high"): "share_repaired",
}
# Analyses of cross tables, two by two: everything about a table is made from its four cells. The group begins with its level.
_CROSSED = ("rupture_agreement", "rupture_raters")
_CROSS = ["analysis", "group", "definition"]
# Courses whose shares are a sum and its parts.
LINEAR_SUM = ("linear", "rising", "falling")
# Estimates that are the sum of two shares: shown beside one of the two, they give the other away.
_SUMS = {
    ("reliable_change", "reliably_improved"): ("recovered", "improved"),
    ("reliable_change", "reliably_deteriorated"): ("harmed", "deteriorated"),
    ("audit", "reliable_improvement"): ("recovered", "improved"),
    ("audit", "reliable_deterioration"): ("harmed", "deteriorated"),
}


def suppress(
    frame: pd.DataFrame,
    *,
    counts: Sequence[str],
    threshold: int,
    within: Sequence[str] = (),
    margins: Sequence[str | Sequence[str]] = (),
    derived: Sequence[str] = (),
    shares: Mapping[str, str] | None = None,
    cells: Mapping[str, Sequence[str]] | None = None,
    sums: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Hide small counts of a table, and as many more as keep them from being had by subtraction.

    Parameters
    ----------
    frame : DataFrame
        One row a cell. It is not changed.
    counts : sequence of str
        Columns of counts. Each is protected by itself.
    threshold : int
        Counts from 1 up to ``threshold - 1`` are hidden; 0 or 1 hides nothing.
    within : sequence of str
        Columns that tell one table from the next, when the frame holds several. Their totals count as known.
    margins : sequence of str
        Columns whose totals are known too, e.g. the row and the column class of a cross table; a list where it is the totals of
        several columns together that are known.
    derived : sequence of str
        Columns computed from the counts, hidden in every row in which a count is.
    shares : mapping, optional
        Column of shares to the column of their denominator. Where events, or those without, number 1 to ``threshold - 1``, what is
        derived is hidden; so is a share, if it is among ``derived``.
    cells : mapping, optional
        Column of a total to columns of exclusive parts of it. Where one of them, or what they leave of the total, numbers 1 to
        ``threshold - 1``, all of them are hidden: the margins of a cross table are known from its neighbours.
    sums : mapping, optional
        Column that names the rows to the names of a sum and its parts: where one is hidden the others are, among rows that are
        alike in ``within``, which then tells tables apart and no totals are known.

    Returns
    -------
    DataFrame
        Counts as floats, NaN where hidden.

    Raises
    ------
    StatisticsError
        If a count is negative or the threshold is.
    """
    if threshold < 0:
        raise StatisticsError(f"threshold {threshold} is negative")
    shown = frame.reset_index(drop=True).copy()
    any_hidden = np.zeros(len(shown), dtype=bool)
    groupings = [[*within, *([margin] if isinstance(margin, str) else margin)] for margin in margins] or (
        [list(within)] if within and not sums else []
    )
    for column in counts:
        values = shown[column].to_numpy(dtype=float, na_value=np.nan)
        if (values < 0).any():
            raise StatisticsError(f"column {column} holds negative counts")
        hidden = (values >= 1) & (values < threshold)
        keys = [shown.groupby(g, dropna=False, sort=False).ngroup().to_numpy() for g in groupings]
        while _complement(values, hidden, keys):
            pass
        shown[column] = np.where(hidden, np.nan, values)
        any_hidden |= hidden
    for share, of in (shares or {}).items():
        events = np.round(shown[share].to_numpy(dtype=float) * frame[of].to_numpy(dtype=float))
        rest = frame[of].to_numpy(dtype=float) - events
        any_hidden |= ((events >= 1) & (events < threshold)) | ((rest >= 1) & (rest < threshold))
    for total, parts in (cells or {}).items():
        small = has_small_cell(frame, total, parts, threshold=threshold)
        for part in parts:
            shown[part] = shown[part].mask(small)
        any_hidden |= small
    for column, members in (sums or {}).items():
        inside = frame[column].isin(members).to_numpy()
        key = frame.groupby(list(within), dropna=False, sort=False).ngroup().to_numpy()
        any_hidden |= inside & np.isin(key, key[inside & any_hidden])
        for count in counts:
            shown[count] = shown[count].mask(inside & any_hidden)
    for column in derived:
        shown[column] = shown[column].mask(any_hidden)
    return shown


def has_small_cell(frame: pd.DataFrame, total: str, parts: Sequence[str], *, threshold: int) -> np.ndarray:
    """Return in which rows a part of the total, or what the parts leave of it, numbers 1 to ``threshold - 1``."""
    known = frame[list(parts)].to_numpy(dtype=float, na_value=np.nan)
    rest = frame[total].to_numpy(dtype=float, na_value=np.nan) - known.sum(axis=1)
    all_cells = np.column_stack([known, rest])
    return np.asarray(((all_cells >= 1) & (all_cells < threshold)).any(axis=1))


def _complement(values: np.ndarray, hidden: np.ndarray, keys: Sequence[np.ndarray]) -> bool:
    """Hide one more cell in each group that has exactly one hidden; tell whether any was."""
    changed = False
    for key in keys:
        size = int(key.max(initial=-1)) + 1
        alone = np.flatnonzero(np.bincount(key[hidden], minlength=size) == 1)
        for group in alone:
            open_cells = np.flatnonzero((key == group) & ~hidden & ~np.isnan(values))
            # A zero hides nothing that is not guessed at once, so the smallest positive count goes first.
            order = sorted(open_cells, key=lambda cell: (values[cell] == 0, values[cell], cell))
            if order:
                hidden[order[0]] = True
                changed = True
    return changed


def suppress_estimates(
    estimates: pd.DataFrame, *, threshold: int, crossed: pd.DataFrame | None = None, tables: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Hide the estimates from which a small count of people could be read.

    Hidden are all numbers of an estimate that rests on 1 to ``threshold - 1`` units, and of a proportion whose
    numerator, or the rest of its denominator, is in that range. Of shares that sum to one at least two are hidden,
    so that none can be had by subtraction. Of a cross table with a small cell all is hidden. The word "suppressed" is added to
    the note.

    Parameters
    ----------
    estimates : DataFrame
        All estimates. They are not changed.
    threshold : int
        Counts from 1 up to ``threshold - 1`` are hidden.
    crossed : DataFrame, optional
        Cross tables with a small cell, a row each: ``analysis``, ``group`` (the level), ``definition``. Kappa does not show its
        cells, so that they have to be told.
    tables : DataFrame, optional
        Tables of parents and children with a small cell, as ``families.small_tables`` returns them.
    """
    shown = estimates.reset_index(drop=True).copy()
    n = shown["n"].to_numpy(dtype=float)
    estimate = shown["estimate"].to_numpy(dtype=float)
    is_share = (shown["unit"] == "proportion").to_numpy() & ~np.isnan(estimate) & ~np.isnan(n)
    is_share &= ~(shown["estimand"].isin(_NO_COUNTS) | shown["estimand"].str.endswith(_OF_VARIANCE)).to_numpy()
    for analysis, groups in _MODELLED.items():
        is_share &= ~(shown["analysis"].eq(analysis) & shown["group"].isin(groups)).to_numpy()
    events = np.where(is_share, np.round(estimate * n), np.nan)
    rest = n - events
    hidden = (n >= 1) & (n < threshold)
    hidden |= is_share & (((events >= 1) & (events < threshold)) | ((rest >= 1) & (rest < threshold)))
    hidden &= ~np.isnan(estimate)
    family = shown["estimand"].eq(_SHARES).to_numpy() & is_share & ~shown["analysis"].isin(_NO_FAMILY).to_numpy()
    if family.any():
        key = np.full(len(shown), -1)
        key[family] = shown[family].groupby(_FAMILY, dropna=False, sort=False).ngroup().to_numpy()
        member = np.flatnonzero(family)
        values, inside, keys = events[member], hidden[member], [key[member]]
        while _complement(values, inside, keys):
            pass
        hidden[member] = inside
        hidden |= _sums_that_tell(shown, hidden)
    hidden |= _crossed(shown, hidden, crossed)
    hidden |= _linear(shown, hidden)
    hidden |= _beside(shown, hidden)
    hidden |= of_small_tables(shown, tables)
    hidden |= of_hidden_arms(shown, hidden)
    hidden &= ~np.isnan(estimate)
    shown.loc[hidden, _NUMBERS] = np.nan
    small = hidden & ((n < threshold) | shown["estimand"].isin(WITHOUT_N).to_numpy())
    shown.loc[small, "n"] = np.nan
    rounded = of_many_classes(shown, tables) & ~hidden & ~np.isnan(estimate)
    shown.loc[rounded, _SHOWN] = shown.loc[rounded, _SHOWN].round(DECIMALS)
    shown.loc[rounded, "std_error"] = np.nan
    shown.loc[rounded, "p_value"] = shown.loc[rounded, "p_value"].round(DECIMALS + 1)
    shown.loc[rounded, "note"] = [f"{note}; {ROUNDED}" if note else ROUNDED for note in shown.loc[rounded, "note"]]
    word = f"{SUPPRESSED}: a count below {threshold} could be read from it"
    shown.loc[hidden, "note"] = [f"{note}; {word}" if note else word for note in shown.loc[hidden, "note"]]
    return shown


def _sums_that_tell(estimates: pd.DataFrame, hidden: np.ndarray) -> np.ndarray:
    """Return which estimates are the sum of one share that is hidden and one that is not."""
    share = estimates["analysis"].eq("reliable_change") & estimates["estimand"].eq(_SHARES)
    where = ["study", "outcome", "definition"]
    secret = {(*key, group) for *key, group in estimates.loc[share & hidden, [*where, "group"]].itertuples(index=False)}
    telling = np.zeros(len(estimates), dtype=bool)
    for position, row in enumerate(estimates[["analysis", "estimand", *where]].itertuples(index=False)):
        parts = _SUMS.get((row[0], row[1]))
        if parts:
            telling[position] = sum((*row[2:], part) in secret for part in parts) == 1
    return telling


def _crossed(estimates: pd.DataFrame, hidden: np.ndarray, crossed: pd.DataFrame | None) -> np.ndarray:
    """Return which estimates are of a cross table with a small cell, told or seen among the shares of its cells."""
    level = estimates["group"].str.split(": ", n=1).str[0]
    own = estimates["analysis"].isin(_CROSSED).to_numpy()
    keys = pd.MultiIndex.from_frame(estimates[_CROSS].assign(group=level))
    of_cells = own & estimates["estimand"].eq(_SHARES).to_numpy()
    secret = keys[of_cells & hidden]
    if crossed is not None and len(crossed):
        secret = secret.append(pd.MultiIndex.from_frame(crossed[_CROSS].astype(str)))
    found: np.ndarray = own & keys.isin(secret)
    return found


def _linear(estimates: pd.DataFrame, hidden: np.ndarray) -> np.ndarray:
    """Return which shares of linear, rising or falling courses are hidden because one of the three is: the first is the sum."""
    keys = pd.MultiIndex.from_frame(estimates[["study", "outcome", "definition"]])
    three = estimates["analysis"].eq("rupture_shapes") & estimates["estimand"].eq(_SHARES) & estimates["group"].isin(LINEAR_SUM)
    own = three.to_numpy()
    found: np.ndarray = own & keys.isin(keys[own & hidden])
    return found


def _beside(estimates: pd.DataFrame, hidden: np.ndarray) -> np.ndarray:
    """Return which estimates give a hidden share of the same analysis back, for the share's own group or all."""
    where = ["study", "analysis", "outcome", "definition"]
    secret = {
        (*key, estimand, group)
        for *key, estimand, group in estimates.loc[hidden, [*where, "estimand", "group"]].itertuples(index=False)
    }
    telling = np.zeros(len(estimates), dtype=bool)
    for position, (*key, estimand, group) in enumerate(estimates[[*where, "estimand", "group"]].itertuples(index=False)):
        share = _BESIDE.get((key[1], estimand))
        telling[position] = share is not None and any((*key, share, g) in secret for g in (group, ""))
    return telling


# A pair is a parent and a child, and a relation names two people.
PEOPLE = ("people", "pairs", "relations")


def suppress_flow(flow: pd.DataFrame, *, threshold: int) -> pd.DataFrame:
    """Hide the counts of people, and of pairs of them, of a flow table from which a small number of excluded ones could be read.

    Rows, answers and samples are no people and stay. A hidden number is hidden wherever the same count stands again.
    """
    shown = flow.copy()
    people = shown["unit"].isin(PEOPLE)
    lost = shown["n_in"] - shown["n_out"]
    small = people & (lost >= 1) & (lost < threshold)
    values = set(shown.loc[small, "n_out"])
    for column in ("n_in", "n_out"):
        tiny = people & (shown[column] >= 1) & (shown[column] < threshold)
        again = people & shown[column].isin(values)
        shown[column] = shown[column].astype("Int64").mask(tiny | again)
    return shown


_CLAIM_KEYS = ["analysis", "estimand", "outcome", "group", "definition"]


def blank_like(claims: pd.DataFrame, released: pd.DataFrame) -> pd.DataFrame:
    """Hide, or round, in the ledger of claims what is hidden or rounded in the released estimates it was read from."""
    hidden = released[released["note"].str.contains(f"{SUPPRESSED}: ", regex=False)]
    keys = pd.MultiIndex.from_frame(hidden[_CLAIM_KEYS])
    same = pd.MultiIndex.from_frame(claims[_CLAIM_KEYS].astype("str")).isin(keys)
    shown = claims.copy()
    shown.loc[same, _SHOWN] = np.nan
    coarse = released[released["note"].str.contains(ROUNDED, regex=False)]
    rounded = pd.MultiIndex.from_frame(claims[_CLAIM_KEYS].astype("str")).isin(pd.MultiIndex.from_frame(coarse[_CLAIM_KEYS]))
    shown.loc[rounded, _SHOWN] = shown.loc[rounded, _SHOWN].round(DECIMALS)
    return shown

"""Who is compared? Clients with a group, an end score and all covariates, with the therapists that they share.

Vocabulary
----------
group       none, repaired or unrepaired (see ``rupture.summary``)
covariate   what the groups are made alike in, by regression
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import DataError, StatisticsError, did_you_mean, problem
from attachment_outcomes.rupture.summary import GROUPS

MIN_GROUP = 10  # per group: with fewer, HC3 and the normality of a group's mean are not to be trusted
MIN_THERAPISTS = 5  # with fewer, even CR2 rests on next to nothing
UNITS = "therapists"  # what clusters are called
HIGHER, LOWER = "higher is better", "lower is better"
TOLD_FROM = 5  # clients; smaller counts of a group are not told in notes
UNCLUSTERED = f"fewer than {MIN_THERAPISTS} therapists known: intervals not clustered"


@dataclass(frozen=True)
class Comparison:
    """Clients who can be compared.

    ``rows`` have ``group``, ``_post`` and the ``covariates`` (those that vary). ``groups`` are those compared, in the order of
    ``GROUPS``, with ``sizes``. ``codes`` (n,) are the therapists, or None where too few are known. ``notes`` say who is in and who
    is not.
    """

    rows: pd.DataFrame
    covariates: list[str]
    sizes: dict[str, int]
    codes: npt.NDArray[np.int64] | None
    notes: list[str]

    @property
    def n_clusters(self) -> float:
        """Independent units that the intervals rest on."""
        return float(len(self.rows) if self.codes is None else self.codes.max() + 1)

    @property
    def groups(self) -> list[str]:
        """The groups compared."""
        return list(self.sizes)

    @property
    def within_sd(self) -> float:
        """SD of the end score within groups, pooled (ddof: one a group), score points."""
        scores = self.rows["_post"]
        residual = scores - scores.groupby(self.rows["group"]).transform("mean")
        return float(np.sqrt((residual**2).sum() / (len(scores) - len(self.sizes))))


def few(n: int) -> str:
    """Return a number of people for a note; 1 to 4 as "fewer than 5", since a note is not rounded or hidden later."""
    return f"fewer than {TOLD_FROM}" if 0 < n < TOLD_FROM else str(n)


def sizes_text(sizes: dict[str, int]) -> str:
    """Return ``none 30, repaired 20, unrepaired fewer than 5``."""
    return ", ".join(f"{group} {few(n)}" for group, n in sizes.items())


def numbers(rows: pd.DataFrame, column: str, place: str) -> pd.Series:
    """Return a column as numbers, missing ones as NaN.

    Raises
    ------
    DataError
        If a cell holds a word. The message names column and rows and never the word: it may be a person's name.
    """
    found = pd.to_numeric(rows[column].astype(object), errors="coerce").astype("float64")
    wrong = np.flatnonzero(found.isna() & rows[column].notna())
    if wrong.size:
        shown = ", ".join(str(i + 1) for i in wrong[:5]) + (f" and {wrong.size - 5} more" if wrong.size > 5 else "")
        raise DataError(problem(f"{place}, column {column}", f"no number in row {shown}.", hint="leave missing values empty."))
    return found


def compare(
    clients: pd.DataFrame,
    *,
    post: str = "post",
    adjust: Sequence[str],
    cluster: str | None,
    min_group: int = MIN_GROUP,
    drop_small: bool = False,
) -> Comparison:
    """Return the clients with a group, an end score and all covariates.

    With ``drop_small`` a group with fewer than ``min_group`` clients is left out, and the other two are compared.

    Raises
    ------
    DataError
        If a column is absent, ``group`` holds an unknown word, or a score or covariate holds a word.
    StatisticsError
        If a group has fewer than ``min_group`` clients; with ``drop_small``, if two have.
    """
    needed = list(dict.fromkeys(["group", post, *adjust]))
    for column in needed:
        if column not in clients.columns:
            raise DataError(problem("rupture outcome", f"no column {column!r}.{did_you_mean(column, clients.columns)}"))
    unknown = set(clients["group"].dropna()) - set(GROUPS)
    if unknown:
        what = f"found {len(unknown)} unknown words; allowed: {', '.join(GROUPS)}."
        raise DataError(problem("rupture outcome, column group", what))
    clients = clients.assign(**{c: numbers(clients, c, "rupture outcome") for c in needed[1:]})
    rows = clients[clients[needed].notna().all(axis=1)].reset_index(drop=True)
    left_out = _left_out(clients, rows, post)
    sizes = {g: int((rows["group"] == g).sum()) for g in GROUPS}
    small = [g for g, n in sizes.items() if n < min_group]
    if small and (not drop_small or len(small) > 1):
        raise StatisticsError(f"groups too small for a comparison ({sizes_text(sizes)}; at least {min_group} in each)")
    dropped = f"{small[0]} ({few(sizes[small[0]])}) too few to be compared" if small else ""
    rows = rows[~rows["group"].isin(small)].reset_index(drop=True)
    sizes = {g: n for g, n in sizes.items() if g not in small}
    rows["_post"] = rows[post]
    covariates = [c for c in dict.fromkeys(adjust) if np.ptp(rows[c]) > 0]
    codes = None if cluster is None else therapist_codes(rows, cluster)
    notes = [
        f"{sizes_text(sizes)}; adjusted for {', '.join(covariates) or 'nothing'}",
        dropped,
        left_out,
        "" if codes is not None or cluster is None else UNCLUSTERED,
    ]
    return Comparison(rows, covariates, sizes, codes, notes)


def therapist_codes(rows: pd.DataFrame, cluster: str) -> npt.NDArray[np.int64] | None:
    """Return each client's therapist as a number from 0; None where fewer than ``MIN_THERAPISTS`` are known.

    A client without a therapist is a cluster of their own.
    """
    if cluster not in rows or rows[cluster].nunique() < MIN_THERAPISTS:
        return None
    known = pd.factorize(rows[cluster])[0]
    apart = np.where(known < 0, -np.arange(len(rows)) - 1, known)
    return np.unique(apart, return_inverse=True)[1].astype(np.int64)


def _left_out(clients: pd.DataFrame, rows: pd.DataFrame, post: str) -> str:
    """Return how many were left out, and how many of them have a group but no end score."""
    left_out = len(clients) - len(rows)
    if not left_out:
        return ""
    lost = int((clients[post].isna() & clients["group"].notna()).sum())
    return f"{left_out} clients left out (no group or no scores)" + (f"; no end score: {lost}" if lost else "")

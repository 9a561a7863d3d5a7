"""All scores of a study in one table: those made from items and those imported, never the same one twice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from attachment_outcomes.errors import DataError, did_you_mean, problem, rows_text
from attachment_outcomes.flow import Flow
from attachment_outcomes.measures.instruments import Instrument
from attachment_outcomes.measures.scoring import SCORE_KEY, SCORES, ItemMatrix, item_matrix, no_scores, score_matrix

SLACK = 1e-6  # a mean that was written with few digits may pass the end of its range


def item_matrices(items: pd.DataFrame, instruments: Mapping[str, Instrument]) -> dict[str, ItemMatrix]:
    """Return the answers of every instrument of the items table as a matrix.

    Raises
    ------
    DataError
        If the table names an instrument that the study does not have; see also :func:`item_matrix`.
    """
    _check_known(items, "instrument", list(instruments), "items")
    present = set(items["instrument"].unique())
    return {
        k: item_matrix(items[items["instrument"] == k] if len(present) > 1 else items, v)
        for k, v in instruments.items()
        if k in present
    }


def all_scores(
    matrices: Mapping[str, ItemMatrix], imported: pd.DataFrame, instruments: Mapping[str, Instrument], *, flow: Flow
) -> pd.DataFrame:
    """Score every instrument and add the imported scores.

    Parameters
    ----------
    matrices : mapping
        Instrument key to its answers, from :func:`item_matrices`.
    imported : DataFrame
        The canonical scores that came in as scores.
    instruments : mapping
        Instrument key to its form.
    flow : Flow
        Takes the counts.

    Returns
    -------
    DataFrame
        The canonical scores.

    Raises
    ------
    DataError
        If an imported score names no known instrument or scale, lies outside the scale's range, or is also made from items.
    """
    check_imported(imported, instruments)
    frames = [score_matrix(matrix, instruments[key], flow) for key, matrix in matrices.items()]
    made = pd.concat([f for f in frames if len(f)] or [no_scores()], ignore_index=True)
    flow.add("imported scores", len(imported), int(imported["score"].notna().sum()), "empty in the source", unit="scores")
    both = pd.concat([made, imported[SCORES]], ignore_index=True) if len(imported) else made
    doubled = both.duplicated(SCORE_KEY).to_numpy()
    if doubled.any():
        rows = (np.flatnonzero(doubled) - len(made) + 1).tolist()
        names = sorted({f"{i}.{s}" for i, s in both.loc[doubled, ["instrument", "scale"]].itertuples(index=False)})
        raise DataError(
            problem(
                "scores",
                f"{len(rows)} scores of {', '.join(names)} are both imported ({rows_text(rows)}) and made from items.",
                hint="import one of them only.",
            )
        )
    return both


def check_imported(scores: pd.DataFrame, instruments: Mapping[str, Instrument]) -> None:
    """Refuse imported scores of unknown instruments or scales, or outside a scale's range; see :func:`all_scores`."""
    _check_known(scores, "instrument", list(instruments), "scores")
    for key in scores["instrument"].unique():
        form = instruments[key]
        mine = (scores["instrument"] == key).to_numpy()
        for name in scores.loc[mine, "scale"].unique():
            scale = form.scale(name)
            points = scores["score"].to_numpy(dtype=float, na_value=np.nan)
            wrong = mine & (scores["scale"] == name).to_numpy() & ((points < scale.low - SLACK) | (points > scale.high + SLACK))
            if wrong.any():
                rows = (np.flatnonzero(wrong) + 1).tolist()
                raise DataError(
                    problem(
                        f"scores of {key}.{name}",
                        f"outside {scale.low:g} to {scale.high:g} in {rows_text(rows)}.",
                        hint="map the study's code for missing, or give the study's own range of answers.",
                    )
                )


def _check_known(frame: pd.DataFrame, column: str, allowed: list[str], table: str) -> None:
    unknown = ~frame[column].isin(allowed)
    if unknown.any():
        rows = (np.flatnonzero(unknown.to_numpy()) + 1).tolist()
        found = str(frame.loc[unknown, column].iloc[0])
        raise DataError(
            problem(
                f"{table}.{column}",
                f"an instrument that the study's YAML does not name, in {rows_text(rows)}; named: {', '.join(allowed) or 'none'}."
                f"{did_you_mean(found, allowed)}",
                hint="name it under 'instruments' of the study, or correct the mapping.",
            )
        )

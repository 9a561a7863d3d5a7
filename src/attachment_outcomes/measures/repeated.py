"""Which answers to a scale's items are a person's first and last? Two tables of keyed answers, a row a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.measures.instruments import Instrument
from attachment_outcomes.measures.occasions import SELF
from attachment_outcomes.measures.scoring import ItemMatrix, keyed_answers


@dataclass(frozen=True)
class Repeated:
    """Keyed answers of the same people (n) to the same items (k) at two occasions; NaN = not answered, or not there.

    ``n_both`` people have an answer at both. ``people`` are the ids, in order.
    """

    people: pd.Series
    first: np.ndarray
    second: np.ndarray
    items: tuple[int, ...]

    @property
    def both(self) -> np.ndarray:
        """Answers to the items of the first occasion, then to those of the second (n × 2k)."""
        return np.hstack([self.first, self.second])

    @property
    def n_both(self) -> int:
        """Number of people with an answer at both occasions."""
        return int((~np.isnan(self.first).all(axis=1) & ~np.isnan(self.second).all(axis=1)).sum())


def repeated_answers(
    matrix: ItemMatrix,
    form: Instrument,
    scale: str,
    *,
    baseline: int | str = "first",
    end: int | str = "last",
    rater: str = SELF,
    people: pd.DataFrame | None = None,
) -> Repeated:
    """Return a scale's keyed answers at two occasions, with everybody who answered at either.

    Parameters
    ----------
    matrix : ItemMatrix
        Answers of the instrument.
    form : Instrument
        Its form.
    scale : str
        Scale made from items, or from scales that are.
    baseline, end : int, "first", "last"
        Waves; ``first`` and ``last`` are a person's own first and last wave with any answer. The end comes after the baseline.
    rater : str
        Whose answers.
    people : DataFrame, optional
        Canonical people. With it only the treated count: clients where clients answered, else everybody but therapists.

    Raises
    ------
    StatisticsError
        If items of the scale were not given, people answered several questionnaires at one wave, or nobody answered at waves.
    """
    items = form.items_of(scale)
    absent = [i for i in items if i not in matrix.items]
    if absent or not items:
        raise StatisticsError(f"{form.key}.{scale}: {'nobody answered item ' + str(absent[0]) if absent else 'it has no items'}")
    parts = [form.scales[p] for p in form.scales[scale].parts] or [form.scales[scale]]
    keyed = np.hstack([keyed_answers(matrix.columns(p.items), p, form) for p in parts])
    who = matrix.respondents
    some = ((who["rater"] == rater) & who["wave"].notna()).to_numpy(dtype=bool) & ~np.isnan(keyed).all(axis=1)
    rows = pd.DataFrame({"person_id": who["person_id"], "wave": who["wave"], "row": np.arange(len(who))})[some]
    if people is not None:
        rows = _treated(rows, people)
    if rows.empty:
        raise StatisticsError(f"{form.key}.{scale}: no answers at a wave")
    if rows.duplicated(["person_id", "wave"]).any():
        raise StatisticsError(f"{form.key}.{scale}: several questionnaires of a person at one wave, so there is no single pair")
    rows = rows.astype({"wave": "int64"}).sort_values(["person_id", "wave"], ignore_index=True)
    before = _at(rows, baseline, "first")
    after = _at(rows, end, "last")
    ids = pd.Series(sorted(set(before.index) | set(after.index)), dtype="str")
    frame = pd.DataFrame(index=ids).join(before.add_suffix("_1")).join(after.add_suffix("_2"))
    late = (frame["wave_2"] <= frame["wave_1"]) | (frame["wave_2"] <= baseline if isinstance(baseline, int) else False)
    frame.loc[late.to_numpy(dtype=bool), "row_2"] = np.nan
    frame = frame[frame[["row_1", "row_2"]].notna().any(axis=1)]
    found = []
    for column in ("row_1", "row_2"):
        at = frame[column].to_numpy(dtype=float)
        block = np.full((len(frame), len(items)), np.nan)
        block[~np.isnan(at)] = keyed[at[~np.isnan(at)].astype(int)]
        found.append(block)
    return Repeated(pd.Series(frame.index.to_numpy(), dtype="str"), found[0], found[1], items)


def _at(rows: pd.DataFrame, occasion: int | str, which: str) -> pd.DataFrame:
    if isinstance(occasion, int):
        rows = rows[rows["wave"] == occasion]
    elif occasion != which:
        raise StatisticsError(f"found occasion {occasion!r}; allowed: {which!r} or the number of a wave")
    keep = rows.drop_duplicates("person_id", keep="first" if which == "first" else "last")
    return keep.set_index("person_id")[["wave", "row"]]


def _treated(rows: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    role = people.set_index("person_id")["role"].reindex(rows["person_id"])
    wanted = (role == "client") if (role == "client").any() else (role != "therapist")
    return rows[wanted.fillna(True).to_numpy(dtype=bool)]


def scores_of(form: Instrument, scale: str) -> Mapping[int, float]:
    """Return how many score points one point of each keyed item of a scale is worth, by position."""
    own = form.scales[scale]
    parts = [form.scales[p] for p in own.parts] or [own]
    worth = [p.multiply / (len(p.items) if p.combine == "mean" else 1) for p in parts for _ in p.items]
    return {i: w * (own.multiply if own.parts else 1.0) for i, w in enumerate(worth)}

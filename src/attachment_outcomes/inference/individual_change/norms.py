"""Whose norm is a person's? Norms by age, gender or any other columns, and cutoffs that differ between people.

Vocabulary
----------
stratum   a part of the population with a norm of its own, e.g. women from 18 to under 30
band      an interval of a number: from the first value on, up to but not with the second; either may be open (null)
form      which form of the instrument a norm is of: a norm of another form, or of another range of scores, is refused
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem, rows_text
from attachment_outcomes.inference.individual_change.significance import Norm, PersonCutoffs, choose_cutoff

PLACE = "norms"
NEEDED, KEYS = ("mean", "sd"), ("mean", "sd", "strata", "form", "range")
NO, YES, UNKNOWN = 0, 1, 2  # whether a person is in a stratum


@dataclass(frozen=True, slots=True, eq=False)
class PersonNorms:
    """Each person's norm: ``position`` (n,) in ``norms``, -1 for who lacks what the strata go by (``n_missing`` of them)."""

    norms: tuple[Norm, ...]
    position: NDArray[np.int64]

    @property
    def n_missing(self) -> int:
        """How many people have no norm because a column that the strata go by is missing for them."""
        return int((self.position < 0).sum())


def same_form(entry: Mapping[str, Any], *, form: str = "", possible: Sequence[float] | None = None) -> None:
    """Refuse a norm of another form of the instrument.

    Parameters
    ----------
    entry
        The norm: ``mean``, and optionally the ``form`` and ``range`` that it is of.
    form
        The form in use; empty if there is only one.
    possible
        Lowest and highest possible score of the scale in use.

    Raises
    ------
    StatisticsError
        If form or range differ, or the mean cannot be a score of the scale.
    """
    told = entry.get("form")
    if told and form and told != form:
        raise StatisticsError(problem(PLACE, f"a norm is of the form {told!r}; the form in use is {form!r}."))
    if possible is None:
        return
    low, high = float(possible[0]), float(possible[1])
    own = entry.get("range")
    if own is not None and (float(own[0]), float(own[1])) != (low, high):
        what = f"a norm is of a scale from {own[0]:g} to {own[1]:g}; the scale in use goes from {low:g} to {high:g}."
        raise StatisticsError(problem(PLACE, what, hint="a norm of another form of the instrument cannot be used."))
    if not low <= float(entry["mean"]) <= high:
        what = f"a norm's mean {float(entry['mean']):g} is no possible score, from {low:g} to {high:g}."
        raise StatisticsError(problem(PLACE, what, hint="is it of another form, or a sum where the scale is a mean?"))


def person_norms(
    people: pd.DataFrame, table: Sequence[Mapping[str, Any]], *, form: str = "", possible: Sequence[float] | None = None
) -> PersonNorms:
    """Return each person's norm from a table of norms by strata.

    Parameters
    ----------
    people
        A row a person, with the columns that the strata go by (age in years, gender, …).
    table
        A mapping a stratum: ``mean``, ``sd`` (score points), ``strata`` (column to the value that belongs to it, or to a band as
        two numbers; a column that is not named may have any value), and optionally ``form`` and ``range``.
    form, possible
        As in :func:`same_form`.

    Raises
    ------
    StatisticsError
        If the table is empty or of another form, a column is absent or of another kind, or somebody falls into no stratum or
        into two. A person for whom a missing value leaves the stratum open has no norm; they are counted in ``n_missing``.
    """
    if not table:
        raise StatisticsError(problem(PLACE, "the table of norms is empty."))
    yes = np.zeros(len(people), dtype=np.int64)
    unknown = np.zeros(len(people), dtype=bool)
    position = np.full(len(people), -1, dtype=np.int64)
    norms = []
    for i, entry in enumerate(table):
        _check_entry(entry)
        same_form(entry, form=form, possible=possible)
        norms.append(Norm(float(entry["mean"]), float(entry["sd"])))
        inside = _inside(people, entry.get("strata", {}))
        yes += inside == YES
        unknown |= inside == UNKNOWN
        position[inside == YES] = i
    for count, wrong, hint in (
        ("two strata", yes > 1, "let a band end where the next one begins; its end does not belong to it."),
        ("no stratum", (yes == 0) & ~unknown, "add the stratum, or leave the value missing to have no category."),
    ):
        if wrong.any():
            where = rows_text([int(r) for r in np.flatnonzero(wrong) + 1])
            raise StatisticsError(problem(PLACE, f"{int(wrong.sum())} people fall into {count} ({where}).", hint=hint))
    position[unknown] = -1
    return PersonNorms(tuple(norms), position)


def _check_entry(entry: Mapping[str, Any]) -> None:
    for key in entry:
        if key not in KEYS:
            raise StatisticsError(
                problem(PLACE, f"a norm has the key {key!r}; allowed: {', '.join(KEYS)}.{did_you_mean(key, KEYS)}")
            )
    for key in NEEDED:
        value = entry.get(key)
        if not isinstance(value, Real) or isinstance(value, bool):
            found = f"has no {key}" if value is None else f"has a {key} of kind {type(value).__name__}"
            raise StatisticsError(problem(PLACE, f"a norm {found}; allowed: a number."))


def _inside(people: pd.DataFrame, strata: Mapping[str, Any]) -> NDArray[np.int8]:
    """Return whether each person is in a stratum: NO whatever is missing if one column says so, else UNKNOWN, else YES."""
    found = np.full(len(people), YES, dtype=np.int8)
    for column, wanted in strata.items():
        if column not in people.columns:
            raise StatisticsError(
                problem(PLACE, f"the strata go by {column!r}, a column that is not there.{did_you_mean(column, people.columns)}")
            )
        values = people[column]
        missing = values.isna().to_numpy()
        if isinstance(wanted, list | tuple):
            here = _in_band(values, wanted, column)
        else:
            here = values.eq(wanted).fillna(False).to_numpy(dtype=bool)
        found[missing & (found == YES)] = UNKNOWN
        found[~missing & ~here] = NO
    return found


def _in_band(values: pd.Series, band: Sequence[Any], column: str) -> NDArray[np.bool_]:
    if len(band) != 2:
        raise StatisticsError(problem(PLACE, f"a band of {column!r} has {len(band)} ends; allowed: two, or null for an open one."))
    if not all(v is None or (isinstance(v, Real) and not isinstance(v, bool)) for v in band):
        what = f"a band of {column!r} has ends that are no numbers."
        raise StatisticsError(problem(PLACE, what, hint="a stratum has one value of a column: give each value a row of its own."))
    low, high = (np.nan if v is None else float(v) for v in band)
    if low >= high:
        raise StatisticsError(problem(PLACE, f"a band of {column!r} goes from {low:g} to {high:g}; allowed: upwards."))
    if not pd.api.types.is_numeric_dtype(values.dtype):
        raise StatisticsError(problem(PLACE, f"the strata have bands of {column!r}, which is no number."))
    x = values.to_numpy(dtype=float, na_value=np.nan)
    return np.asarray(~(x < low) & ~(x >= high) & ~np.isnan(x))


def person_cutoffs(
    kind: str = "auto",
    *,
    clinical: tuple[float, float] | Norm | PersonNorms | None = None,
    functional: tuple[float, float] | Norm | PersonNorms | None = None,
    se_measurement: float | None = None,
    higher_is_better: bool,
) -> PersonCutoffs:
    """Return each person's cutoff, from the norms of their strata.

    Parameters
    ----------
    kind
        As in :func:`.significance.choose_cutoff`; ``auto`` is decided stratum by stratum. An instrument's own cutoff is one for
        everybody and has no place here.
    clinical, functional
        A norm for everybody, or :func:`person_norms`; at least one of them by person.
    se_measurement
        For the cutoffs on true scores.
    higher_is_better
        Direction of the scale.

    Raises
    ------
    StatisticsError
        As :func:`.significance.choose_cutoff`, for any stratum; and if neither norm is by person.
    """
    sizes = {len(n.position) for n in (clinical, functional) if isinstance(n, PersonNorms)}
    if len(sizes) != 1:
        what = "neither norm is by person." if not sizes else "the norms are of different numbers of people."
        raise StatisticsError(problem("cutoffs by person", what, hint="use choose_cutoff for one norm for everybody."))
    if kind in ("none", "instrument"):
        raise StatisticsError(problem("cutoffs by person", f"{kind!r} does not rest on norms.", hint="use choose_cutoff."))
    (n,) = sizes
    values, kinds = np.full(n, np.nan), []
    low, high = (_positions(norm, n) for norm in (clinical, functional))
    # One number a pair of strata, -1 where either is unknown.
    width = int(high.max(initial=0)) + 1
    pair = np.where((low < 0) | (high < 0), -1, low * width + high)
    for number in np.unique(pair[pair >= 0]):
        chosen = choose_cutoff(
            kind, clinical=_norm_at(clinical, number // width), functional=_norm_at(functional, number % width),
            se_measurement=se_measurement, higher_is_better=higher_is_better,
        )  # fmt: skip
        if chosen is not None:
            values[pair == number] = chosen.value
            kinds.append(chosen.kind)
    return PersonCutoffs(" and ".join(sorted(set(kinds))) or kind, values)


def _positions(norm: tuple[float, float] | Norm | PersonNorms | None, n: int) -> NDArray[np.int64]:
    return norm.position if isinstance(norm, PersonNorms) else np.zeros(n, dtype=np.int64)


def _norm_at(norm: tuple[float, float] | Norm | PersonNorms | None, position: int) -> tuple[float, float] | Norm | None:
    return norm.norms[position] if isinstance(norm, PersonNorms) else norm

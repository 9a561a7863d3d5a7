"""What are a person's scale scores, given the answers?

Every score that was made from fewer than all items, and every score that was refused, is counted in the flow of exclusions.

Vocabulary
----------
long      one row an answer: ``person_id, item, value`` and, where there are any, ``about_person_id, wave, session_number, rater``
wide      one row a questionnaire, one column an item
keyed     an answer after reversal, recoding and weighting
prorated  a score made from fewer than all items, the others replaced by the person's mean of the scale's answered items
target    the person a questionnaire is about, where it is given once for each of several people
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import DataError, problem, rows_text
from attachment_outcomes.flow import Flow
from attachment_outcomes.measures.instruments import MEAN, ROUNDED_MEAN, Instrument, Scale, read_instrument
from attachment_outcomes.measures.occasions import RESPONDENT, group_codes, with_respondent

SCORES = [*RESPONDENT[:4], "instrument", "scale", "rater", "score", "n_items", "n_answered", "prorated"]
SCORE_KEY = [*RESPONDENT, "instrument", "scale"]
UNIT = "questionnaires"


@dataclass(frozen=True)
class ItemMatrix:
    """Answers of one instrument: ``values`` is (n questionnaires × k items), NaN = not answered; ``items`` names the columns."""

    respondents: pd.DataFrame
    values: np.ndarray
    items: tuple[int, ...]

    def columns(self, wanted: tuple[int, ...]) -> np.ndarray:
        """Return the answers to some items, in their order."""
        return self.values[:, [self.items.index(i) for i in wanted]]


@dataclass(frozen=True)
class Scored:
    """Scores of one scale: (n,) arrays."""

    score: np.ndarray
    n_items: int
    n_answered: np.ndarray
    prorated: np.ndarray


def score(
    items: pd.DataFrame,
    *,
    instrument: str | Mapping[str, Any] | Instrument,
    columns: Mapping[int, Hashable] | None = None,
    complete_only: bool = False,
    flow: Flow | None = None,
) -> pd.DataFrame:
    """Score one instrument.

    Parameters
    ----------
    items : DataFrame
        Long (``person_id``, ``item``, ``value`` …) or wide (n questionnaires × items).
    instrument : str, mapping or Instrument
        Key of ``config/instruments``, the content of such a file, or a form from :func:`read_instrument`.
    columns : mapping, optional
        Wide only: item number to column. Without it every column must end in its item's number (``Q7``, ``ecr_07`` or ``7``).
    complete_only : bool
        Score only questionnaires with every item of the scale answered.
    flow : Flow, optional
        Takes the counts of prorated and refused scores.

    Returns
    -------
    DataFrame
        Long in, long out: the canonical scores, a row a questionnaire and scale, ``score`` in score points. Wide in, wide out:
        for each scale its score, ``<scale>_n_answered`` and ``<scale>_prorated``; the index is kept.

    Raises
    ------
    DataError
        If an answer lies outside the response range, an item is not the instrument's, or items of a scale are missing
        altogether; with column and row numbers, never the content.
    ConfigError
        If the instrument is not known or contradicts itself.

    Notes
    -----
    With answered items A of a scale's k items and keyed answers x: the mean is sum(x over A) / |A| and the sum k times that;
    both are refused when more than ``max_missing`` items are unanswered. With ``prorate: rounded mean`` each unanswered item
    counts the mean rounded half up to a whole answer. Reversal is lowest + highest - answer.

    Examples
    --------
    >>> answers = pd.DataFrame({f"phq9_{i}": [1, 3] for i in range(1, 10)})
    >>> score(answers, instrument="phq9")["total"].tolist()
    [9.0, 27.0]
    """
    form = instrument if isinstance(instrument, Instrument) else read_instrument(instrument, complete_only=complete_only)
    flow = Flow() if flow is None else flow
    if {"item", "value"} <= set(items.columns):
        rows = items[items["instrument"] == form.key] if "instrument" in items else items
        return score_matrix(item_matrix(rows, form), form, flow)
    values, numbers = _wide_values(items, form, columns)
    matrix = ItemMatrix(pd.DataFrame(index=items.index), values, numbers)
    found: dict[str, Any] = {}
    for name, scored in _score_scales(matrix, form, flow).items():
        found |= {name: scored.score, f"{name}_n_answered": scored.n_answered, f"{name}_prorated": scored.prorated}
    return pd.DataFrame(found, index=items.index)


def _wide_values(
    frame: pd.DataFrame, form: Instrument, columns: Mapping[int, Hashable] | None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the answers of the items that scales use, checked against the response range."""
    if columns is None:
        columns = {}
        for name in frame.columns:
            match = re.search(r"(\d+)$", str(name))
            if match is None or int(match[1]) in columns:
                raise DataError(
                    problem(
                        f"{form.key} items", f"column {name!r} has no item number of its own.", hint="pass columns={item: column}."
                    )
                )
            columns[int(match[1])] = name
    known = {*form.items, *form.unscored}
    strange = [str(columns[i]) for i in columns if i not in known]
    if strange:
        raise DataError(problem(f"{form.key} items", f"no item for column {strange[0]!r}; items are {_numbers(known)}."))
    numbers = tuple(i for i in form.items if i in columns)
    values = np.empty((len(frame), len(numbers)))
    for position, item in enumerate(numbers):
        answers = _as_numbers(frame[columns[item]], f"{form.key}, column {columns[item]!r}")
        _check_range(answers, form, f"column {columns[item]!r}", np.arange(len(frame)))
        values[:, position] = answers
    return values, numbers


def _as_numbers(cells: pd.Series, place: str) -> np.ndarray:
    """Return the cells as floats, missing as NaN; refuse words without quoting them."""
    numbers = np.asarray(pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float, na_value=np.nan))
    words = np.isnan(numbers) & cells.notna().to_numpy()
    if words.any():
        found = (np.flatnonzero(words) + 1).tolist()
        raise DataError(
            problem(place, f"cells that are not numbers in {rows_text(found)}.", hint="turn words into numbers or missing first.")
        )
    return numbers


def _numbers(items: set[int]) -> str:
    ordered = sorted(items)
    if ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(map(str, ordered))


def _check_range(values: np.ndarray, form: Instrument, place: str, rows: np.ndarray) -> None:
    wrong = (values < form.low) | (values > form.high)  # NaN compares false: not answered is allowed
    if wrong.any():
        found = (rows[wrong] + 1).tolist()
        raise DataError(
            problem(
                f"{form.key}, {place}",
                f"answers outside {form.low:g} to {form.high:g} in {rows_text(found)}.",
                hint="map the study's code for missing, or give the study's own range of answers.",
            )
        )


def item_matrix(rows: pd.DataFrame, form: Instrument) -> ItemMatrix:
    """Return the answers of one instrument as a matrix, a row a questionnaire, from long rows.

    Raises
    ------
    DataError
        If an item is not the instrument's, an answer lies outside its range, or an answer is given twice.
    """
    rows = rows.reset_index(drop=True)
    codes, words = pd.factorize(rows["item"])
    position = {item: n for n, item in enumerate(form.items)}
    target = np.array([_column(word, position, form) for word in words] + [-2], dtype=np.int64)[codes]
    if (target == -2).any():
        found = (np.flatnonzero(target == -2) + 1).tolist()
        allowed = _numbers({*form.items, *form.unscored}) if form.items else "none: it is imported as a score"
        raise DataError(
            problem(f"{form.key} items", f"an item that the instrument does not have in {rows_text(found)}; items are {allowed}.")
        )
    values = _as_numbers(rows["value"], f"{form.key}, value")
    _check_range(values, form, "value", np.arange(len(rows)))
    respondent = with_respondent(rows)
    group = group_codes(respondent, RESPONDENT)
    first = respondent[~pd.Series(group).duplicated().to_numpy()].reset_index(drop=True)
    used = target >= 0
    answers = np.full((len(first), len(form.items)), np.nan)
    given = np.zeros(answers.shape, dtype=bool)
    given[group[used], target[used]] = True
    if given.sum() != used.sum():
        raise DataError(
            problem(
                f"{form.key} items",
                f"{used.sum() - given.sum()} answers stand twice.",
                hint="map the column that tells the rows apart.",
            )
        )
    answers[group[used], target[used]] = values[used]
    present = tuple(i for i, n in position.items() if given[:, n].any())
    return ItemMatrix(first, answers[:, [position[i] for i in present]], present)


def _column(word: object, position: Mapping[int, int], form: Instrument) -> int:
    """Return an item's column, -1 for an item that no scale uses, -2 for one that is not the instrument's."""
    text = str(word).strip()
    number = int(text) if text.isdigit() else -1
    return position.get(number, -1 if number in form.unscored else -2)


def keyed_answers(values: np.ndarray, scale: Scale, form: Instrument) -> np.ndarray:
    """Return the answers of a scale's items (n × k) after reversal, recoding and weighting.

    Raises
    ------
    DataError
        If an answer has no value in the recoding.
    """
    keyed = np.array(values, dtype=float)
    for n, item in enumerate(scale.items):
        if item in scale.recode:
            answers = keyed[:, n].copy()
            found = np.full(len(answers), np.nan)
            for answer, value in scale.recode[item].items():
                found[answers == answer] = value
            lost = np.isnan(found) & ~np.isnan(answers)
            if lost.any():
                raise DataError(
                    problem(
                        f"{form.key}, item {item}",
                        f"{int(lost.sum())} answers have no value in the key; allowed: {_answers(scale, item)}.",
                    )
                )
            keyed[:, n] = found
        elif item in scale.reverse:
            keyed[:, n] = form.low + form.high - keyed[:, n]
        if item in scale.weights:
            keyed[:, n] *= scale.weights[item]
    return keyed


def _answers(scale: Scale, item: int) -> str:
    return ", ".join(f"{a:g}" for a in scale.recode[item])


def score_keyed(keyed: np.ndarray, scale: Scale) -> Scored:
    """Combine keyed answers (n × k) into one score a row; see :func:`score` for the formula."""
    k = keyed.shape[1]
    missing = np.isnan(keyed)
    n_missing = missing.sum(axis=1)
    n_answered = k - n_missing
    total = np.where(missing, 0.0, keyed).sum(axis=1)
    own_mean = np.divide(total, n_answered, out=np.full(len(total), np.nan), where=n_answered > 0)
    # Half up, as people round by hand; numpy's own rounding would take 2.5 to 2.
    fill = np.floor(own_mean + 0.5) if scale.prorate == ROUNDED_MEAN else own_mean
    total = total + np.where(n_missing > 0, n_missing * fill, 0.0)
    points = total / (k if scale.combine == MEAN else 1) * scale.multiply
    refused = (n_missing > scale.max_missing) | (n_answered == 0)
    return Scored(np.where(refused, np.nan, points), k, n_answered, (n_missing > 0) & ~refused)


def _score_scales(matrix: ItemMatrix, form: Instrument, flow: Flow) -> dict[str, Scored]:
    """Score every scale whose items were given; count prorated and refused scores."""
    found: dict[str, Scored] = {}
    for name, scale in form.scales.items():
        if scale.items:
            absent = [i for i in scale.items if i not in matrix.items]
            if len(absent) == len(scale.items):
                flow.add(f"{form.key}.{name}: given", len(matrix.values), 0, "none of the scale's items is in the data", unit=UNIT)
                continue
            if absent:
                raise DataError(
                    problem(
                        f"{form.key}.{name}",
                        f"nobody answered item {_numbers(set(absent))}.",
                        hint="map the columns of these items, or name the subset of items under the study's instruments.",
                    )
                )
            found[name] = score_keyed(keyed_answers(matrix.columns(scale.items), scale, form), scale)
            _count(f"{form.key}.{name}", found[name], scale, flow)
    for name, scale in form.scales.items():
        if scale.parts and all(p in found for p in scale.parts):
            parts = [found[p] for p in scale.parts]
            found[name] = Scored(
                np.sum([p.score for p in parts], axis=0) * scale.multiply,
                sum(p.n_items for p in parts),
                np.sum([p.n_answered for p in parts], axis=0),
                np.any([p.prorated for p in parts], axis=0) & np.all([~np.isnan(p.score) for p in parts], axis=0),
            )
            _count(f"{form.key}.{name}", found[name], scale, flow)
    return {name: found[name] for name in form.scales if name in found}


def _count(name: str, scored: Scored, scale: Scale, flow: Flow) -> None:
    any_answer = int((scored.n_answered > 0).sum())
    made = int((~np.isnan(scored.score)).sum())
    rule = f"one of the parts {', '.join(scale.parts)} was refused" if scale.parts else _rule(scale, scored.n_items)
    flow.add(f"{name}: answered", len(scored.score), any_answer, "no item answered", unit=UNIT)
    flow.add(f"{name}: scored", any_answer, made, rule, unit=UNIT)
    flow.add(f"{name}: prorated", made, made, f"{int(scored.prorated.sum())} of them made from fewer than all items", unit=UNIT)


def _rule(scale: Scale, n_items: int) -> str:
    return (
        f"more than {scale.max_missing} of {n_items} items unanswered"
        if scale.max_missing
        else f"not all of {n_items} items answered"
    )


def score_matrix(matrix: ItemMatrix, form: Instrument, flow: Flow) -> pd.DataFrame:
    """Return the canonical scores of one instrument from its matrix of answers, a row a questionnaire and scale."""
    scored = _score_scales(matrix, form, flow)
    frames = [_rows(matrix.respondents, form.key, name, s) for name, s in scored.items()]
    for scale in form.scales.values():
        if scale.mean_over_targets in scored:
            one = _rows(matrix.respondents, form.key, scale.mean_over_targets, scored[scale.mean_over_targets])
            frames.append(mean_over_targets(one, scale, flow))
    return pd.concat(frames, ignore_index=True)[SCORES] if frames else no_scores()


def _rows(respondents: pd.DataFrame, instrument: str, scale: str, scored: Scored) -> pd.DataFrame:
    return respondents.assign(
        instrument=pd.Series(instrument, index=respondents.index, dtype="str"),
        scale=pd.Series(scale, index=respondents.index, dtype="str"),
        score=scored.score,
        n_items=pd.array(np.full(len(respondents), scored.n_items), dtype="Int64"),
        n_answered=pd.array(scored.n_answered, dtype="Int64"),
        prorated=pd.array(scored.prorated, dtype="boolean"),
    )


def no_scores() -> pd.DataFrame:
    """Return a scores table without rows."""
    empty = pd.DataFrame({c: pd.Series(dtype="str") for c in SCORES})
    return empty.astype(
        {
            "wave": "Int64",
            "session_number": "Int64",
            "score": "float64",
            "n_items": "Int64",
            "n_answered": "Int64",
            "prorated": "boolean",
        }
    )


def mean_over_targets(scores: pd.DataFrame, scale: Scale, flow: Flow) -> pd.DataFrame:
    """Average one scale's scores over the people they are about; targets weigh equally.

    A target about whom no item was answered counts as not asked. The mean is refused if more than ``scale.max_missing`` of the
    other targets have no score. ``n_items`` and ``n_answered`` count targets.
    """
    asked = scores[scores["n_answered"] > 0]
    name = f"{scores['instrument'].iloc[0]}.{scale.key}" if len(scores) else scale.key
    flow.add(f"{name}: targets asked about", len(scores), len(asked), "no item answered about this person", unit=UNIT)
    group = group_codes(asked, [c for c in RESPONDENT if c != "about_person_id"])
    first = asked[~pd.Series(group).duplicated().to_numpy()].reset_index(drop=True)
    points = asked["score"].to_numpy()
    scored = ~np.isnan(points)
    n_targets = np.bincount(group, minlength=len(first))
    n_scored = np.bincount(group, weights=scored, minlength=len(first)).astype(int)
    total = np.bincount(group, weights=np.where(scored, points, 0.0), minlength=len(first))
    refused = (n_targets - n_scored > scale.max_missing) | (n_scored == 0)
    mean = np.divide(total, n_scored, out=np.full(len(first), np.nan), where=~refused)
    flow.add(
        f"{name}: scored",
        len(first),
        int((~refused).sum()),
        f"more than {scale.max_missing} targets without a score",
        unit="people",
    )
    return first.assign(
        about_person_id=pd.Series(pd.NA, index=first.index, dtype="str"),
        scale=pd.Series(scale.key, index=first.index, dtype="str"),
        score=mean,
        n_items=pd.array(n_targets, dtype="Int64"),
        n_answered=pd.array(n_scored, dtype="Int64"),
        prorated=pd.array((n_scored < n_targets) & ~refused, dtype="boolean"),
    )

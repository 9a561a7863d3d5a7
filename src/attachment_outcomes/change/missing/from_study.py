"""A study's outcome as a panel: which occasions and people, and what else is known of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from attachment_outcomes.change.inputs import ChangeData, Outcome
from attachment_outcomes.change.missing.panel import BY_REASON, BY_SCORES, FEWEST, Flags, Numbers, Panel
from attachment_outcomes.errors import ConfigError, StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.design import identified

PREDICTORS = ("age_band", "gender", "subgroup", "modality", "arm", "planned_sessions")
MOST_OCCASIONS = 8
EARLY = ("dropped out", "referred on")
NOT_KNOWN, OTHER = "not known", "other"


def wide_scores(data: ChangeData, outcome: Outcome) -> tuple[pd.DataFrame, int]:
    """Return people by occasions from baseline to end, sorted, and how many of the treated have no score there at all.

    Raises
    ------
    StatisticsError
        If there are fewer than two occasions, or no end that is the same for everybody.
    """
    long, when = data.long(outcome), data.when
    if data.occasions == "session" and not isinstance(when["end"], int):
        raise StatisticsError("with sessions as occasions each person has an end of their own; name the session (change.end)")
    kept = long
    if isinstance(when["baseline"], int):
        kept = kept[kept["occasion"] >= when["baseline"]]
    if isinstance(when["end"], int):
        kept = kept[kept["occasion"] <= when["end"]]
    wide = kept.pivot(index="person_id", columns="occasion", values="value").sort_index().sort_index(axis=1)
    if wide.shape[1] < 2:
        raise StatisticsError(f"the score was taken at {wide.shape[1]} occasion{'' if wide.shape[1] == 1 else 's'}; two are needed")
    if wide.shape[1] > MOST_OCCASIONS:
        wide = wide.iloc[:, np.unique(np.linspace(0, wide.shape[1] - 1, MOST_OCCASIONS).round().astype(int))]
        wide = wide[wide.notna().any(axis=1)]
    treated = data.of_treated(data.people, "people")["person_id"]
    return wide, int((~treated.isin(wide.index)).sum())


def panel_of(data: ChangeData, outcome: Outcome, *, predictors: Sequence[str] | None = None) -> Panel:
    """Return an outcome's panel; who was not seen at the first occasion is counted in the flow.

    Parameters
    ----------
    data
        The study.
    outcome
        One of its outcomes.
    predictors
        Columns of people and treatments (first treatment); those of ``PREDICTORS`` that are there and vary if None.

    Raises
    ------
    ConfigError
        If a predictor named is no such column.
    StatisticsError
        As :func:`wide_scores`; if a score is infinite; or if fewer than ten people were seen at the first occasion.
    """
    wide, _ = wide_scores(data, outcome)
    began = wide[wide.iloc[:, 0].notna()]
    data.flow.add(
        f"missing data, {outcome['score']}: began", len(wide), len(began), "not seen at the first occasion", unit="people"
    )
    endless = int(np.isinf(wide.to_numpy(dtype=float, na_value=np.nan)).sum())
    if endless:
        raise StatisticsError(f"{endless} infinite score{'' if endless == 1 else 's'}; leave a missing score empty")
    if len(began) < FEWEST:
        who = "1 person was" if len(began) == 1 else f"{len(began)} people were"
        raise StatisticsError(f"{who} seen at the first occasion; {FEWEST} are needed")
    people = pd.Series(began.index)
    first = data.treatments.sort_values(["person_id", "start_week", "treatment_id"], kind="stable").drop_duplicates("person_id")
    known = data.people.drop_duplicates("person_id").merge(first, on="person_id", how="left").set_index("person_id")
    known = known.reindex(people)
    covariates, names, notes = coded(known, predictors)
    scores = began.to_numpy(dtype=float, na_value=np.nan)
    early, how = _ended_early(scores, known["end_reason"])
    if wide.shape[1] < data.long(outcome)["occasion"].nunique() and wide.shape[1] == MOST_OCCASIONS:
        notes = (*notes, f"{MOST_OCCASIONS} occasions, evenly spread, of more")
    return Panel(
        scores=scores, occasions=tuple(int(o) for o in began.columns), covariates=covariates, names=names,
        clusters=data.therapists_of(people), ended_early=early, how_ended=how, notes=notes,
    )  # fmt: skip


def coded(known: pd.DataFrame, predictors: Sequence[str] | None) -> tuple[Numbers, tuple[str, ...], tuple[str, ...]]:
    """Return predictors as numbers (n, k): numbers in SDs, words as 0/1 against their most frequent; names, and notes.

    Small categories are joined, and what the columns before determine is left out; the notes say so.

    Raises
    ------
    ConfigError
        If a predictor named is no column.
    """
    columns: list[tuple[str, Numbers]] = []
    notes: list[str] = []
    for name in PREDICTORS if predictors is None else predictors:
        if name not in known.columns:
            if predictors is None:
                continue
            what = f"no column {name!r} in people or treatments.{did_you_mean(name, known.columns)}"
            raise ConfigError(problem("change.missing.predictors", what))
        values = known[name]
        if values.isna().all():
            continue
        columns += _numeric(name, values, notes) if pd.api.types.is_numeric_dtype(values) else _words(name, values, notes)
    kept = np.ones((len(known), 1))
    names: list[str] = []
    for label, column in columns:
        wider = np.column_stack([kept, column])
        if identified(wider):
            kept = wider
            names.append(label)
        elif np.ptp(column) > 0:
            notes.append(f"{label} left out: the other predictors determine it")
    return kept[:, 1:], tuple(names), tuple(notes)


def _numeric(name: str, values: pd.Series, notes: list[str]) -> list[tuple[str, Numbers]]:
    x = values.to_numpy(dtype=float, na_value=np.nan)
    gone = np.isnan(x)
    spread = float(np.nanstd(x))
    if spread == 0:
        return []
    z = np.where(gone, 0.0, (x - np.nanmean(x)) / spread)
    found = [(f"{name} (per SD)", z)]
    if gone.sum() >= FEWEST:
        found.append((f"{name}: {NOT_KNOWN}", gone.astype(float)))
    elif gone.any():
        who = "1 person" if gone.sum() == 1 else f"{int(gone.sum())} people"
        notes.append(f"{name} of {who} not known, put at the mean")
    return found


def _words(name: str, values: pd.Series, notes: list[str]) -> list[tuple[str, Numbers]]:
    words = values.astype("object").where(values.notna(), NOT_KNOWN).astype("str")
    counts = words.value_counts()
    small = sorted(counts.index[counts < FEWEST])
    if small:
        words = words.where(~words.isin(small), OTHER)
        if int(counts[small].sum()) < FEWEST:
            words = words.where(words != OTHER, str(counts.index[0]))
        notes.append(f"{name}: categories of fewer than {FEWEST} people are joined")
    counts = words.value_counts()
    most = sorted(counts.index[counts == counts.max()])[0]
    return [(f"{name}: {w}", (words == w).to_numpy(dtype=float)) for w in sorted(counts.index) if w != most]


def _ended_early(scores: Numbers, reasons: pd.Series) -> tuple[Flags, str]:
    if reasons.notna().any():
        return reasons.isin(EARLY).to_numpy(dtype=bool), BY_REASON
    return np.asarray(np.isnan(scores[:, -2:]).all(axis=1)), BY_SCORES

"""One outcome from baseline to end: each person's category under each definition, the shares, and the mean change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.effects import paired_change
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.individual_change.definitions import (
    TYPES,
    Definition,
    changes,
    estimate_direction,
    resolve_all,
    typed,
)
from attachment_outcomes.inference.individual_change.methods import CATEGORIES as PLAIN_CATEGORIES
from attachment_outcomes.inference.individual_change.methods import DETERIORATED, IMPROVED, expected_improved, threshold
from attachment_outcomes.inference.individual_change.norms import PersonNorms, person_cutoffs, person_norms
from attachment_outcomes.inference.individual_change.significance import CATEGORIES, HARMED, RECOVERED, Cutoff, PersonCutoffs
from attachment_outcomes.inference.proportions import proportion
from attachment_outcomes.inference.steps import Part, stacked

ANALYSIS = "reliable_change"
PEOPLE_CHANGE = {"person_id": "str", "outcome": "str", **TYPES}
TABLES = {"people_change": PEOPLE_CHANGE}
COLUMNS = list(PEOPLE_CHANGE)
BETTER, WORSE = [RECOVERED, IMPROVED], [DETERIORATED, HARMED]


@dataclass(frozen=True, slots=True)
class OutcomeChange:
    """One outcome's rows for the people table, and its estimates."""

    people: pd.DataFrame
    estimates: list[Estimate]


def no_people() -> pd.DataFrame:
    """Return a people_change table without rows."""
    return typed(pd.DataFrame(columns=COLUMNS), COLUMNS)


def analyse(data: ChangeData) -> Part:
    """Apply every definition to every outcome of a study; ``people_change`` is a row a person, outcome and definition."""
    found = [
        outcome_change(
            data.pairs(outcome), score=str(outcome["score"]), scale=data.scale(outcome),
            definitions=list(outcome.get("definitions") or [{}]), clusters=data.therapists, ci_level=data.ci_level,
            people=data.people, flow=data.flow,
        )
        for outcome in data.outcomes
    ]  # fmt: skip
    people = stacked([f.people for f in found], PEOPLE_CHANGE, ["outcome", "definition", "person_id"])
    return Part([row for f in found for row in f.estimates], {"people_change": people})


def outcome_change(
    pairs: pd.DataFrame,
    *,
    score: str,
    scale: Mapping[str, Any],
    definitions: list[Mapping[str, Any]],
    clusters: pd.Series | None = None,
    people: pd.DataFrame | None = None,
    flow: Flow | None = None,
    ci_level: float = CI_LEVEL,
) -> OutcomeChange:
    """Apply every definition to one outcome's baseline–end pairs.

    Parameters
    ----------
    pairs
        ``person_id, pre, post``; a missing score stays missing and gets no category.
    score
        Name of the outcome.
    scale
        The instrument's scale: direction, reliability, norms, cutoffs.
    definitions
        As configured; the first is the primary one.
    clusters
        Therapist by ``person_id``; without it people are taken as independent.
    people
        ``person_id`` and the columns that norms by stratum go by; only a definition with ``functional_by`` needs it.
    flow
        Takes the count of people whose stratum is not known.
    ci_level
        Confidence level.

    Returns
    -------
    OutcomeChange
        People: ``COLUMNS``. Estimates: ``share`` a category (of those with both scores; they sum to 1), ``reliably_improved``
        (with recovered), ``reliably_deteriorated`` (with harmed), ``crossed_without_reliable_change`` (some of the unchanged,
        where there is a cutoff; same denominator), ``improved_expected_without_change``,
        ``reliable_change_threshold`` and the cutoff, by definition; ``mean_change`` and ``standardised_change`` once.

    Raises
    ------
    ConfigError
        If two definitions bear one name.
    """
    x1, x2 = (pairs[c].to_numpy(dtype=float, na_value=np.nan) for c in ("pre", "post"))
    both = ~(np.isnan(x1) | np.isnan(x2))
    labels = None if clusters is None else clusters.reindex(pairs["person_id"]).reset_index(drop=True)
    if both.sum() == 0:
        return OutcomeChange(
            no_people(), [not_testable(ANALYSIS, "nobody has this score at baseline and at the end", outcome=score)]
        )
    rows = _mean_rows(x1, x2, labels, score, estimate_direction(scale), ci_level)
    ready, refused = resolve_all(definitions, scale, x1, x2, score=score)
    for name, reason in refused:
        rows.append(replace(not_testable(ANALYSIS, f"{score}, {name}: {reason}", outcome=score), definition=name))
    rows_of_people = []
    for definition in ready:
        entry = next((e for e in definitions if e.get("functional_by") and e.get("name") == definition.name), None)
        whom = both
        if entry is not None:
            try:
                definition, norms = _by_stratum(definition, entry, pairs, people, scale, both)
            except StatisticsError as error:
                rows.append(
                    replace(
                        not_testable(ANALYSIS, f"{score}, {definition.name}: {error}", outcome=score), definition=definition.name
                    )
                )
                continue
            whom = both & (norms.position >= 0)
            if flow is not None:
                step = f"change, {score}, {definition.name}: norm of the own stratum"
                flow.add(step, int(both.sum()), int(whom.sum()), "a column that the norms go by is missing", unit="people")
            rows += _stratum_rows(definition, entry, norms, score, whom, ci_level)
        found = changes(definition, x1, x2)
        rows_of_people.append(typed(found.assign(person_id=pairs["person_id"].to_numpy(), outcome=score), COLUMNS))
        seen = found[whom].reset_index(drop=True)
        if seen["category"].isna().any():
            reason = f"{score}, {definition.name}: the differences vary less than measurement error alone would make them"
            rows.append(replace(not_testable(ANALYSIS, reason, outcome=score), definition=definition.name))
            continue
        own = None if labels is None else labels[whom]
        rows += _share_rows(seen, own, definition, score, ci_level)
        rows += _rule_rows(definition, score, len(seen), ci_level)
    return OutcomeChange(pd.concat(rows_of_people, ignore_index=True) if rows_of_people else no_people(), rows)


def _by_stratum(
    definition: Definition, entry: Mapping[str, Any], pairs: pd.DataFrame, people: pd.DataFrame | None, scale: Mapping[str, Any],
    both: NDArray[np.bool_],
) -> tuple[Definition, PersonNorms]:  # fmt: skip
    """Give each person the cutoff that the norm of their own stratum makes."""
    if people is None:
        raise StatisticsError("norms by stratum need the people's columns")
    own = people.drop_duplicates("person_id").set_index("person_id").reindex(pairs["person_id"]).reset_index()
    norms = person_norms(own, entry["functional_by"], possible=scale.get("range"))
    clinical = entry.get("clinical")
    before = pairs["pre"].to_numpy(dtype=float, na_value=np.nan)[both]
    cutoff = person_cutoffs(
        str(entry.get("cutoff", "auto")), functional=norms, se_measurement=definition.setting.se_measurement,
        clinical=(clinical["mean"], clinical["sd"]) if clinical else (float(before.mean()), float(before.std(ddof=1))),
        higher_is_better=definition.higher_is_better,
    )  # fmt: skip
    told = f"cutoff {cutoff.kind} from {'the clinical norm' if clinical else 'this sample at baseline'} and norms by stratum"
    return replace(definition, cutoff=cutoff, notes=(*(n for n in definition.notes if not n.startswith("cutoff")), told)), norms


def _stratum_rows(
    definition: Definition, entry: Mapping[str, Any], norms: PersonNorms, score: str, whom: NDArray[np.bool_], ci_level: float
) -> list[Estimate]:
    """Return the cutoff of each stratum that somebody is in."""
    assert isinstance(definition.cutoff, PersonCutoffs)
    rows = []
    for place, norm in enumerate(entry["functional_by"]):
        here = (norms.position == place) & whom
        if here.any():
            stratum = ", ".join(f"{column} {_told(value)}" for column, value in norm["strata"].items())
            rows.append(
                Estimate(
                    analysis=ANALYSIS, estimand=f"cutoff_{definition.cutoff.kind}", outcome=score, group=stratum,
                    definition=definition.name, primary=definition.primary, ci_level=ci_level, n=int(here.sum()),
                    estimate=float(definition.cutoff.values[here][0]), unit="score points", method=definition.method,
                    note="; ".join(definition.notes),
                )
            )  # fmt: skip
    return rows


def _told(value: Any) -> str:
    return f"from {value[0]} to below {value[1]}" if isinstance(value, list | tuple) else str(value)


def _mean_rows(
    x1: np.ndarray, x2: np.ndarray, labels: pd.Series | None, score: str, direction: str, ci_level: float
) -> list[Estimate]:
    try:
        effects = paired_change(x1, x2, clusters=labels, ci_level=ci_level)
    except StatisticsError as error:
        return [replace(not_testable(ANALYSIS, f"mean change: {error}", outcome=score), group="mean_change")]
    return [
        Estimate(
            analysis=ANALYSIS, estimand=estimand, outcome=score, estimate=e.estimate, std_error=e.std_error, ci_low=e.ci_low,
            ci_high=e.ci_high, ci_level=ci_level, p_value=e.p_value, n=e.n, n_clusters=e.n_clusters, unit=unit,
            direction=direction, method=e.method, note=e.note,
        )
        for estimand, e, unit in zip(("mean_change", "standardised_change"), effects, ("score points", "SD"), strict=True)
    ]  # fmt: skip


def _share_rows(
    seen: pd.DataFrame, labels: pd.Series | None, definition: Definition, score: str, ci_level: float
) -> list[Estimate]:
    category = seen["category"]
    directions = {**dict.fromkeys(BETTER, "higher is better"), **dict.fromkeys(WORSE, "lower is better")}
    names = PLAIN_CATEGORIES if definition.cutoff is None else CATEGORIES
    events = [("share", name, category == name, directions.get(name, "")) for name in names]
    events.append(("reliably_improved", "", category.isin(BETTER), "higher is better"))
    events.append(("reliably_deteriorated", "", category.isin(WORSE), "lower is better"))
    if definition.cutoff is not None:
        events.append(("crossed_without_reliable_change", "", seen["crossed"], ""))
    rows = []
    for estimand, group, event, direction in events:
        share = proportion(event.to_numpy(dtype=bool), clusters=labels, ci_level=ci_level)
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand=estimand, outcome=score, group=group, definition=definition.name,
                primary=definition.primary, estimate=share.estimate, std_error=share.std_error, ci_low=share.ci_low,
                ci_high=share.ci_high, ci_level=ci_level, n=share.n, n_clusters=share.n_clusters, unit="proportion",
                direction=direction, method=f"{definition.method}; {share.method}",
                note="; ".join((*definition.notes, *((share.note,) if share.note else ()))),
            )
        )  # fmt: skip
    return rows


def _rule_rows(definition: Definition, score: str, n: int, ci_level: float) -> list[Estimate]:
    """Return what the definition fixes: the least reliable change, the cutoff, and its error rate."""
    shared = {
        "analysis": ANALYSIS, "outcome": score, "definition": definition.name, "primary": definition.primary, "n": n,
        "ci_level": ci_level, "method": definition.method,
    }  # fmt: skip
    note = "; ".join(definition.notes)
    rows = []
    expected = expected_improved(definition.method, definition.setting)
    if np.isfinite(expected):
        told = "share that measurement error alone would call improved; classical test theory, normal errors"
        rows.append(
            Estimate(estimand="improved_expected_without_change", estimate=expected, unit="proportion", note=told, **shared)  # type: ignore[arg-type]
        )
    if definition.method in ("JT", "criterion"):
        scale = definition.setting.s_diff if definition.method == "JT" else 1.0
        least = threshold(definition.method, definition.setting) * scale
        rule = "from this change on" if definition.method == "criterion" else "beyond this change"
        rows.append(
            Estimate(
                estimand="reliable_change_threshold", estimate=least, unit="score points", note=f"{rule}; {note}",
                **shared,  # type: ignore[arg-type]
            )
        )  # fmt: skip
    if isinstance(definition.cutoff, Cutoff):
        kind = definition.cutoff.kind
        side = "the value itself is clinical" if definition.cutoff.inclusive else "the value itself is neither"
        rows.append(
            Estimate(
                estimand="cutoff" if kind == "instrument" else f"cutoff_{kind}", estimate=definition.cutoff.value,
                unit="score points", note=f"{side}; {note}", **shared,  # type: ignore[arg-type]
            )
        )  # fmt: skip
    return rows

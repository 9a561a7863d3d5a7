"""All that a study's ``change`` block asks for: outcomes, transitions, earned security and growth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.change import growth, outcomes, security, transitions
from attachment_outcomes.change.occasions import OCCASION_COLUMNS, long_scores, long_values, pairs
from attachment_outcomes.errors import ConfigError, DataError, StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.individual_change.definitions import estimate_direction, reliability_of, scale_of
from attachment_outcomes.measures.codes import CLASSES, FOUR_WAY, SYSTEMS, classes
from attachment_outcomes.measures.instruments import read_instrument
from attachment_outcomes.measures.styles import BOUNDARY, FISHER, FISHER_FUNCTIONS, RULES, SECURE, STYLES, find_split

INTERVIEW = "AAI"
SELF = "self"
NO_BLOCK = "the study's configuration has no block 'change'"


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """Tables and estimates of the stage, in the forms that are written."""

    people_change: pd.DataFrame
    transitions: pd.DataFrame
    growth: pd.DataFrame
    estimates: list[Estimate]
    flow: Flow


def change_analysis(
    *,
    scores: pd.DataFrame,
    styles: pd.DataFrame,
    waves: pd.DataFrame,
    people: pd.DataFrame,
    treatments: pd.DataFrame,
    classifications: pd.DataFrame,
    settings: Mapping[str, Any] | None,
    instruments: Mapping[str, Mapping[str, Any]],
    ci_level: float = CI_LEVEL,
) -> ChangeResult:
    """Run the analyses of a study's ``change`` block on its canonical tables.

    Parameters
    ----------
    scores, waves, people, treatments, classifications
        Canonical tables. Where clients have an outcome, only they count; else everybody but the therapists.
    styles
        Table of style classifications.
    settings
        The study's ``change`` block, or None.
    instruments
        Instrument key to its configuration.
    ci_level
        Confidence level of every interval.

    Returns
    -------
    ChangeResult
        What the data cannot answer is a row among the estimates, never an omission; who could not be counted is in the flow.
    """
    flow = Flow()
    empty = (outcomes.no_people(), transitions.no_transitions(), growth.no_curve())
    if settings is None:
        analyses = (outcomes.ANALYSIS, transitions.ANALYSIS, security.ANALYSIS, growth.ANALYSIS)
        return ChangeResult(*empty, [not_testable(a, NO_BLOCK) for a in analyses], flow)
    rows: list[Estimate] = []
    changes, curves = [], []
    therapists = therapist_of(treatments, flow)
    for outcome in settings["outcomes"]:
        found, curve, estimates = _outcome(
            outcome, scores=scores, waves=waves, people=people, treatments=treatments, therapists=therapists, settings=settings,
            instruments=instruments, ci_level=ci_level, flow=flow,
        )  # fmt: skip
        changes.append(found)
        curves.append(curve)
        rows += estimates
    moves, estimates = _classes(
        styles,
        classifications,
        people=people,
        therapists=therapists,
        settings=settings,
        instruments=instruments,
        ci_level=ci_level,
        flow=flow,
    )
    rows += estimates
    return ChangeResult(
        _stacked(changes, empty[0], ["outcome", "definition", "person_id"]),
        moves,
        _stacked(curves, empty[2], ["outcome", "time"]),
        rows,
        flow,
    )


def _stacked(frames: list[pd.DataFrame], empty: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    filled = [f for f in frames if len(f)]
    return pd.concat(filled, ignore_index=True).sort_values(order, kind="stable", ignore_index=True) if filled else empty


def therapist_of(treatments: pd.DataFrame, flow: Flow) -> pd.Series | None:
    """Return the therapist of each person's first treatment, by person_id; None if fewer than two therapists are known."""
    known = treatments[treatments["therapist_id"].notna().to_numpy()]
    if known["therapist_id"].nunique() < 2:
        return None
    several = int(known.drop_duplicates(["person_id", "therapist_id"]).duplicated("person_id").sum())
    first = known.sort_values(["person_id", "start_week", "treatment_id"], kind="stable").drop_duplicates("person_id")
    flow.add(
        "change: one therapist a person", len(first), len(first) - several,
        "several therapists: counted under the first, nobody is left out", unit="people",
    )  # fmt: skip
    return first.set_index("person_id")["therapist_id"]


def of_clients(rows: pd.DataFrame, people: pd.DataFrame, name: str, flow: Flow) -> pd.DataFrame:
    """Return the rows of clients if there are any, else of everybody but therapists: change is that of the treated."""
    role = people.set_index("person_id")["role"].reindex(rows["person_id"])
    wanted = (role == "client") if (role == "client").any() else (role != "therapist")
    kept = rows[wanted.fillna(True).to_numpy(dtype=bool)]
    n_in, n_out = rows["person_id"].nunique(), kept["person_id"].nunique()
    flow.add(f"change, {name}: the treated", n_in, n_out, "therapists, partners, parents or children of clients", unit="people")
    return kept


def _outcome(
    outcome: Mapping[str, Any], *, scores: pd.DataFrame, waves: pd.DataFrame, people: pd.DataFrame, treatments: pd.DataFrame,
    therapists: pd.Series | None, settings: Mapping[str, Any], instruments: Mapping[str, Mapping[str, Any]], ci_level: float,
    flow: Flow,
) -> tuple[pd.DataFrame, pd.DataFrame, list[Estimate]]:  # fmt: skip
    score, occasions = str(outcome["score"]), str(settings.get("occasions", "wave"))
    scale = scale_of(score, instruments)
    try:
        long = long_scores(scores, score=score, rater=str(outcome.get("rater", SELF)), occasions=occasions)
    except DataError as error:
        rows = [not_testable(a, str(error), outcome=score) for a in (outcomes.ANALYSIS, growth.ANALYSIS)]
        return outcomes.no_people(), growth.no_curve(), rows
    long = of_clients(long, people, score, flow)
    found = pairs(long, baseline=settings.get("baseline", "first"), end=settings.get("end", "last"))
    _count_pairs(found, score, flow)
    change = outcomes.outcome_change(
        found, score=score, scale=scale, definitions=list(outcome.get("definitions") or [{}]), clusters=therapists,
        ci_level=ci_level,
    )  # fmt: skip
    if not settings.get("growth", True):
        asked = not_testable(growth.ANALYSIS, "the study asks for no growth curves (change.growth)", outcome=score)
        return change.people, growth.no_curve(), [*change.estimates, asked]
    timed, unit, end = _timed(long, waves, treatments, occasions=occasions, end=settings.get("end", "last"), score=score, flow=flow)
    note = "" if therapists is None else "people are taken as independent of their therapists"
    course = growth.growth_curve(
        timed, outcome=score, time_unit=unit, end=end, direction=estimate_direction(scale), ci_level=ci_level, note=note
    )
    return change.people, course.curve, [*change.estimates, *course.estimates]


def _count_pairs(found: pd.DataFrame, name: str, flow: Flow) -> None:
    n, start = len(found), int(found["pre"].notna().sum())
    both = int((found["pre"].notna() & found["post"].notna()).sum())
    flow.add(f"change, {name}: at baseline", n, start, "nothing at baseline", unit="people")
    flow.add(f"change, {name}: at baseline and end", start, both, "nothing at the end", unit="people")


def _timed(
    long: pd.DataFrame, waves: pd.DataFrame, treatments: pd.DataFrame, *, occasions: str, end: Any, score: str, flow: Flow
) -> tuple[pd.DataFrame, str, float]:
    """Return the measurements with their time, what a unit of time is, and the time of the last planned occasion."""
    if occasions == "session":
        timed, unit = long.assign(time=long["occasion"].astype(float)), "session"
    else:
        weeks = waves[["person_id", "wave", "weeks"]].rename(columns={"wave": "occasion"}).astype({"occasion": "int64"})
        timed = long.merge(weeks, on=["person_id", "occasion"], how="left")
        if timed["weeks"].notna().any():
            timed, unit = timed.rename(columns={"weeks": "time"}), "week"
        else:
            timed, unit = timed.assign(time=timed["occasion"].astype(float)), "wave"
    known = timed[timed["time"].notna()]
    flow.add(f"growth, {score}: time known", len(timed), len(known), "no week is known for the occasion", unit="measurements")
    if known.empty:
        return known, unit, np.nan
    if isinstance(end, int):
        last = known[known["occasion"] == end]
        return known, unit, float(last["time"].median()) if len(last) else np.nan
    if unit == "session":
        # A few very long treatments must not set the horizon: the planned length, else how far the typical person came.
        planned = treatments["planned_sessions"].median()
        return known, unit, float(planned if pd.notna(planned) else known.groupby("person_id")["time"].max().median())
    return known, unit, float(known.loc[known["occasion"] == known["occasion"].max(), "time"].median())


def _classes(
    styles: pd.DataFrame, classifications: pd.DataFrame, *, people: pd.DataFrame, therapists: pd.Series | None,
    settings: Mapping[str, Any], instruments: Mapping[str, Mapping[str, Any]], ci_level: float, flow: Flow,
) -> tuple[pd.DataFrame, list[Estimate]]:  # fmt: skip
    """Return transitions and earned security of every style classification, and of the interview if there is one."""
    interview = settings.get("security") == INTERVIEW
    occasions = str(settings.get("occasions", "wave"))
    when = {"baseline": settings.get("baseline", "first"), "end": settings.get("end", "last")}
    tables, rows = [], []
    own = styles[(styles["rater"] == SELF).to_numpy(dtype=bool)]
    flow.add("change, styles: by the person", len(styles), len(own), "by another rater", unit="classifications")
    for name in own["name"].drop_duplicates():
        part = of_clients(own[(own["name"] == name).to_numpy(dtype=bool)], people, str(name), flow)
        if part.empty:
            continue
        primary = bool(part["primary"].iloc[0]) and not interview
        classed = part[(part["style"].notna() & (part["style"] != BOUNDARY)).to_numpy(dtype=bool)]
        found = pairs(long_values(classed, column="style", occasions=occasions, name=str(name)), **when)
        _count_pairs(found, str(name), flow)
        tables.append(transitions.transition_table(found["pre"], found["post"], classes=STYLES, name=str(name), primary=primary))
        labels = None if therapists is None else therapists.reindex(found["person_id"]).reset_index(drop=True)
        rows += transitions.transition_estimates(
            found["pre"], found["post"], classes=STYLES, secure=SECURE, name=str(name), primary=primary, clusters=labels,
            ci_level=ci_level,
        )  # fmt: skip
        rows += _earned(found, classed, str(name), primary, labels, settings, instruments, occasions, ci_level)
    if interview:
        table, estimates = _interview(classifications, people, when, therapists, ci_level, flow)
        tables.append(table)
        rows += estimates
    if not rows:
        reason = "no style classification: name the two dimensions under measures/styles"
        rows = [not_testable(a, reason) for a in (transitions.ANALYSIS, security.ANALYSIS)]
    filled = [t for t in tables if t["n"].sum()]
    return (pd.concat(filled, ignore_index=True) if filled else transitions.no_transitions()), rows


def _earned(
    found: pd.DataFrame, classed: pd.DataFrame, name: str, primary: bool, labels: pd.Series | None, settings: Mapping[str, Any],
    instruments: Mapping[str, Mapping[str, Any]], occasions: str, ci_level: float,
) -> list[Estimate]:  # fmt: skip
    column = OCCASION_COLUMNS[occasions]
    points = classed[["person_id", column, "anxiety", "avoidance"]].rename(columns={column: "pre_at"})
    start = found.merge(points.astype({"pre_at": "Int64"}), on=["person_id", "pre_at"], how="left", validate="one_to_one")
    x = start[["anxiety", "avoidance"]].to_numpy(dtype=float, na_value=np.nan)
    reliability, region, told = None, None, ""
    try:
        scales, region = _bounds(name, instruments, classed)
        reliability, told = _reliabilities(scales, settings, instruments)
    except (ConfigError, StatisticsError) as error:
        told = str(error)
    return security.earned_security(
        found["pre"], found["post"], scores=x, reliability=reliability, region=region, clusters=labels, outcome=name,
        primary=primary, ci_level=ci_level, note=told,
    )  # fmt: skip


def _bounds(name: str, instruments: Mapping[str, Mapping[str, Any]], classed: pd.DataFrame) -> tuple[tuple[str, str], np.ndarray]:
    """Return the two scores behind a classification and the bounds of its secure region, checked against its own rows.

    Raises
    ------
    ConfigError
        If the rule's bounds cannot be found.
    StatisticsError
        If the bounds found do not give the classes that were assigned.
    """
    rule = next((r for r in RULES if name.endswith(f" {r}")), "")
    keys = name.removesuffix(f" {rule}").split("/")
    scales = (f"{keys[0]}.anxiety", f"{keys[-1]}.avoidance")
    if not rule or any(s.partition(".")[2] not in instruments.get(s.partition(".")[0], {}).get("scales", {}) for s in scales):
        raise ConfigError(f"the bounds of {name!r} are not known")
    if rule == FISHER:
        a, b, c = FISHER_FUNCTIONS[SECURE]  # avoidance, anxiety, constant
        others = [f for style, f in FISHER_FUNCTIONS.items() if style != SECURE]
        region = np.array([[b - f[1], a - f[0], c - f[2]] for f in others])
    else:
        sides = []
        for score in scales:
            content = instruments[score.partition(".")[0]]
            # The merged configuration holds the study's own answer range; saying so makes the midpoint follow it.
            form = read_instrument(content, override=None if rule != RULES[0] else {"range": content["range"]})
            sides.append((form, form.scale(score.partition(".")[2])))
        split = find_split(rule, anxiety=sides[0], avoidance=sides[1], registry=instruments)
        region = security.quadrant(split.anxiety, split.avoidance)
    x = classed[["anxiety", "avoidance"]].to_numpy(dtype=float)
    inside = (x @ region[:, :2].T + region[:, 2] > 0).all(axis=1)
    if (inside != (classed["style"] == SECURE).to_numpy(dtype=bool)).any():
        raise StatisticsError(f"the bounds found for {name!r} do not give the styles assigned")
    return scales, region


def _reliabilities(
    scales: tuple[str, str], settings: Mapping[str, Any], instruments: Mapping[str, Mapping[str, Any]]
) -> tuple[tuple[float, float], str]:
    primary = {str(o["score"]): (o.get("definitions") or [{}])[0] for o in settings["outcomes"]}
    values, notes = [], []
    for score in scales:
        value, told = reliability_of(primary.get(score, {}), scale_of(score, instruments))
        if value is None:
            raise StatisticsError(f"no reliability of {score}: neither the study nor the instrument gives one")
        values.append(value)
        notes.append(f"{score}: {told}")
    return (values[0], values[1]), "; ".join(notes)


def _interview(
    classifications: pd.DataFrame,
    people: pd.DataFrame,
    when: Mapping[str, Any],
    therapists: pd.Series | None,
    ci_level: float,
    flow: Flow,
) -> tuple[pd.DataFrame, list[Estimate]]:
    own = of_clients(classifications[(classifications["system"] == INTERVIEW).to_numpy(dtype=bool)], people, INTERVIEW, flow)
    labels, excluded = classes(own, system=INTERVIEW, way=FOUR_WAY)
    n = len(own)
    for reason, count in excluded.items():
        flow.add(f"change, {INTERVIEW}: four-way class", n, n - count, reason, unit="interviews")
        n -= count
    analyses = (transitions.ANALYSIS, security.ANALYSIS)
    try:
        long = long_values(own.assign(label=labels), column="label", occasions="wave", name=INTERVIEW)
    except DataError as error:
        return transitions.no_transitions(), [not_testable(a, str(error), outcome=INTERVIEW) for a in analyses]
    found = pairs(long, **when)
    _count_pairs(found, INTERVIEW, flow)
    names, secure = CLASSES[INTERVIEW][FOUR_WAY], SYSTEMS[INTERVIEW].secure
    clusters = None if therapists is None else therapists.reindex(found["person_id"]).reset_index(drop=True)
    rows = transitions.transition_estimates(
        found["pre"], found["post"], classes=names, secure=secure, name=INTERVIEW, clusters=clusters, ci_level=ci_level
    )
    earned = security.earned_security(
        found["pre"], found["post"], secure=secure, clusters=clusters, outcome=INTERVIEW, ci_level=ci_level
    )
    reason = "excess over coding error: needs the reliability of the coders and of the interview over time"
    rows += [replace(r, note=reason) if r.group == "excess" else r for r in earned]
    return transitions.transition_table(found["pre"], found["post"], classes=names, name=INTERVIEW), rows

"""Transitions and earned security of a study: every classification, every definition, and what error alone would give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.change import transitions
from attachment_outcomes.change.inputs import SELF, ChangeData
from attachment_outcomes.change.occasions import OCCASION_COLUMNS, long_scores, long_values, pairs
from attachment_outcomes.change.security.expectation import WHICH, Numbers, Reference
from attachment_outcomes.change.security.shares import (
    ANALYSIS,
    BEST,
    COMPLETE,
    CROSSING,
    DROPOUT,
    RELIABLE,
    SCREENED,
    SUSTAINED,
    WEIGHTED,
    WORST,
    earned_security,
)
from attachment_outcomes.errors import ConfigError, DataError, StatisticsError, problem
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.half_planes import inside
from attachment_outcomes.inference.individual_change.definitions import reliability_of, scale_of
from attachment_outcomes.inference.steps import Part, stacked, typed_table
from attachment_outcomes.measures.codes import CLASSES, FOUR_WAY, SYSTEMS, classes
from attachment_outcomes.measures.instruments import read_instrument
from attachment_outcomes.measures.styles import BOUNDARY, RULES, SECURE, STYLES, find_split, style_regions

INTERVIEW = "AAI"
SELECTIONS = ["unknown", "true", "observed"]
RELIABILITIES = [0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]  # of the sensitivity table
RETROSPECTIVE = "retrospective"
TABLES: dict[str, dict[str, str]] = {
    "transitions": transitions.TABLE,
    "security_reliability": {
        "name": "str", "primary": "bool", "reliability": "float64", "expected_without_change": "float64", "excess": "float64",
        "ci_low": "float64", "ci_high": "float64",
    },
}  # fmt: skip
NO_STYLES = "no style classification: name the two dimensions under measures/styles"
NO_CODER = "excess over coding error: needs the reliability of the coders and of the interview over time"
NO_LOVING = (
    "retrospective earned security: needs the scales of inferred loving experience, which the classifications table does not hold; "
    "with them use retrospective_security(), whose thresholds are recalled and not checked"
)
NO_REFERENCE = (
    "expectation for people chosen by their observed scores: needs the reference population's means, SDs and correlation of both "
    "dimensions (change/earned_security/reference)"
)


@dataclass(frozen=True)
class _Rule:
    """How a classification measures and cuts: its scores, each style's region, and both reliabilities; or why that is not known."""

    scales: tuple[str, str] = ("", "")
    regions: Mapping[str, Numbers] | None = None
    reliability: tuple[float, float] | None = None
    told: str = ""


def analyse(data: ChangeData) -> Part:
    """Return transitions and earned security of every style classification, and of the interview if it is to be used.

    Reads ``security`` (``styles`` or ``AAI``) and the block ``earned_security`` of the settings: ``reliable_on`` (crossed),
    ``follow_up`` and ``end`` (occasions of the sustained definition), ``covariates`` (scores at baseline that predict being seen,
    beside the two dimensions), ``selection`` (unknown), ``reference`` and ``error_correlation`` (0).

    Raises
    ------
    ConfigError
        If a setting is not one of the allowed words, or a covariate names no scale.
    """
    options: Mapping[str, Any] = data.settings.get("earned_security") or {}
    for key, allowed in (("reliable_on", list(WHICH)), ("selection", SELECTIONS)):
        if options.get(key) is not None and options[key] not in allowed:
            raise ConfigError(problem(f"change/earned_security, {key}", f"found {options[key]!r}; allowed: {', '.join(allowed)}."))
    interview = data.settings.get("security") == INTERVIEW
    own = data.styles[(data.styles["rater"] == SELF).to_numpy(dtype=bool)]
    data.flow.add("change, styles: by the person", len(data.styles), len(own), "by another rater", unit="classifications")
    moves, reliabilities, rows = [], [], []
    for name in own["name"].drop_duplicates():
        part = data.of_treated(own[(own["name"] == name).to_numpy(dtype=bool)], str(name))
        if part.empty:
            continue
        table, grid, estimates = _styles(data, part, str(name), options, interview=interview)
        moves.append(table)
        reliabilities.append(grid)
        rows += estimates
    if interview:
        table, estimates = _interview(data)
        moves.append(table)
        rows += estimates
    if not rows:
        rows = [not_testable(a, NO_STYLES) for a in (transitions.ANALYSIS, ANALYSIS)]
    rows.append(replace(not_testable(ANALYSIS, NO_LOVING, outcome=INTERVIEW), definition=RETROSPECTIVE))
    return Part(
        rows,
        {
            "transitions": stacked([m for m in moves if m["n"].sum()], TABLES["transitions"]),
            "security_reliability": stacked(reliabilities, TABLES["security_reliability"], ["name", "reliability"]),
        },
    )


def _styles(
    data: ChangeData, part: pd.DataFrame, name: str, options: Mapping[str, Any], *, interview: bool
) -> tuple[pd.DataFrame, pd.DataFrame, list[Estimate]]:
    primary = bool(part["primary"].iloc[0]) and not interview
    classed = part[(part["style"].notna() & (part["style"] != BOUNDARY)).to_numpy(dtype=bool)]
    long = long_values(classed, column="style", occasions=data.occasions, name=name)
    found = pairs(long, **data.when)
    data.count_pairs(found, name)
    before, after = (_points(classed, found, at, data.occasions) for at in ("pre_at", "post_at"))
    labels = data.therapists_of(found["person_id"])
    rule = _rule(name, data, classed)
    correlation = float(options.get("error_correlation", 0.0))
    rows = transitions.transition_estimates(
        found["pre"], found["post"], classes=STYLES, secure=SECURE, name=name, primary=primary, clusters=labels,
        ci_level=data.ci_level,
    )  # fmt: skip
    alone = None
    if rule.regions is None or rule.reliability is None:
        rows.append(_no_ceiling(rule.told, name))
    else:
        try:
            alone, more = transitions.moves_without_change(
                found["pre"], found["post"], scores=before, classes=STYLES, regions=rule.regions, reliability=rule.reliability,
                secure=SECURE, name=name, clusters=labels, error_correlation=correlation, primary=primary, ci_level=data.ci_level,
            )  # fmt: skip
            rows += more
        except StatisticsError as error:
            rows.append(_no_ceiling(str(error), name))
    table = transitions.transition_table(
        found["pre"], found["post"], classes=STYLES, name=name, primary=primary, without_change=alone
    )
    shared: dict[str, Any] = {
        "reliability": rule.reliability, "region": None if rule.regions is None else rule.regions[SECURE], "outcome": name,
        "ci_level": data.ci_level, "note": rule.told, "error_correlation": correlation,
        "which": options.get("reliable_on") or "crossed",
    }  # fmt: skip
    extra, lacking = _covariates(data, found, options)
    main: dict[str, Any] = {
        "baseline": found["pre"], "end": found["post"], "scores": before, "end_scores": after, "clusters": labels, **shared,
    }  # fmt: skip
    rows += _definitions(data, options, long, main, extra, lacking, primary=primary, shared=shared, classed=classed, name=name)
    return table, _reliabilities(main, name, primary), rows


def _definitions(
    data: ChangeData, options: Mapping[str, Any], long: pd.DataFrame, main: dict[str, Any], extra: Numbers | None, lacking: str, *,
    primary: bool, shared: dict[str, Any], classed: pd.DataFrame, name: str,
) -> list[Estimate]:  # fmt: skip
    """Return earned security by every definition, handling of drop-out, and population that people may have been chosen from."""
    reference = _reference(options, name, data)
    screened = options.get("selection") == "observed"
    followed, why = _followed(data, options, long, classed, name)
    rows: list[Estimate] = []
    for definition in (CROSSING, RELIABLE, SUSTAINED):
        first = definition == CROSSING
        given, covariates = main, extra
        if definition == SUSTAINED:
            if followed is None:
                rows.append(replace(not_testable(ANALYSIS, f"{SUSTAINED}: {why}", outcome=name), definition=definition))
                continue
            given = {**followed, **shared}
            covariates, lacking = _covariates(data, followed["people"], options)
            given.pop("people")
        for dropout in DROPOUT:
            if dropout == WEIGHTED and lacking:
                row = not_testable(ANALYSIS, f"{WEIGHTED}: {lacking}", outcome=name)
                rows.append(replace(row, definition=f"{definition}; {WEIGHTED}"))
                continue
            used: dict[str, Any] = {"covariates": covariates} if dropout == WEIGHTED else {}
            own = earned_security(
                **given, **used, definition=definition, dropout=dropout, primary=primary and first and dropout == COMPLETE
            )
            if dropout in (WORST, BEST) and not _lost(given):
                continue  # nobody was lost: the bounds are the share itself
            rows += [replace(r, primary=False) if screened and r.estimand != "earned_security" else r for r in own]
        if reference is not None:
            # The observed share is the same; only what is expected differs.
            beside = earned_security(**given, definition=definition, reference=reference, primary=primary and first and screened)
            rows += [r for r in beside if r.estimand != "earned_security"]
    if reference is None:
        rows.append(replace(not_testable(ANALYSIS, NO_REFERENCE, outcome=name), definition=f"{CROSSING}; {SCREENED}"))
    return rows


def _lost(given: Mapping[str, Any]) -> bool:
    there = given["baseline"].notna()
    ends = given["end"].isna() | (given["follow_up"].isna() if "follow_up" in given else False)
    return bool((there & ends).any())


def _no_ceiling(reason: str, name: str) -> Estimate:
    row = not_testable(transitions.ANALYSIS, f"moves by measurement error alone: {reason}", outcome=name)
    return replace(row, group="without change")


def _points(classed: pd.DataFrame, found: pd.DataFrame, at: str, occasions: str) -> Numbers:
    """Return the two scores of each person at an occasion of their own; NaN where there is none."""
    column = OCCASION_COLUMNS[occasions]
    points = classed[["person_id", column, "anxiety", "avoidance"]].rename(columns={column: at})
    joined = found[["person_id", at]].merge(points.astype({at: "Int64"}), on=["person_id", at], how="left", validate="one_to_one")
    return joined[["anxiety", "avoidance"]].to_numpy(dtype=float, na_value=np.nan)


def _covariates(data: ChangeData, found: pd.DataFrame, options: Mapping[str, Any]) -> tuple[Numbers | None, str]:
    """Return the other scores at each person's baseline that are to predict who is seen at the end, or why that cannot be."""
    columns = []
    for score in options.get("covariates") or []:
        scale_of(str(score), data.instruments)
        try:
            values = long_scores(data.scores, score=str(score), rater=SELF, occasions=data.occasions)
        except DataError as error:
            return None, f"covariate {score}: {error}"
        values = values.rename(columns={"occasion": "pre_at"}).astype({"pre_at": "Int64"})
        joined = found[["person_id", "pre_at"]].astype({"pre_at": "Int64"}).merge(values, on=["person_id", "pre_at"], how="left")
        columns.append(joined["value"].to_numpy(dtype=float, na_value=np.nan))
    return np.column_stack(columns) if columns else None, ""


def _followed(
    data: ChangeData, options: Mapping[str, Any], long: pd.DataFrame, classed: pd.DataFrame, name: str
) -> tuple[dict[str, Any] | None, str]:
    """Return what the sustained definition needs: classes at baseline, at the end, and at the follow-up after it."""
    later = options.get("follow_up")
    if later is None:
        return None, "needs an occasion after the end (change/earned_security/follow_up)"
    end = options.get("end", data.when["end"])
    if isinstance(end, int) and end >= int(later):
        return None, f"the follow-up (occasion {later}) is not after the end (occasion {end})"
    found = pairs(long[(long["occasion"] < int(later)).to_numpy(dtype=bool)], baseline=data.when["baseline"], end=end)
    final = long[(long["occasion"] == int(later)).to_numpy(dtype=bool)].set_index("person_id")["value"]
    then = final.reindex(found["person_id"]).reset_index(drop=True)
    both = int((found["pre"].notna() & found["post"].notna()).sum())
    whole = int((found["pre"].notna() & found["post"].notna() & then.notna()).sum())
    data.flow.add(f"change, {name}: at baseline, end and follow-up", both, whole, "nothing at the follow-up", unit="people")
    if whole == 0:
        return None, f"nobody has a class at baseline, end and occasion {later}"
    given: dict[str, Any] = {"baseline": found["pre"], "end": found["post"], "follow_up": then, "people": found}
    given |= {"scores": _points(classed, found, "pre_at", data.occasions), "clusters": data.therapists_of(found["person_id"])}
    return given, ""


def _reference(options: Mapping[str, Any], name: str, data: ChangeData) -> Reference | None:
    """Return the population that people were screened from, as given, with the instruments' functional norms where it is silent."""
    given = options.get("reference")
    if not given or given.get("correlation") is None:
        return None
    keys = name.removesuffix(f" {_word(name)}").split("/")
    moments, notes = [], [str(given["source"])] if given.get("source") else []
    for key, side in ((keys[0], "anxiety"), (keys[-1], "avoidance")):
        norm = given.get(side)
        if norm is None:
            norms = data.instruments.get(key, {}).get("scales", {}).get(side, {}).get("norms", [])
            norm = next((n for n in norms if n["population"] == "functional"), None)
            if norm is None:
                return None
            notes.append(f"functional norm of {key}.{side}{'' if norm['verified'] else ', recalled, not checked'}")
        moments.append((float(norm["mean"]), float(norm["sd"])))
    (m1, s1), (m2, s2) = moments
    cross = float(given["correlation"]) * s1 * s2
    told = "" if given.get("verified") else "reference not checked"
    return Reference(
        mean=(m1, m2), covariance=[[s1**2, cross], [cross, s2**2]], n=float(given.get("n") or np.inf),
        source="; ".join(t for t in (*notes, told) if t),
    )  # fmt: skip


def _word(name: str) -> str:
    return next((r for r in RULES if name.endswith(f" {r}")), "")


def _rule(name: str, data: ChangeData, classed: pd.DataFrame) -> _Rule:
    try:
        scales, regions = _bounds(name, data.instruments, classed)
        reliability, told = _reliability(scales, data)
    except (ConfigError, StatisticsError) as error:
        return _Rule(told=str(error))
    return _Rule(scales, regions, reliability, told)


def _bounds(
    name: str, instruments: Mapping[str, Mapping[str, Any]], classed: pd.DataFrame
) -> tuple[tuple[str, str], Mapping[str, Numbers]]:
    """Return the two scores behind a classification and the bounds of each style, checked against its own rows.

    Raises
    ------
    ConfigError
        If the rule's bounds cannot be found.
    StatisticsError
        If the bounds found do not give the classes that were assigned.
    """
    rule = _word(name)
    keys = name.removesuffix(f" {rule}").split("/")
    scales = (f"{keys[0]}.anxiety", f"{keys[-1]}.avoidance")
    if not rule or any(s.partition(".")[2] not in instruments.get(s.partition(".")[0], {}).get("scales", {}) for s in scales):
        raise ConfigError(f"the bounds of {name!r} are not known")
    sides = []
    for score in scales:
        content = instruments[score.partition(".")[0]]
        # The merged configuration holds the study's own answer range; saying so makes the midpoint follow it.
        form = read_instrument(content, override=None if rule != RULES[0] else {"range": content["range"]})
        sides.append((form, form.scale(score.partition(".")[2])))
    regions = style_regions(find_split(rule, anxiety=sides[0], avoidance=sides[1], registry=instruments))
    x = classed[["anxiety", "avoidance"]].to_numpy(dtype=float)
    for style, region in regions.items():
        if (inside(x, region) != (classed["style"] == style).to_numpy(dtype=bool)).any():
            raise StatisticsError(f"the bounds found for {name!r} do not give the styles assigned")
    return scales, regions


def _reliability(scales: tuple[str, str], data: ChangeData) -> tuple[tuple[float, float], str]:
    primary = {str(o["score"]): (o.get("definitions") or [{}])[0] for o in data.outcomes}
    values, notes = [], []
    for score in scales:
        value, told = reliability_of(primary.get(score, {}), scale_of(score, data.instruments))
        if value is None:
            raise StatisticsError(f"no reliability of {score}: neither the study nor the instrument gives one")
        values.append(value)
        notes.append(f"{score}: {told}")
    return (values[0], values[1]), "; ".join(notes)


def _reliabilities(main: Mapping[str, Any], name: str, primary: bool) -> pd.DataFrame:
    """Return what the excess would be if both reliabilities were others, since the interval takes them as known."""
    rows = []
    for r in RELIABILITIES if main["region"] is not None else []:
        found = {e.estimand: e for e in earned_security(**{**main, "reliability": (r, r)})}
        if "excess" in found:
            excess = found["excess"]
            rows.append(
                {
                    "name": name, "primary": primary, "reliability": r, "excess": excess.estimate, "ci_low": excess.ci_low,
                    "ci_high": excess.ci_high, "expected_without_change": found["expected_without_change"].estimate,
                }
            )  # fmt: skip
    return typed_table(rows, TABLES["security_reliability"])


def _interview(data: ChangeData) -> tuple[pd.DataFrame, list[Estimate]]:
    given = data.classifications
    own = data.of_treated(given[(given["system"] == INTERVIEW).to_numpy(dtype=bool)], INTERVIEW)
    labels, excluded = classes(own, system=INTERVIEW, way=FOUR_WAY)
    n = len(own)
    for reason, count in excluded.items():
        data.flow.add(f"change, {INTERVIEW}: four-way class", n, n - count, reason, unit="interviews")
        n -= count
    try:
        long = long_values(own.assign(label=labels), column="label", occasions="wave", name=INTERVIEW)
    except DataError as error:
        analyses = (transitions.ANALYSIS, ANALYSIS)
        return transitions.no_transitions(), [not_testable(a, str(error), outcome=INTERVIEW) for a in analyses]
    found = pairs(long, **data.when)
    data.count_pairs(found, INTERVIEW)
    names, secure = CLASSES[INTERVIEW][FOUR_WAY], SYSTEMS[INTERVIEW].secure
    given_pairs: dict[str, Any] = {"clusters": data.therapists_of(found["person_id"]), "ci_level": data.ci_level}
    rows = transitions.transition_estimates(
        found["pre"], found["post"], classes=names, secure=secure, name=INTERVIEW, **given_pairs
    )
    for dropout in (COMPLETE, WORST, BEST):
        earned = earned_security(
            found["pre"], found["post"], secure=secure, outcome=INTERVIEW, dropout=dropout,
            primary=dropout == COMPLETE, **given_pairs,
        )  # fmt: skip
        rows += [replace(r, note=NO_CODER) if r.group == "excess" else r for r in earned]
    return transitions.transition_table(found["pre"], found["post"], classes=names, name=INTERVIEW), rows

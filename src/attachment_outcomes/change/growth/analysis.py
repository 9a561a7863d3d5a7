"""Growth of every outcome that a study asks for: the primary shape, the others beside it, groups, and therapists."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from attachment_outcomes.change.growth.comparison import compare_courses
from attachment_outcomes.change.growth.curve import ANALYSIS, CURVE, Growth, growth_curve
from attachment_outcomes.change.growth.shapes import OWN, PIECEWISE, PLANNED, SHAPES, SPLINE, treatment_ends
from attachment_outcomes.change.growth.therapist_rows import therapist_effects
from attachment_outcomes.change.inputs import ChangeData, Outcome, Timed
from attachment_outcomes.change.therapists import CATERPILLAR
from attachment_outcomes.errors import ConfigError, DataError, StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.estimate import NOT_TESTABLE, Estimate, not_testable
from attachment_outcomes.inference.individual_change.definitions import estimate_direction
from attachment_outcomes.inference.steps import Part, stacked

SENSITIVITY = "growth_shape"
TABLES: dict[str, dict[str, str]] = {"growth": CURVE, "therapists": CATERPILLAR}
FEWEST_CLIENTS = 5  # of a therapist or a group that is shown: the workflow's usual threshold of disclosure
TREATMENT_COLUMNS, PEOPLE_COLUMNS = ("modality", "arm"), ("subgroup", "gender", "age_band", "site_id")
COMPARABLE = (*TREATMENT_COLUMNS, *PEOPLE_COLUMNS)


def analyse(data: ChangeData) -> Part:
    """Return the growth of every outcome.

    Reads the study's block ``growth``: false asks for none; a mapping has ``shape`` (the primary one, ``spline`` by default),
    ``sensitivity`` (shapes beside it, all by default), ``treatment_end`` (``own``, ``planned`` or a time), ``compare`` (a column
    of treatments or people) with ``reference``, ``sd_estimated`` and ``fewest_clients``.

    Returns
    -------
    Part
        Rows of the analyses ``growth`` (the primary shape), ``growth_shape`` (every shape: AIC, BIC, change to the end),
        ``growth_comparison`` and ``therapist_effect``; tables ``growth`` (curves; ``n_observed`` counts) and ``therapists``
        (deviations by rank; ``n_clients`` counts).

    Raises
    ------
    ConfigError
        If a shape, a column for comparison or the reference group does not exist.
    """
    block = data.settings.get("growth", True)
    if not block:
        reason = "the study asks for no growth curves (change.growth)"
        rows = [not_testable(ANALYSIS, reason, outcome=str(o["score"])) for o in data.outcomes]
        return Part(rows, {name: stacked([], columns) for name, columns in TABLES.items()})
    settings: Mapping[str, Any] = block if isinstance(block, Mapping) else {}
    estimates: list[Estimate] = []
    curves: list[pd.DataFrame] = []
    deviations: list[pd.DataFrame] = []
    for outcome in data.outcomes:
        found, curve, deviation = _outcome(data, outcome, settings)
        estimates += found
        curves.append(curve)
        deviations.append(deviation)
    tables = {
        "growth": stacked(curves, CURVE, ["outcome", "shape", "time"]),
        "therapists": stacked(deviations, CATERPILLAR, ["outcome", "estimand", "rank"]),
    }
    return Part(estimates, tables)


def _outcome(data: ChangeData, outcome: Outcome, settings: Mapping[str, Any]) -> tuple[list[Estimate], pd.DataFrame, pd.DataFrame]:
    score = str(outcome["score"])
    try:
        timed = data.timed(outcome)
    except DataError as error:
        return [not_testable(ANALYSIS, str(error), outcome=score)], pd.DataFrame(), pd.DataFrame()
    primary = str(settings.get("shape", SPLINE))
    shapes = [primary, *(s for s in settings.get("sensitivity", SHAPES) if s != primary)]
    for name in shapes:
        if name not in SHAPES:
            what = f"no shape {name!r}; allowed: {', '.join(SHAPES)}.{did_you_mean(name, SHAPES)}"
            raise ConfigError(problem("change, growth", what))
    ends, told = _ends(data, timed, settings.get("treatment_end")) if PIECEWISE in shapes else (None, "")
    direction = estimate_direction(data.scale(outcome))
    labels = data.therapists_of(pd.Series(timed.rows["person_id"].unique()))
    therapists = None if labels is None or labels.isna().all() else data.therapists
    try:
        fits: dict[str, Growth] = {
            name: growth_curve(
                timed.rows, outcome=score, time_unit=timed.unit, end=timed.end, direction=direction, ci_level=data.ci_level,
                note=told if name == PIECEWISE else "", shape=name, therapists=therapists, treatment_end=ends,
                sd_estimated=bool(settings.get("sd_estimated", True)), primary=name == primary,
            )
            for name in shapes
        }  # fmt: skip
    except StatisticsError as error:
        return [not_testable(ANALYSIS, str(error), outcome=score)], pd.DataFrame(), pd.DataFrame()
    main = fits[primary]
    curve = pd.concat([f.curve for f in fits.values() if len(f.curve)] or [main.curve], ignore_index=True)
    if main.course is None:
        return main.estimates, curve, pd.DataFrame()
    estimates = [*main.estimates, *_sensitivity(fits, primary)]
    if settings.get("compare"):
        estimates += _compared(data, main, score, str(settings["compare"]), settings, timed.unit, direction)
    rows, deviations = therapist_effects(
        main.course, data.pairs(outcome), data.therapists, outcome=score, flow=data.flow,
        fewest=int(settings.get("fewest_clients", FEWEST_CLIENTS)),
    )  # fmt: skip
    return [*estimates, *rows], curve, deviations


def _ends(data: ChangeData, timed: Timed, rule: str | float | None) -> tuple[pd.Series | None, str]:
    """Return when treatments ended; where no rule is given, by the sessions attended if they are known, else as planned."""
    told = ""
    for one in [rule] if rule is not None else [OWN, PLANNED]:
        ends, told = treatment_ends(
            one, timed.rows["person_id"], treatments=data.treatments, sessions=data.sessions, unit=timed.unit
        )
        if ends is not None:
            return ends, told
    return None, told


def _sensitivity(fits: Mapping[str, Growth], primary: str) -> list[Estimate]:
    """Return every shape's AIC and BIC (maximum likelihood), and the other shapes' change to the end."""
    rows: list[Estimate] = []
    for name, found in fits.items():
        if found.course is None:
            missing = [r for r in found.estimates if r.estimand == NOT_TESTABLE]
            rows += [replace(r, analysis=SENSITIVITY, definition=name) for r in missing]
            continue
        fit = found.course.fitted.by_maximum_likelihood()
        like = found.estimates[0]
        method = f"linear mixed model (ML), {found.course.shape.told}, {found.course.fitted.structure.told}"
        chosen = "the primary shape, named beforehand" if name == primary else "beside the primary shape"
        for estimand, value in criteria(fit.loglik, fit.df, fit.n).items():
            rows.append(
                Estimate(
                    analysis=SENSITIVITY,
                    estimand=estimand,
                    outcome=like.outcome,
                    definition=name,
                    primary=name == primary,
                    estimate=value,
                    n=like.n,
                    n_clusters=like.n_clusters,
                    ci_level=like.ci_level,
                    unit="deviance",
                    method=method,
                    note=f"{chosen}; smaller fits better; {fit.df} parameters, {fit.n} measurements",
                )
            )
        wanted = ("change_to_end", "feingold_d", "slope_during", "slope_after")
        rows += [replace(r, analysis=SENSITIVITY) for r in found.estimates if name != primary and r.estimand in wanted]
    return rows


def criteria(loglik: float, df: int, n: int) -> dict[str, float]:
    r"""Return Akaike's and the Bayesian information criterion: :math:`-2\ell + 2k` and :math:`-2\ell + k\log n`, n measurements."""
    return {"aic": -2 * loglik + 2 * df, "bic": -2 * loglik + df * math.log(n)}


def _compared(
    data: ChangeData, main: Growth, score: str, column: str, settings: Mapping[str, Any], unit: str, direction: str
) -> list[Estimate]:
    if column not in COMPARABLE:
        what = f"no column {column!r} to compare; allowed: {', '.join(COMPARABLE)}.{did_you_mean(column, COMPARABLE)}"
        raise ConfigError(problem("change, growth, compare", what))
    if main.course is None:
        return []
    if column in TREATMENT_COLUMNS:
        order = data.treatments.sort_values(["person_id", "start_week", "treatment_id"], kind="stable")
        groups = order.drop_duplicates("person_id").set_index("person_id")[column]
    else:
        groups = data.people.set_index("person_id")[column]
    reference, known = settings.get("reference"), sorted(str(g) for g in groups.dropna().unique())
    if reference is not None and known and str(reference) not in known:
        what = f"no group {reference!r} of {column}; allowed: {', '.join(known)}.{did_you_mean(reference, known)}"
        raise ConfigError(problem("change, growth, reference", what))
    people = int(main.course.rows["person_id"].nunique())
    rows, n = compare_courses(
        main.course, groups, name=column, outcome=score, time_unit=unit, direction=direction,
        reference=None if reference is None else str(reference), fewest=int(settings.get("fewest_clients", FEWEST_CLIENTS)),
        sd_estimated=bool(settings.get("sd_estimated", True)),
    )  # fmt: skip
    if n:
        data.flow.add(f"growth, {score}: compared by {column}", people, n, "group unknown or too small", unit="people")
    return rows

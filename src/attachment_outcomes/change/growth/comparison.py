"""Do groups (modalities, trial arms) differ in their courses? A difference in slopes, and Feingold's d between groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.change.growth.curve import Course, effect_row
from attachment_outcomes.change.growth.effect_size import feingold_d
from attachment_outcomes.change.growth.fitting import PERSON, THERAPIST, fit_course
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import Estimate, not_testable

Numbers = NDArray[np.float64]
ANALYSIS = "growth_comparison"
ASSOCIATION = "groups that were not drawn by lot may differ in other ways: an association"


def compare_courses(
    course: Course,
    groups: pd.Series,
    *,
    name: str,
    outcome: str,
    time_unit: str,
    direction: str = "",
    reference: str | None = None,
    fewest: int = 2,
    sd_estimated: bool = True,
) -> tuple[list[Estimate], int]:
    """Return how groups' courses differ, from one model in which every group has a course of its own.

    Parameters
    ----------
    course
        The fitted course of everybody; shape, random effects and span are taken from it.
    groups
        Group by person_id; missing where it is not known.
    name
        What the groups are, e.g. ``modality``.
    outcome
        Name of the score.
    time_unit
        ``week``, ``session`` or ``wave``.
    direction
        ``higher is better``, ``lower is better`` or empty.
    reference
        The group that others are compared with; the first by name if not given.
    fewest
        Groups with fewer people are left out.
    sd_estimated
        As in :func:`~attachment_outcomes.change.growth.effect_size.feingold_d`.

    Returns
    -------
    (list of Estimate, int)
        By group: ``change_to_end``. By pair (``group - reference``): ``change_difference``, ``slope_difference``, and
        ``feingold_d`` with the raw SD within the two groups at the first occasion. Then the number of people compared. One row
        *not testable* if fewer than two groups are large enough, the reference is none of these, or no model can be fitted.
    """
    rows = course.rows.assign(group=groups.reindex(course.rows[PERSON].to_numpy()).to_numpy())
    rows = rows[rows["group"].notna().to_numpy()].reset_index(drop=True)
    sizes = rows.drop_duplicates(PERSON)["group"].value_counts()
    levels = sorted(str(g) for g in sizes[sizes >= fewest].index)
    if len(levels) < 2:
        reason = f"{name}: fewer than two groups of {fewest} people or more"
        return [not_testable(ANALYSIS, reason, outcome=outcome)], 0
    if not course.end > course.start:
        return [not_testable(ANALYSIS, "the end is not after the first occasion", outcome=outcome)], 0
    if reference is not None and reference not in levels:
        reason = f"{name}: the reference {reference!r} is no group of {fewest} people or more; those are {', '.join(levels)}"
        return [not_testable(ANALYSIS, reason, outcome=outcome)], 0
    first = levels[0] if reference is None else reference
    levels = [first, *(g for g in levels if g != first)]
    rows = rows[rows["group"].astype(str).isin(levels).to_numpy()].reset_index(drop=True)
    own, columns = course.shape.columns, list(course.shape.columns)
    label = rows["group"].astype(str)
    size_of = {str(g): int(n) for g, n in sizes.items()}
    for k, level in enumerate(levels[1:], start=1):
        inside = (label == level).to_numpy(dtype=float)
        rows[f"group{k}"] = inside
        rows[[f"{c}_group{k}" for c in own]] = rows[list(own)].to_numpy() * inside[:, None]
        columns += [f"group{k}", *(f"{c}_group{k}" for c in own)]
    try:
        fitted = fit_course(
            rows, columns, slope=course.shape.slope, structure=course.fitted.structure, ci_level=course.fit.ci_level
        )
    except StatisticsError as error:
        return [not_testable(ANALYSIS, f"{name}: {error}", outcome=outcome)], 0
    fit = fitted.fit
    step = np.subtract(*course.shape.values([course.end, course.start]))  # of the shape's columns, from start to end
    method = f"linear mixed model (REML), {course.shape.told} in each group, {fitted.structure.told}"
    span = f"from {time_unit} {course.start:g} to {course.end:g}"
    told = "; ".join(t for t in (span, *fitted.notes, fit.note, ASSOCIATION) if t)
    baseline = rows[(rows["occasion"] == rows["occasion"].min()).to_numpy()]

    def weights(k: int, *, alone: bool) -> Numbers:
        """Return what multiplies the fixed effects for group k's change, or (not alone) for its difference from the reference."""
        w = np.zeros(len(fit.estimates))
        q = len(own)
        if alone:
            w[1 : 1 + q] = step
        if k:
            w[1 + q + (k - 1) * (q + 1) + 1 : 1 + q + k * (q + 1)] = step
        return w

    def names(estimand: str, *members: str) -> dict[str, Any]:
        return {
            "analysis": ANALYSIS, "estimand": estimand, "outcome": outcome, "definition": f"{name}, {course.shape.name}",
            "group": " - ".join(members), "ci_level": fit.ci_level, "n": sum(size_of[m] for m in members),
            "n_clusters": fit.n_clusters,
        }  # fmt: skip

    def row(estimand: str, members: tuple[str, ...], w: Numbers, unit: str) -> Estimate:
        value, std_error, low, high, p_value = fit.combination(w)
        return Estimate(
            **names(estimand, *members), estimate=value, std_error=std_error, ci_low=low, ci_high=high, p_value=p_value, unit=unit,
            direction=direction, method=method, note=told,
        )  # fmt: skip

    found = [row("change_to_end", (level,), weights(k, alone=True), "score points") for k, level in enumerate(levels)]
    for k, level in enumerate(levels[1:], start=1):
        pair, w = (level, first), weights(k, alone=False)
        change = row("change_difference", pair, w, "score points")
        found += [change, row("slope_difference", pair, w / (course.end - course.start), f"score points per {time_unit}")]
        two = baseline[baseline["group"].astype(str).isin([level, first]).to_numpy()]
        try:
            d = feingold_d(
                change.estimate, change.std_error, two["value"], df=float(fit.uncertainty.df(w[None])[0]), groups=two["group"],
                clusters=two.get(THERAPIST), sd_estimated=sd_estimated, ci_level=fit.ci_level,
            )  # fmt: skip
            found.append(effect_row(d, names("feingold_d", *pair), direction, method, f"{d.note}; {told}"))
        except StatisticsError as error:  # nobody differs within the groups at the start: there is no SD to divide by
            missing = not_testable(ANALYSIS, f"Feingold's d: {error}", outcome=change.outcome)
            found.append(replace(missing, group=change.group, definition=change.definition))
    return found, int(rows[PERSON].nunique())

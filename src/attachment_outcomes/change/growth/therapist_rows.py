"""Therapists' shares of the variance of levels, slopes and end scores, as rows, and their deviations from the average."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.change.growth.curve import FEW_THERAPISTS, Course
from attachment_outcomes.change.growth.fitting import (
    PERSON,
    THERAPIST,
    likelihood_ratio,
    with_therapist_intercepts,
    without_therapists,
)
from attachment_outcomes.change.therapists import CATERPILLAR, Ratio, caterpillar, variance_ratio
from attachment_outcomes.errors import ConvergenceWarning, StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.mixed.model import INTERCEPT, RESIDUAL, mixed_model

ANALYSIS = "therapist_effect"
LEVEL, SLOPE, END = "intercept", "slope", "end score, adjusted"
INTERVAL = "interval and p by inverting the F test of the ratio of variances"
NOTE = "differences between therapists' clients after chance: an association, since clients are not drawn by lot"


def therapist_effects(
    course: Course, pairs: pd.DataFrame, therapists: pd.Series | None, *, outcome: str, fewest: int, flow: Flow
) -> tuple[list[Estimate], pd.DataFrame]:
    """Return therapists' shares and the table of their deviations.

    Parameters
    ----------
    course
        The fitted course.
    pairs
        ``person_id, pre, post``: for the end score adjusted for the score before treatment.
    therapists
        Therapist by person_id, or None.
    outcome
        Name of the score.
    fewest
        Therapists with fewer clients are not shown; they are counted in the flow.
    flow
        Takes that count.

    Returns
    -------
    (list of Estimate, DataFrame)
        ``share_intercept``: of all variance at time 0. ``share_slope``: of the variance of slopes. ``share_end_adjusted``: of
        the end score's variance that the score before treatment leaves. ``likelihood_ratio``: twice the gain in log likelihood
        by therapists' levels and by their slopes, with the p value of the mixture that a variance at its boundary asks for.
    """
    if THERAPIST not in course.rows or therapists is None:
        reason = "needs two therapists or more, one of them with several clients in the model"
        return [not_testable(ANALYSIS, reason, outcome=outcome)], pd.DataFrame(columns=list(CATERPILLAR))
    rows = course.rows
    clients = rows.drop_duplicates(PERSON)[THERAPIST].value_counts()
    common: dict[str, Any] = {
        "analysis": ANALYSIS, "outcome": outcome, "ci_level": course.fit.ci_level, "n": int(clients.sum()),
        "n_clusters": course.n_therapists, "unit": "proportion",
    }  # fmt: skip
    known = clients[[str(label).startswith("known ") for label in clients.index]]
    told = _told(course.n_therapists, known, course.note)
    estimates = [_level(course, common, told), _slope(course, common, told)]
    estimates += _likelihood_ratios(course, {**common, "unit": "deviance"}, told)
    terms = {INTERCEPT: LEVEL, **({course.shape.slope: SLOPE} if course.fitted.structure.therapist_slope else {})}
    table, left_out = caterpillar(course.fit, known, outcome=outcome, terms=terms, fewest=fewest)
    flow.add(
        f"growth, {outcome}: therapists shown", len(known), len(known) - left_out, f"fewer than {fewest} clients", unit="therapists"
    )
    end, shown = _end_adjusted(pairs, therapists, common, fewest)
    return [*estimates, end], pd.concat([t for t in (table, shown) if len(t)], ignore_index=True) if len(table) else table


def _told(n: int, clients: pd.Series, note: str) -> str:
    few = f"fewer than {FEW_THERAPISTS} therapists: rough" if n < FEW_THERAPISTS else ""
    return "; ".join(t for t in (f"{int(clients.min())} to {int(clients.max())} clients a therapist", few, NOTE, note) if t)


def _ratio(course: Course, column: int, beside: int | None) -> Ratio:
    fit, columns = course.fit, list(course.shape.columns)
    slopes = (0, 1) if course.fitted.structure.person_slope else (0,)
    predictors = np.column_stack([np.ones(len(course.rows)), course.rows[columns].to_numpy(dtype=float)])
    return variance_ratio(
        course.rows["value"].to_numpy(dtype=float), predictors, course.rows[THERAPIST], column=column, beside=beside,
        people=course.rows[PERSON], slopes=slopes, relative=fit.psis[0] / fit.variances[RESIDUAL], ci_level=fit.ci_level,
    )  # fmt: skip


def _level(course: Course, common: dict[str, Any], told: str) -> Estimate:
    fit = course.fit
    names = {**common, "estimand": "share_intercept", "definition": course.shape.name}
    try:
        ratio = _ratio(course, 0, 1 if course.fitted.structure.therapist_slope else None)
    except StatisticsError as error:
        return not_testable(ANALYSIS, f"share of levels: {error}", outcome=str(common["outcome"]))
    low, high = ratio.share(fit.psis[0][0, 0] / fit.variances[RESIDUAL] + 1)
    return Estimate(
        **names, estimate=fit.shares()[THERAPIST], ci_low=low, ci_high=high, p_value=ratio.p_value,
        method=f"{course.method}; {INTERVAL}", note=f"of all variance at time 0; {told}",
    )  # fmt: skip


def _slope(course: Course, common: dict[str, Any], told: str) -> Estimate:
    fit, structure = course.fit, course.fitted.structure
    names = {**common, "estimand": "share_slope", "definition": course.shape.name}
    if not structure.person_slope or fit.psis[0][1, 1] <= 0:
        told = f"people's slopes do not differ in the model; {told}"
        return Estimate(**names, estimate=np.nan, method=course.method, note=told)
    of_people = float(fit.psis[0][1, 1])
    of_therapists = float(fit.psis[1][1, 1]) if structure.therapist_slope else 0.0
    absent = "" if structure.therapist_slope else "therapists' slopes do not differ in the model; "
    try:
        ratio = _ratio(course, 1, 0)
    except StatisticsError as error:
        return Estimate(**names, estimate=np.nan, method=course.method, note=f"{error}; {told}")
    low, high = ratio.share(of_people / fit.variances[RESIDUAL])
    return Estimate(
        **names, estimate=of_therapists / (of_therapists + of_people), ci_low=low, ci_high=high, p_value=ratio.p_value,
        method=f"{course.method}; {INTERVAL}", note=f"of the variance of slopes; {absent}{told}",
    )  # fmt: skip


def _likelihood_ratios(course: Course, common: dict[str, Any], told: str) -> list[Estimate]:
    columns, slope = list(course.shape.columns), course.shape.slope
    level = with_therapist_intercepts(course.fitted, course.rows, columns, slope=slope)
    none = without_therapists(course.fitted, course.rows, columns, slope=slope)
    pairs = {LEVEL: (none.fit, level.fit)}
    if course.fitted.structure.therapist_slope:
        pairs[SLOPE] = (level.fit, course.fit)
    rows = []
    for which, (smaller, larger) in pairs.items():
        statistic, p_value, note = np.nan, np.nan, f"therapists' {which}s against none"
        try:
            test = likelihood_ratio(smaller, larger)
            statistic, p_value = test.statistic, test.p_boundary
        except StatisticsError as error:
            note += f": {error}"
        rows.append(
            Estimate(
                **common, estimand="likelihood_ratio", group=which, definition=course.shape.name, estimate=statistic,
                p_value=p_value, method="likelihood ratio (REML), mixture of chi-squared at the boundary", note=f"{note}; {told}",
            )
        )  # fmt: skip
    return rows


def _end_adjusted(pairs: pd.DataFrame, therapists: pd.Series, common: dict[str, Any], fewest: int) -> tuple[Estimate, pd.DataFrame]:
    """Return therapists' share of the end score given the score before, one row a client with both and a known therapist."""
    outcome, ci_level = str(common["outcome"]), float(common.get("ci_level", CI_LEVEL))
    empty = pd.DataFrame(columns=list(CATERPILLAR))
    both = pairs[["person_id", "pre", "post"]].assign(therapist_id=therapists.reindex(pairs["person_id"].to_numpy()).to_numpy())
    both = both.dropna().reset_index(drop=True).astype({"pre": float, "post": float})
    names = {**common, "estimand": "share_end_adjusted", "n": len(both), "n_clusters": both[THERAPIST].nunique()}
    method = f"linear mixed model (REML) of the end score on the score before, intercept by therapist; {INTERVAL}, exact"
    clients = both[THERAPIST].value_counts()
    try:
        if len(clients) < 2 or clients.max() < 2:
            raise StatisticsError("fewer than two therapists, or none with two clients with both scores")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a variance of zero is a finding here, and is told
            fit = mixed_model("post ~ pre", both, groups=THERAPIST, ci_level=ci_level)
        design = np.column_stack([np.ones(len(both)), both["pre"].to_numpy()])
        ratio = variance_ratio(both["post"].to_numpy(), design, both[THERAPIST], ci_level=ci_level)
    except StatisticsError as error:
        return Estimate(**names, estimate=np.nan, method=method, note=str(error)), empty
    low, high = ratio.share(1.0)
    told = "of the end score's variance that the score before leaves; people with both scores and a known therapist"
    estimate = Estimate(
        **names, estimate=fit.shares()[THERAPIST], ci_low=low, ci_high=high, p_value=ratio.p_value, method=method,
        note=f"{told}; {_told(len(clients), clients, fit.note)}",
    )  # fmt: skip
    return estimate, caterpillar(fit, clients, outcome=outcome, terms={INTERCEPT: END}, fewest=fewest)[0]

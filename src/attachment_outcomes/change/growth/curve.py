"""How does the average person change over the whole course, and how much do people and therapists differ in it?

The average course has a shape chosen beforehand; people and therapists differ in their level and in their slope. Everybody with a
score counts, whenever they were seen: those who leave early inform the curve up to then, on the assumption that who leaves depends
on what was seen of them before (missing at random).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.change.growth.effect_size import feingold_d
from attachment_outcomes.change.growth.fitting import FEWEST_FOR_SLOPES, THERAPIST, Fitted, Structure, fit_course, label_therapists
from attachment_outcomes.change.growth.reading import check_by_person, measurements
from attachment_outcomes.change.growth.shapes import SPLINE, Shape, ends_of, make_shape
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.effects import Effect
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.mixed.model import INTERCEPT, MixedFit

Numbers = NDArray[np.float64]
ANALYSIS = "growth"
FEW_THERAPISTS = 10  # below, what is told of differences between therapists is rough
GRID = 25  # points of a curve beside the occasions: smooth to the eye
CURVE: dict[str, str] = {
    "outcome": "str", "shape": "str", "primary": "bool", "time": "float64", "predicted": "float64", "ci_low": "float64",
    "ci_high": "float64", "observed_mean": "float64", "n_observed": "int64",
}  # fmt: skip
COLUMNS = list(CURVE)
MISSING_AT_RANDOM = "scores that are missing are taken as missing at random"
UNITS = {"log_time": "log unit of {}", "time": "{}", "during": "{} of treatment"}


@dataclass(frozen=True, slots=True)
class Course:
    """A fitted course: the shape, the model, the measurements as fitted, the span of ``change_to_end``, and what is said of it.

    ``rows`` have the shape's columns, and ``therapist_id`` if there is such a level; ``n_therapists`` are known.
    """

    shape: Shape
    fitted: Fitted
    rows: pd.DataFrame
    n_therapists: int
    start: float
    end: float
    method: str
    note: str

    @property
    def fit(self) -> MixedFit:
        """The model."""
        return self.fitted.fit


@dataclass(frozen=True, slots=True)
class Growth:
    """Estimates, the curve's table, the fit behind them and the course it is of (None if none was possible)."""

    estimates: list[Estimate]
    curve: pd.DataFrame
    fit: MixedFit | None
    course: Course | None = None


def no_curve() -> pd.DataFrame:
    """Return a growth table without rows."""
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in CURVE.items()})


def growth_curve(
    data: pd.DataFrame,
    *,
    outcome: str,
    time_unit: str,
    end: float,
    direction: str = "",
    ci_level: float = CI_LEVEL,
    note: str = "",
    shape: str = SPLINE,
    therapists: pd.Series | None = None,
    treatment_end: pd.Series | float | None = None,
    sd_estimated: bool = True,
    primary: bool = True,
) -> Growth:
    """Fit a growth curve and return its slope, the change to the end, and the predicted and observed means.

    Parameters
    ----------
    data
        Columns ``person_id, occasion, time, value``; a row a measurement.
    outcome
        Name of the score.
    time_unit
        ``week``, ``session`` or ``wave``: what one unit of ``time`` is.
    end
        Time of the last planned occasion; ``change_to_end`` is the expected change from the earliest occasion to it.
    direction
        ``higher is better``, ``lower is better`` or empty.
    ci_level
        Confidence level.
    note
        Passed into the rows.
    shape
        ``linear``, ``log``, ``quadratic``, ``piecewise`` or ``spline``.
    therapists
        Therapist by person_id. With two or more, one of whom has two clients or more, therapists are a level of the model.
    treatment_end
        When treatment ended, for everybody or by person_id (piecewise only).
    sd_estimated
        Whether the interval of Feingold's d allows for the SD before treatment having been estimated.
    primary
        Whether these are the primary rows and curve.

    Returns
    -------
    Growth
        Estimates: ``change_to_end``; ``slope``, the same a time unit (score points); ``feingold_d``, the same in SDs of the raw
        scores at the first occasion; ``intercept``, the expected score at time 0; ``sd_intercept`` and ``sd_slope``, how much
        people of one therapist differ; ``slope_during`` and ``slope_after`` treatment (piecewise only). Curve: a row an occasion,
        at the median time of those seen, and points between them without observed means (``n_observed`` is 0 there).

    Raises
    ------
    StatisticsError
        If a column is missing or holds no numbers, a person has two scores at one occasion or time, a Series by person_id names
        somebody twice, or the therapist of nobody measured is known.

    Notes
    -----
    With two occasions, or too few measurements, only levels differ between people, and the note says so. A random slope
    that the data do not allow is left out, and the note says so.
    """
    rows = measurements(data)
    check_by_person("therapists", therapists, rows, some=True)
    check_by_person("treatment_end", treatment_end, rows)
    people, occasions = rows["person_id"].nunique(), rows["occasion"].nunique()
    if occasions < 2:
        return Growth([not_testable(ANALYSIS, "scores at fewer than two occasions", outcome=outcome)], no_curve(), None)
    seen = rows.groupby("occasion", sort=True).agg(
        time=("time", "median"), observed_mean=("value", "mean"), n_observed=("value", "size")
    )
    labels, unknown, n_therapists = label_therapists(rows["person_id"], therapists)
    slopes = occasions > 2 and len(rows) > 2 * people
    structure = Structure(slopes, labels is not None, slopes and labels is not None and n_therapists >= FEWEST_FOR_SLOPES)
    try:
        knots = ends_of(rows, treatment_end)
        form = make_shape(shape, seen["time"], times=rows["time"], knots=knots)
        rows[list(form.columns)] = form.values(rows["time"], knots)
        if labels is not None:
            rows[THERAPIST] = labels
        fitted = fit_course(rows, form.columns, slope=form.slope, structure=structure, ci_level=ci_level)
    except StatisticsError as error:
        return Growth([not_testable(ANALYSIS, str(error), outcome=outcome)], no_curve(), None)
    fit = fitted.fit
    notes = [note, *fitted.notes, fit.note, *_therapist_notes(labels is not None, therapists, unknown, n_therapists)]
    if not slopes:
        notes.append("two occasions or few measurements a person: slopes are taken as equal")
    told = "; ".join(n for n in (*notes, f"{fit.n} measurements", MISSING_AT_RANDOM) if n)
    course = Course(
        form, fitted, rows, n_therapists, float(seen["time"].iloc[0]), float(end),
        f"linear mixed model (REML), {form.told}, {fitted.structure.told}", told,
    )  # fmt: skip
    common = {
        "analysis": ANALYSIS, "outcome": outcome, "definition": form.name, "primary": primary, "ci_level": ci_level, "n": people,
        "n_clusters": people if labels is None else n_therapists + unknown,
    }  # fmt: skip
    estimates = _estimates(course, common, time_unit=time_unit, direction=direction, sd_estimated=sd_estimated)
    return Growth(estimates, _curve(course, seen, outcome, primary), fit, course)


def _therapist_notes(level: bool, therapists: pd.Series | None, unknown: int, known: int) -> list[str]:
    if not level:
        alone = "too few therapists with several clients: people are taken as independent of their therapists"
        return [] if therapists is None else [alone]
    who = "1 person of unknown therapist, taken" if unknown == 1 else f"{unknown} people of unknown therapist, each taken"
    notes = [f"{who} as of a therapist of their own"] if unknown else []
    return notes + ([f"{known} therapists: their variance is known roughly"] if known < FEW_THERAPISTS else [])


def _estimates(found: Course, common: dict[str, Any], *, time_unit: str, direction: str, sd_estimated: bool) -> list[Estimate]:
    fit, form, rows, told = found.fit, found.shape, found.rows, found.note

    def row(estimand: str, weights: Numbers, unit: str, extra: str = "", *, signed: bool = True) -> Estimate:
        value, std_error, low, high, p_value = fit.combination(weights)
        return Estimate(
            **common, estimand=estimand, estimate=value, std_error=std_error, ci_low=low, ci_high=high,
            p_value=p_value if signed else np.nan, unit=unit, direction=direction if signed else "", method=found.method,
            note="; ".join(t for t in (extra, told) if t),
        )  # fmt: skip

    def spread(estimand: str, name: str, unit: str) -> Estimate:
        value = float(np.sqrt(max(fit.variances[name], 0.0)))
        return Estimate(**common, estimand=estimand, estimate=value, unit=unit, method=found.method, note=told)

    a_unit = f"score points per {time_unit}"
    start, end = found.start, found.end
    at_zero, at_start, at_end = form.weights([0.0, start, end if np.isfinite(end) else start])
    estimates = [
        row("intercept", at_zero, "score points", f"expected score at {time_unit} 0", signed=False),
        spread("sd_intercept", INTERCEPT, "score points"),
    ]
    if end > start:
        span, weights = f"from {time_unit} {start:g} to {end:g}", at_end - at_start
        change = row("change_to_end", weights, "score points", span)
        estimates += [change, row("slope", weights / (end - start), a_unit, f"average {span}")]
        first = rows[(rows["occasion"] == rows["occasion"].min()).to_numpy()]
        try:
            d = feingold_d(
                change.estimate, change.std_error, first["value"], df=float(fit.uncertainty.df(weights[None])[0]),
                clusters=first[THERAPIST] if THERAPIST in rows else None, sd_estimated=sd_estimated, ci_level=fit.ci_level,
            )  # fmt: skip
            estimates.append(
                effect_row(d, {**common, "estimand": "feingold_d"}, direction, found.method, f"{span}; {d.note}; {told}")
            )
        except StatisticsError as error:  # nobody differs at the start, or one person was seen then: no SD to divide by
            estimates.append(replace(not_testable(ANALYSIS, f"Feingold's d: {error}", outcome=change.outcome), group="feingold_d"))
    else:
        reason = "change to the end: the end is not after the first occasion"
        estimates.append(not_testable(ANALYSIS, reason, outcome=str(common["outcome"])))
    if form.columns == ("during", "after"):
        pick = np.eye(3)
        estimates.append(row("slope_during", pick[1], a_unit, "until the end of treatment"))
        estimates.append(row("slope_after", pick[2], a_unit, "after the end of treatment"))
    if found.fitted.structure.person_slope:
        estimates.append(spread("sd_slope", form.slope, f"score points per {UNITS[form.slope].format(time_unit)}"))
    return estimates


def effect_row(d: Effect, names: Mapping[str, Any], direction: str, method: str, note: str) -> Estimate:
    """Return a standardised change as a row."""
    return Estimate(
        **names, estimate=d.estimate, std_error=d.std_error, ci_low=d.ci_low, ci_high=d.ci_high, p_value=d.p_value, unit="SD units",
        direction=direction, method=f"{d.method}; {method}", note=note,
    )  # fmt: skip


def _curve(found: Course, seen: pd.DataFrame, outcome: str, primary: bool) -> pd.DataFrame:
    fit, form = found.fit, found.shape
    times = seen["time"].to_numpy(dtype=float)
    knots = [k for k in form.knots if times.min() < k < times.max()]  # so that a bend is where it belongs
    between = np.setdiff1d([*np.linspace(times.min(), times.max(), GRID), *knots], times)
    whole = np.concatenate([times, between])
    blank = np.full(len(between), np.nan)
    curve = fit.predict(pd.DataFrame(form.values(whole), columns=list(form.columns)))
    table = pd.DataFrame(
        {
            "outcome": outcome, "shape": form.name, "primary": primary, "time": whole,
            **{c: curve[c].to_numpy() for c in ("predicted", "ci_low", "ci_high")},
            "observed_mean": np.concatenate([seen["observed_mean"].to_numpy(dtype=float), blank]),
            "n_observed": np.concatenate([seen["n_observed"].to_numpy(dtype="int64"), np.zeros(len(between), dtype="int64")]),
        }
    )  # fmt: skip
    return table.astype(CURVE).sort_values("time", kind="stable", ignore_index=True)

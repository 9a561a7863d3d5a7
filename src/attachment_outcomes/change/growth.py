"""How does the average person change over the whole course, and how much do people differ in it?

The average course is a smooth curve (a restricted cubic spline of time, because most of what therapy changes comes early);
people differ in their level and in their slope. Everybody with a score counts, whenever they were seen: those who leave early
inform the curve up to then, on the assumption that who leaves depends on what was seen of them before (missing at random).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.errors import ConvergenceWarning, StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.mixed.model import INTERCEPT, MixedFit, mixed_model

Numbers = NDArray[np.float64]
ANALYSIS = "growth"
MOST_KNOTS = 4  # three parameters beside the level: enough for a course that flattens, few enough for any study
COLUMNS = ["outcome", "time", "predicted", "ci_low", "ci_high", "observed_mean", "n_observed"]


@dataclass(frozen=True, slots=True)
class Growth:
    """Estimates, the curve's table, and the fit behind them (None if none was possible)."""

    estimates: list[Estimate]
    curve: pd.DataFrame
    fit: MixedFit | None


def no_curve() -> pd.DataFrame:
    """Return a growth table without rows."""
    empty = pd.DataFrame({c: pd.Series(dtype="float64") for c in COLUMNS})
    return empty.astype({"outcome": "str", "n_observed": "int64"})


def spline_knots(times: Numbers) -> Numbers:
    """Return up to four of the occasions' times as knots: first, last, and those at a third and two thirds of the ranks."""
    distinct = np.unique(times)
    places = np.unique(np.round(np.linspace(0, len(distinct) - 1, min(len(distinct), MOST_KNOTS))).astype(int))
    return np.asarray(distinct[places], dtype=float)


def spline_basis(times: ArrayLike, knots: Numbers) -> Numbers:
    r"""Return the columns 1, t and the bends of a restricted cubic spline, which is straight beyond the outer knots.

    .. math::

        b_j(t) = \Big[(t-k_j)_+^3 - (t-k_{m-1})_+^3\frac{k_m-k_j}{k_m-k_{m-1}} + (t-k_m)_+^3\frac{k_{m-1}-k_j}{k_m-k_{m-1}}\Big]
        \Big/ (k_m-k_1)^2, \quad j = 1 \dots m-2

    References
    ----------
    Durrleman, S., & Simon, R. (1989). Statistics in Medicine, 8, 551-561; scaled as in Harrell (2015), Regression modeling
    strategies, 2nd ed., section 2.4.5.
    """
    t = np.asarray(times, dtype=float)
    columns = [np.ones_like(t), t]
    if len(knots) > 2:
        last, before = knots[-1], knots[-2]

        def cube(knot: float) -> Numbers:
            return np.clip(t - knot, 0, None) ** 3

        for knot in knots[:-2]:
            bend = cube(knot) - cube(before) * (last - knot) / (last - before) + cube(last) * (before - knot) / (last - before)
            columns.append(bend / (last - knots[0]) ** 2)
    return np.column_stack(columns)


def growth_curve(
    data: pd.DataFrame,
    *,
    outcome: str,
    time_unit: str,
    end: float,
    direction: str = "",
    ci_level: float = CI_LEVEL,
    note: str = "",
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

    Returns
    -------
    Growth
        Estimates: ``change_to_end``; ``slope``, the same a time unit (score points); ``intercept``, the expected score at time
        0; ``sd_intercept`` and ``sd_slope``, how much people differ. Curve: a row an occasion, at the median time of those seen.

    Notes
    -----
    The mean curve has as many parameters as occasions, up to four (two: a straight line). With two occasions, or too
    few measurements, only the intercept differs between people, and the note says so.
    """
    rows = data[["person_id", "occasion", "time", "value"]].dropna()
    people, occasions = rows["person_id"].nunique(), rows["occasion"].nunique()
    if occasions < 2:
        return Growth([not_testable(ANALYSIS, "scores at fewer than two occasions", outcome=outcome)], no_curve(), None)
    random_slope = occasions > 2 and len(rows) > 2 * people
    seen = rows.groupby("occasion", sort=True).agg(
        time=("time", "median"), observed_mean=("value", "mean"), n_observed=("value", "size")
    )
    knots = spline_knots(seen["time"].to_numpy(dtype=float))
    bends = [f"bend{j}" for j in range(1, len(knots) - 1)]
    rows = rows.assign(**dict(zip(bends, spline_basis(rows["time"], knots).T[2:], strict=True)))
    notes = [note] if note else []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its text is the fit's note, which every row carries
            formula, slopes = " + ".join(["value ~ time", *bends]), ["time"] if random_slope else []
            fit = mixed_model(formula, rows, groups="person_id", slopes=slopes, ci_level=ci_level)
    except StatisticsError as error:
        return Growth([not_testable(ANALYSIS, str(error), outcome=outcome)], no_curve(), None)
    if not random_slope:
        notes.append("two occasions or few measurements a person: slopes are taken as equal")
    if fit.note:
        notes.append(fit.note)
    notes.append(f"{fit.n} measurements")
    shape = "straight line" if len(knots) == 2 else f"restricted cubic spline, {len(knots)} knots"
    method = f"linear mixed model (REML), {shape}, random intercept{' and slope' if random_slope else ''} by person"
    start = float(seen["time"].iloc[0])
    span = end - start
    at_zero, at_start, at_end = spline_basis([0.0, start, end if np.isfinite(end) else start], knots)
    told = "; ".join(notes)

    def row(estimand: str, weights: Numbers, unit: str, extra: str = "") -> Estimate:
        value, std_error, low, high, p_value = fit.combination(weights)
        return Estimate(
            analysis=ANALYSIS, estimand=estimand, outcome=outcome, estimate=value, std_error=std_error, ci_low=low, ci_high=high,
            ci_level=ci_level, p_value=np.nan if estimand == "intercept" else p_value, n=people, n_clusters=people, unit=unit,
            direction="" if estimand == "intercept" else direction, method=method, note="; ".join(t for t in (extra, told) if t),
        )  # fmt: skip

    def spread(estimand: str, name: str, unit: str) -> Estimate:
        value = float(np.sqrt(max(fit.variances[name], 0.0)))
        return Estimate(
            analysis=ANALYSIS, estimand=estimand, outcome=outcome, estimate=value, ci_level=ci_level, n=people,
            n_clusters=people, unit=unit, method=method, note=told,
        )  # fmt: skip

    a_unit = f"score points per {time_unit}"
    estimates = [
        row("intercept", at_zero, "score points", f"expected score at {time_unit} 0"),
        spread("sd_intercept", INTERCEPT, "score points"),
    ]
    if span > 0:
        told_span = f"from {time_unit} {start:g} to {end:g}"
        estimates.append(row("change_to_end", at_end - at_start, "score points", told_span))
        estimates.append(row("slope", (at_end - at_start) / span, a_unit, f"average {told_span}"))
    else:
        estimates.append(not_testable(ANALYSIS, "change to the end: the end is not after the first occasion", outcome=outcome))
    if random_slope:
        estimates.append(spread("sd_slope", "time", a_unit))
    points = spline_basis(seen["time"], knots)
    curve = fit.predict(pd.DataFrame(points[:, 1:], columns=["time", *bends]))
    table = pd.DataFrame(
        {
            "outcome": pd.Series([outcome] * len(seen), dtype="str"), "time": seen["time"].to_numpy(dtype=float),
            **{c: curve[c].to_numpy() for c in ("predicted", "ci_low", "ci_high")},
            "observed_mean": seen["observed_mean"].to_numpy(dtype=float), "n_observed": seen["n_observed"].to_numpy(dtype="int64"),
        }
    )  # fmt: skip
    return Growth(estimates, table[COLUMNS], fit)

"""How does the average person change over the whole course, and how much do people differ in it?

A straight line over time with a random intercept and slope a person. All people with a score count, whenever they were seen:
those who leave early inform the curve up to then, on the assumption that who leaves depends on what was seen of them before
(missing at random).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConvergenceWarning, StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.mixed import INTERCEPT, MixedFit, mixed_model

ANALYSIS = "growth"
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
        Estimates: ``slope`` (score points a time unit), ``change_to_end``, ``intercept`` (at time 0; score points),
        ``sd_intercept``, ``sd_slope``. Curve: a row an occasion, at the median time of those seen then.

    Notes
    -----
    With two occasions, or too few measurements, only the intercept differs between people, and the note says so.
    """
    rows = data[["person_id", "occasion", "time", "value"]].dropna()
    people, occasions = rows["person_id"].nunique(), rows["occasion"].nunique()
    if occasions < 2:
        return Growth([not_testable(ANALYSIS, "scores at fewer than two occasions", outcome=outcome)], no_curve(), None)
    random_slope = occasions > 2 and len(rows) > 2 * people
    notes = [note] if note else []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its text is the fit's note, which every row carries
            fit = mixed_model("value ~ time", rows, groups="person_id", slopes=["time"] if random_slope else [], ci_level=ci_level)
    except StatisticsError as error:
        return Growth([not_testable(ANALYSIS, str(error), outcome=outcome)], no_curve(), None)
    if not random_slope:
        notes.append("two occasions or few measurements a person: slopes are taken as equal")
    if fit.note:
        notes.append(fit.note)
    notes.append(f"{fit.n} measurements")
    method = f"linear mixed model (REML), random intercept{' and slope' if random_slope else ''} by person"
    start = float(rows["time"].min())
    span = end - start
    told = "; ".join(notes)

    def row(estimand: str, weights: list[float], unit: str, extra: str = "") -> Estimate:
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
        row("slope", [0.0, 1.0], a_unit),
        row("intercept", [1.0, 0.0], "score points", f"expected score at {time_unit} 0"),
        spread("sd_intercept", INTERCEPT, "score points"),
    ]
    if span > 0:
        estimates.append(row("change_to_end", [0.0, span], "score points", f"from {time_unit} {start:g} to {end:g}"))
    else:
        estimates.append(not_testable(ANALYSIS, "change to the end: the end is not after the first occasion", outcome=outcome))
    if random_slope:
        estimates.append(spread("sd_slope", "time", a_unit))
    seen = rows.groupby("occasion", sort=True).agg(
        time=("time", "median"), observed_mean=("value", "mean"), n_observed=("value", "size")
    )
    curve = fit.predict(seen[["time"]])
    table = pd.DataFrame(
        {
            "outcome": pd.Series([outcome] * len(seen), dtype="str"), "time": seen["time"].to_numpy(dtype=float),
            **{c: curve[c].to_numpy() for c in ("predicted", "ci_low", "ci_high")},
            "observed_mean": seen["observed_mean"].to_numpy(dtype=float), "n_observed": seen["n_observed"].to_numpy(dtype="int64"),
        }
    )  # fmt: skip
    return Growth(estimates, table[COLUMNS], fit)

"""What course does the alliance take over a treatment: local dips that are repaired, a trend, a high-low-high, or none of these?

The shapes are not exclusive: a rising course can have a dip that is repaired.

Vocabulary
----------
local V       at least one rupture, by a criterion, that was repaired
rising        least-squares slope over session number above 0, two-sided p of its t test below alpha; falling: below 0
U             quadratic term above 0 with p below alpha, and the lowest point of the fitted curve inside the treatment
inverted U    the same turned round
none          none of these
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.multiplicity import adjust_p_values
from attachment_outcomes.inference.proportions import proportion
from attachment_outcomes.inference.steps import Part, typed_table
from attachment_outcomes.rupture.aligned import reads_report
from attachment_outcomes.rupture.criteria import Criterion, Detection, detect
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.noise import MAX_CLIENTS, autocorrelation, simulate_noise
from attachment_outcomes.rupture.series import Flags, Numbers, Series, ratio

SHAPES_OF = "rupture_shapes"
ALPHA = 0.05
LEAST = 5  # rated sessions: a curve takes three, and two more tell how far scores lie from it
REPLICATES = 50
LOCAL, RISING, FALLING, U, INVERTED, NONE = SHAPES = ("local V", "rising", "falling", "U", "inverted U", "none")
LINEAR = "linear"  # rising or falling
EACH, ADJUSTED = "alpha .05 a client", "false discovery rate .05 over clients"
STEVENS = {LOCAL: 0.50, LINEAR: 0.66, U: 0.0}
STEVENS_NOTE = (
    "Stevens et al. (2007): 44 clients of 30 sessions; shares read in the abstract, the rules behind them not; in their data "
    "neither shape went with outcome"
)
# A row a shape and way to judge it.
TABLES = {
    "rupture_shapes": {
        "shape": "str", "rule": "str", "primary": "bool", "n": "int64", "n_clients": "int64", "share": "float64",
        "ci_low": "float64", "ci_high": "float64", "expected_on_noise": "float64", "published": "float64",
    }
}  # fmt: skip


@dataclass(frozen=True)
class Trends:
    """Slope and quadratic term of each series with their p values, (g,), and where the curve turns; NaN where not estimable."""

    slope: Numbers
    slope_p: Numbers
    curvature: Numbers
    curvature_p: Numbers
    turns_inside: Flags


def trends(series: Series) -> Trends:
    r"""Fit a line and a parabola over session number to each series by least squares.

    .. math:: x_t = a + b\,s_t + e_t, \qquad x_t = a + b\,s_t + c\,s_t^2 + e_t

    The slope is that of the line, tested by :math:`t = b / SE(b)` on n − 2 df with the person's own residuals; the quadratic term
    is c of the parabola, on n − 3 df. The parabola turns inside the treatment if :math:`-b/2c` lies strictly between the first and
    the last rated session. Units: score points a session, and a session squared.

    Parameters
    ----------
    series : Series
        Ratings. Fewer than 5, or none that vary, give NaN.
    """
    n = series.lengths.astype(float)
    time = series.sessions - series.mean(series.sessions)[series.group]
    own = series.values - series.mean(series.values)[series.group]
    s2, s3, s4 = (series.total(time**k) for k in (2, 3, 4))
    slope = ratio(series.total(time * own), s2)
    # What is left of the squared time when its mean and its line are taken out; c is the coefficient on that.
    square = time**2 - (series.mean(time**2) + 0.0)[series.group] - ratio(s3, s2)[series.group] * time
    spread = np.maximum(s4 - ratio(s2**2, n) - ratio(s3**2, s2), 0.0)
    enough = (series.lengths >= LEAST) & (spread > 0) & (series.total(own * own) > 1e-18 * series.total(series.values**2))
    curvature = ratio(series.total(square * own), spread)
    of_line = own - slope[series.group] * time
    of_curve = of_line - curvature[series.group] * square
    slope_p = _p_value(slope, series.total(of_line**2), s2, n - 2)
    curvature_p = _p_value(curvature, series.total(of_curve**2), spread, n - 3)
    linear = slope - curvature * ratio(s3, s2)  # of the parabola, at the mean session
    turn = np.divide(-linear, 2 * curvature, out=np.full(len(n), np.nan), where=curvature != 0)
    first, last = np.full(len(n), np.nan), np.full(len(n), np.nan)
    filled = series.lengths > 0
    first[filled], last[filled] = time[series.starts[:-1][filled]], time[series.starts[1:][filled] - 1]
    nothing = np.where(enough, 0.0, np.nan)
    inside = enough & (turn > first) & (turn < last)
    return Trends(slope + nothing, slope_p + nothing, curvature + nothing, curvature_p + nothing, inside)


def _p_value(value: Numbers, left: Numbers, spread: Numbers, df: Numbers) -> Numbers:
    """Return two-sided p values of least-squares terms; 0 where nothing is left unexplained."""
    error = np.sqrt(ratio(ratio(left, df), spread))
    exact = (error == 0) & (value != 0)
    t = np.divide(np.abs(value), error, out=np.full(len(value), np.nan), where=error > 0)
    p = 2 * student.sf(t, np.maximum(df, 1))
    return np.asarray(np.where(exact, 0.0, p), dtype=np.float64)


def client_shapes(series: Series, found: Detection, *, alpha: float = ALPHA, rule: str = EACH) -> pd.DataFrame:
    """Return which shapes each client's course has.

    Parameters
    ----------
    series : Series
        All series that the criterion was applied to.
    found : Detection
        Which ruptures were found in them, and which were repaired.
    alpha : float
        Two-sided level of the t tests.
    rule : str
        ``alpha .05 a client``: each test at ``alpha`` (the name is that of the usual level), or ``false discovery rate .05 over
        clients``: p values adjusted by Benjamini and Hochberg over clients, slopes and quadratic terms apart.

    Returns
    -------
    frame
        One row a series, columns ``client, treatment_id`` and a yes/no column a shape (``SHAPES``), missing where the series is not
        assessable by the criterion or has fewer than five ratings. A series that never varies has no shape (``none``).
    """
    fitted = trends(series)
    known = found.assessable & (series.lengths >= LEAST)
    slope_p, curvature_p = (
        p if rule == EACH else adjust_p_values(np.where(known, p, np.nan), method="benjamini-hochberg")
        for p in (fitted.slope_p, fitted.curvature_p)
    )
    repaired = np.zeros(len(series.lengths), dtype=bool)
    repaired[found.kept[found.episodes.group[found.episodes.outcome == 0]]] = True
    straight = np.nan_to_num(slope_p, nan=1.0) < alpha
    curved = (np.nan_to_num(curvature_p, nan=1.0) < alpha) & fitted.turns_inside
    flags = {
        LOCAL: repaired, RISING: straight & (fitted.slope > 0), FALLING: straight & (fitted.slope < 0),
        U: curved & (fitted.curvature > 0), INVERTED: curved & (fitted.curvature < 0),
    }  # fmt: skip
    flags[NONE] = ~np.any(list(flags.values()), axis=0)
    return series.clients[["client", "treatment_id"]].assign(
        **{name: pd.arrays.BooleanArray(np.asarray(f, dtype=bool), ~known) for name, f in flags.items()}
    )


def analyse(data: RuptureData) -> Part:
    """Return how many clients' courses have each shape, beside noise and beside the published shares.

    Local Vs are those of the study's first criterion that judges ratings.
    """
    found = next((d for d in data.detections if not reads_report(d.criterion)), None)
    if found is None:
        raise StatisticsError("every criterion reads reports; shapes are those of a series of ratings")
    series = data.series
    base = Estimate(
        analysis=SHAPES_OF, estimand="share", estimate=math.nan, method="", outcome=data.alliance, ci_level=data.ci_level,
        unit="proportion",
    )  # fmt: skip
    rows: list[Estimate] = []
    table: list[dict[str, object]] = []
    for rule in (EACH, ADJUSTED):
        shapes = client_shapes(series, found, rule=rule)
        kept = shapes[shapes[NONE].notna()]
        reason = f"fewer than {LEAST} rated sessions, or not assessable by {found.criterion.name}"
        data.count("rupture: course of the alliance", len(shapes), len(kept), reason, unit="treatments")
        if kept.empty:
            return Part([not_testable(SHAPES_OF, f"no client's course can be judged: {reason}", outcome=data.alliance)])
        noise = _on_noise(series, found, rule, data.rng("shapes", rule))
        for name, flags in _columns(kept):
            lines = list(
                _shape(replace(base, group=name, definition=rule, primary=rule == EACH), flags, kept["client"], noise[name])
            )
            rows += lines
            share = lines[0]
            table.append(
                {
                    "shape": name, "rule": rule, "primary": rule == EACH, "n": int(flags.sum()), "n_clients": len(kept),
                    "share": share.estimate, "ci_low": share.ci_low, "ci_high": share.ci_high,
                    "expected_on_noise": float(noise[name].mean()), "published": STEVENS.get(name, math.nan),
                }
            )  # fmt: skip
    rows += [
        replace(
            base, group=name, definition="published: Stevens et al. (2007)", primary=False, estimate=value, n=44.0,
            method="published", note=STEVENS_NOTE,
        )
        for name, value in STEVENS.items()
    ]  # fmt: skip
    return Part(rows, {"rupture_shapes": typed_table(table, TABLES["rupture_shapes"])})


def _columns(shapes: pd.DataFrame) -> Iterator[tuple[str, Flags]]:
    """Yield each shape with who has it, and whose course is linear either way."""
    flags: Mapping[str, Flags] = {name: shapes[name].to_numpy(dtype=bool) for name in SHAPES}
    yield from flags.items()
    yield LINEAR, flags[RISING] | flags[FALLING]


def _on_noise(series: Series, found: Detection, rule: str, rng: np.random.Generator) -> dict[str, Numbers]:
    """Return each shape's share of clients in (replicates,) simulated studies of stationary noise."""
    criterion: Criterion = found.criterion
    known = np.flatnonzero(found.assessable & (series.lengths >= LEAST))
    if len(known) > MAX_CLIENTS:
        known = np.sort(rng.choice(known, MAX_CLIENTS, replace=False))
    kept = series.select(np.isin(np.arange(len(series.lengths)), known))
    rho = autocorrelation(kept)
    shares: dict[str, list[float]] = {}
    for _ in range(REPLICATES):
        noise = simulate_noise(kept, rho, 1, rng)
        shapes = client_shapes(noise, detect(noise, criterion), rule=rule)
        for name, flags in _columns(shapes[shapes[NONE].notna()]):
            shares.setdefault(name, []).append(float(flags.mean()) if len(flags) else math.nan)
    return {name: np.array(values) for name, values in shares.items()}


def _shape(base: Estimate, flags: Flags, clients: pd.Series, noise: Numbers) -> Iterator[Estimate]:
    """Yield the share of clients with a shape, the share expected in noise, and the difference."""
    person = clients.to_numpy()
    found = proportion(flags, clusters=person, ci_level=base.ci_level)
    shared: dict[str, Any] = {"n": float(found.n), "n_clusters": float(found.n_clusters)}
    yield replace(
        base, estimate=found.estimate, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high,
        method=found.method.replace("therapist clusters", "persons"), note=found.note, **shared,
    )  # fmt: skip
    expected, chance = float(noise.mean()), float(noise.std(ddof=1) / math.sqrt(len(noise)))
    half = float(student.ppf(0.5 + base.ci_level / 2, len(noise) - 1)) * chance
    yield replace(
        base, estimand="expected_on_noise", estimate=expected, std_error=chance, ci_low=max(0.0, expected - half),
        ci_high=min(1.0, expected + half), method=f"simulated AR(1), {len(noise)} replicates",
        note="stationary series with the data's own lengths, SDs and autocorrelation; Monte-Carlo error only", **shared,
    )  # fmt: skip
    # Limits of the share and of the noise combined (MOVER), which also holds where nobody or everybody has the shape.
    value = found.estimate - expected
    yield replace(
        base, estimand="share_above_noise", estimate=value, std_error=math.hypot(found.std_error, chance),
        ci_low=value - math.hypot(found.estimate - found.ci_low, half),
        ci_high=value + math.hypot(found.ci_high - found.estimate, half),
        method=f"observed minus noise; {found.method.replace('therapist clusters', 'persons')}", **shared,
    )  # fmt: skip

"""Which intervals and tests do paths, indirect paths and the gap get, once correlations have been drawn again many times?

Every interval holds the middle of what the drawn correlations give for the same quantity, so that none presumes that a product of
paths is normally distributed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.monte_carlo import interval_of_draws
from attachment_outcomes.transmission.gap.correlations import full, upper
from attachment_outcomes.transmission.gap.paths import ARROW, PARALLEL, Model, Quantity, slope_gradient
from attachment_outcomes.transmission.gap.sensitivity import (
    ALL,
    RELIABILITIES,
    RHOS,
    corrected_for_unreliability,
    gap_of,
    rho_at_zero,
    under_confounding,
)

Numbers = NDArray[np.float64]

ANALYSIS = "transmission_gap"
CORRECTED = "parallel, corrected for unreliability"
JOINT = "joint significance"
NO_ERROR = "no p value: the error of one of its paths is 0"
UNITS = {"path": "coefficient", "share_unexplained": "proportion", "rho_at_zero": "correlation"}
CURVE_DRAWS = 2000  # of the draws, for intervals along a curve: their limits are read off a picture
NOT_A_SHARE = "not a share: the gap and the indirect paths have opposite signs"


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Correlations drawn again, (draws, q) above the diagonal, and how.

    ``n`` and ``n_clusters`` are the pairs and families that they rest on, ``note`` is what holds for every interval, ``primary``
    whether these are the intervals that count.
    """

    method: str
    correlations: Numbers
    outcome: str = ""
    n: float = math.nan
    n_clusters: float = math.nan
    ci_level: float = CI_LEVEL
    primary: bool = True
    note: str = ""

    def estimate(self, quantity: Quantity, value: float, values: Numbers | None, *, primary: bool, note: str = "") -> Estimate:
        """Return one quantity with the interval of its drawn values, without one where there are none or too few are defined."""
        error, low, high = math.nan, math.nan, math.nan
        notes = [note, self.note]
        if values is not None:
            try:
                found = interval_of_draws(value, values, ci_level=self.ci_level)
                error, low, high = found.std_error, found.ci_low, found.ci_high
                notes.append(found.note)
            except StatisticsError as problem:
                notes.append(f"no interval: {problem}")
        return Estimate(
            analysis=ANALYSIS, estimand=quantity.estimand, outcome=self.outcome, group=quantity.group,
            definition=quantity.definition, primary=primary and self.primary, estimate=value, std_error=error, ci_low=low,
            ci_high=high, ci_level=self.ci_level, n=self.n, n_clusters=self.n_clusters, unit=UNITS.get(quantity.estimand, "r"),
            method=self.method, note="; ".join(filter(None, notes)),
        )  # fmt: skip


def quantity_rows(
    model: Model, matrix: Numbers, drawn: Drawn, *, only: Sequence[str] = (), definition: str = "", note: str = ""
) -> list[Estimate]:
    """Return the quantities of a matrix (p, p) with the intervals of drawn correlations.

    The share left unexplained has an interval only where that of the total excludes 0: a ratio to what may be 0 has no limits.

    ``only`` names the estimands wanted, of the parallel model; all quantities by default. ``definition`` stands in place of
    ``parallel``, for a matrix that was corrected.
    """
    values, many = model.values(matrix), model.values(full(drawn.correlations))
    rows: list[Estimate] = []
    total_is_told = False
    for place, quantity in enumerate(model.quantities):
        value = float(values[place])
        if not math.isfinite(value) or ((only or definition) and quantity.definition != PARALLEL):
            continue
        if only and quantity.estimand not in only:
            continue
        named = quantity._replace(definition=definition) if definition else quantity
        share = quantity.estimand == "share_unexplained"
        said = "; ".join(filter(None, [note, NOT_A_SHARE if share and not 0 <= value <= 1 else ""]))
        if share and not total_is_told:
            said = "; ".join(filter(None, [said, "no interval: that of the total holds 0"]))
        row = drawn.estimate(
            named, value, many[:, place] if not share or total_is_told else None,
            primary=quantity.definition == PARALLEL and not definition, note=said,
        )  # fmt: skip
        if quantity.estimand == "total":
            total_is_told = row.ci_low > 0 or row.ci_high < 0
        rows.append(row)
    return rows


def path_error(matrix: Numbers, covariance: Numbers, arrow: tuple[int, int], *, parallel: bool) -> tuple[float, float]:
    """Return a path of the parallel or serial model and its delta-method standard error, from the correlations' covariance."""
    start, end = arrow
    last = len(matrix) - 1
    predictors = range(end) if end == last or not parallel else (0,)
    rows = np.asarray(list(predictors))
    slope = np.linalg.solve(matrix[np.ix_(rows, rows)], matrix[rows, end])[start]
    gradient = slope_gradient(matrix, predictors, end)[start]
    return float(slope), math.sqrt(max(float(gradient @ covariance @ gradient), 0.0))


def joint_significance(model: Model, matrix: Numbers, covariance: Numbers, drawn: Drawn) -> list[Estimate]:
    """Test each indirect path: its p value is the largest of those of its paths.

    References
    ----------
    MacKinnon, D. P., Lockwood, C. M., Hoffman, J. M., West, S. G., & Sheets, V. (2002). Psychological Methods, 7, 83-104.
    """
    rows = []
    df = drawn.n_clusters - 1
    place = {name: i for i, name in enumerate(model.variables)}
    for quantity in model.quantities:
        if quantity.estimand != "indirect":
            continue
        chain = [0, *(place[name] for name in quantity.group.split(ARROW)), len(model.variables) - 1]
        found = [path_error(matrix, covariance, step, parallel=quantity.definition == PARALLEL) for step in pairwise(chain)]
        p, note = math.nan, NO_ERROR
        if all(se > 0 for _, se in found):
            p = max(2 * float(student.sf(abs(b) / se, df) if math.isfinite(df) else norm.sf(abs(b) / se)) for b, se in found)
            note = "p: the largest of those of its paths"
        value = math.prod(b for b, _ in found)
        error = math.sqrt(sum((value / b * se) ** 2 if b else 0.0 for b, se in found))
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand="indirect", outcome=drawn.outcome, group=quantity.group, definition=quantity.definition,
                primary=False, estimate=value, std_error=error, ci_level=drawn.ci_level, p_value=p, n=drawn.n,
                n_clusters=drawn.n_clusters, unit="r", method=JOINT, note=note,
            )
        )  # fmt: skip
    return rows


def confounding(model: Model, matrix: Numbers, drawn: Drawn) -> tuple[list[Estimate], pd.DataFrame]:
    """Return the rho at which indirect paths are 0, and the indirect paths over rho with intervals."""
    names = [*model.mediators, ALL] if len(model.mediators) > 1 else [ALL]
    matrices = full(drawn.correlations[:CURVE_DRAWS])
    many = full(drawn.correlations)
    columns = [_indirect(model, name) for name in names]
    zero, zeros = rho_at_zero(matrix)[-len(names) :], rho_at_zero(many)[:, -len(names) :]
    whole, values = model.values(matrix)[columns], model.values(matrices)[:, columns]
    rows, curve = [], []
    for place, name in enumerate(names):
        composite = name == ALL and len(names) > 1
        quantity = Quantity(PARALLEL, "rho_at_zero", name)
        note = "no interval: with several mediators it cannot be below 0" if composite else ""
        rows.append(drawn.estimate(quantity, float(zero[place]), None if composite else zeros[:, place], primary=False, note=note))
        for rho in RHOS:
            estimate = float(under_confounding(whole[place], zero[place], rho))
            drawn_values = under_confounding(values[:, place], zeros[:CURVE_DRAWS, place], rho)
            curve.append(_point("confounding", name, float(rho), "indirect", estimate, drawn_values, drawn))
    return rows, pd.DataFrame(curve)


def unreliability(model: Model, matrix: Numbers, drawn: Drawn) -> pd.DataFrame:
    """Return the indirect paths and the gap, were each mediator, and all of them, only so reliable."""
    matrices = full(drawn.correlations[:CURVE_DRAWS])
    curve = []
    several = len(model.mediators) > 1
    for name, places in [(m, [j]) for j, m in enumerate(model.mediators, start=1) if several] + [
        (ALL, list(range(1, len(model.mediators) + 1)))
    ]:
        for reliability in RELIABILITIES:
            shares = np.ones(len(matrix))
            shares[places] = reliability
            one, many = (gap_of(corrected_for_unreliability(m, shares)) for m in (matrix, matrices))
            for estimand, value, values in zip(("indirect_total", "gap"), one, many, strict=True):
                curve.append(_point("reliability", name, float(reliability), estimand, float(value), values, drawn))
    return pd.DataFrame(curve)


def _indirect(model: Model, name: str) -> int:
    """Return the place of an indirect path among the quantities, of their sum for all mediators."""
    wanted = Quantity(PARALLEL, "indirect_total") if name == ALL else Quantity(PARALLEL, "indirect", name)
    return model.quantities.index(wanted)


def _point(kind: str, name: str, at: float, estimand: str, value: float, values: Numbers, drawn: Drawn) -> dict[str, object]:
    """Return a point of a curve; it has no limits where too few draws are possible."""
    low = high = math.nan
    if math.isfinite(value):
        try:
            found = interval_of_draws(value, values, ci_level=drawn.ci_level)
            low, high = found.ci_low, found.ci_high
        except StatisticsError:
            pass  # at so low a reliability most drawn correlations are impossible: the curve ends here
    return {"outcome": drawn.outcome, "kind": kind, "mediator": name, "value": at, "estimand": estimand, "estimate": value,
            "ci_low": low, "ci_high": high}  # fmt: skip


def corrected(model: Model, matrix: Numbers, drawn: Drawn, reliabilities: Numbers, note: str) -> list[Estimate]:
    """Return the parallel model's quantities without random error of measurement.

    ``reliabilities`` are (draws + 1, p), the given ones first.

    Raises
    ------
    StatisticsError
        If the corrected correlations are impossible together.
    """
    clean = corrected_for_unreliability(matrix, reliabilities[0])
    if np.isnan(clean).any():
        raise StatisticsError(
            "corrected for these reliabilities the correlations are impossible together: the scores are more reliable than said"
        )
    many = upper(corrected_for_unreliability(full(drawn.correlations), reliabilities[1:]))
    method = f"{drawn.method}, correlations corrected"
    again = Drawn(
        method=method, correlations=many, outcome=drawn.outcome, n=drawn.n, n_clusters=drawn.n_clusters, ci_level=drawn.ci_level,
        primary=False, note=drawn.note,
    )  # fmt: skip
    return quantity_rows(model, clean, again, definition=CORRECTED, note=note)


def path_table(rows: Sequence[Estimate]) -> list[dict[str, object]]:
    """Return the paths among estimates, one row each, as a diagram reads them."""
    out: list[dict[str, object]] = []
    for row in rows:
        if row.estimand == "path":
            start, end = row.group.split(ARROW)
            out.append(
                {"outcome": row.outcome, "definition": row.definition, "primary": row.primary, "from": start, "to": end,
                 "estimate": row.estimate, "ci_low": row.ci_low, "ci_high": row.ci_high, "ci_level": row.ci_level}
            )  # fmt: skip
    return out

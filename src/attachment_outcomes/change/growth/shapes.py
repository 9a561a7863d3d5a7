r"""What form does the average course have? Columns of time that a growth model takes as predictors.

======================  ==============================================  =====================================================
shape                   columns beside the level                        says
======================  ==============================================  =====================================================
linear                  :math:`t`                                       the same change in every unit of time
log                     :math:`\log(t + 1)`                             fast at first, ever slower
quadratic               :math:`t, t^2`                                  slowing or turning
piecewise               :math:`\min(t, k), \max(t - k, 0)`              one slope in treatment, another after its end k
spline                  restricted cubic spline, up to four knots       any smooth course, straight beyond the outer knots
======================  ==============================================  =====================================================

The first column is the one whose slope may differ between people and therapists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem

Numbers = NDArray[np.float64]
LINEAR, LOG, QUADRATIC, PIECEWISE, SPLINE = "linear", "log", "quadratic", "piecewise", "spline"
SHAPES = (LINEAR, LOG, QUADRATIC, PIECEWISE, SPLINE)
MOST_KNOTS = 4  # three parameters beside the level: enough for a course that flattens, few enough for any study
PLACE = "growth"
WEEK, SESSION = "week", "session"
OWN, PLANNED = "own", "planned"


@dataclass(frozen=True, slots=True)
class Shape:
    """A form of the course: its name, the columns' names, the knots, and what it is called in a method's line."""

    name: str
    columns: tuple[str, ...]
    knots: tuple[float, ...]
    told: str

    @property
    def slope(self) -> str:
        """The column whose slope may differ between people."""
        return self.columns[0]

    def values(self, times: ArrayLike, knots: ArrayLike | None = None) -> Numbers:
        """Return the columns (n, q) at these times; ``knots`` are the rows' own ends of treatment (piecewise only)."""
        t = np.asarray(times, dtype=float)
        if self.name == LOG:
            return np.asarray(np.log1p(t)[:, None])
        if self.name == QUADRATIC:
            return np.column_stack([t, t**2])
        if self.name == PIECEWISE:
            k = np.full(len(t), self.knots[0]) if knots is None else np.asarray(knots, dtype=float)
            return np.column_stack([np.minimum(t, k), np.maximum(t - k, 0.0)])
        return spline_basis(t, np.asarray(self.knots))[:, 1:]

    def weights(self, times: ArrayLike) -> Numbers:
        """Return the columns with the level's before them: what multiplies the fixed effects at these times."""
        return np.column_stack([np.ones(len(np.asarray(times))), self.values(times)])


def make_shape(name: str, occasions: ArrayLike, *, times: ArrayLike, knots: ArrayLike | None = None) -> Shape:
    """Return a shape for these data.

    Parameters
    ----------
    name
        One of ``SHAPES``.
    occasions
        A typical time of every occasion; the spline's knots are among them.
    times
        Time of every measurement.
    knots
        End of treatment of every measurement's person, in units of time (piecewise only).

    Raises
    ------
    StatisticsError
        If there is no such shape, or the data cannot show it: fewer occasions than it needs, times before 0 under the
        logarithm, no known end of treatment, or fewer than two occasions before or none after it.
    """
    seen, t = np.unique(np.asarray(occasions, dtype=float)), np.asarray(times, dtype=float)
    if name not in SHAPES:
        raise StatisticsError(problem(PLACE, f"no shape {name!r}; allowed: {', '.join(SHAPES)}.{did_you_mean(name, SHAPES)}"))
    if name == LINEAR:
        return Shape(LINEAR, ("time",), (), "straight line")
    if name == LOG:
        if t.min() < 0:
            what = "a logarithmic course starts at time 0, and some measurements are earlier."
            raise StatisticsError(problem(PLACE, what, hint="count time from the first occasion."))
        return Shape(LOG, ("log_time",), (), "log(time + 1)")
    if name == SPLINE:
        found = spline_knots(seen)
        told = "straight line" if len(found) == 2 else f"restricted cubic spline, {len(found)} knots"
        return Shape(SPLINE, ("time", *(f"bend{j}" for j in range(1, len(found) - 1))), tuple(found.tolist()), told)
    if len(seen) < 3:
        raise StatisticsError(problem(PLACE, f"a {name} course needs three occasions, found {len(seen)}."))
    if name == QUADRATIC:
        return Shape(QUADRATIC, ("time", "time_squared"), (), "quadratic")
    k = np.array([]) if knots is None else np.asarray(knots, dtype=float)
    if not len(k) or np.isnan(k).any():
        raise StatisticsError(problem(PLACE, "a piecewise course needs the end of treatment.", hint="growth: treatment_end"))
    before, after = int((t <= k).sum()), int((t > k).sum())
    if not after or len(np.unique(np.minimum(t, k))) < 2:
        what = f"a piecewise course needs measurements before and after the end of treatment, found {before} and {after}."
        raise StatisticsError(problem(PLACE, what))
    middle = float(np.median(k))
    told = f"two straight lines that meet at the end of treatment ({'' if np.ptp(k) == 0 else 'median '}{middle:g})"
    return Shape(PIECEWISE, ("during", "after"), (middle,), told)


def spline_knots(times: ArrayLike) -> Numbers:
    """Return up to four of the occasions' times as knots: first, last, and those at a third and two thirds of the ranks."""
    distinct = np.unique(np.asarray(times, dtype=float))
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


def treatment_ends(
    rule: str | float, people: pd.Series, *, treatments: pd.DataFrame, sessions: pd.DataFrame, unit: str
) -> tuple[pd.Series | None, str]:
    """Return when the treatment of each of these people ended, by person_id, and in words how that was found.

    Parameters
    ----------
    rule
        A time for everybody; ``own``: a person's last attended session; ``planned``: the planned number of sessions (in
        weeks: at this study's median number of weeks from session to session).
    people
        Whose end is wanted.
    treatments, sessions
        Canonical tables.
    unit
        Unit of time: ``week``, ``session`` or ``wave``.

    Returns
    -------
    (Series or None, str)
        Somebody whose end is unknown gets the median of the others, and the words say how many. None if nobody's is known.
    """
    who = pd.Index(people.unique())
    if isinstance(rule, int | float):
        return pd.Series(float(rule), index=who), f"treatment ends at {unit} {rule:g} for everybody"
    found = _own_ends(sessions, unit) if rule == OWN else _planned_ends(treatments, sessions, unit)
    found = found.reindex(who)
    unknown = int(found.isna().sum())
    if unknown == len(who):
        return None, f"no {'last session' if rule == OWN else 'planned end'} is known in {unit}s"
    told = f"{'last session attended' if rule == OWN else 'planned end'}, median {unit} {found.median():g}"
    return found.fillna(found.median()), told + (
        f" (taken for {unknown} {'person' if unknown == 1 else 'people'} whose end is unknown)" if unknown else ""
    )


def _own_ends(sessions: pd.DataFrame, unit: str) -> pd.Series:
    went = sessions[(sessions["attended"].fillna(True)).to_numpy(dtype=bool)]
    column = {WEEK: "week", SESSION: "session_number"}.get(unit)
    return pd.Series(dtype=float) if column is None else went.groupby("person_id")[column].max().astype(float)


def _planned_ends(treatments: pd.DataFrame, sessions: pd.DataFrame, unit: str) -> pd.Series:
    first = treatments.sort_values(["person_id", "start_week", "treatment_id"], kind="stable").drop_duplicates("person_id")
    first = first.set_index("person_id")
    planned = first["planned_sessions"].astype("float64")
    if unit == SESSION:
        return planned
    gaps = sessions.sort_values(["person_id", "session_number"]).groupby("person_id")["week"].diff()
    if unit != WEEK or gaps.notna().sum() == 0:
        return pd.Series(dtype=float)
    return first["start_week"].fillna(0.0).astype("float64") + planned * float(gaps.median())


def ends_of(rows: pd.DataFrame, ends: pd.Series | Mapping[str, float] | float | None) -> Numbers | None:
    """Return each row's end of treatment, or None where none is known."""
    if ends is None:
        return None
    if isinstance(ends, int | float):
        return np.full(len(rows), float(ends))
    return rows["person_id"].map(ends).to_numpy(dtype=float)
